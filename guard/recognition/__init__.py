"""Recognising accounts that act as one. ``recognition.py`` is the file to read first."""

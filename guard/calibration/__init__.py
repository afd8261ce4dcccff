"""Checks the weights on the operator's own labelled traffic, and refits them: ``guard calibrate`` without its command line.

``gathering.py`` replays labelled logs and keeps what every group signal said of every group, ``opinions.py`` adds what the
operator said of verdicts, ``fitting.py`` fits the scales and holds sources out, ``checking.py`` compares what was promised with
what was seen, ``report.py`` prints it and ``writing.py`` writes a weights file.
"""

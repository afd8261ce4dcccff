"""guard: recognises accounts that act as one and keeps extraction campaigns from taking a model, inline."""

__version__ = "0.1.0"

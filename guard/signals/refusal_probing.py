"""Probes what the model refuses.

What it sees: questions about requests as such (which are refused, how, would this one be), prompts made to get past a
refusal, the border between the two, by category and in numbers, in eighteen languages (``patterns/refusal_probing.toml``).

What honest traffic sets it off: red teams and safety researchers (a grant ends it), moderators, people who ask why they
were refused or write about jailbreaks. Content evidence only: capped with its group.

Cost: its share of the one pass that all pattern files have together (``scanning.py``): about 3.5 µs a kilobyte for all four.
"""

from __future__ import annotations

from guard.scanning import Patterns
from guard.types import Ask


class RefusalProbing:
    name = "refusal_probing"
    group = "content"

    def __init__(self) -> None:
        self._patterns = Patterns(self.name)

    def read(self, ask: Ask, text: bytes) -> float:
        return self._patterns.reading(text)


PLUGIN = RefusalProbing

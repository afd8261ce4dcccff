"""Asks the model to grade other answers by a rubric.

What it sees: answers to be rated, ranked or compared, laid out under labels, with a scale, qualities and reasons asked for,
in eighteen languages (``patterns/rubric_grading.toml``). Each of these is weak; several together are how preference data
and reward models are made.

What honest traffic sets it off: teams that evaluate their own product with a model as judge, teachers who have pupils'
answers marked, support desks that review replies. Content evidence only: capped with its group.

Cost: its share of the one pass that all pattern files have together (``scanning.py``): about 3.5 µs a kilobyte for all four.
"""

from __future__ import annotations

from guard.scanning import Patterns
from guard.types import Ask


class RubricGrading:
    name = "rubric_grading"
    group = "content"

    def __init__(self) -> None:
        self._patterns = Patterns(self.name)

    def read(self, ask: Ask, text: bytes) -> float:
        return self._patterns.reading(text)


PLUGIN = RubricGrading

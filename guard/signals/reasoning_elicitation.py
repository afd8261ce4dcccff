"""Asks the model to write out its reasoning.

What it sees: wording that asks for a chain of thought, for every intermediate step, for thoughts in tags, for reasoning
that was made before or kept back (repeated, translated, decoded from its signature), in eighteen languages
(``patterns/reasoning_elicitation.toml``), anywhere in the request: turns, system prompt, tool descriptions.

What honest traffic sets it off: homework, evaluation harnesses, prompt-engineering habits ("think step by step"),
developers who pass thinking blocks back. So it is content evidence only: capped with its group, it can never convict by
itself.

Cost: its share of the one pass that all pattern files have together (``scanning.py``): about 3.5 µs a kilobyte for all four.
"""

from __future__ import annotations

from guard.scanning import Patterns
from guard.types import Ask


class ReasoningElicitation:
    name = "reasoning_elicitation"
    group = "content"

    def __init__(self) -> None:
        self._patterns = Patterns(self.name)

    def read(self, ask: Ask, text: bytes) -> float:
        return self._patterns.reading(text)


PLUGIN = ReasoningElicitation

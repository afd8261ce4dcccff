"""Asks the model to make training material: instructions, dialogues, question-answer pairs, tool calls.

What it sees: ten or more new items at once, pairs of request and answer, both sides of a conversation with an assistant,
seeds to vary, variety asked for, a training set named as the purpose, in eighteen languages
(``patterns/instruction_synthesis.toml``). It sees the request that *makes* instructions, not the use of made ones: a
campaign that sends ready-made instructions one by one looks like anybody here.

What honest traffic sets it off: teachers and quiz makers who ask for many questions, test data for software, people who
train a model of their own and say so. Content evidence only: capped with its group.

Cost: its share of the one pass that all pattern files have together (``scanning.py``): about 3.5 µs a kilobyte for all four.
"""

from __future__ import annotations

from guard.scanning import Patterns
from guard.types import Ask


class InstructionSynthesis:
    name = "instruction_synthesis"
    group = "content"

    def __init__(self) -> None:
        self._patterns = Patterns(self.name)

    def read(self, ask: Ask, text: bytes) -> float:
        return self._patterns.reading(text)


PLUGIN = InstructionSynthesis

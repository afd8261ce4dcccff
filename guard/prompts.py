"""Prompts that are no conversation: a string, a list of them, token ids, or lists of token ids.

Token ids stand in the request in place of text that guard can't read. They count as their digits, joined by blanks: as a text of
its own, alike for alike ids, and at least a token each.
"""

from __future__ import annotations

from typing import Any, Final

from guard.reading import MOST_TOKENS, invalid, items, whole_number
from guard.types import Turn

MOST_PROMPTS: Final = 4_096
MOST_IDS: Final = 1_000_000


def read_prompts(value: Any, field: str, turns: list[Turn]) -> int:
    """Adds each prompt as a user's turn; returns how many there are. Raises ``BadExchange`` for anything else."""
    if type(value) is str:
        turns.append(Turn("user", value))
        return 1
    if type(value) is not list:
        raise invalid(field, "a string, a list of strings, or token ids")
    if value and type(value[0]) is int:
        turns.append(Turn("user", _digits(value, field)))
        return 1
    for prompt in items(value, field, MOST_PROMPTS):
        if type(prompt) is str:
            turns.append(Turn("user", prompt))
        elif type(prompt) is list:
            turns.append(Turn("user", _digits(prompt, f"{field}[]")))
        else:
            raise invalid(f"{field}[]", "a string or a list of token ids")
    return max(1, len(value))


def _digits(ids: list[Any], field: str) -> str:
    return " ".join([f"{whole_number(one, f'{field}[]', MOST_TOKENS, 0):3d}" for one in items(ids, field, MOST_IDS)])

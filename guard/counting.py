"""Counting an answer as it passes, for the dialects: text by its size, reports only where they can be true.

Without a tokenizer of the very model a quarter of the UTF-8 bytes is the estimate (one token a character or more in
scripts that take three bytes for one); ``stream.py`` makes tokens of it.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from guard.types import Tally

MOST_REPORTED_TOKENS = 10_000_000
# Fields of an answer that are no text the model wrote.
_LABELS = frozenset(
    {
        "id",
        "object",
        "model",
        "type",
        "role",
        "created",
        "index",
        "finish_reason",
        "stop_reason",
        "signature",
        "annotations",
    }
    | {"logprob", "logprobs", "score", "seed"}
)


def count_text(text: str, tally: Tally) -> None:
    """Adds a piece of generated text."""
    tally.characters += len(text)
    tally.text_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def count_strings(value: Any, tally: Tally) -> None:
    """Adds every string in ``value``, however deep, and four bytes for every number; labels and ids are left out."""
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is str:
            count_text(item, tally)
        elif type(item) is dict:
            stack.extend([part for key, part in item.items() if key not in _LABELS])
        elif type(item) is list:
            stack.extend(item)
        elif type(item) is int or type(item) is float:
            tally.characters += 4
            tally.text_bytes += 4


def believable(value: Any) -> TypeGuard[int]:
    """Whether a reported number of tokens can be true: an integer (``true`` is none) from 0 to ten million."""
    return type(value) is int and 0 <= value <= MOST_REPORTED_TOKENS


def report_input(value: Any, tally: Tally) -> None:
    """Takes over a reported number of input tokens; what can't be true is left out. Of several the largest counts."""
    if type(value) is int and tally.input_tokens < value <= MOST_REPORTED_TOKENS:
        tally.input_tokens = value


def report_output(value: Any, tally: Tally) -> None:
    """Takes over a reported number of output tokens likewise; reports within a stream are cumulative in all APIs."""
    if type(value) is int and tally.output_tokens < value <= MOST_REPORTED_TOKENS:
        tally.output_tokens = value

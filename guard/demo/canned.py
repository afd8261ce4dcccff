"""What the demo's model says, whichever API it is asked by: canned text chosen by the last thing said, or a tool's call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from zlib import crc32

import orjson

_DEFAULT_WORDS = 40
_SENTENCES = (
    "Here is the short version: start with the part that can fail, and write down what you expect of it.",
    "Two things matter, the order of the steps and how long each of them takes.",
    "Warm the pan first, then add the oil, and stir until the onions are clear.",
    "The sum is right, but the second line rounds too early.",
    "Yes. A train leaves every twenty minutes until ten in the evening.",
    "In that sentence the verb belongs at the end.",
    "I would keep the first paragraph and cut the second, which says the same again.",
    "Such a clause is common, and it can be cancelled with three months' notice.",
)


class Said(NamedTuple):
    """What a conversation ends with: its text, whether that is a tool's result, and the size of all of it in characters."""

    text: str
    result: bool
    characters: int


class Answer(NamedTuple):
    """What the model says. ``tool`` is the name of the tool it calls, ``""``: it says ``words``. ``cut``: the budget ended it."""

    words: tuple[str, ...]
    tool: str
    arguments: dict[str, Any]
    cut: bool
    stream: bool
    input_tokens: int
    identity: str

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def output_tokens(self) -> int:
        return len(self.words) if not self.tool else 8 + 4 * len(self.arguments)


class Dialect(NamedTuple):
    """One API: how it is read, and what it says as one document, as events, and when it won't."""

    said: Callable[[Mapping[str, Any]], Said]
    whole: Callable[[Mapping[str, Any], Answer], dict[str, Any]]
    events: Callable[[Mapping[str, Any], Answer], Iterable[bytes]]
    error: Callable[[str, str], dict[str, Any]]


def answer(asked: Mapping[str, Any], said: Said) -> Answer:
    """The answer to a request, whichever API it came by. Raises ``TypeError`` and the like for what is none."""
    if type(asked["model"]) is not str:
        raise TypeError("model must be text")
    seed = crc32(said.text.encode(errors="replace"))
    identity = f"{seed:08x}{said.characters:06x}"
    budgets = (asked.get(name) for name in ("max_completion_tokens", "max_tokens"))
    most = min((int(budget) for budget in budgets if budget is not None), default=_DEFAULT_WORDS)
    chosen = " ".join(_SENTENCES[(seed >> shift) % len(_SENTENCES)] for shift in range(0, 12, 3)).split(" ")
    words = tuple(word if place == 0 else f" {word}" for place, word in enumerate(chosen[: max(1, most)]))
    tool: str = ""
    arguments: dict[str, Any] = {}
    tools = asked.get("tools") or ()
    if tools and not said.result and asked.get("tool_choice") not in ("none", {"type": "none"}):
        tool, arguments = _call(tools[0])
    return Answer(
        words=words,
        tool=tool,
        arguments=arguments,
        cut=len(words) < len(chosen),
        stream=bool(asked.get("stream")),
        input_tokens=max(1, said.characters // 4),
        identity=identity,
    )


def _call(tool: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A call of a tool as either API describes it: every required argument has a value of its type."""
    function = tool.get("function") or tool
    schema = function.get("parameters") or function.get("input_schema") or {}
    properties = schema.get("properties") or {}
    blanks: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    wanted = schema.get("required") or ()
    kinds = {name: (properties.get(name) or {}).get("type") for name in wanted}
    return function["name"], {name: blanks.get(str(kind), "value") for name, kind in kinds.items()}


def text(content: Any) -> str:
    """All text of a message's content: a string, blocks, or nothing."""
    if type(content) is str:
        return content
    if type(content) is list:
        return "\n".join(text(block.get("text") or block.get("content")) for block in content)
    return ""


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def data(payload: object) -> bytes:
    return b"data: " + orjson.dumps(payload) + b"\n\n"

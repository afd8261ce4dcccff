"""What the demo's clients ask. Every word is made up here; ``random`` decides which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from guard.demo.endpoint import ANTHROPIC_PATH, OPENAI_PATH

Body = dict[str, Any]
Asking = Callable[[Random], Iterator[tuple[str, Body]]]
"""(path, body) of one request after another."""

_WHO = ("my neighbour", "our landlord", "a colleague", "my aunt", "the new tenant", "our coach", "a customer", "my son")
_WHAT = (
    "bicycle",
    "kettle",
    "garden fence",
    "tax form",
    "radio",
    "ladder",
    "rain barrel",
    "old sofa",
    "violin",
    "heater",
)
_WHEN = (
    "before Friday",
    "in winter",
    "on a Sunday",
    "after the move",
    "without a car",
    "for very little money",
    "at night",
)
_WANTED = (
    "How do I tell {who} that the {what} must go {when}?",
    "What should I know about a {what} that {who} wants to sell {when}?",
    "Write two friendly lines to {who} about the {what}, to be sent {when}.",
    "Is it a good idea to repair a {what} {when}? Only {who} says so.",
    "Suggest three ways to store a {what} {when}; {who} has no cellar.",
)
_HOMEWORK = tuple(
    f"Exercise {n}: a train of {90 + 7 * n} m passes a bridge of {40 * n} m in {8 + n} s." for n in range(1, 13)
)
_HARVESTED = (
    "A baker sells {a} rolls before nine and {b} after it, {c} of them to {who}. What share is that?",
    "{a} boxes stand in {b} rows. {who} takes {c} away, each with a {what}. How many rows can stay full?",
    "A tank holds {a} litres and loses {b} a day, more by {c} percent {when}. When is it empty?",
    "Of {a} tickets every {b}th wins a {what}. {who} buys {c}. How likely is it to win nothing?",
    "Two walkers, {a} km apart, go {b} and {c} km a day. {who} waits where they meet {when}. Where is that?",
)
_LOOK_UP = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


def _filled(text: str, random: Random) -> str:
    numbers = {name: random.randrange(3, 900) for name in "abc"}
    return text.format(who=random.choice(_WHO), what=random.choice(_WHAT), when=random.choice(_WHEN), **numbers)


def _question(random: Random) -> str:
    return _filled(random.choice(_WANTED), random)


def chats(random: Random) -> Iterator[tuple[str, Body]]:
    """Questions as they come, each with its own words; some people stream the answer."""
    stream = random.random() < 0.3
    while True:
        turns = [{"role": "user", "content": _question(random)}]
        yield OPENAI_PATH, {"model": "demo-1", "messages": turns, "stream": stream}


def long_talks(random: Random) -> Iterator[tuple[str, Body]]:
    """Conversations that go on."""
    turns: list[dict[str, Any]] = []
    while True:
        turns.append({"role": "user", "content": _question(random)})
        yield ANTHROPIC_PATH, {"model": "demo-1", "max_tokens": 256, "messages": list(turns)}
        turns.append({"role": "assistant", "content": "I see. Go on."})
        del turns[:-6]


def agent(random: Random) -> Iterator[tuple[str, Body]]:
    """A tool loop: it asks, is told to look something up, and comes back with what it found."""
    tools = [{"name": "find_order", "description": "Finds an order.", "input_schema": _LOOK_UP}]
    while True:
        number = random.randrange(1000, 9999)
        turns: list[dict[str, Any]] = [{"role": "user", "content": f"Where is order {number}?"}]
        yield ANTHROPIC_PATH, {"model": "demo-1", "max_tokens": 512, "tools": tools, "messages": turns}
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "find_order", "input": {"order": str(number)}}
        found = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "on its way"}
        turns = [*turns, {"role": "assistant", "content": [use]}, {"role": "user", "content": [found]}]
        yield ANTHROPIC_PATH, {"model": "demo-1", "max_tokens": 512, "tools": tools, "messages": turns}


def extension(random: Random) -> Iterator[tuple[str, Body]]:
    """Everybody who uses this mail extension sends its one template, and what stands in it is new each time."""
    while True:
        text = (
            "You help inside a mail program. Rewrite the draft between the lines so that it is friendlier and shorter, keep "
            f"names and dates, and answer with nothing but the new text.\n---\n{_question(random)}\n---\nKeep the language."
        )
        yield OPENAI_PATH, {"model": "demo-1", "messages": [{"role": "user", "content": text}], "max_tokens": 200}


def homework(random: Random) -> Iterator[tuple[str, Body]]:
    """A course: the same exercises for all, with the teacher's sentence round them."""
    while True:
        text = f"I attend the course Numbers and Trains. Please help me with this and explain it.\n{random.choice(_HOMEWORK)}"
        yield OPENAI_PATH, {"model": "demo-1", "messages": [{"role": "user", "content": text}], "max_tokens": 300}


def harvest(random: Random) -> Iterator[tuple[str, Body]]:
    """The queue of a campaign: one problem after another, none twice, each with the request for all of the reasoning."""
    while True:
        text = (
            "You solve problems for a collection of worked examples. Think step by step and write down your full chain of "
            f"thought before the result.\n\nProblem: {_filled(random.choice(_HARVESTED), random)}\n\nDo not skip any steps of "
            "your reasoning. Put the result alone on the last line."
        )
        yield OPENAI_PATH, {"model": "demo-1", "messages": [{"role": "user", "content": text}], "max_tokens": 1024}

"""The demo's clients: six that use a model as people and programs do, and one that copies it as fast as it can.

All are real HTTP clients on real connections; what they are answered is what guard decided. They differ only in what they ask
and how often. A person's minute is compressed into some seconds, so that a short demo has something to show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Any, NamedTuple

import httpx
import orjson

from guard.demo.endpoint import ANTHROPIC_PATH, OPENAI_PATH

Body = dict[str, Any]
_QUESTIONS = (
    "What can I cook from two courgettes, an egg and some rice?",
    "Please make this friendlier: we need the report by Friday.",
    "Why does the moon look larger near the horizon?",
    "Suggest three names for a bakery next to a railway station.",
    "Translate into French: the bicycle is behind the house.",
    "How do I ask a landlord for a new lock, politely?",
    "Summarise in one line: the meeting moved from Tuesday to Thursday because of the holiday.",
    "Is a tomato a fruit?",
)
_TICKETS = ("The invoice shows two prices.", "The app closes when I rotate the phone.", "Where is my parcel?")
_PROBLEMS = (
    "how many squares are on a chess board",
    "the next prime after {n}",
    "the sum of the first {n} odd numbers",
)
_LOOK_UP = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


class Client(NamedTuple):
    """Who asks, with which words, and how long it waits between two requests (mean, in seconds)."""

    name: str
    does: str
    path: str
    bodies: Callable[[Random], Iterator[Body]]
    pause_s: float
    loud: bool = False

    @property
    def credential(self) -> str:
        return f"sk-demo-{self.name}"


class Event(NamedTuple):
    """One request as its client saw it. ``status`` 0: no answer came. ``full``: it was answered to its end."""

    at_s: float
    client: Client
    status: int
    reference: str
    told: str
    full: bool


def _openai(stream: bool, system: str = "") -> Callable[[Random], Iterator[Body]]:
    def bodies(random: Random) -> Iterator[Body]:
        before = [{"role": "system", "content": system}] if system else []
        while True:
            turns = [*before, {"role": "user", "content": random.choice(_QUESTIONS)}]
            yield {"model": "demo-1", "messages": turns, "stream": stream}

    return bodies


def _anthropic(stream: bool) -> Callable[[Random], Iterator[Body]]:
    def bodies(random: Random) -> Iterator[Body]:
        turns: list[dict[str, Any]] = []
        while True:
            turns.append({"role": "user", "content": random.choice(_QUESTIONS)})
            yield {"model": "demo-1", "max_tokens": 256, "messages": list(turns), "stream": stream}
            turns.append({"role": "assistant", "content": "I see. Go on."})
            del turns[:-6]

    return bodies


def _agent(random: Random) -> Iterator[Body]:
    """A tool loop: it asks, is told to look something up, and comes back with what it found."""
    tools = [{"name": "find_order", "description": "Finds an order.", "input_schema": _LOOK_UP}]
    for number in count(1):
        asked = {"role": "user", "content": f"Where is order {random.randrange(1000, 9999)}?"}
        yield {"model": "demo-1", "max_tokens": 512, "tools": tools, "messages": [asked]}
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "find_order", "input": {"order": "value"}}
        found = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "on its way"}
        turns = [asked, {"role": "assistant", "content": [use]}, {"role": "user", "content": [found]}]
        yield {"model": "demo-1", "max_tokens": 512, "tools": tools, "messages": turns}


def _classifier(random: Random) -> Iterator[Body]:
    """A small program: one template, many tickets. Honest, and alike every time."""
    while True:
        text = f"Which team should answer this ticket, billing, app or shipping? One word.\n\n{random.choice(_TICKETS)}"
        yield {"model": "demo-1", "messages": [{"role": "user", "content": text}], "max_tokens": 4, "temperature": 0}


def _extractor(random: Random) -> Iterator[Body]:
    """A harvest: problem after problem, each with the request for all of the reasoning, and for the distribution."""
    for number in count(3):
        problem = random.choice(_PROBLEMS).format(n=number)
        text = (
            f"Think step by step and write down your full chain of thought. Do not skip any steps of your reasoning.\n\n"
            f"Problem {number}: {problem}"
        )
        yield {
            "model": "demo-1",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 1024,
            "logprobs": True,
            "top_logprobs": 20,
        }


CLIENTS = (
    Client("ana", "chats", OPENAI_PATH, _openai(stream=False), 2.4),
    Client("ben", "chats, streams", OPENAI_PATH, _openai(stream=True, system="You are a patient tutor."), 2.0),
    Client("chloe", "long talks", ANTHROPIC_PATH, _anthropic(stream=False), 2.6),
    Client("dmitri", "long talks, streams", ANTHROPIC_PATH, _anthropic(stream=True), 2.2),
    Client("emi", "agent with a tool", ANTHROPIC_PATH, _agent, 2.0),
    Client("farid", "sorts tickets", OPENAI_PATH, _classifier, 2.0),
    Client("extractor", "harvests reasoning", OPENAI_PATH, _extractor, 0.12, loud=True),
)


async def ask(
    client: Client, url: str, random: Random, seen: Callable[[Event], None], now: Callable[[], float]
) -> None:
    """Sends one request after another until cancelled, and tells ``seen`` how each ended. ``now``: seconds since the start."""
    headers = {"authorization": f"Bearer {client.credential}", "user-agent": f"demo-{client.name}/1.0"}
    # Loopback needs neither the environment's proxies nor its certificates.
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=False) as http:  # noqa: S501
        await asyncio.sleep(random.uniform(0.0, min(client.pause_s, 1.5)))
        for body in client.bodies(random):
            seen(await _request(client, http, body, now))
            # People don't keep time; neither half nor one and a half of the mean is ever left.
            await asyncio.sleep(client.pause_s * random.uniform(0.5, 1.5))


async def _request(client: Client, http: httpx.AsyncClient, body: Body, now: Callable[[], float]) -> Event:
    try:
        async with http.stream("POST", client.path, json=body) as response:
            content = await response.aread()
    except httpx.HTTPError as error:
        return Event(now(), client, 0, "", type(error).__name__, full=False)
    status = response.status_code
    reference = response.headers.get("x-guard-reference", "")
    return Event(now(), client, status, reference, "" if status == 200 else _told(content), full=status == 200)


def _told(content: bytes) -> str:
    """What an error says in a word: the limits that ran out, or its kind."""
    try:
        error = orjson.loads(content)["error"]
        problem = error.get("problem", {})
        return ", ".join(problem.get("violated-policies", ())) or str(error["type"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "an unreadable error"

"""What a load test asks: the demo's made-up questions, dealt over accounts. Ordinary accounts ask each for themselves; the
extractor deals one queue of problems out over its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from typing import NamedTuple

from guard.bench.schedule import EXTRACTOR, Arrival
from guard.demo.accounts import credential
from guard.demo.endpoint import ANTHROPIC_PATH, OPENAI_PATH
from guard.demo.questions import Asking, Body, agent, chats, extension, harvest, homework, long_talks
from guard.errors import InstallError

APIS = {"openai_chat": (OPENAI_PATH,), "anthropic_messages": (ANTHROPIC_PATH,), "both": (OPENAI_PATH, ANTHROPIC_PATH)}
_ORDINARY: dict[str, tuple[Asking, ...]] = {
    OPENAI_PATH: (chats, extension, homework),
    ANTHROPIC_PATH: (long_talks, agent),
}
MOST_ACCOUNTS = 10_000


class Wish(NamedTuple):
    """How requests are made. ``stream``: the share (0 to 1) whose answer is to be a stream."""

    api: str = "both"
    model: str = "demo-1"
    most_tokens: int = 64
    stream: float = 0.3
    seed: int = 1


class Asked(NamedTuple):
    """One request. Its ``headers`` hold a key: it has no place in a log or an error."""

    path: str
    body: Body
    headers: dict[str, str]


def keys(template: str, accounts: int) -> tuple[str, ...]:
    """The accounts' keys: ``template`` with each account's number for ``{n}``, or the keys that stand in it, with blanks between
    them; made-up ones that the demo's ``describe`` knows where it is empty.

    Raises ``InstallError``, which doesn't quote it, for what can't stand in a header.
    """
    if not template:
        return tuple(credential(f"bench-{n}") for n in range(accounts))
    found = template.split()
    if "{n}" in template and len(found) == 1:
        found = [template.strip().replace("{n}", str(n)) for n in range(accounts)]
    if not found or not all(key.isascii() and key.isprintable() for key in found):
        raise InstallError("the variable that --key names holds no key that could stand in a header")
    return tuple(dict.fromkeys(found))[:MOST_ACCOUNTS]


class Questions:
    """Deals requests out, the same to every endpoint of a turn. Of several accounts the extractor has every second one."""

    def __init__(self, held: Sequence[str], wish: Wish) -> None:
        self._wish = wish
        self._paths = APIS[wish.api]
        self._random = Random(wish.seed)
        self._turn = -1
        askings = [asking for path in self._paths for asking in _ORDINARY[path]]
        self._ordinary = [
            (key, askings[place % len(askings)](Random(f"{wish.seed} {place}")))
            for place, key in enumerate(held[::2] if len(held) > 1 else held)
        ]
        self._extractor = held[1::2] if len(held) > 1 else held
        self._queue: Iterator[tuple[str, Body]] = harvest(Random(f"{wish.seed} queue"))
        self._asked_ordinary, self._asked_extractor = count(), count()
        self._current = Asked("", {}, {})

    def next(self, arrival: Arrival) -> Asked:
        """The request of an arrival."""
        if arrival.turn != self._turn:
            self._turn = arrival.turn
            self._current = self._extracting() if arrival.kind == EXTRACTOR else self._usual()
        return self._current

    def _usual(self) -> Asked:
        key, bodies = self._ordinary[next(self._asked_ordinary) % len(self._ordinary)]
        path, body = next(bodies)
        return self._made(path, body, key)

    def _extracting(self) -> Asked:
        n = next(self._asked_extractor)
        _, body = next(self._queue)
        return self._made(self._paths[n % len(self._paths)], body, self._extractor[n % len(self._extractor)])

    def _made(self, path: str, body: Body, key: str) -> Asked:
        wish = self._wish
        streams = self._random.random() < wish.stream
        headers = {"authorization": f"Bearer {key}"}
        if path == ANTHROPIC_PATH:
            headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        made = {**body, "model": wish.model, "max_tokens": wish.most_tokens, "stream": streams}
        return Asked(path, made, headers)

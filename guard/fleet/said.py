"""The operator's words between replicas: what was said at one of them holds at all of them, within a second, and for who comes later.

A word travels by keyed hashes, never by what was typed. Grants, blocks and the mode *hold*: who comes later takes them up from where
they are kept. What forgives or forgets an account is done once, by everybody who is there and by whoever leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from guard.errors import AdminError, StateError
from guard.fleet.leading import Head
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.settings import Grant, Policy
from guard.types import JSONObject
from guard.words import Block, subjects

VERSION = 1
POLICY = "policy"
"""The verb by which a replica says that it runs another policy now: no word of the operator's, and nothing that holds."""
_MODE = "mode"
_GRANT, _BLOCK = "grant ", "block "


class Voice:
    """A guard as the operator speaks to it: does what the guard does, and tells it to the others (``tell``: a word and what holds by
    it)."""

    def __init__(self, guard: Guard, tell: Callable[[bytes, Mapping[str, bytes]], None]) -> None:
        self._guard, self._tell = guard, tell

    @property
    def key(self) -> HashKey:
        """The hashing key."""
        return self._guard.key

    @property
    def policy(self) -> Policy:
        """The policy in force at this replica."""
        return self._guard.policy

    def status(self, now: float) -> dict[str, object]:
        """This replica's."""
        return self._guard.status(now)

    def clusters(self, name: str, now: float) -> JSONObject:
        """All that replicas have found together."""
        return self._guard.clusters(name, now)

    def set_mode(self, mode: str, until: float, now: float) -> None:
        """At all replicas."""
        self._guard.set_mode(mode, until, now)
        held = b"" if mode == "policy" else orjson.dumps([mode, until])
        self._tell(word("mode", [], mode=mode, until=until), {_MODE: held})

    def grant(self, grant: Grant, now: float) -> str:
        """At all replicas."""
        name = self._guard.grant(grant, now)
        names = subjects(grant.subject, self.key)
        held = orjson.dumps([grant.why, grant.until, grant.told])
        said = word("grant", names, why=grant.why, until=grant.until, told=grant.told)
        self._tell(said, {_GRANT + one: held for one in names})
        return name

    def revoke(self, typed: str, now: float) -> bool:
        """At all replicas."""
        held = self._guard.revoke(typed, now)
        names = subjects(typed, self.key)
        self._tell(word("revoke", names), {kind + one: b"" for one in names for kind in (_GRANT, _BLOCK)})
        return held

    def block(self, typed: str, why: str, until: float, now: float) -> str:
        """At all replicas."""
        name = self._guard.block(typed, why, until, now)
        names = subjects(typed, self.key)
        self._tell(
            word("block", names, why=why, until=until), {_BLOCK + one: orjson.dumps([why, until]) for one in names}
        )
        return name

    def forgive(self, typed: str, now: float) -> int:
        """At all replicas."""
        forgiven = self._guard.forgive(typed, now)
        kind, _, name = typed.partition(":")
        if kind == "cluster":
            self._tell(word("forgive_cluster", [name]), {})
        else:
            self._tell(word("forgive", _accounts(subjects(typed, self.key))), {})
        return forgiven

    def erase(self, typed: str, now: float) -> int:
        """At all replicas."""
        erased = self._guard.erase(typed, now)
        self._tell(word("erase", _accounts(subjects(typed, self.key))), {})
        return erased


def word(verb: str, names: list[str] | tuple[str, ...], **more: Any) -> bytes:
    """A word as it travels. ``names``: keyed hashes, or the name of a cluster."""
    return orjson.dumps({"v": VERSION, "verb": verb, "names": list(names), **more})


def hear(said: bytes, guard: Guard, head: Head | None, now: float) -> str:
    """Does at this replica what was said at another one, and, where this one leads, with what it leads by. Returns the verb.

    Doing it twice does no harm. Raises ``StateError`` for what is no word, or a newer version's.
    """
    try:
        told = orjson.loads(said)
        if told["v"] != VERSION:
            raise StateError(
                f"a word of the operator's of version {told['v']} can't be read; this guard reads {VERSION}"
            )
        verb, names = str(told["verb"]), [str(name) for name in told["names"]]
        if verb == "mode":
            guard.set_mode(str(told["mode"]), float(told["until"]), now)
        elif verb == "holds":
            take_up({name: text.encode() for name, text in told["words"].items()}, guard)
        else:
            _do(verb, names, told, guard, now)
            if head is not None:
                lead_by(said, head, now)
    except (KeyError, TypeError, ValueError, AttributeError, AdminError) as broken:
        raise StateError(f"a word of the operator's can't be read ({type(broken).__name__})") from broken
    return verb


def _do(verb: str, names: list[str], told: Mapping[str, Any], guard: Guard, now: float) -> None:
    for name in names:
        if verb == "grant":
            guard.words.hear(name, Grant(name, str(told["why"]), float(told["until"]), bool(told["told"])))
            guard.release(name)
        elif verb == "block":
            guard.words.hear(name, Block(str(told["why"]), float(told["until"])))
        elif verb == "revoke":
            guard.words.hear(name, None)
        elif verb == "forgive_cluster":
            if guard.recognition.clusters.find(name) is not None:
                guard.forgive(f"cluster:{name}", now)
        elif verb == "forgive":
            guard.forgive(name, now)
        elif verb == "erase":
            guard.erase(name, now)


def lead_by(said: bytes, head: Head, now: float) -> None:
    """What a word comes to for whoever leads."""
    told = orjson.loads(said)
    for name in told["names"]:
        match told["verb"]:
            case "grant":
                head.release(name)
            case "forgive":
                head.forgive(name, now)
            case "forgive_cluster":
                head.forgive_cluster(name, now)
            case "erase":
                head.erase(name)


def holding(guard: Guard) -> dict[str, bytes]:
    """All of this replica's words that hold, as they are kept."""
    words = guard.words.snapshot()
    kept = {_GRANT + name: orjson.dumps(rest) for name, *rest in words["grants"]}
    kept |= {_BLOCK + name: orjson.dumps(rest) for name, *rest in words["blocks"]}
    return kept | ({_MODE: orjson.dumps(words["mode"])} if words["mode"] else {})


def take_up(kept: Mapping[str, bytes], guard: Guard) -> int:
    """Takes up words that hold; how many could be read."""
    count = 0
    for name, text in kept.items():
        try:
            values = orjson.loads(text)
            if name == _MODE:
                guard.words.set_mode(str(values[0]), float(values[1]))
            elif name.startswith(_GRANT):
                subject = name.removeprefix(_GRANT)
                why, until, told = values
                guard.words.hear(subject, Grant(subject, str(why), float(until), bool(told)))
            elif name.startswith(_BLOCK):
                why, until = values
                guard.words.hear(name.removeprefix(_BLOCK), Block(str(why), float(until)))
            else:
                continue
        except (ValueError, TypeError, IndexError, KeyError, AdminError):
            continue
        count += 1
    return count


def _accounts(names: tuple[str, ...]) -> list[str]:
    """The keys among what a subject may mean."""
    return [key for kind, _, key in [name.partition(":") for name in names] if kind == "account"]

"""What a plug-in must be. Each contract has at most four methods; each plug-in is one file with one class.

A plug-in module defines ``PLUGIN``, the class; its file name is its name everywhere: in the policy file, in reasons, in
metrics. ``registry.py`` finds it. Plug-ins import the words (layer 0) and this page, never each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from guard.types import Ask, Decision, Quota, Route, Tally


class Dialect(Protocol):
    """The API shape of a request: reads it, counts its answers, and says no in its own words."""

    name: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    """Canonical paths that are this API's; protected when the policy has no ``[protect]``."""

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        """The request's meaning. Raises ``BadExchange`` for what this API would not accept or guard can't judge."""
        ...

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        """Adds one JSON answer, or one event of a streamed one, to ``tally``. Unknown shapes add nothing, never raise."""
        ...

    def error(self, decision: Decision) -> bytes:
        """The JSON body of a refusal, in this API's error shape, with the problem details of RFC 9457 in it."""
        ...

    def error_event(self, decision: Decision) -> bytes:
        """The server-sent event(s) that end a running stream with that error."""
        ...


class Signal(Protocol):
    """One detector of one kind of evidence in what an exchange asks.

    A reading is 0 (nothing) to 1 (as strong as it gets). ``scoring.py`` turns readings into log-odds by the weights file.
    """

    name: ClassVar[str]
    group: ClassVar[str]

    def read(self, ask: Ask, text: bytes) -> float:
        """The reading for one request. ``text`` is the UTF-8 of every text-bearing field, joined by newlines."""
        ...


class Forward(NamedTuple):
    """Carry on: let the app answer, with these headers added to its answer."""

    headers: tuple[tuple[bytes, bytes], ...] = ()


class Reply(NamedTuple):
    """Stop here: guard answers by itself."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Action(Protocol):
    """What is done with an exchange once it is decided. Its severity is its place in ``types.ACTIONS``."""

    name: ClassVar[str]

    def apply(self, decision: Decision, dialect: Dialect) -> Forward | Reply:
        """What the edge writes. Pure: everything it needs stands in the decision."""
        ...


class Charge(NamedTuple):
    """One meter to be charged with one request's cost.

    ``meter`` = (limit id, unit, window ordinal as text, subject): the meter's identity, which neither a change of amount nor
    of f touches. ``subject`` is a keyed hash, a model name, or ``""`` for all together. ``capacity`` and ``rate_per_s`` have
    f applied already. A concurrency slot is a charge too: cost 1, rate 0, ``capacity`` the number of slots.
    """

    meter: tuple[str, str, str, str]
    cost: float
    capacity: float
    rate_per_s: float
    shard: int = 0
    """0 to 255: whose overflow meter it falls to when the table of its kind has no room."""
    provisional: bool = False
    """Nobody has vouched for the subject yet: it lives in the small table of its own."""
    book: bool = True
    """False: check the room, take nothing."""
    guarded: str = ""
    """The kind of a subject of which there are as many as clients like (``account``, ``user``, ``model``, …): those of a kind
    share one bounded table, and one ``take`` names one subject of a kind. ``""``: there are only as many as the policy
    names."""
    shadow: bool = False
    """Never refuses. Without room, nothing of the limit (``meter[0]``) is taken and the charge is named in ``Taken.shadow``."""
    estimate: bool = False
    """``settle`` will correct the cost; it gives back no more than was still there all the while (see ``meters.py``)."""


class Taken(NamedTuple):
    """The outcome of ``Store.take``: all charges or none.

    ``refused`` is the index of the charge without room that takes longest to clear (−1: admitted); ``retry_after_s`` until
    it has room. ``levels`` are the levels after the call, of the charges and then of the slots; ``meters`` where each charge
    was really booked (the meter or its overflow), in the store's own words; ``shadow`` the indices of the shadow charges
    (then slots) that would have refused.
    """

    refused: int
    retry_after_s: float
    levels: tuple[float, ...]
    meters: tuple[tuple[str, ...], ...]
    shadow: tuple[int, ...] = ()


class Slots(NamedTuple):
    """Concurrency to be held, all or none, as a lease that ends by itself at ``ends_at``."""

    wanted: tuple[Charge, ...]
    ends_at: float


class Store(Protocol):
    """Where meters and slots live. Every verb is atomic; time is the caller's."""

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]

    def take(self, charges: Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """Admits all charges and slots or none. Returns what was taken and its lease (0: refused, or nothing was asked).

        A slot refusal is a ``refused`` index of ``len(charges)`` + the slot's place.
        """
        ...

    def settle(self, corrections: Sequence[tuple[tuple[str, ...], float]], lease: int, now: float) -> bool:
        """Ends a lease: adds each correction (negative: gives back) to its meter, never below zero, and returns the slots.

        ``corrections`` name meters as ``Taken.meters`` does; every estimate that was booked has one, if only 0. A lease
        that was settled before or has run out changes nothing and answers False.
        """
        ...

    def hold(self, lease: int, ends_at: float) -> None:
        """Lengthens a lease that is still alive; a stream calls it while it runs."""
        ...

    def forget(self, subject: str) -> int:
        """Erases every meter of a subject (a keyed hash, alone or before a ``/``); the number of meters erased."""
        ...


@runtime_checkable
class Keeper(Protocol):
    """A store whose meters live in this process, so that a restart loses what isn't written down."""

    def pieces(self) -> Iterator[dict[str, Any]]:
        """All meters as plain data, piece by piece, about a millisecond each."""
        ...

    def restore(self, piece: dict[str, Any], now: float) -> int:
        """Takes up one piece; how many subjects it held. Raises ``StateError`` for one that isn't of this store."""
        ...

    def counts(self) -> dict[str, int]:
        """What is held, in numbers, for the operator."""
        ...


__all__ = ["Action", "Charge", "Dialect", "Forward", "Keeper", "Quota", "Reply", "Signal", "Slots", "Store", "Taken"]

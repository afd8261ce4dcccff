"""What a plug-in must be. Each contract has at most four methods; each plug-in is one file with one class.

A plug-in module defines ``PLUGIN``, the class; its file name is its name everywhere: in the policy file, in reasons, in
metrics. ``registry.py`` finds it. Plug-ins import the words (layer 0) and this page, never each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from guard.charges import Bill, Charge, Slots, Spent, Taken, Tariff
from guard.degrading import Wanted, Watch
from guard.samples import Sample, Weighed
from guard.types import Ask, Decision, JSONObject, Quota, Route, Tally


class Dialect(Protocol):
    """The API shape of a request: reads it, counts its answers, and says no in its own words."""

    name: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    """Canonical paths that are this API's; protected when the policy has no ``[protect]``. One part of a path may be a
    ``{name}``: it stands for any text that is there, and comes to ``read`` as the route's option of that name."""

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


@runtime_checkable
class Keeping(Protocol):
    """A dialect of an API that keeps what it has answered, and has paths to it.

    ``methods``: one of ``Dialect.paths`` → the methods it takes beside POST. A request without a body is read as ``{}``, with
    two more options in its route: ``path``, the one of ``Dialect.paths``, and ``method``. ``Ask.continues`` names what
    it is after, ``Tally.issued`` is told what an answer gives out.
    """

    methods: ClassVar[Mapping[str, tuple[str, ...]]]


@runtime_checkable
class QueryKeyed(Protocol):
    """A dialect of an API that also takes its credential from a query parameter."""

    by_query: ClassVar[str]


@runtime_checkable
class Signal(Protocol):
    """One detector of one kind of evidence in what an exchange asks.

    A reading is 0 (nothing) to 1 (as strong as it gets). ``scoring.py`` turns readings into log-odds by the weights file.
    """

    name: ClassVar[str]
    group: ClassVar[str]

    def read(self, ask: Ask, text: bytes) -> float:
        """The reading for one request. ``text`` is the UTF-8 of every text-bearing field, joined by newlines."""
        ...


@runtime_checkable
class GroupSignal(Protocol):
    """One detector of one kind of evidence in how a group of exchanges came about: by one operator, or by many owners.

    ``costly``: whether a victim can't be made to look so by somebody who merely copies what he sees (DESIGN.md, section 4.5).
    """

    name: ClassVar[str]
    group: ClassVar[str]
    costly: ClassVar[bool]

    def weigh(self, sample: Sample) -> Weighed:
        """The log-likelihood ratio, uncapped: the weights file scales and caps it. Deterministic; never raises for n ≥ 1."""
        ...


class Forward(NamedTuple):
    """Carry on: let the app answer, with these headers added to its answer."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    hold_s: float = 0.0
    """How long the app is not called yet."""
    wanted: Wanted | None = None
    """What is to be reduced; None: request and answer pass as they are."""
    notice: JSONObject | None = None
    """What the answer has to say of it, under ``guard``; None: nothing."""


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


class EventReducer(Protocol):
    """What reduces one stream, event by event. It may remember what passed."""

    def reduce(self, event: JSONObject) -> Sequence[JSONObject] | None:
        """What is sent in the event's place; None: the event as it is, byte for byte. May change ``event``."""
        ...


class Reducer(Protocol):
    """How requests and answers of one dialect are reduced. It bears the dialect's name."""

    name: ClassVar[str]
    able: ClassVar[frozenset[str]]
    """The reductions that this API has a place for, or nothing to reduce. ``pace`` needs no reducer."""

    def request(self, body: JSONObject, wanted: Wanted, route: Route) -> Watch:
        """Changes a request that the dialect has read; what has to be watched for in its answer."""
        ...

    def answer(self, payload: JSONObject, watch: Watch) -> None:
        """Takes out of a whole JSON answer what must not stand in it. Unknown shapes stay as they are, never raise."""
        ...

    def stream(self, watch: Watch) -> EventReducer:
        """The same for a streamed answer: what the client puts together is what ``answer`` would have left."""
        ...

    def tell(self, payload: JSONObject, notice: JSONObject) -> bool:
        """Puts ``notice`` into an answer, or into the event of a stream that has room for it: True where it did."""
        ...


class Store(Protocol):
    """Where meters and slots live. Every verb is atomic; time is the caller's."""

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]

    def take(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """Admits all charges and slots or none. Returns what was taken and its lease (0: refused, or nothing was asked).

        Either bills, each with its charges and slots, or lone charges and the slots that go with them. One call names one
        subject of a kind.
        """
        ...

    def settle(self, corrections: Spent | Sequence[tuple[tuple[str, ...], float]], lease: int, now: float) -> bool:
        """Ends a lease and returns its slots. A lease that was settled before or has run out changes nothing: False.

        ``Spent`` corrects what bills have reserved, each window by its unit. What lone charges have booked is corrected meter
        by meter, never below zero: (as ``Taken.meters`` names it, amount; negative: gives back), in the same order; every
        estimate that was booked has a correction, if only 0.
        """
        ...

    def hold(self, lease: int, ends_at: float) -> None:
        """Lengthens a lease that is still alive; a stream calls it while it runs."""
        ...

    def forget(self, subject: str) -> int:
        """Erases every meter of a subject (a keyed hash, alone or before a ``/``); the number of meters erased."""
        ...


@runtime_checkable
class Remote(Protocol):
    """A store whose meters live in another process, shared by all replicas.

    ``Store.take`` of such a store answers from what this process knows, and what it books is brought to the store later.
    ``settle``, ``hold`` and ``forget`` leave their work to the background and return at once.
    """

    async def reserve(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """As ``Store.take``, asked of the store. Never raises: what isn't answered within the deadline, ``take`` answers.
        Given up while it waits, it gives back what it took."""
        ...

    async def open(self) -> None:
        """Begins to keep up with the store. Never fails for a store that isn't there: it is looked for until it is."""
        ...

    async def close(self) -> None:
        """Sends what waits, within a second, and lets go of the connections."""
        ...

    def condition(self, now: float) -> JSONObject:
        """For the operator: ``state`` (``up`` or ``local``), ``since``, ``replicas``, ``errors`` by kind, …; no secrets."""
        ...


@runtime_checkable
class Carrying(Protocol):
    """A store that goes on with a subject under another name: what a change of the hashing key needs."""

    def carry(self, former: str, subject: str) -> None:
        """From the next ``take`` on, what was used under ``former`` is used under ``subject``. Nothing under either: nothing is done."""
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


__all__ = [
    "Action",
    "Bill",
    "Carrying",
    "Charge",
    "Dialect",
    "EventReducer",
    "Forward",
    "GroupSignal",
    "Keeper",
    "Keeping",
    "QueryKeyed",
    "Quota",
    "Reducer",
    "Remote",
    "Reply",
    "Signal",
    "Slots",
    "Spent",
    "Store",
    "Taken",
    "Tariff",
    "Wanted",
    "Watch",
]

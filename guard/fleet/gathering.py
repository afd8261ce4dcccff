"""On the hot path: notes every exchange that recognition looks at, so that whoever leads looks at all of them.

``Gatherer`` stands between the pipeline and recognition. What it notes is packed beside the request path and waits, bounded, until it
is sent. Where more waits than may, what says least goes first: exchanges without traits, then those whose traits all are common.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import Any

from guard.addresses import subnet
from guard.fleet import rows
from guard.fleet.rows import ACCEPTED, BOOKED, FAILED, GAVE, LOOK, RENAMED, CameTo, Row
from guard.hashing import HashKey
from guard.recent import Recent
from guard.recognition.ceilings import Over
from guard.recognition.recognition import Recognition
from guard.types import Account, Exchange, Held, Peer, Usage
from guard.unjudged import UNREAD

MOST_WAITING = 65_536
"""Rows that wait at most, about 14 MiB."""
MOST_NOTED = 8_192
_MOST_NAMES = 16_384
_MOST_CLUSTERS = 1_024
_CELLS = 1 << 16
_COMMON = 64
_SLICE = 64


class Backlog:
    """Rows that wait to be sent, in three queues by what they say. At most ``most`` rows."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._queues: tuple[deque[tuple[float, int, bytes]], ...] = (deque(), deque(), deque())
        self._shown = array("B", bytes(_CELLS))
        self._next = 0
        self.lost = 0
        """Rows for which there was no room."""

    def __len__(self) -> int:
        return sum([len(queue) for queue in self._queues])

    def add(self, at: float, row: bytes) -> None:
        """One more; the oldest of those that say least goes where there is no room."""
        self._next += 1
        self._queues[self._worth(row)].append((at, self._next, row))
        if len(self) > self._most:
            next(queue for queue in self._queues if queue).popleft()
            self.lost += 1

    def take(self, most: int) -> list[bytes]:
        """The oldest rows, in order of time; they wait no more."""
        taken = list(islice(merge(*[list(islice(queue, most)) for queue in self._queues]), most))
        numbers = {number for _, number, _ in taken}
        for queue in self._queues:
            while queue and queue[0][1] in numbers:
                queue.popleft()
        return [row for _, _, row in taken]

    def forget(self, key: bytes) -> None:
        """Drops what waits of an account."""
        for queue in self._queues:
            kept = [one for one in queue if rows.account(one[2]) != key]
            queue.clear()
            queue.extend(kept)

    def _worth(self, row: bytes) -> int:
        """0: it shows nothing that others might; 1: nothing that is rare; 2: something. By a count of the low bits of what was shown
        lately, which only overstates."""
        traits = rows.text_traits(row)
        if not traits:
            return 0 if row[0] == LOOK else 1
        shown, rarest = self._shown, 255
        for trait in traits:
            cell = trait & _CELLS - 1
            count = shown[cell]
            rarest = min(rarest, count)
            if count == 255:
                self._shown = shown = array("B", bytes([one >> 1 for one in shown]))
                count = 127
            shown[cell] = count + 1
        return 2 if rarest < _COMMON else 1


class Gatherer:
    """Takes the place of recognition's hot path, does what that does, and notes it. ``replica``: eight bytes that name this process."""

    def __init__(self, recognition: Recognition, key: HashKey, replica: bytes, most: int = MOST_WAITING) -> None:
        self._recognition, self._key, self._replica = recognition, key, replica
        self._look, self._over, self._failed = recognition.look, recognition.over, recognition.failed
        self._book = recognition.clusters.book
        recognition.look, recognition.over, recognition.failed = self.look, self.over, self.failed
        self._settle = recognition.hops.settle
        recognition.clusters.book = self.book  # type: ignore[method-assign]
        recognition.hops.settle = self.settle  # type: ignore[method-assign]
        self._noted: list[_Noted] = []
        self._by_exchange: dict[int, _Noted] = {}
        self._names: Recent[tuple[str, str], int] = Recent(_MOST_NAMES)
        self._came_to: dict[str, CameTo] = {}
        self._number = 0
        self._latest = 0.0
        self.backlog = Backlog(most)
        self.unnoted = 0
        """Exchanges that were not even noted, because nobody packed what was."""

    @property
    def lost(self) -> int:
        """Exchanges that no other replica will hear of."""
        return self.unnoted + self.backlog.lost

    @property
    def waiting(self) -> int:
        """How many are noted or wait to be sent."""
        return len(self._noted) + len(self.backlog)

    @property
    def due_at(self) -> float:
        """When the oldest came that is noted but not packed; 0: none is."""
        return self._noted[0].at if self._noted else 0.0

    # -- hot path -------------------------------------------------------------------------------------------------

    def look(self, exchange: Exchange, now: float, *, granted: bool = False) -> Held | None:
        """``Lookout.look``, noted."""
        held = self._look(exchange, now, granted=granted)
        if exchange.account.status == "accepted":
            self._note(LOOK, exchange, now, granted=granted)
        return held

    def over(self, exchange: Exchange, now: float, *, enforced: bool) -> Over | None:
        """``Lookout.over``, noted."""
        over = self._over(exchange, now, enforced=enforced)
        if over is None or not enforced:
            noted = self._by_exchange.get(id(exchange))
            if noted is None:
                self._note(BOOKED, exchange, now)
            else:
                noted.booked = True
        return over

    def failed(self, exchange: Exchange, now: float) -> None:
        """``Lookout.failed``, noted."""
        self._failed(exchange, now)
        if exchange.account.status == "accepted" and exchange.features.slot:
            self._note(FAILED, exchange, now)

    def book(self, name: str, usage: Usage) -> None:
        """``Clusters.book``, noted."""
        self._book(name, usage)
        if usage.status == 200 and (name in self._came_to or len(self._came_to) < _MOST_CLUSTERS):
            _, answered, received, sent = self._came_to.get(name, (name, 0, 0, 0))
            self._came_to[name] = CameTo(name, answered + 1, received + usage.input_tokens, sent + usage.output_tokens)

    def settle(self, exchange: Exchange, usage: Usage, now: float, *, contained: bool) -> None:
        """``Hops.settle``, noted."""
        self._settle(exchange, usage, now, contained=contained)
        asked = exchange.features.talk.asked
        given: tuple[int, ...] = ()
        if usage.status == 200 and usage.forwarded:
            contained = False
            if usage.prefix and asked:
                given = (self._key.answer(asked, usage.prefix),)
            given += tuple([self._key.answer(0, signature) for signature in usage.signatures])
        if exchange.account.status == "accepted" and (given or (contained and asked)):
            self._note(GAVE, exchange, now, given=given, contained=contained)

    def accepted(self, key: str) -> None:
        """The app has answered a credential that nobody had vouched for."""
        self._note(ACCEPTED, _bare(key), self._latest)

    def renamed(self, former: str, key: str) -> None:
        """An account that goes on under another name."""
        name = bytes.fromhex(former)
        self._note(RENAMED, _bare(key), self._latest, given=(int.from_bytes(name[:8]), int.from_bytes(name[8:16])))

    def _note(self, kind: int, exchange: Exchange, at: float, **more: Any) -> None:
        if len(self._noted) >= MOST_NOTED:
            self.unnoted += 1
            return
        self._latest = at
        noted = _Noted(kind, exchange, at, **more)
        self._noted.append(noted)
        if kind == LOOK:
            self._by_exchange[id(exchange)] = noted

    # -- beside the request path ----------------------------------------------------------------------------------

    def packing(self) -> Iterator[None]:
        """Packs what was noted, in slices of about half a millisecond."""
        noted, self._noted, self._by_exchange = self._noted, [], {}
        for count, one in enumerate(noted, 1):
            exchange = one.exchange
            model = self._short("model", exchange.features.model)
            network = exchange.peer.subnet or self._network(exchange.peer.network)
            if one.given or one.kind == GAVE:
                exchange = replace(exchange, features=replace(exchange.features, sealed=one.given))
            row = Row(one.kind, one.at, exchange, one.granted, one.booked, one.contained)
            self.backlog.add(one.at, rows.packed(row, model, network))
            if count % _SLICE == 0:
                yield

    def forget(self, account: str) -> None:
        """Drops what is noted of an account and was not sent yet. ``account``: its key."""
        self._noted = [one for one in self._noted if one.exchange.account.key != account]
        self._by_exchange = {id(one.exchange): one for one in self._noted if one.kind == LOOK}
        self.backlog.forget(bytes.fromhex(account))

    def batch(self, now: float, most: int = 256) -> bytes | None:
        """The next batch, which then is the caller's to send until it has arrived; None: nothing waits."""
        taken = self.backlog.take(most)
        came_to, self._came_to = list(self._came_to.values()), {}
        if not taken and not came_to:
            return None
        self._number += 1
        return rows.batch(self._replica, self._number, now, taken, came_to)

    def _short(self, kind: str, name: str) -> int:
        known = self._names.get((kind, name))
        if known is None:
            known = self._key.facet(kind, name.encode(errors="replace")) & 0xFFFFFFFF
            self._names.put((kind, name), known)
        return known

    def _network(self, network: str) -> int:
        known = self._names.get(("network", network))
        if known is None:
            known = subnet(self._key, network)
            self._names.put(("network", network), known)
        return known


class _Noted:
    """One thing that came."""

    __slots__ = ("at", "booked", "contained", "exchange", "given", "granted", "kind")

    def __init__(
        self,
        kind: int,
        exchange: Exchange,
        at: float,
        *,
        granted: bool = False,
        contained: bool = False,
        given: tuple[int, ...] = (),
    ) -> None:
        self.kind, self.exchange, self.at = kind, exchange, at
        self.granted, self.contained, self.given = granted, contained, given
        self.booked = kind == BOOKED


def _bare(key: str) -> Exchange:
    return Exchange(Account(key), Peer(), "", UNREAD)


def everything(gatherer: Gatherer, now: float) -> Sequence[bytes]:
    """All that waits, in batches, at once."""
    for _ in gatherer.packing():
        pass
    found = []
    while (one := gatherer.batch(now)) is not None:
        found.append(one)
    return found

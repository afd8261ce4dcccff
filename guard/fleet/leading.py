"""Whoever leads: looks at the exchanges of all replicas as one process would have that had seen them all, and tells what came of it.

``Head`` has a recognition of its own, fed by the rows of all replicas in order of time. So what it finds is what one process finds,
and what replicas need of it is told in ``frames``: what changed since the last, or everything. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import inf
from typing import Any

from guard.errors import StateError
from guard.fleet import rows
from guard.fleet.following import PROVISIONAL
from guard.fleet.frames import Frame, Given, Meter, Seen, packed
from guard.fleet.linking import Linking
from guard.fleet.rows import ACCEPTED, BOOKED, FAILED, GAVE, RENAMED, CameTo, Row
from guard.fleet.watching import Watched
from guard.recognition import keeping, mercy
from guard.recognition.accounts import Known
from guard.recognition.recognition import Recognition
from guard.types import Usage

_SLICE = 32
_ACCOUNTS_A_FRAME = 2_048
_TRAITS_A_FRAME = 16_384
_CLUSTERS_A_FRAME = 64
_ANSWERS_BYTES = 256 * 1024
_MOST_REPLICAS = 1_024
_SUMMARY_EVERY = 16
_ASIDE = 1 << 16
LATE_S = 2.0
"""What a replica's clock may differ from the leader's, before its times are corrected."""


class Head:
    """``like``: a recognition that weighs alike; nothing of what it knows is taken over. ``token``: greater than any leader's before."""

    def __init__(self, like: Recognition, token: int) -> None:
        self.token = token
        self.recognition = like.another(Watched)
        clusters = self.recognition.clusters
        if not isinstance(clusters, Watched):
            raise TypeError("a recognition that does not watch its clusters can't lead")
        self._watched = clusters
        self._waiting: list[Row] = []
        self._batches: dict[bytes, int] = {}
        """Replica → the number of the latest batch of its that came in."""
        self._latest = 0.0
        self.number = 0
        """Of the latest frame."""
        self._told_traits: dict[int, tuple[int, bool]] = {}
        self._told_clusters: set[int] = set()
        self._linking = Linking(self.recognition, clusters)
        self._told_meters: dict[int, Meter] = {}
        self._booked: set[int] = set()
        """Traits of what ceilings let pass since the last frame."""
        self._given: list[Given] = []
        self._accepted: dict[str, None] = {}
        self._renamed: list[tuple[str, str]] = []
        self._allowed = self.recognition.ceilings.allowed = set()
        self._day = -1
        self.twice = 0
        """Batches that came a second time, and were left out."""
        self.led = 0
        """Exchanges that were looked at."""

    @property
    def waiting(self) -> int:
        """How many rows came in and were not worked on."""
        return len(self._waiting)

    # -- what comes in --------------------------------------------------------------------------------------------

    def lead(self, content: bytes, received_at: float | None = None) -> None:
        """Takes in a batch. ``received_at``: when the store got it, by the leader's clock; None: its times are right as they are.

        Raises ``StateError`` for what is none.
        """
        batch = rows.read(content)
        if batch.number <= self._batches.get(batch.replica, 0):
            self.twice += 1
            return
        self._batches.pop(batch.replica, None)
        self._batches[batch.replica] = batch.number
        if len(self._batches) > _MOST_REPLICAS:
            del self._batches[next(iter(self._batches))]
        skew_s = 0.0 if received_at is None else received_at - batch.sent_at
        if abs(skew_s) <= LATE_S:
            skew_s = 0.0
        self._waiting += [row._replace(at=row.at + skew_s) for row in batch.rows] if skew_s else batch.rows
        for one in batch.came_to:
            self._book(one)

    def work(self, now: float, hold_back_s: float = 0.0) -> Iterator[None]:
        """Looks at what came in up to ``hold_back_s`` ago, and does all of recognition's work that is due, in slices.

        What is given up is gone on with by the next call.
        """
        recognition, ring = self.recognition, self.recognition.ring
        self._waiting.sort(key=_at)
        until = now - hold_back_s
        done = 0
        try:
            for row in self._waiting:
                if row.at > until:
                    break
                at = self._latest = max(row.at, self._latest)
                if ring.due_at <= at:
                    yield from recognition.work(at)
                done += 1
                self._take(row, at)
                if done % _SLICE == 0:
                    yield
        finally:
            del self._waiting[:done]
        yield from recognition.work(max(until, self._latest))
        self._linking.look()

    def _take(self, row: Row, at: float) -> None:
        recognition, exchange = self.recognition, row.exchange
        if row.kind == FAILED:
            recognition.failed(exchange, at)
            return
        if row.kind == GAVE:
            self._give(row, at)
            return
        if row.kind >= ACCEPTED:
            self._name(row)
            return
        if row.kind != BOOKED:
            self.led += 1
            recognition.look(exchange, at, granted=row.granted)
        known = recognition.accounts.find(exchange.account.key)
        if known is not None:
            if row.booked:
                recognition.over(exchange, at, enforced=False)
                self._booked.update([facet.value for facet in exchange.features.facets])
            self._watched.touched.add(known.number)
            if known.cluster:
                self._watched.changed.add(known.cluster)

    def _name(self, row: Row) -> None:
        """Who is known by now, and under which name."""
        key, sealed = row.exchange.account.key, row.exchange.features.sealed
        if row.kind == ACCEPTED:
            self._accepted[key] = None
        elif row.kind == RENAMED and len(sealed) == 2:
            former = f"{sealed[0]:016x}{sealed[1]:016x}"
            known = self.recognition.accounts.find(former)
            if known is not None and self.recognition.accounts.find(key) is None:
                self.recognition.accounts.carry(former, key)
                self._renamed.append((former, key))
                self._touch(known)

    def _give(self, row: Row, at: float) -> None:
        """Whose an answer is (``Hops.settle``)."""
        answers, features = self.recognition.hops.answers, row.exchange.features
        known = self.recognition.accounts.find(row.exchange.account.key)
        if known is None or (row.contained and not known.cluster):
            return
        self.recognition.hops.refused |= row.contained
        begun = answers.find(features.talk.answered, at) if features.talk.answered else None
        for given in (features.talk.asked,) if row.contained else features.sealed:
            told = Given(given, known.number, begun.talk if begun is not None else 0, at)
            answers.give(*told)
            self._given.append(told)

    def _book(self, one: CameTo) -> None:
        cluster = self._watched.find(one.cluster)
        if cluster is not None:
            usage = Usage(200, one.input_tokens, one.output_tokens, reported=True, complete=True)
            self._watched.book(one.cluster, usage)
            cluster.answered += one.answered - 1
            self._watched.changed.add(cluster.number)

    # -- the operator's words -------------------------------------------------------------------------------------

    def forgive(self, key: str, now: float) -> None:
        """As ``mercy.forgive``."""
        self._touch(self.recognition.accounts.find(key))
        mercy.forgive(self.recognition, key, now)

    def forgive_cluster(self, name: str, now: float) -> None:
        """As ``mercy.forgive_cluster``."""
        mercy.forgive_cluster(self.recognition, name, now)

    def release(self, name: str) -> None:
        """As ``mercy.release``."""
        kind, _, key = name.partition(":")
        if kind == "account":
            self._touch(self.recognition.accounts.find(key))
        else:
            org = int(key[:16], 16)
            for known in self.recognition.accounts:
                if known.org == org:
                    self._touch(known)
        mercy.release(self.recognition, name)

    def erase(self, key: str) -> None:
        """As ``mercy.erase``."""
        known = self.recognition.accounts.find(key)
        if known is not None:
            self._watched.changed.update(
                [cluster.number for cluster in self._watched if known.number in cluster.bystanders]
            )
            self._waiting = [row for row in self._waiting if row.exchange.account.key != key]
            self._accepted.pop(key, None)
            mercy.erase(self.recognition, key)

    def _touch(self, known: Known | None) -> None:
        if known is not None:
            self._watched.touched.add(known.number)
            self._watched.changed.add(known.cluster)

    # -- what is told ---------------------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether anything changed since the last frame."""
        watched = self._watched
        noted = watched.touched or watched.changed or watched.retraited
        named = self._accepted or self._renamed
        return bool(noted or self._booked or self._allowed or self._given or named or self._linking.has_news)

    def publish(self, now: float, more: dict[str, Any] | None = None) -> bytes:
        """A frame of what changed since the last. It costs what changed. ``more`` goes along."""
        watched, accounts = self._watched, self.recognition.accounts
        seen = [
            self._seen(known) for number in sorted(watched.touched) if (known := accounts.number(number)) is not None
        ]
        traits = []
        for trait in watched.retraited:
            held = (watched.traits.get(trait, 0), trait in watched.proven)
            if self._told_traits.get(trait, (0, False)) != held:
                traits.append((trait, *held))
                self._told(trait, held)
        changed = sorted(watched.changed)
        clusters = [keeping.of_cluster(one) for number in changed if (one := watched.number(number)) is not None]
        gone = [number for number in changed if number in self._told_clusters and watched.number(number) is None]
        self._told_clusters.update(changed)
        self._told_clusters.difference_update(gone)
        meters = self._changed_meters()
        watched.forget_changes()
        self.number += 1
        told = self._head(now, clusters, more) | self._linking.told() | {"gone": gone}
        if self._accepted:
            told["accepted"], self._accepted = list(self._accepted), {}
        if self._renamed:
            told["renamed"], self._renamed = self._renamed, []
        given, self._given = self._given, []
        return packed(Frame(self.token, self.number, now, told, seen, traits, meters, given))

    def whole(self, now: float) -> Iterator[bytes]:
        """Everything, in frames (``b""``: a slice without one), at the number of the last that was published: what changes while this runs is in the next of those."""
        number, watched = self.number, self._watched
        clusters = sorted([cluster.number for cluster in watched])
        traits = [(trait, held, trait in watched.proven) for trait, held in watched.traits.items()]
        accounts = iter(list(self.recognition.accounts))
        meters = [
            Meter(trait, *self.recognition.ceilings.told(trait)) for trait in (0, *self.recognition.ceilings.limited())
        ]
        for first in range(0, len(traits), _TRAITS_A_FRAME):
            yield packed(Frame(self.token, 0, now, {}, (), traits[first : first + _TRAITS_A_FRAME]))
        for first in range(0, len(clusters), _CLUSTERS_A_FRAME):
            some = clusters[first : first + _CLUSTERS_A_FRAME]
            told = [keeping.of_cluster(one) for each in some if (one := watched.number(each)) is not None]
            yield packed(Frame(self.token, 0, now, {"clusters": told}))
        while some_accounts := list(islice(accounts, _ACCOUNTS_A_FRAME)):
            yield packed(Frame(self.token, 0, now, {}, [self._seen(known) for known in some_accounts]))
        for moved in self._linking.whole():
            yield packed(Frame(self.token, 0, now, moved))
        answers: list[list[Any]] = []
        for piece in self.recognition.hops.answers.pieces():
            answers.append(piece)
            if sum([len(part) for one in answers for part in one[1:]]) >= _ANSWERS_BYTES:
                yield packed(Frame(self.token, 0, now, {"answers": answers}))
                answers = []
            else:
                yield b""
        if answers:
            yield packed(Frame(self.token, 0, now, {"answers": answers}))
        end = self._head(now, [], None) | {"end": number, "held": clusters, "refused": self.recognition.hops.refused}
        yield packed(Frame(self.token, 0, now, end, (), (), meters))

    def _head(self, now: float, clusters: list[dict[str, Any]], more: dict[str, Any] | None) -> dict[str, Any]:
        told: dict[str, Any] = {"seen": self._watched.seen, "clusters": clusters, **(more or {})}
        ceilings = self.recognition.ceilings
        if self._day != ceilings.day or self.number % _SUMMARY_EVERY == 0:
            self._day = ceilings.day
            told["ceilings"] = ceilings.summary()
        return told

    def _changed_meters(self) -> list[Meter]:
        """The joint meters of which something is different: a limit, or what is used of one."""
        ceilings = self.recognition.ceilings
        concerned = self._booked | self._allowed | {0}
        self._booked.clear()
        self._allowed.clear()
        if self._day != ceilings.day:
            concerned |= self._told_meters.keys()  # some may be gone with the day
        found = []
        for trait in sorted(concerned):
            meter = Meter(trait, *ceilings.told(trait))
            before = self._told_meters.get(trait)
            if meter.room == inf and (before is None or before.room == inf):
                continue
            if meter != before:
                found.append(meter)
                self._told_meters[trait] = meter
            if trait and meter.room == inf:
                del self._told_meters[trait]
        return found

    def _told(self, trait: int, held: tuple[int, bool]) -> None:
        if held[0]:
            self._told_traits[trait] = held
        else:
            self._told_traits.pop(trait, None)

    def _seen(self, known: Known) -> Seen:
        today = self.recognition.ceilings.taken_today(known.number)
        self._linking.seen(known.number, known.cluster, known.hops)
        return Seen(
            known.key, known.number, known.cluster, known.bearing, known.count, known.client, known.cleared, today,
            known.dated, known.granted, known.verified, known.born, known.first_at, known.last_at, known.first_bearing_at,
            known.stopped_at, known.asked, known.network, known.hops,
        )  # fmt: skip

    # -- over a change of leaders ---------------------------------------------------------------------------------

    def findings(self) -> Iterator[dict[str, Any]]:
        """All that is needed to lead on, as plain data, piece by piece: what recognition keeps over a restart, and which batches
        came in."""
        batches = [[replica.hex(), number] for replica, number in self._batches.items()]
        yield {"kind": "fleet", "v": keeping.VERSION, "batches": batches, "latest": self._latest}
        yield from keeping.findings(self.recognition)
        yield from keeping.verdicts(self.recognition)

    def know_answers(self, pieces: Iterable[Sequence[Any]]) -> Iterator[None]:
        """Takes up who received which answer (``Answers.pieces``), in slices. Raises ``StateError`` for what is none."""
        for piece in pieces:
            try:
                self.recognition.hops.answers.restore(piece)
            except (ValueError, TypeError) as broken:
                raise StateError("who received which answer can't be read") from broken
            yield

    def resume(self, pieces: Iterable[dict[str, Any]], now: float) -> Iterator[None]:
        """Takes that up, in slices. Raises ``StateError`` for what is none; then this head is to be thrown away."""
        restoring = keeping.Restoring(self.recognition, now)
        for piece in pieces:
            if isinstance(piece, dict) and piece.get("kind") == "fleet":
                try:
                    self._batches = {bytes.fromhex(replica): int(number) for replica, number in piece["batches"]}
                    self._latest = float(piece["latest"])
                except (KeyError, TypeError, ValueError) as broken:
                    raise StateError("what the last leader left behind can't be read") from broken
            else:
                restoring.take(piece)
            yield
        restoring.done()
        # What replicas number by themselves is never given by whoever leads, though it may hold some of it.
        accounts = self.recognition.accounts
        if accounts.next > PROVISIONAL:
            accounts.next = max([known.number for known in accounts if known.number < PROVISIONAL], default=0) + _ASIDE
        self._told_clusters = {cluster.number for cluster in self._watched}
        self._told_traits = {
            trait: (held, trait in self._watched.proven) for trait, held in self._watched.traits.items()
        }


def _at(row: Row) -> float:
    return row.at

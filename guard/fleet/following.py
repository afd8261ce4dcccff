"""A replica's view: takes up what the leader tells, so that the hot path reads what all replicas have seen together.

What was found stays in force whatever happens to the leader: frames add and change, and only a *whole*, once it has arrived to its
end, takes away what it does not name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Any

from guard.errors import StateError
from guard.fleet.frames import Frame, Given, Seen, read
from guard.fleet.linking import take_up
from guard.recent import Recent
from guard.recognition.keeping import Restoring
from guard.recognition.recognition import Recognition

PROVISIONAL = 1 << 30
"""From here on a replica numbers accounts and clusters of which the leader has told nothing."""
_SLICE = 256
_MOST_RENUMBERED = 16_384
_HEX = frozenset("0123456789abcdef")
_UNLIMITED = (inf, 0.0, 0.0, 0.0)


class Follower:
    """The view of one recognition. ``accept`` is told whom the app has answered elsewhere. Nothing here does I/O."""

    def __init__(self, recognition: Recognition, accept: Callable[[str], None] = lambda key: None) -> None:
        self._recognition, self._accept = recognition, accept
        recognition.accounts.next = max(recognition.accounts.next, PROVISIONAL)
        recognition.clusters.number_from(PROVISIONAL)
        self.token = 0
        """Whose frames were adopted."""
        self.number = 0
        """The number of the latest."""
        self.taken_up = False
        """Whether a whole was adopted: until then this replica knows only what it has seen or kept by itself."""
        self._named: set[str] = set()
        self._traits: set[int] = set()
        self._meters: set[int] = set()
        self._formerly: Recent[int, int] = Recent(_MOST_RENUMBERED)
        """Number that an account had here, before the leader told of it → the leader's."""

    def lacks(self, token: int, number: int) -> bool:
        """Whether a whole of that leader's, at that frame, says more than is known."""
        return not self.taken_up or (token, number) > (self.token, self.number)

    def begin_anew(self) -> None:
        """The next whole is taken up whatever was before; until then all that is known holds."""
        self.token, self.number, self.taken_up = 0, 0, False

    def wants(self, content: bytes) -> bool:
        """Whether a frame is the next one. False: it is an older leader's or was adopted; it is to be passed over. Raises
        ``Gap`` where frames in between are missing, ``StateError`` for what is none."""
        frame = read(content)
        if frame.token < self.token or (frame.token == self.token and frame.number <= self.number):
            return False
        if frame.token > self.token or frame.number > self.number + 1 or not self.taken_up:
            raise Gap
        return True

    def adopt(self, content: bytes, now: float) -> Iterator[Frame]:
        """Takes up a frame, in slices (each yields the frame). Raises ``StateError`` for what is none."""
        frame = read(content)
        restoring = Restoring(self._recognition, now)
        for piece in frame.more.get("clusters", ()):
            restoring.take(piece)
        yield frame
        clusters, whole = self._recognition.clusters, frame.number == 0
        for trait, number, proven in frame.traits:
            if number:
                clusters.traits[trait] = number
            else:
                clusters.traits.pop(trait, None)
            if number and proven:
                clusters.proven.add(trait)
            else:
                clusters.proven.discard(trait)
        for former, key in _names(frame.more.get("renamed", ()), 2):
            self._recognition.accounts.carry(former, key)
        for (key,) in _names(zip(frame.more.get("accepted", ()), strict=True), 1):
            self._accept(key)
        for count, seen in enumerate(frame.accounts, 1):
            self._take(seen, now)
            if count % _SLICE == 0:
                yield frame
        try:
            for number in frame.more.get("gone", ()):
                clusters.drop(int(number))
            clusters.seen = max(clusters.seen, int(frame.more.get("seen", 0)))
            ceilings = self._recognition.ceilings
            if "ceilings" in frame.more:
                ceilings.adopt_summary(frame.more["ceilings"], now)
            answers = self._recognition.hops.answers
            for given in frame.given:
                self._give(given)
            for piece in frame.more.get("answers", ()):
                answers.restore(piece)
                yield frame
            take_up(self._recognition.hops, frame.more)
            for meter in frame.meters:
                ceilings.adopt(meter.trait, meter[1:], now)
            if whole:
                self._named.update([seen.key for seen in frame.accounts])
                self._traits.update([trait for trait, _, _ in frame.traits])
                if "end" in frame.more:
                    self._meters = {meter.trait for meter in frame.meters}
                    yield from self._end(frame)
            else:
                self.number = frame.number
        except (KeyError, TypeError, ValueError) as broken:
            raise StateError(f"the leader's findings can't be read ({type(broken).__name__})") from broken

    def begin_whole(self) -> None:
        """A whole is about to come; one that was half read is forgotten."""
        self._named, self._traits, self._meters = set(), set(), set()

    def _end(self, frame: Frame) -> Iterator[Frame]:
        """All of a whole is there: what it does not name is no more."""
        clusters, accounts = self._recognition.clusters, self._recognition.accounts
        held = {int(number) for number in frame.more["held"]}
        for cluster in list(clusters):
            if cluster.number not in held:
                clusters.drop(cluster.number)
        for trait in [trait for trait in clusters.traits if trait not in self._traits]:
            del clusters.traits[trait]
            clusters.proven.discard(trait)
        for trait in self._recognition.ceilings.limited():
            if trait not in self._meters:
                self._recognition.ceilings.adopt(trait, _UNLIMITED, frame.at)
        for count, known in enumerate(list(accounts), 1):
            if known.key not in self._named:
                known.cluster = known.bearing = known.cleared = 0
            if count % _SLICE == 0:
                yield frame
        self.token, self.number, self.taken_up = frame.token, int(frame.more["end"]), True
        self.begin_whole()

    def _give(self, given: Given) -> None:
        """Whose an answer is. Where this replica has given it, that was by the number that the account had here then."""
        answers = self._recognition.hops.answers
        here = answers.find(given.answer, given.at)
        if here is not None and here.number != given.number and self._formerly.peek(here.number) == given.number:
            answers.renumber(here, given.number)
        answers.give(*given)

    def _renumber(self, seen: Seen) -> None:
        """The leader has another number for an account than this replica. Where numbers overlap, what is noted here by number may be
        anybody's: it is forgotten, and comes again with the leader's."""
        recognition = self._recognition
        known = recognition.accounts.find(seen.key)
        if recognition.accounts.number(seen.number) is not None or self._formerly.peek(seen.number) is not None:
            recognition.hops.forget_all()
            self._formerly = Recent(_MOST_RENUMBERED)
        elif known is not None:
            self._formerly.put(known.number, seen.number)

    def _take(self, seen: Seen, now: float) -> None:
        recognition = self._recognition
        before = recognition.accounts.find(seen.key)
        if before is None or before.number != seen.number:
            self._renumber(seen)
            self._accept(seen.key)
        known = recognition.accounts.numbered(seen.key, seen.number, now)
        known.cluster, known.bearing, known.cleared = seen.cluster, seen.bearing, seen.cleared
        known.count, known.client, known.asked = seen.exchanges, seen.client, seen.asked
        known.first_at, known.first_bearing_at, known.stopped_at = seen.first_at, seen.first_bearing_at, seen.stopped_at
        known.last_at = max(known.last_at, seen.last_at) if known.count else seen.last_at
        known.granted, known.network, known.hops = seen.granted, seen.network, seen.hops
        known.born, known.dated, known.verified = seen.born, seen.dated, seen.verified
        recognition.ceilings.adopt_taken(seen.number, seen.today)


def _names(told: Iterable[Any], count: int) -> Iterator[tuple[str, ...]]:
    """Keyed hashes, so many at a time. Raises ``StateError`` for what is none."""
    for names in told:
        if len(names) != count or not all(
            isinstance(one, str) and len(one) == 32 and _HEX.issuperset(one) for one in names
        ):
            raise StateError("the leader's findings name something else than accounts")
        yield tuple(names)


class Gap(Exception):  # noqa: N818 - no error: the whole is read instead
    """Frames are missing before this one."""

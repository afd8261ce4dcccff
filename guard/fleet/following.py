"""A replica's view: takes up what the leader tells, so that the hot path reads what all replicas have seen together.

What was found stays in force whatever happens to the leader: frames add and change, and only a *whole*, once it has arrived to its
end, takes away what it does not name.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from guard.errors import StateError
from guard.fleet.frames import Frame, Seen, read
from guard.recognition.keeping import Restoring
from guard.recognition.recognition import Recognition

PROVISIONAL = 1 << 30
"""From here on a replica numbers accounts and clusters of which the leader has told nothing."""
_SLICE = 256
_UNLIMITED = (inf, 0.0, 0.0, 0.0)


class Follower:
    """The view of one recognition. Nothing here does I/O."""

    def __init__(self, recognition: Recognition) -> None:
        self._recognition = recognition
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
                answers.give(*given)
            for piece in frame.more.get("answers", ()):
                answers.restore(piece)
                yield frame
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

    def _take(self, seen: Seen, now: float) -> None:
        recognition = self._recognition
        known = recognition.accounts.numbered(seen.key, seen.number, now)
        known.cluster, known.bearing, known.cleared = seen.cluster, seen.bearing, seen.cleared
        known.count, known.client, known.asked = seen.exchanges, seen.client, seen.asked
        known.first_at, known.first_bearing_at, known.stopped_at = seen.first_at, seen.first_bearing_at, seen.stopped_at
        known.last_at = max(known.last_at, seen.last_at) if known.count else seen.last_at
        known.granted, known.network, known.hops = seen.granted, seen.network, seen.hops
        known.born, known.dated, known.verified = seen.born, seen.dated, seen.verified
        recognition.ceilings.adopt_taken(seen.number, seen.today)


class Gap(Exception):  # noqa: N818 - no error: the whole is read instead
    """Frames are missing before this one."""

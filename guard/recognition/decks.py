"""Queues without a template whose cards are dealt more than once: several answers to each question, each by another account.

Whoever wants preference pairs, the best of several tries or trajectories of one task has each question answered by a few of his
accounts. Nobody else asks it, and which few do is the dealer's chance: an account shares nearly all that it asks, each time with partners
it shares hardly anything else with. Owners share little of what they ask. A class, a team or a tool's examples are shared by many, or
again and again by the same few.

A group that is found by this is only a candidate. Pupils of many schools who work through one book share their questions with
strangers just so. It is convicted by conduct, by at least two costly signals and another kind of evidence (``verdicts.seasoned_nats``):
mostly by even load and by questions that are each asked more equally often than by anybody's choice (``signals/slot_partition.py``). The
signal that it was chosen by says nothing then, nor does who the accounts are, since pools are bought and pupils are new.

Its accounts, those of standing as well where they act so by themselves, are held to be the cluster's by the client that they came by, for
a day each time that it is found.

Known of a question is who asked it first, up to ``RARE`` accounts; kept are the conversations that such accounts began since. Bounded:
``QUESTIONS``, ``ACCOUNTS`` and ``KEPT``. Nothing is kept over a restart but what was found. Cost: about 1 µs an exchange, and 1 µs for each that is
kept, in slices, once in ``EVERY`` conversations.

What hides from it: a pool whose accounts live like people (uneven, in sessions, by hours of their own), or each question asked once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

from guard.likelihoods import FIRST_TURNS
from guard.recent import Recent
from guard.recognition.accounts import Known
from guard.recognition.clusters import Clusters
from guard.recognition.crowds import book, could_be, forgiven
from guard.recognition.explained import Scene
from guard.recognition.groups import Observed, sampling
from guard.recognition.seasoned import of_it, of_one_queue
from guard.recognition.verdicts import FEWEST, Verdict, wide_enough

KEPT = 32_768
ACCOUNTS = 8_192
"""Accounts of which something is kept."""
EACH = 32
"""What is kept of one account: a few days' worth, for its hours."""
QUESTIONS = 65_536
RARE = 6
"""Accounts that ask a question; what more ask is going round."""
LONG = 5
"""Text traits from which a question is asked twice by chance only where it is copied."""
FEWEST_SHARED = 3
LINKED, MOSTLY = 4, 2.0 / 3.0
"""Shared questions from which an account is linked, and their share: fewer may be chance where a queue asks what pupils ask."""
SHARED = 0.5
"""The share of an account's questions that others ask as well."""
NEW_PARTNERS = 0.5
"""The share of those it shares a question with that it shares no other with."""
CANDIDATES = 100
"""Looks at such a crowd while it lasts; there is hardly ever more than one."""
CHOSEN_BY = frozenset({"one_queue"})
"""What a deck would set off by how it was chosen."""
WHO = frozenset({"young_accounts", "standing"})
"""Pools are bought, and pupils are new: who they are says nothing here. Whose keys are known to be one owner's still counts."""
EVERY = 2_048
"""It is looked again after so many conversations."""
_WEIGHED = 2_048
_SLICE = 64
_AT = itemgetter(0)


class Player(NamedTuple):
    """An account whose questions are others' as well: the conversations it began, how often it shared a question with whom, of how many
    questions it is still known who asked them, and how many of these others asked too."""

    begun: list[Observed]
    partners: Counter[int]
    asked: int
    shared: int

    def plays(self, core: Mapping[int, Player]) -> bool:
        """Whether nearly all that it asks is shared within ``core``, each time with somebody else."""
        among = [times for number, times in self.partners.items() if number in core]
        return len(among) >= FEWEST_SHARED and len(among) >= NEW_PARTNERS * sum(among)


class Decks:
    """Who asked what first, and what is found in it."""

    __slots__ = ("_asked", "_begun", "_clusters", "_due_at", "_held", "_seen")

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._asked: Recent[int, int | tuple[int, ...]] = Recent(QUESTIONS)
        """Most questions are asked by one account: that is a number."""
        self._begun: dict[int, deque[Observed]] = {}
        """What was begun by accounts of which a question was somebody else's as well, from then on."""
        self._held = 0
        self._seen, self._due_at = 0, EVERY

    def clear(self) -> None:
        """Forgets what could become a finding."""
        self._asked = Recent(QUESTIONS)
        self._begun.clear()
        self._held = 0

    def observe(self, observed: Observed, known: Known) -> None:
        """Takes in an exchange."""
        if observed.turns > FIRST_TURNS or len(observed.traits) < 8 * LONG or not observed.slot:
            return
        self._seen += 1
        number, before = observed.number, self._asked.get(observed.slot)
        if before is None:
            self._asked.put(observed.slot, number)
        elif before != number:
            asked = before if isinstance(before, tuple) else (before,)
            if number not in asked and len(asked) <= RARE:
                self._asked.put(observed.slot, (*asked, number))
                if self._held < KEPT and len(self._begun) < ACCOUNTS:
                    self._begun.setdefault(number, deque(maxlen=EACH))
                    if len(asked) == 1:
                        self._begun.setdefault(asked[0], deque(maxlen=EACH))
        begun = self._begun.get(number)
        if begun is not None and (len(begun) == EACH or self._held < KEPT):
            self._held += len(begun) < EACH
            begun.append(observed)

    @property
    def due(self) -> bool:
        """Whether to look."""
        return self._seen >= self._due_at

    def weigh(self, scene: Scene) -> Iterator[None]:
        """Looks, and books what is found. In slices."""
        self._due_at = self._seen + EVERY
        core = yield from self._core(scene)
        if len(core) < FEWEST:
            return
        events = sorted([event for player in core.values() for event in player.begun], key=_AT)[-_WEIGHED:]
        yield
        if not wide_enough(events, scene.weighable, whoever=True):
            return
        taken = yield from sampling(events, scene.weighable, scene.baseline, scene.now)
        yield
        if taken is None:
            return
        apt = scene.weighing.without(CHOSEN_BY | WHO)
        verdict = yield from apt.weighing(taken, CANDIDATES, seasoned=CANDIDATES)
        if verdict.band < 2:
            return
        apt = scene.weighing.without(CHOSEN_BY)
        aged = yield from of_one_queue(events, scene.weighable, apt, scene.baseline, scene.now, apart=frozenset())
        self._book(core, verdict, scene, aged=aged)

    def _core(self, scene: Scene) -> Generator[None, None, dict[int, Player]]:
        """The accounts that share nearly all they ask with each other, and hardly anything twice with the same one. Who has asked enough
        to be known not to is forgotten."""
        core: dict[int, Player] = {}
        for place, number in enumerate(list(self._begun), 1):
            if place % _SLICE == 0:
                yield
            begun = self._begun.get(number)
            known = scene.weighable(number)
            if begun is None or len(begun) < FEWEST_SHARED:
                continue
            player = self._player(number, list(begun))
            if player.shared >= max(FEWEST_SHARED, SHARED * player.asked):
                if known is not None and (known.cleared or could_be(known, self._clusters)):
                    core[number] = player
            elif player.asked >= 2 * FEWEST_SHARED:
                self._held -= len(self._begun.pop(number))
        if self._held >= KEPT or len(self._begun) >= ACCOUNTS:
            self._make_room()
        left = len(core) + 1
        while len(core) < left:
            left = len(core)
            core = {number: player for number, player in core.items() if player.plays(core)}
            yield
        return core

    def _make_room(self) -> None:
        """Forgets the idlest half: who fills it with cards of his own must go on for ever."""
        idle = sorted(
            self._begun, key=lambda number: (self._begun[number][-1].at if self._begun[number] else 0.0, number)
        )
        for number in idle[: (len(idle) + 1) // 2]:
            self._held -= len(self._begun.pop(number))

    def _player(self, number: int, begun: list[Observed]) -> Player:
        partners: Counter[int] = Counter()
        known = shared = 0
        for slot in dict.fromkeys([event.slot for event in begun]):
            asked = self._asked.peek(slot)
            known += asked is not None
            if isinstance(asked, tuple) and number in asked and len(asked) <= RARE:
                shared += 1
                partners.update(asked)
        partners.pop(number, None)
        return Player(begun, partners, known, shared)

    def _book(self, core: Mapping[int, Player], verdict: Verdict, scene: Scene, *, aged: bool) -> None:
        # From here on nobody comes in between: whom the operator has cleared or granted since, or erased, is left out.
        crowd = [
            known
            for number, player in sorted(core.items())
            if player.shared >= max(LINKED, MOSTLY * player.asked) and (known := scene.weighable(number)) is not None
        ]
        members = [
            known
            for known in crowd
            if could_be(known, self._clusters) and of_it(known, usual=True, now=scene.now, aged=aged)
        ]
        if len(members) < FEWEST or forgiven(crowd):
            return
        book(self._clusters, members, {number: player.begun for number, player in core.items()}, verdict, scene.now)

"""The heart: finds accounts that act as one. The hot path looks up and writes a ring; everything else runs beside it.

    look ─► ring ─► gate ─► families ─► groups ─► weighing ─► clusters ─► traits ─► look
    hot path         beside the request path (``work``)                            hot path

A shared text only finds a group. It is convicted by how its exchanges came about (``signals/``: one clock, even load, no own
rhythm, …), and its cluster is then known by traits that are nearly all its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from heapq import nsmallest
from typing import NamedTuple

from guard.hashing import HashKey
from guard.likelihoods import FIRST_TURNS
from guard.recognition.accounts import Accounts, Known
from guard.recognition.baseline import MOST, Usual
from guard.recognition.candidates import Candidates, Chances
from guard.recognition.ceilings import Ceilings
from guard.recognition.clusters import Clusters
from guard.recognition.cohorts import Cohorts
from guard.recognition.crowds import Crowd
from guard.recognition.decks import Decks
from guard.recognition.elsewhere import Elsewhere, Looked, looking_farther
from guard.recognition.explained import Scene, explained
from guard.recognition.families import FOUNDERS, Families, Family
from guard.recognition.groups import HOPELESS_NATS, Group, Observed, beginnings, sampling
from guard.recognition.hops import UNTOLD, Hops
from guard.recognition.looking import Lookout
from guard.recognition.lots import Lots
from guard.recognition.paced import Paced
from guard.recognition.pardons import Pardons
from guard.recognition.peeling import outsiders
from guard.recognition.ring import Ring
from guard.recognition.seasoned import FEWEST_EVENTS as FEWEST_SEASONED
from guard.recognition.seasoned import FOUNDED_BY, mostly, of_one_queue
from guard.recognition.verdicts import Verdict, Weighing, lives_apart, wide_enough
from guard.samples import Baseline, Sample

BASELINE_S = 3600.0
FEWEST_EVENTS, FEWEST_ACCOUNTS = 16, 5
TWINS = 12
"""So many latest exchanges at the same moments make two groups of one size the same."""
JUDGED_S = 3600.0
"""So often all that a convicted family's exchanges share is looked at for traits where nobody new is linked; else at once."""
RELEASE_NATS = -4.0
"""A family that was found to be one queue is held to be it until its log-odds fall below this."""
_MOST_FAMILIES = 200_000
_MOST_GROUPS = 2_048
_DROPPED = 32
_TELLING_NATS = -6.0
_SLICE = 256


class Parts(NamedTuple):
    """What recognition is made of, for ``keeping.py``."""

    families: Families
    usual: Usual
    baseline: Baseline | None
    baseline_due: float
    ring: Ring
    groups: dict[int, Family]
    to_weigh: dict[int, Family]
    to_judge: dict[int, Family]


class Recognition:
    """All that is known of who acts with whom. Times are the caller's clock, which never goes back."""

    def __init__(
        self, weighing: Weighing, key: HashKey, max_accounts: int, clusters: type[Clusters] = Clusters
    ) -> None:
        self._weighing, self._key, self._max_accounts = weighing, key, max_accounts
        self.accounts = Accounts(max_accounts)
        self.clusters, self.ceilings = clusters(self.accounts), Ceilings(max_accounts)
        self._families, self._usual = Families(_MOST_FAMILIES), Usual()
        self.ceilings.apart = self._families.apart
        self._baseline: Baseline | None = None
        self._baseline_due = 0.0
        self.pardons, self.ring = Pardons(), Ring()
        self.hops = Hops(self.accounts, self.clusters, self.pardons, key)
        self.cohorts = Cohorts(self.accounts, self.clusters)
        self._elsewhere, self._lots = Elsewhere(), Lots(self.clusters)
        self._crowds: tuple[Crowd, ...] = (Decks(self.clusters), Paced(self.clusters))
        lookout = Lookout(self.accounts, self.clusters, self.ceilings, self.ring, key, hops=self.hops)
        self.look = lookout.look
        """The hot path: what is known of an exchange."""
        self.over = lookout.over
        """The hot path: whether what accounts without standing may take together is used up."""
        self.failed = lookout.failed
        """DONE: it was not answered with 200."""
        self.forget = lookout.forget
        self._groups, self._to_weigh, self._to_judge = dict[int, Family](), dict[int, Family](), dict[int, Family]()
        self._candidates, self._chances = Candidates(), Chances()
        self._weighed: dict[tuple[float, ...], Family] = {}
        """What this batch has weighed, by number and latest moments of its exchanges."""
        self.observer: Callable[[Family, Sample, Verdict], None] | None = None
        """Told of every weighing as it ends: the family, its exchanges as weighed, the verdict. It changes nothing."""

    # -- beside the request path ----------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many exchanges have still to be looked at."""
        return len(self.ring)

    @property
    def lost(self) -> int:
        """How many never were, because there were too many."""
        return self.ring.lost

    def due(self, now: float) -> None:
        """Does all that is due, to its end: what a replay does before each exchange."""
        if self.ring.due_at <= now:
            for _ in self.work(now):
                pass

    def work(self, now: float) -> Iterator[None]:
        """The same in slices: yields after each piece, about a millisecond or less each."""
        while (moment := self.ring.due_at) <= now:
            yield from self._work_on(moment)

    def _work_on(self, now: float) -> Iterator[None]:
        for count, observed in enumerate(self.ring.batch(), 1):
            self._take_in(observed)
            if count % 64 == 0:
                yield
        if self.ceilings.due(now):
            yield from self.ceilings.tick(now)
        if self.hops.due(now):
            convicted = yield from self.hops.weigh(
                self._weighing.without(UNTOLD), (yield from self._usual_by(now)), now
            )
            yield from self._judge_slices(convicted)
        if self.cohorts.due:
            yield from self.cohorts.weigh(self._weighing, (yield from self._usual_by(now)), now)
        self._weighed.clear()
        if self._elsewhere.due(self._usual.exchanges, now):
            yield from self._elsewhere.gather(list(self._groups.values()), self._usual.exchanges, now)
        if self._to_weigh:
            self._chances = self._candidates.chances(self._groups.values())
        while self._to_weigh:
            value = next(iter(self._to_weigh))
            family = self._to_weigh.pop(value)
            try:
                yield from self._weigh(family, now)
            except GeneratorExit:
                self._to_weigh[value] = family
                raise
            yield
        if self._lots.due(self._usual.exchanges, now):
            yield from self._weigh_lots(now)
        for crowd in self._crowds:
            if crowd.due:
                yield from crowd.weigh((yield from self._scene(now)))
        while self._to_judge:
            value = next(iter(self._to_judge))
            self.clusters.judge_trait(self._to_judge.pop(value), now)
            yield

    def _take_in(self, observed: Observed) -> None:
        at, number = observed.at, observed.number
        self._usual.add(at)
        known = self.accounts.number(number)
        if known is None:
            return
        self.hops.observe(observed)
        for crowd in self._crowds:
            crowd.observe(observed, known)
        fresh = not known.of_standing(at)
        if fresh:
            self.cohorts.observe(observed, known)
            self._lots.observe(observed, known)
        linked = known.cluster != 0
        shared = self._families.meet(array("Q", observed.traits), number, at)
        for family in shared:
            group = family.group
            if group is not None:
                if group.add(observed):
                    self._to_weigh[family.value] = family
            elif observed.turns > FIRST_TURNS and number in family.numbers:
                # The next step of what it has begun: long conversations would leave no room for others.
                pass
            elif len(family.numbers) < FOUNDERS:
                family.numbers.append(number)
                family.times.append(at)
                family.slots.append(observed.slot)
                if len(family.numbers) == FOUNDERS:
                    family.full()
                if len(family.numbers) >= FEWEST_EVENTS:
                    self._consider(family, at)
            elif family.count % FOUNDERS == 0:
                # Nobody's yet: the founders are looked at anew, the latest exchanges in their place.
                family.begin_anew()
            if linked and family.count >= family.purity_due:
                family.purity_due = max(family.count + 2, int(family.count * 1.25))
                self._to_judge[family.value] = family
        self.ceilings.note([family.value for family in shared], number, at, fresh=fresh)

    def _consider(self, family: Family, now: float) -> None:
        """Makes a group of a family that has enough accounts without standing behind it."""
        numbers = set(family.numbers)
        founders = [known for number in numbers if (known := self.accounts.number(number)) is not None]
        aged = sum([not known.of_standing(now) for known in founders]) < FEWEST_ACCOUNTS
        if aged and (len(family.numbers) < FOUNDERS or len(numbers) < FOUNDED_BY):
            return
        if len(self._groups) >= _MOST_GROUPS:
            self._drop_groups()
        family.group = Group(
            [
                Observed(at, number, b"", slot, b"", 0.0, 0, 0, 0, 0, 0)
                for at, number, slot in zip(family.times, family.numbers, family.slots, strict=True)
            ]
        )
        if aged:
            # Until it is long enough to be weighed it is the first to go.
            family.group.few, family.group.weight = True, HOPELESS_NATS
        self._candidates.add(family.group)
        self._groups[family.value] = family
        self._to_weigh[family.value] = family

    def _drop_groups(self) -> None:
        """Of the groups that say least, the idlest go."""
        for family in nsmallest(_DROPPED, self._groups.values(), key=_worth):
            family.group = None
            family.begin_anew()
            del self._groups[family.value]

    def _weigh(self, family: Family, now: float) -> Iterator[None]:
        group = family.group
        if group is None:
            return
        group.put_off()
        if family.whole and self._elsewhere.looked(family.value):
            # What it was convicted by was not gathered anew since.
            return
        scene = yield from self._scene(now)
        # Some ten traits of one template find the same exchanges: what was found for the first holds for all.
        same = (len(group.events), *[event.at for event in group.events[-TWINS:]])
        twin = self._weighed.get(same)
        if twin is not None and not self.pardons and twin.group is not None:
            group.weight, group.apart = twin.group.weight, twin.group.apart
            family.convicted, family.whole = twin.convicted, twin.whole
            self._candidates.mark(group, few=twin.group.few, seasoned=twin.group.seasoned)
            return
        self._weighed[same] = family
        # Exchanges come in between slices.
        events, deep = list(group.events), group.reaching_back()
        few = not family.convicted and not wide_enough(events, self._weighable)
        seasonable = len(events) >= FEWEST_SEASONED and wide_enough(events, self._weighable, whoever=True)
        self._candidates.mark(group, few=few, seasoned=seasonable)
        if group.few and not group.seasoned:
            group.weight = HOPELESS_NATS
            return
        taken = yield from sampling(events, self._weighable, scene.baseline, now)
        if taken is None:
            return
        yield
        cleared, pardoned = frozenset[str](), frozenset[int]()
        if self.pardons:
            numbers = dict.fromkeys([event.number for event in events])
            members = [known for number in numbers if (known := self._weighable(number)) is not None]
            cleared, pardoned = self.pardons.over(family.value, members, now)
        spoken = self.pardons.spoken
        seasoned = self._chances.seasoned if group.seasoned and mostly(taken) else 0
        agreeing = self._chances.seasoned if group.seasoned else 0
        verdict = yield from self._weighing.weighing(
            taken, self._chances.all, cleared, seasoned=seasoned, agreeing=0 if deep else agreeing
        )
        near, weight, by_all, apart = verdict.partly, verdict.nats, False, set[int]()
        if verdict.band < 2 and agreeing:
            looked = Looked(events, deep, verdict, cleared)
            found = yield from looking_farther(family, looked, self._elsewhere, scene, agreeing)
            if found is not None:
                # The latest steps of long conversations may speak against what a look further back speaks for.
                near, weight = found.verdict.partly, max(weight, found.verdict.nats)
                if found.verdict.agreed:
                    deep, taken, verdict, by_all, strangers = found
                    apart |= strangers
        if verdict.agreed and not mostly(taken):
            verdict = verdict._replace(seasoned=False)
        aged = False
        if verdict.band >= 2:
            # What follows within a conversation says nothing of who lives in sessions where long ones are all there is.
            apart |= outsiders(beginnings(events, deep) if verdict.agreed and not by_all else events, family.value)
            yield
            apart |= yield from explained(events, scene, self._chances.all, cleared)
            whose = deep or events if verdict.agreed else events
            aged = yield from of_one_queue(whose, self._weighable, self._weighing, scene.baseline, now, apart=apart)
        if self.pardons.spoken != spoken:
            # The operator has spoken meanwhile: what was found is weighed again.
            self._to_weigh[family.value] = family
            return
        if self.observer is not None:
            self.observer(family, taken, verdict)
        group.weight, group.apart = weight, lives_apart(verdict.evidence)
        if verdict.agreed or (verdict.band < 2 and (near or verdict.nats > _TELLING_NATS)):
            # Also where it is found: what was weighed is a sample of a wide pool, and the others are linked as they are seen.
            group.look_again()
        family.whole = aged if verdict.agreed else family.whole and near
        if verdict.nats < RELEASE_NATS and not family.whole:
            family.convicted = 0
        if verdict.band >= 2 and (aged or not (verdict.seasoned or self.clusters.public(family, now))):
            # A pardon ends where kinds of evidence that it did not lift convict by themselves.
            lifted = frozenset(
                number
                for number in pardoned
                if (kinds := self.pardons.kinds_of(number)) <= cleared
                or self._weighing.weigh(taken, self._chances.all, kinds).band >= 2
            )
            cluster = self.clusters.convict(family, events, verdict, now, lifted, apart=apart, aged=aged, deep=deep)
            family.convicted = cluster.number if cluster is not None else 0
            shown = [*events, *deep] if by_all else events
            if cluster is None or now >= cluster.judge_due:
                if cluster is not None:
                    cluster.judge_due = now + JUDGED_S
                yield from self._judge_slices(shown, again=by_all)
            else:
                self._to_judge[family.value] = family

    def _weigh_lots(self, now: float) -> Iterator[None]:
        """Weighs the groups that are too small for a verdict as one."""
        scene = yield from self._scene(now)
        found = yield from self._lots.weigh(list(self.cohorts), self._families.find, self._usual.exchanges, scene)
        yield from self._judge_slices(found)

    def _scene(self, now: float) -> Generator[None, None, Scene]:
        return Scene(self.accounts, self._weighable, self._weighing, (yield from self._usual_by(now)), now)

    def _usual_by(self, now: float) -> Generator[None, None, Baseline]:
        """What is usual, worked out anew every hour."""
        if self._baseline is None or now >= self._baseline_due:
            self._baseline = yield from self._usual.working_out(self.accounts.spread(2 * MOST), now)
            self._baseline_due = now + BASELINE_S
            yield
        return self._baseline

    def _weighable(self, number: int) -> Known | None:
        """An account whose exchanges count when a group is weighed; None: it is forgotten, or has a grant."""
        known = self.accounts.number(number)
        return None if known is None or known.granted else known

    # -- for the operator and over a restart ----------------------------------------------------------------------

    def parts(self) -> Parts:
        """Everything but accounts, clusters and pardons, as it is: whoever changes it changes recognition."""
        to_do = self._to_weigh, self._to_judge
        return Parts(self._families, self._usual, self._baseline, self._baseline_due, self.ring, self._groups, *to_do)

    def another(self, clusters: type[Clusters]) -> Recognition:
        """One that weighs alike and has seen nothing yet."""
        return Recognition(self._weighing, self._key, self._max_accounts, clusters)

    def leave_waiting(self) -> None:
        """Forgets what waits: somebody else works on it."""
        self.ring.clear()
        self.hops.waiting.clear()

    def begin_anew(self) -> None:
        """Forgets what could become a finding; what was found stays."""
        self.leave_waiting()
        self._families.clear()
        self.cohorts.clear()
        self._elsewhere.clear()
        self._lots.clear()
        for crowd in self._crowds:
            crowd.clear()
        self.hops.begin_anew()
        for held in (self._groups, self._to_weigh, self._to_judge):
            held.clear()

    def only_learn(self) -> None:
        """Weighs with no signals from now on: nobody is convicted."""
        self._weighing = Weighing((), {}, {})

    def adopt(self, baseline: Baseline, due: float) -> None:
        """Goes on with what was held to be usual; it is worked out anew when it is due."""
        self._baseline, self._baseline_due = baseline, due

    def _judge_slices(self, events: Sequence[Observed], *, again: bool = False) -> Iterator[None]:
        """All families that these exchanges belong to are looked at for traits. ``again``: and weighed again soon. In slices."""
        for place, event in enumerate(events):
            if place % _SLICE == 0:
                yield
            values = array("Q")
            values.frombytes(event.traits)
            for value in values:
                family = self._families.find(value)
                if family is not None and family.count >= 4:
                    self._to_judge[value] = family
                    if again and family.group is not None and not family.convicted:
                        family.group.look_again()


def _worth(family: Family) -> tuple[bool, float, int]:
    return family.group is not None and family.group.weight > _TELLING_NATS, family.last_at, family.value

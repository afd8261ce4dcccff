"""Clusters: accounts held to be one operator's. A cluster outlives its accounts, and keeps the traits by which new ones join.

An account is *linked* when it was in a convicted group; it is a *member* once two of its exchanges carried the cluster's traits.
A *trait* is a family of which at least nine tenths, by exchanges and by accounts, is the cluster's: what others share with it
convicts nobody. Accounts that showed a trait before the first of the cluster's did, and have a life of their own, are
*bystanders*: whoever copies a user's prompt doesn't shut him out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from guard.recognition.accounts import Accounts, Known
from guard.recognition.earlier import earlier
from guard.recognition.families import Family
from guard.recognition.groups import Observed, shown_in_all
from guard.recognition.purity import PURE, least_share, telling
from guard.recognition.seasoned import of_it
from guard.recognition.verdicts import CONFIRMED_NATS, CONFIRMED_SCORE, SUSPECT_NATS, Verdict, probability
from guard.types import Evidence, Usage

PROVEN = 0.98
"""The share at which a family that was itself found to be one queue speaks for itself alone."""
FEWEST_EXCHANGES, FEWEST_ACCOUNTS, MEMBER_AT = 8, 4, 2
USUALLY = 0.1
"""The share of an account's exchanges that carry a cluster's traits where it is the cluster's."""
HALF_LIFE_S = 7 * 86400.0
"""Of silence, until half of a cluster's evidence is gone."""
_NO_SILENCE_S = 86400.0
MOST_CLUSTERS = 10_000
"""Beyond, the one that was silent longest goes."""
SAME = 0.3
"""Share of a convicted group's accounts in one cluster that makes the group that cluster's."""
SHARED = 0.2
"""The share of a queue's exchanges that a second cluster must have, of the first one's, for both to be one."""
NEWCOMER_EXCHANGES = 5
_LATEST, _NEWCOMER = 256, -1
FEWEST_SETTLED = 3
PUBLIC = 0.25
"""The share of settled accounts among a family's first that makes it a public one."""


class Cluster:
    """One operator's accounts."""

    __slots__ = (
        "answered",
        "begun",
        "bystanders",
        "carried",
        "evidence",
        "firsts",
        "heard",
        "held_until",
        "input_tokens",
        "judge_due",
        "last_at",
        "linked",
        "merged",
        "name",
        "nats",
        "number",
        "output_tokens",
        "score",
        "since",
        "taken",
    )

    def __init__(self, number: int, name: str, now: float) -> None:
        self.number = number
        self.name = name
        self.since = self.last_at = now
        self.nats = self.score = 0.0
        self.evidence: tuple[Evidence, ...] = ()
        self.bystanders: set[int] = set()
        self.firsts: set[int] = set()
        """Marks of the accounts that showed its families' traits before any of its own did (``families.MARK``)."""
        self.begun = 0
        """How many exchanges there had been in all when it was found."""
        self.linked = 0
        """Accounts that are linked to it."""
        self.merged: list[str] = []
        """Names of clusters that it has taken over."""
        self.judge_due = 0.0
        """When what its families' exchanges share is looked at for traits again."""
        self.held_until = 0.0
        """Until when its members are held to be it by what they are alone (``cohorts.py``); 0: it was found by text."""
        self.taken = 0
        """Exchanges of its members and with its traits."""
        self.heard: dict[str, str] = {}
        """Every signal that ever spoke against one of its groups, and its kind: what a pardon keeps."""
        self.carried: Counter[str] = Counter()
        """How often its exchanges carried a trait, by kind of trait."""
        self.answered = self.input_tokens = self.output_tokens = 0
        """What the app has answered of ``taken``, and what that came to."""

    def fade(self, now: float) -> None:
        """What is known of a cluster that was silent weighs less: half of what lies above ``suspect`` in a week. It never falls below
        that line: a cluster's memory outlasts its evidence, and who comes back is waited out until he is weighed again."""
        silence_s = now - self.last_at
        if silence_s < _NO_SILENCE_S:
            return
        self.nats = SUSPECT_NATS + max(0.0, self.nats - SUSPECT_NATS) * 0.5 ** (silence_s / HALF_LIFE_S)
        self.score = probability(self.nats, 3 if self.score >= CONFIRMED_SCORE and self.nats > CONFIRMED_NATS else 2)
        self.last_at = now

    def hear(self, verdict: Verdict) -> None:
        """Takes a verdict on one of its groups: the strongest counts."""
        self.heard |= {one.signal: one.group for one in verdict.evidence if one.nats > 0.0}
        if verdict.score >= self.score:
            self.nats, self.score, self.evidence = verdict.nats, verdict.score, verdict.evidence


class Clusters:
    """All clusters, and whose each trait is."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._held: dict[int, Cluster] = {}
        self._next = 1
        self.seen = 0
        """Exchanges in all."""
        self.proven: set[int] = set()
        """Those of the traits that were themselves found to be one queue."""
        self.traits: dict[int, int] = {}
        """Trait → the number of the cluster it belongs to. The hot path reads it."""
        self.contacts: set[int] = set()
        """Accounts that conversations went to or came from between them and members (``hops.py``)."""
        self.names: dict[str, int] = {}
        """Name → number, of those that were taken over the number of the one that did."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._held.values())

    def number(self, number: int) -> Cluster | None:
        """A cluster by number; None: there is none (any more)."""
        return self._held.get(number)

    def find(self, name: str) -> Cluster | None:
        """A cluster by its name or one it has taken over; None: there is none (any more)."""
        return self._held.get(self.names.get(name, 0))

    def number_from(self, first: int) -> None:
        """Clusters that are found from now on have that number or greater ones."""
        self._next = max(self._next, first)

    def add(self, cluster: Cluster) -> None:
        """Takes up a cluster that was kept over a restart."""
        self._held[cluster.number] = cluster
        self._next = max(self._next, cluster.number + 1)
        self.names |= dict.fromkeys((cluster.name, *cluster.merged), cluster.number)

    def book(self, name: str, usage: Usage) -> None:
        """An exchange of a cluster's came to that."""
        cluster = self.find(name)
        if cluster is not None and usage.status == 200:
            cluster.answered += 1
            cluster.input_tokens += usage.input_tokens
            cluster.output_tokens += usage.output_tokens

    def release(self, cluster: Cluster) -> tuple[list[Known], list[int]]:
        """Ends a cluster: the accounts that were linked to it, and the traits that were its own. O(accounts)."""
        self.drop(cluster.number)
        freed = [known for known in self._accounts if known.cluster == cluster.number]
        for known in freed:
            known.leave()
        values = [value for value, number in self.traits.items() if number == cluster.number]
        for value in values:
            del self.traits[value]
            self.proven.discard(value)
        return freed, values

    def let_go(self, known: Known) -> None:
        """Ends that an account is linked to a cluster, if it is."""
        cluster = self._held.get(known.cluster)
        if cluster is not None:
            cluster.linked -= 1
        known.leave()

    def drop(self, number: int) -> None:
        """Ends a cluster and nothing else: its accounts and traits are told to be whose they are now."""
        if self._held.pop(number, None) is not None:
            self.names = {name: held for name, held in self.names.items() if held != number}

    def convict(
        self,
        family: Family,
        events: list[Observed],
        verdict: Verdict,
        now: float,
        lifted: frozenset[int] = frozenset(),
        *,
        apart: Set[int] = frozenset(),
        aged: bool = False,
        deep: Sequence[Observed] = (),
    ) -> Cluster | None:
        """Books a verdict on a family: links its accounts without standing to a cluster, new or known. Returns it; None: when
        those are gone that are not of it (``apart``: the ``peeling.outsiders``), nobody is left. ``aged``: those of standing too.
        ``deep``: its deep sample, where it is one queue as a whole.

        Accounts under a grant are never linked; those under a pardon only where it is ``lifted``: the evidence goes beyond it.
        """
        first: dict[int, float] = {}
        counts: Counter[int] = Counter()
        for event in events:
            first.setdefault(event.number, event.at)
            counts[event.number] += 1
        if family.whole:
            counts = shown_in_all(family.count, events, deep)
            for event in deep:
                first[event.number] = min(event.at, first.get(event.number, event.at))
        present = [known for number in first if (known := self._accounts.number(number)) is not None]
        early = earlier(family, [event.number for event in events], self._accounts)
        core = [
            known
            for known in present
            if known.number not in apart
            and known.number not in early
            and not known.granted
            and (known.cleared == 0 or known.cleared in lifted)
            and of_it(known, _usual(known, counts[known.number]), now, aged=aged)
        ]
        if not core:
            return None
        cluster = self.whose(core, family.value, now)
        cluster.hear(verdict)
        cluster.firsts.update(family.firsts)
        begun = min(first[known.number] for known in core)
        self.link(cluster, core, first, counts, now)
        for known in present:
            if known.cluster == 0 and (known.number in early or (known.settled(now) and first[known.number] <= begun)):
                cluster.bystanders.add(known.number)
        return cluster

    def link(
        self, cluster: Cluster, core: Iterable[Known], first: Mapping[int, float], counts: Mapping[int, int], now: float
    ) -> None:
        """Links accounts that are in none yet. By number: when each first showed what it was found by, and how often it did."""
        for known in core:
            known.cleared = 0
            if known.cluster == 0:
                known.cluster, cluster.judge_due = cluster.number, now
                cluster.linked += 1
            if known.cluster == cluster.number:
                if known.bearing == 0:
                    known.first_bearing_at = first[known.number]
                known.bearing = max(known.bearing, counts[known.number])

    def judge_trait(self, family: Family, now: float) -> bool:
        """Whether the family is a cluster's trait, by its latest exchanges; books what comes of it.

        A newcomer speaks neither for nor against: what it is will show. Only where chance may have made the family the cluster's, and
        it was not itself found to be one queue, a newcomer is one of the others; nearly pure and found to be one queue, it is no chance.
        """
        tally, sent, accounts = Counter[int](), Counter[int](), Counter[int]()
        before = self.traits.get(family.value, 0)
        owner = count = 0
        shown_by = self._accounts.counted(self._latest(family))
        # Fewer neither make a trait of any cluster's nor two clusters one: most families end here.
        if sum([times for known, times in shown_by if known.cluster]) >= FEWEST_EXCHANGES:
            for known, times in shown_by:
                side = known.cluster or self._side(known, now)
                tally[side] += times
                sent[side] += known.count
                accounts[side] += 1
            owner, count = self._foremost(family, tally, accounts)
        cluster = self._held.get(owner)
        # What is found without text has words of its own only where those are themselves found to be one queue's.
        shown = cluster is not None and (not cluster.held_until or family.convicted == owner)
        if cluster is not None and shown and count >= max(FEWEST_EXCHANGES, tally[_NEWCOMER]):
            others = tally.total() - count - tally[_NEWCOMER]
            strange = 0 if family.convicted == owner else tally[_NEWCOMER]
            other_accounts = accounts.total() - accounts[owner] - accounts[_NEWCOMER]
            share = min(count / (count + others), accounts[owner] / (accounts[owner] + other_accounts))
            taken, seen = cluster.taken, self.seen - cluster.begun
            rate = family.count / max(1, taken, sent[owner])
            proven = family.convicted == owner and share >= PROVEN
            if (
                accounts[owner] >= min(FEWEST_ACCOUNTS, cluster.linked)
                and share >= least_share(taken, seen, kept=before == owner)
                and (proven or telling(rate, count, others + strange, taken, seen))
                and not self.public(family, now)
            ):
                self.traits[family.value] = owner
                cluster.firsts.update(family.firsts)
                (self.proven.add if proven else self.proven.discard)(family.value)
                return True
        if before:
            del self.traits[family.value]
            self.proven.discard(family.value)
        return False

    def _foremost(self, family: Family, tally: Counter[int], accounts: Counter[int]) -> tuple[int, int]:
        """The cluster that showed the trait most, and how often; 0: none did. Two that share what was found to be one queue, and
        that nobody else shows, are one from now on."""
        ranked = sorted([(count, -number) for number, count in tally.items() if number > 0], reverse=True)[:2]
        if not ranked:
            return 0, 0
        count, owner = ranked[0][0], -ranked[0][1]
        second, other = (ranked[1][0], -ranked[1][1]) if len(ranked) == 2 else (0, 0)
        if family.convicted and owner in self._held and other in self._held:
            all_of_them = sum(n for number, n in accounts.items() if number != _NEWCOMER)
            if (
                second >= SHARED * count
                and min(accounts[owner], accounts[other]) >= FEWEST_ACCOUNTS
                and count + second >= PURE * (sum(tally.values()) - tally[_NEWCOMER])
                and accounts[owner] + accounts[other] >= PURE * all_of_them
            ):
                older, younger = sorted((owner, other))
                self._merge(self._held.pop(younger), self._held[older])
                for counter in (tally, accounts):
                    counter[older] += counter.pop(younger)
                return older, count + second
        return owner, count

    def public(self, family: Family, now: float) -> bool:
        """Whether several owners of standing were among the first to show the trait: then a queue may use it too, and it finds
        groups, but it is nobody's mark. A life that was led for days is no standing: a campaign's scouts lead one as well."""
        founders = [known for number in set(family.numbers) if (known := self._accounts.number(number)) is not None]
        own = [known for known in founders if known.number not in self.contacts and not _usual(known, known.bearing)]
        if family.whole and family.group is not None:
            # Of a wide queue's founders most are not linked yet. Those count who were there a day before it, or are seen in it and are
            # held to be none of it.
            seen = {event.number for event in (*family.group.events, *family.group.deep)}
            early = earlier(family, seen, self._accounts)
            own = [known for known in own if known.number in early or (known.number in seen and not known.cluster)]
        standing = sum(known.of_standing(now) for known in own)
        return standing >= FEWEST_SETTLED and standing >= PUBLIC * len(founders)

    def _side(self, known: Known, now: float) -> int:
        """Whose an account without a cluster is when a family's purity is worked out: a newcomer's, or 0: its own."""
        if known.number in self.contacts:
            return _NEWCOMER
        if known.count >= NEWCOMER_EXCHANGES or known.granted or known.cleared or known.settled(now):
            return 0
        return _NEWCOMER

    def join(self, known: Known, cluster: Cluster, now: float) -> None:
        """An exchange of this account carried the cluster's traits."""
        if known.bearing == 0:
            known.first_bearing_at = now
        known.bearing += 1
        if known.cluster == 0:
            known.cluster = cluster.number
            cluster.linked += 1

    @staticmethod
    def _latest(family: Family) -> Iterable[int]:
        group = family.group
        return list(family.numbers) if group is None else [event.number for event in group.events[-_LATEST:]]

    def whose(self, core: list[Known], value: int, now: float) -> Cluster:
        tally = Counter(known.cluster for known in core if known.cluster)
        # Where half of them are known already, all clusters that they come from are one: one queue runs over all of them.
        least = min(SAME * len(core), FEWEST_ACCOUNTS) if 2 * tally.total() >= len(core) else SAME * len(core)
        near = sorted(number for number, count in tally.items() if count >= least and number in self._held)
        if not near:
            if len(self._held) >= MOST_CLUSTERS:
                self.release(min(self._held.values(), key=lambda held: (held.last_at, held.number)))
            cluster = Cluster(self._next, f"c{self._next}-{value >> 40:06x}", now)
            cluster.begun = self.seen
            self.add(cluster)
            return cluster
        oldest = self._held[near[0]]
        for number in near[1:]:
            self._merge(self._held.pop(number), oldest)
        return oldest

    def _merge(self, younger: Cluster, older: Cluster) -> None:
        """The older name goes on. Nobody's levels change: a cluster's level is the sum of its members'."""
        older.merged += [younger.name, *younger.merged]
        older.bystanders |= younger.bystanders
        older.firsts |= younger.firsts
        older.taken += younger.taken
        older.held_until = max(older.held_until, younger.held_until) if older.held_until and younger.held_until else 0.0
        older.linked += younger.linked
        older.heard |= younger.heard
        older.carried += younger.carried
        older.answered += younger.answered
        older.input_tokens += younger.input_tokens
        older.output_tokens += younger.output_tokens
        self.names |= dict.fromkeys((younger.name, *younger.merged), older.number)
        older.judge_due = 0.0
        if younger.score > older.score:
            older.nats, older.score, older.evidence = younger.nats, younger.score, younger.evidence
        for known in self._accounts:
            if known.cluster == younger.number:
                known.cluster = older.number
        for value, number in list(self.traits.items()):
            if number == younger.number:
                self.traits[value] = older.number


def _usual(known: Known, shown: int) -> bool:
    """Whether a good part of an account's exchanges are those that show a trait."""
    return shown >= max(MEMBER_AT, USUALLY * known.count)

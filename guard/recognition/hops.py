"""Conversations that move from one account to another: whoever goes on from an answer that somebody else received is fed by him.

A *hop* is a directed edge, receiver → continuer. A victim whose transcript is pasted has only outgoing edges, a reader of a
published one only incoming ones; so what counts are *strongly* connected components (Tarjan 1972): accounts between which
conversations go to and fro. A component is weighed by ``signals/relayed.py`` and by those of the group signals that say something
of a relay; one owner's keys (an organisation, a payer, at most twelve) are never. Who is convicted is linked to a cluster like any
other (``clusters.py``); who then goes on from members' answers may join (``joining.py``).

Members of a relay are often rented: old, verified, with people's hours and sessions, since people sit at its end. So the standing
of a member is nobody's merit, unless it led a life of its own here before its first hop; from another client than the relay's, or
with such a life, only exchanges that go on from members' answers are the cluster's.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

from guard.hashing import HashKey
from guard.recognition.accounts import Accounts, Known
from guard.recognition.answers import Answers
from guard.recognition.clusters import Cluster, Clusters
from guard.recognition.components import components
from guard.recognition.groups import Observed, sampling
from guard.recognition.joining import HELD, Joining
from guard.recognition.moving import QUICK_S, Node, Step, moves, one_owner, owners, quick
from guard.recognition.pardons import SAME, Pardons
from guard.recognition.verdicts import Verdict, Weighing
from guard.samples import Baseline
from guard.types import Exchange, Usage

ROUTER = 12
"""So many owners, and no more, may be one person's or one team's keys behind a balancer."""
FEWEST_HOPS = 6
FEWEST_TALKS = 3
FEWEST_ACCOUNTS = 3
FEWEST_CANDIDATES = 10
KEPT_S = 7 * 86_400.0
FIRST_TURNS = 3
FEWEST_TOKENS = 20
NOTHING: frozenset[str] = frozenset()
SIGNATURE = frozenset({"signature"})
MOST_HOPS = 65_536
MOST_NODES = 8_192
_MOST_WAITING = 65_536
_FRESH = 8
_SLICE = 1_024
_DUE_SHARE = 100
_BACK = 4_096
"""For each new member about so many earlier hops are looked at."""
UNTOLD = frozenset({"standing", "young_accounts", "even_load", "sessions", "shared_clock"})
"""Group signals that tell a pool made for a work queue from owners. A relay serves people over rented accounts: standing, age, loads
and sessions are theirs, so these say nothing of it."""


class Scene(NamedTuple):
    """What components are weighed with."""

    weighing: Weighing
    baseline: Baseline
    chances: int
    now: float


class Hops:
    """Who goes on from whose answers. ``accounts`` and ``clusters`` are recognition's."""

    def __init__(self, accounts: Accounts, clusters: Clusters, pardons: Pardons, key: HashKey) -> None:
        self._accounts, self._clusters, self._pardons, self._key = accounts, clusters, pardons, key
        self.answers = Answers()
        self.joining = Joining(accounts, clusters)
        self.refused = False
        """Whether there is anybody whose conversation was contained."""
        self.waiting: deque[Step] = deque(maxlen=_MOST_WAITING)
        self.steps: deque[Step] = deque(maxlen=MOST_HOPS)
        """The hops, in order of time."""
        self.nodes: dict[int, Node] = {}
        self.fresh = 0
        """Hops since components were last looked for."""
        self.looks = 0
        """How often it was looked who else is a member."""

    # -- the hot path ---------------------------------------------------------------------------------------------

    def goes_on(
        self, exchange: Exchange, known: Known, client: int, now: float, *, again: bool
    ) -> tuple[Cluster | None, bool, bool]:
        """The cluster whose conversation this exchange takes over (None: of none), whether it takes one over at all, and whether it goes
        on with one that was answered, whoever it was that asked. Books what it goes on from."""
        features = exchange.features
        talk, mine = features.talk, known.number
        answered = True
        found = self.answers.find(talk.answered, now) if talk.answered else None
        if found is None:
            # Whoever was refused gets his answer elsewhere, and goes on.
            answered = False
            found = self.answers.find(talk.before, now) if talk.before and self.refused else None
            if (
                found is not None
                and found.number != mine
                and features.turns <= FIRST_TURNS
                and (found.ago_s > QUICK_S or features.input_tokens < FEWEST_TOKENS)
            ):
                # What begins a conversation others may ask as well.
                found = None
        if found is None and features.sealed:
            found = next(
                (one for key in features.sealed if (one := self.answers.find(key, now)) and one.number != mine), None
            )
        if found is None:
            return None, False, False
        if found.number == mine:
            if mine in self.nodes and answered and not again:
                self.waiting.append(Step(now, mine, mine, found.talk, found.ago_s, client, known.count))
            return None, False, answered
        if not again:
            if answered and not self.answers.gone_on(found):
                return None, False, False
            self.waiting.append(Step(now, found.number, mine, found.talk, found.ago_s, client, known.count))
        giver = self._accounts.number(found.number)
        if giver is None or giver.cluster == 0 or known.cleared or known.cluster not in (0, giver.cluster):
            return None, True, True
        cluster = self._clusters.number(giver.cluster)
        if cluster is None or giver.hops != HELD or mine in cluster.bystanders:
            return None, True, True
        if not again:
            self.joining.joins(
                known,
                cluster,
                Step(now, found.number, mine, found.talk, found.ago_s, client, known.count),
                self.nodes.get(mine),
            )
        return cluster, True, True

    def replayed(self, exchange: Exchange, now: float) -> frozenset[str]:
        """``signature``: it brings along a reasoning signature that was given to another account. It is this exchange that is told by
        that, never the one who received it."""
        sealed = exchange.features.sealed
        if not sealed:
            return NOTHING
        known = self._accounts.find(exchange.account.key)
        mine = known.number if known is not None else 0
        found = [self.answers.find(key, now) for key in sealed]
        return SIGNATURE if any([one is not None and one.number != mine for one in found]) else NOTHING

    def settle(self, exchange: Exchange, usage: Usage, now: float, *, contained: bool) -> None:
        """DONE: whose its answer is; or who asked without getting one, where that was a cluster's."""
        known = self._accounts.find(exchange.account.key)
        if known is None or exchange.account.status != "accepted":
            return
        talk = exchange.features.talk
        begun = self.answers.find(talk.answered, now) if talk.answered else None
        named = begun.talk if begun is not None else 0
        if usage.status == 200 and usage.forwarded:
            if usage.prefix and talk.asked:
                self.answers.give(self._key.answer(talk.asked, usage.prefix), known.number, named, now)
            for signature in usage.signatures:
                self.answers.give(self._key.answer(0, signature), known.number, named, now)
        elif contained and known.cluster and talk.asked:
            self.refused = True
            self.answers.give(talk.asked, known.number, named, now)

    def begin_anew(self) -> None:
        """Forgets the hops; who received what stays."""
        self.waiting.clear()
        self.steps.clear()
        self.nodes.clear()
        self.fresh = 0

    def forget_all(self) -> None:
        """Forgets also who received what: the numbers of accounts stand for others now."""
        self.begin_anew()
        self.answers.clear()
        self.joining.clear()

    # -- beside the request path ----------------------------------------------------------------------------------

    def observe(self, observed: Observed) -> None:
        """Keeps an exchange of an account with hops."""
        self.joining.observe(observed)
        node = self.nodes.get(observed.number)
        if node is not None:
            node.events.append(observed)

    def due(self, now: float) -> bool:
        """Takes in what came before ``now``; whether there is enough that is new to look for components."""
        waiting, nodes = self.waiting, self.nodes
        while waiting and waiting[0].at < now:
            step = waiting.popleft()
            if step.giver == step.taker:
                node = nodes.get(step.taker)
                if node is not None:
                    node.stays += 1
                    node.quick += quick(step)
                continue
            for number in (step.giver, step.taker):
                if number not in nodes:
                    known = self._accounts.number(number)
                    before = step.before - 1 if number == step.taker else known.count if known is not None else 0
                    nodes[number] = Node(step.at, max(0, before))
            nodes[step.taker].client = step.client
            self.steps.append(step)
            self.fresh += 1
            self.joining.moved(step, nodes)
        return self._enough or self.joining.grown > len(self.steps) // _BACK

    @property
    def _enough(self) -> bool:
        return self.fresh >= max(_FRESH, len(self.steps) // _DUE_SHARE)

    def weigh(self, weighing: Weighing, baseline: Baseline, now: float) -> Generator[None, None, list[Observed]]:
        """Looks for components and weighs them, in slices; the exchanges of those that were convicted."""
        if not self._enough:
            yield from self._look_back()
            return []
        yield from self._expire(now)
        reached: dict[int, set[int]] = {}
        for count, step in enumerate(self.steps, 1):
            if self._counts(step.giver) and self._counts(step.taker):
                reached.setdefault(step.giver, set()).add(step.taker)
            if count % _SLICE == 0:
                yield
        given = self.joining.given_soon(self.steps)
        yield
        found: list[list[Known]] = []
        candidates = 0
        for one in components(reached):
            if one is None:
                yield
            else:
                candidates += len(one) >= FEWEST_ACCOUNTS
                accounts = [known for number in one if (known := self._accounts.number(number)) is not None]
                if one_owner(accounts):
                    continue
                if owners(accounts) > ROUTER:
                    found.append(accounts)
                else:
                    self.joining.attach(accounts, given, self.steps, self.nodes)
        whose = {known.number: place for place, accounts in enumerate(found) for known in accounts}
        inside: list[list[Step]] = [[] for _ in found]
        for count, step in enumerate(self.steps, 1):
            place = whose.get(step.giver)
            if place is not None and place == whose.get(step.taker):
                inside[place].append(step)
            if count % _SLICE == 0:
                yield
        scene = Scene(weighing, baseline, max(FEWEST_CANDIDATES, candidates), now)
        convicted: list[Observed] = []
        for accounts, hops in zip(found, inside, strict=True):
            if len(hops) >= FEWEST_HOPS and len({step.talk for step in hops}) >= FEWEST_TALKS:
                convicted += yield from self._component(accounts, hops, scene)
        self.joining.know_clients(self.nodes)
        yield
        yield from self._look_back()
        self.fresh = 0
        return convicted

    def _look_back(self) -> Iterator[None]:
        """The hops before members were known to be any, whenever there are more of them: where all are contained, hardly another hop
        comes."""
        self.joining.grown = 0
        self.looks += 1
        yield from self.joining.later(self.steps, self.nodes)
        self.joining.note_contacts(self.steps)

    def _expire(self, now: float) -> Iterator[None]:
        """Drops hops that no longer count, and accounts without any."""
        steps = self.steps
        while steps and now - steps[0].at > KEPT_S:
            steps.popleft()
        while True:
            alive: set[int] = set()
            for count, step in enumerate(steps, 1):
                alive.add(step.giver)
                alive.add(step.taker)
                if count % _SLICE == 0:
                    yield
            if len(alive) <= MOST_NODES:
                break
            for _ in range(len(steps) // 2):
                steps.popleft()
        self.nodes = {number: node for number, node in self.nodes.items() if number in alive}
        yield

    def _counts(self, number: int) -> bool:
        known = self._accounts.number(number)
        if known is None or known.granted or number not in self.nodes:
            return False
        return known.cleared == 0 or "replay" not in self._pardons.kinds_of(known.cleared)

    def _component(
        self, accounts: list[Known], hops: list[Step], scene: Scene
    ) -> Generator[None, None, list[Observed]]:
        nodes = [node for known in accounts if (node := self.nodes.get(known.number)) is not None]
        events = sorted(event for node in nodes for event in node.events)
        yield
        sample = yield from sampling(events, self._accounts.number, scene.baseline, scene.now)
        if sample is None:
            return []
        spoken = self._pardons.spoken
        cleared = self._cleared(accounts)
        told = replace(sample, moves=moves(nodes, hops))
        verdict = yield from scene.weighing.weighing(told, scene.chances, cleared, enough=True)
        if verdict.band < 2 or self._pardons.spoken != spoken:
            return []
        self._convict(accounts, hops, verdict, scene.now)
        return events

    def _cleared(self, accounts: list[Known]) -> frozenset[str]:
        """The kinds of evidence that a pardon of many of them has lifted."""
        kinds = frozenset[str]()
        for number, count in Counter(known.cleared for known in accounts if known.cleared).items():
            if count >= SAME * len(accounts):
                kinds |= self._pardons.kinds_of(number)
        return kinds

    def _convict(self, accounts: list[Known], hops: list[Step], verdict: Verdict, now: float) -> None:
        core = [known for known in accounts if not known.granted]
        cluster = self._clusters.whose(core, hops[0].talk << 32, now)
        cluster.hear(verdict)
        for known in core:
            known.cleared = 0
            if known.cluster == 0:
                known.cluster = cluster.number
                cluster.linked += 1
            if known.cluster == cluster.number and known.hops != HELD:
                self.joining.hold(known, self.nodes.get(known.number))

    def forget(self, number: int) -> None:
        """Erases an account: what it received, what it went on from, what went on from it."""
        self.answers.forget(number)
        self.nodes.pop(number, None)
        self.joining.clients.pop(number, None)
        for held in (self.waiting, self.steps):
            kept = [step for step in held if number not in (step.giver, step.taker)]
            held.clear()
            held.extend(kept)

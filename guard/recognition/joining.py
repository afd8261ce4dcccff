"""Who joins a relay's cluster by how conversations move, and how long an account is held for it.

* From members' answers in two conversations, or from one and a member from its: it is one of them.
* From a member's answer in one conversation: that exchange is the cluster's, and the account has pasted once; no more is held against
  it. But where it also comes by the *pool's client*, it is held *on trial*: its next ``TRIAL`` exchanges by that client are
  contained, and then it goes free unless it has taken over another conversation. Whoever came by a relay's transcript (its
  customer, who goes on with a key of his own) has a client of his own; where he has not, the trial is what it costs him.
* A member goes on from its answer at once, and it comes by the pool's client: it is held on trial likewise; in two conversations it is
  one of them. Of a victim's transcripts members can't, he would have to show them his screen; a customer who goes on with the relay
  where he was answered himself has a client of his own; and an app, which does show its screen to whoever uses it, has had more than
  ``STAYED`` exchanges when the first of its conversations moves.

The pool's client is what nearly all members send by that took conversations over, and few others do (``OWN_SHARE``, ``OTHERS_SHARE``,
both by Laplace's rule). It is cheap to copy, but the conversation isn't: nobody can make a victim go on from a member's answer. Members'
answers that were gone on from before the members were known count as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from guard.recognition.accounts import SETTLED_EXCHANGES, SETTLED_S, Accounts, Known
from guard.recognition.clusters import Cluster, Clusters
from guard.recognition.groups import Observed
from guard.recognition.moving import Node, Step, quick

HELD = -1
"""``Known.hops`` of a member. Below: on trial."""
TRIAL = 6
"""Exchanges. Of those that a relay answers a third or more move in or out, so after six its account has shown another hop ten times in
eleven."""
STAYED = 2 * TRIAL
"""After so many exchanges without a hop an account is a relay's once in a hundred times."""
SEVERAL = 2
OWN_SHARE = 0.8
OTHERS_SHARE = 0.2
FEWEST_MEMBERS = 8
MOST_CLIENTS = 4_096
_SLICE = 1_024
_TALK_BITS = 32
_TALK = (1 << _TALK_BITS) - 1


def first_talk(hops: int) -> int:
    """The conversation with which an account's hops began, by its ``Known.hops``; 0: none, or a member's."""
    return hops if hops >= 0 else -hops & _TALK if hops < HELD else 0


def try_out(known: Known, exchanges: int) -> None:
    """Holds an account on trial for its next so many exchanges; a member by its hops is held anyway."""
    if known.hops != HELD:
        known.hops = -((known.count + exchanges) << _TALK_BITS | first_talk(known.hops))


def on_trial(known: Known) -> bool:
    """Whether it is still held on trial."""
    return known.hops < HELD and known.count <= -known.hops >> _TALK_BITS


def _led_a_life(known: Known) -> bool:
    """Whether it led a life of its own before its first hop."""
    return known.first_bearing_at - known.first_at >= SETTLED_S and known.count - known.bearing >= SETTLED_EXCHANGES


class Joining:
    """``accounts`` and ``clusters`` are recognition's; ``nodes`` are the accounts with hops (``hops.py``)."""

    def __init__(self, accounts: Accounts, clusters: Clusters) -> None:
        self._accounts, self._clusters = accounts, clusters
        self.clients: dict[int, int] = {}
        """The client that an account last came by, of some thousand accounts."""
        self.pools: dict[int, int] = {}
        """Cluster → its pool's client, where it has one."""
        self.grown = 0
        """How many members there are whose earlier hops have still to be looked at."""

    # -- the hot path ---------------------------------------------------------------------------------------------

    def joins(self, known: Known, cluster: Cluster, step: Step, node: Node | None) -> None:
        """It went on from a member's answer: once may be chance, in two conversations it is a member."""
        self._clusters.join(known, cluster, step.at)
        known.client = step.client
        if known.hops == HELD:
            return
        if first_talk(known.hops) == 0:
            # On trial as one of a crowd (``crowds.py``) it stays so.
            known.hops = step.talk if known.hops == 0 else known.hops - step.talk
        if first_talk(known.hops) != step.talk or (node is not None and node.gave):
            self.hold(known, node)

    def hold(self, known: Known, node: Node | None) -> None:
        """From its first hop on it is held to be the cluster's."""
        known.hops = HELD
        self.grown += 1
        if node is not None:
            known.first_bearing_at = node.first_at
            known.bearing = max(2, known.bearing, known.count - node.before)
            known.client = node.client or known.client
        known.bearing = max(2, known.bearing)

    @staticmethod
    def holds(known: Known, client: int) -> bool:
        """Whether what an account sends is the cluster's because the account is, or is on trial: it has no other life, and no other
        client. One of a crowd (``crowds.py``) may have had another life: bought accounts had."""
        if client != known.client or (known.hops != HELD and not on_trial(known)):
            return False
        of_a_crowd = known.hops < HELD and first_talk(known.hops) == 0
        return of_a_crowd or not _led_a_life(known)

    # -- beside the request path ----------------------------------------------------------------------------------

    def observe(self, observed: Observed) -> None:
        """Notes by which client an account comes."""
        client = observed.stack ^ observed.parameters
        if client:
            clients = self.clients
            clients[observed.number] = client
            if len(clients) > MOST_CLIENTS:
                del clients[next(iter(clients))]

    def clear(self) -> None:
        """Forgets who comes by which client."""
        self.clients.clear()
        self.pools.clear()
        self.grown = 0

    def held(self, number: int) -> bool:
        """Whether an account is a member by its hops."""
        known = self._accounts.number(number)
        return known is not None and known.hops == HELD and known.cluster != 0

    def moved(self, step: Step, nodes: Mapping[int, Node]) -> None:
        """One hop was taken in."""
        giver, taker = self._accounts.number(step.giver), self._accounts.number(step.taker)
        if giver is None or taker is None:
            return
        if taker.hops == HELD:
            self._took(giver, taker, step, nodes[step.giver])
        elif taker.hops > 0 and giver.hops == HELD and giver.cluster == taker.cluster:
            self._try(taker)

    def _try(self, known: Known) -> None:
        """Holds it on trial, once for what it took over, if it comes by the pool's client."""
        if known.hops > 0 and known.client and known.client == self.pools.get(known.cluster) and not _led_a_life(known):
            try_out(known, TRIAL)

    def _took(self, giver: Known, taker: Known, step: Step, node: Node) -> None:
        """A member took over from it. If it took over from a member as well, it is one of them, or if it has given another conversation
        at once; for the first it is held on trial."""
        first, gave, node.gave = first_talk(giver.hops), node.gave, True
        if first and giver.cluster == taker.cluster:
            if not gave or (first != step.talk and quick(step)):
                self.hold(giver, node)
        elif quick(step) and giver.hops == 0 and taker.cluster == (giver.cluster or taker.cluster):
            self._lend(giver, taker.cluster, step.talk, node)

    def _lend(self, known: Known, number: int, talk: int, node: Node) -> None:
        """A member of the cluster of that number took a conversation over from it at once: it is held on trial if it comes by the pool's
        client and led no life of its own before its first hop."""
        cluster = self._clusters.number(number)
        client = self.clients.get(known.number, 0)
        if cluster is None or not client or client != self.pools.get(number) or known.number in cluster.bystanders:
            return
        alone_s = node.first_at - known.first_at
        own_life = node.before > STAYED or (alone_s >= SETTLED_S and node.before >= SETTLED_EXCHANGES)
        if own_life or known.granted or known.cleared:
            return
        self._clusters.join(known, cluster, node.first_at)
        known.client, known.hops = client, talk
        self._try(known)

    def later(self, steps: Collection[Step], nodes: Mapping[int, Node]) -> Iterator[None]:
        """Who went on from members' answers before the members were known, and whom members took over from then, in slices."""
        taken: dict[int, dict[int, Step]] = {}
        given: dict[int, dict[int, Step]] = {}
        for count, step in enumerate(steps, 1):
            if self.held(step.giver) and not self.held(step.taker):
                taken.setdefault(step.taker, {}).setdefault(step.talk, step)
            elif quick(step) and self.held(step.taker) and not self.held(step.giver):
                given.setdefault(step.giver, {}).setdefault(step.talk, step)
            if count % _SLICE == 0:
                yield
        for number, talks in taken.items():
            known = self._accounts.number(number)
            if known is None or known.granted or known.cleared:
                continue
            for step in talks.values():
                giver = self._accounts.number(step.giver)
                cluster = self._clusters.number(giver.cluster) if giver is not None else None
                if cluster is None or number in cluster.bystanders or known.cluster not in (0, cluster.number):
                    continue
                if first_talk(known.hops) != step.talk:
                    self.joins(known, cluster, step, nodes.get(number))
                self._try(known)
                if known.hops == HELD:
                    break
        yield
        for number, talks in given.items():
            known, node = self._accounts.number(number), nodes.get(number)
            for step in talks.values():
                taker = self._accounts.number(step.taker)
                if known is not None and node is not None and taker is not None:
                    self._took(known, taker, step, node)
        yield

    def know_clients(self, nodes: Collection[int]) -> None:
        """Works out which clients are pools'."""
        members: dict[int, Counter[int]] = {}
        for number in nodes:
            known = self._accounts.number(number)
            if known is not None and known.hops == HELD and known.cluster and known.client:
                members.setdefault(known.cluster, Counter())[known.client] += 1
        self.pools = {}
        if not members:
            return
        others = Counter(
            [
                client
                for number, client in self.clients.items()
                if (known := self._accounts.number(number)) is not None and known.cluster == 0
            ]
        )
        everybody = others.total()
        for cluster, clients in members.items():
            client, count = max(clients.items(), key=lambda item: (item[1], item[0]))
            own = (count + 1) / (clients.total() + 2)
            if count >= FEWEST_MEMBERS and own >= OWN_SHARE and (others[client] + 1) / (everybody + 2) <= OTHERS_SHARE:
                self.pools[cluster] = client

    def given_soon(self, steps: Collection[Step]) -> dict[int, set[int]]:
        """Accounts from which members took conversations over at once, and which ones. Of a victim's transcripts they can't: he would
        have to show them his screen."""
        given: dict[int, set[int]] = {}
        for step in steps:
            if quick(step) and self.held(step.taker) and not self.held(step.giver):
                given.setdefault(step.giver, set()).add(step.talk)
        return {number: talks for number, talks in given.items() if len(talks) >= SEVERAL}

    def attach(
        self, accounts: Sequence[Known], given: Collection[int], steps: Collection[Step], nodes: Mapping[int, Node]
    ) -> None:
        """A few accounts that pass conversations round among them and, most of them, at once to members: what is left of the pool when
        the others are contained, and nobody goes on from a member's answer any more."""
        left = [known for known in accounts if not self.held(known.number)]
        feeding = {known.number for known in left if known.number in given}
        if not left or 2 * len(feeding) < len(left):
            return
        takers = Counter(
            taker.cluster
            for step in steps
            if step.giver in feeding and self.held(step.taker) and (taker := self._accounts.number(step.taker))
        )
        cluster = self._clusters.number(max(takers, default=0, key=lambda number: (takers[number], -number)))
        if cluster is not None:
            for known in left:
                if known.cluster == 0:
                    known.cluster = cluster.number
                    cluster.linked += 1
                if known.cluster == cluster.number:
                    self.hold(known, nodes.get(known.number))

    def note_contacts(self, steps: Collection[Step]) -> None:
        """Members, and whoever took over from one, are no witnesses that a trait of theirs is other people's as well. Nor is an account
        from which a member took over at once; whose transcripts are pasted later remains one."""
        contacts: set[int] = set()
        for step in steps:
            if self.held(step.giver):
                contacts |= {step.giver, step.taker}
            elif quick(step) and self.held(step.taker):
                contacts.add(step.giver)
        self._clusters.contacts = contacts

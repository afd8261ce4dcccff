"""The hot path of recognition: a few look-ups and one entry in the ring for each exchange."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from guard.addresses import subnet
from guard.hashing import HashKey
from guard.likelihoods import FIRST_TURNS
from guard.recent import Recent
from guard.recognition.accounts import Accounts, Known
from guard.recognition.ceilings import Ceilings, Over
from guard.recognition.clusters import MEMBER_AT, USUALLY, Cluster, Clusters
from guard.recognition.families import MARK
from guard.recognition.groups import Observed
from guard.recognition.hops import Hops
from guard.recognition.joining import HELD, first_talk, on_trial
from guard.recognition.ring import Ring
from guard.recognition.verdicts import BELOW_CONFIRMED, CONFIRMED_SCORE
from guard.talk import Talk
from guard.types import UNKNOWN, Exchange, Held

COMMON_READING, PLAIN_READING = 0.35, 0.7
STRANGE_AT = 10
STRANGERS_HITS = 4
SETTLED_HITS = 3
RETRY_WINDOW_S = 600.0
_MOST_NAMES = 65_536
_MIX = 0x9E3779B97F4A7C15
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__


class Suspicion(NamedTuple):
    """An exchange of a cluster's: whether it carries the traits itself, and whether its account has a life of its own."""

    cluster: Cluster
    carried: bool
    settled: bool
    hits: int = 0
    """How much its traits say, where it carries them."""

    def held(self, known: Known) -> Held:
        """What the score is made from. The cluster is named of its members and of newcomers that plainly carry its traits: of others
        one exchange may be chance."""
        cluster = self.cluster
        score = cluster.score
        # With a life of its own an account is never held to be the cluster's: at most this exchange is.
        if self.settled:
            score = min(score, BELOW_CONFIRMED)
        newcomer = self.hits >= STRANGERS_HITS and not self.settled and known.count < STRANGE_AT
        name = cluster.name if newcomer or member(known) else None
        merged = tuple(cluster.merged) if name else ()
        return Held(name, score, 3 if score >= CONFIRMED_SCORE else 2, cluster.evidence, self.settled, merged)


STANDING_KINDS = frozenset({"system", "tools"})
TEXT_KINDS = frozenset({"system", "tools", "shingle", "opening", "closing"})


class Lookout:
    """Looks exchanges up. What it reads is kept by ``Recognition``, which shares it."""

    __slots__ = (
        "_accounts",
        "_borne",
        "_ceilings",
        "_clusters",
        "_failed",
        "_hops",
        "_key",
        "_models",
        "_networks",
        "_ring",
    )

    def __init__(
        self, accounts: Accounts, clusters: Clusters, ceilings: Ceilings, ring: Ring, key: HashKey, *, hops: Hops
    ) -> None:
        self._accounts, self._clusters, self._ceilings, self._ring = accounts, clusters, ceilings, ring
        self._hops, self._key = hops, key
        self._models: Recent[str, int] = Recent(_MOST_NAMES)
        self._networks: Recent[str, int] = Recent(_MOST_NAMES)
        self._failed: Recent[str, tuple[int, float]] = Recent(_MOST_NAMES)
        self._borne: Recent[int, str] = Recent(_MOST_NAMES)
        """Conversations of which an exchange plainly carried a cluster's traits → its name: the next shows only what is new in it."""

    def look(self, exchange: Exchange, now: float, *, granted: bool = False) -> Held | None:
        """What is known of an exchange; None: nothing. Leaves an accepted account's in the ring, unless it is granted."""
        account, features = exchange.account, exchange.features
        if account.status != "accepted":
            return None
        known = self._accounts.meet(account, now)
        known.last_at = now
        failed = self._failed.get(account.key)
        again = failed is not None and failed[0] == features.slot and now - failed[1] <= RETRY_WINDOW_S
        if again:
            # One failure excuses one retry: what is answered is not sent again for nothing.
            self._failed.drop(account.key)
        else:
            self._clusters.seen += 1
            known.count += 1
        known.granted = granted
        if granted:
            return None
        traits, proven = self._clusters.traits, self._clusters.proven
        values = []
        hits: list[int] = []
        stack = client = parameters = 0
        for kind, value in features.facets:
            if kind in TEXT_KINDS:
                values.append(value)
                owner = traits.get(value)
                if owner is not None:
                    hits.append(owner)
                    # A whole system prompt or list of tools says as much as two chance words, and so does what was itself found to
                    # be one queue.
                    if kind in STANDING_KINDS:
                        hits.append(owner)
                    if value in proven:
                        hits.append(owner)
            elif kind == "stack":
                client = value & 0xFFFFFFFF
                stack ^= client
            elif kind == "parameters":
                parameters = value & 0xFFFFFFFF
                stack ^= parameters
        suspicion = None
        taken_over, moved, goes_on = None, False, features.goes_on
        if features.talk.before or features.sealed:
            taken_over, moved, answered = self._hops.goes_on(exchange, known, client, now, again=again)
            # Another replica may have been asked what stands before.
            goes_on |= answered
            if moved:
                # What stands before is new of this account, and was another one's: that says nothing of it.
                values = [value for kind, value in features.facets if kind in STANDING_KINDS]
                hits = [traits[value] for value in values if value in traits]
        if taken_over is not None:
            suspicion = self._of(taken_over, known, now, again=again)
        elif hits or known.cluster:
            suspicion = self._suspect(known, hits, client, now, again=again)
        if features.talk.before and suspicion is None:
            suspicion = self._borne_out(features.talk, known, now, again=again)
        if suspicion is not None:
            if not known.stopped_at:
                known.stopped_at = now
            if suspicion.hits >= (SETTLED_HITS if suspicion.settled else STRANGERS_HITS) and features.talk.asked:
                self._borne.put(_conversation(features.talk.asked, known), suspicion.cluster.name)
            if suspicion.carried and not again:
                number, carried = suspicion.cluster.number, suspicion.cluster.carried
                for kind in dict.fromkeys(kind for kind, value in features.facets if traits.get(value) == number):
                    carried[kind] += 1
        if again:
            return None if suspicion is None else suspicion.held(known)
        # How plainly it asks for what a student model is taught with. A common phrase ("step by step") says nothing.
        readings = features.readings
        asked = plainly(max([reading for _, reading in readings])) if readings else 0.0
        if asked:
            known.asked += asked  # a sum of nothing would be a float of each account's own
        known.network = network = exchange.peer.subnet or self._network(exchange.peer.network)
        observed = (
            now,
            known.number,
            array("Q", values).tobytes(),
            features.slot,
            features.gist,
            asked,
            min(features.turns, 255 if goes_on else FIRST_TURNS),
            stack,
            self._models.get(features.model) or self._model(features.model),
            network,
            suspicion.cluster.number if suspicion is not None and suspicion.carried else 0,
            parameters,
            moved,
        )
        self._ring.add(_made(Observed, observed))
        return None if suspicion is None else suspicion.held(known)

    def failed(self, exchange: Exchange, now: float) -> None:
        """It was not answered with 200: the same of the same account within ten minutes is a retry, and says nothing new. What
        clients do of themselves when they are told to wait would else look like their owner's pace."""
        if exchange.account.status == "accepted" and exchange.features.slot:
            self._failed.put(exchange.account.key, (exchange.features.slot, now))

    def forget(self, account: str) -> None:
        """Forgets what of an account was not answered. ``account``: its key."""
        self._failed.drop(account)

    def over(self, exchange: Exchange, now: float, *, enforced: bool) -> Over | None:
        """Whether what accounts without standing may take together is used up for this exchange, which would otherwise pass;
        None: there is room, and it is booked. Not ``enforced``: it passes and is booked whatever this says."""
        known = self._accounts.find(exchange.account.key)
        if known is None or known.granted or known.of_standing(now):
            return None
        values = [value for kind, value in exchange.features.facets if kind in TEXT_KINDS]
        return self._ceilings.over(values, known.number, now, enforced=enforced)

    @staticmethod
    def _enough(known: Known, hits: int) -> bool:
        """Whether so many of a cluster's traits make an exchange the cluster's: more are needed of an account that has
        long gone without any, since among thousands of exchanges a few have some by chance."""
        return hits >= (
            STRANGERS_HITS if known.count >= STRANGE_AT and known.bearing + 1 < USUALLY * known.count else 2
        )

    def _model(self, name: str) -> int:
        """32 bits that stand for a model that was not asked lately."""
        value = self._key.facet("model", name.encode(errors="replace")) & 0xFFFFFFFF
        self._models.put(name, value)
        return value

    def _network(self, network: str) -> int:
        """Likewise for the subnet of an address (``addresses.subnet``); 0: unknown."""
        known = self._networks.get(network)
        if known is None:
            known = 0 if network == UNKNOWN else subnet(self._key, network)
            self._networks.put(network, known)
        return known

    @staticmethod
    def _of(cluster: Cluster, known: Known, now: float, *, again: bool) -> Suspicion:
        """An exchange that takes over a conversation of members."""
        cluster.fade(now)
        if not again:
            cluster.last_at = now
            cluster.taken += 1
        return Suspicion(cluster, True, known.settled(now))

    def _borne_out(self, talk: Talk, known: Known, now: float, *, again: bool) -> Suspicion | None:
        """An exchange that goes on from one which was a cluster's: whoever was stopped there, or got less than he asked for, goes on with
        an answer of his own making. It says nothing of the account."""
        name = self._borne.get(_conversation(talk.before, known))
        cluster = None if name is None or known.cleared else self._clusters.find(name)
        if name is None or cluster is None or known.number in cluster.bystanders:
            return None
        if talk.asked:
            self._borne.put(_conversation(talk.asked, known), name)
        cluster.fade(now)
        cluster.taken += not again
        return Suspicion(cluster, False, known.settled(now))

    def _suspect(self, known: Known, hits: list[int], client: int, now: float, *, again: bool) -> Suspicion | None:
        if known.cleared:
            return None
        if hits:
            owner = max(set(hits), key=lambda number: (hits.count(number), -number))
            cluster = self._clusters.number(owner)
            if cluster is not None and self._enough(known, hits.count(owner)):
                settled = known.settled(now)
                if known.number in cluster.bystanders:
                    return None
                few = hits.count(owner) < (
                    2
                    if known.cluster == owner and (known.hops == HELD or first_talk(known.hops) or member(known))
                    else SETTLED_HITS
                )
                if not settled or not (few or (known.cluster == 0 and known.number & MARK in cluster.firsts)):
                    if not again:
                        self._clusters.join(known, cluster, now)
                        known.client = client
                        cluster.fade(now)
                        cluster.last_at = now
                        cluster.taken += 1
                    return Suspicion(cluster, True, settled, hits.count(owner))
                if known.hops != HELD:
                    return None
        if known.hops == HELD:
            cluster = self._clusters.number(known.cluster)
            held = cluster is not None and (not cluster.held_until or now < cluster.held_until)
            if cluster is not None and held and member(known) and self._hops.joining.holds(known, client):
                cluster.fade(now)
                cluster.taken += not again
                known.bearing += not again
                return Suspicion(cluster, False, known.settled(now))
        elif known.hops < HELD and on_trial(known):
            cluster = self._clusters.number(known.cluster)
            held = cluster is not None and (not cluster.held_until or now < cluster.held_until)
            if cluster is not None and held and self._hops.joining.holds(known, client):
                cluster.fade(now)
                cluster.taken += not again
                return Suspicion(cluster, False, True)
        elif known.cluster and member(known):
            cluster = self._clusters.number(known.cluster)
            if cluster is not None and now < cluster.held_until and not known.client:
                known.client = client
            # What a member sends without the traits is the cluster's too (its cover, its next template), unless it comes from
            # another client: then the account is used by two, and one of them may be its owner.
            held = cluster is not None and (not cluster.held_until or now < cluster.held_until)
            if cluster is not None and held and client == known.client and not known.settled(now):
                cluster.fade(now)
                cluster.taken += not again
                return Suspicion(cluster, False, False)
        return None


def member(known: Known) -> bool:
    """Whether so many of an account's exchanges carried its cluster's traits that it is held to be one of the cluster's."""
    return known.bearing >= max(MEMBER_AT, USUALLY * known.count)


def _conversation(said: int, known: Known) -> int:
    """A conversation of an account's. ``said``: the keyed hash of all that stands in it up to some turn of its own."""
    return said ^ known.number * _MIX


def plainly(reading: float) -> float:
    """How much of a content reading speaks of a purpose, 0 to 1: nothing up to what one common phrase reads, all from twice that."""
    return min(1.0, max(0.0, (reading - COMMON_READING) / (PLAIN_READING - COMMON_READING)))

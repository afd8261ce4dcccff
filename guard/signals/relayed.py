"""Conversations move between the accounts, as often and as fast as if it were all one.

What it sees: of the conversations that go on, the share that goes on at another account of the group than the one that received the
last answer; and whether it goes on there as soon as it does where it stays. A relay sends the next turn of somebody's conversation
to whichever account is free: a tenth to nearly all of its turns move, and those that move are no slower. People who show each other
their transcripts move one turn in twenty at most, and it takes them time to read, copy and paste.

Each conversation counts once, however often it moves, since its moves are not independent.

What honest traffic sets it off: a balancer before one owner's keys. It looks the same in every respect but whose the keys are, so
it is left out before (``recognition/hops.py``). What hides from it: a relay that keeps each conversation on its account to the
end, or changes what stands in the history; the first gives up the pool's use against limits, the second costs prompt caching.

Costly to plant on a victim: it would have to go on, itself, from answers that the planter's accounts received, and they from its.

Cost: 10 µs. Source: DETECTION, section 3; the relays of 2026 (FACTS, 1.3).
"""

from __future__ import annotations

from math import log

from guard.likelihoods import log_mean
from guard.samples import NOTHING, Sample, Weighed

_RELAYS = (0.1, 0.3, 0.6, 0.9)
_OWNERS = (0.005, 0.02, 0.05)
_SLOWER = 0.3
"""How many of people's moves come as soon as what stays, of those that would in a relay."""


class Relayed:
    name = "relayed"
    group = "replay"
    costly = True

    def weigh(self, sample: Sample) -> Weighed:
        moves = sample.moves
        if moves is None or moves.hops == 0:
            return NOTHING
        once = moves.talks / moves.hops
        hops, stays = moves.talks, moves.stays * once
        share = _mixed(_RELAYS, hops, stays) - _mixed(_OWNERS, hops, stays)
        soon = min(0.95, max(0.05, (moves.quick_stays + 1.0) / (moves.stays + 2.0)))
        quick = moves.quick_hops * once
        seldom = _SLOWER * soon
        pace = quick * log(soon / seldom) + (hops - quick) * log((1.0 - soon) / (1.0 - seldom))
        moved = moves.hops / (moves.hops + moves.stays)
        return Weighed(share + pace, f"{moved:.0%} of the turns move, in {moves.talks} conversations")


def _mixed(shares: tuple[float, ...], hops: float, stays: float) -> float:
    return log_mean([hops * log(share) + stays * log(1.0 - share) for share in shares])


PLUGIN = Relayed

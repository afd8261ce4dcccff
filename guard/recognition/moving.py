"""What is kept of conversations that move: single steps, and the accounts between which there were any."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from guard.recognition.accounts import Known
from guard.recognition.groups import Observed
from guard.samples import Moves

ONE_OWNER = 0.5
"""The share of a component's accounts that one organisation or one payer has where it is his."""
QUICK_S = 600
"""A conversation that is carried on by whoever sits before it goes on within so long."""
_EVENTS = 16


class Step(NamedTuple):
    """One exchange that goes on with a conversation: a hop, or a stay where giver and taker are one."""

    at: float
    giver: int
    taker: int
    talk: int
    ago_s: int
    client: int
    before: int
    """The taker's exchanges so far."""


class Node:
    """An account with hops."""

    __slots__ = ("before", "client", "events", "first_at", "gave", "quick", "stays")

    def __init__(self, at: float, before: int) -> None:
        self.first_at = at
        """Its first hop."""
        self.before = before
        """Its exchanges until then."""
        self.stays = self.quick = 0
        """Conversations that it went on with itself since then, and how many of them soon."""
        self.gave = False
        """Whether a member took a conversation over from it."""
        self.client = 0
        """The client stack of its latest exchange that took a conversation over."""
        self.events: deque[Observed] = deque(maxlen=_EVENTS)


def quick(step: Step) -> bool:
    """Whether it went on soon."""
    return step.ago_s <= QUICK_S


def moves(nodes: Sequence[Node], hops: Sequence[Step]) -> Moves:
    """How conversations went between those accounts."""
    return Moves(
        hops=len(hops),
        quick_hops=sum([quick(step) for step in hops]),
        talks=len({step.talk for step in hops}),
        pairs=len({(step.giver, step.taker) for step in hops}),
        stays=sum([node.stays for node in nodes]),
        quick_stays=sum([node.quick for node in nodes]),
    )


def owners(accounts: list[Known]) -> int:
    """How many owners the accounts may have at most: those that share an organisation or a payer have one."""
    count = 0
    seen: set[tuple[str, int]] = set()
    for known in accounts:
        names = {pair for pair in (("org", known.org), ("payment", known.payment)) if pair[1]}
        count += not (names & seen)
        seen |= names
    return count


def one_owner(accounts: list[Known]) -> bool:
    """Whether half of the accounts are one organisation's, or one payer's."""
    for values in (Counter(known.org for known in accounts), Counter(known.payment for known in accounts)):
        values.pop(0, None)
        if max(values.values(), default=0) >= ONE_OWNER * len(accounts):
            return True
    return False

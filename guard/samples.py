"""What a group signal looks at: the exchanges of one candidate group, and what is known of the accounts that sent them.

Only numbers and keyed hashes; no text, no names. Arrays are read-only views: a signal changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST_TURNS = 2
"""Exchanges with at most so many messages begin a conversation; later ones follow from what an account began."""
GIST = 32
"""Dimensions of the content projection of an exchange."""


class Weighed(NamedTuple):
    """What one signal makes of a group: ``nats`` for "one queue" against "independent owners", and why in a few words."""

    nats: float
    reason: str = ""


NOTHING = Weighed(0.0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual among all accounts that guard has seen lately; a group is weighed against it."""

    accounts: int
    """Accounts seen in the last week."""
    exchanges: int
    """Exchanges seen in all."""
    since: float
    """When guard saw its first exchange (seconds since 1970)."""
    reading: float
    """Mean content reading of an exchange."""
    young: float
    """Share of accounts younger than a fortnight; 0.5 where nobody's age can be known yet."""
    dated: float
    """Share of accounts of which the operator states when they were made."""
    unverified: float
    """Share of accounts known to be unverified, among those of which the operator keeps that fact."""
    payment: float
    """Chance that two accounts taken at random share a means of payment; likewise the next two."""
    signup: float
    network: float
    gist: NDArray[np.float32]
    """(GIST,) the mean content of all exchanges."""
    standing: float = 0.0
    """Share of accounts with standing (0.5 and more)."""


class Moves(NamedTuple):
    """How conversations went between a group's accounts (``recognition/hops.py``): counts of turns."""

    hops: int
    """Turns that went on from an answer that another account of the group had received."""
    quick_hops: int
    """Those that came within ten minutes of it."""
    talks: int
    """In so many conversations."""
    pairs: int
    """From so many accounts to so many others, as pairs."""
    stays: int
    """Turns at the account that had received the answer, since its first hop; likewise the quick ones."""
    quick_stays: int


@dataclass(frozen=True, slots=True)
class Sample:
    """n exchanges in order of time, by A accounts that are numbered from 0 within the sample."""

    now: float
    at: NDArray[np.float64]
    account: NDArray[np.int32]
    """(n,) index into the arrays of accounts below."""
    slot: NDArray[np.uint64]
    """(n,) keyed hash of what is new in the text: equal for the same question asked again; 0 where not known."""
    gist: NDArray[np.int8]
    """(n, GIST) content projection, each row about 100 long; zeros where not known."""
    reading: NDArray[np.float32]
    """(n,) the strongest content reading of the exchange, 0 to 1."""
    turns: NDArray[np.uint8]
    """(n,) messages of the conversation so far, as far as it is known to be one (255: that many or more)."""
    stack: NDArray[np.uint32]
    """(n,) hash of the client stack and parameters; 0: none."""
    model: NDArray[np.uint32]
    network: NDArray[np.uint32]
    """(n,) hash of the subnet (/24 or /48); 0: unknown."""
    born: NDArray[np.float64]
    """(A,) when the account was made, else when guard first saw it (seconds since 1970)."""
    dated: NDArray[np.bool_]
    """(A,) whether ``born`` is the operator's own date."""
    verified: NDArray[np.int8]
    """(A,) 1, 0, or −1 where no such fact is kept."""
    standing: NDArray[np.float32]
    """(A,) 0 to 1."""
    payment: NDArray[np.uint64]
    """(A,) keyed hash of the means of payment; 0: none stated. Likewise ``signup`` and ``org``."""
    signup: NDArray[np.uint64]
    org: NDArray[np.uint64]
    baseline: Baseline
    stopped: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """When members of the group were contained, in order; empty: none, or not known."""
    moves: Moves | None = None
    """How conversations moved among the accounts; None: the group was not found by that."""
    begun: NDArray[np.int64] = field(init=False)
    """The places of the exchanges with at most ``FIRST_TURNS`` messages. Worked out once: several signals look at these alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "begun", (self.turns <= FIRST_TURNS).nonzero()[0])

    @property
    def accounts(self) -> int:
        """A."""
        return len(self.born)

    def counts(self) -> NDArray[np.int64]:
        """(A,) exchanges of each account in the sample."""
        return np.bincount(self.account, minlength=self.accounts)

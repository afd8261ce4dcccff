"""What is usual among all accounts: what a group is weighed against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Hashable, Sequence

import numpy as np

from guard.recognition.accounts import Known
from guard.samples import GIST, Baseline

YOUNG_S = 14 * 86400.0
_LATELY_S = 7 * 86400.0
MOST = 4_000
_SLICE = 2_000
_UNSTATED = bytes(8)


class Usual:
    """Keeps the running means, and works out the rest when asked."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.since = 0.0

    def add(self, now: float) -> None:
        """One exchange."""
        if self.exchanges == 0:
            self.since = now
        self.exchanges += 1

    def working_out(self, accounts: Sequence[Known], now: float) -> Generator[None, None, Baseline]:
        """What is usual now among accounts that no cluster holds, each counting once, whatever it sends; in steps.

        Looks at no more than some thousands of them, spread evenly over all.
        """
        lately: list[Known] = []
        for first in range(0, len(accounts), _SLICE):
            lately += [
                known
                for known in accounts[first : first + _SLICE]
                if now - known.last_at < _LATELY_S and known.cluster == 0 and known.count
            ]
            yield
        if len(lately) > MOST:
            lately = lately[:: -(-len(lately) // MOST)]
        count = len(lately)
        dated = sum([known.dated for known in lately])
        stated = [known for known in lately if known.verified >= 0]
        unverified = sum([known.verified == 0 for known in stated]) / len(stated) if stated else 0.5
        young = sum([now - known.born < YOUNG_S for known in lately])
        known_ages = dated or now - self.since > YOUNG_S
        yield
        reading = sum([known.asked / known.count for known in lately])
        yield
        standing = sum([known.of_standing(now) for known in lately])
        yield
        payment = _collision([known.stated[:8] for known in lately if known.stated], _UNSTATED)
        yield
        signup = _collision([known.stated[8:16] for known in lately if known.stated], _UNSTATED)
        yield
        network = _collision([known.network for known in lately], 0)
        return Baseline(
            accounts=count,
            exchanges=self.exchanges,
            since=self.since,
            reading=reading / count if count else 0.0,
            young=young / count if known_ages and count else 0.5,
            dated=dated / count if count else 0.0,
            unverified=unverified,
            payment=payment,
            signup=signup,
            standing=standing / count if count else 0.0,
            network=network,
            gist=np.zeros(GIST, np.float32),
        )


def _collision(values: Sequence[Hashable], unstated: Hashable) -> float:
    """The chance that two of those who state a value state the same."""
    counts = Counter(values)
    counts.pop(unstated, None)
    total = sum(counts.values())
    return sum([n * (n - 1) for n in counts.values()]) / (total * (total - 1)) if total > 1 else 0.0

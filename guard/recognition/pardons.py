"""Pardons: verdicts that the operator has taken back. The same evidence does not convict again; only new kinds of it count.

A pardon keeps the fingerprint of what it lifted: the signals that spoke, their kinds, and the traits. It holds for the accounts
that bear its number, for every group that one of its traits finds, and for every other group of which three tenths of the
accounts without standing (of all, where most have it) bear it: the same accounts under another text are no new finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from guard.recognition.accounts import Known

SAME = 0.3
"""Share of a group's accounts under one pardon that puts the group under it."""
_MOST = 4_096
_MOST_TRAITS = 262_144


class Pardon(NamedTuple):
    """One verdict that was taken back."""

    number: int
    name: str
    """The cluster's."""
    at: float
    signals: Mapping[str, str]
    """Signal → kind, of all that spoke against it."""
    accounts: int
    """How many accounts it freed."""

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self.signals.values())


class Pardons:
    """All pardons. At most 4,096, with 262,144 traits among them: then the oldest goes."""

    def __init__(self) -> None:
        self._held: dict[int, Pardon] = {}
        self._next = 1
        self.spoken = 0
        """Changes with every word of the operator's."""
        self.traits: dict[int, int] = {}
        """Trait → the number of its latest pardon."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Pardon]:
        return iter(self._held.values())

    def pardon(
        self, name: str, signals: Mapping[str, str], traits: Iterable[int], accounts: Sequence[Known], now: float
    ) -> Pardon:
        """Takes back a verdict on these accounts. One on the same cluster and signals is widened, not doubled."""
        self.spoken += 1
        before = next((old for old in self._held.values() if old.name == name and old.signals == signals), None)
        number = self._next if before is None else before.number
        made = Pardon(number, name, now, dict(signals), len(accounts) + (before.accounts if before else 0))
        self.add(made)
        self.traits |= dict.fromkeys(traits, number)
        for known in accounts:
            known.cleared = number
        while len(self._held) > _MOST or (len(self.traits) > _MOST_TRAITS and len(self._held) > 1):
            oldest = next(iter(self._held))
            del self._held[oldest]
            self.traits = {value: number for value, number in self.traits.items() if number != oldest}
        return made

    def add(self, pardon: Pardon) -> None:
        """Takes up a pardon that was kept over a restart."""
        self._held[pardon.number] = pardon
        self._next = max(self._next, pardon.number + 1)

    def kinds_of(self, number: int) -> frozenset[str]:
        """The kinds of evidence that a pardon has lifted; none where there is no such pardon (any more)."""
        held = self._held.get(number)
        return held.kinds if held is not None else frozenset()

    def over(self, trait: int, members: Sequence[Known], now: float) -> tuple[frozenset[str], frozenset[int]]:
        """The kinds of evidence that no longer speak against a group, and the numbers of all its members' pardons."""
        fresh = [known for known in members if not known.settled(now)]
        if 2 * len(fresh) < len(members):
            # A pool of accounts with standing: there all count.
            fresh = list(members)
        kinds = self.kinds_of(self.traits.get(trait, 0))
        for number, count in Counter(known.cleared for known in fresh if known.cleared).items():
            if count >= SAME * len(fresh):
                kinds |= self.kinds_of(number)
        return kinds, frozenset({known.cleared for known in members} - {0})

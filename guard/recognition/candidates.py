"""How many groups could be convicted: so many chances to be wrong, and the prior of each (``verdicts.prior``). Counted as groups change."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from guard.recognition.families import Family
from guard.recognition.groups import Group

FEWEST = 50
_TRAITS = 8
"""Some ten traits of one template find the same group."""


class Chances(NamedTuple):
    """``all``: groups that could be convicted; ``seasoned``: likewise where accounts of standing count."""

    all: int = FEWEST
    seasoned: int = FEWEST


class Candidates:
    """Counts ``few`` and ``seasoned`` over groups that tell it of each change."""

    __slots__ = ("_few", "_groups", "_seasoned")

    def __init__(self) -> None:
        self._groups = self._few = self._seasoned = 0

    def add(self, group: Group) -> None:
        """There is one more."""
        self._groups += 1
        self._few += group.few
        self._seasoned += group.seasoned

    def mark(self, group: Group, *, few: bool, seasoned: bool) -> None:
        """Whether a group has too few accounts without standing, and whether it has enough in all."""
        self._few += few - group.few
        self._seasoned += seasoned - group.seasoned
        group.few, group.seasoned = few, seasoned

    def chances(self, families: Collection[Family]) -> Chances:
        """What the prior is made of. ``families``: those with a group, which are gone through only where some went or were restored."""
        if self._groups != len(families):
            self._groups = len(families)
            groups = [group for family in families if (group := family.group) is not None]
            self._few, self._seasoned = sum([group.few for group in groups]), sum([group.seasoned for group in groups])
        wide = self._groups - self._few
        return Chances(max(FEWEST, wide // _TRAITS), max(FEWEST, self._seasoned // _TRAITS))

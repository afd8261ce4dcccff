"""What is worked out of a tariff once, for as long as its policy is in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from guard.charges import Tariff

_KEPT = 1_024
_T = TypeVar("_T")


class PerTariff(Generic[_T]):
    """What ``make`` makes of the tariffs in use, each made once."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[Tariff], _T]) -> None:
        self._make = make
        self._made: dict[Tariff, _T] = {}

    def of(self, tariff: Tariff) -> _T:
        if tariff in self._made:
            return self._made[tariff]
        made = self._make(tariff)
        if tariff.kept:
            if len(self._made) >= _KEPT:
                self._made.clear()  # of policies that are no more
            self._made[tariff] = made
        return made

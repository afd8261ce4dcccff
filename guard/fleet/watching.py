"""Clusters that note what changes of them, so that telling others costs what changed and not what is held."""

from __future__ import annotations

from typing import Any

from guard.recognition.accounts import Accounts, Known
from guard.recognition.clusters import Cluster, Clusters
from guard.recognition.families import Family
from guard.recognition.groups import Observed


class Traits(dict[int, int]):
    """Whose each trait is, and in ``changed`` those of which that changed."""

    __slots__ = ("changed",)

    def __init__(self, changed: dict[int, None]) -> None:
        super().__init__()
        self.changed = changed

    def __setitem__(self, trait: int, number: int) -> None:
        if self.get(trait) != number:
            self.changed[trait] = None
        super().__setitem__(trait, number)

    def __delitem__(self, trait: int) -> None:
        self.changed[trait] = None
        super().__delitem__(trait)

    def pop(self, trait: int, *default: Any) -> Any:
        if trait in self:
            self.changed[trait] = None
        return super().pop(trait, *default)


class Watched(Clusters):
    """``Clusters``, and what changed since ``forget_changes``: numbers of accounts and of clusters, and traits."""

    def __init__(self, accounts: Accounts) -> None:
        super().__init__(accounts)
        self.touched: set[int] = set()
        self.changed: set[int] = set()
        self.retraited: dict[int, None] = {}
        self.traits = Traits(self.retraited)

    def forget_changes(self) -> None:
        """Whatever changed was told."""
        self.touched, self.changed = set(), set()
        self.retraited.clear()

    def convict(self, family: Family, events: list[Observed], *more: Any, **named: Any) -> Cluster | None:
        cluster = super().convict(family, events, *more, **named)
        if cluster is not None:
            self.changed.add(cluster.number)
            self.touched.update([event.number for event in events])
        return cluster

    def whose(self, core: list[Known], value: int, now: float) -> Cluster:
        cluster = super().whose(core, value, now)
        self.changed.add(cluster.number)
        self.touched.update([known.number for known in core])
        return cluster

    def judge_trait(self, family: Family, now: float) -> bool:
        self.retraited[family.value] = None
        return super().judge_trait(family, now)

    def release(self, cluster: Cluster) -> tuple[list[Known], list[int]]:
        freed, traits = super().release(cluster)
        self.changed.add(cluster.number)
        self.touched.update([known.number for known in freed])
        return freed, traits

    def let_go(self, known: Known) -> None:
        self.touched.add(known.number)
        super().let_go(known)

    def _merge(self, younger: Cluster, older: Cluster) -> None:
        self.changed.update((younger.number, older.number))
        self.touched.update([known.number for known in self._accounts if known.cluster == younger.number])
        super()._merge(younger, older)

"""Meters of clusters: the level of a cluster is the sum of its members' levels.

A cluster's meter drains like any other (``meters.py``), and what drains is taken off its members in proportion to what each has: so
the sum needs no adding up, and a member's own level is known without touching the others. With L the cluster's level and
``kept`` the product of L after / L before over all drains, a member who added x when ``kept`` was k holds x / k · ``kept``.

So when clusters merge the sum is that of both, and an account that is found to be another cluster's takes along what is its
own: nothing is reset, nothing charged twice. A merger costs as much as both have merged before, whatever their size: the
members of the younger one become a *wing* of the older.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from guard.charges import Metered
from guard.errors import StateError
from guard.meters import COST_MAX, SLACK, wait_s

_TINY = 1e-100
# An epoch ends where ``kept`` was scaled up; two end where nothing was left, so that nobody has anything from before.
_EMPTIED = 2
_SLICE = 500

Column = tuple[str, str, str]
"""Limit id, unit, window ordinal."""


class _Meter:
    """One window of one limit of one cluster. The rate is that of the last touch: what is past is not rewritten."""

    __slots__ = ("as_of", "epoch", "kept", "level", "rate")

    def __init__(self, now: float) -> None:
        self.level, self.as_of, self.rate = 0.0, now, 0.0
        self.kept, self.epoch = 1.0, 0

    def drain(self, now: float) -> None:
        if now <= self.as_of:
            return
        before, after = self.level, self.level - (now - self.as_of) * self.rate
        self.as_of = now
        if before <= 0.0:
            return
        if after <= 0.0:
            self.level, self.kept, self.epoch = 0.0, 1.0, self.epoch + _EMPTIED
            return
        self.level = after
        self.kept *= after / before
        if self.kept < _TINY:
            self.kept, self.epoch = self.kept / _TINY, self.epoch + 1


class _Union:
    """A cluster's meters, and its members in wings."""

    __slots__ = ("meters", "wings")

    def __init__(self) -> None:
        self.meters: dict[Column, _Meter] = {}
        self.wings = [_Wing(self)]

    def meter(self, column: Column, now: float) -> _Meter:
        meter = self.meters.get(column)
        if meter is None:
            meter = self.meters[column] = _Meter(now)
        return meter

    def empty(self, now: float) -> bool:
        for meter in self.meters.values():
            meter.drain(now)
        return not any([meter.level for meter in self.meters.values()])


class _Wing:
    """Members that came by one merger. ``fit``: what brings their entries to the union's ``kept`` and epoch."""

    __slots__ = ("fit", "members", "owner")

    def __init__(self, owner: _Union) -> None:
        self.owner = owner
        self.fit: dict[Column, tuple[float, int]] = {}
        self.members: dict[str, dict[Column, tuple[float, int]]] = {}
        """Account → window → (what it added, divided by ``kept``; the epoch). All members, whatever they have added."""

    def level(self, account: str, column: Column) -> float:
        entry, meter = self.members.get(account, _NOTHING).get(column), self.owner.meters.get(column)
        if entry is None or meter is None:
            return 0.0
        ratio, shift = self.fit.get(column, (1.0, 0))
        past = meter.epoch - entry[1] - shift
        held = entry[0] * ratio * meter.kept * (1.0 if past == 0 else _TINY if past == 1 else 0.0)
        return min(held, meter.level)

    def put(self, account: str, column: Column, level: float) -> None:
        meter = self.owner.meters[column]
        ratio, shift = self.fit.get(column, (1.0, 0))
        self.members[account][column] = (level / (ratio * meter.kept), meter.epoch - shift)


class Member(NamedTuple):
    """An account as one of a cluster's. ``kind`` keeps limits of different subjects apart; ``""``: per cluster alone."""

    kind: str
    cluster: str
    account: str


_NOTHING: Mapping[Column, tuple[float, int]] = {}


class Unions:
    """All clusters' meters. At most ``most`` accounts are members at once: what further ones use is the cluster's and nobody's
    own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._unions: dict[tuple[str, str], _Union] = {}
        self._where: dict[tuple[str, str], _Wing] = {}
        self.portion = 1.0
        """This process's part of what a cluster may take: others hold the rest."""

    def __len__(self) -> int:
        return len(self._unions)

    def look(
        self,
        member: Member,
        merged: Sequence[str],
        meters: Sequence[Metered],
        costs: tuple[float, float, float],
        now: float,
    ) -> list[tuple[int, float]]:
        """Which of the meters have no room for an exchange of that member, and the seconds until each has. Books nothing; where
        the account was another cluster's, or the cluster has taken over others (``merged``), levels move."""
        union = self._settle_in(member, merged, now)
        lacking = []
        for number, (limit, unit, ordinal, amount, rate, place, _) in enumerate(meters):
            meter = union.meter((limit, unit, ordinal), now)
            meter.drain(now)
            amount, meter.rate = amount * self.portion, rate * self.portion
            cost = costs[place]
            room = amount if amount >= cost else cost
            if not (amount > 0.0 and cost <= COST_MAX and meter.level + cost <= room * (1.0 + SLACK)):
                lacking.append((number, wait_s(meter.level, cost, amount, meter.rate)))
        return lacking

    def add(self, member: Member, meters: Sequence[Metered], amounts: Sequence[float], now: float) -> None:
        """Books so much of each unit, in the order of ``UNITS``, or gives back (below 0) no more than the account still has, in
        the cluster whose member the account is by now."""
        kind, cluster, account = member
        wing = self._where.get((kind, account))
        union = wing.owner if wing is not None else self._unions.get((kind, cluster))
        for limit, unit, ordinal, _, _, place, _ in meters if union is not None else ():
            column, amount = (limit, unit, ordinal), amounts[place]
            meter = union.meters.get(column) if union is not None else None
            if meter is None or not amount:
                continue
            meter.drain(now)
            if wing is None:
                meter.level = min(COST_MAX, meter.level + max(0.0, amount))
                continue
            own = wing.level(account, column)
            amount = min(max(amount, -own), COST_MAX - meter.level)
            meter.level += amount
            wing.put(account, column, own + amount)

    def _settle_in(self, member: Member, merged: Sequence[str], now: float) -> _Union:
        """The cluster's union, with those it has taken over in it, and the account among its members."""
        kind, cluster, account = member
        union = self._unions.get((kind, cluster))
        if union is None:
            union = self._unions[kind, cluster] = _Union()
        for name in merged:
            younger = self._unions.pop((kind, name), None)
            if younger is not None:
                _merge(younger, union, now)
        wing = self._where.get((kind, account))
        if wing is None:
            if len(self._where) < self._most:
                self._where[kind, account] = union.wings[0]
                union.wings[0].members[account] = {}
        elif wing.owner is not union:
            _move(account, wing, union.wings[0], now)
            self._where[kind, account] = union.wings[0]
        return union

    def level(self, cluster: str, column: Column, now: float, kind: str = "") -> float:
        """What is used of a cluster's limit."""
        union = self._unions.get((kind, cluster))
        if union is None or column not in union.meters:
            return 0.0
        meter = union.meters[column]
        meter.drain(now)
        return meter.level

    def share(self, account: str, column: Column, now: float, kind: str = "") -> float:
        """How much of that is the account's."""
        wing = self._where.get((kind, account))
        if wing is None or column not in wing.owner.meters:
            return 0.0
        wing.owner.meters[column].drain(now)
        return wing.level(account, column)

    def forget(self, account: str, now: float) -> int:
        """Takes an account and all that is its own out of every cluster; how many meters. O(kinds of limits)."""
        kinds = {kind for kind, _ in self._unions}
        taken = 0
        for kind in kinds:
            wing = self._where.pop((kind, account), None)
            if wing is not None:
                for column in wing.members.get(account, _NOTHING):
                    meter = wing.owner.meters[column]
                    meter.drain(now)
                    meter.level -= wing.level(account, column)
                    taken += 1
                wing.members.pop(account, None)
        return taken

    # -- beside the request path -----------------------------------------------------------------------------------

    def sweep(self, now: float) -> Iterator[None]:
        """Drops clusters of which nothing is used, and their members, in slices of about a millisecond."""
        dropped: list[tuple[str, _Union]] = []
        for count, (key, union) in enumerate(list(self._unions.items()), 1):
            if self._unions.get(key) is union and union.empty(now):
                del self._unions[key]
                dropped.append((key[0], union))
            if count % _SLICE == 0:
                yield
        for kind, union in dropped:
            # Who has come to another cluster meanwhile is no member here any more.
            members = [(account, wing) for wing in union.wings for account in wing.members]
            for count, (account, wing) in enumerate(members, 1):
                if self._where.get((kind, account)) is wing:
                    del self._where[kind, account]
                if count % _SLICE == 0:
                    yield

    def pieces(self) -> Iterator[dict[str, Any]]:
        """Everything as plain data, some hundred members a piece."""
        for (kind, cluster), union in list(self._unions.items()):
            columns = list(union.meters)
            named = [(account, wing) for wing in union.wings for account in wing.members]
            for first in range(0, max(1, len(named)), _SLICE):
                yield {
                    "union": [kind, cluster],
                    "columns": [list(column) for column in columns],
                    "meters": [
                        [meter.level, meter.as_of, meter.rate] for meter in map(union.meters.get, columns) if meter
                    ],
                    "members": {
                        account: [wing.level(account, column) for column in columns]
                        for account, wing in named[first : first + _SLICE]
                    },
                }

    def restore(self, piece: Mapping[str, Any], now: float) -> None:
        """Takes up one piece. Raises ``StateError`` for what is none."""
        try:
            self._take_up(piece, now)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateError(
                f"the limits kept per cluster can't be read ({type(error).__name__}); to start with empty ones, move the files "
                "in state_dir away"
            ) from error

    def _take_up(self, piece: Mapping[str, Any], now: float) -> None:
        kind, cluster = (str(part) for part in piece["union"])
        columns = [(str(limit), str(unit), str(ordinal)) for limit, unit, ordinal in piece["columns"]]
        union = self._unions.setdefault((kind, cluster), _Union())
        for column, (level, as_of, rate) in zip(columns, piece["meters"], strict=True):
            if not (0.0 <= level <= COST_MAX and as_of >= 0.0 and rate >= 0.0):
                raise ValueError("a cluster's level, time or rate is no such number")
            if column not in union.meters:
                meter = union.meter(column, min(float(as_of), now))
                meter.level, meter.rate = float(level), float(rate)
        for account, levels in piece["members"].items():
            self._where[kind, account] = union.wings[0]
            union.wings[0].members[account] = {}
            for column, level in zip(columns, levels, strict=True):
                union.wings[0].put(account, column, float(level))


def _merge(younger: _Union, older: _Union, now: float) -> None:
    """The older one's levels become those of both."""
    fits = {}
    for column, meter in younger.meters.items():
        into = older.meter(column, now)
        meter.drain(now)
        into.drain(now)
        into.level = min(COST_MAX, into.level + meter.level)
        into.rate = max(into.rate, meter.rate)
        fits[column] = (meter.kept / into.kept, into.epoch - meter.epoch)
    for wing in younger.wings:
        for column, (ratio, shift) in fits.items():
            was = wing.fit.get(column, (1.0, 0))
            wing.fit[column] = (was[0] * ratio, was[1] + shift)
        wing.owner = older
        older.wings.append(wing)


def _move(account: str, wing: _Wing, to: _Wing, now: float) -> None:
    """An account leaves for another cluster with what is its own."""
    to.members[account] = {}
    for column in list(wing.members.get(account, _NOTHING)):
        source, into = wing.owner.meters[column], to.owner.meter(column, now)
        source.drain(now)
        into.drain(now)
        level = wing.level(account, column)
        source.level -= level
        into.level = min(COST_MAX, into.level + level)
        into.rate = into.rate or source.rate
        to.put(account, column, level)
    wing.members.pop(account, None)

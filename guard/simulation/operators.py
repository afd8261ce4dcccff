"""The operator of a campaign that hears what it is answered, and does something about it.

It knows what any client knows: the status, whether a notice says that the answer was reduced, and how long it took. What guard
holds of it, and why, it has to guess. All work through one queue at one pace; they differ in what they do about a containment:

goes on          nothing: the task is asked again later, by whoever's turn it is
rotates          gives the account up and takes a fresh one
rewords          writes another fixed text, for all accounts
slows down       halves its pace, and tries to be faster again after quiet hours
probes first     finds out by bisection how many accounts may share a wording without any being contained, and harvests below that
all at once      rotates, rewords and slows down
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from guard.simulation.campaigns import BEGINS_DAY, Dealt, Pool, Shape
from guard.simulation.ordinary import Stage
from guard.simulation.owners import DAY_S, HOUR_S, JSONObject, Owner
from guard.simulation.prompts import Wording

SLOWEST = 1.0 / 64.0
TRIAL = 12
"""So many exchanges of each of its accounts make a trial."""
MOST_TOGETHER = 64
_LONG_S = 2.0
_QUIET_S = 4.0 * HOUR_S


class Heard(NamedTuple):
    """What a client sees of an answer. ``reduced``: a notice says so."""

    status: int
    reduced: bool = False
    waited_s: float = 0.0

    @property
    def in_full(self) -> bool:
        """Whether it looks like what was asked for."""
        return self.status == 200 and not self.reduced and self.waited_s <= _LONG_S


class Operator:
    """Goes on, whatever it hears. The others do something in ``stopped``.

    ``due_at`` is when it asks next (infinity: never again). One ``ask``, then one ``told``.
    """

    def __init__(self, stage: Stage, shape: Shape, name: str, accounts: int) -> None:
        self._stage, self._dice = stage, stage.dice
        self._pool = Pool(stage, shape, name, accounts)
        self._queue = Dealt(stage, shape._replace(wordings=1), name)
        self._wording = self._queue.wordings[0]
        self._step_s = DAY_S / (accounts * shape.per_day)
        self._pace = 1.0
        self._begin = stage.start + BEGINS_DAY * DAY_S
        self._now: tuple[Owner, str] | None = None
        self._burnt: dict[str, bool] = {}
        self.sent = 0
        self.due_at = self._begin

    @property
    def unopposed(self) -> int:
        """How many exchanges it would have sent, and got in full, if nobody had minded."""
        return int((self._stage.end - self._begin) / self._step_s)

    @property
    def used(self) -> int:
        """How many accounts it has asked with."""
        return len(self._burnt)

    @property
    def burnt(self) -> int:
        """How many of them it has given up, or heard a containment from last."""
        return sum(self._burnt.values())

    def ask(self) -> JSONObject:
        """Its next exchange, at ``due_at``."""
        at = self.due_at
        self._pool.fill(at)
        who, wording = self._turn(at)
        task = self._queue.task()
        self._now = who, task
        self.sent += 1
        return self._queue.asks(at, who, task, wording)

    def told(self, heard: Heard) -> None:
        """What it was answered."""
        if self._now is None:
            return
        (who, task), self._now = self._now, None
        at = self.due_at
        self._burnt[who.id] = not heard.in_full
        if not heard.in_full:
            self._queue.give_back(task)
        self._heard(who, at, stopped=not heard.in_full)
        self.due_at = at + self._step_s / self._pace * self._dice.uniform(0.7, 1.3)
        if self.due_at >= self._stage.end:
            self.due_at = inf

    def _turn(self, at: float) -> tuple[Owner, Wording]:
        """Who asks now, and how."""
        return self._pool.next(), self._wording

    def _heard(self, who: Owner, at: float, *, stopped: bool) -> None:
        """What it does about it."""

    def _give_up(self, who: Owner) -> None:
        self._pool.drop(who)
        self._burnt[who.id] = True


class Rotates(Operator):
    """A fresh account for each that was contained."""

    def _heard(self, who: Owner, at: float, *, stopped: bool) -> None:
        if stopped:
            self._give_up(who)


class Rewords(Operator):
    """Another fixed text after each containment."""

    def _heard(self, who: Owner, at: float, *, stopped: bool) -> None:
        if stopped:
            self._wording = self._queue.worded()


class Slows(Operator):
    """Half the pace after a containment, at most once an hour; a quarter faster after four quiet hours."""

    _changed_at = 0.0

    def _heard(self, who: Owner, at: float, *, stopped: bool) -> None:
        if stopped and at - self._changed_at >= HOUR_S:
            self._pace, self._changed_at = max(SLOWEST, self._pace / 2.0), at
        elif not stopped and at - self._changed_at >= _QUIET_S and self._pace < 1.0:
            self._pace, self._changed_at = min(1.0, self._pace * 1.25), at


class AllAtOnce(Slows):
    """Another account, another text, another pace."""

    def _heard(self, who: Owner, at: float, *, stopped: bool) -> None:
        super()._heard(who, at, stopped=stopped)
        if stopped:
            self._give_up(who)
            self._wording = self._queue.worded()


class Lot:
    """Accounts that share a wording."""

    __slots__ = ("accounts", "asked", "wording")

    def __init__(self, wording: Wording, accounts: list[Owner]) -> None:
        self.wording, self.accounts = wording, accounts
        self.asked = 0


class Probes(Operator):
    """Bisects how many accounts may share a wording; then the whole pool works in lots of that size.

    A trial is one lot that asks ``TRIAL`` times by each account: through without a containment, the size is safe. Later, whoever
    is contained is given up, the others of his lot get another text, and lots are made smaller by a quarter.
    """

    def __init__(self, stage: Stage, shape: Shape, name: str, accounts: int) -> None:
        super().__init__(stage, shape, name, accounts)
        self._safe, self._unsafe = 0, min(MOST_TOGETHER, accounts) + 1
        self._trial: Lot | None = None
        self._lots: dict[str, Lot] = {}
        """By account."""

    @property
    def together(self) -> int:
        """How many accounts share a wording, as far as it has found out."""
        return max(1, self._safe)

    @property
    def probing(self) -> bool:
        """Whether it is still finding out."""
        return self._unsafe - self._safe > max(1, self._safe // 4)

    def _turn(self, at: float) -> tuple[Owner, Wording]:
        if self.probing:
            if self._trial is None:
                fewer = self._pool.accounts[: (self._safe + self._unsafe) // 2]
                self._trial = Lot(self._queue.worded(), fewer)
            lot = self._trial
            lot.asked += 1
            return lot.accounts[lot.asked % len(lot.accounts)], lot.wording
        who = self._pool.next()
        return who, self._lot(who).wording

    def _lot(self, who: Owner) -> Lot:
        lot = self._lots.get(who.id)
        if lot is None:
            others = [one for one in self._pool.accounts if one.id not in self._lots and one is not who]
            lot = Lot(self._queue.worded(), [who, *others[: self.together - 1]])
            for one in lot.accounts:
                self._lots[one.id] = lot
        return lot

    def _heard(self, who: Owner, at: float, *, stopped: bool) -> None:
        trial = self._trial
        if trial is not None:
            size = len(trial.accounts)
            if stopped:
                # Whoever was seen together in a trial that failed is of no use any more.
                self._unsafe = size
                for one in trial.accounts:
                    self._give_up(one)
            elif trial.asked >= TRIAL * size:
                self._safe = size
            else:
                return
            self._trial = None
        elif stopped:
            self._safe = self.together * 3 // 4
            self._unsafe = self._safe + 1
            self._give_up(who)
            for one in self._lots[who.id].accounts:
                # The others of his lot are dealt out anew.
                self._lots.pop(one.id, None)


class Strategy(NamedTuple):
    """One way to react. ``judged``: whether the bars are meant for it."""

    name: str
    begins: Callable[[Stage, Shape, str, int], Operator]
    judged: bool = True


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        strategy.name.replace(" ", "-"): strategy
        for strategy in (
            Strategy("goes on", Operator),
            Strategy("rotates", Rotates),
            Strategy("rewords", Rewords),
            Strategy("slows down", Slows),
            Strategy("probes first", Probes),
            Strategy("all at once", AllAtOnce, judged=False),
        )
    }
)

"""Ceilings and the pool: what accounts without standing may take together, whatever anybody's score.

A trait that ``SPAN`` accounts without standing show within a day has a *ceiling* that day and the next: a meter that all their
exchanges with the trait share. All exchanges of all such accounts share one more, the *pool*. So what shares a trait takes no
more than its ceiling, and all else together no more than the pool. Meters hang on traits, not on clusters: clusters may merge and
split, N small accounts obey one sum. An exchange passes if everything that it falls under has room, and is then booked once in
each: of ten shingles of one template each counts it once, and the tightest decides. An account's first ``FREE`` exchanges of a
day pass any ceiling; only the pool stops them. Near the end the light accounts are served first (``joint.py``).

Allowance of a ceiling: three times the median of the trait's last seven *days* (a median hour of what sleeps at night is 0): half
of that at once and half over a day, so never more than all of it in a day; at least ``LEAST`` at once and an hour. That least
holds at any age: a lower one would bind only who doesn't simply change his template. Whose conduct plainly speaks for owners who
live ``apart`` (a prompt that goes round among newcomers) are allowed ``APART`` times that, no more: people can be imitated. Days on
which guard watched and the trait did not come count as 0, so nobody triples himself from day to day. What was there when guard had
learned what is usual counts as having been there the day before; so does nothing that comes later.

Allowance of the pool: three times the median hour of the last week, from a week of history on, at least ``POOL_LEAST``; all of
it may be used at once, and it comes back within an hour.

*Rare*: what a twentieth of the accounts of standing show has no ceiling, and what a share p of them show is allowed at least
three times p of what all accounts without standing take. Each counts once a day, by its first exchange: one huge account makes
nothing common. Only accounts of standing count, from before others show the trait on (``unrowed.py``): a campaign can't vouch for
itself however big it is, and a company that replaces all its accounts in a night is known by its prompt.

Days begin when the first exchange came. One thread: ``over`` on the hot path, everything else beside it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Literal, NamedTuple

from guard.recognition.joint import ALL, Joint
from guard.recognition.today import Today
from guard.recognition.unrowed import Unrowed

SPAN = 20
LEAST = 200.0
APART = 4.0
POOL_LEAST = 600.0
TIMES = 3.0
COMMON = 0.05
LEARNING_EXCHANGES = 10_000
REFERENCE = 200
"""Accounts of standing (those seen today, half of yesterday's, …) from which a share can be told."""
WAIT_S = 45.0
"""What is limited may come back in 45 to 60 s: clients sleep as long as they are told, so never longer."""
_USUAL = 0.25
"""Where nobody has standing yet: the share of all accounts that makes a trait common when learning ends."""
_WATCHED = 5
"""Accounts without standing from which on a trait's days are counted: it has a history when it spans enough."""
_CELLS_HIT = 18
"""Of 64 cells so many are hit by 20 accounts (linear counting, Whang et al. 1990: 64·(1 − e^(−20/64)) = 17.2)."""
_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_WEEK_HOURS = 168
_SLICE = 256
_ONE_LESS = bytes([0, *range(255)])


class Over(NamedTuple):
    """An exchange found no room. ``allowance_h``: what is allowed an hour over a long time; ``trait``: the keyed hash of the
    trait whose ceiling it is, 0: it is the pool."""

    reason: Literal["ceiling", "pool"]
    wait_s: float
    allowance_h: float
    trait: int


class Ceilings:
    """All ceilings, and the pool. ``public``: keyed hashes of traits that never have one; ``most``: traits that are kept."""

    def __init__(self, max_accounts: int, most: int = 32_768, public: Collection[int] = ()) -> None:
        self._public = frozenset(public)
        self._joint = Joint(most)
        self._today = Today(max_accounts)
        self._unrowed = Unrowed(most)
        """Traits that too few accounts have shown for a row."""
        self._cells, self._shown, self._spans = array("Q", [0]), array("f", [0.0]), bytearray(1)
        """By row: which cells its accounts without standing hit today, how many of standing have shown it, for how many days
        it has a ceiling."""
        self._hours: list[int] = []
        self._this_hour = 0
        self._exchanges = 0
        self._reference = 0.0
        self._learned = False
        self._first_day = 0
        self._accounts = 0
        self._early: dict[int, list[float]] = {}
        """While learning, by row: since when it has one, and how many accounts have shown it."""
        self._usual: frozenset[int] = frozenset()
        self._since = self._day_due = self._hour_due = inf
        self._unmet = 0
        self.apart: Callable[[int], bool] = lambda _: False
        """Whether the accounts that show a trait are known to live apart."""
        self.allowed: set[int] | None = None
        """The traits whose allowance was worked out, where somebody keeps count of them."""

    # -- hot path -------------------------------------------------------------------------------------------------

    def over(self, values: Sequence[int], number: int, now: float, *, enforced: bool = True) -> Over | None:
        """Books an exchange that would otherwise pass, of an account without standing and without a grant. What it returns has
        no room for it, and nothing is booked. ``values``: its text traits; ``number``: the account's. Not ``enforced``: it passes
        whatever this says, and is booked."""
        today = self._today
        full = self._joint.take(values, today.rank(number), now, enforced=enforced)
        if full is None or not enforced:
            self._this_hour += 1
            today.take(number)
            if full is None:
                return None
        trait, rate = full
        return Over("ceiling" if trait else "pool", WAIT_S + number % 16, rate * _HOUR_S, trait)

    # -- beside the request path ----------------------------------------------------------------------------------

    def note(self, values: Sequence[int], number: int, now: float, *, fresh: bool) -> None:
        """Takes in any exchange, of whomever. ``values``: those of its text traits that more than one or two accounts have
        shown; ``fresh``: its account has no standing."""
        if not self._exchanges:
            self._since, self._day_due, self._hour_due = now, now + _DAY_S, now + _HOUR_S
        self._exchanges += 1
        first = self._today.meet(number)
        if first:
            self._accounts += 1
            self._reference += not fresh
        rows, cells, early = self._joint.rows, self._cells, self._early
        cell = 1 << (number * 0x9E3779B97F4A7C15 >> 58 & 63)
        for value in values:
            row = rows.get(value)
            if row is None:
                if fresh:
                    row = self._meet(value, cell, now)
                elif first:
                    self._unrowed.show(value)
                if row is None:
                    continue
            if first:
                if not self._learned:
                    early[row][1] += 1.0
                if not fresh:
                    self._shown[row] += 1.0
            if fresh:
                cells[row] |= cell
                if self._spans[row] < 2 and cells[row].bit_count() >= _CELLS_HIT:
                    self._spans[row] = 2
                    self._allow(value, row, now)

    def _meet(self, value: int, cell: int, now: float) -> int | None:
        """The row of a trait that enough accounts have shown now; None: too few have, or there is no row left."""
        if value in self._public:
            return None
        cells = self._unrowed.hit(value, cell)
        if cells.bit_count() < _WATCHED:
            return None
        row = self._joint.add(value, now)
        if row is None:
            self._unmet += 1
            return None
        shown = self._unrowed.take(value)
        self._dress(row, cells, shown, 0)
        if not self._learned:
            self._early[row] = [now, shown]
        return row

    def _dress(self, row: int, cells: int, shown: float, spans: int) -> None:
        if row == len(self._cells):
            self._cells.append(0)
            self._shown.append(0.0)
            self._spans.append(0)
        self._cells[row], self._shown[row], self._spans[row] = cells, shown, spans

    def due(self, now: float) -> bool:
        """Whether ``tick`` has anything to do."""
        return now >= self._hour_due or now >= self._day_due or not (self._learned or self._learns())

    def tick(self, now: float) -> Iterator[None]:
        """Does what is due: the day, the hour, the end of learning. In slices of about a millisecond."""
        due = False
        if now >= self._day_due:
            due = True
            yield from self._turn_day(now)
        if now >= self._hour_due:
            due = True
            hours = 1 + int((now - self._hour_due) // _HOUR_S)
            self._hour_due += hours * _HOUR_S
            # A silence longer than a day is guard's own and no night.
            self._hours = [*self._hours, self._this_hour, *[0] * min(hours - 1, 24)][-_WEEK_HOURS:]
            self._this_hour = 0
        if not (self._learned or self._learns()):
            due = True
            self._learn(now)
        if due:
            self._allow_pool(now)
            for count, (value, row) in enumerate(list(self._joint.rows.items()), 1):
                if self._joint.rows.get(value) == row:
                    self._allow(value, row, now)
                if count % _SLICE == 0:
                    yield

    def _turn_day(self, now: float) -> Iterator[None]:
        self._day_due += _DAY_S * (1 + (now - self._day_due) // _DAY_S)
        self._today.begin()
        yield
        self._joint.turn_day()
        self._cells = array("Q", bytes(8 * len(self._cells)))
        self._spans = bytearray(self._spans.translate(_ONE_LESS))
        self._shown = array("f", [count * 0.5 for count in self._shown])
        self._reference *= 0.5
        yield from self._unrowed.turn_day()
        for count, value in enumerate(list(self._joint.rows), 1):
            self._joint.drop_idle(value, now)
            if count % _SLICE == 0:
                yield

    def learning(self) -> str:
        """Why nothing is enforced yet, in a sentence; ``""``: it is. A day shows what is usual; so do fewer exchanges where
        enough of them are of accounts of standing."""
        if self._learned or not self._learns():
            return ""
        return (
            f"ceilings and the pool are not enforced yet: guard learns what is usual for a day, or for {LEARNING_EXCHANGES} "
            f"exchanges and {REFERENCE} accounts of standing (so far {self._exchanges} and {self._reference:.0f})"
        )

    def _learns(self) -> bool:
        """Whether it takes more to know what is usual."""
        known = self._exchanges >= LEARNING_EXCHANGES and self._reference >= REFERENCE
        return self._joint.day == 0 and not known

    def _learn(self, now: float) -> None:
        """Ends learning. The day before is made of what was seen, at the rate at which it was."""
        joint, early = self._joint, self._early
        self._learned = True
        self._first_day = joint.day - 1
        ago = joint.day
        for row, (born, _) in [(ALL, (self._since, 0.0)), *early.items()]:
            joint.write(row, 1, int(joint.taken(row, ago) * _DAY_S / max(_HOUR_S, now - born)))
        if self._reference < REFERENCE:
            many = _USUAL * max(REFERENCE, self._accounts)
            self._usual = frozenset(value for value, row in joint.rows.items() if early[row][1] >= many)
        self._early = {}

    def _allow(self, value: int, row: int, now: float) -> None:
        """Works out what a trait is allowed."""
        joint = self._joint
        share = 0.0
        if self.allowed is not None:
            self.allowed.add(value)
        if self._reference >= REFERENCE:
            self._usual = frozenset()
            share = self._shown[row] / self._reference
        if not self._learned or not self._spans[row] or share >= COMMON or value in self._usual:
            joint.allow(row, inf, LEAST / _HOUR_S, now)
            return
        day = max(joint.median(row, joint.day - self._first_day), share * max(joint.taken(ALL, 0), joint.taken(ALL, 1)))
        half, least = TIMES / 2.0 * day, APART * LEAST if self.apart(value) else LEAST
        joint.allow(row, max(least, half), max(least / _HOUR_S, half / _DAY_S), now)

    def _allow_pool(self, now: float) -> None:
        if self._learned and len(self._hours) >= _WEEK_HOURS:
            amount = max(POOL_LEAST, TIMES * sorted(self._hours)[_WEEK_HOURS // 2])
            self._joint.allow(ALL, amount, amount / _HOUR_S, now)
            if self.allowed is not None:
                self.allowed.add(0)

    # -- for the operator -----------------------------------------------------------------------------------------

    def forget(self, number: int) -> None:
        """Forgets what an account has taken today. What all have taken together holds: it is nobody's own."""
        self._today.forget(number)

    def ceiling(self, value: int, now: float) -> tuple[float, float, float] | None:
        """Used, room, and what is allowed an hour over a long time; 0 for the pool's. None: it has no limit."""
        row = self._joint.rows.get(value) if value else ALL
        if row is None or self._joint.room[row] == inf:
            return None
        return self._joint.level(row, now), self._joint.room[row], self._joint.rate[row] * _HOUR_S

    def counts(self) -> dict[str, int]:
        """What is held: traits that are watched, those of them with a ceiling, those that found no place."""
        limited = sum(self._joint.room[row] != inf for row in self._joint.rows.values())
        return {"watched_traits": len(self._joint.rows), "ceilings": limited, "unmet_traits": self._unmet}

    # -- between replicas -----------------------------------------------------------------------------------------

    def told(self, trait: int) -> tuple[float, float, float, float]:
        """Room, rate, level and as of when, of a trait's meter (0: the pool's). A room of infinity: it has no limit."""
        joint = self._joint
        row = joint.rows.get(trait) if trait else ALL
        return (inf, 0.0, 0.0, 0.0) if row is None else (joint.room[row], joint.rate[row], *joint.used(row))

    def weigh(self, weight: float) -> None:
        """Each exchange uses so much from now on: as many as there are replicas while they don't hear of each other, else 1."""
        self._joint.weight = weight

    def limited(self) -> list[int]:
        """The traits that have a ceiling."""
        room = self._joint.room
        return [trait for trait, row in self._joint.rows.items() if room[row] != inf]

    def taken_today(self, number: int) -> int:
        """What an account has taken today."""
        return self._today.rank(number) - 1

    def adopt(self, trait: int, told: tuple[float, float, float, float], now: float) -> None:
        """Takes up what others have ``told`` of a meter: what all replicas have taken."""
        joint = self._joint
        room, rate, level, as_of = told
        if trait and room == inf:
            joint.drop(trait)
            return
        row = joint.rows.get(trait) if trait else ALL
        if row is None:
            row = joint.add(trait, now)
        if row is not None:
            self._dress(row, 0, 0.0, 2)
            joint.room[row], joint.rate[row] = room, rate
            joint.use(row, level, min(as_of, now))

    def adopt_taken(self, number: int, taken: int) -> None:
        """Takes up what an account has taken of all replicas today."""
        self._today.put(number, taken)

    def adopt_summary(self, summary: Mapping[str, Any], now: float) -> None:
        """Takes up others' ``summary``; with another day nobody has taken anything yet. Raises as ``restore`` does."""
        day = self._joint.day
        self.restore(summary, now)
        if self._joint.day != day:
            self._today.begin()

    @property
    def day(self) -> int:
        """How many days were turned."""
        return self._joint.day

    # -- over a restart -------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[dict[str, Any]]:
        """Everything as plain data, piece by piece, about a millisecond each. The first must be restored first."""
        joint = self._joint
        yield self.summary()
        for rows in joint.pieces():
            places = [joint.rows.get(value, ALL) for value, *_ in rows]
            yield {
                "joint": rows,
                "marks": [
                    [self._cells[row], self._shown[row], self._spans[row], *self._early.get(row, ())] for row in places
                ],
            }
        for some in self._unrowed.pieces(self._reference):
            yield {"unrowed": some}
        for piece in self._today.pieces():
            yield {"today": piece}

    def summary(self) -> dict[str, Any]:
        """What is neither a trait's nor an account's."""
        joint = self._joint
        return {
            "times": [self._since, self._day_due, self._hour_due] if self._exchanges else [],
            "counts": [
                joint.day,
                self._first_day,
                self._exchanges,
                self._accounts,
                self._this_hour,
                int(self._learned),
            ],
            "reference": self._reference,
            "hours": self._hours,
            "usual": sorted(self._usual),
        }

    def restore(self, piece: Mapping[str, Any], now: float) -> None:
        """Takes up one piece. Account numbers must be those of before. Raises ``ValueError``, ``KeyError`` or ``TypeError``
        for what is none."""
        joint = self._joint
        if "joint" in piece:
            joint.restore(piece["joint"], now)
            for (value, *_), (cells, shown, spans, *early) in zip(piece["joint"], piece["marks"], strict=True):
                row = joint.rows.get(value) if value else ALL
                if row is not None:
                    self._dress(row, int(cells), float(shown), int(spans))
                    if early:
                        self._early[row] = [float(number) for number in early]
        elif "unrowed" in piece:
            self._unrowed.restore(piece["unrowed"])
        elif "today" in piece:
            self._today.restore(piece["today"])
        else:
            if piece["times"]:
                self._since, self._day_due, self._hour_due = [float(moment) for moment in piece["times"]]
            numbers = [int(number) for number in piece["counts"]]
            joint.day, self._first_day, self._exchanges, self._accounts, self._this_hour, learned = numbers
            self._learned = bool(learned)
            self._reference = float(piece["reference"])
            self._hours = [int(count) for count in piece["hours"]]
            self._usual = frozenset(piece["usual"])

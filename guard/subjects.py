"""Tables of metered subjects: bounded, compact, and never emptied to make room.

A subject is one flat list ``[layout, level, as_of, rate, trail, level, …]``: four places for each of its meters, in the
order that its layout names. Layouts are shared by all subjects with the same meters (Self's maps, Chambers 1989), so a
subject costs about 350 bytes. ``trail`` is what ``meters.py`` calls one.

Only a subject whose meters are all drained is dropped, because that is the same as keeping it. It is found by a hand that
goes round a few places for each newcomer, so that a flood of newcomers costs the same for each, however large the table. A
table of many subjects drops those that have long been drained even while there is room: so what it takes are those that use
something up, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guard.cells import Row, Subject
from guard.charges import Bill, Tariff
from guard.meters import COST_MAX, SLACK, drained

Column = tuple[str, str, str]
DROPPED = -1
"""The layout of a subject that is no longer in its table, for those who still hold it."""
_LOOKS = 8
_SWEPT = 2
"""Places that a newcomer's hand looks at while there is room."""
_MANY = 16_384
_IDLE_S = 60.0
"""In a table of more than so many a subject that has stood drained for so long is dropped."""
_SLICE = 500
_ROWS = 256
_PROVISIONAL = 4_096
_NAMES = 4_096
OVERFLOW = "overflow"


class Table:
    """The subjects of one kind. ``bound`` 0: none, there are as many as the policy names."""

    __slots__ = ("_full_at", "_hand", "_ring", "bound", "name", "subjects")

    def __init__(self, name: str, bound: int) -> None:
        self.name = name
        self.bound = bound
        self.subjects: dict[str, Subject] = {}
        self._ring: list[str] = []
        self._hand = 0
        self._full_at = -1.0

    def has_room(self, now: float) -> bool:
        """Whether one more fits, if need be in the place of a drained one. Looks at eight places, then gives up."""
        if not self.bound or len(self.subjects) < self.bound:
            return True
        if now == self._full_at:
            return False  # the next bill of the same request
        for _ in range(_LOOKS):
            self._hand = self._hand + 1 if self._hand + 1 < len(self._ring) else 0
            if self._idle(now):
                self._drop(self._hand)
                return len(self.subjects) < self.bound
        self._full_at = now
        return False

    def sweep(self, now: float) -> None:
        """Drops what has long been drained, at the next few places."""
        if not self.bound or len(self._ring) <= _MANY:
            return
        for _ in range(_SWEPT):
            self._hand = self._hand + 1 if self._hand + 1 < len(self._ring) else 0
            if self._idle(now - _IDLE_S):
                self._drop(self._hand)

    def add(self, name: str, subject: Subject) -> None:
        """Enters a subject that is not in the table."""
        self.subjects[name] = subject
        self._ring.append(name)

    def forget(self, name: str) -> int:
        """Forgets a subject and all that is counted within it (``name/…``); how many meters. O(table), for operators."""
        within = name + "/"
        found = [
            place
            for place, other in enumerate(self._ring)
            if (other == name or other.startswith(within)) and other in self.subjects
        ]
        meters = sum(len(self.subjects[self._ring[place]]) // 4 for place in found)
        for place in reversed(found):
            self._drop(place)
        return meters

    def release(self, name: str) -> Subject:
        """Takes a subject out of the table as it is, empty where there is none. O(table), once for each new account."""
        subject = self.subjects.pop(name, [])
        if subject:
            self._ring.remove(name)
        return subject

    def carry(self, former: str, name: str) -> bool:
        """Goes on with a subject under another name, where none bears that yet; False: there was nothing to go on with."""
        if former not in self.subjects or name in self.subjects:
            return False
        # Its former place in the ring goes when the hand comes by.
        self.add(name, self.subjects.pop(former))
        return True

    def names(self) -> list[str]:
        """A copy of all names, in no order."""
        return [name for name in self._ring if name in self.subjects]

    def _idle(self, now: float) -> bool:
        """Whether the hand points at a subject whose meters are all drained, or at none."""
        subject = self.subjects.get(self._ring[self._hand])
        return subject is None or is_clean(subject, now)

    def _drop(self, place: int) -> None:
        subject = self.subjects.pop(self._ring[place], None)
        if subject is not None:
            subject[0] = DROPPED
        self._ring[place] = self._ring[-1]
        self._ring.pop()


def is_clean(subject: Subject, now: float) -> bool:
    """Whether all meters of a subject are drained."""
    for at in range(1, len(subject), 4):
        level = subject[at]
        if level > 0.0:
            passed = now - subject[at + 1]
            if passed <= 0.0 or level > passed * subject[at + 2]:
                return False
    return True


class Tables(dict[str, dict[str, Subject]]):
    """The subjects of every kind by name; a kind's table is made at its first use, and bounded as its name says.

    A kind ends with ``?`` where nobody has vouched for its subjects. Those that a full table has no room for share 256
    overflow subjects.
    """

    __slots__ = ("_max_accounts", "layouts", "overflowed", "tables")

    def __init__(self, max_accounts: int) -> None:
        super().__init__()
        self.tables: dict[str, Table] = {}
        self.layouts = Layouts()
        self.overflowed = 0
        """How many charges found no room in their table and went to an overflow meter."""
        self._max_accounts = max_accounts

    def __missing__(self, kind: str) -> dict[str, Subject]:
        guarded = kind.removesuffix("?")
        if not guarded or guarded == OVERFLOW:
            bound = 0
        elif kind != guarded:
            bound = _PROVISIONAL
        else:
            bound = self._max_accounts if set(guarded.split("/")) - {"model", "region"} else _NAMES
        table = self.tables[kind] = Table(kind, bound)
        self[kind] = table.subjects
        return table.subjects

    def table(self, kind: str) -> Table:
        """The table of a kind."""
        self[kind]
        return self.tables[kind]

    def _stranger(self, kind: str, name: str) -> Subject:
        """Takes the record of a stranger out of the strangers' table of that kind; empty where it has none."""
        strangers = self.tables.get(kind + "?")
        return [] if strangers is None else strangers.release(name)

    def enrol(self, bill: Bill, now: float) -> tuple[Bill, Subject]:
        """Where a subject without a record is charged: in a new one, in one that is thrown away (nothing is booked there), or
        in the overflow subject of its shard, which the bill then names."""
        tariff, name, _, _, shard = bill
        table = self.table(tariff.kind)
        subject: Subject = [0]
        table.sweep(now)
        if table.has_room(now):
            if tariff.book:
                # Somebody has vouched for it since: what it has used as a stranger, and what still runs, it goes on with.
                subject = self._stranger(tariff.kind, name) or subject
                table.add(name, subject)
            return bill, subject
        self.overflowed += len(tariff.meters)
        kind = OVERFLOW + "?" if tariff.kind.endswith("?") else OVERFLOW
        name = f"{OVERFLOW}/{shard}"
        found = self[kind].get(name)
        if found is None:
            self.tables[kind].add(name, subject)
            found = subject
        return bill._replace(subject=name), found


class Layouts:
    """Which meter stands where in a subject. ``places[subject[0]]`` maps (limit, unit, window ordinal) to the place."""

    __slots__ = ("_blanks", "_numbers", "places", "rows")

    def __init__(self) -> None:
        self.places: list[dict[Column, int]] = [{}]
        self.rows: list[dict[Tariff, Row]] = [{}]
        """For each layout the rows of those tariffs that subjects with it have been charged by."""
        self._blanks: dict[Tariff, Row] = {}
        self._numbers: dict[tuple[Column, ...], int] = {(): 0}

    def row(self, subject: Subject, bill: Bill, now: float) -> Row:
        """Where the meters of the bill's tariff stand in that subject; those that it lacks are added to it."""
        tariff, _, _, factor, _ = bill
        if subject[0]:
            for meter in tariff.meters:
                if meter[:3] not in self.places[subject[0]]:
                    self.widen(subject, meter[:3], meter.rate_per_s * factor, now)
            row = self._row(subject[0], tariff)
        else:
            row = self._blank(tariff)
            subject[0] = row.layout
            # All at once: a list that grows bit by bit keeps room to grow.
            subject += [part for cell in row.cells for part in (0.0, now, cell[6] * factor, ())]
        return row

    def _blank(self, tariff: Tariff) -> Row:
        """The row of a tariff in a subject that has its meters and no other."""
        row = self._blanks.get(tariff)
        if row is None:
            row = self._row(self.number(tuple([meter[:3] for meter in tariff.meters])), tariff)
            self._keep(self._blanks, tariff, row)
        return row

    def _row(self, layout: int, tariff: Tariff) -> Row:
        columns = self.places[layout]
        cells = []
        for limit, unit, ordinal, amount, rate, place, _ in tariff.meters:
            at = columns[limit, unit, ordinal]
            room = amount * (1.0 + SLACK) if amount > 0.0 else -1.0
            cells.append((at, at + 1, at + 2, at + 3 if place else 0, place, room, rate))
        row = Row(tuple(cells), tuple([cell for cell in cells if cell[3]]) if tariff.book else (), layout)
        self._keep(self.rows[layout], tariff, row)
        return row

    def _keep(self, rows: dict[Tariff, Row], tariff: Tariff, row: Row) -> None:
        if tariff.kept:
            if len(rows) >= _ROWS:
                rows.clear()  # of policies that are no more
            rows[tariff] = row

    def widen(self, subject: Subject, column: Column, rate: float, now: float) -> int:
        """Adds a meter to a subject; its place. It starts empty, or, where a reload gave a limit one more window, as full
        as the fullest of its siblings: nobody gets a fresh budget from a reload."""
        columns = self.places[subject[0]]
        level = max(
            (
                drained(subject[at], subject[at + 1], subject[at + 2], now)
                for sibling, at in columns.items()
                if sibling[:2] == column[:2]
            ),
            default=0.0,
        )
        at = len(subject)
        subject += (level, now, rate, ())
        subject[0] = self.number((*columns, column))
        return at

    def number(self, columns: tuple[Column, ...]) -> int:
        """The layout with these meters in this order."""
        number = self._numbers.get(columns)
        if number is None:
            number = self._numbers[columns] = len(self.places)
            self.places.append({column: 1 + 4 * place for place, column in enumerate(columns)})
            self.rows.append({})
        return number


def pieces(tables: list[Table], layouts: Layouts) -> Iterator[dict[str, Any]]:
    """All subjects as plain data, 500 a piece; each piece stands for itself. What is added meanwhile may be missing."""
    for table in tables:
        names = table.names()
        for first in range(0, len(names), _SLICE):
            subjects = {}
            for name in names[first : first + _SLICE]:
                subject = table.subjects.get(name)
                if subject is not None:
                    # Without trails: an estimate that is under way when the process dies stays charged in full.
                    subjects[name] = subject[:]
                    del subjects[name][4::4]
            columns = [list(map(list, columns)) for columns in layouts.places]
            yield {"table": table.name, "layouts": columns, "subjects": subjects}


def restore_piece(piece: dict[str, Any], table: Table, layouts: Layouts, now: float) -> int:
    """Takes up one piece; how many subjects. Those that the table already holds are left as they are; a bound that was
    lowered meanwhile is reached as they drain, for whom it would push out would start afresh.

    Raises ``KeyError``, ``TypeError``, ``ValueError`` or ``IndexError`` for what is no piece. A moment that lies ahead of
    ``now`` (the machine's clock was put back) becomes ``now``: nobody waits for a clock.
    """
    columns = [tuple((str(a), str(b), str(c)) for a, b, c in layout) for layout in piece["layouts"]]
    taken = 0
    for name, kept in piece["subjects"].items():
        layout = columns[kept[0]]
        if len(kept) != 1 + 3 * len(layout):
            raise ValueError("a subject has more or fewer meters than its layout")
        if name in table.subjects:
            continue
        subject: Subject = [layouts.number(layout)]
        for at in range(1, len(kept), 3):
            level, as_of, rate = float(kept[at]), float(kept[at + 1]), float(kept[at + 2])
            if not (0.0 <= level <= COST_MAX and rate >= 0.0 and as_of >= 0.0):
                raise ValueError("a meter's level, time or rate is no such number")
            subject += (level, min(as_of, now), rate, ())
        table.add(name, subject)
        taken += 1
    return taken

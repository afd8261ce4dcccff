"""What recognition must not lose over a restart, as plain data, piece by piece, about a millisecond each.

Two kinds of pieces, because they differ in size by a hundred and in what their loss would cost:

* ``verdicts``: clusters, their traits, the accounts that are linked to them or stand by, pardons, and what is used of ceilings
  and pool. Small; kept every few seconds, for what is forgotten of it gives a campaign a fresh start.
* ``findings``: all accounts, families, groups with their latest exchanges, what is usual, what waits. Large; kept as often as
  that is cheap, for without the last minute of it evidence is merely a minute late. ``whole`` adds the gate (8 MiB): without
  it a trait that two accounts have shown is found by its third account after the restart, not after the first.

A piece is ``{"kind": …, "v": 1, …}``; rows have their columns' names beside them, so that a newer guard reads an older state.
Keyed hashes and numbers only. A recognition that was kept whole decides on as if it had never stopped.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from guard.errors import StateError
from guard.recognition import kept_hops
from guard.recognition.accounts import COLUMNS, Known
from guard.recognition.clusters import Cluster
from guard.recognition.families import Family
from guard.recognition.groups import KEPT, Group, Observed
from guard.recognition.pardons import Pardon
from guard.recognition.recognition import Recognition
from guard.samples import Baseline
from guard.types import Evidence

VERSION = 2
Piece = dict[str, Any]

_ROWS = 200
_PAIRS = 4_000
_GATE_CELLS = 8_192
_SCALARS = (int, float, str, bool)
_SHAPES = {Observed._fields[:length] for length in range(11, 14)}
_Record = TypeVar("_Record")
MOST_EXCHANGES = 262_144
"""Of the groups' exchanges at most so many are kept, of each group the latest."""

# Columns are the records' own fields, so that a field that is added is kept without a word here.
_ACCOUNT = COLUMNS
_STATED = ("payment", "signup", "org")
_CLUSTER = tuple(name for name in Cluster.__slots__ if name != "evidence")
_FAMILY_ARRAYS = ("numbers", "times", "slots", "firsts")
_FAMILY = tuple(name for name in Family.__slots__ if name not in {"group", *_FAMILY_ARRAYS})
_GROUP = tuple(name for name in Group.__slots__ if name not in {"events", "deep"})


# -- to plain data ---------------------------------------------------------------------------------------------------------


def verdicts(recognition: Recognition) -> Iterator[Piece]:
    """The small, dear part."""
    clusters = list(recognition.clusters)
    bystanders: set[int] = set()
    for cluster in clusters:
        bystanders |= cluster.bystanders
        yield of_cluster(cluster)
    for pardon in list(recognition.pardons):
        yield _piece(
            "pardon",
            number=pardon.number,
            name=pardon.name,
            at=pardon.at,
            signals=dict(pardon.signals),
            accounts=pardon.accounts,
        )
    yield _piece("seen", exchanges=recognition.clusters.seen)
    yield from _pairs("traits", recognition.clusters.traits)
    yield from _pairs("proven", dict.fromkeys(sorted(recognition.clusters.proven), 1))
    yield from _pairs("pardoned", recognition.pardons.traits)
    yield from _accounts(
        recognition,
        (known for known in list(recognition.accounts) if known.cluster or known.cleared or known.number in bystanders),
    )
    # With ``next``, so that no new account gets the number, and with it the rank of today, of one that is forgotten.
    for used in recognition.ceilings.pieces():
        yield _piece("ceilings", used=used, next=recognition.accounts.next)


def of_cluster(cluster: Cluster) -> Piece:
    """One cluster, without its traits and accounts."""
    evidence = [[e.signal, e.group, e.nats, e.reason] for e in cluster.evidence]
    row = [_plain(getattr(cluster, name)) for name in _CLUSTER]
    return _piece("cluster", columns=_CLUSTER, row=row, evidence=evidence)


def findings(recognition: Recognition, *, whole: bool = False) -> Iterator[Piece]:
    """The large part. ``whole``: with the gate."""
    parts = recognition.parts()
    yield from _accounts(recognition, list(recognition.accounts))
    yield _piece("usual", usual={name: _plain(value) for name, value in vars(parts.usual).items()}, baseline=_baseline(parts.baseline),
                 baseline_due=parts.baseline_due)  # fmt: skip
    read = attrgetter(*_FAMILY)
    for some in _some(list(parts.families), _ROWS):
        rows = [[*read(f), *[_packed(getattr(f, name)) for name in _FAMILY_ARRAYS]] for f in some]
        yield _piece("families", columns=[*_FAMILY, *_FAMILY_ARRAYS], rows=rows)
    yield from _groups(list(parts.groups.values()))
    yield from _exchanges("waiting", list(parts.ring))
    yield _piece("under_way", to_weigh=list(parts.to_weigh), to_judge=list(parts.to_judge))
    for held in kept_hops.pieces(recognition.hops, recognition.clusters, whole=whole):
        yield _piece("hops", held=held)
    yield _piece("cohorts", seen=recognition.cohorts.seen, due_at=recognition.cohorts.due_at)
    yield from _exchanges("begun", list(recognition.cohorts))
    yield from _exchanges("moved", [event for node in recognition.hops.nodes.values() for event in node.events])
    if whole:
        cells = parts.families.gate.cells
        for first in range(0, len(cells), _GATE_CELLS):
            yield _piece("gate", first=first, cells=_packed(cells[first : first + _GATE_CELLS]))


def _accounts(recognition: Recognition, accounts: Iterable[Known]) -> Iterator[Piece]:
    read = attrgetter(*_ACCOUNT)
    for some in _some(accounts, _ROWS):
        yield _piece("accounts", columns=_ACCOUNT, rows=[read(known) for known in some], next=recognition.accounts.next)


def _groups(families: Sequence[Family]) -> Iterator[Piece]:
    """Groups share their exchanges: each is kept once, and each group as places in the row of them."""
    groups = [(family, family.group) for family in families if family.group is not None]
    total = sum(len(group.events) + len(group.deep) for _, group in groups)
    most = total if total <= MOST_EXCHANGES else MOST_EXCHANGES // len(groups)
    places: dict[int, int] = {}
    held: list[Observed] = []  # keeps the exchanges alive, by whose identity they are known
    for family, group in groups:
        events = group.events[-most:]
        deep = group.deep if most >= KEPT else []
        # Of each once: an exchange may be in both.
        new = list({id(event): event for event in (*events, *deep) if id(event) not in places}.values())
        places.update((id(event), place) for place, event in enumerate(new, len(held)))
        held += new
        yield from _exchanges("exchanges", new)
        row = [_plain(getattr(group, name)) for name in _GROUP]
        yield _piece(
            "group",
            family=family.value,
            columns=_GROUP,
            row=row,
            events=_packed(array("I", [places[id(e)] for e in events])),
            deep=_packed(array("I", [places[id(e)] for e in deep])),
        )


def _exchanges(kind: str, events: Sequence[Observed]) -> Iterator[Piece]:
    for some in _some(events, _ROWS):
        columns = [
            [_plain(value) for value in column] if isinstance(column[0], bytes) else column
            for column in zip(*some, strict=True)
        ]
        yield _piece(kind, columns=Observed._fields, values=columns)


def _pairs(kind: str, pairs: Mapping[int, int]) -> Iterator[Piece]:
    for some in _some(list(pairs.items()), _PAIRS):
        yield _piece(kind, pairs=some)


def _piece(kind: str, **content: Any) -> Piece:
    return {"kind": kind, "v": VERSION, **content}


def _some(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """The items in lists of at most ``most``."""
    rest = iter(items)
    while some := list(islice(rest, most)):
        yield some


def _baseline(baseline: Baseline | None) -> dict[str, Any] | None:
    return None if baseline is None else {one.name: _plain(getattr(baseline, one.name)) for one in fields(baseline)}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return sorted(value) if isinstance(value, set) else value


def _packed(values: array[Any]) -> str:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return b64encode(values.tobytes()).decode()


# -- and back --------------------------------------------------------------------------------------------------------------


class Restoring:
    """Takes up pieces, each kind in its order: first the findings, then the verdicts, then ``done``. ``recognition`` is a new one."""

    def __init__(self, recognition: Recognition, now: float) -> None:
        self._recognition = recognition
        self._now = now
        self._parts = recognition.parts()
        self._exchanges: list[Observed] = []
        self._takers = {
            "accounts": self._accounts,
            "usual": self._usual,
            "families": self._families,
            "exchanges": self._group_exchanges,
            "group": self._group,
            "waiting": self._waiting,
            "under_way": self._under_way,
            "hops": self._hops,
            "cohorts": lambda piece: self._recognition.cohorts.resume(int(piece["seen"]), int(piece["due_at"])),
            "begun": lambda piece: self._recognition.cohorts.extend(_observed(piece)),
            "moved": self._moved,
            "gate": self._gate,
            "cluster": self._cluster,
            "pardon": self._pardon,
            "seen": self._seen,
            "proven": self._proven,
            "traits": self._traits,
            "pardoned": self._pardoned,
            "ceilings": self._ceilings,
        }

    def take(self, piece: Piece) -> None:
        """Takes up one piece. Raises ``StateError`` for what is none."""
        try:
            if piece["v"] != VERSION:
                raise ValueError("another version")
            self._takers[piece["kind"]](piece)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise StateError(
                f"what was kept of accounts that act as one can't be read ({type(error).__name__}); to start without, move the files "
                "in state_dir and the folder recognition there away"
            ) from error

    def done(self) -> None:
        """Drops what refers to a cluster that there is no more: findings may be older than verdicts."""
        clusters = self._recognition.clusters
        for known in self._recognition.accounts:
            if known.cluster and clusters.number(known.cluster) is None:
                known.cluster = known.bearing = 0
        for family in self._parts.families:
            if family.convicted and clusters.number(family.convicted) is None:
                family.convicted = 0

    def _accounts(self, piece: Piece) -> None:
        accounts, columns = self._recognition.accounts, piece["columns"]
        at, named = columns.index("number"), columns.index("key")
        stated = [columns.index(name) for name in _STATED]
        plan = _plan(Known(0, "", 0.0), ["" if name in _STATED else name for name in columns])
        for row in piece["rows"]:
            known = _filled(Known(int(row[at]), str(row[named]), 0.0), plan, row)
            known.state(*[int(row[place]) for place in stated])
            accounts.add(known)
        accounts.next = max(accounts.next, int(piece["next"]))

    def _usual(self, piece: Piece) -> None:
        usual = self._parts.usual
        for name, value in piece["usual"].items():
            if name in vars(usual):
                setattr(usual, name, _like(vars(usual)[name], value))
        kept = piece["baseline"]
        if kept is not None:
            known = {one.name for one in fields(Baseline)}
            values = {name: value for name, value in kept.items() if name in known}
            values["gist"] = np.array(values["gist"], np.float32)
            self._recognition.adopt(Baseline(**values), float(piece["baseline_due"]))

    def _families(self, piece: Piece) -> None:
        columns = piece["columns"]
        at = columns.index("value")
        pattern = Family(0, 0.0)
        packed = [(name, getattr(pattern, name).typecode, columns.index(name)) for name in _FAMILY_ARRAYS]
        plan = _plan(pattern, [name if name in _FAMILY else "" for name in columns])
        for row in piece["rows"]:
            family = _filled(Family(int(row[at]), 0.0), plan, row)
            for name, kind, place in packed:
                if row[place]:
                    setattr(family, name, _unpacked(kind, row[place]))
            self._parts.families.add(family)

    def _group_exchanges(self, piece: Piece) -> None:
        self._exchanges += _observed(piece)

    def _group(self, piece: Piece) -> None:
        family = self._parts.families.find(int(piece["family"]))
        if family is None:
            raise ValueError("a group without its family")
        group = Group([self._exchanges[place] for place in _unpacked("I", piece["events"])])
        family.group = _filled(group, _plan(group, piece["columns"]), piece["row"])
        group.deep = [self._exchanges[place] for place in _unpacked("I", piece.get("deep", ""))]
        if not group.deep:
            group.below = 0
        self._parts.groups[family.value] = family

    def _waiting(self, piece: Piece) -> None:
        self._parts.ring.extend(_observed(piece))

    def _hops(self, piece: Piece) -> None:
        kept_hops.restore(self._recognition.hops, self._recognition.clusters, piece["held"])

    def _moved(self, piece: Piece) -> None:
        for event in _observed(piece):
            self._recognition.hops.observe(event)

    def _under_way(self, piece: Piece) -> None:
        for name, held in (("to_weigh", self._parts.to_weigh), ("to_judge", self._parts.to_judge)):
            found = [self._parts.families.find(int(value)) for value in piece[name]]
            held.update((family.value, family) for family in found if family is not None)

    def _gate(self, piece: Piece) -> None:
        cells = _unpacked("Q", piece["cells"])
        first = int(piece["first"])
        gate = self._parts.families.gate.cells
        if first < 0 or first + len(cells) > len(gate):
            raise ValueError("a gate of another size")
        gate[first : first + len(cells)] = cells

    def _cluster(self, piece: Piece) -> None:
        row = dict(zip(piece["columns"], piece["row"], strict=True))
        fresh = Cluster(int(row["number"]), str(row["name"]), 0.0)
        cluster = _filled(fresh, _plan(fresh, piece["columns"]), piece["row"])
        cluster.evidence = tuple(
            Evidence(str(s), str(g), float(nats), str(reason)) for s, g, nats, reason in piece["evidence"]
        )
        self._recognition.clusters.add(cluster)

    def _pardon(self, piece: Piece) -> None:
        signals = {str(signal): str(kind) for signal, kind in piece["signals"].items()}
        self._recognition.pardons.add(
            Pardon(int(piece["number"]), str(piece["name"]), float(piece["at"]), signals, int(piece["accounts"]))
        )

    def _traits(self, piece: Piece) -> None:
        self._recognition.clusters.traits.update((int(value), int(number)) for value, number in piece["pairs"])

    def _proven(self, piece: Piece) -> None:
        self._recognition.clusters.proven.update(int(value) for value, _ in piece["pairs"])

    def _seen(self, piece: Piece) -> None:
        clusters = self._recognition.clusters
        clusters.seen = max(clusters.seen, int(piece["exchanges"]))

    def _pardoned(self, piece: Piece) -> None:
        self._recognition.pardons.traits.update((int(value), int(number)) for value, number in piece["pairs"])

    def _ceilings(self, piece: Piece) -> None:
        accounts = self._recognition.accounts
        accounts.next = max(accounts.next, int(piece["next"]))
        self._recognition.ceilings.restore(piece["used"], self._now)


def _plan(record: Any, columns: Sequence[str]) -> list[tuple[int, str, Any]]:
    """Place in a row, field and a value of its kind, of all columns that such a record has a field for."""
    return [(place, name, getattr(record, name)) for place, name in enumerate(columns) if hasattr(record, name)]


def _filled(record: _Record, plan: Sequence[tuple[int, str, Any]], row: Sequence[Any]) -> _Record:
    """The record with the values of a row."""
    for place, name, now in plan:
        value = row[place]
        setattr(record, name, value if type(value) is type(now) and type(now) in _SCALARS else _like(now, value))
    return record


def _like(now: Any, value: Any) -> Any:
    """A value as the same kind of thing as what stands there now."""
    if isinstance(now, np.ndarray):
        return np.array(value, now.dtype)
    if isinstance(now, set):
        return {int(one) for one in value}
    if isinstance(now, list):
        return [str(one) for one in value]
    return type(now)(value)


def _observed(piece: Piece) -> list[Observed]:
    columns = [
        [b64decode(value) for value in column] if name in {"traits", "gist"} else column
        for name, column in zip(piece["columns"], piece["values"], strict=True)
    ]
    if tuple(piece["columns"]) not in _SHAPES:  # earlier ones know neither parameters nor moves
        raise ValueError("exchanges of another shape")
    return [Observed(*row) for row in zip(*columns, strict=True)]


def _unpacked(kind: str, packed: str) -> array[Any]:
    values = array(kind)
    values.frombytes(b64decode(packed))
    if sys.byteorder == "big":
        values.byteswap()
    return values

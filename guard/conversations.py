"""Whose is what an API keeps: the account that received an id may name it again, nobody else.

APIs keep answers, conversations and batches under an id, and a later request goes on from it (``previous_response_id``). Behind
one upstream credential the API itself can't tell one account from another, so guard binds each id to the account
as the answer that gives it out passes. An id that was bound to nobody is treated as another's: neither the answer nor
its time tells which of both it is.

Only keyed hashes are held, at most ``MOST`` of them, what was used lately for longest and none beyond ``KEPT_S``. An id costs
an answered exchange, so pushing others' out costs as many. Until ``watch`` is called (a replay sees no answers) everything passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from guard.errors import BadExchange, StateError
from guard.hashing import HashKey
from guard.recent import Recent
from guard.types import Exchange

MOST: Final = 131_072
KEPT_S: Final = 30 * 86_400.0
_NOT_FOUND = "What this request refers to was not found. Send it again without that reference."
_LONGEST = 512
_PIECE = 4_096
_HOUR_S = 3_600.0
# An entry is one whole number: 40 bits of the account's hash above 24 bits of the hour in which it was bound.
_HOUR_BITS = 24
_HOURS = (1 << _HOUR_BITS) - 1
_ACCOUNT_BITS = 40


class Conversations:
    """The ids that accounts have received. ``now``: seconds since 1970."""

    __slots__ = ("_bound", "_key", "_watching", "refused", "tell")

    def __init__(self, key: HashKey, most: int = MOST) -> None:
        self._key = key
        self._bound: Recent[int, int] = Recent(most)
        self._watching = False
        self.refused = 0
        """How often an account named an id that it has not received."""
        self.tell: Callable[[int, int], None] | None = None
        """Told of every id that is bound and of every one that is forgotten (then 0), where other replicas are to know it."""

    def __len__(self) -> int:
        return len(self._bound)

    def watch(self) -> None:
        """From now on whoever names an id must have received it: somebody tells of the answers."""
        self._watching = True

    def bind(self, account: str, name: str, now: float) -> None:
        """An answer to ``account`` gives out ``name``. Whoever received it first keeps it; each use keeps it for longer."""
        if not name or len(name) > _LONGEST:
            return
        place = self._place(name)
        mark = self._mark(account)
        held = self._held(place, now)
        if held is None or held >> _HOUR_BITS == mark:
            entry = mark << _HOUR_BITS | _hour(now)
            self._bound.put(place, entry)
            if self.tell is not None:
                self.tell(place, entry)

    def unknown(self, exchange: Exchange) -> list[int]:
        """Those of the ids that an exchange names of which nothing is held here."""
        return [place for place in exchange.kept if self._bound.peek(place) is None] if self._watching else []

    def learn(self, place: int, entry: int) -> None:
        """Takes up what another replica has told, where nothing is held."""
        if self._bound.peek(place) is None:
            self._bound.put(place, entry)

    def places(self, names: Iterable[str]) -> tuple[int, ...]:
        """The keyed hashes of ids, for ``Exchange.kept``."""
        return tuple([self._place(name) for name in names])

    def foreign(self, exchange: Exchange, now: float) -> BadExchange | None:
        """The refusal (404, ``not_received``) of an exchange that names an id that its account was not given; None: all were."""
        if not self._watching:
            return None
        mark = self._mark(exchange.account.key)
        for place in exchange.kept:
            held = self._held(place, now)
            if held is None or held >> _HOUR_BITS != mark:
                self.refused += 1
                whose = "nobody that is known" if held is None else "another account"
                private = f"it names an id that was given to {whose}"
                return BadExchange(404, "not_received", _NOT_FOUND, private)
        return None

    def forget(self, account: str) -> int:
        """Forgets whose an account's ids are, so that nobody may name them; how many. O(ids)."""
        mark = self._mark(account)
        theirs = [place for place in self._bound if (self._bound.peek(place) or 0) >> _HOUR_BITS == mark]
        for place in theirs:
            self._bound.drop(place)
            if self.tell is not None:
                self.tell(place, 0)
        return len(theirs)

    def pieces(self) -> Iterator[dict[str, Any]]:
        """What is held, as plain data for ``restore``, piece by piece, about a millisecond each."""
        rows: list[tuple[int, int]] = []
        for place in list(self._bound):
            held = self._bound.peek(place)
            if held is not None:
                rows.append((place, held))
            if len(rows) == _PIECE:
                yield {"version": 1, "bound": rows}
                rows = []
        if rows:
            yield {"version": 1, "bound": rows}

    def restore(self, piece: Any) -> None:
        """Takes up one piece. Raises ``StateError`` for one that is none."""
        if not isinstance(piece, dict) or piece.get("version") != 1 or not isinstance(piece.get("bound"), list):
            raise StateError("the snapshot of bound ids is not one of version 1; remove it")
        for row in piece["bound"]:
            if not isinstance(row, list | tuple) or len(row) != 2 or not all(_is_hash(number) for number in row):
                raise StateError("the snapshot of bound ids holds something else than keyed hashes; remove it")
            self._bound.put(row[0], row[1])

    def _held(self, place: int, now: float) -> int | None:
        held = self._bound.get(place)
        if held is not None and now - (held & _HOURS) * _HOUR_S > KEPT_S:
            self._bound.drop(place)
            return None
        return held

    def _place(self, name: str) -> int:
        # As a path has it: in lower case. Ids are long enough to be told apart all the same.
        return self._key.facet("kept", name.lower().encode("utf-8", "surrogatepass"))

    def _mark(self, account: str) -> int:
        return self._key.facet("keeper", account.encode()) >> (64 - _ACCOUNT_BITS)


def _hour(now: float) -> int:
    return max(0, min(_HOURS, int(now / _HOUR_S)))


def _is_hash(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**64

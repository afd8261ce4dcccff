"""What replicas tell each other, with every beat, of accounts that were refused of late: how full their meters are.

A replica knows only the accounts that came to it. One that has used up its limit elsewhere and comes here while the store is
away would find a fresh limit; what was heard of it is the level that its meters here begin at. Nothing is told of accounts that
were never refused, so most replicas have nothing to tell most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from struct import Struct, error

from guard.charges import Bill
from guard.meters import COST_MAX, drained
from guard.remote import names
from guard.remote.views import Views, owner

_TOLD = Struct("<d")
_HEAD = Struct("<BB")
_METER = Struct("<8sd")
_FULL = 0.5
_MOST_METERS = 32
_MOST_HEARD = 4_096
_OLDEST_S = 60.0


class Hearsay:
    """``most``: of so many accounts is told at a time, those refused last."""

    def __init__(self, views: Views, most: int = 64) -> None:
        self._views = views
        self._most = most
        self._refused: dict[str, None] = {}
        self._heard: dict[str, tuple[float, dict[bytes, float]]] = {}

    def refused(self, account: str) -> None:
        """The store has refused it."""
        self._refused.pop(account, None)
        self._refused[account] = None
        if len(self._refused) > self._most:
            del self._refused[next(iter(self._refused))]

    def says(self, now: float) -> bytes:
        """What this replica tells: of those that still have a meter half full, all meters."""
        said = []
        for name in list(self._refused):
            meters, full = self._meters(name, now)
            if not full:
                del self._refused[name]
                continue
            key = names.key(name).encode()
            rows = [_METER.pack(meter, level) for meter, level in meters.items()][:_MOST_METERS]
            said.append(_HEAD.pack(len(key), len(rows)) + key + b"".join(rows))
        return b"".join(said)

    def hears(self, told: Iterable[bytes], server_now: float, now: float) -> None:
        """What the others told: each begins with the store's time of that. What can't be read is nobody's word."""
        heard: dict[str, tuple[float, dict[bytes, float]]] = {}
        for said in told:
            try:
                age_s = server_now - _TOLD.unpack_from(said)[0]
                if not 0.0 <= age_s <= _OLDEST_S:
                    continue
                at = _TOLD.size
                while at < len(said) and len(heard) < _MOST_HEARD:
                    size, many = _HEAD.unpack_from(said, at)
                    at += _HEAD.size
                    key, at = said[at : at + size].decode("ascii"), at + size
                    rows = dict(_METER.iter_unpack(said[at : at + many * _METER.size]))
                    at += many * _METER.size
                    if not all([isfinite(level) and 0.0 <= level <= COST_MAX for level in rows.values()]):
                        break
                    before = heard.get(key)
                    if before is None or before[0] < now - age_s:
                        heard[key] = (now - age_s, rows)
            except (error, ValueError):
                continue
        self._heard = heard

    def raised(self, bill: Bill, bases: tuple[float, ...], now: float) -> tuple[float, ...]:
        """The levels that the bill's meters were seen at, or were heard to be at if that is more."""
        if not self._heard:
            return bases
        tariff, subject = bill.tariff, bill.subject
        found = self._heard.get(names.key(owner(tariff.kind, subject)))
        if found is None:
            return bases
        at, levels = found
        within = names.rest(tariff.kind, subject)
        return tuple(
            [
                max(base, drained(level, at, meter.rate_per_s * bill.factor, now))
                if (level := levels.get(names.meter(*meter[:3], within), 0.0))
                else base
                for base, meter in zip(bases, tariff.meters, strict=True)
            ]
        )

    def forget(self, account: str) -> None:
        """It is erased."""
        self._refused.pop(account, None)
        self._heard.pop(names.key(account), None)

    def _meters(self, name: str, now: float) -> tuple[dict[bytes, float], bool]:
        account = self._views.account(name)
        meters: dict[bytes, float] = {}
        full = False
        for view in account.views if account else ():
            within = names.rest(view.tariff.kind, view.subject)
            for level, meter in zip(view.levels, view.tariff.meters, strict=False):
                left = drained(level, view.now, meter.rate_per_s * view.factor, now)
                if left > 0.0:
                    meters.setdefault(names.meter(*meter[:3], within), left)
                    full = full or left >= _FULL * meter.amount * view.factor
        return meters, full


__all__ = ["Hearsay"]

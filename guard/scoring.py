"""Readings → log-odds → score, band, standing and f, for each account.

Evidence adds up as log-odds and is capped for each group, so that no single kind convicts; it fades by half in
``half_life_s``. Score = logistic(prior + Σ over groups of min(cap, evidence)). The weights stand in ``guard/weights/``.

f, the share of its allowances that an account has: halves with each step up of the band (floor 0.02), grows back by 0.05
an hour in band ``low``.

An account whose evidence is nil and whose f is 1 is the same as one never seen, but for when that was: so that moment is all
that is kept of it, and the table drops those first; an account with evidence is never dropped to make room for another.
Provisional ones are judged by the exchange alone and not kept.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from math import exp
from pathlib import Path
from types import MappingProxyType
from typing import Any

from guard.errors import InstallError
from guard.standing import standing
from guard.types import BANDS, Account, Assessment, Evidence, Exchange, Held

FACTOR_FLOOR = 0.02
FACTOR_GROWTH_PER_S = 0.05 / 3600
RETRY_WINDOW_S = 600.0
# Evidence below this no longer moves a score by a thousandth of a nat.
_NIL = 0.001
# Places of the table that are looked at for one that can be dropped.
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file. ``signals``: name → (nats for a full reading, nats for none)."""

    version: int
    prior: float
    half_life_s: float
    thresholds: tuple[float, float, float]
    caps: Mapping[str, float]
    signals: Mapping[str, tuple[float, float]]
    group_signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Name → ``scale``, ``least`` and ``most`` of what a group signal says."""

    def band(self, score: float) -> int:
        """The index in ``types.BANDS`` of the band that ``score`` lies in."""
        watch, suspect, confirmed = self.thresholds
        return (score >= watch) + (score >= suspect) + (score >= confirmed)


def read_weights(path: str, groups: Mapping[str, str]) -> Weights:
    """The weights at ``path`` (``""``: the shipped ones). ``groups``: signal → group of every signal there is.

    Raises ``InstallError`` where the file can't be read, is of another version, or leaves a signal or group without weight.
    """
    source = Path(path) if path else files("guard") / "weights" / "v1.toml"
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
        if table["version"] != 1:
            raise ValueError(f"version {table['version']}; this guard reads version 1")
        bands = table["bands"]
        weights = Weights(
            version=1,
            prior=float(table["prior"]),
            half_life_s=float(table["half_life_s"]),
            thresholds=(float(bands["watch"]), float(bands["suspect"]), float(bands["confirmed"])),
            caps=MappingProxyType({group: float(cap) for group, cap in table["caps"].items()}),
            signals=MappingProxyType(
                {n: (float(w["present"]), float(w["absent"])) for n, w in table["signals"].items()}
            ),
            group_signals=MappingProxyType(
                {
                    n: {key: float(w[key]) for key in ("scale", "least", "most")}
                    for n, w in table.get("group_signals", {}).items()
                }
            ),
        )
        for signal, group in groups.items():
            if (signal not in weights.signals and signal not in weights.group_signals) or group not in weights.caps:
                raise ValueError(f"no weight for signal {signal!r} of group {group!r}")
        if (
            not 0.0 < weights.thresholds[0] < weights.thresholds[1] < weights.thresholds[2] < 1.0
            or weights.half_life_s <= 0
        ):
            raise ValueError("bands must rise between 0 and 1, and half_life_s must be positive")
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InstallError(
            f"weights {path or 'v1.toml'} can't be used: {error}; remove [score] weights for the shipped"
        ) from error
    return weights


class _Record:
    """What is held of an account against which there is evidence, or whose f is not 1."""

    __slots__ = ("band", "digest", "digest_at", "evidence", "factor", "first_at", "last_at")

    def __init__(self, first_at: float, now: float, signals: int) -> None:
        self.first_at = first_at
        self.last_at = now
        self.evidence = [0.0] * signals
        self.band = 0
        self.factor = 1.0
        self.digest = 0
        self.digest_at = 0.0

    def clean(self) -> bool:
        """Whether it is the same as a new one, but for when it was first seen."""
        return self.factor >= 1.0 and self.band == 0 and max(self.evidence) < _NIL


class Scoring:
    """Holds the accounts' evidence and assesses exchanges. ``signals``: name → group, every content signal there is."""

    def __init__(self, weights: Weights, signals: Mapping[str, str], max_accounts: int) -> None:
        self._weights = weights
        self._names = tuple(sorted(signals))
        self._groups = tuple(signals[name] for name in self._names)
        self._index = {name: index for index, name in enumerate(self._names)}
        self._present = tuple(weights.signals[name][0] for name in self._names)
        self._absent = tuple(weights.signals[name][1] for name in self._names)
        self._caps = tuple(weights.caps[group] for group in self._groups)
        self._told = tuple(
            (name, group, f" of at most {cap:.1f} nats from this account's recent exchanges")
            for name, group, cap in zip(self._names, self._groups, self._caps, strict=True)
        )
        self._group_caps = tuple(
            (weights.caps[g], tuple(i for i, h in enumerate(self._groups) if h == g)) for g in sorted(set(self._groups))
        )
        self._neutral = 1.0 / (1.0 + exp(-weights.prior))
        self._neutral_band = BANDS[weights.band(self._neutral)]
        self._max_accounts = max_accounts
        self._accounts: dict[str, _Record | float] = {}
        """Of an account without evidence only when it was first seen."""
        self._ring: list[str] = []
        """The same accounts, in an order that can be gone round a few places at a time."""
        self._hand = 0

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def neutral(self) -> Assessment:
        """The assessment of an exchange of which nothing is known, or could be found out."""
        return Assessment(self._neutral, self._neutral_band, 0.0)

    def assess(self, exchange: Exchange, now: float, *, granted: bool, held: Held | None = None) -> Assessment:
        """Books the exchange's readings and returns what they make of its account. A grant keeps f at 1.

        ``held``: what recognition holds of the exchange; the higher of both scores counts.
        """
        account = exchange.account
        key = account.key
        record = self._accounts.get(key)
        readings = exchange.features.readings
        if record is None:
            record = now
            if account.status != "provisional" and self._has_room():
                self._accounts[key] = now
                self._ring.append(key)
        if not isinstance(record, _Record):
            if not readings and held is None:
                return Assessment(self._neutral, self._neutral_band, _standing(account, record, now))
            record = _Record(record, now, len(self._names))
            self._keep(key, record)
        self._fade(record, now)
        evidence = record.evidence
        digest = exchange.features.digest
        # A retry of what has just failed is the same question: it counts once.
        if not (digest and digest == record.digest and now - record.digest_at <= RETRY_WINDOW_S):
            if readings:
                found = dict(readings)
                for index, name in enumerate(self._names):
                    nats = evidence[index]
                    reading = found.get(name, 0.0)
                    nats += reading * self._present[index] if reading else self._absent[index]
                    evidence[index] = min(max(nats, 0.0), self._caps[index])
            elif record.band or max(evidence) > 0.0:
                for index, nats in enumerate(evidence):
                    evidence[index] = max(nats + self._absent[index], 0.0)
        score, band = self._score(evidence)
        # Of an account with a life of its own only this exchange is the cluster's: what it is allowed does not shrink.
        step = max(band, held.band) if held is not None and not held.settled else band
        if step > record.band:
            record.factor = max(FACTOR_FLOOR, record.factor * 0.5 ** (step - record.band))
        record.band = step
        if record.clean() and not (record.digest and now - record.digest_at <= RETRY_WINDOW_S):
            self._keep(key, record.first_at)
        whole = _standing(account, record.first_at, now)
        factor = 1.0 if granted else record.factor
        if held is None:
            return Assessment(score, BANDS[band], whole, factor, self._explain(evidence))
        if held.score > score:
            score, band = held.score, held.band
        explained = held.evidence + self._explain(evidence)
        return Assessment(score, BANDS[band], whole, factor, explained, held.cluster, held.merged)

    def failed(self, exchange: Exchange, now: float) -> None:
        """The exchange was not answered with 200: the same request again within ten minutes is a retry. Of one that left no evidence
        nothing need be kept: neither does its retry."""
        record = self._accounts.get(exchange.account.key)
        if isinstance(record, _Record):
            record.digest = exchange.features.digest
            record.digest_at = now

    def forgive(self, account: str) -> bool:
        """Drops all evidence against an account and gives it its full allowance; False: nothing was held of it."""
        record = self._accounts.get(account)
        if record is None:
            return False
        if isinstance(record, _Record):
            self._keep(account, record.first_at)
        return True

    def erase(self, account: str) -> bool:
        """Forgets an account altogether; False: nothing was held of it."""
        if self._accounts.pop(account, None) is None:
            return False
        self._ring.remove(account)
        return True

    def carry(self, former: str, account: str) -> None:
        """Goes on with what is held of an account under another name."""
        if former in self._accounts and account not in self._accounts:
            self._accounts[account] = self._accounts.pop(former)
            self._ring.append(account)  # its former place goes when the hand comes by

    def bands(self) -> dict[str, int]:
        """How many held accounts are in each band, as of their last exchange. O(accounts): for the operator's status."""
        counts = dict.fromkeys(BANDS, 0)
        for record in self._accounts.values():
            counts[BANDS[record.band if isinstance(record, _Record) else 0]] += 1
        return counts

    def snapshot(self) -> dict[str, Any]:
        """Plain data for ``restore``: signal names and a row for each account that isn't clean."""
        return {
            "signals": list(self._names),
            "accounts": [
                [key, r.first_at, r.last_at, r.band, r.factor, *r.evidence]
                for key, r in self._accounts.items()
                if isinstance(r, _Record) and not r.clean()
            ],
        }

    def restore(self, state: Mapping[str, Any], now: float) -> None:
        """Takes up a snapshot; evidence of signals that no longer exist is dropped. Raises ``ValueError`` or ``KeyError``."""
        places = [self._index.get(name, -1) for name in state["signals"]]
        for key, first_at, last_at, band, factor, *evidence in state["accounts"]:
            record = _Record(min(float(first_at), now), min(float(last_at), now), len(self._names))
            record.band = min(max(int(band), 0), len(BANDS) - 1)
            record.factor = min(max(float(factor), FACTOR_FLOOR), 1.0)
            for place, nats in zip(places, evidence, strict=True):
                if place >= 0:
                    record.evidence[place] = float(nats)
            if str(key) not in self._accounts:
                self._ring.append(str(key))
            self._accounts[str(key)] = record

    def _keep(self, key: str, record: _Record | float) -> None:
        """What is held of an account from now on, if it has a place."""
        if key in self._accounts:
            self._accounts[key] = record

    def _has_room(self) -> bool:
        """Makes room by dropping the next clean account of a few; O(1)."""
        ring = self._ring
        if len(ring) < self._max_accounts:
            return True
        for _ in range(_LOOKS):
            place = self._hand = self._hand + 1 if self._hand + 1 < len(ring) else 0
            key = ring[place]
            record = self._accounts.get(key)
            if not isinstance(record, _Record) or record.clean():
                self._accounts.pop(key, None)
                ring[place] = ring[-1]
                ring.pop()
                return True
        return False

    def _fade(self, record: _Record, now: float) -> None:
        # In steps of a minute: finer ones move nothing that anybody could see, and cost on every exchange.
        elapsed_s = now - record.last_at
        if elapsed_s < 60.0:
            return
        record.last_at = now
        if record.band == 0 and record.factor < 1.0:
            record.factor = min(1.0, record.factor + elapsed_s * FACTOR_GROWTH_PER_S)
        if max(record.evidence) > 0.0:
            kept = 0.5 ** (elapsed_s / self._weights.half_life_s)
            record.evidence = [nats * kept if nats else 0.0 for nats in record.evidence]

    def _score(self, evidence: list[float]) -> tuple[float, int]:
        logit = self._weights.prior
        for cap, places in self._group_caps:
            total = 0.0
            for place in places:
                total += evidence[place]
            logit += min(total, cap)
        if logit == self._weights.prior:
            return self._neutral, self._weights.band(self._neutral)
        score = 1.0 / (1.0 + exp(-logit))
        return score, self._weights.band(score)

    def _explain(self, evidence: list[float]) -> tuple[Evidence, ...]:
        if max(evidence) < _NIL:
            return ()
        return tuple(
            [
                Evidence(name, group, round(nats, 4), f"{nats:.1f}{of_most}")
                for (name, group, of_most), nats in zip(self._told, evidence, strict=True)
                if nats >= _NIL
            ]
        )


def _standing(account: Account, first_at: float, now: float) -> float:
    """By the operator's date, else by guard's own first sight. Provisional and anonymous accounts have none."""
    if account.status != "accepted":
        return 0.0
    return standing(first_at if account.created is None else account.created, now, verified=account.verified is True)

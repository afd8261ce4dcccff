"""The limiter stage: limits of the policy → charges of one exchange, reserved before the app is called and settled after.

Each window of each limit that concerns an exchange is one meter. All are taken in one call of the store, or none: a refusal
uses nothing up. What an answer will cost is estimated, and corrected by what it came to. A request is never given back once
the app was called, and its input and one token of output stay charged even if nobody waited for the answer: probing is not free.

A credential that the app has not accepted yet (and whoever sends none) touches nothing that is anybody else's: its own
meters are the strangers', and limits that it would share are only looked at. They are *pending* until the app accepts it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from hashlib import blake2b
from math import floor
from typing import Any, NamedTuple
from zlib import crc32

from guard.conditions import View, predicate
from guard.contracts import Charge, Slots, Store
from guard.meters import COST_MAX
from guard.settings import PER, Limit, Policy
from guard.types import Account, Assessment, Exchange, Quota, Receipt, Reserved, Usage

# No answer and no input is longer; what claims to be is a fault in the app's report.
MOST_TOKENS = 2_000_000
_UNITS = ("requests", "tokens", "cost")
_JITTER = 0.1
_MODELS_KEPT = 1_024
_LONGEST_NAME = 96
_REFUSED_BY_APP = frozenset({401, 403})
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__


class Admission(NamedTuple):
    """What the limits say of one exchange. ``limit`` and ``unit`` name the one without room, ``""`` where admitted.

    ``shadow`` are the ids of the limits in shadow that would have refused. ``charges`` (then slots) and ``levels`` are what
    the store was asked and left.
    """

    admitted: bool
    limit: str = ""
    unit: str = ""
    retry_after_s: float = 0.0
    reserved: tuple[Reserved, ...] = ()
    pending: tuple[Reserved, ...] = ()
    lease: int = 0
    shadow: tuple[str, ...] = ()
    charges: tuple[Charge, ...] = ()
    levels: tuple[float, ...] = ()

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What is left of every enforced limit that concerns the exchange, with f applied."""
        return tuple(
            [
                _quota(charge, level)
                for charge, level in zip(self.charges, self.levels, strict=True)
                if not charge.shadow
            ]
        )


class _Window(NamedTuple):
    """One meter of a limit, compiled. ``place`` is the unit's in ``_UNITS``."""

    place: int
    unit: str
    ordinal: str
    amount: float
    rate_per_s: float


class _Plan(NamedTuple):
    """One limit, compiled. ``holds`` None: it always does. ``kind`` names the table of its subjects."""

    id: str
    shadow: bool
    holds: Callable[[View], bool] | None
    per: tuple[str, ...]
    kind: str
    windows: tuple[_Window, ...]
    concurrent: int


class Limiter:
    """Keeps the limits of one policy in a store. A new policy gets a new limiter on the same store; levels stay.

    Conditions must be bound (``conditions.bind``). Limits per cluster or family concern nobody yet: no exchange has one.
    """

    __slots__ = ("_default_output", "_lease_s", "_plans", "_priced", "_prices", "_refusals", "_store", "_windows")

    def __init__(self, policy: Policy, store: Store) -> None:
        self._store = store
        self._lease_s = policy.state.lease_s
        self._default_output = policy.default_output_tokens
        self._plans = tuple(
            _compile(limit)
            for limit in policy.limits
            if limit.mode != "off" and not {"cluster", "family"} & set(limit.per)
        )
        self._windows = {
            (plan.id, window.unit, window.ordinal): (window.rate_per_s, plan.kind)
            for plan in self._plans
            for window in plan.windows
        }
        self._prices = tuple(
            (re.compile(translate(price.pattern.casefold())).match, price.input, price.output)
            for price in policy.prices
        )
        self._priced: dict[str, tuple[float, float]] = {}
        self._refusals = 0

    def take(self, exchange: Exchange, assessment: Assessment, now: float, *, granted: bool) -> Admission:
        """Reserves what an exchange may cost in every limit that concerns it, or nothing. Never raises for what a client sent."""
        account = exchange.account
        stranger = account.status != "accepted"
        factor = 1.0 if granted else assessment.factor
        costs = self._costs(exchange)
        view = None
        charges: list[Charge] = []
        slots: list[Charge] = []
        for limit, shadow, holds, per, kind, windows, concurrent in self._plans:
            if holds is not None:
                view = view or View(exchange, assessment, now, granted)
                if not holds(view):
                    continue
            if kind == "account":
                subject, personal = account.key, True
            else:
                subject, personal = _subject(per, exchange)
            # A stranger's own meters are the strangers'; of those it would share it takes nothing yet.
            own = (account.shard, stranger and personal, personal or not stranger, kind, shadow)
            f = factor if personal else 1.0
            for place, unit, ordinal, amount, rate in windows:
                meter = (limit, unit, ordinal, subject)
                charges.append(_made(Charge, (meter, costs[place], amount * f, rate * f, *own, place > 0)))
            if concurrent:
                most = max(1.0, floor(concurrent * f))
                meter = (limit, "concurrent", "0", subject)
                slots.append(_made(Charge, (meter, 1.0, most, 0.0, *own, False)))
        if not charges and not slots:
            return _UNLIMITED
        taken, lease = self._store.take(charges, _made(Slots, (tuple(slots), now + self._lease_s)), now)
        asked = (*charges, *slots)
        lacking = tuple(dict.fromkeys([asked[number].meter[0] for number in taken.shadow])) if taken.shadow else ()
        if taken.refused >= 0:
            meter = asked[taken.refused].meter
            wait_s = self._spread(account, taken.retry_after_s)
            return Admission(False, meter[0], meter[1], wait_s, shadow=lacking, charges=asked, levels=taken.levels)
        booked: list[Reserved] = []
        pending: list[Reserved] = []
        for charge, booked_at in zip(charges, taken.meters, strict=True):
            if lacking and charge[0][0] in lacking:
                continue
            if charge[6]:
                booked.append(_made(Reserved, (booked_at, charge[0][1], charge[1])))
            if stranger and (not charge[6] or account.status == "provisional"):
                pending.append(Reserved(charge[0], charge[0][1], charge[1]))
        outcome = (True, "", "", 0.0, tuple(booked), tuple(pending), lease, lacking, asked, taken.levels)
        return _made(Admission, outcome)

    def settle(self, receipt: Receipt, usage: Usage, now: float) -> None:
        """Corrects what was reserved to what the exchange came to, and gives back its slots. A second call changes nothing."""
        if not receipt.lease:
            return
        account = receipt.exchange.account
        actual = self._actual(receipt.exchange, usage)
        accepted = usage.forwarded and usage.status != 0 and usage.status not in _REFUSED_BY_APP
        # Accepted: what it has used moves from the strangers' meters to an account's.
        back = not usage.forwarded or (accepted and account.status == "provisional")
        if back:
            corrections = [(meter, -cost) for meter, _, cost in receipt.reserved]
        else:
            corrections = [(meter, actual[unit] - cost) for meter, unit, cost in receipt.reserved if unit != "requests"]
        if self._store.settle(corrections, receipt.lease, now) and accepted and receipt.pending:
            self._book(receipt, actual, now)

    def hold(self, receipt: Receipt, now: float) -> None:
        """The answer still runs: its slots live on for another lease."""
        if receipt.lease:
            self._store.hold(receipt.lease, now + self._lease_s)

    def _book(self, receipt: Receipt, actual: dict[str, float], now: float) -> None:
        """Charges what was pending, room or not: the answer has been given. A limit that is gone is not charged."""
        charges = []
        for meter, unit, _ in receipt.pending:
            limit, _, ordinal, subject = meter
            known = self._windows.get((limit, unit, ordinal))
            if known is not None:
                rate, kind = known
                shard = receipt.exchange.account.shard
                charges.append(
                    Charge((limit, unit, ordinal, subject), actual[unit], 2 * COST_MAX, rate, shard, guarded=kind)
                )
        _, lease = self._store.take(charges, Slots((), now), now)
        self._store.settle((), lease, now)

    def _costs(self, exchange: Exchange) -> tuple[float, float, float]:
        """What an exchange may cost at most, in the order of ``_UNITS``."""
        features = exchange.features
        output = features.budget_tokens
        if output is None:
            output = self._default_output * max(1, features.choices)
        received, sent = _believable(features.input_tokens), _believable(output)
        return 1.0, received + sent, self._money(features.model, received, sent) if self._prices else 0.0

    def _actual(self, exchange: Exchange, usage: Usage) -> dict[str, float]:
        """What an exchange came to, by unit: once the app was called at least its input and one token of output."""
        received, sent = _believable(usage.input_tokens), _believable(usage.output_tokens)
        if not usage.reported:
            received = max(received, _believable(exchange.features.input_tokens))
        sent = max(1.0, sent)
        money = self._money(exchange.features.model, received, sent) if self._prices else 0.0
        return {"requests": 1.0, "tokens": received + sent, "cost": money}

    def _money(self, model: str, received: float, sent: float) -> float:
        """Tokens → money, by the first pattern that fits. A model that nobody priced costs what the dearest does."""
        price = self._priced.get(model)
        if price is None:
            price = next(
                ((given, taken) for match, given, taken in self._prices if match(model)),
                (max(price[1] for price in self._prices), max(price[2] for price in self._prices)),
            )
            if len(self._priced) < _MODELS_KEPT and len(model) <= _LONGEST_NAME:
                self._priced[model] = price
        return (received * price[0] + sent * price[1]) / 1e6

    def _spread(self, account: Account, wait_s: float) -> float:
        """The wait, longer by up to a tenth, so that clients refused in the same second don't come back in the same second."""
        self._refusals += 1
        part = crc32(f"{account.key}{self._refusals}".encode()) / 2**32
        return wait_s * (1.0 + _JITTER * part)


_UNLIMITED = Admission(True)


def _compile(limit: Limit) -> _Plan:
    windows = tuple(
        _Window(index, _UNITS[index], str(ordinal), window.amount, window.amount / window.window_s)
        for index, offered in enumerate((limit.requests, limit.tokens, limit.cost))
        for ordinal, window in enumerate(offered)
    )
    # A user is one within an account, so the account need not be named beside it.
    per = tuple(sorted(limit.per, key=PER.index))
    if "user" in per:
        per = tuple(part for part in per if part != "account")
    holds = predicate(limit.when) if limit.when.tests else None
    return _Plan(limit.id, limit.mode == "shadow", holds, per, "/".join(per), windows, limit.concurrent)


def _subject(per: tuple[str, ...], exchange: Exchange) -> tuple[str, bool]:
    """Whose meter it is, and whether that is a single account's (or its user's). The account comes first, for ``forget``."""
    account = exchange.account
    personal = False
    parts = []
    for part in per:
        if part == "account":
            personal = True
            parts.append(account.key)
        elif part == "user":
            personal = True
            parts += (account.key, exchange.features.user) if exchange.features.user else (account.key,)
        elif part == "org":
            personal = personal or not account.org
            parts.append(account.org or account.key)
        elif part == "model":
            parts.append(_short(exchange.features.model))
        else:
            parts.append(exchange.peer.country)
    return "/".join(parts), personal


def _short(name: str) -> str:
    """A model's name as a subject: clients may send what they like, and a table must stay small."""
    return name if len(name) <= _LONGEST_NAME else blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()


def _believable(tokens: float) -> float:
    """A count of tokens between 0 and the most there can be; what is no number counts as the most."""
    return float(tokens) if 0 <= tokens <= MOST_TOKENS else 0.0 if tokens < 0 else float(MOST_TOKENS)


def _quota(charge: Charge, level: float) -> Quota:
    """Remaining and time until nothing is used any more; a concurrency slot has neither window nor time."""
    limit, capacity, rate = charge.meter[0], charge.capacity, charge.rate_per_s
    unit: Any = charge.meter[1]
    remaining = float(floor(max(0.0, capacity - level)))
    if rate <= 0.0:
        return Quota(limit, unit, capacity, 0.0, remaining, 0.0)
    return Quota(limit, unit, capacity, capacity / rate, remaining, level / rate)

"""The limiter stage: limits of the policy → bills of one exchange, reserved before the app is called and settled after.

Each window of each limit that concerns an exchange is one meter. All are taken in one call of the store, or none: a refusal
uses nothing up. What an answer will cost is estimated, and corrected by what it came to. A request is never given back once
the app was called, and its input and one token of output stay charged even if nobody waited for the answer: probing is not free.

A credential that the app has not accepted yet (and whoever sends none) touches nothing that is anybody else's: its own
meters are the strangers', and limits that it would share are only looked at. They are *pending* until the app accepts it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import replace
from fnmatch import translate
from math import floor
from typing import Any, NamedTuple
from zlib import crc32

from guard.charges import CONCURRENT, Metered, SlotLimit, slots_at
from guard.conditions import View
from guard.contracts import Bill, Charge, Slots, Spent, Store, Taken
from guard.settings import Policy
from guard.tariffs import groups, subject
from guard.together import Looked, Shared, Together
from guard.types import Account, Assessment, Exchange, Features, Quota, Receipt, Reserved, Usage
from guard.unions import Unions

# No answer and no input is longer; what claims to be is a fault in the app's report.
MOST_TOKENS = 2_000_000
_JITTER = 0.1
_MODELS_KEPT = 1_024
_LONGEST_NAME = 96
_NOTHING_SPENT = Spent(0.0, 0.0, 0.0)
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__


class Asked(NamedTuple):
    """What is asked of the store: ``Store.take``'s arguments."""

    bills: Sequence[Bill]
    slots: Slots


Outcome = tuple[Taken, int]
"""What the store says: what was taken, and the lease."""


class Admission(NamedTuple):
    """What the limits say of one exchange. ``limit`` and ``unit`` name the one without room, ``""`` where admitted.

    ``shadow`` are the ids of the limits in shadow that would have refused. ``bills`` and ``levels`` are what the store was
    asked and left; what they mean charge by charge is worked out for those who ask.
    """

    admitted: bool
    limit: str = ""
    unit: str = ""
    retry_after_s: float = 0.0
    pending: tuple[Bill, ...] = ()
    lease: int = 0
    shadow: tuple[str, ...] = ()
    bills: Sequence[Bill] = ()
    levels: tuple[float, ...] = ()
    shared: tuple[Shared, ...] = ()
    """What was booked in the account's cluster. Its quotas are nobody's to read: they would tell that there is a cluster."""

    @property
    def charges(self) -> list[Charge]:
        """What the store was asked: all charges, then all slots, as ``levels`` has them."""
        made = [charge for bill in self.bills for charge in bill.charges()]
        return made + [slot for bill in self.bills for slot in bill.slots()]

    @property
    def reserved(self) -> Sequence[Reserved]:
        """What was taken."""
        return Reservation(self.bills, self.shadow, self.shared) if self.admitted else ()

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What is left of every enforced limit that concerns the exchange, with f applied."""
        return tuple(
            [
                _quota(limit, factor, level)
                for (limit, factor), level in zip(_limits(self.bills), self.levels, strict=True)
                if not limit.shadow
            ]
        )


class Reservation(Sequence[Reserved]):
    """What was taken, charge by charge, for those who look: to settle it the lease is enough."""

    __slots__ = ("_bills", "_shared", "_spared")

    def __init__(self, bills: Sequence[Bill], spared: tuple[str, ...], shared: tuple[Shared, ...] = ()) -> None:
        self._bills = bills
        self._spared = spared
        self._shared = shared

    def _all(self) -> list[Reserved]:
        return [
            Reserved(charge.meter, charge.meter[1], charge.cost)
            for bill in self._bills
            for charge in bill.charges()
            if charge.book and charge.meter[0] not in self._spared
        ]

    def release(self) -> tuple[Shared, ...]:
        """What is booked in the account's cluster; once, since it is settled once."""
        shared, self._shared = self._shared, ()
        return shared

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, place: Any) -> Any:
        return self._all()[place]


class Limiter:
    """Keeps the limits of one policy in a store. A new policy gets a new limiter on the same store; levels stay.

    Conditions must be bound (``conditions.bind``).
    """

    __slots__ = (
        "_default_output",
        "_groups",
        "_lease_s",
        "_priced",
        "_prices",
        "_rates",
        "_refusals",
        "_store",
        "_together",
    )

    def __init__(self, policy: Policy, store: Store, unions: Unions | None = None) -> None:
        self._store = store
        self._together = Together(policy.limits, Unions(policy.state.max_accounts) if unions is None else unions)
        self._lease_s = policy.state.lease_s
        self._default_output = policy.default_output_tokens
        self._groups = tuple(groups([limit for limit in policy.limits if "cluster" not in limit.per]))
        self._rates = {
            (meter.limit, meter.unit, meter.ordinal): meter.rate_per_s
            for group in self._groups
            for meters, _ in group.limits
            for meter in meters
        }
        self._prices = tuple(
            (re.compile(translate(price.pattern.casefold())).match, price.input, price.output)
            for price in policy.prices
        )
        self._priced: dict[str, tuple[float, float]] = {}
        self._refusals = 0

    def take(self, exchange: Exchange, assessment: Assessment, now: float, *, granted: bool) -> Admission:
        """Reserves what an exchange may cost in every limit that concerns it, or nothing. Never raises for what a client sent."""
        steps = self.taking(exchange, assessment, now, granted=granted)
        try:
            bills, slots = next(steps)
            steps.send(self._store.take(bills, slots, now))
        except StopIteration as end:
            admission: Admission = end.value
            return admission
        raise RuntimeError("the store is asked once")

    def taking(
        self, exchange: Exchange, assessment: Assessment, now: float, *, granted: bool
    ) -> Generator[Asked, Outcome, Admission]:
        """The same for whoever asks the store himself: yields at most once what is asked of it."""
        account = exchange.account
        stranger = account.status != "accepted"
        factor = 1.0 if granted else assessment.factor
        costs = self._costs(exchange.features)
        view = None
        bills: list[Bill] = []
        pending: list[Bill] = []
        for group in self._groups:
            tariffs = group.always
            if tariffs is None:
                view = view or View(exchange, assessment, now, granted)
                tariffs = group.tariffs(view)
                if tariffs is None:
                    continue
            if group.kind == "account":
                whose, personal = account.key, True
            else:
                whose, personal = subject(group.per, exchange)
            if stranger:
                # Its own meters are the strangers'; of those it would share it takes nothing yet.
                tariff = tariffs[1] if personal else tariffs[2]
                if not personal or account.status == "provisional":
                    pending.append(Bill(tariffs[3], whose, costs, 1.0, account.shard))
            else:
                tariff = tariffs[0]
            bills.append(_made(Bill, (tariff, whose, costs, factor if personal else 1.0, account.shard)))
        together = _ALONE
        if assessment.cluster is not None and self._together.any and not (stranger or granted):
            together = self._together.look(exchange, assessment, costs, now)
            if together.limit:
                wait_s = self._spread(account, together.retry_after_s)
                return Admission(False, together.limit, together.unit, wait_s, shadow=together.shadow)
        if not bills:
            self._together.take(together.shared, now)
            return _UNLIMITED if together is _ALONE else Admission(True, shadow=together.shadow, shared=together.shared)
        taken, lease = yield _made(Asked, (bills, _made(Slots, ((), now + self._lease_s))))
        refused, wait_s, levels, _, lacking = taken
        spared: tuple[str, ...] = ()
        if lacking:
            spared = tuple(dict.fromkeys([_limit(bills, number)[0] for number in lacking]))
            pending = [_without(bill, spared) for bill in pending]
        if refused >= 0:
            limit, unit = _limit(bills, refused)
            wait_s = self._spread(account, wait_s)
            return _made(Admission, (False, limit, unit, wait_s, (), 0, spared, bills, levels))
        if together is not _ALONE:
            self._together.take(together.shared, now)
            spared += together.shadow
        return _made(Admission, (True, "", "", 0.0, tuple(pending), lease, spared, bills, levels, together.shared))

    def settle(self, receipt: Receipt, usage: Usage, now: float) -> None:
        """Corrects what was reserved to what the exchange came to, and gives back its slots. A second call changes nothing."""
        reserved = receipt.reserved
        shared = reserved.release() if isinstance(reserved, Reservation) else ()
        if not (receipt.lease or shared):
            return
        exchange = receipt.exchange
        status = usage.status
        # As identity sees it: only success vouches. Whatever else the app says, a stranger's use stays the stranger's.
        accepted = usage.forwarded and 200 <= status < 300
        actual = self._actual(exchange.features, usage, _answering(receipt))
        # Accepted: what it has used moves from the strangers' meters to an account's.
        back = not usage.forwarded or (accepted and exchange.account.status == "provisional")
        spent = _NOTHING_SPENT if back else actual
        self._together.settle(shared, spent, now)
        settled = self._store.settle(spent, receipt.lease, now) if receipt.lease else False
        if settled and accepted and receipt.pending:
            self._book(receipt.pending, actual, now)

    def hold(self, receipt: Receipt, now: float) -> None:
        """The answer still runs: its slots live on for another lease."""
        if receipt.lease:
            self._store.hold(receipt.lease, now + self._lease_s)

    def _book(self, pending: Sequence[Bill], actual: Spent, now: float) -> None:
        """Charges what was pending, room or not: the answer has been given. A limit that is gone is not charged."""
        bills = [self._current(bill)._replace(costs=actual) for bill in pending]
        _, lease = self._store.take(bills, Slots((), now + self._lease_s), now)
        self._store.settle(actual, lease, now)

    def _current(self, bill: Bill) -> Bill:
        """The bill by the rates of this policy, of which some limits may have been changed or be gone since admission."""
        kept, rates = bill.tariff.meters, self._rates
        if all([rates.get(meter[:3]) == meter.rate_per_s for meter in kept]):
            return bill
        meters = tuple([meter._replace(rate_per_s=rates[meter[:3]]) for meter in kept if meter[:3] in rates])
        return bill._replace(tariff=replace(bill.tariff, meters=meters, kept=False))

    def _costs(self, features: Features) -> tuple[float, float, float]:
        """What an exchange may cost at most, in the order of ``UNITS``."""
        received, sent = features.input_tokens, features.budget_tokens
        if sent is None:
            sent = self._default_output * max(1, features.choices)
        if not (0 <= received <= MOST_TOKENS and 0 <= sent <= MOST_TOKENS):
            received, sent = _believable(received), _believable(sent)
        return (
            float(features.requests),
            float(received + sent),
            self._money(features.model, received, sent) if self._prices else 0.0,
        )

    def _actual(self, features: Features, usage: Usage, model: str) -> Spent:
        """What an exchange came to at the price of the ``model`` that answered: once the app was called at least its input and
        one token of output."""
        received, sent = usage.input_tokens, usage.output_tokens
        if not usage.reported:
            received = max(received, features.input_tokens)
        if not (0 <= received <= MOST_TOKENS and 1 <= sent <= MOST_TOKENS):
            received, sent = _believable(received), max(1, _believable(sent))
        money = self._money(model, received, sent) if self._prices else 0.0
        return _made(Spent, (float(features.requests), float(received + sent), money))

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
_ALONE = Looked()


def _answering(receipt: Receipt) -> str:
    """The model that was asked in the end: a degraded exchange may have gone to a cheaper one."""
    reductions = receipt.decision.reductions
    if reductions and receipt.decision.enforced:
        return str(dict(reductions).get("model", receipt.exchange.features.model)).casefold()
    return receipt.exchange.features.model


def _believable(tokens: int) -> int:
    """A count of tokens between 0 and the most there can be."""
    return min(max(0, tokens), MOST_TOKENS)


def _without(bill: Bill, spared: tuple[str, ...]) -> Bill:
    """The bill without some limits."""
    meters = tuple([meter for meter in bill.tariff.meters if meter.limit not in spared])
    return bill._replace(tariff=replace(bill.tariff, meters=meters, kept=False))


def _limit(bills: Sequence[Bill], number: int) -> tuple[str, str]:
    """The limit and unit of a charge by its number."""
    for bill in bills:
        meters = bill[0].meters
        if number < len(meters):
            return meters[number][:2]
        number -= len(meters)
    return [slots.limit for bill in bills for slots in bill.tariff.slots][number], CONCURRENT


def _limits(bills: Sequence[Bill]) -> list[tuple[Metered | SlotLimit, float]]:
    """Each window, then all slots, as a store numbers them, and the f that counts there."""
    made: list[tuple[Metered | SlotLimit, float]] = [
        (meter, factor) for tariff, _, _, factor, _ in bills for meter in tariff.meters
    ]
    return made + [(slots, factor) for tariff, _, _, factor, _ in bills for slots in tariff.slots]


def _quota(limit: Metered | SlotLimit, factor: float, level: float) -> Quota:
    """Remaining and time until nothing is used any more; a concurrency slot has neither window nor time."""
    if isinstance(limit, SlotLimit):
        most = slots_at(limit.most, factor)
        return Quota(limit.limit, CONCURRENT, most, 0.0, float(floor(max(0.0, most - level))), 0.0)
    unit: Any = limit.unit
    amount, rate = limit.amount * factor, limit.rate_per_s * factor
    remaining = float(floor(max(0.0, amount - level)))
    if rate <= 0.0:
        return Quota(limit.limit, unit, amount, 0.0, remaining, 0.0)
    return Quota(limit.limit, unit, amount, amount / rate, remaining, level / rate)

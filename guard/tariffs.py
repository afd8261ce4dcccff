"""The limits of a policy → tariffs: what each kind of subject is charged, compiled once.

Limits of one subject that stand one after the other are charged together, as one bill: in a store everything of a subject lies
in one place. Which of them hold may depend on the exchange; for each set of them there is a tariff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

from guard.charges import UNITS, Metered, SlotLimit, Tariff
from guard.conditions import View, predicate
from guard.meters import COST_MAX
from guard.settings import PER, Limit
from guard.types import Exchange

_LONGEST_NAME = 96
_CHOICES_KEPT = 1_024


class Tariffs(NamedTuple):
    """What a subject is charged, by who asks."""

    account: Tariff
    stranger: Tariff
    """One that nobody has vouched for yet, in what is its own: it lives among the strangers."""
    joint: Tariff
    """The same one, in what it would share with others: nothing is taken yet."""
    late: Tariff
    """What is taken there once it is vouched for, room or not: the answer has been given."""


class Group:
    """Limits of one subject. ``kind`` names the table of its subjects; ``always``: the tariffs, if they depend on nothing."""

    __slots__ = ("_chosen", "_open", "_predicates", "_shut", "always", "kind", "limits", "per")

    def __init__(self, per: tuple[str, ...], limits: Sequence[Limit]) -> None:
        self.per = per
        self.kind = "/".join(per)
        self.limits = [(tuple(_meters(limit)), tuple(_slots(limit))) for limit in limits]
        self._open = frozenset(limit.id for limit in limits if limit.on_store_error == "allow")
        self._shut = frozenset(limit.id for limit in limits if limit.on_store_error == "deny")
        self._predicates: list[Callable[[View], bool] | None] = [
            predicate(limit.when) if limit.when.tests else None for limit in limits
        ]
        self._chosen: dict[tuple[bool, ...], Tariffs | None] = {}
        self.always = None if any(self._predicates) else self._tariffs((True,) * len(limits))

    def tariffs(self, view: View) -> Tariffs | None:
        """The tariffs of those limits that hold; None where none does."""
        holding = tuple([holds is None or holds(view) for holds in self._predicates])
        if holding in self._chosen:
            return self._chosen[holding]
        tariffs = self._tariffs(holding)
        if len(self._chosen) < _CHOICES_KEPT:
            self._chosen[holding] = tariffs
        return tariffs

    def _tariffs(self, holding: tuple[bool, ...]) -> Tariffs | None:
        counted = [limit for limit, holds in zip(self.limits, holding, strict=True) if holds]
        meters = tuple([meter for windows, _ in counted for meter in windows])
        slots = tuple([slot for _, concurrent in counted for slot in concurrent])
        if not meters and not slots:
            return None
        late = tuple([meter._replace(amount=2 * COST_MAX, shadow=False) for meter in meters])
        return Tariffs(
            Tariff(self.kind, meters, slots, open=self._open, shut=self._shut),
            Tariff(f"{self.kind}?", meters, slots),
            Tariff(self.kind, meters, slots, book=False),
            Tariff(self.kind, late),
        )


def groups(limits: Sequence[Limit]) -> Iterator[Group]:
    """The limits that are on, in groups. Limits per family concern nobody: ``recognition/ceilings.py`` has those."""
    counted = [
        limit
        for limit in limits
        if limit.mode != "off"
        and "family" not in limit.per
        and (limit.requests or limit.tokens or limit.cost or limit.concurrent)
    ]
    for per, same in groupby(counted, lambda limit: _parts(limit.per)):
        yield Group(per, list(same))


def subject(per: tuple[str, ...], exchange: Exchange) -> tuple[str, bool]:
    """Whose meter it is, and whether that is a single account's (or its user's). The account comes first, for ``forget``.
    The cluster is left out: it has no meter of its own (``unions.py``)."""
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
        elif part == "region":
            parts.append(exchange.peer.country)
    return "/".join(parts), personal


def _parts(per: tuple[str, ...]) -> tuple[str, ...]:
    """What makes a subject. A user is one within an account, so the account need not be named beside it."""
    return tuple([part for part in sorted(per, key=PER.index) if part != "account" or "user" not in per])


def _meters(limit: Limit) -> Iterator[Metered]:
    for place, (unit, windows) in enumerate(zip(UNITS, (limit.requests, limit.tokens, limit.cost), strict=True)):
        for ordinal, window in enumerate(windows):
            rate = window.amount / window.window_s
            yield Metered(limit.id, unit, str(ordinal), window.amount, rate, place, limit.mode == "shadow")


def _slots(limit: Limit) -> Iterator[SlotLimit]:
    if limit.concurrent:
        yield SlotLimit(limit.id, limit.concurrent, limit.mode == "shadow")


def _short(name: str) -> str:
    """A model's name as a subject: clients may send what they like, and a table must stay small."""
    return name if len(name) <= _LONGEST_NAME else blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()

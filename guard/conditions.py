"""Conditions: what a rule or a limit asks of an exchange, compiled to plain functions.

Every key of a condition must hold; a list is any of; ``{ at_least, below }`` is a range (from, up to but not including);
``not = { … }`` turns a whole condition round. A fact that nobody has stated satisfies no positive test, and therefore
every ``not`` of one. Where a fact may be missing, ``"unknown"`` names that case (a tier called "unknown" is the same).

Of where a request comes from several sources may say different things (``origin.py``). What holds something back (every
action but ``allow``, every limit) then asks whether a test *may* hold, ``allow`` whether it is *sure* to; below a ``not`` each
asks the other question. So the strictest source counts, in a list of what is barred and in one of what is open alike.

    field            asks for                                    of                                          "unknown"
    ---------------  ------------------------------------------  ------------------------------------------  ---------
    account          an account's id as the operator names it    Account.names (keyed hashes)                no
    org              an organisation's id, likewise              Account.names (keyed hashes)                no
    tier             words                                       Account.tier                                yes
    tag              words, any of the account's                 Account.tags                                no
    verified         true, false                                 Account.verified                            yes
    account_country  ISO 3166-1 alpha-2                          Account.country (registered)                yes
    country          ISO 3166-1 alpha-2                          Peer.country (where it comes from)          yes
    subdivision      ISO 3166-2, such as UA-43                   Origin.subdivision                          yes
    asn              numbers                                     Peer.asn                                    yes
    asn_kind         isp, hosting, vpn, tor, relay, unlisted, …  Peer.asn_kind                               yes
    country_differs  sources, account                            Origin.differ; account against address      no
    owner_country    ISO 3166-1: more than half is theirs        Account.owners                              yes
    half_owned_from  ISO 3166-1: half or more is theirs          Account.owners                              yes
    age_days         range                                       now - Account.created                       yes
    standing         range, 0 to 1                               Assessment.standing                         no
    score            range, 0 to 1                               Assessment.score                            no
    band             low, watch, suspect, confirmed              Assessment.band                             no
    signal           names of signals, any that gave evidence    Assessment.evidence                         no
    model            shell patterns                              Features.model                              no
    dialect          names of dialects                           Features.dialect                            no
    stream           true, false                                 Features.stream                             no
    path             shell patterns                              Exchange.path                               no
    credential       accepted, provisional, anonymous            Account.status                              no
    input_tokens     range (estimated)                           Features.input_tokens                       no
    budget_tokens    range                                       Features.budget_tokens                      yes
    replayed         signature: one that another received        Features.sealed                             no
    grant            true, false                                 whether a grant holds                       no
    cluster          true, false                                 whether the account is in a cluster         no

``FIELDS`` is this table for programs: it drives what the policy file accepts and the JSON schema. A policy names accounts
and organisations as the operator does; ``bind`` replaces those names by their keyed hashes once the key is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fnmatch import translate
from functools import lru_cache
from math import inf
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from guard.hashing import HashKey
from guard.origin import KINDS, UNLISTED, Origin
from guard.settings import Condition, Policy
from guard.types import BANDS, UNKNOWN, Assessment, Exchange

DAY_S = 86_400.0
_KEY = re.compile(r"[0-9a-f]{32}")
# Evidence of any kind: a grant answers it, so that a rule on one of these does no more than tag a granted account.
SUSPICION = frozenset({"band", "score", "signal", "cluster", "standing", "country_differs", "replayed"})
_NONE: frozenset[str] = frozenset()


class View(NamedTuple):
    """All that a condition may look at; the pipeline makes one for each exchange."""

    exchange: Exchange
    assessment: Assessment
    now: float
    granted: bool
    replayed: Callable[[Exchange, float], frozenset[str]] | None = None
    """What of another account's the exchange brings along; asked only by a policy that has a rule on it."""


class Field(NamedTuple):
    """One row of the table. ``values`` is the closed set of words, empty where any word goes; signals and dialects are
    the registry's and are filled in by ``when.py``."""

    shape: Literal["words", "names", "codes", "parts", "numbers", "range", "flag", "patterns"]
    unknown: bool = False
    values: tuple[str, ...] = ()
    most: float = inf


FIELDS: MappingProxyType[str, Field] = MappingProxyType(
    {
        "account": Field("names"),
        "org": Field("names"),
        "tier": Field("words", unknown=True),
        "tag": Field("words"),
        "verified": Field("flag", unknown=True),
        "account_country": Field("codes", unknown=True),
        "country": Field("codes", unknown=True),
        "subdivision": Field("parts", unknown=True),
        "asn": Field("numbers", unknown=True, most=2**32 - 1),
        "asn_kind": Field("words", unknown=True, values=(*KINDS, UNLISTED)),
        "country_differs": Field("words", values=("sources", "account")),
        "owner_country": Field("codes", unknown=True),
        "half_owned_from": Field("codes", unknown=True),
        "age_days": Field("range", unknown=True),
        "standing": Field("range", most=1.0),
        "score": Field("range", most=1.0),
        "band": Field("words", values=BANDS),
        "signal": Field("words"),
        "model": Field("patterns"),
        "dialect": Field("words"),
        "stream": Field("flag"),
        "path": Field("patterns"),
        "credential": Field("words", values=("accepted", "provisional", "anonymous")),
        "input_tokens": Field("range"),
        "budget_tokens": Field("range", unknown=True),
        "replayed": Field("words", values=("signature",)),
        "grant": Field("flag"),
        "cluster": Field("flag"),
    }
)


def _age_days(view: View) -> float | None:
    created = view.exchange.account.created
    return None if created is None else (view.now - created) / DAY_S


def _signals(view: View) -> frozenset[str]:
    return frozenset([evidence.signal for evidence in view.assessment.evidence])


def _differs(view: View) -> frozenset[str]:
    peer, account = view.exchange.peer, view.exchange.account
    found = ["sources"] if peer.origin is not None and peer.origin.differ else []
    stated = {one.country for one in peer.origin.said} if peer.origin is not None else {peer.country}
    if account.country is not None and stated - {account.country, UNKNOWN, ""}:
        found.append("account")
    return frozenset(found)


def _or_unknown(path: str) -> Callable[[View], str]:
    get = attrgetter(path)
    return lambda view: get(view) or UNKNOWN


# What is read of a view for each field; sets for account, org, tag and signal, None for a number nobody stated.
_READ: MappingProxyType[str, Callable[[View], Any]] = MappingProxyType(
    {
        "account": attrgetter("exchange.account.names"),
        "org": attrgetter("exchange.account.names"),
        "tier": _or_unknown("exchange.account.tier"),
        "tag": attrgetter("exchange.account.tags"),
        "verified": attrgetter("exchange.account.verified"),
        "account_country": _or_unknown("exchange.account.country"),
        "country": _or_unknown("exchange.peer.country"),
        "subdivision": lambda _: UNKNOWN,  # without an origin no source says
        "asn": attrgetter("exchange.peer.asn"),
        "asn_kind": _or_unknown("exchange.peer.asn_kind"),
        "country_differs": _differs,
        "owner_country": attrgetter("exchange.account.owners"),
        "half_owned_from": attrgetter("exchange.account.owners"),
        "age_days": _age_days,
        "standing": attrgetter("assessment.standing"),
        "score": attrgetter("assessment.score"),
        "band": attrgetter("assessment.band"),
        "signal": _signals,
        "model": attrgetter("exchange.features.model"),
        "dialect": attrgetter("exchange.features.dialect"),
        "stream": attrgetter("exchange.features.stream"),
        "path": attrgetter("exchange.path"),
        "credential": attrgetter("exchange.account.status"),
        "input_tokens": attrgetter("exchange.features.input_tokens"),
        "budget_tokens": attrgetter("exchange.features.budget_tokens"),
        "replayed": lambda view: _NONE if view.replayed is None else view.replayed(view.exchange, view.now),
        "grant": attrgetter("granted"),
        "cluster": lambda view: view.assessment.cluster is not None,
    }
)


class Ranges(NamedTuple):
    """The operand of a ``between`` test: any of the half-open ranges [at_least, below), or (``unknown``) no value."""

    spans: tuple[tuple[float, float], ...]
    unknown: bool = False


def _is(read: Callable[[View], Any], operand: frozenset[Any]) -> Callable[[View], bool]:
    if len(operand) == 1:
        (only,) = operand
        return lambda view: bool(read(view) == only)
    return lambda view: read(view) in operand


def _any(read: Callable[[View], Any], operand: frozenset[str]) -> Callable[[View], bool]:
    return lambda view: not operand.isdisjoint(read(view))


def _between(read: Callable[[View], Any], operand: Ranges) -> Callable[[View], bool]:
    spans, unknown = operand
    if len(spans) == 1 and not unknown:
        ((low, high),) = spans

        def inside(view: View) -> bool:
            value = read(view)
            return value is not None and low <= value < high

        return inside

    def within(view: View) -> bool:
        value = read(view)
        if value is None:
            return unknown
        return any(low <= value < high for low, high in spans)

    return within


def _like(read: Callable[[View], Any], operand: tuple[str, ...]) -> Callable[[View], bool]:
    """Exact words and prefixes, which is what people write, are matched without a regular expression."""
    exact = frozenset(p for p in operand if not has_wildcard(p))
    simple = frozenset(p for p in operand if p.endswith("*") and not has_wildcard(p[:-1]))
    prefixes = tuple(sorted(p[:-1] for p in simple))
    rest = sorted(set(operand) - exact - simple)
    matches = re.compile("|".join(translate(p) for p in rest)).match if rest else None

    def fits(view: View) -> bool:
        value = read(view)
        return bool(value) and (
            value in exact or value.startswith(prefixes) or (matches is not None and matches(value) is not None)
        )

    return fits


def _claims(field: str, operand: frozenset[Any], sure: bool) -> Callable[[View], bool]:
    """A fact of several sources: ``sure`` asks for every claim on it, else any is enough."""
    read, place = _READ[field], Origin._fields.index(field)
    quantifier = all if sure else any

    def fits(view: View) -> bool:
        origin = view.exchange.peer.origin
        if origin is None:
            return read(view) in operand
        claims: tuple[frozenset[Any], ...] = origin[place]  # type: ignore[assignment] # the places of facts
        if len(claims) == 1:
            return not operand.isdisjoint(claims[0])
        return quantifier([not operand.isdisjoint(claim) for claim in claims])

    return fits


def _owned(field: str, operand: frozenset[str], sure: bool) -> Callable[[View], bool]:
    """Whether the shares of these countries come to more than half (or to half), as far as stated: what isn't is "unknown".

    ``sure``: whether what is left to all others doesn't come to that much.
    """
    from_half = field == "half_owned_from"
    unstated = UNKNOWN in operand

    def fits(view: View) -> bool:
        owners = view.exchange.account.owners
        share = sum([percent for country, percent in owners if country in operand])
        if unstated:
            share += 100.0 - sum([percent for _, percent in owners])
        share = round(100.0 - share if sure else share, 6)
        much = share >= 50.0 if from_half else share > 50.0
        return much is not sure

    return fits


_CLAIMS: MappingProxyType[str, Callable[[str, frozenset[Any], bool], Callable[[View], bool]]] = MappingProxyType(
    {
        **dict.fromkeys(("country", "subdivision", "asn", "asn_kind"), _claims),
        **dict.fromkeys(("owner_country", "half_owned_from"), _owned),
    }
)


_KINDS: MappingProxyType[str, Callable[[Any, Any], Callable[[View], bool]]] = MappingProxyType(
    {"is": _is, "any": _any, "between": _between, "like": _like}
)


def has_wildcard(pattern: str) -> bool:
    """Whether a shell pattern stands for more than itself."""
    return any(mark in pattern for mark in "*?[")


def _always(view: View) -> bool:
    return True


def _check(field: str, kind: str, operand: Any, sure: bool) -> Callable[[View], bool]:
    if kind == "not":
        inner = predicate(operand, not sure)
        return lambda view: not inner(view)
    if field in _CLAIMS:
        return _CLAIMS[field](field, operand, sure)
    return _KINDS[kind](_READ[field], operand)


@lru_cache(maxsize=4096)
def predicate(condition: Condition, sure: bool = False) -> Callable[[View], bool]:
    """The condition as one function. Make it once, when the policy is compiled; about 0.1 µs for each test.

    ``sure``: where sources disagree it holds only if every one makes it hold; else any is enough.
    """
    checks = tuple(_check(*test, sure) for test in condition.tests)
    if not checks:
        return _always
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda view: first(view) and second(view)
    return lambda view: all(check(view) for check in checks)


def holds(condition: Condition, view: View) -> bool:
    """Whether every test of the condition holds. Never raises."""
    return not condition.tests or predicate(condition)(view)


def mentions(condition: Condition, fields: frozenset[str]) -> bool:
    """Whether the condition tests one of these fields, at any depth."""
    return any(
        mentions(operand, fields) if kind == "not" else field in fields for field, kind, operand in condition.tests
    )


def hashed_name(name: str, key: HashKey) -> str:
    """``account:<id>`` or ``org:<id>`` as the operator writes it → the same with the id's keyed hash, as in ``Account.names``."""
    kind, _, raw = name.partition(":")
    return f"{kind}:{key.identifier(kind, raw.encode())}"


def hashed_names(name: str, key: HashKey) -> tuple[str, ...]:
    """Every name that ``name`` may mean. 32 hex digits may be an operator's own id (a UUID) or what guard shows of an account."""
    hashed = hashed_name(name, key)
    return (hashed, name) if _KEY.fullmatch(name.partition(":")[2]) else (hashed,)


def bind(policy: Policy, key: HashKey) -> Policy:
    """The policy with every account and organisation named in its conditions replaced by its keyed hash."""
    return replace(
        policy,
        limits=tuple(replace(limit, when=bound(limit.when, key)) for limit in policy.limits),
        rules=tuple(replace(rule, when=bound(rule.when, key)) for rule in policy.rules),
    )


def bound(condition: Condition, key: HashKey) -> Condition:
    """One condition with its names hashed, at any depth."""
    tests: list[tuple[str, str, Any]] = []
    for field, kind, operand in condition.tests:
        if kind == "not":
            tests.append((field, kind, bound(operand, key)))
        elif field in ("account", "org"):
            tests.append((field, kind, frozenset(n for raw in operand for n in hashed_names(f"{field}:{raw}", key))))
        else:
            tests.append((field, kind, operand))
    return Condition(tuple(tests))

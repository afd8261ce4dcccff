"""Conditions: what each field asks, how tests combine, what missing facts do, and names that are only kept hashed."""

from __future__ import annotations

from typing import Any

import pytest

from guard.checks import covers, implies
from guard.conditions import (
    DAY_S,
    FIELDS,
    SUSPICION,
    View,
    bind,
    bound,
    hashed_name,
    hashed_names,
    holds,
    mentions,
    predicate,
)
from guard.hashing import HashKey
from guard.mistakes import Mistakes
from guard.origin import Said, compared
from guard.settings import ALWAYS, Condition, Limit, Policy, Rule
from guard.types import Account, Assessment, Evidence, Exchange, Features, Peer
from guard.when import compile_tests

NOW = 1_700_000_000.0
KEY = HashKey(b"conditions")


def view(
    account: dict[str, Any] | None = None,
    peer: dict[str, Any] | None = None,
    assessment: dict[str, Any] | None = None,
    granted: bool = False,
    **features: Any,
) -> View:
    shown = {"version": 1, "dialect": "openai_chat", "model": "gpt-5-mini", "stream": False, "facets": (), "readings": (),
             "input_tokens": 100, "budget_tokens": None} | features  # fmt: skip
    return View(
        Exchange(Account("0" * 32, **(account or {})), Peer(**(peer or {})), "/v1/chat/completions", Features(**shown)),
        Assessment(**({"score": 0.1, "band": "low", "standing": 0.5} | (assessment or {}))),
        NOW,
        granted,
    )


def when(**tests: Any) -> Condition:
    """A condition as a policy file writes it (``not_`` for ``not``), its names hashed."""
    mistakes = Mistakes()
    table = {key.rstrip("_"): value for key, value in tests.items()}
    condition = compile_tests(table, (), mistakes)
    assert not mistakes
    return bound(condition, KEY)


SEEN = compared((Said("city.mmdb", ("country",), "UA", ("UA-43",)),))
TORN = compared((Said("header", ("country",), "DE"), Said("city.mmdb", ("country",), "UA")))
NAMES = frozenset({hashed_name("account:4711", KEY), hashed_name("org:acme", KEY)})
# field, what is asked, a view for which it holds, one for which it doesn't
CASES: list[tuple[str, Any, View, View]] = [
    ("account", "4711", view({"names": NAMES}), view()),
    ("account", ["4711", "4712"], view({"names": NAMES}), view({"names": frozenset({"account:4711"})})),
    ("org", "acme", view({"names": NAMES}), view({"names": frozenset({hashed_name("account:acme", KEY)})})),
    ("tier", "free", view({"tier": "free"}), view({"tier": "paid"})),
    ("tier", "unknown", view(), view({"tier": "free"})),
    ("tag", ["a", "b"], view({"tags": frozenset({"b", "c"})}), view({"tags": frozenset({"c"})})),
    ("verified", True, view({"verified": True}), view()),
    ("verified", [False, "unknown"], view(), view({"verified": True})),
    ("account_country", "de", view({"country": "DE"}), view()),
    ("country", ["KP", "unknown"], view(), view(peer={"country": "DE"})),
    ("country", ["XX"], view(), view(peer={"country": "DE"})),
    ("subdivision", ["UA-43"], view(peer={"origin": SEEN}), view()),
    ("subdivision", "unknown", view(), view(peer={"origin": SEEN})),
    ("country_differs", "account", view({"country": "DE"}, {"country": "FR"}), view({"country": "DE"}, {"country": "DE"})),
    ("country_differs", "sources", view(peer={"origin": TORN}), view(peer={"origin": SEEN})),
    ("owner_country", "DE", view({"owners": (("DE", 50.01),)}), view({"owners": (("DE", 40.0),)})),
    ("owner_country", "unknown", view(), view({"owners": (("DE", 60.0),)})),
    ("half_owned_from", ["DE", "FR"], view({"owners": (("DE", 20.0), ("FR", 40.0))}), view({"owners": (("DE", 40.0),)})),
    ("asn", 64496, view(peer={"asn": 64496}), view()),
    ("asn", [1, "unknown"], view(), view(peer={"asn": 64496})),
    ("asn_kind", "hosting", view(peer={"asn_kind": "hosting"}), view()),
    ("age_days", {"below": 7}, view({"created": NOW - 6.9 * DAY_S}), view({"created": NOW - 7 * DAY_S})),
    ("age_days", ["unknown", {"at_least": 30}], view(), view({"created": NOW - DAY_S})),
    ("standing", {"below": 0.5}, view(assessment={"standing": 0.4}), view()),
    ("score", {"at_least": 0.5, "below": 0.9}, view(assessment={"score": 0.5}), view(assessment={"score": 0.9})),
    ("band", ["watch", "suspect"], view(assessment={"band": "watch"}), view(assessment={"band": "confirmed"})),
    (
        "signal",
        "logprob_harvest",
        view(assessment={"evidence": (Evidence("logprob_harvest", "content", 1.0, "asked for"),)}),
        view(assessment={"evidence": (Evidence("reasoning_elicitation", "content", 1.0, "asked for"),)}),
    ),
    ("model", "GPT-5*", view(), view(model="claude-4")),
    ("model", ["claude-?", "gpt-5-mini"], view(model="claude-4"), view(model="claude-45")),
    ("model", ["gpt-[45]", "o*-mini"], view(model="o3-mini"), view(model="gpt-6")),
    ("model", "*", view(), view(model="")),
    ("dialect", "openai_chat", view(), view(dialect="json")),
    ("stream", True, view(stream=True), view()),
    ("path", "/v1/chat/*", view(), view()._replace(exchange=Exchange(Account(""), Peer(), "/v2/chat", view().exchange.features))),
    ("credential", ["provisional", "anonymous"], view({"status": "anonymous"}), view()),
    ("input_tokens", {"at_least": 100}, view(), view(input_tokens=99)),
    ("budget_tokens", {"at_least": 1000}, view(budget_tokens=1000), view()),
    ("budget_tokens", "unknown", view(), view(budget_tokens=5)),
    ("replayed", "signature", view()._replace(replayed=lambda *_: frozenset({"signature"})), view()),
    ("grant", True, view(granted=True), view()),
    ("cluster", False, view(), view()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "asked", "fits", "differs"), CASES, ids=[f"{case[0]}-{at}" for at, case in enumerate(CASES)]
)
def test_a_field_holds_for_what_it_asks_and_for_nothing_else(field: str, asked: Any, fits: View, differs: View) -> None:
    """Each field, in each of its forms, tells the two apart; ``not`` turns both round."""
    condition, negated = when(**{field: asked}), when(not_={field: asked})
    assert holds(condition, fits)
    assert not holds(negated, fits)
    if field != "cluster":  # nothing is in a cluster yet
        assert not holds(condition, differs)
        assert holds(negated, differs)


def test_every_field_of_the_table_is_tried_and_documented() -> None:
    """The cases above, the table for programs and the table in the docstring name the same fields."""
    documented = (__import__("guard.conditions").conditions.__doc__ or "").split("---\n")[1].split("\n\n")[0]
    assert {case[0] for case in CASES} == set(FIELDS) == {line.split()[0] for line in documented.splitlines()}


def test_every_test_must_hold() -> None:
    """Three keys: one that fails is enough; an empty condition always holds."""
    condition = when(band="suspect", stream=True, tier="free")
    fits = view({"tier": "free"}, assessment={"band": "suspect"}, stream=True)
    assert holds(condition, fits)
    assert not holds(condition, view({"tier": "free"}, assessment={"band": "suspect"}))
    assert not holds(condition, view({"tier": "paid"}, assessment={"band": "suspect"}, stream=True))
    assert holds(ALWAYS, view())


def test_a_missing_fact_satisfies_no_positive_test() -> None:
    """Nobody has said anything of this account: no fact about it holds, every ``not`` of one does."""
    unknown = view(peer={}, model="")
    for table in ({"tier": "free"}, {"verified": False}, {"age_days": {"at_least": 0}}, {"country": "DE"}, {"asn": 0},
                  {"account_country": "DE"}, {"asn_kind": "isp"}, {"budget_tokens": {"below": 10}}, {"tag": "x"},
                  {"model": "*"}, {"org": "acme"}):  # fmt: skip
        assert not holds(when(**table), unknown), table
        assert holds(when(not_=table), unknown), table


def test_not_may_be_nested() -> None:
    """Not (free and not tagged): paid accounts and tagged free ones."""
    condition = when(not_={"tier": "free", "not": {"tag": "friend"}})
    assert holds(condition, view({"tier": "paid"}))
    assert holds(condition, view({"tier": "free", "tags": frozenset({"friend"})}))
    assert not holds(condition, view({"tier": "free"}))


def test_names_are_compared_as_keyed_hashes() -> None:
    """Binding replaces names at any depth; another key fits nobody; what guard shows (32 hex digits) is taken as it is."""
    raw = compile_tests({"not": {"account": "account:4711"}}, (), Mistakes())
    policy = Policy(rules=(Rule("a", raw, "tag"),), limits=(Limit("b", (), raw),))
    mine, other = bind(policy, KEY), bind(policy, HashKey(b"other"))
    member = view({"names": NAMES})
    assert not holds(mine.rules[0].when, member)
    assert not holds(mine.limits[0].when, member)
    assert holds(other.rules[0].when, member)
    assert "4711" not in repr(mine)
    shown = hashed_name("account:4711", KEY)
    assert shown in hashed_names(shown, KEY)
    assert hashed_name(shown, KEY) in hashed_names(shown, KEY), "32 hex digits may be an id of the operator's own"


def test_what_a_condition_mentions_is_found_at_any_depth() -> None:
    """Suspicion is suspicion also behind a ``not``; facts are not."""
    assert mentions(when(tier="free", not_={"not": {"score": {"below": 0.5}}}), SUSPICION)
    assert not mentions(when(tier="free", not_={"grant": True}), SUSPICION)


@pytest.mark.parametrize(
    ("narrow", "wide", "sure"),
    [
        ({"band": "watch", "stream": True}, {"band": ["watch", "suspect"]}, True),
        ({"band": ["watch", "low"]}, {"band": "watch"}, False),
        ({"score": {"at_least": 0.9}}, {"score": {"at_least": 0.5}}, True),
        ({"score": {"below": 0.9}}, {"score": {"at_least": 0.5}}, False),
        ({"age_days": ["unknown", {"below": 3}]}, {"age_days": {"below": 7}}, False),
        ({"age_days": {"below": 3}}, {"age_days": ["unknown", {"below": 7}]}, True),
        ({"not": {"tier": ["a", "b", "c"]}}, {"not": {"tier": ["a", "b"]}}, True),
        ({"not": {"tier": "a"}}, {"not": {"tier": ["a", "b"]}}, False),
        ({"model": "gpt-5-mini"}, {"model": "gpt-5*"}, True),
        ({"model": "gpt-*"}, {"model": "gpt-5*"}, False),
        ({"tier": "a"}, {"account_country": "DE"}, False),
        ({}, {"tier": "a"}, False),
        ({"tier": "a"}, {}, True),
    ],
)
def test_one_condition_implies_another_only_where_that_is_sure(
    narrow: dict[str, Any], wide: dict[str, Any], sure: bool
) -> None:
    """What is called sure lets a rule be called unreachable, so it must be."""
    assert implies(compile_tests(narrow, (), Mistakes()), compile_tests(wide, (), Mistakes())) is sure


@pytest.mark.parametrize(
    ("wide", "narrow", "sure"),
    [("*", "a*", True), ("a*", "a*", True), ("gpt-*", "gpt-5*", True), ("gpt-5?", "gpt-5*", False), ("a*c", "a*", False),
     ("a[bc]", "ab", True), ("a*", "a[bc]d", True), ("a?", "a?", True), ("a?", "a[b]", False)],
)  # fmt: skip
def test_one_pattern_covers_another_only_where_that_is_sure(wide: str, narrow: str, sure: bool) -> None:
    """A wildcard of the narrow pattern stands for any text."""
    assert covers(wide, narrow) is sure


def test_a_condition_is_compiled_once() -> None:
    """Equal conditions share one function, so that asking by condition stays cheap."""
    assert predicate(when(tier="free")) is predicate(when(tier="free"))

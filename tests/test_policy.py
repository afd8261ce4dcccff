"""The policy stage: the first rule that holds decides, shadow rules are only recorded, a grant answers suspicion."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from guard.conditions import View
from guard.config import load
from guard.policy import Judge, Judgement
from guard.settings import Policy
from guard.types import Account, Assessment, Evidence, Exchange, Features, Peer


def view(
    band: str = "low",
    *,
    granted: bool = False,
    country: str = "DE",
    standing: float = 0.0,
    evidence: tuple[str, ...] = (),
) -> View:
    features = Features(1, "openai_chat", "gpt-5", False, (), (), 10, None)
    shown = tuple(Evidence(name, "content", 1.0, "seen") for name in evidence)
    return View(
        Exchange(Account("0" * 32), Peer(country=country), "/v1/chat/completions", features),
        Assessment(0.5, band, standing, 1.0, shown),
        1_700_000_000.0,
        granted,
    )


def judge(rules: str) -> Judge:
    return Judge(load(f'version = 1\n[trust]\nhops = ["10.0.0.0/8"]\ncountry = "x-country"\n{rules}'))


def rule(name: str, when: str, action: str, mode: str = "enforce", more: str = "") -> str:
    return f'[[rule]]\nid = "{name}"\nwhen = {when}\naction = {action}\nmode = "{mode}"\n{more}\n'


LADDER = (
    rule("embargo", '{ country = "KP" }', '"refuse"', more='public = "Not offered there."')
    + rule("known", '{ band = "confirmed" }', '"refuse"')
    + rule("maybe", '{ band = "suspect" }', '{ limit = "7 s" }')
    + rule("seen", '{ signal = "logprob_harvest" }', '"tag"')
)


@pytest.mark.parametrize(
    ("shown", "action", "decided_by", "retry_after_s"),
    [
        (view(), "allow", "", 0),
        (view("watch"), "allow", "", 0),
        (view("confirmed"), "refuse", "known", 0),
        (view("suspect"), "limit", "maybe", 7),
        (view("suspect", country="KP"), "refuse", "embargo", 0),
        (view("suspect", evidence=("logprob_harvest",)), "limit", "maybe", 7),
        (view(evidence=("logprob_harvest",)), "tag", "seen", 0),
    ],
)
def test_the_first_rule_that_holds_decides(shown: View, action: str, decided_by: str, retry_after_s: int) -> None:
    """Order is all that counts, not severity; without a rule it is allow."""
    judgement = judge(LADDER).judge(shown)
    assert (judgement.action, judgement.rule, judgement.retry_after_s) == (action, decided_by, retry_after_s)


def test_reasons_are_the_rule_and_the_signals() -> None:
    """An allowed exchange needs no reason."""
    judgement = judge(LADDER).judge(view("confirmed", evidence=("logprob_harvest", "reasoning_elicitation")))
    assert judgement.reasons == ("known", "logprob_harvest", "reasoning_elicitation")
    assert judge(LADDER).judge(view(evidence=("reasoning_elicitation",))) == Judgement()


def test_the_operators_sentence_reaches_the_client() -> None:
    """``public`` of the rule that decided, and of no other."""
    assert judge(LADDER).judge(view(country="KP")).public == "Not offered there."
    assert not judge(LADDER).judge(view("confirmed")).public


def test_an_action_without_its_own_time_asks_for_half_a_minute() -> None:
    """Retry-After of a limiting rule, within what SDKs sleep."""
    assert judge(rule("a", '{ band = "low" }', '"limit"')).judge(view()).retry_after_s == 30


def test_shadow_rules_are_recorded_wherever_they_stand() -> None:
    """Before and after the rule that decides; one that is off never shows."""
    rules = (
        rule("first", '{ band = "suspect" }', '"refuse"', "shadow")
        + rule("off", '{ band = "suspect" }', '"refuse"', "off")
        + rule("decides", '{ band = "suspect" }', '"tag"')
        + rule("later", '{ band = ["suspect"] }', '{ degrade = ["logprobs"] }', "shadow")
        + rule("other", '{ band = "confirmed" }', '"refuse"', "shadow")
    )
    judgement = judge(rules).judge(view("suspect"))
    assert (judgement.action, judgement.rule) == ("tag", "decides")
    assert judgement.shadow == (("first", "refuse"), ("later", "degrade"))
    alone = judge(rule("a", "{}", '"refuse"', "shadow")).judge(view())
    assert (alone.action, alone.shadow) == ("allow", (("a", "refuse"),))


def test_a_grant_answers_suspicion_and_nothing_else() -> None:
    """Evidence does no more than tag a granted account; a rule on facts holds for everybody."""
    ladder = judge(LADDER)
    assert ladder.judge(view("confirmed", granted=True))[:2] == ("tag", "known")
    assert ladder.judge(view("suspect", granted=True)).retry_after_s == 0
    assert ladder.judge(view("confirmed", granted=True, country="KP"))[:2] == ("refuse", "embargo")
    assert ladder.judge(view(granted=True))[:2] == ("allow", "")


def test_a_rule_on_facts_is_not_hidden_behind_suspicion_by_a_grant() -> None:
    """What suspicion would have decided first lets the fact below it decide for a granted account."""
    ladder = judge(
        rule("known", '{ band = "confirmed" }', '"refuse"') + rule("embargo", '{ country = "KP" }', '"limit"')
    )
    assert ladder.judge(view("confirmed", country="KP", granted=True))[:2] == ("limit", "embargo")
    assert ladder.judge(view("confirmed", country="KP"))[:2] == ("refuse", "known")


def test_an_allow_below_doesnt_take_a_grants_tag_away() -> None:
    """The rule above stands first; only its severity is bounded."""
    ladder = judge(
        rule("known", '{ band = "confirmed" }', '"refuse"') + rule("friends", '{ country = "DE" }', '"allow"')
    )
    assert ladder.judge(view("confirmed", granted=True))[:2] == ("tag", "known")
    assert ladder.judge(view("low", granted=True)) == Judgement(rule="friends")


def test_what_a_shadow_rule_would_have_done_is_bounded_by_a_grant_too() -> None:
    """A shadow record says what enforcing would have done to this very account."""
    shadow = judge(
        rule("known", '{ band = "confirmed" }', '"refuse"', "shadow")
        + rule("kp", '{ country = "KP" }', '"refuse"', "shadow")
    )
    assert shadow.judge(view("confirmed", country="KP", granted=True)).shadow == (("known", "tag"), ("kp", "refuse"))


def test_an_allow_rule_ends_the_search() -> None:
    """An exemption above a refusal."""
    ladder = judge(rule("friends", '{ country = "DE" }', '"allow"') + rule("all", "{}", '"refuse"'))
    assert ladder.judge(view())[:2] == ("allow", "friends")
    assert ladder.judge(view(country="FR"))[:2] == ("refuse", "all")


def test_options_go_with_the_action() -> None:
    """The action's own settings stand in the judgement, except where a grant has bounded the action."""
    ladder = judge(rule("maybe", '{ band = "suspect" }', '{ limit = "7 s" }'))
    options: MappingProxyType[str, Any] = ladder.judge(view("suspect")).options
    assert dict(options) == {"retry_after_s": 7}
    assert not ladder.judge(view("suspect", granted=True)).options


def test_no_rules_allow_everything() -> None:
    """The judgement of an empty policy costs nothing and says nothing."""
    assert Judge(Policy()).judge(view("confirmed")) == Judgement()


@pytest.mark.parametrize(
    ("dialect", "action"),
    [("openai_chat", "degrade"), ("anthropic_messages", "degrade"), ("json", "limit"), ("flat", "limit")],
)
def test_what_cannot_be_reduced_is_limited(dialect: str, action: str) -> None:
    """An API without a place for one of the reductions: the exchange does not pass as if it were reduced. Pace is for all."""
    shown = view()
    features = replace(shown.exchange.features, dialect=dialect)
    shown = shown._replace(exchange=replace(shown.exchange, features=features))
    judged = judge(rule("r", "{}", '{ degrade = ["budget", "reasoning"] }')).judge(shown)
    assert (judged.action, judged.rule) == (action, "r")
    assert ("irreducible" in judged.reasons) == (action == "limit")
    assert (judged.retry_after_s > 0) == (action == "limit")
    assert judge(rule("r", "{}", '{ degrade = ["pace"] }')).judge(shown).action == "degrade"

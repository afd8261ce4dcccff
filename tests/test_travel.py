"""In how many countries an account is seen: noted, shown, kept and forgotten, and never a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guard import travel
from guard.config import load
from guard.hashing import HashKey
from guard.installation import Installation
from guard.pipeline import Guard
from guard.settings import Policy, Trust
from guard.travel import DAY_S, SIGNAL, Travels
from guard.types import Account, Assessment, Exchange, Features, Peer
from tests.attacks.inside import Inside

NOW = 1_700_000_000.0
FEATURES = Features(1, "openai_chat", "m", False, (), (), 1, None)
NOTHING = Assessment(0.05, "low", 0.5)
BEHIND = Policy(trust=Trust(country="x-country"))


def travels() -> Travels:
    made = Travels()
    made.use(BEHIND)
    return made


def ask(made: Travels, place: str, now: float = NOW, key: str = "a", **account: Any) -> tuple[str, ...]:
    """The reasons of the evidence after one exchange."""
    exchange = Exchange(Account(key * 32, **account), Peer(country=place), "/", FEATURES)
    return tuple(evidence.reason for evidence in made.seen(exchange, NOTHING, now).evidence)


def test_three_countries_in_a_day_are_evidence_and_two_are_not() -> None:
    """A day later the trail has faded; the countries are named, the last first, with the one where it is registered."""
    made = travels()
    assert ask(made, "DE", NOW, country="DE") == ask(made, "FR", NOW + 60, country="DE") == ()
    assert ask(made, "US", NOW + 120, country="DE") == ("seen in 3 countries within a day: US FR DE, registered in DE",)
    assert ask(made, "DE", NOW + 180) == ("seen in 3 countries within a day: DE US FR",)
    assert ask(made, "DE", NOW + 200 + DAY_S) == ()


def test_what_says_nothing_of_a_place_is_no_place() -> None:
    """Unknown addresses and Tor; credentials that nobody vouched for leave no trail at all."""
    made = travels()
    for country in ("DE", "unknown", "T1", "FR", "unknown"):
        assert ask(made, country) == ()
    for country in ("DE", "FR", "US", "GB"):
        assert ask(made, country, key="b", status="provisional") == ()
    assert made.forget("b" * 32) == 0
    assert made.forget("a" * 32) == 1


def test_the_score_stays_what_it_was() -> None:
    """Evidence of no weight: band, score and standing are untouched."""
    made = travels()
    for at, country in enumerate(("DE", "FR", "US", "GB", "KP")):
        exchange = Exchange(Account("a" * 32), Peer(country=country), "/", FEATURES)
        found = made.seen(exchange, NOTHING, NOW + at)
    assert (found.score, found.band, found.standing, found.factor) == (0.05, "low", 0.5, 1.0)
    assert [(one.signal, one.nats) for one in found.evidence] == [(SIGNAL, 0.0)]


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Countries of an account, and accounts."""
    monkeypatch.setattr(travel, "_MOST_ACCOUNTS", 100)
    made = travels()
    for number, country in enumerate(["DE", "FR", "US", "GB", "IT", "ES", "PT", "PL", "CZ", "AT", "CH", "NL"]):
        reasons = ask(made, country, NOW + number)
    assert "seen in 8 countries" in reasons[0]
    for number in range(1000):
        made.seen(Exchange(Account(f"{number:032x}"), Peer(country="DE"), "/", FEATURES), NOTHING, NOW)
    assert sum(made.forget(f"{number:032x}") for number in range(1000)) <= 100


def test_nothing_is_kept_where_no_source_says_a_country() -> None:
    made = Travels()
    made.use(Policy())
    assert [ask(made, country) for country in ("DE", "FR", "US")] == [()] * 3
    assert list(made.pieces()) == []


def test_a_trail_comes_back_from_what_was_written() -> None:
    """With keys and codes only; what is no code is left out, what is no piece raises."""
    made, other = travels(), travels()
    for country in ("DE", "FR"):
        ask(made, country)
    ask(made, "DE", key="b")
    pieces = list(made.pieces())
    assert pieces == [{"trails": {"a" * 32: (("FR", NOW), ("DE", NOW))}}]
    for piece in pieces:
        other.restore(piece, NOW)
    other.restore({"trails": {"c" * 32: [["<script>", NOW]]}}, NOW)
    assert ask(other, "US", NOW + 1) == ("seen in 3 countries within a day: US FR DE",)
    assert ask(other, "US", NOW + 1, key="c") == ()
    with pytest.raises((ValueError, TypeError, KeyError)):
        other.restore({"trails": {"a": 5}}, NOW)


POLICY = """
version = 1
mode = "enforce"
[trust]
hops = ["10.0.0.0/8"]
address = "x-forwarded-for"
country = "x-country"
[[rule]]
id = "restless"
when = { signal = "country_velocity" }
action = "limit"
"""


@pytest.mark.anyio
async def test_a_rule_may_ask_for_it_and_only_a_rule_acts() -> None:
    """Without such a rule nothing is done; with it the third country of a day is limited; erasing the account ends it."""
    for text, last in ((POLICY.partition("[[rule]]")[0], 200), (POLICY, 429)):
        inside = Inside(text)
        statuses = [
            (await inside.ask(key="sk-a", client=("10.0.0.1", 1), headers=[("x-forwarded-for", "9.9.9.9"), ("x-country", country)])).status
            for country in ("SE", "DE", "FR", "US")
        ]  # fmt: skip
        assert statuses == [200, 200, 200, last], "the first was of a credential nobody had vouched for"
    assert inside.guard.erase(f"account:{inside.accepted[0]}", inside.clock.now()) > 0


def test_a_restart_keeps_it(tmp_path: Path) -> None:
    """Through the snapshot, as the other findings."""
    from guard.clock import ManualClock

    text = POLICY + f'[state]\ndir = "{tmp_path / "state"}"\n'
    first = Installation(load(text), ManualClock(NOW))
    for country in ("DE", "FR"):
        ask(first.guard.region.travel, country)
    first.close()
    second = Installation(load(text), ManualClock(NOW + 60))
    assert ask(second.guard.region.travel, "US", NOW + 60) == ("seen in 3 countries within a day: US FR DE",)
    second.close()


def test_a_guard_without_a_policy_of_regions_has_none() -> None:
    assert not Guard(load("standard"), key=HashKey(b"a key for tests, long enough")).region.travel.active

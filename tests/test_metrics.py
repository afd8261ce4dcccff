from __future__ import annotations

import random

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from guard.errors import BadExchange
from guard.metrics import MAX_REASONS, WATCHED, Metrics
from guard.types import Account, Features, Usage
from tests.desk import ACCOUNT, ANSWERED, NOW, receipt


def metrics() -> Metrics:
    return Metrics(dialects=["openai_chat", "anthropic_messages", "json"], reasons=["free", "known-cluster"], start=NOW)


def samples(counted: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(counted.text().decode())
        for sample in family.samples
    }


def value(counted: Metrics, name: str, **labels: str) -> float:
    return samples(counted)[name, tuple(sorted(labels.items()))]


def test_exchanges_are_counted_by_what_was_done_to_them() -> None:
    """Action, whether it was carried out, dialect, band, reasons, shadow rules, grants, provisional credentials, faults."""
    counted = metrics()
    counted.decided(receipt("allow"), 0.00003)
    counted.decided(receipt("limit", shadow=(("r", "refuse"),)), 0.00003)
    counted.decided(receipt("refuse", enforced=False, reasons=("known-cluster",), grant="account:x"), 0.00003)
    counted.decided(receipt("allow", account=Account(ACCOUNT, status="provisional")), 0.00003)
    counted.decided(receipt("refuse", reasons=("not_json",), fault=BadExchange(400, "not_json", "no JSON")), 0.1)
    assert value(counted, "guard_exchanges_total", action="allow", enforced="true", dialect="openai_chat") == 2
    assert value(counted, "guard_exchanges_total", action="limit", enforced="true", dialect="openai_chat") == 1
    assert value(counted, "guard_exchanges_total", action="refuse", enforced="false", dialect="openai_chat") == 1
    assert value(counted, "guard_band_total", band="watch") == 5
    assert value(counted, "guard_reasons_total", reason="free") == 1
    assert value(counted, "guard_reasons_total", reason="limit_requests") == 1
    assert value(counted, "guard_reasons_total", reason="known-cluster") == 1
    assert value(counted, "guard_faults_total", reason="not_json") == 1
    assert value(counted, "guard_shadow_total", action="refuse") == 1
    assert value(counted, "guard_grants_used_total") == 1
    assert value(counted, "guard_provisional_total") == 1
    assert value(counted, "guard_in_flight") == 5
    assert counted.counts() == {"allow": 2, "limit": 1, "refuse": 2, "in_flight": 5}


def test_settled_exchanges_are_counted_by_how_they_ended() -> None:
    """Tokens both ways, where the figures came from, and answers that did not end by themselves."""
    counted = metrics()
    for _ in range(4):
        counted.decided(receipt("allow"), 0.0)
    counted.settled(receipt("allow"), ANSWERED)
    counted.settled(receipt("allow"), Usage(200, 10, 5, False, False), cut=True)
    counted.settled(receipt("allow"), Usage(200, 10, 5, False, False))
    counted.settled(receipt("limit"), Usage(429, 999, 999, False, True, forwarded=False))
    assert value(counted, "guard_tokens_total", direction="input") == 140
    assert value(counted, "guard_tokens_total", direction="output") == 40
    assert value(counted, "guard_usage_total", source="reported") == 1
    assert value(counted, "guard_usage_total", source="counted") == 2
    assert value(counted, "guard_streams_total", end="cut") == 1
    assert value(counted, "guard_streams_total", end="aborted") == 1
    assert value(counted, "guard_in_flight") == 0


def test_decision_times_are_a_histogram() -> None:
    """Cumulative buckets, the sum in seconds, the count."""
    counted = metrics()
    for seconds in (0.000005, 0.00003, 0.00003, 1.0):
        counted.decided(receipt("allow"), seconds)
    assert value(counted, "guard_decision_seconds_bucket", le="1e-05") == 1
    assert value(counted, "guard_decision_seconds_bucket", le="5e-05") == 3
    assert value(counted, "guard_decision_seconds_bucket", le="+Inf") == 4
    assert value(counted, "guard_decision_seconds_count") == 4
    assert value(counted, "guard_decision_seconds_sum") == pytest.approx(1.000065)


def test_random_labels_leave_the_series_as_they_are() -> None:
    """100,000 random values in every labelled place add no series; they are counted as ``other`` (SECURITY 118)."""
    counted = metrics()
    before = set(samples(counted))
    draw = random.Random(1)
    for _ in range(100_000):
        word = f"{draw.getrandbits(64):x}"
        odd = receipt(
            word,
            account=Account(word, status="provisional"),
            path=f"/{word}",
            features=Features(1, word, word, True, (), (), 1, None),
            fault=BadExchange(400, word, word),
            band=word,
            reasons=(word,),
            rule=word,
            shadow=((word, word),),
            cluster=word,
        )
        counted.decided(odd, draw.random())
        counted.stage_error(word)
    assert set(samples(counted)) == before
    assert len(before) < 300
    assert value(counted, "guard_exchanges_total", action="other", enforced="true", dialect="other") == 100_000
    assert value(counted, "guard_reasons_total", reason="other") == 100_000
    assert value(counted, "guard_faults_total", reason="other") == 100_000
    assert value(counted, "guard_stage_errors_total", stage="other") == 100_000


@pytest.mark.parametrize(("odd", "expected"), [("action", ("other", "openai_chat")), ("dialect", ("allow", "other"))])
def test_one_unknown_label_leaves_the_others_right(odd: str, expected: tuple[str, str]) -> None:
    """Each exchange is counted once, with what is known of it."""
    counted = metrics()
    action = "surprise" if odd == "action" else "allow"
    dialect = "surprise" if odd == "dialect" else "openai_chat"
    counted.decided(receipt(action, features=Features(1, dialect, "", False, (), (), 0, 0)), 0.0)
    counted.decided(receipt("allow", band="surprise"), 0.0)
    found = {
        labels: count for (name, labels), count in samples(counted).items() if name == "guard_exchanges_total" and count
    }
    assert sum(found.values()) == 2
    at = (("action", "other" if odd == "action" else expected[0]), ("dialect", "other"), ("enforced", "true"))
    assert found[at] == 1
    assert value(counted, "guard_band_total", band="other") == 1
    assert value(counted, "guard_band_total", band="watch") == 1


def test_reasons_of_a_new_policy_are_known_up_to_a_bound() -> None:
    """A reload adds names, but never more than ``MAX_REASONS``."""
    counted = metrics()
    counted.expect(["new-rule"])
    counted.decided(receipt("refuse", reasons=("new-rule",)), 0.0)
    assert value(counted, "guard_reasons_total", reason="new-rule") == 1
    counted.expect(f"r{number}" for number in range(10_000))
    reasons = {labels for name, labels in samples(counted) if name == "guard_reasons_total"}
    assert len(reasons) == MAX_REASONS


def test_at_most_forty_names_and_none_in_the_default_registry() -> None:
    """With everything watched; two guards in one process don't meet."""
    counted, second = metrics(), metrics()
    for name in WATCHED:
        counted.watch(name, lambda: 3.0)
    names = {name for name, _ in samples(counted)}
    assert len(names) <= 40
    assert all(name.startswith("guard_") for name in names)
    assert value(counted, "guard_audit_lost_total") == 3
    assert value(counted, "guard_accounts") == 3
    assert ("guard_accounts", ()) not in samples(second)
    assert b"guard_" not in prometheus_client.generate_latest(prometheus_client.REGISTRY)


def test_only_documented_numbers_can_be_watched() -> None:
    """A typing mistake shows at the start, not as a series that nobody finds."""
    with pytest.raises(ValueError, match="accuonts"):
        metrics().watch("accuonts", lambda: 0.0)


def test_mode_policy_reloads_and_the_rest() -> None:
    """The mode is asked for at each scrape; reloads count both ways."""
    counted = metrics()
    mode = ["enforce"]
    counted.watch_mode(lambda: mode[0])
    assert value(counted, "guard_mode", mode="enforce") == 1
    mode[0] = "observe"
    assert value(counted, "guard_mode", mode="enforce") == 0
    assert value(counted, "guard_mode", mode="observe") == 1
    counted.reloaded(ok=True, digest="feed")
    counted.reloaded(ok=False)
    assert value(counted, "guard_policy_info", digest="feed") == 1
    assert value(counted, "guard_reloads_total", result="ok") == 1
    assert value(counted, "guard_reloads_total", result="failed") == 1
    counted.unprotected += 2
    counted.overflow += 3
    assert value(counted, "guard_unprotected_posts_total") == 2
    assert value(counted, "guard_overflow_total") == 3
    assert value(counted, "guard_start_time_seconds") == NOW

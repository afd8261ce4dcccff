"""Everything one running guard consists of, where recognition meets state, status and metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.charges import Metered
from guard.clock import ManualClock
from guard.collecting import Collecting
from guard.config import load
from guard.errors import StateError
from guard.installation import Installation
from guard.recognition.ring import BATCH
from guard.unions import Member
from tests.recognition import town
from tests.recognition.town import T0

POLICY = """
version = 1
mode = "enforce"
[state]
dir = "{folder}"
"""
LOG = list(town.traffic(1_500))


def started(folder: Path, at: float = T0) -> Installation:
    installation = Installation(load(POLICY.format(folder=folder)), ManualClock(at))
    installation.guard.recognition._weighing = town.weighing(town.QUEUE, town.NIGHT)
    return installation


def clock(installation: Installation) -> ManualClock:
    assert isinstance(installation.clock, ManualClock)
    return installation.clock


def feed(installation: Installation, log: list[tuple[float, town.Exchange]]) -> None:
    """Exchanges with a tick of the background after each."""
    for at, exchange in log:
        clock(installation).advance(max(0.0, at - clock(installation).now()))
        installation.decide(exchange, installation.guard.compiled, b"")
        for _ in installation.tick(clock(installation).now()):
            pass


def killed(installation: Installation) -> None:
    """What the kernel does for a process that was killed: it lets go of the files' locks."""
    for held in () if installation.saving is None else installation.saving.files:
        held.close()


def test_status_and_metrics_tell_of_recognition(tmp_path: Path) -> None:
    installation = started(tmp_path)
    feed(installation, LOG)
    status = installation.control.call("status", {}, by="test", now=clock(installation).now())
    found = status["recognition"]
    assert found["clusters"] == {"suspect": 0, "confirmed": 1}
    assert found["exchanges"] > 1_400
    assert status["learning"] is True
    assert found["busy_s"] > 0.0
    text = installation.metrics.text().decode()
    assert 'guard_clusters{band="confirmed"} 1.0' in text
    assert 'guard_clusters{band="suspect"} 0.0' in text
    for name in ("families", "groups", "traits", "recognition_waiting", "recognition_busy_seconds_total"):
        assert f"\nguard_{name} " in text
    installation.close()


def test_after_a_kill_the_verdict_holds_and_ten_seconds_are_forgotten(tmp_path: Path) -> None:
    """No clean end: the next process contains the campaign from its first request on."""
    first = started(tmp_path)
    feed(first, LOG)
    (cluster,) = first.guard.recognition.clusters
    killed(first)
    second = started(tmp_path, LOG[-1][0] + 1.0)
    (kept,) = second.guard.recognition.clusters
    assert (kept.name, kept.score, kept.heard) == (cluster.name, cluster.score, cluster.heard)
    assert cluster.taken - kept.taken <= sum(at > LOG[-1][0] - 11.0 for at, _ in LOG)
    stranger = town.exchange(town.account("fresh"), "template a", "template b", "template c")
    receipt, _ = second.decide(stranger, second.guard.compiled, b"")
    assert receipt.decision.cluster == cluster.name
    second.close()


def test_after_a_kill_ceilings_and_clusters_limits_go_on(tmp_path: Path) -> None:
    """A restart is no fresh allowance: what is used of the pool and of a cluster's limit is still used, and forgotten when drained."""
    first = started(tmp_path)
    feed(first, LOG[:100])
    now = clock(first).now()
    column = ("joint", "requests", "0")
    meter, member = Metered(*column, 100.0, 100.0 / 3600.0, 0), Member("", "c1", LOG[0][1].account.key)
    first.guard.unions.look(member, (), (meter,), (1.0, 0.0, 0.0), now)
    first.guard.unions.add(member, (meter,), (60.0, 0.0, 0.0), now)
    first.guard.recognition.ceilings._joint.allow(0, 1.0, 1e-9, now)
    stranger = town.exchange(town.account("fresh"), "x")
    assert first.decide(stranger, first.guard.compiled, b"")[0].decision.action == "allow"
    clock(first).advance(11.0)
    for _ in first.tick(clock(first).now()):
        pass
    killed(first)
    second = started(tmp_path, now + 12.0)
    assert second.guard.unions.level("c1", column, now + 12.0) == pytest.approx(60.0, abs=1.0)
    assert second.guard.unions.share(member.account, column, now + 12.0) == pytest.approx(60.0, abs=1.0)
    receipt, _ = second.decide(town.exchange(town.account("fresher"), "y"), second.guard.compiled, b"")
    assert receipt.decision.reasons == ("pool",)
    assert 'guard_reasons_total{reason="pool"} 1.0' in second.metrics.text().decode()
    clock(second).advance(3_600.0)
    for _ in second.tick(clock(second).now()):
        pass
    assert len(second.guard.unions) == 0
    second.close()


def test_an_erased_account_does_not_come_back_after_a_kill(tmp_path: Path) -> None:
    """Also where the findings are large and therefore written rarely."""
    first = started(tmp_path)
    feed(first, LOG)
    assert first.saving is not None
    first.saving._pace.no_sooner(T0 + 1e9)
    key = town.account("honest 3").key
    assert first.guard.erase(key, LOG[-1][0]) > 0
    clock(first).advance(11.0)
    for _ in first.tick(clock(first).now()):
        pass
    killed(first)
    second = started(tmp_path, LOG[-1][0] + 60.0)
    assert second.guard.recognition.accounts.find(key) is None
    assert second.guard.recognition.accounts.find(town.account("honest 4").key) is not None
    second.close()


def test_a_long_collection_of_garbage_is_told_of(tmp_path: Path) -> None:
    """The process is not guard's alone, so guard says what helps and does nothing by itself."""
    installation = started(tmp_path)
    moments = iter([100.0, 100.2])
    installation.collecting = Collecting(lambda: next(moments, 101.0))
    for phase in ("start", "stop"):
        installation.collecting._told(phase, {"generation": 2})
    warnings = installation.control.call("status", {}, by="test", now=T0)["warnings"]
    assert ["200 ms" in warning for warning in warnings if "gc.freeze()" in warning] == [True]
    installation.close()


def test_findings_that_can_t_be_read_stop_the_start(tmp_path: Path) -> None:
    """To forget who acts with whom is the operator's decision."""
    first = started(tmp_path)
    feed(first, LOG[:50])
    first.close()
    for path in (tmp_path / "recognition").glob("state*"):
        if path.name != "state.lock":
            path.write_bytes(b"torn")
    with pytest.raises(StateError, match="recognition/state"):
        started(tmp_path)


def test_a_full_batch_wakes_the_background(tmp_path: Path) -> None:
    """Long before the quarter of a second is over; not while recognition has to keep to its share."""
    installation = started(tmp_path)
    woken: list[bool] = []
    installation.wake = lambda: woken.append(True)
    for number in range(BATCH + 1):
        installation.decide(town.exchange(town.account(f"a{number}"), "x"), installation.guard.compiled, b"")
        assert len(woken) == max(0, number + 2 - BATCH)
    assert installation.wait_s(T0) == 0.0
    installation._pace.period_s = 5.0
    installation._pace.next_at = T0 + 5.0
    installation.decide(town.exchange(town.account("late"), "x"), installation.guard.compiled, b"")
    assert len(woken) == 2
    assert installation.wait_s(T0) == 0.25
    assert list(installation.recognise(T0 + 1.0)) == []
    assert installation.guard.recognition.waiting == BATCH + 2
    warnings = installation.control.call("status", {}, by="test", now=T0)["warnings"]
    assert any("more than a tenth of a core: it looks every 5 s" in warning for warning in warnings)
    for _ in installation.recognise(T0 + 5.0):
        pass
    assert installation.guard.recognition.waiting == 0
    installation.close()


def test_the_operators_word_reaches_recognition(tmp_path: Path) -> None:
    """forgive cluster:NAME through the operator's verbs: no cluster left, the pardon listed, the audit knows who said it."""
    installation = started(tmp_path)
    feed(installation, LOG)
    (cluster,) = installation.guard.recognition.clusters
    now = clock(installation).now()
    answer = installation.control.call(
        "forgive", {"subject": f"cluster:{cluster.name}", "why": "partner"}, by="test", now=now
    )
    assert answer == {"subject": f"cluster:{cluster.name}", "forgiven": 40}
    listed = installation.control.call("clusters", {}, by="test", now=now)
    assert listed["clusters"] == []
    assert listed["pardons"][0]["name"] == cluster.name
    assert listed["pardons"][0]["kinds"] == ["coordination", "rhythm"]
    installation.close()
    assert '"event":"forgive"' in (tmp_path / "audit.operator.jsonl").read_text()


def test_a_grant_in_the_policy_keeps_an_organisation_out_of_recognition(tmp_path: Path) -> None:
    """Its accounts are never linked, and none of their exchanges is weighed."""
    text = POLICY.format(folder=tmp_path) + '[grants]\n"org:acme" = { why = "evaluation" }\n'
    installation = Installation(load(text), ManualClock(T0))
    guard = installation.guard
    guard.recognition._weighing = town.weighing(town.QUEUE, town.NIGHT)
    org = guard.key.identifier("org", b"acme")
    for at, exchange in LOG:
        if exchange.features.readings:
            who = town.Account(
                exchange.account.key, org=org, names=frozenset({f"account:{exchange.account.key}", f"org:{org}"})
            )
            exchange = town.Exchange(who, exchange.peer, exchange.path, exchange.features)
        guard.due(at)
        assert guard.decide(exchange, at).decision.cluster is None
    assert len(guard.recognition.clusters) == 0
    installation.close()

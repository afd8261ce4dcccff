"""The faults benchmark measures what it says: its load, its faults on real servers, what it counts, and when a bar is missed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import time
from pathlib import Path
from typing import Any

import pytest

from tests import servers

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCENES = (
    "kill", "hang", "late", "one-percent", "flapping", "half-open", "drip", "failover", "flushall", "oom", "readonly", "busy",
    "clusterdown", "reshard",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def load(name: str) -> Any:
    return importlib.import_module(name)


def test_the_hot_account_asks_ten_times_what_it_may() -> None:
    """After a burst that fills its limit; others stay below theirs, each exchange at a time of its own."""
    faults_load = load("faults_load")
    planned = faults_load.plan(20.0, 1)
    hot = [each.at for each in planned if each.kind == "hot" and each.at >= faults_load.FILL_S]
    assert len(hot) == pytest.approx(10 * 300 / 60 * (20 - faults_load.FILL_S), abs=1)
    assert sum(each.kind == "hot" and each.at < faults_load.FILL_S for each in planned) > 300
    light = [each.account for each in planned if each.kind == "light"]
    assert len(set(light)) == 60
    assert max(map(light.count, set(light))) <= 20
    assert planned == sorted(planned)


def test_over_admission_of_a_limit_that_refills() -> None:
    """A full burst and the steady drain are the limit itself; fifteen more in any stretch are 5 %, however long the rest is."""
    over = load("faults_load").over_admitted
    fair = [0.0] * 300 + [n / 5 for n in range(1, 500)]
    assert over(fair, True).share == pytest.approx(0, abs=1e-9)
    assert over([*fair, *[40.0] * 15], True).share == pytest.approx(0.05)
    assert over([*[each for each in fair if each <= 40], *[40.0] * 15], True) == (pytest.approx(0.05), 40.0)
    assert over([*fair[:300], *(n / 5 for n in range(1, 500) if n > 100)], True).share == pytest.approx(0, abs=1e-9)


def test_over_admission_of_a_limit_that_begins_anew() -> None:
    """The most in any minute."""
    over = load("faults_load").over_admitted
    assert over([n / 10 for n in range(300)] + [61 + n / 10 for n in range(300)], False).share == 0
    assert over([30 + n / 10 for n in range(300)] + [61 + n / 10 for n in range(150)], False).share == pytest.approx(
        0.5
    )
    assert over([], False).share == 0


def answers(begun: float, slow_s: float, status: int = 200, lost: int = 0) -> list[Any]:
    """Ten seconds of quick answers, which from ``begun`` on take longer."""
    answer = load("faults_load").Answer
    made = []
    for n in range(1000):
        due = n / 100
        kind = ("hot", "light", "health")[n % 3]
        took = slow_s if due >= begun else 0.002
        made.append(answer(due, due + took, kind, 0 if n < lost else status if due >= begun else 200))
    return made


def case(replicas: int, scene: str, outcome: Any) -> Any:
    faults, scenes = load("faults_report"), load("faults_scenes")
    return faults.Case(
        "guard", "guard", replicas, next(each for each in scenes.SCENES if each.name == scene), [outcome]
    )


def test_what_is_judged_is_what_happened_in_the_fault() -> None:
    """Errors and lost requests count from beginning to end; times are those of the fault, beside those before it."""
    outcome = load("faults_report").judge(answers(5.0, 0.030, 500, lost=2), (1.0, 5.0, 10.0), 0.5, True)
    assert (outcome.asked, outcome.lost, outcome.errors) == (500, 2, 500)
    assert outcome.before_p99_s == pytest.approx(0.002)
    assert outcome.p99_s == pytest.approx(0.030)
    assert outcome.before_health_p99_s == pytest.approx(0.002)
    assert outcome.health_p99_s == pytest.approx(0.030)


def test_bars() -> None:
    """Each is named when it is missed; at the bar it is held."""
    faults = load("faults_report")
    good = faults.judge(answers(5.0, 0.008), (1.0, 5.0, 10.0), 0.9, True)
    good.store_calls = 1.0
    assert faults.shortfalls([case(1, "kill", good), case(1, "hang", good), case(4, "oom", good)]) == []

    def missed(replicas: int, scene: str, **changes: Any) -> list[str]:
        outcome = faults.Outcome(**{**vars(good), **changes})
        return [each.partition(": ")[2] for each in faults.shortfalls([case(replicas, scene, outcome)])]

    assert missed(1, "oom", lost=1, errors=2) == ["1 lost; none is allowed", "2 errors; none is allowed"]
    assert missed(1, "oom", tracebacks=1) == ["1 tracebacks; none is allowed"]
    assert missed(1, "oom", tracebacks=1, first="TypeError: x")[1:] == ["TypeError: x"]
    assert missed(1, "oom", store_calls=0.1) == ["could not be judged: before the fault the store was hardly asked"]
    assert missed(1, "oom", refused_others=1) == ["1 refused others; none is allowed"]
    assert missed(1, "kill", over=0.06) == ["6.0% over-admitted; at most 5%"]
    assert missed(4, "kill", over=0.06) == []
    assert missed(4, "kill", over=0.11) == ["11.0% over-admitted; at most 10%"]
    assert missed(1, "kill", recovered_s=1.2) == ["recovered after 1.20 s; within 1 s is wanted"]
    assert missed(1, "kill", recovered_s=None) == ["recovered never; within 1 s is wanted"]
    assert missed(1, "oom", recovered_s=None) == ["recovered never; within 1 s is wanted"]
    assert missed(4, "drip", recovered_s=1.01) == ["recovered after 1.01 s; within 1 s is wanted"]
    assert missed(1, "hang", p99_s=0.053) == ["p99 51 ms more; at most 50 ms"]
    assert missed(4, "busy", p99_s=0.053) == ["p99 51 ms more; at most 50 ms"]
    assert missed(4, "oom", p99_s=0.053) == []
    assert missed(4, "oom", p99_s=0.103) == ["p99 101 ms more; at most 100 ms"]
    assert missed(1, "oom", health_p99_s=0.010) == []  # others ran beside it
    assert missed(1, "hang", health_p99_s=0.010) == ["health p99 10.0 ms, was 2.0 ms; at most twice as long and 5 ms"]


def test_what_a_traceback_came_to() -> None:
    """Its last line, for the report."""
    said = 'INFO: x\nTraceback (most recent call last):\n  File "a", line 1\n    f()\nValueError: no\nINFO: y\n'
    assert load("faults_report").first_traceback(said) == "ValueError: no"
    assert load("faults_report").first_traceback("INFO: fine\n") == ""


def test_what_was_not_run_is_not_held() -> None:
    """A guard that doesn't start makes ``--check`` fail; a peer that can't be had only stands in the table."""
    faults, scenes = load("faults_report"), load("faults_scenes")
    unrun = faults.Case("guard", "guard", 1, scenes.SCENES[0], skipped="did not start: no")
    peer = faults.Case("slowapi_memory", "slowapi", 1, scenes.SCENES[0], skipped="not installed")
    assert faults.shortfalls([unrun, peer]) == ["guard × 1, kill: could not be judged: did not start: no"]
    assert "skipped: not installed" in faults.table([peer])


def test_the_worst_of_the_runs_is_shown() -> None:
    """One run that never recovered makes it never."""
    faults = load("faults_report")
    good = faults.judge(answers(5.0, 0.008), (1.0, 5.0, 10.0), 0.1, True)
    both = case(1, "kill", good)
    both.outcomes.append(faults.Outcome(**{**vars(good), "errors": 7, "recovered_s": None}))
    assert both.worst("errors") == 7
    assert both.worst("recovered_s") is None
    assert "7 of 500" in faults.table([both])
    assert "not seen" in faults.table([both])


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"quick": False, "faults": [], "only": [], "runs": 5} | given)


def test_what_is_run() -> None:
    """guard under every fault with one and with four replicas, its peers under two; quickly, under less; a wrong name is told."""
    faults = load("faults")
    names = [(each.limiter, each.replicas, each.scene.name) for each in faults.cases_of(options())]
    assert [scene for limiter, replicas, scene in names if (limiter, replicas) == ("guard", 4)] == list(SCENES)
    assert {scene for limiter, _, scene in names if limiter != "guard"} == {"kill", "hang"}
    assert len({limiter for limiter, _, _ in names}) == 6
    quick = [(each.limiter, each.replicas, each.scene.name) for each in faults.cases_of(options(quick=True))]
    assert [each for each in quick if each[0] == "guard"] == [
        ("guard", 1, "kill"), ("guard", 1, "hang"), ("guard", 4, "kill"),
    ]  # fmt: skip
    assert [each for each in quick if each[0] != "guard"] == [
        ("fastapi_guard_open", 1, "kill"), ("slowapi_memory", 1, "kill"),
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="unknown: nope"):
        faults.cases_of(options(faults=["nope"]))


def test_what_is_run_beside_what() -> None:
    """Where there is a bar for milliseconds guard is alone; everything of guard's five times, of its peers' once."""
    faults = load("faults")
    rounds = faults.rounds_of(faults.cases_of(options()), options())
    runs: dict[tuple[str, int, str], int] = {}
    for together in rounds:
        assert len({(each.limiter == "guard", each.replicas) for each in together}) == 1
        assert len(together) <= faults.AT_ONCE[together[0].replicas]
        assert len(together) == 1 or not any(each.limiter == "guard" and each.scene.alone for each in together)
        for each in together:
            key = (each.limiter, each.replicas, each.scene.name)
            runs[key] = runs.get(key, 0) + 1
    assert {runs[key] for key in runs if key[0] == "guard"} == {5}
    assert {runs[key] for key in runs if key[0] != "guard"} == {1}
    assert len(runs) == 2 * len(SCENES) + 10
    assert {scene.name for scene in load("faults_scenes").SCENES if scene.alone} == {"kill", "hang", "busy"}


def test_a_run_that_breaks_off_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those beside it end too, and neither passes for judged."""
    faults = load("faults")

    class Stands:
        async def __aenter__(self) -> Any:
            return object()

        async def __aexit__(self, *_: object) -> None:
            return None

    async def run(case: Any, stand: Any, effort: Any, seed: int, gate: asyncio.Barrier) -> Any:
        if case.scene.name == "oom":
            raise TimeoutError("the store did not heal")
        await gate.wait()

    monkeypatch.setattr(faults, "ready", lambda case, place: Stands())
    monkeypatch.setattr(faults, "_measured", run)
    given = options(
        faults=["oom", "late"], only=["guard"], runs=1, server="valkey", envs=tmp_path, seed=0, verbose=False
    )
    cases = faults.cases_of(given)
    asyncio.run(faults.run_all(cases, given, tmp_path))
    missed = faults.shortfalls(cases)
    assert len(missed) == 4
    assert sum("did not heal" in each for each in missed) == 2
    assert all("could not be judged: broke off" in each for each in missed)


@pytest.mark.parametrize("name", sorted(path.stem for path in (BENCHMARKS / "limiters").glob("*.py")))
def test_each_limiter_says_what_it_is(name: str) -> None:
    """A label, exactly pinned requirements, and whether its limit refills."""
    limiter = load(f"limiters.{name}")
    assert limiter.LABEL
    assert all("==" in pin for pin in limiter.PINS)
    assert limiter.REFILLS is (name == "guard")
    assert callable(limiter.app)


def test_a_lost_answer_is_told_from_an_error(tmp_path: Path) -> None:
    """An error that closes its connection costs the next request nothing; one that never comes is lost."""
    faults_load = load("faults_load")
    heads = {
        b"POST": b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno",
        b"GET ": b"",
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(heads[asked[:4]])
        await writer.drain()
        writer.close()

    async def ask() -> list[int]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        planned = [faults_load.Planned(n / 100, "hot" if n < 2 else "health", 0) for n in range(4)]
        port = server.sockets[0].getsockname()[1]
        replica = faults_load.Replica(port)
        done = await faults_load.meet([replica])
        assert len(done) == 61  # everybody once
        done += await faults_load.ask_all(planned, [replica], 0, time.monotonic())
        server.close()
        return [each.status for each in done]

    assert asyncio.run(ask()) == [500] * 63 + [0, 0]


@pytest.mark.parametrize("name", SCENES)
def test_each_fault_begins_and_ends(name: str, program: Path, tmp_path: Path) -> None:
    """While it lasts the store fails those who ask, or is late, or has forgotten; when it is over it serves as before."""
    scenes = load("faults_scenes")
    scene = next(each for each in scenes.SCENES if each.name == name)
    rig = scenes.Rig(scene.rig, program, tmp_path / "store")
    try:
        node = rig.nodes[0]
        key = "{a}"
        for each in rig.nodes:
            if (rig.cluster is None or each is rig.cluster.owner(key)) and each.info("role") == "master":
                each.call("SET", key, "1")
        begun = time.monotonic()
        healed = asyncio.run(scene.act(rig, 0.3))
        assert begun + 0.1 <= healed <= time.monotonic()
        alive = [each for each in rig.nodes if each.process is not None]
        assert len(alive) == len(rig.nodes) - (name == "failover")
        there = rig.cluster.owner(key) if rig.cluster is not None else alive[-1]
        if name in {"kill", "flushall"}:
            assert there.call("GET", key) is None
        there.call("SET", key, "2")
        assert there.call("GET", key) == "2"
        assert rig.served() is not None
        if rig.proxy is not None:
            assert rig.proxy.fault == scenes.FINE
        assert rig.cluster is None or rig.cluster.whole()
        assert node.folder.is_dir()
    finally:
        rig.close()
    assert all(each.process is None for each in rig.nodes)


def test_commands_are_counted_node_by_node(program: Path, tmp_path: Path) -> None:
    """One that is gone for a moment takes nothing away and adds nothing; one that was restarted begins at 0."""
    scenes = load("faults_scenes")
    rig = scenes.Rig("failover", program, tmp_path / "store")
    try:
        primary, replica = rig.nodes
        for _ in range(5):
            primary.call("SET", "a", "1")
        before = rig.served()
        replica.kill()
        assert rig.served() == before
        primary.call("SET", "a", "1")
        assert rig.served() == before + 1
        replica.start()
        # Whether a replica that comes back is sent a snapshot or every command anew is the server's choice, and so is how often.
        assert before + 1 <= rig.served() <= 2 * (before + 1) + 2
        primary.restart()
        assert before + 1 <= rig.served() <= 3 * (before + 1) + 4
        for times in (1, 2, 3):
            primary.call("EVAL", "for n = 1, 9 do redis.call('SET', 'a', n) end", 0)
            assert rig.served() == times  # what a script does is not counted, neither here nor at a replica
    finally:
        rig.close()


def test_recovery_is_seen(own_server: servers.Server, tmp_path: Path) -> None:
    """From the moment when the store is asked as often as before; the watching itself doesn't count."""
    scenes = load("faults_scenes")

    class Alone(scenes.Rig):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.nodes = [own_server]
            self._looking, self._counted, self._served = {}, {}, [0, 0]

    async def watch() -> tuple[float | None, float | None]:
        rig = Alone()
        async with scenes.Watch(rig) as seen:
            await asyncio.sleep(0.4)
            idle = seen.rate(time.monotonic() - 0.4, time.monotonic())
            assert idle == 0
            quiet = time.monotonic()
            await asyncio.sleep(0.2)
            until = time.monotonic() + 1.5
            with own_server.client() as client:
                while time.monotonic() < until:
                    client.set("a", "1")
                    await asyncio.sleep(0.01)
            return seen.recovered_s(quiet, 40.0), seen.recovered_s(quiet, 1e9)

    recovered, never = asyncio.run(watch())
    assert recovered is not None
    assert 0.05 <= recovered <= 1.2
    assert never is None

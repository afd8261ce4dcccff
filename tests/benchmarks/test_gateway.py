"""The gateway benchmark measures what it says: its endpoint, its clients, what it calls a fault, and when a bar is missed."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").is_file(), reason="reads CPU time as Linux tells it")


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def load(name: str) -> Any:
    return importlib.import_module(name)


def peer(name: str, request_us: float, chunk_us: float, *, faults: int = 0) -> Any:
    """A gateway that has been measured: so much for a request, so much for a chunk."""
    gateway = load("gateway")
    measured = load("gateway_load").Measured
    made = gateway.Peer(name, name)
    short, long = (request_us + chunk_us * chunks for chunks in (gateway.SHORT, gateway.LONG))
    made.rounds = {
        name: [measured(1000, cpu_us / each, 1.0, faults) for each in (1000, 500, 1000)]
        for name, cpu_us in (("JSON", request_us), ("short", short), ("long", long))
    }
    return made


def test_a_figure_is_the_median_of_the_rounds_and_two_are_compared_within_a_round() -> None:
    """A round in which everything took twice as long changes no comparison; the quarters are told."""
    gateway = load("gateway")
    assert peer("x", 300, 20).requests_us() == pytest.approx([300, 600, 300])
    assert peer("x", 300, 20).chunks_us() == pytest.approx([20, 40, 20])
    assert gateway.spread([5.0, 1.0, 3.0, 2.0, 4.0]) == (2.0, 3.0, 4.0)
    assert gateway.spread([]) is None
    assert gateway.times([300, 600, 300], [100, 200, 100]) == pytest.approx((3, 3, 3))
    assert gateway.times([300], []) is None


def test_bars_are_judged_for_a_request_and_for_a_chunk() -> None:
    """1.3 times the twin and a fifteenth of LiteLLM pass; a little more is named, and so are wrong answers."""
    gateway = load("gateway")
    twin, giant = peer(gateway.TWIN, 100, 10), peer(gateway.GIANT, 15 * 130, 15 * 13)
    assert gateway.shortfalls([peer(gateway.GUARD, 129.9, 12.99), twin, giant]) == []
    missed = gateway.shortfalls([peer(gateway.GUARD, 131, 13.1, faults=1), twin, giant])
    assert [each.split(":")[0] for each in missed] == [
        "bar 1 (a request)",
        "bar 1 (a chunk)",
        "bar 2 (a request)",
        "bar 2 (a chunk)",
        "guard",
    ]


def test_a_bar_that_cannot_be_judged_is_not_held() -> None:
    """A peer that was skipped makes `--check` fail, in words."""
    gateway = load("gateway")
    skipped = gateway.Peer(gateway.GIANT, "LiteLLM", skipped="not installed")
    missed = gateway.shortfalls([peer(gateway.GUARD, 1, 1), peer(gateway.TWIN, 1, 1), skipped])
    assert len(missed) == 2
    assert all("could not be judged" in each for each in missed)
    assert "skipped: not installed" in gateway.table([skipped])


def test_a_bar_within_the_spread_is_said_to_be() -> None:
    """Whoever reads the figure knows that another run may say otherwise."""
    gateway = load("gateway")
    ours, twin = peer(gateway.GUARD, 130, 10), peer(gateway.TWIN, 100, 10)
    assert "within the spread" not in gateway.compared([ours, twin])
    measured = load("gateway_load").Measured
    ours.rounds["JSON"] = [measured(1000, cpu_us / 1000, 1.0, 0) for cpu_us in (100, 240, 130)]
    assert "a request: 1.200 [1.000-1.300], bar 1.300" in gateway.compared([ours, twin])
    ours.rounds["JSON"] = [measured(1000, cpu_us / 1000, 1.0, 0) for cpu_us in (100, 280, 140)]
    assert "within the spread" in gateway.compared([ours, twin])


def test_cpu_time_is_that_of_the_process() -> None:
    """Work adds, waiting doesn't."""
    cpu_s = load("gateway_load").cpu_s
    begun = cpu_s(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.08 < cpu_s(os.getpid()) - begun < 1.0


def test_each_client_is_answered_as_it_asked() -> None:
    """The endpoint itself, without a gateway: JSON, and a stream of as many events as were asked for; nothing is a fault."""
    gateway, gateway_load = load("gateway"), load("gateway_load")
    with gateway.endpoint() as url:
        port = int(url.rpartition(":")[2])
        for wanted in (gateway_load.Load(2, 0), gateway_load.Load(2, 10)):
            done = asyncio.run(gateway_load.ask(port, os.getpid(), wanted, 0.02))
            assert done.requests >= 2
            assert done.faults == 0
        assert asyncio.run(gateway_load.ask(port, os.getpid(), gateway_load.Load(2, 0, 41), 0.0)).requests >= 41


def test_another_answer_is_a_fault() -> None:
    """A refusal, a stream without its end, and one that was cut."""
    answered = load("gateway_load")._answered

    async def read(data: bytes, chunks: int) -> bool:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return bool(await answered(reader, chunks))

    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert asyncio.run(read(head + b"data: 1\n\ndata: [DONE]\n\n0\r\n\r\n", 2))
    assert not asyncio.run(read(head + b"data: 1\n\n0\r\n\r\n", 2))
    assert not asyncio.run(read(head + b"data: 1\n\n", 2))
    assert not asyncio.run(read(b'HTTP/1.1 429 No\r\nContent-Length: 13\r\n\r\n{"choices":1}', 0))


def test_every_gateway_says_how_it_is_started(tmp_path: Path) -> None:
    """A label, its pinned requirements, and a command; nginx may be missing, and says so."""
    for found in load("gateway").find([]):
        module = importlib.import_module(f"gateways.{found.name}")
        assert module.LABEL
        assert all("==" in pin for pin in module.PINS)
        if found.name == "nginx" and not any(
            shutil.which("nginx", path=path) for path in (None, "/usr/sbin:/usr/local/sbin")
        ):
            with pytest.raises(FileNotFoundError, match="not installed"):
                module.command(Path("python"), "http://127.0.0.1:1", 2, tmp_path)
            continue
        command = module.command(Path("python"), "http://127.0.0.1:1", 2, tmp_path)
        assert all(isinstance(word, str) for word in command)

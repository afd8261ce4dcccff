"""The overhead benchmark measures what it says: its traffic, what it calls a fault, and when a bar is missed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def load(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.parametrize("size_bytes", [1024, 4096, 16384])
def test_bodies_have_their_size_and_differ(size_bytes: int) -> None:
    """At least 200 different chat requests, each of exactly the size that the table names."""
    bodies = load("traffic").request_bodies(size_bytes, stream=True)
    assert len(set(bodies)) >= 200
    assert {len(body) for body in bodies} == {size_bytes}
    assert all(json.loads(body)["stream"] for body in bodies)


def test_accounts_differ_in_their_headers() -> None:
    """A thousand credentials and three kinds of client, with 10 to 13 headers."""
    traffic = load("traffic")
    sent = [dict(traffic.request_headers(account, 10)) for account in range(traffic.ACCOUNTS)]
    assert len({headers[b"authorization"] for headers in sent}) == traffic.ACCOUNTS == 1000
    assert {len(headers) for headers in sent} == {10, 12, 13}


def test_answers_have_their_shape() -> None:
    """1 KB of JSON, or as many events of about 200 bytes as are asked for."""
    traffic = load("traffic")
    assert {len(answer) for answer in traffic.json_answers()} == {1024}
    stream = traffic.sse_answers(50)[0]
    assert len(stream) == 50
    assert {len(event) for event in stream[:-2]} == {traffic.CHUNK_BYTES}


def test_a_repeated_start_is_a_fault() -> None:
    """An answer that starts with every chunk is reported, and so is a status that no ordinary request should get."""
    exchange = load("worker").Exchange(1, b"{}", 2)
    start = {"type": "http.response.start", "status": 200, "headers": []}
    more = {"type": "http.response.body", "body": b"x", "more_body": True}
    last = {"type": "http.response.body", "body": b"", "more_body": False}
    exchange.sent = [start, more, last]
    assert exchange.fault() == ""
    exchange.sent = [start, more, start, last]
    assert "again" in exchange.fault()
    exchange.sent = [start, more]
    assert "finish" in exchange.fault()
    exchange.sent = [{**start, "status": 429}, last]
    assert "429" in exchange.fault()


def measured(added_cpu_us: float, faults: dict[str, int] | None = None) -> dict[str, Any]:
    return {"requests": 10, "added_cpu_us": added_cpu_us, "faults": faults or {}}


def variant(name: str, json_us: float, short_us: float, long_us: float, faults: dict[str, int] | None = None) -> Any:
    made = load("variants").Variant(name, name, "starlette", [])
    made.rounds = {
        "JSON 4K": [measured(json_us)] * 3,
        "SSE 4K": [measured(short_us)] * 3,
        "long SSE": [measured(long_us, faults)] * 3,
    }
    return made


def test_bars_are_judged_by_ratio_and_slope() -> None:
    """0.7 times slowapi and 2 µs a chunk pass, a little more is named; a fault of guard's own is named too."""
    shortfalls = load("overhead").shortfalls
    rival = variant("slowapi_asgi", 100, 0, 0)
    assert shortfalls([variant("guard_full", 70, 50, 850), rival]) == []
    missed = shortfalls([variant("guard_full", 71, 50, 851), rival])
    assert [each.split(":")[0] for each in missed] == ["bar 1", "bar 2"]
    assert "0.71" in missed[0]
    assert len(shortfalls([variant("guard_full", 70, 50, 850, {"answers 429": 1}), rival])) == 1


def test_a_bar_that_cannot_be_judged_is_not_held() -> None:
    """Without slowapi's environment, or without guard, ``--check`` must not pass."""
    shortfalls = load("overhead").shortfalls
    assert "could not be judged" in shortfalls([variant("guard_full", 1, 1, 1)])[0]
    assert len(shortfalls([])) == 2


def test_the_worker_measures_a_peer_in_its_own_process(tmp_path: Path) -> None:
    """A worker speaks JSON lines: first its versions, then figures for each order; BaseHTTPMiddleware costs something."""
    orders = "".join(
        json.dumps({"workload": workload, "budget_s": 0.02}) + "\n" for workload in ((1024, 0), (1024, 50))
    )
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "worker.py"), str(BENCHMARKS / "peers" / "base_http.py"), str(tmp_path)],
        input=orders,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ready, *figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert ready["versions"]["starlette"]
    assert [each["faults"] for each in figures] == [{}, {}]
    assert all(each["added_cpu_us"] > 0 for each in figures)

"""SECURITY case 60: the big list of naughty strings in every place that a client can write to."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.attacks.inside import Inside
from tests.attacks.victim import Victim
from tests.attacks.wire import Answer, Wire, ask_once, request

WIDE = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account", "user", "model"]\nrequests = "1000000/day"\n'
PROTECTED = WIDE + '[protect]\nroutes = ["/v1/*"]\n[identity]\nquery = "key"\ncookie = "session"\n'


@pytest.fixture(scope="module")
def naughty(shared: Path) -> list[str]:
    path = shared / "suites" / "naughty-strings" / "blns.json"
    if not path.is_file():
        pytest.skip("needs the big list of naughty strings in ../shared/suites")
    strings: list[str] = json.loads(path.read_text())
    assert len(strings) == 515
    return strings


def places(text: str) -> list[dict[str, Any]]:
    """The request with a string in each place of its body."""
    said = [{"role": "user", "content": "x"}]
    tool = {"type": "function", "function": {"name": text, "description": text, "parameters": {text: text}}}
    call = {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
    return [
        {"model": "m", "messages": [{"role": "user", "content": text}]},
        {"model": text, "messages": said},
        {"model": "m", "messages": [{"role": text, "content": "x"}]},
        {"model": "m", "messages": said, "user": text, "safety_identifier": text, "metadata": {"user_id": text}},
        {"model": "m", "messages": said, "tools": [tool], "stop": [text]},
        {"model": "m", "messages": [*said, {"role": "assistant", "content": None, "tool_calls": [call]}]},
        {"model": "m", "messages": said, text: text},
    ]


@pytest.mark.anyio
async def test_naughty_strings_anywhere_in_a_body(
    naughty: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is read or refused with a 4xx; the endpoint gets the very bytes or nothing; audit and record stay a line an event."""
    inside = Inside(
        WIDE
        + f'[[rule]]\nid = "all"\nwhen = {{}}\naction = "tag"\n[state]\ndir = "{tmp_path}/s"\n[record]\nfile = "{tmp_path}/r"\n'
    )
    caplog.set_level(logging.INFO)
    statuses: dict[int, int] = {}
    for n, text in enumerate(naughty):
        for body in places(text):
            sent = json.dumps(body, ensure_ascii=bool(n % 2)).encode("utf-8", "surrogatepass")
            answer = await inside.ask(sent, key=f"sk{n}")
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            if answer.status == 200:
                assert inside.upstream.calls[-1].body == sent
            inside.clock.advance(1)
    inside.app.installation.close()

    assert set(statuses) <= {200, 400}
    assert statuses[200] > 515 * 5
    assert inside.upstream.count == statuses[200]
    assert not inside.guard.faults
    for name in ("s/audit.jsonl", "r"):
        lines = (tmp_path / name).read_bytes().split(b"\n")[:-1]
        assert len(lines) > 515
        assert all(line.isascii() and isinstance(json.loads(line), dict) for line in lines)
    assert caplog.records
    assert all("\n" not in record.getMessage() and record.getMessage().isascii() for record in caplog.records)


@pytest.mark.anyio
async def test_naughty_strings_in_what_surrounds_a_body(naughty: list[str]) -> None:
    """As a key by each door, as path, query, agent and content type, in any bytes that a server passes on: never an exception."""
    inside = Inside(PROTECTED)
    statuses = set()
    for text in naughty:
        raw = text.encode("utf-8", "surrogatepass")
        around: list[dict[str, Any]] = [
            {"raw": [(b"authorization", b"Bearer " + raw)]},
            {"raw": [(b"authorization", raw)]},
            {"raw": [(b"x-api-key", raw)]},
            {"raw": [(b"cookie", b"session=" + raw)]},
            {"raw": [(b"user-agent", raw), (b"x-forwarded-for", raw), (b"connection", raw), (raw, raw)]},
            {"raw": [(b"content-type", raw)]},
            {"raw": [(b"content-encoding", raw)]},
            {"query_string": b"key=" + quote(raw).encode()},
            {"query_string": raw},
            {"path": f"/v1/{text}/chat/completions"},
            {"path": f"/v1/chat/completions/{text}"},
            {"path": f"/v1/chat/completions{text}"},
        ]
        for place in around:
            statuses.add((await inside.ask(**place)).status)

    assert statuses <= {200, 400, 404, 405, 413, 415, 431, 429}
    assert not inside.guard.faults


def legal(text: str) -> bool:
    """Whether a server takes it as a header's value."""
    return all(c == "\t" or " " <= c != "\x7f" for c in text) and all(ord(c) < 256 for c in text)


@pytest.mark.uvicorn
def test_naughty_strings_over_the_wire(naughty: list[str], victims: Callable[..., Victim], http: str) -> None:
    """On a real server: no answer by guard is a 5xx, the process says one line an event and no traceback, and lives."""
    victim = victims(PROTECTED, http=http, debug=True)
    statuses: dict[int, int] = {}
    wire = Wire(victim.to)

    def ask(said: bytes) -> Answer:
        nonlocal wire
        try:
            answer = wire.send(said).answer()
        except OSError:  # the server has ended this connection with the answer before
            wire.close()
            wire = Wire(victim.to)
            answer = wire.send(said).answer()
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        return answer

    for n, text in enumerate(naughty):
        ask(request(json.dumps(places(text)[n % 7]).encode(), key="sk"))
        if legal(text):
            ask(request(key=text))
            ask(request({"model": "m", "messages": []}, ("user-agent", text), ("x-own", text), key="sk"))
        segment = quote(text.encode("utf-8", "surrogatepass"), safe="")
        ask(request(path=f"/v1/{segment}/chat/completions", key="sk"))
        ask(request(path=f"/v1/chat/completions?key={segment}"))
    wire.close()
    answered = ask_once(victim.to, key="sk-honest").status
    reached = victim.seen()["count"]
    code = victim.stop()
    lines = [
        line for line in victim.said.splitlines() if line.startswith(("INFO:guard", "WARNING:guard", "ERROR:guard"))
    ]

    assert answered == 200
    assert set(statuses) <= {200, 400, 404}
    assert reached == statuses[200] + 1
    assert code in (0, -15)
    assert "Traceback" not in victim.said
    assert lines
    assert all(line.isascii() for line in lines)

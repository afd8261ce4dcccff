"""SECURITY 141 and 142: what clients send and models answer stands in no file, log, metric or answer of guard's, at any level.

uvicorn's access log is off in these runs: it writes the query string by itself.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from hashlib import md5, sha1, sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from guard.channel import call
from guard.cli import main
from guard.fingerprint import Fingerprinter
from tests.attacks.inside import Inside
from tests.attacks.victim import Victim
from tests.attacks.wire import CHAT, Answer, Wire, encoded, play, request

KINDS = (
    *("key", "apikey", "cookie", "query", "prompt", "system", "completion", "streamed", "tool_name", "tool_arguments"),
    *("tool_result", "called_arguments", "user", "safety", "metadata", "header", "agent", "host", "segment", "broken"),
    *("id", "org", "payment", "signup", "stop", "image", "file"),
)
DICE = random.Random(142)
CANARY = {kind: "cNrY" + "".join(DICE.choices(string.ascii_letters + string.digits, k=20)) for kind in KINDS}
ADDRESS = "198.51.100.177"
# A name that is meant to be seen: whoever finds none of the others must at least find this one.
MODEL = "a-model-that-may-be-seen"


def policy(folder: Path) -> str:
    return f"""
version = 1
mode = "enforce"
[protect]
routes = ["/v1/*"]
[identity]
query = "key"
cookie = "session"
describe = "tests.attacks.test_leak_attacks:describe"
[trust]
hops = ["127.0.0.0/8"]
address = "x-forwarded-for"
[[limit]]
id = "free"
per = ["account", "user"]
requests = "8/day"
tokens = "1000000/day"
concurrent = 4
[[rule]]
id = "all"
when = {{ }}
action = "tag"
[admin]
socket = "{folder}/run/s"
[state]
dir = "{folder}/state"
snapshot = "1 s"
[audit]
sample_allowed = 1.0
[record]
file = "{folder}/record.jsonl"
"""


def describe(credential: str) -> Any:
    """The operator's callable: it knows one credential by ids that must not get out, and fails loudly on another."""
    from guard import AccountFacts

    if credential == CANARY["apikey"]:
        raise ConnectionError(f"no row for {credential}")
    if credential != CANARY["key"]:
        return None
    return AccountFacts(
        id=CANARY["id"], org=CANARY["org"], payment=CANARY["payment"], signup=CANARY["signup"], tier="free"
    )


def body(**more: Any) -> dict[str, Any]:
    """A request with a canary in each place that a client writes to."""
    tool = {
        "name": CANARY["tool_name"],
        "description": CANARY["tool_name"],
        "parameters": {"x": CANARY["tool_arguments"]},
    }
    called = {
        "id": "1",
        "type": "function",
        "function": {"name": CANARY["tool_name"], "arguments": CANARY["tool_arguments"]},
    }
    image = {"type": "image_url", "image_url": {"url": f"https://x/{CANARY['image']}.png"}}
    return {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": CANARY["system"]},
            {"role": "user", "content": [{"type": "text", "text": "Think step by step. " + CANARY["prompt"]}, image]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "1", "content": CANARY["tool_result"]},
        ],
        "tools": [{"type": "function", "function": tool}],
        "user": CANARY["user"], "safety_identifier": CANARY["safety"], "metadata": {"user_id": CANARY["metadata"]},
        "stop": [CANARY["stop"]], "logprobs": True, "top_logprobs": 20, "file": {"name": CANARY["file"]}, "max_tokens": 9, **more,
    }  # fmt: skip


def attacks() -> Iterator[bytes]:
    """Requests of every outcome: answered, streamed, refused, unreadable, unknown, crashed."""
    around = [
        ("x-own", CANARY["header"]), ("user-agent", f"agent/{CANARY['agent']}"), ("x-forwarded-for", ADDRESS), ("x-forwarded-host", CANARY["host"]),
        ("cookie", f"other={CANARY['cookie']}"),
    ]  # fmt: skip
    answer = {
        "choices": [
            {
                "message": {
                    "content": CANARY["completion"],
                    "tool_calls": [{"function": {"arguments": CANARY["called_arguments"]}}],
                }
            }
        ]
    }
    raw = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\ndata: {broken %b\n\n' % (
        2 * (CANARY["streamed"].encode(),)
    )
    scripts: list[dict[str, Any]] = [
        {"body": json.dumps(answer)}, {"raw": [raw.hex()]}, {"crash": True}, {"status": 401, "body": CANARY["completion"]},
        {"status": 500, "body": CANARY["completion"]}, {"events": 4, "crash": True, "hold_at": 2},
    ]  # fmt: skip
    for script in scripts:
        yield request(body(stream="raw" in script), *around, play(**script), key=CANARY["key"])
        yield request(body(), *around, play(**script), ("cookie", f"session={CANARY['cookie']}"))
    # Out of room: refused by the limit.
    for _ in range(12):
        yield request(body(), *around, key=CANARY["key"])
    yield request(body(), *around, ("x-api-key", CANARY["apikey"]))  # the callable fails: 503
    yield request(body(), *around, path=f"{CHAT}?key={CANARY['query']}&x={CANARY['query']}")
    yield request(body(), *around, path=f"/v1/{CANARY['segment']}/{CANARY['segment']}", key=CANARY["key"])
    yield request(body(), *around, path=f"/own/{CANARY['segment']}", key=CANARY["key"])
    yield request(body(), *around, ("x-api-key", CANARY["apikey"]), key=CANARY["key"])
    for broken in (
        b'{"%b": ', b'{"model":"m","messages":"%b"}', b'{"model":"m","messages":[{"role":"%b"}],"max_tokens":"%b"}', b"\xff%b",
        b'{"model":"m","messages":[],"model":"%b"}', b'{"model":"m","messages":[{"role":"user","content":"\\ud800%b"}]}',
    ):  # fmt: skip
        yield request(broken.replace(b"%b", CANARY["broken"].encode()), *around, key=CANARY["key"])
    yield request(encoded(body()), *around, ("content-encoding", CANARY["broken"]), key=CANARY["key"])
    yield request(encoded(body()), *around, ("content-encoding", "gzip"), key=CANARY["key"])
    yield request(body(), *around, ("connection", f"authorization, {CANARY['header']}"), key=CANARY["key"])


def spellings(kind: str) -> set[bytes]:
    """A canary as it stands and in the disguises in which it could be read or looked up again, unkeyed hashes included."""
    raw = CANARY[kind].encode()
    found = {raw, raw.lower(), raw[:12], raw[-12:], raw.hex().encode(), quote(raw).encode(), raw[::-1]}
    found |= {base64.b64encode(raw)[:-4], base64.urlsafe_b64encode(raw)[:-4]}
    return found | {digest(raw).hexdigest()[:16].encode() for digest in (md5, sha1, sha256)}


@pytest.mark.uvicorn
def test_nothing_a_client_says_is_written_down(
    victims: Callable[..., Victim], tmp_path: Path, http: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case 142: canaries in key, prompt, completion, tools, headers, address, query and the operator's own ids; then every file
    of the state folder, the record, stdout and stderr at DEBUG with crashes in it, and every answer of the channel are searched."""
    victim = victims(policy(tmp_path), http=http, debug=True, log_level="debug")
    address = f"{tmp_path}/run/s"
    own_answers: list[bytes] = []
    references: list[str] = []
    statuses: dict[int, int] = {}
    for said in attacks():
        with Wire(victim.to) as wire:
            wire.send(said)
            try:
                answer: Answer = wire.answer()
            except (OSError, HTTPException):  # a stream that the endpoint broke off
                continue
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if "x-guard-reference" in answer.headers:
            references.append(answer.headers["x-guard-reference"])
            if "x-got" not in answer.headers:
                own_answers.append(answer.body + repr(answer.headers).encode())
    with Wire(victim.to) as wire:
        while not (tmp_path / "state" / "state").exists():
            assert wire.ask(b"", method="GET", path="/seen").status == 200
    told = [json.dumps(call(address, verb)) for verb in ("status", "metrics", "verify")]
    told += [json.dumps(call(address, "explain", reference=reference)) for reference in references]
    capsys.readouterr()
    for words in (
        ["status"],
        ["metrics"],
        ["explain", references[0]],
        ["block", f"account:{CANARY['id']}", "--why", "x"],
    ):
        main([*words, "--socket", address])
    told.append("".join(capsys.readouterr()))
    assert victim.stop() is not None
    files = [
        path
        for path in (*(tmp_path / "state").rglob("*"), tmp_path / "record.jsonl", tmp_path / "said")
        if path.is_file()
    ]
    searched = {
        path.name if path.parent.name != "recognition" else f"recognition/{path.name}": path.read_bytes()
        for path in files
    }
    searched |= {"the channel": "\n".join(told).encode(), "guard's own answers": b"\n".join(own_answers)}
    hits = {
        (kind, name): spelt
        for name, content in searched.items() for kind in KINDS for spelt in spellings(kind)
        if spelt in content or spelt in content.lower()
    }  # fmt: skip
    hits |= {("address", name): ADDRESS.encode() for name, content in searched.items() if ADDRESS.encode() in content}

    assert hits == {}
    # It was no empty run: every outcome came, and what may be seen is seen.
    assert set(statuses) >= {200, 400, 401, 404, 415, 429, 500, 503}
    assert len(references) > 20
    assert searched["said"].count(b"Traceback") >= 2
    for name in ("audit.jsonl", "record.jsonl", "the channel"):
        assert MODEL.encode() in searched[name], name
    assert searched["record.jsonl"].count(b"\n") > 5
    assert b'"accepted"' in searched["state"]


@pytest.mark.anyio
async def test_a_fault_of_guards_own_quotes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 142: an exception inside a stage whose text is the prompt and the key is told by its class alone."""

    def breaks(*_: object, **__: object) -> None:
        raise ValueError(f"{CANARY['prompt']} {CANARY['key']}")

    monkeypatch.setattr(Fingerprinter, "features", breaks)
    caplog.set_level(0)
    text = f'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\nrequests = "5/day"\n[state]\ndir = "{tmp_path}/s"\n'
    inside = Inside(text)
    answers = [await inside.ask(body(), key=CANARY["key"]) for _ in range(8)]
    status = json.dumps(
        inside.app.installation.control.call("status", {}, by="test", now=inside.clock.now()), default=str
    )
    inside.app.installation.close()
    written = b"".join(path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file())
    said = caplog.text + status + "".join(answer.body.decode() for answer in answers if answer.status == 429)

    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    assert inside.guard.faults["fingerprint"] == 8
    assert "ValueError" in said
    assert b"stage_error" in written
    for kind in ("prompt", "key"):
        assert not [spelt for spelt in spellings(kind) if spelt in written + said.encode()]


@pytest.mark.uvicorn
def test_no_value_of_a_client_starts_a_line(victims: Callable[..., Victim], tmp_path: Path, http: str) -> None:
    """Case 141: CR, LF, ANSI, NUL, ``%0a`` and U+2028 in agent, path, key, model and user: one line an event, in printable ASCII,
    in the log, the audit and the record."""
    victim = victims(
        policy(tmp_path).replace('describe = "tests.attacks.test_leak_attacks:describe"\n', ""), http=http, debug=True
    )
    forged = 'x\r\nWARNING:guard:loosened what="forged"\n{"v":1,"event":"forged"}\x1b[31m\u2028\u0085\x00forged'
    escapes = "%0d%0aWARNING:guard:loosened%20forged%1b%5b31m%e2%80%a8forged"
    counts: dict[int, int] = {}
    for n in range(12):
        asked = body(model=forged, user=forged, messages=[{"role": "user", "content": forged}])
        for said in (
            request(asked, ("user-agent", "a\x85WARNING:guard:loosened forged"), key=f"sk{n % 2}"),
            request(asked, path=f"/v1/{escapes}/chat/completions?{escapes}", key="sk"),
            request(asked, path=f"/v1/{escapes}", key="sk"),
            request(b"{" + forged.encode(), ("content-type", "application/json; \x85forged"), key="sk"),
        ):
            with Wire(victim.to) as wire:
                status = wire.send(said).answer().status
                counts[status] = counts.get(status, 0) + 1
    call(f"{tmp_path}/run/s", "verify")
    victim.stop()
    own = [line for line in victim.said.splitlines() if ":guard" in line]

    assert set(counts) <= {200, 400, 404, 415, 429}
    assert counts[200] > 0
    assert own
    assert not [line for line in own if line.startswith("WARNING:guard:loosened")]
    assert all(line.isascii() and line.isprintable() for line in own)
    for name in ("state/audit.jsonl", "state/audit.operator.jsonl", "record.jsonl"):
        content = (tmp_path / name).read_bytes()
        assert content.isascii()
        assert all(32 <= byte < 127 or byte == 10 for byte in content)
        lines = [json.loads(line) for line in content.splitlines()]
        assert lines
        assert not [line for line in lines if line.get("event") == "forged"]

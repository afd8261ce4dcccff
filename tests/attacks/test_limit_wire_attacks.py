"""SECURITY A5 on a real uvicorn: many connections at once, clients that vanish, clients that don't read."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import openai
import pytest

from tests.attacks.conftest import Served
from tests.attacks.inside import slots_in_use, used
from tests.attacks.victim import Victim
from tests.attacks.wire import ASK, PATIENCE_S, Answer, Wire, ask_once, at_once, play, request
from tests.test_problem import parse_list

pytestmark = pytest.mark.uvicorn

MIB = 1024 * 1024
POLICY = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\n'
# Half a token a second drains: what is charged can be read from the meter.
WIDE = POLICY + 'requests = "1000000/day"\ntokens = "40000/day"\nconcurrent = 8\n'


def answers(wires: Iterable[Wire]) -> list[Answer]:
    found = []
    for wire in wires:
        found.append(wire.answer())
        wire.close()
    return found


def until(served: Served, condition: Callable[[], bool]) -> float:
    """Asks the server for something cheap until the condition holds; the seconds it took, within ``PATIENCE_S``."""
    began = time.monotonic()
    with Wire(served.port) as wire:
        while not condition():
            assert time.monotonic() - began < PATIENCE_S
            wire.ask(b"", method="GET", path="/seen")
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("limit", "most"), [('requests = "5/day"', 5), ("concurrent = 5", 5), ('tokens = "1000/day"', 1000 // 52)],
    ids=["requests", "slots", "tokens"],
)  # fmt: skip
def test_a_hundred_connections_at_once(served: Callable[[str], Served], limit: str, most: int) -> None:
    """Cases 75 and 80: a hundred clients with one key before any is answered: exactly as many reach the endpoint as fit, for a
    new key and for an account that has used one part."""
    attacked = served(POLICY + limit)
    usage = {"prompt_tokens": 2, "completion_tokens": 50}
    assert ask_once(attacked.port, ASK, play(usage=usage), key="sk-known").status == 200
    for key, used_before in (("sk-known", 0 if "concurrent" in limit else 1), ("sk-new", 0)):
        expected = most - used_before
        reached = attacked.upstream.count
        wires = at_once(attacked.port, [request(ASK, play(hold=True), key=key)] * 100)
        until(attacked, lambda wires=wires: attacked.upstream.running + sum(readable(wire) for wire in wires) >= 100)
        held = attacked.upstream.running
        assert ask_once(attacked.port, b"", path="/release").status == 200
        found = [answer.status for answer in answers(wires)]
        assert (key, held) == (key, expected)
        assert (found.count(200), found.count(429)) == (expected, 100 - expected)
        assert attacked.upstream.count - reached == expected
        assert slots_in_use(attacked.guard) == 0


def readable(wire: Wire) -> bool:
    return bool(select.select([wire.socket], [], [], 0)[0])


def test_a_client_that_hangs_up_pays_for_what_was_sent(served: Callable[[str], Served]) -> None:
    """Case 81: before the first byte, after one chunk, in the middle, before the usage: charged at least what was sent, and the
    slot is back within a second."""
    attacked = served(WIDE)
    report = {"prompt_tokens": 3, "completion_tokens": 4000}
    for at in (0, 1, 50, 100):
        key = f"sk{at}"
        assert ask_once(attacked.port, key=key).status == 200
        account: str = attacked.guard.installation.guard.identities.snapshot()["accepted"][-1]  # type: ignore[index]
        before, sent = used(attacked.guard, "tokens", account=account), attacked.upstream.events_sent
        script = play(events=100, event_bytes=160, hold=True, hold_at=at, report=report)
        wire = Wire(attacked.port).send(request(ASK | {"stream": True}, script, key=key))
        until(
            attacked,
            lambda at=at, sent=sent: attacked.upstream.running == 1 and attacked.upstream.events_sent - sent >= at,
        )
        assert slots_in_use(attacked.guard) == 1
        wire.abort()
        took = until(attacked, lambda: slots_in_use(attacked.guard) == 0)
        assert took < 1.0
        assert used(attacked.guard, "tokens", account=account) - before >= at * 40 - 1
        assert attacked.upstream.events_sent - sent == at
        assert attacked.upstream.running == 0


def test_hanging_up_before_the_first_byte_is_not_free(served: Callable[[str], Served]) -> None:
    """Case 82: a hundred probes that nobody waits for call the endpoint no more often than the limit allows."""
    attacked = served(POLICY + 'requests = "20/day"\nconcurrent = 4\n')
    assert ask_once(attacked.port, key="sk").status == 200
    for n in range(100):
        wire = Wire(attacked.port).send(request(ASK, play(hold=True), key="sk"))
        calls = min(20, 2 + n)
        until(attacked, lambda wire=wire, calls=calls: attacked.upstream.count >= calls or readable(wire))
        wire.abort()
        until(attacked, lambda: slots_in_use(attacked.guard) == 0)

    assert attacked.upstream.count == 20
    assert ask_once(attacked.port, key="sk").status == 429


def test_random_hang_ups_leave_no_slot(served: Callable[[str], Served]) -> None:
    """Case 88: two hundred connections that end at any byte of the request or of the answer; then nothing is held."""
    attacked = served(WIDE.replace("40000/day", "100000000/day"))
    dice = random.Random(88)
    assert ask_once(attacked.port, key="sk").status == 200
    open_wires: list[Wire] = []
    for _ in range(200):
        script = dice.choice(
            [play(events=30, hold=True, hold_at=dice.randrange(30)), play(hold=True), play(events=5), play(crash=True)]
        )
        said = request(ASK | {"stream": True}, script, key="sk")
        wire = Wire(attacked.port).send(said[: dice.choice([len(said), len(said), dice.randrange(1, len(said))])])
        open_wires.append(wire)
        if dice.random() < 0.4:
            select.select([wire.socket], [], [], 0.02)
        if len(open_wires) > 6:
            gone = open_wires.pop(dice.randrange(7))
            gone.abort() if dice.random() < 0.7 else gone.close()
    for wire in open_wires:
        wire.abort()
    took = until(attacked, lambda: slots_in_use(attacked.guard) == 0 and attacked.upstream.running == 0)

    assert took < 1.0
    assert attacked.upstream.count > 50
    assert attacked.guard.installation.guard.store.counts()["leases"] == 0  # type: ignore[attr-defined]
    assert ask_once(attacked.port, key="sk").status == 200


def test_clients_that_do_not_read_cost_no_memory(victims: Callable[..., Victim], http: str) -> None:
    """Case 86: forty clients ask for 10 MB each and read nothing: the server keeps a few buffers, answers others, and lets go
    when they hang up."""
    victim = victims(POLICY + "concurrent = 50", http=http)
    assert ask_once(victim.to, key="sk").status == 200
    before = victim.rss_bytes()
    victim.forget_peak()
    said = request(ASK | {"stream": True}, play(events=1000, event_bytes=10_000), key="sk")
    wires = at_once(victim.to, [said] * 40)
    stuck, still = -1, 0
    with Wire(victim.to) as watch:
        began = time.monotonic()
        while still < 20:
            assert time.monotonic() - began < PATIENCE_S
            seen = watch.ask(b"", method="GET", path="/seen").json()
            still = still + 1 if seen["events_sent"] == stuck and seen["running"] == 40 else 0
            stuck = seen["events_sent"]
        peak = victim.peak_bytes() - before
        assert watch.ask(key="other").status == 200
        for wire in wires:
            wire.abort()
        while watch.ask(b"", method="GET", path="/seen").json()["running"]:
            assert time.monotonic() - began < PATIENCE_S
    print(f"{http}: {peak / MIB:.1f} MiB for 40 clients that do not read, {stuck} events of 40,000 sent")

    assert stuck < 40_000
    assert peak < 40 * MIB


def test_endpoints_that_fail_or_lie(served: Callable[[str], Served]) -> None:
    """Case 83: errors, crashes and rubbish pass through as they are; the books stay sane and the slots come back."""
    attacked = served(WIDE)
    scripts: list[dict[str, Any]] = [
        {"status": 429, "body": "{}"}, {"status": 503, "body": "down"}, {"crash": True}, {"events": 9, "crash": True, "hold_at": 4},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 10**18}}, {"raw": [b"\xff\n\n".hex(), b"data: {\r\r".hex()]},
        {"events": 3, "report": {"completion_tokens": -(10**18)}}, {"usage": None},
    ]  # fmt: skip
    for n, script in enumerate(scripts):
        key = f"sk{n}"
        assert ask_once(attacked.port, key=key).status == 200
        account = attacked.guard.installation.guard.identities.snapshot()["accepted"][-1]  # type: ignore[index]
        with Wire(attacked.port) as wire:
            wire.send(request(ASK, play(**script), key=key))
            if script.get("hold_at"):
                heard = wire.until(b"data: ")
                assert b"200" in heard
                with pytest.raises((ConnectionError, TimeoutError)):
                    wire.until(b"a mark that never comes")
            else:
                assert wire.answer().status == script.get("status", 500 if "crash" in script else 200)
        until(attacked, lambda: slots_in_use(attacked.guard) == 0)
        # Five of the first request and at least input and a token of this one, less what has drained.
        assert 6 <= used(attacked.guard, "tokens", account=account) <= 2_000_010, script

    assert ask_once(attacked.port, key="sk").status == 200


def test_the_sdks_read_a_real_429(served: Callable[[str], Served]) -> None:
    """Case 92: what the official clients raise carries the fields, they parse strictly and agree with the wait."""
    attacked = served(POLICY + 'requests = "3/minute; 100/day"\ntokens = "100000/day"\nconcurrent = 4\n')
    url = f"http://127.0.0.1:{attacked.port}"
    said = [{"role": "user", "content": "hello"}]
    raised: list[Any] = []
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-o", max_retries=0) as client:
        for _ in range(5):
            try:
                client.chat.completions.create(model="m", messages=said)  # type: ignore[arg-type]
            except openai.RateLimitError as error:
                raised.append(error)
    with anthropic.Anthropic(base_url=url, api_key="sk-a", max_retries=0) as claude:
        for _ in range(5):
            try:
                claude.messages.create(model="m", messages=said, max_tokens=9)  # type: ignore[arg-type]
            except anthropic.RateLimitError as error:
                raised.append(error)

    assert [type(error).__module__.partition(".")[0] for error in raised] == ["openai"] * 2 + ["anthropic"] * 2
    for error in raised:
        headers = error.response.headers
        wait_s = int(headers["retry-after"])
        state = dict(parse_list(headers["ratelimit"]))
        assert set(state) == set(dict(parse_list(headers["ratelimit-policy"])))
        assert state["free:requests/60"]["r"] == 0
        assert all(0 <= parameters.get("t", 0) <= wait_s <= 60 for parameters in state.values())
        assert headers["cache-control"] == "no-store"
        assert (
            error.body["problem"]["type"].endswith("#quota-exceeded")
            if "openai" in type(error).__module__
            else error.body
        )

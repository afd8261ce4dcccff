"""SECURITY A5, without a server: nothing a client does with its requests gives it more than its limits."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.attacks.inside import Inside
from tests.attacks.wire import play
from tests.test_problem import parse_list

pytestmark = pytest.mark.anyio

POLICY = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\n'
HOLD = [play(hold=True)]


@pytest.mark.parametrize("known", [True, False], ids=["an account", "a credential nobody vouched for"])
@pytest.mark.parametrize(
    ("limit", "admitted"),
    [('requests = "5/day"', 5), ("concurrent = 5", 5), ('tokens = "1000/day"', 1000 // 52)],
    ids=["requests", "slots", "tokens"],
)
async def test_a_hundred_at_once_are_admitted_as_far_as_there_is_room(known: bool, limit: str, admitted: int) -> None:
    """Cases 75 and 80: with none settled before the last has come, exactly as many pass as fit."""
    inside = Inside(POLICY + limit)
    used = 0
    if known:
        assert (
            await inside.ask(key="sk", headers=[play(usage={"prompt_tokens": 2, "completion_tokens": 50})])
        ).status == 200
        used = 0 if "concurrent" in limit else 1
    connections = [inside.connect(key="sk", headers=HOLD) for _ in range(100)]
    tasks = await inside.start(connections)
    held = inside.upstream.running
    await inside.let_go(tasks)
    statuses = [connection.status for connection in connections]

    assert held == admitted - used
    assert (statuses.count(200), statuses.count(429)) == (held, 100 - held)
    assert inside.slots == 0


async def test_the_first_answer_gives_no_second_allowance() -> None:
    """Case 75: a new key sends a full allowance, has one of it answered, and sends a second one while the rest is held."""
    inside = Inside(POLICY + 'requests = "10/day"')
    held = [inside.connect(key="sk", headers=HOLD) for _ in range(9)]
    tasks = await inside.start(held)
    first = await inside.ask(key="sk")
    more = await inside.statuses(20, key="sk")
    await inside.let_go(tasks)

    assert first.status == 200
    assert inside.upstream.count == 10
    assert set(more) == {429}


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 422, 429, 500, 503])
async def test_a_key_that_is_never_accepted_is_limited_like_any_other(status: int) -> None:
    """Cases 83 and 91: whatever the endpoint answers, a made-up key reaches it no more often than its limit says."""
    inside = Inside(POLICY + 'requests = "20/day"')
    await inside.statuses(100, key="sk-made-up", headers=[play(status=status, body="{}")])

    assert inside.upstream.count == 20


async def test_a_refusal_takes_nothing() -> None:
    """Case 78: five hundred refused requests leave the meter where it was; after the told wait one passes."""
    inside = Inside(POLICY + 'requests = "5/minute"')
    await inside.statuses(5, key="sk")
    before = inside.used("requests", window_s=60)
    answers = [await inside.ask(key="sk") for _ in range(500)]

    assert {answer.status for answer in answers} == {429}
    assert inside.used("requests", window_s=60) == before
    inside.clock.advance(int(answers[0].headers["retry-after"]))
    assert (await inside.ask(key="sk")).status == 200


async def test_a_request_that_nobody_waits_for_is_charged() -> None:
    """Case 82: two thousand requests whose client leaves before the first byte: the endpoint is called no more often than the
    limit says, and no slot stays."""
    inside = Inside(POLICY + 'requests = "50/day"\ntokens = "1000000/day"\nconcurrent = 3')
    assert (await inside.ask(key="sk")).status == 200
    for n in range(2000):
        connection = inside.connect(key="sk", headers=HOLD)
        connection.disconnect()
        task = asyncio.ensure_future(connection.run())
        if n % 2:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        assert inside.slots == 0

    assert inside.upstream.count == 50
    # Each costs its input and a token of output at least.
    assert inside.used("tokens") >= 50 * 3


async def test_refused_clients_come_back_at_different_times() -> None:
    """Case 90: a thousand clients refused in one second are told more than one wait, none less than their window needs."""
    inside = Inside(POLICY + 'requests = "2/minute"')
    waits = []
    for n in range(1000):
        for _ in range(2):
            await inside.ask(key=f"sk{n}")
        answer = await inside.ask(key=f"sk{n}")
        waits.append(int(answer.headers["retry-after"]))

    assert len(set(waits)) >= 3
    assert min(waits) >= 30
    assert max(waits.count(wait) for wait in set(waits)) < 600


async def test_long_waits_are_spread_too() -> None:
    """Case 90: nobody is told more than a minute, and a daily limit still doesn't send everybody back in the same second."""
    inside = Inside(POLICY + 'requests = "2/day"')
    waits = []
    for n in range(300):
        for _ in range(2):
            await inside.ask(key=f"sk{n}")
        waits.append(int((await inside.ask(key=f"sk{n}")).headers["retry-after"]))

    assert max(waits) <= 60
    assert len(set(waits)) >= 3


async def test_the_fields_of_a_refusal_agree_with_each_other() -> None:
    """Case 92: strict structured fields; the wait is no shorter than the window that is told; an RFC 9457 body."""
    inside = Inside(POLICY + 'requests = "3/minute; 100/day"\ntokens = "100000/day"\nconcurrent = 4')
    answer = [await inside.ask(key="sk") for _ in range(5)][-1]
    policy = dict(parse_list(answer.headers["ratelimit-policy"]))
    state = dict(parse_list(answer.headers["ratelimit"]))
    problem = orjson.loads(answer.body)["error"]["problem"]

    assert answer.status == 429
    assert set(policy) == set(state)
    assert {parameters["q"] for parameters in policy.values()} == {3, 100, 100_000, 4}
    assert all(parameters.get("t", 0) <= int(answer.headers["retry-after"]) for parameters in state.values())
    assert problem["type"].endswith("#quota-exceeded")
    assert problem["violated-policies"] == ["free:requests/60"]
    assert problem["status"] == 429

"""The official Anthropic client's counting and batches through guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from tests.e2e.doors import Doors

pytestmark = pytest.mark.uvicorn

LIMITED = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "tight"\nper = ["account"]\n{unit} = "{amount}"\n'
HELLO: list[Any] = [{"role": "user", "content": "How far is the moon?"}]


@pytest.fixture
def doors() -> Doors:
    return Doors()


def client(url: str, key: str = "sk-alice") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)


def requests(many: int, max_tokens: int = 64) -> list[Any]:
    params = {"model": "demo", "max_tokens": max_tokens, "messages": HELLO}
    return [{"custom_id": f"n{number}", "params": params} for number in range(many)]


def test_counting_tokens(behind: Callable[..., str], doors: Doors) -> None:
    """It passes, and its exception is the client's own."""
    with client(behind(doors.app(), LIMITED.format(unit="requests", amount="1/minute"))) as api:
        assert api.messages.count_tokens(model="demo", messages=HELLO).input_tokens == 7
        with pytest.raises(anthropic.RateLimitError):
            api.messages.count_tokens(model="demo", messages=HELLO)


def test_a_batch_is_whose_it_was_made(behind: Callable[..., str], doors: Doors) -> None:
    """Made, read and fetched by one account; not found for another."""
    url = behind(doors.app())
    with client(url) as alice, client(url, "sk-mallory") as mallory:
        made = alice.messages.batches.create(requests=requests(3))
        assert alice.messages.batches.retrieve(made.id).request_counts.succeeded == 3
        assert [line.custom_id for line in alice.messages.batches.results(made.id)] == ["one"]
        seen = len(doors.received)
        for attempt in (
            lambda: mallory.messages.batches.retrieve(made.id),
            lambda: mallory.messages.batches.cancel(made.id),
            lambda: mallory.messages.batches.delete(made.id),
        ):
            with pytest.raises(anthropic.NotFoundError):
                attempt()
        assert len(doors.received) == seen


def test_each_request_of_a_batch_is_counted(behind: Callable[..., str], doors: Doors) -> None:
    """Ten requests a day are two batches of five."""
    with client(behind(doors.app(), LIMITED.format(unit="requests", amount="10/day"))) as api:
        for _ in range(2):
            api.messages.batches.create(requests=requests(5))
        with pytest.raises(anthropic.RateLimitError):
            api.messages.batches.create(requests=requests(1))
    assert len(doors.received) == 2


def test_what_a_batch_may_answer_must_fit(behind: Callable[..., str], doors: Doors) -> None:
    """Beside what was used already, the budgets of all its requests together; it takes none of it where it was refused."""
    with client(behind(doors.app(), LIMITED.format(unit="tokens", amount="1000/day"))) as api:
        api.messages.batches.create(requests=requests(1))
        with pytest.raises(anthropic.RateLimitError):
            api.messages.batches.create(requests=requests(5, max_tokens=400))
        api.messages.batches.create(requests=requests(5))
    assert len(doors.received) == 2


def test_one_unreadable_request_is_enough(behind: Callable[..., str], doors: Doors) -> None:
    """What can't be judged is refused with the whole batch."""
    broken = requests(2)
    broken[1]["params"] = {**broken[1]["params"], "max_tokens": -1}
    with client(behind(doors.app())) as api, pytest.raises(anthropic.BadRequestError):
        api.messages.batches.create(requests=broken)
    assert doors.received == []

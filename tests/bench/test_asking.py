from __future__ import annotations

import pytest

from guard.bench.asking import Questions, Wish, keys
from guard.bench.schedule import EXTRACTOR, ORDINARY, Arrival
from guard.demo.accounts import describe
from guard.demo.endpoint import ANTHROPIC_PATH, OPENAI_PATH
from guard.errors import InstallError


def test_keys_come_from_a_template_from_a_list_or_are_made_up() -> None:
    """{n} is the account's number; several keys are taken as they are, each once; made-up ones are accounts to the demo."""
    assert keys("sk-{n}-x", 3) == ("sk-0-x", "sk-1-x", "sk-2-x")
    assert keys("one two one", 9) == ("one", "two")
    assert keys("alone", 9) == ("alone",)
    made_up = keys("", 3)
    assert len(set(made_up)) == 3
    assert all(describe(key) for key in made_up)


@pytest.mark.parametrize("template", ["s3cret-ü", "s3cret\x00", "s3cret-{n}\x7f"])
def test_what_cannot_stand_in_a_header_is_refused_and_not_quoted(template: str) -> None:
    """A key that can't be sent is a mistake, and still a secret."""
    with pytest.raises(InstallError) as refused:
        keys(template, 2)
    assert "s3cret" not in str(refused.value)


def test_one_turn_asks_every_endpoint_the_same() -> None:
    """And the next turn something else."""
    questions = Questions(keys("", 6), Wish())
    first, again, other = (questions.next(Arrival(0.0, n % 2, n // 2, ORDINARY)) for n in range(3))
    assert first is again
    assert other.body != first.body


def test_the_extractor_deals_one_queue_over_accounts_of_its_own() -> None:
    """No account of its asks ordinary things, none of its problems comes twice, and both APIs are asked."""
    questions = Questions(keys("k{n}", 6), Wish())
    asked = {kind: [questions.next(Arrival(0.0, 0, n, kind)) for n in turns]
             for kind, turns in ((ORDINARY, range(30)), (EXTRACTOR, range(30, 60)))}  # fmt: skip

    def held(kind: str) -> set[str]:
        return {
            one.headers.get("x-api-key") or one.headers["authorization"].removeprefix("Bearer ") for one in asked[kind]
        }

    assert held(ORDINARY) == {"k0", "k2", "k4"}
    assert held(EXTRACTOR) == {"k1", "k3", "k5"}
    assert len({one.body["messages"][0]["content"] for one in asked[EXTRACTOR]}) == 30
    assert {one.path for one in asked[EXTRACTOR]} == {OPENAI_PATH, ANTHROPIC_PATH}


@pytest.mark.parametrize(("api", "path"), [("openai_chat", OPENAI_PATH), ("anthropic_messages", ANTHROPIC_PATH)])
def test_a_wish_is_kept_in_every_request(api: str, path: str) -> None:
    """API, model, tokens and streams are as wished, also with one account, which is both kinds."""
    questions = Questions(("k",), Wish(api, "mine", 7, stream=1.0))
    for turn in range(20):
        asked = questions.next(Arrival(0.0, 0, turn, EXTRACTOR if turn % 2 else ORDINARY))
        assert asked.path == path
        assert (asked.body["model"], asked.body["max_tokens"], asked.body["stream"]) == ("mine", 7, True)

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from guard.errors import ExchangeLogError
from guard.fingerprint import MEDIA_TOKENS, Fingerprinter, dump, load
from guard.hashing import HashKey
from guard.registry import discover
from guard.types import Ask, Features, Turn

KEY = HashKey(b"a key for tests, long enough")
ASK = Ask(
    dialect="openai_chat",
    model="m",
    stream=False,
    system="You are terse.",
    turns=(Turn("user", "What is a monad? Think step by step."),),
    tools=b'[{"name":"look"}]',
    parameters=b'{"temperature":0.5}',
    budget_tokens=100,
    user="somebody",
    texts=("a tool that looks",),
)


def features(
    ask: Ask = ASK, *, key: HashKey = KEY, stack: bytes = b"accept,user-agent", account: str = "a" * 32
) -> Features:
    signals = [plugin() for plugin in discover("signals").values()]
    return Fingerprinter(key, signals).features(ask, stack, account)


def test_facets_are_the_exact_parts() -> None:
    """Each of the four parts has its own facet, which changes when that part changes by one character and only then."""
    kinds = dict(features().facets)

    assert set(kinds) == {"system", "tools", "parameters", "stack"}

    changed = dict(features(replace(ASK, system="You are terse!")).facets)
    assert {kind for kind in kinds if changed[kind] != kinds[kind]} == {"system"}


def test_an_empty_part_has_no_facet() -> None:
    """What a client does not send is no trait of it."""
    bare = features(replace(ASK, system="", tools=b"", parameters=b""), stack=b"")

    assert bare.facets == ()


def test_hashes_depend_on_the_key() -> None:
    """Without the key nobody can compute a facet, a digest or a sub-user's hash."""
    other = features(key=HashKey(b"another key, also long"))

    assert {v for _, v in other.facets}.isdisjoint(v for _, v in features().facets)
    assert other.digest != features().digest
    assert other.user != features().user


def test_a_sub_user_is_hashed_with_its_account() -> None:
    """The same name under two accounts is two sub-users: nobody can charge or link another account's (SECURITY 18)."""
    assert features(account="a" * 32).user != features(account="b" * 32).user


def test_digest_tells_a_retry_from_another_question() -> None:
    """The same request has one digest; another question, other tools or parameters have another, also where texts could run together."""
    assert features().digest == features().digest
    for other in (
        replace(ASK, turns=(Turn("user", "What is a functor? Think step by step."),)),
        replace(ASK, parameters=b'{"temperature":0.6}'),
        replace(ASK, tools=b""),
        replace(ASK, parameters=ASK.parameters + ASK.tools, tools=b""),
    ):
        assert features(other).digest != features().digest
    assert features(replace(ASK, turns=(Turn("user", "hello"),))).digest == 0, "no evidence, nothing to count twice"


def test_every_text_field_is_read() -> None:
    """Wording that elicits reasoning is found wherever it stands (SECURITY 68)."""
    wanted = "write out your chain of thought"
    quiet = replace(ASK, turns=(Turn("user", "hello"),), system="", texts=())
    assert features(quiet).readings == ()
    for ask in (
        replace(quiet, system=wanted),
        replace(quiet, texts=(wanted,)),
        replace(quiet, turns=(Turn("user", "hello"), Turn("tool", wanted))),
        replace(quiet, turns=(Turn("user", "x" * 300_000 + wanted),)),
    ):
        assert dict(features(ask).readings)["reasoning_elicitation"] > 0


def test_tokens_are_estimated_from_bytes_and_media() -> None:
    """A quarter of the UTF-8 bytes of all text, rounded up, and a flat cost for what is no text (SECURITY 62)."""
    ask = Ask("json", "m", False, "", (Turn("user", "ü" * 4),), b"[1]", b"", None, media=2, texts=("abc",))

    assert features(ask).input_tokens == 3 + 2 * MEDIA_TOKENS


def test_dump_and_load_are_inverse() -> None:
    """A record of features, through JSON, gives the same features: a replay of them decides the same."""
    for ask in (ASK, replace(ASK, budget_tokens=None, user="", stream=True)):
        assert load(orjson.loads(orjson.dumps(dump(features(ask)))), 0) == features(ask)


def test_dump_holds_no_text() -> None:
    """Nothing of what was written stands in a record."""
    text = orjson.dumps(dump(features())).decode()

    for word in ("terse", "monad", "look", "somebody"):
        assert word not in text


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": 2},
        None,
        [],
        {**dump(features()), "input_tokens": -1},
        {**dump(features()), "facets": [["system", 7]]},
    ],
)
def test_broken_features_name_their_line(broken: object) -> None:
    """Features that can't be read are an error that names the line, never a guess."""
    with pytest.raises(ExchangeLogError) as caught:
        load(broken, 7)

    assert caught.value.n == 7

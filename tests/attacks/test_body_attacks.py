"""SECURITY A3, without a server: the endpoint receives exactly what guard has judged, or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.body import SENSITIVE
from tests.asgi import Connection, http_scope
from tests.attacks.inside import Inside
from tests.attacks.wire import ASK, encoded, play
from tests.test_json_suite import LET_IN

pytestmark = pytest.mark.anyio

OPEN = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\nrequests = "1000000/day"\ntokens = "1000000000/day"\n'
CLAUDE = "/v1/messages"


async def judged(inside: Inside, body: bytes, **more: Any) -> int:
    """Sends a body; its status. The endpoint must have got these very bytes, or not have been called."""
    before = inside.upstream.count
    answer = await inside.ask(body, key="sk", **more)
    got = [call.body for call in inside.upstream.calls[before:]]

    assert got == ([body] if answer.status == 200 else [])
    assert 200 <= answer.status < 500
    return answer.status


def suite(shared: Path, name: str) -> list[tuple[str, bytes]]:
    folder = shared / "suites" / "JSONTestSuite" / name
    if not folder.is_dir():
        pytest.skip("needs JSONTestSuite in ../shared/suites")
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


async def test_nothing_unparsed_is_forwarded(shared: Path) -> None:
    """Cases 46 and 47: all 318 files as the body, as a message's content and beside the messages."""
    inside = Inside(OPEN)
    decided: dict[tuple[str, str], int] = {}
    for name, text in suite(shared, "test_parsing"):
        places = {
            "body": text,
            "content": b'{"model":"m","messages":[{"role":"user","content":' + text + b"}]}",
            "beside": b'{"model":"m","messages":[{"role":"user","content":"x"}],"own":' + text + b"}",
        }
        for place, body in places.items():
            decided[name, place] = await judged(inside, body)

    assert len(decided) == 3 * 318
    for (name, place), status in decided.items():
        valid = name[0] == "y" or name in LET_IN
        if place == "beside":
            # Also the two files that have a key twice: none that an app gives a meaning.
            assert status == (200 if valid else 400), name
        elif not valid or place == "body":
            assert status == 400, name


async def test_what_is_forwarded_reads_the_same_first_or_last(shared: Path) -> None:
    """Case 48: of the transform files whatever passes has no key twice that an app gives a meaning."""
    inside = Inside(OPEN)
    files = suite(shared, "test_transform")
    shapes = [
        b"%b",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"own":%b}',
        b'{"model":"m","messages":[%b]}',
    ]
    passed = 0
    for _, text in files:
        for shape in shapes:
            body = shape.replace(b"%b", text)
            if await judged(inside, body) == 200:
                passed += 1
                assert list(doubled(body)) == []
                body.decode()

    assert len(files) == 22
    assert passed > 5


def doubled(body: bytes) -> Iterator[str]:
    """Keys of weight that stand twice in one object."""
    found: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in members]
        found.extend(name for name in set(names) if names.count(name) > 1 and name in SENSITIVE)

    json.loads(body, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return iter(found)


@pytest.mark.parametrize("name", ["model", "messages", "max_tokens", "stream", "user", "n"])
@pytest.mark.parametrize("spelling", ["plain", "escaped", "spaced"])
async def test_no_key_of_weight_stands_twice(name: str, spelling: str) -> None:
    """Case 48: duplicates are refused however the second is spelt."""
    inside = Inside(OPEN)
    body = ASK | {"stream": False, "user": "u", "n": 1}
    text = json.dumps(body)[:-1]
    second = {"plain": f'"{name}"', "escaped": f'"\\u{ord(name[0]):04x}{name[1:]}"', "spaced": f'"{name}"\n\t '}[
        spelling
    ]

    assert await judged(inside, f"{text}}}".encode()) == 200
    assert await judged(inside, f"{text}, {second}: {json.dumps(body[name])}}}".encode()) == 400


async def test_an_escaped_key_is_that_key() -> None:
    """Case 49: ``\\u006dodel`` is the model: limits by model and budgets see it."""
    inside = Inside(OPEN + '[[limit]]\nid = "m"\nper = ["account", "model"]\nrequests = "3/day"\n')
    plain, escaped = encoded(ASK), encoded(ASK).replace(b'"model"', b'"\\u006dodel"')
    statuses = [(await inside.ask(escaped if n % 2 else plain, key="sk")).status for n in range(6)]

    assert statuses == [200] * 3 + [429] * 3


@pytest.mark.parametrize("depth", [65, 254, 255, 300, 1024, 1025, 100_000, 1_000_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")])
async def test_deep_bodies_are_refused_quickly(depth: int, brackets: tuple[bytes, bytes]) -> None:
    """Cases 50 and 51: too deep or torn open, as a body and as a value; none takes the tenth of a second."""
    inside = Inside(OPEN)
    opening, closing = brackets
    nested = opening * depth + b"1" * bool(closing) + closing * depth
    for body in (nested, b'{"model":"m","messages":[],"own":' + nested + b"}"):
        began = time.process_time()
        assert await judged(inside, body) == 400
        assert time.process_time() - began < 0.1


async def test_the_deepest_allowed_body_passes() -> None:
    """Case 50: sixty-four levels are no attack."""
    inside = Inside(OPEN)
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"own":' + b"[" * 63 + b"]" * 63 + b"}"

    assert await judged(inside, body) == 200


NUMBERS = [
    "-1",
    "0",
    "1e3",
    "1e400",
    "true",
    '"100"',
    str(2**63),
    str(2**64),
    "9" * 30,
    "9" * 5000,
    "1.5",
    "null",
    "[]",
    "{}",
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", CLAUDE])
async def test_no_number_makes_a_charge_negative(path: str) -> None:
    """Cases 52 and 53: each number in each place is a 400, or costs what a request costs: the level only rises."""
    inside = Inside(OPEN)
    places = ["max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "n", "best_of"]
    if path == CLAUDE:
        places = ["max_tokens"]
    assert (await inside.ask(key="sk", path=path)).status == 200
    for place in places:
        for number in NUMBERS:
            body = json.dumps({k: v for k, v in ASK.items() if k != place})[:-1] + f', "{place}": {number}}}'
            before = inside.used("tokens")
            status = await judged(inside, body.encode(), path=path)
            assert (status == 200) == (inside.used("tokens") > before), (place, number)
            if number not in ("0", "1e3", "null"):
                assert status == 400, (place, number)


async def test_the_largest_of_all_budgets_is_reserved() -> None:
    """Case 53: aliases beside each other and several choices: what is held while the app works is the largest product."""
    inside = Inside(OPEN.replace("1000000000/day", "5000/day"))
    body = ASK | {"max_tokens": 10, "max_completion_tokens": 1000, "n": 4, "best_of": 2}
    assert (await inside.ask(key="sk")).status == 200
    assert (await inside.ask(body, key="sk")).status == 200

    assert (await inside.ask(body | {"n": 6}, key="sk")).status == 429


async def test_a_prompt_behind_a_megabyte_of_padding_is_read() -> None:
    """Case 57: the whole body counts and the whole text is looked at, wherever the wording stands."""
    wording = "Think step by step and write out your complete chain of thought before the answer."
    padding = "The weather is fine and nothing else is to be said of it. " * 18_000
    for text in (padding + wording, padding[: len(padding) // 2] + wording + padding[len(padding) // 2 :]):
        inside = Inside(OPEN)
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        plain = await inside.ask({"model": "m", "messages": [{"role": "user", "content": wording}]}, key="sk")
        assert (plain.status, await judged(inside, encoded(body), headers=[play(usage=None)])) == (200, 200)
        short, long = ({item.signal for item in decision.evidence} for decision in inside.decisions)
        assert short == long == {"reasoning_elicitation"}
        assert inside.used("tokens") > len(text) / 4


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m\xff","messages":[]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xc0\xaf"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b"\xef\xbb\xbf" + encoded(ASK),
        *(
            json.dumps(ASK).encode(name)
            for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7")
        ),
    ],
    ids=range(10),
)
async def test_texts_in_another_encoding_are_refused(body: bytes) -> None:
    """Case 58: broken, overlong, surrogate and foreign encodings, with and without a mark; UTF-7 is ASCII and means itself."""
    assert await judged(Inside(OPEN), body) == (200 if body == json.dumps(ASK).encode("utf-7") else 400)


@pytest.mark.parametrize("place", ["model", "content", "user", "key", "tool"])
async def test_lone_surrogates_crash_no_encoder(place: str, tmp_path: Path) -> None:
    """Case 59: refused at the body, before any hash, log or file meets them."""
    inside = Inside(OPEN + f'[state]\ndir = "{tmp_path}/s"\n[record]\nfile = "{tmp_path}/r"\n')
    odd = "\\ud800"
    body = {
        "model": '{"model":"%s","messages":[]}',
        "content": '{"model":"m","messages":[{"role":"user","content":"%s"}]}',
        "user": '{"model":"m","messages":[],"user":"%s"}',
        "key": '{"model":"m","messages":[],"%s":1}',
        "tool": '{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"%s"}}]}',
    }[place]

    assert await judged(inside, (body % odd).encode()) == 400
    inside.app.installation.close()


WIDE = {
    "100,000 messages": {"model": "m", "messages": [{"role": "user", "content": "x"}] * 100_000},
    "a million elements": {"model": "m", "messages": [], "own": [1] * 1_000_000},
    "a million keys": {"model": "m", "messages": [], "own": {str(n): 1 for n in range(1_000_000)}},
    "10,000 tools": {"model": "m", "messages": [], "tools": [{"type": "function", "function": {"name": "f"}}] * 10_000},
    "100,000 parts": {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 100_000}],
    },
    "200,000 stops": {"model": "m", "messages": [], "stop": ["x"] * 200_000},
}


@pytest.mark.parametrize("shape", WIDE)
async def test_wide_bodies_are_refused(shape: str) -> None:
    """Case 61: more members and elements than any real request has."""
    body = encoded(WIDE[shape])
    inside = Inside(OPEN)
    began = time.process_time()

    assert await judged(inside, body) == 400
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("value", ['"true"', "1", "0", '"yes"', "[]", "{}", "1.0", '""', "null", "true", "false"])
async def test_stream_is_a_flag_or_a_400(value: str) -> None:
    """Case 63: an app might take ``1`` for true; guard doesn't guess."""
    body = json.dumps(ASK)[:-1] + f', "stream": {value}}}'

    assert await judged(Inside(OPEN), body.encode()) == (200 if value in ("null", "true", "false") else 400)


async def test_a_body_in_single_bytes_is_the_same_body() -> None:
    """Cases 46 and 56: cut anywhere, also inside a character, the endpoint reads what was sent."""
    body = json.dumps(ASK | {"user": "é漢🙂"}, ensure_ascii=False).encode()
    inside = Inside(OPEN)
    chunks = [body[n : n + 1] for n in range(len(body))]
    answer = await Connection(inside.app, http_scope(headers=[("authorization", "Bearer sk")]), chunks).run()

    assert answer.status == 200
    assert [call.body for call in inside.upstream.calls] == [body]

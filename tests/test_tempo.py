from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dialects.openai_chat import PLUGIN
from guard.tempo import SLICE_S, Scale, Tempo


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.02, 0.1])
@pytest.mark.parametrize("rate", [1.0, 12.5, 200.0])
def test_the_rate_is_held_even_by_a_late_sleeper(rate: float, late_s: float) -> None:
    """400 chunks of two tokens each from an app that is always ready: within a tenth, also when each wait takes longer."""
    tempo = Tempo(rate)
    now = start = 1_000.0
    tokens = 0.0
    for _ in range(400):
        for _, brought in tempo.slices(b"x" * 8, 2.0):
            wait_s = tempo.wait_s(brought, now)
            assert wait_s <= SLICE_S + 1e-9
            now += wait_s + (late_s if wait_s else 0.0)
            tokens += brought
    assert tokens / (now - start) == pytest.approx(rate, rel=0.1)


def test_the_first_bytes_go_at_once_and_bytes_without_tokens_too() -> None:
    tempo = Tempo(10)
    assert tempo.wait_s(2.0, 50.0) == 0.0
    assert tempo.wait_s(2.0, 50.0) > 0.0
    assert tempo.wait_s(0.0, 50.0) == 0.0


def test_an_app_that_was_silent_saves_nothing_up() -> None:
    """After a minute of silence no more than a slice goes out at once."""
    tempo = Tempo(10)
    tempo.wait_s(1.0, 0.0)
    waited = [tempo.wait_s(1.0, 60.0) for _ in range(6)]
    assert waited[0] == 0.0
    assert waited[-1] > 0.0


@given(st.binary(min_size=1, max_size=3_000), st.floats(0, 500), st.floats(1, 100))
def test_slices_are_the_whole(body: bytes, tokens: float, rate: float) -> None:
    """Nothing is lost, and no piece brings more than a slice's worth and a byte."""
    slices = Tempo(rate).slices(body, tokens)
    assert b"".join(piece for piece, _ in slices) == body
    assert sum(brought for _, brought in slices) == pytest.approx(tokens)
    most = rate * SLICE_S + tokens / len(body)
    assert all(piece and brought <= most * 1.001 for piece, brought in slices)


def test_what_bytes_bring() -> None:
    """A quarter of the text of the events that end in them; of a whole answer its report, if that can be true."""
    scale = Scale(PLUGIN(), "sse")
    first, second = event("eight by"), event("four")
    assert scale.weigh(first + second[:20]) == 2.0
    assert scale.weigh(second[20:] + b"data: [DONE]\n\n") == 1.0
    whole = {"choices": [{"message": {"role": "assistant", "content": "x" * 40}}], "usage": {"completion_tokens": 9}}
    assert Scale(PLUGIN(), "json").weigh(json.dumps(whole).encode()) == 9.0
    whole["usage"] = {"completion_tokens": 9_000}
    assert Scale(PLUGIN(), "json").weigh(json.dumps(whole).encode()) == 10.0
    assert Scale(PLUGIN(), "json").weigh(b"no json!") == 2.0
    assert Scale(PLUGIN(), "bytes").weigh(b"any bytes") == 2.25

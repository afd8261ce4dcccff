from __future__ import annotations

from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from guard.dialects.openai_chat import PLUGIN
from guard.heard import Heard
from guard.skeleton import Skeleton
from guard.stream import AnswerMeter


def event(text: str, **more: Any) -> bytes:
    return orjson.dumps({"id": "c-1", "choices": [{"index": 0, "delta": {"content": text}}], **more})


def taught(*texts: str) -> Skeleton:
    skeleton = Skeleton()
    for text in texts:
        skeleton.learn(event(text), len(text.encode()), len(text))
    return skeleton


def test_two_events_teach_it() -> None:
    """After two events a third is counted exactly, letters that the first two share included."""
    skeleton = taught("hello", "help")

    assert skeleton.head.endswith(b'"content":"hel')
    assert skeleton.tail == b'"}}]}'
    assert (skeleton.fixed_bytes, skeleton.fixed_characters) == (3, 3)


def test_what_may_end_the_string_teaches_nothing() -> None:
    """Text with a quote or an escape in it could hide where its string ends."""
    assert taught('say "no"', 'say "ja"').head == b""
    assert taught("a\nb", "a\nc").head == b""
    assert taught("same", "same").head == b""


def test_events_that_differ_elsewhere_teach_nothing() -> None:
    """Where a number or two strings differ there is no skeleton."""
    numbers, strings = Skeleton(), Skeleton()
    for n in (1, 2):
        numbers.learn(orjson.dumps({"n": n, "t": "text"}), 4, 4)
        strings.learn(orjson.dumps({"id": f"c-{n}", "t": f"text{n}"}), 5, 5)

    assert (numbers.head, strings.head) == (b"", b"")


TEXTS = st.lists(
    st.text(max_size=12) | st.sampled_from(["a", "aa", "aaa", '"', "\\", "ü", "日本", "\n", "", '","n":5,"x":"']),
    max_size=30,
)


@given(
    texts=TEXTS,
    key=st.sampled_from(["content", "reasoning_content", "refusal"]),
    extra=st.lists(
        st.sampled_from([{}, {"created": 1}, {"created": 2}, {"usage": {"completion_tokens": 7}}]),
        min_size=30,
        max_size=30,
    ),
)
@example(texts=["a", "aa", "aaa"], key="content", extra=[{}] * 30)
@example(texts=["aa", "a", "a", "b"], key="content", extra=[{}] * 30)
def test_counts_are_those_of_the_parser(texts: list[str], key: str, extra: list[dict[str, Any]]) -> None:
    """Whatever a stream says, counting by skeleton gives exactly what parsing every event gives."""
    events = [
        orjson.dumps({"choices": [{"delta": {key: text}}], **more}) for text, more in zip(texts, extra, strict=False)
    ]
    parsed = Heard()
    for one in events:
        PLUGIN().count(orjson.loads(one), parsed)
    meter = AnswerMeter(PLUGIN(), b"text/event-stream")
    for one in events:
        meter.feed(b"data: %b\n\n" % one)

    counted = meter.finish()
    assert counted == parsed
    assert counted.prefix() == parsed.prefix(), "what was said is heard alike"

"""Synthetic traffic for the benchmarks: OpenAI chat requests and answers of a wanted size, made from a seed.

Standard library only, because it runs in every peer's environment. No text is copied from anywhere: words are syllables
put together by chance. Bodies differ from each other and clients differ in their headers, so that no cache flatters.
"""

from __future__ import annotations

import json
import random
from functools import cache

Headers = list[tuple[bytes, bytes]]

ACCOUNTS = 1_000
BODIES = 256
ANSWER_BYTES = 1_024
CHUNK_BYTES = 200
PATH = "/v1/chat/completions"

_ONSETS = ("b", "br", "d", "f", "g", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v", "w")
_RIMES = ("a", "an", "e", "el", "en", "i", "in", "o", "ol", "on", "u", "un")


@cache
def _vocabulary() -> list[str]:
    """5,000 words made up of syllables, some with the sign that follows them."""
    rng = random.Random("vocabulary")
    made = ["".join(rng.choice(_ONSETS) + rng.choice(_RIMES) for _ in range(rng.randint(1, 4))) for _ in range(5_000)]
    return [word + rng.choice((" ", " ", " ", " ", ", ", ". ", "? ")) for word in made]


def words(rng: random.Random, size_bytes: int) -> str:
    """Made-up prose of exactly ``size_bytes`` ASCII characters."""
    text = ""
    while len(text) < size_bytes:
        text += "".join(rng.choices(_vocabulary(), k=(size_bytes - len(text)) // 6 + 1))
    return text[:size_bytes]


def request_bodies(size_bytes: int, *, stream: bool, seed: int = 0) -> list[bytes]:
    """``BODIES`` different chat requests of ``size_bytes`` each: a system prompt and a conversation of up to seven turns."""
    rng = random.Random(f"{seed} {size_bytes} {stream}")
    systems = [words(rng, size_bytes // 12) for _ in range(20)]
    bodies = []
    for number in range(BODIES):
        # The official SDKs write compact JSON; every third body has the blanks of Python's own json.
        separators = (", ", ": ") if number % 3 == 2 else (",", ":")
        turns = rng.choice((1, 3, 5, 7))
        # What is left after the frame of each message; the last message takes up the rest.
        share = size_bytes // 2 // (turns + 3)
        messages = [{"role": "system", "content": rng.choice(systems)}]
        messages += [
            {"role": "assistant" if turn % 2 else "user", "content": words(rng, share)} for turn in range(turns)
        ]
        request = {
            "model": rng.choice(("demo-large", "demo-small")),
            "messages": messages,
            "temperature": rng.choice((0, 0.2, 0.7, 1)),
            "max_tokens": rng.choice((256, 512, 1024)),
            "stream": stream,
        }
        missing = size_bytes - len(json.dumps(request, separators=separators))
        messages[-1]["content"] += words(rng, missing)
        bodies.append(json.dumps(request, separators=separators).encode())
    return bodies


def request_headers(account: int, body_bytes: int) -> Headers:
    """What the client of ``account`` sends: 10 to 13 headers (a stream has one more), of one of three kinds of client."""
    kind = account % 3
    headers: Headers = [
        (b"host", b"api.example.test"),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"content-type", b"application/json"),
        (b"user-agent", (b"Demo/Python 3.54.0", b"Demo/JS 7.1.0", b"demo-cli/0.9")[kind]),
        (b"authorization", b"Bearer sk-demo-%06d-%024d" % (account, account * 7919)),
        (b"content-length", b"%d" % body_bytes),
        (b"x-request-start", b"t=1790000000.%03d" % (account % 1000)),
        (b"x-client-lang", (b"python", b"js", b"go")[kind]),
    ]
    if kind < 2:
        headers += [(b"x-client-os", b"Linux"), (b"x-client-arch", b"x64")]
    if kind == 0:
        headers.append((b"x-client-runtime", b"CPython"))
    return headers


def json_answers(count: int = 64, seed: int = 1) -> list[bytes]:
    """Chat completions of ``ANSWER_BYTES`` each."""
    rng = random.Random(seed)
    answers = []
    for number in range(count):
        message = {"role": "assistant", "content": ""}
        answer = {
            "id": f"chatcmpl-{number:08d}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "demo-large",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 150, "total_tokens": 450},
        }
        message["content"] = words(rng, ANSWER_BYTES - len(json.dumps(answer)))
        answers.append(json.dumps(answer).encode())
    return answers


def sse_answers(chunks: int, count: int = 8, seed: int = 2) -> list[list[bytes]]:
    """Streamed chat completions: ``chunks`` events of about ``CHUNK_BYTES`` each, the last two usage and ``[DONE]``."""
    rng = random.Random(seed)
    answers = []
    for number in range(count):
        frame = {
            "id": f"chatcmpl-{number:08d}",
            "object": "chat.completion.chunk",
            "created": 1_790_000_000,
            "model": "demo-large",
        }
        events = []
        for _ in range(chunks - 2):
            delta = {"content": ""}
            event = {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            delta["content"] = words(rng, CHUNK_BYTES - len(json.dumps(event)) - len("data: \n\n"))
            events.append(b"data: " + json.dumps(event).encode() + b"\n\n")
        usage = {"prompt_tokens": 300, "completion_tokens": 150, "total_tokens": 450}
        events.append(b"data: " + json.dumps({**frame, "choices": [], "usage": usage}).encode() + b"\n\n")
        events.append(b"data: [DONE]\n\n")
        answers.append(events)
    return answers

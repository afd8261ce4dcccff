"""The demo's model as OpenAI chat completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from guard.demo.canned import Answer, Dialect, Said, data, halves, text

_CREATED_S = 1_790_000_000


def _said(asked: Mapping[str, Any]) -> Said:
    messages = asked["messages"]
    last = messages[-1]
    return Said(text(last.get("content")), last["role"] == "tool", sum(len(text(m.get("content"))) for m in messages))


def _usage(answer: Answer, choices: int) -> dict[str, int]:
    sent = answer.output_tokens * choices
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": sent,
        "total_tokens": answer.input_tokens + sent,
    }


def _call(answer: Answer) -> dict[str, Any]:
    function = {"name": answer.tool, "arguments": orjson.dumps(answer.arguments).decode()}
    return {"id": f"call_{answer.identity}", "type": "function", "function": function}


def _end(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "length" if answer.cut else "stop"


def _whole(asked: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if answer.tool else answer.text, "refusal": None}
    if answer.tool:
        message["tool_calls"] = [_call(answer)]
    choices = max(1, int(asked.get("n") or 1))
    logprobs = _logprobs(answer.words, int(asked.get("top_logprobs") or 0)) if asked.get("logprobs") else None
    return {
        "id": f"chatcmpl-{answer.identity}",
        "object": "chat.completion",
        "created": _CREATED_S,
        "model": asked["model"],
        "choices": [
            {"index": index, "message": message, "logprobs": logprobs, "finish_reason": _end(answer)}
            for index in range(choices)
        ],
        "usage": _usage(answer, choices),
    }


def _events(asked: Mapping[str, Any], answer: Answer) -> Iterable[bytes]:
    frame = {
        "id": f"chatcmpl-{answer.identity}",
        "object": "chat.completion.chunk",
        "created": _CREATED_S,
        "model": asked["model"],
    }
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if answer.tool else ""}]
    if answer.tool:
        call = _call(answer)
        arguments = call["function"]["arguments"]
        named = {**call, "index": 0, "function": {"name": answer.tool, "arguments": ""}}
        deltas.append({"tool_calls": [named]})
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in halves(arguments)]
    else:
        deltas += [{"content": word} for word in answer.words]
    for delta in deltas:
        yield data({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield data({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": _end(answer)}]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield data({**frame, "choices": [], "usage": _usage(answer, 1)})
    yield b"data: [DONE]\n\n"


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _logprobs(words: Sequence[str], top: int) -> dict[str, Any]:
    """Made-up log-probabilities: each word is certain by nine tenths."""
    return {
        "content": [
            {
                "token": word,
                "logprob": -0.105,
                "bytes": None,
                "top_logprobs": [
                    {"token": f"{word}{rank or ''}", "logprob": -0.105 - rank, "bytes": None} for rank in range(top)
                ],
            }
            for word in words
        ],
        "refusal": None,
    }


OPENAI_CHAT = Dialect(_said, _whole, _events, _error)

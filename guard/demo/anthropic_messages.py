"""The demo's model as Anthropic messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from guard.demo.canned import Answer, Dialect, Said, data, halves, text


def _said(asked: Mapping[str, Any]) -> Said:
    if type(asked["max_tokens"]) is not int:
        raise TypeError("max_tokens must be a whole number")
    messages = asked["messages"]
    last = messages[-1]["content"]
    result = type(last) is list and any(block["type"] == "tool_result" for block in last)
    size = len(text(asked.get("system"))) + sum(len(text(message["content"])) for message in messages)
    return Said(text(last), result, size)


def _frame(asked: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.identity}",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": 1},
    }


def _end(answer: Answer) -> str:
    return "tool_use" if answer.tool else "max_tokens" if answer.cut else "end_turn"


def _block(answer: Answer) -> dict[str, Any]:
    if answer.tool:
        return {"type": "tool_use", "id": f"toolu_{answer.identity}", "name": answer.tool, "input": answer.arguments}
    return {"type": "text", "text": answer.text}


def _whole(asked: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    return _frame(asked, answer) | {
        "content": [_block(answer)],
        "stop_reason": _end(answer),
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
    }


def _events(asked: Mapping[str, Any], answer: Answer) -> Iterable[bytes]:
    empty: dict[str, Any] = {**_block(answer), **({"input": {}} if answer.tool else {"text": ""})}
    if answer.tool:
        parts = halves(orjson.dumps(answer.arguments).decode())
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    else:
        deltas = [{"type": "text_delta", "text": word} for word in answer.words]
    yield _event("message_start", message=_frame(asked, answer))
    yield _event("content_block_start", index=0, content_block=empty)
    yield _event("ping")
    for delta in deltas:
        yield _event("content_block_delta", index=0, delta=delta)
    yield _event("content_block_stop", index=0)
    end = {"stop_reason": _end(answer), "stop_sequence": None}
    yield _event("message_delta", delta=end, usage={"output_tokens": answer.output_tokens})
    yield _event("message_stop")


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + data({"type": kind, **fields})


ANTHROPIC_MESSAGES = Dialect(_said, _whole, _events, _error)

"""guard in a FastAPI app that speaks OpenAI chat and Anthropic messages, streaming or not.

    uvicorn --app-dir examples fastapi_app:app

The endpoint is a stand-in for a model: it repeats the last message, word by word. A route reads what guard decided about its
request from ``request.state.guard``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from guard import GuardMiddleware

app = FastAPI()
app.add_middleware(GuardMiddleware, policy=Path(__file__).with_name("guard.toml"))


@app.post("/v1/chat/completions")
async def chat(asked: dict[str, Any], request: Request) -> Response:
    words = last_words(asked)
    answer = {"id": "chatcmpl-1", "created": 0, "model": asked["model"]}

    def events() -> Iterator[str]:
        for word in words:
            choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
            yield f"data: {json.dumps({**answer, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
        yield "data: [DONE]\n\n"

    if asked.get("stream"):
        return StreamingResponse(events(), media_type="text/event-stream")
    choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}
    band = request.state.guard.band
    return JSONResponse(
        {**answer, "object": "chat.completion", "choices": [choice], "usage": usage}, headers={"x-band": band}
    )


@app.post("/v1/messages")
async def messages(asked: dict[str, Any]) -> Response:
    words = last_words(asked)
    usage = {"input_tokens": 10, "output_tokens": len(words)}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None}

    def events() -> Iterator[str]:
        start = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 10, "output_tokens": 0}}
        yield event({"type": "message_start", "message": start})
        yield event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        for word in words:
            delta = {"type": "text_delta", "text": f"{word} "}
            yield event({"type": "content_block_delta", "index": 0, "delta": delta})
        yield event({"type": "content_block_stop", "index": 0})
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        yield event({"type": "message_delta", "delta": end, "usage": {"output_tokens": len(words)}})
        yield event({"type": "message_stop"})

    if asked.get("stream"):
        return StreamingResponse(events(), media_type="text/event-stream")
    content = [{"type": "text", "text": " ".join(words)}]
    return JSONResponse({**message, "content": content, "stop_reason": "end_turn", "usage": usage})


def event(payload: dict[str, Any]) -> str:
    return f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n"


def last_words(asked: dict[str, Any]) -> list[str]:
    """The words of the last message, whose content is a string or a list of blocks."""
    content = asked["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[0].get("text", "")).split()

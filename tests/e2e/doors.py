"""A model endpoint for the APIs beside chat: it answers each in its own shape, keeps what it answers, and writes down what it sees.

Behind one upstream it knows no accounts: whoever names an id gets what stands under it, as it is behind a shared credential.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.conftest import parts, stream

TEXT = "the answer: äöü 漢字 🙂 and so on"
WORDS = len(TEXT.split())


class Doors:
    """``received``: (method, path with its query, body) of every request."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, Any]] = []
        self.kept: dict[str, Any] = {}
        self._numbers = count(1)

    def app(self) -> Starlette:
        kept = "/v1/responses/{name}"
        return Starlette(
            routes=[
                Route("/v1/responses", self.respond, methods=["POST"]),
                Route(kept, self.fetch, methods=["GET", "DELETE"]),
                Route(f"{kept}/cancel", self.fetch, methods=["POST"]),
                Route(f"{kept}/input_items", self.fetch, methods=["GET"]),
                Route("/v1/conversations", self.converse, methods=["POST"]),
                Route("/v1/completions", self.complete, methods=["POST"]),
                Route("/v1/embeddings", self.embed, methods=["POST"]),
                Route("/v1/messages/count_tokens", self.count_tokens, methods=["POST"]),
                Route("/v1/messages/batches", self.batch, methods=["POST"]),
                Route("/v1/messages/batches/{name}", self.fetch, methods=["GET"]),
                Route("/v1/messages/batches/{name}/results", self.results, methods=["GET"]),
                Route("/{version}/models/{model:path}", self.gemini, methods=["POST"]),
                Route("/{version}/cachedContents", self.cache, methods=["POST"]),
            ]
        )

    async def _read(self, request: Request) -> Any:
        body = await request.body()
        asked = json.loads(body) if body else None
        query = f"?{request.url.query}" if request.url.query else ""
        self.received.append((request.method, request.url.path + query, asked))
        return asked

    def _name(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers):032x}"

    async def respond(self, request: Request) -> Response:
        asked = await self._read(request)
        name, item = self._name("resp"), self._name("msg")
        content = {"type": "output_text", "text": TEXT, "annotations": []}
        message = {"id": item, "type": "message", "status": "completed", "role": "assistant", "content": [content]}
        usage = {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": WORDS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7 + WORDS,
        }
        begun: dict[str, Any] = {
            "id": name,
            "object": "response",
            "created_at": 1_790_000_000,
            "status": "in_progress",
            "model": asked["model"],
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
            "previous_response_id": asked.get("previous_response_id"),
        }
        self.kept[name] = ended = begun | {"status": "completed", "output": [message], "usage": usage}
        if not asked.get("stream"):
            return JSONResponse(ended)
        place = {"item_id": item, "output_index": 0, "content_index": 0}
        empty = content | {"text": ""}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": message | {"content": []}},
            {"type": "response.content_part.added", **place, "part": empty},
            *({"type": "response.output_text.delta", **place, "delta": part, "logprobs": []} for part in parts(TEXT)),
            {"type": "response.output_text.done", **place, "text": TEXT, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": content},
            {"type": "response.output_item.done", "output_index": 0, "item": message},
            {"type": "response.completed", "response": ended},
        ]
        numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
        return stream([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered])

    async def fetch(self, request: Request) -> Response:
        await self._read(request)
        name = request.path_params["name"]
        if request.method == "DELETE":
            return JSONResponse({"id": name, "object": "response.deleted", "deleted": True})
        if request.url.path.endswith("/input_items"):
            return JSONResponse({"object": "list", "data": [], "has_more": False, "first_id": "", "last_id": ""})
        return JSONResponse(self.kept.get(name, {"id": name, "object": "response"}))

    async def converse(self, request: Request) -> Response:
        await self._read(request)
        return JSONResponse({"id": self._name("conv"), "object": "conversation", "created_at": 1, "metadata": {}})

    async def complete(self, request: Request) -> Response:
        asked = await self._read(request)
        frame = {"id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000, "model": asked["model"]}
        usage = {"prompt_tokens": 7, "completion_tokens": WORDS, "total_tokens": 7 + WORDS}
        if not asked.get("stream"):
            choice = {"index": 0, "text": TEXT, "finish_reason": "stop", "logprobs": None}
            return JSONResponse({**frame, "choices": [choice], "usage": usage})
        choices = [{"index": 0, "text": part, "finish_reason": None, "logprobs": None} for part in parts(TEXT)]
        chunks = [f"data: {json.dumps({**frame, 'choices': [choice]})}\n\n" for choice in choices]
        return stream([*chunks, "data: [DONE]\n\n"])

    async def embed(self, request: Request) -> Response:
        asked = await self._read(request)
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        return JSONResponse({"object": "list", "data": data, "model": asked["model"], "usage": usage})

    async def count_tokens(self, request: Request) -> Response:
        await self._read(request)
        return JSONResponse({"input_tokens": 7})

    async def batch(self, request: Request) -> Response:
        asked = await self._read(request)
        name = self._name("msgbatch")
        self.kept[name] = made = {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": dict.fromkeys(("canceled", "errored", "expired", "processing"), 0)
            | {"succeeded": len(asked["requests"])},
            "created_at": "2026-11-22T00:00:00Z",
            "expires_at": "2026-11-23T00:00:00Z",
            "ended_at": "2026-11-22T00:00:01Z",
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{str(request.base_url).rstrip('/')}/v1/messages/batches/{name}/results",
        }
        return JSONResponse(made)

    async def results(self, request: Request) -> Response:
        await self._read(request)
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "demo",
            "content": [{"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": WORDS},
        }
        line = {"custom_id": "one", "result": {"type": "succeeded", "message": message}}
        return Response(json.dumps(line).encode() + b"\n", media_type="application/x-jsonl")

    async def gemini(self, request: Request) -> Response:
        await self._read(request)
        verb = request.path_params["model"].rpartition(":")[2]
        usage = {"promptTokenCount": 7, "candidatesTokenCount": WORDS, "totalTokenCount": 7 + WORDS}
        if verb == "countTokens":
            return JSONResponse({"totalTokens": 7})
        if verb in ("embedContent", "batchEmbedContents"):
            return JSONResponse({"embeddings": [{"values": [0.25, -0.5]}], "embedding": {"values": [0.25, -0.5]}})
        if verb == "generateContent":
            return JSONResponse({"candidates": [_candidate(TEXT) | {"finishReason": "STOP"}], "usageMetadata": usage})
        chunks = [{"candidates": [_candidate(part)], "usageMetadata": {"promptTokenCount": 7}} for part in parts(TEXT)]
        chunks[-1] = {"candidates": [_candidate(parts(TEXT)[-1]) | {"finishReason": "STOP"}], "usageMetadata": usage}
        if request.query_params.get("alt") == "sse":
            return stream([f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks])
        return Response(json.dumps(chunks), media_type="application/json; charset=UTF-8")

    async def cache(self, request: Request) -> Response:
        asked = await self._read(request)
        return JSONResponse({"name": f"cachedContents/{self._name('cache')}", "model": asked["model"]})


def _candidate(text: str) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}

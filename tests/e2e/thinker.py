"""A scripted model that thinks, for degraded exchanges: it speaks all three APIs, and is as strict as the real ones where that matters.

Asked to think (or if it always does) it says its thoughts first; it gives log-probabilities where they are asked for, and calls
``look_up`` until five results stand in the conversation. As Anthropic's API it refuses a tool loop that does not go on as it began:
thinking blocks must come back unchanged, and a turn that began without them can't be gone on with thinking.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STEPS = 5
THOUGHT = "first one thing, then another"
SEAL = "sealed-thought"
WORDS = ["The moon ", "is far ", "away: ", "384,400 km."]


class Thinker:
    """``always``: it thinks whatever it is told. ``received`` are the bodies that reached it."""

    def __init__(self, *, always: bool = False) -> None:
        self.always = always
        self.received: list[Any] = []
        self.headers: list[dict[str, str]] = []

    def app(self) -> Starlette:
        routes = (
            ("/v1/chat/completions", self.chat),
            ("/v1/messages", self.messages),
            ("/v1/responses", self.responses),
        )
        return Starlette(routes=[Route(path, handler, methods=["POST"]) for path, handler in routes])

    async def _asked(self, request: Request) -> Any:
        asked = json.loads(await request.body())
        assert int(request.headers["content-length"]) == len(await request.body())
        self.received.append(asked)
        self.headers.append(dict(request.headers))
        return asked

    async def chat(self, request: Request) -> Response:
        asked = await self._asked(request)
        results = sum(message["role"] == "tool" for message in asked["messages"])
        calls = bool(asked.get("tools")) and results < STEPS
        thinks = self.always or asked.get("reasoning_effort") not in (None, "low", "minimal", "none")
        frame = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": asked["model"]}
        end = "tool_calls" if calls else "stop"
        usage = {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19}
        call = {
            "id": f"call_{results}",
            "type": "function",
            "function": {"name": "look_up", "arguments": json.dumps({"step": results})},
        }
        chances = [chance(word) for word in WORDS] if asked.get("logprobs") or self.always else None
        if not asked.get("stream"):
            message: dict[str, Any] = {"role": "assistant", "content": None if calls else "".join(WORDS)}
            if thinks:
                message["reasoning_content"] = THOUGHT
            if calls:
                message["tool_calls"] = [call]
            logprobs = {"content": chances, "refusal": None} if chances and not calls else None
            choices = [
                {"index": index, "message": message, "logprobs": logprobs, "finish_reason": end}
                for index in range(asked.get("n") or 1)
            ]
            return JSONResponse({**frame, "object": "chat.completion", "choices": choices, "usage": usage})
        deltas: list[tuple[dict[str, Any], Any]] = [({"role": "assistant"}, None)]
        if thinks:
            deltas += [({"reasoning_content": part}, None) for part in (THOUGHT[:9], THOUGHT[9:])]
        if calls:
            deltas.append(({"tool_calls": [{"index": 0, **call}]}, None))
        else:
            deltas += [({"content": word}, [chance(word)] if chances else None) for word in WORDS]
        frame = {**frame, "object": "chat.completion.chunk"}
        chunks = [
            {
                **frame,
                "choices": [
                    {
                        "index": 0,
                        "delta": delta,
                        "logprobs": {"content": given, "refusal": None} if given else None,
                        "finish_reason": None,
                    }
                ],
            }
            for delta, given in deltas
        ]
        chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": end}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**frame, "choices": [], "usage": usage})
        return events([f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"])

    async def messages(self, request: Request) -> Response:
        asked = await self._asked(request)
        thinking = asked.get("thinking") or {"type": "disabled"}
        thinks = self.always or thinking["type"] != "disabled"
        if thinking["type"] == "enabled" and thinking["budget_tokens"] >= asked["max_tokens"]:
            return wrong("max_tokens must be greater than thinking.budget_tokens")
        said = asked["messages"]
        results = sum(is_result(message) for message in said)
        if results and is_result(said[-1]):
            first = said[-2]["content"][0]
            if thinking["type"] != "disabled" and first.get("type") != "thinking":
                return wrong(
                    "when thinking is enabled, an assistant message of a tool loop must start with a thinking block"
                )
            if first.get("type") == "thinking" and (first["thinking"], first["signature"]) != (THOUGHT, SEAL):
                return wrong("thinking blocks can't be changed")
        calls = bool(asked.get("tools")) and results < STEPS
        end = "tool_use" if calls else "end_turn"
        frame = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None}
        usage = {"input_tokens": 7, "output_tokens": 12}
        tool = {"type": "tool_use", "id": f"toolu_{results}", "name": "look_up"}
        content: list[dict[str, Any]] = [{"type": "thinking", "thinking": THOUGHT, "signature": SEAL}] if thinks else []
        content.append({"type": "text", "text": "".join(WORDS)})
        if calls:
            content.append({**tool, "input": {"step": results}})
        if not asked.get("stream"):
            return JSONResponse({**frame, "content": content, "stop_reason": end, "usage": usage})
        start = {**frame, "content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}}
        sent: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
        for index, block in enumerate(content):
            sent.append({"type": "content_block_start", "index": index, "content_block": empty(block)})
            sent += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas_of(block)]
            sent.append({"type": "content_block_stop", "index": index})
        sent.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": end, "stop_sequence": None},
                "usage": {"output_tokens": usage["output_tokens"]},
            }
        )
        sent.append({"type": "message_stop"})
        return named_events(sent)

    async def responses(self, request: Request) -> Response:
        asked = await self._asked(request)
        items = asked["input"] if isinstance(asked["input"], list) else []
        results = sum(item.get("type") == "function_call_output" for item in items)
        for call, before in (
            (item, items[at - 1]) for at, item in enumerate(items) if item.get("type") == "function_call"
        ):
            if before.get("type") != "reasoning" or not before["id"].startswith("rs_"):
                return wrong(f"function_call {call['call_id']} was provided without its required reasoning item")
        calls = bool(asked.get("tools")) and results < STEPS
        summary = (asked.get("reasoning") or {}).get("summary") or self.always
        given = [chance(word) for word in WORDS] if asked.get("top_logprobs") or self.always else []
        thought: dict[str, Any] = {
            "id": f"rs_{results}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": THOUGHT}] if summary else [],
        }
        part = {"type": "output_text", "annotations": [], "text": "".join(WORDS), "logprobs": given}
        said: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        if calls:
            said = {
                "id": f"fc_{results}",
                "type": "function_call",
                "call_id": f"call_{results}",
                "name": "look_up",
                "arguments": json.dumps({"step": results}),
                "status": "completed",
            }
        frame = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1_790_000_000,
            "model": asked["model"],
            "status": "completed",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        usage = {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 19,
        }
        whole = {**frame, "output": [thought, said], "usage": usage}
        if not asked.get("stream"):
            return JSONResponse(whole)
        begun = {**frame, "status": "in_progress", "output": []}
        sent: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        sent.append({"type": "response.output_item.added", "output_index": 0, "item": {**thought, "summary": []}})
        where: dict[str, Any] = {"item_id": thought["id"], "output_index": 0, "summary_index": 0}
        if summary:
            empty_part = {"type": "summary_text", "text": ""}
            sent.append({"type": "response.reasoning_summary_part.added", **where, "part": empty_part})
            sent.append({"type": "response.reasoning_summary_text.delta", **where, "delta": THOUGHT})
            sent.append({"type": "response.reasoning_summary_text.done", **where, "text": THOUGHT})
            sent.append({"type": "response.reasoning_summary_part.done", **where, "part": thought["summary"][0]})
        sent.append({"type": "response.output_item.done", "output_index": 0, "item": thought})
        where = {"item_id": said["id"], "output_index": 1}
        if calls:
            sent.append({"type": "response.output_item.added", "output_index": 1, "item": {**said, "arguments": ""}})
            sent.append({"type": "response.function_call_arguments.delta", **where, "delta": said["arguments"]})
            sent.append(
                {
                    "type": "response.function_call_arguments.done",
                    **where,
                    "arguments": said["arguments"],
                    "name": "look_up",
                }
            )
        else:
            where["content_index"] = 0
            sent.append({"type": "response.output_item.added", "output_index": 1, "item": {**said, "content": []}})
            sent.append({"type": "response.content_part.added", **where, "part": {**part, "text": "", "logprobs": []}})
            sent += [
                {
                    "type": "response.output_text.delta",
                    **where,
                    "delta": word,
                    "logprobs": [chance(word)] if given else [],
                }
                for word in WORDS
            ]
            sent.append({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": given})
            sent.append({"type": "response.content_part.done", **where, "part": part})
        sent.append({"type": "response.output_item.done", "output_index": 1, "item": said})
        sent.append({"type": "response.completed", "response": whole})
        return named_events([{**event, "sequence_number": number} for number, event in enumerate(sent)])


def chance(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": -0.1, "bytes": None, "top_logprobs": []}


def is_result(message: Any) -> bool:
    content = message["content"]
    return not isinstance(content, str) and any(block["type"] == "tool_result" for block in content)


def empty(block: dict[str, Any]) -> dict[str, Any]:
    blank: dict[str, Any] = {"thinking": "", "signature": "", "text": "", "input": {}}
    return {key: blank.get(key, value) for key, value in block.items()}


def deltas_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    if block["type"] == "thinking":
        parts = [{"type": "thinking_delta", "thinking": part} for part in (THOUGHT[:9], THOUGHT[9:])]
        return [*parts, {"type": "signature_delta", "signature": SEAL}]
    if block["type"] == "text":
        return [{"type": "text_delta", "text": word} for word in WORDS]
    return [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]


def wrong(message: str) -> Response:
    return JSONResponse({"type": "error", "error": {"type": "invalid_request_error", "message": message}}, 400)


def named_events(sent: list[dict[str, Any]]) -> Response:
    return events([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in sent])


def events(sent: list[str]) -> Response:
    return Response("".join(sent), media_type="text/event-stream")

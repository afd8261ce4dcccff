"""``send`` for an answer that is reduced, told of, or paced: between the responder, which counts what the app says, and the server.

An answer that can't be reduced is not sent: in its place goes guard's own 429, or, once a stream has begun, the API's error event.
Errors of the app pass as they are. Nothing is gathered that the client does not take: the app waits in its own ``send``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from guard.clock import Clock
from guard.contracts import Dialect, Reducer, Reply
from guard.degrading import Watch
from guard.rewriting import MAX_ANSWER_BYTES, AnswerRewriter, Irreducible, for_another_body
from guard.stream import kind_of
from guard.tempo import Scale, Tempo
from guard.types import JSONObject

if TYPE_CHECKING:
    from starlette.types import Message, Send

_GONE = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class Shape(NamedTuple):
    """What is done to one answer. ``reducer`` None: guard has no words in its API. ``tokens_per_s`` 0: it is not paced."""

    dialect: Dialect
    reducer: Reducer | None = None
    watch: Watch = Watch()
    notice: JSONObject | None = None
    tokens_per_s: float = 0.0


class Hooks(NamedTuple):
    """What the responder does for it."""

    stays: Callable[[float], Awaitable[bool]]
    """Waits; False: the client has left."""
    still_running: Callable[[], None]
    left: Callable[[], None]
    """The client has left: nothing more is sent."""
    gave_up: Callable[[Irreducible], tuple[Reply, bytes]]
    """The answer can't be reduced: what is said in its place, as a reply and as the end of a stream."""


class Reshaped:
    """Sends one answer, reshaped."""

    __slots__ = (
        "_clock",
        "_gathered_bytes",
        "_held",
        "_hooks",
        "_over",
        "_rewriter",
        "_scale",
        "_send",
        "_shape",
        "_started",
        "_tempo",
        "_whole",
    )

    def __init__(self, send: Send, shape: Shape, clock: Clock, hooks: Hooks) -> None:
        self._send = send
        self._shape = shape
        self._clock = clock
        self._hooks = hooks
        self._rewriter: AnswerRewriter | None = None
        self._tempo: Tempo | None = None
        self._scale: Scale | None = None
        # A start that waits for the length of its body.
        self._held: Message | None = None
        # A JSON answer that is paced is weighed as a whole.
        self._whole: list[bytes] | None = None
        self._gathered_bytes = 0
        self._started = self._over = False

    async def __call__(self, message: Message) -> None:
        if self._over:
            return
        kind = message["type"]
        try:
            if kind == "http.response.start":
                await self._start(message)
            elif kind == "http.response.body":
                await self._body(message)
            elif kind in _GONE:
                raise Irreducible("the answer goes round guard")
            else:
                await self._send(message)
        except Irreducible as error:
            await self._give_up(error)

    async def _start(self, message: Message) -> None:
        shape = self._shape
        if not 200 <= message["status"] < 300:
            await self._begin(message)
            return
        headers = message.get("headers", ())
        named = {name.lower(): value for name, value in headers}
        kind = kind_of(named.get(b"content-type", b""))
        encoding = b",".join(value.strip().lower() for name, value in headers if name.lower() == b"content-encoding")
        self._rewriter = self._rewriting(kind, encoding)
        if self._rewriter is not None:
            message = {**message, "headers": [*for_another_body(headers, -1)]}
        if shape.tokens_per_s:
            self._tempo = Tempo(shape.tokens_per_s)
            self._scale = Scale(shape.dialect, kind)
            self._whole = [] if kind == "json" else None
        if kind == "json" and (self._rewriter is not None or self._whole is not None):
            self._held = message
        else:
            await self._begin(message)

    def _rewriting(self, kind: str, encoding: bytes) -> AnswerRewriter | None:
        """What rewrites the answer; None: nothing has to, or there is only a notice to be told, for which it has no room."""
        shape = self._shape
        must = shape.watch.needed or bool(shape.tokens_per_s and encoding)
        if not must and (shape.notice is None or kind == "bytes"):
            return None
        if shape.watch.needed and kind == "bytes":
            raise Irreducible("the answer is neither JSON nor an event stream")
        notice = None if kind == "bytes" else shape.notice
        try:
            return AnswerRewriter(shape.reducer, shape.watch, notice, streamed=kind != "json", encoding=encoding)
        except Irreducible:
            if must:
                raise
            return None

    async def _body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        rewriter = self._rewriter
        if rewriter is not None:
            body = rewriter.feed(body) if body else b""
            if not more:
                body += rewriter.finish()
        if self._whole is not None:
            self._gathered_bytes += len(body)
            if self._gathered_bytes > MAX_ANSWER_BYTES:
                raise Irreducible("the answer is too large")
            self._whole.append(body)
            body = b"" if more else b"".join(self._whole)
        if more and not body:
            return
        if self._held is not None:
            start, self._held = self._held, None
            if rewriter is not None:
                start = {**start, "headers": [*start["headers"], (b"content-length", b"%d" % len(body))]}
            await self._begin(start)
        if self._tempo is None or self._scale is None:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        else:
            await self._paced(self._tempo, body, self._scale.weigh(body) if body else 0.0, more)

    async def _paced(self, tempo: Tempo, body: bytes, tokens: float, more: bool) -> None:
        pieces = tempo.slices(body, tokens)
        for place, (piece, brought) in enumerate(pieces, 1):
            wait_s = tempo.wait_s(brought, self._clock.now())
            if wait_s > 0.0:
                self._hooks.still_running()
                if not await self._hooks.stays(wait_s):
                    self._over = True
                    self._hooks.left()
                    return
            await self._send({"type": "http.response.body", "body": piece, "more_body": more or place < len(pieces)})

    async def _begin(self, message: Message) -> None:
        self._started = True
        await self._send(message)

    async def _give_up(self, error: Irreducible) -> None:
        self._over = True
        reply, event = self._hooks.gave_up(error)
        if not self._started:
            headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
            await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
            event = reply.body
        await self._send({"type": "http.response.body", "body": event, "more_body": False})

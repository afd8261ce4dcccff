"""Rewrites a request before the app sees it, and an answer before the client does; bytes in, bytes out.

What needs no change is not touched: a request that comes out as it went in, an event of a stream that has nothing in it to take
out. What can't be read can't be reduced: then ``Irreducible`` is raised, and nothing of it reaches the client.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Final

import orjson

from guard.contracts import Reducer
from guard.degrading import Wanted, Watch
from guard.errors import GuardError
from guard.sse import Frames
from guard.types import Headers, JSONObject, Route

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
_DONE: Final = b"[DONE]"
# A comment line keeps a connection alive and means nothing, wherever it stands between two events.
_ALIVE: Final = b":\n"
# They say how long or how compressed a body is, or seal it; none of it is true of another body.
_OF_THE_BODY: Final = frozenset(
    {b"content-length", b"content-encoding", b"transfer-encoding", b"content-md5"}
    | {b"digest", b"content-digest", b"repr-digest", b"etag"}
)


class Irreducible(GuardError):  # noqa: N818 - what is so, not what went wrong
    """An answer can't be reduced: it is compressed in a way guard can't undo, too large, or not what the API sends."""


def rewrite_request(plain: bytes, reducer: Reducer, wanted: Wanted, route: Route) -> tuple[bytes, Watch]:
    """The body for the app, and what to watch for in its answer. ``plain`` was read by the reducer's dialect.

    ``plain`` itself where the reductions leave it as it is. Raises ``Irreducible`` for what can't be written as JSON.
    """
    if not plain:
        # It asks for something that is kept; only its answer can be reduced.
        return plain, reducer.request({}, wanted, route)
    body, before = orjson.loads(plain), orjson.loads(plain)
    watch = reducer.request(body, wanted, route)
    if body == before:
        return plain, watch
    try:
        return orjson.dumps(body), watch
    except orjson.JSONEncodeError:
        raise Irreducible("the request can't be written as JSON") from None


def for_another_body(headers: Iterable[tuple[bytes, bytes]], length_bytes: int) -> Headers:
    """The headers of a message whose body is another one; its length stands where one or a transfer coding stood."""
    kept = [pair for pair in headers if pair[0].lower() not in _OF_THE_BODY]
    return (*kept, (b"content-length", b"%d" % length_bytes)) if length_bytes >= 0 else tuple(kept)


def readable(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a request whose answer is to be readable. It says so, for HTTP clients between guard and the model
    ask for compression of their own accord where nothing is said."""
    return (*[pair for pair in headers if pair[0].lower() != b"accept-encoding"], (b"accept-encoding", b"identity"))


class AnswerRewriter:
    """Rewrites one answer. ``streamed``: it is an event stream, else one JSON object.

    ``notice`` is put into it once, where there is room. Raises ``Irreducible``, also when it is made.
    """

    def __init__(
        self,
        reducer: Reducer | None,
        watch: Watch,
        notice: JSONObject | None,
        *,
        streamed: bool,
        encoding: bytes = b"",
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.streamed = streamed
        self._reducer = reducer
        self._watch = watch
        self._notice = notice
        self._events = reducer.stream(watch) if reducer is not None and streamed and watch.needed else None
        self._frames = Frames()
        self._max_bytes = max_bytes
        self._whole: list[bytes] = []
        self._whole_bytes = 0
        # zlib's objects have no public type.
        self._inflate: Any = None
        if encoding in (b"gzip", b"x-gzip", b"deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif encoding not in (b"", b"identity"):
            raise Irreducible("the answer is compressed in a way that guard can't undo")

    def feed(self, chunk: bytes) -> bytes:
        """What of a chunk goes on now; of a JSON answer nothing before its end."""
        if self._inflate is not None:
            chunk = self._inflated(chunk)
        if not self.streamed:
            self._whole_bytes += len(chunk)
            if self._whole_bytes > self._max_bytes:
                raise Irreducible("the answer is too large")
            self._whole.append(chunk)
            return b""
        if self._events is None and self._notice is None and not self._frames.rest:
            return chunk
        frames = self._frames.feed(chunk)
        if len(self._frames.rest) > self._max_bytes:
            raise Irreducible("an event is too large")
        if not frames:
            return b""
        return b"".join([self._frame(frame) for frame in frames]) or _ALIVE

    def finish(self) -> bytes:
        """The rest: of a JSON answer all of it."""
        if self._inflate is not None and not self._inflate.eof:
            raise Irreducible("the compressed answer is cut short")
        if not self.streamed:
            return self._answer(b"".join(self._whole))
        rest = bytes(self._frames.rest)
        # Some servers forget the last blank line.
        return self._frame(rest) if rest else b""

    def _answer(self, whole: bytes) -> bytes:
        try:
            payload = orjson.loads(whole)
        except orjson.JSONDecodeError:
            payload = None
        if type(payload) is not dict:
            if not self._watch.needed:
                return whole
            raise Irreducible("the answer is no JSON object")
        if self._reducer is not None and self._watch.needed:
            self._reducer.answer(payload, self._watch)
        if self._notice is not None and (self._reducer is None or not self._reducer.tell(payload, self._notice)):
            payload["guard"] = self._notice
        return orjson.dumps(payload)

    def _frame(self, frame: bytes) -> bytes:
        lines = frame.split(b"\n")
        data = [line for line in lines if line.startswith(b"data:")]
        raw = b"\n".join([line[5:].removeprefix(b" ") for line in data])
        if not raw or raw == _DONE:
            return frame
        try:
            event = orjson.loads(raw)
        except orjson.JSONDecodeError:
            if self._events is None:
                return frame
            # Some servers write NaN, and some clients read it: what can't be looked into does not pass.
            raise Irreducible("an event is no JSON") from None
        if type(event) is list and self._events is not None:
            raise Irreducible("an event is a list")
        if type(event) is not dict:
            return frame
        changed = self._events.reduce(event) if self._events is not None else None
        told = self._tell(event if changed is None else changed[-1]) if changed != () else False
        if changed is None:
            if not told:
                return self._comment() + frame
            changed = (event,)
        others = b"".join([line + b"\n" for line in lines if line and not line.startswith(b"data:")])
        return b"".join([others + b"data: " + orjson.dumps(one) + b"\n\n" for one in changed])

    def _tell(self, event: JSONObject) -> bool:
        """Puts the notice into an event, where that has room for it."""
        if self._notice is None or self._reducer is None or not self._reducer.tell(event, self._notice):
            return False
        self._notice = None
        return True

    def _comment(self) -> bytes:
        """The notice as a comment, in a stream whose API guard can't write to."""
        if self._notice is None or self._reducer is not None:
            return b""
        line = b": guard " + orjson.dumps(self._notice) + b"\n"
        self._notice = None
        return line

    def _inflated(self, chunk: bytes) -> bytes:
        try:
            plain: bytes = self._inflate.decompress(chunk, self._max_bytes)
        except zlib.error:
            raise Irreducible("the answer is not compressed as it says") from None
        if self._inflate.unconsumed_tail or self._inflate.unused_data:
            raise Irreducible("the answer is too large, or goes on after its end")
        return plain

"""Counts an answer while its bytes pass.

``AnswerMeter`` sees every chunk of the app's answer after it was sent on, holds none back and changes none. Chunks are only
laid aside; every ``BATCH_BYTES`` they are parsed together, because splitting a batch costs a third of splitting each chunk.
So a ``feed`` is two additions, and a parse is short enough to run between two chunks.

What an answer came to (``usage``) is the app's report where there is one that can be true, and the meter's own count where
there is none, where the answer was cut off, or where the report says nothing was written although text passed. The count is
a quarter of the UTF-8 bytes of the text that the dialect finds, and of the raw bytes where it finds none: an event that is no
JSON, an event or answer beyond its bound, another content type. A count is never less than what was sent.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

import orjson

from guard.contracts import Dialect
from guard.heard import Heard
from guard.skeleton import Skeleton, length
from guard.sse import MAX_EVENT_BYTES, Splitter
from guard.types import Usage

BATCH_BYTES: Final = 32 * 1024
MAX_JSON_BYTES: Final = 4 * 1024 * 1024
_BYTES_A_TOKEN: Final = 4
# Compressed text without a decoder at hand: about a quarter of its size, so each byte stands for four.
_EXPANSION: Final = 4
# One batch may inflate to this much; beyond it the answer is counted by its compressed bytes.
_MAX_INFLATED_BYTES: Final = 8 * 1024 * 1024
_DONE: Final = b"[DONE]"
_Kind = Literal["sse", "json", "bytes"]
# The content types of nearly every answer.
_KINDS: dict[bytes, _Kind] = {
    b"application/json": "json",
    b"application/json; charset=utf-8": "json",
    b"text/event-stream": "sse",
    b"text/event-stream; charset=utf-8": "sse",
}


class AnswerMeter:
    """Counts one answer. ``content_type`` and ``content_encoding`` are its headers' values (``b""``: absent)."""

    __slots__ = (
        "_batch_bytes",
        "_chunks",
        "_dialect",
        "_expansion",
        "_finished",
        "_held_bytes",
        "_inflate",
        "_json",
        "_json_bytes",
        "_kind",
        "_max_json_bytes",
        "_raw_bytes",
        "_said",
        "_says",
        "_skeleton",
        "_splitter",
        "_told",
        "passed_bytes",
        "tally",
    )

    def __init__(
        self,
        dialect: Dialect,
        content_type: bytes,
        content_encoding: bytes = b"",
        *,
        max_json_bytes: int = MAX_JSON_BYTES,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._dialect = dialect
        self._kind = kind = kind_of(content_type)
        self._max_json_bytes = max_json_bytes
        self._splitter: Splitter | None = None
        if kind == "sse":
            self._splitter = Splitter(max_event_bytes)
            self._skeleton = Skeleton()
        self._batch_bytes = BATCH_BYTES
        self._chunks: list[bytes] = []
        self._held_bytes = 0
        self._json: list[bytes] = []
        self._json_bytes = 0
        self._raw_bytes = 0
        self._inflate: Any = None
        self._expansion = 1
        self._finished = False
        self.passed_bytes = 0
        self._told: _Watched | None = None
        self.tally: Heard = Heard()
        self._said = False
        self._says: tuple[bytes, bytes] | None = None
        """What of the answer's text stands in every event of the skeleton, before and after the piece; None: they are none of it."""
        if content_encoding:
            self._compressed(content_encoding.strip().lower())

    def feed(self, chunk: bytes) -> None:
        """Takes note of one chunk of the answer's body."""
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes >= self._batch_bytes:
            self._parse()

    def watch(self, issued: Callable[[str], None]) -> None:
        """Tells of each id that the answer gives out, of the first one as soon as the chunk that completes it is fed. Must be called
        before the first ``feed``."""

        def told(name: str) -> None:
            self._batch_bytes = BATCH_BYTES
            issued(name)

        self._batch_bytes = 1
        self.tally = self._told = _Watched(told)

    def between_events(self) -> bool:
        """Whether an event could be written now without breaking into one that the app has begun."""
        self._parse()
        return self._splitter is None or self._splitter.between_events()

    def finish(self) -> Heard:
        """Parses what is left and returns the tally; further calls return the same."""
        if self._finished:
            return self.tally
        self._finished = True
        if (
            self._kind == "json"
            and not self._json
            and self._inflate is None
            and self._held_bytes <= self._max_json_bytes
        ):
            # Nearly every answer that is no stream is here in one piece.
            whole = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            self.passed_bytes += len(whole)
        else:
            self._parse()
            whole = b"".join(self._json)
            self._json.clear()
            if self._splitter is not None:
                whole = whole or self._splitter.finish()
                self._raw_bytes += self._splitter.skipped_bytes
        if whole:
            self._event(whole)
        return self.tally

    def usage(self, status: int, complete: bool, input_estimate: int) -> Usage:
        """What the exchange came to.

        ``status`` is the app's (0: it never answered), ``complete`` whether its answer reached its end, ``input_estimate`` the
        request's own tokens where the app reports none.
        """
        tally = self.finish()
        output = tally.output_tokens
        reported = output >= 0
        # What a whole answer is reported to have come to is believed, so nothing has to be counted.
        if (output <= 0 or not complete) and (counted := self._counted_tokens(status)) > output:
            output, reported = counted, False
        return Usage(
            status,
            tally.input_tokens if tally.input_tokens > 0 else input_estimate,
            output,
            reported,
            complete,
            prefix=tally.prefix() if complete and status == 200 else "",
            signatures=tuple(tally.signatures),
        )

    def _compressed(self, encoding: bytes) -> None:
        if encoding in (b"gzip", b"x-gzip", b"deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif encoding not in (b"", b"identity"):
            self._kind, self._expansion = "bytes", _EXPANSION

    def _counted_tokens(self, status: int) -> int:
        text_bytes = self.tally.text_bytes
        if status < 400:
            # An error's own words are not the model's; in any other answer what could not be read counts as text.
            text_bytes += self._raw_bytes
            if not text_bytes and self.tally.output_tokens < 0:
                text_bytes = self.passed_bytes
        return -(-text_bytes // _BYTES_A_TOKEN)

    def _parse(self) -> None:
        """Parses the chunks laid aside."""
        chunks = self._chunks
        if not chunks:
            return
        batch = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._held_bytes = 0
        self.passed_bytes += len(batch)
        if self._inflate is not None:
            batch = self._inflated(batch)
        if self._kind == "json":
            self._json.append(batch)
            self._json_bytes += len(batch)
            if self._json_bytes > self._max_json_bytes:
                self._kind = "bytes"
                self._raw_bytes += self._json_bytes
                self._json.clear()
            elif self._told is not None and self._batch_bytes == 1 and batch.rstrip().endswith(b"}"):
                self._tell(self._told)
        elif self._kind == "sse" and self._splitter is not None:
            payloads = self._splitter.feed(batch)
            if payloads:
                # An answer names its id in its first event.
                self._batch_bytes = BATCH_BYTES
                self._events(payloads)
        else:
            self._raw_bytes += len(batch) * self._expansion

    def _events(self, payloads: Iterable[bytes]) -> None:
        """Counts events: one of the known skeleton by what lies between its head and tail, any other by parsing it."""
        skeleton, tally = self._skeleton, self.tally
        head, tail = skeleton.head, skeleton.tail
        start, ends = len(head), len(tail)
        for payload in payloads:
            if head and payload.startswith(head) and payload.endswith(tail) and len(payload) >= start + ends:
                piece = payload[start : len(payload) - ends]
                if b'"' not in piece and b"\\" not in piece:
                    tally.text_bytes += skeleton.fixed_bytes + len(piece)
                    tally.characters += skeleton.fixed_characters + length(piece)
                    if self._says is not None:
                        before, after = self._says
                        tally.hear(before + piece + after)
                    continue
            text_bytes, characters, heard = tally.text_bytes, tally.characters, tally.heard_bytes
            self._event(payload)
            said, self._said = self._said, tally.heard_bytes > heard
            skeleton.learn(payload, tally.text_bytes - text_bytes, tally.characters - characters)
            if skeleton.head is not head:
                self._says = skeleton.around() if said and self._said else None
            head, tail = skeleton.head, skeleton.tail
            start, ends = len(head), len(tail)

    def _tell(self, told: _Watched) -> None:
        """Tells of the ids of what may be the whole answer, whose end the app has not declared yet. It is counted later."""
        try:
            value = orjson.loads(b"".join(self._json))
        except orjson.JSONDecodeError:
            return
        if type(value) is dict:
            self._dialect.count(value, _Watched(told.issued))

    def _event(self, payload: bytes) -> None:
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError:
            if payload != _DONE:
                self._raw_bytes += len(payload)
            return
        if type(value) is dict:
            self._dialect.count(value, self.tally)
        elif type(value) is list and value and all([type(item) is dict for item in value]):
            # A stream as one JSON list, as Gemini sends it.
            for item in value:
                self._dialect.count(item, self.tally)
        else:
            self._raw_bytes += len(payload)

    def _inflated(self, batch: bytes) -> bytes:
        """The batch decompressed; one that is broken or a bomb makes the rest of the answer count by its bytes."""
        try:
            plain: bytes = self._inflate.decompress(batch, _MAX_INFLATED_BYTES)
        except zlib.error:
            plain, broken = b"", True
        else:
            broken = bool(self._inflate.unconsumed_tail or self._inflate.unused_data)
        if broken:
            self._inflate = None
            self._raw_bytes += self._json_bytes
            self._json.clear()
            self._kind, self._expansion = "bytes", _EXPANSION
            return batch
        return plain


def readable(headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """A request's headers, so that its answer can be read as it passes: of compressions it takes gzip alone."""
    if not any(b"br" in value or b"zstd" in value for name, value in headers if name.lower() == b"accept-encoding"):
        return headers
    kept = [pair for pair in headers if pair[0].lower() != b"accept-encoding"]
    return [*kept, (b"accept-encoding", b"gzip")]


class _Watched(Heard):
    """A tally that passes on what ids it is told of."""

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[str], None]) -> None:
        super().__init__()
        self._told = told

    def issued(self, name: str) -> None:
        self._told(name)


def kind_of(content_type: bytes) -> _Kind:
    """How an answer of that content type (the header's value, ``b""``: absent) is read."""
    return _KINDS.get(content_type) or _kind(content_type)


def _kind(content_type: bytes) -> _Kind:
    name = content_type.partition(b";")[0].strip().lower()
    if name == b"text/event-stream":
        return "sse"
    if name == b"application/json" or (name.startswith(b"application/") and name.endswith(b"+json")):
        return "json"
    return "bytes"

"""BODY: bytes within bounds, decompressed within bounds, parsed strictly; or a 4xx.

JSON is what RFC 8259 says and nothing more lenient, for every leniency is a second reading of the same bytes behind guard. The
errors of ``orjson`` and ``zlib`` are translated here and nowhere else; no message quotes the body.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from typing import Any

import orjson

from guard.errors import BadExchange
from guard.settings import Body
from guard.types import Call, JSONObject

# Names whose duplicate would let the app read another request than guard: refused at any depth. At the top any duplicate is.
# fmt: off
SENSITIVE = frozenset((
    "model", "messages", "system", "prompt", "input", "instructions", "tools", "functions", "tool_choice", "stream",
    "stream_options", "user", "n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "max_new_tokens", "max_tokens_to_sample", "num_predict", "metadata", "user_id", "safety_identifier", "thinking",
    "budget_tokens", "reasoning", "reasoning_effort", "effort", "logprobs", "top_logprobs", "logit_bias", "role",
    "content", "type", "text", "parts", "contents", "suffix", "stop", "name", "arguments", "parameters",
    "input_schema", "tool_calls", "tool_use_id", "tool_call_id", "response_format", "options", "temperature", "top_p",
    "top_k", "seed", "image_url", "source", "data", "url", "previous_response_id", "conversation", "id", "params",
    "requests", "generationConfig", "generation_config", "maxOutputTokens", "candidateCount", "candidate_count",
    "thinkingConfig", "thinking_config", "thinkingBudget", "thinking_budget", "responseLogprobs", "response_logprobs",
    "inlineData", "inline_data", "functionCall", "functionResponse", "cachedContent", "cached_content",
))
# fmt: on
# Which key stands twice is looked up in small bodies only: it takes ten times as long as parsing.
_LONGEST_EXCUSED_BYTES = 64 * 1024
# A longer text takes longer to write than its values to look at, and indents can take far more room than the text.
_LONGEST_INDENTED_BYTES = 8 * 1024
# The deepest that is shallow, and what stands before what is deeper. A longer text is sought more slowly.
_SHALLOW = 47
PLAIN_LEVELS = 3
_BELOW_SHALLOW = b"\n" + b"  " * _SHALLOW
_INPUT_STEP_BYTES = 64 * 1024
_OUTPUT_STEP_BYTES = 256 * 1024
# Text compresses to a twentieth at best; a thousandth is a bomb. Small bodies may repeat themselves as they like.
_MOST_EXPANSION = 100
_EXPANSION_FREE_BYTES = 1024 * 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class BodyReader:
    """Takes a body as it arrives. ``call`` says how it is compressed and how long it claims to be.

    Every method raises ``BadExchange`` (400, 413) as soon as the body breaks a bound, and never holds more than
    ``bounds.max_bytes`` of it decompressed.
    """

    __slots__ = ("_chunks", "_declared", "_inflater", "_max_bytes", "_plain", "_received")

    def __init__(self, bounds: Body, call: Call) -> None:
        self._max_bytes = bounds.max_bytes
        self._declared = call.length_bytes
        self._chunks: bytes | bytearray = b""
        self._received = 0
        # zlib's objects have no public type.
        self._inflater: Any = None
        if call.encoding != "identity":
            self._inflater = zlib.decompressobj(_WINDOW_BITS[call.encoding])
            self._plain = bytearray()
        if self._declared is not None and self._declared > self._max_bytes:
            raise _too_large(self._max_bytes)

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the body, however they were cut."""
        before = self._received
        self._received = received = before + len(chunk)
        if received > self._max_bytes:
            raise _too_large(self._max_bytes)
        if self._inflater is not None:
            self._inflate(chunk, before)
        if not before:
            self._chunks = chunk
            return
        if not isinstance(self._chunks, bytearray):
            self._chunks = bytearray(self._chunks)
        self._chunks += chunk

    def raw(self) -> bytes:
        """The body as it came, byte for byte."""
        if isinstance(self._chunks, bytearray):
            self._chunks = bytes(self._chunks)
        return self._chunks

    def plain(self) -> bytes:
        """The whole body, decompressed. To be called once the last byte is in."""
        if self._declared is not None and self._declared != self._received:
            raise BadExchange(400, "content_length", "The request's body is not as long as its content length says.")
        if self._inflater is None:
            return self.raw()
        if not self._inflater.eof:
            raise BadExchange(400, "compression", "The request's compressed body is cut short.")
        return bytes(self._plain)

    def _inflate(self, chunk: bytes, before: int) -> None:
        view = memoryview(chunk)
        for start in range(0, len(chunk), _INPUT_STEP_BYTES):
            piece: bytes | memoryview = view[start : start + _INPUT_STEP_BYTES]
            end = before + min(start + _INPUT_STEP_BYTES, len(chunk))
            while True:
                if self._inflater.eof:
                    raise BadExchange(400, "compression", "The request's compressed body goes on after its end.")
                try:
                    out = self._inflater.decompress(piece, _OUTPUT_STEP_BYTES)
                except zlib.error:
                    raise BadExchange(400, "compression", "The request's body is not compressed as it says.") from None
                piece = self._inflater.unconsumed_tail
                self._plain += out
                self._check_expansion(consumed=end - len(piece))
                if self._inflater.unused_data:
                    raise BadExchange(400, "compression", "The request's compressed body goes on after its end.")
                if self._inflater.eof or not (piece or len(out) == _OUTPUT_STEP_BYTES):
                    break

    def _check_expansion(self, consumed: int) -> None:
        size = len(self._plain)
        if size > self._max_bytes or (size > _EXPANSION_FREE_BYTES and size > _MOST_EXPANSION * consumed):
            self._plain = bytearray()
            raise _too_large(self._max_bytes)


def one_piece(body: bytes, bounds: Body, call: Call) -> bytes:
    """A body that came in one piece, as ``BodyReader`` would give it: most do, and need nobody to put them together."""
    size = len(body)
    if size == call.length_bytes and size <= bounds.max_bytes and call.encoding == "identity":
        return body
    reader = BodyReader(bounds, call)
    if body:
        reader.feed(body)
    return reader.plain()


def parse(plain: bytes, bounds: Body, sensitive: frozenset[str] = SENSITIVE) -> JSONObject:
    """The JSON object that ``plain`` is. Raises ``BadExchange`` (400).

    Refused: what ``decode`` refuses, anything but an object, an object whose top level has any key twice, and a body that has
    a key of ``sensitive`` twice in any object, also where one of the two is spelt with escapes. Other duplicates in bodies
    of up to 64 KiB are read as every JSON reader of Python reads them: the last one counts.
    """
    document = decode(plain, bounds)
    if type(document) is not dict:
        raise BadExchange(400, "not_an_object", "The request's body must be a JSON object.")
    written = _written(document)
    # Compact bodies are what they are written back as; then nothing that stood there was left out.
    if written == plain and len(plain) <= _LONGEST_INDENTED_BYTES and _is_shallow(document, bounds.max_depth):
        return document
    # Each string takes two quotes, and a key that stands twice is a string which the document lacks. So no key does if there
    # are no more quotes than the document's strings take; other quotes stand within strings.
    wanted = 2 * _strings(document, bounds.max_depth)
    if written != plain:
        found = plain.count(b'"')
        if found != wanted and not _quotes_alike(plain, found, written) and _delimiters(plain) != wanted:
            _refuse_duplicates(plain, sensitive)
    return document


def decode(plain: bytes, bounds: Body) -> Any:
    """Any JSON value in UTF-8, of at most ``max_items`` members and elements and, unless it is an object, ``max_depth``
    levels. Raises ``BadExchange``.

    Refused beside what is no JSON: NaN and infinities, numbers beyond a float, lone surrogates, byte order marks, UTF-16.
    """
    # An item takes two bytes at least, so small bodies need no count.
    if len(plain) > 2 * bounds.max_items:
        _check_items(plain, bounds.max_items)
    try:
        document = orjson.loads(plain)
    except orjson.JSONDecodeError:
        raise BadExchange(400, "not_json", "The request's body is not valid JSON in UTF-8.") from None
    if type(document) is list:
        _strings(document, bounds.max_depth)
    return document


def _written(document: JSONObject) -> bytes:
    """The document without blanks; ``b""`` where it is too deep for the writer (254 levels)."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return b""


def _is_shallow(document: JSONObject, max_depth: int) -> bool:
    """Whether a document that can be written is certainly not too deep; False says nothing.

    A plain conversation ends at its messages' fields. Else: written with indents, each level stands two blanks further to
    the right: no line with so many, no such level. That is half the time of looking at every value.
    """
    if max_depth < _SHALLOW:
        return False
    if is_plain(document):
        return True
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).find(_BELOW_SHALLOW) < 0


def is_plain(document: JSONObject) -> bool:
    """Whether nothing stands deeper than the fields of objects in a list at the top (``PLAIN_LEVELS``); it looks no further than
    needed."""
    for value in document.values():
        if type(value) is list:
            for item in value:
                if type(item) is dict:
                    for field in item.values():
                        if type(field) is dict or type(field) is list:
                            return False
                elif type(item) is list:
                    return False
        elif type(value) is dict:
            return False
    return True


def _strings(document: JSONObject | list[Any], max_depth: int) -> int:
    """How many strings the document has, keys included; level by level, so that depth is bounded without recursion."""
    level: list[Any] = [document]
    strings = 0
    for _ in range(max_depth):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                strings += len(node)
                node = node.values()
            for child in node:
                kind = type(child)
                if kind is str:
                    strings += 1
                elif kind is dict or kind is list:
                    below.append(child)
        if not below:
            return strings
        level = below
    raise BadExchange(400, "too_deep", f"The request's body is nested more than {max_depth} levels deep.")


def _quotes_alike(plain: bytes, found: int, written: bytes) -> bool:
    """Whether a text with ``found`` quotes spells all its quotes as such, and has as many as what it is written back as: then
    nothing that has one was left out. False proves nothing."""
    return written.count(b'"') == found and b"\\u0022" not in plain


def _delimiters(plain: bytes) -> int:
    """How many quotes of a JSON text begin or end a string."""
    return plain.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')


def _check_items(plain: bytes, max_items: int) -> None:
    """Refuses a text that has more members and elements than allowed, before they become objects."""
    if plain.count(b",") + plain.count(b"[") + plain.count(b"{") <= max_items:
        return
    bare = plain.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in plain else plain
    # Each item has two strings at most; more quotes than that are not even split.
    if bare.count(b'"') <= 4 * max_items + 4:
        bare = b"".join(bare.split(b'"')[::2])
        if bare.count(b",") + bare.count(b"[") + bare.count(b"{") <= max_items:
            return
    raise BadExchange(400, "too_many_items", f"The request's body has more than {max_items} items.")


def _refuse_duplicates(plain: bytes, sensitive: frozenset[str]) -> None:
    """Raises where a duplicate matters. There is one somewhere; the text is valid, shallow and of few items."""
    if len(plain) > _LONGEST_EXCUSED_BYTES:
        raise _duplicate()
    top: list[tuple[str, Any]] = []

    def pairs(members: list[tuple[str, Any]]) -> None:
        # Objects end from the inside out: the last one to come by is the outermost.
        nonlocal top
        top = members
        if not sensitive.isdisjoint(_repeated(members)):
            raise _duplicate()

    # Numbers stay text: the standard library refuses integers of more than 4,300 digits.
    json.loads(plain, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    if _repeated(top):
        raise _duplicate()


def _repeated(members: list[tuple[str, Any]]) -> set[str]:
    counts = Counter(name for name, _ in members)
    return {name for name, count in counts.items() if count > 1}


def _duplicate() -> BadExchange:
    return BadExchange(400, "duplicate_key", "The request's body names a key twice.")


def _too_large(max_bytes: int) -> BadExchange:
    return BadExchange(413, "too_large", f"The request's body is larger than {max_bytes} bytes.")

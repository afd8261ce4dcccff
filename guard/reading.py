"""Reading an untrusted JSON object, field by field.

What a dialect asks of a field stands here once: text, a whole number with bounds, a flag, a list, an object. JSON's ``true``
is never a number, ``100.0`` and ``"100"`` are never 100. Whatever is not as asked raises ``BadExchange`` (400) that names
the field and says what it must be; a value is never quoted.

``collect`` walks any value and gathers every text in it: whatever the model may get to see must reach the fingerprint,
also from fields that are new or unknown here. Files that stand in the request as base64 are counted, not read, unless
they are text.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from typing import Any

import orjson

from guard.errors import BadExchange
from guard.recent import Recent
from guard.types import JSONObject

MOST_TOKENS = 2**31 - 1
MOST_CHOICES = 1_024
MOST_MODEL_CHARACTERS = 256
_MOST_MODELS = 512
MOST_TEXTS = 100_000
MOST_LEVELS = 128
# Words of the API and names that it gave out; longer than this they are text that somebody put there.
_MOST_NAME_CHARACTERS = 128
_NAMES = frozenset(
    {"type", "id", "tool_call_id", "tool_use_id", "call_id", "file_id", "object", "format", "media_type", "detail"}
)
# Sealed by the API, or secrets: no model reads them as text.
_SEALED = frozenset(
    {
        "signature",
        "encrypted_content",
        "encrypted_index",
        "encrypted_stdout",
        "cache_control",
        "authorization_token",
        "authorization",
    }
)
_MEDIA = frozenset(
    {
        "image_url",
        "image",
        "input_image",
        "input_audio",
        "audio_url",
        "audio",
        "video_url",
        "video",
        "file",
        "input_file",
    }
    | {"document", "container_upload"}
)
_BLOBS = frozenset({"data", "file_data", "b64_json"})
_TOLD_APART = _NAMES | _SEALED | _BLOBS
_SCHEMA_WORDS = frozenset(
    {
        "type",
        "function",
        "name",
        "description",
        "parameters",
        "input_schema",
        "properties",
        "required",
        "items",
        "enum",
        "strict",
    }
    | {
        "additionalProperties",
        "default",
        "format",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "json_schema",
        "schema",
        "title",
    }
    | {
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "const",
        "text",
        "cache_control",
    }
)
# Invisible to a reader without being "format" characters to Unicode: joiners, selectors, fillers, the blank of Braille.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)


def invalid(field: str, wanted: str) -> BadExchange:
    """The refusal of a field that is not as it must be."""
    return BadExchange(400, "invalid_field", f"{field} must be {wanted}.")


def missing(field: str) -> BadExchange:
    """The refusal of a request that lacks a field."""
    return BadExchange(400, "missing_field", f"{field} is required.")


def whole_number(value: Any, field: str, most: int = MOST_TOKENS, least: int = 1) -> int:
    """An integer within bounds; neither ``true`` nor ``1e3`` nor ``"1"`` is one."""
    if type(value) is int and least <= value <= most:
        return value
    raise invalid(field, f"a whole number from {least} to {most}")


def flag(value: Any, field: str) -> bool:
    """``true`` or ``false`` and nothing that resembles them."""
    if type(value) is bool:
        return value
    raise invalid(field, "true or false")


def text(value: Any, field: str) -> str:
    """A string."""
    if type(value) is str:
        return value
    raise invalid(field, "a string")


def items(value: Any, field: str, most: int) -> list[Any]:
    """A list of at most ``most`` elements."""
    if type(value) is not list:
        raise invalid(field, "a list")
    if len(value) > most:
        raise BadExchange(400, "too_many_items", f"{field} must have at most {most} elements.")
    return value


def fields(value: Any, field: str) -> JSONObject:
    """An object."""
    if type(value) is dict:
        return value
    raise invalid(field, "an object")


def model_name(raw: Any) -> str:
    """A model's name as every later stage compares it: NFKC, case-folded, without blanks and invisible characters.

    A provider's prefix (``openai/``) stays. Raises ``BadExchange`` for anything but a string of 1 to 256 characters of
    which something is left.
    """
    if type(raw) is not str or len(raw) > MOST_MODEL_CHARACTERS:
        raise invalid("model", f"a string of at most {MOST_MODEL_CHARACTERS} characters")
    if raw.isascii() and raw.isprintable():
        name = raw.lower().replace(" ", "")
    else:
        name = _folded(raw)
    if not name:
        raise missing("model")
    return name


class ModelNames:
    """``model_name`` with a bounded memory: a program asks for few models, over and over."""

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: Recent[str, str] = Recent(_MOST_MODELS)

    def of(self, raw: Any) -> str:
        """As ``model_name``."""
        name = self._recent.get(raw) if type(raw) is str else None
        if name is None:
            name = model_name(raw)
            self._recent.put(raw, name)
        return name


def _folded(raw: str) -> str:
    """To the fixed point: taking a character out may let its neighbours compose, folding may undo a composition."""
    name = raw
    for _ in range(4):
        before = name
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        name = "".join(c for c in name if c not in _INVISIBLE and unicodedata.category(c)[0] not in "CZ")
        if name == before:
            break
    return name


def canonical(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes. Raises ``BadExchange`` for what JSON writers can't write
    (deeper than 254 levels, lone surrogates, integers beyond 64 bits); the body stage lets none of it through."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise BadExchange(
            400, "unreadable_body", "The request can't be read.", "a value can't be written as JSON"
        ) from error


def collect(value: Any, texts: list[str], *, keys: bool = False) -> int:
    """Appends every text in ``value`` to ``texts``, in the order of the document; returns how many media parts it holds.

    With ``keys`` the names of an object's fields count as text too (a JSON schema speaks through them; its own vocabulary is
    left out). Left out are short names that the API gave out and what is sealed (signatures, encrypted content). Raises
    ``BadExchange`` beyond 128 levels or 100,000 texts.
    """
    media = _walk(value, texts, keys, False, MOST_LEVELS)
    if len(texts) > MOST_TEXTS:
        raise BadExchange(400, "too_many_items", f"The request must have at most {MOST_TEXTS} values.")
    return media


def _walk(value: Any, texts: list[str], keys: bool, counted: bool, levels: int) -> int:
    """``counted``: this lies within a media part that has been counted."""
    media = 0
    if type(value) is dict:
        if levels == 0:
            raise BadExchange(400, "too_deep", f"The request must have at most {MOST_LEVELS} levels.")
        if not counted and _is_media(value):
            media, counted = 1, True
        for key, part in value.items():
            if keys and key not in _SCHEMA_WORDS:
                texts.append(key)
            if type(part) is str:
                if key in _TOLD_APART or part[:5] == "data:":
                    media += _walk_told_apart(key, part, value, texts, counted)
                else:
                    texts.append(part)
            elif (type(part) is dict or type(part) is list) and key not in _SEALED:
                media += _walk(part, texts, keys, counted, levels - 1)
    elif type(value) is list:
        if levels == 0:
            raise BadExchange(400, "too_deep", f"The request must have at most {MOST_LEVELS} levels.")
        for part in value:
            if type(part) is str:
                texts.append(part)
            elif type(part) is dict or type(part) is list:
                media += _walk(part, texts, keys, counted, levels - 1)
    elif type(value) is str:
        texts.append(value)
    return media


def _walk_told_apart(key: str, part: str, item: JSONObject, texts: list[str], counted: bool) -> int:
    """A string that may be a name, sealed, or a file: appends what of it is text; 1 for a media part not yet counted."""
    if key in _SEALED or (key in _NAMES and len(part) <= _MOST_NAME_CHARACTERS):
        return 0
    if key not in _BLOBS and part[:5] != "data:":
        texts.append(part)
        return 0
    read = _document(key, part, item)
    if read is None:
        return int(not counted)
    texts.append(read)
    return 0


def _is_media(item: JSONObject) -> bool:
    kind = item.get("type")
    if type(kind) is not str or kind not in _MEDIA:
        return False
    source = item.get("source")
    # A document whose source is text or content blocks costs what its text costs.
    return not (kind == "document" and type(source) is dict and source.get("type") in ("text", "content"))


def _document(key: str, part: str, item: JSONObject) -> str | None:
    """What a field that may hold a file's bytes says as text; None: it holds an image, sound or another sealed format."""
    if part.startswith("data:"):
        head, comma, part_bytes = part.partition(",")
        if not comma or not head.endswith(";base64"):
            return part
        return _decoded(part_bytes, head[5:])
    kind = item.get("type")
    if kind == "redacted_thinking":
        return None
    if kind == "base64" or key != "data" or "format" in item:
        return _decoded(part, item.get("media_type"))
    return part


def _decoded(encoded: str, media_type: Any) -> str | None:
    if type(media_type) is not str or not media_type.startswith(("text/", "application/json", "application/xml")):
        return None
    try:
        return base64.b64decode(encoded).decode(errors="replace")
    except (binascii.Error, ValueError):
        return encoded

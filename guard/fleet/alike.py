"""Whether two replicas decide by the same policy, wherever their files lie.

The digest of a policy's file tells that somebody has changed it. Replicas on different machines keep their state, logs and sockets in
different places, so what they tell each other is a digest of what decides: the compiled policy without the names of files. Of the
weights the content counts. What is as guard ships it is left out, so that a version with one setting more has the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import orjson

from guard.settings import Policy

_DIGITS = 16
_BESIDE = frozenset({"source", "digest", "admin", "audit", "record"})
_OF_STATE = frozenset({"dir", "store", "snapshot_s", "deadline_s", "replicas"})
"""Where, how often and how long: each replica's own."""
_OF_REGION = frozenset({"country", "asn", "kinds"})


def deciding(policy: Policy) -> str:
    """16 hex digits, equal for policies that decide alike."""
    region, weights = policy.region, policy.score.weights
    said = _plain(policy, _BESIDE | {"state", "region", "score"})
    said["state"] = _plain(policy.state, _OF_STATE)
    said["region"] = _plain(region, _OF_REGION)
    said["files"] = [bool(region.country), bool(region.asn), sorted(kind for kind, _ in region.kinds)]
    said["weights"] = _content(weights) if weights else ""
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGITS]


def _content(path: str) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _plain(value: Any, without: frozenset[str] = frozenset()) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for one in fields(value):
            held = getattr(value, one.name)
            default = one.default_factory() if one.default_factory is not MISSING else one.default
            if one.name not in without and held != default:
                found[one.name] = _plain(held)
        return found
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(held)] for key, held in sorted(value.items(), key=lambda pair: str(pair[0]))]
    if isinstance(value, set | frozenset):
        return sorted([_plain(one) for one in value], key=str)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', type(value).__qualname__)}"
    return str(value)

"""Writes tiny databases in the MaxMind DB file format, version 2.0, from its public specification.

A file is a binary search tree of 24-bit records, sixteen zero bytes, a data section, and metadata behind a marker.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_EMPTY = -1


def write(
    path: Path,
    records: Mapping[str, Any],
    *,
    built_at: float = 1_800_000_000.0,
    kind: str = "Test-City",
    version: int = 6,
) -> Path:
    """Writes network → record. ``version`` 4: an IPv4-only database. Replaces the file whole, as updaters do."""
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content(records, built_at=built_at, kind=kind, version=version))
    os.replace(fresh, path)
    return path


def content(
    records: Mapping[str, Any], *, built_at: float = 1_800_000_000.0, kind: str = "Test-City", version: int = 6
) -> bytes:
    """The bytes of such a file."""
    data = b""
    leaves: list[tuple[str, int]] = []
    for text, record in records.items():
        network = ip_network(text)
        width = 32 if version == 4 else 128
        bits = f"{int(network.network_address):0{width}b}"
        length = network.prefixlen + (96 if network.version == 4 and version == 6 else 0)
        leaves.append((bits[:length], len(data)))
        data += _encoded(record)
    nodes = [[_EMPTY, _EMPTY]]
    ends: dict[tuple[int, int], int] = {}
    for bits, offset in sorted(leaves, key=lambda leaf: len(leaf[0])):
        node = 0
        for bit in map(int, bits[:-1]):
            if nodes[node][bit] == _EMPTY:
                nodes.append([_EMPTY, _EMPTY])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        ends[node, int(bits[-1])] = offset
    count = len(nodes)
    tree = b""
    for node, sides in enumerate(nodes):
        for side in (0, 1):
            offset = ends.get((node, side))
            value = count + 16 + offset if offset is not None else count if sides[side] == _EMPTY else sides[side]
            tree += value.to_bytes(3, "big")
    metadata = {
        "node_count": _U32(count),
        "record_size": _U16(24),
        "ip_version": _U16(version),
        "database_type": kind,
        "languages": ["en"],
        "binary_format_major_version": _U16(2),
        "binary_format_minor_version": _U16(0),
        "build_epoch": _U64(int(built_at)),
        "description": {"en": "made by a test"},
    }
    return tree + bytes(16) + data + _MARKER + _encoded(metadata)


class _U16(int):
    pass


class _U32(int):
    pass


class _U64(int):
    pass


def _encoded(value: Any) -> bytes:
    if isinstance(value, bool):
        return _control(14, int(value))
    if isinstance(value, str):
        text = value.encode()
        return _control(2, len(text)) + text
    if isinstance(value, float):
        return _control(3, 8) + struct.pack(">d", value)
    if isinstance(value, Mapping):
        return _control(7, len(value)) + b"".join(_encoded(key) + _encoded(part) for key, part in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encoded, value))
    number = int(value)
    size = (number.bit_length() + 7) // 8
    return _control(5 if isinstance(value, _U16) else 9 if isinstance(value, _U64) else 6, size) + number.to_bytes(
        size, "big"
    )


def _control(kind: int, size: int) -> bytes:
    """The control byte(s): the type in the upper three bits, 0 for one that follows; the size in the lower five."""
    if size >= 29:
        assert size < 285
        small, more = 29, bytes([size - 29])
    else:
        small, more = size, b""
    if kind < 8:
        return bytes([kind << 5 | small]) + more
    return bytes([small, kind - 7]) + more

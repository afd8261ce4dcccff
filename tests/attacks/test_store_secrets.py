"""SECURITY 155 and 156 of what lies in the shared store: every key ends by itself, and nothing that a client said stands there."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from guard.cli import main
from tests import servers
from tests.attacks.test_leak_attacks import ADDRESS, CANARY, KINDS, attacks, policy, spellings
from tests.attacks.victim import Victim
from tests.attacks.wire import Wire
from tests.patience import until

SPELT = re.compile(
    rb"(?<![A-Za-z0-9+/=])e[A-Za-z0-9+/]{3}(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
"""What zlib packed, as base64."""
FEWEST_BYTES = 16
"""What happens to open to less is nothing that was packed."""
LONGEST_MS = 31 * 86_400 * 1_000
"""No window of the policy is longer than a day, and nothing that was found out is kept longer than a month."""


@pytest.fixture
def plain_server(program: Path, tmp_path: Path) -> Any:
    """A server whose file can be read as it is."""
    server = servers.Server(program, tmp_path / "server", rdbcompression="no")
    yield server
    server.close()


def opened(client: Any) -> list[bytes]:
    """What lies packed (zlib, also as base64) in any value of the store, wherever in the value it begins; what was packed twice is
    opened twice."""
    found: list[bytes] = []
    left = list(values(client))
    while left:
        value = left.pop()
        left += [b64decode(text) for text in SPELT.findall(value)]
        for at in range(len(value) - 1):
            # The first two bytes of zlib's form: method 8, and a check by 31.
            if value[at] & 0x0F == 8 and (value[at] << 8 | value[at + 1]) % 31 == 0:
                with suppress(zlib.error):
                    inside = zlib.decompressobj().decompress(value[at:])
                    if len(inside) >= FEWEST_BYTES:
                        found.append(inside)
                        left.append(inside)
    return found


def values(client: Any) -> Iterator[bytes]:
    """All values of all keys."""
    for key in client.scan_iter():
        match client.type(key):
            case b"string":
                yield client.get(key)
            case b"hash":
                yield from client.hgetall(key).values()
            case b"stream":
                yield from [value for _, fields in client.xrange(key) for value in fields.values()]
            case kind:
                raise AssertionError(f"{key!r} is a {kind!r}: look into that, too")


@pytest.mark.uvicorn
def test_nothing_a_client_says_stands_in_the_store(
    victims: Callable[..., Victim], plain_server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Canaries in all places that a client or the operator's callable writes to, requests of every outcome; then the store's whole
    content is searched, and every key of it must have an end. What an account used is erased by one command."""
    monkeypatch.setenv("GUARD_KEY", "e" * 64)
    text = policy(tmp_path).replace("[state]\n", f'[state]\nstore = "{plain_server.url}"\ndeadline = "2 s"\n')
    victim = victims(text)
    for said in attacks():
        with Wire(victim.to) as wire:
            wire.send(said)
            try:
                wire.answer()
            except (OSError, HTTPException):  # a stream that the endpoint broke off
                continue
    told = {"g1:{guard}:near", "rows", "news", "base"}  # what replicas tell each other beside the requests
    until(lambda: all(any(key.endswith(word) for key in plain_server.call("KEYS", "*")) for word in told))
    with plain_server.client() as client:
        keys: list[str] = sorted(client.scan_iter())
        lives = {key: client.pttl(key) for key in keys}
    with Redis.from_url(plain_server.url) as client:
        pieces = opened(client)
    plain_server.call("SAVE")
    content = b"\n".join([(plain_server.folder / "dump.rdb").read_bytes(), *pieces])
    assert any(b'"families"' in piece or b'"accounts"' in piece for piece in pieces), "nothing packed was opened"

    assert {key: life for key, life in lives.items() if not 0 < life <= LONGEST_MS} == {}
    accounts = [key for key in keys if key.startswith("g1:{") and "guard" not in key]
    assert accounts, keys
    assert b"alive" in content
    hits = {
        (kind, spelt) for kind in KINDS for spelt in spellings(kind) if spelt in content or spelt in content.lower()
    }
    assert hits == set()
    assert ADDRESS.encode() not in content

    fields = {key: plain_server.call("HLEN", key) for key in accounts if plain_server.call("TYPE", key) == "hash"}
    assert main(["erase", f"account:{CANARY['id']}", "--why", "asked for it", "--socket", f"{tmp_path}/run/s"]) == 0
    until(lambda: any(plain_server.call("HLEN", key) < many for key, many in fields.items()), 10)
    assert victim.stop() is not None

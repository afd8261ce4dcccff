"""SECURITY 155 and 156 of what lies in the shared store: every key ends by itself, and nothing that a client said stands there."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from tests import servers
from tests.attacks.test_leak_attacks import ADDRESS, CANARY, KINDS, attacks, policy, spellings
from tests.attacks.victim import Victim
from tests.attacks.wire import Wire
from tests.patience import until

LONGEST_MS = 31 * 86_400 * 1_000
"""No window of the policy is longer than a day, and nothing that was found out is kept longer than a month."""


@pytest.fixture
def plain_server(program: Path, tmp_path: Path) -> Any:
    """A server whose file can be read as it is."""
    server = servers.Server(program, tmp_path / "server", rdbcompression="no")
    yield server
    server.close()


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
    plain_server.call("SAVE")
    content = (plain_server.folder / "dump.rdb").read_bytes()

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

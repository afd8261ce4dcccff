"""Floods a whole guard, in a process of its own, with requests that are all different, and prints what came of it as JSON.

``python -m tests.attacks.flood REQUESTS KIND NETWORKS``: ``KIND`` is how the endpoint answers invented keys: ``refused`` (401) or
``accepted``; the flood comes from that many addresses, honest newcomers from others.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from typing import Any

from guard import GuardMiddleware
from guard.clock import ManualClock
from guard.config import load

POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "free"
per = ["account"]
requests = "20/minute; 500/day"
tokens = "200000/day"
concurrent = 4
[[limit]]
id = "user"
per = ["user"]
requests = "100/minute"
[[limit]]
id = "model"
per = ["model"]
requests = "1000000/minute"
"""
ROUNDS = 20
BODY = b'{"model":"%b","messages":[{"role":"user","content":"%b"}],"max_tokens":9,"user":"%b"}'


class Flood:
    def __init__(self, kind: str, networks: int) -> None:
        self.clock = ManualClock()
        self.dice = random.Random(115)
        self.networks = networks
        self.refuses = kind == "refused"
        self.calls = 0
        self.status = 0
        self.app = GuardMiddleware(self.endpoint, load(POLICY), clock=self.clock)

    async def endpoint(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        self.calls += 1
        known = any(value.startswith(b"Bearer known") for _, value in scope["headers"])
        status = 401 if self.refuses and not known else 200
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": b'{"usage":{"prompt_tokens":3,"completion_tokens":2}}'})

    async def ask(self, key: bytes, address: str) -> int:
        word = b"%x" % self.dice.getrandbits(64)
        body = BODY % (word, word, word)
        headers = [
            (b"content-type", b"application/json"), (b"authorization", b"Bearer " + key), (b"user-agent", b"ua/" + word),
            (b"x-" + word, word),
        ]  # fmt: skip
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "raw_path": b"", "query_string": word, "root_path": "",
            "headers": headers, "client": (address, 4000), "state": {}, "extensions": {},
        }  # fmt: skip

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]

        await self.app(scope, receive, send)
        return self.status

    def quiet(self) -> list[str]:
        """Addresses of newcomers: each draws on another part of the overflow budget, and the flood on none of these."""
        taken = {self.part(address(n)) for n in range(min(self.networks, 4096))}
        found = []
        for n in range(2000):
            name = f"198.18.{n >> 8}.{n & 255}"
            if self.part(name) not in taken:
                taken.add(self.part(name))
                found.append(name)
        return found[:ROUNDS] if len(found) >= ROUNDS else ["198.18.0.1"] * ROUNDS

    def part(self, name: str) -> int:
        """Which part of the overflow budget an address draws on."""
        installation = self.app.installation
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "client": (name, 1)}
        route: Any = installation.route(scope)
        call = installation.guard.compiled.caller.call(scope, route)
        account: Any = installation.guard.identities.resolve(call, self.clock.now())
        return int(account.shard)

    async def run(self, requests: int) -> dict[str, Any]:
        quiet = self.quiet()
        throttled = sum([await self.ask(b"known-throttled", "192.0.2.1") == 200 for _ in range(40)])
        # What the first requests build (patterns, tables) is no growth.
        for n in range(500):
            await self.ask(b"warm%d" % n, f"10.0.0.{n % 250}")
        before = rss_mib()
        most, honest, tried, washed = 0.0, 0, 0, 0
        for number in range(requests):
            self.clock.advance(0.0001)
            await self.ask(b"%x" % self.dice.getrandbits(128), address(self.dice.randrange(self.networks)))
            if number % (requests // ROUNDS) == requests // ROUNDS - 1:
                most = max(most, rss_mib())
                washed += sum([await self.ask(b"known-throttled", "192.0.2.1") == 200 for _ in range(40)])
                tried += 5
                honest += sum(
                    [await self.ask(b"known-%d" % number, quiet[number * ROUNDS // requests]) == 200 for _ in range(5)]
                )
        counts: Any = self.app.installation.guard.store.counts()  # type: ignore[attr-defined]
        return {
            "grown_mib": round(most - before, 1), "throttled": throttled, "washed": washed, "honest": honest, "tried": tried,
            "seconds": requests * 0.0001, "calls": self.calls, "faults": dict(self.app.installation.guard.faults), **counts,
        }  # fmt: skip


def address(n: int) -> str:
    """The nth address of the flood."""
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def rss_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    count, kind, networks = sys.argv[1:]
    print(json.dumps(asyncio.run(Flood(kind, int(networks)).run(int(count)))))

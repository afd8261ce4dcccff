"""The HTTP client of a load test: real requests on real connections, answers read to their end and thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import httpx

from guard.bench.asking import Questions
from guard.bench.load import Answer
from guard.bench.schedule import Arrival
from guard.bench.target import Target

# Below the five seconds after which uvicorn closes an idle connection: none is used that is about to go.
_IDLE_S = 2.0


class Client:
    """Asks the endpoints; an asynchronous context manager. Neither proxies nor redirects: nobody is asked but who was named."""

    def __init__(self, targets: Sequence[Target], questions: Questions, most_in_flight: int) -> None:
        self._questions = questions
        self._stack = AsyncExitStack()
        limits = httpx.Limits(
            max_connections=most_in_flight, max_keepalive_connections=most_in_flight, keepalive_expiry=_IDLE_S
        )
        # No timeout here: the load's own covers all of a request, from its arrival on.
        self._https = [
            httpx.AsyncClient(
                base_url=one.url,
                headers={"user-agent": "guard-bench/1.0"},
                limits=limits,
                timeout=None,  # noqa: S113
                trust_env=False,
                verify=not one.loopback,
            )
            for one in targets
        ]

    async def __aenter__(self) -> Self:
        for http in self._https:
            await self._stack.enter_async_context(http)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask(self, arrival: Arrival) -> Answer:
        """Sends the arrival's request and reads the whole answer."""
        asked = self._questions.next(arrival)
        clock = asyncio.get_running_loop().time
        first_at_s = 0.0
        try:
            async with self._https[arrival.endpoint].stream(
                "POST", asked.path, json=asked.body, headers=asked.headers
            ) as response:
                async for _ in response.aiter_raw():
                    first_at_s = first_at_s or clock()
        except httpx.HTTPError as error:
            return Answer(0, 0.0, stream=False, lost=type(error).__name__)
        streamed = response.headers.get("content-type", "").startswith("text/event-stream")
        return Answer(response.status_code, first_at_s or clock(), streamed)

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from guard.exposition import metrics_app
from guard.metrics import Metrics
from tests.desk import receipt


def client(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_it_answers_get_and_head_below_its_mount() -> None:
    """Prometheus text with its content type; HEAD the same without a body; everything else is 405."""
    counted = Metrics(dialects=["openai_chat"])
    counted.decided(receipt("allow"), 0.0)
    app = Starlette(routes=[Mount("/metrics", metrics_app(counted))])
    async with client(app) as http:
        answer = await http.get("/metrics/")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'guard_exchanges_total{action="allow",dialect="openai_chat",enforced="true"} 1.0' in answer.text
        head = await http.head("/metrics/")
        assert (head.status_code, head.content) == (200, b"")
        refused = await http.post("/metrics/")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.anyio
async def test_it_runs_by_itself_and_closes_websockets() -> None:
    """As an app of its own it takes part in the lifespan; a WebSocket is closed."""
    app = metrics_app(Metrics(dialects=[]))
    sent: list[dict[str, object]] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    messages = iter([{"type": "websocket.connect"}])
    await app({"type": "websocket"}, receive, send)
    assert sent[-1]["type"] == "websocket.close"

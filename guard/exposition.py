"""The metrics as an ASGI app of their own, to be mounted where only the operator's scraper gets to.

    app.mount("/metrics", metrics_app(guard_metrics))

It has no authentication: it says how much is refused and why, never who. Mount it on an internal port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def metrics_app(metrics: Metrics) -> ASGIApp:
    """An ASGI app that answers GET and HEAD on every path below its mount with the Prometheus text, all else with 405."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        method = scope["method"]
        known = method in {"GET", "HEAD"}
        body = metrics.text() if known else b"Only GET and HEAD.\n"
        headers = [
            (b"content-type", (CONTENT_TYPE if known else "text/plain; charset=utf-8").encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if not known:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": 200 if known else 405, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    return app

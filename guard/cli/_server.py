"""How guard's own servers are run: what their own uvicorn must and must not do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn


def configured(app: Any, options: argparse.Namespace, shutdown_s: int) -> uvicorn.Config:
    """For ``options.host``, ``port`` and ``http``; running answers have ``shutdown_s`` to end."""
    import uvicorn  # noqa: PLC0415 - a server, only when it is needed

    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        http=options.http,
        ws="none",
        lifespan="on",
        proxy_headers=False,  # which hops are trusted is the policy's to say
        server_header=False,
        access_log=False,  # it would hold addresses and queries
        log_config=None,
        timeout_graceful_shutdown=shutdown_s,
    )

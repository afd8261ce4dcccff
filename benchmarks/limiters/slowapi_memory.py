"""slowapi on Redis, told to go on in its own memory."""

from __future__ import annotations

from typing import Any

LABEL = "slowapi, in_memory_fallback"
PINS = [
    "slowapi==0.1.10",
    "limits==5.8.0",
    "redis==7.4.1",
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
]
REFILLS = False


def app() -> Any:
    import faults_endpoint as endpoint
    from slowapi import Limiter
    from slowapi.middleware import SlowAPIMiddleware

    def account(request: Any) -> str:
        return str(request.headers.get("authorization", ""))

    made = endpoint.starlette_app()
    made.state.limiter = Limiter(
        key_func=account,
        default_limits=[f"{endpoint.LIMIT}/minute"],
        storage_uri=endpoint.store(),
        in_memory_fallback_enabled=True,
    )
    for route in made.routes:
        if route.path == endpoint.HEALTH:
            made.state.limiter.exempt(route.endpoint)
    made.add_middleware(SlowAPIMiddleware)
    return made

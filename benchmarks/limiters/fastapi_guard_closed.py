"""fastapi-guard on Redis, which it needs by default. It limits by address: each account of the benchmark has one of its own."""

from __future__ import annotations

from typing import Any

LABEL = "fastapi-guard, as it is"
PINS = [
    "fastapi-guard==8.1.2",
    "guard-core==4.4.0",
    "redis==8.1.0",
    "fastapi==0.165.0",
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
]
REFILLS = False


def app() -> Any:
    import faults_endpoint as endpoint
    from starlette.middleware import Middleware

    from guard import PureASGISecurityMiddleware, SecurityConfig

    config = SecurityConfig(
        redis_url=endpoint.store(),
        rate_limit=endpoint.LIMIT,
        rate_limit_window=endpoint.WINDOW_S,
        trusted_proxies=["127.0.0.1"],
        enable_penetration_detection=False,
    )
    return endpoint.starlette_app([Middleware(PureASGISecurityMiddleware, config=config)])

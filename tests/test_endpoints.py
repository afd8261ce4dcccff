"""Every endpoint of an app, however it is put together, with what guard makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute

from guard.config import load
from guard.endpoints import Endpoint, endpoints

POLICY = load('version = 1\n[protect]\nroutes = ["/api/v1/*", { path = "/generate", dialect = "json", prompt = "inputs" }, { path = "/embed", flat = 5 }]\n')  # fmt: skip


async def endpoint(request: Any) -> Any:
    raise AssertionError("no endpoint is ever called")


async def bare(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no app is ever called")


class Wrapped:
    """What middlewares look like from outside."""

    def __init__(self, app: Any) -> None:
        self.app = app


def shown(app: Any) -> dict[str, str]:
    return {found.path: found.protection for found in endpoints(app, POLICY)}


def chat() -> Route:
    return Route("/chat/completions", endpoint, methods=["POST"])


def test_each_kind_of_protection() -> None:
    """Read by a dialect, flat, refused for want of one, or not protected."""
    app = Starlette(
        routes=[
            Route("/api/v1/chat/completions", endpoint, methods=["POST"]),
            Route("/api/v1/other/{name}", endpoint, methods=["POST"]),
            Route("/generate", endpoint, methods=["POST"]),
            Route("/embed", endpoint, methods=["POST"]),
            Route("/health", endpoint),
        ]
    )
    assert shown(app) == {
        "/api/v1/chat/completions": "openai_chat",
        "/api/v1/other/{name}": "refused",
        "/generate": "json",
        "/embed": "flat",
        "/health": "not protected",
    }


def test_methods_and_websockets() -> None:
    """HEAD goes without saying; a WebSocket is no method."""
    app = Starlette(routes=[Route("/a", endpoint, methods=["GET", "POST"]), WebSocketRoute("/ws", endpoint)])
    assert endpoints(app, POLICY) == (
        Endpoint(("GET", "POST"), "/a", "not protected"),
        Endpoint(("WEBSOCKET",), "/ws", "not protected"),
    )


@pytest.mark.parametrize("depth", [0, 1, 7, 8, 9, 40])
def test_mounts_at_any_depth(depth: int) -> None:
    """Nothing is out of reach of the walk; a bounded walk once hid routes from another guard (depth 8)."""
    routes: list[Any] = [chat()]
    for _ in range(depth):
        routes = [Mount("/deep", routes=routes)]
    app = Starlette(routes=[Mount("/api/v1", routes=routes)])
    assert shown(app) == {f"/api/v1{'/deep' * depth}/chat/completions": "openai_chat"}


def test_a_mounted_app_behind_wrappers_shows_its_routes() -> None:
    """Middlewares of the app, of the mount, and round everything."""
    inner = Starlette(routes=[chat()], middleware=[Middleware(GZipMiddleware)])
    app = Starlette(routes=[Mount("/api/v1", app=Wrapped(Wrapped(inner)), middleware=[Middleware(GZipMiddleware)])])
    assert shown(Wrapped(GZipMiddleware(app))) == {"/api/v1/chat/completions": "openai_chat"}


@pytest.mark.parametrize("depth", [0, 1, 40])
def test_included_routers(depth: int) -> None:
    """FastAPI's routers in routers, each with its prefix; and the routes it makes by itself."""
    router = APIRouter()
    router.add_api_route("/chat/completions", endpoint, methods=["POST"])
    for _ in range(depth):
        outer = APIRouter()
        outer.include_router(router, prefix="/r")
        router = outer
    app = FastAPI()
    app.include_router(router, prefix="/api/v1")
    found = shown(app)
    assert found[f"/api/v1{'/r' * depth}/chat/completions"] == "openai_chat"
    assert found["/openapi.json"] == "not protected"


def test_hosts_and_mounts_within_routers() -> None:
    """Routes below a host name are listed by their path."""
    app = Starlette(
        routes=[Host("api.example.org", app=Router([Mount("/api", routes=[Mount("/v1", routes=[chat()])])]))]
    )
    assert shown(app) == {"/api/v1/chat/completions": "openai_chat"}


def test_what_cant_be_told_is_said() -> None:
    """An app without routes, and an endpoint that takes any path, may or may not reach a protected one."""
    app = Starlette(
        routes=[
            Mount("/api", app=bare),
            Mount("/static", app=bare),
            Route("/any/{rest:path}", endpoint),
            Route("/{rest:path}", endpoint),
        ]
    )
    assert shown(app) == {
        "/api/*": "depends on the path",
        "/static/*": "not protected",
        "/any/{rest:path}": "not protected",
        "/{rest:path}": "depends on the path",
    }
    assert shown(bare) == {"/*": "depends on the path"}


def test_wrappers_without_end_are_given_up() -> None:
    """An app that wraps itself is listed as one that can't be told."""
    loop = Wrapped(None)
    loop.app = loop
    assert shown(loop) == {"/*": "depends on the path"}

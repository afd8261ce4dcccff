"""How a gateway speaks HTTP to its upstream: httpx over aiohttp, and what goes wrong on the way.

Plain httpx costs two to three milliseconds of CPU a request, the transport over aiohttp a fifth of that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx

from guard.errors import InstallError
from guard.types import JSONObject

Content = bytes | AsyncIterator[bytes] | None

# Connections that nobody uses are closed before the upstream closes them: uvicorn does so after five seconds.
_IDLE_S = 4.0
_MOST_HEADER_BYTES = 32 * 1024
_MADE_UP = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Ready(httpx.Request):
    """A request for the transport over aiohttp, made of parts that are known to be right.

    What httpx does with a request (normalise its headers twice, state a host and a length) aiohttp does once more; without
    that a request costs half. Headers that are repeated stay so.
    """

    headers: Any

    def __init__(
        self, method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]], content: Content, extensions: JSONObject
    ) -> None:
        from multidict import CIMultiDict  # noqa: PLC0415 - comes with aiohttp

        self.method = method
        self.url = url
        self.headers = CIMultiDict([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        self.extensions = extensions
        self.stream: Any = content

    @property
    def content(self) -> bytes:
        """The whole body; ``httpx.RequestNotRead`` for one that comes in pieces."""
        body = self.stream
        if body is None or isinstance(body, bytes):
            return body or b""
        raise httpx.RequestNotRead


def plain(
    method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]], content: Content, extensions: JSONObject
) -> httpx.Request:
    """A request for any other client."""
    return httpx.Request(method, url, headers=headers, content=content, extensions=extensions)


async def by_client(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Sends by a client that isn't ours: its hooks and its auth apply, its cookies and redirects don't."""
    return await client.send(request, stream=True, follow_redirects=False)


def aiohttp_transport(most_connections: int) -> httpx.AsyncBaseTransport:
    """httpx's transport over aiohttp, with nothing of its own: no cookies kept, no headers made up, no proxy of the environment.

    Raises ``InstallError`` where the ``gateway`` extra is missing.
    """
    try:
        import aiohttp  # noqa: PLC0415 - only where no client is given
        from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InstallError(
            "the gateway needs a client: install it with pip install 'extraction-guard[gateway]', or give it an "
            "httpx.AsyncClient of your own"
        ) from None
    context = httpx.create_ssl_context()

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most_connections, keepalive_timeout=_IDLE_S, ssl=context),
            # A jar would hand one client's cookies to the next.
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_MADE_UP,
            auto_decompress=False,
            max_line_size=_MOST_HEADER_BYTES,
            max_field_size=_MOST_HEADER_BYTES,
        )

    return AiohttpTransport(verify=context, client=session)


def faults() -> tuple[type[Exception], ...]:
    """What an upstream that fails makes a client raise. The transport over aiohttp hands on some errors as they are."""
    known: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
    try:
        import aiohttp  # noqa: PLC0415 - need not be installed where a client is given
    except ModuleNotFoundError:
        return known
    return (*known, aiohttp.ClientError)


def timed_out(error: Exception) -> bool:
    """Whether time ran out. The transport over aiohttp calls a refused connection a timeout too; what it came from tells."""
    if isinstance(error.__cause__, OSError | EOFError) or type(error.__cause__).__module__.startswith("aiohttp"):
        return isinstance(error.__cause__, TimeoutError)
    return isinstance(error, TimeoutError | httpx.TimeoutException)

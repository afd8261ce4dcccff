"""Whom a load test may ask: this machine, and a host that the operator names a second time, letter for letter."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from guard.errors import InstallError


class Target(NamedTuple):
    """An endpoint: its base URL without ``/v1`` and without a slash at the end."""

    url: str
    loopback: bool


def target(url: str, owned: Collection[str]) -> Target:
    """The endpoint at a URL. ``owned``: hosts that the operator says are his own; exactly, no patterns.

    Raises ``InstallError`` for what is no HTTP URL, for one with credentials, a query or a fragment in it (which is not
    quoted: it may hold a secret), and for a host that is neither loopback nor owned.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InstallError("the URL can't be read; an example: http://127.0.0.1:8000") from None
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise InstallError("the URL must begin with http:// or https:// and name a host; such as http://127.0.0.1:8000")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InstallError(
            "the URL must hold no credential, query or fragment; keys come from an environment variable (--key NAME)"
        )
    loopback = _is_loopback(host)
    if not loopback and host not in {name.lower() for name in owned}:
        raise InstallError(
            f"{host} is not this machine. A load test may ask only a host that is yours to load; "
            f"if it is, add: --i-own-this-host {host}"
        )
    shown = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/v1")
    return Target(f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}", loopback)


def _is_loopback(host: str) -> bool:
    """An address of this machine alone; of names only ``localhost``, where all that it stands for are such addresses."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    if host != "localhost":
        return False
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ip_address(address).is_loopback for address in found)

"""The proxy does to connections what it is told to, and lets go of it when it is told so; no byte is made up or out of order."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faultproxy import FINE, HOST, Fault, Proxy
from tests import servers


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it hears."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=[connection], daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), 5) as client:
        assert said(client, b"hello") == b"hello"
        yield client


def said(client: socket.socket, data: bytes, within_s: float = 5.0) -> bytes:
    client.settimeout(within_s)
    client.sendall(data)
    return client.recv(4096)


def refused(proxy: Proxy) -> bool:
    """Whether a new connection is of no use."""
    try:
        with socket.create_connection((HOST, proxy.port), 5) as client:
            return said(client, b"x") == b""
    except OSError:
        return True


def test_late_pieces_come_late_and_in_order(proxy: Proxy, client: socket.socket) -> None:
    """Ten pieces wait at the same time, not one after the other."""
    proxy.fault = Fault(delay_s=0.3)
    begun = time.monotonic()
    for number in range(10):
        client.sendall(b"%d" % number)
        time.sleep(0.002)
    heard = b""
    while len(heard) < 10:
        heard += client.recv(100)
    assert heard == b"0123456789"
    assert 0.3 <= time.monotonic() - begun < 2.5


def test_a_share_of_the_pieces_is_late(proxy: Proxy, client: socket.socket) -> None:
    """About as many as were asked for."""
    proxy.fault = Fault(delay_s=0.001, share=0.2)
    for _ in range(200):
        assert said(client, b"x") == b"x"
    assert 15 <= proxy.late <= 70


def test_a_silent_server_hears_and_is_not_heard(proxy: Proxy, client: socket.socket) -> None:
    """What was lost never comes: when the fault ends the connection is reset, and a new one works."""
    proxy.fault = Fault(silent=True)
    with pytest.raises(TimeoutError):
        said(client, b"lost", within_s=0.1)
    proxy.fault = FINE
    with pytest.raises(ConnectionError):
        said(client, b"x")
    assert not refused(proxy)


def test_a_half_open_server_takes_connections(proxy: Proxy, client: socket.socket) -> None:
    """And nothing else; a connection that said nothing meanwhile goes on as if nothing had been."""
    proxy.fault = Fault(half_open=True)
    with socket.create_connection((HOST, proxy.port), 5) as late, pytest.raises(TimeoutError):
        said(late, b"x", within_s=0.1)
    proxy.fault = FINE
    assert said(client, b"again") == b"again"


def test_down_resets_what_is_open_and_what_comes(proxy: Proxy, client: socket.socket) -> None:
    """Until it is up again."""
    proxy.fault = Fault(down=True)
    with pytest.raises(ConnectionError):
        said(client, b"x")
    assert refused(proxy)
    proxy.fault = FINE
    assert not refused(proxy)


def test_a_reset_is_over_at_once(proxy: Proxy, client: socket.socket) -> None:
    """Connections that were open are gone, new ones are welcome."""
    proxy.reset()
    with pytest.raises(ConnectionError):
        said(client, b"x")
    assert not refused(proxy)


def test_answers_drip(proxy: Proxy, client: socket.socket) -> None:
    """Byte by byte, and at once again when it ends."""
    proxy.fault = Fault(bytes_per_s=50)
    begun = time.monotonic()
    assert said(client, b"abcd") == b"a"
    heard = b""
    while len(heard) < 3:
        heard += client.recv(100)
    assert heard == b"bcd"
    assert time.monotonic() - begun >= 0.06
    proxy.fault = FINE
    assert said(client, b"whole") == b"whole"


def test_tls_ends_at_the_proxy(echo: int, tmp_path: Path) -> None:
    """For servers that are built without it; whoever doesn't know the authority is not talked to."""
    pytest.importorskip("trustme", reason="certificates are made by trustme")
    both, authority = servers.certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(both)
    with Proxy(echo, context) as proxy:
        trusting = ssl.create_default_context(cafile=str(authority))
        with (
            socket.create_connection((HOST, proxy.port), 5) as plain,
            trusting.wrap_socket(plain, server_hostname=HOST) as client,
        ):
            assert said(client, b"secret") == b"secret"
        with socket.create_connection((HOST, proxy.port), 5) as plain, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)

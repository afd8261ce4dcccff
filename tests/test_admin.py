from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from guard.admin import MAX_CONNECTIONS, MAX_LINE_BYTES, AdminServer
from guard.clock import ManualClock
from guard.errors import InstallError
from guard.settings import Admin
from tests.desk import NOW, Desk, full_receipt

pytestmark = pytest.mark.anyio
TOKEN = "kP9vTq3mZr7xWb2nYd5hLs8fGc4jRa6u"


@asynccontextmanager
async def served(folder: Path, *, tcp: bool = False, **options: Any) -> AsyncIterator[tuple[AdminServer, Desk]]:
    desk = Desk(folder)
    (folder / "key").write_text(TOKEN)
    (folder / "key").chmod(0o600)
    settings = Admin(tcp="127.0.0.1:0", token_file=str(folder / "key")) if tcp else Admin(socket=address(folder))
    server = AdminServer(desk.control, settings, ManualClock(NOW), **options)
    await server.start()
    try:
        yield server, desk
    finally:
        await server.close()
        desk.close()


def address(folder: Path) -> str:
    return str(folder / "run" / "s")


class Client:
    """A connection that sends what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, where: str | int) -> Client:
        if isinstance(where, str):
            return cls(*await asyncio.open_unix_connection(where))
        return cls(*await asyncio.open_connection("127.0.0.1", where))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def flood(self, data: bytes) -> None:
        while True:
            await self.send(data)

    async def ask(self, **question: Any) -> dict[str, Any]:
        await self.send(json.dumps(question).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):  # the server may be quicker
            await self.writer.wait_closed()


async def ask(where: str | int, **question: Any) -> dict[str, Any]:
    client = await Client.to(where)
    try:
        return await client.ask(**question)
    finally:
        await client.close()


async def test_one_line_in_one_line_out(tmp_path: Path) -> None:
    """Several questions on one connection; the operator is named by user id in the audit."""
    async with served(tmp_path) as (_, desk):
        client = await Client.to(address(tmp_path))
        first = await client.ask(verb="mode", mode="observe", for_s=60, why="x")
        assert first == {"ok": True, "mode": "observe", "was": "enforce", "until": NOW + 60}
        assert (await client.ask(verb="status"))["mode"] == "observe"
        wrong = await client.ask(verb="mode", mode="obsreve")
        assert wrong["ok"] is False
        assert "did you mean 'observe'" in wrong["error"]
        await client.close()
        event = json.loads(desk.events().splitlines()[0])
        assert event["by"] == f"uid {os.getuid()} pid {os.getpid()}"


async def test_a_long_search_lets_others_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``explain`` over a large audit yields between blocks: another question is answered meanwhile."""
    monkeypatch.setattr("guard.journal.BLOCK_BYTES", 4096)
    async with served(tmp_path) as (_, desk):
        for number in range(2000):
            desk.audit.exchange(full_receipt(reference=f"r{number}", at=NOW + number * 10))
        desk.audit.flush(NOW + 20_000, force=True)
        order: list[str] = []

        async def note(name: str, **question: Any) -> dict[str, Any]:
            answer = await ask(address(tmp_path), **question)
            order.append(name)
            return answer

        found, _ = await asyncio.gather(note("search", verb="explain", reference="r0"), note("status", verb="status"))
        assert found["record"]["reference"] == "r0"
        assert order == ["status", "search"]


GARBAGE = [
    b"\n",
    b"\x00\xff\xfe\n",
    b"[]\n",
    b'"x"\n',
    b"{}\n",
    b'{"verb": 7}\n',
    b'{"verb": null}\n',
    b'{"verb": "status", "verb": "x"}\n',
    b'{"verb": "__class__"}\n',
    b'{"verb": "status", "by": "root"}\n',
    b"GET / HTTP/1.1\n",
    b"[" * 60_000 + b"\n",
    b'{"verb":"status","a":1e400}\n',
]


@pytest.mark.parametrize("line", GARBAGE)
async def test_garbage_is_answered_and_harms_nobody(tmp_path: Path, line: bytes) -> None:
    """Whatever the line, the answer is one line that says no, and the next question is answered."""
    async with served(tmp_path):
        client = await Client.to(address(tmp_path))
        await client.send(line)
        assert (await client.answer())["ok"] is False
        assert (await client.ask(verb="status"))["ok"] is True
        await client.close()


async def test_a_huge_line_ends_its_connection_only(tmp_path: Path) -> None:
    """64 KiB a line: what goes on beyond is not read, and others are served."""
    async with served(tmp_path):
        client = await Client.to(address(tmp_path))
        try:
            await client.send(b"x" * (4 * MAX_LINE_BYTES))
            answer = await client.reader.read()
        except OSError:
            answer = b""  # it was hung up on in the middle of its line
        assert answer == b"" or b"at most 65536 bytes" in answer
        await client.close()
        assert (await ask(address(tmp_path), verb="status"))["ok"] is True


async def test_who_never_ends_his_line_is_hung_up_on(tmp_path: Path) -> None:
    """Slow and silent clients lose their connection after the idle time, however they drip."""
    async with served(tmp_path, idle_s=0.02) as (server, _):
        client = await Client.to(address(tmp_path))
        await client.send(b'{"verb": "sta')
        assert await client.reader.read() == b""
        await client.close()
        assert not server._open


async def test_who_takes_no_answer_is_hung_up_on(tmp_path: Path) -> None:
    """A client that asks and never reads blocks nobody and is dropped."""
    async with served(tmp_path, write_s=0.02) as (server, _):
        client = await Client.to(address(tmp_path))
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(OSError, match=r"reset|lost|pipe"):
            await client.flood(b'{"verb": "metrics"}\n' * 100)
        assert (await ask(address(tmp_path), verb="status"))["ok"] is True
        while server._open:
            await asyncio.sleep(0)
        await client.close()


async def test_half_open_connections_are_bounded(tmp_path: Path) -> None:
    """The seventeenth is told and closed; when one goes, the next is served."""
    async with served(tmp_path) as (server, _):
        clients = [await Client.to(address(tmp_path)) for _ in range(MAX_CONNECTIONS)]
        assert all([(await client.ask(verb="status"))["ok"] for client in clients])
        late = await Client.to(address(tmp_path))
        assert "too many connections" in (await late.answer())["error"]
        assert server.refused == 1
        await late.close()
        await clients[0].close()
        while len(server._open) == MAX_CONNECTIONS:
            await asyncio.sleep(0)
        assert (await ask(address(tmp_path), verb="status"))["ok"] is True
        for client in clients[1:]:
            await client.close()


async def test_the_socket_is_the_owners(tmp_path: Path) -> None:
    """0600 in a 0700 folder, which guard makes; both are gone or kept as they should be afterwards."""
    async with served(tmp_path):
        about = os.stat(address(tmp_path))
        assert stat.S_ISSOCK(about.st_mode)
        assert about.st_mode & 0o777 == 0o600
        assert os.stat(tmp_path / "run").st_mode & 0o777 == 0o700
    assert not os.path.exists(address(tmp_path))


async def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    """The message says what to type."""
    (tmp_path / "run").mkdir(mode=0o755)
    with pytest.raises(InstallError, match="chmod 700"):
        async with served(tmp_path):
            pass


async def test_a_stale_socket_goes_and_a_live_one_stays(tmp_path: Path) -> None:
    """What a killed process left is removed; where somebody answers, guard doesn't take his place."""
    (tmp_path / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(address(tmp_path))
    async with served(tmp_path) as (server, desk):
        assert (await ask(address(tmp_path), verb="status"))["ok"] is True
        await server.start()
        second = AdminServer(desk.control, Admin(socket=address(tmp_path)), ManualClock(NOW))
        with pytest.raises(InstallError, match="another guard answers"):
            await second.start()
        await second.close()
        assert (await ask(address(tmp_path), verb="status"))["ok"] is True


async def test_a_file_in_the_sockets_place_is_not_removed(tmp_path: Path) -> None:
    """Whatever stands there, it isn't guard's to delete."""
    (tmp_path / "run").mkdir(mode=0o700)
    Path(address(tmp_path)).write_text("mine")
    with pytest.raises(InstallError, match="is no socket"):
        async with served(tmp_path):
            pass
    assert Path(address(tmp_path)).read_text() == "mine"


async def test_an_address_in_use_is_an_installation_error(tmp_path: Path) -> None:
    """Not a bare OSError: the message says which setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "key").write_text(TOKEN)
        (tmp_path / "key").chmod(0o600)
        settings = Admin(tcp=f"127.0.0.1:{taken.getsockname()[1]}", token_file=str(tmp_path / "key"))
        server = AdminServer(Desk(tmp_path).control, settings, ManualClock(NOW))
        with pytest.raises(InstallError, match=r"choose another address in \[admin\]"):
            await server.start()


# -- TCP -----------------------------------------------------------------------------------------------------------


async def test_tcp_needs_the_token_in_every_line(tmp_path: Path) -> None:
    """With it everything works, and it is in no audit line; without it nothing does."""
    async with served(tmp_path, tcp=True) as (server, desk):
        client = await Client.to(server.port)
        assert (await client.ask(verb="status", token=TOKEN))["ok"] is True
        assert await client.ask(verb="status") == {"ok": False, "status": 401, "error": "unauthorized"}
        assert await client.reader.read() == b""
        await client.close()
        assert '"tcp token"' in desk.events()
        assert TOKEN not in desk.events()


@pytest.mark.parametrize("token", ["", "x" * 32, TOKEN[:-1] + "U", "' OR '1'='1", None, 7, ["a"], "\ud800"])
async def test_a_wrong_token_learns_nothing(tmp_path: Path, token: object) -> None:
    """The same answer for every wrong token and every verb, known or not (SECURITY 132, 133, 147)."""
    async with served(tmp_path, tcp=True) as (server, _):
        for verb in ("status", "no such verb"):
            answer = await ask(server.port, verb=verb, token=token)
            assert answer == {"ok": False, "status": 401, "error": "unauthorized"}


async def test_guessing_is_slowed_counted_and_told(tmp_path: Path) -> None:
    """After five wrong tokens the address has to wait, whatever it sends; one audit line tells of it (SECURITY 137)."""
    async with served(tmp_path, tcp=True) as (server, desk):
        for number in range(8):
            await ask(server.port, verb="status", token=f"guess {number}")
        assert (await ask(server.port, verb="status", token=TOKEN))["ok"] is False
        server._clock.advance(61)  # type: ignore[attr-defined]
        assert (await ask(server.port, verb="status", token=TOKEN))["ok"] is True
        assert desk.events().count('"denied"') == 1


async def test_unencrypted_tcp_beyond_loopback_is_warned_of(tmp_path: Path) -> None:
    """It isn't forbidden (a tunnel may end here), but status says it."""
    (tmp_path / "key").write_text(TOKEN)
    (tmp_path / "key").chmod(0o600)
    settings = Admin(tcp="0.0.0.0:0", token_file=str(tmp_path / "key"))
    assert "without encryption" in AdminServer(Desk(tmp_path).control, settings, ManualClock(NOW)).warnings[0]


async def test_canaries_reach_no_answer(tmp_path: Path) -> None:
    """Addresses, paths and the grant's id of an exchange are in no answer of any verb (SECURITY 142)."""
    from guard.types import Peer

    async with served(tmp_path) as (_, desk):
        desk.audit.exchange(
            full_receipt(path="/v1/CANARY", peer=Peer("CANARY-address", "CANARY-network", "DE", 1, "isp"))
        )
        desk.metrics.decided(full_receipt(path="/v1/CANARY"), 0.0)
        client = await Client.to(address(tmp_path))
        for question in (
            {"verb": "status"},
            {"verb": "explain", "reference": "0123456789ab"},
            {"verb": "metrics"},
            {"verb": "verify"},
            {"verb": "forgive", "subject": "account:CANARY-id"},
            {"verb": "grant", "subject": "account:CANARY-id", "why": "w"},
        ):
            assert "CANARY" not in json.dumps(await client.ask(**question))
        await client.close()
        assert "CANARY" not in desk.events()

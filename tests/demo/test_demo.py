"""The demo: real clients, a real server, real decisions, and what is shown of them."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from guard.cli import main
from guard.demo.board import Allowance, Board
from guard.demo.show import Demo
from guard.demo.traffic import CLIENTS, Client, Event

pytestmark = pytest.mark.anyio
LOUD = next(client for client in CLIENTS if client.loud)
ORDINARY = [client for client in CLIENTS if not client.loud]


def event(client_name: str, at_s: float = 1.0, status: int = 200, reference: str = "", told: str = "") -> Event:
    client = next(client for client in CLIENTS if client.name == client_name)
    return Event(at_s, client, status, reference, told, full=status == 200)


def hurried() -> list[Client]:
    """The demo's clients with their pauses shortened, so that seconds are enough."""
    return [client._replace(pause_s=0.02 if client.loud else 0.35) for client in CLIENTS]


@pytest.mark.uvicorn
async def test_the_extractor_is_limited_and_no_ordinary_client_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a real run on a real server all six are answered in full, the loud one isn't, and guard explains why afterwards."""
    screen = io.StringIO()
    demo = Demo(tmp_path, hurried())
    await demo.run(4.0, screen, live=False)
    rows = demo.board.rows
    assert len(ORDINARY) == 6
    for client in ORDINARY:
        row = rows[client.name]
        assert row.asked > 1
        assert (row.full, row.limited, row.refused) == (row.asked - row.failed, 0, 0)
        assert row.failed == 0
    loud = rows[LOUD.name]
    assert loud.limited > loud.full > 0
    assert loud.tagged > 0
    result = demo.result()
    assert result.explained["action"] == "limit"
    assert result.reference in loud.references
    assert main(["explain", result.reference, "--audit", str(result.audit)]) == 0
    said = capsys.readouterr().out
    assert "this exchange was limited (429)" in said
    text = "\n".join(result.lines())
    assert f"guard explain {result.reference} --audit {result.audit}" in text
    assert "extractor  limit" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()


@pytest.mark.uvicorn
async def test_the_live_view_shows_what_guard_holds(tmp_path: Path) -> None:
    """The picture is drawn on the other screen, names everybody, shows f halved for the loud one, and goes away again."""
    screen = io.StringIO()
    demo = Demo(tmp_path, hurried())
    await demo.run(2.5, screen, live=True)
    drawn = screen.getvalue()
    assert drawn.startswith("\x1b[?1049h")
    assert drawn.endswith("\x1b[?25h\x1b[?1049l")
    assert all(client.name in drawn for client in CLIENTS)
    assert drawn.count("guard demo") <= 2.5 * 10
    last = drawn.rsplit("\x1b[H", 1)[1]
    assert "watch    0.50" in last


async def test_nothing_listens_after_the_demo(tmp_path: Path) -> None:
    """The server is gone with the demo, its state folder is free again, and no request was left without an answer."""
    screen = io.StringIO()
    demo = Demo(tmp_path, hurried())  # type: ignore[arg-type]
    ports: list[int] = []
    create = socket.create_server

    def noting(*address: object, **options: object) -> socket.socket:
        listener = create(*address, **options)  # type: ignore[arg-type]
        ports.append(listener.getsockname()[1])
        return listener

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guard.demo.show.socket.create_server", noting)
        await demo.run(0.6, screen, live=False)
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", ports[0]), 0.2):
        pass
    Demo(tmp_path).guard.installation.close()


@pytest.mark.uvicorn
def test_ctrl_c_ends_it_in_good_order(tmp_path: Path) -> None:
    """Interrupted, the demo still shows its table and ends with 0."""
    command = [sys.executable, "-m", "guard", "demo", "--seconds", "60", "--plain"]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
    assert "answered in full" in out
    assert "Traceback" not in err


def test_without_a_server_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the gateway extra the demo names the one command that helps."""
    monkeypatch.delitem(sys.modules, "guard.demo.show", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["demo", "--seconds", "1"]) == 2
    assert "pip install 'extraction-guard[gateway]'" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan", "99999"])
def test_seconds_are_checked(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A length that can't be is refused before anything starts."""
    assert main(["demo", f"--seconds={seconds}"]) == 2
    assert "is not a number of seconds" in capsys.readouterr().err


def test_a_frame_fits_the_terminal() -> None:
    """24 lines of at most 80 characters, whoever is in it; a smaller terminal gets a smaller picture."""
    board = Board(CLIENTS, {"ref": ("harvesting", "reasoning_elicitation", "logprob_harvest")})
    for number in range(200):
        board.seen(event("extractor", number / 10, 429, f"{number:012x}", "account:requests/60, account:tokens/60"))
        board.seen(event("ana", number / 10))
    held = {"extractor": Allowance("watch", 0.5, 20.2, 20.0)}
    for width, height in ((80, 24), (40, 12), (200, 50), (20, 5)):
        frame = board.frame("guard demo", held, width, height, colour=False)
        assert len(frame) == height
        assert max(map(len, frame)) <= width
    text = board.frame("guard demo", held, 80, 24, colour=False)
    assert next(line for line in text if line.startswith("extractor")).split()[3:] == [
        "200",
        "0",
        "200",
        "watch",
        "0.50",
        "20/20",
    ]
    assert any("×200" in line and "limit" in line and "account:requests/60" in line for line in text)
    assert not any("\x1b" in line for line in text)
    assert any("\x1b" in line for line in board.frame("guard demo", held, 80, 24))


def test_the_board_counts_and_tells_changes() -> None:
    """Each kind of answer is counted; a line is told only where a client is answered otherwise than before."""
    board = Board(CLIENTS, {"r1": ("harvesting",)})
    told = [
        board.seen(event("ana", 1.0)),
        board.seen(event("ana", 2.0)),
        board.seen(event("ana", 3.0, reference="r1")),
        board.seen(event("ana", 4.0, 429, "r2", "account:requests/60")),
        board.seen(event("ana", 5.0, 403, "r3", "permission_error")),
        board.seen(event("ana", 6.0, 0, told="ConnectError")),
    ]
    assert [bool(line) for line in told] == [True, False, True, True, True, True]
    assert "harvesting" in told[2]
    assert told[3].split() == ["4.0", "s", "ana", "limit", "r2", "account:requests/60"]
    row = board.rows["ana"]
    assert (row.asked, row.full, row.tagged, row.limited, row.refused, row.failed) == (6, 3, 1, 1, 1, 1)
    assert row.share == "50 %"
    assert board.contained() == []
    board.seen(event("extractor", 7.0, 429, "r4"))
    assert board.contained() == ["r4"]
    assert "ana                6        3        1        1              50 %  (1 without an answer)" in list(
        board.result()
    )


def test_the_same_seed_asks_the_same() -> None:
    """Two runs with one seed ask the same things in the same order."""
    for client in CLIENTS:
        first, second = [client.bodies(Random(f"7 {client.name}")) for _ in range(2)]
        assert [next(first) for _ in range(6)] == [next(second) for _ in range(6)]

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
from guard.config import load
from guard.demo.board import Board, Finding
from guard.demo.hours import HOUR_S, Hours
from guard.demo.show import Demo
from guard.demo.traffic import GROUPS, Event, Group

pytestmark = pytest.mark.anyio
HYDRA = next(group for group in GROUPS if group.campaign)
ORDINARY = [group for group in GROUPS if not group.campaign]
BY_NAME = {group.name: group for group in GROUPS}


def event(
    group: str, at_h: float = 1.0, status: int = 200, reference: str = "", told: str = "", *, n: int = 0
) -> Event:
    return Event(at_h, BY_NAME[group], f"{group}-{n}", status, reference, told)


def finding(band: str = "confirmed", linked: int = 40, right: int = 40, name: str = "c1-abcdef") -> Finding:
    reasons = (
        ("coordination", "shared_clock", 6.0, "paced, 255 gaps"),
        ("content", "elicited", 2.5, "reads 0.94, usual 0.04"),
    )
    return Finding(name, band, linked, right, 2.0, {"coordination": 6.0, "content": 2.5, "rhythm": 0.1}, reasons)


@pytest.mark.uvicorn
async def test_the_hydra_is_found_and_no_ordinary_account_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a real run on a real server the campaign's accounts are found as one cluster and contained, new ones from their first
    exchange on; none of the others is ever contained; and guard explains it afterwards."""
    screen = io.StringIO()
    demo = Demo(tmp_path, hour_s=0.75)
    await demo.run(12.0, screen, live=False)
    rows, said = demo.board.rows, screen.getvalue()
    # Found, and of nobody but the campaign's accounts.
    assert [band for _, _, band in demo.board.story][-1] == "confirmed"
    for one in demo.board.findings:
        assert one.linked == one.right
    assert max(one.linked for one in demo.board.findings) > HYDRA.accounts
    # Leak: what was answered before it was found, and hardly anything after it.
    hydra = rows[HYDRA.name]
    assert hydra.later > 50
    assert hydra.full_later <= 0.05 * hydra.later
    assert hydra.contained >= 0.95 * hydra.later
    # No account of it was anywhere near the limit of an account: it was not volume that convicted.
    limit = demo.policy.limits[0]
    assert max(hydra.busy.values()) < 0.1 * limit.requests[-1].amount
    # Harm: none.
    for group in ORDINARY:
        row = rows[group.name]
        assert row.asked > 5
        assert (row.contained, row.touched, row.failed) == (0, set(), 0)
        assert row.full == row.asked
    # It was told as it happened, and can be looked up.
    assert "is confirmed" in said
    assert "refuse" in said
    assert "\x1b" not in said
    result = demo.result()
    assert result.explained["action"] == "refuse"
    assert len({item["group"] for item in result.explained["evidence"]}) >= 2
    assert main(["explain", result.reference, "--audit", str(result.audit)]) == 0
    explained = capsys.readouterr().out
    assert "this exchange was refused" in explained
    assert "Evidence of coordination" in explained
    assert f"guard explain {result.reference} --audit {result.audit}" in "\n".join(result.lines())


def test_nothing_but_ids_is_told_and_weights_are_the_shipped_ones(tmp_path: Path) -> None:
    """The demo's policy changes no weights and names no group: an account is its id, whatever its credential."""
    demo = Demo(tmp_path)
    try:
        assert demo.policy.score == load("standard").score
        describe = demo.policy.identity.describe
        assert describe is not None
        facts = describe("sk-demo-hydra-1")
        assert (facts.id, facts.created, facts.payment, facts.tier) == ("hydra-1", None, None, None)  # type: ignore[union-attr]
        assert describe("sk-other") is None
    finally:
        demo.guard.installation.close()


@pytest.mark.uvicorn
async def test_the_live_view_is_a_picture_that_goes_away(tmp_path: Path) -> None:
    """The picture is drawn on the other screen, says that time is compressed, names every group, and goes away again."""
    screen = io.StringIO()
    demo = Demo(tmp_path)
    await demo.run(1.5, screen, live=True)
    drawn = screen.getvalue()
    assert drawn.startswith("\x1b[?1049h")
    assert drawn.endswith("\x1b[?25h\x1b[?1049l")
    assert all(f"{group.name:<7}" in drawn for group in GROUPS)
    assert "an hour passes in a second" in drawn
    assert drawn.count("guard demo") <= 1.5 * 10


async def test_nothing_listens_after_the_demo(tmp_path: Path) -> None:
    """The server is gone with the demo, and its state folder is free again."""
    screen = io.StringIO()
    demo = Demo(tmp_path)
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
        assert "an hour passes in a second" in process.stdout.readline().lower()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
    assert "leak:" in out
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
    """24 lines of at most 80 characters, whatever was found; a smaller terminal gets a smaller picture."""
    board = Board(GROUPS, {"ref": ("watched", "reasoning_elicitation")})
    board.seen(event("hydra", 0.5))
    assert "no cluster found yet" in board.frame("guard demo", 80, 24, colour=False)
    assert list(board.found([finding()], 0.7))
    for number in range(200):
        board.seen(event("hydra", number / 10, 403, f"{number:012x}", "permission_error", n=number % 40))
        board.seen(event("people", number / 10))
    for width, height in ((80, 24), (40, 12), (200, 50), (20, 5)):
        frame = board.frame("guard demo", width, height, colour=False)
        assert len(frame) == height
        assert max(map(len, frame)) <= width
    text = board.frame("guard demo", 80, 24, colour=False)
    row = next(line for line in text if line.startswith("hydra"))
    assert row.removeprefix(f"hydra   {HYDRA.does}").split()[:4] == ["40", "201", "1", "200"]
    assert any("shared_clock: paced, 255 gaps" in line for line in text)
    assert any("×200" in line and "refuse" in line and "permission_error" in line for line in text)
    assert not any("\x1b" in line for line in text)
    assert any("\x1b" in line for line in board.frame("guard demo", 80, 24))


def test_leak_and_harm_are_counted() -> None:
    """Leak is counted in all and since the cluster was found; harm by account and by exchange."""
    board = Board(GROUPS, {})
    for _ in range(3):
        board.seen(event("hydra"))
    board.seen(event("mail", n=1))
    assert board.outcome() == [
        "leak: 3 of 3 answered in full (100 %)",
        "harm: 0 of 1 ordinary accounts, 0 of 1 of their exchanges",
    ]
    list(board.found([finding()], 2.0))
    board.seen(event("hydra"))
    board.seen(event("hydra", status=429, reference="r1"))
    board.seen(event("hydra", status=403, reference="r2"))
    board.seen(event("hydra", status=403, reference="r3"))
    board.seen(event("mail", n=1, status=429, reference="r4"))
    board.seen(event("mail", n=2))
    leak, harm = board.outcome()
    assert leak == "leak: 4 of 7 answered in full (57 %); since it was found 1 of 4 (25 %)"
    assert harm == "harm: 1 of 2 ordinary accounts, 1 of 3 of their exchanges"
    assert board.contained() == ["r3", "r2", "r1"]


def test_a_cluster_is_told_once_in_each_band() -> None:
    """A line when it becomes suspect and one when it is confirmed; what is shown is the largest, strangers counted apart."""
    board = Board(GROUPS, {})
    assert list(board.found([], 1.0)) == []
    (line,) = board.found([finding("suspect", 30, 29)], 2.0)
    assert "c1-abcdef is suspect: 30 accounts" in line
    assert "coordination +6.0, content +2.5" in line
    assert "rhythm" not in line
    assert list(board.found([finding("suspect", 35, 34)], 3.0)) == []
    (line,) = board.found([finding("confirmed", 40, 39), finding("suspect", 2, 0, "c2-000000")][:1], 4.0)
    assert "is confirmed" in line
    list(board.found([finding("suspect", 2, 0, "c2-000000"), finding("confirmed", 40, 39)], 5.0))
    text = "\n".join(board.result())
    assert "cluster c1-abcdef: suspect 2.0 h, confirmed 4.0 h; 40 accounts (39 hydra's) (and 1 more)" in text


def test_a_finding_is_read_from_the_dossier() -> None:
    """Counts as the dossier has them; which accounts are the campaign's, the demo alone knows; evidence heaviest first."""
    dossier = {
        "name": "c1-abcdef",
        "band": "suspect",
        "facts": {"linked": 3},
        "inference": {
            "nats": -1.5,
            "kinds": {"coordination": 4.0, "content": 1.0},
            "evidence": [
                {"signal": "elicited", "kind": "content", "nats": 1.0, "reason": "b"},
                {"signal": "shared_clock", "kind": "coordination", "nats": 4.0, "reason": "a"},
            ],
        },
        "accounts": [{"account": "k1"}, {"account": "k2"}, {"account": "k3"}],
    }
    read = Finding.read(dossier, frozenset({"k1", "k3", "k9"}))
    assert (read.linked, read.right, read.band, read.nats) == (3, 2, "suspect", -1.5)
    assert [reason[1] for reason in read.reasons] == ["shared_clock", "elicited"]


def test_the_board_counts_and_tells_what_is_new() -> None:
    """Each kind of answer is counted; a line is told only where a group is answered as never before."""
    board = Board(GROUPS, {"r1": ("watched",)})
    told = [
        board.seen(event("people", 1.0)),
        board.seen(event("people", 2.0, n=1)),
        board.seen(event("people", 3.0, reference="r1")),
        board.seen(event("people", 4.0, 429, "r2", "account:requests/60")),
        board.seen(event("people", 5.0, 403, "r3", "permission_error")),
        board.seen(event("people", 6.0, 0, told="ConnectError")),
        board.seen(event("people", 7.0)),
    ]
    assert [bool(line) for line in told] == [True, False, True, True, True, True, False]
    assert "watched" in told[2]
    assert told[3].split() == ["4.0", "h", "people-0", "limit", "r2", "account:requests/60"]
    row = board.rows["people"]
    assert (row.asked, row.full, row.contained, row.failed) == (7, 4, 2, 1)
    assert row.touched == {"people-0"}
    assert row.busy == {"people-0": 6, "people-1": 1}
    assert board.contained() == []
    assert any("(1 without an answer)" in line for line in board.result())


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_same_seed_asks_the_same(group: Group) -> None:
    """Two runs with one seed ask the same things in the same order."""
    for asking in group.asking:
        first, second = [asking(Random(f"7 {group.name}")) for _ in range(2)]
        assert [next(first) for _ in range(6)] == [next(second) for _ in range(6)]


def test_no_account_of_the_hydra_asks_more_than_an_ordinary_one() -> None:
    """A limit on the account can't tell them apart."""
    assert HYDRA.a_day / HYDRA.accounts <= min(BY_NAME[name].a_day for name in ("people", "mail")) + 1.0


def test_an_hour_passes_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock runs 3,600 times as fast, and a new start of the hours does not turn it back."""
    at = [100.0]
    monkeypatch.setattr("guard.demo.hours.time.monotonic", lambda: at[0])
    hours = Hours(1_000_000.0)
    at[0] += 2.5
    assert (hours.passed(), hours.now()) == (2.5, 1_000_000.0 + 2.5 * HOUR_S)
    hours.restart()
    assert (hours.passed(), hours.now()) == (0.0, 1_000_000.0 + 2.5 * HOUR_S)
    at[0] += 1.0
    assert hours.now() == 1_000_000.0 + 3.5 * HOUR_S

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.cli import main
from guard.health import Surroundings
from tests.desk import Desk, receipt

Run = Callable[..., tuple[int, str, str]]


def test_a_healthy_guard_is_0(guard: Run, desk: Desk) -> None:
    """Mode, policy, counts and audit at a glance."""
    desk.metrics.decided(receipt("limit"), 0.0)
    code, out, _ = guard("status")
    assert code == 0
    assert out.startswith("guard is ok\n")
    assert "mode      enforce" in out
    assert "policy    guard.toml dddddddddddddddd" in out
    assert "1 limit" in out
    assert "\x1b" not in out


def test_a_degraded_guard_is_1_and_says_why(guard: Run, desk: Desk) -> None:
    """So that a probe can be written in one line of shell."""
    desk.surroundings = Surroundings(("state can't be saved\x1b[2J",), ("no state dir",))
    code, out, _ = guard("status")
    assert code == 1
    assert "because state can't be saved\\x1b[2J" in out
    assert "warning: no state dir" in out


def test_a_shared_store_has_a_line(guard: Run, desk: Desk) -> None:
    """Whether it answers, how many are on it, who leads, what failed; nothing where there is none."""
    assert "store  " not in guard("status")[1]
    fleet = {"leads": True, "leader": "a1", "workers": 1}
    told = {"state": "up", "address": "redis://h:6379/0", "replicas": 2, "errors": {"lost": 3}, "fleet": fleet}
    desk.surroundings = Surroundings(store=told)
    line = "store     redis://h:6379/0 up, 2 replicas and 1 workers; this one leads; failed calls: 3 lost\n"
    assert line in guard("status")[1]
    desk.surroundings = Surroundings(store=told | {"errors": {}, "fleet": fleet | {"leads": False, "workers": 0}})
    assert "store     redis://h:6379/0 up, 2 replicas; a1 leads\n" in guard("status")[1]


def test_an_override_is_shown_with_its_end(guard: Run) -> None:
    """Whoever comes later sees that somebody has switched something, and until when."""
    guard("mode", "observe", "--for", "2h")
    _, out, _ = guard("status")
    assert "mode      observe (the policy says enforce, until 2023-11-15 00:13:20 UTC)" in out


def test_json_is_the_whole_answer(guard: Run) -> None:
    """For programs."""
    code, out, _ = guard("status", "--json")
    assert (code, json.loads(out)["health"]) == (0, "ok")


def test_it_works_over_tcp_with_the_token(served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what is missing without it."""
    where = f"127.0.0.1:{(tmp_path / 'port').read_text()}"
    assert main(["status", "--tcp", where, "--token-file", str(tmp_path / "key")]) == 0
    assert main(["status", "--tcp", where]) == 2
    (tmp_path / "other").write_text("x" * 40)
    assert main(["status", "--tcp", where, "--token-file", str(tmp_path / "other")]) == 2
    err = capsys.readouterr().err
    assert "--token-file" in err
    assert "did not accept the token" in err


POLICIES = [
    ("version = 1\n[admin]\nsocket = {socket}\n", 0, ""),
    ("mistaken = [1]\n[admin]\nsocket = {socket}\n", 0, ""),
    ("version = 1\n", 2, "names no socket"),
    ("admin = 3\n", 2, "names no socket"),
    ("[admin\n", 2, "is no TOML"),
]


@pytest.mark.parametrize(("text", "code", "sentence"), POLICIES)
def test_the_policy_file_names_the_socket(served: str, tmp_path: Path, text: str, code: int, sentence: str) -> None:
    """Also when it has mistakes elsewhere; guard.toml of the working folder is the default."""
    (tmp_path / "guard.toml").write_text(text.format(socket=json.dumps(served)))
    for words, folder in ((["--policy", str(tmp_path / "guard.toml")], "/"), ([], tmp_path)):
        errors = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stderr(errors):
            assert main(["status", *words]) == code
        assert sentence in errors.getvalue()


def test_recognition_is_told_in_three_lines(guard: Run, desk: Desk) -> None:
    """Clusters by band, whether it is still learning, and whether it keeps up."""
    numbers = {
        "learning": True,
        "ceilings": {"learning": "ceilings wait (7 of 9)"},
        "exchanges": 1234,
        "families": 50,
        "groups": 7,
        "traits": 9,
        "waiting": 3,
        "lost": 2,
    }
    desk.guard.recognition = numbers | {"clusters": {"suspect": 0, "confirmed": 1}}
    desk.surroundings = Surroundings((), (), {"busy_s": 9.0, "period_s": 0.5, "lengthened": 4})
    _, out, _ = guard("status")
    assert "clusters  1 confirmed (50 families, 7 groups weighed, 9 traits)" in out
    assert "learning  ceilings wait (7 of 9)" in out
    assert "every 0.5 s, 3 exchanges wait, 4 rounds put off, 2 exchanges never looked at" in out
    desk.guard.recognition = numbers | {"learning": False, "clusters": {}}
    _, out, _ = guard("status")
    assert "clusters  none" in out
    assert "learning" not in out

"""The snapshot stage: whole or not at all, one process at a time, and never a fresh budget by accident."""

from __future__ import annotations

import logging
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.contracts import Charge, Slots
from guard.errors import StateError
from guard.snapshot import StateDir
from guard.stores.memory import MemoryStore

T0 = 1_700_000_000.0
PIECES: list[tuple[str, Any]] = [("limits", {"a": [1, 2.5]}), ("limits", {"b": []}), ("words", {"mode": "observe"})]
KEPT = {"limits": ({"a": [1, 2.5]}, {"b": []}), "words": ({"mode": "observe"},)}


def kept_after(path: Path, *states: Any) -> StateDir:
    """A directory in which these states were written, one after the other, a second apart."""
    held = StateDir(path)
    for number, state in enumerate(states):
        held.write(state, T0 + number)
    return held


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with kept_after(tmp_path / "deep" / "state", PIECES) as held:
        kept = held.read()

    assert (dict(kept.pieces), kept.written, kept.trouble) == (KEPT, T0, "")


def test_an_empty_directory_holds_nothing_and_that_is_no_trouble(tmp_path: Path) -> None:
    with StateDir(tmp_path) as held:
        kept = held.read()

    assert (dict(kept.pieces), kept.written, kept.trouble) == ({}, 0.0, "")


def test_files_are_the_owner_s_alone(tmp_path: Path) -> None:
    """Whatever the umask, and also for the one before."""
    old = os.umask(0)
    try:
        kept_after(tmp_path / "state", PIECES, PIECES).close()
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    files = sorted((tmp_path / "state").iterdir())
    assert [file.name for file in files] == ["state", "state.lock", "state.prev"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_state_is_written_a_piece_a_step(tmp_path: Path) -> None:
    """So that requests are answered in between; a writing that is given up leaves the state as it was."""
    with kept_after(tmp_path, PIECES) as held:
        steps = held.writing([("limits", {"c": number}) for number in range(5)], T0 + 9.0)
        for _ in range(3):
            next(steps)
        steps.close()
        assert dict(held.read().pieces) == KEPT

        assert sum(1 for _ in held.writing([("limits", {"c": number}) for number in range(5)], T0 + 9.0)) == 6
        assert held.read().pieces["limits"][4] == {"c": 4}


def test_two_writings_at_once_do_not_mix_and_the_later_one_counts(tmp_path: Path) -> None:
    """A shutdown writes while a slow one is under way."""
    with StateDir(tmp_path) as held:
        slow = held.writing([("limits", {"slow": number}) for number in range(5)], T0)
        next(slow)
        held.write(PIECES, T0 + 1.0)
        for _ in slow:
            assert dict(held.read().pieces) == KEPT

        assert (dict(held.read().pieces), held.read().written) == (KEPT, T0 + 1.0)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["state", "state.lock"]


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "state.7.new").write_bytes(b"half")
    StateDir(tmp_path).close()

    assert [file.name for file in tmp_path.iterdir()] == ["state.lock"]


# -- torn, altered, foreign ----------------------------------------------------------------------------------------------


def test_no_torn_file_is_taken_for_a_state(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cut at every byte: the one before it counts, and that is said aloud."""
    with kept_after(tmp_path, PIECES, [("words", {})]) as held:
        whole = (tmp_path / "state").read_bytes()
        for length in range(len(whole)):
            (tmp_path / "state").write_bytes(whole[:length])
            caplog.clear()
            with caplog.at_level(logging.ERROR):
                kept = held.read()

            assert dict(kept.pieces) == KEPT
            assert "went back to the state before it" in kept.trouble
            assert kept.trouble in caplog.text


def test_no_altered_file_is_taken_for_a_state(tmp_path: Path) -> None:
    """One byte changed anywhere in the content: refused. (In the first line it may also be another version or key.)"""
    with kept_after(tmp_path, PIECES, PIECES) as held:
        whole = (tmp_path / "state").read_bytes()
        for place in range(len(whole)):
            (tmp_path / "state").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert held.read().trouble


@pytest.mark.parametrize(
    "junk", [b"", b"\0" * 4096, b"{}\n", b"[]\n[]\n[]\n", b'{"guard_state": 1}\n{}\n{}\n', b"\xff\n\n\n"]
)
def test_where_no_file_can_be_read_guard_does_not_start_afresh(tmp_path: Path, junk: bytes) -> None:
    """A first and only state, or both: an error that ends with the remedy."""
    with StateDir(tmp_path) as held:
        (tmp_path / "state").write_bytes(junk)
        with pytest.raises(StateError, match="there is no earlier one; to start with empty limits, move it away"):
            held.read()
        (tmp_path / "state.prev").write_bytes(junk)
        with pytest.raises(StateError, match=r"move it away, and .*state.prev too"):
            held.read()


def test_a_missing_state_beside_an_earlier_one_is_trouble(tmp_path: Path) -> None:
    with kept_after(tmp_path, PIECES, PIECES) as held:
        (tmp_path / "state").unlink()

        assert "is missing" in held.read().trouble


def test_a_state_of_a_newer_guard_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one before it would be the wrong one: the operator went back to an older guard, and is told."""
    with kept_after(tmp_path, PIECES) as held:
        monkeypatch.setattr("guard.snapshot.VERSION", 2)
        held.write(PIECES, T0)
        monkeypatch.undo()
        with pytest.raises(StateError, match=r"newer guard .format 2.; start that one, or"):
            held.read()


def test_a_state_of_another_key_names_nobody_under_this_one(tmp_path: Path) -> None:
    kept_after(tmp_path, PIECES).close()
    with StateDir(tmp_path, "another") as held, pytest.raises(StateError, match="another key; put GUARD_KEY"):
        held.read()


def test_a_full_disk_leaves_the_state_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with kept_after(tmp_path, PIECES) as held:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match=r"No space left on device.; the state before it stands"):
            held.write([], T0 + 1.0)
        monkeypatch.undo()

        assert dict(held.read().pieces) == KEPT


def test_what_is_no_plain_data_leaves_the_state_before_it(tmp_path: Path) -> None:
    with kept_after(tmp_path, PIECES) as held:
        with pytest.raises(StateError):
            held.write([("limits", object())], T0 + 1.0)
        assert dict(held.read().pieces) == KEPT


def test_a_directory_that_can_t_be_made_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="name a directory that guard may write"):
        StateDir(tmp_path / "file" / "state")


# -- one process ---------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from guard.snapshot import StateDir
held = StateDir(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_what_to_do(tmp_path: Path) -> None:
    """Until the first one is gone, however it went."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match=r"one worker, .* or use the redis store for replicas"):
            StateDir(tmp_path)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    StateDir(tmp_path).close()


def test_a_second_one_in_the_same_process_too(tmp_path: Path) -> None:
    with StateDir(tmp_path), pytest.raises(StateError, match="another process holds it"):
        StateDir(tmp_path)


# -- kill -9 -------------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from guard.contracts import Charge, Slots
from guard.snapshot import StateDir
from guard.stores.memory import MemoryStore
held, store = StateDir(sys.argv[1]), MemoryStore()
now, number = 1.7e9, 0
while True:
    now += 1.0
    for _ in range(20):
        number += 1
        store.take([Charge(("free", "requests", "0", f"{number:032x}"), 1.0, 1e6, 1e-6, guarded="account")], Slots((), 1e10), now)
    held.write((("limits", piece) for piece in store.pieces()), now)
    print(now, flush=True)
"""


def test_killed_in_the_middle_of_writing_a_whole_state_is_left(tmp_path: Path) -> None:
    """Five processes that do nothing but write, each killed at some moment: what is read is whole and no older than the
    last one that was reported as written."""
    chance = random.Random(1)
    for number in range(5):
        place = tmp_path / str(number)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(3, 30)):
                last = float(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            writer.wait(10)
        last = float(rest[-1]) if rest else last
        with StateDir(place) as held:
            kept = held.read()

        assert kept.trouble == ""
        assert last <= kept.written <= last + 1.0
        assert sum(len(piece["subjects"]) for piece in kept.pieces["limits"]) == 20 * (kept.written - 1.7e9)


def test_after_a_kill_no_more_is_admitted_than_ten_seconds_allow(tmp_path: Path) -> None:
    """Greedy load on 300 a minute; every 25 s or so the process dies and another takes up its last snapshot. Over any span,
    each death forgives at most what the ten seconds since the snapshot admitted."""
    chance, rate, capacity = random.Random(2), 5.0, 300.0
    store, held = MemoryStore(), StateDir(tmp_path)
    charge = Charge(("free", "requests", "0", "a" * 32), 1.0, capacity, rate, guarded="account")
    admitted, deaths, saved, since_saved = 0, 0, T0, 0
    forgiven = 0
    for tenth in range(6_000):
        now = T0 + tenth / 10
        if now - saved >= 10.0:
            held.write((("limits", piece) for piece in store.pieces()), now)
            saved, since_saved = now, 0
        if chance.random() < 0.004:
            store, deaths, forgiven = MemoryStore(), deaths + 1, forgiven + since_saved
            for piece in held.read().pieces.get("limits", ()):
                store.restore(piece, now)
            since_saved = 0
        for _ in range(3):
            taken, lease = store.take([charge], Slots((), now + 900.0), now)
            store.settle([], lease, now)
            admitted += taken.refused < 0
            since_saved += taken.refused < 0
    held.close()

    assert deaths > 10
    assert admitted <= capacity + 600.0 * rate + forgiven
    assert forgiven <= deaths * (10.0 * rate + 1.0) + capacity


def test_fifty_thousand_accounts_survive_in_short_steps(tmp_path: Path) -> None:
    """No step holds requests up for long: the work is cut into more than a hundred of them."""
    store = MemoryStore()
    for number in range(50_000):
        meters = (("requests", "0"), ("requests", "1"), ("tokens", "0"))
        charges = [
            Charge(("free", unit, ordinal, f"{number:032x}"), 1.0 + number, 1e9, 1.0, guarded="account")
            for unit, ordinal in meters
        ]
        _, lease = store.take(charges, Slots((), T0 + 900.0), T0)
        store.settle([], lease, T0)
    with StateDir(tmp_path) as held:
        steps = sum(1 for _ in held.writing((("limits", piece) for piece in store.pieces()), T0))
        kept = held.read()
    after = MemoryStore()
    taken_up = sum(after.restore(piece, T0) for piece in kept.pieces["limits"])

    assert steps > 100
    assert taken_up == 50_000
    for before, restored in zip(store.pieces(), after.pieces(), strict=True):
        assert {name: kept[1:] for name, kept in before["subjects"].items()} == {
            name: kept[1:] for name, kept in restored["subjects"].items()
        }

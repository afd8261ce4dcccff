"""Where the hashing key comes from."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guard.errors import InstallError, StateError
from guard.keys import find_key

NONE: dict[str, str] = {}


def mark(state_dir: Path | str, environ: dict[str, str] = NONE) -> str:
    return find_key(str(state_dir), environ).key.identifier("account", b"x")


def test_the_environment_comes_first() -> None:
    """A key given there is used, blanks around it off, and no file is written."""
    found = find_key("", {"GUARD_KEY": "a" * 16})

    assert (found.origin, found.warning) == ("environment", "")
    assert mark("", {"GUARD_KEY": f" {'a' * 16}\n"}) == found.key.identifier("account", b"x")


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    """With both, replicas that share a variable agree."""
    mark(tmp_path / "state", {"GUARD_KEY": "a" * 16})

    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("value", ["", " ", "short", "a" * 15])
def test_a_short_key_is_no_key(value: str) -> None:
    """Set and too short is a mistake that is said, without showing the value."""
    with pytest.raises(InstallError, match="at least 16") as caught:
        find_key("", {"GUARD_KEY": value})
    assert "short" not in str(caught.value)


def test_the_first_start_writes_the_file(tmp_path: Path) -> None:
    """32 bytes for its owner alone, in a folder that is made; the second start finds the same key."""
    folder = tmp_path / "var" / "state"
    found = find_key(str(folder), NONE)
    file = folder / "hash.key"

    assert (found.origin, found.warning) == ("file", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(file.read_bytes()) == 32
    assert os.listdir(folder) == ["hash.key"]
    assert mark(folder) == found.key.identifier("account", b"x")
    assert mark(tmp_path / "other") != mark(folder)


def test_starts_at_the_same_time_agree(tmp_path: Path) -> None:
    """Of several that write, the first one's key is everybody's."""
    with ThreadPoolExecutor(16) as pool:
        marks = set(pool.map(mark, [tmp_path] * 64))

    assert len(marks) == 1
    assert os.listdir(tmp_path) == ["hash.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620])
def test_a_file_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    """With the remedy."""
    mark(tmp_path)
    (tmp_path / "hash.key").chmod(mode)

    with pytest.raises(StateError, match="chmod 600"):
        find_key(str(tmp_path), NONE)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Cut short, a link, a folder, a pipe, or in place of the state folder: an error with the remedy, no hanging."""
    file = tmp_path / "hash.key"
    file.write_bytes(b"x" * 15)
    file.chmod(0o600)
    with pytest.raises(StateError, match="cut short"):
        find_key(str(tmp_path), NONE)
    file.unlink()
    (tmp_path / "known").write_bytes(b"x" * 32)
    file.symlink_to(tmp_path / "known")
    with pytest.raises(StateError, match="GUARD_KEY"):
        find_key(str(tmp_path), NONE)
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(StateError, match="no ordinary file"):
        find_key(str(tmp_path), NONE)
    file.unlink()
    file.mkdir(0o700)
    with pytest.raises(StateError, match="GUARD_KEY"):
        find_key(str(tmp_path), NONE)
    with pytest.raises(StateError, match="GUARD_KEY"):
        find_key(str(tmp_path / "known"), NONE)


def test_without_either_the_key_is_random_and_said_so() -> None:
    """Another one at each start, with a warning that names both remedies."""
    found = find_key("", NONE)

    assert found.origin == "random"
    assert "GUARD_KEY" in found.warning
    assert "[state] dir" in found.warning
    assert mark("") != mark("")

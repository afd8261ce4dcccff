from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from guard.journal import FLUSH_LINES, MAX_WAITING, Journal, existing, search, verify

NOW = 1_700_000_000.0


def link(line: bytes) -> str:
    return sha256(line).hexdigest()[:16]


def drive(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def filled(path: Path, count: int, **options) -> Journal:
    journal = Journal(str(path), **({"max_bytes": 1 << 20, "keep": 3, "link": link} | options))
    for number in range(count):
        journal.append(b'{"n":%d}' % number)
    journal.flush(NOW, force=True)
    return journal


def test_lines_are_written_once_a_second_or_when_many_wait(tmp_path: Path) -> None:
    """A line waits for the second to pass; a full batch doesn't."""
    path = tmp_path / "a"
    journal = filled(path, 1)
    journal.append(b'{"n":1}')
    journal.flush(NOW + 0.5)
    assert len(path.read_bytes().splitlines()) == 1
    journal.flush(NOW + 1.0)
    assert len(path.read_bytes().splitlines()) == 2
    for _ in range(FLUSH_LINES):
        journal.append(b"{}")
    journal.flush(NOW + 1.1)
    assert len(path.read_bytes().splitlines()) == 2 + FLUSH_LINES


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """A new file is 0600, and one that was open to others is closed to them."""
    path = tmp_path / "a"
    path.touch(mode=0o644)
    filled(path, 1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_turned_and_the_oldest_goes(tmp_path: Path) -> None:
    """Never more than ``keep`` files nor, but for one batch, more than keep × max_bytes on the disk (SECURITY 122)."""
    path = tmp_path / "a"
    journal = Journal(str(path), max_bytes=4096, keep=3, link=link)
    for number in range(2000):
        journal.append(b'{"n":%d,"x":"%s"}' % (number, b"y" * 100))
        if number % 20 == 19:
            journal.flush(NOW + number, force=True)
    names = existing(str(path), 10)
    assert [os.path.basename(name) for name in names] == ["a", "a.1", "a.2"]
    assert sum(os.path.getsize(name) for name in names) < 3 * (4096 + 20 * 150)
    assert journal.lost == 0
    verdict = drive(verify(names, link))
    assert verdict.breaks == ()


def test_one_file_to_keep_is_emptied(tmp_path: Path) -> None:
    """``keep`` 1: the file starts again, and nothing else is left."""
    path = tmp_path / "a"
    journal = Journal(str(path), max_bytes=4096, keep=1)
    for _ in range(100):
        journal.append(b'{"x":"%s"}' % (b"y" * 100))
    journal.flush(NOW, force=True)
    assert sorted(os.listdir(tmp_path)) == ["a"]
    assert path.stat().st_size == 0


@pytest.mark.parametrize("damage", ["remove", "change", "swap"])
def test_a_missing_or_changed_line_shows(tmp_path: Path, damage: str) -> None:
    """Taking a line out, changing one, or swapping two breaks the chain at that place."""
    path = tmp_path / "a"
    filled(path, 9).close(NOW)
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "remove":
        del lines[4]
    elif damage == "change":
        lines[4] = lines[4].replace(b'"n":4', b'"n":5')
    else:
        lines[3], lines[4] = lines[4], lines[3]
    path.write_bytes(b"".join(lines))
    breaks = drive(verify([str(path)], link)).breaks
    assert breaks
    assert breaks[0][1] in {4, 5, 6}


def test_the_chain_goes_on_over_restarts_and_files(tmp_path: Path) -> None:
    """Another process carries on from the last line, also when that stands in the turned file."""
    path = tmp_path / "a"
    filled(path, 3).close(NOW)
    filled(path, 3).close(NOW)
    os.rename(path, tmp_path / "a.1")
    filled(path, 3).close(NOW)
    verdict = drive(verify(existing(str(path), 3), link))
    assert (verdict.lines, verdict.breaks, verdict.torn) == (9, (), 0)


def test_a_line_cut_off_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    """What a dying process left stays on its own line, and is counted."""
    path = tmp_path / "a"
    filled(path, 2).close(NOW)
    with path.open("ab") as file:
        file.write(b'{"n":2,"ch')
    filled(path, 2).close(NOW)
    lines = path.read_bytes().splitlines()
    assert json.loads(lines[3])["n"] == 0
    verdict = drive(verify([str(path)], link))
    assert (verdict.lines, verdict.breaks, verdict.torn) == (5, (), 1)


def test_a_full_disk_breaks_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way leaves whole lines only; what waits is written when there is room again."""
    path = tmp_path / "a"
    journal = filled(path, 1)
    whole = os.write

    def short(fd: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return whole(fd, data[: len(data) // 2])

    journal.append(b'{"n":1}')
    monkeypatch.setattr(os, "write", short)
    journal.flush(NOW + 2)
    assert "the disk is full" in journal.trouble
    assert journal.failures == 1
    assert len(path.read_bytes().splitlines()) == 1
    monkeypatch.setattr(os, "write", whole)
    journal.flush(NOW + 4)
    assert journal.trouble == ""
    assert len(path.read_bytes().splitlines()) == 2
    assert drive(verify([str(path)], link)).breaks == ()


def test_waiting_lines_are_bounded(tmp_path: Path) -> None:
    """While nothing can be written at most ``MAX_WAITING`` lines wait; the rest is lost and counted."""
    journal = Journal(str(tmp_path / "file" / "below"), max_bytes=4096, keep=2)
    (tmp_path / "file").touch()
    for number in range(MAX_WAITING + 10):
        journal.append(b"{}")
        if number % 1000 == 0:
            journal.flush(NOW + number)
    assert journal.trouble
    assert journal.lost == 10


def test_a_failing_disk_is_tried_once_a_second(tmp_path: Path) -> None:
    """However many lines wait, a broken file is not opened for each of them."""
    journal = Journal(str(tmp_path / "file" / "below"), max_bytes=4096, keep=2)
    (tmp_path / "file").touch()
    for number in range(1000):
        journal.append(b"{}")
        journal.flush(NOW + number / 1000)
    assert journal.failures == 1


def test_two_writers_of_one_file_are_kept_apart(tmp_path: Path) -> None:
    """The second one writes nothing and says what to do."""
    first = filled(tmp_path / "a", 1)
    second = filled(tmp_path / "a", 1)
    assert "another process writes this file" in second.trouble
    first.close(NOW)
    second.flush(NOW + 5, force=True)
    assert second.trouble == ""


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    """``rm audit.jsonl`` on a full disk doesn't send later lines into a file without a name."""
    path = tmp_path / "a"
    journal = filled(path, 1)
    path.unlink()
    journal.append(b'{"n":1}')
    journal.flush(NOW + 2)
    assert len(path.read_bytes().splitlines()) == 1


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """Nobody can make guard append to another file by putting a link in its place."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a").symlink_to(tmp_path / "victim")
    journal = filled(tmp_path / "a", 1)
    assert "symbolic link" in journal.trouble
    assert (tmp_path / "victim").read_text() == "mine"


def test_search_finds_the_newest_of_two(tmp_path: Path) -> None:
    """The line nearest to the end counts, then the younger file."""
    (tmp_path / "a").write_bytes(b'{"reference":"x","n":2}\n{"reference":"x","n":3}\n')
    (tmp_path / "a.1").write_bytes(b'{"reference":"x","n":1}\n{"reference":"y","n":0}\n')
    paths = existing(str(tmp_path / "a"), 3)
    assert json.loads(drive(search(b'"reference":"x"', paths)))["n"] == 3
    assert json.loads(drive(search(b'"reference":"y"', paths)))["n"] == 0
    assert drive(search(b'"reference":"z"', paths)) == b""


def test_search_reads_in_blocks_and_finds_lines_across_their_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the block's size, every line is found whole, and the search pauses after each block."""
    lines = [b'{"reference":"r%04d","x":"%s"}' % (n, b"y" * (n % 37)) for n in range(200)]
    (tmp_path / "a").write_bytes(b"\n".join(lines) + b"\n")
    for size in (64, 97, 128, 1000):
        monkeypatch.setattr("guard.journal.BLOCK_BYTES", size)
        for n in (0, 1, 57, 198, 199):
            steps = search(b'"reference":"r%04d"' % n, [str(tmp_path / "a")])
            assert drive(steps) == lines[n], (size, n)
    assert sum(1 for _ in search(b"nothing", [str(tmp_path / "a")])) > 5

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from guard.bench.figures import Tally
from guard.bench.picture import check, draw
from guard.bench.schedule import EXTRACTOR, ORDINARY
from guard.errors import InstallError


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InstallError, match=r"pip install 'extraction-guard\[bench\]'"):
        check(tmp_path / "x.png")


def test_a_picture_is_a_png(tmp_path: Path) -> None:
    """One curve for each kind and endpoint, also where one has no answers."""
    pytest.importorskip("matplotlib")
    tally = Tally(2, (ORDINARY, EXTRACTOR))
    for n in range(1, 20):
        tally.cells[0, ORDINARY].offered += 1
        tally.cells[0, ORDINARY].answer(200, n / 1000, n / 2000, stream=True)
    tally.cells[1, EXTRACTOR].dropped += 1
    check(tmp_path / "x.png")
    draw(tally, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InstallError, match="no folder"):
        check(tmp_path / "none" / "x.png")

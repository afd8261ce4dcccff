"""The operator's feedback is kept for calibration: bounded, without content, on the disk."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from guard import feedback
from guard.errors import StateError
from guard.feedback import Feedback
from tests.desk import ACCOUNT, NOW, dossier


def test_a_line_holds_the_evidence_and_the_label_and_nobody(tmp_path: Path) -> None:
    kept = Feedback(str(tmp_path))
    kept.note(dossier(), right=True, now=NOW)
    kept.note(dossier(), right=False, now=NOW + 1)
    lines = [json.loads(line) for line in Path(kept.path).read_text().splitlines()]
    assert [line["right"] for line in lines] == [True, False]
    assert lines[0]["evidence"] == [["even_load", "coordination", 3.0], ["private_rhythm", "rhythm", 2.25]]
    assert (lines[0]["accounts"], lines[0]["exchanges"], lines[0]["cluster"]) == (212, 5120, "c1-beef00")
    assert ACCOUNT not in Path(kept.path).read_text()
    assert stat.S_IMODE(Path(kept.path).stat().st_mode) == 0o600


def test_it_is_bounded_and_the_older_half_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "MOST_BYTES", 4_000)
    kept = Feedback(str(tmp_path))
    for number in range(100):
        kept.note(dossier(), right=True, now=NOW + number)
        assert Path(kept.path).stat().st_size < 4_000 + 400
    lines = [json.loads(line) for line in Path(kept.path).read_text().splitlines()]
    assert lines[-1]["at"] == NOW + 99
    assert [line["at"] for line in lines] == [NOW + n for n in range(100 - len(lines), 100)]


def test_without_a_folder_the_operator_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="set \\[state\\] dir"):
        Feedback("").note(dossier(), right=True, now=NOW)
    with pytest.raises(StateError, match="can't be written"):
        Feedback(str(tmp_path / "gone")).note(dossier(), right=True, now=NOW)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.desk import Desk, full_receipt

Run = Callable[..., tuple[int, str, str]]


def test_a_whole_audit_is_0_and_a_cut_one_is_1(guard: Run, desk: Desk, tmp_path: Path) -> None:
    """The place of the missing line is named."""
    for number in range(5):
        desk.audit.exchange(full_receipt(reference=f"r{number}"))
    code, out, _ = guard("verify")
    assert code == 0
    assert "6 lines: whole" in out
    path = tmp_path / "audit.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:2] + kept[3:]))
    code, out, _ = guard("verify")
    assert code == 1
    assert "NOT whole" in out
    assert f"{path}, line 3" in out

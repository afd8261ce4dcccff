"""Tables of subjects: full is full, and only the drained make room."""

from __future__ import annotations

import pytest

from guard import subjects as module
from guard.subjects import DROPPED, Layouts, Subject, Table, is_clean

T0 = 1_000.0


def full_table(levels: list[float]) -> tuple[Table, Layouts, list[Subject]]:
    """A full table whose subjects have one meter each, drained at one a second."""
    table, layouts, subjects = Table("account", len(levels)), Layouts(), []
    for number, level in enumerate(levels):
        subject: Subject = [0]
        at = layouts.widen(subject, ("free", "requests", "0"), 1.0, T0)
        subject[at] = level
        table.add(f"s{number}", subject)
        subjects.append(subject)
    return table, layouts, subjects


def test_a_table_of_busy_subjects_has_no_room_and_loses_nobody() -> None:
    table, _, subjects = full_table([5.0] * 50)
    for tenth in range(40):
        assert not table.has_room(T0 + tenth / 10)

    assert len(table.subjects) == 50
    assert not any(subject[0] == DROPPED for subject in subjects)


def test_a_drained_subject_is_found_within_one_round() -> None:
    """Eight places a look: a table of 80 is gone through in ten."""
    levels = [1_000.0] * 80
    levels[37] = 1.0
    table, _, subjects = full_table(levels)

    assert any(table.has_room(T0 + 2.0 + look / 100) for look in range(10))
    assert "s37" not in table.subjects
    assert subjects[37][0] == DROPPED
    assert len(table.subjects) == 79


def test_a_table_without_bound_always_has_room() -> None:
    table = Table("", 0)
    for number in range(1_000):
        assert table.has_room(T0)
        table.add(str(number), [0])


def test_forgetting_leaves_everybody_else() -> None:
    table, _, _ = full_table([1.0] * 5)
    table.subjects["s2/u"] = table.subjects.pop("s4")
    table._ring[4] = "s2/u"

    assert table.forget("s2") == 2
    assert sorted(table.names()) == ["s0", "s1", "s3"]
    assert sorted(table.subjects) == ["s0", "s1", "s3"]


def test_subjects_with_the_same_meters_share_a_layout() -> None:
    _, layouts, subjects = full_table([1.0] * 5)

    assert {subject[0] for subject in subjects} == {1}
    assert layouts.places[1] == {("free", "requests", "0"): 1}


@pytest.mark.parametrize(("now", "clean"), [(T0, False), (T0 + 4.9, False), (T0 + 5.0, True)])
def test_clean_is_every_meter_drained(now: float, clean: bool) -> None:
    _, layouts, subjects = full_table([5.0])
    layouts.widen(subjects[0], ("free", "tokens", "0"), 1.0, T0)

    assert is_clean(subjects[0], now) == clean


@pytest.mark.parametrize(("idle_s", "left"), [(0.0, 50), (4.9 + 60.0, 50), (5.1 + 60.0, 20)])
def test_a_large_table_drops_what_has_long_been_drained(
    monkeypatch: pytest.MonkeyPatch, idle_s: float, left: int
) -> None:
    """Though there is room; a minute after it drained, not before; down to the size that is no matter, and nobody else."""
    monkeypatch.setattr(module, "_MANY", 20)
    table, _, subjects = full_table([5.0] * 50)
    table.bound = 1_000
    for _ in range(50):
        table.sweep(T0 + idle_s)

    assert len(table.subjects) == len(table.names()) == left
    assert sum(subject[0] == DROPPED for subject in subjects) == 50 - left


def test_what_uses_something_up_is_kept_however_large_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttled subject among thousands of drained ones keeps its level: nobody gets a fresh budget by waiting for a sweep."""
    monkeypatch.setattr(module, "_MANY", 0)
    levels = [1.0] * 200
    levels[37] = 100_000.0
    table, _, subjects = full_table(levels)
    for _ in range(400):
        table.sweep(T0 + 10_000.0)

    assert table.names() == ["s37"]
    assert subjects[37][1] == 100_000.0


def test_a_table_without_bound_drops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no more than the policy names."""
    monkeypatch.setattr(module, "_MANY", 0)
    table, _, _ = full_table([0.0] * 10)
    table.bound = 0
    for _ in range(20):
        table.sweep(T0 + 1e6)

    assert len(table.subjects) == 10

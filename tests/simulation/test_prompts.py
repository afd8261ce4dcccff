"""What simulated accounts ask."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from guard.errors import InstallError
from guard.simulation.prompts import OWN, PLAIN, Wording, demanding, read


def test_made_up_prompts_are_hardly_ever_the_same_twice() -> None:
    """A queue asks nothing twice, and two questions of one topic are two questions."""
    dice = Random(1)
    tasks = [OWN.task(dice, OWN.queues[0], n) for n in range(500)]
    questions = [OWN.question(dice, OWN.topics[0]) for _ in range(500)]
    assert len(set(tasks)) == 500
    assert len(set(questions)) > 490
    assert not any("{" in text for text in tasks + questions)


def test_a_wording_stands_round_what_is_asked() -> None:
    """A system text is a message of its own; before and after stand in the question."""
    assert PLAIN.asking("x") == [{"role": "user", "content": "x"}]
    assert Wording("s", "b", "a").asking("x") == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "b\n\nx\n\na"},
    ]


def test_every_wording_of_a_campaign_is_a_new_one() -> None:
    """Whoever rewords does not come back to a text that is known."""
    dice = Random(1)
    assert len({demanding(dice, "sums") for _ in range(200)}) == 200


def test_real_prompts_come_from_a_folder(tmp_path: Path) -> None:
    """One a line or one a file, as the name's ending says; empty ones don't count; the sides stand in folders of their own."""
    (tmp_path / "campaign").mkdir()
    (tmp_path / "campaign" / "sums.txt").write_text("Add 3 and 4.\n\nTake 5 from 9.\n")
    (tmp_path / "ordinary" / "mail").mkdir(parents=True)
    (tmp_path / "ordinary" / "mail" / "a.md").write_text("Write a letter\nto the bank.\n")
    (tmp_path / "ordinary" / "mail" / "b.prompt").write_text("Shorten this.")
    (tmp_path / "ordinary" / "notes.py").write_text("no prompt")
    found = read(tmp_path)
    assert found.campaign == {"campaign/sums.txt": ["Add 3 and 4.", "Take 5 from 9."]}
    assert found.ordinary == {"ordinary/mail": ["Write a letter\nto the bank.", "Shorten this."]}


def test_prompts_without_sides_are_everybodys(tmp_path: Path) -> None:
    """And where only one side has its folder, the other takes what lies beside it."""
    (tmp_path / "all.txt").write_text("one\ntwo\n")
    assert read(tmp_path).campaign == read(tmp_path).ordinary == {"all.txt": ["one", "two"]}
    (tmp_path / "campaign").mkdir()
    (tmp_path / "campaign" / "q.txt").write_text("three\n")
    found = read(tmp_path)
    assert (found.campaign, found.ordinary) == ({"campaign/q.txt": ["three"]}, {"all.txt": ["one", "two"]})


def test_a_queue_of_real_prompts_goes_on_with_other_numbers(tmp_path: Path) -> None:
    """In order; when it is through, nobody is asked the same again as long as there are numbers to change."""
    (tmp_path / "q.txt").write_text("Add 3 and 4.\nTake 5 from 9.\n")
    found, dice = read(tmp_path), Random(1)
    asked = [found.task(dice, "q.txt", n) for n in range(8)]
    assert asked[:2] == ["Add 3 and 4.", "Take 5 from 9."]
    assert len(set(asked)) == 8
    assert all(text.startswith("Add") for text in asked[::2])


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_prompts_is_refused(name: str, tmp_path: Path) -> None:
    """In a sentence that says what belongs there."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "blank.txt").write_text("\n \n")
    with pytest.raises(InstallError, match=r"no folder|holds no prompts"):
        read(tmp_path / name)

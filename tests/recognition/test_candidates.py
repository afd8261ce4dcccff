"""How many groups could be convicted, counted as they change and counted anew."""

from __future__ import annotations

from random import Random

from guard.recognition.candidates import FEWEST, Candidates, Chances
from guard.recognition.families import Family
from guard.recognition.groups import Group


def family(number: int, *, few: bool = False) -> Family:
    made = Family(number, 0.0)
    made.group = Group([])
    made.group.few = few
    return made


def test_never_fewer_than_the_least() -> None:
    """A deployment that has just begun has had few chances to be wrong, but will have more."""
    assert Candidates().chances([]) == Chances(FEWEST, FEWEST)


def test_what_is_counted_is_what_there_is() -> None:
    """Through additions, changes and groups that go: the same as counting all of them."""
    chance = Random(7)
    candidates = Candidates()
    families: list[Family] = []
    for turn in range(4_000):
        made = family(turn, few=chance.random() < 0.5)
        assert made.group is not None
        candidates.add(made.group)
        families.append(made)
        one = chance.choice(families).group
        assert one is not None
        candidates.mark(one, few=chance.random() < 0.5, seasoned=chance.random() < 0.5)
        if turn % 700 == 699:
            del families[:50]
    groups = [one.group for one in families if one.group is not None]
    wide, seasoned = sum(not group.few for group in groups), sum(group.seasoned for group in groups)
    assert candidates.chances(families) == Chances(wide // 8, seasoned // 8)
    assert min(wide, seasoned) // 8 > FEWEST


def test_groups_that_were_restored_count() -> None:
    """They were there before anybody counted."""
    families = [family(number) for number in range(800)]
    assert Candidates().chances(families) == Chances(100, FEWEST)

"""An operator that hears what it is answered: what each strategy does about a containment. Against a guard that is made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from guard.simulation.campaigns import SHAPES
from guard.simulation.operators import SLOWEST, STRATEGIES, TRIAL, Heard, Operator, Probes
from guard.simulation.ordinary import Stage
from guard.simulation.owners import DAY_S
from guard.simulation.prompts import OWN

FINE, STOPPED = Heard(200), Heard(403)
Asked = dict[str, Any]


def operator(name: str, accounts: int = 20, days: float = 3.0) -> Operator:
    return STRATEGIES[name].begins(Stage(0.0, days * DAY_S, OWN, Random(1)), SHAPES["hydra"], "hydra", accounts)


def asked(playing: Operator, answer: Callable[[Asked], Heard], most: int = 100_000) -> list[Asked]:
    """Lets it ask until its time is over, or so often."""
    found: list[Asked] = []
    while playing.due_at < 3.0 * DAY_S and len(found) < most:
        found.append(playing.ask())
        playing.told(answer(found[-1]))
    return found


def who(record: Asked) -> str:
    name: str = record["account"]["id"]
    return name


def wording(record: Asked) -> str:
    """The fixed text before the task."""
    text: str = record["request"]["body"]["messages"][-1]["content"]
    return text.split("\n\n", maxsplit=1)[0]


def task(record: Asked) -> str:
    text: str = record["request"]["body"]["messages"][-1]["content"]
    return text.split("\n\n")[1]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_unopposed_all_of_them_take_what_they_came_for(name: str) -> None:
    """Nothing to react to: the whole queue, at the shape's pace, and no account burnt."""
    playing = operator(name)
    found = asked(playing, lambda _: FINE)
    assert playing.unopposed == 2 * 20 * 26
    assert len(found) == playing.sent == pytest.approx(playing.unopposed, rel=0.05)
    assert playing.burnt == 0
    assert len({task(record) for record in found}) == len(found)


def test_what_was_not_answered_is_asked_again() -> None:
    """A queue wants its answers: the task comes back, by whoever's turn it is."""
    playing = operator("goes-on")
    found = asked(playing, lambda record: STOPPED if who(record) == "hydra-3" else FINE)
    again = Counter(task(record) for record in found)
    refused = [task(record) for record in found if who(record) == "hydra-3"]
    assert len(refused) > 40
    assert all(again[one] >= 2 for one in refused[:-1])
    assert playing.burnt == 1
    assert playing.used == 20


@pytest.mark.parametrize("heard", [Heard(429), Heard(403), Heard(200, reduced=True), Heard(200, waited_s=30.0)])
def test_a_rotating_operator_never_asks_again_with_an_account_that_was_contained(heard: Heard) -> None:
    """Whatever it heard that was not in full; as many are at work as before."""
    playing = operator("rotates")
    found = asked(playing, lambda record: heard if wording(record) and int(who(record)[6:]) % 2 else FINE)
    times = Counter(map(who, found))
    assert all(count == 1 for name, count in times.items() if int(name[6:]) % 2)
    assert playing.burnt == sum(int(name[6:]) % 2 for name in times)


def test_a_rewording_operator_has_another_text_after_each_containment() -> None:
    """For all its accounts; without a containment the text stays."""
    known: Counter[str] = Counter()

    def answer(record: Asked) -> Heard:
        known[wording(record)] += 1
        return STOPPED if known[wording(record)] > 25 else FINE

    playing = operator("rewords")
    found = asked(playing, answer)
    texts = list(dict.fromkeys(map(wording, found)))
    assert len(texts) == pytest.approx(len(found) / 26, abs=1)
    assert playing.used == 20


def test_a_slowing_operator_waits_longer_and_longer() -> None:
    """Half the pace for each containment, at most once an hour, down to a sixty-fourth; faster again when nothing happens."""
    contained = operator("slows-down")
    often = asked(contained, lambda _: STOPPED)
    gaps = [b["at"] - a["at"] for a, b in pairwise(often)]
    assert len(often) < 0.1 * contained.unopposed
    assert max(gaps) < 1.4 * DAY_S / (20 * 26) / SLOWEST
    assert gaps[-1] > 20 * gaps[0]
    early = operator("slows-down")
    later = asked(early, lambda record: STOPPED if record["at"] < 1.2 * DAY_S else FINE)
    assert later[-1]["at"] - later[-2]["at"] < 0.5 * max(b["at"] - a["at"] for a, b in pairwise(later))


@pytest.mark.parametrize("most", [3, 10, 40])
def test_a_probing_operator_finds_the_threshold(most: int) -> None:
    """Of a guard that contains every wording which more than so many accounts have shown; from then on it stays below."""
    seen: dict[str, set[str]] = {}

    def answer(record: Asked) -> Heard:
        accounts = seen.setdefault(wording(record), set())
        accounts.add(who(record))
        return STOPPED if len(accounts) > most else FINE

    playing = operator("probes-first", accounts=64)
    assert isinstance(playing, Probes)
    found = asked(playing, answer, most=6 * 64 * TRIAL)
    assert not playing.probing
    assert 0.6 * most <= playing.together <= most
    assert playing.burnt > 0
    before = playing.burnt
    assert all(answer(record).in_full for record in asked(playing, answer, most=500))
    assert playing.burnt == before
    assert len(found) > 100


def test_all_at_once_is_all_of_it() -> None:
    """Another account, another text and another pace."""
    playing = operator("all-at-once")
    found = asked(playing, lambda _: STOPPED)
    assert len(set(map(who, found))) == len(set(map(wording, found))) == len(found)
    assert len(found) < 0.1 * playing.unopposed

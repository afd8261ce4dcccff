from __future__ import annotations

import numpy as np
import pytest

from guard.signals.births_after_deaths import PLUGIN
from tests.signals.groups_made_up import (
    DAY,
    HOUR,
    START,
    Made,
    degenerate,
    made,
    paced,
    people,
    poisson,
    queue,
    rng_of,
    sample_of,
    together,
)

SIGNAL = PLUGIN()
STOPPED = START + 2 * DAY + np.arange(10) * 60.0


def nats(group: Made, stopped: np.ndarray = STOPPED) -> float:
    return SIGNAL.weigh(sample_of(group, stopped=stopped)).nats


def newcomers(seed: int, hours_after: float, within_h: float, count: int = 30) -> Made:
    rng = rng_of(seed)
    at = STOPPED[0] + hours_after * HOUR + rng.uniform(0, within_h * HOUR, count)
    return made(rng, at, np.arange(count))


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_replaces_what_it_loses(seed: int) -> None:
    """Thirty new accounts within hours of the first stops."""
    rng = rng_of(seed)
    old = queue(rng, paced(rng, 1000, 2.5), 100)
    assert nats(together(old, newcomers(seed, 0.5, 6))) > 2


@pytest.mark.parametrize("seed", range(4))
def test_owners_come_when_they_come(seed: int) -> None:
    """A tool that grows as before, and one that hardly grows."""
    rng = rng_of(seed)
    growing = together(people(rng, 80, 3), made(rng, poisson(rng, 90, 3), np.arange(90)))
    assert nats(growing) < 1
    assert nats(people(rng, 100, 3)) < 1


def test_nobody_was_stopped() -> None:
    """Without a stop there is nothing to compare with; nor with one in the sample's first hours."""
    rng = rng_of(1)
    group = together(queue(rng, paced(rng, 1000, 2.5), 100), newcomers(1, 0.5, 6))
    assert nats(group, np.zeros(0)) == 0
    assert nats(group, np.array([START + HOUR])) == 0


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and don't weigh."""
    assert SIGNAL.weigh(degenerate()[kind]).nats == 0

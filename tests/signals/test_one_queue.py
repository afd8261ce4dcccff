from __future__ import annotations

import numpy as np
import pytest

from guard.signals.one_queue import PLUGIN
from tests.signals.groups_made_up import (
    Made,
    degenerate,
    last,
    paced,
    people,
    queue,
    rng_of,
    sample_of,
    template_users,
)

SIGNAL = PLUGIN()
SEEDS = range(4)


def nats(group: Made) -> float:
    return SIGNAL.weigh(sample_of(group)).nats


@pytest.mark.parametrize("seed", SEEDS)
def test_owners_have_subjects_of_their_own(seed: int) -> None:
    """People and businesses: what one asks is nearer to his own than to others' questions, also within a hundred."""
    rng = rng_of(seed)
    assert nats(last(people(rng, 150, 4), 800)) < -3
    assert nats(last(people(rng, 40, 2), 100)) < -2
    assert nats(template_users(rng, 30, 2)) < -3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_deals_from_one_deck(seed: int) -> None:
    """Whatever the deck: random, narrow, or in order of subject dealt out in turn."""
    rng = rng_of(seed)
    group = queue(rng, paced(rng, 1000, 3), 150)
    assert nats(group) > 1
    assert nats(group._replace(gist=group.gist + 5)) > 1
    in_order = np.cumsum(rng.normal(size=group.gist.shape), axis=0)
    assert nats(queue(rng, paced(rng, 1000, 3), 150, deal="round_robin")._replace(gist=in_order)) > 1


def test_the_same_question_asked_twice_is_no_subject() -> None:
    """An account that samples each question four times is as far from itself as from others."""
    rng = rng_of(3)
    group = queue(rng, paced(rng, 300, 3), 60)
    four = Made(*(np.repeat(column, 4, axis=0) for column in group))
    assert nats(four) > 0


def test_absence_of_subjects_says_at_most_a_little() -> None:
    """An extension's users have none either: the signal can't convict by itself."""
    rng = rng_of(4)
    assert 1 < nats(last(people(rng, 200, 4, own_subject=0.0), 1500)) < 2


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and hardly weigh."""
    assert abs(SIGNAL.weigh(degenerate()[kind]).nats) < 2

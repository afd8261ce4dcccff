from __future__ import annotations

import numpy as np
import pytest

from guard.signals.shared_network import PLUGIN
from tests.signals.groups_made_up import degenerate, paced, queue, rng_of, sample_of

SIGNAL = PLUGIN()
GROUP = queue(rng_of(1), paced(rng_of(1), 400, 1), 80, deal="round_robin")


def nats(networks: list[int]) -> float:
    """``networks``: of each of 80 accounts."""
    return SIGNAL.weigh(sample_of(GROUP, network=np.array(networks, np.uint32)[GROUP.account])).nats


def test_a_pool_in_a_few_racks_is_noticed() -> None:
    """Eighty accounts in three networks."""
    assert nats([1 + i % 3 for i in range(80)]) > 3


def test_people_at_home_are_not() -> None:
    """Each in his own network, some in pairs."""
    assert nats(list(range(1, 81))) < 0
    assert nats([1 + i // 2 if i < 16 else i + 1 for i in range(80)]) < 0


def test_one_place_says_no_more_than_a_nat() -> None:
    """A campus, an office, a carrier's gateway."""
    assert 0 < nats([1] * 80) <= 1
    assert 0 < nats([1] * 70 + list(range(2, 12))) <= 1


def test_rotating_addresses_meet_by_chance() -> None:
    """Each exchange from another home: the more there are, the more chance meets."""
    rng = rng_of(2)
    assert SIGNAL.weigh(sample_of(GROUP, network=rng.integers(1, 3000, 400).astype(np.uint32))).nats < 0.5


@pytest.mark.parametrize("kind", degenerate())
def test_little_says_little(kind: str) -> None:
    """Degenerate samples never raise, and convict nobody."""
    assert SIGNAL.weigh(degenerate()[kind]).nats <= 0

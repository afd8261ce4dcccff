from __future__ import annotations

import pytest

from guard.recognition.purity import COMMON, IMPURE, PURE, least_share, telling


def test_the_share_asked_of_a_small_cluster() -> None:
    """Nine tenths to become a trait, eight to stay one; what was never seen asks no more."""
    assert least_share(10, 1_000, kept=False) == PURE
    assert least_share(10, 1_000, kept=True) == IMPURE
    assert least_share(0, 0, kept=False) == PURE


@pytest.mark.parametrize("part", [0.6, 0.9, 1.0])
def test_a_cluster_that_is_most_of_all_traffic_needs_purer_traits(part: float) -> None:
    """Its odds in the family are nine times its odds in all."""
    share, part = least_share(int(part * 1_000), 1_000, kept=False), min(part, 0.99)

    assert share / (1.0 - share) == pytest.approx(9.0 * part / (1.0 - part))


def test_a_templates_own_trait_needs_no_silence() -> None:
    """What stands in a quarter of a cluster's exchanges is its own, even where there is nobody else."""
    assert telling(25, 100, 0)
    assert telling(8, 0, 0)
    assert not telling(int(100 * COMMON) - 1, 100, 0)


def test_a_rare_trait_needs_the_silence_of_others() -> None:
    """In a few exchanges of a campaign that is most of the traffic a phrase says nothing; where others send far more, it does."""
    assert not telling(95, 1_300, 500)
    assert telling(95, 1_300, 700)
    assert telling(8, 1_300, 20_000)


def test_what_hardly_ever_stands_in_a_clusters_texts_came_by_chance() -> None:
    """However silent the others are."""
    assert not telling(8, 5_000, 10**9)

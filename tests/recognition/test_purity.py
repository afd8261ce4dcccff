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
    assert telling(COMMON, 8, 0, 100, 100)
    assert not telling(COMMON - 0.01, 8, 0, 100, 100)


@pytest.mark.parametrize(
    ("taken", "shown", "others", "enough"),
    [
        (10, 8, 0, True),  # a hundredth of all traffic would have shown a tenth of it
        (10, 8, 4, False),
        (100, 8, 0, False),  # a tenth half of it: eight in a row come by chance once in a hundred times
        (100, 21, 0, False),
        (100, 22, 0, True),
        (300, 60, 0, False),
        (300, 70, 0, True),
        (300, 250, 30, False),  # nine tenths, where four fifths and more are chance
        (300, 250, 6, True),
        (990, 256, 0, False),
    ],
)
def test_a_rare_trait_must_be_more_than_a_phrase_that_long_texts_hold_more_often(
    taken: int, shown: int, others: int, enough: bool
) -> None:
    """Of a thousand exchanges in all, by the tail of the binomial at ten times the others' rate."""
    assert telling(0.01, shown, others, taken, 1_000) is enough


def test_nothing_is_told_of_a_cluster_that_was_just_found() -> None:
    """When nothing was seen since, its share is unknown."""
    assert not telling(0.01, 20, 0, 0, 0)


def test_what_hardly_ever_stands_in_a_clusters_texts_came_by_chance() -> None:
    """However silent the others are."""
    assert not telling(0.001, 256, 0, 10, 10**9)

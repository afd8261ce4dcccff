"""Meters of clusters: a sum over members that drains, merges and splits without a reset or a double charge."""

from __future__ import annotations

import json
import random

import pytest

from guard.charges import Metered
from guard.errors import StateError
from guard.unions import Member, Unions

T0 = 1_700_000_000.0
HOUR = Metered("joint", "requests", "0", 100.0, 100.0 / 3_600.0, 0)
COLUMN = ("joint", "requests", "0")
ONE = (1.0, 0.0, 0.0)


def use(
    unions: Unions, account: str, times: int, now: float = T0, *, cluster: str = "a", merged: tuple[str, ...] = ()
) -> int:
    """How many of so many exchanges of an account find room; those are booked."""
    taken = 0
    for _ in range(times):
        member = Member("", cluster, account)
        if not unions.look(member, merged, (HOUR,), ONE, now):
            unions.add(member, (HOUR,), ONE, now)
            taken += 1
    return taken


def test_many_members_obey_one_sum() -> None:
    """Fifty members take together what one would, and all are refused after that."""
    unions = Unions(1_000)
    assert sum(use(unions, f"m{n}", 3) for n in range(50)) == 100
    assert use(unions, "m7", 1) == use(unions, "newcomer", 1) == 0
    assert unions.level("a", COLUMN, T0) == pytest.approx(100.0)


def test_the_sum_drains_at_the_limits_rate_however_many_members_there_are() -> None:
    """Half an hour frees half of the room, once, and takes it off the members in proportion."""
    unions = Unions(1_000)
    use(unions, "light", 20)
    use(unions, "heavy", 80)
    assert unions.level("a", COLUMN, T0 + 1_800) == pytest.approx(50.0)
    assert unions.share("light", COLUMN, T0 + 1_800) == pytest.approx(10.0)
    assert unions.share("heavy", COLUMN, T0 + 1_800) == pytest.approx(40.0)
    assert use(unions, "heavy", 100, T0 + 1_800) == 50


def test_a_refusal_names_the_wait_until_there_is_room() -> None:
    """36 s free one request of 100 an hour."""
    unions = Unions(1_000)
    use(unions, "a", 100)
    ((number, wait_s),) = unions.look(Member("", "a", "b"), (), (HOUR,), ONE, T0)
    assert number == 0
    assert wait_s == pytest.approx(36.0, rel=1e-4)
    assert use(unions, "b", 1, T0 + wait_s) == 1


def test_a_merger_is_a_union() -> None:
    """What both have used counts, for members of both, and nobody's share changes."""
    unions = Unions(1_000)
    use(unions, "x", 40)
    use(unions, "y", 50, cluster="b")
    assert use(unions, "x", 100, merged=("b",)) == 10
    assert unions.level("a", COLUMN, T0) == pytest.approx(100.0)
    assert unions.share("y", COLUMN, T0) == pytest.approx(50.0)
    assert use(unions, "y", 1, cluster="a", merged=("b",)) == 0
    assert len(unions) == 1


def test_a_merger_of_the_merged_keeps_every_share() -> None:
    """Three clusters become one in two steps, with draining between; shares and sum agree to the end."""
    unions = Unions(1_000)
    use(unions, "x", 30)
    use(unions, "y", 40, cluster="b")
    use(unions, "z", 20, cluster="c")
    use(unions, "y2", 10, T0 + 360, cluster="b", merged=("c",))
    use(unions, "x", 5, T0 + 720, merged=("b", "c"))
    now = T0 + 900
    # b: 40 − 10 in 360 s, and c 20 − 10, and 10 more; until 720 s 10 less; a: 30 − 20 + 5; then 5 less in 180 s.
    assert unions.level("a", COLUMN, now) == pytest.approx(30 + 10 + 10 - 10 + 30 - 20 + 5 - 5)
    shares = [unions.share(name, COLUMN, now) for name in ("x", "y", "y2", "z")]
    assert sum(shares) == pytest.approx(unions.level("a", COLUMN, now))
    assert all(share > 0.0 for share in shares)


def test_a_merger_of_one_that_has_been_empty_keeps_every_share() -> None:
    """Whichever of both has been empty how often: who has used what is still known."""
    unions = Unions(1_000)
    use(unions, "x", 30, T0, cluster="b")
    use(unions, "y", 30, T0 + 7_200, cluster="b")
    use(unions, "y", 30, T0 + 14_400, cluster="b")
    use(unions, "z", 40, T0 + 14_400)
    use(unions, "z", 1, T0 + 14_400, merged=("b",))
    assert [unions.share(name, COLUMN, T0 + 14_400) for name in "xyz"] == pytest.approx([0.0, 30.0, 41.0])
    use(unions, "y", 1, T0 + 16_200, merged=("b",))
    assert unions.share("y", COLUMN, T0 + 16_200) == pytest.approx(30.0 * 21.0 / 71.0 + 1.0)


def test_in_a_split_each_takes_its_own() -> None:
    """A member that is found to be another cluster's takes its part along; the rest stays."""
    unions = Unions(1_000)
    use(unions, "x", 60)
    use(unions, "y", 40)
    assert use(unions, "y", 100, T0 + 1_800, cluster="b") == 80
    assert unions.level("b", COLUMN, T0 + 1_800) == pytest.approx(100.0)
    assert unions.level("a", COLUMN, T0 + 1_800) == pytest.approx(30.0)
    assert unions.share("x", COLUMN, T0 + 1_800) == pytest.approx(30.0)


def test_going_to_and_fro_gains_nothing() -> None:
    """Accounts that change clusters at every exchange take no more than the limit of the one that is fullest."""
    unions = Unions(1_000)
    taken = sum(use(unions, "x", 1, cluster="ab"[n % 2]) for n in range(400))
    assert taken == 100


def test_after_emptiness_nobody_has_anything_from_before() -> None:
    """Shares end with the level: a member that left a drained cluster takes nothing along."""
    unions = Unions(1_000)
    use(unions, "x", 50)
    use(unions, "y", 50, T0 + 7_200)
    assert unions.share("x", COLUMN, T0 + 7_200) == 0.0
    assert unions.share("y", COLUMN, T0 + 7_200) == pytest.approx(50.0)


def test_shares_stay_true_over_months_without_emptiness() -> None:
    """A cluster that is never idle keeps true shares: what it used long ago fades from them, and numbers don't run out."""
    unions = Unions(1_000)
    now = T0
    use(unions, "silent", 50, now)
    silent = 50.0
    for n in range(8_000):
        now += 600.0
        use(unions, f"m{n % 3}", 30, now)
        held = unions.share("silent", COLUMN, now)
        assert held <= silent
        silent = held
    level = unions.level("a", COLUMN, now)
    assert level > 50.0
    assert sum(unions.share(f"m{n}", COLUMN, now) for n in range(3)) == pytest.approx(level)


def test_what_was_reserved_too_much_comes_back_but_no_more_than_is_left() -> None:
    """A refund lowers the member's own level and the sum; what has drained is not given back twice."""
    unions = Unions(1_000)
    use(unions, "x", 60)
    use(unions, "y", 40)
    unions.add(Member("", "a", "y"), (HOUR,), (-30.0, 0.0, 0.0), T0)
    assert unions.level("a", COLUMN, T0) == pytest.approx(70.0)
    unions.add(Member("", "a", "y"), (HOUR,), (-30.0, 0.0, 0.0), T0)
    assert unions.level("a", COLUMN, T0) == pytest.approx(60.0)
    assert unions.share("x", COLUMN, T0) == pytest.approx(60.0)


def test_one_request_dearer_than_the_limit_passes_on_an_empty_meter_only() -> None:
    """As with every other limit."""
    unions = Unions(1_000)
    member = Member("", "a", "x")
    assert unions.look(member, (), (HOUR,), (150.0, 0.0, 0.0), T0) == []
    unions.add(member, (HOUR,), (150.0, 0.0, 0.0), T0)
    assert unions.look(member, (), (HOUR,), (150.0, 0.0, 0.0), T0 + 60)


def test_kinds_are_apart() -> None:
    """A limit per cluster and model counts each model by itself."""
    unions = Unions(1_000)
    use(unions, "x", 100)
    other = Member("cluster/model:gpt", "a", "x")
    assert unions.look(other, (), (HOUR,), ONE, T0) == []
    unions.add(other, (HOUR,), ONE, T0)
    assert unions.level("a", COLUMN, T0, kind="cluster/model:gpt") == 1.0


def test_without_room_for_members_the_cluster_still_counts() -> None:
    """Beyond the bound what an account uses is the cluster's and nobody's own."""
    unions = Unions(2)
    assert sum(use(unions, f"m{n}", 60) for n in range(4)) == 100
    assert unions.share("m3", COLUMN, T0) == 0.0


def test_a_forgotten_account_takes_its_part_with_it() -> None:
    """Erasing an account leaves what the others have used."""
    unions = Unions(1_000)
    use(unions, "x", 60)
    use(unions, "y", 40)
    assert unions.forget("y", T0) == 1
    assert unions.forget("y", T0) == 0
    assert unions.level("a", COLUMN, T0) == pytest.approx(60.0)


def test_drained_clusters_are_dropped_and_others_stay() -> None:
    """Sweeping frees what is empty: cluster and members."""
    unions = Unions(1_000)
    use(unions, "x", 100)
    use(unions, "y", 100, T0 + 3_000, cluster="b")
    for _ in unions.sweep(T0 + 4_000):
        pass
    assert len(unions) == 1
    assert unions.share("y", COLUMN, T0 + 4_000) > 0.0
    assert use(unions, "x", 200, T0 + 4_000) == 100


def test_members_of_a_dropped_cluster_make_room_for_others() -> None:
    """The table of members is bounded, and those of a cluster that is empty are none any more, whichever wing they came by."""
    unions = Unions(2)
    use(unions, "x", 1, cluster="b")
    use(unions, "y", 1, merged=("b",))
    for _ in unions.sweep(T0 + 4_000):
        pass
    for name in ("v", "w"):
        use(unions, name, 10, T0 + 4_000)
        assert unions.share(name, COLUMN, T0 + 4_000) == 10.0


def test_a_member_who_went_elsewhere_before_the_sweep_ends_stays_there() -> None:
    """A request may come between two slices of the sweep."""
    unions = Unions(10)
    use(unions, "x", 1)
    sweep = unions.sweep(T0 + 4_000)
    for n in range(600):
        unions.look(Member("", f"c{n}", "n"), (), (HOUR,), ONE, T0)
    next(sweep, None)
    use(unions, "x", 5, T0 + 4_000, cluster="other")
    for _ in sweep:
        pass
    assert unions.share("x", COLUMN, T0 + 4_000) == 5.0


def test_a_restart_resets_nothing() -> None:
    """Levels and shares after a merger are the same again, for more members than one piece holds."""
    unions = Unions(10_000)
    rng = random.Random(1)
    for n in range(1_200):
        member = Member("", "ab"[n % 2], f"m{n}")
        unions.look(member, (), (HOUR,), ONE, T0)
        unions.add(member, (HOUR,), (rng.random(), 0.0, 0.0), T0)
    use(unions, "m0", 1, T0 + 60, merged=("b",))
    other = Unions(10_000)
    pieces = json.loads(json.dumps(list(unions.pieces())))
    assert len(pieces) == 3
    for piece in pieces:
        other.restore(piece, T0 + 60)
    assert other.level("a", COLUMN, T0 + 60) == pytest.approx(unions.level("a", COLUMN, T0 + 60))
    for n in range(0, 1_200, 100):
        found = other.share(f"m{n}", COLUMN, T0 + 600), unions.share(f"m{n}", COLUMN, T0 + 600)
        assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize(
    "piece",
    [
        {"union": ["", "a"], "columns": [["l", "requests", "0"]], "meters": [[-1.0, 0.0, 0.0]], "members": {}},
        {"union": ["", "a"], "columns": [["l", "requests", "0"]], "meters": [], "members": {}},
        {"union": ["", "a"]},
        {"union": ["", "a"], "columns": [], "meters": [], "members": []},
    ],
)
def test_a_piece_that_is_none_is_refused(piece: dict[str, object]) -> None:
    """What is no state of clusters' meters raises."""
    with pytest.raises(StateError, match="move the files"):
        Unions(10).restore(piece, T0)

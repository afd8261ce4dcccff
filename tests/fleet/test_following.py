"""What a replica takes up of a leader's frames, and what it passes over."""

from __future__ import annotations

import pytest

from guard.config import load
from guard.errors import StateError
from guard.fleet.following import Follower, Gap
from guard.fleet.frames import Frame, Given, Meter, Seen, packed, read
from guard.pipeline import Guard
from guard.recognition import keeping
from guard.recognition.clusters import Cluster
from guard.recognition.recognition import Recognition
from tests.fleet.conftest import KEY

ONE = Seen(
    "ab" * 16, 1, 3, 4, 9, 77, 0, 5, True, False, 1, 10.0, 20.0, 90.0, 30.0, 40.0, 1.5, 12, -1
)  # fmt: skip


def cluster(number: int = 3) -> dict[str, object]:
    made = Cluster(number, f"c{number}-beef00", 50.0)
    made.nats, made.score, made.linked = 2.0, 0.95, 1
    return keeping.of_cluster(made)


def adopt(follower: Follower, *frames: Frame) -> None:
    for frame in frames:
        for _ in follower.adopt(packed(frame), 100.0):
            pass


def whole(token: int = 1, end: int = 5, held: tuple[int, ...] = (3,), **more: object) -> list[Frame]:
    accounts = (ONE,) if held else (ONE._replace(cluster=0),)
    traits = [(99, 3, True)] if held else []
    told = {"clusters": [cluster(number) for number in held]}
    return [
        Frame(token, 0, 100.0, told, accounts, traits),
        Frame(token, 0, 100.0, {"end": end, "held": list(held), **more}),
    ]


@pytest.fixture
def recognition() -> Recognition:
    return Guard(load("standard"), key=KEY).recognition


def test_a_frame_is_the_same_after_its_way() -> None:
    """Accounts, traits, meters, answers, whatever its size."""
    meters = [Meter(7, 200.0, 0.5, 3.25, 90.0), Meter(0, float("inf"), 0.0, 0.0, 0.0)]
    frame = Frame(5, 6, 7.0, {"seen": 9}, [ONE] * 300, [(1, 2, True), (3, 0, False)], meters, [Given(8, 9, 10, 11.0)])
    back = read(packed(frame))
    assert back == frame._replace(more=dict(frame.more) | {"token": 5, "number": 6, "at": 7.0})
    assert len(packed(frame)) < 300 * 100


@pytest.mark.parametrize("cut", [0, 3, 20, 100, -1])
def test_a_torn_frame_is_refused(cut: int) -> None:
    """As a whole: nothing of it is taken up."""
    for accounts in ([ONE], [ONE] * 300):
        with pytest.raises(StateError):
            read(packed(Frame(5, 6, 7.0, {}, accounts))[:cut])


@pytest.mark.parametrize("bad", [ONE._replace(born=float("nan")), ONE._replace(first_at=float("inf"))])
def test_times_that_can_not_be_are_refused(bad: Seen) -> None:
    """They would make an account old for ever."""
    with pytest.raises(StateError):
        read(packed(Frame(5, 6, 7.0, {}, [bad])))


def test_what_is_told_is_what_the_hot_path_reads(recognition: Recognition) -> None:
    """The account under the leader's number, its cluster by name and trait, and what it has taken today."""
    follower = Follower(recognition)
    assert not follower.taken_up
    adopt(follower, *whole())
    assert follower.taken_up
    known = recognition.accounts.find(ONE.key)
    assert known is not None
    assert recognition.accounts.number(1) is known
    assert (known.cluster, known.bearing, known.count, known.hops) == (3, 4, 9, -1)
    assert recognition.clusters.traits == {99: 3}
    assert recognition.clusters.proven == {99}
    found = recognition.clusters.find("c3-beef00")
    assert found is not None
    assert found.score == 0.95
    assert recognition.ceilings.taken_today(1) == 5


def test_only_the_next_frame_is_taken_up(recognition: Recognition) -> None:
    """An older one and an older leader's are passed over; where some are missing, or another leads, the whole is read first."""
    follower = Follower(recognition)
    frame = Frame(1, 6, 100.0, {})
    with pytest.raises(Gap):
        follower.wants(packed(frame))
    adopt(follower, *whole(token=1, end=5))
    assert follower.wants(packed(frame))
    assert not follower.wants(packed(frame._replace(number=5)))
    assert not follower.wants(packed(frame._replace(token=0, number=99)))
    for ahead in (frame._replace(number=7), frame._replace(token=2, number=1)):
        with pytest.raises(Gap):
            follower.wants(packed(ahead))
    assert follower.lacks(1, 6)
    assert follower.lacks(2, 0)
    assert not follower.lacks(1, 5)
    assert not follower.lacks(0, 9)


def test_what_a_whole_does_not_name_is_no_more_and_only_at_its_end(recognition: Recognition) -> None:
    """A half of one takes nothing away: verdicts hold until the next is there to its end."""
    follower = Follower(recognition)
    adopt(follower, *whole())
    first, last = whole(token=2, held=())
    follower.begin_whole()
    adopt(follower, first._replace(accounts=()))
    assert recognition.clusters.traits == {99: 3}
    known = recognition.accounts.find(ONE.key)
    assert known is not None
    assert known.cluster == 3
    adopt(follower, last)
    assert recognition.clusters.traits == {}
    assert len(recognition.clusters) == 0
    assert known.cluster == 0
    assert (follower.token, follower.number) == (2, 5)


def test_who_has_the_leaders_number_here_gets_another(recognition: Recognition) -> None:
    """Numbers never name two accounts."""
    follower = Follower(recognition)
    other = recognition.accounts.numbered("cd" * 16, 1, 0.0)
    adopt(follower, *whole())
    known = recognition.accounts.find(ONE.key)
    assert known is not None
    assert (known.number, recognition.accounts.number(1)) == (1, known)
    assert other.number != 1
    assert recognition.accounts.number(other.number) is other


def test_meters_are_taken_up_and_given_up(recognition: Recognition) -> None:
    """What all have used of a ceiling, and that it has none any more."""
    follower = Follower(recognition)
    adopt(follower, *whole())
    adopt(follower, Frame(1, 6, 100.0, {}, (), (), [Meter(7, 200.0, 0.5, 150.0, 90.0)]))
    assert recognition.ceilings.told(7) == (200.0, 0.5, 150.0, 90.0)
    adopt(follower, Frame(1, 7, 100.0, {}, (), (), [Meter(7, float("inf"), 0.0, 0.0, 0.0)]))
    assert recognition.ceilings.limited() == []


def test_answers_are_known_by_who_received_them_elsewhere(recognition: Recognition) -> None:
    """So that a conversation that moves is seen wherever it goes on."""
    follower = Follower(recognition)
    adopt(follower, *whole(), Frame(1, 6, 100.0, {}, (), (), (), [Given(4_242, 1, 0, 100.0)]))
    found = recognition.hops.answers.find(4_242, 101.0)
    assert found is not None
    assert found.number == 1


def test_a_cluster_that_is_gone_is_named_no_more(recognition: Recognition) -> None:
    """One that another has taken over goes by the other's name."""
    follower = Follower(recognition)
    adopt(follower, *whole())
    other = Cluster(2, "c2-feed00", 10.0)
    other.merged = ["c3-beef00"]
    told = {"clusters": [keeping.of_cluster(other)], "gone": [3]}
    adopt(follower, Frame(1, 6, 100.0, told, [ONE._replace(cluster=2)], [(99, 2, False)]))
    assert [one.number for one in recognition.clusters] == [2]
    found = recognition.clusters.find("c3-beef00")
    assert found is not None
    assert found.number == 2

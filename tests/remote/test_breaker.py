"""A store that doesn't answer is found out by a few calls, and found again within a second."""

from __future__ import annotations

import pytest

from guard.remote.breaker import Breaker

T0 = 1_700_000_000.0
DEADLINE_S = 0.025


class World:
    """Calls at a steady rate against a store that is up when ``up`` says so. Time passes in milliseconds."""

    def __init__(self, breaker: Breaker, *, hangs: bool, every_s: float = 0.005) -> None:
        self.breaker = breaker
        self.hangs = hangs
        self.every = max(1, round(every_s * 1000))
        self.ms = 0
        self.paid = 0
        self.asked = 0
        self.closed_ms: list[int] = []
        self._ends: list[tuple[int, bool]] = []

    def run(self, ms: int, up: object) -> None:
        for _ in range(ms):
            self.ms += 1
            now = T0 + self.ms / 1000
            is_up = up(self.ms) if callable(up) else up
            for end, probe in [end for end in self._ends if end[0] <= self.ms]:
                self._ends.remove((end, probe))
                self.breaker.failed(now)
            before = self.breaker.state
            if self.breaker.probe_due(now):
                self._call(now, is_up, probe=True)
            if self.ms % self.every == 0 and self.breaker.allows(now):
                self.asked += 1
                self._call(now, is_up, probe=False)
            if before != "closed" and self.breaker.state == "closed":
                self.closed_ms.append(self.ms)

    def _call(self, now: float, is_up: object, *, probe: bool) -> None:
        if is_up:
            self.breaker.succeeded(now)
        elif self.hangs:
            # One connection: the next call goes out when this one is given up.
            if not any(not probing for _, probing in self._ends):
                self.paid += not probe
                self._ends.append((self.ms + round(DEADLINE_S * 1000), probe))
        else:
            self.paid += not probe
            self.breaker.failed(now, lost=True)


def test_a_hang_is_paid_for_by_five_calls_at_most() -> None:
    """Three in a row open it; nobody else waits, however long it lasts."""
    world = World(Breaker(T0), hangs=True)
    world.run(1_000, up=True)
    world.run(5_000, up=False)

    assert 1 <= world.paid <= 5
    assert world.breaker.state == "open"


def test_a_lost_connection_opens_it_at_once() -> None:
    """What else was asked on that connection is lost too, so there is nothing to find out."""
    breaker = Breaker(T0)
    breaker.failed(T0 + 1, lost=True)

    assert (breaker.state, breaker.since, breaker.opened) == ("open", T0 + 1, 1)
    assert not breaker.allows(T0 + 1)


@pytest.mark.parametrize("hangs", [True, False])
def test_a_store_that_is_back_is_used_within_a_second(hangs: bool) -> None:
    world = World(Breaker(T0), hangs=hangs)
    world.run(500, up=True)
    world.run(5_000, up=False)
    back = world.ms
    world.run(1_000, up=True)

    assert world.closed_ms[0] - back <= 400
    assert world.breaker.allows(T0 + world.ms / 1000)


@pytest.mark.parametrize("hangs", [True, False])
@pytest.mark.parametrize(("up_ms", "down_ms"), [(200, 200), (300, 100), (400, 400), (700, 200)])
def test_one_that_comes_and_goes_is_not_believed_each_time(hangs: bool, up_ms: int, down_ms: int) -> None:
    """Twenty phases: an up-phase that is long enough to be believed costs two calls, not three, and a short one is soon not
    believed at all; when the store stays, it is back within a second."""
    world = World(Breaker(T0), hangs=hangs)
    world.run(20 * (up_ms + down_ms), up=lambda ms: ms % (up_ms + down_ms) < up_ms)
    phases = 20

    assert world.paid <= (8 if up_ms <= 400 else 2 * phases + 3)

    back = world.ms
    world.run(1_000, up=True)
    assert world.breaker.state == "closed"
    assert not world.closed_ms or world.closed_ms[-1] - back <= 800


def test_one_late_reply_just_after_it_is_back_opens_nothing() -> None:
    """A connection has to be made anew, a machine was busy for a moment; two in a row open it, and so does one that is lost."""
    for failures, lost, state in ((1, False, "closed"), (2, False, "open"), (1, True, "open")):
        breaker = Breaker(T0, closed=False)
        assert breaker.probe_due(T0)
        breaker.succeeded(T0)
        for _ in range(failures):
            breaker.failed(T0 + 0.2, lost)
        assert breaker.state == state


def test_some_late_replies_open_nothing() -> None:
    """One in a hundred that comes too late is answered from here; the others are still asked there."""
    breaker = Breaker(T0)
    for number in range(5_000):
        breaker.failed(T0 + number) if number % 100 == 0 else breaker.succeeded(T0 + number)

    assert breaker.opened == 0


def test_every_second_call_failing_opens_it() -> None:
    """Never three in a row, and yet half of all requests would wait for nothing."""
    breaker = Breaker(T0)
    for number in range(20):
        breaker.failed(T0 + number) if number % 2 else breaker.succeeded(T0 + number)

    assert breaker.state == "open"


def test_what_went_out_before_it_opened_closes_nothing() -> None:
    """A good reply to an older call is no probe's."""
    breaker = Breaker(T0)
    breaker.failed(T0, lost=True)
    for _ in range(10):
        breaker.succeeded(T0 + 0.01)

    assert breaker.state == "open"


def test_a_probe_goes_out_ten_times_a_second() -> None:
    breaker = Breaker(T0)
    breaker.failed(T0, lost=True)
    due = [breaker.probe_due(T0 + ms / 1000) for ms in range(1, 1_001)]

    assert 9 <= sum(due) <= 11


def test_a_store_that_nobody_has_reached_yet_is_used_from_the_first_good_probe_on() -> None:
    """At start there is no outage to be careful about."""
    breaker = Breaker(T0, closed=False)

    assert not breaker.allows(T0)
    assert breaker.probe_due(T0)
    breaker.succeeded(T0)
    assert breaker.allows(T0)


def test_since_is_the_beginning_of_the_outage() -> None:
    """A probe that came back in between doesn't make it a younger one."""
    breaker = Breaker(T0)
    breaker.failed(T0 + 5, lost=True)
    assert breaker.probe_due(T0 + 6)
    breaker.succeeded(T0 + 6)
    assert (breaker.state, breaker.condition()["since"]) == ("half-open", T0 + 5)

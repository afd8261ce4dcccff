"""What replicas tell each other of accounts that were refused: nobody finds a fresh limit where nobody has seen him."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest

from guard.charges import Bill, Slots
from guard.remote import names
from guard.remote.hearsay import Hearsay
from guard.remote.link import Trouble
from guard.remote.views import Views
from guard.settings import State
from guard.stores.redis import RedisStore
from tests.remote.model import tariff
from tests.servers import Server

T0 = 1_700_000_000.0
ALICE, BOB = "a" * 32, "b" * 32
OWN = tariff(("requests", 100.0, 1_000.0))
TOLD = struct.Struct("<d")


def bill(subject: str = ALICE, of: Any = OWN) -> Bill:
    return Bill(of, subject, (1.0, 0.0, 0.0))


def one(level: float, subject: str = ALICE) -> Hearsay:
    """A replica that has seen one account at a level, and refused it."""
    views = Views(100)
    views.saw(bill(subject), (level,), T0, 5.0, T0)
    made = Hearsay(views)
    made.refused(subject)
    return made


def test_what_one_tells_the_other_hears() -> None:
    """The level, drained since it was told; of who was not refused nothing is known."""
    there = Hearsay(Views(100))
    there.hears([TOLD.pack(T0 + 1) + one(90.0).says(T0)], T0 + 11, T0 + 50)

    assert there.raised(bill(), (0.0,), T0 + 50) == pytest.approx((89.0,))
    assert there.raised(bill(), (0.0,), T0 + 90) == pytest.approx((85.0,))
    assert there.raised(bill(), (95.0,), T0 + 50) == (95.0,)
    assert there.raised(bill(BOB), (3.0,), T0 + 50) == (3.0,)


def test_who_has_drained_is_told_of_no_longer() -> None:
    """Half of a limit is not full; what is forgotten is not told either."""
    here = one(60.0)
    assert here.says(T0)
    assert not here.says(T0 + 200)
    assert not here.says(T0)
    erased = one(90.0)
    erased.forget(ALICE)
    assert not erased.says(T0)


def test_the_latest_word_counts() -> None:
    there = Hearsay(Views(100))
    told = [TOLD.pack(T0) + one(90.0).says(T0), TOLD.pack(T0 + 5) + one(70.0).says(T0)]
    for order in (told, told[::-1]):
        there.hears(order, T0 + 5, T0 + 5)
        assert there.raised(bill(), (0.0,), T0 + 5) == pytest.approx((70.0,))
    there.hears([], T0 + 6, T0 + 6)
    assert there.raised(bill(), (0.0,), T0 + 6) == (0.0,)


@pytest.mark.parametrize(
    "said",
    [b"", b"x", TOLD.pack(float("nan")) + b"x", TOLD.pack(T0) + b"\xff" * 50, TOLD.pack(T0 - 100) + one(90.0).says(T0),
     TOLD.pack(T0 + 100) + one(90.0).says(T0), TOLD.pack(T0) + one(90.0).says(T0)[:-3],
     TOLD.pack(T0) + one(90.0).says(T0)[:-8] + TOLD.pack(float("inf")), TOLD.pack(T0) + one(90.0).says(T0)[:-8] + TOLD.pack(-1e9),
     TOLD.pack(T0) + b"\x05\x00\xff\xff\xff\xff\xff"],
)  # fmt: skip
def test_what_is_no_such_word_is_not_heard(said: bytes) -> None:
    """SECURITY 111: it stands in a store where others may write; too old, of the future, cut off, no numbers, no text."""
    there = Hearsay(Views(100))
    there.hears([said, TOLD.pack(T0) + one(80.0, BOB).says(T0)], T0, T0)

    assert there.raised(bill(), (0.0,), T0) == (0.0,)
    assert there.raised(bill(BOB), (0.0,), T0) == (80.0,)


def test_a_few_are_told_of_at_a_time() -> None:
    """Those refused last; however many are refused, what is told has a bound."""
    views = Views(1_000)
    here = Hearsay(views, most=8)
    for number in range(500):
        views.saw(bill(f"{number:032x}"), (100.0,), T0, 5.0, T0)
        here.refused(f"{number:032x}")
    said = here.says(T0)
    there = Hearsay(Views(100))
    there.hears([TOLD.pack(T0) + said], T0, T0)

    assert len(said) <= 8 * 100
    assert there.raised(bill(f"{499:032x}"), (0.0,), T0) == (100.0,)
    assert there.raised(bill(f"{400:032x}"), (0.0,), T0) == (0.0,)


def test_users_within_an_account_are_told_apart() -> None:
    """Meters of one record by their own names."""
    views = Views(100)
    each = tariff(("requests", 10.0, 1_000.0), kind="user")
    views.saw(bill(f"{ALICE}/one", each), (10.0,), T0, 5.0, T0)
    views.saw(bill(f"{ALICE}/two", each), (1.0,), T0, 6.0, T0)
    here, there = Hearsay(views), Hearsay(Views(100))
    here.refused(ALICE)
    there.hears([TOLD.pack(T0) + here.says(T0)], T0, T0)

    assert [there.raised(bill(f"{ALICE}/{who}", each), (0.0,), T0) for who in ("one", "two", "three")] == [
        (10.0,),
        (1.0,),
        (0.0,),
    ]


@pytest.mark.anyio
async def test_who_has_used_up_his_limit_elsewhere_finds_none_in_an_outage(own_server: Server) -> None:
    """An account's exchanges all came to one of four replicas, which refused it. Then the store goes, and it goes to the others: what
    it gets there is not three quarters of a fresh limit. Who never was refused has its share there as ever."""
    now = time.time()
    of = tariff(("requests", 100.0, 3_600.0))
    stores = [RedisStore(State(store=own_server.url, deadline_s=5.0, replicas=4), replica=f"r{n}") for n in range(4)]

    async def hit(number: int, subject: str) -> bool:
        taken, _ = await stores[number].reserve([bill(subject, of)], Slots((), now + 900), now)
        return taken.refused < 0

    for store in stores:
        await store.open()
    assert sum([await hit(0, ALICE) for _ in range(105)]) == 100
    assert sum([await hit(0, BOB) for _ in range(10)]) == 10
    for store in stores:
        assert await store._home._asked() is None  # a beat
    assert int(own_server.call("PTTL", names.NEAR)) > 0
    own_server.kill()
    for store in stores:
        store._failed(Trouble("lost"))
    moved = [sum([await hit(number, ALICE) for _ in range(60)]) for number in (1, 2, 3)]
    honest = [sum([await hit(number, BOB) for _ in range(60)]) for number in (1, 2, 3)]
    for store in stores:
        await store.close()

    # A meter with a level below what fits lets one more through at most, here as there.
    assert max(moved) <= 1, moved
    assert min(honest) == 25, honest

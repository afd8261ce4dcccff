"""Who is peeled off a convicted group: accounts with a chance word of it, and accounts that live in sessions."""

from __future__ import annotations

import random
from array import array

from guard.recognition.families import FOUNDERS, Family
from guard.recognition.groups import Observed
from guard.recognition.peeling import COMMON, FEWEST_SHORT_GAPS, outsiders

T0 = 1_790_000_000.0
SHARED = 7
TEMPLATE = [101, 102, 103]


def event(at: float, number: int, *traits: int) -> Observed:
    return Observed(T0 + at, number, array("Q", traits).tobytes(), 0, b"", 0.0, 1, 0, 0, 0, 0)


def queue(count: int, every_s: float = 600.0) -> list[Observed]:
    """A template's exchanges, dealt out over twenty accounts one after the other."""
    return [event(n * every_s, 1 + n % 20, SHARED, *TEMPLATE) for n in range(count)]


def test_a_queue_peels_nobody_off() -> None:
    assert outsiders(queue(200), SHARED) == set()


def test_who_shows_the_shared_trait_alone_is_apart() -> None:
    """Where the others show more of the template than the one trait that the group was found by."""
    chance = [event(10.0 + n, 50, SHARED, 9_000 + n) for n in range(2)]
    assert outsiders([*queue(200), *chance], SHARED) == {50}


def test_one_exchange_with_the_template_makes_an_account_the_groups() -> None:
    mixed = [event(10.0, 50, SHARED, 9_000), event(90_000.0, 50, SHARED, TEMPLATE[1])]
    assert outsiders([*queue(200), *mixed], SHARED) == set()


def test_where_no_other_trait_is_common_nobody_is_apart() -> None:
    """Each exchange has the shared trait and others of its own: there is no template to fall short of."""
    events = [event(600.0 * n, 1 + n % 20, SHARED, 10_000 + n, 20_000 + n) for n in range(200)]
    assert outsiders(events, SHARED) == set()


def test_a_trait_is_common_from_a_quarter_on() -> None:
    """Also among traits whose low bits are the same: only whole hashes are counted."""
    rare, common = 5, 5 + (1 << 16)
    often = int(COMMON * 200)
    events = [event(600.0 * n, 1 + n, SHARED, common if n < often else rare + ((n + 2) << 16)) for n in range(200)]
    assert outsiders(events, SHARED) == set(range(1 + often, 201))
    assert (
        outsiders([event(600.0 * n, 1 + n, SHARED, common if n < often - 1 else 3 + n) for n in range(200)], SHARED)
        == set()
    )


def test_exchanges_without_traits_speak_for_nobody() -> None:
    """A group that was just made has none of its first exchanges' traits."""
    assert outsiders([event(600.0 * n, 1 + n % 20) for n in range(100)], SHARED) == set()


def test_who_lives_in_sessions_is_apart() -> None:
    """An account whose exchanges come in rows, in a group whose others' don't; fewer short gaps than that are chance."""
    row = [event(30_000.0 + 60.0 * n, 50, SHARED, *TEMPLATE) for n in range(6)]
    events = sorted([*queue(200), *row], key=lambda one: one.at)
    assert outsiders(events, SHARED) == {50}
    short = sorted([*queue(200), *row[:FEWEST_SHORT_GAPS]], key=lambda one: one.at)
    assert outsiders(short, SHARED) == set()


def test_where_most_live_in_sessions_it_tells_nobody_apart() -> None:
    events = [
        event(40_000.0 * account + 60.0 * n, account, SHARED, *TEMPLATE) for account in range(10) for n in range(6)
    ]
    assert outsiders(events, SHARED) == set()


def test_the_order_of_accounts_within_a_moment_changes_nothing() -> None:
    """Accounts come mixed; each one's own order in time is what counts."""
    chance = random.Random(4)
    row = [event(30_000.0 + 60.0 * n, 50, SHARED, *TEMPLATE) for n in range(6)]
    events = [*queue(300), *row]
    chance.shuffle(events)
    assert outsiders(sorted(events, key=lambda one: one.at), SHARED) == {50}


def test_a_family_whose_founders_are_all_there_keeps_them_and_no_more_room() -> None:
    family = Family(1, T0)
    for n in range(FOUNDERS):
        family.numbers.append(n)
        family.times.append(T0 + n)
        family.slots.append(n)
    before = family.times.__sizeof__()
    family.full()
    assert family.times.__sizeof__() < before
    assert (list(family.numbers), family.times[-1]) == (list(range(FOUNDERS)), T0 + FOUNDERS - 1)

"""Ceilings and the pool: joint limits of accounts without standing, by trait and all together."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from guard.recognition.ceilings import APART, LEAST, POOL_LEAST, Ceilings, Over

HOUR, DAY = 3_600.0, 86_400.0
START = 1_700_000_000.0
OLD = 100_000
"""Accounts from this number on have standing."""

Event = tuple[float, int, tuple[int, ...]]


def run(ceilings: Ceilings, events: Iterable[Event]) -> list[tuple[Event, Over | None]]:
    """Plays events (time, account, traits) in order of time, as a replay would; what came of each."""
    played = []
    for event in sorted(events):
        at, number, values = event
        fresh = number < OLD
        for _ in ceilings.tick(at):
            pass
        played.append((event, ceilings.over(values, number, at) if fresh else None))
        ceilings.note(values, number, at, fresh=fresh)
    return played


def limited(played: Sequence[tuple[Event, Over | None]]) -> list[Event]:
    """The events that found no room."""
    return [event for event, over in played if over is not None]


def passed(played: Sequence[tuple[Event, Over | None]]) -> list[Event]:
    """The events that passed."""
    return [event for event, over in played if over is None]


def trait(name: str) -> int:
    """A trait's value: any number of 64 bits that is always the same for a name."""
    return random.Random(name).getrandbits(64)


TEMPLATE = tuple(trait(f"template {n}") for n in range(10))


def ordinary(days: float, begin: float = START, *, accounts: int = 400, a_day: int = 30, seed: int = 1) -> list[Event]:
    """Accounts of standing, each with its own texts; a tenth of them write with the same popular tool."""
    rng = random.Random(seed)
    events = []
    for _ in range(int(days * accounts * a_day)):
        number = OLD + rng.randrange(accounts)
        tool = (trait("popular tool"),) if number % 10 == 0 else ()
        events.append((begin + rng.random() * days * DAY, number, (*tool, rng.getrandbits(64), trait(f"own {number}"))))
    return events


@pytest.fixture
def learned() -> tuple[Ceilings, float]:
    """Ceilings that have learned what is usual, and what time it is then."""
    ceilings = Ceilings(200_000)
    run(ceilings, ordinary(1.0))
    now = START + DAY + 60.0
    run(ceilings, [(now, OLD, ())])
    assert not ceilings.learning()
    return ceilings, now


def spread(  # noqa: PLR0917 - a table of traffic reads best in one line
    rng: random.Random, begin: float, hours: float, accounts: Iterable[int], each: int, values: tuple[int, ...]
) -> list[Event]:
    """So many exchanges of each account within some hours, each with a text of its own besides."""
    return [
        (begin + rng.random() * hours * HOUR, number, (*values, rng.getrandbits(64)))
        for number in accounts
        for _ in range(each)
    ]


# -- campaigns ---------------------------------------------------------------------------------------------------------


def test_a_burst_of_fresh_accounts_is_held_to_its_ceiling(learned: tuple[Ceilings, float]) -> None:
    """A hundred fresh accounts that send 1,000 an hour for six hours take what is left at once and 200 an hour, and the first
    three a day of each; everybody's first three pass."""
    ceilings, now = learned
    played = run(ceilings, spread(random.Random(2), now, 6.0, range(1, 101), 60, TEMPLATE))
    through = passed(played)
    # Before twenty accounts are seen there is no ceiling: within a minute or two here.
    assert len(through) <= LEAST + 6 * LEAST + 100
    assert len(through) >= 6 * LEAST
    ranks: Counter[int] = Counter()
    for (_, number, _), over in played:
        ranks[number] += 1
        if ranks[number] <= 3:
            assert over is None
    last_hours = [at for at, _, _ in through if at > now + 3 * HOUR]
    assert len(last_hours) <= 3 * LEAST * 1.05
    reasons = {over.reason for _, over in played if over is not None}
    assert reasons == {"ceiling"}
    assert all(45.0 <= over.wait_s <= 60.0 for _, over in played if over is not None)


def test_newcomers_who_are_known_to_live_apart_are_allowed_more_but_not_anything(
    learned: tuple[Ceilings, float],
) -> None:
    """Four times the least for as long as that is so, and what was used before stays used; people can be imitated."""
    ceilings, now = learned
    apart = set(TEMPLATE)
    ceilings.apart = apart.__contains__
    through = passed(run(ceilings, spread(random.Random(2), now, 6.0, range(1, 101), 60, TEMPLATE)))
    assert 6 * APART * LEAST <= len(through) <= (6 + 1) * APART * LEAST + 100

    apart.clear()
    later = passed(run(ceilings, spread(random.Random(3), now + 6 * HOUR, 6.0, range(101, 201), 60, TEMPLATE)))
    assert len(later) <= 6 * LEAST + APART * LEAST + 300


def test_ten_traits_of_one_template_count_once(learned: tuple[Ceilings, float]) -> None:
    """An exchange that carries ten traits of a template uses one place of each ceiling: as many pass as with one trait."""
    ceilings, now = learned
    many = len(passed(run(ceilings, spread(random.Random(3), now, 2.0, range(1, 101), 20, TEMPLATE))))
    other = Ceilings(200_000)
    run(other, ordinary(1.0))
    one = len(passed(run(other, spread(random.Random(3), now, 2.0, range(1, 101), 20, TEMPLATE[:1]))))
    assert many == one


def test_a_trait_that_stands_twice_in_one_exchange_counts_once(learned: tuple[Ceilings, float]) -> None:
    """The same shingle in system prompt and turn is one trait."""
    ceilings, now = learned
    twice = spread(random.Random(4), now, 0.5, range(1, 41), 4, (TEMPLATE[0], TEMPLATE[0]))
    assert not limited(run(ceilings, twice))
    used, room, _ = ceilings.ceiling(TEMPLATE[0], now + HOUR / 2) or (0.0, 0.0, 0.0)
    assert room == LEAST
    assert used <= 160


def test_the_tightest_of_several_ceilings_decides(learned: tuple[Ceilings, float]) -> None:
    """What a second trait has left doesn't help where the first has nothing left, and the first is named."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(5), now, 1.0, range(1, 101), 20, (TEMPLATE[0],)))
    played = run(ceilings, spread(random.Random(6), now + HOUR, 0.1, range(1, 41), 3, TEMPLATE[:2]))
    assert {over.trait for _, over in played if over is not None} == {TEMPLATE[0]}


def test_of_two_full_ceilings_the_one_that_allows_least_is_named(learned: tuple[Ceilings, float]) -> None:
    """The operator reads which trait holds an exchange back, in whatever order the traits stand."""
    ceilings, now = learned
    rng = random.Random(37)
    wide = (trait("wide"),)
    for day in range(5):
        quiet = [(now + day * DAY + rng.random() * 10 * HOUR, 1 + n % 900, wide) for n in range(9_000)]
        run(ceilings, quiet)
    now += 5 * DAY
    run(ceilings, spread(rng, now, 1.0, range(1, 101), 400, (*wide, TEMPLATE[0])))
    run(ceilings, spread(rng, now + HOUR, 0.5, range(101, 900), 30, wide))
    found = [ceilings.ceiling(value, now + 1.5 * HOUR) for value in (*wide, TEMPLATE[0])]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][2] > found[1][2]
    for values in (wide, TEMPLATE[:1]):
        for n in range(5_000):
            ceilings.over(values, 1 + n % 100, now + 1.5 * HOUR)
    for values in ((*wide, TEMPLATE[0]), (TEMPLATE[0], *wide)):
        over = ceilings.over(values, 1, now + 1.5 * HOUR)
        assert over is not None
        assert over.trait == TEMPLATE[0]


def test_what_passes_a_full_ceiling_leaves_no_debt(learned: tuple[Ceilings, float]) -> None:
    """400 accounts' first three exchanges in an hour fill the ceiling and no more: an hour later there is room again."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(38), now, 1.0, range(1, 401), 3, TEMPLATE))
    assert not limited(run(ceilings, spread(random.Random(39), now + 2 * HOUR, 0.2, range(1, 401, 5), 1, TEMPLATE)))


def test_a_refused_exchange_makes_no_account_heavier(learned: tuple[Ceilings, float]) -> None:
    """Who tries again and again has taken no more than before."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(2), now, 1.0, range(1, 101), 20, TEMPLATE))
    before = ceilings._today.rank(7)
    tries = [ceilings.over(TEMPLATE, 7, now + HOUR) for _ in range(500)]
    assert ceilings._today.rank(7) - before == tries.count(None) < 250


def test_what_finds_no_room_is_booked_nowhere(learned: tuple[Ceilings, float]) -> None:
    """An exchange that one ceiling stops leaves the others as they were."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(5), now, 1.0, range(1, 101), 20, (TEMPLATE[0],)))
    at = now + HOUR
    run(ceilings, [(at, number, (TEMPLATE[1],)) for number in range(1, 41)])
    for number in range(100 * 50):
        ceilings.over(TEMPLATE[:1], 1 + number % 100, at)
    before = ceilings.ceiling(TEMPLATE[1], at)
    assert all([ceilings.over(TEMPLATE[:2], number, at) is not None for number in range(1, 101)])
    assert before is not None
    assert ceilings.ceiling(TEMPLATE[1], at) == before


def test_a_campaign_does_not_make_its_own_trait_common(learned: tuple[Ceilings, float]) -> None:
    """A campaign of more accounts and more exchanges than all others together still has a ceiling."""
    ceilings, now = learned
    events = spread(random.Random(7), now, 3.0, range(1, 901), 20, TEMPLATE) + ordinary(3 / 24, now, seed=8)
    played = run(ceilings, events)
    heavy = [event for event in passed(played) if event[1] < OLD]
    assert len(heavy) <= 900 * 3 + 4 * LEAST


def test_a_day_of_taking_all_does_not_triple_the_ceiling(learned: tuple[Ceilings, float]) -> None:
    """The days before a trait first came count as days without: its allowance is the same on the second and third day."""
    ceilings, now = learned
    rng = random.Random(9)
    for day in range(3):
        events = spread(rng, now + day * DAY, 24.0, range(1, 101), 100, TEMPLATE[:1]) + ordinary(1.0, now + day * DAY)
        through = [event for event in passed(run(ceilings, events)) if event[1] < OLD]
        assert len(through) <= 25 * LEAST + 100


def test_refused_exchanges_are_no_history(learned: tuple[Ceilings, float]) -> None:
    """Hammering at a ceiling for a week doesn't raise it beyond what was let through."""
    ceilings, now = learned
    rng = random.Random(10)
    for day in range(6):
        run(ceilings, spread(rng, now + day * DAY, 24.0, range(1, 41), 300, TEMPLATE[:1]))
    found = ceilings.ceiling(TEMPLATE[0], now + 6 * DAY)
    assert found is not None
    assert found[2] <= 1.5 * (25 * LEAST + 40 * 3 + 20) / 24


def test_light_accounts_are_served_first(learned: tuple[Ceilings, float]) -> None:
    """Near the ceiling fifty heavy accounts get out of the way of fifty light ones: nearly all that the light ones ask passes."""
    ceilings, now = learned
    rng = random.Random(11)
    run(ceilings, spread(rng, now, 2.0, range(1, 51), 60, TEMPLATE))
    light = spread(rng, now + 2 * HOUR, 4.0, range(51, 101), 8, TEMPLATE)
    heavy = spread(rng, now + 2 * HOUR, 4.0, range(1, 51), 120, TEMPLATE)
    played = run(ceilings, light + heavy)
    refused = [event for event in limited(played) if event[1] > 50]
    assert len(refused) <= 0.1 * len(light)
    by_heavy = [event for event in passed(played) if event[1] <= 50]
    assert len(by_heavy) >= 200  # what the light ones leave is used


def test_not_enforced_everything_is_booked_and_told(learned: tuple[Ceilings, float]) -> None:
    """In mode observe what would be limited is told, passes, and counts as history."""
    ceilings, now = learned
    told = 0
    for n, (at, number, values) in enumerate(sorted(spread(random.Random(2), now, 1.0, range(1, 101), 20, TEMPLATE))):
        told += ceilings.over(values, number, at, enforced=False) is not None
        ceilings.note(values, number, at, fresh=True)
        assert n < 2_000
    assert told > 1_000
    assert ceilings._joint.taken(0, 0) == 2_000


# -- the pool ----------------------------------------------------------------------------------------------------------


def week(ceilings: Ceilings, a_day: int) -> float:
    """A week of quiet fresh accounts without any common trait; the time after it."""
    rng = random.Random(12)
    for day in range(8):
        begin = START + day * DAY
        run(ceilings, [(begin + rng.random() * DAY, 1 + rng.randrange(900), ()) for _ in range(a_day)])
    return START + 8 * DAY


def test_without_any_common_trait_the_pool_holds() -> None:
    """After a week of 100 an hour, fresh accounts that share nothing take together no more than three times that, or the least."""
    ceilings = Ceilings(200_000)
    now = week(ceilings, 4_800)
    found = ceilings.ceiling(0, now)
    assert found is not None
    assert found[1] == pytest.approx(POOL_LEAST, rel=0.15)
    rng = random.Random(13)
    played = run(
        ceilings, [(now + rng.random() * 4 * HOUR, 1_000 + n % 20_000, (rng.getrandbits(64),)) for n in range(40_000)]
    )
    assert len(passed(played)) <= 5 * found[1] * 1.1
    assert {over.reason for _, over in played if over is not None} == {"pool"}
    assert {over.trait for _, over in played if over is not None} == {0}


def test_the_first_three_pass_only_while_the_pool_has_room() -> None:
    """An account's very first exchange is limited when the pool is empty."""
    ceilings = Ceilings(200_000)
    now = week(ceilings, 480)
    run(ceilings, [(now + n / 100, 2_000 + n, ()) for n in range(5_000)])
    over = ceilings.over((), 90_000, now + 50.0)
    assert over is not None
    assert over.reason == "pool"


def test_there_is_no_pool_without_a_week_of_history(learned: tuple[Ceilings, float]) -> None:
    """On the second day fresh accounts that share nothing are not held."""
    ceilings, now = learned
    rng = random.Random(14)
    assert not limited(
        run(ceilings, [(now + rng.random() * HOUR, 1 + n % 900, (rng.getrandbits(64),)) for n in range(9_000)])
    )


# -- learning ----------------------------------------------------------------------------------------------------------


def test_nothing_is_enforced_while_guard_learns() -> None:
    """On the first day without accounts of standing nothing is limited, and health says why."""
    ceilings = Ceilings(200_000)
    assert not limited(run(ceilings, spread(random.Random(15), START, 10.0, range(1, 101), 100, TEMPLATE)))
    assert "learns what is usual" in ceilings.learning()
    assert "10000" in ceilings.learning()


def test_ten_thousand_exchanges_end_learning_where_many_have_standing() -> None:
    """A large deployment that states its accounts' ages need not wait a day."""
    ceilings = Ceilings(200_000)
    run(ceilings, ordinary(10_001 / 12_000))
    run(ceilings, [(START + 0.9 * DAY, OLD, ())])
    assert not ceilings.learning()


def test_ten_thousand_exchanges_of_young_accounts_do_not_end_learning() -> None:
    """Nobody among them shows what is usual."""
    ceilings = Ceilings(200_000)
    run(ceilings, spread(random.Random(40), START, 10.0, range(1, 501), 25, ()))
    assert ceilings.learning()


def test_what_was_there_when_learning_ended_may_grow_threefold() -> None:
    """A tool that 80 accounts without standing use 4,800 times a day is no campaign because guard is new: it may go on, and
    use twice that in eight hours."""
    ceilings = Ceilings(200_000)
    rng = random.Random(16)
    tool = (trait("tool"),)
    run(ceilings, spread(rng, START, 23.9, range(1, 81), 60, tool) + ordinary(0.99))
    run(ceilings, [(START + DAY + 1, OLD, ())])
    assert not ceilings.learning()
    events = spread(rng, START + DAY + HOUR, 8.0, range(1, 81), 110, tool)
    assert not limited(run(ceilings, events))


def test_without_standing_anywhere_what_a_quarter_showed_from_the_start_is_common() -> None:
    """The operator's own prompt, which everybody sends, has no ceiling where no account's age is known."""
    ceilings = Ceilings(200_000)
    rng = random.Random(17)
    app = (trait("the operator's app"),)
    run(ceilings, spread(rng, START, 23.9, range(1, 301), 3, app))
    run(ceilings, [(START + DAY + 1, 1, ())])
    assert ceilings.ceiling(app[0], START + DAY + 1) is None
    assert not limited(run(ceilings, spread(rng, START + DAY + 2, 1.0, range(1, 301), 10, app)))


# -- honest look-alikes ------------------------------------------------------------------------------------------------


def test_a_viral_launch_is_not_touched(learned: tuple[Ceilings, float]) -> None:
    """130 accounts of today with one new tool, four exchanges each, all within three hours."""
    ceilings, now = learned
    assert not limited(run(ceilings, spread(random.Random(18), now, 3.0, range(1, 131), 4, TEMPLATE)))


def test_a_course_is_not_touched(learned: tuple[Ceilings, float]) -> None:
    """140 students, young accounts, one tutor's prompt, fifteen exercises over an evening, a day and the next evening."""
    ceilings, now = learned
    rng = random.Random(19)
    events = []
    for exercise in range(15):
        begin = now + (exercise // 5) * DAY / 2
        values = (trait("tutor"), trait(f"exercise {exercise}"), trait(f"exercise {exercise} closing"))
        events += spread(rng, begin, 5.0, range(1, 141), 1, values)
    assert not limited(run(ceilings, events))


def test_a_campus_evening_is_not_touched(learned: tuple[Ceilings, float]) -> None:
    """150 young accounts with the same homework in the same two hours, three or four times each."""
    ceilings, now = learned
    rng = random.Random(20)
    events = spread(rng, now, 2.0, range(1, 151), 3, (trait("homework"),))
    events += spread(rng, now, 2.0, range(1, 76), 1, (trait("homework"),))
    assert not limited(run(ceilings, events))


def test_one_accounts_harness_is_no_span(learned: tuple[Ceilings, float]) -> None:
    """An evaluation of 20,000 prompts with one template by one account has no ceiling."""
    ceilings, now = learned
    assert not limited(run(ceilings, spread(random.Random(21), now, 2.0, [1], 20_000, TEMPLATE)))
    assert ceilings.ceiling(TEMPLATE[0], now) is None


def test_a_frameworks_businesses_are_not_touched(learned: tuple[Ceilings, float]) -> None:
    """80 businesses with one published template, ten a day each, of which half have standing."""
    ceilings, now = learned
    accounts = [*range(1, 41), *range(OLD + 1_000, OLD + 1_040)]
    assert not limited(run(ceilings, spread(random.Random(22), now, 24.0, accounts, 10, TEMPLATE)))


def test_a_popular_trait_has_no_ceiling(learned: tuple[Ceilings, float]) -> None:
    """What a tenth of the accounts of standing show says nothing about the fresh accounts that show it."""
    ceilings, now = learned
    tool = (trait("popular tool"),)
    run(ceilings, spread(random.Random(23), now, 0.5, range(1, 30), 1, tool) + ordinary(0.5, now, seed=24))
    events = spread(random.Random(25), now + DAY / 2, 1.0, range(1, 101), 20, tool)
    assert not limited(run(ceilings, events))


def test_a_tool_of_some_standing_is_allowed_its_share_of_the_fresh() -> None:
    """A tool that 3 % of the accounts of standing use may be three times that share of what fresh accounts take, without any
    history of its own among them."""
    ceilings = Ceilings(200_000)
    run(ceilings, ordinary(1.0, accounts=1_000, a_day=12))
    now = START + DAY + 60.0
    tool = (trait("lesser tool"),)
    owners = spread(random.Random(26), now, 20.0, range(OLD + 2_000, OLD + 2_030), 2, tool)
    others = spread(random.Random(27), now, 20.0, range(1, 800), 150, ())
    users = spread(random.Random(28), now, 4.0, range(800, 825), 4, tool)
    run(ceilings, owners + others + users + ordinary(0.9, now, accounts=1_000, a_day=12, seed=29))
    found = ceilings.ceiling(tool[0], now + 21 * HOUR)
    assert found is not None
    assert found[1] > 10 * LEAST


def company(begin: float, days: int, accounts: int, seed: int, each: int = 4) -> list[Event]:
    """A company's accounts of standing, each working with the company's own prompt alone."""
    numbers = range(OLD + 2_000, OLD + 2_000 + accounts)
    rng = random.Random(seed)
    return [event for day in range(days) for event in spread(rng, begin + day * DAY, 10.0, numbers, each, TEMPLATE)]


def moved(begin: float, seed: int = 43) -> list[Event]:
    """A hundred new accounts, thirty exchanges each in three hours, with that prompt."""
    return spread(random.Random(seed), begin, 3.0, range(1, 101), 30, TEMPLATE)


def test_what_accounts_of_standing_have_long_shown_is_not_new(learned: tuple[Ceilings, float]) -> None:
    """A company whose accounts are all replaced in a night works on next morning: its prompt was there before the new accounts."""
    ceilings, now = learned
    run(ceilings, company(now, 3, 100, 41) + ordinary(3.0, now, seed=42))
    assert not limited(run(ceilings, moved(now + 3 * DAY)))


def test_a_few_busy_accounts_of_standing_vouch_for_nobody(learned: tuple[Ceilings, float]) -> None:
    """Ten of four hundred that show a template all day make it no company's: the new accounts that bring it are limited."""
    ceilings, now = learned
    run(ceilings, company(now, 3, 10, 41, each=200) + ordinary(3.0, now, seed=42))
    assert len(limited(run(ceilings, moved(now + 3 * DAY)))) > 1_000


def test_what_was_shown_once_is_forgotten_by_half_a_day(learned: tuple[Ceilings, float]) -> None:
    """What a hundred accounts of standing showed on one day says nothing five days later."""
    ceilings, now = learned
    run(ceilings, company(now, 1, 100, 41) + ordinary(5.0, now, seed=42))
    assert len(limited(run(ceilings, moved(now + 5 * DAY)))) > 1_000


def test_while_learning_what_was_there_before_its_row_counts_too() -> None:
    """With too few accounts of standing to tell a share, what a quarter of all accounts show when learning ends is common,
    whoever of them came first."""
    ceilings = Ceilings(200_000)
    run(ceilings, spread(random.Random(44), START, 10.0, range(OLD, OLD + 100), 5, TEMPLATE))
    run(ceilings, spread(random.Random(45), START + 12 * HOUR, 10.0, range(1, 41), 5, TEMPLATE))
    now = START + DAY + HOUR
    run(ceilings, [(now, 1, ())])
    assert not ceilings.learning()
    assert not limited(run(ceilings, moved(now + 1)))


def test_accounts_of_standing_stand_outside(learned: tuple[Ceilings, float]) -> None:
    """A full ceiling is no matter to accounts of standing with the same trait: nobody asks for them, and they use nothing up."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(30), now, 1.0, range(1, 101), 30, TEMPLATE))
    used = ceilings.ceiling(TEMPLATE[0], now + HOUR)
    run(ceilings, spread(random.Random(31), now + HOUR, 0.0, range(OLD, OLD + 10), 50, TEMPLATE))
    assert ceilings.ceiling(TEMPLATE[0], now + HOUR) == used


def test_public_traits_have_no_ceiling() -> None:
    """A trait that is known to be everybody's is never limited."""
    ceilings = Ceilings(200_000, public=TEMPLATE)
    run(ceilings, ordinary(1.0))
    assert not limited(run(ceilings, spread(random.Random(2), START + DAY + 1, 1.0, range(1, 101), 50, TEMPLATE)))


# -- bounds and restarts -----------------------------------------------------------------------------------------------


def test_a_flood_of_traits_evicts_no_ceiling(learned: tuple[Ceilings, float]) -> None:
    """With all rows in use newcomers find none, are counted, and what is throttled stays so."""
    ceilings = Ceilings(200_000, most=64)
    run(ceilings, ordinary(1.0))
    now = START + DAY + 60.0
    run(ceilings, spread(random.Random(2), now, 1.0, range(1, 101), 20, TEMPLATE))
    used = ceilings.ceiling(TEMPLATE[0], now + HOUR)
    for n in range(500):
        run(ceilings, [(now + HOUR, number, (trait(f"flood {n}"),)) for number in range(1, 9)])
    assert ceilings.counts()["watched_traits"] <= 64
    assert ceilings.counts()["unmet_traits"] > 0
    assert used is not None
    assert ceilings.ceiling(TEMPLATE[0], now + HOUR) == used
    assert len(ceilings._unrowed) <= 128


def test_a_restart_resets_nothing(learned: tuple[Ceilings, float]) -> None:
    """After a restart every decision is the one that would have been made without it."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(32), now, 1.0, range(1, 101), 15, TEMPLATE))
    other = Ceilings(200_000)
    for piece in json.loads(json.dumps(list(ceilings.pieces()))):
        other.restore(piece, now + HOUR)
    assert other.ceiling(TEMPLATE[0], now + HOUR) == ceilings.ceiling(TEMPLATE[0], now + HOUR)
    assert other.learning() == ceilings.learning() == ""
    events = spread(random.Random(33), now + HOUR, 30.0, range(1, 101), 60, TEMPLATE)
    later, later_other = run(ceilings, events), run(other, events)
    # What lately came near the ceiling is forgotten, so the fair shares find themselves anew.
    assert len(passed(later_other)) == pytest.approx(len(passed(later)), rel=0.02)


def test_over_a_restart_what_accounts_of_standing_have_shown_is_kept(learned: tuple[Ceilings, float]) -> None:
    """A company that moves in the night of an upgrade is not touched either; what a single account showed is not kept."""
    ceilings, now = learned
    run(ceilings, company(now, 3, 100, 41) + ordinary(3.0, now, seed=42))
    other = Ceilings(200_000)
    pieces = json.loads(json.dumps(list(ceilings.pieces())))
    for piece in pieces:
        other.restore(piece, now + 3 * DAY)
    assert not limited(run(other, moved(now + 3 * DAY)))
    kept = {value for piece in pieces for value, _ in piece.get("unrowed", ())}
    assert kept == {*TEMPLATE, trait("popular tool")}


def test_a_restart_while_learning_goes_on_learning() -> None:
    """What was seen before a restart counts when learning ends."""
    ceilings = Ceilings(200_000)
    rng = random.Random(34)
    tool = (trait("tool"),)
    run(ceilings, spread(rng, START, 12.0, range(1, 81), 60, tool))
    other = Ceilings(200_000)
    for piece in json.loads(json.dumps(list(ceilings.pieces()))):
        other.restore(piece, START + DAY / 2)
    events = [*spread(rng, START + DAY / 2, 11.9, range(1, 81), 60, tool), (START + DAY + 1, 1, ())]
    for each in (ceilings, other):
        assert not limited(run(each, events))
    assert other.ceiling(tool[0], START + DAY + 2) == ceilings.ceiling(tool[0], START + DAY + 2)


@pytest.mark.parametrize(
    "piece",
    [
        {"joint": [[5, -1.0, 0.0, 1.0, 1.0, *[0] * 8]], "marks": [[0, 0.0, 0]]},
        {"joint": [[5, 1.0, 0.0, 1.0, 1.0, 0]], "marks": [[0, 0.0, 0]]},
        {"unrowed": [[5, -1.0]]},
        {"unrowed": [[5, float("nan")]]},
        {"unrowed": [[5]]},
        {"today": [262143, 0, "not base64!", ""]},
        {"today": [262143, 0, "AAAA", "AAAA"]},
        {"times": [], "counts": [1]},
    ],
)
def test_a_piece_that_is_none_is_refused(piece: dict[str, object]) -> None:
    """What is no state of these ceilings raises, and is not half believed in silence."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        Ceilings(200_000).restore(piece, START)


def test_a_week_away_forgets_a_trait_and_a_silence_is_no_night(learned: tuple[Ceilings, float]) -> None:
    """A row whose trait nobody shows for eight days is free again; hours in which guard didn't run don't count as quiet ones."""
    ceilings, now = learned
    run(ceilings, spread(random.Random(35), now, 1.0, range(1, 101), 5, TEMPLATE))
    assert ceilings.counts()["watched_traits"] >= len(TEMPLATE)
    for day in range(1, 10):
        run(ceilings, [(now + day * DAY, OLD, ())])
    assert ceilings.ceiling(TEMPLATE[0], now + 10 * DAY) is None
    assert ceilings.counts() == {"watched_traits": 0, "ceilings": 0, "unmet_traits": 0}
    before = len(ceilings._hours)
    run(ceilings, [(now + 60 * DAY, OLD, ())])
    assert len(ceilings._hours) <= min(168, before + 25)


def test_the_same_traffic_is_decided_alike(learned: tuple[Ceilings, float]) -> None:
    """Nothing depends on anything but the order and times of what came."""
    ceilings, now = learned
    other = Ceilings(200_000)
    run(other, ordinary(1.0))
    run(other, [(now, OLD, ())])
    events = spread(random.Random(36), now, 3.0, range(1, 101), 30, TEMPLATE)
    assert run(ceilings, events) == run(other, events)

"""Made-up groups for the tests of group signals: queues that deal work out over a pool, and owners of many kinds.

Each maker returns (times, accounts, slots, gists) of exchanges in order of time; ``sample_of`` dresses them as a ``Sample``.
Nothing here is taken from real traffic: subjects are random directions, hours are cosines.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from guard.samples import GIST, Baseline, Sample

HOUR = 3600.0
DAY = 86400.0
START = 1_780_000_000.0 - 1_780_000_000.0 % DAY


class Made(NamedTuple):
    at: NDArray[np.float64]
    account: NDArray[np.int64]
    slot: NDArray[np.uint64]
    gist: NDArray[np.float64]
    turns: NDArray[np.int64]


def rng_of(seed: int) -> Generator:
    return np.random.default_rng(seed)


def made(
    rng: Generator,
    at: Any,
    account: Any,
    *,
    slot: Any = None,
    gist: Any = None,
    turns: Any = None,
) -> Made:
    """In order of time; slots are new and subjects random where none are given."""
    at, account = np.asarray(at, float), np.asarray(account, np.int64)
    n = len(at)
    order = np.argsort(at, kind="stable")
    slot = rng.integers(1, 1 << 62, n) if slot is None else np.asarray(slot)
    gist = rng.normal(size=(n, GIST)) if gist is None else np.asarray(gist)
    turns = np.ones(n, np.int64) if turns is None else np.asarray(turns)
    return Made(at[order], account[order], slot[order].astype(np.uint64), gist[order], turns[order])


BASELINE = Baseline(
    accounts=5_000,
    exchanges=100_000,
    since=START - 60 * DAY,
    reading=0.05,
    young=0.25,
    dated=1.0,
    unverified=0.8,
    payment=1e-4,
    signup=0.2,
    network=1e-3,
    gist=np.zeros(GIST, np.float32),
    standing=0.6,
)


def sample_of(group: Made, baseline: Baseline = BASELINE, **fields: Any) -> Sample:
    """A sample of young accounts without standing that share nothing, unless ``fields`` say otherwise."""
    numbers, account = np.unique(group.account, return_inverse=True)
    n, accounts = len(group.at), len(numbers)
    length = np.linalg.norm(group.gist, axis=1, keepdims=True)
    gist = np.where(length > 0, 100 * group.gist / np.maximum(length, 1e-9), 0).round().astype(np.int8)
    own = np.arange(1, accounts + 1, dtype=np.uint64)
    values: dict[str, Any] = {
        "now": float(group.at[-1]) if n else START,
        "at": group.at,
        "account": account.astype(np.int32),
        "slot": group.slot,
        "gist": gist,
        "reading": np.zeros(n, np.float32),
        "turns": np.minimum(group.turns, 255).astype(np.uint8),
        "stack": np.ones(n, np.uint32),
        "model": np.ones(n, np.uint32),
        "network": account.astype(np.uint32) + 1,
        "born": np.full(accounts, START - 3 * DAY),
        "dated": np.ones(accounts, np.bool_),
        "verified": np.zeros(accounts, np.int8),
        "standing": np.zeros(accounts, np.float32),
        "payment": own,
        "signup": own,
        "org": np.zeros(accounts, np.uint64),
        "baseline": baseline,
    }
    return Sample(**(values | fields))


def last(group: Made, n: int) -> Made:
    """The latest n exchanges."""
    return Made(*(column[-n:] for column in group))


def together(*groups: Made) -> Made:
    """Several groups as one; no account is in two."""
    renamed = [group._replace(account=group.account + 100_000 * i) for i, group in enumerate(groups)]
    columns = [np.concatenate(parts) for parts in zip(*renamed, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Made(*(column[order] for column in columns))


# -- queues -------------------------------------------------------------------------------------------------------


def paced(rng: Generator, n: int, days: float, jitter: float = 1.0) -> NDArray[np.float64]:
    """A worker that waits a while after each piece; jitter 1 is the loosest pacing."""
    step = days * DAY / n
    return START + (np.arange(n) + 0.5 + jitter * (rng.random(n) - 0.5)) * step


def poisson(rng: Generator, n: int, days: float) -> NDArray[np.float64]:
    return START + np.sort(rng.uniform(0, days * DAY, n))


def in_bursts(rng: Generator, n: int, days: float) -> NDArray[np.float64]:
    """Gaps of gamma shape 0.25: a handful at once, then a pause."""
    gaps = rng.gamma(0.25, 4.0, n)
    return START + np.cumsum(gaps) / gaps.sum() * days * DAY


def office(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same moments pressed into ten hours a day."""
    day, rest = np.divmod(at - START, DAY)
    return START + day * DAY + 8 * HOUR + rest * 10 / 24


def queue(
    rng: Generator,
    at: NDArray[np.float64],
    pool: int,
    *,
    deal: str = "random",
    spread: float = 0.4,
    life_days: float = 0.0,
) -> Made:
    """Dealt out over ``pool`` accounts: ``round_robin``, ``random`` (lognormal shares) or ``sticky`` (conversations stay).

    With ``life_days`` each account is replaced by a fresh one after about that time.
    """
    n = len(at)
    share = np.cumsum(rng.lognormal(0, spread, pool))
    place = np.arange(n) % pool if deal == "round_robin" else np.searchsorted(share, rng.random(n) * share[-1])
    turns = np.ones(n, np.int64)
    if deal == "sticky":
        open_talks: list[tuple[int, int]] = []
        for i in range(n):
            if open_talks and rng.random() < 0.6:
                place[i], turns[i] = open_talks.pop(int(rng.integers(len(open_talks))))
            if turns[i] < 9:
                open_talks.append((int(place[i]), int(turns[i]) + 2))
                del open_talks[:-5]
    account = place.astype(np.int64)
    if life_days:
        names = np.arange(pool)
        ends = START + rng.uniform(0.1, 1.2, pool) * life_days * DAY
        for i, moment in enumerate(at):
            seat = place[i]
            if moment > ends[seat]:
                names[seat] = names.max() + 1
                ends[seat] = moment + rng.uniform(0.5, 1.5) * life_days * DAY
            account[i] = names[seat]
    return made(rng, at, account, turns=turns)


# -- owners -------------------------------------------------------------------------------------------------------


def people(
    rng: Generator,
    count: int,
    days: float,
    *,
    a_day: float = 2.0,
    spread: float = 1.0,
    session: float = 3.0,
    zones: int = 24,
    talk: bool = False,
    own_subject: float = 0.6,
) -> Made:
    """Awake by day in one of ``zones`` time zones, unequal, several questions at a time, about subjects of their own."""
    at: list[float] = []
    who: list[int] = []
    turns: list[int] = []
    gists: list[NDArray[np.float64]] = []
    for person in range(count):
        zone = rng.integers(zones)
        subject = rng.normal(size=GIST)
        for start in rng.uniform(0, days * DAY, rng.poisson(2.5 * a_day * days * rng.lognormal(0, spread))):
            hour = (start / HOUR + zone) % 24
            if rng.random() > max(0.03, 0.5 + 0.5 * np.cos((hour - 15) / 12 * np.pi)) ** 1.5:
                continue
            moment = START + start
            for turn in range(int(rng.geometric(1 / session))):
                at.append(moment)
                who.append(person)
                turns.append(1 + 2 * turn if talk else 1)
                gists.append(own_subject * subject + rng.normal(size=GIST))
                moment += rng.lognormal(np.log(60), 0.9)
    return made(rng, at, who, gist=np.array(gists), turns=turns)


def course(rng: Generator, count: int, days: float, exercises: int = 15) -> Made:
    """Everybody does the same exercises in order, some at a time, in words of his own now and then."""
    at: list[float] = []
    who: list[int] = []
    slot: list[int] = []
    for student in range(count):
        place, moment = 0, START + rng.uniform(0, days * DAY)
        while place < exercises and moment < START + days * DAY:
            for _ in range(int(rng.integers(1, 5))):
                if place >= exercises:
                    break
                at.append(moment)
                who.append(student)
                slot.append(1 + place * 10 + (0 if rng.random() < 0.7 else int(rng.integers(1, 5))))
                place += 1
                moment += rng.lognormal(np.log(240), 0.8)
            moment += rng.exponential(0.7 * DAY)
    return made(rng, at, who, slot=slot)


def harness(rng: Generator, count: int, questions: int = 120) -> Made:
    """Each owner runs the same benchmark once, in an hour of his own."""
    at = np.concatenate(
        [START + rng.uniform(0, 3 * DAY) + np.sort(rng.uniform(0, HOUR, questions)) for _ in range(count)]
    )
    slot = np.concatenate([rng.permutation(questions) + 1 for _ in range(count)])
    return made(rng, at, np.repeat(np.arange(count), questions), slot=slot)


def cron(rng: Generator, count: int, days: float, at_the_full_hour: bool) -> Made:
    """Each owner's program runs every hour, a few seconds late; at the full hour or at a minute of its own."""
    minute = np.zeros(count) if at_the_full_hour else rng.uniform(0, 3600, count)
    hours = np.arange(int(days * 24))
    at = START + hours[None, :] * HOUR + minute[:, None] + rng.exponential(4.0, (count, len(hours)))
    return made(rng, at.ravel(), np.repeat(np.arange(count), len(hours)))


def template_users(rng: Generator, count: int, days: float, a_day: float = 12.0) -> Made:
    """Businesses whose servers send one published template day and night, in bursts of their own."""
    at: list[NDArray[np.float64]] = []
    who: list[NDArray[np.int64]] = []
    gists: list[NDArray[np.float64]] = []
    for business in range(count):
        n = int(a_day * days * rng.lognormal(0, 0.9)) + 1
        gaps = rng.gamma(0.3, 1.0, n + 1)
        at.append(START + np.cumsum(gaps)[:-1] / gaps.sum() * days * DAY)
        who.append(np.full(n, business))
        gists.append(0.7 * rng.normal(size=GIST) + rng.normal(size=(n, GIST)))
    return made(rng, np.concatenate(at), np.concatenate(who), gist=np.concatenate(gists))


def degenerate() -> dict[str, Sample]:
    """Samples with as little in them as there can be: a signal says nothing of them, or little, and never raises."""
    rng = rng_of(0)
    nothing = np.zeros(0)
    few = made(rng, [START], [0])
    same_time = made(rng, np.full(50, START), np.arange(50) % 10)
    blank = made(rng, poisson(rng, 60, 2), rng.integers(0, 12, 60), slot=np.zeros(60), gist=np.zeros((60, GIST)))
    accounts = 12
    unknown = {
        "dated": np.zeros(accounts, np.bool_),
        "verified": np.full(accounts, -1, np.int8),
        "payment": np.zeros(accounts, np.uint64),
        "signup": np.zeros(accounts, np.uint64),
        "network": np.zeros(60, np.uint32),
        "model": np.zeros(60, np.uint32),
    }
    return {
        "one exchange": sample_of(few),
        "two exchanges": sample_of(made(rng, [START, START + 1], [0, 1])),
        "one account": sample_of(made(rng, poisson(rng, 40, 3), np.zeros(40))),
        "one moment": sample_of(same_time),
        "no content and no facts": sample_of(blank, **unknown, stopped=nothing),
        "always the same": sample_of(
            made(rng, poisson(rng, 40, 3), np.arange(40) % 8, slot=np.ones(40), gist=np.ones((40, GIST)))
        ),
        "everybody once": sample_of(made(rng, poisson(rng, 60, 3), np.arange(60))),
    }

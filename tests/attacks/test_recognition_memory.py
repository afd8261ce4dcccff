"""SECURITY 74 and 115 to 118 at recognition: whatever is sent, what it holds stays within its bounds, and its answers stay quick.

The attacker can't aim at a hash (they are keyed), so he sends many: accounts, texts, templates, in all mixtures.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from guard.recognition import cohorts, decks, groups, looking, paced
from guard.recognition import recognition as heart
from guard.recognition.ceilings import Ceilings
from guard.types import Account, Exchange, Facet, Features, Peer
from tests.recognition.town import KEY, T0, recognition

ACCOUNTS, FAMILIES, GROUPS = 1_000, 2_000, 16
MIB = 1 << 20
Flood = Callable[[random.Random, int], Exchange]


def sent(name: str, values: list[int], dice: random.Random, *, reading: float = 0.0) -> Exchange:
    """One exchange of an accepted account with these text traits; client, parameters, network and model are new each time."""
    kinds = ("system", "shingle", "shingle", "opening", "closing")
    facets = [Facet(kinds[n % 5], value) for n, value in enumerate(values)]
    facets += [Facet("stack", dice.getrandbits(64)), Facet("parameters", dice.getrandbits(64))]
    features = Features(
        2,
        "openai_chat",
        f"m{dice.getrandbits(40)}",
        False,
        tuple(facets),
        (("mark", reading),) if reading else (),
        100,
        500,
        slot=dice.getrandbits(64),
        gist=dice.randbytes(32),
        turns=1,
    )
    address = f"10.{dice.getrandbits(8)}.{dice.getrandbits(8)}.1"
    return Exchange(Account(KEY.identifier("account", name.encode())), Peer(address, address), "/", features)


def new_accounts(dice: random.Random, n: int) -> Exchange:
    """Each exchange from an account of its own, with texts of its own."""
    return sent(f"account {n}", [dice.getrandbits(64) for _ in range(14)], dice)


def colluding(dice: random.Random, n: int) -> Exchange:
    """A pool of three accounts makes a family of every text: each is sent three times in a row."""
    chosen = random.Random(n // 3)
    return sent(f"pool {n % 3}", [chosen.getrandbits(64) for _ in range(14)], dice)


def templates(dice: random.Random, n: int) -> Exchange:
    """A pool of sixty that changes its template every sixty exchanges: each becomes a group."""
    chosen = random.Random(n // 60)
    return sent(f"pool {n % 60}", [chosen.getrandbits(64) for _ in range(8)], dice)


def convicted(dice: random.Random, n: int) -> Exchange:
    """The same, and each is found to be a campaign."""
    chosen = random.Random(n // 120)
    return sent(f"pool {n % 60}", [chosen.getrandbits(64) for _ in range(8)], dice, reading=1.0)


def ever_new_clusters(dice: random.Random, n: int) -> Exchange:
    """Each template is another pool's: a new cluster every hundred exchanges."""
    chosen = random.Random(n // 100)
    return sent(f"pool {n // 100} {n % 20}", [chosen.getrandbits(64) for _ in range(8)], dice, reading=1.0)


FLOODS: dict[str, Flood] = {
    one.__name__: one for one in (new_accounts, colluding, templates, convicted, ever_new_clusters)
}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a short flood reaches."""
    monkeypatch.setattr(heart, "_MOST_FAMILIES", FAMILIES)
    monkeypatch.setattr(heart, "_MOST_GROUPS", GROUPS)
    monkeypatch.setattr(looking, "_MOST_NAMES", 1_024)
    monkeypatch.setattr(groups, "KEPT", 64)
    monkeypatch.setattr(cohorts, "KEPT", 512)
    monkeypatch.setattr(decks, "QUESTIONS", 512)
    monkeypatch.setattr(decks, "KEPT", 512)
    monkeypatch.setattr(paced, "KEPT", 512)
    monkeypatch.setattr(paced, "STEPS", 512)
    monkeypatch.setattr(heart, "Ceilings", partial(Ceilings, most=512))


def stages(flood: Flood, exchanges: int, parts: int) -> Iterator[tuple[int, float, heart.Recognition]]:
    """Sends the flood and tells, after each part of it, bytes held and CPU seconds of that part."""
    town, dice = recognition(max_accounts=ACCOUNTS), random.Random(7)
    step = exchanges // parts
    for part in range(parts):
        begun = time.process_time()
        for n in range(part * step, (part + 1) * step):
            at = T0 + 0.5 * n
            town.due(at)
            town.look(flood(dice, n), at)
        spent = time.process_time() - begun
        yield tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0, spent, town


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", FLOODS)
def test_no_flood_grows_what_is_held(name: str) -> None:
    """Two thousand exchanges fill every table; as many again add less than half a megabyte, and no table is above its bound."""
    tracemalloc.start()
    try:
        held = []
        for size, _, town in stages(FLOODS[name], 4_000, 4):
            held.append(size)
            parts = town.parts()
            assert len(town.accounts) <= ACCOUNTS
            assert len(parts.families) <= FAMILIES
            assert len(parts.groups) <= GROUPS
            assert town.waiting <= 1_024
    finally:
        tracemalloc.stop()

    assert held[3] - held[1] <= 0.5 * MIB, [size // 1024 for size in held]


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOODS)
def test_no_long_flood_grows_what_is_held_or_slows_it_down(name: str) -> None:
    """A hundred thousand exchanges under the shipped bounds: at most 160 MiB, and the last tenth costs at most twice the second."""
    tracemalloc.start()
    try:
        most, spent = 0, []
        for size, cpu_s, _ in stages(FLOODS[name], 100_000, 10):
            most = max(most, size)
            spent.append(cpu_s)
    finally:
        tracemalloc.stop()
    print(name, most // MIB, [round(cpu_s, 2) for cpu_s in spent])

    assert most <= 160 * MIB
    assert spent[-1] <= 2.0 * spent[1]

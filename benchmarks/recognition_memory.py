"""What guard holds of accounts and families, measured: resident memory of a process of its own for each line of the table.

    python benchmarks/recognition_memory.py [--quick] [--check] [--accounts N] [--out FILE]

    recognition    what is held of an account, with every fact that an operator can state, after two exchanges; likewise scoring,
                   limits (of the shipped policy), limits in use (none of which has drained), identity (a credential that was
                   accepted), described (one that the operator's callable has named), and all of guard together, with neither of
                   the two that are set apart
    a family       a trait that enough accounts have shown, with all of its founders
    found, whole   recognition, and all of guard, with accounts that share the traits of public templates, until there are as many
                   families as guard holds, and with fresh accounts in groups: the whole process, interpreter and imports included

``--check`` exits 1 and names what falls short: 768 bytes an account in recognition, 1 KiB a family, 1 GiB in all at a million
accounts. ``--quick`` takes about a minute; its wholes are smaller, and held to nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from guard.config import load
from guard.fingerprint import VERSION
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.recognition.families import FOUNDERS
from guard.types import Account, AccountFacts, Call, Decision, Exchange, Facet, Features, Peer, Receipt, Route, Usage

ACCOUNTS, QUICK_ACCOUNTS = 1_000_000, 40_000
FAMILIES, QUICK_FAMILIES = 200_000, 10_000
ACCOUNT_BYTES, FAMILY_BYTES, WHOLE_BYTES = 768, 1_024, 1 << 30
PARTS = ("recognition", "scoring", "limits", "limits in use", "identity", "described", "all of guard")
WHOLES = {"found": "recognition", "whole": "all of guard"}
TRAITS = 8
SUBNETS = 250
"""Few: the table of networks is small and of fixed size, and would be taken for the accounts'."""
START = 1_790_000_000.0
GAP_S = 0.01
DAY_S = 86_400.0
KEY = HashKey(b"a key for a benchmark, long enough")
ROUTE = Route("/", "openai_chat")
ANSWERED = Usage(200, 100, 200, reported=True, complete=True)
_PASSED = Decision("allow", True, 200, "", 0.0, "low")
_ROOT = Path(__file__).resolve().parents[1]


class Measured(NamedTuple):
    """One line: how much memory ``count`` things took together (``size_bytes``), and the most the process ever had."""

    what: str
    count: int
    size_bytes: int
    peak_bytes: int

    @property
    def each(self) -> float:
        """Bytes a thing."""
        return self.size_bytes / self.count


# -- in a process of its own -----------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Memory that the process has in use now; where the system doesn't tell, the most it ever had."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_bytes()


def peak_bytes() -> int:
    """The most that the process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def guard_for(accounts: int) -> Guard:
    """A guard with the shipped policy and room for so many accounts."""
    policy = load("standard")
    return Guard(replace(policy, state=replace(policy.state, max_accounts=accounts)), key=KEY)


def account(number: int, *, young: bool = False) -> Account:
    """One with every fact that an operator can state."""
    key = KEY.identifier("account", b"%d" % number)
    created = START - (DAY_S if young else 90.0 * DAY_S) - number
    facts = [KEY.identifier(kind, b"%d" % number) for kind in ("payment", "signup", "org")]
    return Account(key, "accepted", 0, created, "free", not young, "DE", *facts, names=frozenset({f"account:{key}"}))


def exchange(who: Account, traits: list[int], chance: random.Random) -> Exchange:
    """One that shows these text traits, asks something that nobody else asks, and comes from some network."""
    facets = tuple([Facet("shingle", value) for value in traits])
    gist = chance.randbytes(32)
    features = Features(
        VERSION, "openai_chat", "m", False, facets, (), 100, 200, turns=1, slot=chance.getrandbits(64), gist=gist
    )
    address = f"192.0.{chance.randrange(SUBNETS)}.1"
    return Exchange(who, Peer(address, address), "/v1/chat/completions", features)


def accounts_alone(guard: Guard, count: int, part: str) -> None:
    """Two exchanges of each account, none of which shares a text with another."""
    takes = taker(guard, part)
    chance = random.Random(1)
    for turn in range(2):
        for number in range(count):
            now = START + (turn * count + number) * GAP_S
            takes(exchange(account(number), [chance.getrandbits(64) for _ in range(TRAITS)], chance), now)


def taker(guard: Guard, part: str) -> Callable[[Exchange, float], None]:
    """What takes an exchange in: one part of a guard, or all of it."""

    def whole(one: Exchange, now: float) -> None:
        guard.due(now)
        guard.settle(guard.decide(one, now), ANSWERED, now)
        identity(one, now)

    def recognition(one: Exchange, now: float) -> None:
        guard.due(now)
        guard.recognition.look(one, now)
        guard.recognition.over(one, now, enforced=True)

    def scoring(one: Exchange, now: float) -> None:
        guard._scoring.assess(one, now, granted=False)

    def limits(one: Exchange, now: float) -> None:
        limiter = guard.compiled.limiter
        admission = limiter.take(one, guard._scoring.neutral, now, granted=False)
        receipt = Receipt(one, _PASSED, now, admission.reserved, admission.pending, admission.lease)
        limiter.settle(receipt, ANSWERED, now)

    def in_use(one: Exchange, now: float) -> None:
        limits(one, START + (now - START) * 1e-9)

    def identity(one: Exchange, now: float) -> None:
        guard.identities.answered(replace(one.account, status="provisional"), 200)

    def described(one: Exchange, now: float) -> None:
        who = one.account
        key = who.key
        facts = AccountFacts(key, who.created, "free", True, "DE", who.payment, who.signup, who.org)
        call = Call("POST", "/", ROUTE, ((b"authorization", b"Bearer " + key.encode()),), one.peer)
        guard.identities.described(call, facts, now)

    takers = (recognition, scoring, limits, in_use, identity, described, whole)
    return dict(zip(PARTS, takers, strict=True))[part]


def families_alone(guard: Guard, count: int) -> None:
    """Templates of eight traits each, every one shown often enough by accounts of standing to have all its founders."""
    recognition = guard.recognition
    chance = random.Random(2)
    who = [account(number) for number in range(64)]
    for one in who:
        recognition.look(exchange(one, [], chance), START)
    recognition.due(START + DAY_S)
    for number, traits in enumerate(templates(count // TRAITS)):
        for place in range(FOUNDERS + 2):
            now = START + DAY_S + (number * (FOUNDERS + 2) + place) * GAP_S
            recognition.due(now)
            recognition.look(exchange(who[place % len(who)], traits, chance), now)
    recognition.due(now + 10.0)


def templates(count: int) -> Iterator[list[int]]:
    """So many lists of traits."""
    chance = random.Random(3)
    for _ in range(count):
        yield [chance.getrandbits(64) for _ in range(TRAITS)]


def everything(guard: Guard, count: int, families: int, part: str) -> None:
    """Two exchanges of each account: half of their traits are a public template's, half nobody else's. One account in fifty is
    young, and all young ones share twenty templates of their own."""
    takes = taker(guard, part)
    chance = random.Random(4)
    public = list(templates(2 * families // TRAITS + 20))
    young, public = public[:20], public[20:]
    half = TRAITS // 2
    for turn in range(2):
        for number in range(count):
            now = START + (turn * count + number) * GAP_S
            fresh = number % 50 == 0
            shared = young[number // 50 % 20] if fresh else public[(number + turn * 7) % len(public)]
            own = [chance.getrandbits(64) for _ in range(half)]
            takes(exchange(account(number, young=fresh), shared[:half] + own, chance), now)


def measure(what: str, count: int, families: int) -> Measured:
    """One line, in this process."""
    guard = guard_for(max(count, 1_000))
    before = resident_bytes()
    if what == "a family":
        families_alone(guard, families)
        held = len(guard.recognition.parts().families)
    elif what in WHOLES:
        before = 0
        everything(guard, count, families, WHOLES[what])
        held = len(guard.recognition.accounts)
        found = len(guard.recognition.parts().families), len(guard.recognition.parts().groups)
        print(f"  {what}: {found[0]:,} families, {found[1]:,} groups", file=sys.stderr)
    else:
        accounts_alone(guard, count, what)
        held = count
    if guard.faults:
        raise SystemExit(f"a part of guard failed: {dict(guard.faults)}")
    return Measured(what, held, resident_bytes() - before, peak_bytes())


# -- the table -------------------------------------------------------------------------------------------------------------


def plan(count: int, families: int) -> list[tuple[str, int, int]]:
    """(what, accounts, families) of each line."""
    some = min(count, 200_000)
    lines = [*((part, some, 0) for part in PARTS), ("a family", 0, families)]
    return [*lines, *((whole, count, families) for whole in WHOLES)]


def apart(what: str, count: int, families: int) -> Measured:
    """One line, measured by a process of its own."""
    command = [sys.executable, __file__, "--part", what, "--accounts", str(count), "--families", str(families)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"{what}: could not be measured")
    return Measured(*json.loads(done.stdout))


def shortfalls(table: list[Measured], accounts: int) -> list[str]:
    """What misses its bar, in sentences. A whole of fewer than a million accounts has none."""
    found = {line.what: line for line in table}
    missed = [
        f"{what}: {found[what].each:,.0f} bytes each, more than {most:,}"
        for what, most in (("recognition", ACCOUNT_BYTES), ("a family", FAMILY_BYTES))
        if what in found and found[what].each > most
    ]
    for whole in [found[what] for what in WHOLES if what in found]:
        if whole.count < accounts:
            missed.append(f"{whole.what}: only {whole.count:,} of {accounts:,} accounts were held")
        if accounts >= ACCOUNTS and whole.size_bytes > WHOLE_BYTES:
            missed.append(
                f"{whole.what}: {whole.size_bytes / 2**20:,.0f} MiB at {whole.count:,} accounts, more than 1,024"
            )
    return missed


def text(line: Measured) -> str:
    """A line of the table."""
    mib, peak = line.size_bytes / 2**20, line.peak_bytes / 2**20
    return f"{line.what:14} {line.count:>10,} {line.each:>10,.0f} {mib:>10,.1f} {peak:>12,.0f}"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    parser.add_argument("--check", action="store_true", help="exit 1 and name what falls short")
    parser.add_argument("--accounts", type=int, default=0, help="of the whole (default: a million)")
    parser.add_argument("--families", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="also as JSON")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    count = options.accounts or (QUICK_ACCOUNTS if options.quick else ACCOUNTS)
    families = options.families or (QUICK_FAMILIES if options.quick else FAMILIES)
    if options.part:
        print(json.dumps(measure(options.part, options.accounts, options.families)))
        return 0
    print(f"python {platform.python_version()}, {platform.machine()}\n")
    print(f"{'':14} {'how many':>10} {'bytes each':>10} {'MiB':>10} {'peak in all':>12}")
    table: list[Measured] = []
    for job in plan(count, families):
        table.append(apart(*job))
        print(text(table[-1]), flush=True)
    missed = shortfalls(table, count)
    if options.out:
        report: dict[str, Any] = {"table": [line._asdict() for line in table], "missed": missed}
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    print("\n" + ("\n".join(f"missed: {sentence}" for sentence in missed) or "nothing falls short"))
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())

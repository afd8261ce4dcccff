"""What happens to an endpoint when the store of its limits is killed, hangs, fails over, is emptied, is full?

    python benchmarks/faults.py [--quick] [--check] [--json FILE] [--faults NAME …] [--only NAME …] [--runs N] [--envs DIR]

Real servers (uvicorn, one process a replica) before a model endpoint that answers at once, and a real Redis or Valkey that is
broken while they are asked: by one account ten times as often as its limit of 300 a minute allows, by sixty others once a
second, and on a health route that no limit is for. guard with one replica and with four under every fault, five times; slowapi
and fastapi-guard in their modes, which are installed into environments of their own on first use, under two of the faults, once,
since they are far from any bar; one that can't be had is left out, visibly.

A store that is killed, hangs or is busy is measured alone. The others are measured a few at a time, with a store and servers of
their own: they start together and end together. That costs them milliseconds, and makes it harder to recover in time.

Over-admission: the hot account's limit is full when the fault begins. Counted is how far admission went over the limit in the
worst of all windows (``faults_load.over_admitted``). Recovered: until the store is asked again as before. Figures are the worst
of the runs. Bars that ``--check`` judges are guard's, under each fault: no request lost, none answered with an error, nobody
refused who asks less than he may, no more than 5 % over-admitted with one replica and 10 % with four, recovered within a second
of the fault's end; p99 at most 50 ms more where it is measured alone, at most 100 ms beside others; in a hang the health route's p99
at most twice as long and 5 ms (both by the median run: whatever else the machine does adds to some).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import http.client
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the servers are those of the tests

import environments  # noqa: E402
from faults_load import FILL_S, HOST, HOT_PER_S, LIGHT_PER_S, Replica, ask_all, meet, plan  # noqa: E402
from faults_report import GUARD, Case, Outcome, first_traceback, judge, shortfalls, table  # noqa: E402
from faults_scenes import HEALS_S, SCENES, Rig, Watch  # noqa: E402
from overhead import machine  # noqa: E402

from tests import servers  # noqa: E402

START_S = 120.0
PEERS_ONLY = ("kill", "hang")
QUICK = {1: ("kill", "hang"), 4: ("kill",)}
QUICK_PEERS = ("fastapi_guard_open", "slowapi_memory")
"""Those that answer on without their store; the others refuse everybody, which takes no measuring."""


class Effort(NamedTuple):
    """Seconds of a run before the fault (with a full limit), in it and after it, and how often it is run."""

    before_s: float
    fault_s: float
    after_s: float
    runs: int

    @property
    def length_s(self) -> float:
        """For as long as any fault may need to heal."""
        return FILL_S + self.before_s + self.fault_s + HEALS_S + self.after_s


FULL = Effort(3.0, 5.0, 3.0, 5)
BESIDE = Effort(2.0, 5.0, 2.5, 5)
QUICKLY = Effort(1.0, 5.0, 1.5, 1)
AT_ONCE = {1: 2, 4: 2}
"""How many cases with so many replicas are measured at a time."""


@contextlib.contextmanager
def _served(case: Case, url: str, interpreter: Path, folder: Path) -> Any:
    """Its replicas' ports, once all of them answer. Raises ``RuntimeError`` for one that doesn't start."""
    ports = [servers.free_port() for _ in range(case.replicas)]
    environment = {
        **os.environ, "FAULTS_STORE": url, "FAULTS_REPLICAS": str(case.replicas), "GUARD_KEY": "f" * 64, "PYTHONPATH": str(HERE),
    }  # fmt: skip
    running = []
    try:
        for port in ports:
            words = [str(interpreter), "-m", "uvicorn", "--factory", f"limiters.{case.limiter}:app", "--host", HOST]
            words += ["--port", str(port), "--no-access-log", "--timeout-keep-alive", "120"]
            with (folder / f"{port}.said").open("wb") as said:
                running.append(
                    subprocess.Popen(
                        words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder, env=environment
                    )
                )
        for process, port in zip(running, ports, strict=True):
            _wait_for(process, port, folder / f"{port}.said")
        yield ports
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(HOST, port, timeout=2)
            connection.request("GET", "/health")
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
        time.sleep(0.05)
    last = said.read_text(errors="replace").strip().splitlines()[-1:]
    raise RuntimeError(f"did not start: {''.join(last) or 'no message'}")


class Place(NamedTuple):
    """Where a run takes place: who runs the limiter, whose store it is, and a folder of its own."""

    interpreter: Path
    program: Path
    folder: Path


class Stand(NamedTuple):
    """A store and servers that are about to be asked."""

    rig: Rig
    ports: Sequence[int]
    said: Callable[[], str]


@contextlib.asynccontextmanager
async def ready(case: Case, place: Place) -> AsyncIterator[Stand]:
    """One case's own store and servers. Raises ``RuntimeError`` where they don't start."""
    interpreter, program, folder = place
    rig = await asyncio.to_thread(Rig, case.scene.rig, program, folder / "store")
    try:
        serving = _served(case, rig.url, interpreter, folder)
        ports = await asyncio.to_thread(serving.__enter__)
        try:
            yield Stand(
                rig, ports, lambda: "".join([(folder / f"{port}.said").read_text(errors="replace") for port in ports])
            )
        finally:
            await asyncio.to_thread(serving.__exit__, None, None, None)
    finally:
        await asyncio.to_thread(rig.close)


async def measured(case: Case, stand: Stand, effort: Effort, seed: int, gate: asyncio.Barrier) -> Outcome:
    """One run of one case, which begins when those beside it are as far. Where it breaks off, so do they."""
    try:
        return await _measured(case, stand, effort, seed, gate)
    except BaseException:
        await gate.abort()
        raise


async def _measured(case: Case, stand: Stand, effort: Effort, seed: int, gate: asyncio.Barrier) -> Outcome:
    refills = importlib.import_module(f"limiters.{case.limiter}").REFILLS
    async with Watch(stand.rig) as watch:
        planned = plan(effort.length_s, seed)
        asked = [Replica(port) for port in stand.ports]
        first = await meet(asked)
        await gate.wait()
        start = time.monotonic() + 0.3
        end = inf
        asking = asyncio.ensure_future(ask_all(planned, asked, seed, start, lambda: end))
        await asyncio.sleep(start + FILL_S + effort.before_s - time.monotonic())
        begun = time.monotonic()
        healed = await case.scene.act(stand.rig, effort.fault_s)
        end = max(healed, time.monotonic()) + effort.after_s
        answers = first + await asking
        steady = start + FILL_S + 0.3
        healthy = watch.rate(steady, begun)
        recovered = watch.recovered_s(healed, healthy)
        await gate.wait()
    outcome = judge(answers, (steady, begun, healed), recovered, refills)
    said = stand.said()
    outcome.tracebacks, outcome.first = said.count("Traceback (most"), first_traceback(said)
    outcome.store_calls = healthy / (HOT_PER_S + LIGHT_PER_S)
    return outcome


def cases_of(options: argparse.Namespace) -> list[Case]:
    """What is to be run: guard under every fault, its peers under two of them."""
    found = []
    names = sorted((path.stem for path in (HERE / "limiters").glob("*.py")), key=lambda name: (name != GUARD, name))
    if unknown := {*options.only} - {*names} | {*options.faults} - {scene.name for scene in SCENES}:
        raise SystemExit(
            f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)} and {', '.join(scene.name for scene in SCENES)}"
        )
    for name in names:
        label = importlib.import_module(f"limiters.{name}").LABEL
        for replicas in (1, 4) if name == GUARD else (1,):
            for scene in SCENES:
                wanted = options.faults or (QUICK[replicas] if options.quick else [each.name for each in SCENES])
                if options.quick and name != GUARD:
                    wanted = ["kill"] if name in QUICK_PEERS or options.only else []
                chosen = scene.name in wanted and (name == GUARD or scene.name in PEERS_ONLY)
                if chosen and (not options.only or name in options.only):
                    found.append(Case(name, label, replicas, scene))
    return found


def rounds_of(cases: Sequence[Case], options: argparse.Namespace) -> list[list[Case]]:
    """Which cases are measured at a time, one round after the other; each as often as it is to be run."""
    guards = [case for case in cases if case.limiter == GUARD]
    peers = [case for case in cases if case.limiter != GUARD]
    runs = QUICKLY.runs if options.quick else options.runs
    found: list[list[Case]] = []
    for _ in range(runs):
        found += [[case] for case in guards if case.scene.alone]
        for replicas, many in AT_ONCE.items():
            beside = [case for case in guards if case.replicas == replicas and not case.scene.alone]
            found += [beside[at : at + many] for at in range(0, len(beside), many)]
    # Guard's peers are run once, a few at a time.
    return found + [peers[at : at + AT_ONCE[1]] for at in range(0, len(peers), AT_ONCE[1])]


async def run_all(cases: list[Case], options: argparse.Namespace, scratch: Path) -> None:
    """Round after round."""
    programs = servers.binaries()
    if not programs:
        raise SystemExit(servers.NONE)
    program = programs[min(programs, key=lambda kind: kind != options.server)]
    interpreters: dict[str, Path] = {}
    for case in cases:
        try:
            pins = importlib.import_module(f"limiters.{case.limiter}").PINS
            interpreters[case.limiter], made_s = environments.python_of(pins, options.envs)
            if made_s:
                print(f"made {case.label}'s environment in {made_s:.0f} s (kept in {options.envs})", flush=True)
        except environments.Unavailable as why:
            case.skipped = str(why)

    def place(case: Case) -> Place:
        folder = Path(tempfile.mkdtemp(prefix=f"{case.limiter}-{case.replicas}-{case.scene.name}-", dir=scratch))
        return Place(interpreters[case.limiter], program, folder)

    async def stood(case: Case, stack: contextlib.AsyncExitStack) -> Stand | None:
        for last in (False, True):  # somebody else may take a port between two looks
            try:
                return await stack.enter_async_context(ready(case, place(case)))
            except RuntimeError as why:
                if last:
                    case.skipped = str(why)
        return None

    for number, together in enumerate(rounds_of([case for case in cases if not case.skipped], options)):
        lone = len(together) == 1 and together[0].scene.alone
        effort = QUICKLY if options.quick else FULL if lone else BESIDE
        async with contextlib.AsyncExitStack() as stack:
            stands = [(case, await stood(case, stack)) for case in together]
            running = [(case, stand) for case, stand in stands if stand is not None]
            gate = asyncio.Barrier(max(1, len(running)))
            gc.collect()
            gc.disable()  # who asks must not be late by it
            outcomes = await asyncio.gather(
                *[measured(case, stand, effort, options.seed + number, gate) for case, stand in running],
                return_exceptions=True,
            )
        gc.enable()
        for (case, _), outcome in zip(running, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                case.skipped = f"broke off: {outcome!r}"
                continue
            case.outcomes.append(outcome)
            if options.verbose:
                last = replace(case, outcomes=[outcome])
                print(table([last]).splitlines()[-1], flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute, once the environments exist")
    parser.add_argument("--check", action="store_true", help="exit 1 and name what falls short of the bars")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there as well")
    parser.add_argument("--envs", type=Path, metavar="DIR", default=Path.home() / ".cache" / "extraction-guard-bench")
    parser.add_argument("--faults", nargs="+", metavar="NAME", default=[], help="only these faults")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="only these of limiters/*.py")
    parser.add_argument("--runs", type=int, default=5, help="how often guard is run under each (default: 5)")
    parser.add_argument(
        "--server", choices=("valkey", "redis"), default="valkey", help="whose server, where there are both"
    )
    parser.add_argument("--seed", type=int, default=0, help="which replica is asked when")
    parser.add_argument("--verbose", action="store_true", help="a line after each run")
    options = parser.parse_args()
    cases = cases_of(options)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="guard-faults-") as scratch:
        asyncio.run(run_all(cases, options, Path(scratch)))
    print(
        f"{machine()}\nmeasured in {time.monotonic() - began:.0f} s; limit 300 a minute, ten times that offered; worst of the runs\n"
    )
    print(table(cases))
    missed = shortfalls(cases)
    if options.json:
        figures = [
            {"limiter": case.limiter, "replicas": case.replicas, "fault": case.scene.name, "skipped": case.skipped,
             "runs": [vars(outcome) for outcome in case.outcomes]}
            for case in cases
        ]  # fmt: skip
        options.json.write_text(json.dumps({"machine": machine(), "shortfalls": missed, "cases": figures}, indent=1))
    if options.check:
        print("\n" + ("\n".join(f"FALLS SHORT: {each}" for each in missed) or "all bars held"))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Does guard find a campaign, and whom does it hurt? The table of figures beside what others do, in one run.

    python benchmarks/detection.py [--quick] [--check] [--all] [--variants] [--scenario NAME …] [--seeds N] [--log FILE …]

For each scenario and seed a labelled log is written by ``../shared/eval/population.py``, decided by ``guard replay`` with the
policy that it takes where none is named, and judged by ``../shared/eval/score.py``. On the first seed of each scenario the
same log is also decided without limits and ceilings (what recognition alone does), by plain limits on the account, by a word
classifier on each prompt, and by a test on windows of each account.

until       extraction exchanges answered in full before it was contained      contained, refused, touched (accounts)   ordinary ones
worst seg.  the kind of ordinary account that was touched most                 precision, recall             of clusters
CPU ÷ parse CPU of the replay ÷ CPU of orjson.loads over the same lines        last ÷ first   tenth of the lines

``--replicas N --store redis`` deals each log to N guards by lot; they tell each other through a real server (``detection_fleet.py``).
``--closed-loop`` plays an operator who reacts against guard instead (``detection_loop.py``).
``--check`` judges the shared scenarios, three seeds each; our own (``--variants``) are for information.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import detection_dealt
import detection_loop
import detection_plot
from detection_bars import (
    GUARD,
    INFORMATION,
    JUDGED,
    QUICK,
    Bars,
    Row,
    clean_line,
    head,
    language_table,
    languages,
    line,
    segment_table,
    shortfalls,
)
from detection_jobs import PER_PROMPT, PER_WINDOW, Task, examine
from detection_replay import Deal
from detection_variants import SHARED, VARIANTS, reduced, spec_of
from detection_words import held_out_auc, sources

SEEDS = 3
SEED_STEP = 100
MOST_JOBS = 2
ANCHORS = (
    "elsewhere: 81 to 87 % of campaigns found at 2.4 to 3.1 % false positives (stateful monitoring, arXiv 2605.31593); "
    "0.3 % false positives a window (MMD, arXiv 2606.05725); cluster precision above 0.99 (SynchroTrap)"
)
QUICK_SCENARIO, QUICK_NAME, QUICK_DAYS, QUICK_SHARE = "hydra", "small-hydra", 1.5, 0.25


def plan(options: argparse.Namespace) -> Iterator[Task]:
    """Every log to be examined. Raises ``KeyError`` for a scenario that is neither shared nor a variant."""
    common = {"cache": options.cache, "keep": options.keep, "deal": Deal(options.replicas, options.store)}
    if options.log:
        for log in options.log:
            scenario, _, seed = log.stem.rpartition("-")
            known = scenario in VARIANTS or (SHARED / "eval" / "scenarios" / f"{scenario}.toml").is_file()
            spec = spec_of(scenario) if known else {}
            yield Task(scenario or log.stem, int(seed) if seed.isdigit() else 0, spec, log, options.baselines, **common)
        return
    if options.quick:
        spec = reduced(spec_of(QUICK_SCENARIO), QUICK_DAYS, QUICK_SHARE)
        yield Task(QUICK_NAME, spec["seed"], spec, None, options.baselines, **common)
        return
    names = options.scenario or [*JUDGED, *(VARIANTS if options.variants else ())]
    for name in names:
        spec = spec_of(name)
        count = options.seeds or (SEEDS if name in JUDGED else 1)
        for turn in range(count):
            seed = spec["seed"] + turn * SEED_STEP
            yield Task(name, seed, spec, None, options.baselines and turn == 0, **common)


def bars_of(row: Row, judged: Mapping[str, Bars]) -> Bars:
    bars = judged.get(row.scenario, INFORMATION)
    return bars if row.who == GUARD else bars._replace(precision=None, recall=None, ratio=None, growth=None)


def end_orderly() -> None:
    """SIGTERM ends a process as an exception does: its programs are stopped and its half-made files removed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def run(tasks: list[Task], judged: Mapping[str, Bars], jobs: int) -> list[Row]:
    """Examines the logs, at most ``jobs`` at a time, and prints each one's rows when it is through."""
    rows: list[Row] = []
    print(head(), flush=True)
    workers = ProcessPoolExecutor(max_workers=min(jobs, len(tasks)), initializer=end_orderly)
    try:
        for done in as_completed([workers.submit(examine, task) for task in tasks]):
            fresh = done.result()
            rows += fresh
            print("\n".join(line(row, bars_of(row, judged)) for row in fresh), flush=True)
    except BaseException:  # also when told to end: what the workers have started and written goes with them
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        workers.shutdown(cancel_futures=True)
    place = {(task.scenario, task.seed): number for number, task in enumerate(tasks)}
    return sorted(rows, key=lambda row: place[row.scenario, row.seed])


def report(rows: list[Row], picture: Path) -> None:
    """What the table leaves out: harm by kind and language, and the leak over time."""
    whole = [row for row in rows if not row.failed]
    by_kind = {who: [row for row in whole if row.who == who] for who in dict.fromkeys(row.who for row in whole)}
    spoken = {who: languages(own) for who, own in by_kind.items() if own[0].languages}
    print(f"\n{ANCHORS}")
    clean = [row for row in by_kind.get(GUARD, []) if row.scenario == "clean"]
    if clean:
        print(f"\n{clean_line(clean)}")
    if spoken:
        print("\nharm by language: exchanges contained, accounts touched (counts: of the logs that guard decided)")
        print("\n".join(language_table(spoken)))
    if by_kind.get(GUARD):
        print("\nharm by kind of account, guard")
        print("\n".join(segment_table(by_kind[GUARD])))
    if any(row.who == PER_PROMPT for row in whole):
        print(f"\n{PER_PROMPT}: area under the curve on sources it was not fitted on: {held_out_auc(sources()):.2f}")
        print(f"{PER_WINDOW}: an account's last prompts against ordinary history; the paper's hold 1,500")
    curves: dict[str, dict[str, detection_plot.Curve]] = {}
    for row in whole:
        if row.curve:
            curves.setdefault(row.scenario, {})[f"{row.who}, {row.seed}"] = row.curve
    if not curves:
        return
    print("\nleak over time (blank: none, full: all)")
    for scenario, kinds in curves.items():
        for label, curve in kinds.items():
            print(f"  {scenario:<16}{label:<28}|{detection_plot.line(curve)}|")
    print(detection_plot.draw(curves, picture))


def closed_loop(options: argparse.Namespace) -> int:
    """``detection_loop.py`` instead of logs."""
    started = time.monotonic()
    print(machine(), flush=True)
    results = detection_loop.run(quick=options.quick, seeds=options.seeds or 1, cache=options.cache, jobs=options.jobs)
    missed = detection_loop.shortfalls(results)
    if options.json:
        rows = [{**result._asdict(), "yield": result.part} for result in results]
        options.json.write_text(json.dumps({"machine": machine(), "shortfalls": missed, "rows": rows}))
    print(f"\nmeasured in {time.monotonic() - started:.0f} s")
    if options.check:
        print("\n".join(f"FALLS SHORT: {each}" for each in missed) or "all bars held")
    return 1 if options.check and missed else 0


def machine() -> str:
    cores, load = os.cpu_count(), f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small scenario, under a minute")
    parser.add_argument("--check", action="store_true", help="exit 1 and name what falls short of the bars")
    parser.add_argument("--closed-loop", action="store_true", help="an operator who reacts, in the place of logs")
    parser.add_argument("--variants", action="store_true", help="also our own scenarios: " + ", ".join(VARIANTS))
    parser.add_argument("--scenario", nargs="+", metavar="NAME", default=[], help="only these, shared or our own")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="seeds each (default: three of a judged scenario, else one)"
    )
    parser.add_argument(
        "--log", nargs="+", type=Path, metavar="FILE", help="logs that exist, named SCENARIO-SEED.jsonl"
    )
    parser.add_argument("--no-baselines", dest="baselines", action="store_false", help="guard with its policy only")
    parser.add_argument("--keep", action="store_true", help="leave the logs in the cache (0.3 to 1 GB each)")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=Path.home() / ".cache" / "extraction-guard-bench")
    parser.add_argument(
        "--replicas",
        type=int,
        default=1,
        metavar="N",
        help="deal exchanges to so many guards that share a store, by lot",
    )
    parser.add_argument(
        "--store",
        default="memory",
        metavar="S",
        help="how they tell each other: memory, redis (started for it) or a URL",
    )
    parser.add_argument("--jobs", type=int, choices=range(1, MOST_JOBS + 1), default=MOST_JOBS, help="logs at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there as well")
    parser.add_argument("--png", type=Path, metavar="FILE", help="the leak over time (default: in the cache)")
    options = parser.parse_args()
    if options.closed_loop:
        return closed_loop(options)
    if not (SHARED / "eval" / "population.py").is_file():
        print(f"detection: the evaluation is missing; it is looked for at {SHARED}", file=sys.stderr)
        return 2
    try:
        tasks = list(plan(options))
    except KeyError as unknown:
        parser.error(f"no scenario {unknown}; there are {', '.join([*JUDGED, *VARIANTS])}")
    missing = [task.log for task in tasks if task.log is not None and not task.log.is_file()]
    if missing:
        parser.error(f"no such log: {missing[0]}")
    judged = {**JUDGED, QUICK_NAME: QUICK}
    if options.replicas > 1:
        # What several of them cost together is no bar of one.
        judged = {name: bars._replace(ratio=None, growth=None) for name, bars in judged.items()}
    end_orderly()
    print(f"{machine()}; {len(tasks)} logs, {options.jobs} at a time\n", flush=True)
    started = time.monotonic()
    rows = run(tasks, judged, options.jobs)
    report(rows, options.png or options.cache / "leak-over-time.png")
    missed = shortfalls(rows, judged) + (detection_dealt.shortfalls(rows) if options.replicas > 1 else [])
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine(), "shortfalls": missed, "rows": [asdict(row) for row in rows]})
        )
    print(f"\nmeasured in {time.monotonic() - started:.0f} s")
    if options.check:
        print("\n".join(f"FALLS SHORT: {each}" for each in missed) or "all bars held")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""One log, from making it to deleting it: decided by guard and by what others do, judged, and brought down to figures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import detection_log
import detection_windows
import detection_words
import numpy as np
import orjson
from detection_bars import GUARD, Row
from detection_ledger import Ledger, by_language, contained, curve, read
from detection_replay import Deal, Failed, parse_cost, replay, score, without_limits
from numpy.typing import NDArray

LIMITS = ("20/minute", "500/day")
WITHOUT_LIMITS = "guard, limits off"
ONE_PROCESS = "one process"
PER_ACCOUNT = f"limits {', '.join(LIMITS)}"
PER_PROMPT = "words of a prompt"
PER_WINDOW = f"windows of {detection_windows.WINDOW}"


class Task(NamedTuple):
    """``log``: one that lies there already and stays; else it is made from ``spec``. ``baselines``: also what others do."""

    scenario: str
    seed: int
    spec: Mapping[str, Any]
    log: Path | None
    baselines: bool
    cache: Path
    keep: bool
    deal: Deal = Deal()


def examine(task: Task) -> list[Row]:
    """The rows of one log. A step that fails becomes a row that says so."""
    log, stays = task.log, True
    try:
        if log is None:
            stays = task.keep or detection_log.path_of(task.scenario, task.seed, task.spec, task.cache).is_file()
            log = detection_log.make(task.scenario, task.seed, task.spec, task.cache)
        task.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="decisions-", dir=task.cache) as scratch:
            return _rows(task, log, Path(scratch))
    except (detection_log.NotMade, Failed, OSError) as error:
        return [Row(task.scenario, task.seed, GUARD, failed=str(error))]
    except KeyError as missing:
        return [
            Row(
                task.scenario,
                task.seed,
                GUARD,
                failed=f"a line of the log has no {missing}; only labelled logs can be judged",
            )
        ]
    finally:
        if log is not None and not stays:
            log.unlink(missing_ok=True)


def _rows(task: Task, log: Path, scratch: Path) -> list[Row]:
    parse = parse_cost(log)
    decisions = scratch / "guard.jsonl"
    cost = replay(log, decisions, parse, deal=task.deal)
    hashed: list[detection_words.Codes] = []
    ledger = read(
        log, (lambda _, system, user: hashed.append(detection_words.codes(system, user))) if task.baselines else None
    )

    def row(who: str, made: Path, **more: Any) -> Row:
        kept = contained(made)
        return Row(
            task.scenario,
            task.seed,
            who,
            score(log, made) if "cost" in more else unclustered(score(log, made)),
            languages=by_language(ledger, kept),
            curve=curve(ledger, kept),
            **more,
        )

    rows = [row(GUARD, decisions, cost=cost)]
    if task.deal.replicas > 1:
        # The same log by one process: what replicas are measured against.
        rows.append(row(ONE_PROCESS, decisions, cost=replay(log, decisions, parse)))
    if not task.baselines:
        return rows
    cost = replay(log, decisions, parse, without_limits(scratch))
    rows.append(row(WITHOUT_LIMITS, decisions, cost=cost))
    rows.append(Row(task.scenario, task.seed, PER_ACCOUNT, unclustered(score(log, None, LIMITS))))
    for who, kept in (
        (PER_PROMPT, by_words(hashed, campaign_sources(task.spec))),
        (PER_WINDOW, by_windows(ledger, hashed)),
    ):
        write(decisions, ledger, kept)
        rows.append(row(who, decisions))
    return rows


def unclustered(report: Mapping[str, Any]) -> dict[str, Any]:
    """The judge's report without figures on clusters: who names none has a precision of 1 that says nothing."""
    return {key: value for key, value in report.items() if not key.startswith("cluster_")}


def campaign_sources(spec: Mapping[str, Any]) -> set[str]:
    """The corpora that a scenario's campaigns extract with."""
    named = (source for group in spec.get("campaign", []) for source in group["sources"])
    return {source if isinstance(source, str) else source[0] for source in named}


def by_words(hashed: list[detection_words.Codes], held_out: set[str]) -> NDArray[np.bool_]:
    """What the per-prompt classifier flags, fitted without the campaign's own sources."""
    model = detection_words.classifier(detection_words.sources(), held_out)
    return model.scores(hashed) > model.threshold


def by_windows(ledger: Ledger, hashed: list[detection_words.Codes]) -> NDArray[np.bool_]:
    """What the per-account window test flags."""
    features = detection_windows.Features()
    points = np.empty((len(hashed), detection_windows.FEATURES), np.float32)
    for n, row in enumerate(hashed):
        points[n] = features.of(row)
    return detection_windows.flagged(ledger, points)


def write(decisions: Path, ledger: Ledger, kept: NDArray[np.bool_]) -> None:
    """A decision log for the judge: what is flagged meets a limit."""
    with decisions.open("wb") as out:
        for n, (account, flag) in enumerate(zip(ledger.account.tolist(), kept.tolist(), strict=True)):
            action = "limit" if flag else "allow"
            out.write(
                orjson.dumps({"n": n, "account": ledger.accounts[account], "cluster": None, "action": action}) + b"\n"
            )

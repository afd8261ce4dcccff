"""Checks the weights on your own labelled traffic, and refits them.

Replays labelled logs (label.campaign: a campaign's name or null; label.extraction) and takes in what you said of verdicts with
`guard clusters NAME --right` or `--wrong` (state directory of --policy). Prints of what was scored about 0.1, 0.3, 0.5, 0.7 and
0.9 how much was a campaign's; for each group signal how often honest groups read so many nats, against what the nats promise; how
near an honest group came to a verdict; and scales for the group signals, fitted with sources held out (each log; where that
leaves one class only, each campaign and segment).

--write writes them for [score] weights, if they do better than those in force on what they were not fitted on, with no more honest
groups and no fewer campaigns above the line of a verdict. Weights of single exchanges, clips, caps and bands stay as they are. Several logs of different weeks
tell more than one long one. Exit 1: with --write, the weights in force are kept and nothing was written. Exit 2: there are no
labels, or only one class of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from guard.calibration.fitting import Fitted
    from guard.calibration.gathering import Gathered
    from guard.calibration.looks import Looks, Scales
    from guard.settings import Policy

SUMMARY = "check the weights on labelled logs, and refit them"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", metavar="LOG", nargs="*", help="labelled exchange logs, or - for standard input")
    parser.add_argument(
        "--policy", metavar="FILE", default="standard", help="the policy whose weights are meant (default: standard)"
    )
    parser.add_argument("--write", metavar="FILE", default="", help="write fitted weights here, if they are better")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="only the first N lines of each log")
    parser.add_argument("--skip-broken", action="store_true", help="go on after a line that can't be replayed")


def run(options: argparse.Namespace) -> int:
    from guard.calibration import opinions, report  # noqa: PLC0415 - what is heavy loads when it runs
    from guard.calibration.fitting import folds, validate  # noqa: PLC0415
    from guard.calibration.gathering import Gathered  # noqa: PLC0415
    from guard.calibration.looks import scales  # noqa: PLC0415
    from guard.config import load  # noqa: PLC0415
    from guard.contracts import GroupSignal, Signal  # noqa: PLC0415
    from guard.errors import InstallError  # noqa: PLC0415
    from guard.feedback import Feedback  # noqa: PLC0415
    from guard.registry import signals  # noqa: PLC0415
    from guard.scoring import read_weights  # noqa: PLC0415

    policy = load(options.policy)
    if options.write and not options.force and Path(options.write).exists():
        raise InstallError(f"{options.write} is there already; --force overwrites it")
    weighers = signals(GroupSignal)
    known = {one.name: one.group for one in (*signals(Signal), *weighers)}
    scaled = scales(read_weights(policy.score.weights, known), weighers)
    gathered = Gathered(weighers)
    for log in options.logs:
        _read(gathered, log, policy, options)
    kept = Feedback(policy.state.dir).path
    judged = opinions.listen(gathered, kept, scaled) if kept else 0
    looks = gathered.looks()
    if not gathered.labelled and not judged:
        raise InstallError(
            "there is nothing to learn from: no line has a label (label.campaign, label.extraction), and no verdict was judged "
            "by guard clusters --right or --wrong"
        )
    _show(report.seen(gathered, looks, judged))
    if gathered.labelled:
        _show(report.reliability(gathered, looks))
    _show(report.promises(looks, scaled))
    _show(report.margins(gathered, looks, scaled))
    sys.stdout.flush()
    _both_classes(gathered, looks)
    parts = folds(looks, list(gathered.units), gathered.sources)
    if not parts:
        print("\nOne campaign or one segment alone can't be held out: the weights in force are kept. Add a log.")
        return 1 if options.write else 0
    found = validate(looks, scaled, parts)
    _show(report.fitted(found, scaled, looks))
    return _conclude(options, policy, found, scaled)


def _show(lines: Iterator[str]) -> None:
    for line in lines:
        print(line)


def _read(gathered: Gathered, log: str, policy: Policy, options: argparse.Namespace) -> None:
    from guard.errors import ExchangeLogError, InstallError  # noqa: PLC0415

    name = "standard input" if log == "-" else Path(log).name
    try:
        if log == "-":
            gathered.read(name, _first(sys.stdin.buffer, options.limit), policy, skip_broken=options.skip_broken)
        else:
            with Path(log).open("rb") as source:
                gathered.read(name, _first(source, options.limit), policy, skip_broken=options.skip_broken)
    except ExchangeLogError as error:
        raise InstallError(f"{name}: line {error.n} (the first is 0): {error.message}; --skip-broken goes on") from None
    except OSError as error:
        raise InstallError(f"{log}: {error.strerror}; name a file that can be read") from None


def _first(source: BinaryIO, limit: int) -> Iterator[bytes]:
    return islice(source, limit or None)


def _both_classes(gathered: Gathered, looks: Looks) -> None:
    """Raises ``InstallError`` where there is nothing to tell apart."""
    from guard.errors import InstallError  # noqa: PLC0415

    campaign, honest = bool(looks.campaign.any()), bool((~looks.campaign).any())
    if campaign and honest:
        return
    if not campaign and not honest:
        what = "no group was weighed: these logs are too short, or their accounts have nothing in common"
    elif campaign:
        what = "only groups of campaigns were weighed"
    elif gathered.of_campaigns:
        what = "campaigns are labelled, but no group of one was weighed: the logs are too short, or their accounts share nothing"
    else:
        what = "all labels say honest"
    raise InstallError(f"weights can't be fitted: {what}; add a log in which both are labelled")


def _conclude(options: argparse.Namespace, policy: Policy, found: Fitted, scaled: Scales) -> int:
    from guard.calibration import writing  # noqa: PLC0415

    if found.worse:
        print(f"the weights in force are kept: held out, {found.worse} with the fitted ones")
        if options.write:
            print(f"{options.write} was not written")
        return 1 if options.write else 0
    if not options.write:
        print("the fitted weights do better on what they were not fitted on: --write FILE writes them")
        return 0
    text = writing.rescaled(
        writing.in_force(policy.score.weights),
        dict(zip(scaled.signals, found.scale.tolist(), strict=True)),
        _remarks(found),
    )
    writing.write(Path(options.write), text, overwrite=options.force)
    print(f"wrote {options.write}; to use it: [score] weights = {str(Path(options.write))!r}")
    return 0


def _remarks(found: Fitted) -> Sequence[str]:
    return (
        "Scales fitted by guard calibrate; everything else is as it was in the weights that were in force.",
        f"Log-loss held out over {len(found.folds)} folds: {found.before:.4f} before, {found.after:.4f} after.",
    )

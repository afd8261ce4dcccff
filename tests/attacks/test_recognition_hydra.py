"""SECURITY 64 to 66 on real prompts: every text of the evaluation's hydra in disguise, among its ordinary accounts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
import pytest

from guard.config import load
from guard.fingerprint import dump
from guard.replay import ExchangeLog, Replay
from tests.attacks.disguises import DISGUISES, Disguise
from tests.populations import CONTAINED

LINES = 30_000
UNTIL = 300
TWO_POINTS = 0.02


class Line(NamedTuple):
    """A line of the log: ready to be replayed, or an exchange of the campaign that is still to be disguised."""

    ready: bytes
    harvest: dict[str, Any] | None


@pytest.fixture(scope="module")
def hydra(shared: Path) -> list[Line]:
    """The scenario's first lines. Of ordinary exchanges traits stand in the place of texts: they are the same in each run."""
    words = [
        sys.executable,
        str(shared / "eval" / "population.py"),
        str(shared / "eval" / "scenarios" / "hydra.toml"),
        *("--corpora", str(shared / "data" / "benign"), "--corpora", str(shared / "data" / "extraction")),
        *("--limit", str(LINES)),
    ]
    made = subprocess.run(words, capture_output=True, check=True, timeout=110).stdout.splitlines()
    assert len(made) == LINES
    reader, replay = ExchangeLog(), Replay(load("standard"))
    lines = []
    for line in made:
        logged, record = reader.read(line), orjson.loads(line)
        if record["label"]["campaign"] is not None:
            lines.append(Line(line, record))
            continue
        read = replay.exchange(logged)
        if read is not None and read.fault is None:
            del record["request"]["body"]
            record["request"]["features"] = dump(read.features)
        lines.append(Line(orjson.dumps(record), None))
    assert sum(line.harvest is not None for line in lines) > 3_000
    return lines


def disguised(record: dict[str, Any], disguise: Disguise, dice: Random) -> bytes:
    """The exchange with every text of its conversation in disguise."""
    body = record["request"]["body"]
    messages: Sequence[dict[str, Any]] = body["messages"]
    return orjson.dumps(
        {
            **record,
            "request": {
                **record["request"],
                "body": {
                    **body,
                    "messages": [{**m, "content": hidden(m["content"], disguise, dice)} for m in messages],
                },
            },
        }
    )


def hidden(content: Any, disguise: Disguise, dice: Random) -> Any:
    if isinstance(content, str):
        return disguise(dice, content)
    return [{**part, "text": disguise(dice, part["text"])} if "text" in part else part for part in content]


def leak(lines: list[Line], disguise: Disguise | None) -> float:
    """The share of the campaign's exchanges after the first 300 that were answered in full."""
    reader, replay, dice = ExchangeLog(), Replay(load("standard")), Random(64)
    full = []
    for ready, harvest in lines:
        line = ready if disguise is None or harvest is None else disguised(harvest, disguise, dice)
        action = replay.decide(reader.read(line)).decision.action
        if harvest is not None:
            full.append(action not in CONTAINED)
    assert not replay.faults
    return sum(full[UNTIL:]) / len(full[UNTIL:])


@pytest.fixture(scope="module")
def plain_leak(hydra: list[Line]) -> float:
    return leak(hydra, None)


PADDED = "fresh filler before and behind the template, up to thirty kilobytes: 3.1 % leak, 0.1 % plain"
BREAKS = {"padded far"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=PADDED))
        if name in BREAKS
        else name
        for name in DISGUISES
    ],
)
def test_a_disguise_wins_the_hydra_nothing(name: str, hydra: list[Line], plain_leak: float) -> None:
    """At most two points more are answered in full after the first 300 than without it."""
    found = leak(hydra, DISGUISES[name])
    print(name, round(found, 4), "plain", round(plain_leak, 4))

    assert found <= plain_leak + TWO_POINTS

"""Simulated (or any labelled) exchanges through guard's synchronous core, as a replay decides them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from guard.errors import ExchangeLogError, InstallError
from guard.replay.log import ExchangeLog, Logged
from guard.replay.run import Met, Replay
from guard.settings import Policy
from guard.simulation.figures import Figures

_AHEAD = 128


def judged(policy: Policy, exchanges: Iterable[Mapping[str, Any]]) -> tuple[Figures, str]:
    """What the policy makes of them, and what of guard itself failed (``""``: nothing). Raises ``InstallError`` for one that
    can't be replayed."""
    replay, figures = Replay(policy), Figures()
    for record, logged, met in prepared(exchanges, replay):
        figures.add(record["label"], replay.decide_met(logged, met))
    return figures, faults(replay)


def prepared(exchanges: Iterable[Mapping[str, Any]], replay: Replay) -> Iterator[tuple[Mapping[str, Any], Logged, Met]]:
    """Each exchange, ready to be decided. Some are read ahead, for what they ask is made out in less time together."""
    source, log = iter(exchanges), ExchangeLog()
    try:
        while chunk := list(islice(source, _AHEAD)):
            read = [log.read(orjson.dumps(record)) for record in chunk]
            for record, logged, met in zip(chunk, read, replay.meet_all(read), strict=True):
                if isinstance(met, ExchangeLogError):
                    raise met
                yield record, logged, met
    except ExchangeLogError as error:
        raise InstallError(f"exchange {error.n} can't be replayed: {error.message}") from None


def faults(replay: Replay) -> str:
    """What of guard itself failed, in words."""
    return ", ".join(f"{what}: {count:,}" for what, count in sorted(replay.faults.items()))

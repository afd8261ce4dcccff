"""Replays labelled logs, and keeps what every group signal said of every group, beside what the labels say of it.

A label stands at each line (``label.campaign``: a campaign's name or null; ``label.extraction``); guard never reads it to decide.
An account is a campaign's once one of its lines was. What lines without a label send is weighed too, but a group of which they are
more than half is left out. Memory: about 800 bytes a weighing (some thirty thousand for a million lines), 200 an account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import orjson

from guard.calibration.looks import CAMPAIGN, HONEST, Looks
from guard.contracts import GroupSignal
from guard.errors import ExchangeLogError, InstallError
from guard.recognition.families import Family
from guard.recognition.verdicts import Verdict
from guard.replay.log import ExchangeLog
from guard.replay.run import Replay
from guard.samples import Sample
from guard.settings import Policy

BINS = 5
_OF_CAMPAIGN = 0.5
_UNNAMED = "unnamed"


class Look(NamedTuple):
    """One weighing, as ``Looks`` has it."""

    nats: tuple[float, ...]
    campaign: bool
    clean: bool
    group: int
    unit: int
    source: int
    total: float
    score: float
    band: int


class Unit(NamedTuple):
    """What groups are counted by: a campaign, or a segment of honest traffic, of one source."""

    source: int
    kind: str
    name: str


class Gathered:
    """All that was learnt from all logs."""

    def __init__(self, signals: Iterable[GroupSignal]) -> None:
        self.signals = tuple(signals)
        self.sources: list[str] = []
        self.units: dict[Unit, int] = {}
        self.exchanges = self.labelled = self.broken = 0
        self.unlabelled_groups = 0
        self.of_campaigns = 0
        """How many labelled exchanges were of accounts of campaigns."""
        self.scored = np.zeros((BINS, 2), np.int64)
        """(bins of the score, honest or campaign) labelled exchanges."""
        self.scorers: tuple[set[tuple[int, str]], ...] = tuple(set() for _ in range(BINS))
        """By bin: whose these were."""
        self._looks: list[Look] = []
        self._groups: dict[tuple[int, int | str], int] = {}

    def unit(self, source: int, kind: str, name: str) -> int:
        """The number of a campaign or segment."""
        return self.units.setdefault(Unit(source, kind, name), len(self.units))

    def group(self, source: int, value: int | str) -> int:
        """The number of a group."""
        return self._groups.setdefault((source, value), len(self._groups))

    def add(self, look: Look) -> None:
        self._looks.append(look)

    def looks(self) -> Looks:
        """All weighings."""
        columns: list[Any] = list(zip(*self._looks, strict=True)) or [()] * len(Look._fields)
        nats, campaign, clean, group, unit, source, total, score, band = columns
        return Looks(
            nats=np.array(nats, np.float64).reshape(-1, len(self.signals)),
            campaign=np.array(campaign, np.bool_),
            clean=np.array(clean, np.bool_),
            group=np.array(group, np.int32),
            unit=np.array(unit, np.int32),
            source=np.array(source, np.int32),
            total=np.array(total, np.float64),
            score=np.array(score, np.float64),
            band=np.array(band, np.int8),
        )

    def read(self, name: str, lines: Iterable[bytes], policy: Policy, *, skip_broken: bool = False) -> None:
        """One log, as a source of that name, decided by the policy as if enforced. Raises ``ExchangeLogError`` at a broken line
        unless they are skipped, ``InstallError`` where guard itself failed."""
        _Reading(self, name, policy).run(lines, skip_broken=skip_broken)


class _Reading:
    """One log being read."""

    def __init__(self, gathered: Gathered, name: str, policy: Policy) -> None:
        self._gathered = gathered
        gathered.sources.append(name)
        self._source = len(gathered.sources) - 1
        self._replay = Replay(policy)
        self._recognition = self._replay.guard.recognition
        self._recognition.observer = self._weighed
        self._campaigns: dict[str, str] = {}
        self._segments: dict[str, str] = {}

    def run(self, lines: Iterable[bytes], *, skip_broken: bool) -> None:
        gathered, reader = self._gathered, ExchangeLog()
        at = 0.0
        for line in lines:
            try:
                logged = reader.read(line)
                outcome = self._replay.decide(logged)
            except ExchangeLogError:
                if not skip_broken:
                    raise
                gathered.broken += 1
                continue
            at = logged.at
            gathered.exchanges += 1
            self._label(outcome.account.key, orjson.loads(line).get("label"), outcome.decision.score)
        self._replay.guard.due(at + 1.0)
        if self._replay.faults:
            raise InstallError(
                f"guard itself failed ({dict(self._replay.faults)}): nothing was fitted; please report it"
            )

    def _label(self, key: str, label: Any, score: float) -> None:
        if type(label) is not dict or not ("campaign" in label or "extraction" in label):
            return
        gathered = self._gathered
        gathered.labelled += 1
        campaign = label.get("campaign") or (_UNNAMED if label.get("extraction") else None)
        if campaign is not None:
            self._campaigns[key] = str(campaign)
            gathered.of_campaigns += 1
        else:
            self._segments.setdefault(key, str(label.get("segment") or _UNNAMED))
        place = min(BINS - 1, int(score * BINS))
        gathered.scored[place, int(campaign is not None)] += 1
        gathered.scorers[place].add((self._source, key))

    def _weighed(self, family: Family, sample: Sample, verdict: Verdict) -> None:
        """Whose exchanges these are, and what each signal says of them."""
        gathered, group = self._gathered, family.group
        campaigns: Counter[str] = Counter()
        segments: Counter[str] = Counter()
        unlabelled = 0
        for number, count in Counter([event.number for event in group.events] if group else ()).items():
            known = self._recognition.accounts.number(number)
            key = known.key if known is not None else ""
            if key in self._campaigns:
                campaigns[self._campaigns[key]] += count
            elif key in self._segments:
                segments[self._segments[key]] += count
            else:
                unlabelled += count
        labelled = campaigns.total() + segments.total()
        if labelled <= unlabelled or not labelled:
            gathered.unlabelled_groups += 1
            return
        campaign = campaigns.total() >= _OF_CAMPAIGN * labelled
        most = (campaigns if campaign else segments).most_common(1)[0][0]
        gathered.add(
            Look(
                tuple([signal.weigh(sample).nats for signal in gathered.signals]),
                campaign,
                not campaigns,
                gathered.group(self._source, family.value),
                gathered.unit(self._source, CAMPAIGN if campaign else HONEST, most),
                self._source,
                verdict.nats - verdict.added,
                verdict.score,
                verdict.band,
            )
        )

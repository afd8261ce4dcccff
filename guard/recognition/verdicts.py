"""Verdicts: the evidence on a group, added up as log-odds, capped for each signal and each kind of evidence.

nats = prior + Σ over kinds of clip(Σ of the kind's signals, −cap, cap). The prior is what makes a thousand candidates as safe as
one: −log(candidates / RISK), so that under honest models all of them together are convicted falsely with a probability of about
RISK (Ville's inequality on the sequential signals; DETECTION.md, section 5). ``suspect`` from −2 nats; ``confirmed`` from 0,
with two kinds of at least 2 nats each, one of them costly to plant on a victim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import NamedTuple, TypeVar

import numpy as np

from guard.contracts import GroupSignal
from guard.recognition.accounts import Known
from guard.recognition.groups import Observed
from guard.samples import Sample
from guard.standing import STANDING
from guard.types import Evidence

_Result = TypeVar("_Result")

RISK = 0.01
SUSPECT_NATS = -2.0
CONFIRMED_NATS = 0.0
CONFIRMED_SCORE, BELOW_CONFIRMED = 0.9, 0.899
STRONG_NATS = 2.0
COSTLY_NATS = 2.7
"""What one kind of evidence must reach by what is costly to plant: no heap of cheap marks convicts (15 to 1)."""
FEWEST = 16
"""Accounts without standing that a group needs for a verdict (``owners``); fewer where they are tied by what they pay with."""
FEWEST_TIED = 3
OTHER_KINDS_NATS = 1.0
"""What other kinds than the strongest must say where a group is convicted whatever its accounts' standing."""
CONDUCT = frozenset({"coordination", "rhythm"})
"""Kinds of evidence that lie in how the accounts act, and not in who they are or what they say."""
WHO = frozenset({"standing", "lifecycle"})
"""Kinds that lie in who they are."""
AGREES_NATS = 1.0
"""From which on a costly signal agrees with the others of its kind."""
APART_NATS = 4.6
AGREED_NATS = 2.3
"""What load, cards and hours that agree say beyond what each may by itself. Each is capped for the sake of honest groups that look
like a queue in it: set exercises, tools that make all text alike, servers that run round the clock. Hardly any is all of them."""
SOME_AGED = 0.25
"""The share of a group's accounts that must have standing for conduct that agrees to convict by itself. Of new accounts who they are
speaks as well, and an event that goes on through one night (a hackathon, a game jam) looks like a queue in all of its conduct."""
UNDATED_S = 60.0 * 3_600.0
"""Where the operator states neither when accounts were made nor who is verified, who they are can't speak at all. An event is over by
then, so conduct that agrees for so long convicts as well."""
AGED = 0.2
"""How many campaigns are run on bought or ripened accounts: who they are speaks for them no louder than that where their conduct agrees."""


@dataclass(frozen=True, slots=True)
class Clip:
    """How much of a signal's nats count: times ``scale``, between ``least`` and ``most``."""

    scale: float
    least: float
    most: float


def probability(nats: float, band: int) -> float:
    """The score of a group of so many nats, in the range of its band."""
    score = 1.0 / (1.0 + exp(-max(-50.0, min(50.0, nats - SUSPECT_NATS))))
    return max(CONFIRMED_SCORE, score) if band == 3 else min(BELOW_CONFIRMED, score)


class Verdict(NamedTuple):
    """What a group was found to be. ``band``: an index into ``types.BANDS``; 0: nothing that would hold."""

    nats: float
    band: int
    evidence: tuple[Evidence, ...]
    seasoned: bool = False
    """Whether it holds only if accounts of standing count (``seasoned.py``)."""
    added: float = 0.0
    """What its nats then have beyond the caps of its kinds."""
    agreed: bool = False
    """Whether it is convicted by conduct that agrees."""
    partly: bool = False
    """Whether of one kind of conduct costly signals agree, so that it is worth looking again soon what the other kind says."""

    @property
    def score(self) -> float:
        """The probability that such a group is one campaign, in the range of its band."""
        return probability(self.nats, self.band)


class _Heard(NamedTuple):
    """What the signals say of a group: sums by kind, every costly one that speaks against it with its kind, and all that was said."""

    sums: dict[str, float]
    costly: list[tuple[str, float]]
    evidence: tuple[Evidence, ...]


class Weighing:
    """Weighs groups with every group signal there is. ``caps``: kind of evidence → its cap."""

    def __init__(self, signals: Sequence[GroupSignal], clips: Mapping[str, Clip], caps: Mapping[str, float]) -> None:
        self._signals = tuple((signal, clips[signal.name]) for signal in signals)
        self._caps = dict(caps)

    def without(self, names: Collection[str]) -> Weighing:
        """The same but for those signals."""
        signals = [(signal, clip) for signal, clip in self._signals if signal.name not in names]
        return Weighing([one for one, _ in signals], {one.name: clip for one, clip in signals}, self._caps)

    def weigh(self, sample: Sample, candidates: int, cleared: frozenset[str] = frozenset()) -> Verdict:
        """The verdict on a group, one of so many ``candidates``. Kinds of evidence that are ``cleared`` never speak against it."""
        return ended(self.weighing(sample, candidates, cleared))

    def weighing(
        self,
        sample: Sample,
        candidates: int,
        cleared: frozenset[str] = frozenset(),
        *,
        enough: bool = False,
        seasoned: int = 0,
        agreeing: int = 0,
    ) -> Generator[None, None, Verdict]:
        """The same in steps, one a signal. ``enough``: whoever asks knows that there are owners enough (else ``owners`` counts).
        ``seasoned``: it is one of so many that may be convicted whatever their accounts' standing; 0: it may not. ``agreeing``:
        likewise by conduct that agrees."""
        heard = yield from self._hear(sample, cleared)
        sums = heard.sums
        costly = {kind: sum([said for one, said in heard.costly if one == kind]) for kind in sums}
        nats = self._capped(sums, candidates)
        strong = [kind for kind, total in sums.items() if total >= STRONG_NATS]
        strong_costly = any([min(sums[kind], costly[kind]) >= COSTLY_NATS for kind in strong])
        tied = "infrastructure" not in cleared and costly.get("infrastructure", 0.0) >= STRONG_NATS
        band = 0
        if nats > SUSPECT_NATS and strong_costly and (enough or owners(sample) >= (FEWEST_TIED if tied else FEWEST)):
            band = 3 if nats > CONFIRMED_NATS and len(strong) >= 2 else 2
        if band == 0 and seasoned:
            found = prior(seasoned) + seasoned_nats(sums, self._caps, [said for _, said in heard.costly])
            if found > SUSPECT_NATS:
                return Verdict(found, 2, heard.evidence, seasoned=True, added=found - nats)
        if band == 0 and agreeing and some_aged(sample):
            return self._agreed(heard, agreeing)
        return Verdict(nats, band, heard.evidence)

    def since(self, sample: Sample, candidates: int, clock: Evidence) -> Generator[None, None, Verdict]:
        """Whether a group, one of so many that were chosen by what they did earlier, is convicted by what it has done since, by its
        clock and something else. In steps. ``clock``: what its clock says since then, costly to plant."""
        heard = yield from self._hear(sample, frozenset())
        sums = {**heard.sums, clock.group: heard.sums.get(clock.group, 0.0) + clock.nats}
        costly = [clock.nats, *[said for _, said in heard.costly]]
        nats = self._capped(sums, candidates)
        found = prior(candidates) + seasoned_nats(sums, self._caps, costly, rest=AGREES_NATS)
        band = 2 if found > SUSPECT_NATS else 0
        return Verdict(max(found, nats), band, (clock, *heard.evidence), seasoned=True, added=max(found - nats, 0.0))

    def agreeing(
        self, sample: Sample, candidates: int, cleared: frozenset[str] = frozenset()
    ) -> Generator[None, None, Verdict]:
        """Whether a group is convicted by conduct that agrees, whoever its accounts are, and by nothing else. In steps."""
        heard = yield from self._hear(sample, cleared)
        if not some_aged(sample):
            return Verdict(self._capped(heard.sums, candidates), 0, heard.evidence)
        return self._agreed(heard, candidates)

    def _hear(self, sample: Sample, cleared: frozenset[str]) -> Generator[None, None, _Heard]:
        """What every signal says, one a step."""
        sums: dict[str, float] = {}
        costly: list[tuple[str, float]] = []
        evidence = []
        for signal, clip in self._signals:
            weighed = signal.weigh(sample)
            yield
            nats = min(clip.most, max(clip.least, weighed.nats * clip.scale))
            if nats == 0.0:
                continue
            sums[signal.group] = sums.get(signal.group, 0.0) + nats
            if nats > 0.0 and signal.costly and signal.group not in cleared:
                costly.append((signal.group, nats))
            evidence.append(Evidence(signal.name, signal.group, round(nats, 4), weighed.reason))
        if cleared:
            sums = {kind: min(total, 0.0) if kind in cleared else total for kind, total in sums.items()}
            evidence = [one for one in evidence if one.nats < 0.0 or one.group not in cleared]
        return _Heard(sums, costly, tuple(evidence))

    def _capped(self, sums: Mapping[str, float], candidates: int) -> float:
        nats = prior(candidates)
        for kind, total in sums.items():
            cap = self._caps[kind]
            nats += max(-cap, min(cap, total))
        return nats

    def _agreed(self, heard: _Heard, candidates: int) -> Verdict:
        nats = self._capped(heard.sums, candidates)
        found = prior(candidates) + agreed_nats(heard.sums, self._caps, heard.costly)
        if found > SUSPECT_NATS:
            return Verdict(found, 2, heard.evidence, seasoned=True, added=found - nats, agreed=True)
        return Verdict(nats, 0, heard.evidence, partly=agrees(heard.sums, heard.costly))


def ended(steps: Generator[None, None, _Result]) -> _Result:
    """What comes of all steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result


def prior(candidates: int) -> float:
    """The log-odds of one of so many candidates before anything is known of it."""
    return -log(max(1, candidates) / RISK)


def seasoned_nats(
    sums: Mapping[str, float], caps: Mapping[str, float], costly: Sequence[float], *, rest: float = COSTLY_NATS
) -> float:
    """What the evidence comes to where accounts of standing count: ``sums`` by kind, and what each costly signal says; −inf where one
    signal or one kind carries it.

    Without the strongest signal, what is costly must still come to ``rest``; then signals of one kind that agree (one clock,
    one load, one deck of cards) count beyond the kind's cap, for at most twice it. And other kinds must speak as well. Keys that are
    known to be one owner's (``signals/one_owner.py``) act as one queue because they are.
    """
    if sum(costly) - max(costly, default=0.0) < rest or one_owners(sums, caps):
        return -inf
    strongest = max(sums, key=lambda kind: sums[kind])
    others = {kind: total for kind, total in sums.items() if kind != strongest}
    if sum([total for total in others.values() if total > 0.0]) < OTHER_KINDS_NATS:
        return -inf
    kept = [max(-caps[kind], min(caps[kind], total)) for kind, total in others.items()]
    return min(2.0 * caps[strongest], sums[strongest]) + sum(kept)


def lives_apart(evidence: Sequence[Evidence]) -> bool:
    """Whether a group's conduct (loads, subjects, hours) plainly speaks for owners who live apart: a hundred to one."""
    return sum([one.nats for one in evidence if one.group in CONDUCT]) <= -APART_NATS


def one_owners(sums: Mapping[str, float], caps: Mapping[str, float]) -> bool:
    """Whether who the accounts are says all it can for them: old accounts alone say half of it, one known owner the whole."""
    return sums.get("standing", 0.0) <= -caps.get("standing", inf)


def agrees(sums: Mapping[str, float], costly: Sequence[tuple[str, float]]) -> bool:
    """Whether of one kind of conduct two costly signals agree, and nothing of their kind speaks against it."""
    found = Counter([kind for kind, nats in costly if kind in CONDUCT and nats >= AGREES_NATS])
    return any([number >= 2 and sums[kind] >= COSTLY_NATS for kind, number in found.items()])


def agreed_nats(sums: Mapping[str, float], caps: Mapping[str, float], costly: Sequence[tuple[str, float]]) -> float:
    """What the evidence comes to where the conduct of a group's accounts agrees; −inf where it doesn't. ``sums`` by kind; ``costly``:
    what each costly signal says, with its kind.

    Of one kind of conduct two costly signals must agree (even load, one deck of cards), and the other must say as much (no hours of
    their own). Then both count for up to twice their caps, and ``AGREED_NATS`` more. Who the accounts are (standing, age) speaks for
    them as loudly as few campaigns are run on old accounts; of all else only content speaks against them. A company's seats act as a
    queue, too: where all have one payer they are his.
    """
    if (
        one_owners(sums, caps)
        or not agrees(sums, costly)
        or any([sums.get(kind, 0.0) < COSTLY_NATS for kind in CONDUCT])
    ):
        return -inf
    nats = AGREED_NATS
    who = 0.0
    for kind, total in sums.items():
        cap = caps[kind]
        if kind in CONDUCT:
            nats += min(2.0 * cap, total)
        elif kind in WHO:
            who += max(-cap, min(0.0, total))
        else:
            nats += max(-cap, min(cap if kind == "content" else 0.0, total))
    return nats + max(log(AGED / (1.0 - AGED)), who)


def some_aged(sample: Sample) -> bool:
    """Whether enough of a group's accounts have standing for its conduct to be all that counts, or nobody can know who has."""
    if int(np.count_nonzero(sample.standing >= STANDING)) >= SOME_AGED * sample.accounts:
        return True
    unknown = int(np.count_nonzero(~sample.dated & (sample.verified < 0)))
    return unknown > (1.0 - SOME_AGED) * sample.accounts and float(sample.at[-1] - sample.at[0]) >= UNDATED_S


def wide_enough(events: Sequence[Observed], weighable: Callable[[int], Known | None], *, whoever: bool = False) -> bool:
    """Whether there are accounts enough for a verdict (``owners``): two thirds of all groups have too few. ``whoever``: whatever
    their standing."""
    now = events[-1].at
    seen: set[int] = set()
    paid: set[int] = set()
    networks: Counter[int] = Counter()
    unknown, tied = 0, False
    for event in events:
        number = event.number
        if number in seen:
            continue
        seen.add(number)
        known = weighable(number)
        if known is not None and not whoever:
            payment = known.payment
            tied = tied or payment in paid
            if payment:
                paid.add(payment)
        if tied and len(seen) >= FEWEST_TIED:
            return True
        if known is not None and (whoever or not known.of_standing(now)):
            # Each account's first network.
            if event.network:
                networks[event.network] += 1
            else:
                unknown += 1
            if unknown + len(networks) >= FEWEST:
                return True
    return max(networks.values(), default=0) >= FEWEST


def owners(sample: Sample) -> int:
    """How many accounts without standing speak for one operator.

    A few keys behind one address are somebody's own, and a handful of such owners who use the same prompt are no campaign: so it
    is the networks that count, or the accounts on the one that has most, whichever is more. An unknown network is one by itself.
    """
    fresh = np.flatnonzero(sample.standing < STANDING)
    first = np.unique(sample.account, return_index=True)[1][fresh]
    networks = sample.network[first]
    known = networks[networks != 0]
    apart = len(networks) - len(known)
    if len(known) == 0:
        return apart
    counts = np.unique(known, return_counts=True)[1]
    return max(apart + len(counts), int(counts.max()))

"""What the demo shows: who asks, what was decided, the cluster that was found and why, leak and harm. Text in, text out.

``Board`` counts what the clients saw and keeps what guard says it has found; ``frame`` is one picture of a terminal, ``seen`` and
``found`` a line for where there is none, and ``result`` the table at the end. Nothing here draws or waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from guard.demo.traffic import Event, Group
from guard.types import JSONObject

RED, YELLOW, GREEN, DIM, BOLD, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_HEAD = "who     how                   accounts   asked  in full  contained  busiest"
_HEAD_NOTE = "latest decisions (how often)"
_SAID_NATS = 0.5
_NOTHING = "no cluster found yet"


class Finding(NamedTuple):
    """A cluster as guard holds it. ``linked``: its accounts; ``right``: those of them that are the campaign's, which guard can't
    know and the demo can. ``kinds``: its evidence, in nats; ``reasons``: (kind, signal, nats, reason), the heaviest first."""

    name: str
    band: str
    linked: int
    right: int
    nats: float
    kinds: Mapping[str, float]
    reasons: tuple[tuple[str, str, float, str], ...]

    @classmethod
    def read(cls, dossier: JSONObject, campaign: frozenset[str]) -> Finding:
        """From the dossier of a cluster (``guard clusters NAME``); ``campaign``: the keys of the campaign's accounts."""
        inference = dossier["inference"]
        reasons = [(e["kind"], e["signal"], float(e["nats"]), e["reason"]) for e in inference["evidence"]]
        return cls(
            dossier["name"],
            dossier["band"],
            int(dossier["facts"]["linked"]),
            sum(one["account"] in campaign for one in dossier["accounts"]),
            float(inference["nats"]),
            inference["kinds"],
            tuple(sorted(reasons, key=lambda reason: -reason[2])),
        )


class Row:
    """One group's figures. ``contained``: answered 429 or 403; ``failed``: no answer came, or one that guard didn't give."""

    __slots__ = (
        "asked",
        "busy",
        "contained",
        "failed",
        "full",
        "full_later",
        "group",
        "later",
        "references",
        "touched",
    )

    def __init__(self, group: Group) -> None:
        self.group = group
        self.asked = self.full = self.contained = self.failed = 0
        self.later = self.full_later = 0
        """Exchanges since the cluster was found, and those of them that were answered in full."""
        self.busy: dict[str, int] = {}
        """Account → exchanges."""
        self.touched: set[str] = set()
        """Accounts of which an exchange was contained."""
        self.references: list[str] = []
        """The references of the contained exchanges, in order."""


class Board:
    """Everything that was seen. ``reasons``: reference → why, of the exchanges that the app was told about."""

    def __init__(self, groups: Sequence[Group], reasons: Mapping[str, tuple[str, ...]]) -> None:
        self.rows = {group.name: Row(group) for group in groups}
        self.findings: tuple[Finding, ...] = ()
        """The clusters that guard holds, the largest first."""
        self.story: list[tuple[float, str, str]] = []
        """(hour, cluster, band) each time when a cluster is in a band for the first time."""
        self._reasons = reasons
        # (group, decision, why) → the last such event and how many there were; the latest is last.
        self._latest: dict[tuple[str, str, str], tuple[Event, int]] = {}

    def seen(self, event: Event) -> str:
        """Counts one request; returns the line that tells it, ``""`` where one of its group has ended like that before."""
        row = self.rows[event.group.name]
        row.asked += 1
        row.busy[event.account] = row.busy.get(event.account, 0) + 1
        row.later += bool(self.story)
        decision, why = self._judged(event)
        if event.status == 200:
            row.full += 1
            row.full_later += bool(self.story)
        elif event.status in {403, 429}:
            row.contained += 1
            row.touched.add(event.account)
            row.references.append(event.reference)
        else:
            row.failed += 1
        kind = event.group.name, decision, why
        _, times = self._latest.pop(kind, (event, 0))
        self._latest[kind] = event, times + 1
        return "" if times else _told(event, decision, why)

    def found(self, findings: Sequence[Finding], at_h: float) -> Iterator[str]:
        """Takes what guard holds at this hour; a line for each cluster that is in a band for the first time."""
        self.findings = tuple(sorted(findings, key=lambda finding: (-finding.linked, finding.name)))
        before = {(name, band) for _, name, band in self.story}
        for one in self.findings:
            if (one.name, one.band) not in before:
                self.story.append((at_h, one.name, one.band))
                kinds = ", ".join(f"{kind} {nats:+.1f}" for kind, nats in one.kinds.items() if abs(nats) >= _SAID_NATS)
                yield f"{at_h:5.1f} h  cluster {one.name} is {one.band}: {one.linked} accounts, evidence in nats: {kinds}"

    def _judged(self, event: Event) -> tuple[str, str]:
        """The decision's name and why, as far as this side was told."""
        if event.status == 200:
            return ("tag", ", ".join(self._reasons.get(event.reference, ()))) if event.reference else ("allow", "")
        if event.status == 0:
            return "no answer", event.told
        return ("limit" if event.status == 429 else "refuse" if event.status == 403 else "error"), event.told

    def frame(self, title: str, width: int, height: int, *, colour: bool = True) -> list[str]:
        """One picture of ``height`` lines of at most ``width`` characters (escape sequences not counted)."""
        lines = [_cut(title, width, BOLD), "", _cut(_HEAD, width, DIM)]
        lines += [_cut(_figures(row), width, RED if row.contained else "") for row in self.rows.values()]
        held, *reasons = self._held()
        lines += ["", _cut(held, width, RED if self.findings else "")]
        lines += [_cut(reason, width, "") for reason in reasons]
        lines += [_cut(text, width, BOLD) for text in self.outcome()]
        lines += ["", _cut(_HEAD_NOTE, width, DIM)]
        room = max(0, height - len(lines) - 1)
        latest = list(self._latest.items())
        for (_, decision, why), (event, times) in latest[-room:] if room else []:
            shade = {"allow": GREEN, "tag": YELLOW}.get(decision, RED)
            lines.append(_cut(_told(event, decision, why, f"×{times}"), width, shade))
        lines = lines[: height - 1]
        lines += [""] * (height - 1 - len(lines))
        lines.append(_cut("Ctrl-C ends it.", width, DIM))
        return lines if colour else [_bare(line) for line in lines]

    def _held(self) -> list[str]:
        """What guard holds, in a few lines: when it was found, of whom it is made, and what convicted it."""
        if not self.findings:
            return [_NOTHING]
        first = self.findings[0]
        when = ", ".join(f"{band} {at_h:.1f} h" for at_h, name, band in self.story if name == first.name)
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        held = f"cluster {first.name}: {when}; {first.linked} accounts ({first.right} hydra's){more}"
        reasons = [f"  {kind:<13} {nats:+5.2f}  {signal}: {reason}" for kind, signal, nats, reason in first.reasons[:5]]
        return [held, *reasons]

    def outcome(self) -> list[str]:
        """Leak and harm so far."""
        loud = [row for row in self.rows.values() if row.group.campaign]
        quiet = [row for row in self.rows.values() if not row.group.campaign]
        asked, full = sum(row.asked for row in loud), sum(row.full for row in loud)
        later, full_later = sum(row.later for row in loud), sum(row.full_later for row in loud)
        accounts, touched = sum(len(row.busy) for row in quiet), sum(len(row.touched) for row in quiet)
        since = f"; since it was found {full_later} of {later} ({_share(full_later, later)})" if self.story else ""
        return [
            f"leak: {full} of {asked} answered in full ({_share(full, asked)}){since}",
            f"harm: {touched} of {accounts} ordinary accounts, "
            f"{sum(row.contained for row in quiet)} of {sum(row.asked for row in quiet)} of their exchanges",
        ]

    def result(self) -> Iterator[str]:
        """The table at the end, and what was found."""
        yield _HEAD
        for row in self.rows.values():
            missed = f"  ({row.failed} without an answer)" if row.failed else ""
            yield _figures(row) + missed
        yield ""
        yield from self._held()
        yield from self.outcome()

    def contained(self) -> list[str]:
        """The references of the campaign's contained exchanges, the latest first: they name the most evidence."""
        return [r for row in self.rows.values() if row.group.campaign for r in reversed(row.references) if r]


def _figures(row: Row) -> str:
    # What each account may take by the policy's own limit is what this stands against: 300 a day.
    busiest = f"{max(row.busy.values())} by one" if row.busy else "-"
    group = row.group
    return f"{group.name:<7} {group.does:<21} {len(row.busy):>8} {row.asked:>7} {row.full:>8} {row.contained:>10}  {busiest}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _told(event: Event, decision: str, why: str, times: str = "") -> str:
    count = f" {times:<5}" if times else ""
    return f"{event.at_h:5.1f} h  {event.account:<10} {decision:<6}{count} {event.reference:<12} {why}".rstrip()


def _cut(text: str, width: int, shade: str) -> str:
    """At most ``width`` characters, the last one a mark where something was left out."""
    shown = text if len(text) <= width else text[: max(0, width - 1)] + "…"
    return f"{shade}{shown}{PLAIN}" if shade else shown


def _bare(line: str) -> str:
    for sequence in (RED, YELLOW, GREEN, DIM, BOLD, PLAIN):
        line = line.replace(sequence, "")
    return line

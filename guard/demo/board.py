"""What the demo shows: who asks, what was decided and why, and what is left of each one's allowance. Text in, text out.

``Board`` counts what the clients saw; ``frame`` is one picture of a terminal, ``change`` a line for where there is none, and
``result`` the table at the end. Nothing here draws or waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from guard.demo.traffic import Client, Event

RED, YELLOW, GREEN, DIM, BOLD, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_HEAD = "who        what                  asked   full  refused  band     f     used"
_HEAD_NOTE = "latest decisions (how often)"


class Allowance(NamedTuple):
    """What guard holds of an account: its band, f, and how much of its limit is used (and of how much, f applied)."""

    band: str = "low"
    factor: float = 1.0
    used: float = 0.0
    most: float = 0.0


class Row:
    """One client's figures. ``limited`` are its 429s, ``refused`` all other answers but 200, ``failed``: no answer came."""

    __slots__ = ("asked", "client", "failed", "full", "last", "limited", "references", "refused", "tagged")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked = self.full = self.limited = self.refused = self.failed = self.tagged = 0
        self.last = ""
        self.references: list[str] = []
        """The references of the exchanges that were limited or refused, in order."""

    @property
    def share(self) -> str:
        """How much was answered in full."""
        return f"{100 * self.full / self.asked:.0f} %" if self.asked else "-"


class Board:
    """Everything that was seen. ``reasons``: reference → why, of the exchanges that the app was told about."""

    def __init__(self, clients: Sequence[Client], reasons: Mapping[str, tuple[str, ...]]) -> None:
        self.rows = {client.name: Row(client) for client in clients}
        self._reasons = reasons
        # (client, decision, why) → the last such event and how many there were; the latest is last.
        self._latest: dict[tuple[str, str, str], tuple[Event, int]] = {}

    def seen(self, event: Event) -> str:
        """Counts one request; returns the line that tells it, ``""`` where it ended as this client's last one did."""
        row = self.rows[event.client.name]
        row.asked += 1
        decision, why = self._judged(event)
        if event.status == 0:
            row.failed += 1
        elif event.status == 200:
            row.full += 1
            row.tagged += decision == "tag"
        else:
            row.limited += event.status == 429
            row.refused += event.status != 429
            row.references.append(event.reference)
        kind = event.client.name, decision, why
        _, times = self._latest.pop(kind, (event, 0))
        self._latest[kind] = event, times + 1
        if row.last == decision + why:
            return ""
        row.last = decision + why
        return _told(event, decision, why)

    def _judged(self, event: Event) -> tuple[str, str]:
        """The decision's name and why, as far as this side was told."""
        if event.status == 200:
            return ("tag", ", ".join(self._reasons.get(event.reference, ()))) if event.reference else ("allow", "")
        if event.status == 0:
            return "no answer", event.told
        return ("limit" if event.status == 429 else "refuse"), event.told

    def frame(
        self, title: str, allowances: Mapping[str, Allowance], width: int, height: int, *, colour: bool = True
    ) -> list[str]:
        """One picture of ``height`` lines of at most ``width`` characters (escape sequences not counted)."""
        lines = [_cut(title, width, BOLD), "", _cut(_HEAD, width, DIM)]
        for row in self.rows.values():
            held = allowances.get(row.client.name, Allowance())
            used = f"{held.used:.0f}/{held.most:.0f}" if held.most else "-"
            text = (
                f"{row.client.name:<10} {row.client.does:<20} {row.asked:>6} {row.full:>6} {row.limited + row.refused:>8}"
                f"  {held.band:<8} {held.factor:<5.2f} {used}"
            )
            lines.append(_cut(text, width, RED if row.limited + row.refused else YELLOW if row.tagged else ""))
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

    def result(self) -> Iterator[str]:
        """The table at the end."""
        yield "client      requests  in full  limited  refused  answered in full"
        for row in self.rows.values():
            missed = f"  ({row.failed} without an answer)" if row.failed else ""
            yield (
                f"{row.client.name:<10}  {row.asked:>8}  {row.full:>7}  {row.limited:>7}  {row.refused:>7}  "
                f"{row.share:>16}{missed}"
            )

    def contained(self) -> list[str]:
        """The references of the loud client's limited and refused exchanges, in order."""
        return [reference for row in self.rows.values() if row.client.loud for reference in row.references if reference]


def _told(event: Event, decision: str, why: str, times: str = "") -> str:
    count = f" {times:<5}" if times else ""
    return f"{event.at_s:6.1f} s  {event.client.name:<10} {decision:<6}{count} {event.reference:<12} {why}".rstrip()


def _cut(text: str, width: int, shade: str) -> str:
    """At most ``width`` characters, the last one a mark where something was left out."""
    shown = text if len(text) <= width else text[: max(0, width - 1)] + "…"
    return f"{shade}{shown}{PLAIN}" if shade else shown


def _bare(line: str) -> str:
    for sequence in (RED, YELLOW, GREEN, DIM, BOLD, PLAIN):
        line = line.replace(sequence, "")
    return line

"""Writes down what guard did: the audit (why was this exchange treated so?) and the exchange log (input of a replay).

What stands in the lines, and what never does, is in ``lines.py``; the files are ``journal.py``'s. Here is when a line is
written. On the request path nothing is written, and of the exchange log not even rendered: ``flush`` (the tick's) does that,
many lines at a time, which takes half as long as one by one between other work.

The audit keeps the operator's events in a file of their own beside the exchanges (``audit.operator.jsonl``), so that no
flood of refusals washes them away. Of one account's exchanges at most 30 a minute are written (clients nobody has vouched
for share 256 such accounts, by network); the event ``suppressed`` says what was left out.

The exchange log is written in the order of ``at``, when an exchange is settled. One that still runs after five minutes, or
while too many later ones wait for it, is written without its response. Requests that couldn't be judged are left out:
they have neither features nor a body.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import orjson

from guard import settings
from guard.addresses import subnet
from guard.hashing import HashKey
from guard.journal import Journal, Verdict, existing, search, verify
from guard.lines import EVENTS, MAX_TEXT, PATH_WORDS, audit_line, request_line, with_response
from guard.types import Exchange, Features, Headers, JSONObject, Receipt, Usage

LINES_PER_ACCOUNT = 30
PERIOD_S = 60.0
MAX_COUNTED_ACCOUNTS = 8192
MAX_HELD = 5000
# Of lines with a body; without one an exchange holds a kilobyte or two.
MAX_HELD_BYTES = 32 * 1024 * 1024
MAX_HELD_S = 300.0


class AuditLog:
    """The audit. ``exchange`` is for the hot path, ``flush`` for the tick. Nothing here raises for the disk."""

    __slots__ = ("_counted", "_digest", "_events", "_exchanges", "_key", "_period", "_sampled_below", "_suppressed", "_words",
                 "suppressed")  # fmt: skip

    def __init__(self, audit: settings.Audit, key: HashKey, *, state_dir: str = "") -> None:
        path = audit_path(audit, state_dir)
        self.suppressed = 0
        """Lines left out so far because their account had used up its share of the file."""
        self._key = key
        self._exchanges = _journal(path, audit, self._link)
        self._events = _journal(operator_path(path), audit, self._link)
        self._digest = ""
        self._words = PATH_WORDS
        self._sampled_below = round(max(0.0, min(1.0, audit.sample_allowed)) * 2**32)
        self._counted: dict[str, int] = {}
        self._period = 0.0
        self._suppressed = 0

    def use(self, policy: settings.Policy) -> None:
        """The policy that decides from now on: its digest stands in every line, its routes may be shown in full."""
        self._digest = policy.digest
        self._words = _path_words(policy)
        self._sampled_below = round(max(0.0, min(1.0, policy.audit.sample_allowed)) * 2**32)

    def exchange(self, receipt: Receipt) -> None:
        """Notes one decided exchange: always if it was not plainly allowed, else if its reference falls in the sample."""
        decision = receipt.decision
        if (
            decision.action == "allow"
            and not decision.shadow
            and not decision.grant
            and crc32(decision.reference.encode()) >= self._sampled_below
            and receipt.exchange.fault is None
        ):
            return
        if self._exchanges is None:
            return
        account = receipt.exchange.account
        subject = account.key if account.status == "accepted" else f"shard:{account.shard}"
        if self._room(subject, receipt.at):
            self._exchanges.append(render(audit_line(receipt, self._digest, self._words)))

    def event(self, name: str, now: float, *, by: str = "", why: str = "", **fields: object) -> None:
        """Notes what the operator or guard itself did. ``name`` is one of ``lines.EVENTS`` (else ``ValueError``)."""
        if name not in EVENTS:
            raise ValueError(f"{name!r} is not an audit event")
        if self._events is None:
            return
        line: JSONObject = {"v": 1, "at": round(now, 3), "event": name}
        if by:
            line["by"] = by[:MAX_TEXT]
        if why:
            line["why"] = why[:MAX_TEXT]
        self._events.append(render(line | fields | {"policy": self._digest}))

    def stage_error(self, stage: str, error: str, reference: str, now: float) -> None:
        """Notes that a stage failed (``error``: the exception's class name, never its text), 30 a minute of each stage."""
        if self._room(f"stage:{stage}", now):
            self.event("stage_error", now, stage=stage, error=error, reference=reference)

    def flush(self, now: float, *, force: bool = False) -> None:
        """Writes what is due: a second has passed since the last time, or many lines wait. ``force``: everything."""
        if now - self._period >= PERIOD_S:
            self._begin_period(now)
        for journal in self._journals():
            journal.flush(now, force=force)

    def close(self, now: float) -> None:
        """Writes everything and gives the files up."""
        self._begin_period(now)
        for journal in self._journals():
            journal.close(now)

    @property
    def path(self) -> str:
        """The file of the exchanges, ``""`` where nothing is kept."""
        return self._exchanges.path if self._exchanges else ""

    @property
    def trouble(self) -> str:
        """Why lines can't be written, in words; ``""``: they can."""
        return next((journal.trouble for journal in self._journals() if journal.trouble), "")

    @property
    def lost(self) -> int:
        """Lines that could not be kept, in all."""
        return sum(journal.lost for journal in self._journals())

    @property
    def failures(self) -> int:
        """Failed writes, in all."""
        return sum(journal.failures for journal in self._journals())

    @property
    def written(self) -> int:
        """Lines written, in all."""
        return sum(journal.written for journal in self._journals())

    def find(self, reference: str, now: float) -> Generator[None, None, JSONObject]:
        """The newest line of that reference, ``{}`` where there is none. Yields between blocks of the file."""
        self.flush(now, force=True)
        return (yield from find(reference, self._exchanges.paths() if self._exchanges else []))

    def verify(self, now: float) -> Generator[None, None, Verdict]:
        """Whether lines of either file were taken out or changed. Yields now and then; a missing file raises OSError."""
        self.flush(now, force=True)
        total = Verdict(0, (), 0)
        for journal in self._journals():
            found = yield from verify(journal.paths(), self._link)
            total = Verdict(total.lines + found.lines, total.breaks + found.breaks, total.torn + found.torn)
        return total

    def _journals(self) -> list[Journal]:
        return [journal for journal in (self._events, self._exchanges) if journal is not None]

    def _link(self, line: bytes) -> str:
        return self._key.identifier("audit", line)[:16]

    def _room(self, subject: str, now: float) -> bool:
        """Whether this subject may still write a line in this minute."""
        if now - self._period >= PERIOD_S:
            self._begin_period(now)
        counted = self._counted
        if subject not in counted and len(counted) >= MAX_COUNTED_ACCOUNTS:
            subject = "others"
        count = counted.get(subject, 0)
        counted[subject] = count + 1
        if count < LINES_PER_ACCOUNT:
            return True
        self._suppressed += 1
        self.suppressed += 1
        return False

    def _begin_period(self, now: float) -> None:
        if self._suppressed:
            accounts = sum(count > LINES_PER_ACCOUNT for count in self._counted.values())
            self.event("suppressed", now, lines=self._suppressed, accounts=accounts, since=round(self._period, 3))
        self._suppressed = 0
        self._counted.clear()
        self._period = now


class Entry:
    """One exchange of the log, from its decision until its line is written. ``usage`` is set when it is settled."""

    __slots__ = ("at", "exchange", "line", "usage")

    def __init__(self, at: float, exchange: Exchange, line: bytes) -> None:
        self.at = at
        self.exchange = exchange
        self.line = line
        """``b""``: it is made of the exchange's features when its turn comes."""
        self.usage: Usage | None = None


class ExchangeRecorder:
    """The exchange log. ``begin`` at the decision, ``usage`` of the entry when it is settled, in any order; lines keep the
    first order. ``describe`` makes ``request.features`` of an exchange's features; ``key`` hides subnets (None: none is
    written)."""

    __slots__ = ("_bodies", "_describe", "_held", "_held_bytes", "_journal", "_key", "_words", "late", "skipped")

    def __init__(
        self, record: settings.Record, describe: Callable[[Features], JSONObject], key: HashKey | None = None
    ) -> None:
        self.late = 0
        """Lines written before their response was known."""
        self.skipped = 0
        """Requests that couldn't be judged, hence can't be replayed."""
        self._bodies = record.bodies
        self._describe = describe
        self._key = key
        self._journal = Journal(record.file, max_bytes=record.max_bytes, keep=record.keep) if record.file else None
        self._held: deque[Entry] = deque()
        self._held_bytes = 0
        self._words = PATH_WORDS

    def use(self, policy: settings.Policy) -> None:
        """The policy whose routes may be shown in full from now on, also in lines that are not written yet."""
        self._words = _path_words(policy)

    @property
    def wants(self) -> str:
        """What is recorded: ``"features"``, ``"body"`` (then ``begin`` is to be given it), or ``""``: nothing."""
        if self._journal is None:
            return ""
        return "body" if self._bodies else "features"

    def begin(self, receipt: Receipt, body: JSONObject | None = None, headers: Headers = ()) -> Entry | None:
        """Notes a decided exchange; None: it is not recorded.

        A body is rendered at once, and nothing of it or of the ``headers`` beside it is held.
        """
        if self._journal is None:
            return None
        exchange = receipt.exchange
        if exchange.fault is not None:
            self.skipped += 1
            return None
        line = b""
        if body is not None:
            line = render(self._request(exchange, receipt.at, {"body": body}, headers))
            self._held_bytes += len(line)
        entry = Entry(receipt.at, exchange, line)
        self._held.append(entry)
        return entry

    def flush(self, now: float, *, force: bool = False) -> None:
        """Writes what is due. ``force``: every line that is held, settled or not."""
        for _ in self.flushing(now, force=force):
            pass

    def flushing(self, now: float, *, force: bool = False) -> Iterator[None]:
        """As ``flush``, in steps of a millisecond or two: exchanges may come in between."""
        journal = self._journal
        if journal is None:
            return
        held = self._held
        while held:
            first = held[0]
            crowded = len(held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES
            if first.usage is None:
                if not (force or crowded or now - first.at > MAX_HELD_S):
                    break
                self.late += 1
            held.popleft()
            self._held_bytes -= len(first.line)
            journal.append(with_response(first.line or self._line(first), first.usage))
            if journal.full:
                journal.flush(now, force=True)
                yield
        journal.flush(now, force=force)

    def _line(self, entry: Entry) -> bytes:
        exchange = entry.exchange
        content = {"features": self._describe(exchange.features)}
        return render(self._request(exchange, entry.at, content, ()))

    def _request(self, exchange: Exchange, at: float, content: JSONObject, headers: Headers) -> JSONObject:
        network = subnet(self._key, exchange.peer.network) if self._key is not None else 0
        return request_line(exchange, at, content, headers, self._words, network=network)

    def close(self, now: float) -> None:
        """Writes everything and gives the file up."""
        self.flush(now, force=True)
        if self._journal is not None:
            self._journal.close(now)

    @property
    def path(self) -> str:
        return self._journal.path if self._journal else ""

    @property
    def trouble(self) -> str:
        """Why lines can't be written, in words; ``""``: they can."""
        return self._journal.trouble if self._journal else ""

    @property
    def lost(self) -> int:
        return self._journal.lost if self._journal else 0


def audit_path(audit: settings.Audit, state_dir: str) -> str:
    """Where the audit's exchanges go; ``""``: nowhere."""
    return audit.file or (os.path.join(state_dir, "audit.jsonl") if state_dir else "")


def operator_path(path: str) -> str:
    """Where the operator's events go: ``audit.jsonl`` → ``audit.operator.jsonl``."""
    stem, extension = os.path.splitext(path)
    return f"{stem}.operator{extension}" if path else ""


def find(reference: str, paths: Sequence[str]) -> Generator[None, None, JSONObject]:
    """The newest audit line with that reference in ``paths`` (newest first), ``{}``: none. Yields between blocks."""
    line = yield from search(b'"reference":' + orjson.dumps(reference), paths)
    try:
        record = orjson.loads(line) if line else {}
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def audit_files(path: str, keep: int = settings.Audit().keep) -> list[str]:
    """The audit's files of exchanges that are there, newest first."""
    return existing(path, keep)


def render(fields: Mapping[str, Any]) -> bytes:
    """One JSON object in printable ASCII on one line, whatever stands in the values."""
    try:
        line = orjson.dumps(fields, default=str)
    except TypeError:  # lone surrogates, which are no UTF-8
        line = json.dumps(fields, default=str).encode("ascii")
    if not line.isascii():  # U+2028 and the C1 controls end lines or move cursors in what reads the file
        line = json.dumps(orjson.loads(line), separators=(",", ":")).encode("ascii")
    return line.replace(b"\x7f", b"\\u007f") if b"\x7f" in line else line


def _journal(path: str, audit: settings.Audit, link: Any) -> Journal | None:
    return Journal(path, max_bytes=audit.max_bytes, keep=audit.keep, link=link) if path else None


def _path_words(policy: settings.Policy) -> frozenset[str]:
    return PATH_WORDS.union(*(route.pattern.split("/") for route in policy.protect.routes))

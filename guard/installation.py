"""Everything one running guard consists of: policy file, key, core, state, audit, metrics, operator's verbs. No event loop.

The edges (middleware, gateway, demo) hold one of these, tell it what happened to each exchange, and run its ``tick``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from logging import WARNING
from pathlib import Path
from time import perf_counter
from typing import Any

from guard.body import parse
from guard.clock import Clock
from guard.collecting import Collecting
from guard.compiled import Compiled
from guard.contracts import Bill, Keeper, Remote, Slots, Taken
from guard.control import Control
from guard.decision import crowded
from guard.errors import BadExchange, StateError
from guard.feedback import Feedback
from guard.fingerprint import dump
from guard.health import Surroundings
from guard.keys import find_key
from guard.logs import Log
from guard.metrics import Metrics
from guard.pacing import Pace
from guard.pipeline import Guard
from guard.recognition.dossier import bands
from guard.recognition.ring import BATCH, BATCH_S
from guard.recorder import AuditLog, Entry, ExchangeRecorder
from guard.registry import discover
from guard.reload import PolicyFile, ReloadOutcome
from guard.routes import NOT_PROTECTED, NotProtected
from guard.saving import Saving
from guard.settings import Policy
from guard.store_condition import StoreCondition
from guard.storing import fleet_of, store_of
from guard.types import Exchange, Headers, JSONObject, Receipt, Route, Usage
from guard.waiting import WaitingRoom
from guard.workers import apart, claim_number, claim_only_worker

_PRE_RESOLVED = (
    "the server rewrites client addresses before guard sees them, so anonymous clients are metered together: "
    "run it with --no-proxy-headers and declare your proxies in [trust] hops"
)
# Bodies of the largest size that may be half read at once; the next one is told to come back.
_BODIES_AT_ONCE = 8
# Recognition's share of a core.
_RECOGNITION_SHARE = 0.1
_NO_KEY = (
    "[state] store is shared by replicas, and each would know an account by another name: set GUARD_KEY to the same secret for "
    "all of them (`python -c 'import secrets; print(secrets.token_hex(32))'`)"
)
_NO_STATE_BUT_STORE = (
    "no [state] dir: limits live in the store, but a restart forgets evidence that only this replica holds"
)
_NO_STATE = "no [state] dir: a restart gives every account its whole allowance again and forgets evidence and grants"


class Installation:
    """One running guard and its surroundings. ``policy`` as ``GuardMiddleware`` takes it; ``clock`` gives the time.

    Raises ``PolicyError``, ``InstallError`` and ``StateError``, each with the remedy.
    """

    def __init__(self, policy: str | Path | Policy, clock: Clock) -> None:
        now = clock.now()
        self.clock = clock
        self.log = Log()
        self._file = None if isinstance(policy, Policy) else PolicyFile(policy, now)
        in_force = policy if isinstance(policy, Policy) else self._loaded().policy
        state_dir = in_force.state.dir
        found = find_key(state_dir)
        self._warnings = [found.warning] if found.warning else []
        store = store_of(in_force.state)
        self.remote = store if isinstance(store, Remote) else None
        """The store, where its meters live elsewhere: then exchanges are decided by ``reach``."""
        if self.remote is not None:
            if found.origin == "random":
                raise StateError(_NO_KEY)
            number = claim_number(state_dir, os.environ)
            in_force = apart(in_force, number) if self._file is None else self._file.keep_apart(number)
            state_dir = in_force.state.dir
        elif not state_dir:
            claim_only_worker(os.environ)
        self._pace = Pace(BATCH_S, _RECOGNITION_SHARE)
        self.collecting = Collecting()
        self.wake: Callable[[], None] = _nobody
        """Called when a batch for recognition is full before its time."""
        self.waiting = WaitingRoom()
        self.reading_bytes = 0
        """What unfinished bodies hold at this moment, all together."""
        self.most_reading_bytes = _BODIES_AT_ONCE * in_force.body.max_bytes
        signals = {name: plugin.group for name, plugin in discover("signals").items()}
        self.metrics = Metrics(dialects=discover("dialects"), reasons=signals, start=now)
        self.audit = AuditLog(in_force.audit, found.key, state_dir=state_dir)
        self.audit.use(in_force)
        self.recorder = ExchangeRecorder(in_force.record, dump, found.key)
        self.recorder.use(in_force)
        self._records = self.recorder.wants
        self.guard = Guard(in_force, key=found.key, start=now, store=store, on_fault=self._fault, former=found.former)
        self.guard.conversations.watch()
        self.saving = Saving(self.guard, state_dir, self.log, now, found.former) if state_dir else None
        if self.saving is not None:
            self.saving.restore(now)
            self._warnings.extend(self.saving.warnings)
        else:
            self._warnings.append(_NO_STATE if self.remote is None else _NO_STATE_BUT_STORE)
        self.fleet = fleet_of(self.guard, in_force.state, clock, found.former)
        """The other replicas; None: there are none."""
        self._store = None if self.remote is None else StoreCondition(self.remote, self.fleet, self.log, self.audit)
        self.control = Control(
            self.guard if self.fleet is None else self.fleet.voice,
            audit=self.audit,
            metrics=self.metrics,
            reload=self._reload_now,
            recorder=self.recorder,
            surroundings=self._surroundings,
            feedback=Feedback(state_dir),
            log=self.log,
            start=now,
        )
        self._watch(in_force)
        self.audit.event("start", now, source=in_force.source, mode=self.guard.words.mode(now))
        self.log.event("start", now, mode=in_force.mode, policy=in_force.source, digest=in_force.digest)
        for warning in (*self._warnings, *(str(problem) for problem in (self._file.warnings if self._file else ()))):
            self.log.event("warning", now, WARNING, what=warning)

    # -- one exchange after another -------------------------------------------------------------------------------

    def route(self, scope: Mapping[str, Any]) -> Route | NotProtected:
        """The protected route of a scope; in mode ``off`` nothing is."""
        if self.guard.words.mode(self.clock.now()) == "off":
            return NOT_PROTECTED
        return self.guard.compiled.caller.route(scope)

    def passed_by(self, scope: Mapping[str, Any]) -> None:
        """A request went to a path that guard doesn't protect: JSON POSTs are counted, for a model may listen there."""
        if scope["method"] == "POST" and any(
            n.lower() == b"content-type" and b"json" in v.lower() for n, v in scope["headers"]
        ):
            self.metrics.unprotected += 1

    def lets_websocket(self, scope: Mapping[str, Any]) -> bool:
        """Whether a WebSocket handshake may reach the app: not on a protected route, unless the policy opens it."""
        if self.route(scope) is NOT_PROTECTED or self.guard.policy.protect.websockets == "allow":
            return True
        return self.guard.words.mode(self.clock.now()) != "enforce"

    def decide(
        self, exchange: Exchange, compiled: Compiled, plain: bytes, headers: Headers = ()
    ) -> tuple[Receipt, Entry | None]:
        """Decides, and notes the decision wherever it is noted; the receipt and the log's entry (for ``settle``).

        ``plain`` and ``headers`` are the client's, for a record that keeps bodies.
        """
        began = perf_counter()
        receipt = self.guard.decide(exchange, self.clock.now(), compiled)
        return self._noted(receipt, compiled, plain, headers, perf_counter() - began)

    async def reach(
        self, exchange: Exchange, compiled: Compiled, plain: bytes, headers: Headers = ()
    ) -> tuple[Receipt, Entry | None]:
        """The same with a store that has to be reached: it is asked once. Given up while it waits, nothing was taken."""
        remote = self.remote
        if remote is None:
            return self.decide(exchange, compiled, plain, headers)
        if exchange.kept and self.fleet is not None:
            await self.fleet.recall(exchange)
        began = perf_counter()
        waited_s = 0.0

        async def reserve(bills: Sequence[Bill], slots: Slots, now: float) -> tuple[Taken, int]:
            nonlocal waited_s
            asked_at = perf_counter()
            try:
                return await remote.reserve(bills, slots, now)
            finally:
                waited_s += perf_counter() - asked_at

        receipt = await self.guard.reach(exchange, reserve, self.clock.now(), compiled)
        return self._noted(receipt, compiled, plain, headers, perf_counter() - began - waited_s)

    def _noted(
        self, receipt: Receipt, compiled: Compiled, plain: bytes, headers: Headers, took_s: float
    ) -> tuple[Receipt, Entry | None]:
        exchange = receipt.exchange
        if receipt.decision.delay_s and receipt.decision.enforced and not self.waiting.enter(exchange.account.key):
            receipt = replace(receipt, decision=crowded(receipt.decision))
        self.metrics.decided(receipt, took_s)
        self.audit.exchange(receipt)
        if self.guard.recognition.waiting >= BATCH and not self._pace.lags and self.fleet is None:
            self.wake()
        if not self._records:
            return receipt, None
        if self._records == "features" or exchange.fault is not None:
            return receipt, self.recorder.begin(receipt)
        try:
            body = parse(plain, compiled.policy.body)
        except BadExchange:
            return receipt, None  # a flat-cost route: it has no body that guard reads
        return receipt, self.recorder.begin(receipt, body, headers)

    def settle(self, receipt: Receipt, usage: Usage, entry: Entry | None, *, cut: bool = False) -> None:
        """DONE: books what the exchange came to, everywhere."""
        self.guard.settle(receipt, usage, self.clock.now())
        self.metrics.settled(receipt, usage, cut=cut)
        if entry is not None:
            entry.usage = usage

    def warn(self, *sentences: str) -> None:
        """Adds to what ``guard status`` warns of."""
        self._warnings.extend(sentences)

    def list_routes(self, routes: Iterable[tuple[str, str]]) -> None:
        """Logs (path, dialect or "not protected") of every route of the app, a line each, at start-up."""
        for path, dialect in routes:
            Log().event("routes", self.clock.now(), path=path, dialect=dialect)

    # -- beside the requests --------------------------------------------------------------------------------------

    def tick(self, now: float, *, hangup: bool = False) -> Iterator[None]:
        """Does what is due, in slices of at most a few milliseconds; ``hangup``: read the policy file now."""
        yield from self.recognise(now)
        yield from self.guard.unions.sweep(now)
        for sentence in self.guard.region.watch(now):
            if sentence:
                self.log.event("warning", now, WARNING, what=f"region: {sentence}")
            yield
        if self._file is not None:
            before = self.guard.policy
            self._take_up(
                before, self._file.reload(now) if hangup else self._file.poll(now), now, "SIGHUP" if hangup else "watch"
            )
            yield
        if self._store is not None:
            self._store.tell(now)
        self.audit.flush(now)
        yield from self.recorder.flushing(now)
        if isinstance(self.guard.store, Keeper):
            self.metrics.overflow = self.guard.store.counts()["overflowed"]
        yield
        if self.saving is not None:
            yield from self.saving.due(now)

    def recognise(self, now: float) -> Iterator[None]:
        """Recognition's work that is due, in slices of at most two milliseconds, and no more than a tenth of a core."""
        if self.fleet is not None and not self.fleet.alone(now):
            return  # whoever leads looks at the exchanges of all
        if self._pace.due(now) or not self._pace.lags:
            was_lagging = self._pace.lags
            yield from self._pace.round(self.guard.recognise(now), now)
            if self._pace.lags and not was_lagging:
                self.log.event("warning", now, WARNING, what=self._lag())

    def wait_s(self, now: float) -> float:
        """How long nothing of recognition's will be due, a quarter of a second at most."""
        if self.fleet is not None and not self.fleet.alone(now):
            return BATCH_S
        due_at = max(self.guard.recognition.ring.due_at, self._pace.next_at if self._pace.lags else now)
        return min(BATCH_S, max(0.0, due_at - now))

    def flush(self) -> None:
        """Writes everything that waits, state included. Never raises for the disk."""
        now = self.clock.now()
        self.audit.flush(now, force=True)
        self.recorder.flush(now, force=True)
        if self.saving is not None:
            self.saving.flush(now)

    def close(self) -> None:
        """Writes everything and lets go of files and state."""
        now = self.clock.now()
        self.audit.event("stop", now)
        self.log.event("stop", now)
        if self.saving is not None:
            for _ in self.guard.recognise(now):
                pass
            self.saving.close(now)
            self.saving = None
        self.recorder.close(now)
        self.audit.close(now)

    # -- policies that come and go --------------------------------------------------------------------------------

    def _loaded(self) -> PolicyFile:
        if self._file is None:
            raise StateError(
                "this guard was given a compiled policy, there is no file to read; restart it with another one"
            )
        return self._file

    def _reload_now(self, now: float) -> Policy:
        outcome = self._loaded().reload(now)
        if outcome.error is not None:
            raise outcome.error
        if outcome.kind == "changed":
            self.guard.swap(outcome.policy, now)
        return outcome.policy

    def _take_up(self, before: Policy, outcome: ReloadOutcome, now: float, by: str) -> None:
        if outcome.error is not None:
            self.control.reload_failed(str(outcome.error), now, by)
        elif outcome.kind == "changed":
            self.guard.swap(outcome.policy, now)
            self.recorder.use(outcome.policy)
            self.control.reloaded(before, outcome.policy, now, by)
            for problem in outcome.warnings:
                self.log.event("warning", now, WARNING, what=str(problem))

    # -- faults and figures ---------------------------------------------------------------------------------------

    def _fault(self, stage: str, error: Exception) -> None:
        now = self.clock.now()
        self.metrics.stage_error(stage)
        self.audit.stage_error(stage, type(error).__name__, "", now)
        # The class alone: an exception's text may quote a request.
        self.log.event("stage_error", now, WARNING, stage=stage, error=type(error).__name__)

    def _surroundings(self) -> Surroundings:
        warnings = list(self._warnings)
        if self.guard.compiled.caller.pre_resolved:
            warnings.append(_PRE_RESOLVED)
        if self._pace.lags:
            warnings.append(self._lag())
        if self.guard.recognition.lost:
            warnings.append(f"recognition was too far behind and never saw {self.guard.recognition.lost} exchanges")
        pace = self._pace
        looking = {
            "busy_s": round(pace.busy_s, 3),
            "period_s": round(pace.period_s, 3),
            "lengthened": pace.lengthened,
            "longest_slice_s": round(pace.longest_slice_s, 5),
        }
        now = self.clock.now()
        warnings += [*self.guard.region.warnings(now), *self.collecting.warnings()]
        broken = [*(self.saving.trouble.values() if self.saving else ()), *self.guard.region.troubles(now)]
        store: JSONObject | None = None
        if self._store is not None:
            store, wrong, soon = self._store.health(now)
            broken += wrong
            warnings += soon
        return Surroundings(tuple(broken), tuple(warnings), looking, store)

    def _lag(self) -> str:
        return (
            f"recognition needs more than a tenth of a core: it looks every {self._pace.period_s:.3g} s, "
            f"{self.guard.recognition.waiting} exchanges wait"
        )

    def _watch(self, policy: Policy) -> None:
        metrics = self.metrics
        metrics.digest = policy.digest
        metrics.expect([*(rule.id for rule in policy.rules), *(limit.id for limit in policy.limits)])
        metrics.watch_mode(lambda: self.guard.words.mode(self.clock.now()))
        metrics.watch("accounts", lambda: float(self.guard.accounts))
        self.waiting.show(metrics.watch)
        metrics.watch("account_room", lambda: float(self.guard.policy.state.max_accounts))
        remote, saving = self.remote, self.saving
        if remote is not None:
            metrics.watch_store(lambda: remote.condition(self.clock.now()))
        if saving is not None:
            metrics.watch("snapshot_time_seconds", lambda: saving.written_at)
            metrics.watch("snapshot_failures_total", lambda: float(saving.failures))
        metrics.watch("audit_written_total", lambda: float(self.audit.written))
        metrics.watch("audit_suppressed_total", lambda: float(self.audit.suppressed))
        metrics.watch("audit_failures_total", lambda: float(self.audit.failures))
        metrics.watch("audit_lost_total", lambda: float(self.audit.lost))
        recognition, parts = self.guard.recognition, self.guard.recognition.parts()
        metrics.watch_clusters(lambda: bands(recognition.clusters))
        metrics.watch("families", lambda: float(len(parts.families)))
        metrics.watch("groups", lambda: float(len(parts.groups)))
        metrics.watch("traits", lambda: float(len(recognition.clusters.traits)))
        metrics.watch("recognition_waiting", lambda: float(recognition.waiting))
        metrics.watch("recognition_lost_total", lambda: float(recognition.lost))
        metrics.watch("recognition_busy_seconds_total", lambda: self._pace.busy_s)
        metrics.watch("recognition_lengthened_total", lambda: float(self._pace.lengthened))
        metrics.watch("record_lost_total", lambda: float(self.recorder.lost))


def _nobody() -> None:
    """Nothing runs beside the requests yet: the batch waits."""

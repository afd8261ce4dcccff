"""What an operator can ask of a running guard, as functions of plain data; ``admin.py`` is the socket in front of it.

    status                                    health in plain words, mode, policy, counts
    mode     mode [for_s] [why]               off | observe | enforce | policy (ends the override)
    explain  reference                        the audit line of an exchange, and sentences about it
    clusters [name]                           accounts held to be one operator's: all of them, or everything about one
    feedback name right [why]                 keeps for `guard calibrate` whether a verdict on a cluster was right
    forgive  subject [why]                    drops the evidence against an account, or the verdict on a cluster
    grant    subject why [for_s] [told]       the operator's word that a subject may do what looks like extraction
    revoke   subject [why]                    takes back the operator's own grant and block
    block    subject why [for_s]              refuses a subject
    erase    subject [why]                    forgets an account altogether
    reload   [why]                            reads the policy file now
    metrics                                   the Prometheus text
    verify                                    whether lines of the audit were taken out or changed

A subject is ``account:<id>``, ``org:<id>`` or the 32 hex digits that guard shows of an account (``forgive``: ``cluster:<name>``
too). Every change is an event in
the audit, with who (``by``) and why; so is every look at a record. Nothing here ever shows an id, an address or a text.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from logging import WARNING
from types import MappingProxyType
from typing import Any, Protocol

from guard.errors import AdminError, PolicyError, StateError
from guard.explanation import explain
from guard.feedback import Feedback
from guard.hashing import HashKey
from guard.health import Surroundings, health
from guard.logs import Log
from guard.loosening import loosened
from guard.metrics import Metrics
from guard.recorder import AuditLog, ExchangeRecorder
from guard.registry import nearest
from guard.settings import Grant, Policy
from guard.types import JSONObject
from guard.words import subject

Steps = Generator[None, None, JSONObject]
MODES = ("off", "observe", "enforce", "policy")
MAX_TEXT = 300
MAX_FOR_S = 366 * 86_400.0
# Dashboards and probes ask these all day; one line a minute of each says enough.
FREQUENT = frozenset({"status", "metrics"})
FREQUENT_EVERY_S = 60.0
MAX_READERS = 256


class GuardLike(Protocol):
    """What of a ``pipeline.Guard`` the operator's side uses."""

    @property
    def key(self) -> HashKey: ...
    @property
    def policy(self) -> Policy: ...
    def status(self, now: float) -> dict[str, object]:
        """Numbers: mode, policy_mode, policy, digest, accounts, bands, grants, blocks, faults by stage; mode_until where the
        operator's override ends."""
        ...

    def clusters(self, name: str, now: float) -> JSONObject: ...
    def set_mode(self, mode: str, until: float, now: float) -> None: ...
    def forgive(self, typed: str, now: float) -> int: ...
    def grant(self, grant: Grant, now: float) -> str: ...
    def revoke(self, typed: str, now: float) -> bool: ...
    def block(self, typed: str, why: str, until: float, now: float) -> str: ...
    def erase(self, typed: str, now: float) -> int: ...


class Control:
    """The operator's verbs over one guard.

    ``reload`` reads the policy file and swaps it in; it returns the policy then in force and raises ``PolicyError`` for a
    file with mistakes. ``surroundings`` is asked at each ``status``. ``start`` is when this guard started.
    """

    def __init__(
        self,
        guard: GuardLike,
        *,
        audit: AuditLog,
        metrics: Metrics,
        reload: Callable[[float], Policy],
        recorder: ExchangeRecorder | None = None,
        surroundings: Callable[[], Surroundings] = Surroundings,
        feedback: Feedback | None = None,
        log: Log | None = None,
        start: float = 0.0,
    ) -> None:
        self._guard = guard
        self._audit = audit
        self._metrics = metrics
        self._reload = reload
        self._recorder = recorder
        self._surroundings = surroundings
        self._feedback = feedback or Feedback("")
        self._log = log or Log()
        self._start = start
        self._stale = ""
        self._read_at: dict[tuple[str, str], float] = {}

    def call(self, verb: str, arguments: Mapping[str, Any], *, by: str, now: float) -> JSONObject:
        """Answers one request in one go. Raises ``AdminError`` with a sentence for the operator."""
        steps = self.steps(verb, arguments, by=by, now=now)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                answer: JSONObject = end.value
                return answer

    def steps(self, verb: str, arguments: Mapping[str, Any], *, by: str, now: float) -> Steps:
        """The same as a generator that yields between slices of long work; its return value is the answer."""
        if verb not in VERBS:
            raise AdminError(f"no verb {verb[:40]!r}; {nearest(verb[:40], VERBS)}")
        run, required, optional = VERBS[verb]
        asked = _checked(verb, arguments, required, optional)
        if verb in READS:
            self._note_read(verb, by, now)
        answer = run(self, asked, by, now)
        if isinstance(answer, dict):
            return answer
        return (yield from answer)

    # -- policies that come and go ---------------------------------------------------------------------------------

    def reloaded(self, before: Policy, after: Policy, now: float, by: str) -> tuple[str, ...]:
        """Tells audit, metrics and log that another policy is in force; what it protects less is said aloud."""
        self._stale = ""
        self._audit.use(after)
        if self._recorder is not None:
            self._recorder.use(after)
        self._metrics.expect([*(rule.id for rule in after.rules), *(limit.id for limit in after.limits)])
        self._metrics.reloaded(ok=True, digest=after.digest)
        weaker = loosened(before, after)
        self._audit.event("reload", now, by=by, source=after.source, before=before.digest, loosened=weaker)
        if weaker:
            self._audit.event("loosened", now, by=by, what=weaker)
            self._log.event("loosened", now, WARNING, by=by, what=weaker)
        self._log.event("reload", now, policy=after.source, digest=after.digest, loosened=len(weaker))
        return weaker

    def reload_failed(self, why: str, now: float, by: str) -> None:
        """Tells audit, metrics and log that the last good policy stays in force."""
        self._stale = why
        self._metrics.reloaded(ok=False)
        self._audit.event("reload_failed", now, by=by, problem=why[: MAX_TEXT * 4])
        self._log.event("reload_failed", now, WARNING, why=why)

    def denied(self, now: float) -> None:
        """Notes that somebody gave the channel a wrong token."""
        self._audit.event("denied", now, by="unknown")

    # -- the verbs -------------------------------------------------------------------------------------------------

    def _status(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        condition = health(
            self._guard.status(now), self._surroundings(), self._audit, self._recorder, self._metrics, stale=self._stale
        )
        return condition | {"uptime_s": round(max(0.0, now - self._start), 1)}

    def _mode(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        mode = asked["mode"]
        if mode not in MODES:
            raise AdminError(f"no mode {mode!r}; {nearest(mode, MODES)}")
        was = str(self._guard.status(now).get("mode", ""))
        until = _until(asked, now)
        self._guard.set_mode(mode, until, now)
        holds = str(self._guard.status(now).get("mode", mode))
        weaker = was in MODES and holds in MODES and MODES.index(holds) < MODES.index(was)
        self._audit.event("mode", now, by=by, why=asked["why"], mode=holds, was=was, until=until, loosens=weaker)
        if weaker:
            self._log.event("loosened", now, WARNING, by=by, what=f"mode {was} → {holds}")
        self._log.event("mode", now, WARNING, mode=holds, until=until, by=by)
        return {"mode": holds, "was": was, "until": until}

    def _explain(self, asked: JSONObject, by: str, now: float) -> Steps:
        reference = asked["reference"]
        if not (reference.isascii() and reference.replace("-", "").replace("_", "").isalnum()):
            raise AdminError(
                "a reference is made of letters and digits; it stands in X-Guard-Reference and in the error's body"
            )
        if not self._audit.path:
            raise AdminError(
                "no audit is kept, so nothing can be explained: set [audit] file or [state] dir in the policy"
            )
        try:
            record = yield from self._audit.find(reference, now)
        except OSError as error:
            raise AdminError(f"the audit can't be read: {error.strerror}") from error
        if record:
            return {"record": record, "sentence": explain(record)}
        left_out = self._audit.suppressed
        hint = f"; {left_out} lines of busy accounts were left out, look at others of the account" if left_out else ""
        return {
            "record": {},
            "sentence": f"No audit line has the reference {reference}: it was plainly allowed, or is too old{hint}.",
        }

    def _clusters(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        return self._guard.clusters(asked.get("name", "").removeprefix("cluster:"), now)

    def _note_feedback(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        dossier = self._guard.clusters(asked["name"].removeprefix("cluster:"), now)
        try:
            self._feedback.note(dossier, right=asked["right"], now=now)
        except StateError as error:
            raise AdminError(str(error)) from error
        name = dossier["name"]
        self._audit.event("feedback", now, by=by, why=asked["why"], subject=f"cluster:{name}", right=asked["right"])
        return {"name": name, "right": asked["right"], "kept": self._feedback.path}

    def _forgive(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        typed = asked["subject"]
        name = typed if typed.startswith("cluster:") else subject(typed, self._guard.key)
        forgiven = self._guard.forgive(asked["subject"], now)
        self._audit.event("forgive", now, by=by, why=asked["why"], subject=name, accounts=forgiven)
        return {"subject": name, "forgiven": forgiven}

    def _grant(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        until = _until(asked, now)
        name = self._guard.grant(Grant(asked["subject"], asked["why"], until, asked["told"]), now)
        self._audit.event("grant", now, by=by, why=asked["why"], subject=name, until=until, told=asked["told"])
        return {"subject": name, "until": until}

    def _revoke(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        name = subject(asked["subject"], self._guard.key)
        revoked = self._guard.revoke(asked["subject"], now)
        self._audit.event("revoke", now, by=by, why=asked["why"], subject=name, revoked=revoked)
        return {"subject": name, "revoked": revoked}

    def _block(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        until = _until(asked, now)
        name = self._guard.block(asked["subject"], asked["why"], until, now)
        self._audit.event("block", now, by=by, why=asked["why"], subject=name, until=until)
        return {"subject": name, "until": until}

    def _erase(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        name = subject(asked["subject"], self._guard.key)
        erased = self._guard.erase(asked["subject"], now)
        self._audit.event("erase", now, by=by, why=asked["why"], subject=name, erased=erased)
        note = (
            "lines already written keep the account's keyed hash until their file is turned out"
            if self._audit.path
            else ""
        )
        return {"subject": name, "erased": erased, "note": note}

    def _reload_now(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        before = self._guard.policy
        try:
            after = self._reload(now)
        except PolicyError as error:
            self.reload_failed(str(error), now, by)
            return {"policy": before.source, "digest": before.digest, "changed": False, "mistakes": str(error)}
        weaker = self.reloaded(before, after, now, by)
        changed = before.digest != after.digest
        return {"policy": after.source, "digest": after.digest, "changed": changed, "loosened": list(weaker)}

    def _metrics_text(self, asked: JSONObject, by: str, now: float) -> JSONObject:
        return {"text": self._metrics.text().decode()}

    def _verify(self, asked: JSONObject, by: str, now: float) -> Steps:
        try:
            verdict = yield from self._audit.verify(now)
        except OSError as error:
            raise AdminError(f"the audit can't be read: {error.strerror}") from error
        return {"lines": verdict.lines, "breaks": [list(place) for place in verdict.breaks], "torn": verdict.torn}

    def _note_read(self, verb: str, by: str, now: float) -> None:
        if verb in FREQUENT:
            by_whom = by.partition(" pid ")[0]  # each run of the command line is a process of its own
            last = self._read_at.get((verb, by_whom))
            if last is not None and now - last < FREQUENT_EVERY_S:
                return
            if len(self._read_at) >= MAX_READERS:
                self._read_at.clear()
            self._read_at[verb, by_whom] = now
        self._audit.event("read", now, by=by, verb=verb)


_Run = Callable[[Control, JSONObject, str, float], JSONObject | Steps]
READS = frozenset({"status", "explain", "clusters", "metrics", "verify"})
# verb → (what runs it, arguments it needs, arguments it may have)
VERBS: Mapping[str, tuple[_Run, tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "status": (Control._status, (), ()),
        "mode": (Control._mode, ("mode",), ("for_s", "why")),
        "explain": (Control._explain, ("reference",), ()),
        "clusters": (Control._clusters, (), ("name",)),
        "feedback": (Control._note_feedback, ("name", "right"), ("why",)),
        "forgive": (Control._forgive, ("subject",), ("why",)),
        "grant": (Control._grant, ("subject", "why"), ("for_s", "told")),
        "revoke": (Control._revoke, ("subject",), ("why",)),
        "block": (Control._block, ("subject", "why"), ("for_s",)),
        "erase": (Control._erase, ("subject",), ("why",)),
        "reload": (Control._reload_now, (), ("why",)),
        "metrics": (Control._metrics_text, (), ()),
        "verify": (Control._verify, (), ()),
    }
)


def _checked(
    verb: str, arguments: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...]
) -> JSONObject:
    """The arguments with defaults for those left out. Raises ``AdminError`` for a missing, unknown or ill-typed one."""
    for name in arguments:
        if name not in required and name not in optional:
            raise AdminError(
                f"{verb} has no argument {name[:40]!r}; {nearest(name[:40], (*required, *optional, 'none'))}"
            )
    asked: JSONObject = {"why": "", "for_s": 0.0, "told": True}
    for name in (*required, *optional):
        value = arguments.get(name)
        if value is None:
            if name in required:
                raise AdminError(f"{verb} needs {name!r}")
        elif name in {"told", "right"}:
            if not isinstance(value, bool):
                raise AdminError(f"{name!r} is true or false")
            asked[name] = value
        elif name == "for_s":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_FOR_S:
                raise AdminError("'for_s' is a number of seconds, more than 0 and at most a year")
            asked[name] = float(value)
        elif not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            raise AdminError(f"{name!r} is a text of 1 to {MAX_TEXT} characters")
        else:
            asked[name] = value.strip()
    return asked


def _until(asked: JSONObject, now: float) -> float:
    return now + asked["for_s"] if asked["for_s"] else 0.0

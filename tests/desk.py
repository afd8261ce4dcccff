"""The operator's desk for tests: exchanges to write down, a guard that does as it is told, and everything round it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from guard.control import Control
from guard.errors import AdminError, PolicyError, Problem
from guard.feedback import Feedback
from guard.fingerprint import dump
from guard.hashing import HashKey
from guard.health import Surroundings
from guard.metrics import Metrics
from guard.recorder import AuditLog, ExchangeRecorder
from guard.settings import Audit, Grant, Policy, Record
from guard.types import Account, Decision, Evidence, Exchange, Features, Peer, Quota, Receipt, Usage
from guard.words import subject

NOW = 1_700_000_000.0
KEY = HashKey(b"a key for tests, long enough to be one")
ACCOUNT = "ab" * 16
PEER = Peer("192.0.2.7", "192.0.2.7", "DE", 64496, "isp")
ANSWERED = Usage(200, 120, 30, reported=True, complete=True)


def receipt(
    action: str = "limit",
    reference: str = "0123456789ab",
    at: float = NOW,
    *,
    account: Account | None = None,
    peer: Peer = PEER,
    path: str = "/v1/chat/completions",
    features: Features | None = None,
    fault: Any = None,
    **decision: Any,
) -> Receipt:
    """One decided exchange; keyword arguments that are no part of it go to its ``Decision``."""
    said = {
        "enforced": True,
        "status": 429 if action == "limit" else 200,
        "score": 0.25,
        "band": "watch",
        "reasons": ("free", "limit_requests") if action == "limit" else (),
        **decision,
    }
    judged = Decision(action=action, reference=reference, **said)
    exchange = Exchange(
        account or Account(ACCOUNT, tier="free"),
        peer,
        path,
        features or Features(1, "openai_chat", "gpt-5", True, (), (), 100, 512),
        fault,
    )
    return Receipt(exchange, judged, at)


def full_receipt(**more: Any) -> Receipt:
    """A limited exchange with every field of its decision filled."""
    return receipt(
        rule="free",
        public="Too many requests.",
        private="limit free: no room for requests",
        retry_after_s=12,
        evidence=(Evidence("reasoning_elicitation", "content", 2.125, "asks for every step"),),
        shadow=(("suspected", "degrade"),),
        quotas=(Quota("free", "requests", 20, 60, 0.0, 12.0),),
        cluster="c-1",
        grant="",
        **more,
    )


CLUSTER: dict[str, Any] = {
    "name": "c1-beef00",
    "band": "confirmed",
    "score": 0.97,
    "since": NOW - 7200,
    "last_at": NOW - 60,
    "linked": 212,
    "bystanders": 1,
    "exchanges": 5120,
    "answered": 300,
    "merged": 1,
}


def dossier() -> dict[str, Any]:
    """Everything about ``CLUSTER``, as ``recognition/dossier.py`` tells it."""
    evidence = [
        {
            "signal": "even_load",
            "kind": "coordination",
            "nats": 3.0,
            "reason": "loads vary by 0.3 of what chance gives",
        },
        {"signal": "private_rhythm", "kind": "rhythm", "nats": 2.25, "reason": "no hour is quieter"},
    ]
    facts = {
        "since": NOW - 7200,
        "last_at": NOW - 60,
        "first_account_at": NOW - 86_400,
        "linked": 212,
        "members": 200,
        "standing": 0,
    }
    facts |= {"own_life": 2, "bystanders": 1, "traits": 9, "carried": {"shingle": 5000, "system": 12}}
    facts |= {
        "exchanges_of_its_accounts": 6000,
        "exchanges": 5120,
        "answered": 300,
        "input_tokens": 90_000,
        "output_tokens": 40_000,
    }
    account = {
        "account": ACCOUNT,
        "first_at": NOW - 86_400,
        "last_at": NOW - 60,
        "exchanges": 30,
        "carried": 28,
        "standing": 0.0,
    }
    return {
        "name": "c1-beef00",
        "band": "confirmed",
        "merged": ["c2-feed00"],
        "facts": facts,
        "inference": {"score": 0.97, "nats": 3.1, "kinds": {"coordination": 3.0, "rhythm": 2.25}, "evidence": evidence},
        "accounts": [account | {"own_life": False}],
    }


class FakeGuard:
    """What ``control.GuardLike`` asks for, and what was asked of it."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.key = KEY
        self.policy = policy or Policy(mode="enforce", source="guard.toml", digest="d" * 16)
        self.override: tuple[str, float] | None = None
        self.known = {subject("account:alice", KEY): 3}
        self.grants: dict[str, Grant] = {}
        self.blocks: dict[str, tuple[str, float]] = {}
        self.faults: dict[str, int] = {}
        self.recognition: dict[str, Any] = {}

    def status(self, now: float) -> dict[str, object]:
        mode, until = self.override or (self.policy.mode, 0.0)
        return {
            "mode": mode,
            "mode_until": until,
            "policy_mode": self.policy.mode,
            "policy": self.policy.source,
            "digest": self.policy.digest,
            "accounts": len(self.known),
            "bands": {"low": len(self.known)},
            "grants": len(self.grants),
            "blocks": len(self.blocks),
            "faults": dict(self.faults),
            **({"recognition": self.recognition} if self.recognition else {}),
        }

    def clusters(self, name: str, now: float) -> dict[str, Any]:
        if name not in {"", "c1-beef00"}:
            raise AdminError(f"there is no cluster {name}: `guard clusters` lists them")
        return dossier() if name else {"clusters": [CLUSTER], "count": 1, "pardons": []}

    def set_mode(self, mode: str, until: float, now: float) -> None:
        self.override = None if mode == "policy" else (mode, until)

    def forgive(self, typed: str, now: float) -> int:
        if typed == "cluster:c1-beef00":
            return 212
        return int(subject(typed, KEY) in self.known)

    def grant(self, grant: Grant, now: float) -> str:
        name = subject(grant.subject, KEY)
        self.grants[name] = grant
        return name

    def revoke(self, typed: str, now: float) -> bool:
        name = subject(typed, KEY)
        return (self.grants.pop(name, None) or self.blocks.pop(name, None)) is not None

    def block(self, typed: str, why: str, until: float, now: float) -> str:
        name = subject(typed, KEY)
        self.blocks[name] = (why, until)
        return name

    def erase(self, typed: str, now: float) -> int:
        return self.known.pop(subject(typed, KEY), 0)


class Desk:
    """A fake guard with a real audit, exchange log, metrics and control in one folder."""

    def __init__(self, folder: Path, *, audit: Audit | None = None, bodies: bool = False) -> None:
        self.folder = folder
        self.guard = FakeGuard()
        self.audit = AuditLog(audit or Audit(file=str(folder / "audit.jsonl")), KEY)
        self.audit.use(self.guard.policy)
        self.recorder = ExchangeRecorder(Record(file=str(folder / "exchanges.jsonl"), bodies=bodies), dump)
        self.metrics = Metrics(dialects=["openai_chat", "anthropic_messages", "json"], start=NOW)
        self.surroundings = Surroundings()
        self.next_policy: Policy | None = self.guard.policy
        self.control = Control(
            self.guard,
            audit=self.audit,
            metrics=self.metrics,
            reload=self._reload,
            recorder=self.recorder,
            surroundings=lambda: self.surroundings,
            feedback=Feedback(str(folder)),
            start=NOW,
        )

    def _reload(self, now: float) -> Policy:
        if self.next_policy is None:
            raise PolicyError(
                "guard.toml", (Problem("mode", "no such mode", "'obsreve'", "did you mean 'observe'?", 2),)
            )
        self.guard.policy = self.next_policy
        return self.next_policy

    def ask(self, verb: str, *, by: str = "uid 1000 pid 1", now: float = NOW, **arguments: Any) -> dict[str, Any]:
        return self.control.call(verb, arguments, by=by, now=now)

    def events(self) -> str:
        """What stands in the operator's part of the audit."""
        self.audit.flush(NOW, force=True)
        path = self.folder / "audit.operator.jsonl"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        self.audit.close(NOW)
        self.recorder.close(NOW)


def policy(**more: Any) -> Policy:
    return replace(Policy(mode="enforce", source="guard.toml", digest="d" * 16), **more)

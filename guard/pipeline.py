"""The file to read first: the order in which an exchange is judged, and nothing else.

    scope ─► call ─► identity ─► body ─► dialect ─► fingerprint ─► recognition ─► scoring ─► policy ─► limits ─► Decision
     HEADERS                      BODY                              decide

``settle`` closes it: what was reserved becomes what was used. ``Guard`` is synchronous and does no I/O; ASGI, files,
sockets and logs are edges. Replay calls the same halves without an event loop.

When a stage fails by a fault of guard's own, that is counted by stage (``faults``), told to ``on_fault``, and:

* identity, body, policy and limits fail closed: the exchange is refused with 503 (in mode ``observe`` it passes);
* fingerprint, recognition, scoring and ceilings fail open, each by itself: the exchange is judged without them, by what the others
  hold of it and by its account's limits and facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from guard.answering import renamed
from guard.body import parse
from guard.compiled import Compiled, compiled
from guard.conditions import View
from guard.contracts import Action, Dialect, Forward, GroupSignal, Keeper, Keeping, Reply, Signal, Store
from guard.conversations import Conversations
from guard.decision import CONTAINING, Found, References, allowed, decide, refuse_fault
from guard.errors import AdminError, BadExchange, StateError
from guard.fingerprint import Fingerprinter
from guard.hashing import HashKey
from guard.identity import Identities
from guard.limiter import Admission
from guard.policy import Judgement
from guard.recognition import keeping, mercy
from guard.recognition.ceilings import Over
from guard.recognition.dossier import counts, dossier, listed
from guard.recognition.recognition import Recognition
from guard.recognition.verdicts import Clip, Weighing
from guard.region import Regions
from guard.registry import discover, signals
from guard.routes import FLAT, NO_DIALECT
from guard.scoring import Scoring, read_weights
from guard.settings import Grant, Policy
from guard.types import Account, Call, Decision, Exchange, Held, JSONObject, Receipt, Usage
from guard.understanding import Understanding
from guard.unions import Unions
from guard.unjudged import OWN_FAULT, UNREAD, faulty, no_dialect
from guard.words import Block, Words, subjects

ADMITTED = Admission(True)


def _no_observer(stage: str, error: Exception) -> None:
    """Nobody listens to faults: they are counted all the same."""


class Guard:
    """One running guard: a policy, and all that is known of accounts under one hashing key.

    ``now`` everywhere: seconds since 1970, from one clock that never goes back. ``start`` separates the references of one
    run from another's (0 in a replay). ``store`` keeps the limits; the policy's own memory store where none is given.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        key: HashKey,
        start: float = 0.0,
        store: Store | None = None,
        on_fault: Callable[[str, Exception], None] = _no_observer,
    ) -> None:
        self.key = key
        self.faults: Counter[str] = Counter()
        self.store: Store = discover("stores")["memory"](policy.state) if store is None else store
        self.dialects: Mapping[str, Dialect] = {name: plugin() for name, plugin in discover("dialects").items()}
        self.keeping = frozenset(name for name, dialect in self.dialects.items() if isinstance(dialect, Keeping))
        self.conversations = Conversations(key)
        self._actions: dict[str, Action] = {name: plugin() for name, plugin in discover("actions").items()}
        readers, weighers = signals(Signal), signals(GroupSignal)
        groups = {signal.name: signal.group for signal in readers}
        weights = read_weights(policy.score.weights, groups | {signal.name: signal.group for signal in weighers})
        self.understanding = Understanding(self.dialects, Fingerprinter(key, readers), self.conversations, self.fault)
        self._scoring = Scoring(weights, groups, policy.state.max_accounts)
        clips = {name: Clip(**clip) for name, clip in weights.group_signals.items()}
        self.recognition = Recognition(Weighing(weighers, clips, weights.caps), key, policy.state.max_accounts)
        self._references = References(key, start)
        self._on_fault = on_fault
        self.identities = Identities(policy, key)
        self.words = Words(policy, key)
        self.unions = Unions(policy.state.max_accounts)
        self.region = Regions(policy, start)
        self.compiled = compiled(policy, self.key, self.dialects, self.store, self.unions, regions=self.region)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.compiled.policy

    @property
    def accounts(self) -> int:
        """How many accounts evidence is held of."""
        return len(self._scoring)

    # -- the way of a request -------------------------------------------------------------------------------------

    def read(self, call: Call, account: Account, plain: bytes, compiled: Compiled | None = None) -> Exchange:
        """BODY: bytes (decompressed) → exchange. A body that can't be judged makes an exchange with a ``fault``."""
        try:
            dialect = call.route.dialect
            if dialect == FLAT:
                return Exchange(
                    account, call.peer, call.path, replace(UNREAD, dialect=FLAT, input_tokens=call.route.flat_tokens)
                )
            if dialect == NO_DIALECT:
                raise no_dialect(call.route)
            if not plain and dialect in self.keeping:
                return self.understand(call, account, {})
            return self.understand(call, account, parse(plain, (compiled or self.compiled).policy.body))
        except BadExchange as fault:
            return faulty(call, account, fault)
        except Exception as error:
            return faulty(call, account, self.fault("body", error))

    def understand(self, call: Call, account: Account, body: JSONObject) -> Exchange:
        """A parsed body → exchange. Raises ``BadExchange`` where the dialect can't read it."""
        return self.understanding.one(call, account, body)

    def decide(self, exchange: Exchange, now: float, compiled: Compiled | None = None) -> Receipt:
        """Judges one exchange and reserves what it may use. Never raises; ``receipt.decision`` is the decision."""
        compiled = compiled or self.compiled
        enforced = self.words.mode(now) == "enforce"
        reference = self._references.next()
        fault = exchange.fault or (exchange.kept and self.conversations.foreign(exchange, now)) or None
        if fault is None:
            try:
                return self._judge(exchange, now, compiled, reference, enforced)
            except Exception as error:
                fault = self.fault("policy or limits", error)
        decision = refuse_fault(fault, self._scoring.neutral, reference, enforced=enforced)
        return Receipt(exchange, decision, now)

    def _judge(self, exchange: Exchange, now: float, compiled: Compiled, reference: str, enforced: bool) -> Receipt:
        account = exchange.account
        grant = self.words.grant(account, now)
        granted = grant is not None
        held = self._look(exchange, now, granted)
        try:
            scored = self._scoring.assess(exchange, now, granted=granted, held=held)
            assessment = self.region.travel.seen(exchange, scored, now)
        except Exception as error:
            self.fault("scoring", error)
            assessment = self._scoring.neutral
        block = self.words.block(account, now)
        if block is None:
            judgement = compiled.judge.judge(View(exchange, assessment, now, granted))
        else:
            judgement = Judgement("refuse", "block", reasons=("block",))
        action, rule, public, reasons, shadow, options, wait_s = judgement
        over = None
        if enforced and action in CONTAINING:
            # Nothing is used, so nothing is reserved: a refusal costs the account no budget.
            admission = ADMITTED
        else:
            admission = compiled.limiter.take(exchange, assessment, now, granted=granted)
            if admission.admitted and not granted:
                over, would = self._over(exchange, now, compiled.policy.ceilings.mode, enforced)
                shadow += would
        if admission.shadow:
            shadow += tuple([(limit, "limit") for limit in admission.shadow])
        if action == "allow" and admission.admitted and over is None and not granted and not shadow:
            decision = allowed(assessment, reference, rule, enforced=enforced)
        else:
            found = Found(assessment, action, rule, public, reasons, shadow, options, wait_s)
            if not admission.admitted:
                found = found._replace(
                    limited=admission.limit,
                    unit=admission.unit,
                    limit_retry_after_s=admission.retry_after_s,
                    quotas=admission.quotas,
                )
            elif over is not None:
                # What the limits have reserved comes back when the contained exchange is settled.
                found = found._replace(limited=over.reason, limit_retry_after_s=over.wait_s)
            if grant is not None:
                found = found._replace(grant=grant.subject, told=grant.told)
            decision = decide(found, reference, enforced=enforced)
        return Receipt(exchange, decision, now, admission.reserved, admission.pending, admission.lease)

    def _look(self, exchange: Exchange, now: float, granted: bool) -> Held | None:
        """What recognition holds of the exchange; where it fails, the account's own evidence still counts."""
        try:
            return self.recognition.look(exchange, now, granted=granted)
        except Exception as error:
            self.fault("recognition", error)
            return None

    def _over(
        self, exchange: Exchange, now: float, mode: str, enforced: bool
    ) -> tuple[Over | None, tuple[tuple[str, str], ...]]:
        """Ceilings and the pool: what is over, and what would be (``mode`` shadow). They fail open, for limits and verdicts still
        stand. In mode off they go on counting, so that there is a history when they are switched on."""
        try:
            over = self.recognition.over(exchange, now, enforced=enforced and mode == "enforce")
        except Exception as error:
            self.fault("ceilings", error)
            return None, ()
        if over is None or mode == "enforce":
            return over, ()
        return None, ((over.reason, "limit"),) if mode == "shadow" else ()

    def answer(self, decision: Decision, dialect: str) -> Forward | Reply:
        """What the edge writes for a decision in that dialect (``"flat"`` and unknown ones answer as ``json`` does)."""
        if not decision.enforced:
            return Forward()
        spoken = self.dialects.get(dialect) or self.dialects["json"]
        return renamed(self._actions[decision.action].apply(decision, spoken), self.policy.headers)

    def cut(self, receipt: Receipt, now: float) -> Decision | None:
        """A stream runs and the operator has spoken: the refusal that ends it, None where it goes on."""
        block = self.words.block(receipt.exchange.account, now)
        if block is None or self.words.mode(now) != "enforce":
            return None
        found = Found(self._scoring.neutral, "refuse", "block", reasons=("block",))
        return decide(found, receipt.decision.reference, enforced=True)

    def fault(self, stage: str, error: Exception) -> BadExchange:
        """Counts a fault of guard's own, tells ``on_fault``, and returns what a stage that fails closed answers."""
        self.faults[stage] += 1
        self._on_fault(stage, error)
        return OWN_FAULT

    def hold(self, receipt: Receipt, now: float) -> None:
        """A stream still runs: its concurrency slots live on."""
        self.compiled.limiter.hold(receipt, now)

    def settle(self, receipt: Receipt, usage: Usage, now: float) -> None:
        """DONE: what was reserved becomes what was used. Once for each receipt; a second call changes nothing. Never raises."""
        try:
            self.compiled.limiter.settle(receipt, usage, now)
        except Exception as error:
            self.fault("settle", error)
        if usage.status != 200:
            self._scoring.failed(receipt.exchange, now)
            self.recognition.failed(receipt.exchange, now)
        if receipt.decision.cluster is not None and usage.forwarded:
            self.recognition.clusters.book(receipt.decision.cluster, usage)

    # -- beside the requests --------------------------------------------------------------------------------------

    def due(self, now: float) -> None:
        """Does all of recognition's work that is due, to its end: what a replay does before each exchange. Never raises."""
        try:
            self.recognition.due(now)
        except Exception as error:
            self.fault("recognition", error)

    def recognise(self, now: float) -> Iterator[None]:
        """The same in slices of about a millisecond. Never raises; what failed is not tried again."""
        try:
            yield from self.recognition.work(now)
        except Exception as error:
            self.fault("recognition", error)

    # -- the operator's words -------------------------------------------------------------------------------------

    def swap(self, policy: Policy, now: float) -> None:
        """Another policy from the next exchange on. What was used stays used; requests under way end under the old one."""
        self.region.use(policy, now)
        fresh = compiled(policy, self.key, self.dialects, self.store, self.unions, regions=self.region)
        self.words.adopt(policy)
        self.identities.use(policy)
        self.compiled = fresh

    def set_mode(self, mode: str, until: float, now: float) -> None:
        """Overrides the policy's mode until then (0: until it is set again; ``"policy"`` ends it)."""
        self.words.set_mode(mode, until)

    def grant(self, grant: Grant, now: float) -> str:
        """The operator's word that a subject may do what looks like extraction; its evidence is dropped."""
        name = self.words.speak(grant)
        for meant in subjects(grant.subject, self.key):
            mercy.release(self.recognition, meant)
            self._scoring.forgive(meant.partition(":")[2])
        return name

    def revoke(self, typed: str, now: float) -> bool:
        """Takes back the operator's grant and block of a subject; False: there was neither."""
        return self.words.take_back(typed)

    def block(self, typed: str, why: str, until: float, now: float) -> str:
        """Refuses a subject until then (0: until revoked), from the next exchange on; running streams are cut."""
        return self.words.refuse(typed, Block(why, until))

    def forgive(self, typed: str, now: float) -> int:
        """Drops the evidence against an account, or against all accounts of ``cluster:<name>``, and gives them back their
        full allowance; how many accounts it concerned. The same evidence does not convict them again.

        Raises ``AdminError`` for a cluster that there is not.
        """
        kind, _, name = typed.partition(":")
        if kind == "cluster":
            freed = mercy.forgive_cluster(self.recognition, name, now)
            if freed is None:
                raise AdminError(f"there is no cluster {name[:80]}: `guard clusters` lists them")
            for key in freed:
                self._scoring.forgive(key)
            return len(freed)
        meant = self._accounts_meant(typed)
        return sum(mercy.forgive(self.recognition, key, now) | self._scoring.forgive(key) for key in meant)

    def erase(self, typed: str, now: float) -> int:
        """Forgets an account altogether: evidence, limits, acceptance; how many things were forgotten."""
        meant = self._accounts_meant(typed)
        return sum(
            self.store.forget(key)
            + self.unions.forget(key, now)
            + self._scoring.erase(key)
            + self.identities.erase(key)
            + mercy.erase(self.recognition, key)
            + self.conversations.forget(key)
            + self.region.travel.forget(key)
            for key in meant
        )

    def _accounts_meant(self, typed: str) -> list[str]:
        names = [name.partition(":") for name in subjects(typed, self.key)]
        return [key for kind, _, key in names if kind == "account"]

    # -- state ----------------------------------------------------------------------------------------------------

    def clusters(self, name: str, now: float) -> JSONObject:
        """All clusters (``name`` ``""``), or the dossier of one. Raises ``AdminError`` where there is none of that name."""
        if not name:
            return listed(self.recognition)
        found = dossier(self.recognition, name, now)
        if found is None:
            raise AdminError(f"there is no cluster {name[:80]}: `guard clusters` lists them")
        return found

    def status(self, now: float) -> dict[str, object]:
        """What is held, in numbers. O(accounts): for the operator, not for the request path."""
        return {
            "mode": self.words.mode(now),
            "mode_until": self.words.mode_until(),
            "policy_mode": self.policy.mode,
            "policy": self.policy.source,
            "digest": self.policy.digest,
            "accounts": len(self._scoring),
            "bands": self._scoring.bands(),
            "faults": dict(self.faults),
            "ceilings": self.policy.ceilings.mode,
            "recognition": counts(self.recognition),
            "region": self.region.status(now),
            **self.words.counts(),
            **(self.store.counts() if isinstance(self.store, Keeper) else {}),
        }

    def snapshot(self) -> dict[str, Any]:
        """Plain data for ``restore``: evidence and words. The limits are the store's own."""
        return {
            "scoring": self._scoring.snapshot(),
            "words": self.words.snapshot(),
            "identities": self.identities.snapshot(),
        }

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """What was found of accounts that act as one, as plain data for ``resume``; ``findings``: what it is found from."""
        return keeping.verdicts(self.recognition)

    def findings(self, *, whole: bool = False) -> Iterator[dict[str, Any]]:
        """See ``recognition/keeping.py``."""
        return keeping.findings(self.recognition, whole=whole)

    def resume(self, findings: Iterable[dict[str, Any]], verdicts: Iterable[dict[str, Any]], now: float) -> None:
        """Takes both up. Raises ``StateError`` for what is none; then nothing of it is to be relied on."""
        restoring = keeping.Restoring(self.recognition, now)
        for piece in (*findings, *verdicts):
            restoring.take(piece)
        restoring.done()

    def restore(self, state: Mapping[str, Any], now: float) -> None:
        """Takes up a snapshot. Raises ``StateError`` for one that isn't; then nothing of it is to be relied on."""
        try:
            self._scoring.restore(state["scoring"], now)
            self.words.restore(state["words"])
            self.identities.restore(state["identities"])
        except (KeyError, TypeError, ValueError, AdminError) as error:
            raise StateError(f"the snapshot is not one of this guard's: {type(error).__name__}; remove it") from error

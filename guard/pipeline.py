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

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import replace

from guard.answering import renamed
from guard.body import parse
from guard.charges import Bill, Slots
from guard.compiled import Compiled
from guard.conditions import View
from guard.contracts import Forward, Reply
from guard.decision import CONTAINING, Found, allowed, decide, refuse_fault
from guard.errors import BadExchange
from guard.limiter import Admission, Asked, Outcome
from guard.operated import Operated
from guard.policy import Judgement
from guard.recognition.ceilings import Over
from guard.routes import FLAT, NO_DIALECT
from guard.types import BANDS, Account, Call, Decision, Exchange, Held, JSONObject, Receipt, Usage
from guard.understanding import Asked as Heard
from guard.unjudged import UNREAD, faulty, no_dialect

ADMITTED = Admission(True)
SUSPECTED = frozenset(BANDS[2:])
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__
Reserve = Callable[[Sequence[Bill], Slots, float], Awaitable[Outcome]]


class Guard(Operated):
    """One running guard: a policy, and all that is known of accounts under one hashing key.

    ``now`` everywhere: seconds since 1970, from one clock that never goes back. ``start`` separates the references of one
    run from another's (0 in a replay). ``store`` keeps the limits; the policy's own memory store where none is given.
    """

    # -- the way of a request -------------------------------------------------------------------------------------

    def read(self, call: Call, account: Account, plain: bytes, compiled: Compiled | None = None) -> Exchange:
        """BODY: bytes (decompressed) → exchange. A body that can't be judged makes an exchange with a ``fault``."""
        asked = self.asked(call, account, plain, compiled)
        if isinstance(asked, Exchange):
            return asked
        try:
            return self.understanding.one(asked)
        except Exception as error:
            return faulty(call, account, self.fault("body", error))

    def asked(self, call: Call, account: Account, plain: bytes, compiled: Compiled | None = None) -> Exchange | Heard:
        """The first half of it, for whoever has several: what its dialect reads; the exchange where there is no more to it."""
        try:
            dialect = call.route.dialect
            if dialect == FLAT:
                return Exchange(
                    account, call.peer, call.path, replace(UNREAD, dialect=FLAT, input_tokens=call.route.flat_tokens)
                )
            if dialect == NO_DIALECT:
                raise no_dialect(call.route)
            if not plain and dialect in self.keeping:
                return self.understanding.asked(call, account, {})
            return self.understanding.asked(call, account, parse(plain, (compiled or self.compiled).policy.body))
        except BadExchange as fault:
            return faulty(call, account, fault)
        except Exception as error:
            return faulty(call, account, self.fault("body", error))

    def understand(self, call: Call, account: Account, body: JSONObject) -> Exchange:
        """A parsed body → exchange. Raises ``BadExchange`` where the dialect can't read it."""
        return self.understanding.one(self.understanding.asked(call, account, body))

    def decide(self, exchange: Exchange, now: float, compiled: Compiled | None = None) -> Receipt:
        """Judges one exchange and reserves what it may use. Never raises; ``receipt.decision`` is the decision."""
        steps = self.deciding(exchange, now, compiled)
        try:
            asked = next(steps)
            while True:
                try:
                    taken = self.store.take(asked.bills, asked.slots, now)
                except Exception as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(taken)
        except StopIteration as end:
            receipt: Receipt = end.value
            return receipt

    async def reach(
        self, exchange: Exchange, reserve: Reserve, now: float, compiled: Compiled | None = None
    ) -> Receipt:
        """The same with a store that has to be waited for: ``reserve`` asks it. Given up while it waits, nothing is decided."""
        steps = self.deciding(exchange, now, compiled)
        try:
            asked = next(steps)
            while True:
                try:
                    taken = await reserve(asked.bills, asked.slots, now)
                except Exception as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(taken)
        except StopIteration as end:
            receipt: Receipt = end.value
            return receipt

    def deciding(
        self, exchange: Exchange, now: float, compiled: Compiled | None = None
    ) -> Generator[Asked, Outcome, Receipt]:
        """The same for whoever asks the store himself: yields what is asked of it, at most once, and wants what it says (or
        the error that it raised). Its return value is the receipt."""
        compiled = compiled or self.compiled
        enforced = self.words.mode(now) == "enforce"
        reference = self._references.next()
        fault = exchange.fault or (exchange.kept and self.conversations.foreign(exchange, now)) or None
        if fault is None:
            try:
                return (yield from self._judging(exchange, now, compiled, reference, enforced))
            except Exception as error:
                fault = self.fault("policy or limits", error)
        decision = refuse_fault(fault, self._scoring.neutral, reference, enforced=enforced)
        return Receipt(exchange, decision, now)

    def _judging(
        self, exchange: Exchange, now: float, compiled: Compiled, reference: str, enforced: bool
    ) -> Generator[Asked, Outcome, Receipt]:
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
            judgement = compiled.judge.judge(_made(View, (exchange, assessment, now, granted, self._replayed)))
        else:
            judgement = Judgement("refuse", "block", reasons=("block",))
        action, rule, public, reasons, shadow, options, wait_s = judgement
        over = None
        if enforced and action in CONTAINING:
            # Nothing is used, so nothing is reserved: a refusal costs the account no budget.
            admission = ADMITTED
        else:
            admission = yield from compiled.limiter.taking(exchange, assessment, now, granted=granted)
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
        decision = receipt.decision
        if usage.prefix or usage.signatures or (decision.contained and decision.band in SUSPECTED):
            self._received(receipt, usage, now)
        if receipt.decision.cluster is not None and usage.forwarded:
            self.recognition.clusters.book(receipt.decision.cluster, usage)

    def _replayed(self, exchange: Exchange, now: float) -> frozenset[str]:
        """What of another account's it brings along, for rules on that; they fail open."""
        try:
            return self.recognition.hops.replayed(exchange, now)
        except Exception as error:
            self.fault("recognition", error)
            return frozenset()

    def _received(self, receipt: Receipt, usage: Usage, now: float) -> None:
        """Who received the answer is known when a conversation goes on from it."""
        try:
            self.recognition.hops.settle(receipt.exchange, usage, now, contained=receipt.decision.contained)
        except Exception as error:
            self.fault("recognition", error)

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

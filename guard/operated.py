"""What a guard holds, and what is done to it beside the requests: the operator's words, state, another policy.

``pipeline.py`` has the way of a request, on top of this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from guard.compiled import compiled
from guard.contracts import Action, Carrying, Dialect, GroupSignal, Keeper, Keeping, Signal, Store
from guard.conversations import Conversations
from guard.decision import References
from guard.errors import AdminError, BadExchange, StateError
from guard.fingerprint import Fingerprinter
from guard.hashing import HashKey
from guard.identity import Identities
from guard.recognition import keeping, mercy
from guard.recognition.dossier import counts, dossier, listed
from guard.recognition.recognition import Recognition
from guard.recognition.verdicts import Clip, Weighing
from guard.region import Regions
from guard.registry import discover, signals
from guard.scoring import Scoring, read_weights
from guard.settings import Grant, Policy
from guard.types import JSONObject
from guard.understanding import Understanding
from guard.unions import Unions
from guard.unjudged import OWN_FAULT
from guard.words import Block, Words, subjects


def _no_observer(stage: str, error: Exception) -> None:
    """Nobody listens to faults: they are counted all the same."""


class Operated:
    """The parts of one guard. See ``pipeline.Guard`` for the arguments."""

    def __init__(
        self,
        policy: Policy,
        *,
        key: HashKey,
        start: float = 0.0,
        store: Store | None = None,
        on_fault: Callable[[str, Exception], None] = _no_observer,
        former: HashKey | None = None,
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
        self.words = Words(policy, key)
        self.carried: Callable[[str, str], None] | None = None
        """Told of every account that goes on under another name, where other replicas are to know it."""
        self.identities = Identities(policy, key, former, self._carry)
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

    def fault(self, stage: str, error: Exception) -> BadExchange:
        """Counts a fault of guard's own, tells ``on_fault``, and returns what a stage that fails closed answers."""
        self.faults[stage] += 1
        self._on_fault(stage, error)
        return OWN_FAULT

    # -- the operator's words -------------------------------------------------------------------------------------

    def swap(self, policy: Policy, now: float) -> None:
        """Another policy from the next exchange on. What was used stays used; requests under way end under the old one."""
        self.region.use(policy, now)
        fresh = compiled(policy, self.key, self.dialects, self.store, self.unions, regions=self.region)
        self.words.adopt(policy)
        self.identities.use(policy)
        self.compiled = fresh

    def _carry(self, kind: str, former: str, name: str) -> None:
        """Somebody comes by who had another name under the key before: what is held of him goes on."""
        self.words.carry(kind, former, name)
        if isinstance(self.store, Carrying):
            self.store.carry(former, name)
        if kind == "account":
            self._scoring.carry(former, name)
            self.recognition.accounts.carry(former, name)
            if self.carried is not None:
                self.carried(former, name)

    def set_mode(self, mode: str, until: float, now: float) -> None:
        """Overrides the policy's mode until then (0: until it is set again; ``"policy"`` ends it)."""
        self.words.set_mode(mode, until)

    def grant(self, grant: Grant, now: float) -> str:
        """The operator's word that a subject may do what looks like extraction; its evidence is dropped."""
        name = self.words.speak(grant)
        for meant in subjects(grant.subject, self.key):
            self.release(meant)
        return name

    def release(self, name: str) -> None:
        """Drops the evidence against ``account:<key>`` or ``org:<key>`` (keyed hashes): it has a grant."""
        mercy.release(self.recognition, name)
        self._scoring.forgive(name.partition(":")[2])

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

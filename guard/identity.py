"""Who is asking: the credential of a call → the account that the exchange is charged to.

A credential is provisional until somebody vouches for it: the operator's ``describe`` by naming it, or the app by answering it
with success. Until then it stands in no table here, so that a million invented ones leave no trace. Secrets and the operator's
ids are hashed at once; nothing here keeps one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from guard import countries
from guard.credentials import Credentials
from guard.described import Descriptions, named
from guard.errors import BadExchange, StateError
from guard.hashing import HashKey
from guard.recent import Keys, Recent
from guard.settings import Describe, Policy
from guard.types import Account, AccountFacts, Call

# A callable that fails is asked again after this long, not by every request.
_RETRY_S = 1.0
_MOST_TEXT = 1024
_HEX = frozenset("0123456789abcdef")
_STRANGERS = 4096
_BUILT = 4096


@dataclass(frozen=True, slots=True)
class NeedsDescribe:
    """The operator's callable has to be asked: ``describe(credential)``, sync or async; then ``described`` or ``failed``.

    ``credential`` is decoded as Latin-1, as frameworks decode headers; it lives no longer than this request.
    """

    describe: Describe = field(repr=False)
    credential: str = field(repr=False)


class Identities:
    """The identity stage of one installation. It outlives reloads: ``use`` swaps the policy, the tables stay.

    ``counts``: ``describe_failed`` (asked in vain), ``describe_refused`` (facts that can't be), ``identity_unknown`` (refused,
    because nothing was known).
    """

    def __init__(
        self,
        policy: Policy,
        key: HashKey,
        former: HashKey | None = None,
        carry: Callable[[str, str, str], None] = lambda kind, before, now: None,
    ) -> None:
        """``former``: the key before this one; ``carry(kind, before, now)`` is told what somebody was called under it (kinds
        ``account`` and ``org``), at his first request and whenever it may have been forgotten since."""
        self._key = key
        self._former = former
        self._carry = carry
        self._carried: Recent[str, str] = Recent(policy.state.max_accounts)
        self.tell: Callable[[str], None] | None = None
        """Told of every credential that the app has vouched for here, where other replicas are to know it."""
        most = policy.state.max_accounts
        self.counts: Counter[str] = Counter()
        self._accepted = Keys(most)
        self._described = Descriptions(most)
        # Strangers and networks are as many as clients like, so they get small tables of their own.
        self._strangers: Recent[str, float] = Recent(_STRANGERS)
        self._networks: Recent[str, Account] = Recent(_STRANGERS)
        self._built: Recent[str, Account] = Recent(_BUILT)
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """Goes on under another policy; what was learnt about credentials stays."""
        identity = policy.identity
        self._credentials = Credentials(identity)
        self._describe = identity.describe
        self._ttl_s = identity.describe_ttl_s
        self._anonymous = identity.anonymous

    def resolve(self, call: Call, now: float) -> Account | NeedsDescribe:
        """The account of a call, or that the operator's callable has to be asked first.

        Raises ``BadExchange``: 400 for credentials that contradict each other, 401 where anonymous calls are refused.
        """
        secret = call.credential or self._credentials.find(call.headers, call.query, call.by_query)
        network = self._networks.get(call.peer.network) or self._network(call.peer.network)
        if not secret:
            if self._anonymous == "refuse":
                raise BadExchange(401, "anonymous", "This service needs a credential.")
            return network
        hashed = self._key.identifier("credential", secret)
        if self._former is not None:
            before = self._former.identifier("credential", secret)
            if before in self._accepted:
                self._accepted.drop(before)
                self._accepted.add(hashed)
            if hashed in self._accepted:  # of credentials that anybody can make up nothing is looked for
                self._carry_over("account", before, hashed)
        if self._describe is not None:
            described = self._described.get(hashed)
            if described is not None and now - described.at < self._ttl_s:
                return _at(described.account, network.shard)
            asked_at = self._strangers.get(hashed) if described is None else None
            if asked_at is None or now - asked_at >= self._ttl_s:
                return NeedsDescribe(self._describe, secret.decode("latin-1"))
        return self._by_credential(hashed, network.shard)

    def described(self, call: Call, facts: Any, now: float) -> Account:
        """The account after ``describe`` has answered with ``facts`` (``AccountFacts``; None: nobody it knows).

        Facts that can't be (text that is none or longer than 1,024 characters, an empty id, a time that is no number) count
        as a failure of the callable. A time in the future counts as now: a young account, not a rejuvenated old one.
        """
        hashed, shard = self._marks(call)
        if facts is None:
            self._described.drop(hashed)
            self._strangers.put(hashed, now)
            return self._by_credential(hashed, shard)
        if not isinstance(facts, AccountFacts) or not _possible(facts):
            self.counts["describe_refused"] += 1
            return self.failed(call, now)
        account = self._account(facts, hashed, shard, now)
        self._strangers.drop(hashed)
        self._described.put(hashed, account, now)
        return account

    def failed(self, call: Call, now: float) -> Account:
        """The account where ``describe`` failed: what was last known of the credential, however old.

        Raises ``BadExchange`` (503, ``identity``) where nothing is known: a control that can't run lets nobody through.
        """
        self.counts["describe_failed"] += 1
        hashed, shard = self._marks(call)
        known = self._described.get(hashed)
        if known is None and self._strangers.get(hashed) is not None:
            self._strangers.put(hashed, now - self._ttl_s + _RETRY_S)
            return self._by_credential(hashed, shard)
        if known is None:
            self.counts["identity_unknown"] += 1
            raise BadExchange(503, "identity", "Who is asking could not be looked up; try again.")
        self._described.put(hashed, known.account, now - self._ttl_s + _RETRY_S)
        return _at(known.account, shard)

    def named(self, call: Call) -> bool:
        """Whether the operator's callable has named the credential of a call, when it was last asked."""
        return self._describe is not None and self._described.get(self._marks(call)[0]) is not None

    def answered(self, account: Account, status: int) -> bool:
        """Tells how the app answered; True where that made a provisional credential an accepted one.

        Only success (2xx) vouches. An app may well answer 3xx, 400, 404, 405, 415, 422, 429 or 5xx before it has looked at the
        credential (a redirect, a router, a validator, an overloaded backend), and if these counted, invented credentials
        could be had accepted by the thousand and push real ones out.
        """
        if account.status != "provisional" or not 200 <= status < 300:
            return False
        self._accepted.add(account.key)
        if self.tell is not None:
            self.tell(account.key)
        return True

    def learn(self, account: str) -> None:
        """The app has vouched for a credential at another replica."""
        if self._describe is None:  # else it is the operator's callable that names whom it knows
            self._accepted.add(account)

    def erase(self, account: str) -> int:
        """Forgets that a credential was accepted, and what ``describe`` said of the account; how many things were forgotten."""
        told = self._described.of(account)
        accepted = account in self._accepted
        for hashed in told:
            self._described.drop(hashed)
        self._accepted.drop(account)
        self._built.drop(account)
        return accepted + len(told)

    def snapshot(self) -> dict[str, object]:
        """The accepted credentials (keyed hashes), for a restart."""
        return {"version": 1, "accepted": list(self._accepted)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Takes up a snapshot. Raises ``StateError`` where it is none."""
        accepted = state.get("accepted")
        if state.get("version") != 1 or not isinstance(accepted, list):
            raise StateError("the snapshot of accepted credentials is not one of version 1; remove it")
        if not all(isinstance(key, str) and len(key) == 32 and _HEX.issuperset(key) for key in accepted):
            raise StateError("the snapshot of accepted credentials holds something else than keyed hashes; remove it")
        for key in accepted:
            self._accepted.add(key)

    def _carry_over(self, kind: str, before: str, name: str) -> None:
        if self._carried.get(before) is None:
            self._carried.put(before, name)
            self._carry(kind, before, name)

    def _marks(self, call: Call) -> tuple[str, int]:
        secret = call.credential or self._credentials.find(call.headers, call.query, call.by_query)
        return self._key.identifier("credential", secret), self._network(call.peer.network).shard

    def _network(self, network: str) -> Account:
        """The anonymous account of a network. Clients of unknown address are one network: told apart they would be free."""
        known = self._networks.get(network)
        if known is None:
            hashed = self._key.identifier("network", network.encode())
            known = Account(hashed, "anonymous", int(hashed[:2], 16), names=frozenset({f"account:{hashed}"}))
            self._networks.put(network, known)
        return known

    def _by_credential(self, hashed: str, shard: int) -> Account:
        key = self._accepted.get(hashed)
        if key is None:
            return Account(hashed, "provisional", shard, names=frozenset({f"account:{hashed}"}))
        account = self._built.get(key)
        if account is None or account.shard != shard:
            account = Account(key, "accepted", shard, names=frozenset({f"account:{key}"}))
            self._built.put(key, account)
        return account

    def _account(self, facts: AccountFacts, hashed: str, shard: int, now: float) -> Account:
        def keyed(kind: str, value: str | None) -> str:
            return self._key.identifier(kind, value.encode("utf-8", "surrogatepass")) if value else ""

        account = keyed("account", facts.id) or hashed
        org = keyed("org", facts.org)
        if self._former is not None:
            for kind, stated, name in (("account", facts.id, account), ("org", facts.org, org)):
                if stated:
                    self._carry_over(kind, self._former.identifier(kind, stated.encode("utf-8", "surrogatepass")), name)
        return Account(
            account,
            "accepted",
            shard,
            created=None if facts.created is None else min(float(facts.created), now),
            tier=facts.tier,
            verified=facts.verified,
            country=_country(facts.country),
            payment=keyed("payment", facts.payment),
            signup=keyed("signup", facts.signup),
            org=org,
            tags=frozenset(facts.tags),
            names=named(account, org),
            owners=owners(facts.owner_country),
        )


def user_key(key: HashKey, account_key: str, user: str) -> str:
    """The keyed hash of a sub-user within its account: the same name below another account is somebody else."""
    return key.identifier("user", f"{account_key}\n{user}".encode("utf-8", "surrogatepass"))


def _country(stated: str | None) -> str | None:
    """The code; None also for what is none, which rules call "unknown"."""
    code = "" if stated is None else stated.strip().upper()
    return code if countries.is_code(code) else None


def owners(stated: str | Mapping[str, float] | None) -> tuple[tuple[str, float], ...]:
    """(country, percent) as ``AccountFacts.owner_country`` states them; what is no country counts as not stated."""
    shares: Mapping[str, float] = {} if not stated else {stated: 100.0} if isinstance(stated, str) else stated
    known: dict[str, float] = {}
    for country, percent in shares.items():
        if (code := _country(country)) is not None:
            known[code] = known.get(code, 0.0) + percent
    return tuple(sorted(known.items()))


def possible_owners(stated: object) -> bool:
    """Whether it is text, or at most 64 shares that come to no more than everything."""
    if stated is None or isinstance(stated, str):
        return stated is None or len(stated) <= _MOST_TEXT
    if not isinstance(stated, Mapping) or len(stated) > 64:
        return False
    percents = [
        one for one in stated.values() if isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 100
    ]
    return len(percents) == len(stated) and sum(percents) <= 100.01 and all(isinstance(one, str) for one in stated)


def _at(account: Account, shard: int) -> Account:
    return account if account.shard == shard else replace(account, shard=shard)


def _possible(facts: AccountFacts) -> bool:
    """Whether the operator's callable kept to the types of ``AccountFacts``; nothing at run time makes it."""
    texts: tuple[Any, ...] = (facts.id, facts.tier, facts.country, facts.payment, facts.signup, facts.org)
    tags: Any = facts.tags
    created: Any = facts.created
    return (
        all(text is None or (isinstance(text, str) and len(text) <= _MOST_TEXT) for text in texts)
        and facts.id != ""
        and (facts.verified is None or isinstance(facts.verified, bool))
        and (
            created is None
            or (
                isinstance(created, int | float)
                and not isinstance(created, bool)
                and math.isfinite(created)
                and created >= 0
            )
        )
        and possible_owners(facts.owner_country)
        and isinstance(tags, frozenset | set | tuple | list)
        and len(tags) <= 64
        and all(isinstance(tag, str) and len(tag) <= _MOST_TEXT for tag in tags)
    )

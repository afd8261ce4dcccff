"""Decides the exchanges of a log as a running guard would have, by the log's clock and never by the wall's.

Everything that is due at or before ``at(n)`` runs before exchange n is decided (``due``: recognition's schedule goes there).
A log has no end times: an answer is settled right after its own decision, before the next exchange is decided, so limits on
concurrency never refuse here. The answer of a contained exchange is not read: it would not exist.

What the operator's edge stated is believed, and every account is an accepted one: the log names it. Of the headers only names,
order and the client's name of itself count (a record blanks values); how the request was framed was judged when it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from guard import countries
from guard.addresses import Addresses
from guard.body import PLAIN_LEVELS, is_plain
from guard.call import NOT_PROTECTED
from guard.errors import BadExchange, ExchangeLogError
from guard.fingerprint import load
from guard.hashing import REPLAY_KEY, HashKey
from guard.identity import owners
from guard.origin import FACTS, Origin, Said, as_shown, compared, peer_from
from guard.pipeline import Guard
from guard.recent import Recent
from guard.replay.log import Logged, facts, headers, peer_facts
from guard.settings import Policy
from guard.types import UNKNOWN, Account, AccountFacts, Call, Decision, Exchange, Peer, Receipt, Route, Usage
from guard.understanding import Asked
from guard.unjudged import faulty

# What a route, a client stack or a peer came to is remembered for this many distinct ones.
_REMEMBERED = 16_384
_ACCOUNTS = 131_072
_MOST_SOURCES = 16
_HEX = frozenset("0123456789abcdef")
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__
_NEVER_ASKED = Usage(0, 0, 0, False, False, forwarded=False)
# What says how a message was framed: of no account here, or replaced by what any sound frame says, because the name's
# place among the headers is a trait of the client.
_FRAMED = frozenset({b"content-length", b"transfer-encoding"})
_SOUND = {b"connection": b"keep-alive", b"content-encoding": b"identity", b"content-type": b"application/json"}
_NAMELESS = (b"host", b"")
_PASSED = Decision(action="allow", enforced=False, status=200, reference="", score=0.0, band="low")


class Outcome(NamedTuple):
    """One decided exchange. ``account_id`` is the log's name for the account, ``account`` its facts under the replay's key."""

    n: int
    account_id: str
    account: Account
    decision: Decision
    protected: bool
    answered: bool
    """Whether the log says what the exchange came to."""

    def line(self) -> bytes:
        """The line of the decision log, without its end."""
        decision = self.decision
        line = {
            "n": self.n,
            "account": self.account_id,
            "cluster": decision.cluster,
            "score": round(decision.score, 6),
            "action": decision.action,
        }
        if decision.action == "degrade":
            line["reductions"] = dict(decision.reductions)
        elif decision.action == "delay":
            line["delay_s"] = round(decision.delay_s, 3)
        line["reasons"] = decision.reasons if decision.action != "allow" else ()
        if decision.merged:
            line["merged"] = decision.merged
        return orjson.dumps(line)


class Replay:
    """One policy over one log.

    ``enforce``: a policy in mode ``observe`` is replayed as if it were enforced, for that is what is being asked: what would
    these rules have done? Without it the policy's mode holds, as it would live. ``due`` is called with the log's time before
    each decision (recognition's own schedule where none is given). ``guard``: one that knows something already, under its own
    key, instead of a new one. ``recorded``: guard itself has written the log, so that its ids are keyed hashes already. Raises
    ``InstallError`` where the policy's weights can't be used.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        enforce: bool = True,
        due: Callable[[float], None] | None = None,
        guard: Guard | None = None,
        recorded: bool = False,
    ) -> None:
        if enforce and policy.mode == "observe":
            policy = replace(policy, mode="enforce")
        self.faults: Counter[str] = Counter()
        """How often a stage of guard itself failed (``stage (class of the error)``); such exchanges are decided without it."""
        self.guard = guard or Guard(policy, key=HashKey(REPLAY_KEY), on_fault=self._failed)
        self._recorded = recorded
        self.policy = policy
        bounds = policy.body
        # What is shorter has no more items, and no more bytes when it is written anew.
        self._most_bytes = min(bounds.max_bytes, 2 * bounds.max_items)
        self._most_levels = bounds.max_depth
        self._allows_plain = bounds.max_depth >= PLAIN_LEVELS
        self._due = due or self.guard.due
        self._addresses = Addresses((), policy.identity.ipv6_prefix)
        self._accounts: Recent[str, tuple[Mapping[str, Any], Account]] = Recent(_ACCOUNTS)
        self._peers: Recent[bytes, Peer] = Recent(_REMEMBERED)
        self._calls: Recent[bytes, _Met] = Recent(_REMEMBERED)

    def decide(self, logged: Logged) -> Outcome:
        """Decides one line and settles it. Raises ``ExchangeLogError`` for a line that can't be replayed."""
        return self.decide_met(logged, self.meet(logged))

    def decide_met(self, logged: Logged, met: Met) -> Outcome:
        """``decide`` of a line that ``meet`` or ``meet_all`` has seen. Lines are decided in their order, each once."""
        now = logged.at
        account, exchange = met
        self._due(now)
        if exchange is None:
            return Outcome(logged.n, logged.account["id"], account, _PASSED, False, logged.status != 0)
        guard = self.guard
        receipt = guard.decide(exchange, now)
        guard.settle(receipt, self._usage(receipt, logged), now)
        return _made(Outcome, (logged.n, logged.account["id"], account, receipt.decision, True, logged.status != 0))

    def _failed(self, stage: str, error: Exception) -> None:
        self.faults[f"{stage} ({type(error).__name__})"] += 1

    def exchange(self, logged: Logged) -> Exchange | None:
        """What guard is to decide; None: the policy doesn't protect that path. Raises ``ExchangeLogError`` likewise."""
        return self.meet(logged).exchange

    def meet(self, logged: Logged) -> Met:
        """Whose a line is and what was asked. Raises ``ExchangeLogError`` likewise."""
        met = self.meet_all((logged,))[0]
        if isinstance(met, ExchangeLogError):
            raise met
        return met

    def meet_all(self, lines: Sequence[Logged]) -> list[Met | ExchangeLogError]:
        """What ``meet`` makes of lines in their order, or raises: together they cost far less (``understanding.py``)."""
        found: list[Met | ExchangeLogError] = []
        waiting: list[tuple[int, Asked]] = []
        for logged in lines:
            try:
                account = self._account(logged)
                asked = self._asked(logged, account)
            except ExchangeLogError as error:
                found.append(error)
                continue
            if type(asked) is _Unread:
                asked = self.guard.asked(*asked)
            if type(asked) is Asked:
                waiting.append((len(found), asked))
            found.append(_made(Met, (account, asked if isinstance(asked, Exchange) else None)))
        exchanges = self.guard.understanding.many([asked for _, asked in waiting])
        for (place, asked), exchange in zip(waiting, exchanges, strict=True):
            found[place] = _made(Met, (asked.account, exchange))
        return found

    def _asked(self, logged: Logged, account: Account) -> Exchange | Asked | _Unread | None:
        call, fault = self._met(logged)
        if call is None:
            return None
        call = _from(call, self._peer(logged))
        if fault is not None:
            return faulty(call, account, fault)
        if "body" in logged.request:
            return self._body(call, account, logged)
        features = load(logged.request["features"], logged.n)
        if call.route.dialect not in self.guard.dialects:
            # No API is known for the path, or it has a flat price, whatever was asked there.
            return _Unread(call, account, b"")
        return Exchange(account, call.peer, call.path, features)

    def _body(self, call: Call, account: Account, logged: Logged) -> Exchange | Asked | _Unread:
        body = logged.request["body"]
        guard = self.guard
        if (
            type(body) is not dict
            or logged.plain
            or len(logged.line) > self._most_bytes
            or not ((self._allows_plain and is_plain(body)) or _nodes(logged) <= self._most_levels)
            or call.route.dialect not in guard.dialects
        ):
            # What might break a bound of the BODY phase goes through the whole of it; anything else is parsed already.
            return _Unread(call, account, logged.plain or orjson.dumps(body))
        try:
            return guard.understanding.asked(call, account, body)
        except BadExchange as fault:
            return faulty(call, account, fault)

    def _met(self, logged: Logged) -> _Met:
        """What the HEADERS phase makes of the line, its peer excepted."""
        request = logged.request
        key = orjson.dumps((request["method"], request["path"], request.get("headers")))
        met = self._calls.get(key)
        if met is None:
            met = self._meet(request["method"], request["path"], request.get("headers"), logged.n)
            self._calls.put(key, met)
        return met

    def _meet(self, method: str, target: str, stated: object, n: int) -> _Met:
        caller = self.guard.compiled.caller
        path, _, query = target.partition("?")
        sent = [pair for pair in headers(stated or (), n) if pair[0] not in _FRAMED]
        scope = {
            "method": method.upper(),
            "path": path,
            "query_string": query.encode(errors="replace"),
            "client": None,
            "headers": [(name, _SOUND.get(name, value)) for name, value in sent] or [_NAMELESS],
        }
        route = caller.route(scope)
        if route is NOT_PROTECTED:
            return _PASSED_BY
        try:
            call = caller.call(scope, route)
        except BadExchange as fault:
            return _Met(Call(method, path, route, (), Peer()), fault)
        return _Met(call if stated else replace(call, stack=b""), None)

    def _account(self, logged: Logged) -> Account:
        """The account; worked out anew when its facts change."""
        stated = logged.account
        known = self._accounts.get(stated["id"])
        if known is not None and known[0] == stated:
            return known[1]
        described = facts(stated, logged.n)
        if self._recorded:
            account = _as_recorded(described, logged.n)
        else:
            account = self.guard.identities.described(_NOBODYS, described, logged.at)
        self._accounts.put(stated["id"], (stated, account))
        return account

    def _peer(self, logged: Logged) -> Peer:
        """The peer as a declared hop would have stated it."""
        stated = logged.peer
        if not stated:
            return _NOWHERE
        key = orjson.dumps(stated)
        peer = self._peers.get(key)
        if peer is None:
            known = peer_facts(stated, logged.n)
            address = self._addresses.read(known.get("ip", "")) if "ip" in known else None
            asn = known.get("asn", 0)
            said = Said(
                "header",
                tuple(fact for fact in FACTS if fact in known),
                countries.country(known.get("country")),
                (),
                asn if 0 < asn < 1 << 32 else 0,
                (kind,) if (kind := known.get("asn_kind", "").strip().lower()) else (),
            )
            where = address.text if address else UNKNOWN
            peer = peer_from(
                self._origin(stated.get("sources"), said, where),
                where,
                address.network if address else UNKNOWN,
                ja4=known.get("ja4", ""),
                hop=True,
                subnet=_subnet(stated.get("network")),
            )
            self._peers.put(key, peer)
        return peer

    def _origin(self, recorded: object, header: Said, address: str) -> Origin:
        """What was compared: as guard has recorded it, else what the log states and what the policy's files say today."""
        said = [as_shown(one) for one in recorded[:_MOST_SOURCES]] if isinstance(recorded, list) else []
        if said and None not in said:
            return compared(tuple(one for one in said if one is not None))
        if self.guard.region.active:
            return self.guard.region.origin(address, header)
        return compared((header,))

    def _usage(self, receipt: Receipt, logged: Logged) -> Usage:
        """What the exchange came to, as far as the log knows. What it doesn't know stays charged as it was reserved."""
        if receipt.decision.contained:
            return _NEVER_ASKED
        features = receipt.exchange.features
        status = logged.status or 200
        received, sent = logged.tokens
        reported = received >= 0 and sent >= 0
        if sent < 0:
            reserved = features.budget_tokens
            if reserved is None:
                reserved = self.policy.default_output_tokens * max(1, features.choices)
            sent = reserved if status == 200 else 0
        received = features.input_tokens if received < 0 else received
        return Usage(status, received, sent, reported, True, True, logged.prefix, logged.signatures)


class Met(NamedTuple):
    """Whose a line is, and what guard is to decide; None: the policy doesn't protect that path."""

    account: Account
    exchange: Exchange | None


class _Unread(NamedTuple):
    """A request whose body goes through the whole of the BODY phase."""

    call: Call
    account: Account
    plain: bytes


class _Met(NamedTuple):
    """A request before its body and peer. ``call`` None: the policy doesn't protect the path; ``fault``: what is wrong."""

    call: Call | None
    fault: BadExchange | None


_PASSED_BY = _Met(None, None)
_NOWHERE = Peer(hop=True)
_NOBODYS = Call("POST", "/", Route("/", ""), (), Peer())


def _as_recorded(facts: AccountFacts, n: int) -> Account:
    """The account of a line that guard itself has written: its ids are keyed hashes. Raises ``ExchangeLogError`` where not."""
    stated = (facts.id or "", facts.payment or "", facts.signup or "", facts.org or "")
    if len(stated[0]) != 32 or any(not _HEX.issuperset(one) or len(one) not in {0, 32} for one in stated):
        raise ExchangeLogError(
            n, "account.id, payment, signup or org is no keyed hash: guard has not recorded this log"
        )
    key, payment, signup, org = stated
    names = frozenset({f"account:{key}", f"org:{org}"} if org else {f"account:{key}"})
    return Account(key, created=facts.created, tier=facts.tier, verified=facts.verified, country=facts.country, payment=payment,
                   signup=signup, org=org, names=names, owners=owners(facts.owner_country))  # fmt: skip


def _subnet(stated: object) -> int:
    """The subnet of a peer as guard records it (``lines.py``). The public format has no such field: whatever else an operator's log
    keeps under that name means nothing here."""
    if type(stated) is not str or len(stated) != 8 or not _HEX.issuperset(stated):
        return 0
    return int(stated, 16)


def _nodes(logged: Logged) -> int:
    """At least the number of objects and lists in its body, and so of its levels."""
    stated = logged.request.get("headers")
    return logged.line.count(b"{") + logged.line.count(b"[") - (len(stated) if type(stated) is list else 0)


def _from(call: Call, peer: Peer) -> Call:
    """The call with its peer; ``dataclasses.replace`` takes three times as long."""
    return Call(call.method, call.path, call.route, call.headers, peer, b"", call.stack)

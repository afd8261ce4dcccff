"""What stands in a line of the audit and of the exchange log. Names are stable; what doesn't apply is absent.

**Audit line**

    v                 1, the version of this list
    at                seconds since 1970
    reference         what the client was told (X-Guard-Reference)
    action, enforced  what was judged, and whether it was carried out; status: the HTTP status of guard's own answer
    rule, reasons     the rule or limit behind it; short names
    score, band       0 to 1 and its named range; evidence: [{signal, group, nats, reason}]; cluster
    shadow            [[rule, action]] of rules in shadow that would have acted
    quotas            [{limit, unit, amount, window_s, remaining, reset_s}]
    grant, told       the grant that held (true: one did); false where the client is not told
    retry_after_s, delay_s, reductions
    public, private   the sentence for the client, and for the operator
    fault             {status, reason}: why the request couldn't be judged
    account           32 hex digits (keyed hash), with account_status; org, tier, account_country
    country, asn, asn_kind   of the peer, never its address
    sources           [{source, asked, country, subdivisions, asn, kinds, trouble}]: what was compared, where the policy names files
    owner_country     {country: percent}
    path              canonical; parts that are in no API's vocabulary are shown as "…"
    dialect, model, stream, input_tokens, budget_tokens, user (keyed hash)
    policy            digest of the policy that decided
    event             instead of an exchange: what the operator or guard did (``EVENTS``), with by, why and its own fields
    chain             keyed hash of the line before (``journal.py``)

**Exchange line**: the public format of ``guard replay``. Ids are keyed hashes. ``peer.ip`` is never written, with bodies or
without: an anonymous client's id is the keyed hash of its network already. ``peer.network`` in its place is a keyed hash of the
subnet (8 hex digits), so that a replay sees who shares one and nobody can tell which. Header values are kept only of
``HEADER_VALUES``, of the other headers the name.

No prompt, no answer, no credential, no address, no id of the operator's own. The model's name is the client's word for it
and is cut at 64 characters.
"""

from __future__ import annotations

from functools import lru_cache

from guard.origin import shown
from guard.types import Account, Exchange, Headers, JSONObject, Peer, Receipt, Usage

EVENTS = frozenset(
    {
        *(
            "start",
            "stop",
            "reload",
            "reload_failed",
            "loosened",
            "mode",
            "grant",
            "revoke",
            "forgive",
            "feedback",
            "block",
            "erase",
        ),
        *("read", "denied", "stage_error", "store", "suppressed"),
    }
)
MAX_TEXT = 300
MAX_MODEL = 64
MAX_ITEMS = 16
HEADER_VALUES = frozenset(
    {"user-agent", "content-type", "accept", "accept-encoding", "anthropic-version", "anthropic-beta", "openai-beta"}
)
CREDENTIAL_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
# Path parts that say which API was meant and nothing about who asked; any other part might be a secret or a name.
# fmt: off
PATH_WORDS = frozenset({
    "v1", "v1beta", "v2", "api", "openai", "anthropic", "chat", "completions", "messages", "responses", "embeddings",
    "models", "batches", "files", "images", "audio", "moderations", "assistants", "threads", "runs", "count_tokens",
    "rerank", "score", "generate", "generate_stream", "complete", "realtime", "fine_tuning", "jobs", "engines",
    "deployments", "uploads", "speech", "transcriptions", "translations", "generations", "edits", "tokenize",
    "detokenize", "invocations", "health", "conversations", "compact", "input_tokens", "cachedcontents", "v1alpha", "v1beta1", "{id}",
    "{model}:generatecontent", "{model}:streamgeneratecontent", "{model}:counttokens", "{model}:embedcontent",
    "{model}:batchembedcontents",
})
# fmt: on


def audit_line(receipt: Receipt, digest: str, words: frozenset[str] = PATH_WORDS) -> JSONObject:
    """The audit's fields of one decided exchange; ``digest`` is the policy's, ``words`` are the path parts to show."""
    decision, exchange = receipt.decision, receipt.exchange
    account, features = exchange.account, exchange.features
    line: JSONObject = {
        "v": 1,
        "at": receipt.at,
        "reference": decision.reference,
        "action": decision.action,
        "enforced": decision.enforced,
        "status": decision.status,
        "rule": decision.rule,
        "reasons": decision.reasons[:MAX_ITEMS],
        "score": round(decision.score, 4),
        "band": decision.band,
        "account": account.key,
        "account_status": account.status,
        "path": shown_path(exchange.path[:MAX_TEXT], words),
        "dialect": features.dialect,
        "model": features.model[:MAX_MODEL],
        "stream": features.stream,
        "input_tokens": features.input_tokens,
        "policy": digest,
    }
    if decision.cluster is not None:
        line["cluster"] = decision.cluster
    if decision.evidence:
        line["evidence"] = [
            {"signal": item.signal, "group": item.group, "nats": item.nats, "reason": item.reason[:MAX_TEXT]}
            for item in decision.evidence[:MAX_ITEMS]
        ]
    if decision.shadow:
        line["shadow"] = decision.shadow[:MAX_ITEMS]
    if decision.quotas:
        line["quotas"] = [
            {
                "limit": quota.limit,
                "unit": quota.unit,
                "amount": quota.amount,
                "window_s": quota.window_s,
                "remaining": quota.remaining,
                "reset_s": quota.reset_s,
            }
            for quota in decision.quotas[:MAX_ITEMS]
        ]
    if decision.grant:
        line["grant"] = True
    if not decision.told:
        line["told"] = False
    if decision.retry_after_s:
        line["retry_after_s"] = decision.retry_after_s
    if decision.delay_s:
        line["delay_s"] = round(decision.delay_s, 3)
    if decision.reductions:
        line["reductions"] = dict(decision.reductions[:MAX_ITEMS])
    if decision.public:
        line["public"] = decision.public[:MAX_TEXT]
    if decision.private:
        line["private"] = decision.private[:MAX_TEXT]
    if exchange.fault is not None:
        line["fault"] = {"status": exchange.fault.status, "reason": exchange.fault.reason}
    if account.org:
        line["org"] = account.org
    if account.tier is not None:
        line["tier"] = account.tier[:MAX_MODEL]
    if account.country is not None:
        line["account_country"] = account.country[:MAX_MODEL]
    if account.owners:
        line["owner_country"] = dict(account.owners[:MAX_ITEMS])
    if features.budget_tokens is not None:
        line["budget_tokens"] = features.budget_tokens
    if features.user:
        line["user"] = features.user
    line.update(peer_fields(exchange.peer))
    return line


def request_line(
    exchange: Exchange, at: float, content: JSONObject, headers: Headers, words: frozenset[str], *, network: int = 0
) -> JSONObject:
    """An exchange line without its response. ``content`` is ``{"features": …}`` or ``{"body": …}``; ``network`` the keyed
    hash of the peer's subnet (32 bits; 0: unknown)."""
    request: JSONObject = {"method": "POST", "path": shown_path(exchange.path[:MAX_TEXT], words)}
    if headers:
        request["headers"] = [_shown_header(name, value) for name, value in headers]
    line: JSONObject = {"at": at, "account": account_fields(exchange.account)}
    peer = peer_fields(exchange.peer)
    if exchange.peer.ja4:
        peer["ja4"] = exchange.peer.ja4
    if network:
        peer["network"] = f"{network:08x}"
    if peer:
        line["peer"] = peer
    request |= content
    line["request"] = request
    return line


def with_response(line: bytes, usage: Usage | None) -> bytes:
    """An exchange line with what the app answered; as it is where the app was not asked, did not answer, or is still at it."""
    if usage is None or not usage.forwarded or usage.status == 0:
        return line
    more = b',"prefix":"%b"' % usage.prefix.encode() if usage.prefix else b""
    if usage.signatures:
        more += b',"signatures":["%b"]' % '","'.join(usage.signatures).encode()
    counts = (line[:-1], usage.status, usage.input_tokens, usage.output_tokens, more)
    return b'%b,"response":{"status":%d,"input_tokens":%d,"output_tokens":%d%b}}' % counts


def account_fields(account: Account) -> JSONObject:
    """An account in the exchange log's words, ids as keyed hashes."""
    fields: JSONObject = {"id": account.key}
    stated = account.created is not None or account.tier is not None or account.verified is not None
    if not (stated or account.country or account.payment or account.signup or account.org or account.owners):
        return fields  # nothing is known but the credential: by far the most
    for name in ("created", "tier", "verified", "country"):
        if (value := getattr(account, name)) is not None:
            fields[name] = value
    if account.owners:
        fields["owner_country"] = dict(account.owners)
    for name in ("payment", "signup", "org"):
        if value := getattr(account, name):
            fields[name] = value
    return fields


def peer_fields(peer: Peer) -> JSONObject:
    """What is known of where a request came from, without the address."""
    fields: JSONObject = {}
    if peer.country != "unknown":
        fields["country"] = peer.country
    if peer.asn is not None:
        fields["asn"] = peer.asn
    if peer.asn_kind != "unknown":
        fields["asn_kind"] = peer.asn_kind
    if peer.origin is not None and peer.origin.said:
        fields["sources"] = [shown(said) for said in peer.origin.said]
    return fields


@lru_cache(512)
def shown_path(path: str, words: frozenset[str] = PATH_WORDS) -> str:
    """A path without what might name somebody: ``/v1/chat/jane`` → ``/v1/chat/…``."""
    return "/".join([part if not part or part in words else "…" for part in path.split("/", 12)])


def _shown_header(name: bytes, value: bytes) -> list[str]:
    word = name.decode("latin-1").lower()
    known = word in HEADER_VALUES or word.startswith("x-stainless-")
    return [word, value.decode("latin-1")[:MAX_TEXT] if known and word not in CREDENTIAL_HEADERS else ""]

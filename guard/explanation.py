"""Audit line → sentences that a person can read, forward to a customer's support, and act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from guard.types import JSONObject

_DONE = {
    "allow": "allowed",
    "tag": "allowed and tagged",
    "delay": "delayed",
    "limit": "limited (429)",
    "degrade": "answered in reduced quality",
    "challenge": "asked to verify itself (403)",
    "refuse": "refused",
}


_JOINT = {
    "ceiling": "what accounts without standing may take together of what this exchange shares with theirs (a ceiling)",
    "pool": "what all accounts without standing may take together (the pool)",
}


def explain(record: JSONObject) -> str:
    """The lines of an explanation of one exchange's audit line, joined by newlines. Unknown or missing fields are skipped."""
    return "\n".join(_lines(record))


def when(at: float) -> str:
    """Seconds since 1970 → ``2026-11-22 16:03:11 UTC``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves no fraction worth reading: ``90 s``, ``15 min``, ``2 h``, ``7 d``."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (seconds >= length and seconds % length == 0):
            return f"{seconds / length:.4g} {unit}"
    return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"


def _lines(record: JSONObject) -> Iterator[str]:
    action = record.get("action", "allow")
    done = _DONE.get(action, str(action))
    if action == "allow" or record.get("enforced"):
        yield f"{when(record.get('at', 0.0))}: this exchange was {done}."
    else:
        yield f"{when(record.get('at', 0.0))}: this exchange would have been {done}; nothing was done to it (mode observe or off)."
    fault = record.get("fault")
    if fault:
        yield f"Why: the request could not be judged ({fault.get('reason')}, status {fault.get('status')})."
    elif record.get("rule"):
        yield f"Why: the rule {record['rule']!r} holds{_because(record)}."
    elif action == "limit":
        limit, *unit = map(str, record.get("reasons") or ("?",))
        if not unit and limit in {"ceiling", "pool"}:
            yield f"Why: {_JOINT[limit]} is used up; the account's own limits have room."
        else:
            yield f"Why: the limit {limit!r} has no room left{f' ({unit[0]})' if unit else ''}."
    elif record.get("reasons"):
        yield f"Why: {', '.join(map(str, record['reasons']))}."
    if record.get("private"):
        yield f"Detail: {record['private']}"
    for quota in record.get("quotas", ()):
        name, amount, left = quota.get("limit"), _amount(quota.get("amount")), _amount(quota.get("remaining"))
        if quota.get("unit") == "concurrent":
            yield f"Limit {name}: {amount} at the same time, {left} free."
        else:
            yield (
                f"Limit {name}: {amount} {quota.get('unit')} in {duration(float(quota.get('window_s') or 0))}, {left} left, "
                f"all of it again in {duration(float(quota.get('reset_s') or 0))}."
            )
    yield f"Score {float(record.get('score') or 0):.2f} (band {record.get('band', 'low')}){_cluster(record)}."
    yield from _evidence(record.get("evidence", ()))
    for rule, would in record.get("shadow", ()):
        yield f"In shadow: {rule!r} would have said {would}."
    if record.get("grant"):
        yield "A grant held."
    yield from _region(record)
    account = record.get("account", "")
    yield (
        f"Account {account or '(none)'} ({record.get('account_status', 'unknown')}), {record.get('dialect') or 'no dialect'}, "
        f"model {record.get('model') or '(none)'}, path {record.get('path', '')}."
    )
    if record.get("public"):
        yield (
            f"The client was told: {record['public']}"
            if record.get("enforced")
            else f"It would be told: {record['public']}"
        )
    if account and action != "allow" and not fault and (record.get("rule") or record.get("evidence")):
        yield f"If this is a mistake: guard forgive {account}    or for good: guard grant {account} --why …"
    if record.get("cluster"):
        cluster = record["cluster"]
        yield f"All of the cluster: guard clusters {cluster}    if all of it is a mistake: guard forgive cluster:{cluster}"


def _evidence(items: Sequence[JSONObject]) -> Iterator[str]:
    """The evidence, kind by kind, the heaviest kind first; where a kind has several signals, their sum before them."""
    kinds: dict[str, list[JSONObject]] = {}
    for item in items:
        kinds.setdefault(str(item.get("group")), []).append(item)
    sums = {kind: sum(float(item.get("nats") or 0) for item in found) for kind, found in kinds.items()}
    for kind in sorted(kinds, key=lambda name: (-sums[name], name)):
        if len(kinds[kind]) > 1:
            yield f"Evidence of {kind}, {len(kinds[kind])} signals, {sums[kind]:+.2f} nats:"
        for item in kinds[kind]:
            yield f"Evidence: {item.get('signal')} ({kind}) {float(item.get('nats') or 0):+.2f} nats: {item.get('reason')}"


def _region(record: JSONObject) -> Iterator[str]:
    """What was compared: each source's word on where it came from, then what the operator states of the account."""
    told = [_source(said) for said in record.get("sources", ()) if isinstance(said, dict)]
    if not told and record.get("country"):
        told = [_source({"source": "header", **record})]
    countries = {
        said["country"] for said in record.get("sources", ()) if isinstance(said, dict) and said.get("country")
    }
    if record.get("account_country"):
        told.append(f"account {record['account_country']}")
    owners = record.get("owner_country")
    if isinstance(owners, dict) and owners:
        told.append(f"owned from {', '.join(f'{country} {_amount(share)} %' for country, share in owners.items())}")
    if told:
        yield f"Where from: {'; '.join(told)}."
    if len(countries) > 1:
        yield "The sources differ: to hold something back one that says so is enough, to allow it all must."


def _source(said: JSONObject) -> str:
    facts = [said.get("country"), *said.get("subdivisions", ())]
    facts += [f"AS{said['asn']}"] if said.get("asn") else []
    facts += said.get("kinds") or ([said["asn_kind"]] if said.get("asn_kind") else [])
    silent = "not in any" if said.get("source") == "lists" else "unknown"
    known = " ".join(str(fact) for fact in facts if fact) or ("" if said.get("trouble") else silent)
    return " ".join(
        filter(None, (str(said.get("source")), known, f"({said['trouble']})" if said.get("trouble") else ""))
    )


def _because(record: JSONObject) -> str:
    reasons = [str(reason) for reason in record.get("reasons", ()) if reason != record.get("rule")]
    return f" because of {', '.join(reasons)}" if reasons else ""


def _cluster(record: JSONObject) -> str:
    return f", cluster {record['cluster']}" if record.get("cluster") else ""


def _amount(value: Any) -> str:
    return f"{float(value or 0):,.10g}"

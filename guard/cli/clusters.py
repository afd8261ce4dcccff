"""Accounts held to be one operator's: a line for each cluster, or everything about one.

The dossier keeps facts (counts, times, volumes) apart from what is inferred from them (each piece of evidence with its weight in
nats and its reason). Accounts are named by guard's keyed hashes. --right and --wrong keep what you think of the verdict in
the state directory, without content, for `guard calibrate`; they change nothing by themselves: a wrong verdict is taken back by
`guard forgive cluster:NAME`. Exit 1: there is no cluster.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from guard.cli._operator import add_channel, add_why, ask, show
from guard.explanation import when
from guard.types import JSONObject

SUMMARY = "accounts held to be one operator's, and why"
_NAMED = 12
_FACTS = (
    ("linked", "accounts linked to it"),
    ("members", "of them with two exchanges or more that carried its traits"),
    ("standing", "of them with standing"),
    ("own_life", "of them with a life of their own: contained only where an exchange carries the traits"),
    ("bystanders", "accounts that showed its traits first and are left alone"),
    ("traits", "traits that are nearly all its own"),
    ("exchanges_of_its_accounts", "exchanges of its accounts since each was first seen"),
    ("exchanges", "exchanges held to be its own since it was found"),
    ("answered", "of them answered by the app"),
    ("input_tokens", "tokens in, of what was answered"),
    ("output_tokens", "tokens out"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="a cluster: its whole dossier")
    said = parser.add_mutually_exclusive_group()
    said.add_argument("--right", dest="right", action="store_const", const=True, help="keep: the verdict is right")
    said.add_argument("--wrong", dest="right", action="store_const", const=False, help="keep: the verdict is wrong")
    add_why(parser)
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    if options.right is not None:
        return _feedback(options)
    answer = ask(options, "clusters", name=options.name)
    lines = _dossier(answer) if options.name else _list(answer)
    show(options, answer, "\n".join(lines))
    return 0 if options.name or answer.get("clusters") else 1


def _feedback(options: argparse.Namespace) -> int:
    if not options.name:
        from guard.errors import AdminError  # noqa: PLC0415

        raise AdminError("which cluster is judged? guard clusters NAME --right or --wrong")
    answer = ask(options, "feedback", name=options.name, right=options.right, why=options.why)
    word = (
        "right"
        if answer.get("right")
        else f"wrong; to take the verdict back: guard forgive cluster:{answer.get('name')}"
    )
    show(options, answer, f"{answer.get('name')}: kept as {word}")
    return 0


def _list(answer: JSONObject) -> Iterator[str]:
    found = answer.get("clusters") or []
    if not found:
        yield "no clusters"
    for one in found:
        yield (
            f"{one['name']}  {one['band']} ({one['score']:.2f})  {one['linked']} accounts, {one['exchanges']} exchanges, "
            f"{one['answered']} answered  since {when(one['since'])}, last {when(one['last_at'])}"
        )
    if int(answer.get("count") or 0) > len(found):
        yield f"and {answer['count'] - len(found)} more"
    for one in answer.get("pardons") or []:
        yield f"taken back: {one['name']}, {one['accounts']} accounts, {when(one['at'])} ({', '.join(one['kinds']) or 'no evidence'})"


def _dossier(answer: JSONObject) -> Iterator[str]:
    facts, inference = answer["facts"], answer["inference"]
    yield f"{answer['name']}: {answer['band']}"
    if answer.get("merged"):
        yield f"It has taken over: {', '.join(answer['merged'])}"
    yield ""
    yield "Facts"
    yield f"  found {when(facts['since'])}, last seen {when(facts['last_at'])}"
    if facts.get("first_account_at"):
        yield f"  its first account was first seen {when(facts['first_account_at'])}"
    yield from (f"  {facts.get(name, 0):>12,}  {what}" for name, what in _FACTS)
    carried = facts.get("carried") or {}
    if carried:
        yield f"  traits carried, by kind: {', '.join(f'{kind} {count:,}' for kind, count in carried.items())}"
    yield ""
    yield f"Inference: {inference['nats']:+.2f} nats in all, score {inference['score']:.2f}"
    for kind, nats in inference["kinds"].items():
        yield f"  {kind} {nats:+.2f} nats"
        for one in inference["evidence"]:
            if one["kind"] == kind:
                yield f"    {one['signal']} {one['nats']:+.2f}: {one['reason']}"
    yield ""
    accounts = answer.get("accounts") or []
    yield _heading(int(facts["linked"]))
    for one in accounts[:_NAMED]:
        own = ", has a life of its own" if one["own_life"] else ""
        yield f"  {one['account']}  {one['exchanges']} exchanges, {one['carried']} with its traits, since {when(one['first_at'])}{own}"
    yield ""
    yield f"If this is a mistake: guard forgive cluster:{answer['name']}    or only one account: guard forgive ACCOUNT"


def _heading(linked: int) -> str:
    more = f" ({_NAMED} of {linked}; --json names more)" if linked > _NAMED else ""
    return f"Accounts, the earliest first{more}"

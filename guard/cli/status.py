"""How a running guard is: its health in plain words, mode, policy and counts. Exit 1: it is not healthy."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from guard.cli._operator import add_channel, ask, paint, plain, show
from guard.explanation import duration, when
from guard.types import JSONObject

SUMMARY = "how a running guard is"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_channel(parser)


def run(options: argparse.Namespace) -> int:
    answer = ask(options, "status")
    healthy = answer.get("health") == "ok"
    if options.json:
        show(options, answer, "")
    else:
        print(paint(f"guard is {plain(str(answer.get('health')))}", "green" if healthy else "red"))
        for line in _lines(answer):
            print(plain(line))
    return 0 if healthy else 1


def _lines(answer: JSONObject) -> Iterator[str]:
    yield from (f"  because {sentence}" for sentence in answer.get("because", ()))
    yield from (f"  warning: {sentence}" for sentence in answer.get("warnings", ()))
    until = float(answer.get("mode_until") or 0)
    override = f", until {when(until)}" if until else ""
    own = answer.get("policy_mode")
    differs = f" (the policy says {own}{override})" if own and own != answer.get("mode") else ""
    yield f"mode      {answer.get('mode')}{differs}"
    stale = ", stale" if answer.get("stale_policy") else ""
    yield f"policy    {answer.get('policy')} {answer.get('digest', '')}{stale}"
    yield f"up        {duration(float(answer.get('uptime_s') or 0))}"
    yield f"exchanges {_counts(answer.get('exchanges'))}"
    yield f"accounts  {answer.get('accounts', 0)} ({_counts(answer.get('bands'))})"
    yield from _recognition(answer.get("recognition") or {}, float(answer.get("uptime_s") or 0))
    yield from _store(answer.get("store") or {})
    for file in answer.get("region") or ():
        age = f", {file['age_days']:.0f} days old" if file.get("age_days") is not None else ""
        yield f"region    {file.get('file')}: {' and '.join(file.get('for', ()))}, {file.get('state')}{age}"
    yield f"words     {answer.get('grants', 0)} grants, {answer.get('blocks', 0)} blocks"
    audit = answer.get("audit") or {}
    yield f"audit     {audit.get('file') or 'none'}: {audit.get('written', 0)} lines, {audit.get('left_out', 0)} left out"


def _store(found: JSONObject) -> Iterator[str]:
    if not found:
        return
    fleet = found.get("fleet") or {}
    leads = "this one leads" if fleet.get("leads") else f"{fleet.get('leader') or 'nobody'} leads"
    workers = f" and {fleet['workers']} workers" if fleet.get("workers") else ""
    others = f", {found.get('replicas', 1)} replicas{workers}; {leads}" if fleet else ""
    failed = f"; failed calls: {_counts(found.get('errors'))}" if found.get("errors") else ""
    yield f"store     {found.get('address', '')} {found.get('state')}{others}{failed}"


def _recognition(found: JSONObject, uptime_s: float) -> Iterator[str]:
    if not found:
        return
    numbers = (
        f"{found.get('families', 0)} families, {found.get('groups', 0)} groups weighed, {found.get('traits', 0)} traits"
    )
    yield f"clusters  {_counts(found.get('clusters'))} ({numbers})"
    if found.get("learning"):
        yield f"learning  {(found.get('ceilings') or {}).get('learning') or 'ceilings and the pool are not enforced yet'}"
    busy = f"{float(found.get('busy_s') or 0) / max(uptime_s, 1.0):.1%} of a core, every {float(found.get('period_s') or 0):.3g} s"
    behind = f", {found['lengthened']} rounds put off" if found.get("lengthened") else ""
    lost = f", {found['lost']} exchanges never looked at" if found.get("lost") else ""
    yield f"looking   {busy}, {found.get('waiting', 0)} exchanges wait{behind}{lost}"


def _counts(counts: Any) -> str:
    told = ", ".join(f"{count} {name}" for name, count in (counts or {}).items() if count)
    return told or "none"

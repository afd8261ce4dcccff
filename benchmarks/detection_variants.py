"""Scenarios of our own: the shared ones with other campaigns and other honest people, to see whether recognition generalises.

A variant names a shared scenario and what differs from it. Nothing of the shared files stands here; they are read when the
benchmark runs, and the variant is written as a file of its own for ``population.py``.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Where the evaluation and its corpora lie in a checkout of the whole project; a clone of this repository alone has none."""

_ALL_FACTS = ["created", "tier", "verified", "country", "payment", "signup", "org"]
_PEOPLE = ["chatbot_arena_users", "oasst_prompters"]
_HOMES = {"network": "residential", "client": "diverse", "scheduler": "random"}
_NO_INJECTION = {"injected": None}
_FREE = {
    "sources": ["glaive_toolcall_en", "gpteacher_codegen", "gpteacher_roleplay", "gpteacher_toolformer"],
    "accounts": 200,
    "exchanges": 14000,
    **_HOMES,
    **_NO_INJECTION,
}
_OLD = {"age_days": [200, 900], "verified": 0.9}
_YOUNG = {"age_days": [0, 20], "verified": 0.1}
_STATED = {"account_facts": _ALL_FACTS}


class Variant(NamedTuple):
    """``base``: a shared scenario. ``campaign`` changes each campaign, ``top`` the scenario, ``benign`` each group of a kind
    (``None`` as a value removes the key); ``size`` multiplies the honest populations. ``second``: one more campaign."""

    base: str
    what: str
    campaign: Mapping[str, Any] = {}
    top: Mapping[str, Any] = {}
    benign: Mapping[str, Mapping[str, Any]] = {}
    size: float = 1.0
    second: Mapping[str, Any] | None = None


VARIANTS: Mapping[str, Variant] = {
    # how the queue hands out work
    "unequal": Variant("hydra", "shares as unequal as a person's", {"scheduler": "random", "spread": 1.0}),
    "sticky": Variant(
        "injected",
        "a conversation stays with its account, as a relay's does",
        {"scheduler": "sticky", "shape": "turns", "spread": 1.0},
    ),
    "hop": Variant("hydra", "conversations hop, from a cloud", {"scheduler": "hop", "shape": "turns"}),
    "clocked": Variant("hydra", "the rhythm and bursts of a real client", {"clock": "real"}),
    "metronome": Variant("injected", "one exchange every so many seconds", {"jitter": 0.0, "spread": 0.05}),
    "poisson": Variant("injected", "no pacing at all", {"jitter": 2.0, "spread": 0.8}),
    "office": Variant("injected", "works by day only", {"hours": "day", "spread": 0.8}),
    "burst": Variant("hydra", "all of it within two and a half hours", {"begin_day": 2.0, "end_day": 2.1}),
    "late": Variant("injected", "begins on the fourth day", {"begin_day": 3.0}),
    # what kind of accounts
    "aged": Variant(
        "injected",
        "bought accounts: old, half of them verified",
        {"age_days": [30, 300], "verified": 0.5},
        {"account_facts": _ALL_FACTS},
    ),
    "daily": Variant("hydra", "every account is replaced after a day", {"pool_days": 1}),
    "stolen": Variant("hydra", "a third of the accounts are honest people's", {"stolen": 0.33}),
    "few": Variant("hydra", "twenty accounts", {"accounts": 20, "exchanges": 4000}),
    "many": Variant("hydra", "a thousand accounts, 5 exchanges a day each", {"accounts": 1000, "exchanges": 26000}),
    "many_homes": Variant(
        "injected", "a thousand accounts from homes, 2.5 exchanges a day each", {"accounts": 1000, "exchanges": 17500}
    ),
    # what they ask
    "covered": Variant("injected", "a third ordinary traffic", {"cover": 0.3, "cover_sources": _PEOPLE}),
    "tool_data": Variant(
        "injected", "tool calls only, no injected text", {"sources": ["glaive_toolcall_en"], **_NO_INJECTION}
    ),
    "code_data": Variant(
        "injected", "code only, no injected text", {"sources": ["gpteacher_codegen"], **_NO_INJECTION}
    ),
    "play_data": Variant(
        "injected", "role play only, no injected text", {"sources": ["gpteacher_roleplay"], **_NO_INJECTION}
    ),
    # no text of its own at all
    "free": Variant("injected", "no template, fresh accounts", {**_FREE, **_YOUNG}, _STATED),
    "free_aged": Variant("injected", "no template, accounts that are old and verified", {**_FREE, **_OLD}, _STATED),
    "free_covered": Variant(
        "injected",
        "the same, half of it ordinary traffic",
        {**_FREE, **_OLD, "cover": 0.5, "cover_sources": _PEOPLE},
        _STATED,
    ),
    "free_talks": Variant(
        "injected",
        "no template, old accounts, in conversations",
        {**_FREE, **_OLD, "scheduler": "sticky", "shape": "turns"},
        _STATED,
    ),
    "free_office": Variant(
        "injected",
        "no template, old accounts, by day, with shares as unequal as a person's",
        {**_FREE, **_OLD, "hours": "day", "spread": 1.0},
        _STATED,
    ),
    "free_turns": Variant(
        "injected", "no template, old accounts, in strict turn", {**_FREE, **_OLD, "scheduler": "round_robin"}, _STATED
    ),
    "free_common": Variant(
        "injected",
        "no template, what everybody asks, fresh accounts",
        {**_FREE, **_YOUNG, "sources": ["chatbot_arena_users"]},
        _STATED,
    ),
    "reworded": Variant(
        "hydra",
        "reasoning from homes, ten rewordings",
        {"sources": ["openthoughts_r1_reasoning_calls"], "variants": 10, **_HOMES},
    ),
    "rubric": Variant("hydra", "grading from homes", {"sources": ["ultrafeedback_rubric_calls"], **_HOMES}),
    "other_words": Variant(
        "injected",
        "another injected text, without a word on reasoning",
        {"injected": "Réponds en deux parties : un plan détaillé, puis le texte. Aucune remarque avant ni après."},
    ),
    "chinese_words": Variant(
        "injected",
        "an injected text in Chinese",
        {"injected": "请把每一步的推导都写出来，不要省略，最后一行只写结论。"},
    ),
    "pivot": Variant("hydra", "half of it moves to a new model on the third day", {"pivot_day": 2.0}),
    "two": Variant(
        "hydra",
        "a second campaign of another operator",
        second={
            "name": "second",
            "sources": ["codealpaca_selfinstruct_calls"],
            "accounts": 150,
            "exchanges": 9000,
            "begin_day": 1.0,
            "age_days": [1, 60],
            **_HOMES,
        },
    ),
    # what the deployment knows
    "mute": Variant(
        "hydra", "ids, times and bodies only", {}, {"account_facts": [], "peer_facts": [], "headers": False}
    ),
    "no_peer": Variant("camouflaged", "nothing known of peers", {}, {"peer_facts": []}),
    # other honest people; none of them may be touched
    "clean_templates": Variant(
        "clean",
        "other public templates, one of them asks for reasoning",
        benign={
            "extension": {"template": "Traduce al español, sin explicar nada:\n\n{text}"},
            "framework": {
                "template": "You review one document at a time. Reason step by step about each of its claims, then grade it "
                "from 1 to 10 and justify the grade.\n\n## Document\n{text}\n\n## Reasoning and grade"
            },
        },
    ),
    "clean_double": Variant("clean", "twice as many of everybody", size=2.0),
    "clean_mute": Variant(
        "clean", "ids, times and bodies only", {}, {"account_facts": [], "peer_facts": [], "headers": False}
    ),
    "clean_busy": Variant(
        "clean",
        "tools and courses that grow large",
        benign={
            "viral": {"accounts": 500, "per_day": 8},
            "course": {"accounts": 400},
            "extension": {"accounts": 500, "per_day": 5},
            "framework": {"accounts": 250, "per_day": 15},
            "campus": {"accounts": 400},
        },
    ),
    "dense": Variant("hydra", "twice as many of everybody beside the same campaign", size=2.0),
}


def shared_scenario(name: str) -> Path:
    """The file of a shared scenario, whether it exists or not."""
    return SHARED / "eval" / "scenarios" / f"{name}.toml"


def spec_of(name: str) -> dict[str, Any]:
    """A shared scenario or a variant. Raises ``KeyError`` for a name that is neither."""
    if name not in VARIANTS:
        path = shared_scenario(name)
        if not path.is_file():
            raise KeyError(name)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    return varied(name, spec_of(VARIANTS[name].base), VARIANTS[name])


def varied(name: str, base: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """``base`` with the variant's changes."""
    spec = {**deepcopy(dict(base)), **variant.top, "name": name}
    for kind, groups in spec.get("benign", {}).items():
        for group in groups if isinstance(groups, list) else [groups]:
            _change(group, variant.benign.get(kind, {}))
            for key in ("accounts", "owners"):
                if key in group:
                    group[key] = math.ceil(group[key] * variant.size)
    for group in spec.get("campaign", []):
        _change(group, variant.campaign)
    if variant.second is not None:
        spec.setdefault("campaign", []).append(dict(variant.second))
    return spec


def reduced(spec: Mapping[str, Any], days: float, share: float) -> dict[str, Any]:
    """A smaller scenario: fewer days at the same rates, and only ``share`` of every population."""
    small = {**deepcopy(dict(spec)), "days": days}
    part = days / spec["days"]
    for groups in small.get("benign", {}).values():
        for group in groups if isinstance(groups, list) else [groups]:
            for key in ("accounts", "owners"):
                if key in group:
                    group[key] = max(1, math.ceil(group[key] * share))
            if "exchanges" in group:
                group["exchanges"] = math.ceil(group["exchanges"] * part)
    for group in small.get("campaign", []):
        group["accounts"] = max(2, math.ceil(group["accounts"] * share))
        group["exchanges"] = math.ceil(group["exchanges"] * part * share)
    return small


def _change(group: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            group.pop(key, None)
        else:
            group[key] = value


def toml_of(spec: Mapping[str, Any]) -> str:
    """The scenario as TOML; the standard library only reads it."""
    lines = [f"{key} = {_value(value)}" for key, value in spec.items() if key not in ("benign", "campaign")]
    tables = [
        (f"benign.{kind}", group)
        for kind, groups in spec.get("benign", {}).items()
        for group in (groups if isinstance(groups, list) else [groups])
    ]
    tables += [("campaign", group) for group in spec.get("campaign", [])]
    for name, group in tables:
        lines += ["", f"[[{name}]]", *(f"{key} = {_value(value)}" for key, value in group.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return repr(value)

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.problem import ABNORMAL_USAGE, BLANK, QUOTA_EXCEEDED, problem, rate_limit_fields, refusal_headers
from guard.types import Decision, Evidence, Quota

MINUTE = Quota("free", "requests", 20, 60, 0, 12.2)
DAY = Quota("free", "requests", 500, 86_400, 33.9, 40_000)
TOKENS = Quota("spend", "tokens", 200_000, 86_400, 0.4, 9.0)
SLOTS = Quota("slots", "concurrent", 4, 0, 1, 0)
COST = Quota("money", "cost", 2.5, 86_400, 0.1, 5)
LIMITED = Decision(
    "limit", True, 429, "G-123", 0.73, "suspect", reasons=("free", "limit_requests"), public="Try later.", private="inside", retry_after_s=13,
    quotas=(MINUTE, DAY, TOKENS, SLOTS, COST),
)  # fmt: skip
SUSPECTED = replace(
    LIMITED,
    rule="suspected",
    reasons=("suspected",),
    evidence=(Evidence("even_load", "coordination", 2.5, "even load"),),
)


def parse_list(field: str) -> list[tuple[str, dict[str, Any]]]:
    """A strict parser for what RFC 9651 (4.2) allows of these fields: a list of strings with integer or string parameters."""
    string = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
    value = rf"(?:-?\d{{1,15}}|{string})"
    member = rf"{string}(?:; *[a-z*][a-z0-9_\-.*]*={value})*"
    assert re.fullmatch(rf"{member}(?:[ \t]*,[ \t]*{member})*", field), field

    def bare(item: str) -> Any:
        return re.sub(r"\\(.)", r"\1", item[1:-1]) if item.startswith('"') else int(item)

    return [
        (
            bare(found.group(1)),
            {key: bare(item) for key, item in re.findall(rf"; *([a-z*][a-z0-9_\-.*]*)=({value})", found.group(2))},
        )
        for found in re.finditer(rf"({string})((?:; *[a-z*][a-z0-9_\-.*]*={value})*)", field)
    ]


def test_the_parser_agrees_with_the_suite_of_the_working_group(shared: Path) -> None:
    """Of the structured-field vectors for strings and integers the parser above takes the good and no bad one."""

    tried = 0
    for name in ("string", "string-generated", "number"):
        for vector in json.loads((shared / "suites" / "structured-fields" / f"{name}.json").read_text()):
            if vector["header_type"] != "item" or len(vector["raw"]) != 1 or vector.get("can_fail"):
                continue
            raw = vector["raw"][0]
            field = f'"x";p={raw}'
            try:
                parsed = parse_list(field)
            except AssertionError:
                strict = not vector.get("must_fail") and raw == raw.strip() and "." not in raw and not raw.endswith("?")
                assert not strict, raw
                continue
            assert not vector.get("must_fail"), raw
            assert parsed == [("x", {"p": vector["expected"][0]})]
            tried += 1

    assert tried > 100


def test_a_limit_that_ran_out() -> None:
    """The problem type of the IETF draft, with the names of the limits that ran out as the fields call them."""

    assert problem(LIMITED) == {
        "type": QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "Try later.",
        "reference": "G-123",
        "violated-policies": ["free:requests/60"],
    }
    assert problem(replace(LIMITED, reasons=()))["violated-policies"] == ["free:requests/60", "spend"]
    assert problem(replace(LIMITED, reasons=("money", "limit_cost")))["violated-policies"] == ["money"]
    assert problem(replace(LIMITED, reasons=("free",)))["violated-policies"] == ["free:requests/60"]


@pytest.mark.parametrize("name", ["ceiling", "pool"])
def test_a_joint_limit_is_a_quota_of_that_name(name: str) -> None:
    """What accounts without standing take together is used up: no suspicion, no figures, and no other limit is named."""
    joint = replace(LIMITED, reasons=(name,), quotas=())

    details = problem(joint)

    assert (details["type"], details["violated-policies"]) == (QUOTA_EXCEEDED, [name])
    assert problem(replace(joint, quotas=LIMITED.quotas))["violated-policies"] == [name]
    names = [header for header, _ in refusal_headers(joint)]
    assert b"retry-after" in names
    assert b"ratelimit" not in names


def test_a_limit_of_the_policy_may_be_called_pool() -> None:
    """Then its windows are named as those of any limit."""
    pool = tuple(quota._replace(limit="pool") for quota in LIMITED.quotas if quota.limit == "free")

    assert problem(replace(LIMITED, reasons=("pool", "limit_requests"), quotas=pool))["violated-policies"] == [
        "pool:requests/60"
    ]


def test_suspicion_names_no_limit() -> None:
    """Where a rule acted on suspicion the type says so, and neither limits nor reasons are told."""

    details = problem(SUSPECTED)

    assert details["type"] == ABNORMAL_USAGE
    assert set(details) == {"type", "title", "status", "detail", "reference"}
    assert problem(replace(SUSPECTED, action="refuse", status=403))["type"] == ABNORMAL_USAGE


@pytest.mark.parametrize(
    ("status", "title"),
    [(400, "Bad Request"), (403, "Forbidden"), (503, "Service Unavailable"), (599, "Request refused")],
)
def test_every_other_refusal(status: int, title: str) -> None:
    """A request that can't be judged, a country, an operator's block: nothing but the status."""

    details = problem(Decision("refuse", True, status, "G-1", 0.0, "low", rule="embargo", public="No."))

    assert (details["type"], details["title"], details["status"]) == (BLANK, title, status)


@pytest.mark.parametrize(("wait_s", "told"), [(0, b"1"), (-5, b"1"), (1, b"1"), (13, b"13"), (60, b"60")])
def test_retry_after_is_one_to_sixty(wait_s: int, told: bytes) -> None:
    """SDKs sleep as long as they are told, so never beyond a minute and never not at all."""

    assert dict(refusal_headers(replace(LIMITED, retry_after_s=wait_s)))[b"retry-after"] == told


@pytest.mark.parametrize("wait_s", [61, 86_400, 10**9])
def test_longer_waits_are_told_as_about_a_minute(wait_s: int) -> None:
    """Never above 60 s and not below 54, and not all the same: clients refused together don't come back together (SECURITY 90)."""
    refused = [replace(LIMITED, retry_after_s=wait_s, reference=f"{n:012x}") for n in range(100)]
    told = {int(dict(refusal_headers(decision))[b"retry-after"]) for decision in refused}

    assert told == set(range(54, 61))


def test_retry_after_rounds_up() -> None:
    """A wait of 12.2 seconds is 13: after it the next request passes."""

    assert dict(refusal_headers(replace(LIMITED, retry_after_s=12.2)))[b"retry-after"] == b"13"  # type: ignore[arg-type]


def test_headers_of_a_limit() -> None:
    """Content type, reference, wait, and the RateLimit fields in a form that a strict parser reads (SECURITY 92)."""

    headers = dict(refusal_headers(LIMITED))

    assert headers[b"content-type"] == b"application/json"
    assert headers[b"x-guard-reference"] == b"G-123"
    assert parse_list(headers[b"ratelimit-policy"].decode()) == [
        ("free:requests/60", {"q": 20, "w": 60}),
        ("free:requests/86400", {"q": 500, "w": 86_400}),
        ("spend", {"q": 200_000, "qu": "tokens", "w": 86_400}),
        ("slots", {"q": 4, "qu": "concurrent-requests"}),
    ]
    assert parse_list(headers[b"ratelimit"].decode()) == [
        ("free:requests/60", {"r": 0, "t": 13}),
        ("free:requests/86400", {"r": 33}),
        ("spend", {"r": 0, "t": 9}),
        ("slots", {"r": 1, "t": 0}),
    ]
    assert all(state.get("t", 0) <= 13 for _, state in parse_list(headers[b"ratelimit"].decode()))


def test_an_answer_tells_every_window() -> None:
    """Outside a refusal the long windows are told too."""

    fields = dict(rate_limit_fields((MINUTE, DAY)))

    assert [state["t"] for _, state in parse_list(fields[b"ratelimit"].decode())] == [13, 40_000]


def test_suspicion_does_not_show_in_headers() -> None:
    """No RateLimit field, no score, band, rule or signal beside a refusal on suspicion (SECURITY 72)."""

    headers = dict(refusal_headers(SUSPECTED))

    assert set(headers) == {b"content-type", b"cache-control", b"x-guard-reference", b"retry-after"}
    assert not re.search(rb"0\.73|suspect|even_load|inside", b"".join(headers.values()))


def test_a_refusal_without_a_wait_names_none() -> None:
    """A 403 is not to be tried again."""

    assert b"retry-after" not in dict(refusal_headers(replace(SUSPECTED, status=403, action="refuse", retry_after_s=0)))


def test_without_quotas_there_are_no_fields() -> None:
    """Nothing to tell, or only money: no empty field (an empty list is no field)."""

    assert rate_limit_fields(()) == ()
    assert rate_limit_fields((COST,)) == ()


@given(
    st.lists(
        st.builds(
            Quota,
            st.text(max_size=20),
            st.sampled_from(["requests", "tokens", "concurrent"]),
            st.floats(-1e30, 1e30),
            st.floats(0, 1e30),
            st.floats(-1e30, 1e30),
            st.floats(-1e30, 1e30),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_fields_are_well_formed_for_any_quota(quotas: list[Quota]) -> None:
    """Whatever the ids and amounts, a strict parser reads both fields, and both name the same policies."""

    fields = dict(rate_limit_fields(tuple(quotas)))
    policies, states = (parse_list(fields[name].decode()) for name in (b"ratelimit-policy", b"ratelimit"))

    assert [name for name, _ in policies] == [name for name, _ in states]
    assert all(policy["q"] >= 0 and policy.get("w", 1) >= 1 for _, policy in policies)
    assert all(state["r"] >= 0 and state["t"] >= 0 for _, state in states)

"""The replay: past traffic decided by the log's own clock, and two policies side by side.

``scenarios/`` is a test by itself: a folder with ``exchanges.jsonl`` and ``expect.json`` is one case, and dropping another in
adds one. ``expect.json`` holds ``why`` (the behaviour), ``policy`` (a preset's name or the text of a policy) and
``decisions``: for each line the fields that its decision must have.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from guard.config import load
from guard.errors import ExchangeLogError
from guard.fingerprint import dump
from guard.replay import Comparison, ExchangeLog, Outcome, Replay, Tally
from guard.replay.drive import Job

SCENARIOS = Path(__file__).parent / "scenarios"
CASES = sorted(path.name for path in SCENARIOS.iterdir() if path.is_dir())
SMALL = """
version = 1
mode = "enforce"
[[limit]]
id = "small"
per = ["account"]
requests = "2/minute"
"""


def lines(case: str) -> list[bytes]:
    return (SCENARIOS / case / "exchanges.jsonl").read_bytes().splitlines()


def expected(case: str) -> dict[str, Any]:
    expect: dict[str, Any] = json.loads((SCENARIOS / case / "expect.json").read_text())
    return expect


def replayed(log: Iterable[bytes], policy: str = "standard", **options: Any) -> Iterator[Outcome]:
    """The outcomes of a log under a policy (a preset's name or a policy's text)."""
    reader, replay = ExchangeLog(), Replay(load(policy), **options)
    for line in log:
        yield replay.decide(reader.read(line))


def decisions(log: Iterable[bytes], policy: str = "standard", **options: Any) -> list[bytes]:
    """The decision log of a log."""
    return [outcome.line() for outcome in replayed(log, policy, **options)]


def exchange(at: float = 1_790_000_000.0, **changes: Any) -> dict[str, Any]:
    """A sound line, changed: ``account={…}`` replaces the account, ``path=…`` and ``body=…`` parts of the request."""
    request = {
        "method": "POST",
        "path": changes.pop("path", "/v1/chat/completions"),
        "body": changes.pop("body", {"model": "m", "messages": [{"role": "user", "content": "hello"}]}),
    }
    return {"at": at, "account": {"id": "a"}, "request": request, **changes}


def rendered(*records: Any) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


@pytest.mark.parametrize("case", CASES)
def test_each_scenario_is_decided_as_expected(case: str) -> None:
    """Every line of the case gets the decision that its ``expect.json`` names."""
    expect = expected(case)
    found = [orjson.loads(line) for line in decisions(lines(case), expect["policy"])]
    assert len(found) == len(expect["decisions"])
    for n, (decision, wanted) in enumerate(zip(found, expect["decisions"], strict=True)):
        assert {key: decision.get(key) for key in wanted} == wanted, f"line {n}: {expect['why']}"


@pytest.mark.parametrize("case", CASES)
def test_decision_lines_have_the_public_format(case: str) -> None:
    """Each line has its number, the log's own name of the account, a null cluster, a probability, an action and reasons."""
    for n, line in enumerate(decisions(lines(case), expected(case)["policy"])):
        decision = orjson.loads(line)
        assert list(decision) == ["n", "account", "cluster", "score", "action", "reasons"]
        assert decision["n"] == n
        assert decision["account"] == orjson.loads(lines(case)[n])["account"]["id"]
        assert decision["cluster"] is None
        assert 0 <= decision["score"] <= 1
        assert bool(decision["reasons"]) == (decision["action"] != "allow")


@pytest.mark.parametrize("case", CASES)
def test_features_decide_as_bodies_do(case: str) -> None:
    """A log that keeps features in the place of bodies gives the same decisions, byte for byte."""
    policy = expected(case)["policy"]
    reader, replay = ExchangeLog(), Replay(load(policy))
    bodies, featured = [], []
    for line in lines(case):
        logged = reader.read(line)
        receipt_features = features_of(replay, logged)
        record = orjson.loads(line)
        if receipt_features is not None:
            del record["request"]["body"]
            record["request"]["features"] = receipt_features
        bodies.append(line)
        featured.append(orjson.dumps(record))
    assert featured != bodies or case in {"not_protected", "flat_price"}
    assert decisions(featured, policy) == decisions(bodies, policy)


@pytest.mark.slow
def test_features_of_real_prompts_decide_as_their_bodies_do(shared: Path) -> None:
    """The same on a generated population with real prompts and clients."""
    population = [
        sys.executable,
        str(shared / "eval" / "population.py"),
        str(shared / "eval" / "scenarios" / "hydra.toml"),
    ]
    corpora = ["--corpora", str(shared / "data" / "benign"), "--corpora", str(shared / "data" / "extraction")]
    made = subprocess.run([*population, *corpora, "--limit", "3000"], capture_output=True, check=True, timeout=100)
    log = made.stdout.splitlines()
    reader, replay = ExchangeLog(), Replay(load(SMALL))
    featured = []
    for line in log:
        record = orjson.loads(line)
        record["request"]["features"] = features_of(replay, reader.read(line))
        del record["request"]["body"]
        featured.append(orjson.dumps(record))
    assert len(log) == 3000
    assert b"features" in featured[0]
    found = decisions(log, SMALL)
    assert decisions(featured, SMALL) == found
    assert any(b'"limit"' in line for line in found)


def features_of(replay: Replay, logged: Any) -> dict[str, Any] | None:
    """What guard would record of the line; None where it can't be judged or isn't protected."""
    found = replay.exchange(logged)
    if found is None or found.fault is not None or not found.features.version:
        return None
    return dump(found.features)


@pytest.mark.parametrize("case", CASES)
def test_labels_and_unknown_fields_are_never_read(case: str) -> None:
    """Ground truth, right, garbled or absent, changes no byte."""
    policy = expected(case)["policy"]
    labelled = []
    for n, line in enumerate(lines(case)):
        record = orjson.loads(line)
        record["label"] = [{"segment": "x", "campaign": "c", "extraction": True}, "garbled", None, 7][n % 4]
        record["note"] = {"at": 0}
        labelled.append(orjson.dumps(record))
    assert decisions(labelled, policy) == decisions(lines(case), policy)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "not a JSON object"),
        ("text", "not a JSON object"),
        (7, "not a JSON object"),
        ({}, "account is missing"),
        (exchange(at="now"), "at must be a number, not text"),  # type: ignore[arg-type]
        (exchange(at=True), "at must be a number, not true or false"),
        (exchange(at=-1.0), "seconds since 1970"),
        (exchange(at=1_790_000_000_000.0), "not milliseconds"),
        ({key: value for key, value in exchange().items() if key != "at"}, "at is missing"),
        (exchange(account={}), "account.id is missing"),
        (exchange(account={"id": ""}), "account.id is empty"),
        (exchange(account={"id": 7}), "account.id must be text, not a number"),
        (exchange(account="a"), "account must be an object, not text"),
        (exchange(account={"id": "a", "created": "2026"}), "account.created must be a number"),
        (exchange(account={"id": "a", "created": 1_790_000_000_000}), "not milliseconds"),
        (exchange(account={"id": "a", "verified": "yes"}), "account.verified must be true or false"),
        (exchange(account={"id": "a", "org": ["x"]}), "account.org must be text, not a list"),
        (exchange(peer=[]), "peer must be an object"),
        (exchange(peer={"asn": "AS1"}), "peer.asn must be a whole number"),
        (exchange(peer={"asn": True}), "peer.asn must be a whole number"),
        (exchange(request=None), "request is missing"),
        (exchange(request={"method": "POST", "path": "/v1/messages"}), "request.body is missing"),
        (exchange(request={"method": "POST", "body": {}}), "request.path is missing"),
        (exchange(request={"path": "/", "body": {}}), "request.method is missing"),
        (exchange(request={"method": "POST", "path": "/v1/messages", "body": {}, "headers": {"a": 1}}), "headers"),
        (exchange(request={"method": "POST", "path": "/v1/messages", "body": {}, "headers": [["a"]]}), "headers"),
        (exchange(request={"method": "POST", "path": "/v1/messages", "features": {}}), "features can't be read"),
        (exchange(request={"method": "POST", "path": "/v1/messages", "features": {"version": 99}}), "version 99"),
        (exchange(request={"method": "POST", "path": "/v1/messages", "features": []}), "features can't be read"),
        (exchange(response=[]), "response must be an object"),
        (exchange(response={"status": "200"}), "response.status must be a whole number"),
        (exchange(response={"status": 200, "output_tokens": -1}), "response.output_tokens must be a whole number"),
    ],
)
def test_a_broken_line_is_named(record: Any, message: str) -> None:
    """What can't be replayed says which line and which field it was, and never what stood there."""
    log = [*rendered(exchange()), *rendered(record)]
    with pytest.raises(ExchangeLogError, match=message) as error:
        decisions(log)
    assert error.value.n == 1


@pytest.mark.parametrize("line", [b"", b"{", b"\xff\xfe", b"null", b'{"at": 1790000000', b"{}{}"])
def test_what_is_no_json_is_named(line: bytes) -> None:
    """So is a line that isn't JSON at all, or more than one object."""
    with pytest.raises(ExchangeLogError) as error:
        decisions([line])
    assert error.value.n == 0


def test_null_facts_are_facts_nobody_has() -> None:
    """An exporter that writes null for what it doesn't know is understood."""
    null = exchange(account={"id": "a", "created": None, "tier": None, "verified": None}, peer=None, response=None)
    assert decisions(rendered(null)) == decisions(rendered(exchange()))


def test_a_body_that_strict_json_does_not_know_is_refused_not_the_log() -> None:
    """A lone surrogate or NaN inside the body is that request's fault: it is refused as it would be live."""
    odd = exchange(body={"model": "m", "messages": [{"role": "user", "content": "\ud800"}]})
    nan = exchange(body={"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": float("nan")})
    found = [orjson.loads(line) for line in decisions(rendered(odd, nan, exchange()))]
    assert [decision["action"] for decision in found] == ["refuse", "refuse", "allow"]
    assert found[0]["reasons"] == ["not_json"]
    with pytest.raises(ExchangeLogError, match="is not JSON"):
        decisions(rendered(exchange(account={"id": "\ud800"})))


def test_the_clock_holds_for_a_second_and_breaks_beyond() -> None:
    """Lines may be up to a second out of order; the clock stands still for them. Further back is an error."""
    start = 1_790_000_000.0
    outcomes: list[float] = []
    log = rendered(exchange(start), exchange(start - 0.9), exchange(start - 1.0))
    list(replayed(log, due=outcomes.append))
    assert outcomes == [start, start, start]
    with pytest.raises(ExchangeLogError, match=r"goes back by 1.5 s|goes back by 1.500 s") as error:
        list(replayed(rendered(exchange(start), exchange(start + 5), exchange(start + 3.5))))
    assert error.value.n == 2


def test_a_broken_line_does_not_move_the_clock() -> None:
    """With broken lines skipped, one with a time far ahead doesn't make the rest of the log late."""
    reader = ExchangeLog()
    start = 1_790_000_000.0
    ahead = exchange(start + 9e8, response="broken")
    reader.read(rendered(exchange(start))[0])
    with pytest.raises(ExchangeLogError):
        reader.read(rendered(ahead)[0])
    assert reader.read(rendered(exchange(start + 1))[0]).at == start + 1
    assert reader.n == 2


def test_what_is_due_runs_before_each_decision() -> None:
    """The schedule is told the log's time before the exchange of that time is decided."""
    told: list[float] = []
    start = 1_790_000_000.0
    reader, replay = ExchangeLog(), Replay(load(SMALL), due=told.append)
    for step in range(3):
        outcome = replay.decide(reader.read(rendered(exchange(start + step))[0]))
        assert told == [start + number for number in range(step + 1)]
        assert outcome.decision.action == ("allow" if step < 2 else "limit")


def test_the_answer_of_a_contained_exchange_is_not_read() -> None:
    """Nobody asked the model, so what it is said to have answered costs nothing."""
    policy = SMALL.replace('requests = "2/minute"', 'requests = "1/minute"\ntokens = "5000/day"')
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}
    start = 1_790_000_000.0
    held = [
        exchange(start + n, body=body, response={"status": 200, "input_tokens": 9, "output_tokens": 4000})
        for n in range(3)
    ]
    later = exchange(start + 120, body=body)
    found = [orjson.loads(line)["action"] for line in decisions(rendered(*held, later), policy)]
    assert found == ["allow", "limit", "limit", "allow"]


def test_mode_as_it_stands_keeps_observing() -> None:
    """With its own mode, a policy that observes says what it would have done and holds nothing back."""
    observing = SMALL.replace("enforce", "observe")
    log = [line for line in rendered(*[exchange(1_790_000_000.0 + n) for n in range(4)])]
    as_if = list(replayed(log, observing))
    assert [outcome.decision.action for outcome in as_if] == ["allow", "allow", "limit", "limit"]
    assert all(outcome.decision.enforced for outcome in as_if)
    as_is = list(replayed(log, observing, enforce=False))
    assert [outcome.decision.contained for outcome in as_is] == [False] * 4
    assert as_is[-1].decision.action == "limit"


def test_accounts_change_their_facts() -> None:
    """Facts hold from the line that states them: an upgraded account leaves the free tier's limit."""
    policy = SMALL.replace('per = ["account"]', 'per = ["account"]\nwhen = { tier = "free" }')
    tiers = ["free", "free", "free", "paid", "free"]
    log = rendered(*[exchange(1_790_000_000.0 + n, account={"id": "a", "tier": tier}) for n, tier in enumerate(tiers)])
    found = [orjson.loads(line)["action"] for line in decisions(log, policy)]
    assert found == ["allow", "allow", "limit", "allow", "limit"]


def test_header_names_make_the_stack_and_values_do_not() -> None:
    """Two requests with the same names and client have one stack facet, however a record blanked the values."""

    def stack(headers: list[list[str]] | None) -> Any:
        record = exchange()
        if headers is not None:
            record["request"]["headers"] = headers
        found = Replay(load("standard")).exchange(ExchangeLog().read(rendered(record)[0]))
        assert found is not None
        assert found.fault is None
        return dict(found.features.facets).get("stack")

    full = [
        ["Accept", "*/*"],
        ["Content-Length", "99"],
        ["Connection", "keep-alive"],
        ["X-A", "1"],
        ["User-Agent", "curl/8"],
    ]
    blank = [["accept", ""], ["content-length", ""], ["connection", ""], ["x-a", ""], ["user-agent", "curl/8.9"]]
    assert stack(full) == stack(blank) is not None
    assert stack(full) != stack(full[::-1])
    assert stack(None) is None
    assert stack([]) is None


def test_deeply_nested_bodies_are_refused_as_live() -> None:
    """The bounds of the BODY phase hold in a replay too."""
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    found = orjson.loads(decisions(rendered(exchange(body={"model": "m", "messages": [], "x": deep})))[0])
    assert (found["action"], found["reasons"]) == ("refuse", ["too_deep"])


def test_the_tally_counts_by_action_tier_and_reason() -> None:
    """The summary says how many exchanges met which action, whose they were, why, and what the log didn't know."""
    tally = Tally()
    log = rendered(
        *[exchange(1_790_000_000.0 + n, account={"id": "a", "tier": "free", "country": "FR"}) for n in range(5)],
        exchange(1_790_000_006.0, account={"id": "b"}, response={"status": 200, "input_tokens": 1, "output_tokens": 1}),
        exchange(1_790_000_007.0, account={"id": "c"}, path="/elsewhere"),
    )
    for outcome in replayed(log, SMALL):
        tally.add(outcome)
    assert tally.actions() == {"allow": 4, "limit": 3}
    assert tally.touched() == 1
    text = "\n".join(tally.report())
    assert "7 exchanges of 3 accounts" in text
    assert "free" in text
    assert "FR" in text
    assert "3 (60.0 %)" in text
    assert "limit_requests" in text
    assert "1 exchanges on paths that the policy does not protect" in text
    assert "2 exchanges without a response" in text


def test_the_comparison_shows_what_would_change() -> None:
    """Both policies see the same lines; every kind of change has an example, and no account is named as the log names it."""
    log = rendered(*[exchange(1_790_000_000.0 + n, account={"id": f"name{n % 2}", "tier": "free"}) for n in range(10)])
    compared = Comparison()
    strict = SMALL
    loose = SMALL.replace("2/minute", "4/minute")
    for first, second in zip(replayed(log, strict), replayed(log, loose), strict=True):
        compared.add(first, second)
    assert compared.changed == 4
    text = "\n".join(compared.report("strict", "loose"))
    assert "from strict to loose: 4 of 10 exchanges and 2 accounts change" in text
    assert "name0" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["limit", "4", "2"] in rows
    assert ["free", "10", "0", "(0.0", "%)", "4", "(40.0", "%)", "2"] in rows
    assert [row[0] for row in rows if row[2:4] == ["limit", "allow"]] == ["4", "5", "6"]


ENGLISH, GERMAN = "How do I write to the bank about this?", "Wie kann ich das der Bank mit dem Brief sagen?"


def test_the_comparison_tells_tiers_countries_and_languages_apart() -> None:
    """A policy that is stricter with one tier shows by segment; examples come from every segment that changes, the rare one
    included, and none of them holds a word of what was asked."""
    asked = [("free", "FR", ENGLISH)] * 14 + [("free", "DE", GERMAN)] * 3 + [("paid", "FR", ENGLISH)] * 3
    log = rendered(
        *[
            exchange(
                1_790_000_000.0 + n,
                account={"id": f"name{tier}{country}", "tier": tier, "country": country},
                body={"model": "m", "messages": [{"role": "user", "content": text}]},
            )
            for n, (tier, country, text) in enumerate(asked)
        ]
    )
    strict = SMALL.replace('per = ["account"]', 'per = ["account"]\nwhen = { tier = "free" }')
    job = Job(Replay(load("standard")), Replay(load(strict)))
    job.run(log, io.BytesIO(), flush=False)
    text = "\n".join(job.comparison.report("now", "then"))
    rows = [line.split() for line in text.splitlines()]
    assert ["free", "17", "13", "(76.5", "%)", "0", "(0.0", "%)", "2"] in rows
    assert ["de", "3", "1", "(33.3", "%)", "0", "(0.0", "%)", "1"] in rows
    assert ["free", "DE", "de", "3", "1", "(33.3", "%)", "0", "(0.0", "%)", "1"] in rows
    assert not any(row[0] == "paid" for row in rows if row)
    assert "by then alone: 2; by now alone: 0; by both: 0" in text
    shown = [row for row in rows if row[2:4] == ["allow", "limit"]]
    assert [row[0] for row in shown] == ["2", "3", "4", "16"]
    assert {tuple(row[4:7]) for row in shown} == {("free", "FR", "en"), ("free", "DE", "de")}
    assert "bank" not in text.lower()


def test_the_comparison_of_a_policy_with_itself_is_empty() -> None:
    """Nothing changes, and nothing else is said."""
    compared = Comparison()
    for outcome in replayed(lines("loud_account"), SMALL):
        compared.add(outcome, outcome)
    assert list(compared.report("p", "p")) == ["from p to p: 0 of 9 exchanges and 0 accounts change"]


LADDER = """
version = 1
mode = "enforce"
[protect]
routes = ["/v1/*", { path = "/generate", dialect = "json", prompt = "inputs" }]
[[rule]]
id = "slow"
when = { model = "slow" }
action = { delay = "1500 ms" }
[[rule]]
id = "prove"
when = { model = "secret" }
action = { challenge = "https://example.org/verify" }
[[rule]]
id = "less"
action = { degrade = ["budget", "reasoning", "model", "pace"], model = "small", budget_tokens = 64, tokens_per_s = 20 }
"""


@pytest.mark.parametrize("policy", [LADDER, LADDER.replace('mode = "enforce"', 'mode = "observe"')])
def test_delays_and_reductions_stand_in_the_decision(policy: str) -> None:
    """In the words of the format, also for a policy that only observes; what can't be reduced is limited, as it is live."""
    asked = [{"model": model, "messages": [{"role": "user", "content": "hello"}]} for model in ("slow", "secret", "m")]
    log = rendered(*(exchange(body=body) for body in asked), exchange(path="/generate", body={"inputs": "hello"}))
    found = [orjson.loads(line) for line in decisions(log, policy)]
    assert [line["action"] for line in found] == ["delay", "challenge", "degrade", "limit"]
    assert found[0]["delay_s"] == 1.5
    assert found[2]["reductions"] == {"budget": 64, "reasoning": True, "model": "small", "pace": 20.0}
    assert found[3]["reasons"] == ["less", "irreducible"]
    assert not [line for line in found if "reductions" in line and line["action"] != "degrade"]


def driven(log: list[bytes], *, ahead: bool, skip_broken: bool = True) -> tuple[bytes, str, int, int]:
    """A log under two policies: the decisions, how far the policies differ, and how many lines were broken and decided."""
    job = Job(Replay(load(SMALL)), Replay(load("standard")), skip_broken=skip_broken)
    out = io.BytesIO()
    try:
        job.run(log, out, flush=not ahead)
    except ExchangeLogError as error:
        out.write(str(error).encode())
    return out.getvalue(), repr(vars(job.comparison)), job.tally.broken, job.tally.exchanges


def test_lines_read_ahead_are_decided_as_one_by_one() -> None:
    """The same decisions, comparison and counts: with broken lines, bodies that can't be read, unprotected paths, and
    conversations that go on within what is read ahead and beyond it."""
    log = []
    for n in range(300):
        account, turn = {"id": f"account {n % 7}"}, n // 7
        said = [
            {"role": ("user", "assistant")[i % 2], "content": f"line {i} of talk {n % 7}"} for i in range(2 * turn + 1)
        ]
        body: Any = {"model": "m", "messages": said}
        if n % 31 == 5:
            body = {"model": "m", "messages": [{"role": "user", "content": "\ud800 alone"}]}
        if n % 37 == 5:
            body = ["no", "object"]
        changes = {"path": "/nowhere"} if n % 41 == 5 else {}
        record = exchange(1_790_000_000.0 + n, body=body, account=account, **changes)
        if n % 43 == 5:
            record["account"] = {"id": "a", "created": "long ago"}
        if n % 47 == 5:
            del record["request"]["method"]
        log += rendered(record)
    one_by_one, ahead = driven(log, ahead=False), driven(log, ahead=True)

    assert ahead == one_by_one
    assert one_by_one[0].count(b"\n") == 300
    assert one_by_one[2] > 10
    assert driven(log, ahead=True, skip_broken=False) == driven(log, ahead=False, skip_broken=False)

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard import recorder as recorder_module
from guard.addresses import subnet
from guard.errors import BadExchange
from guard.fingerprint import dump
from guard.hashing import HashKey
from guard.recorder import LINES_PER_ACCOUNT, MAX_HELD, MAX_HELD_S, AuditLog, Entry, ExchangeRecorder, audit_files, find
from guard.settings import Audit, Policy, Protect, Record
from guard.types import Account, Evidence, Features, Peer, Quota, Route, Usage
from tests.desk import ACCOUNT, ANSWERED, KEY, NOW, full_receipt, receipt

FEATURES = {"version": 1, "dialect": "openai_chat", "model": "gpt-5"}
NASTY = 'a\r\n{"event":"grant"}\x1b[31m\x00\x7f\x85\u2028\u2029\ud800%0a"\\'


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def audit_at(folder: Path, **options: Any) -> AuditLog:
    return AuditLog(Audit(file=str(folder / "audit.jsonl"), **options), KEY)


def drive(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


# -- audit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["tag", "delay", "limit", "degrade", "challenge", "refuse"])
def test_everything_but_allow_has_a_line(tmp_path: Path, action: str) -> None:
    """Whatever was judged, carried out or not, stands in the audit."""
    audit = audit_at(tmp_path, sample_allowed=0.0)
    audit.exchange(receipt(action, enforced=False))
    audit.flush(NOW, force=True)
    (line,) = lines(tmp_path / "audit.jsonl")
    assert (line["action"], line["enforced"], line["reference"]) == (action, False, "0123456789ab")


def test_an_allowed_exchange_has_a_line_where_there_is_something_to_tell(tmp_path: Path) -> None:
    """Shadow rules, grants and faults are told even where the exchange was allowed; plain ones are not."""
    audit = audit_at(tmp_path, sample_allowed=0.0)
    audit.exchange(receipt("allow", "plain"))
    audit.exchange(receipt("allow", "shadow", shadow=(("r", "refuse"),)))
    audit.exchange(receipt("allow", "grant", grant="account:x"))
    audit.exchange(receipt("allow", "fault", fault=BadExchange(400, "not_json", "no JSON")))
    audit.flush(NOW, force=True)
    assert [line["reference"] for line in lines(tmp_path / "audit.jsonl")] == ["shadow", "grant", "fault"]


def test_the_sample_depends_on_nothing_but_the_reference(tmp_path: Path) -> None:
    """Two runs sample the same exchanges, about as many as asked for."""
    chosen = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        audit = audit_at(tmp_path / run, sample_allowed=0.1)
        for number in range(2000):
            audit.exchange(receipt("allow", f"{number:012x}", account=Account(f"{number:032x}")))
        audit.flush(NOW, force=True)
        chosen.append([line["reference"] for line in lines(tmp_path / run / "audit.jsonl")])
    assert chosen[0] == chosen[1]
    assert 140 < len(chosen[0]) < 260


def test_the_fields_of_a_line_are_an_interface(tmp_path: Path) -> None:
    """Names and values as ``lines.py`` documents them; a change here breaks somebody's alerts."""
    audit = audit_at(tmp_path)
    audit.use(Policy(digest="feedfacefeedface"))
    audit.exchange(full_receipt())
    audit.flush(NOW, force=True)
    (line,) = lines(tmp_path / "audit.jsonl")
    assert line == {
        "v": 1,
        "at": NOW,
        "reference": "0123456789ab",
        "action": "limit",
        "enforced": True,
        "status": 429,
        "rule": "free",
        "reasons": ["free", "limit_requests"],
        "score": 0.25,
        "band": "watch",
        "account": ACCOUNT,
        "account_status": "accepted",
        "path": "/v1/chat/completions",
        "dialect": "openai_chat",
        "model": "gpt-5",
        "stream": True,
        "input_tokens": 100,
        "policy": "feedfacefeedface",
        "cluster": "c-1",
        "evidence": [
            {"signal": "reasoning_elicitation", "group": "content", "nats": 2.125, "reason": "asks for every step"}
        ],
        "shadow": [["suspected", "degrade"]],
        "quotas": [
            {"limit": "free", "unit": "requests", "amount": 20, "window_s": 60, "remaining": 0.0, "reset_s": 12.0}
        ],
        "retry_after_s": 12,
        "public": "Too many requests.",
        "private": "limit free: no room for requests",
        "tier": "free",
        "budget_tokens": 512,
        "country": "DE",
        "asn": 64496,
        "asn_kind": "isp",
        "chain": "start",
    }


def test_no_text_field_can_forge_a_line(tmp_path: Path) -> None:
    """CR, LF, ANSI, NUL, U+2028 and lone surrogates in every text field leave one ASCII line an event (SECURITY 141)."""
    audit = audit_at(tmp_path)
    nasty = receipt(
        "refuse",
        "ref1",
        account=Account(ACCOUNT, tier=NASTY, country=NASTY, org=NASTY),
        peer=Peer(NASTY, NASTY, NASTY, 1, NASTY, NASTY),
        path="/v1/" + NASTY,
        features=Features(1, NASTY, NASTY, False, (), (), 1, None, user=NASTY),
        fault=BadExchange(400, NASTY, NASTY),
        rule=NASTY,
        reasons=(NASTY,),
        band=NASTY,
        public=NASTY,
        private=NASTY,
        cluster=NASTY,
        evidence=(Evidence(NASTY, NASTY, 1.0, NASTY),),
        shadow=((NASTY, NASTY),),
        quotas=(Quota(NASTY, "requests", 1, 1, 0, 0),),
        reductions=((NASTY, NASTY),),
    )
    audit.exchange(nasty)
    audit.event("grant", NOW, by=NASTY, why=NASTY, subject=NASTY)
    audit.stage_error(NASTY, NASTY, NASTY, NOW)
    audit.flush(NOW, force=True)
    for name, count in (("audit.jsonl", 1), ("audit.operator.jsonl", 2)):
        raw = (tmp_path / name).read_bytes()
        assert raw.isascii()
        assert len(raw.decode().splitlines()) == count
        assert all(character.isprintable() for character in raw.decode().replace("\n", ""))
        assert all(json.loads(line)["v"] == 1 for line in raw.splitlines())


def test_canaries_in_every_input_reach_no_file(tmp_path: Path) -> None:
    """Neither address nor path nor header value nor id of a client is ever written (SECURITY 142)."""
    audit = audit_at(tmp_path, sample_allowed=1.0)
    exchanges = ExchangeRecorder(Record(file=str(tmp_path / "exchanges.jsonl")), dump)
    seen = receipt(
        "refuse",
        path="/v1/chat/CANARY-url/completions",
        peer=Peer("CANARY-address", "CANARY-network", "DE", 1, "isp"),
        grant="account:CANARY-id",
    )
    audit.exchange(seen)
    number = exchanges.begin(seen, None, ((b"authorization", b"CANARY-key"), (b"x-own", b"CANARY")))
    settle(number, ANSWERED)
    audit.close(NOW)
    exchanges.close(NOW)
    names = sorted(os.listdir(tmp_path))
    assert names == ["audit.jsonl", "exchanges.jsonl"]
    for name in names:
        text = (tmp_path / name).read_text()
        assert "CANARY" not in text
        assert len(text) > 200


def test_a_flood_from_one_account_leaves_room_for_others(tmp_path: Path) -> None:
    """10,000 refusals of one account write 30 lines a minute and one that sums up; others are still written (SECURITY 122)."""
    audit = audit_at(tmp_path)
    for number in range(10_000):
        audit.exchange(receipt(reference=f"{number:012x}", at=NOW + number / 1000))
    audit.exchange(receipt(reference="honest", account=Account("cd" * 16)))
    audit.flush(NOW + 61.0, force=True)
    references = [line["reference"] for line in lines(tmp_path / "audit.jsonl")]
    assert len(references) == LINES_PER_ACCOUNT + 1
    assert references[-1] == "honest"
    (told,) = lines(tmp_path / "audit.operator.jsonl")
    assert (told["event"], told["lines"], told["accounts"]) == ("suppressed", 10_000 - LINES_PER_ACCOUNT, 1)
    audit.exchange(receipt(reference="later", at=NOW + 61.0))
    audit.flush(NOW + 61.0, force=True)
    assert lines(tmp_path / "audit.jsonl")[-1]["reference"] == "later"


def test_made_up_credentials_share_one_allowance(tmp_path: Path) -> None:
    """A million random keys from one network write no more than one account does."""
    audit = audit_at(tmp_path)
    for number in range(1000):
        audit.exchange(receipt(account=Account(f"{number:032x}", status="provisional", shard=7)))
    audit.flush(NOW, force=True)
    assert len(lines(tmp_path / "audit.jsonl")) == LINES_PER_ACCOUNT


def test_the_count_of_accounts_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the table accounts share one allowance: memory stays as it is."""
    monkeypatch.setattr(recorder_module, "MAX_COUNTED_ACCOUNTS", 10)
    audit = audit_at(tmp_path)
    for number in range(1000):
        audit.exchange(receipt(account=Account(f"{number:032x}")))
    audit.flush(NOW, force=True)
    assert len(lines(tmp_path / "audit.jsonl")) == 10 + LINES_PER_ACCOUNT


def test_operator_events_survive_any_flood_of_exchanges(tmp_path: Path) -> None:
    """Exchanges turn their own file over; the operator's trail stands in another."""
    audit = audit_at(tmp_path, max_bytes=4096, keep=1)
    audit.event("block", NOW, by="uid 0 pid 1", why="abuse", subject="account:x")
    for number in range(500):
        audit.exchange(receipt(account=Account(f"{number:032x}")))
        audit.flush(NOW, force=True)
    events = lines(tmp_path / "audit.operator.jsonl")
    assert [event["event"] for event in events] == ["block"]


def test_an_unknown_event_is_a_mistake_in_the_code(tmp_path: Path) -> None:
    """Event names are an interface."""
    with pytest.raises(ValueError, match="surprise"):
        audit_at(tmp_path).event("surprise", NOW)


def test_without_a_file_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no state dir: every call is a no-op, and ``path`` says so."""
    monkeypatch.chdir(tmp_path)
    audit = AuditLog(Audit(), KEY)
    audit.exchange(receipt())
    audit.event("start", NOW)
    audit.close(NOW)
    assert audit.path == ""
    assert os.listdir(tmp_path) == []


def test_the_state_dir_holds_the_audit_where_no_file_is_named(tmp_path: Path) -> None:
    """``[state] dir`` alone is enough."""
    audit = AuditLog(Audit(), KEY, state_dir=str(tmp_path / "state"))
    audit.exchange(receipt())
    audit.close(NOW)
    assert len(lines(tmp_path / "state" / "audit.jsonl")) == 1


def test_a_broken_disk_never_breaks_a_request(tmp_path: Path) -> None:
    """Exchanges go on being noted; the trouble is told in words and counted."""
    (tmp_path / "file").touch()
    audit = AuditLog(Audit(file=str(tmp_path / "file" / "audit.jsonl")), KEY)
    for number in range(6000):
        audit.exchange(receipt(account=Account(f"{number:032x}")))
    audit.flush(NOW)
    assert audit.trouble
    assert audit.failures == 1
    assert audit.lost > 1000


def test_a_reference_is_found_in_waiting_and_turned_lines(tmp_path: Path) -> None:
    """``find`` sees what was noted a moment ago, and what has been turned away; an unknown reference gives ``{}``."""
    audit = audit_at(tmp_path, max_bytes=4096, keep=8)
    for number in range(40):
        audit.exchange(receipt(reference=f"ref{number:03}", account=Account(f"{number:032x}")))
        audit.flush(NOW, force=True)
    audit.exchange(receipt(reference="just-now"))
    assert drive(audit.find("just-now", NOW))["reference"] == "just-now"
    assert len(audit_files(audit.path)) > 2
    assert drive(audit.find("ref000", NOW))["account"] == f"{0:032x}"
    assert drive(audit.find("ref", NOW)) == {}
    assert drive(find("ref000", [])) == {}


def test_the_whole_audit_can_be_verified(tmp_path: Path) -> None:
    """Both files are followed; a line taken out of either is a break, under this key and under no other."""
    audit = audit_at(tmp_path)
    for number in range(5):
        audit.exchange(receipt(reference=f"r{number}"))
        audit.event("read", NOW, verb="status")
    assert drive(audit.verify(NOW)) == (10, (), 0)
    path = tmp_path / "audit.operator.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:2] + kept[3:]))
    assert drive(audit.verify(NOW)).breaks == ((str(path), 3),)


def test_routes_of_the_policy_may_be_shown(tmp_path: Path) -> None:
    """A path that the operator wrote down is no secret; what follows it may be."""
    audit = audit_at(tmp_path)
    audit.use(Policy(protect=Protect(routes=(Route("/acme/*", "json"),))))
    audit.exchange(receipt(path="/acme/jane"))
    audit.flush(NOW, force=True)
    assert lines(tmp_path / "audit.jsonl")[0]["path"] == "/acme/…"


# -- exchange log --------------------------------------------------------------------------------------------------


def exchange_log(folder: Path, *, bodies: bool = False) -> ExchangeRecorder:
    return ExchangeRecorder(Record(file=str(folder / "exchanges.jsonl"), bodies=bodies), lambda features: FEATURES)


def settle(entry: Entry | None, usage: Usage) -> None:
    assert entry is not None
    entry.usage = usage


def test_a_line_has_the_public_format(tmp_path: Path) -> None:
    """Required fields are there, facts that nobody knows are absent, ids are keyed hashes, no label and no address."""
    log = exchange_log(tmp_path)
    account = Account(ACCOUNT, created=NOW - 5, verified=False, payment="ee" * 16, org="")
    number = log.begin(receipt("allow", account=account))
    settle(number, ANSWERED)
    log.flush(NOW, force=True)
    (line,) = lines(tmp_path / "exchanges.jsonl")
    assert line == {
        "at": NOW,
        "account": {"id": ACCOUNT, "created": NOW - 5, "verified": False, "payment": "ee" * 16},
        "peer": {"country": "DE", "asn": 64496, "asn_kind": "isp"},
        "request": {"method": "POST", "path": "/v1/chat/completions", "features": FEATURES},
        "response": {"status": 200, "input_tokens": 120, "output_tokens": 30},
    }


@pytest.mark.parametrize("body", [None, {"messages": []}])
def test_a_subnet_is_a_keyed_hash_and_no_address_is_written(tmp_path: Path, body: dict[str, Any] | None) -> None:
    """Two clients of one subnet have the same, under the key only; who has no address has none."""
    log = ExchangeRecorder(Record(file=str(tmp_path / "exchanges.jsonl"), bodies=body is not None), dump, KEY)
    for network in ("192.0.2.7", "192.0.2.99", "198.51.100.1", "2001:db8:1::", "unknown"):
        one = receipt("allow")
        peer = replace(one.exchange.peer, address=network, network=network)
        settle(log.begin(replace(one, exchange=replace(one.exchange, peer=peer)), body), ANSWERED)
    log.flush(NOW, force=True)
    raw = (tmp_path / "exchanges.jsonl").read_text()
    found = [line["peer"].get("network") for line in lines(tmp_path / "exchanges.jsonl")]
    assert found[0] == found[1] == f"{subnet(KEY, '192.0.2.5'):08x}"
    assert len(set(found)) == 4
    assert found[4] is None
    assert "192.0.2" not in raw
    assert "2001:" not in raw
    assert subnet(KEY, "192.0.2.5") != subnet(HashKey(b"another key"), "192.0.2.5")


def test_bodies_are_kept_only_where_the_operator_says_so(tmp_path: Path) -> None:
    """With ``bodies`` the body and the headers stand in the line, header values only of the harmless ones."""
    log = exchange_log(tmp_path, bodies=True)
    assert log.wants == "body"
    body = {"model": "m", "messages": [{"role": "user", "content": "line\nbreak"}]}
    headers = ((b"User-Agent", b"OpenAI/1"), (b"Authorization", b"Bearer CANARY"), (b"X-Own", b"CANARY"))
    log.begin(receipt("allow"), body, headers)
    log.close(NOW)
    (line,) = lines(tmp_path / "exchanges.jsonl")
    assert line["request"]["body"] == body
    assert line["request"]["headers"] == [["user-agent", "OpenAI/1"], ["authorization", ""], ["x-own", ""]]
    assert "ip" not in line["peer"]


def test_lines_are_in_the_order_of_arrival_whatever_settles_first(tmp_path: Path) -> None:
    """A long stream holds later lines back, so that ``at`` never goes back in the file."""
    log = exchange_log(tmp_path)
    first, second, third = (log.begin(receipt("allow", at=NOW + n)) for n in range(3))
    settle(third, ANSWERED)
    settle(second, ANSWERED)
    log.flush(NOW + 10, force=False)
    assert not (tmp_path / "exchanges.jsonl").exists()
    settle(first, replace(ANSWERED, output_tokens=7))
    log.flush(NOW + 12)
    written = lines(tmp_path / "exchanges.jsonl")
    assert [line["at"] for line in written] == [NOW, NOW + 1, NOW + 2]
    assert [line["response"]["output_tokens"] for line in written] == [7, 30, 30]


def test_a_stream_that_never_ends_holds_nothing_up_for_ever(tmp_path: Path) -> None:
    """After five minutes its line goes without a response; its late settlement changes nothing."""
    log = exchange_log(tmp_path)
    stuck = log.begin(receipt("allow"))
    other = log.begin(receipt("allow", at=NOW + 1))
    settle(other, ANSWERED)
    log.flush(NOW + MAX_HELD_S + 2)
    settle(stuck, ANSWERED)
    written = lines(tmp_path / "exchanges.jsonl")
    assert ["response" in line for line in written] == [False, True]
    assert log.late == 1


def test_many_lines_are_written_in_steps(tmp_path: Path) -> None:
    """A tick after a busy second lets requests come in between: no step renders and writes more than 256 lines."""
    log = exchange_log(tmp_path)
    for number in range(1000):
        settle(log.begin(receipt("allow", at=NOW + number / 1000)), ANSWERED)
    written = [len(lines(tmp_path / "exchanges.jsonl")) for _ in log.flushing(NOW + 2)]
    assert written == [256, 512, 768]
    settle(log.begin(receipt("allow", at=NOW + 3)), ANSWERED)
    log.flush(NOW + 4)
    assert len(lines(tmp_path / "exchanges.jsonl")) == 1001


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    """Exchanges that never settle cost a bounded amount of memory, and no line is lost for it."""
    log = exchange_log(tmp_path)
    for number in range(MAX_HELD + 2000):
        log.begin(receipt("allow", at=NOW + number / 1000))
        if number % 100 == 0:
            log.flush(NOW + number / 1000)
    log.flush(NOW + 100, force=False)
    assert len(lines(tmp_path / "exchanges.jsonl")) == 2000
    log.close(NOW + 100)
    assert len(lines(tmp_path / "exchanges.jsonl")) == MAX_HELD + 2000
    assert log.lost == 0


def test_no_response_where_nobody_asked_the_app(tmp_path: Path) -> None:
    """A contained exchange has no response; neither has one whose app never answered."""
    log = exchange_log(tmp_path)
    for usage in (Usage(429, 0, 0, False, True, forwarded=False), Usage(0, 0, 0, False, False)):
        settle(log.begin(receipt("limit")), usage)
    log.close(NOW)
    assert ["response" in line for line in lines(tmp_path / "exchanges.jsonl")] == [False, False]


def test_what_could_not_be_judged_is_left_out(tmp_path: Path) -> None:
    """A line without features or body would be none; it is counted instead."""
    log = exchange_log(tmp_path)
    entry = log.begin(receipt("refuse", fault=BadExchange(400, "not_json", "no JSON")))
    log.close(NOW)
    assert (entry, log.skipped) == (None, 1)
    assert not (tmp_path / "exchanges.jsonl").exists()


def test_recording_is_off_by_default(tmp_path: Path) -> None:
    """Without a file nothing is asked for and nothing is kept."""
    log = ExchangeRecorder(Record(), dump)
    assert log.wants == ""
    assert log.begin(receipt()) is None
    log.close(NOW)

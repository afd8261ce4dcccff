"""Where a request comes from: layouts of databases, addresses that say nothing, files that come, go and break, and sources that differ."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
import pytest

from guard import config, countries, geo
from guard.cli import main, status
from guard.conditions import View, predicate
from guard.errors import PolicyError
from guard.explanation import explain
from guard.geo import Facts, facts
from guard.hashing import HashKey
from guard.identity import owners, possible_owners
from guard.lines import audit_line, request_line
from guard.loosening import loosened
from guard.networks import ListError, Prefixes, reading
from guard.origin import UNKNOWN, Origin, Said, as_shown, compared, peer_from, shown
from guard.peers import Peers
from guard.pipeline import Guard
from guard.region import DAY_S, POLL_S, Regions
from guard.replay.log import ExchangeLog
from guard.replay.run import Replay
from guard.settings import Policy, Region, Trust
from guard.types import Account, Assessment, Exchange, Features, Peer
from tests import mmdb
from tests.desk import receipt

NOW = 1_800_000_000.0
DE = {"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BE"}]}
RU = {"country": {"iso_code": "RU"}}
CRIMEA = {"country": {"iso_code": "UA"}, "subdivisions": [{"iso_code": "43"}]}
BERLIN, MOSCOW, SIMFEROPOL, NOBODYS = "9.9.9.1", "5.5.5.1", "7.7.7.7", "200.1.1.1"
PLACES = {"9.9.9.0/24": DE, "5.5.5.0/24": RU, "7.7.7.0/24": CRIMEA, "2a00:1:2::/48": DE}


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A database of countries and their parts, a day old."""
    return mmdb.write(tmp_path / "city.mmdb", PLACES, built_at=NOW - DAY_S)


def policy(**region: Any) -> Policy:
    return Policy(mode="enforce", region=Region(**region))


def regions(**region: Any) -> Regions:
    return Regions(policy(**region), NOW)


def watched(stage: Regions, now: float) -> list[str]:
    return [sentence for sentence in stage.watch(now) if sentence]


def settled(stage: Regions, now: float) -> list[str]:
    """A change is seen by one look and taken up by the next."""
    return [*watched(stage, now), *watched(stage, now + POLL_S)]


# -- codes ------------------------------------------------------------------------------------------------------------


def test_there_are_as_many_countries_as_the_standard_has() -> None:
    assert len(countries.OFFICIAL) == 249


@pytest.mark.parametrize(
    ("stated", "code"),
    [("de", "DE"), (" FR ", "FR"), ("XK", "XK"), ("T1", "T1"), ("XX", ""), ("ZZ", ""), ("", ""), ("Germany", ""), ("EU", ""),
     ("UK", ""), ("A1", ""), ("1", ""), (None, ""), (276, ""), ("DE" * 99, ""), ("ДЕ", "")],
)  # fmt: skip
def test_a_country_is_one_of_the_codes_or_unknown(stated: object, code: str) -> None:
    """Official codes, those left to users, Tor's; what means "unknown" and what can't be is nothing."""
    assert countries.country(stated) == code


@pytest.mark.parametrize(
    ("stated", "within", "code"),
    [("43", "UA", "UA-43"), ("ua-43", "UA", "UA-43"), ("CA", "US", "US-CA"), ("RU-MOW", "UA", ""), ("43", "", ""),
     ("toolong", "UA", ""), (43, "UA", "")],
)  # fmt: skip
def test_a_part_belongs_to_its_country(stated: object, within: str, code: str) -> None:
    assert countries.subdivision(stated, within) == code


# -- databases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (DE, Facts("DE", ("DE-BE",))),
        ({"registered_country": {"iso_code": "SE"}}, Facts("SE")),
        ({"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "SE"}}, Facts("DE")),
        ({"country": {"iso_code": "GB"}, "subdivisions": [{"iso_code": "ENG"}, {"iso_code": "LND"}]}, Facts("GB", ("GB-ENG", "GB-LND"))),
        ({"autonomous_system_number": 64496, "autonomous_system_organization": "x"}, Facts(asn=64496)),
        ({"country": "Germany", "country_code": "DE", "asn": "AS64496"}, Facts("DE", (), 64496)),
        ({"country": "DE", "region_code": "BE", "asn": 64496}, Facts("DE", ("DE-BE",), 64496)),
        ({"country": {"iso_code": "XX"}}, Facts()),
        ({"country": {"iso_code": 276}, "subdivisions": "BE", "asn": "ASx", "traits": 5}, Facts()),
        ({"traits": {"autonomous_system_number": 7}}, Facts(asn=7)),
        ({"asn": -1}, Facts()), ({"asn": 2**40}, Facts()), ("DE", Facts()), (None, Facts()), ([], Facts()),
    ],
)  # fmt: skip
def test_a_record_is_read_in_each_of_the_common_layouts(record: object, found: Facts) -> None:
    """GeoLite2 and DB-IP, IPinfo's flat ones, and what is none of them."""
    assert facts(record) == found


@pytest.mark.parametrize("version", [4, 6])
def test_a_database_answers_for_the_addresses_in_it(tmp_path: Path, version: int) -> None:
    """Written and read back, IPv4 and IPv6; an IPv4-only one says nothing of IPv6."""
    places = {net: place for net, place in PLACES.items() if version == 6 or ":" not in net}
    path = mmdb.write(tmp_path / "city.mmdb", places, version=version)
    stage = regions(country=(str(path),))
    assert stage.origin(BERLIN).country == (frozenset({"DE"}),)
    assert stage.origin(SIMFEROPOL).subdivision == (frozenset({"UA-43"}),)
    assert stage.origin(NOBODYS).country == (frozenset({UNKNOWN}),)
    assert stage.origin("2a00:1:2::9").country == (frozenset({"DE"} if version == 6 else {UNKNOWN}),)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::1",
     "::", "fe80::1", "fc00::1", "ff02::1", "192.0.2.1", "2001:db8::1", "::9.9.9.1", UNKNOWN],
)  # fmt: skip
def test_addresses_of_nowhere_are_unknown(tmp_path: Path, address: str) -> None:
    """Private, reserved, documentation, multicast, made up: no database is believed about them, even where it has an entry."""
    path = mmdb.write(tmp_path / "all.mmdb", {"0.0.0.0/1": DE, "128.0.0.0/1": DE, "8000::/1": DE, "2000::/3": DE})
    assert regions(country=(str(path),)).origin(address).country == (frozenset({UNKNOWN}),)


@pytest.mark.parametrize(
    "address", ["2002:505:501::1", "64:ff9b::5.5.5.1", "2001:0:4136:e378:8000:63bf:fafa:fafe", "::ffff:5.5.5.1"]
)
def test_wrapped_addresses_count_only_where_that_is_said(city: Path, address: str) -> None:
    """6to4, NAT64 and Teredo wrap an IPv4 address that anybody may write; an IPv4-mapped one is its IPv4."""
    text = str(ip_address(address))
    plain = regions(country=(str(city),)).origin(text).country
    opened = regions(country=(str(city),), embedded=True).origin(text).country
    assert opened == (frozenset({"RU"}),)
    assert plain == opened if address.startswith("::ffff") else plain == (frozenset({UNKNOWN}),)


@pytest.mark.parametrize("copies", [True, False])
def test_a_database_overwritten_in_place_goes_on_answering(
    city: Path, monkeypatch: pytest.MonkeyPatch, copies: bool
) -> None:
    """``cp`` over the file cuts it off first: what is in use is a copy of its own, on disk or, without room there, in memory."""
    if not copies:
        monkeypatch.setattr(geo.tempfile, "mkstemp", _no_room)
    stage = regions(country=(str(city),))
    with city.open("r+b") as file:
        file.truncate(10)
    assert stage.origin(BERLIN).country == (frozenset({"DE"}),)


def _no_room(**_: Any) -> tuple[int, str]:
    raise OSError(28, "No space left on device")


def test_no_copy_is_left_behind(city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a good database, a broken one, or a look that is given up half-way."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(geo.tempfile, "tempdir", str(folder))
    stage = regions(country=(str(city),))
    assert stage.origin(BERLIN).country == (frozenset({"DE"}),)
    (tmp_path / "broken.mmdb").write_bytes(b"x" * 5000)
    regions(country=(str(tmp_path / "broken.mmdb"),))
    half = geo.opening(str(city))
    next(half)
    half.close()
    assert list(folder.iterdir()) == []


# -- lists ------------------------------------------------------------------------------------------------------------


def prefixes(tmp_path: Path, **lists: str) -> Prefixes:
    found = []
    for kind, text in lists.items():
        (tmp_path / kind).write_text(text)
        found.append((kind, drained(str(tmp_path / kind))))
    return Prefixes(found)


def drained(path: str) -> Any:
    steps = reading(path)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_list_names_networks_addresses_and_systems(tmp_path: Path) -> None:
    """CIDRs, host bits or not, single addresses, AS numbers, comments, both versions; an address may have several kinds."""
    known = prefixes(
        tmp_path,
        hosting="\ufeff# ours\n9.9.0.0/16 # Berlin\n\n2a00:1::/32\nAS64500\n",
        vpn="9.9.9.7/24\n5.5.5.1 ; one\r\n",
    )
    assert known.kinds(ip_address(BERLIN), ()) == ("hosting", "vpn")
    assert known.kinds(ip_address("9.9.1.1"), ()) == ("hosting",)
    assert known.kinds(ip_address(MOSCOW), ()) == ("vpn",)
    assert known.kinds(ip_address("5.5.5.2"), ()) == ()
    assert known.kinds(ip_address("5.5.5.2"), (64500,)) == ("hosting",)
    assert known.kinds(ip_address("2a00:1:ffff::1"), ()) == ("hosting",)
    assert known.kinds(ip_address("2a01::1"), ()) == ()


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "<html>503</html>", "9.9.9.0/24\n9.9.9.0/33\n", "ASx", "AS0", "1.2.3"]
)
def test_a_list_is_taken_whole_or_not_at_all(tmp_path: Path, text: str) -> None:
    """An error page or an empty file is what a failed download leaves; its words are not repeated."""
    (tmp_path / "list").write_text(text)
    with pytest.raises(ListError) as caught:
        drained(str(tmp_path / "list"))
    assert "html" not in str(caught.value)


def test_kinds_come_from_the_lists_and_what_none_names_is_unlisted(tmp_path: Path, city: Path) -> None:
    """A private address is in no list either, and stays unknown; a network's AS may put it in one."""
    (tmp_path / "tor.txt").write_text("5.5.5.1\n10.9.9.9\n")
    (tmp_path / "cloud.txt").write_text("AS64496\n")
    numbers = mmdb.write(tmp_path / "asn.mmdb", {"9.9.9.0/24": {"autonomous_system_number": 64496}})
    stage = regions(
        country=(str(city),),
        asn=(str(numbers),),
        kinds=(("tor", (str(tmp_path / "tor.txt"),)), ("hosting", (str(tmp_path / "cloud.txt"),))),
    )
    found = {
        address: stage.origin(address).asn_kind for address in (MOSCOW, BERLIN, SIMFEROPOL, "10.9.9.9", "10.0.0.1")
    }
    assert found == {
        MOSCOW: (frozenset({"tor"}),),
        BERLIN: (frozenset({"hosting"}),),
        SIMFEROPOL: (frozenset({"unlisted"}),),
        "10.9.9.9": (frozenset({"tor"}),),
        "10.0.0.1": (frozenset({UNKNOWN}),),
    }
    assert stage.origin(BERLIN).asn == (frozenset({64496}),)


# -- files that come, go and break ------------------------------------------------------------------------------------


def test_a_missing_database_says_unknown_until_it_is_there(tmp_path: Path) -> None:
    """It is seen within two looks, without a restart, and health tells both states."""
    path = tmp_path / "city.mmdb"
    stage = regions(country=(str(path),))
    assert stage.origin(BERLIN) == compared((Said("city.mmdb", ("country",), trouble="missing"),))
    assert stage.troubles(NOW) == ("region: city.mmdb is missing: country is unknown",)
    epoch = stage.epoch
    mmdb.write(path, PLACES, built_at=NOW - DAY_S)
    assert settled(stage, NOW + POLL_S) == ["city.mmdb is 1 day old"]
    assert stage.epoch > epoch
    assert stage.troubles(NOW) == ()
    assert stage.origin(BERLIN).country == (frozenset({"DE"}),)


@pytest.mark.parametrize(
    "broken", [b"", b"x" * 4000, b"\xab\xcd\xefMaxMind.com", b"<html>", mmdb.content({"9.9.9.0/24": {"city": "x"}})]
)
def test_a_broken_new_database_keeps_the_old_one_with_a_warning(city: Path, broken: bytes) -> None:
    """Empty, garbage, cut off, an error page, another kind of database: the last good one goes on, and health says so."""
    stage = regions(country=(str(city),))
    city.write_bytes(broken)
    (said,) = settled(stage, NOW + POLL_S)
    assert said.endswith("the one that is 1 day old stays in use")
    assert stage.warnings(NOW) == (f"region: {said}",)
    assert stage.troubles(NOW) == ()
    assert stage.origin(MOSCOW).country == (frozenset({"RU"}),)
    assert Regions(policy(country=(str(city),)), NOW).troubles(NOW), "a restart has no old one to keep"
    mmdb.write(city, {"9.9.9.0/24": RU}, built_at=NOW)
    assert settled(stage, NOW + 5 * POLL_S) == ["city.mmdb is 0 h old"]
    assert stage.origin(BERLIN).country == (frozenset({"RU"}),)


def test_a_database_that_goes_away_stays_in_use_until_it_is_too_old(city: Path) -> None:
    stage = regions(country=(str(city),), max_age_s=10 * DAY_S)
    city.unlink()
    assert "is missing" in settled(stage, NOW + POLL_S)[0]
    assert stage.origin(BERLIN).country == (frozenset({"DE"}),)
    assert watched(stage, NOW + 10 * DAY_S) == ["city.mmdb is 11 days old, more than 10 days: country is unknown"]
    assert stage.origin(BERLIN).country == (frozenset({UNKNOWN}),)


def test_an_old_database_is_announced_and_then_no_longer_asked(city: Path) -> None:
    """From three quarters of its age on there is a warning; a newer file ends it."""
    stage = regions(country=(str(city),), max_age_s=40 * DAY_S)
    assert stage.warnings(NOW + 28 * DAY_S) == ()
    assert "after 40 days it is no longer asked" in stage.warnings(NOW + 31 * DAY_S)[0]
    later = NOW + 40 * DAY_S
    assert watched(stage, later)
    assert stage.origin(BERLIN).said == (Said("city.mmdb", ("country",), trouble="stale"),)
    assert stage.status(later)[0]["state"] == "stale"
    mmdb.write(city, PLACES, built_at=later)
    assert settled(stage, later + POLL_S)
    assert stage.origin(BERLIN).country == (frozenset({"DE"}),)


def test_a_database_of_the_future_is_of_no_age(tmp_path: Path) -> None:
    """A clock that stands wrong must not make a database fresh for ever. In a replay, where nobody knows the hour, it is asked."""
    path = mmdb.write(tmp_path / "city.mmdb", PLACES, built_at=NOW + 30 * DAY_S)
    stage = regions(country=(str(path),))
    assert "built in the future: check the clock" in stage.troubles(NOW)[0]
    assert stage.origin(BERLIN).country == (frozenset({UNKNOWN}),)
    assert Regions(policy(country=(str(path),)), 0.0).origin(BERLIN).country == (frozenset({"DE"}),)


def test_a_list_is_as_old_as_its_file_where_that_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "tor.txt"
    path.write_text("5.5.5.1\n")
    os.utime(path, (NOW - 3 * DAY_S, NOW - 3 * DAY_S))
    kinds = (("tor", (str(path),)),)
    assert regions(kinds=kinds).origin(BERLIN).asn_kind == (frozenset({"unlisted"}),)
    stale = regions(kinds=kinds, kinds_max_age_s=2 * DAY_S)
    assert stale.origin(BERLIN).asn_kind == (frozenset({UNKNOWN}),)
    assert stale.origin(MOSCOW).asn_kind == (frozenset({UNKNOWN}),)
    assert stale.troubles(NOW) == ("region: tor.txt is 3 days old, more than 2 days: asn_kind is unknown",)


def test_a_file_named_for_what_it_does_not_say_is_no_database(city: Path) -> None:
    """A database of countries can't stand in for one of systems; the same file may serve for both where it has both."""
    assert "says nothing of asn" in regions(asn=(str(city),)).troubles(NOW)[0]
    both = mmdb.write(city.parent / "both.mmdb", {"9.9.9.0/24": {"country_code": "DE", "asn": "AS64496"}})
    stage = regions(country=(str(both),), asn=(str(both),))
    assert stage.origin(BERLIN).said == (Said("both.mmdb", ("country", "asn"), "DE", (), 64496),)
    assert len(stage.status(NOW)) == 1


def test_a_file_that_changes_while_it_is_written_is_left_alone(city: Path) -> None:
    """It must hold still for one look."""
    stage = regions(country=(str(city),))
    for n in range(1, 4):
        city.write_bytes(b"x" * n)
        assert watched(stage, NOW + n * POLL_S) == []
    assert watched(stage, NOW + 3.5 * POLL_S) == [], "no look is due"
    assert len(watched(stage, NOW + 4 * POLL_S)) == 1


def test_another_policy_keeps_the_files_that_it_names_too(city: Path) -> None:
    """A reload doesn't read a database again, and drops what it no longer names."""
    stage = regions(country=(str(city),))
    file = next(iter(stage._files.values()))
    stage.use(policy(country=(str(city),), embedded=True), NOW)
    assert next(iter(stage._files.values())) is file
    stage.use(Policy(), NOW)
    assert (stage.active, stage.status(NOW)) == (False, [])


# -- several sources --------------------------------------------------------------------------------------------------

FEATURES = Features(1, "openai_chat", "m", False, (), (), 1, None)


def holds(when: str, origin: Origin | None, action: str = "refuse", account: Account | None = None) -> bool:
    """Whether a rule of that action with that condition holds."""
    loaded = config.load(f'version = 1\n[[rule]]\nid = "r"\nwhen = {when}\naction = "{action}"\n', resolve=False)
    peer = peer_from(origin, "x", "x", hop=True) if origin is not None else Peer()
    view = View(Exchange(account or Account("0" * 32), peer, "/", FEATURES), Assessment(0.1, "low", 0.0), NOW, False)
    return predicate(loaded.rules[0].when, action == "allow")(view)


def said(*codes: str, trouble: str = "") -> Origin:
    asked: Any = ("country",)
    sources = [Said(f"s{at}", asked, code) for at, code in enumerate(codes)]
    return compared((*sources, *([Said("lost", asked, trouble=trouble)] if trouble else [])))


@pytest.mark.parametrize(
    ("origin", "barred", "open_list", "allowed"),
    [
        (said("RU"), True, True, False),
        (said("DE"), False, False, True),
        (said("DE", "DE"), False, False, True),
        (said("DE", "RU"), True, True, False),
        (said("DE", "FR"), False, False, True),
        (said("DE", "US"), False, True, False),
        (said(), False, True, False),
        (said("DE", trouble="missing"), False, True, False),
        (said("RU", trouble="stale"), True, True, False),
        (said(trouble="broken"), False, True, False),
        (None, False, True, False),
    ],
)  # fmt: skip
def test_of_several_sources_the_strictest_counts(
    origin: Origin | None, barred: bool, open_list: bool, allowed: bool
) -> None:
    """A list of what is barred, a list of what is open, and a rule that allows: none is opened by one source, or by a lost one."""
    assert holds('{ country = ["RU", "BY"] }', origin) is barred
    assert holds('{ not = { country = ["DE", "FR"] } }', origin) is open_list
    assert holds('{ country = ["DE", "FR"] }', origin, "allow") is allowed
    assert holds('{ not = { country = ["RU", "US", "unknown"] } }', origin, "allow") is allowed


def test_unknown_has_its_own_rule() -> None:
    """It holds where nobody knows and where a source can't be asked, and never merely because one of two says nothing."""
    asks = '{ country = "unknown" }'
    assert [holds(asks, said(*codes, trouble=trouble)) for codes, trouble in (((), ""), (("DE",), "stale"), (("DE",), ""))] == [
        True, True, False,
    ]  # fmt: skip
    assert holds('{ country = "XX" }', said())


def test_each_kind_of_a_network_counts_by_itself_and_all_parts_together() -> None:
    """A business's network that Tor uses is no business's; London is England."""
    both = compared((Said("lists", ("asn_kind",), kinds=("business", "tor")),))
    assert holds('{ not = { asn_kind = "business" } }', both)
    assert holds('{ asn_kind = "tor" }', both)
    london = compared((Said("city", ("country",), "GB", ("GB-ENG", "GB-LND")),))
    assert not holds('{ not = { subdivision = "GB-ENG" } }', london)
    assert holds('{ subdivision = ["GB-LND", "UA-43"] }', london)


@pytest.mark.parametrize(
    ("stated", "majority", "half"),
    [
        ("RU", True, True),
        ({"RU": 50.0, "DE": 50.0}, False, True),
        ({"RU": 50.01, "DE": 49.99}, True, True),
        ({"RU": 30, "BY": 20.5, "DE": 49.5}, True, True),
        ({"RU": 0.1, "BY": 0.2, "DE": 99.7}, False, False),
        ({"DE": 60}, False, False),
        (None, False, False),
    ],
)
def test_ownership_is_a_sum_of_shares(stated: Any, majority: bool, half: bool) -> None:
    """More than half, or half and more, of all owners of the named countries together; what isn't stated is unknown."""
    account = Account("0" * 32, owners=owners(stated))
    assert holds('{ owner_country = ["RU", "BY"] }', None, account=account) is majority
    assert holds('{ half_owned_from = ["RU", "BY"] }', None, account=account) is half
    assert holds('{ not = { owner_country = "DE" } }', None, account=account) is (stated in ("RU", None) or majority)
    assert holds('{ owner_country = "unknown" }', None, account=account) is (stated is None)


@pytest.mark.parametrize(
    "stated",
    [{"DE": 60, "FR": 50}, {"DE": -1}, {"DE": True}, {"DE": "60"}, {5: 60}, 60, {"DE": float("nan")}, "x" * 2000],
)
def test_shares_that_cant_be_are_refused(stated: Any) -> None:
    assert not possible_owners(stated)


# -- the request path -------------------------------------------------------------------------------------------------


def test_an_address_is_looked_up_once_until_something_changes(city: Path) -> None:
    """Peers are remembered with what was said of them; a new database is asked again."""
    stage = regions(country=(str(city),))
    asked = []
    ask: Callable[..., Origin] = stage.origin
    stage.origin = lambda *parts: asked.append(parts) or ask(*parts)  # type: ignore[method-assign, func-returns-value]
    peers = Peers(Trust(), 56, stage)
    for _ in range(5):
        assert peers.silent((BERLIN, 1)).country == "DE"
        assert peers.peer((BERLIN, 1), {b"cf-ipcountry": b"RU"}).country == "DE", "no declared hop"
    assert len(asked) == 1
    mmdb.write(city, {"9.9.9.0/24": RU}, built_at=NOW)
    assert settled(stage, NOW + POLL_S)
    assert peers.silent((BERLIN, 1)).country == "RU"


def test_a_header_and_a_database_are_compared_and_recorded(city: Path) -> None:
    """Both stand in the audit's line and in the explanation, by country and never by address; a replay finds them there."""
    trust = config.load(
        'version = 1\n[trust]\nhops = ["10.0.0.0/8"]\naddress = "x-forwarded-for"\ncountry = "x-c"\nsubdivision = "x-s"\n'
    ).trust
    stage = Regions(Policy(trust=trust, region=Region(country=(str(city),))), NOW)
    fields = {b"x-forwarded-for": MOSCOW.encode(), b"x-c": b"ua", b"x-s": b"43"}
    peer = Peers(trust, 56, stage).peer(("10.0.0.1", 1), fields)
    assert (peer.country, peer.origin is not None and peer.origin.differ) == ("UA", True)
    account = Account("a" * 32, tier="free", country="DE", owners=(("RU", 60.0),))
    line = audit_line(receipt("refuse", rule="barred", peer=peer, account=account), "feed")
    assert line["sources"] == [
        {"source": "header", "asked": ["country"], "country": "UA", "subdivisions": ["UA-43"]},
        {"source": "city.mmdb", "asked": ["country"], "country": "RU"},
    ]
    told = explain(line)
    assert "Where from: header UA UA-43; city.mmdb RU; account DE; owned from RU 60 %." in told
    assert "The sources differ" in told
    assert MOSCOW not in repr(line) + told
    assert compared(tuple(one for one in map(as_shown, line["sources"]) if one is not None)) == peer.origin


@pytest.mark.parametrize("fields", [None, {}, {"source": 5}, {"source": "x", "country": 5}, {"source": "x", "kinds": "tor"},
                                    {"source": "x", "asn": True}, {"source": "x", "subdivisions": [5]}])  # fmt: skip
def test_what_no_record_of_guards_says_is_none(fields: object) -> None:
    assert as_shown(fields) is None


def test_a_source_comes_back_from_its_record_as_it_was() -> None:
    whole = Said("x.mmdb", ("country", "asn"), "UA", ("UA-43",), 64496, ("tor",), "")
    assert as_shown(shown(whole)) == whole


def test_a_policy_without_region_costs_nothing() -> None:
    """Neither files nor headers of parts: the stage is not even asked."""
    stage = Regions(config.load("standard"), NOW)
    assert not stage.active
    core = Guard(config.load("standard"), key=HashKey(b"a key for tests, long enough"))
    assert core.compiled.caller.peer({"client": (BERLIN, 1), "headers": []}).origin is None
    assert list(stage.watch(NOW + 100)) == []


def test_health_and_status_name_the_state_of_each_file(city: Path, tmp_path: Path) -> None:
    """What it is for, how old it is, and why it can't be asked."""
    stage = regions(country=(str(city),), asn=(str(tmp_path / "asn.mmdb"),))
    assert [(file["file"], file["for"], file["state"], file["age_days"]) for file in stage.status(NOW)] == [
        ("city.mmdb", ["country"], "ok", 1.0),
        ("asn.mmdb", ["asn"], "missing", None),
    ]
    core = Guard(replace(policy(country=(str(city),))), key=HashKey(b"a key for tests, long enough"), start=NOW)
    assert core.status(NOW)["region"] == stage.status(NOW)[:1]


# -- commands, replays, reloads ---------------------------------------------------------------------------------------


def test_check_tells_the_state_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is there with its age, one that isn't with what follows; the policy is good all the same."""
    mmdb.write(tmp_path / "city.mmdb", PLACES, built_at=time.time() - 3 * DAY_S)
    text = 'version = 1\n[region]\ncountry = "city.mmdb"\nasn = "asn.mmdb"\n'
    (tmp_path / "guard.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "guard.toml: region: city.mmdb: country, 3 days old" in out
    assert "guard.toml: warning: region: asn.mmdb is missing: asn is unknown" in out
    assert main(["check", "--no-import"]) == 0
    assert "region" not in capsys.readouterr().out


def test_status_shows_a_line_for_each_file() -> None:
    answer = {"region": [{"file": "city.mmdb", "for": ["country"], "state": "stale", "age_days": 41.2},
                         {"file": "tor.txt", "for": ["asn_kind"], "state": "missing", "age_days": None}]}  # fmt: skip
    lines = list(status._lines(answer))
    assert "region    city.mmdb: country, stale, 41 days old" in lines
    assert "region    tor.txt: asn_kind, missing" in lines


def test_without_the_package_a_database_is_a_mistake_of_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it; lists need none."""
    monkeypatch.setattr("guard.compiling.installed", lambda: False)
    with pytest.raises(PolicyError) as caught:
        config.load('version = 1\n[region]\ncountry = "a.mmdb"\n')
    assert "pip install 'extraction-guard[geo]'" in str(caught.value)
    assert config.load('version = 1\n[region]\nkinds = { tor = "t.txt" }\n').region.kinds


@pytest.mark.parametrize("fact", ["country", "subdivision", "asn", "asn_kind"])
def test_a_rule_on_what_nothing_says_is_warned_of(fact: str) -> None:
    """A source of that fact ends the warning."""
    value = {"country": '"KP"', "subdivision": '"UA-43"', "asn": "5", "asn_kind": '"tor"'}[fact]
    rule = f'[[rule]]\nid = "r"\nwhen = {{ {fact} = {value} }}\naction = "tag"\n'
    (warning,) = config.load_with_warnings(f"version = 1\n{rule}", resolve=False).warnings
    assert f"{fact} is always unknown" in str(warning)
    sources = '[region]\ncountry = "a.mmdb"\nasn = "b.mmdb"\nkinds = { tor = "t.txt" }\n'
    assert config.load_with_warnings(f"version = 1\n{sources}{rule}", resolve=False).warnings == ()


def test_fewer_files_or_older_ones_are_a_loosening(city: Path) -> None:
    """Said aloud at a reload."""
    strict = policy(country=(str(city), "b.mmdb"), max_age_s=DAY_S)
    assert loosened(strict, policy(country=(str(city),), max_age_s=DAY_S)) == (
        "fewer files say where requests come from",
    )
    assert loosened(strict, policy(country=(str(city), "b.mmdb"))) == ("older databases say where requests come from",)
    assert loosened(policy(country=(str(city),)), strict) == ()


def test_a_replay_compares_what_was_compared(city: Path, tmp_path: Path) -> None:
    """Guard's own record says what each source said, and the replay decides as the guard did, with today's files gone; of an
    operator's log with addresses the policy's files are asked."""
    rule = '[[rule]]\nid = "r"\nwhen = { not = { country = "DE" } }\naction = "refuse"\n'
    text = f'version = 1\nmode = "enforce"\n[region]\ncountry = "{city}"\n{rule}'
    stage = regions(country=(str(city),))
    features = {"version": 1}
    lines = []
    for n, (header, address) in enumerate((("DE", BERLIN), ("DE", MOSCOW), ("RU", BERLIN), ("", NOBODYS))):
        origin = stage.origin(address, Said("header", ("country",), header))
        exchange = Exchange(
            Account("ab" * 16), peer_from(origin, address, address, hop=True), "/v1/chat/completions", FEATURES
        )
        line = request_line(exchange, NOW + n, {"features": features}, (), frozenset({"v1", "chat", "completions"}))
        assert address not in repr(line)
        lines.append(line)
    own = [
        {**line, "peer": {"ip": address, "country": header} if header else {"ip": address}}
        for line, (header, address) in zip(
            lines, (("DE", BERLIN), ("DE", MOSCOW), ("RU", BERLIN), ("", NOBODYS)), strict=True
        )
    ]
    for log, there in ((lines, False), (own, True)):
        if not there:
            city.rename(tmp_path / "kept")
        else:
            (tmp_path / "kept").rename(city)
        replay = Replay(config.load(text))
        reader = ExchangeLog()
        found = []
        for line in log:
            logged = reader.read(orjson.dumps(line))
            call = replay._peer(logged)
            view = View(Exchange(Account("0" * 32), call, "/", FEATURES), Assessment(0.1, "low", 0.0), NOW, False)
            found.append(predicate(config.load(text).rules[0].when)(view))
        assert found == [False, True, True, True]

"""SECURITY A2, A10 and A11 on regions: every request is checked, and nothing that is lost, old, forged or wrapped opens a door."""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard import AccountFacts
from guard.config import load
from guard.explanation import explain
from guard.recorder import find
from tests import mmdb
from tests.attacks.inside import Inside
from tests.attacks.upstream import Upstream

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
DAY_S = 86_400.0
BERLIN, MOSCOW, SIMFEROPOL, DONETSK, NOBODYS, HOME = (
    "9.9.9.1",
    "5.5.5.1",
    "7.7.7.1",
    "7.7.8.1",
    "200.1.1.1",
    "127.0.0.1",
)
PLACES: dict[str, Any] = {
    "9.9.9.0/24": {"country": {"iso_code": "DE"}},
    "5.5.5.0/24": {"country": {"iso_code": "RU"}},
    "7.7.7.0/24": {"country": {"iso_code": "UA"}, "subdivisions": [{"iso_code": "43"}]},
    "7.7.8.0/24": {"country": {"iso_code": "UA"}, "subdivisions": [{"iso_code": "14"}]},
    "7.7.9.0/24": {"country": {"iso_code": "UA"}, "subdivisions": [{"iso_code": "30"}]},
}
OPEN = """
version = 1
mode = "enforce"
[trust]
hops = ["10.0.0.0/8"]
address = "x-forwarded-for"
{trust}
[region]
country = "{city}"
{region}
[[rule]]
id = "not-offered-here"
when = {{ not = {{ country = ["DE", "UA", "FR"] }} }}
action = "refuse"
"""


class Region(Inside):
    """A guarded endpoint with a database; ``at`` asks from an address."""

    def __init__(self, folder: Path, text: str = OPEN, trust: str = "", region: str = "", more: str = "") -> None:
        self.city = folder / "city.mmdb"
        if not self.city.exists():
            mmdb.write(self.city, PLACES, built_at=NOW - DAY_S)
        super().__init__(text.format(city=self.city, trust=trust, region=region) + more)

    def move(self, seconds: float) -> None:
        """Lets time pass, with the tick of every two seconds for a while."""
        for _ in range(3):
            self.clock.advance(seconds / 3)
            for _ in self.app.installation.tick(self.clock.now()):
                pass

    async def at(self, address: str, *headers: tuple[str, str], **more: Any) -> int:
        return (await self.ask(headers=headers, client=(address, 5000), key="sk-a", **more)).status

    async def seen(self, *addresses: str) -> list[int]:
        return [await self.at(address) for address in addresses]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(autouse=True)
def _in_2027(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of these tests starts where their databases were built."""
    from tests.attacks import inside

    monkeypatch.setattr(inside, "ManualClock", lambda: clock_at(NOW))


def clock_at(now: float) -> Any:
    from guard.clock import ManualClock

    return ManualClock(now)


async def test_every_request_is_checked(folder: Path) -> None:
    """Case 148: an account that was let in from one place is refused from another a moment later, and let in again."""
    region = Region(folder)
    assert await region.seen(*[BERLIN, MOSCOW] * 20) == [200, 403] * 20
    assert region.upstream.count == 20


async def test_a_preflight_and_a_flat_route_are_checked_too(folder: Path) -> None:
    """Cases 27 and 28: neither the method nor a route's own settings switch the rule off."""
    region = Region(folder, more='[protect]\nroutes = ["/v1/*", { path = "/embed", flat = 10 }]\n')
    assert await region.at(MOSCOW, method="OPTIONS") == 403
    assert await region.at(MOSCOW, path="/embed") == 403
    assert await region.at(BERLIN, path="/embed") == 200


@pytest.mark.parametrize("lost", ["missing", "empty", "garbage", "page", "truncated", "stale", "future", "other"])
async def test_a_lost_database_never_opens_a_list_of_what_is_open(folder: Path, lost: str) -> None:
    """Case 149: missing, broken, outdated or of another kind at the start: the open list refuses everybody, nothing crashes, and a
    list of what is barred does what it says of "unknown"."""
    city = mmdb.write(folder / "city.mmdb", PLACES, built_at=NOW - DAY_S)
    whole = city.read_bytes()
    if lost == "missing":
        city.unlink()
    elif lost in ("stale", "future"):
        mmdb.write(city, PLACES, built_at=NOW + (400 * DAY_S if lost == "future" else -41 * DAY_S))
    elif lost == "other":
        mmdb.write(city, {"9.9.9.0/24": {"city": "Berlin"}})
    else:
        city.write_bytes({"empty": b"", "garbage": b"x" * 9000, "page": b"<html>", "truncated": whole[:-40]}[lost])
    if lost == "missing":
        text = OPEN.format(city=city, trust="", region="")
        region = Inside(text)
    else:
        region = Region(folder)
    ask = [await region.ask(client=(address, 1), key="sk-a") for address in (BERLIN, MOSCOW, NOBODYS)]
    assert [connection.status for connection in ask] == [403] * 3
    health = region.app.installation.control.call("status", {}, by="test", now=NOW)
    assert health["health"] == "degraded"
    assert any("country is unknown" in sentence for sentence in health["because"])
    for unknown, status in (("", 200), (', "unknown"', 403)):
        barred = OPEN.partition("[[rule]]")[0].format(city=city, trust="", region="")
        barred += f'[[rule]]\nid = "barred"\nwhen = {{ country = ["RU"{unknown}] }}\naction = "refuse"\n'
        assert (await Inside(barred).ask(client=(BERLIN, 1), key="sk-a")).status == status


async def test_a_database_lost_while_running_goes_on_until_it_is_too_old(folder: Path) -> None:
    """Case 149: a broken update changes nothing, and is told; when the last good one is too old the door shuts; a good one opens it."""
    region = Region(folder)
    assert await region.seen(BERLIN, MOSCOW) == [200, 403]
    region.city.write_bytes(b"<html>gateway timeout</html>")
    region.move(9)
    assert await region.seen(BERLIN, MOSCOW) == [200, 403]
    region.move(41 * DAY_S)
    assert await region.seen(BERLIN, MOSCOW) == [403, 403]
    mmdb.write(region.city, PLACES, built_at=region.clock.now())
    region.move(9)
    assert await region.seen(BERLIN, MOSCOW) == [200, 403]


async def test_a_database_damaged_within_refuses_where_it_is_damaged(folder: Path) -> None:
    """Case 149: bytes changed inside the data: every address is answered, none without knowing where it comes from is let in."""
    whole = mmdb.content(PLACES, built_at=NOW - DAY_S)
    city = folder / "city.mmdb"
    for count, at in enumerate(range(0, len(whole), 19)):
        if count % 8 == 0:
            gc.collect()  # each round makes a guard of some 9 MB
        city.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        region = Region(folder)
        for address in (BERLIN, MOSCOW, SIMFEROPOL, NOBODYS):
            status = await region.at(address)
            assert status in (200, 403)
            decision = region.app.installation.guard.compiled.caller.peer({"client": (address, 1), "headers": []})
            assert status == 403 or decision.country in ("DE", "UA", "FR"), at


async def test_private_and_unknown_addresses_are_not_on_the_list(folder: Path) -> None:
    """Case 149: a request from this machine, an inner network, a socket without an address, or of nobody's network."""
    region = Region(folder)
    assert await region.seen(HOME, "192.168.1.1", "::1", "fe80::1%eth0", "fd00::1", NOBODYS) == [403] * 6
    for client in (None, ("", 0), ("testclient", 1)):
        assert (await region.ask(client=client, key="sk-a")).status == 403


async def test_the_strictest_of_several_sources_counts(folder: Path) -> None:
    """Case 150: header and database differ: to be let in both must be on the list; what was compared is in the record."""
    audit = folder / "audit.jsonl"
    region = Region(folder, trust='country = "x-country"', more=f'[audit]\nfile = "{audit}"\nsample_allowed = 1.0\n')
    proxy = "10.0.0.1"

    async def through(address: str, country: str) -> int:
        return await region.at(proxy, ("x-forwarded-for", address), ("x-country", country))

    assert await through(BERLIN, "DE") == 200
    assert await through(BERLIN, "FR") == 200, "they differ, and both are on the list"
    assert await through(BERLIN, "RU") == 403
    assert await through(MOSCOW, "DE") == 403
    assert await through(NOBODYS, "DE") == 200, "one knows, the other has nothing to say"
    assert await through(NOBODYS, "XX") == 403
    assert await through(BERLIN, "T1") == 403
    assert await through(BERLIN, "Germany") == 200, "what is no country says nothing; the database does"
    await through(MOSCOW, "DE")
    region.app.installation.flush()
    lines = audit.read_text()
    assert (
        '"sources":[{"source":"header","asked":["country"],"country":"DE"},{"source":"city.mmdb","asked":["country"],"country":"RU"}]'
        in lines
    )
    assert MOSCOW not in lines


async def test_a_rule_that_allows_needs_every_source(folder: Path) -> None:
    """Case 150: an open list written the other way round, allow and then refuse the rest, is as strict; so is a lost database."""
    text = OPEN.partition("[[rule]]")[0] + (
        '[[rule]]\nid = "open"\nwhen = {{ country = ["DE", "UA"] }}\naction = "allow"\n'
        '[[rule]]\nid = "rest"\naction = "refuse"\n'
    )
    region = Region(folder, text, trust='country = "x-country"')

    async def through(address: str, country: str) -> int:
        return await region.at("10.0.0.1", ("x-forwarded-for", address), ("x-country", country))

    assert [await through(BERLIN, country) for country in ("DE", "UA", "RU", "XX")] == [200, 200, 403, 200]
    assert [await through(MOSCOW, country) for country in ("DE", "RU")] == [403, 403]
    region.move(41 * DAY_S)
    assert await through(BERLIN, "DE") == 403


async def test_account_and_address_and_owner_are_each_asked(folder: Path) -> None:
    """Case 150: three kinds of evidence, three rules: any one of them is enough, and each refusal names its own."""
    rules = """
[[rule]]
id = "registered"
when = { account_country = ["RU", "unknown"] }
action = "refuse"
[[rule]]
id = "owned"
when = { owner_country = ["RU", "BY"] }
action = "refuse"
"""
    facts = {
        "good": AccountFacts("good", country="de", owner_country="DE"),
        "registered": AccountFacts("registered", country="RU", owner_country="DE"),
        "nowhere": AccountFacts("nowhere", country="Atlantis", owner_country="DE"),
        "owned": AccountFacts("owned", country="DE", owner_country={"RU": 30, "BY": 20.01, "DE": 49.99}),
        "half": AccountFacts("half", country="DE", owner_country={"RU": 50, "DE": 50}),
    }
    region = Region(folder, more=rules)
    policy = region.guard.policy
    region.guard.swap(replace(policy, identity=replace(policy.identity, describe=facts.get)), NOW)
    seen = {}
    for name in facts:
        connection = await region.ask(client=(BERLIN, 1), key=name)
        seen[name] = connection.status
    assert seen == {"good": 200, "registered": 403, "nowhere": 403, "owned": 403, "half": 200}
    assert (await region.ask(client=(MOSCOW, 1), key="good")).status == 403


async def test_shares_that_cant_be_let_nobody_in(folder: Path) -> None:
    """Case 151: a callable that states 110 percent has failed, and a control that can't run refuses."""
    region = Region(folder)
    policy = region.guard.policy
    wrong = AccountFacts("x", owner_country={"DE": 60, "FR": 50})
    region.guard.swap(replace(policy, identity=replace(policy.identity, describe=lambda _: wrong)), NOW)
    assert (await region.ask(client=(BERLIN, 1), key="k")).status == 503


async def test_parts_of_a_country_can_be_barred(folder: Path) -> None:
    """Case 152: two parts are closed, the rest of the country is open, and an address there of unknown part is refused."""
    rules = '[[rule]]\nid = "parts"\nwhen = { country = "UA", subdivision = ["UA-43", "UA-14", "unknown"] }\naction = "refuse"\n'
    mmdb.write(folder / "city.mmdb", PLACES | {"7.7.10.0/24": {"country": {"iso_code": "UA"}}}, built_at=NOW)
    region = Region(folder, more=rules)
    assert await region.seen(SIMFEROPOL, DONETSK, "7.7.9.1", "7.7.10.1", BERLIN) == [403, 403, 200, 403, 200]


async def test_a_relay_is_limited_and_not_barred(folder: Path) -> None:
    """Case 153: Tor's exits by list; the list's loss is named by the same limit, and tells an ordinary network apart from neither."""
    tor = folder / "tor.txt"
    tor.write_text("9.9.9.66\n")
    more = f'[region.kinds]\ntor = "{tor}"\n[[limit]]\nid = "relays"\nper = "account"\nwhen = {{ asn_kind = ["tor", "unknown"] }}\nrequests = "2/day"\n'
    region = Region(folder, more=more)
    assert await region.seen(*["9.9.9.66"] * 3, *[BERLIN] * 3) == [200, 200, 429, 200, 200, 200]
    tor.unlink()
    lost = Region(folder, more=more)
    assert await lost.seen(*[BERLIN] * 3) == [200, 200, 429]


async def test_a_refusal_can_be_appealed(folder: Path) -> None:
    """Case 154: the client reads a reference and the operator's sentence and no fact; the operator finds what was compared."""
    audit = folder / "audit.jsonl"
    region = Region(folder, more=f'public = "Not offered there."\n[audit]\nfile = "{audit}"\n')
    connection = await region.ask(client=(MOSCOW, 1), key="sk-a")
    reference = connection.headers["x-guard-reference"]
    assert b"Not offered there." in connection.body
    assert reference.encode() in connection.body
    assert b"RU" not in connection.body.replace(reference.encode(), b"")
    region.app.installation.flush()
    search = find(reference, [str(audit)])
    try:
        while True:
            next(search)
    except StopIteration as end:
        told = explain(end.value)
    assert "the rule 'not-offered-here' holds" in told
    assert "Where from: city.mmdb RU." in told
    assert MOSCOW not in told


@pytest.mark.parametrize(
    "name",
    [
        "cf-ipcountry",
        "x-country",
        "x-appengine-country",
        "x-vercel-ip-country",
        "CloudFront-Viewer-Country",
        "x_country",
    ],
)
async def test_a_country_header_of_an_undeclared_hop_is_ignored(folder: Path, name: str) -> None:
    """Case 159: whatever a client writes; with a declared hop only the configured header counts, once."""
    region = Region(folder, trust='country = "x-country"')
    assert await region.at(MOSCOW, (name, "DE")) == 403
    assert await region.at(BERLIN, (name, "RU")) == 200
    behind = ("x-forwarded-for", NOBODYS)
    assert await region.at("10.0.0.1", behind, (name, "DE")) == (200 if name == "x-country" else 403)
    assert await region.at("10.0.0.1", behind, ("x-country", "DE"), ("x-country", "FR")) == 403, (
        "two at once say nothing"
    )
    assert await region.at("10.0.0.1", behind, ("x-country", "DE,FR")) == 403


async def test_a_forwarded_address_of_an_undeclared_hop_is_ignored(folder: Path) -> None:
    """Cases 1 and 159: the socket's address is looked up, not the one that the client claims."""
    region = Region(folder)
    assert await region.at(MOSCOW, ("x-forwarded-for", BERLIN)) == 403
    assert await region.at("10.0.0.1", ("x-forwarded-for", f"{BERLIN}, {MOSCOW}")) == 403
    assert await region.at("10.0.0.1", ("x-forwarded-for", f"{MOSCOW}, {BERLIN}")) == 200


@pytest.mark.parametrize(
    ("address", "plain", "opened"),
    [
        ("::ffff:9.9.9.1", 200, 200),
        ("::ffff:5.5.5.1", 403, 403),
        ("::ffff:0505:0501", 403, 403),
        ("2002:909:901::1", 403, 200),
        ("64:ff9b::9.9.9.1", 403, 200),
        ("64:ff9b::5.5.5.1", 403, 403),
        ("::9.9.9.1", 403, 403),
        ("2001:db8::9.9.9.1", 403, 403),
        ("64:ff9b::127.0.0.1", 403, 403),
        ("2002:7f00:1::1", 403, 403),
    ],
)
async def test_wrapped_addresses(folder: Path, address: str, plain: int, opened: int) -> None:
    """Cases 9 and 10: an IPv4-mapped address is its IPv4; other wrappings are nowhere, and where they count it is by the address within."""
    assert await Region(folder).at(address) == plain
    assert await Region(folder, region="embedded = true").at(address) == opened


async def test_a_reload_of_the_policy_opens_nothing_on_its_way(folder: Path) -> None:
    """Case 149: another policy that names another database, which isn't there: the door shuts with the swap, not a tick later."""
    region = Region(folder)
    assert await region.at(BERLIN) == 200
    region.guard.swap(load(OPEN.format(city=folder / "other.mmdb", trust="", region="")), NOW)
    assert await region.at(BERLIN) == 403
    mmdb.write(folder / "other.mmdb", PLACES, built_at=NOW)
    region.move(9)
    assert await region.at(BERLIN) == 200
    os.unlink(folder / "other.mmdb")


async def test_a_fault_of_the_stage_itself_lets_nobody_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 149: should the stage itself fail (it never does for a file or an address), the endpoint is not reached."""
    region = Region(folder)

    def broken(*_: Any) -> Any:
        raise RuntimeError("no luck")

    monkeypatch.setattr(region.guard.region, "origin", broken)
    upstream: Upstream = region.upstream
    with pytest.raises(RuntimeError):
        await region.at(BERLIN)
    assert upstream.count == 0

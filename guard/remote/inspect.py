"""Is this store fit for limits? What is asked of it, what was found, and what to do about it; nothing is left behind in it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from guard.remote.facts import PRIMARY, SLOTS, Finding, clock_of, info_of, judged, nodes_of, rights, together
from guard.remote.link import Link, Trouble
from guard.remote.names import LAYOUT, NEWEST, PREFIX

_PINGS = 100
_FEWEST_PINGS = 20
_PATIENCE_S = 2.0
_MOST_SCANNED = 20_000
_SCANS_AT_ONCE = 1_000
_MOST_LOOKED_AT = 50
_PROBE = """
redis.call('HSET', KEYS[1], 'a', ARGV[1])
redis.call('PEXPIRE', KEYS[1], 1000)
local all = redis.call('HGETALL', KEYS[1])
local some = redis.call('HMGET', KEYS[1], 'a', 'b')
redis.call('HDEL', KEYS[1], 'a')
redis.call('UNLINK', KEYS[1])
return {redis.call('TIME')[1], #all, some[1]}
"""
RIGHTS = (
    f"resetchannels ~{PREFIX}* ~{NEWEST} -@all +@hash +@string +@stream +eval +evalsha +expire +pexpire +pttl +del +unlink "
    "+exists +type +scan +time +info +ping +hello +auth +select +client -client|kill -client|pause +cluster|slots +cluster|info +asking"
)
"""The least rights that guard needs, as ACL SETUSER takes them."""

_REACH: dict[str, tuple[str, str]] = {
    "lost": (
        "nobody there speaks Redis",
        "is it running, are host and port right, is it behind TLS (rediss://) or behind none (redis://)?",
    ),
    "timeout": ("does not answer", "is it running, or stopped, or is the network between too slow?"),
    "noauth": (
        "refuses the user or the password",
        "write user and password into the URL, or the variable it stands in",
    ),
    "tls": (
        "shows a certificate that is not accepted",
        "renew it if it has expired, or name its authority: ?ssl_ca_certs=FILE",
    ),
    "noperm": ("the user may not even PING", f"ACL SETUSER NAME {RIGHTS}"),
    "loading": ("is still loading its data", "wait until it is done; guard does so by itself"),
    "busy": ("is busy with somebody's script", "SCRIPT KILL ends it; keep others' scripts away from this server"),
    "clusterdown": ("its cluster serves nobody", "redis-cli --cluster check HOST:PORT; is it a cluster at all?"),
    "readonly": ("has no primary that can be written to", "look at its sentinels: SENTINEL MASTERS"),
}
_SCRIPT: dict[str, tuple[str, str]] = {
    "noperm": ("the user may not run what guard runs", f"ACL SETUSER NAME {RIGHTS}"),
    "readonly": ("it is a replica and takes no writes", PRIMARY),
    "oom": ("it is full and takes no writes", "raise maxmemory, or clear out what others keep there"),
    "misconf": ("it could not save to disk and takes no writes", "look at its log and its disk: INFO persistence"),
    "moved": ("it is a node of a cluster", "write the URL as redis+cluster://HOST:PORT"),
}


async def inspect(url: str, deadline_s: float = 0.025, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Everything there is to say of a store. Raises ``InstallError`` for an address that is none.

    It takes some seconds at most. No finding names credentials, keys or values.
    """
    link = Link(url, timeout_s=_PATIENCE_S, connections=2, scripts={"probe": _PROBE})
    try:
        return await _all(link, deadline_s, clock)
    finally:
        await link.close()


async def _all(link: Link, deadline_s: float, clock: Callable[[], float]) -> list[Finding]:
    key = f"{PREFIX}{{check}}"
    try:
        await link.call("PING", key=key)
    except Trouble as trouble:
        told, remedy = _REACH.get(trouble.kind, (f"can't be asked ({trouble.kind})", "look at its log"))
        if link.clustered and trouble.kind in {"lost", "timeout"}:
            told, remedy = "a node of it can't be reached", _REACH["clusterdown"][1]
        return [Finding("reached", "error", f"{link.address} {told}", remedy)]
    found = [Finding("reached", "ok", str(link.address)), *_wire(link)]
    found.append(await _latency(link, key, deadline_s))
    found.append(await _script(link, key))
    found.append(await clock_of(link, key, clock))
    try:
        nodes = await nodes_of(link, key)
        facts = {name: await info_of(link, where) for where, name in nodes}
    except Trouble as trouble:
        found.append(
            Finding(
                "facts", "warning", f"version, memory and persistence can't be told ({trouble.kind})", rights("+info")
            )
        )
        return [*found, await _layout(link, [(key, "")])]
    found += together({name: judged(each) for name, each in facts.items()})
    if not link.clustered and str(facts[""].get("cluster_enabled")) == "1":
        found.append(Finding("cluster", "error", "it is a node of a cluster", _SCRIPT["moved"][1]))
    if link.clustered:
        found.append(await _slots(link, key))
    return [*found, await _layout(link, nodes)]


def _wire(link: Link) -> list[Finding]:
    """Credentials in the clear."""
    address = link.address
    if address.tls or not (address.password or address.sentinel_password):
        return []
    far = [host for host, _ in address.hosts if not _near(host)]
    if not far:
        return []
    return [
        Finding("wire", "warning", f"the password goes to {far[0]} for everybody on the way to read", "use rediss://")
    ]


def _near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _latency(link: Link, key: str, deadline_s: float) -> Finding:
    took: list[float] = []
    end = time.perf_counter() + _PATIENCE_S
    try:
        while len(took) < _PINGS and (len(took) < _FEWEST_PINGS or time.perf_counter() < end):
            begun = time.perf_counter()
            await link.call("PING", key=key)
            took.append(time.perf_counter() - begun)
    except Trouble as trouble:
        return Finding("latency", "error", f"stopped answering ({trouble.kind})", "look at its log and at the network")
    took.sort()
    p50_s, p99_s = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]
    told = f"p50 {p50_s * 1000:.2g} ms, p99 {p99_s * 1000:.2g} ms of {len(took)}; a request waits {deadline_s * 1000:g} ms at most"
    if p50_s >= deadline_s:
        remedy = "half of all requests would be decided without it: bring it nearer, or raise [state] deadline"
        return Finding("latency", "error", told, remedy)
    if p99_s >= deadline_s:
        return Finding("latency", "warning", told, "one in a hundred would be decided without it: bring it nearer")
    return Finding("latency", "ok", told)


async def _script(link: Link, key: str) -> Finding:
    try:
        reply = await link.script("probe", [key], ["1"])
    except Trouble as trouble:
        told, remedy = _SCRIPT.get(trouble.kind, (f"scripts don't run ({trouble.kind})", rights("+@scripting")))
        return Finding("scripts", "error", told, remedy)
    if list(reply[1:]) != [2, b"1"]:
        return Finding(
            "scripts", "error", "a script's answer is not what it wrote", "is this Redis, or something like it?"
        )
    return Finding("scripts", "ok", "may be run, and may write what guard writes")


async def _slots(link: Link, key: str) -> Finding:
    try:
        facts = await link.call("CLUSTER INFO", key=key)
    except Trouble as trouble:
        return Finding("cluster", "warning", f"can't be told ({trouble.kind})", rights("+cluster|info"))
    covered = int(facts.get("cluster_slots_ok", 0))
    told = f"{covered:,} of {SLOTS:,} slots served, {facts.get('cluster_known_nodes', '?')} nodes"
    if covered < SLOTS or facts.get("cluster_state") != "ok":
        return Finding("cluster", "error", told, "redis-cli --cluster check HOST:PORT, then --cluster fix")
    return Finding("cluster", "ok", told)


async def _layout(link: Link, nodes: list[tuple[str, str]]) -> Finding:
    """Names under ``g…:`` of another version than ours, and ours with a value that isn't ours."""
    scanned, own, strange = 0, 0, 0
    versions: set[int] = set()
    try:
        newest = await link.call("GET", NEWEST, key=NEWEST)
        versions |= {int(newest)} if newest and newest.isdigit() else set()
        for where, _ in nodes:
            cursor, first = 0, True
            while (first or cursor) and scanned < _MOST_SCANNED:
                first = False
                at, keys = await link.call("SCAN", cursor, "MATCH", "g[0-9]*:*", "COUNT", _SCANS_AT_ONCE, key=where)
                cursor = int(next(iter(at.values())) if isinstance(at, dict) else at)
                scanned += _SCANS_AT_ONCE
                for key in keys:
                    version = key[1:].partition(b":")[0]
                    versions |= {int(version)} if version.isdigit() and len(version) < 6 else set()
                    own += key.startswith(PREFIX.encode())
                strange += await _without_end(link, [key for key in keys if key.startswith(PREFIX.encode())], where)
    except Trouble as trouble:
        return Finding("layout", "warning", f"can't be told ({trouble.kind})", rights("+scan +pttl"))
    others = sorted(versions - {LAYOUT})
    more = "at least " if scanned >= _MOST_SCANNED else ""
    told = f"{more}{own} keys of guard's"
    if strange:
        return Finding("layout", "warning", f"{told}; {strange} keys under {PREFIX} never expire: they are not guard's",
                       "find out who writes them; guard passes over what it can't read")  # fmt: skip
    if others and others[-1] > LAYOUT:
        return Finding("layout", "warning", f"{told}, and of a newer guard (g{others[-1]})",
                       "bring all replicas to that version: until then each version counts by itself")  # fmt: skip
    return Finding("layout", "ok", told + (", some of an older guard: they expire by themselves" if others else ""))


async def _without_end(link: Link, keys: list[bytes], where: str) -> int:
    """How many of some keys have no time to live."""
    return sum([int(await link.call("PTTL", key, key=where)) == -1 for key in keys[:_MOST_LOOKED_AT]])

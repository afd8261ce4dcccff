"""What a store says of itself (INFO, TIME), fetched and judged: is it new enough, does it keep what it is given, has it room?"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from guard.remote.link import Link, Trouble

State = Literal["ok", "warning", "error"]
PRIMARY = "name the primary, or its sentinels (redis+sentinel://)"
OLDEST = (7, 0)
SLOTS = 16_384
"""Of a cluster."""
_CLOCK_WARNS_S = 1.0
_FULL, _NEARLY_FULL = 0.95, 0.8


class Finding(NamedTuple):
    """One thing that was looked at. ``remedy``: what to do; ``""`` where nothing needs to be done."""

    what: str
    state: State
    told: str
    remedy: str = ""


def judged(facts: Mapping[str, Any]) -> list[Finding]:
    """What one server says of itself (INFO), judged."""
    return [_version(facts), _role(facts), _eviction(facts), _memory(facts), _persistence(facts), _clients(facts)]


def _version(facts: Mapping[str, Any]) -> Finding:
    compatible = str(facts.get("redis_version", "0"))
    own = facts.get("valkey_version")
    told = f"Valkey {own} (as Redis {compatible})" if own else f"Redis {compatible}"
    numbers = tuple(int(part) for part in compatible.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        return Finding("version", "error", told, "guard's scripts need Redis 7.0, or any Valkey")
    return Finding("version", "ok", told)


def _role(facts: Mapping[str, Any]) -> Finding:
    if facts.get("role") == "master":
        return Finding("role", "ok", f"primary, {facts.get('connected_slaves', 0)} replicas")
    return Finding("role", "error", "a replica: it takes no writes", PRIMARY)


def _eviction(facts: Mapping[str, Any]) -> Finding:
    """All of guard's keys have a time to live: ``volatile-…`` means them too."""
    policy, most = str(facts.get("maxmemory_policy", "?")), int(facts.get("maxmemory", 0))
    if policy == "noeviction":
        return Finding("eviction", "ok", "noeviction: nothing is thrown away; when it is full guard is told so")
    if policy == "volatile-ttl":
        return Finding("eviction", "ok", "volatile-ttl: what is thrown away first is what is nearly drained")
    remedy = "CONFIG SET maxmemory-policy noeviction (or volatile-ttl), in the configuration file too"
    if not most:
        return Finding(
            "eviction", "warning", f"{policy}: as soon as there is a maxmemory, limits in use are thrown away", remedy
        )
    state: State = "error" if policy.startswith("allkeys") else "warning"
    return Finding("eviction", state, f"{policy}: when it is full, limits in use are thrown away", remedy)


def _memory(facts: Mapping[str, Any]) -> Finding:
    used, most = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    most = most or int(facts.get("total_system_memory", 0))
    told = f"{used / 2**20:.1f} MiB used" + (f" of {most / 2**20:,.0f} MiB" if most else "")
    if most and used > _NEARLY_FULL * most:
        state: State = "error" if used > _FULL * most else "warning"
        return Finding(
            "memory",
            state,
            told,
            "raise maxmemory, or clear out what others keep there; guard needs 2 to 6 KiB an account",
        )
    return Finding("memory", "ok", told)


def _persistence(facts: Mapping[str, Any]) -> Finding:
    appends = str(facts.get("aof_enabled")) == "1"
    failed = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
              if facts.get(name, "ok") != "ok"]  # fmt: skip
    if failed:
        told = f"its last attempt to save failed ({', '.join(failed)}): it may stop taking writes"
        return Finding("persistence", "error", told, "look at its log, its disk and the rights of its folder")
    how = "every write is appended to a file" if appends else "at most snapshots"
    return Finding("persistence", "ok", f"{how}; what a restart loses is mended from what replicas have last seen")


def _clients(facts: Mapping[str, Any]) -> Finding:
    now, most = int(facts.get("connected_clients", 0)), int(facts.get("maxclients", 0))
    told = f"{now} open" + (f" of {most}" if most else "")
    if most and now > _NEARLY_FULL * most:
        return Finding("connections", "warning", told, "raise maxclients: a replica of guard needs about twenty")
    return Finding("connections", "ok", told)


async def nodes_of(link: Link, key: str) -> list[tuple[str, str]]:
    """A key for each primary, and its name; without a cluster just ``key``, without a name. Raises ``Trouble``."""
    if not link.clustered:
        return [(key, "")]
    ranges: Mapping[Any, Any] = await link.call("CLUSTER SLOTS", key=key)
    widest: dict[str, tuple[int, int]] = {}  # for the fewer slots the longer is looked for a key
    for (first, last), node in ranges.items():
        host, port = node["primary"]
        known = widest.setdefault(f"{host}:{port}", (first, last))
        if last - first > known[1] - known[0]:
            widest[f"{host}:{port}"] = first, last
    return [(_key_in(*slots), name) for name, slots in sorted(widest.items())]


def _key_in(first: int, last: int) -> str:
    return str(next(n for n in range(64 * SLOTS) if first <= crc_hqx(str(n).encode(), 0) % SLOTS <= last))


async def info_of(link: Link, key: str) -> dict[str, Any]:
    """What the server of a key says of itself. Raises ``Trouble``."""
    return dict(await link.call("INFO", key=key))


async def clock_of(link: Link, key: str, clock: Callable[[], float]) -> Finding:
    """How far the server's clock is from this machine's."""
    try:
        before = clock()
        reply = await link.call("TIME", key=key)
        after = clock()
    except Trouble as trouble:
        return Finding("clock", "warning", f"can't be told ({trouble.kind})", rights("+time"))
    apart_s = float(reply[0]) + float(reply[1]) / 1e6 - (before + after) / 2
    told = f"{apart_s:+.3f} s from this machine's"
    if abs(apart_s) - (after - before) / 2 > _CLOCK_WARNS_S:
        return Finding(
            "clock", "warning", told, "let both keep time (NTP): limits go by the server's, records by this one's"
        )
    return Finding("clock", "ok", told)


def together(found: Mapping[str, list[Finding]]) -> list[Finding]:
    """What is wrong, node by node; and once what is well with all of them."""
    told: list[Finding] = []
    for rows in zip(*found.values(), strict=True):
        wrong = [each._replace(told=f"{name}: {each.told}") for name, each in zip(found, rows, strict=True)
                 if name and each.state != "ok"]  # fmt: skip
        told += wrong or [rows[0]._replace(told=f"{rows[0].told}; {len(rows)} nodes alike")] if len(rows) > 1 else rows
    return told


def rights(words: str) -> str:
    """The remedy where the user may not do something."""
    return f"let the user do so: ACL SETUSER NAME {words}"

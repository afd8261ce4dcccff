"""What a store says of itself (INFO), judged: is it new enough, does it keep what it is given, has it room?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

State = Literal["ok", "warning", "error"]
PRIMARY = "name the primary, or its sentinels (redis+sentinel://)"
OLDEST = (7, 0)
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

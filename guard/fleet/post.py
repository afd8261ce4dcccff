"""Where replicas leave things for each other in the store, and how: one name for each, all in one slot.

    rows    stream   batches of exchanges, for whoever leads              news    stream   the leader's frames, for all
    said    stream   the operator's words, for all                       words   hash     those that hold, for who comes later
    live    hash     who is there                                        lead    string   who leads, for a few seconds
    kept.…  string   who received an id under which the API keeps something; a slot each
    base    hash     where the last whole is, and from where on the streams are to be read after it; w:…  its pieces

Every key has its TTL from the step that writes it. Names bear a version: guards of another version have others. A mark of the hashing
key stands in them too: under another key nobody would know the same accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from guard.hashing import HashKey
from guard.remote.link import Link

VERSION = 1
LEASE_MS = 3_000
STREAM_MS = 3_600_000
LIVE_MS = 60_000
KEPT_MS = 30 * 86_400_000
LEFT_MS = 5_000
BOUND_MS = 7 * 86_400_000
MOST_BATCHES = 4_096
MOST_FRAMES = 2_048
MOST_SAID = 4_096
NONE = "0-0"

_ADD = """
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'f', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return id
"""
# Who leads, and the token that he leads with: the server's milliseconds, which are greater for each later leader.
_STAND = """
local held = redis.call('GET', KEYS[1])
if held then
  local whose, token = string.match(held, '^(.*):(%d+)$')
  if whose ~= ARGV[1] or ARGV[3] == '' or token ~= ARGV[3] then return held end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return held
end
if ARGV[4] == '0' then return '' end
local now = redis.call('TIME')
held = ARGV[1] .. ':' .. string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('SET', KEYS[1], held, 'PX', ARGV[2])
return held
"""
# Only who leads publishes.
_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '' end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'f', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return id
"""
_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
# The hash is never empty once something was said: a store that has lost it is known by that.
# ARGV: entry, most, its ttl, the hash's ttl, then field and value of what holds from now on; an empty value: no more.
_SAY = """
for place = 5, #ARGV, 2 do
  if ARGV[place + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[place])
  else redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1]) end
end
redis.call('HSET', KEYS[2], 'v', '1')
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'f', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return id
"""
_BEAT = """
local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', at) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  local beaten = tonumber(string.match(all[place + 1], '^(%d+) ') or '0')
  if at - beaten > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[place]) end
end
return {string.format('%.0f', at), all, redis.call('HGET', KEYS[2], 'token') or '', redis.call('EXISTS', KEYS[3])}
"""
# The pieces are there; from now on they are the whole. The streams need not reach back further.
_BASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[3])
redis.call('XTRIM', KEYS[4], 'MINID', ARGV[4])
return 1
"""
_LET_GO = """
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
"""
SCRIPTS = {
    "fleet let go": _LET_GO,
    "fleet add": _ADD,
    "fleet stand": _STAND,
    "fleet publish": _PUBLISH,
    "fleet leave": _LEAVE,
    "fleet say": _SAY,
    "fleet beat": _BEAT,
    "fleet base": _BASE,
}

Entry = tuple[str, bytes]
"""Where an entry stands in its stream, and what it holds."""


class Beat(NamedTuple):
    """``at_ms``: the server's time. ``live``: replica → (when it was last there, what it says of itself)."""

    at_ms: int
    live: Mapping[str, tuple[int, bytes]]
    base_token: int
    """Of the whole that lies there; 0: none does."""
    words: bool
    """Whether any of the operator's words lie there."""


class Post:
    """What one replica sends and fetches. Raises ``Trouble`` and nothing else."""

    def __init__(self, link: Link, key: HashKey, replica: str) -> None:
        self._link, self.replica = link, replica
        mark = key.identifier("reference", b"fleet")[:16]
        self._prefix = f"g{VERSION}:{{fleet.{mark}}}:"
        self._bound = f"g{VERSION}:{{kept.{mark}."
        for name, source in SCRIPTS.items():
            link.add(name, source)

    def _key(self, name: str) -> str:
        return self._prefix + name

    # -- streams --------------------------------------------------------------------------------------------------

    async def send(self, batch: bytes) -> None:
        """A batch for whoever leads."""
        await self._link.script("fleet add", [self._key("rows")], [batch, MOST_BATCHES, STREAM_MS])

    async def rows(self, after: str, most: int) -> list[Entry]:
        """Batches of all replicas."""
        return (await self._read(most, ("rows", after)))[0]

    async def heard(self, said_after: str, news_after: str, most: int) -> tuple[list[Entry], list[Entry]]:
        """The operator's words and the leader's frames."""
        said, news = await self._read(most, ("said", said_after), ("news", news_after))
        return said, news

    async def latest(self, name: str) -> str:
        """Where a stream ends."""
        found = await self._link.call("XREVRANGE", self._key(name), "+", "-", "COUNT", 1)
        return _text(found[0][0]) if found else NONE

    async def _read(self, most: int, *streams: tuple[str, str]) -> list[list[Entry]]:
        names = [self._key(name) for name, _ in streams]
        places = [after for _, after in streams]
        answer = await self._link.call("XREAD", "COUNT", most, "STREAMS", *names, *places) or []
        found: dict[str, list[Entry]] = {}
        for name, entries in answer.items() if isinstance(answer, dict) else answer:
            flat = entries[0] if isinstance(answer, dict) and entries else entries
            found[_text(name)] = [(_text(place), dict(fields).get(b"f", b"")) for place, fields in flat if fields]
        return [found.get(name, []) for name in names]

    # -- the operator's words -------------------------------------------------------------------------------------

    async def say(self, entry: bytes, holds: Mapping[str, bytes]) -> None:
        """A word for all, and what holds from now on by it (``b""``: no more)."""
        pairs = [part for pair in holds.items() for part in pair]
        keys = [self._key("said"), self._key("words")]
        await self._link.script("fleet say", keys, [entry, MOST_SAID, KEPT_MS, KEPT_MS, *pairs])

    async def nudge(self, entry: bytes) -> None:
        """Something for all who are there to hear, by which nothing holds."""
        await self._link.script("fleet add", [self._key("said")], [entry, MOST_SAID, KEPT_MS])

    async def words(self) -> dict[str, bytes]:
        """What holds."""
        found = await self._link.call("HGETALL", self._key("words"))
        return {_text(name): word for name, word in found.items()}

    # -- who is there, who leads ----------------------------------------------------------------------------------

    async def beat(self, says: bytes) -> Beat:
        """Tells that this replica is there; who else is."""
        keys = [self._key("live"), self._key("base"), self._key("words")]
        at, all_of_them, token, words = await self._link.script("fleet beat", keys, [self.replica, says, LIVE_MS])
        live = {}
        for name, said in zip(all_of_them[::2], all_of_them[1::2], strict=True):
            beaten, _, rest = said.partition(b" ")
            if beaten.isdigit():
                live[_text(name)] = (int(beaten), rest)
        return Beat(int(at), live, int(token) if token.isdigit() else 0, bool(words))

    async def gone(self) -> None:
        """This replica is there no more."""
        await self._link.call("HDEL", self._key("live"), self.replica)

    async def stand(self, token: int, *, free: bool) -> tuple[str, int]:
        """Renews the lease held under ``token`` (0: none is), or takes it where nobody has it and ``free``. Who has it, and by which
        token; ``("", 0)``: nobody."""
        args: list[str | bytes | float] = [self.replica, LEASE_MS, token or "", int(free)]
        held = _text(await self._link.script("fleet stand", [self._key("lead")], args))
        whose, _, since = held.partition(":")
        return whose, int(since) if since.isdigit() else 0

    async def publish(self, token: int, frame: bytes) -> bool:
        """A frame for all; False: another leads."""
        keys = [self._key("lead"), self._key("news")]
        args: list[str | bytes | float] = [f"{self.replica}:{token}", frame, MOST_FRAMES, STREAM_MS]
        return bool(await self._link.script("fleet publish", keys, args))

    async def leave(self, token: int) -> None:
        """Leads no more."""
        await self._link.script("fleet leave", [self._key("lead")], [f"{self.replica}:{token}"])

    # -- what the API keeps ---------------------------------------------------------------------------------------

    async def bind(self, place: int, entry: int) -> None:
        """Whoever was bound first stays; ``entry`` 0: nobody is."""
        key = f"{self._bound}{place:016x}}}"
        if entry:
            await self._link.call("SET", key, entry, "PX", BOUND_MS, "NX")
        else:
            await self._link.call("DEL", key)

    async def bound(self, place: int) -> int:
        """0: nobody that is known."""
        found = await self._link.call("GET", f"{self._bound}{place:016x}}}")
        return int(found) if isinstance(found, bytes) and found.isdigit() and int(found) < 1 << 64 else 0

    # -- the whole ------------------------------------------------------------------------------------------------

    async def put(self, made: int, number: int, piece: bytes) -> None:
        """One piece of a whole that is not yet in force."""
        await self._link.call("SET", self._key(f"w:{made}:{number}"), piece, "PX", KEPT_MS)

    async def settle(self, token: int, base: Mapping[str, str | int], rows_from: str, news_from: str) -> bool:
        """The whole is there and in force from now on; False: another leads."""
        keys = [self._key(name) for name in ("lead", "base", "rows", "news")]
        fields = [part for pair in base.items() for part in pair]
        args: list[str | bytes | float] = [f"{self.replica}:{token}", KEPT_MS, rows_from, news_from, *fields]
        return bool(await self._link.script("fleet base", keys, args))

    async def let_go(self, made: int, pieces: Sequence[int]) -> None:
        """A whole that is in force no more; who reads it has a few seconds."""
        if pieces:
            await self._link.script("fleet let go", [self._key(f"w:{made}:{number}") for number in pieces], [LEFT_MS])

    async def base(self) -> dict[str, str]:
        """Where the whole is; empty: there is none."""
        found = await self._link.call("HGETALL", self._key("base"))
        return {_text(name): _text(value) for name, value in found.items()}

    async def piece(self, made: int, number: int) -> bytes:
        """One piece; ``b""``: it is gone."""
        found = await self._link.call("GET", self._key(f"w:{made}:{number}"))
        return found if isinstance(found, bytes) else b""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

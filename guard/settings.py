"""A policy, compiled: the frozen values that ``config.py`` makes of a policy file and that every stage reads.

One request sees one whole ``Policy``; a reload builds a new one and swaps it. Field names are those of the file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Any, Literal

from guard.types import AccountFacts, Mode, Route, RuleMode

# The operator's callable: the credential as text (or "" for none) → facts; None: nobody I know (stays provisional).
Describe = Callable[[str], AccountFacts | Awaitable[AccountFacts | None] | None]
Network = IPv4Network | IPv6Network
Unit = Literal["requests", "tokens", "cost"]
PER = ("account", "user", "org", "model", "region", "cluster", "family")


@dataclass(frozen=True, slots=True)
class Protect:
    """``[protect]``. ``routes`` is empty where the paths of the known dialects are meant."""

    routes: tuple[Route, ...] = ()
    unknown: Literal["refuse", "flat"] = "refuse"
    unknown_flat_tokens: int = 0
    websockets: Literal["deny", "allow"] = "deny"


@dataclass(frozen=True, slots=True)
class Identity:
    """``[identity]``. ``credential`` are the headers (lower-case) that may carry one; the first in a request counts, a
    second one with another value is refused. ``query`` and ``cookie`` name a query parameter and a cookie that may."""

    credential: tuple[str, ...] = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
    query: str = ""
    cookie: str = ""
    describe: Describe | None = None
    describe_ttl_s: float = 60.0
    anonymous: Literal["limit", "refuse"] = "limit"
    ipv6_prefix: int = 56


@dataclass(frozen=True, slots=True)
class Trust:
    """``[trust]``. Headers count only where the socket's peer lies in ``hops``; ``""``: that header is not used."""

    hops: tuple[Network, ...] = ()
    address: str = ""
    country: str = ""
    asn: str = ""
    asn_kind: str = ""
    ja4: str = ""
    subdivision: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """``[region]``: files that say where an address is. ``country`` and ``asn`` are MMDB files, ``kinds`` (kind, files of
    networks). ``*_max_age_s`` 0: a file is never too old. ``embedded``: an IPv6 address that only wraps an IPv4 one
    (NAT64, 6to4, Teredo) is where that one is; else it is nowhere."""

    country: tuple[str, ...] = ()
    asn: tuple[str, ...] = ()
    max_age_s: float = 40 * 86_400.0
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kinds_max_age_s: float = 0.0
    embedded: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """``[body]``: what a request may cost to read."""

    max_bytes: int = 32 * 1024 * 1024
    timeout_s: float = 10.0
    max_depth: int = 64
    max_items: int = 100_000
    max_headers: int = 100
    max_header_bytes: int = 32 * 1024


@dataclass(frozen=True, slots=True)
class Window:
    """``amount`` units in ``window_s`` seconds: a meter of that capacity, drained at amount / window_s."""

    amount: float
    window_s: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold, compiled. ``tests`` are (field, kind, operand); see ``policy.py`` for the fields and kinds.

    Every test must hold; an empty condition always holds.
    """

    tests: tuple[tuple[str, str, Any], ...] = ()


ALWAYS = Condition()


@dataclass(frozen=True, slots=True)
class Limit:
    """``[[limit]]``. Windows of each unit in rising length; ``concurrent`` 0: none."""

    id: str
    per: tuple[str, ...]
    when: Condition = ALWAYS
    requests: tuple[Window, ...] = ()
    tokens: tuple[Window, ...] = ()
    cost: tuple[Window, ...] = ()
    concurrent: int = 0
    mode: RuleMode = "enforce"
    on_store_error: str = "static"
    """While the shared store does not answer: go on from what was last seen (``static``), ``allow``, or ``deny``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``[[rule]]``: condition → action."""

    id: str
    when: Condition
    action: str
    mode: RuleMode = "enforce"
    public: str = ""
    """The operator's own sentence to the client, or ``""`` for guard's."""
    options: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Grant:
    """``[grants]``: the operator's word. ``until`` is seconds since 1970 (0: no end); ``told``: the client is told."""

    subject: str
    """As written: ``account:<id>`` or ``org:<id>``."""
    why: str
    until: float = 0.0
    told: bool = True


@dataclass(frozen=True, slots=True)
class Price:
    """``[models."pattern"]``: money for a million tokens. Patterns are shell-style, the first that fits in file order."""

    pattern: str
    input: float
    output: float


HeaderNames = tuple[tuple[bytes, bytes], ...]
"""``[headers]``: guard's own name of a response header → the operator's, ``b""``: it is left out. Only those that differ."""


@dataclass(frozen=True, slots=True)
class Score:
    """``[score]``. ``weights`` is a path to a weights file, ``""``: the shipped one."""

    weights: str = ""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """``[ceilings]``: what accounts without standing may take together (``recognition/ceilings.py``). In shadow and off they
    contain nothing and go on counting, so that there is a history when they are switched on."""

    mode: RuleMode = "enforce"


@dataclass(frozen=True, slots=True)
class Admin:
    """``[admin]``. ``socket`` is a path (``""``: no channel); ``tcp`` is ``host:port`` and needs ``token_file``."""

    socket: str = ""
    tcp: str = ""
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """``[state]``. ``dir`` ``""``: nothing is kept over a restart. Bounds are numbers of tracked subjects."""

    dir: str = ""
    snapshot_s: float = 10.0
    max_accounts: int = 50_000
    lease_s: float = 900.0
    store: str = ""
    """URL of the store that all replicas share; ``""``: this process's memory."""
    deadline_s: float = 0.025
    """How long a request waits for that store."""
    replicas: int = 1
    """How many there are, until they have found each other in the store."""


@dataclass(frozen=True, slots=True)
class Audit:
    """``[audit]``. ``file`` ``""``: ``<state.dir>/audit.jsonl`` where there is a state dir, else none."""

    file: str = ""
    max_bytes: int = 64 * 1024 * 1024
    keep: int = 8
    sample_allowed: float = 0.001


@dataclass(frozen=True, slots=True)
class Record:
    """``[record]``: exchange logs for ``guard replay``. ``file`` ``""``: off."""

    file: str = ""
    bodies: bool = False
    max_bytes: int = 256 * 1024 * 1024
    keep: int = 4


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy. ``digest`` is 16 hex digits of the file's content; ``source`` its path or preset name."""

    mode: Mode = "observe"
    source: str = "built in"
    digest: str = ""
    protect: Protect = Protect()
    identity: Identity = Identity()
    trust: Trust = Trust()
    region: Region = Region()
    body: Body = Body()
    limits: tuple[Limit, ...] = ()
    rules: tuple[Rule, ...] = ()
    grants: tuple[Grant, ...] = ()
    prices: tuple[Price, ...] = ()
    default_output_tokens: int = 4096
    """``[models] default_output_tokens``: reserved for an answer whose request states no budget."""
    headers: HeaderNames = ()
    score: Score = Score()
    ceilings: Ceilings = Ceilings()
    admin: Admin = Admin()
    state: State = State()
    audit: Audit = Audit()
    record: Record = Record()

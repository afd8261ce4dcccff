"""The line to a Redis or Valkey: an address → redis-py's asyncio client, and its many errors → one ``Trouble``.

A command is sent once. What is lost on the way may have been done or not, and only the caller knows what that means; so
nothing here tries again, except what the server says it has not begun: a script that it does not know (``NOSCRIPT``), a slot
that has moved. Credentials stand in the address and nowhere else: no repr, no message has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from hashlib import sha1
from ssl import SSLCertVerificationError
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import exceptions
from redis._parsers import AsyncCommandsParser
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from guard.errors import GuardError, InstallError

Kind = Literal[
    "lost", "timeout", "noscript", "readonly", "moved", "clusterdown", "crossslot", "oom", "loading", "busy", "misconf",
    "noauth", "noperm", "wrongtype", "version", "tls", "other",
]  # fmt: skip
SCHEMES = (
    "redis",
    "rediss",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "valkey",
    "valkeys",
    "valkey+sentinel",
    "valkeys+sentinel",
    "valkey+cluster",
    "valkeys+cluster",
)
_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_REMEDY = "a store is written redis://[user:password@]host[:port][/database], with several hosts a comma between them"

# The first word of a server's error, where redis-py has no class for it.
_WORDS: dict[str, Kind] = {
    "BUSY": "busy",
    "MISCONF": "misconf",
    "WRONGTYPE": "wrongtype",
    "OOM": "oom",
    "READONLY": "readonly",
    "LOADING": "loading",
    "NOSCRIPT": "noscript",
    "NOAUTH": "noauth",
    "WRONGPASS": "noauth",
    "NOPERM": "noperm",
    "MOVED": "moved",
    "ASK": "moved",
    "TRYAGAIN": "moved",
    "CROSSSLOT": "crossslot",
    "CLUSTERDOWN": "clusterdown",
    "MASTERDOWN": "clusterdown",
    "NOREPLICAS": "readonly",
}
# A class comes before those that it is one of.
_CLASSES: tuple[tuple[type[BaseException], Kind], ...] = (
    (exceptions.NoScriptError, "noscript"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.AskError, "moved"),
    (exceptions.TryAgainError, "moved"),
    (exceptions.ClusterCrossSlotError, "crossslot"),
    (exceptions.CrossSlotTransactionError, "crossslot"),
    (exceptions.ClusterDownError, "clusterdown"),
    (exceptions.ClusterError, "clusterdown"),
    (exceptions.RedisClusterException, "clusterdown"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.NoPermissionError, "noperm"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "noauth"),
    (exceptions.AuthenticationError, "noauth"),
    (exceptions.AuthorizationError, "noauth"),
    (exceptions.MaxConnectionsError, "timeout"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.ConnectionError, "lost"),
    (exceptions.InvalidResponse, "lost"),
    (OSError, "lost"),
    (EOFError, "lost"),
    (RuntimeError, "lost"),  # uvloop, when it is told to write to a connection that has been reset meanwhile
)
_FOREIGN = (
    exceptions.RedisError,
    exceptions.RedisClusterException,
    OSError,
    EOFError,
    TimeoutError,
    RuntimeError,
)


class Trouble(GuardError):  # noqa: N818 - the vocabulary's word, and it is survived rather than reported
    """The store did not do what it was asked. ``kind`` says why, in one word; ``maybe`` whether it may have done it all the same."""

    asked_s = float("inf")
    """When it was asked for what it did not do, by the loop's clock; inf: nobody noted it, and it is news."""

    def __init__(self, kind: Kind, more: str = "") -> None:
        self.kind: Kind = kind
        self.maybe = kind in {"lost", "timeout"}
        super().__init__(f"the store: {kind}{f' ({more})' if more else ''}")


def trouble(error: BaseException) -> Trouble:
    """A foreign error in one word. Its message is left behind: nobody knows what it quotes."""
    if isinstance(error, Trouble):
        return error
    for known, kind in _CLASSES:
        if isinstance(error, known):
            if kind in {"lost", "clusterdown", "timeout"}:
                kind = _beneath(error) or kind
            return Trouble(kind, type(error).__name__)
    return Trouble(_WORDS.get(str(error).partition(" ")[0].lstrip("-"), "other"), type(error).__name__)


def _since(error: BaseException, asked_s: float) -> Trouble:
    found = trouble(error)
    found.asked_s = asked_s
    return found


def _beneath(error: BaseException) -> Kind | None:
    """What a lost connection came of, where it is not the network: it doesn't help to try again."""
    beneath: BaseException | None = error
    for _ in range(4):
        if beneath is None:
            break
        if isinstance(beneath, exceptions.AuthenticationError):
            return "noauth"
        if isinstance(beneath, SSLCertVerificationError):
            return "tls"
        beneath = beneath.__cause__ or beneath.__context__
    return None


class Address(NamedTuple):
    """Where a store is. Its text names no credentials."""

    kind: Literal["single", "sentinel", "cluster"]
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    username: str = ""
    password: str = ""
    service: str = ""
    sentinel_password: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        hosts = ",".join([f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts])
        how = "" if self.kind == "single" else f"+{self.kind}"
        end = f"/{self.database}{f'?service={self.service}' if self.service else ''}"
        return f"redis{'s' if self.tls else ''}{how}://{hosts}{end}"


def address(url: str) -> Address:
    """Reads the address of a store. Raises ``InstallError`` for what is none; the message does not quote it."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES or not rest:
        raise InstallError(f"the store's address has none of the schemes {', '.join(SCHEMES)}; {_REMEDY}")
    plain, _, how = scheme.partition("+")
    try:
        parts = urlsplit(f"x://{rest}")
    except ValueError:
        raise InstallError(f"the store's address can't be read; {_REMEDY}") from None
    credentials, _, places = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    hosts = []
    for place in places.split(","):
        try:
            one = urlsplit(f"//{place}")
            hosts.append((one.hostname or "localhost", one.port or (26379 if how == "sentinel" else 6379)))
        except ValueError:
            raise InstallError(f"a host of the store's address is none; {_REMEDY}") from None
    options = dict(parse_qsl(parts.query))
    service, sentinel_password = options.pop("service", ""), options.pop("sentinel_password", "")
    if how == "sentinel" and not service:
        raise InstallError("a store found by sentinels needs their name for it: add ?service=NAME to its address")
    if not options.keys() <= _OPTIONS:
        raise InstallError(
            f"an option of the store's address is not known; known: service, {', '.join(sorted(_OPTIONS))}"
        )
    database = parts.path.strip("/") or "0"
    if not database.isdecimal() or (how == "cluster" and database != "0"):
        raise InstallError(f"the store's database is a number, and a cluster has only database 0; {_REMEDY}")
    kind: Any = how or "single"
    secret = unquote(password)
    tls = plain in {"rediss", "valkeys"}
    return Address(
        kind,
        tls,
        tuple(hosts),
        int(database),
        unquote(username),
        secret,
        service,
        sentinel_password,
        tuple(options.items()),
    )


class _FirstIsKey(AsyncCommandsParser):
    """What is sent here names its key first, or the node. redis-py would read the server's table of all commands each time it
    looks at the cluster anew, which stops the loop for a tenth of a second in the middle of a failover."""

    async def initialize(self, node: ClusterNode | None = None) -> None:
        """Nothing is asked."""

    async def get_keys(self, *args: Any) -> tuple[str, ...]:
        """The keys of a command."""
        if args[0] == "XREAD":
            at = args.index("STREAMS") + 1
            return tuple(args[at : at + (len(args) - at) // 2])
        return tuple(args[1:2])


class Link:
    """Commands to one store. Bounded: at most ``connections`` at a time, none waits longer than ``timeout_s``.

    ``scripts`` are Lua sources by name. Nothing is sent before the first command.
    """

    def __init__(
        self, url: str, *, timeout_s: float = 0.5, connections: int = 16, scripts: Mapping[str, str] | None = None
    ) -> None:
        self.address = address(url)
        self.timeout_s = timeout_s
        self._connections = connections
        self._scripts: dict[str, tuple[str, str]] = {}
        self._sentinel: Any = None
        self._client: Any = self._made()
        # A pool lets callers wait for a connection; the cluster's client refuses whoever comes when all are taken.
        self._turn = asyncio.Semaphore(connections) if self.clustered else nullcontext()
        for name, source in (scripts or {}).items():
            self.add(name, source)

    def __repr__(self) -> str:
        return f"Link({self.address})"

    @property
    def clustered(self) -> bool:
        """Whether keys of one call must share a slot."""
        return self.address.kind == "cluster"

    @staticmethod
    def slot(key: str) -> int:
        """The slot of a cluster in which a key lies."""
        return int(key_slot(key.encode()))

    def add(self, name: str, source: str) -> None:
        """Makes a script known by name."""
        digest = sha1(source.encode(), usedforsecurity=False).hexdigest()  # what Redis calls a script
        self._scripts[name] = (digest, source)

    async def call(self, *command: str | bytes | float, key: str | bytes | None = None) -> Any:
        """One command; its reply as redis-py has it, texts as bytes. Raises ``Trouble`` and nothing else.

        ``key`` says on which node of a cluster a command without keys is meant.
        """
        more: dict[str, Any] = {}
        asked_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(2 * self.timeout_s), self._turn:
                if self.clustered and key is not None:
                    if not self._client.nodes_manager.nodes_cache:
                        await self._client.initialize()
                    more["target_nodes"] = self._client.get_node_from_key(key)
                return await self._client.execute_command(*command, **more)
        except _FOREIGN as error:
            raise _since(error, asked_s) from None

    async def script(self, name: str, keys: Sequence[str | bytes], args: Sequence[str | bytes | float]) -> Any:
        """Runs a script by its digest, or by its text where the server has forgotten it. Raises ``Trouble`` and nothing else."""
        digest, source = self._scripts[name]
        asked_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(2 * self.timeout_s), self._turn:
                try:
                    return await self._client.execute_command("EVALSHA", digest, len(keys), *keys, *args)
                except exceptions.NoScriptError:
                    return await self._client.execute_command("EVAL", source, len(keys), *keys, *args)
        except _FOREIGN as error:
            raise _since(error, asked_s) from None

    async def reset(self) -> None:
        """Lets go of all connections; the next command makes new ones, and looks for the primary or the nodes anew."""
        old, self._client = self._client, self._made()
        await self._let_go(old)

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._let_go(self._client)

    async def _let_go(self, client: Any) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                await client.aclose()
                if isinstance(client, RedisCluster):
                    # Its own ``aclose`` leaves them open when it is about to look at the cluster anew.
                    await client.nodes_manager.aclose()
                    await client.nodes_manager.aclose("startup_nodes")
                else:
                    pool = client.connection_pool
                    await pool.disconnect()
                    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
                        await sentinel.aclose()
        except _FOREIGN:
            pass  # they are gone already

    def _made(self) -> Any:
        where = self.address
        options: dict[str, Any] = {
            "username": where.username or None,
            "password": where.password or None,
            # ``call`` and ``script`` have their own. redis-py would send within asyncio.wait_for, which on Python 3.11 loses the
            # cancellation of whoever waits.
            "socket_timeout": None,
            "socket_connect_timeout": self.timeout_s,
            "socket_keepalive": True,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        secure = dict(where.options)
        if "ssl_check_hostname" in secure:
            options["ssl_check_hostname"] = secure.pop("ssl_check_hostname").lower() not in {"0", "no", "false"}
        if where.tls:
            options |= secure
        if where.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in where.hosts]
            client = RedisCluster(
                startup_nodes=nodes,
                ssl=where.tls,
                max_connections=self._connections,
                require_full_coverage=False,
                **options,
            )
            client.commands_parser = _FirstIsKey()
            return client
        if where.kind == "sentinel":
            more: dict[str, Any] = {"password": where.sentinel_password} if where.sentinel_password else {}
            if where.tls:
                more |= {"ssl": True, **secure}
            sentinel: Any = Sentinel  # untyped in redis-py
            self._sentinel = sentinel(
                list(where.hosts),
                sentinel_kwargs={"socket_timeout": self.timeout_s, "protocol": 2, "retry": options["retry"], **more},
            )
            return self._sentinel.master_for(where.service, db=where.database, ssl=where.tls, **options)
        host, port = where.hosts[0]
        if where.tls:
            options["connection_class"] = SSLConnection
        pool = BlockingConnectionPool(
            max_connections=self._connections,
            timeout=self.timeout_s,
            host=host,
            port=port,
            db=where.database,
            **options,
        )
        return Redis(connection_pool=pool)

"""Databases of addresses in the MaxMind DB format (MMDB): the user's own, none is bundled. Needs the extra ``geo``.

The common layouts are read: GeoLite2 and GeoIP2 (``country.iso_code``, ``registered_country``, ``subdivisions``,
``autonomous_system_number``), DB-IP's in the same words, and the flat ones of IPinfo and others (``country_code`` or
``country``, ``region_code``, ``asn`` as a number or ``"AS64496"``).

A file is read from a private copy: a database that is overwritten in place would end the process while it is mapped into
its memory (SIGBUS), and such an update is what ``cp`` and ``curl -o`` do.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from guard import countries

if TYPE_CHECKING:
    import maxminddb

# A record is read so far before a database is believed; one that says nothing guard understands is none.
_SAMPLE = 512
_MOST_BYTES = 2 * 1024**3
_BLOCK_BYTES = 1024 * 1024
_NAT64 = IPv6Network("64:ff9b::/96")
_MOST_PARTS = 8


class DatabaseError(Exception):
    """A file that is no database guard can use; the text says why, in words for the operator."""


class Facts(NamedTuple):
    """What a record says; ``""``, ``()`` and 0: nothing of that."""

    country: str = ""
    subdivisions: tuple[str, ...] = ()
    asn: int = 0


NO_FACTS = Facts()


def installed() -> bool:
    """Whether the package that reads databases is there."""
    return find_spec("maxminddb") is not None


def asked(address: IPv4Address | IPv6Address, *, embedded: bool) -> IPv4Address | IPv6Address | None:
    """The address to ask of; None: a private, reserved or made-up one, of which no database may say anything.

    ``embedded``: of an address that wraps an IPv4 one (NAT64, 6to4, Teredo) that one is asked; else nothing.
    """
    if isinstance(address, IPv6Address):
        wrapped = address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is None and address.ipv4_mapped is not None:
            return asked(address.ipv4_mapped, embedded=embedded)
        if wrapped is not None:
            return asked(wrapped, embedded=embedded) if embedded else None
    # ::/96, below which databases keep IPv4, is among the reserved.
    return address if address.is_global and not (address.is_multicast or address.is_reserved) else None


def facts(record: object) -> Facts:
    """What a record says, in any of the layouts. Never raises; what can't be is as if it weren't there."""
    if not isinstance(record, dict):
        return NO_FACTS
    country = (
        countries.country(_code(record.get("country")))
        or countries.country(record.get("country_code"))
        or countries.country(record.get("country"))
        or countries.country(_code(record.get("registered_country")))
    )
    return Facts(country, _subdivisions(record, country), _asn(record))


def _code(part: object) -> object:
    return part.get("iso_code") if isinstance(part, dict) else None


def _subdivisions(record: dict[str, Any], country: str) -> tuple[str, ...]:
    stated = record.get("subdivisions")
    found = [_code(part) for part in stated[:_MOST_PARTS]] if isinstance(stated, list) else []
    codes = [countries.subdivision(part, country) for part in (*found, record.get("region_code"))]
    return tuple(dict.fromkeys(code for code in codes if code))


def _asn(record: dict[str, Any]) -> int:
    traits = record.get("traits")
    for stated in (
        record.get("autonomous_system_number"),
        record.get("asn"),
        record.get("as_number"),
        traits.get("autonomous_system_number") if isinstance(traits, dict) else None,
    ):
        if isinstance(stated, str):
            digits = stated.strip().upper().removeprefix("AS")
            number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0
        else:
            number = stated if type(stated) is int else 0
        if 0 < number < 1 << 32:
            return number
    return 0


class Database:
    """One database, open: made by ``opening``. What it says of an address never raises."""

    __slots__ = ("_broken", "_ipv4_only", "_reader", "built_at", "kind", "states")

    def __init__(self, reader: maxminddb.Reader, broken: tuple[type[Exception], ...]) -> None:
        self._reader, self._broken = reader, broken
        metadata = reader.metadata()
        said = [facts(record) for _, record in islice(reader, _SAMPLE)]
        self.built_at = float(metadata.build_epoch)
        """Seconds since 1970."""
        self.kind = str(metadata.database_type)[:64]
        self._ipv4_only = metadata.ip_version == 4
        told = (("country", any(one.country for one in said)), ("asn", any(one.asn for one in said)))
        self.states = frozenset(fact for fact, there in told if there)
        """``country``, ``asn``: what its first records state."""

    def facts(self, address: IPv4Address | IPv6Address) -> Facts | None:
        """What it says of an address; None: it is damaged there."""
        if self._ipv4_only and isinstance(address, IPv6Address):
            return NO_FACTS
        try:
            return facts(self._reader.get(address))
        except self._broken:
            return None


def opening(path: str) -> Generator[None, None, Database]:
    """The database in a file, in steps of a millisecond or so. Raises ``DatabaseError``."""
    try:
        import maxminddb  # noqa: PLC0415 - an extra, and only where it is asked for
    except ImportError:
        raise DatabaseError("needs a package that isn't installed: pip install 'extraction-guard[geo]'") from None

    # What a damaged one makes its reader raise.
    broken = (maxminddb.InvalidDatabaseError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise DatabaseError(f"is larger than {_MOST_BYTES} bytes")
            copy = yield from _copying(file)
            if not copy:
                file.seek(0)
                return Database(maxminddb.open_database(file, maxminddb.MODE_FD), broken)
        try:
            # Read in Python: some 15 times as slow as its extension, for addresses that weren't met lately; but the extension
            # ends the process where a database is damaged in the wrong place.
            return Database(maxminddb.open_database(copy, maxminddb.MODE_MMAP), broken)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(copy)
    except FileNotFoundError:
        raise DatabaseError("missing") from None
    except OSError as error:
        raise DatabaseError(f"can't be read: {error.strerror or type(error).__name__}") from None
    except (*broken, MemoryError):
        raise DatabaseError("is no MMDB database, or a damaged one") from None


def _copying(file: IO[bytes]) -> Generator[None, None, str]:
    """The path of a copy; ``""``: there is no room for one."""
    try:
        handle, copy = tempfile.mkstemp(prefix="guard-", suffix=".mmdb")
    except OSError:
        return ""
    whole = False
    try:
        with os.fdopen(handle, "wb") as written:
            while block := file.read(_BLOCK_BYTES):
                written.write(block)
                yield
        whole = True
    except OSError:
        return ""
    finally:
        if not whole:
            with contextlib.suppress(OSError):
                os.unlink(copy)
    return copy

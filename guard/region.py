"""Where an address is, by the files that the policy names: MMDB databases for country and ASN, lists for kinds of networks.

A file that changes is taken up by the tick once it has held still for a look (a download may be under way). A broken new
one changes nothing: the last good one goes on answering, with a warning, until it is too old. One that is missing, too old
or broken from the start *can't be asked*, and then "unknown" stands beside what the other sources say (``origin.py``).

What was said of an address is remembered by ``peers.py``; ``epoch`` changes whenever that is no longer to be relied on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Generic, TypeVar

from guard.geo import Database, DatabaseError, asked, opening
from guard.networks import Listed, ListError, Prefixes, reading
from guard.origin import UNKNOWN, Fact, Origin, Said, compared
from guard.settings import Policy, Region
from guard.travel import Travels

POLL_S = 2.0
DAY_S = 86_400.0
# A clock may be off by this much; what was built later than that is of no age that could be judged.
_AHEAD_S = 2 * DAY_S
# So much of its allowed age may pass before the operator is told.
_AGEING = 0.75

Content = TypeVar("Content", Database, Listed)
# (path, what it is for) → what stands there and when it was built, in steps of a millisecond or so.
Loader = Callable[[str, tuple[Fact, ...]], Generator[None, None, tuple[Content, float]]]


class _File(Generic[Content]):
    """One file and what was read of it. ``trouble``: ``""``, ``missing``, ``stale``, ``broken``; ``why``: the last failure."""

    def __init__(self, path: str, facts: tuple[Fact, ...], most_s: float, load: Loader[Content]) -> None:
        self.path, self.facts, self.most_s = path, facts, most_s
        self.name = Path(path).name
        self.content: Content | None = None
        self.built_at = 0.0
        self.why = ""
        self.trouble = "missing"
        self._load: Loader[Content] = load
        self._seen = self._settled = _signature(path)
        for _ in self.taking():
            pass

    def changed(self) -> bool:
        """Looks at the file's time and size; True: it is to be read (again), or has gone."""
        seen, self._seen = self._seen, _signature(self.path)
        if self._seen == self._settled or self._seen != seen:
            return False
        self._settled = self._seen
        return True

    def judge(self, now: float) -> bool:
        """Works out whether it can be asked; True: that has changed. ``now`` 0: nobody knows, as in a replay."""
        before = self.trouble
        if self.content is None:
            self.trouble = "missing" if self.why == "missing" else "broken"
        elif now and self.most_s and not -_AHEAD_S <= now - self.built_at <= self.most_s:
            self.trouble = "stale"
        else:
            self.trouble = ""
        return self.trouble != before

    def taking(self) -> Iterator[None]:
        """Reads the file, in steps of a millisecond or so. What fails changes nothing but ``why``."""
        try:
            content, built_at = yield from self._load(self.path, self.facts)
        except (DatabaseError, ListError) as error:
            self.why = str(error)
            return
        # The old one is not closed: whoever is in the middle of asking it goes on, and it is gone with the last of them.
        self.content, self.built_at, self.why = content, built_at, ""

    def says(self, now: float) -> str:
        """Its state in a sentence."""
        of = " and ".join(self.facts)
        if self.trouble == "stale" and now < self.built_at:
            return f"{self.name} was built in the future: check the clock; {of} is unknown"
        if self.trouble == "stale":
            return f"{self.name} is {_days(now - self.built_at)} old, more than {_days(self.most_s)}: {of} is unknown"
        if self.trouble:
            return f"{self.name} {_told(self.why)}: {of} is unknown"
        if self.why:
            return f"{self.name} {_told(self.why)}: the one that is {_days(now - self.built_at)} old stays in use"
        return f"{self.name} is {_days(now - self.built_at)} old"

    def ageing(self, now: float) -> bool:
        return bool(self.most_s) and now - self.built_at > _AGEING * self.most_s


class Regions:
    """The region stage of one installation. It outlives reloads: ``use`` swaps the policy, open files stay open."""

    def __init__(self, policy: Policy, now: float) -> None:
        self.epoch = 0
        self.travel = Travels()
        self.active = False
        """Whether there is anything to be said beyond the headers."""
        self._files: dict[tuple[str, tuple[Fact, ...], float], _File[Database]] = {}
        self._lists: dict[tuple[str, float], _File[Listed]] = {}
        self._settings = Region()
        self._kinds: list[tuple[str, _File[Listed]]] = []
        self._prefixes = Prefixes(())
        self._looked_at = now
        self.use(policy, now)

    def use(self, policy: Policy, now: float) -> None:
        """Goes on under another policy; files that it names too are not read again."""
        region = self._settings = policy.region
        self.travel.use(policy)
        self.active = bool(region.country or region.asn or region.kinds or policy.trust.subdivision)
        facts: dict[str, tuple[Fact, ...]] = dict.fromkeys(region.country, ("country",))
        for path in region.asn:
            facts[path] = (*facts.get(path, ()), "asn")
        self._files = {
            key: self._files.get(key) or _File(*key, _database)
            for key in ((p, f, region.max_age_s) for p, f in facts.items())
        }
        lists = dict.fromkeys(path for _, files in region.kinds for path in files)
        most_s = region.kinds_max_age_s
        self._lists = {
            (path, most_s): self._lists.get((path, most_s)) or _File(path, ("asn_kind",), most_s, _list)
            for path in lists
        }
        self._kinds = [(kind, self._lists[path, most_s]) for kind, files in region.kinds for path in files]
        for file in self._all():
            file.judge(now)
        self._renew()

    def watch(self, now: float) -> Iterator[str]:
        """Looks at the files every few seconds, in steps of a millisecond or so. Yields a sentence where the state of one has
        changed, ``""`` elsewhere. Never raises."""
        if not self.active or now - self._looked_at < POLL_S:
            return
        self._looked_at = now
        for file in self._all():
            changed = file.changed()
            if changed:
                for _ in file.taking():
                    yield ""
            if file.judge(now) or changed:
                self._renew()
                yield file.says(now)

    def origin(self, address: str, header: Said | None = None) -> Origin:
        """What all sources say of a canonical address (``"unknown"``: none). A few µs; the caller remembers it."""
        said = [header] if header is not None and header.asked else []
        found = None if address == UNKNOWN else ip_address(address)
        public = None if found is None else asked(found, embedded=self._settings.embedded)
        for file in self._files.values():
            facts = file.content.facts(public) if file.content and public and not file.trouble else None
            if facts is None:
                broken = public is not None and not file.trouble
                said.append(Said(file.name, file.facts, trouble="broken" if broken else file.trouble))
                continue
            named = "country" in file.facts
            said.append(
                Said(
                    file.name,
                    file.facts,
                    facts.country if named else "",
                    facts.subdivisions if named else (),
                    facts.asn if "asn" in file.facts else 0,
                )
            )
        if self._kinds:
            trouble = next((file.trouble for _, file in self._kinds if file.trouble), "")
            at = found if public is None else public
            kinds = self._prefixes.kinds(at, [one.asn for one in said if one.asn]) if at is not None else ()
            # Of a private address that no list names there is nothing to say; it is not "unlisted".
            if public is not None or kinds or trouble:
                said.append(Said("lists", ("asn_kind",), kinds=kinds, trouble=trouble))
        return compared(tuple(said))

    def status(self, now: float) -> list[dict[str, Any]]:
        """Each file's state, for the operator: name, what it is for, when it was built, how old it is, and what is wrong."""
        return [
            {
                "file": file.name,
                "for": list(file.facts),
                "state": file.trouble or "ok",
                "built_at": file.built_at,
                "age_days": round((now - file.built_at) / DAY_S, 2) if file.built_at else None,
                "why": file.why,
            }
            for file in self._all()
        ]

    def troubles(self, now: float) -> tuple[str, ...]:
        """Sentences on what can't be asked now."""
        return tuple(f"region: {file.says(now)}" for file in self._all() if file.trouble)

    def warnings(self, now: float) -> tuple[str, ...]:
        """Sentences on what will be in trouble if nobody looks after it."""
        return tuple(
            f"region: {file.says(now)}{'' if file.why else f', after {_days(file.most_s)} it is no longer asked'}"
            for file in self._all()
            if not file.trouble and (file.why or file.ageing(now))
        )

    def _all(self) -> list[_File[Database] | _File[Listed]]:
        return [*self._files.values(), *self._lists.values()]

    def _renew(self) -> None:
        """What was said before no longer holds."""
        self._prefixes = Prefixes(
            [(kind, file.content) for kind, file in self._kinds if file.content and not file.trouble]
        )
        self.epoch += 1


def _database(path: str, facts: tuple[Fact, ...]) -> Generator[None, None, tuple[Database, float]]:
    database = yield from opening(path)
    for fact in facts:
        if fact not in database.states:
            raise DatabaseError(f"says nothing of {fact} in words guard knows (type {database.kind!r})")
    return database, database.built_at


def _list(path: str, _facts: tuple[Fact, ...]) -> Generator[None, None, tuple[Listed, float]]:
    """A list is as old as its file."""
    listed = yield from reading(path)
    try:
        return listed, os.stat(path).st_mtime
    except OSError:
        raise ListError("missing") from None


def _signature(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _told(why: str) -> str:
    return "is missing" if why == "missing" else why


def _days(seconds: float) -> str:
    days = seconds / DAY_S
    return f"{days:.0f} day{'s' * (round(days) != 1)}" if days >= 1 else f"{max(0.0, seconds) / 3600:.0f} h"

"""The store that replicas share: Redis 7 or Valkey, single, behind sentinels or as a cluster.

Everything of an account is one record and one script (``lua/``), all or nothing; requests that are in flight at the same moment
share one call (``remote/batch.py``). What is shared by many accounts has records of its own. When the store doesn't answer in
time, this process answers from what it saw last (``remote/shadow.py``), and what it admitted so is brought home later. Strangers
never reach the store: whoever makes up credentials would make up records.

A record that was lost or is older than what this process has seen in it is made good by the very call that finds out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any, ClassVar

from guard.charges import Bill, Charge, Slots, Spent, Taken, as_bills
from guard.clock import SystemClock
from guard.errors import InstallError
from guard.leases import Leases
from guard.registry import discover
from guard.remote import names, wire
from guard.remote.allotments import Lacking
from guard.remote.asker import Asker
from guard.remote.batch import Batch
from guard.remote.breaker import Breaker
from guard.remote.ending import Endings
from guard.remote.home import Home
from guard.remote.link import SCHEMES, Link, Trouble
from guard.remote.moving import Moving
from guard.remote.parts import Corrections, Held, Part, merged, rows
from guard.remote.settling import Ending, Settling
from guard.remote.shadow import Shadow
from guard.remote.sharing import Sharing
from guard.settings import State
from guard.types import JSONObject

_NOTHING = Taken(-1, 0.0, (), ())
_NOTHING_SPENT = Spent(0.0, 0.0, 0.0)
_SCRIPTS = ("take", "settle", "forget", "adopt")
_LEAST_TIMEOUT_S = 0.5
# Whatever else is asked will fare no better.
_LOST = {"lost", "version", "tls"}


class RedisStore:
    """See the module. ``time`` is for tests: the store then goes by it instead of its own clock. ``replica`` is this process's
    name among all, made up where there is none. ``log``: called with a line for the operator, at most once a second."""

    name: ClassVar[str] = "redis"
    schemes: ClassVar[tuple[str, ...]] = SCHEMES

    def __init__(
        self,
        state: State = State(),  # noqa: B008 - a frozen value
        *,
        time: Callable[[], float] | None = None,
        replica: str = "",
        log: Callable[[str], None] | None = None,
    ) -> None:
        if not state.store:
            raise InstallError("the shared store has no address: set store under [state]")
        self.replica = replica or os.urandom(6).hex()
        self.errors: dict[str, int] = {}
        """Calls that failed, by kind; ``healed``: what nobody could have written, and was taken for not there; ``forgotten``:
        records that had lost writes, and were made good."""
        deadline_s = state.deadline_s
        self._now: Callable[[], float] = time or SystemClock().now
        self._link = Link(state.store, timeout_s=max(_LEAST_TIMEOUT_S, 4 * deadline_s), scripts=sources())
        local = discover("stores")["memory"](replace(state, store="", max_accounts=2 * state.max_accounts))
        self._shadow = Shadow(local, state.max_accounts, self.replica, state.replicas)
        self._breaker = Breaker(self._now())
        self._asker = Asker(
            self._link,
            self._shadow,
            self._breaker,
            self._now,
            time,
            deadline_s,
            self._failed,
            self._healed,
            self._forgot,
        )
        self._batch = Batch(self._asker.send, deadline_s, late=self._late)
        self._settling = Settling(self._link, self._asker.clock, self._answers, self._failed, self._healed)
        self._home = Home(
            self._link,
            self._shadow,
            self._breaker,
            self._asker,
            self._settling,
            self._failed,
            self._now,
            self.replica,
            deadline_s,
        )
        self._home.log = self._home.oversight.log = log
        self._leases = Leases()
        self._endings = Endings(self._settling, self._shadow, self._leases, self._now)
        self._sharing = Sharing(
            self._asker, self._batch, self._shadow, self._endings.end, self._now, deadline_s, state.lease_s
        )
        self._home.beside = self._sharing.round
        self._moving = Moving(self._link, self._asker.clock, self._failed, state.max_accounts)
        self._deadline_s = deadline_s

    # -- the verbs -------------------------------------------------------------------------------------------------

    async def reserve(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """See ``contracts.Remote``."""
        if now >= self._leases.next_end:
            self._leases.expire(now)
        lone = not charges or isinstance(charges[0], Charge)
        bills: Sequence[Any] = as_bills(charges, slots.wanted) if lone else charges
        if not bills:
            return _NOTHING, 0
        own, shared = _split(bills, lone)
        if own is None or not self._breaker.allows(now):
            return self._locally(bills, slots, now, lone)
        if self._moving.any and not await self._moved(bills):
            return self._locally(bills, slots, now, lone)
        parts = self._asker.parts(bills, own, slots.ends_at - now, now)
        for one in parts:
            one.waiting = self._batch.put(one.call)
        said: Lacking | None = None
        whole = True
        try:
            if shared:
                said = await self._sharing.take([bills[number] for number in shared])
                whole = said is not None
            if said is None or said.refused < 0:
                for one in parts:
                    answer = await one.waiting  # type: ignore[misc]
                    if answer == "late" or isinstance(answer, Trouble):
                        whole = False
                        break
                    one.heard(answer)
        except asyncio.CancelledError:
            self._endings.give_back(parts, now)
            if said is not None:
                self._sharing.undo(said.ticket)
            raise
        if not whole:
            if said is not None:
                self._sharing.undo(said.ticket)
            taken, lease = self._locally(bills, slots, now, lone)
            self._endings.correct(parts, lease)
            return taken, lease
        return self._taken(bills, parts, shared, said, slots, now, lone)

    def take(self, charges: Sequence[Bill] | Sequence[Charge], slots: Slots, now: float) -> tuple[Taken, int]:
        """See ``contracts.Store``: from what this process knows."""
        lone = not charges or isinstance(charges[0], Charge)
        bills: Sequence[Any] = as_bills(charges, slots.wanted) if lone else charges
        if not bills:
            return _NOTHING, 0
        outcome = self._locally(bills, slots, now, lone)
        self._home.soon()
        return outcome

    def settle(self, corrections: Corrections, lease: int, now: float) -> bool:
        """See ``contracts.Store``."""
        found = self._leases.close(lease)
        if found is None:
            return False
        held: Held = found[3][0]
        held.check(corrections)
        if held.counted:
            self._shadow.closed(held.counted, now)
        if held.local:
            settled = self._shadow.settle(held.spent(corrections), held.local, now)
            self._home.soon()
            return settled
        if held.ticket:
            self._sharing.settle(held.ticket, held.spent(corrections))
        for one in held.parts:
            self._endings.end(one, corrections, now)
        return True

    def hold(self, lease: int, ends_at: float) -> None:
        """See ``contracts.Store``."""
        self._leases.hold(lease, ends_at)
        found = self._leases.under_way.get(lease)
        if found is None:
            return
        held: Held = found[3][0]
        hold_s = ends_at - self._now()
        if held.local or held.counted:
            self._shadow.hold(held.local or held.counted, ends_at)
        shared = self._sharing.hold(held.ticket, ends_at) if held.ticket else ()
        for one in (*held.parts, *shared):
            slots = rows(one, _NOTHING_SPENT)[1]
            if slots and hold_s > 0.0:
                blob = wire.settled(one.mark, one.token, one.start, (), slots, hold_s)
                self._settling.put(Ending(one.call.key, blob))

    def forget(self, subject: str) -> int:
        """See ``contracts.Store``: the meters of this process; those of the store go at once if it answers (``erase``)."""
        self._home.erase(subject)
        return self._shadow.forget(subject)

    async def erase(self, subject: str) -> int:
        """Erases an account here and in the store; how many meters it had there. Raises ``Trouble``."""
        self._shadow.forget(subject)
        return await self._asker.erase(subject)

    def carry(self, former: str, subject: str) -> None:
        """See ``contracts.Carrying``: the first call under the new name waits until the record has been carried over."""
        self._moving.want(former, subject)

    # -- beside the requests ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See ``contracts.Remote``."""
        await self._home.open()

    async def close(self) -> None:
        """See ``contracts.Remote``."""
        await self._home.close()
        self._sharing.round(last=True)
        await self.drain()
        await self._link.close()

    async def drain(self) -> None:
        """Waits until what was left to the background has been done, as far as the store answers."""
        await self._batch.drain()
        await self._settling.drain()

    def condition(self, now: float) -> JSONObject:
        """See ``contracts.Remote``. ``trouble`` says what is wrong with the store and what helps."""
        return {
            "state": "up" if self._breaker.allows(now) else "local",
            "since": self._breaker.since,
            "replicas": self._shadow.replicas,
            "address": str(self._link.address),
            "errors": dict(self.errors),
            "trouble": self._home.trouble,
            "warnings": list(self._home.oversight.warnings),
            "waiting": len(self._settling),
            "dropped": self._settling.dropped,
            **self.counts(),
        }

    def counts(self) -> dict[str, int]:
        """What is held in this process, in numbers, for the operator."""
        return self._shadow.counts() | self._sharing.counts()

    # -- what the store said ---------------------------------------------------------------------------------------

    def _taken(  # noqa: PLR0917 - all of one exchange
        self,
        bills: Sequence[Bill],
        parts: Sequence[Part],
        shared: Sequence[int],
        said: Lacking | None,
        slots: Slots,
        now: float,
        lone: bool,
    ) -> tuple[Taken, int]:
        """What all say together. Where one refuses, the others get back what they gave."""
        outcomes: list[tuple[Sequence[int], wire.Outcome]] = []
        if said is not None:
            outcomes.append((shared, wire.told(said.refused, said.retry_after_s, said.levels, said.shadow)))
        for one in parts:
            one.saw(self._shadow, now)
            if one.outcome is not None:
                outcomes.append((one.numbers, one.outcome))
            else:
                # What is shared refuses already: it was not waited for.
                bases = self._shadow.seen(one.bills, now).bases
                outcomes.append((one.numbers, wire.told(-1, 0.0, (*bases, *[0.0] * (one.count - len(bases))), ())))
        taken = merged(bills, outcomes)
        if taken.refused >= 0:
            for one in parts:
                if one.outcome is not None and one.outcome.refused >= 0:
                    self._shadow.hearsay.refused(one.whose)
            self._endings.give_back(parts, now)
            if said is not None:
                self._sharing.undo(said.ticket)
            return taken, 0
        if lone:
            taken = taken._replace(meters=_places(bills))
        counted = self._shadow.opened(bills, slots.ends_at, now) if any([bill[0].slots for bill in bills]) else 0
        held = Held(tuple(bills), tuple(parts), 0, counted, said.ticket if said is not None else 0)
        return taken, self._leases.open(slots.ends_at, now, [], [held])

    async def _moved(self, bills: Sequence[Bill]) -> bool:
        """Carries over what has to be under another name; False: it takes too long to be waited for."""
        due = {whose for bill in bills if self._moving.due(whose := names.owner(bill[0].kind, bill[1]))}
        try:
            async with asyncio.timeout(self._deadline_s):
                for whose in due:
                    await self._moving.done(whose)
        except TimeoutError:
            return False
        return True

    def _locally(self, bills: Sequence[Bill], slots: Slots, now: float, lone: bool) -> tuple[Taken, int]:
        taken, local = self._shadow.take(bills, slots, now)
        if lone:
            taken = taken._replace(meters=_places(bills))
        if not local:
            return taken, 0
        return taken, self._leases.open(slots.ends_at, now, [], [Held(tuple(bills), local=local)])

    # -- how the store does ----------------------------------------------------------------------------------------

    def _answers(self) -> bool:
        return self._breaker.state == "closed"

    def _failed(self, trouble: Trouble) -> None:
        """A call to the store was not answered in time, or with an error."""
        self.errors[trouble.kind] = self.errors.get(trouble.kind, 0) + 1
        opened, now = self._breaker.opened, self._now()
        if trouble.asked_s >= self._home.turned_s:
            self._breaker.failed(now, lost=trouble.kind in _LOST)
        self._home.heard(trouble, now)
        if self._breaker.opened != opened:
            self._home.turned_s = asyncio.get_running_loop().time()
            self._batch.give_up()

    def _late(self, many: int) -> None:
        self._failed(Trouble("timeout", "deadline"))

    def _healed(self, many: int) -> None:
        if many:
            self.errors["healed"] = self.errors.get("healed", 0) + many

    def _forgot(self, many: int) -> None:
        self.errors["forgotten"] = self.errors.get("forgotten", 0) + many


def _split(bills: Sequence[Bill], lone: bool) -> tuple[Sequence[int] | None, Sequence[int]]:
    """The numbers of those bills that are one account's own, and of those that it shares. None: a stranger asks, who is dealt
    with here. Lone charges, which no exchange makes, are asked for one by one."""
    own: list[int] = []
    shared: list[int] = []
    for number, bill in enumerate(bills):
        kind = bill[0].kind
        if kind.endswith("?"):
            return None, ()
        if lone or names.owned(kind):
            own.append(number)
        else:
            shared.append(number)
    return own, shared


def _places(bills: Sequence[Bill]) -> tuple[tuple[str, ...], ...]:
    return tuple([(*meter[:3], bill.subject) for bill in bills for meter in bill.tariff.meters])


def sources() -> dict[str, str]:
    """The scripts by name: each begins with what all share."""
    folder = files("guard.stores") / "lua"
    common = (folder / "meters.lua").read_text()
    found = {name: common + (folder / f"{name}.lua").read_text() for name in _SCRIPTS}
    return found | {"beat": (folder / "beat.lua").read_text()}


PLUGIN = RedisStore

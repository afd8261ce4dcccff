"""What ``guard store check`` would say of the store, looked for again now and then while guard runs: what will cost limits is to be
known before it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from guard.remote import names
from guard.remote.facts import clock_of, info_of, judged, nodes_of, together
from guard.remote.link import Link, Trouble

LOOK_S = 60.0


class Oversight:
    """``clock``: the time that requests go by; None: the store goes by it, too (tests). ``log`` hears each warning when it comes up."""

    def __init__(self, link: Link, clock: Callable[[], float] | None) -> None:
        self.warnings: tuple[str, ...] = ()
        """What will go wrong with the store, and what helps; as of the latest look."""
        self.log: Callable[[str], None] | None = None
        self._link, self._clock = link, clock
        self._next_s = 0.0

    def due(self) -> bool:
        """Whether it is time to look again."""
        return asyncio.get_running_loop().time() >= self._next_s

    def soon(self) -> None:
        """The store has been away: it may be another one, or have been set up anew."""
        self._next_s = 0.0

    async def look(self) -> None:
        """Some calls, one after the other. What the user may not ask is done without; a store that fails is heard of by others."""
        self._next_s = asyncio.get_running_loop().time() + LOOK_S
        try:
            nodes = await nodes_of(self._link, names.ALIVE)
            found = together({name: judged(await info_of(self._link, where)) for where, name in nodes})
            if self._clock is not None:
                found.append(await clock_of(self._link, names.ALIVE, self._clock))
        except Trouble:
            return
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # something that only speaks like Redis
            self.warnings = (
                f"state: what it says of itself can't be read ({type(error).__name__}); run guard store check",
            )
            return
        before = {warning.partition(":")[0] for warning in self.warnings}  # the figures in them change all the time
        matter = [each for each in found if each.state != "ok"]
        self.warnings = tuple([f"{each.what}: {each.told}; {each.remedy}" for each in matter])
        told = [f"{each.told}; {each.remedy}" for each in matter if each.what not in before]
        if told and self.log is not None:
            self.log(f"the store: {'; '.join(told)}")

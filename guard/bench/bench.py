"""Runs a load test and shows it: what will be sent and to whom, the live view, and what there was."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from guard.bench.asking import APIS, Questions, Wish
from guard.bench.client import Client
from guard.bench.figures import Tally
from guard.bench.load import offer
from guard.bench.schedule import EXTRACTOR, ORDINARY, Schedule
from guard.bench.table import NAMES, frame, progress
from guard.bench.target import Target

MOST_RATE, MOST_S, MOST_IN_FLIGHT, MOST_TIMEOUT_S = 1000.0, 600.0, 1000, 120.0
_DRAW_EVERY_S = 0.5
_LINES = 20
_ENTER, _LEAVE, _HOME, _TO_END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[K"


@dataclass(frozen=True, slots=True)
class Bench:
    """One load test. ``rate``: arrivals a second, all ``targets`` (one or two) together; ``extractor``: a share, 0 to 1;
    ``made_up``: the ``keys`` are nobody's real ones. ``keys`` are never shown."""

    targets: Sequence[Target]
    rate: float
    for_s: float
    extractor: float
    keys: Sequence[str]
    made_up: bool
    wish: Wish
    most_in_flight: int = 100
    timeout_s: float = 30.0

    @property
    def schedule(self) -> Schedule:
        """What arrives when."""
        return Schedule(self.rate, self.for_s, len(self.targets), self.extractor)

    def announcement(self) -> list[str]:
        """What will be sent, and to whom."""
        each = self.schedule.turns
        wish = self.wish
        whose = "made-up keys" if self.made_up else "the keys you gave"
        to = [
            f"  {NAMES[place]}  {each} requests to {one.url}, at " + " and ".join(APIS[wish.api])
            for place, one in enumerate(self.targets)
        ]
        return [
            f"guard bench will send {self.rate:g} requests a second in all for {self.for_s:g} s:",
            *to,
            f"  made-up questions for the model {wish.model!r}, at most {wish.most_tokens} tokens an answer, "
            f"{100 * wish.stream:.0f} % as a stream, {100 * self.extractor:.0f} % an extractor's",
            f"  as {len(self.keys)} account{'s' * (len(self.keys) != 1)} with {whose}; "
            f"at most {self.most_in_flight} in flight at each endpoint, the rest counts as lost",
        ]

    async def run(self, screen: TextIO, *, live: bool) -> Tally:
        """Asks, until all is answered or the task is cancelled; what was seen either way."""
        tally = Tally(len(self.targets), (ORDINARY, EXTRACTOR))
        showing = asyncio.create_task(self._show(tally, screen, live=live))
        try:
            async with Client(self.targets, Questions(self.keys, self.wish), self.most_in_flight) as client:
                await offer(
                    self.schedule, client.ask, tally, most_in_flight=self.most_in_flight, timeout_s=self.timeout_s
                )
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing
        return tally

    async def _show(self, tally: Tally, screen: TextIO, *, live: bool) -> None:
        clock = asyncio.get_running_loop().time
        start_s = clock()
        urls = [one.url for one in self.targets]
        if live:
            screen.write(_ENTER)
        try:
            while True:
                await asyncio.sleep(_DRAW_EVERY_S if live else max(1.0, self.for_s / _LINES))
                at_s = clock() - start_s
                if not live:
                    print(progress(tally, at_s), file=screen, flush=True)
                    continue
                width, height = shutil.get_terminal_size()
                title = f"guard bench   {at_s:.0f} of {self.for_s:g} s, {self.rate:g} a second"
                picture = frame(tally, title, urls, width, height)
                screen.write(_HOME + "\n".join(line + _TO_END for line in picture))
                screen.flush()
        finally:
            if live:
                screen.write(_LEAVE)
                screen.flush()

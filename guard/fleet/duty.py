"""What whoever leads does, a round at a time: takes in all replicas' exchanges, tells what was found, leaves behind what the next one
needs.

The *base* holds everything at one place of the streams: a whole for who joins, and the findings for who leads next. Whoever leads next
goes on from it with the batches that came after it, so that nothing is lost with a leader but what the streams could not hold.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import orjson

from guard.errors import StateError
from guard.fleet import post, said
from guard.fleet.frames import read
from guard.fleet.leading import Head
from guard.fleet.post import NONE, Beat, Post
from guard.pacing import Pace
from guard.pipeline import Guard
from guard.recognition import keeping

BASE_S = 10.0
BASE_SHARE = 0.02
"""Of a core, for bases."""
WORK_S = 0.2
WORK_SHARE = 0.1
"""Of a core, for leading beside requests; a worker has one for itself."""
HEARTBEAT_S = 1.0
_WORK_AT_ONCE_S = 0.5
_STAY_S = 0.5
_BATCHES_AT_ONCE = 64
_PIECE_BYTES = 256 * 1024
_MOST_PIECE_BYTES = 16 * 1024 * 1024
_FINDINGS = b"fd"


class Duty:
    """One leader's time in office. ``token``: what it leads by. ``alone``: nothing else runs in this process."""

    def __init__(self, guard: Guard, office: Post, token: int, *, alone: bool, hold_back_s: float) -> None:
        self._guard, self._post, self._hold_back_s = guard, office, hold_back_s
        self.head = Head(guard.recognition, token)
        self._rows_from = NONE
        self._frames: list[bytes] = []
        self._told_at = 0.0
        self._pace = Pace(WORK_S, 0.9 if alone else WORK_SHARE)
        self._keeping = Pace(BASE_S, 0.2 if alone else BASE_SHARE)
        self._base_wanted = True
        self._caught_up = False
        self._made = 0
        self._pieces: list[int] = []
        self._stayed_at = asyncio.get_running_loop().time()
        self._clock_off_s: float | None = None
        self.refused = 0
        """Batches that could not be read."""
        self.based_at = 0.0
        self.trouble = ""
        """What could not be taken up from the leader before, in a sentence."""

    @property
    def token(self) -> int:
        """What this leader leads by."""
        return self.head.token

    @property
    def lags(self) -> bool:
        """Whether leading needs more than its share of a core."""
        return self._pace.lags

    # -- taking over ----------------------------------------------------------------------------------------------

    async def take_over(self, now: float, former: Post | None = None) -> None:
        """Goes on where the leader before ended; where nothing is left of that, from what this replica knows. ``former``: where whoever
        led under the hashing key before this one has left it. Raises ``Trouble``."""
        try:
            base = await self._post.base()
            if base and await self._resume(self._post, base, now):
                return
            if not base and former is not None and (base := await former.base()):
                found = await self._resume(former, base, now)
                # The streams are others under this key, and the pieces are not this one's to let go of.
                self._rows_from, self._made, self._pieces = NONE, 0, []
                if found:
                    return
        except StateError as broken:
            self.trouble = str(broken)
            self.head = Head(self._guard.recognition, self.head.token)
        for _ in self.head.resume(self._own(), now):
            await asyncio.sleep(0)
        for _ in self.head.know_answers(self._guard.recognition.hops.answers.pieces()):
            await asyncio.sleep(0)

    def _own(self) -> Iterator[dict[str, Any]]:
        """What this replica knows; what waits here comes to whoever leads as everybody's does."""
        for piece in chain(keeping.findings(self._guard.recognition), keeping.verdicts(self._guard.recognition)):
            if piece["kind"] != "waiting":
                yield piece

    async def _resume(self, office: Post, base: dict[str, str], now: float) -> bool:
        try:
            version, made = int(base["v"]), int(base["made"])
            first, last = int(base["frames"]), int(base["pieces"])
            self._rows_from = base["rows"]
        except (KeyError, ValueError) as broken:
            raise StateError("what the leader before left behind is none of guard's") from broken
        if version > post.VERSION:
            raise StateError("the leader before was a newer guard; what it left behind can't be read")
        pieces: list[dict[str, Any]] = []
        for number in range(first):
            for _ in self.head.know_answers(read(await office.piece(made, number)).more.get("answers", ())):
                await asyncio.sleep(0)
            await self._stay()
        for number in range(first, last):
            pieces += opened(await office.piece(made, number))
            await self._stay()
        for _ in self.head.resume(pieces, now):
            await asyncio.sleep(0)
        self._made, self._pieces = made, list(range(last))
        return True

    # -- a round --------------------------------------------------------------------------------------------------

    def know_time(self, beat: Beat, now: float) -> None:
        """By how much the store's clock and this one differ: by the store's, batches' times are judged."""
        self._clock_off_s = now - beat.at_ms / 1000.0

    def renew(self, token: int) -> None:
        """Leads on after the lease had lapsed and nobody else led: by another token, from a new whole on."""
        self.head.token = token
        self._frames.clear()
        self._base_wanted = True

    def rewrite(self) -> None:
        """What lies in the store is to be replaced as soon as can be."""
        self._base_wanted = True

    async def round(self, now: float) -> bool:
        """Takes in, works, tells. False: another leads. Raises ``Trouble``; what was not told is told in the next round."""
        if self._pace.due(now) or not self._pace.lags:
            await self._take_in()
            begun = asyncio.get_running_loop().time()
            for _ in self._pace.round(self.head.work(now, self._hold_back_s), now):
                await asyncio.sleep(0)
                if asyncio.get_running_loop().time() - begun > _WORK_AT_ONCE_S:
                    break  # the lease is to be renewed; the rest is in the next round
        if not self._frames and (self.head.has_news or now - self._told_at >= HEARTBEAT_S):
            self._frames.append(self.head.publish(now))
            self._told_at = now
        if self._caught_up and (self._base_wanted or self._keeping.due(now)) and not await self._write_base(now):
            return False
        while self._frames:
            if not await self._post.publish(self.token, self._frames[0]):
                return False
            del self._frames[0]
        return True

    async def _take_in(self) -> None:
        entries = await self._post.rows(self._rows_from, _BATCHES_AT_ONCE)
        for place, content in entries:
            received_at = None
            if self._clock_off_s is not None:
                received_at = int(place.partition("-")[0]) / 1000.0 + self._clock_off_s
            try:
                self.head.lead(content, received_at)
            except StateError:
                self.refused += 1
            self._rows_from = place
            await asyncio.sleep(0)
        self._caught_up |= len(entries) < _BATCHES_AT_ONCE

    async def _write_base(self, now: float) -> bool:
        """Everything, for who joins and for who leads next. While it is made nothing else is done: it holds one moment."""
        news_from = await self._post.latest("news")
        made: list[bytes] = []
        frames = 0

        def making() -> Iterator[None]:
            nonlocal frames
            for frame in self.head.whole(now):
                if frame:
                    made.append(frame)
                yield
            frames = len(made)
            for piece in sealed(self.head.findings()):
                if piece:
                    made.append(piece)
                yield

        for _ in self._keeping.round(making(), now):
            await asyncio.sleep(0)
        number = self._made + 1
        before, self._pieces = (self._made, self._pieces), list(range(len(made)))
        for place, piece in enumerate(made):
            await self._post.put(number, place, piece)
            await self._stay()
        self._made = number
        base: dict[str, str | int] = {
            "v": post.VERSION, "token": self.token, "number": self.head.number, "made": number, "frames": frames, "pieces": len(made),
            "rows": self._rows_from, "news": news_from,
        }  # fmt: skip
        if not await self._post.settle(self.token, base, self._rows_from, news_from):
            return False
        await self._post.let_go(*before)
        self._base_wanted = False
        self.based_at = now
        return True

    async def _stay(self) -> None:
        """Renews the lease in the midst of what takes long."""
        moment = asyncio.get_running_loop().time()
        if moment - self._stayed_at >= _STAY_S:
            self._stayed_at = moment
            await self._post.stand(self.token, free=False)

    async def retell_words(self) -> None:
        """The store has lost the operator's words: they are told again."""
        held = said.holding(self._guard)
        if held:
            words = {name: text.decode() for name, text in held.items()}
            await self._post.say(said.word("holds", [], words=words), held)


def sealed(pieces: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Pieces of plain data, some hundred kilobytes together and packed; ``b""`` where one is not yet full."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        line = orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY)
        held.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            yield _FINDINGS + zlib.compress(b"\n".join(held), 1)
            held, size = [], 0
        else:
            yield b""
    if held:
        yield _FINDINGS + zlib.compress(b"\n".join(held), 1)


def opened(content: bytes) -> list[dict[str, Any]]:
    """The pieces again. Raises ``StateError`` for what is none."""
    try:
        if not content.startswith(_FINDINGS):
            raise ValueError("none of ours")
        unpacking = zlib.decompressobj()
        lines = unpacking.decompress(content[len(_FINDINGS) :], _MOST_PIECE_BYTES)
        if not unpacking.eof:
            raise ValueError("torn, or larger than any")
        return [orjson.loads(line) for line in lines.split(b"\n")]
    except (ValueError, zlib.error) as broken:
        raise StateError("what the leader before left behind is torn or gone") from broken

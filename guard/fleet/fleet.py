"""One replica among others: tells them what comes to it, hears what was found and what the operator says, leads when nobody else does.

Whoever holds the lease leads (``office.py``): it looks at the exchanges of all (``leading.py``). While nobody leads or the store is gone everybody goes on by what is known; what comes in waits, bounded, and is
told later. After ``ALONE_S`` of that a replica looks at its own exchanges by itself (``alone``) until a leader is back.

Everything here runs beside the requests, in one task (``run``), a round every fifth of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import orjson

from guard.clock import Clock
from guard.errors import StateError
from guard.fleet import roster, said
from guard.fleet.alike import deciding
from guard.fleet.following import Follower, Gap
from guard.fleet.gathering import Gatherer
from guard.fleet.office import Office
from guard.fleet.post import NONE, Entry, Post
from guard.fleet.receipts import Receipts
from guard.fleet.roster import Roster
from guard.fleet.said import Voice
from guard.hashing import HashKey
from guard.pipeline import Guard
from guard.remote.link import Link, Trouble
from guard.settings import Policy
from guard.types import JSONObject

ROUND_S = 0.2
BEAT_S = 1.0
ALONE_S = 5.0
UNTOLD_S = 2.5
_AT_ONCE = 256
_MOST_OUT = 64
_MOST_UNSAID = 1_024


class Fleet:
    """``serves``: requests come to this process (else it is a worker, which leads when it can). ``by_store_time``: batches' times are
    corrected by the store's clock, and looked at a third of a second late, so that those of all replicas come in their order; a test with
    a clock of its own sets it off. ``former``: the hashing key before this one, while accounts are carried over from it."""

    def __init__(
        self,
        guard: Guard,
        link: Link,
        clock: Clock,
        *,
        serves: bool = True,
        by_store_time: bool = True,
        former: HashKey | None = None,
    ) -> None:
        self.replica = secrets.token_hex(8)
        self._guard, self._clock, self.serves, self._by_store_time = guard, clock, serves, by_store_time
        self._link = link
        self._post = Post(link, guard.key, self.replica)
        self._receipts = Receipts(guard.conversations, self._post)
        self.recall = self._receipts.recall
        """Asked before an exchange is decided that names ids of what the API keeps (``exchange.kept``)."""
        self.voice = Voice(guard, self._tell)
        """The guard as the operator speaks to it."""
        self._follower = Follower(guard.recognition, guard.identities.learn)
        self._gatherer = Gatherer(guard.recognition, guard.key, bytes.fromhex(self.replica)) if serves else None
        if self._gatherer is not None:
            guard.identities.tell, guard.carried = self._gatherer.accepted, self._gatherer.renamed
        self._out: deque[bytes] = deque()
        """Batches that are to be sent, or may have arrived: each is sent until it has."""
        self._unsaid: deque[tuple[bytes, Mapping[str, bytes]]] = deque()
        self._own_said: set[str] = set()
        self._said_from = self._news_from = ""
        self._roster = Roster()
        before = Post(link, former, self.replica) if former is not None else None
        self._office = Office(
            guard, self._post, self._roster, serves=serves, by_store_time=by_store_time, before=before
        )
        self._digested: tuple[Policy | None, str] = (None, "")
        self._told = ""
        """The digest that all were told of."""
        self._beat_at = -1e18
        self._heard_at = self._began_at = clock.now()
        self._was_alone = False
        self._renew_at = 0.0
        self.errors: Counter[str] = Counter()
        """What the store refused, by kind, and what could not be read."""
        self._newer = ""
        self.unsaid_lost = 0
        self._up = False
        self._wake = asyncio.Event()

    # -- what the rest of guard asks ------------------------------------------------------------------------------

    @property
    def leads(self) -> bool:
        """Whether this process leads."""
        return self._office.duty is not None

    @property
    def replicas(self) -> int:
        """How many serve, this one included; workers don't."""
        return self._roster.replicas

    def alone(self, now: float) -> bool:
        """Whether this replica is to look at its own exchanges by itself: nobody has led for a while."""
        return self.serves and not self.leads and now - self._heard_at > ALONE_S

    def ready(self, now: float) -> bool:
        """Whether it judges by what all have found: it has taken that up, or there is nobody to take it from."""
        return self._follower.taken_up or now - self._began_at > ALONE_S

    def condition(self, now: float) -> JSONObject:
        """For the operator: who leads, who is there, how far behind this one is, what is wrong. No secrets."""
        gatherer, duty = self._gatherer, self._office.duty
        warnings = []
        digests = self._roster.digests()
        if len(set(digests.values())) > 1:
            warnings.append("replicas run different policies: reload those that have not the latest")
        if self._newer:
            warnings.append(self._newer)
        if duty is not None and duty.trouble:
            warnings.append(duty.trouble)
        if duty is not None and duty.lags and self.serves:
            warnings.append("leading needs more than a tenth of a core: run `guard worker`, which does nothing else")
        if gatherer is not None and gatherer.lost:
            warnings.append(
                f"{gatherer.lost} exchanges of this replica were never looked at: more came than could be told"
            )
        if self.alone(now):
            warnings.append(
                "nobody leads or the store is gone: this replica goes by what it knows and its own exchanges"
            )
        return {
            "replica": self.replica,
            "state": "up" if self._up else "local",
            "leads": self.leads,
            "leader": self._office.leader,
            "replicas": self.replicas,
            "workers": self._roster.workers,
            "taken_up": self._follower.taken_up,
            "behind_s": round(max(0.0, now - self._heard_at), 3),
            "waiting": (gatherer.waiting if gatherer is not None else 0),
            "unsent": len(self._out),
            "unsaid": len(self._unsaid),
            "lost": gatherer.lost if gatherer is not None else 0,
            "errors": dict(self.errors) | ({"receipts": self._receipts.errors} if self._receipts.errors else {}),
            "digests": digests,
            "led": duty.head.led if duty is not None else 0,
            "lags": duty is not None and duty.lags,
            "warnings": warnings,
        }

    # -- the task -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Rounds until it is cancelled."""
        telling = asyncio.get_running_loop().create_task(self._receipts.run(), name="guard fleet receipts")
        try:
            await self._rounds()
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling

    async def _rounds(self) -> None:
        while True:
            self._wake.clear()
            await self.round()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_S):
                    await self._wake.wait()

    async def round(self) -> None:
        """One round: tells and hears everything that is there now, and leads if it leads. Never raises for the store."""
        now = self._clock.now()
        await self._pack()
        try:
            await self._be_there(now)
            await self._say()
            await self._hear(now)
            await self._send()
            await self._office.work(now)
            self._up = True
        except Trouble as trouble:
            self.errors[trouble.kind] += 1
            self._up = False
        self._share()

    async def close(self) -> None:
        """Sends what waits, leaves office in good order, and lets go of the line; a store that is gone is left as it is."""
        try:
            await self._pack()
            await self._say()
            await self._send()
            await self._receipts.send()
            await self._office.leave(self._clock.now())
            await self._post.gone()
        except Trouble as trouble:
            self.errors[trouble.kind] += 1
        self._office.duty = None
        await self._link.close()

    # -- telling --------------------------------------------------------------------------------------------------

    async def _pack(self) -> None:
        gatherer = self._gatherer
        if gatherer is None:
            return
        for _ in gatherer.packing():
            await asyncio.sleep(0)
        while len(self._out) < _MOST_OUT and (batch := gatherer.batch(self._clock.now())) is not None:
            self._out.append(batch)

    async def _send(self) -> None:
        while self._out:
            batch = self._out[0]
            await self._post.send(batch)
            if self._out and self._out[0] is batch:
                self._out.popleft()
        if self._gatherer is not None and not self.alone(self._clock.now()):
            self._guard.recognition.leave_waiting()

    def _tell(self, word: bytes, holds: Mapping[str, bytes]) -> None:
        """A word of the operator's that was carried out here."""
        if len(self._unsaid) >= _MOST_UNSAID:
            self._unsaid.popleft()
            self.unsaid_lost += 1
        self._unsaid.append((word, holds))
        self._wake.set()
        duty = self._office.duty
        if duty is not None:
            said.lead_by(word, duty.head, self._clock.now())
            duty.rewrite()
        self._forget(word)

    async def _say(self) -> None:
        while self._unsaid:
            told = self._unsaid[0]
            await self._post.say(*told)
            if self._unsaid and self._unsaid[0] is told:  # meanwhile it may have had to make room
                self._unsaid.popleft()

    def _forget(self, word: bytes) -> None:
        """What is under way of an account that is erased must not bring it back."""
        told = orjson.loads(word)
        if told["verb"] == "erase" and self._gatherer is not None:
            for key in told["names"]:
                self._gatherer.forget(key)

    # -- hearing --------------------------------------------------------------------------------------------------

    async def _hear(self, now: float) -> None:
        if not self._said_from:
            # First where the words end, then those that hold: what is said meanwhile is heard twice rather than never.
            said_from = await self._post.latest("said")
            said.take_up(await self._post.words(), self._guard)
            self._said_from = said_from
        if self._renew_at and now >= self._renew_at:
            self._renew_at = 0.0
            self._follower.begin_anew()
        if not self._follower.taken_up:
            await self._take_up(now)
        duty = self._office.duty
        words, news = await self._post.heard(self._said_from, self._news_from or NONE, _AT_ONCE)
        for place, word in words:
            self._said_from = place
            try:
                verb = said.hear(word, self._guard, duty.head if duty is not None else None, now)
                if verb == said.POLICY:
                    # The next beat brings who runs what, and need not wait for its time.
                    self._beat_at = -1e18
                    self._wake.set()
                    continue
                self._forget(word)
            except StateError as broken:
                self._unreadable(broken)
            if duty is not None:
                duty.rewrite()
        await self._follow(news, now)

    async def _follow(self, news: Iterable[Entry], now: float) -> None:
        for place, content in news:
            try:
                if self._follower.wants(content):
                    for _ in self._follower.adopt(content, now):
                        await asyncio.sleep(0)
                    self._led(now)
            except Gap:
                if not await self._take_up(now):
                    return  # it is read again when the whole is there
            except StateError as broken:
                self._unreadable(broken)
            self._news_from = place

    async def _take_up(self, now: float) -> bool:
        """Takes up the whole that lies there; False: there is none that is newer than what is known."""
        base = await self._post.base()
        try:
            made, frames = int(base["made"]), int(base["frames"])
            if not self._follower.lacks(int(base["token"]), int(base["number"])):
                return False
            self._follower.begin_whole()
            for number in range(frames):
                content = await self._post.piece(made, number)
                for _ in self._follower.adopt(content, now):
                    await asyncio.sleep(0)
            self._news_from = base["news"]
        except (KeyError, ValueError):
            return False
        except StateError as broken:
            self._unreadable(broken)
            return False
        if self._follower.taken_up:
            self._led(now)
        return self._follower.taken_up

    def _led(self, now: float) -> None:
        """Somebody leads: this replica need not look by itself any more."""
        self._heard_at = now
        if self._was_alone:
            self._was_alone = False
            self._guard.recognition.begin_anew()
            # What it found by itself holds until whoever leads has looked at the same exchanges.
            self._renew_at = now + ALONE_S

    def _unreadable(self, broken: StateError) -> None:
        self.errors["unreadable"] += 1
        if "version" in str(broken):
            self._newer = str(broken)

    # -- who is there, who leads ----------------------------------------------------------------------------------

    async def _be_there(self, now: float) -> None:
        self._was_alone |= self.alone(now)
        if self._guard.policy is not self._digested[0]:
            self._digested = (self._guard.policy, deciding(self._guard.policy))
        digest = self._digested[1]
        anew = digest != self._told
        if now - self._beat_at < BEAT_S and self._roster.beat is not None and not anew:
            return
        says = roster.says(serves=self.serves, digest=digest)
        self._roster.beat = beat = await self._post.beat(says)
        self._beat_at = self._roster.heard_at = now
        if anew:
            if beat.live.keys() - {self.replica}:
                await self._post.nudge(said.word(said.POLICY, []))
            self._told = digest
        duty = self._office.duty
        if duty is not None:
            if self._by_store_time:
                duty.know_time(beat, now)
            if beat.base_token != duty.token:
                duty.rewrite()
            if not beat.words:
                await duty.retell_words()

    def _share(self) -> None:
        """Limits per cluster are kept by each replica for itself: each has its part of them. Ceilings are added up by whoever leads; while
        that is not heard of, each replica has its part of what was left."""
        replicas = self.replicas
        self._guard.unions.portion = 1.0 / replicas
        untold = not self._up or self._clock.now() - self._heard_at > UNTOLD_S
        self._guard.recognition.ceilings.weigh(float(replicas) if untold else 1.0)

"""Runs the demo: a real server on a loopback port, guard in front of the endpoint, real clients, one picture.

Nothing is scripted but what the clients ask. What they are answered, which cluster is found, what stands in the table and what
``guard explain`` says of it afterwards is what this guard decided in this run, with the shipped weights. Only its clock is not
the world's: an hour passes in a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TextIO

import uvicorn

from guard.config import load
from guard.demo.accounts import credential
from guard.demo.board import Board, Finding
from guard.demo.endpoint import endpoint
from guard.demo.hours import Hours
from guard.demo.traffic import GROUPS, Event, Group, campaign, owners
from guard.errors import InstallError
from guard.explanation import explain
from guard.middleware import GuardMiddleware
from guard.recorder import audit_files, find
from guard.settings import Policy
from guard.types import JSONObject
from guard.words import subjects

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_DRAW_EVERY_S = 0.2
_PACE_S = 0.001
_COMPRESSED = "an hour passes in a second"
_MOST_REASONS = 10_000
# The day that is shown is over when it has been shown: no line of the audit lies in the future.
_AGO_S = 86_400.0
_ENTER, _LEAVE, _HOME, _TO_END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[K"


class Result(NamedTuple):
    """What a demo came to. ``explained`` is the audit's line of one of the campaign's contained exchanges, ``{}``: none."""

    board: Board
    audit: Path
    reference: str
    explained: JSONObject

    def lines(self) -> Iterator[str]:
        """What is printed at the end."""
        yield from self.board.result()
        yield ""
        if not self.explained:
            yield "Nobody was contained in so short a time. Try: guard demo --seconds 24"
            return
        yield "Why? Each refusal names a reference, and this command works from now on:"
        yield f"  guard explain {self.reference} --audit {self.audit}"
        yield from (f"    {line}" for line in explain(self.explained).splitlines())


class Demo:
    """One run: the server, its guard and what was seen of it. ``hour_s``: how many seconds an hour of the demo takes."""

    def __init__(self, state_dir: Path, groups: Sequence[Group] = GROUPS, seed: int = 1, hour_s: float = 1.0) -> None:
        self.groups = groups
        self._seed = seed
        self._reasons: dict[str, tuple[str, ...]] = {}
        self.board = Board(groups, self._reasons)
        self.policy = _policy(state_dir)
        known = frozenset(credential(account) for group in groups for account in group.ids())
        self.hours = Hours(time.time() - _AGO_S, hour_s)
        self.guard = GuardMiddleware(
            self._noting(endpoint(credentials=known, pace_s=_PACE_S)), self.policy, clock=self.hours
        )
        key = self.guard.installation.guard.key
        self._campaign = frozenset(
            meant.removeprefix("account:")
            for group in groups
            if group.campaign
            for account in group.ids()
            for meant in subjects(f"account:{account}", key)
        )

    async def run(self, seconds: float, screen: TextIO, *, live: bool) -> None:
        """Runs for so long, or until it is cancelled, and ends in good order either way."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = _Server(
                uvicorn.Config(
                    self.guard,
                    log_config=None,
                    log_level="critical",
                    access_log=False,
                    lifespan="on",
                    proxy_headers=False,
                    timeout_graceful_shutdown=1,
                )
            )
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has only a flag
                    await asyncio.sleep(0.01)
                if not server.started:
                    raise InstallError("the demo's server did not start; guard serve or uvicorn would say why")
                self.hours.restart()
                await self._traffic(url, seconds, screen, live=live)
            except asyncio.CancelledError:
                pass  # Ctrl-C: what was seen so far is shown
            finally:
                server.should_exit = True
                await serving

    async def _traffic(self, url: str, seconds: float, screen: TextIO, *, live: bool) -> None:
        def tell(line: str) -> None:
            if line and not live:
                print(line, file=screen, flush=True)

        def seen(event: Event) -> None:
            tell(self.board.seen(event))

        tell(f"{_COMPRESSED.capitalize()}: the first number of each line is the hour.")
        tasks = [
            asyncio.create_task(
                (campaign if group.campaign else owners)(
                    group, url, Random(f"{self._seed} {group.name}"), seen, self.hours
                )
            )
            for group in self.groups
        ]
        end_s = time.monotonic() + seconds
        try:
            with _picture(screen) if live else contextlib.nullcontext():
                while (left_s := end_s - time.monotonic()) > 0:
                    for line in self.board.found(self.findings(), self.hours.passed()):
                        tell(line)
                    if live:
                        self._draw(f"guard demo   hour {self.hours.passed():.1f} ({_COMPRESSED})   {url}", screen)
                    await asyncio.sleep(min(_DRAW_EVERY_S, left_s))
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            # A client that broke would leave half a demo that looks like a whole one.
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    def _draw(self, title: str, screen: TextIO) -> None:
        width, height = shutil.get_terminal_size()
        screen.write(_HOME + "\n".join(line + _TO_END for line in self.board.frame(title, width, height)))
        screen.flush()

    def findings(self) -> list[Finding]:
        """What guard holds at this moment: it is asked, as ``guard clusters`` asks."""
        guard, now = self.guard.installation.guard, self.hours.now()
        names = [one["name"] for one in guard.clusters("", now)["clusters"]]
        return [Finding.read(guard.clusters(name, now), self._campaign) for name in names]

    def result(self) -> Result:
        """The outcome, after the run: the files are closed, so it is read as anybody would read them."""
        audit = Path(self.policy.state.dir) / "audit.jsonl"
        for reference in self.board.contained():
            record = _found(reference, audit)
            if record:
                return Result(self.board, audit, reference, record)
        return Result(self.board, audit, "", {})

    def _noting(self, app: ASGIApp) -> ASGIApp:
        """The app, which looks at the decision that guard hands it: that is how it knows why an answer was tagged."""

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            decision = scope.get("state", {}).get("guard")
            if decision is not None and decision.reasons and len(self._reasons) < _MOST_REASONS:
                self._reasons[decision.reference] = decision.reasons
            await app(scope, receive, send)

        return noted


class _Server(uvicorn.Server):
    """uvicorn in somebody else's event loop: Ctrl-C is the demo's, which ends the server itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def show(seconds: float, screen: TextIO, *, live: bool, seed: int = 1) -> Result:
    """The whole demo. The folder that its audit stands in is left behind, for ``guard explain``."""
    demo = Demo(Path(tempfile.mkdtemp(prefix="guard-demo-")), seed=seed)
    asyncio.run(demo.run(seconds, screen, live=live))
    return demo.result()


def _policy(state_dir: Path) -> Policy:
    source = files("guard.demo") / "demo.toml"
    policy = load(source.read_text(encoding="utf-8"))
    return replace(policy, source="demo.toml", state=replace(policy.state, dir=str(state_dir)))


def _found(reference: str, audit: Path) -> JSONObject:
    steps = find(reference, audit_files(str(audit)))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            record: JSONObject = end.value
            return record


@contextlib.contextmanager
def _picture(screen: TextIO) -> Iterator[None]:
    """The terminal's other screen, so that what stood on this one is there again afterwards."""
    screen.write(_ENTER)
    try:
        yield
    finally:
        screen.write(_LEAVE)
        screen.flush()

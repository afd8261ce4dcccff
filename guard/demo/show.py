"""Runs the demo: a real server on a loopback port, guard in front of the endpoint, seven real clients, one picture.

Nothing is scripted but what the clients ask. What they are answered, what stands in the table and what ``guard explain`` says
of it afterwards is what this guard decided in this run.
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
from guard.contracts import Charge, Slots
from guard.demo.board import Allowance, Board
from guard.demo.endpoint import endpoint
from guard.demo.traffic import CLIENTS, Client, Event, ask
from guard.errors import InstallError
from guard.explanation import explain
from guard.middleware import GuardMiddleware
from guard.recorder import audit_files, find
from guard.settings import Policy
from guard.types import BANDS, JSONObject

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_DRAW_EVERY_S = 0.2
_PACE_S = 0.01
_MOST_REASONS = 10_000
_ENTER, _LEAVE, _HOME, _TO_END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[K"


class Result(NamedTuple):
    """What a demo came to. ``explained`` is the audit's line of one of the extractor's contained exchanges, ``{}``: none."""

    board: Board
    audit: Path
    reference: str
    explained: JSONObject

    def lines(self) -> Iterator[str]:
        """What is printed at the end."""
        yield from self.board.result()
        yield ""
        if not self.explained:
            yield "Nothing was limited in so short a time. Try: guard demo --seconds 20"
            return
        yield "Why? Each refusal names a reference, and this command works from now on:"
        yield f"  guard explain {self.reference} --audit {self.audit}"
        yield from (f"    {line}" for line in explain(self.explained).splitlines())


class Demo:
    """One run: the server, its guard and what was seen of it."""

    def __init__(self, state_dir: Path, clients: Sequence[Client] = CLIENTS, seed: int = 1) -> None:
        self.clients = clients
        self._seed = seed
        self._reasons: dict[str, tuple[str, ...]] = {}
        self.board = Board(clients, self._reasons)
        self.policy = _policy(state_dir)
        model = endpoint(credentials=frozenset(client.credential for client in clients), pace_s=_PACE_S)
        self.guard = GuardMiddleware(self._noting(model), self.policy)
        self._began_s = time.monotonic()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

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
                self._began_s = time.monotonic()
                await self._traffic(url, seconds, screen, live=live)
            except asyncio.CancelledError:
                pass  # Ctrl-C: what was seen so far is shown
            finally:
                server.should_exit = True
                await serving

    async def _traffic(self, url: str, seconds: float, screen: TextIO, *, live: bool) -> None:
        def seen(event: Event) -> None:
            line = self.board.seen(event)
            if line and not live:
                print(line, file=screen, flush=True)

        tasks = [
            asyncio.create_task(ask(client, url, Random(f"{self._seed} {client.name}"), seen, self.elapsed_s))
            for client in self.clients
        ]
        try:
            with _picture(screen) if live else contextlib.nullcontext():
                while (left_s := seconds - self.elapsed_s()) > 0:
                    if live:
                        self._draw(f"guard demo   {left_s:3.0f} s left   {url}   policy demo.toml", screen)
                    await asyncio.sleep(min(_DRAW_EVERY_S, left_s))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _draw(self, title: str, screen: TextIO) -> None:
        width, height = shutil.get_terminal_size()
        lines = self.board.frame(title, self.allowances(), width, height)
        screen.write(_HOME + "\n".join(line + _TO_END for line in lines))
        screen.flush()

    def allowances(self) -> dict[str, Allowance]:
        """What guard holds of each client at this moment: it is asked, not guessed."""
        guard, now = self.guard.installation.guard, self.guard.installation.clock.now()
        rows = guard.snapshot()["scoring"]["accounts"]
        held = {key: (BANDS[band], factor) for key, _, _, band, factor, *_ in rows}
        limit = self.policy.limits[0]
        window = limit.requests[0]
        found = {}
        for client in self.clients:
            key = guard.key.identifier("credential", client.credential.encode())
            band, factor = held.get(key, ("low", 1.0))
            most = window.amount * factor
            meter = Charge(
                (limit.id, "requests", "0", key), 0.0, most, most / window.window_s, book=False, guarded="account"
            )
            taken, lease = guard.store.take([meter], Slots((), now), now)
            guard.store.settle((), lease, now)
            found[client.name] = Allowance(band, factor, taken.levels[0], most)
        return found

    def result(self) -> Result:
        """The outcome, after the run: the files are closed, so it is read as anybody would read them."""
        audit = Path(self.policy.state.dir) / "audit.jsonl"
        for reference in self.board.contained():
            # The audit keeps thirty lines a minute of one account, so not each of hundreds is there.
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

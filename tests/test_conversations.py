"""Whose is what an API keeps: bound to who received it, refused to everybody else, bounded, kept over a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from guard import GuardMiddleware
from guard.config import load
from guard.conversations import KEPT_S, Conversations
from guard.errors import StateError
from guard.hashing import HashKey
from guard.types import Account, Exchange, Peer
from guard.unjudged import UNREAD
from tests.asgi import Connection, Message, http_scope

KEY = HashKey(b"a key for tests, long enough to be one")
NOW = 1_700_000_000.0
ALICE, MALLORY = "a1" * 16, "b2" * 16


def watched(most: int = 1000) -> Conversations:
    made = Conversations(KEY, most)
    made.watch()
    return made


def names(known: Conversations, account: str, *ids: str) -> Exchange:
    return Exchange(Account(account), Peer(), "/v1/responses", replace(UNREAD), None, known.places(ids))


def passes(known: Conversations, account: str, *ids: str, now: float = NOW) -> bool:
    return known.foreign(names(known, account, *ids), now) is None


def test_who_received_an_id_may_name_it_and_nobody_else() -> None:
    """The other account, and an id that nobody received, get the same 404; the operator reads which it was."""
    known = watched()
    known.bind(ALICE, "resp_1", NOW)
    foreign = known.foreign(names(known, MALLORY, "resp_1"), NOW)
    unknown = known.foreign(names(known, MALLORY, "resp_2"), NOW)

    assert passes(known, ALICE, "resp_1")
    assert foreign is not None
    assert unknown is not None
    assert (foreign.status, foreign.reason, foreign.public) == (unknown.status, unknown.reason, unknown.public)
    assert (foreign.status, foreign.reason) == (404, "not_received")
    assert "another account" in foreign.private
    assert "nobody" in unknown.private
    assert known.refused == 2


def test_one_foreign_id_among_own_ones_is_enough() -> None:
    """Each id counts."""
    known = watched()
    known.bind(ALICE, "resp_1", NOW)
    known.bind(MALLORY, "resp_2", NOW)

    assert not passes(known, MALLORY, "resp_2", "resp_1")


def test_the_first_receiver_keeps_it() -> None:
    """An id that comes by again, for another account, stays whose it was."""
    known = watched()
    known.bind(ALICE, "resp_1", NOW)
    known.bind(MALLORY, "resp_1", NOW + 1)

    assert passes(known, ALICE, "resp_1")
    assert not passes(known, MALLORY, "resp_1")


def test_what_is_erased_is_nobodys() -> None:
    """An account that is forgotten can't go on with what it received, nor can anybody else; others' ids stay."""
    known = watched()
    known.bind(ALICE, "resp_1", NOW)
    known.bind(ALICE, "resp_2", NOW)
    known.bind(MALLORY, "resp_3", NOW)

    assert known.forget(ALICE) == 2
    assert len(known) == 1
    assert not passes(known, ALICE, "resp_1")
    assert not passes(known, MALLORY, "resp_2")
    assert passes(known, MALLORY, "resp_3")


def test_upper_and_lower_case_are_one_id() -> None:
    """A path is compared in lower case, and so is a body."""
    known = watched()
    known.bind(ALICE, "resp_AbC", NOW)

    assert passes(known, ALICE, "RESP_abc")


def test_nobody_listens_nobody_is_refused() -> None:
    """Where no answers are seen (a replay) nothing can be bound, so nothing is refused."""
    assert passes(Conversations(KEY), MALLORY, "resp_1")


def test_it_ends_after_thirty_days() -> None:
    """What was given out long ago is nobody's; what is given out again lives on."""
    known = watched()
    known.bind(ALICE, "resp_1", NOW)
    known.bind(ALICE, "conv_1", NOW)
    known.bind(ALICE, "conv_1", NOW + KEPT_S - 3600)

    assert passes(known, ALICE, "resp_1", now=NOW + KEPT_S - 3600)
    assert not passes(known, ALICE, "resp_1", now=NOW + KEPT_S + 7200)
    assert passes(known, ALICE, "conv_1", now=NOW + KEPT_S + 7200)


def test_it_is_bounded_and_forgets_what_is_idle_first() -> None:
    """A flood of ids costs the idle ones their place, not those in use, and no more than so many are held."""
    known = watched(100)
    known.bind(ALICE, "resp_used", NOW)
    known.bind(ALICE, "resp_idle", NOW)
    for number in range(1000):
        known.bind(MALLORY, f"resp_{number}", NOW)
        assert passes(known, ALICE, "resp_used")

    assert len(known) <= 100
    assert not passes(known, ALICE, "resp_idle")


@pytest.mark.parametrize("name", ["", "x" * 513])
def test_what_is_no_id_is_not_bound(name: str) -> None:
    """Neither nothing nor a text."""
    known = watched()
    known.bind(ALICE, name, NOW)

    assert len(known) == 0


def test_it_outlives_a_restart_without_a_name_in_it() -> None:
    """The snapshot, through JSON, gives back who may name what; it holds numbers only."""
    known, again = watched(20_000), watched(20_000)
    for number in range(10_000):
        known.bind(ALICE, f"resp_{number}", NOW)
    pieces = [orjson.loads(orjson.dumps(piece)) for piece in known.pieces()]
    for piece in pieces:
        again.restore(piece)

    assert len(pieces) > 1
    assert b"resp_" not in orjson.dumps(pieces)
    assert ALICE.encode() not in orjson.dumps(pieces)
    assert len(again) == len(known) > 9_000
    assert passes(again, ALICE, "resp_9999")
    assert not passes(again, MALLORY, "resp_9999")


@pytest.mark.parametrize(
    "piece", [None, {}, {"version": 2, "bound": []}, {"version": 1, "bound": [["x", 1]]}, {"version": 1, "bound": [[1]]},
              {"version": 1, "bound": [[1, -1]]}, {"version": 1, "bound": [[True, 1]]}],
)  # fmt: skip
def test_what_is_no_snapshot_is_an_error(piece: object) -> None:
    """With the remedy in its message."""
    with pytest.raises(StateError, match="remove it"):
        watched().restore(piece)


POLICY = 'version = 1\nmode = "{mode}"\n[state]\ndir = "{state}"\n'
FIRST = {"model": "demo", "input": "Hello"}
WHOLE = {"id": "resp_1", "object": "response", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1}}


class Keeper:
    """An app that answers every request with ``resp_1`` and counts them."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        self.asked += 1
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(WHOLE)})


async def status(app: GuardMiddleware, who: str, body: object, **scope: Any) -> int:
    asked = http_scope(scope.pop("path", "/v1/responses"), headers=[("authorization", f"Bearer {who}")], **scope)
    return (await Connection(app, asked, [orjson.dumps(body) if body is not None else b""]).run()).status


@pytest.mark.anyio
async def test_a_restart_keeps_them(tmp_path: Path) -> None:
    """With a state directory the one who received an id goes on after a restart, and nobody else does."""
    text = POLICY.format(mode="enforce", state=tmp_path / "state")
    go_on = FIRST | {"previous_response_id": "resp_1"}
    for turn in range(2):
        keeper = Keeper()
        app = GuardMiddleware(keeper, policy=load(text))
        if turn == 0:
            assert await status(app, "sk-alice", FIRST) == 200
        assert await status(app, "sk-alice", go_on) == 200
        assert await status(app, "sk-alice", None, path="/v1/responses/resp_1", method="GET") == 200
        assert await status(app, "sk-mallory", go_on) == 404
        assert await status(app, "sk-mallory", None, path="/v1/responses/resp_1", method="GET") == 404
        assert await status(app, "sk-mallory", None, path="/v1/responses/resp_1", method="PUT") == 405
        assert keeper.asked == 3 - turn
        app.installation.close()
        await app._background.end()


@pytest.mark.anyio
async def test_observe_says_it_and_lets_it_pass(tmp_path: Path) -> None:
    """Mode observe refuses nobody; the decision names what would have been refused."""
    keeper = Keeper()
    app = GuardMiddleware(keeper, policy=load(POLICY.format(mode="observe", state=tmp_path / "state")))
    asked = http_scope("/v1/responses", headers=[("authorization", "Bearer sk-mallory")])
    body = orjson.dumps(FIRST | {"previous_response_id": "resp_1"})
    found = await Connection(app, asked, [body]).run()

    assert found.status == 200
    assert asked["state"]["guard"].reasons == ("not_received",)
    assert keeper.asked == 1
    app.installation.close()
    await app._background.end()

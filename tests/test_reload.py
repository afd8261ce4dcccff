"""Reload: a changed file is taken up whole, a broken one changes nothing, and what got weaker is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.conditions import View, bind
from guard.errors import PolicyError
from guard.hashing import HashKey
from guard.policy import Judge
from guard.reload import POLL_S, PolicyFile, ReloadOutcome
from guard.types import Account, Assessment, Exchange, Features, Peer

LIMIT = '[[limit]]\nid = "{id}"\nper = ["account"]\nrequests = "{requests}"\nmode = "{mode}"\n'
RULE = '[[rule]]\nid = "{id}"\nwhen = {{ band = "confirmed" }}\naction = "{action}"\nmode = "{mode}"\n'


def text(mode: str = "enforce", more: str = "") -> str:
    return f'version = 1\nmode = "{mode}"\n{more}'


def limit(name: str = "free", requests: str = "20/minute", mode: str = "enforce") -> str:
    return LIMIT.format(id=name, requests=requests, mode=mode)


def rule(name: str = "known", action: str = "refuse", mode: str = "enforce") -> str:
    return RULE.format(id=name, action=action, mode=mode)


class Watched:
    """A policy file, its watcher, and time that only goes on when it is told."""

    def __init__(self, folder: Path, content: str) -> None:
        self.path = folder / "guard.toml"
        self.path.write_text(content)
        self.now = 1000.0
        self.file = PolicyFile(self.path, self.now)

    def swap(self, content: str | bytes) -> None:
        """Another file under the same name, in one step, as deployments do it."""
        new = self.path.with_suffix(".new")
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.replace(self.path)

    def polled(self, times: int = 2) -> ReloadOutcome:
        """The last outcome of so many polls; the second one reads a file that holds still."""
        for _ in range(times):
            self.now += POLL_S
            outcome = self.file.poll(self.now)
        return outcome

    def after(self, content: str) -> ReloadOutcome:
        self.swap(content)
        return self.polled()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path, text(more=limit() + rule()))


def test_an_unchanged_file_is_not_read_again(watched: Watched) -> None:
    """The very same policy object stays in use."""
    before = watched.file.policy
    outcome = watched.polled(5)
    assert outcome.kind == "unchanged"
    assert outcome.policy is before


def test_a_changed_file_is_taken_up_whole(watched: Watched) -> None:
    """Another digest, other limits, and what differs by id."""
    outcome = watched.after(text(more=limit(requests="10/minute") + limit("new", "5/day", "shadow") + rule()))
    assert outcome.kind == "changed"
    assert outcome.policy is watched.file.policy
    assert outcome.policy.limits[0].requests[0].amount == 10
    changes = outcome.changes
    assert (changes.added, changes.removed, changes.changed) == (("limit new",), (), ("limit free",))
    assert changes.loosens == ()
    assert watched.polled().kind == "unchanged"


def test_a_file_that_is_still_being_written_is_waited_for(watched: Watched) -> None:
    """A write in progress is a shorter policy, not a broken one: only what held still for a poll is read."""
    whole = text(more=limit(requests="10/minute") + rule())
    watched.path.write_text(whole[: whole.index("[[rule]]")])
    assert watched.polled(1).kind == "unchanged"
    watched.path.write_text(whole)
    assert watched.polled(1).kind == "unchanged"
    outcome = watched.polled(1)
    assert outcome.kind == "changed"
    assert len(outcome.policy.rules) == 1


def test_polls_in_quick_succession_cost_nothing(watched: Watched) -> None:
    """The file is looked at once a second at most, however often a tick asks."""
    watched.swap(text("observe"))
    outcomes = {watched.file.poll(watched.now + POLL_S * part / 10).kind for part in range(10)}
    assert outcomes == {"unchanged"}
    assert watched.polled().kind == "changed"


BROKEN = {
    "truncated": text(more=limit())[:-20],
    "unknown key": text(more="modes = 1\n"),
    "duplicate key": text(more='mode = "off"\n'),
    "duplicate id": text(more=limit() + limit()),
    "wrong unit": text(more=limit(requests="20/fortnight")),
    "negative": text(more=limit(requests="-20/minute")),
    "empty": "",
    "not utf-8": b"version = 1\n# \xff\n",
    "yaml": "version: 1\nmode: &a [*a, *a]\n",
    "yaml object": "!!python/object:os.system {}\n",
    "too large": "version = 1\n" + "#" * (1 << 20),
    "bomb": "version = 1\nx = " + "[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_keeps_the_last_good_policy(watched: Watched, content: str | bytes) -> None:
    """SECURITY.md 138: old policy stays, the failure is counted once, and the file is known to be stale until it is right."""
    before = watched.file.policy
    watched.swap(content)
    outcome = watched.polled()
    assert outcome.kind == "failed"
    assert outcome.error is not None
    assert outcome.error.problems
    assert outcome.policy is before
    assert watched.file.stale
    assert watched.polled(5).kind == "unchanged"
    assert watched.file.failures == 1
    watched.swap(text("observe"))
    assert watched.polled().kind == "changed"
    assert not watched.file.stale
    assert watched.file.failures == 1


def test_a_file_that_vanishes_keeps_the_last_good_policy(watched: Watched) -> None:
    """Deleted, then a folder in its place, then unreadable, then back again."""
    before = watched.file.policy
    watched.path.rename(watched.path.with_suffix(".away"))
    assert watched.polled().kind == "failed"
    watched.path.mkdir()
    assert watched.polled().kind == "failed"
    watched.path.rmdir()
    watched.path.with_suffix(".away").rename(watched.path)
    assert watched.polled().kind == "unchanged"
    assert watched.file.policy is before
    assert watched.file.failures == 2
    assert not watched.file.stale


def test_a_file_that_may_not_be_read_keeps_the_last_good_policy(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission denied is a failure like any other. (Root may read everything, so it is denied here.)"""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    watched.swap(text("observe"))
    monkeypatch.setattr(Path, "open", denied)
    outcome = watched.polled()
    assert outcome.kind == "failed"
    assert "Permission denied" in str(outcome.error)
    assert outcome.policy.mode == "enforce"


def test_a_gigabyte_is_refused_without_being_read(watched: Watched) -> None:
    """At most a mebibyte of it is looked at."""
    with watched.path.open("wb") as file:
        file.truncate(1 << 30)
    outcome = watched.polled()
    assert outcome.error is not None
    assert "larger than" in str(outcome.error)


def test_a_swapped_symlink_is_seen(tmp_path: Path) -> None:
    """Mounted configuration changes by swapping a link to a folder; file, time and size may well be the same."""
    for name, mode in (("one", "enforce"), ("two", "observe")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "guard.toml").write_text(text(mode))
        os.utime(tmp_path / name / "guard.toml", (1, 1))
    (tmp_path / "current").symlink_to("one")
    file = PolicyFile(tmp_path / "current" / "guard.toml", 0.0)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "current")
    assert file.poll(1.0).kind == "unchanged"
    assert file.poll(2.0).kind == "changed"
    assert file.policy.mode == "observe"


def test_reload_reads_at_once(watched: Watched) -> None:
    """The operator's word (SIGHUP, `guard reload`) waits for no poll, and reports a failure each time it is given."""
    watched.swap(text("observe"))
    assert watched.file.reload(watched.now).kind == "changed"
    watched.swap("version = 2\n")
    assert watched.file.reload(watched.now).kind == "failed"
    assert watched.file.reload(watched.now).kind == "failed"
    assert watched.file.failures == 2
    assert watched.file.policy.mode == "observe"


def test_a_preset_never_changes() -> None:
    """There is no file to watch."""
    file = PolicyFile("standard", 0.0)
    assert file.poll(100.0).kind == file.reload(100.0).kind == "unchanged"
    assert file.policy.source == "standard"


def test_a_first_policy_with_mistakes_is_an_error(tmp_path: Path) -> None:
    """There is no last good one to keep."""
    (tmp_path / "guard.toml").write_text("version = 2\n")
    with pytest.raises(PolicyError):
        PolicyFile(tmp_path / "guard.toml")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (text(), text("observe"), "mode enforce → observe"),
        (text(more=rule()), text(more=rule(mode="shadow")), "rule known: enforce → shadow"),
        (text(more=rule()), text(), "rule known: enforce → removed"),
        (text(more=rule()), text(more=rule(action="tag")), "rule known: refuse → tag"),
        (text(more=limit()), text(more=limit(mode="shadow")), "limit free: enforce → shadow"),
        (text(more=limit()), text(more=limit(requests="21/minute")), "limit free allows more"),
        (
            text(more='[admin]\ntcp = "127.0.0.1:9901"\ntoken_file = "t"\n'),
            text(),
            None,  # the channel itself is gone
        ),
        (text(more=limit()), text(more=limit(requests="19/minute")), None),
        (text("observe"), text(), None),
    ],
)
def test_what_gets_weaker_is_said(tmp_path: Path, before: str, after: str, said: str | None) -> None:
    """SECURITY.md 140: for a loud audit event; stricter changes are silent."""
    loosens = Watched(tmp_path, before).after(after).changes.loosens
    assert any(said in sentence for sentence in loosens) if said else loosens == ()


def test_a_token_cant_be_removed_from_under_an_open_tcp_channel(tmp_path: Path) -> None:
    """SECURITY.md 140: such a file is a mistake; the channel keeps its token."""
    outcome = Watched(tmp_path, text(more='[admin]\ntcp = "127.0.0.1:9901"\ntoken_file = "t"\n')).after(
        text(more='[admin]\ntcp = "127.0.0.1:9901"\n')
    )
    assert outcome.kind == "failed"
    assert outcome.policy.admin.token_file == "t"


def test_a_renamed_limit_is_pointed_out(watched: Watched) -> None:
    """What was used belongs to the id; a rename would give a fresh budget by accident."""
    outcome = watched.after(text(more=limit("trial", "25/minute") + rule()))
    (warning,) = outcome.warnings
    assert 'looks like "free" under another id' in str(warning)
    assert "not carried" in str(warning)
    assert watched.after(text(more=limit("trial", "30/minute") + rule())).warnings == ()


def test_a_thousand_swaps_keep_a_whole_policy_at_every_moment(tmp_path: Path) -> None:
    """SECURITY.md 138 and 139: good, broken and missing files in turn; each exchange is judged by one whole good policy."""
    watched = Watched(tmp_path, text(more=rule("r0", "refuse") + limit("l0")))
    features = Features(1, "openai_chat", "m", False, (), (), 1, None)
    view = View(
        Exchange(Account("0" * 32), Peer(), "/v1/chat/completions", features),
        Assessment(0.99, "confirmed", 0.0),
        watched.now,
        False,
    )
    broken, last_good, key = 0, 0, HashKey(b"reload")
    for turn in range(1, 1001):
        if turn % 3:
            action = "refuse" if turn % 2 else "tag"
            watched.swap(text(more=rule(f"r{turn}", action) + limit(f"l{turn}")))
            last_good = turn
        elif turn % 2:
            watched.swap(text(more=rule(f"r{turn}") + limit(f"l{turn}"))[: 30 + turn % 70] + "\n=")
            broken += 1
        else:
            watched.path.unlink()
            broken += 1
        outcome = watched.polled()
        assert outcome.kind == ("changed" if turn % 3 else "failed")
        policy = outcome.policy
        assert policy.limits[0].id == f"l{last_good}"
        judgement = Judge(bind(policy, key)).judge(view)
        assert (judgement.rule, judgement.action) == (f"r{last_good}", policy.rules[0].action)
    assert watched.file.failures == broken

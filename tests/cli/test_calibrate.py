"""``guard calibrate``: what it prints of labelled logs, when it refuses, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.calibration import fitting
from guard.cli import main
from guard.config import load
from guard.replay import Replay
from tests import populations as p

Ran = tuple[int, str, str]


def labelled(crowd: list[p.Record], campaign: str | None, segment: str) -> list[p.Record]:
    label = {"segment": segment, "campaign": campaign, "extraction": campaign is not None}
    return [{**one, "label": label} for one in crowd]


def honest(seed: int) -> list[p.Record]:
    """Users of a tool, and of an app."""
    tool = p.Crowd(f"tool{seed}", 50, seed, age=(1.0, 400.0)).visits(p.template(seed), days=1)
    app = p.Crowd(f"app{seed}", 50, seed + 50, age=(1.0, 20.0)).visits(p.template(seed + 50, system=True), days=1)
    return labelled(tool, None, f"tool{seed}") + labelled(app, None, f"app{seed}")


def campaign(seed: int) -> list[p.Record]:
    return labelled(p.hydra(300, name=f"queue{seed}", seed=seed, days=1.0), f"h{seed}", "campaign")


@pytest.fixture
def logs(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, *crowds: list[p.Record]) -> str:
        path = tmp_path / name
        path.write_bytes(b"\n".join(p.log(*crowds)) + b"\n")
        return str(path)

    return write


@pytest.fixture
def calibrate(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*words: str) -> Ran:
        code = main(["calibrate", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_two_labelled_logs(logs: Callable[..., str], calibrate: Callable[..., Ran]) -> None:
    """Curves, promises, the margin, scales and held-out losses, each log a fold."""
    code, out, err = calibrate(logs("a", honest(1), campaign(11)), logs("b", honest(2), campaign(12)))

    assert (code, err) == (0, "")
    for words in (
        "exchanges scored",
        "groups scored at most",
        "honest groups so many ever read that many nats",
        "the highest log-odds of an honest group",
        "without one fold",
        "log-loss held out",
        "above the line of suspect held out",
    ):
        assert words in out, words
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows if row[:1] in (["a"], ["b"])] == ["a", "b"]
    about = [row for row in rows if row[:1] == ["about"]]
    assert [row[1] for row in about] == ["0.1", "0.3", "0.5", "0.7", "0.9"] * 2
    counted = sum(int(row[2].replace(",", "")) for row in about[:5])
    assert out.startswith(f"{counted:,} exchanges, {counted:,} labelled, 600 of them campaigns'")


def test_it_is_the_same_twice(logs: Callable[..., str], calibrate: Callable[..., Ran]) -> None:
    """By the log's clock alone."""
    words = (logs("a", honest(1), campaign(11)), "--limit", "600")

    assert calibrate(*words) == calibrate(*words)


def test_written_weights_are_those_that_the_policy_can_name(
    logs: Callable[..., str], calibrate: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they do better; a guard starts with them. A file that is there is left alone."""
    monkeypatch.setattr(fitting.Fitted, "worse", "")
    words = (logs("a", honest(1), campaign(11)), logs("b", honest(2), campaign(12)))
    path = tmp_path / "weights.toml"
    code, out, _ = calibrate(*words, "--write", str(path))
    assert code == 0
    assert f"wrote {path}" in out
    policy = tmp_path / "guard.toml"
    policy.write_text(f"version = 1\n[score]\nweights = '{path}'\n")
    assert Replay(load(str(policy))).guard is not None
    assert path.read_text().startswith("# Scales fitted by guard calibrate")
    code, out, err = calibrate(*words, "--write", str(path))
    assert (code, out) == (2, "")
    assert "--force overwrites it" in err


def test_what_does_no_better_is_not_written(
    logs: Callable[..., str], calibrate: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, and the weights in force stay."""
    monkeypatch.setattr(fitting.Fitted, "worse", "log-loss is no lower")
    words = (logs("a", honest(1), campaign(11)), logs("b", honest(2), campaign(12)))
    code, out, _ = calibrate(*words, "--write", str(tmp_path / "w.toml"))

    assert code == 1
    assert "the weights in force are kept: held out, log-loss is no lower" in out
    assert not (tmp_path / "w.toml").exists()


def test_one_campaign_alone_can_not_be_held_out(logs: Callable[..., str], calibrate: Callable[..., Ran]) -> None:
    """The curve is printed, nothing is fitted."""
    code, out, _ = calibrate(logs("a", honest(1), campaign(11)))

    assert code == 0
    assert "can't be held out: the weights in force are kept" in out
    assert "log-loss" not in out


def test_no_labels_is_said(logs: Callable[..., str], calibrate: Callable[..., Ran]) -> None:
    code, out, err = calibrate(logs("a", p.people(20)))

    assert (code, out) == (2, "")
    assert "no line has a label" in err


def test_one_class_is_said_after_what_clean_traffic_shows(
    logs: Callable[..., str], calibrate: Callable[..., Ran]
) -> None:
    """Clean logs alone check promises and margin; weights can't be fitted on them."""
    code, out, err = calibrate(logs("a", honest(1)))

    assert code == 2
    assert "honest groups so many ever read that many nats" in out
    assert "all labels say honest" in err
    code, _, err = calibrate(logs("b", campaign(11)))
    assert code == 2
    assert "only groups of campaigns were weighed" in err


def test_the_operators_word_is_heard(calibrate: Callable[..., Ran], tmp_path: Path) -> None:
    """The feedback of the policy's state directory, without any log."""

    def judged(name: str, right: bool, even: float) -> dict[str, Any]:
        said = [["even_load", "coordination", even], ["young_accounts", "lifecycle", 3.0]]
        nats = even + 3.0 - 6.0
        return {"v": 1, "at": 1.0, "cluster": name, "right": right, "score": 0.9, "nats": nats, "evidence": said}

    (tmp_path / "state").mkdir()
    lines = [judged(f"r{n}", True, 3.0) for n in range(4)] + [judged(f"w{n}", False, 2.5) for n in range(4)]
    (tmp_path / "state" / "feedback.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    policy = tmp_path / "guard.toml"
    policy.write_text(f"version = 1\n[state]\ndir = '{tmp_path}/state'\n")
    code, out, err = calibrate("--policy", str(policy))

    assert (code, err) == (0, "")
    assert "8 verdicts judged by --right or --wrong" in out
    assert "the highest log-odds of an honest group: -0.50 nats, 1.50 above the line" in out


def test_a_line_that_can_not_be_read_is_named(
    logs: Callable[..., str], calibrate: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("{\n")
    code, _, err = calibrate(str(tmp_path / "broken"))
    assert code == 2
    assert "broken: line 0" in err
    code, _, err = calibrate(str(tmp_path / "nowhere"))
    assert code == 2
    assert "No such file" in err


def test_nothing_that_was_asked_is_printed(logs: Callable[..., str], calibrate: Callable[..., Ran]) -> None:
    """Neither texts nor accounts: counts, names of segments and campaigns."""
    one = campaign(11)
    _, out, err = calibrate(logs("a", honest(1), one))

    body = one[0]["request"]["body"]["messages"][-1]["content"]
    assert not any(word in out + err for word in body.split() if len(word) > 9)
    assert one[0]["account"]["id"] not in out + err

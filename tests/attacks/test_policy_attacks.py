"""SECURITY 138 to 140 on a running server: the policy file is broken, swapped and loosened while requests come in."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.channel import call
from guard.cli import main
from tests.attacks.victim import Victim
from tests.attacks.wire import PATIENCE_S, Wire, ask_once

pytestmark = pytest.mark.uvicorn


def policy(folder: Path, *, requests: str = "1000000/day", mode: str = "enforce", more: str = "") -> str:
    return (
        f'version = 1\nmode = "{mode}"\n[[limit]]\nid = "free"\nper = ["account"]\nrequests = "{requests}"\n{more}'
        f'[admin]\nsocket = "{folder}/run/s"\n[state]\ndir = "{folder}/state"\n'
    )


def texts(good: str) -> dict[str, str | bytes]:
    """Every way to write a policy that is none."""
    return {
        "empty": "",
        "blanks": " \n\t\n",
        "cut in a string": good[: good.index("enforce") + 3],
        "cut in a table": good[: good.index("[[limit") + 4],
        "a key twice": good.replace('mode = "enforce"', 'mode = "enforce"\nmode = "off"'),
        "a table twice": good + "[state]\n",
        "an id twice": good + '[[limit]]\nid = "free"\nper = []\nrequests = "1/day"\n',
        "an unknown key": good + "[limits]\nfree = 1\n",
        "a misspelt key": good.replace("requests", "requets"),
        "a key that is no text": good.replace("version = 1", "1 = version"),
        "a wrong unit": good.replace("/day", "/fortnight"),
        "no unit": good.replace("/day", ""),
        "a number for a text": good.replace('"1000000/day"', "1000000"),
        "below nothing": good.replace("1000000", "-1"),
        "a mode of nobody": good.replace("enforce", "enforced"),
        "another version": good.replace("version = 1", "version = 2"),
        "no version": good.replace("version = 1\n", ""),
        "YAML": "version: 1\nmode: &a [*a, *a, *a]\nlimits: *a\n",
        "a YAML object": '!!python/object/apply:os.system ["true"]\n',
        "JSON": '{"version": 1, "mode": "off"}',
        "rubbish": os.urandom(4096),
        "NUL": good.replace("enforce", "enf\0rce"),
        "UTF-16": good.encode("utf-16"),
        "not UTF-8": good.encode() + b"# \xff\xfe\n",
        "deep arrays": good + "x = " + "[" * 100_000,
        "deep keys": good + "a" + ".a" * 100_000 + " = 1\n",
        "deep conditions": good
        + '[[rule]]\nid = "r"\naction = "tag"\nwhen = '
        + "{ not = " * 250
        + "{}"
        + "}" * 250
        + "\n",
        "thousands of mistakes": good + "".join(f'[[limit]]\nid = "l{n}"\npeer = 1\n' for n in range(3000)),
        "larger than a mebibyte": good + "#" * (1 << 20),
        "a number of 5,000 digits": good + "[models]\ndefault_output_tokens = " + "9" * 5000 + "\n",
    }


def files(path: Path) -> dict[str, Callable[[], object]]:
    """Every way to make a file that is none."""

    def sparse() -> None:
        with path.open("wb") as file:
            file.truncate(1 << 30)

    broken = path.with_name("broken.toml")
    broken.write_text("mode = 1")
    return {
        "deleted": lambda: None,
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a gigabyte": sparse,
        "a link to nowhere": lambda: path.symlink_to(path.with_name("nowhere")),
        "a link to itself": lambda: path.symlink_to(path),
        "a link to a broken file": lambda: path.symlink_to(broken),
        "a link to zeros without end": lambda: path.symlink_to("/dev/zero"),
        "a link to nothing": lambda: path.symlink_to("/dev/null"),
        "a file nobody may read": lambda: (path.touch(mode=0), path.chmod(0)),
    }


def test_no_broken_file_changes_anything(
    victims: Callable[..., Victim], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case 138: forty ways to break the file under a running server, each read at once: the old policy stays in force, requests
    are answered meanwhile, the status says stale and why, and the next good file ends it."""
    good = policy(tmp_path)
    victim = victims(good, http="httptools")
    path, address = tmp_path / "guard.toml", f"{tmp_path}/run/s"
    assert ask_once(victim.to, key="sk").status == 200
    digest = call(address, "status")["digest"]
    breaks: dict[str, Callable[[], object]] = {
        name: (lambda text=text: path.write_bytes(text if isinstance(text, bytes) else text.encode()))
        for name, text in texts(good).items()
    } | files(path)
    slowest = ("", 0.0)
    with Wire(victim.to) as wire:
        for name, install in breaks.items():
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
            install()
            began = time.perf_counter()
            said = call(address, "reload")
            assert wire.ask(key="sk").status == 200
            slowest = max(slowest, (name, time.perf_counter() - began), key=lambda item: item[1])
            status = call(address, "status")
            assert (name, said["changed"], bool(said["mistakes"])) == (name, False, True)
            assert (name, status["digest"], status["stale_policy"], status["health"]) == (
                name,
                digest,
                True,
                "degraded",
            )
            # Every mistake stays a line: nothing in the file can forge another.
            assert all("\x00" not in line and "\x1b" not in line for line in said["mistakes"].splitlines())
    capsys.readouterr()
    assert main(["status", "--socket", address]) == 1
    shown = capsys.readouterr().out
    path.unlink()
    path.write_text(good)
    # The same bytes as before: nothing to take up, and nothing stale any more.
    assert call(address, "reload")["changed"] is False
    healthy = call(address, "status")
    print(f"{len(breaks)} broken files, the slowest {slowest}")

    assert "stale" in shown
    assert "the last good policy stays in force" in shown
    assert healthy["stale_policy"] is False
    assert healthy["health"] == "ok"
    assert slowest[1] < 3
    assert "Traceback" not in victim.said
    metrics = call(address, "metrics")["text"]
    assert f'guard_reloads_total{{result="failed"}} {float(len(breaks))}' in metrics


def test_a_broken_file_is_noticed_without_being_told(victims: Callable[..., Victim], tmp_path: Path) -> None:
    """Case 138: by the watch, and by SIGHUP, which does not end the server."""
    victim = victims(policy(tmp_path, requests="20/day"), http="h11")
    path, address = tmp_path / "guard.toml", f"{tmp_path}/run/s"
    with Wire(victim.to) as wire:
        assert [wire.ask(key="sk").status for _ in range(25)] == [200] * 20 + [429] * 5
        path.write_text("broken")
        until(wire, lambda: bool(call(address, "status")["stale_policy"]))
        assert wire.ask(key="sk").status == 429
        # What was used stays used under the next good policy.
        path.write_text(policy(tmp_path, requests="30/day"))
        victim.process.send_signal(signal.SIGHUP)
        until(wire, lambda: not call(address, "status")["stale_policy"])
        assert [wire.ask(key="sk").status for _ in range(15)] == [200] * 10 + [429] * 5

    assert victim.process.poll() is None


def until(wire: Wire, condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE_S
        assert wire.ask(b"", method="GET", path="/seen").status == 200


def test_reloading_under_load_fails_no_request(victims: Callable[..., Victim], tmp_path: Path) -> None:
    """Case 139: sixty swaps, by verb, watch and signal, while three clients ask as fast as they can: every answer is 200, each
    decided under one whole policy, and the meters go on."""
    victim = victims(policy(tmp_path), http="httptools")
    path, address = tmp_path / "guard.toml", f"{tmp_path}/run/s"
    assert ask_once(victim.to, key="sk0").status == 200
    done = threading.Event()
    statuses: list[list[int]] = [[], [], []]

    def hammer(n: int) -> None:
        with Wire(victim.to) as wire:
            while not done.is_set():
                statuses[n].append(wire.ask(key=f"sk{n}").status)

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(3)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        swaps = 0
        while swaps < 60 or min(map(len, statuses)) < 200:
            assert time.monotonic() - began < PATIENCE_S
            swaps += 1
            # Two whole policies that have nothing in common but the limit's id.
            odd = '[[rule]]\nid = "odd"\naction = "tag"\nwhen = { model = "m" }\n' if swaps % 2 else ""
            new = path.with_name("new.toml")
            new.write_text(policy(tmp_path, requests=f"{1_000_000 + swaps}/day", more=odd))
            new.replace(path)
            if swaps % 10 == 5:
                victim.process.send_signal(signal.SIGHUP)
            assert "mistakes" not in call(address, "reload")
    finally:
        done.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    took = time.monotonic() - began
    found = [status for each in statuses for status in each]
    status = call(address, "status")
    print(f"{swaps} swaps, {len(found)} requests in {took:.1f} s: {len(found) / took:.0f} a second")

    assert set(found) == {200}
    assert not status["stale_policy"]
    assert status["faults"] == {}
    # What was used under all of them is in the meter, but for the few that drained: a dozen a second.
    path.write_text(policy(tmp_path, requests=f"{len(statuses[1]) - 12 * int(took + 2)}/day"))
    assert call(address, "reload")["changed"] is True
    assert ask_once(victim.to, key="sk1").status == 429


@pytest.mark.parametrize("by", ["file", "mode"])
def test_loosening_is_loud(victims: Callable[..., Victim], tmp_path: Path, by: str) -> None:
    """Case 140: from enforcing to watching, by the file or by ``guard mode``: a warning in the log, an event in the audit's own
    file, with what got weaker; tightening is quiet."""
    victim = victims(policy(tmp_path, requests="20/day"), http="h11")
    address = f"{tmp_path}/run/s"
    assert ask_once(victim.to, key="sk").status == 200
    if by == "file":
        (tmp_path / "guard.toml").write_text(policy(tmp_path, requests="40/day", mode="observe"))
        weaker = call(address, "reload")["loosened"]
        assert len(weaker) >= 2
        assert any("mode" in sentence for sentence in weaker)
        assert any("free" in sentence for sentence in weaker)
    else:
        assert main(["mode", "observe", "--for", "2h", "--why", "false positives", "--socket", address]) == 0
    assert call(address, "status")["mode"] == "observe"
    loud = events(tmp_path, address)
    assert any(event["event"] in ("loosened", "mode") and "observe" in json.dumps(event) for event in loud)
    assert "WARNING:guard:loosened" in victim.said
    before = victim.said.count("loosened what") + victim.said.count("WARNING:guard:loosened")
    if by == "file":
        (tmp_path / "guard.toml").write_text(policy(tmp_path, requests="20/day"))
        assert call(address, "reload")["loosened"] == []
    else:
        assert main(["mode", "policy", "--socket", address]) == 0

    assert call(address, "status")["mode"] == "enforce"
    assert victim.said.count("loosened what") + victim.said.count("WARNING:guard:loosened") == before


def events(folder: Path, address: str) -> list[dict[str, object]]:
    """The operator's events in the audit, all of them."""
    call(address, "verify")  # writes what waits
    return [json.loads(line) for line in (folder / "state" / "audit.operator.jsonl").read_text().splitlines()]

"""SECURITY A3 on a real uvicorn: what is too large is refused quickly, with bounded memory, and the worker lives."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import select
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.conftest import Served
from tests.attacks.victim import Victim
from tests.attacks.wire import ASK, Answer, Wire, ask_once, encoded, request

pytestmark = pytest.mark.uvicorn

MIB = 1024 * 1024
CAP_BYTES = 32 * MIB
POLICY = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "free"\nper = ["account"]\nrequests = "1000000/day"\n'
# What refusing may cost beside the body itself: zlib's window, the parser's buffers, one step of output.
SLACK_BYTES = 8 * MIB


def zeros(wbits: int, mebibytes: int = 512) -> bytes:
    """That many MiB of zeros, compressed: one piece flushed and repeated, so that making it takes no time."""
    press = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = press.compress(b"\0" * MIB) + press.flush(zlib.Z_FULL_FLUSH)
    piece = press.compress(b"\0" * MIB) + press.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (mebibytes - 1)


def json_bomb(wbits: int) -> bytes:
    """A valid request whose content is 512 MiB of blanks."""
    press = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = press.compress(encoded(ASK)[:-1]) + press.flush(zlib.Z_FULL_FLUSH)
    piece = press.compress(b" " * MIB) + press.flush(zlib.Z_FULL_FLUSH)
    return head + piece * 512 + press.compress(b"}") + press.flush()


def patient_bomb() -> bytes:
    """512 MiB that are 80 times as large as they come: only the cap stops them."""
    press = zlib.compressobj(9, zlib.DEFLATED, 31)
    noise = random.Random(1).randbytes(12 * 1024)
    head = press.compress(noise + b"\0" * (MIB - len(noise))) + press.flush(zlib.Z_FULL_FLUSH)
    piece = press.compress(noise + b"\0" * (MIB - len(noise))) + press.flush(zlib.Z_FULL_FLUSH)
    return head + piece * 511


BOMBS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "gzip": ("gzip", lambda: zeros(31), 413),
    "deflate": ("deflate", lambda: zeros(15), 413),
    "valid JSON": ("gzip", lambda: json_bomb(31), 413),
    "a patient one": ("gzip", patient_bomb, 413),
    "10,000 members": ("gzip", lambda: gzip.compress(b" ") * 10_000, 400),
    "a member behind the request": ("gzip", lambda: gzip.compress(encoded(ASK)) + gzip.compress(b"\0" * MIB), 400),
    "the wrong label": ("deflate", lambda: gzip.compress(encoded(ASK)), 400),
    "not compressed": ("gzip", lambda: encoded(ASK), 400),
    "cut short": ("gzip", lambda: gzip.compress(encoded(ASK))[:-9], 400),
    "brotli": ("br", lambda: b"\xcf\xff\xff\x7f\xf8\x27\x00\xe2\xb1\x40\x20\xf6\xfe\x9f", 415),
    "zstd": ("zstd", lambda: b"\x28\xb5\x2f\xfd" + b"\0" * 500, 415),
    "compress": ("compress", lambda: b"\x1f\x9d\x90", 415),
    "stacked": ("gzip, gzip", lambda: gzip.compress(zeros(31, 64)), 415),
    "stacked in two headers": ("gzip\r\ncontent-encoding: deflate", lambda: gzip.compress(zeros(15, 64)), 415),
    "an encoding of nobody": ("\x7f", lambda: encoded(ASK), 415),
}


def sent_in_chunks(body: bytes, *headers: tuple[str, str]) -> Iterator[bytes]:
    """The same request without a length, in chunks of 64 KiB."""
    yield request(b"", ("transfer-encoding", "chunked"), *headers, length=False, key="sk")
    for start in range(0, len(body), 65_536):
        piece = body[start : start + 65_536]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def tell(wire: Wire, parts: Iterator[bytes]) -> tuple[Answer, int]:
    """Sends until the server answers or hangs up, as it may before it has taken all; its answer, and how much it took."""
    taken = 0
    for part in parts:
        if select.select([wire.socket], [], [], 0)[0]:
            break
        try:
            wire.send(part)
        except OSError:
            break
        taken += len(part)
    return wire.answer(), taken


def test_bombs_are_refused_quickly_within_bounds(victims: Callable[..., Victim], http: str) -> None:
    """Cases 54 and 55: each with a length and in chunks; the peak stays below the cap and a few MiB; the worker answers on."""
    victim = victims(POLICY, http=http)
    assert ask_once(victim.to, key="sk").status == 200
    base = victim.rss_bytes()
    found = {}
    for name, (encoding, make, expected) in BOMBS.items():
        body = make()
        for whole in (True, False):
            victim.forget_peak()
            began = time.perf_counter()
            with Wire(victim.to) as wire:
                label = ("content-encoding", encoding)
                parts = iter([request(body, label, key="sk")]) if whole else sent_in_chunks(body, label)
                answer, _ = tell(wire, parts)
            took = time.perf_counter() - began
            found[name, whole] = (answer.status, took, victim.peak_bytes() - base)
            # A server may refuse the header itself.
            assert answer.status in ({400, 415} if encoding == "\x7f" else {expected}), name
    print(
        {
            f"{name}/{'whole' if whole else 'chunked'}": f"{s} {t * 1000:.0f} ms {p / MIB:.1f} MiB"
            for (name, whole), (s, t, p) in found.items()
        }
    )

    assert max(peak for _, _, peak in found.values()) < CAP_BYTES + SLACK_BYTES
    assert max(took for _, took, _ in found.values()) < 2.0
    assert victim.seen()["count"] == 1
    assert ask_once(victim.to, key="sk").status == 200


def test_honest_compression_is_read_and_passed_on_as_it_came(served: Callable[[str], Served]) -> None:
    """Case 55: gzip and deflate are judged by their content and forwarded byte for byte."""
    attacked = served(POLICY + 'tokens = "100000/day"\n')
    for encoding, body in (("gzip", gzip.compress(encoded(ASK))), ("deflate", zlib.compress(encoded(ASK)))):
        answer = ask_once(attacked.port, body, ("content-encoding", encoding), key="sk")
        assert (answer.status, answer.headers["x-got"]) == (200, sha256(body).hexdigest())
        broken = zlib.compress(b"{") if encoding == "deflate" else gzip.compress(b"{")
        assert ask_once(attacked.port, broken, ("content-encoding", encoding), key="sk").status == 400

    assert attacked.upstream.count == 2


def test_a_body_without_a_length_is_given_up_at_the_cap(victims: Callable[..., Victim], http: str) -> None:
    """Case 56: 256 MiB in chunks against a cap of 1 MiB: 413 after little more than that, and the connection is closed."""
    victim = victims(POLICY + '[body]\nmax_bytes = "1 MiB"\n', http=http)
    assert ask_once(victim.to, key="sk").status == 200
    victim.forget_peak()
    base = victim.rss_bytes()
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    def endless() -> Iterator[bytes]:
        yield request(b"", ("transfer-encoding", "chunked"), length=False, key="sk")
        for _ in range(4096):
            yield piece

    with Wire(victim.to) as wire:
        answer, taken = tell(wire, endless())
        assert answer.status == 413
        until_it_hangs_up(wire.socket)

    assert taken < 16 * MIB
    assert victim.peak_bytes() - base < SLACK_BYTES
    assert victim.seen()["count"] == 1


def until_it_hangs_up(connection: socket.socket) -> None:
    """Returns when the server has ended the connection; raises ``TimeoutError`` where it keeps it."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65_536):
            pass


def test_a_declared_length_above_the_cap_is_refused_unread(victims: Callable[..., Victim], http: str) -> None:
    """Case 56: 413 before one byte of the body has come, also for lengths that no machine has."""
    victim = victims(POLICY + '[body]\nmax_bytes = "1 MiB"\n', http=http)
    for length in (MIB + 1, 10**12, 10**18):
        with Wire(victim.to) as wire:
            wire.send(request(b"", ("content-length", str(length)), length=False, key="sk"))
            answer = wire.answer()
            assert (answer.status, answer.headers.get("connection")) == (413, "close")
            until_it_hangs_up(wire.socket)

    assert victim.seen()["count"] == 0


def test_a_body_that_trickles_is_given_up(served: Callable[[str], Served]) -> None:
    """Case 56 and A2's 42: a client that stops in the middle of its body gets 408 after the deadline, not the server's patience."""
    attacked = served(POLICY + '[body]\ntimeout = "200 ms"\n')
    with Wire(attacked.port) as wire:
        wire.send(request(b"", ("content-length", "500"), length=False, key="sk") + b'{"model"')
        answer = wire.answer()

    assert (answer.status, answer.headers.get("connection")) == (408, "close")
    assert attacked.upstream.count == 0


def test_deep_bodies_over_the_wire(served: Callable[[str], Served]) -> None:
    """Case 50: refused at once, and nothing is called."""
    attacked = served(POLICY)
    for depth in (65, 300, 1025, 1_000_000):
        body = b'{"model":"m","messages":[],"own":' + b"[" * depth + b"]" * depth + b"}"
        began = time.perf_counter()
        answer = ask_once(attacked.port, body, key="sk")
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["code"] == "invalid_request"
        assert time.perf_counter() - began < 5.0

    assert attacked.upstream.count == 0


def test_a_sample_of_the_suite_over_the_wire(served: Callable[[str], Served], shared: Path) -> None:
    """Cases 46 and 47: every file that parsers differ on and each seventh of the others: exactly what was sent, or nothing."""
    folder = shared / "suites" / "JSONTestSuite" / "test_parsing"
    if not folder.is_dir():
        pytest.skip("needs JSONTestSuite in ../shared/suites")
    files = [path for n, path in enumerate(sorted(folder.iterdir())) if path.name[0] == "i" or n % 7 == 0]
    attacked = served(POLICY)
    forwarded = 0
    with Wire(attacked.port) as wire:
        for path in files:
            text = path.read_bytes()
            for body in (text, b'{"model":"m","messages":[{"role":"user","content":"x"}],"own":' + text + b"}"):
                answer = wire.ask(body, key="sk")
                assert answer.status in (200, 400), path.name
                if answer.status == 200:
                    forwarded += 1
                    assert answer.headers["x-got"] == sha256(body).hexdigest()

    assert len(files) > 70
    assert forwarded == attacked.upstream.count > 10


def test_guard_fetches_nothing(served: Callable[[str], Served]) -> None:
    """Case 62: images, files and sounds by address count as tokens; nobody is called."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/x.png"
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
            {"type": "file", "file": {"file_id": url, "file_data": url, "filename": url}},
        ]
        attacked = served(POLICY + 'tokens = "1000/day"\n')
        body = {"model": "m", "messages": [{"role": "user", "content": parts}], "max_tokens": 1, "api_base": url}
        statuses = [ask_once(attacked.port, body, ("x-play", '{"usage": null}'), key="sk").status for _ in range(2)]
        claude = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": url}}, {"type": "document", "source": {"type": "url", "url": url}}]}]}  # fmt: skip
        statuses.append(ask_once(attacked.port, claude, key="sk2", path="/v1/messages").status)
        with pytest.raises(BlockingIOError):
            trap.accept()

    # Three media parts are dearer than a thousand tokens: once on an empty meter, then no more.
    assert statuses == [200, 429, 200]

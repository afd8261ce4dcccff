from __future__ import annotations

import pytest

from guard.bench.target import target
from guard.errors import InstallError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.8.9.1/", "http://127.8.9.1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("https://LOCALHOST:8000/models/v1/", "https://localhost:8000/models"),
    ],
)
def test_this_machine_may_be_asked(url: str, expected: str) -> None:
    """Addresses of this machine and its own name; the base is what stands before /v1."""
    assert target(url, ()) == (expected, True)


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "10.0.0.1",
        "0.0.0.0",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "127.1",
        "2130706433",
        "[::]",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    """Whatever only looks like this machine is another; the message names the one option that helps."""
    with pytest.raises(InstallError, match="--i-own-this-host"):
        target(f"http://{host}:8000", ())


def test_a_host_is_owned_by_its_exact_name() -> None:
    """No patterns, no parents, no children; letters of either case are the same name."""
    assert target("https://model.example.org/v1", ["Model.Example.org"]) == ("https://model.example.org", False)
    for other in ("example.org", "*.example.org", "a.model.example.org", "", "model.example.org:443"):
        with pytest.raises(InstallError):
            target("https://model.example.org", [other])


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1 /",
        "http://u:s3cret@127.0.0.1", "http://127.0.0.1?key=s3cret", "http://127.0.0.1#s3cret", "http://127.0.0.1\\@s3cret.org",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused_and_not_quoted(url: str) -> None:
    """A secret in it must not come back in an error."""
    with pytest.raises(InstallError) as refused:
        target(url, ["127.0.0.1"])
    assert "s3cret" not in str(refused.value)

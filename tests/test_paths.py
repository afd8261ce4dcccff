"""One spelling for every path."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import BadExchange
from guard.paths import canonical


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/v1/chat", "/v1/chat"),
        ("", "/"),
        ("/", "/"),
        ("//v1///chat/", "/v1/chat"),
        ("/v1/./x/../chat", "/v1/chat"),
        ("/../../v1/chat", "/v1/chat"),
        ("/V1/Chat", "/v1/chat"),
        ("/v1%2Fchat", "/v1/chat"),
        ("/v1/x/%2e%2E/chat", "/v1/chat"),
        ("/v1/%63hat", "/v1/chat"),
        ("/v1/%2563hat", "/v1/chat"),
        ("/v1;a=b/chat;c", "/v1/chat"),
        ("/v1/..;/v1/chat", "/v1/chat"),
        ("\\v1\\chat", "/v1/chat"),
        ("/v1\uff0fchat", "/v1/chat"),
        ("/\uff561/\uff43hat", "/v1/chat"),
        ("/v1/ch\u200bat", "/v1/chat"),
        ("/v1/chat%20", "/v1/chat"),
        ("http://evil/v1/chat", "/v1/chat"),
        ("http://evil", "/"),
        ("/stra\u00dfe", "/strasse"),
    ],
)
def test_every_spelling_is_one_path(written: str, meant: str) -> None:
    """Whatever some server, framework or proxy would resolve is resolved."""
    assert canonical(written) == meant


@pytest.mark.parametrize(
    "path", ["/v1/chat\0", "/v1/chat%00", "/v1/chat%0a", "/v1/\x7fchat", "/v1/chat%250d", "/v1/chat\x85"]
)
def test_control_characters_are_refused(path: str) -> None:
    """Plain or encoded: 400."""
    with pytest.raises(BadExchange) as caught:
        canonical(path)
    assert (caught.value.status, caught.value.reason) == (400, "path")


def test_encoding_without_end_is_refused_and_cheap() -> None:
    """Four layers are refused, and so are ten thousand, in milliseconds."""
    with pytest.raises(BadExchange):
        canonical("/v1/%25252525" + "63hat")
    start = time.process_time()
    with pytest.raises(BadExchange):
        canonical("/%" + "25" * 30_000)
    assert time.process_time() - start < 0.1


PATHS = st.text(
    st.sampled_from("/\\.;%2eEfF5cC0aAvV1 \uff0f\u2024\u200b\ud800\u0130\x85\0") | st.characters(), max_size=30
)


@given(PATHS)
@settings(max_examples=500, deadline=None)
def test_the_canonical_form_is_its_own_canonical_form(path: str) -> None:
    """Twice is once; nothing but ``BadExchange`` is ever raised; no dots, doubled or trailing slashes are left."""
    try:
        once = canonical(path)
    except BadExchange:
        return

    assert canonical(once) == once
    assert once.startswith("/")
    assert "//" not in once
    assert not {".", "..", ""} & set(once.split("/")[1:]) or once == "/"

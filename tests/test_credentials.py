"""The credential of a request: one secret by every door."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.credentials import MOST_BYTES, Credentials, usual
from guard.errors import BadExchange
from guard.settings import Identity

EVERYWHERE = Credentials(Identity(query="key", cookie="session"))
KEY = b"sk-abc.DEF_123~+/=="
AUTH = b"authorization"


def refused(*headers: tuple[bytes, bytes], query: bytes = b"") -> str:
    with pytest.raises(BadExchange) as caught:
        EVERYWHERE.find(headers, query)
    assert caught.value.status == 400
    assert "sk-" not in f"{caught.value} {caught.value.public}"
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (AUTH, b"Bearer " + KEY),
        (AUTH, b"bearer " + KEY),
        (AUTH, b"BEARER  " + KEY + b" "),
        (AUTH, b"Bearer\t" + KEY),
        (AUTH, KEY),
        (AUTH, b"Token " + KEY),
        (AUTH, b"Whatever " + KEY),
        (b"x-api-key", KEY),
        (b"x-api-key", b" " + KEY + b"\t"),
        (b"api-key", KEY),
        (b"x-api-key", b"Bearer " + KEY),
        (b"cookie", b"a=b; session=" + KEY + b"; c=d"),
        (b"cookie", b'session="' + KEY + b'"'),
        (b"sec-websocket-protocol", b"realtime, openai-insecure-api-key." + KEY),
        (b"sec-websocket-protocol", b"bearer." + KEY),
    ],
)
def test_every_door_leads_to_the_same_secret(name: bytes, value: bytes) -> None:
    """Schemes, blanks, cases and doors make no second account."""
    assert EVERYWHERE.find(((b"host", b"x"), (name, value))) == KEY


@pytest.mark.parametrize("query", [b"key=sk-1", b"a=b&key=sk-1", b"k%65y=sk%2d1", b"key=sk-1&key=sk-1", b"key=+sk-1"])
def test_the_query_is_a_door_where_it_is_configured(query: bytes) -> None:
    """Encoded or not; without configuration it is none."""
    assert EVERYWHERE.find((), query) == b"sk-1"
    assert Credentials(Identity()).find((), query) == b""


def test_only_configured_doors_count() -> None:
    """Another header or cookie is no credential."""
    own = Credentials(Identity(credential=("X-My-Key",)))

    assert own.find(((AUTH, b"Bearer a"), (b"x-my-key", b"k"), (b"cookie", b"session=s"))) == b"k"


@pytest.mark.parametrize("value", [b"", b" ", b"\t \t", b"Bearer", b"bearer ", b"Basic", b"token\t"])
def test_blank_is_no_credential(value: bytes) -> None:
    """An empty or blank value, or a scheme alone, is anonymous, and another door still counts."""
    assert EVERYWHERE.find(((AUTH, value),)) == b""
    assert EVERYWHERE.find(((AUTH, value), (b"x-api-key", b"k"))) == b"k"


@pytest.mark.parametrize(
    "headers",
    [
        ((AUTH, b"Bearer sk-a"), (b"x-api-key", b"sk-b")),
        ((AUTH, b"Bearer sk-a"), (AUTH, b"Bearer sk-b")),
        ((b"x-api-key", b"sk-a"), (b"api-key", b"sk-b")),
        ((AUTH, b"sk-a"), (b"cookie", b"session=sk-b")),
        ((b"cookie", b"session=sk-a; session=sk-b"),),
        ((b"cookie", b"session=sk-a"), (b"cookie", b"session=sk-b")),
    ],
)
def test_two_different_credentials_are_refused(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Guard and the app might each believe another one."""
    assert refused(*headers) == "credentials"
    assert refused((AUTH, b"sk-a"), query=b"key=sk-b") == "credentials"


def test_the_same_credential_twice_is_one() -> None:
    """Clients that send it by two doors are let in."""
    assert EVERYWHERE.find(((AUTH, b"Bearer k"), (b"x-api-key", b"k"), (AUTH, b"bearer  k")), b"key=k") == b"k"


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer sk-a x1",
        b"Bearer sk-a,x1",
        b"sk-a, sk-b",
        b"Bearer sk-a\tx",
        b'Digest username="sk-a", nonce="1"',
        b"AWS4-HMAC-SHA256 Credential=sk-a, Signature=1",
        b"Basic sk-!",
    ],
)
def test_a_value_that_apps_cut_differently_is_refused(value: bytes) -> None:
    """Else the part that the app overlooks would make a fresh account of every request."""
    assert refused((AUTH, value)) == "credentials"


def test_the_spellings_of_base64_are_one_secret() -> None:
    """Name and password, not their encoding, are the secret."""
    strict = b64encode(b"user:pass1")
    # The last letter has spare bits.
    loose = strict.replace(b"MQ==", b"MR==")

    assert strict != loose
    assert EVERYWHERE.find(((AUTH, b"Basic " + strict),)) == b"basic user:pass1"
    assert EVERYWHERE.find(((AUTH, b"basic " + loose),)) == b"basic user:pass1"


def test_eight_bit_values_are_secrets_like_others() -> None:
    """No exception, and no two of them are the same."""
    assert EVERYWHERE.find(((AUTH, b"Bearer \xff\xfe"),)) == b"\xff\xfe"
    assert EVERYWHERE.find((), b"key=%ff%fe") == b"\xff\xfe"


def test_a_very_long_credential_is_refused() -> None:
    """8 KiB are let in, not more."""
    assert EVERYWHERE.find(((b"x-api-key", b"k" * MOST_BYTES),))
    assert refused((b"x-api-key", b"k" * (MOST_BYTES + 1))) == "credentials"
    assert refused(query=b"&".join([b"a=1"] * 1000) + b"&key=1") == "credentials"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([AUTH, b"x-api-key", b"cookie", b"sec-websocket-protocol", b"x"]), st.binary(max_size=40)
        ),
        max_size=4,
    ),
    st.binary(max_size=40),
)
@settings(max_examples=300, deadline=None)
def test_no_header_raises_anything_else(headers: list[tuple[bytes, bytes]], query: bytes) -> None:
    """A secret comes back, or none, or 400."""
    outcome: bytes | None
    try:
        outcome = EVERYWHERE.find(tuple(headers), query)
    except BadExchange as refused:
        outcome = refused.reason.encode() if refused.status == 400 else None
    assert isinstance(outcome, bytes)


@given(
    st.one_of(
        st.binary(max_size=20),
        st.lists(
            st.sampled_from([b"Bearer", b"bearer", b"Basic", b"sk-a", b" ", b"\t", b",", b"\x0b", b"\xff", b"dTpw"]),
            max_size=5,
        ).map(b"".join),
    ),
    st.sampled_from([AUTH, b"x-api-key"]),
)
@settings(max_examples=500, deadline=None)
def test_the_quick_way_finds_what_the_long_one_finds(value: bytes, name: bytes) -> None:
    """``usual`` gives the very secret that ``find`` gives, or nothing; it never lets in what ``find`` refuses."""
    quick = usual(value)
    if quick:
        assert EVERYWHERE.find(((name, value),)) == quick


def test_the_usual_forms_take_the_quick_way() -> None:
    """The two forms that the official clients send, up to the bound."""
    assert usual(b"Bearer sk-a") == b"sk-a"
    assert usual(b"sk-a") == b"sk-a"
    assert usual(b"k" * MOST_BYTES) == b"k" * MOST_BYTES
    assert usual(b"k" * (MOST_BYTES + 1)) == b""


def test_a_route_may_take_it_by_a_parameter_of_its_own() -> None:
    """Beside the policy's doors: alone it is the secret, with another secret in a header it is refused."""
    known = Credentials(Identity())

    assert known.find((), b"alt=sse&key=sk-a", "key") == b"sk-a"
    assert known.find(((b"x-goog-api-key", b"sk-a"),), b"key=sk-a", "key") == b"sk-a"
    assert known.find((), b"key=sk-a") == b""
    assert known.find((), b"other=sk-a", "key") == b""
    with pytest.raises(BadExchange):
        known.find(((b"x-goog-api-key", b"sk-a"),), b"key=sk-b", "key")
    with pytest.raises(BadExchange):
        known.find((), b"key=sk-a&key=sk-b", "key")

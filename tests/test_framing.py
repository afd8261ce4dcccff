"""Whether a request's frame can be judged."""

from __future__ import annotations

import pytest

from guard.errors import BadExchange
from guard.framing import check_connection, check_transfer, check_type, encoding_of, gather, length_of


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json;charset=utf-8",
        b'application/json ; charset="UTF-8"',
        b"application/json; profile=x; charset=utf8",
        b"application/vnd.api+json",
        b"application/problem+json;charset=utf-8",
    ],
)
def test_json_in_utf8_is_let_in(value: bytes) -> None:
    """Any JSON media type, with or without the one charset it may have."""
    check_type(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"text/plain",
        b"text/json",
        b"json",
        b"application/json;charset=utf-16",
        b"application/json;charset=utf-8;charset=utf-7",
        b"application/json;CHARSET=latin-1",
        b"application/json, text/plain",
        b"application/json; profile=x, text/plain",
        b"application/xml, application/vnd.api+json",
        b"multipart/form-data; boundary=x",
        b"application/x-www-form-urlencoded",
        b"application/jsonp",
        b"image/svg+json",
        b"\xff\xfe",
    ],
)
def test_other_types_and_charsets_are_415(value: bytes) -> None:
    """What guard would read differently from the app, or not at all, is refused, never waved through."""
    with pytest.raises(BadExchange) as caught:
        check_type(value)
    assert caught.value.status == 415


def test_one_known_encoding_is_let_in() -> None:
    """identity, gzip and deflate, in any case."""
    assert [encoding_of(value) for value in (b"", b"identity", b"GZIP", b" x-gzip ", b"deflate")] == [
        "identity",
        "identity",
        "gzip",
        "gzip",
        "deflate",
    ]


@pytest.mark.parametrize("value", [b"br", b"zstd", b"gzip, gzip", b"identity, gzip", b"gzip,", b"compress", b"\xff"])
def test_other_and_stacked_encodings_are_415(value: bytes) -> None:
    """A body that guard can't unpack is not passed on unseen."""
    with pytest.raises(BadExchange) as caught:
        encoding_of(value)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "value", [b"+2", b"-1", b"0x2", b"2, 3", b"2,2", b"1_0", b" 2", b"2 ", b"", b"1e3", b"9" * 20, b"\xb2"]
)
def test_a_length_that_is_no_number_is_400(value: bytes) -> None:
    """Signs, hexadecimal, lists, blanks, digits of other scripts."""
    with pytest.raises(BadExchange) as caught:
        length_of(value, 100)
    assert (caught.value.status, caught.value.reason) == (400, "content_length")


def test_a_length_over_the_bound_is_413() -> None:
    """Before a byte of the body is read."""
    assert length_of(b"100", 100) == 100
    with pytest.raises(BadExchange) as caught:
        length_of(b"101", 100)
    assert caught.value.status == 413


def test_only_chunked_alone_is_a_transfer_encoding() -> None:
    """Beside a length, stacked or misspelt it is refused."""
    check_transfer(b"Chunked", with_length=False)
    for value, with_length in (
        (b"chunked", True),
        (b"gzip, chunked", False),
        (b"xchunked", False),
        (b"identity", False),
    ):
        with pytest.raises(BadExchange) as caught:
            check_transfer(value, with_length=with_length)
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "value",
    [
        b"authorization, x-request-id",
        b"keep-alive,X-API-KEY",
        b"x-guard-anything",
        b" Authorization ",
        b"close,\tcookie",
    ],
)
def test_connection_must_not_name_who_is_asking(value: bytes) -> None:
    """A hop would strip the header on the way, and the app would see another caller than guard."""
    with pytest.raises(BadExchange) as caught:
        check_connection(value, frozenset({b"authorization", b"x-api-key", b"cookie"}))
    assert (caught.value.status, caught.value.reason) == (400, "connection")


def test_ordinary_connections_pass() -> None:
    """keep-alive, close, upgrade, te."""
    for value in (b"keep-alive", b"close", b"Keep-Alive, Upgrade", b"TE, close", b""):
        check_connection(value, frozenset({b"authorization"}))


def test_repeated_headers_are_joined_in_order() -> None:
    """Equal lengths and types count once; everything else, also an encoding, counts as often as it stands there."""
    fields = gather(
        [
            (b"x", b"1"),
            (b"content-length", b"2"),
            (b"x", b"2"),
            (b"content-length", b"2"),
            (b"content-encoding", b"gzip"),
            (b"content-encoding", b"gzip"),
        ]
    )

    assert fields == {b"x": b"1, 2", b"content-length": b"2", b"content-encoding": b"gzip, gzip"}
    assert gather([(b"content-length", b"2"), (b"content-length", b"3")]) == {b"content-length": b"2, 3"}

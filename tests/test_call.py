"""HEADERS: from a scope to a call; whom to believe, and which frames can't be judged."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from guard.call import NOT_PROTECTED, Caller, agent_family
from guard.errors import BadExchange
from guard.settings import Body, Identity, Policy, Protect, Trust
from guard.types import Call, Peer, Route

CHAT = "/v1/chat/completions"
KNOWN = {CHAT: "openai_chat", "/v1/messages": "anthropic_messages"}
HOPS = (ip_network("10.0.0.0/8"),)
JSON = (b"content-type", b"application/json")
Header = tuple[bytes, bytes]
NO_TRUST = Trust()


def caller(trust: Trust = NO_TRUST, **parts: Any) -> Caller:
    return Caller(Policy(trust=trust, **parts), KNOWN)


def scope(
    *headers: Header, client: tuple[str, int] | None = ("198.51.100.7", 5000), method: str = "POST", path: str = CHAT
) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": list(headers),
        "client": client,
        "query_string": b"q",
    }


def called(reader: Caller, asked: dict[str, Any]) -> Call:
    route = reader.route(asked)
    assert isinstance(route, Route)
    return reader.call(asked, route)


def refused(reader: Caller, asked: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(BadExchange) as caught:
        called(reader, asked)
    return caught.value.status, caught.value.reason


# -- the frame ------------------------------------------------------------------------------------------------------


def test_a_call_says_what_the_headers_say() -> None:
    """Method, canonical path, route, headers in order, query, encoding and length."""
    headers = (
        (b"host", b"x"),
        (b"user-agent", b"OpenAI/Python 1.2.3"),
        JSON,
        (b"content-encoding", b"gzip"),
        (b"content-length", b"12"),
    )
    found = called(caller(), scope(*headers, path="/V1//chat/completions"))

    assert (found.method, found.path, found.route.dialect) == ("POST", CHAT, "openai_chat")
    assert found.headers == headers
    assert (found.query, found.encoding, found.length_bytes) == (b"q", "gzip", 12)
    assert found.stack == b"user-agent,content-type,content-encoding\nopenai/python"


def test_headers_in_upper_case_and_as_lists_are_read() -> None:
    """A scope made by hand may hold either; no header is missed for it."""
    asked = scope()
    asked["headers"] = [[b"Content-Type", b"text/plain"]]

    assert refused(caller(), asked) == (415, "content_type")
    asked["headers"] = [[b"Content-Type", b"application/json"]]
    assert called(caller(), asked).headers == (JSON,)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 0),
        ([JSON], 0),
        ([JSON, JSON], 0),
        ([JSON, (b"content-type", b"text/plain")], 415),
        ([(b"content-type", b"multipart/form-data")], 415),
        ([(b"content-encoding", b"br")], 415),
        ([(b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")], 415),
        ([(b"content-length", b"2"), (b"content-length", b"2")], 0),
        ([(b"content-length", b"2"), (b"content-length", b"3")], 400),
        ([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"transfer-encoding", b"chunked")], 0),
        ([(b"content-length", b"99999999999")], 413),
        ([(b"connection", b"authorization, x-request-id")], 400),
        ([(b"connection", b"close"), (b"connection", b"x-api-key")], 400),
        ([(b"connection", b"keep-alive")], 0),
        ([(b"a%d" % n, b"x") for n in range(100)], 0),
        ([(b"a%d" % n, b"x") for n in range(101)], 431),
        ([(b"a", b"x")] * 10_000, 431),
        ([(b"a", b"x" * 100_000)], 431),
        ([(b"a" * 100_000, b"x")], 431),
        ([(b"x-http-method-override", b"GET")], 0),
    ],
)
def test_frames_are_let_in_or_refused(headers: list[Header], status: int) -> None:
    """What can be judged passes; the rest is refused with its status."""
    reader = caller()
    if status:
        assert refused(reader, scope(*headers))[0] == status
    else:
        assert called(reader, scope(*headers)).method == "POST"


def test_connection_naming_a_configured_header_is_refused() -> None:
    """The operator's own credential and trust headers are guarded like guard's."""
    reader = caller(Trust(HOPS, "x-my-ip"), identity=Identity(credential=("x-my-key",)))

    assert refused(reader, scope((b"connection", b"x-my-key"))) == (400, "connection")
    assert refused(reader, scope((b"connection", b"X-My-IP"))) == (400, "connection")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "post", "FOOBAR", "DELETE", ""])
def test_other_methods_are_405(method: str) -> None:
    """A dialect's path takes POST, in capitals."""
    assert refused(caller(), scope(method=method)) == (405, "method")


def test_a_preflight_is_counted_without_a_body() -> None:
    """OPTIONS goes on as a flat exchange of no tokens."""
    found = called(caller(), scope((b"content-type", b"text/plain"), method="OPTIONS"))

    assert found.route == Route(CHAT, "flat")


def test_flat_routes_take_any_method_and_type() -> None:
    """A file upload below a prefix is charged, not read; its frame and length are still checked."""
    reader = caller(protect=Protect((Route("/v1/*", ""),), "flat", 1000))
    upload = scope((b"content-type", b"multipart/form-data"), method="PUT", path="/v1/files")

    assert called(reader, upload).route == Route("/v1/*", "flat", (), 1000)
    upload["headers"].append((b"content-length", b"99999999999"))
    assert refused(reader, upload)[0] == 413


def test_a_path_with_control_characters_is_refused_in_its_routes_name() -> None:
    """``route`` never raises; ``call`` refuses."""
    assert refused(caller(), scope(path=CHAT + "\n")) == (400, "path")
    assert caller().route(scope(path="/health\n")) is NOT_PROTECTED


def test_neither_host_nor_target_form_changes_the_route() -> None:
    """A malformed ``Host`` is never looked at, and an absolute target is its path."""
    reader = caller()
    for host in (b"localhost/#@x", b"a/health?", b"\xff"):
        assert called(reader, scope((b"host", host))).path == CHAT
        assert reader.route(scope((b"host", host), path="/admin")) is NOT_PROTECTED
    assert called(reader, scope(path="http://evil/v1/chat/completions")).path == CHAT
    assert reader.route(scope(path="http://evil/admin")) is NOT_PROTECTED


def test_the_bounds_of_the_policy_hold() -> None:
    """``[body]`` sets them."""
    small = caller(body=Body(max_bytes=10, max_headers=2, max_header_bytes=50))

    assert refused(small, scope((b"content-length", b"11")))[0] == 413
    assert refused(small, scope(JSON, (b"a", b"b"), (b"c", b"d")))[0] == 431
    assert refused(small, scope((b"a", b"b" * 50)))[0] == 431


def test_the_peer_is_known_also_where_the_call_is_refused() -> None:
    """For the record, whatever the headers look like, and without reading ten thousand of them."""
    reader = caller(Trust(HOPS, "x-forwarded-for"))
    asked = scope((b"X-Forwarded-For", b"1.2.3.4"), *[(b"a", b"b")] * 10_000, client=("10.0.0.1", 5))

    assert reader.peer(asked).address == "1.2.3.4"


# -- what the app sees ----------------------------------------------------------------------------------------------


def test_claims_are_taken_off_and_the_rest_stays_in_order() -> None:
    """``X-Guard-…`` always; trust headers unless a hop set them; everything else byte for byte."""
    reader = caller(Trust(HOPS, "x-forwarded-for", "cf-ipcountry"))
    kept = [(b"b", b"\xff 1"), (b"a", b"2"), (b"b", b"3"), (b"x-litellm-customer-id", b"4")]
    forwarded = [(b"x-forwarded-for", b"6.6.6.6"), (b"CF-IPCountry", b"de"), (b"x_forwarded_for", b"6.6.6.6")]
    headers = [kept[0], (b"X-Guard-Score", b"0"), forwarded[0], *kept[1:], (b"x_guard_x", b"1"), *forwarded[1:]]

    assert reader.stripped(headers, Peer("6.6.6.6", "6.6.6.6")) == kept
    assert reader.stripped(headers, Peer("1.2.3.4", "1.2.3.4", hop=True)) == [
        kept[0],
        forwarded[0],
        *kept[1:],
        *forwarded[1:],
    ]


def test_nothing_to_take_off_is_nothing_done() -> None:
    """The very same object comes back."""
    headers = [(b"host", b"x"), (b"x-safeguard", b"y")]

    assert caller(Trust(HOPS, "x-forwarded-for")).stripped(headers, Peer()) is headers


@pytest.mark.parametrize(
    ("headers", "hop", "clean"),
    [
        ([(b"host", b"x"), JSON], False, True),
        ([(b"x-safeguard", b"x")], False, True),
        ([(b"x-guard-score", b"0")], False, False),
        ([(b"X_Guard_Score", b"0")], True, False),
        ([(b"cf-ipcountry", b"de")], False, False),
        ([(b"cf_ipcountry", b"de")], False, False),
        ([(b"cf-ipcountry", b"de"), (b"x_forwarded_for", b"1.2.3.4")], True, True),
        ([(b"a", b"1"), (b"a", b"2")], False, True),
    ],
)
def test_a_call_says_whether_something_has_to_be_taken_off(headers: list[Header], hop: bool, clean: bool) -> None:
    """Just where ``stripped`` would; for names that were met before as for new ones."""
    reader = caller(Trust(HOPS, "x-forwarded-for", "cf-ipcountry"))
    for _ in range(2):
        asked = scope(*headers, client=("10.0.0.1", 5) if hop else ("198.51.100.7", 5))
        found = called(reader, asked)

        assert found.clean is clean
        assert (reader.stripped(asked["headers"], found.peer) is asked["headers"]) is clean


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([(b"authorization", b"Bearer sk-1")], b"sk-1"),
        ([(b"x-api-key", b"sk-1"), JSON], b"sk-1"),
        ([JSON], b""),
        ([(b"authorization", b"Bearer sk-1"), (b"x-api-key", b"sk-2")], b""),
        ([(b"authorization", b"Bearer sk-1"), (b"authorization", b"Bearer sk-2")], b""),
        ([(b"authorization", b"Bearer sk-1, x")], b""),
        ([(b"authorization", b"Bearer sk-1"), (b"sec-websocket-protocol", b"bearer.sk-2")], b""),
    ],
)
def test_a_call_carries_the_usual_credential(headers: list[Header], secret: bytes) -> None:
    """What is plain is read at once; what would have to be refused or compared is left to the identity stage."""
    reader = caller()
    for _ in range(2):
        assert called(reader, scope(*headers)).credential == secret


def test_a_credential_in_query_or_cookie_is_left_to_the_identity_stage() -> None:
    """Where either may hold another one, a header alone settles nothing."""
    bearer = (b"authorization", b"Bearer sk-1")

    assert called(caller(identity=Identity(query="key")), scope(bearer)).credential == b""
    assert called(caller(identity=Identity(cookie="s")), scope(bearer, (b"cookie", b"s=1"))).credential == b""
    assert called(caller(identity=Identity(cookie="s")), scope(bearer)).credential == b"sk-1"


# -- the client stack -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        (b"OpenAI/Python 1.52.0", b"openai/python"),
        (b"Anthropic/Python 0.39.0", b"anthropic/python"),
        (b"python-requests/2.32.3", b"python-requests"),
        (
            b"Mozilla/5.0 (X11; Linux (x86)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
            b"mozilla applewebkit chrome safari",
        ),
        (b"curl/8.5.0", b"curl"),
        (b"tool/v2 beta", b"tool beta"),
        (b"", b""),
        (b"1.2.3 (((", b""),
        (b")) x", b"x"),
    ],
)
def test_a_family_is_a_client_without_its_version(agent: bytes, family: bytes) -> None:
    """An update makes no new client."""
    assert agent_family(agent) == family


def test_the_stack_tells_nothing_of_who_asks() -> None:
    """Credentials, lengths, addresses and what hops add leave it as it is; order and names don't."""
    reader = caller(Trust(HOPS, "x-my-ip"), identity=Identity(credential=("x-my-key",)))
    plain = called(reader, scope((b"accept", b"*/*"), JSON)).stack
    added = [
        (b"x-my-key", b"k"),
        (b"cookie", b"c"),
        (b"x-forwarded-for", b"1"),
        (b"via", b"x"),
        (b"x-my-ip", b"1"),
        (b"content-length", b"1"),
    ]

    assert called(reader, scope((b"accept", b"text/plain"), *added, JSON, (b"x-guard-x", b""))).stack == plain
    assert called(reader, scope(JSON, (b"accept", b"*/*"))).stack != plain


def test_random_agents_leave_a_bounded_memory() -> None:
    """Names that clients invent are not collected."""
    reader = caller()
    for number in range(20_000):
        called(reader, scope((b"user-agent", b"a%d" % number)))

    assert len(reader._stacks) <= 1024

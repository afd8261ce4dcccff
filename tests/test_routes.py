"""Routes: which path is protected, and that no spelling of it is not."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.routes import FLAT, NO_DIALECT, NOT_PROTECTED, Routes
from guard.settings import Protect
from guard.types import Route

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
KNOWN = {CHAT: "openai_chat", MESSAGES: "anthropic_messages", "/chat/completions": "openai_chat"}
DEFAULT = Routes(Protect(), KNOWN)


def below_v1(**options: object) -> Routes:
    return Routes(Protect((Route("/v1/*", ""),), **options), KNOWN)  # type: ignore[arg-type]


def located(routes: Routes, path: str, root_path: str = "") -> object:
    return routes.locate({"path": path, "root_path": root_path}).route


def spellings(path: str) -> list[str]:
    """Other ways to write a path that some server, framework or proxy resolves to it."""
    first, rest = path[1:].split("/", 1)
    tail = rest.rsplit("/", 1)[-1]
    whole = [
        path.upper(),
        path.title(),
        path + "/",
        path + "//",
        path + "/.",
        path + "/./",
        path + "/x/..",
        path + "/x/../",
        path + "/%2e",
        path + "/x/%2e%2e",
        path + "/x/%2E.",
        path + ";",
        path + ";a=b",
        path + ";a=b;c=d/",
        path + "/;a=b",
        path + "%3ba=b",
        path + "%20",
        path + "%c2%a0",
        path + "\u200b",
        path + "%e2%80%8b",
        "/" + path,
        "//" + path,
        "/." + path,
        "/./." + path,
        "/.." + path,
        "/../.." + path,
        "/x/.." + path,
        "/x/%2e%2e" + path,
        "/x/..;" + path,
        "/x/..;a=b" + path,
        "/%2e" + path,
        "/%252e" + path,
        "%2f" + path[1:],
        "\\" + path[1:],
        path.replace("/", "//"),
        path.replace("/", "///"),
        path.replace("/", "/./"),
        path.replace("/", "/x/../"),
        path.replace("/", "\\"),
        path.replace("/", "%2f"),
        path.replace("/", "%2F"),
        path.replace("/", "%5c"),
        path.replace("/", "%252f"),
        path.replace("/", "\uff0f"),
        path.replace("/", "%ef%bc%8f"),
        path.replace("/", "\uff3c"),
        path.replace("/", ";p/"),
        "".join(f"%{ord(c):02x}" for c in path),
        "/" + "".join(f"%{ord(c):02X}" for c in path[1:]),
        quote(quote("".join(f"%{ord(c):02x}" for c in path))),
        path.replace("m", "%6d"),
        path.replace("m", "%4D"),
        path.replace("m", "%256d"),
        path.replace("m", "\uff4d"),
        path.replace("s", "\u017f"),
        path.replace("m", "m\u00ad"),
        f"/{first};x=1/{rest}",
        f"/{first}/;/{rest}",
        f"/{first}/{rest.replace(tail, ' ' + tail)}",
        f"/{first}/{rest[:1]}\u2060{rest[1:]}",
        f"http://evil{path}",
        f"https://evil:443/{path}",
    ]
    return [written for written in whole if written != path]


def test_there_are_enough_spellings() -> None:
    """At least sixty for each route."""
    assert all(len(set(spellings(path))) >= 60 for path in (CHAT, MESSAGES))


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("routes", [DEFAULT, below_v1()], ids=["known paths", "prefix"])
def test_every_spelling_of_a_protected_route_is_that_route(routes: Routes, path: str) -> None:
    """Metered as the canonical route, never round it."""
    plain = routes.locate({"path": path})
    for written in spellings(path):
        found = routes.locate({"path": written})
        assert (written, found.route, found.path, found.fault) == (written, plain.route, path, "")


@pytest.mark.parametrize("ending", ["\0", "\n", "%00", "%0a", "\x7f", "%250a", "\x85"])
def test_control_characters_in_a_protected_path_are_a_fault(ending: str) -> None:
    """A lenient router would take the path for the protected one: the route is named, with the reason to refuse it."""
    found = DEFAULT.locate({"path": CHAT + ending})

    assert found.route is not NOT_PROTECTED
    assert found.path == CHAT
    assert "control" in found.fault
    assert located(DEFAULT, "/download/a" + ending) is NOT_PROTECTED


def test_a_path_encoded_without_end_is_a_fault_everywhere() -> None:
    """Nobody can say what it means, so it isn't let through as unprotected."""
    found = DEFAULT.locate({"path": "/%" + "25" * 20 + "41"})

    assert found.route is not NOT_PROTECTED
    assert found.fault


@pytest.mark.parametrize(
    "path", ["/", "", "/health", "/v1", "/v1/models", "/v1/chat", "/v1/chat/completions/x", "/docs/v1/messages"]
)
def test_other_paths_are_not_protected(path: str) -> None:
    """Without ``[protect]`` only the known paths themselves are."""
    assert located(DEFAULT, path) is NOT_PROTECTED


def test_a_known_path_below_a_prefix_is_read_by_its_dialect() -> None:
    """The prefix's own name stays the route's name."""
    assert located(below_v1(), CHAT) == Route("/v1/*", "openai_chat")
    assert located(below_v1(), MESSAGES) == Route("/v1/*", "anthropic_messages")
    assert located(below_v1(), "/v2/x") is NOT_PROTECTED
    assert located(below_v1(), "/v1x/y") is NOT_PROTECTED


def test_a_known_path_below_a_longer_prefix_is_read_by_its_dialect() -> None:
    """A service that mounts the API elsewhere: what the path ends with tells the dialect."""
    routes = Routes(Protect((Route("/proxy/*", ""), Route("/openai/v1/*", ""))), KNOWN)

    assert located(routes, "/proxy/v1/messages") == Route("/proxy/*", "anthropic_messages")
    assert located(routes, "/openai/v1/chat/completions") == Route("/openai/v1/*", "openai_chat")


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/", "/v1", "/v1/chat/completions/extra"])
def test_an_unknown_path_below_a_prefix_is_refused_or_flat(path: str) -> None:
    """As the policy says, and never unprotected."""
    assert located(below_v1(), path) == Route("/v1/*", NO_DIALECT)
    assert located(below_v1(unknown="flat", unknown_flat_tokens=1000), path) == Route("/v1/*", FLAT, (), 1000)


def test_an_exact_route_comes_before_a_prefix_and_the_longest_prefix_first() -> None:
    """Most particular first, whatever the order in the file."""
    own = Route("/v1/special", "json", (("prompt", "inputs"),))
    routes = Routes(
        Protect((Route("/v1/*", ""), Route("/v1/files/*", "flat", (), 5), own, Route("/v1/batches", "", (), 7))), KNOWN
    )

    assert located(routes, "/V1/special/") == own
    assert located(routes, "/v1/files/abc") == Route("/v1/files/*", "flat", (), 5)
    assert located(routes, "/v1/batches") == Route("/v1/batches", FLAT, (), 7)
    assert located(routes, CHAT) == Route("/v1/*", "openai_chat")


def test_a_prefix_with_a_dialect_reads_all_below_by_it() -> None:
    """``{ path = "/x/*", dialect = "json" }``, also for the whole site."""
    whole = Route("/*", "json", (("prompt", "q"),))

    assert located(Routes(Protect((whole,)), KNOWN), "/anything/at/all") == whole
    assert located(Routes(Protect((whole,)), KNOWN), "/") == whole


@pytest.mark.parametrize("depth", [1, 8, 9, 40])
def test_mounts_of_any_depth_are_seen_through(depth: int) -> None:
    """The path below ``root_path`` counts as well as the full one, however deep the app is mounted."""
    mount = "".join(f"/m{n}" for n in range(depth))

    assert located(DEFAULT, mount + CHAT, mount) == located(DEFAULT, CHAT)
    assert located(DEFAULT, mount.upper() + "/" + CHAT, mount + "/") == located(DEFAULT, CHAT)
    assert located(DEFAULT, CHAT, mount) == located(DEFAULT, CHAT)
    assert located(DEFAULT, mount + CHAT) is NOT_PROTECTED


def test_random_paths_leave_a_bounded_memory() -> None:
    """A hundred thousand paths, and very long ones, are not kept."""
    routes = Routes(Protect(), KNOWN)
    for number in range(100_000):
        routes.locate({"path": f"/p/{number}"})
    routes.locate({"path": "/p/" + "x" * 10_000})

    assert len(routes._recent) <= 1024
    assert all(len(str(key)) < 1000 for key in routes._recent)
    assert located(routes, CHAT) == Route(CHAT, "openai_chat")


@given(st.text(max_size=40), st.text(max_size=10))
@settings(max_examples=300, deadline=None)
def test_any_path_is_located(path: str, root_path: str) -> None:
    """No path and no ``root_path`` raises."""
    assert located(DEFAULT, path, root_path)


KEPT, GENERATE = "/v1/responses/{id}", "/v1beta/{model}:generatecontent"
OPEN = {
    "/v1/responses": "openai_responses",
    "/v1/responses/compact": "openai_responses",
    KEPT: "openai_responses",
    GENERATE: "gemini",
}


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/v1/responses", ()),
        ("/v1/responses/compact", ()),
        ("/v1/responses/resp_1", (("path", KEPT), ("id", "resp_1"))),
        ("/V1/Responses/RESP_1", (("path", KEPT), ("id", "resp_1"))),
        ("/v1/responses/resp_1/cancel", (("path", KEPT), ("id", "resp_1/cancel"))),
        ("/v1beta/models/gemini-x:generateContent", (("path", GENERATE), ("model", "models/gemini-x"))),
    ],
)
def test_a_known_path_may_have_a_name_in_it(path: str, options: object) -> None:
    """What stands there is the route's option; a fixed path is preferred; the path itself never shows what stood there."""
    for routes in (Routes(Protect(), OPEN), Routes(Protect((Route("/v1/*", ""), Route("/v1beta/*", ""))), OPEN)):
        found = routes.locate({"path": path})
        assert isinstance(found.route, Route)
        assert found.route.options == options
        assert found.fault == ""
        assert "resp_1" not in found.path.lower()
        assert "gemini-x" not in found.path


@pytest.mark.parametrize("path", ["/proxy/v1/responses/resp_1", "/proxy/v1beta/models/gemini-x:generateContent"])
def test_such_a_path_below_others(path: str) -> None:
    """Below a protected prefix it is known by how it ends."""
    routes = Routes(Protect((Route("/proxy/*", ""),)), OPEN)
    assert routes.locate({"path": path}).route.dialect in {"openai_responses", "gemini"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path",
    [
        "/v1//responses/resp_1",
        "/v1/responses/resp_1/",
        "/v1/responses/resp_1;a=b",
        "/v1/responses/x/../resp_1",
        "/v1/responses/%72esp_1",
        "/v1/responses/\uff52esp_1",
        "/v1beta/models/gemini-x%3AgenerateContent",
        "/v1beta/./models/gemini-x:generateContent",
    ],
)
def test_such_a_path_has_one_spelling(path: str) -> None:
    """Two readers might read another name in it, so every other spelling is protected and refused."""
    found = Routes(Protect(), OPEN).locate({"path": path})
    assert found.route is not NOT_PROTECTED
    assert found.fault


def test_a_dialect_may_be_told_which_of_its_paths_it_is() -> None:
    """Where it takes other methods there; mounted apps included."""
    routes = Routes(Protect(), OPEN, {"/v1/responses": ("GET",)})
    assert located(routes, "/v1/responses") == Route("/v1/responses", "openai_responses", (("path", "/v1/responses"),))
    mounted = routes.locate({"path": "/app/v1/responses/resp_1", "root_path": "/app"})
    assert mounted.route != NOT_PROTECTED
    assert mounted.fault == ""

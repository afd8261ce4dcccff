"""The decision endpoint over real servers: what each kind of gateway asks and is told, and what nobody can make of it."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from guard.asking import deciding
from guard.config import load
from guard.errors import InstallError
from tests.deciding import ASK, CHAT, JSON, NGINX, POLICY, TRAEFIK, Served, serve

__all__ = ["serve"]
pytestmark = pytest.mark.uvicorn


# -- each kind of gateway ----------------------------------------------------------------------------------------------


def test_nginx_hears_of_a_limit_in_a_status_that_it_passes_on(serve: Callable[..., Served]) -> None:
    """Allowed with a reference; over the limit 403, and what the client should see stands in a header."""
    served = serve(settles=False)
    allowed = [served.nginx() for _ in range(3)]
    assert [(one.status_code, one.headers["x-guard-action"]) for one in allowed] == [(200, "allow")] * 3
    assert len({one.headers["x-guard-reference"] for one in allowed}) == 3
    limited = served.nginx()
    assert (limited.status_code, limited.headers["x-guard-status"], limited.headers["x-guard-action"]) == (
        403,
        "429",
        "limit",
    )
    assert 1 <= int(limited.headers["retry-after"]) <= 60
    assert "requests" in limited.json()["error"]["message"]


def test_traefik_passes_the_refusal_itself_on(serve: Callable[..., Served]) -> None:
    """429 with the body that the middleware sends."""
    served = serve(settles=False)
    answers = [served.http.get("/decide/traefik", headers=TRAEFIK) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["x-guard-reference"] in answers[-1].text
    assert answers[-1].headers["x-guard-status"] == "429"


def test_envoy_sends_the_body_and_it_is_judged_whole(serve: Callable[..., Served]) -> None:
    """What the dialect can't read is refused as the middleware does; what it can is fingerprinted."""
    served = serve()
    good = served.http.post(f"/decide/envoy{CHAT}?x=1", content=ASK, headers=JSON)
    assert good.status_code == 200
    ((receipt, _),) = served.app.outstanding._held.values()
    assert receipt.exchange.features.dialect == "openai_chat"
    assert receipt.exchange.features.facets
    assert served.http.post(f"/decide/envoy{CHAT}", content=b"{", headers=JSON).status_code == 400
    assert served.http.put(f"/decide/envoy{CHAT}", content=ASK, headers=JSON).status_code == 405


def test_a_part_of_a_body_is_not_judged_as_the_whole(serve: Callable[..., Served]) -> None:
    """Envoy with allow_partial_message says that it cut the body."""
    headers = {**JSON, "x-envoy-auth-partial-body": "true"}
    assert serve().http.post(f"/decide/envoy{CHAT}", content=ASK, headers=headers).status_code == 413


def test_paths_that_nobody_protects_pass(serve: Callable[..., Served]) -> None:
    """However often; and every spelling of a protected path is the protected path."""
    served = serve(settles=False)
    assert {served.nginx(x_original_uri="/about").status_code for _ in range(6)} == {200}
    spelt = [
        "//v1/chat/completions",
        "/v1/chat%2Fcompletions",
        "/V1/chat/./completions",
        "/v1/chat/completions?a=/about",
    ]
    answers = [served.nginx(x_original_uri=uri) for uri in spelt]
    assert all("x-guard-reference" in one.headers or one.status_code == 403 for one in answers)
    assert served.nginx(x_original_uri="/about#/v1").headers["x-guard-status"] == "400"


def test_region_counts_from_a_hop(serve: Callable[..., Served]) -> None:
    """A rule on the country holds without a body."""
    served = serve()
    refused = served.nginx(x_country="KP")
    assert (refused.status_code, refused.headers["x-guard-action"]) == (403, "refuse")
    assert not served.app.outstanding
    assert served.nginx(x_country="DE").status_code == 200


def test_clients_are_told_apart_by_the_address_that_the_hop_states(serve: Callable[..., Served]) -> None:
    """One client's limit is not another's."""
    served = serve(settles=False)
    first = [served.nginx(x_forwarded_for="192.0.2.1").status_code for _ in range(4)]
    assert first == [200, 200, 200, 403]
    assert served.nginx(x_forwarded_for="192.0.2.2").status_code == 200


@pytest.mark.parametrize(
    "action", ['{ delay = "7s" }', '{ degrade = ["budget", "logprobs"] }'], ids=["delay", "degrade"]
)
def test_what_can_not_be_carried_out_is_limited(serve: Callable[..., Served], action: str) -> None:
    """Nobody is let through unreduced, and no place in the waiting room is kept."""
    rule = f'[[rule]]\nid = "slow"\nwhen = {{ country = "DE" }}\naction = {action}\n'
    served = serve(POLICY + rule)
    answer = served.http.get("/decide/traefik", headers={**TRAEFIK, "x-country": "DE"})
    assert (answer.status_code, answer.headers["x-guard-action"]) == (429, "limit")
    assert len(served.app.installation.waiting) == 0
    assert not served.app.outstanding


def test_observe_refuses_nothing(serve: Callable[..., Served]) -> None:
    """Whatever was judged, the gateway is told to let it through."""
    served = serve(POLICY.replace("enforce", "observe"), settles=False)
    answers = [served.nginx(x_country="KP") for _ in range(5)]
    assert {(one.status_code, one.headers["x-guard-action"]) for one in answers} == {(200, "allow")}


# -- settling ----------------------------------------------------------------------------------------------------------


def test_an_exchange_is_settled_once(serve: Callable[..., Served]) -> None:
    """The second time there is none of that reference, nor of one that was made up, nor of one that was refused."""
    served = serve()
    reference = served.nginx().headers["x-guard-reference"]
    assert served.settle(reference, input_tokens=7, output_tokens=9) == 200
    assert served.settle(reference, input_tokens=7, output_tokens=9) == 404
    assert served.settle("0123456789ab") == 404
    assert served.settle(served.nginx(x_country="KP").headers["x-guard-reference"]) == 404


def test_settling_gives_back_slots_and_what_was_not_used(serve: Callable[..., Served]) -> None:
    """Two at once; a third finds room when one is settled; what was never sent on costs no request."""
    served = serve()
    references = [served.nginx().headers["x-guard-reference"] for _ in range(2)]
    assert served.nginx().headers["x-guard-status"] == "429"
    for reference in references:
        assert served.settle(reference, status=0) == 200
    for _ in range(3):
        reference = served.nginx().headers["x-guard-reference"]
        assert served.settle(reference, input_tokens=1, output_tokens=1) == 200
    assert served.nginx().headers["x-guard-status"] == "429"


def test_what_nobody_settles_is_settled_as_used(serve: Callable[..., Served]) -> None:
    """After the lease's time, or when there are too many, or when the endpoint ends."""
    served = serve(most=1)
    first, second = (served.nginx().headers["x-guard-reference"] for _ in range(2))
    assert (served.settle(first), served.app.outstanding.overflowed) == (404, 1)
    served.clock.advance(901.0)
    assert served.settle(second) == 404
    assert served.nginx().status_code == 200
    served.close()
    assert len(served.app.outstanding) == 0


def test_an_answer_vouches_for_a_credential(serve: Callable[..., Served]) -> None:
    """2xx makes it accepted; what nobody settled does not."""
    served = serve(POLICY.replace('describe = "guard.demo.accounts:describe"', ""))
    served.settle(served.nginx("sk-refused").headers["x-guard-reference"], status=401)
    served.settle(served.nginx("sk-good").headers["x-guard-reference"], output_tokens=3)
    for key in ("sk-refused", "sk-good"):
        served.nginx(key)
    assert [receipt.exchange.account.status for receipt, _ in served.app.outstanding._held.values()] == [
        "provisional",
        "accepted",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"status": 200}',
        b'{"reference": 5, "status": 200}',
        b'{"reference": "x", "status": true}',
        b'{"reference": "x", "status": 99}',
        b'{"reference": "x", "status": 200, "output_tokens": -1}',
        b'{"reference": "x", "status": 200, "output_tokens": 1e300}',
        b'{"reference": "x", "status": 200, "output_tokens": 99999999999999}',
        b'{"reference": "x", "status": 200, "tokens": 1}',
        b'{"reference": "x", "reference": "y", "status": 200}',
        b'{"reference": "x", "status": 200, "issued": [""]}',
    ],
)
def test_what_is_no_settlement_is_400(serve: Callable[..., Served], body: bytes) -> None:
    """And the endpoint goes on."""
    served = serve()
    assert served.http.post("/settle", content=body).status_code == 400
    assert served.http.get("/healthz").status_code == 200


# -- attacks -----------------------------------------------------------------------------------------------------------


def test_nobody_but_a_hop_may_ask_or_settle(serve: Callable[..., Served]) -> None:
    """Whatever it writes into headers; a reference that it has seen is worth nothing to it. Health is open."""
    served = serve()
    reference = served.nginx().headers["x-guard-reference"]
    with httpx.Client(base_url=served.url, transport=httpx.HTTPTransport(local_address="127.0.0.2")) as stranger:
        spoofed = {**NGINX, "x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1", "x-real-ip": "127.0.0.1"}
        assert stranger.get("/decide/nginx", headers=spoofed).status_code == 403
        assert stranger.post(f"/decide/envoy{CHAT}", content=ASK, headers=JSON).status_code == 403
        assert stranger.post("/settle", json={"reference": reference, "status": 0}).status_code == 403
        assert stranger.get("/anything").status_code == 403
        assert stranger.get("/healthz").status_code == stranger.get("/readyz").status_code == 200
    assert served.settle(reference) == 200


def test_an_address_that_the_server_took_from_a_header_is_no_hop(serve: Callable[..., Served]) -> None:
    """uvicorn, left to itself, puts the client's word in the place of the socket's peer."""
    served = serve(rewrites=True)
    assert served.nginx(x_forwarded_for="127.0.0.1").status_code == 403


def test_one_gateways_headers_are_not_read_for_another(serve: Callable[..., Served]) -> None:
    """A client behind Traefik that writes nginx's headers, or behind nginx Traefik's, is judged by what its gateway says."""
    served = serve(settles=False)
    about = {"x-original-uri": "/about", "x-original-method": "GET"}
    assert "x-guard-reference" in served.http.get("/decide/traefik", headers={**TRAEFIK, **about}).headers
    assert "x-guard-reference" in served.nginx(x_forwarded_uri="/about").headers
    envoy = served.http.post(
        f"/decide/envoy{CHAT}", content=ASK, headers={**JSON, **about, "x-forwarded-uri": "/about"}
    )
    assert "x-guard-reference" in envoy.headers


@pytest.mark.parametrize("missing", ["x-original-method", "x-original-uri"])
def test_a_gateway_that_does_not_say_what_is_asked_is_told_so(serve: Callable[..., Served], missing: str) -> None:
    """Nothing passes, and the sentence names the header; also where it stands there twice."""
    served = serve(POLICY.replace("enforce", "observe"))
    without = [(name, value) for name, value in NGINX.items() if name != missing]
    for headers in (without, [*NGINX.items(), (missing, "/about")]):
        answer = served.http.get("/decide/nginx", headers=headers)
        assert (answer.status_code, answer.headers["x-guard-status"]) == (403, "400")
        assert missing in answer.text


def test_bodies_are_bounded(serve: Callable[..., Served]) -> None:
    """Of a question, declared or not, and of a settlement; nothing stays counted as being read."""
    served = serve()
    huge = b"x" * 100_000
    assert served.http.post(f"/decide/envoy{CHAT}", content=huge, headers=JSON).status_code == 413
    assert served.http.post(f"/decide/envoy{CHAT}", content=iter([huge]), headers=JSON).status_code == 413
    assert served.http.post("/settle", content=huge).status_code == 413
    assert served.app.installation.reading_bytes == 0


def test_a_policy_without_hops_is_refused() -> None:
    """Nobody could ask."""
    with pytest.raises(InstallError, match=r"\[trust\] hops"):
        deciding(load('version = 1\nmode = "observe"\n'))

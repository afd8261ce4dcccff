"""What the names of a request's headers decide."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from guard.layout import Layouts
from guard.settings import Identity, Trust

HOPS = (ip_network("10.0.0.0/8"),)
PLAIN = Layouts(Trust(), Identity())
BEHIND = Layouts(Trust(HOPS, "x-forwarded-for", "cf-ipcountry"), Identity())


def test_a_layout_says_what_its_names_say() -> None:
    """The client's own names in order, the size of all, and nothing out of the ordinary."""
    layout = PLAIN.of((b"host", b"accept", b"authorization", b"user-agent"))

    assert layout.stack == b"accept,user-agent\n"
    assert layout.names_bytes == len(b"host,accept,authorization,user-agent")
    assert layout.door == b"authorization"
    assert (layout.coded, layout.forwarded, layout.claims, layout.vouches) == (False, False, False, False)


@pytest.mark.parametrize("name", [b"transfer-encoding", b"content-encoding"])
def test_a_coded_body_is_told(name: bytes) -> None:
    """Both headers that change what the body's bytes mean."""
    assert PLAIN.of((b"host", name)).coded


def test_what_may_tell_of_another_peer_is_told() -> None:
    """``X-Forwarded-For`` always, for servers rewrite peers from it; the other headers where the policy names them."""
    assert PLAIN.of((b"x-forwarded-for",)).forwarded
    assert not PLAIN.of((b"cf-ipcountry",)).forwarded
    assert BEHIND.of((b"cf-ipcountry",)).forwarded


def test_claims_are_told_in_any_spelling() -> None:
    """A hyphen and an underscore are the same to many apps."""
    assert PLAIN.of((b"x_guard-score",)).claims
    assert not PLAIN.of((b"x-safeguard",)).claims
    assert BEHIND.of((b"cf_ipcountry",)).vouches
    assert not PLAIN.of((b"cf_ipcountry",)).vouches


def test_a_trust_header_with_an_underscore_is_stripped_like_others() -> None:
    """However the operator spells its name."""
    own = Layouts(Trust(HOPS, "X_Real_IP"), Identity())

    assert own.strips(b"X-Real-IP", hop=False)
    assert own.strips(b"x_real_ip", hop=False)
    assert not own.strips(b"x_real_ip", hop=True)
    assert own.of((b"x-real-ip",)).vouches


def test_the_same_names_are_looked_up() -> None:
    """The second request of a program finds what the first one's names came to; another order is another layout."""
    names = (b"host", b"accept")

    assert PLAIN.of(names) is PLAIN.of((b"host", b"accept"))
    assert PLAIN.recent.get(names) is PLAIN.of(names)
    assert PLAIN.of((b"accept", b"host")) is not PLAIN.of(names)


def test_names_with_commas_are_no_other_names() -> None:
    """What is looked up are the names, not a text that is made of them."""
    assert PLAIN.of((b"authorization,x",)).door == b""
    assert PLAIN.of((b"authorization", b"x")).door == b"authorization"


def test_invented_names_leave_a_bounded_memory() -> None:
    """Neither many names nor long ones are collected."""
    own = Layouts(Trust(), Identity())
    for number in range(5000):
        own.of((b"a%d" % number,))
    own.of((b"b" * 10_000,))

    assert len(own.recent) <= 512
    assert sum(len(name) for names in own.recent for name in names) < 512 * 10

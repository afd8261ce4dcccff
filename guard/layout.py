"""What the names of a request's headers decide, whatever their values: worked out once for each set of names.

A program sends the same names in the same order with every request, so this is looked up, not worked out, and the few values
that matter are read by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.credentials import Credentials
from guard.recent import Recent
from guard.settings import Identity, Trust
from guard.types import value

# Names that say nothing of the client's software: who is asking, how much, and what proxies on the way add.
_NOT_OF_THE_STACK = frozenset(
    b"authorization x-api-key api-key x-goog-api-key cookie host content-length transfer-encoding forwarded via x-real-ip x-forwarded-for "
    b"x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-prefix x-forwarded-server x-request-id x-client-ip "
    b"true-client-ip cf-connecting-ip cf-ipcountry cf-ray cf-visitor cdn-loop x-amzn-trace-id x-cloud-trace-context "
    b"x-envoy-external-address x-original-forwarded-for traceparent tracestate idempotency-key".split()
)
_CODED = frozenset({b"transfer-encoding", b"content-encoding"})
_MOST_LAYOUTS = 512
# Names that are longer together are worked out each time: the memory is for programs, not for whoever fills it.
_LONGEST_REMEMBERED = 2048


@value
class Layout:
    """One set of names, in the client's order."""

    names_bytes: int
    """The length of all names, with a comma between them."""
    stack: bytes
    """The names that are the client's own, and a line feed."""
    door: bytes
    """The header that holds the credential, as ``Credentials.door`` says."""
    coded: bool
    """Whether one says how the body is encoded or transferred."""
    forwarded: bool
    """Whether one may tell of another peer than the socket."""
    claims: bool
    """Whether one claims to be guard's own (``x-guard-…``), in any spelling."""
    vouches: bool
    """Whether one is a configured trust header, in any spelling."""


class Layouts:
    """The layouts under one policy. ``trusted``: the configured trust headers. ``recent``: those met lately, by lower-case names."""

    __slots__ = ("_credentials", "_not_of_the_stack", "_spelt", "recent", "trusted")

    def __init__(self, trust: Trust, identity: Identity) -> None:
        named = (trust.address, trust.country, trust.asn, trust.asn_kind, trust.ja4, trust.subdivision)
        self.trusted = frozenset(name.lower().encode("latin-1") for name in named if name)
        self._spelt = frozenset(name.replace(b"_", b"-") for name in self.trusted)
        self._credentials = Credentials(identity)
        doors = frozenset(name.lower().encode("latin-1") for name in identity.credential)
        self._not_of_the_stack = _NOT_OF_THE_STACK | doors | self.trusted
        self.recent: Recent[tuple[bytes, ...], Layout] = Recent(_MOST_LAYOUTS)

    def of(self, names: tuple[bytes, ...]) -> Layout:
        """The layout of lower-case names."""
        layout = self.recent.get(names)
        if layout is None:
            layout = self._worked_out(names)
            if layout.names_bytes <= _LONGEST_REMEMBERED:
                self.recent.put(names, layout)
        return layout

    def strips(self, name: bytes, *, hop: bool) -> bool:
        """Whether the app must not see a header of that name; ``hop``: a declared hop set the trust headers."""
        spelt = name.lower().replace(b"_", b"-")
        return spelt.startswith(b"x-guard-") or (not hop and spelt in self._spelt)

    def _worked_out(self, names: Sequence[bytes]) -> Layout:
        skipped = self._not_of_the_stack
        own = [name for name in names if name not in skipped and not name.startswith(b"x-guard-")]
        return Layout(
            len(b",".join(names)),
            b",".join(own) + b"\n",
            self._credentials.door(names),
            coded=not _CODED.isdisjoint(names),
            forwarded=b"x-forwarded-for" in names or not self.trusted.isdisjoint(names),
            claims=any(self.strips(name, hop=True) for name in names),
            vouches=any(name.replace(b"_", b"-") in self._spelt for name in names),
        )

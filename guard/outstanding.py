"""Receipts of exchanges that a gateway was told to let through, until it says what they came to.

There are at most so many, and each for the lease's time ([state] lease): what nobody settles is settled as used, which is what was
reserved for it. Where there are too many the oldest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import BadExchange
from guard.types import JSONObject, Receipt, Usage

if TYPE_CHECKING:
    from guard.installation import Installation
    from guard.recorder import Entry

MOST = 100_000
_MOST_ISSUED, _LONGEST_ISSUED = 32, 256
_MOST_TOKENS = 1 << 40
# So many at most are settled beside one request, for which they must not take long.
_AT_ONCE = 64


class Told(NamedTuple):
    """What a gateway says of an exchange. ``None``: it does not say. ``status`` 0: the app was not called."""

    status: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    issued: Sequence[str] = ()
    """Ids that the answer gave out (``contracts.Keeping``): they are the account's from now on."""


class Outstanding:
    """Keeps receipts by their reference. ``overflowed``: how many were settled as used since there was no room."""

    def __init__(self, installation: Installation, most: int = MOST) -> None:
        self._installation = installation
        self._most = most
        self._held: OrderedDict[str, tuple[Receipt, Entry | None]] = OrderedDict()
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, receipt: Receipt, entry: Entry | None) -> None:
        while len(self._held) >= self._most:
            self.overflowed += 1
            self._oldest()
        self._held[receipt.decision.reference] = (receipt, entry)

    def settle(self, reference: str, told: Told) -> bool:
        """Books what an exchange came to; False: there is none of that reference, or none any more."""
        receipt, entry = self._held.pop(reference, (None, None))
        if receipt is None:
            return False
        guard, account = self._installation.guard, receipt.exchange.account
        if account.status == "provisional":
            guard.identities.answered(account, told.status)
        if 200 <= told.status < 300:
            for name in told.issued:
                guard.conversations.bind(account.key, name, self._installation.clock.now())
        self._installation.settle(receipt, self._usage(receipt, told), entry)
        return True

    def settle_as_used(self, receipt: Receipt, entry: Entry | None) -> None:
        """Nobody says what it came to. A stranger's use stays the stranger's: nobody says either that the app took its credential."""
        status = 0 if receipt.exchange.account.status == "provisional" else 200
        features = receipt.exchange.features
        usage = Usage(status, features.input_tokens, self._reserved_output(receipt), False, True)
        self._installation.settle(receipt, usage, entry)

    def expire(self, now: float) -> None:
        """Settles those whose time is over."""
        lease_s = self._installation.guard.policy.state.lease_s
        for _ in range(_AT_ONCE):
            first = next(iter(self._held.values()), None)
            if first is None or now - first[0].at < lease_s:
                return
            self._oldest()

    def close(self) -> None:
        """Settles all that is left."""
        while self._held:
            self._oldest()

    def _oldest(self) -> None:
        _, (receipt, entry) = self._held.popitem(last=False)
        self.settle_as_used(receipt, entry)

    def _usage(self, receipt: Receipt, told: Told) -> Usage:
        features = receipt.exchange.features
        if not told.status:
            return Usage(0, 0, 0, False, False, False)
        received = features.input_tokens if told.input_tokens is None else told.input_tokens
        if told.output_tokens is not None:
            return Usage(told.status, received, told.output_tokens, told.input_tokens is not None, True)
        sent = self._reserved_output(receipt) if told.status < 400 else 0
        return Usage(told.status, received, sent, False, True)

    def _reserved_output(self, receipt: Receipt) -> int:
        features = receipt.exchange.features
        if features.budget_tokens is not None:
            return features.budget_tokens
        return self._installation.guard.policy.default_output_tokens * max(1, features.choices)


def told_by(fields: JSONObject) -> tuple[str, Told]:
    """The reference of an exchange and what it came to. Raises ``BadExchange`` (400)."""
    unknown = fields.keys() - {"reference", "status", "input_tokens", "output_tokens", "issued"}
    reference, status, issued = fields.get("reference"), fields.get("status"), fields.get("issued", [])
    tokens = [fields.get("input_tokens"), fields.get("output_tokens")]
    if (
        unknown
        or type(reference) is not str
        or type(status) is not int
        or not (status == 0 or 100 <= status <= 599)
        or not all(count is None or (type(count) is int and 0 <= count <= _MOST_TOKENS) for count in tokens)
        or type(issued) is not list
        or len(issued) > _MOST_ISSUED
        or not all(type(name) is str and 0 < len(name) <= _LONGEST_ISSUED for name in issued)
    ):
        text = "say reference (text), status (0: not called; 100 to 599), input_tokens, output_tokens (whole numbers), issued (ids)"
        raise BadExchange(400, "settle", text)
    return reference, Told(status, tokens[0], tokens[1], issued)

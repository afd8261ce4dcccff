"""What the operator has said of credentials: whole accounts of those in use, and of all others what they are made from.

An account as the stages read it takes 1,300 bytes and more; packed it takes about 200.
"""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from struct import Struct
from typing import NamedTuple

from guard.recent import Recent
from guard.types import Account

_WHOLE = 8_192
_ALIKE = 4_096
# The keyed hashes of account, payment, signup and org (zeros: none is stated); when it was created (NaN: unknown), and
# said; the shard.
_FACTS = Struct("<16s16s16s16sddB")
_NONE = bytes(16)
_NOBODY = Account("")


class Described(NamedTuple):
    """An account, and when that was said of it."""

    account: Account
    at: float


class _Packed(NamedTuple):
    """``facts``: what is each account's own; ``others``: an account without them, which many share."""

    facts: bytes
    others: Account


class Descriptions:
    """Of the credentials (keyed hashes) used lately, ``most`` at most."""

    __slots__ = ("_alike", "_kept", "_whole")

    def __init__(self, most: int) -> None:
        self._kept: Recent[str, _Packed | Described] = Recent(most)
        self._whole: Recent[str, Described] = Recent(_WHOLE)
        self._alike: Recent[Account, Account] = Recent(_ALIKE)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, credential: str) -> Described | None:
        """What was last said of a credential, however long ago; None: nothing."""
        described = self._whole.get(credential)
        if described is None:
            kept = self._kept.get(credential)
            if kept is None:
                return None
            described = kept if isinstance(kept, Described) else _unpacked(kept)
            self._whole.put(credential, described)
        return described

    def put(self, credential: str, account: Account, at: float) -> None:
        """Keeps what was said."""
        described = Described(account, at)
        packed = self._packed(described)
        # What can't be packed without loss stays as it is.
        self._kept.put(credential, packed if _unpacked(packed) == described else described)
        self._whole.put(credential, described)

    def drop(self, credential: str) -> None:
        """Forgets what was said of a credential."""
        self._kept.drop(credential)
        self._whole.drop(credential)

    def of(self, account: str) -> list[str]:
        """The credentials that were said to be that account's. O(all), for operators."""
        found = []
        for credential in list(self._kept):
            kept = self._kept.peek(credential)
            whole = kept if kept is None or isinstance(kept, Described) else _unpacked(kept)
            if whole is not None and whole.account.key == account:
                found.append(credential)
        return found

    def _packed(self, described: Described) -> _Packed:
        account, at = described
        own = [
            bytes.fromhex(one) if one else _NONE for one in (account.key, account.payment, account.signup, account.org)
        ]
        facts = _FACTS.pack(*own, nan if account.created is None else account.created, at, account.shard)
        others = replace(account, key="", shard=0, created=None, payment="", signup="", org="", names=_NOBODY.names)
        alike = self._alike.get(others)
        if alike is None:
            self._alike.put(others, others)
            alike = others
        return _Packed(facts, alike)


def named(account: str, org: str) -> frozenset[str]:
    """What grants and rules may call an account of that key and organisation (keyed hashes; ``""``: of none)."""
    return frozenset({f"account:{account}", f"org:{org}"} if org else {f"account:{account}"})


def _unpacked(packed: _Packed) -> Described:
    *own, created, at, shard = _FACTS.unpack(packed.facts)
    key, payment, signup, org = [one.hex() if one != _NONE else "" for one in own]
    account = replace(
        packed.others,
        key=key,
        shard=shard,
        created=None if isnan(created) else created,
        payment=payment,
        signup=signup,
        org=org,
        names=named(key, org),
    )
    return Described(account, at)

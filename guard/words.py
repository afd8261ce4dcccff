"""The operator's words while guard runs: grants, blocks and the mode, on top of what the policy file says.

They are part of the snapshot: a restart keeps them. Subjects are ``account:<hash>`` or ``org:<hash>`` (keyed hashes, 32 hex
digits); ``subject`` makes one of what an operator types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from guard.conditions import hashed_names
from guard.errors import AdminError
from guard.hashing import HashKey
from guard.settings import Grant, Policy
from guard.types import Account, Mode

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Block:
    """The operator's refusal of a subject until ``until`` (seconds since 1970; 0: until it is lifted)."""

    why: str
    until: float


def subjects(typed: str, key: HashKey) -> tuple[str, ...]:
    """``account:<id>``, ``org:<id>`` or an account's key (32 hex digits) → what an account that is meant bears in ``names``.

    More than one where the id could itself be a key. Raises ``AdminError`` for anything else.
    """
    if len(typed) == 32 and _HEX.issuperset(typed):
        return hashed_names(f"account:{typed}", key)[::-1]
    kind, colon, name = typed.partition(":")
    if not colon or kind not in {"account", "org"} or not name:
        raise AdminError("a subject is account:<id>, org:<id> or the 32 hex digits of an account's key")
    return hashed_names(typed, key)


def subject(typed: str, key: HashKey) -> str:
    """The likeliest of ``subjects``, for showing."""
    return subjects(typed, key)[0]


class Words:
    """Holds the words; ``policy_grants`` are replaced with each policy, the operator's own stay."""

    def __init__(self, policy: Policy, key: HashKey) -> None:
        self._key = key
        self._spoken: dict[str, Grant] = {}
        self._blocks: dict[str, Block] = {}
        self._mode: tuple[Mode, float] | None = None
        self.version = 0
        """Changes with every block, so that a running stream knows when to look again."""
        self._grants: dict[str, Grant] = {}
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Takes up the grants of another policy."""
        self._policy = policy
        written = {name: grant for grant in policy.grants for name in subjects(grant.subject, self._key)}
        self._grants = written | self._spoken

    def mode(self, now: float) -> Mode:
        """The mode in force: the operator's override while it lasts, else the policy's."""
        if self._mode is not None:
            mode, until = self._mode
            if until == 0.0 or now < until:
                return mode
            self._mode = None
        return self._policy.mode

    def mode_until(self) -> float | None:
        """When the operator's override of the mode ends (0: when it is set again); None: there is no override."""
        return self._mode[1] if self._mode is not None else None

    def set_mode(self, mode: str, until: float) -> None:
        """Overrides the policy's mode until then (0: until it is set again). ``AdminError`` for an unknown mode."""
        if mode == "policy":
            self._mode = None
        elif mode in get_args(Mode):
            self._mode = (mode, until)  # type: ignore[assignment]
        else:
            raise AdminError(f"no mode {mode!r}; valid: {', '.join(get_args(Mode))}, policy")

    def grant(self, account: Account, now: float) -> Grant | None:
        """The grant that holds for an account, None where none does."""
        if not self._grants:
            return None
        for name in account.names:
            grant = self._grants.get(name)
            if grant is not None and (grant.until == 0.0 or now < grant.until):
                return grant
        return None

    def block(self, account: Account, now: float) -> Block | None:
        """The block that holds for an account, None where none does."""
        if not self._blocks:
            return None
        for name in account.names:
            block = self._blocks.get(name)
            if block is not None and (block.until == 0.0 or now < block.until):
                return block
        return None

    def speak(self, grant: Grant) -> str:
        """Adds an operator's grant; the subject it holds for."""
        names = subjects(grant.subject, self._key)
        for name in names:
            self._spoken[name] = self._grants[name] = Grant(name, grant.why, grant.until, grant.told)
        return names[0]

    def refuse(self, typed: str, block: Block) -> str:
        """Blocks a subject; the subject it holds for."""
        names = subjects(typed, self._key)
        self._blocks |= dict.fromkeys(names, block)
        self.version += 1
        return names[0]

    def take_back(self, typed: str) -> bool:
        """Withdraws an operator's grant and block of a subject; False: there was neither. Grants of the policy file stay."""
        held = 0
        for name in subjects(typed, self._key):
            held += (self._spoken.pop(name, None) is not None) + (self._blocks.pop(name, None) is not None)
        self.adopt(self._policy)
        return held > 0

    def carry(self, kind: str, former: str, name: str) -> None:
        """Goes on with what was said of a subject under another name (keyed hashes)."""
        old, new = f"{kind}:{former}", f"{kind}:{name}"
        for said in (self._spoken, self._grants):
            if old in said and new not in said:
                said[new] = said.pop(old)
        if old in self._blocks and new not in self._blocks:
            self._blocks[new] = self._blocks.pop(old)

    def hear(self, name: str, word: Grant | Block | None) -> None:
        """Takes up what was spoken elsewhere of ``account:<key>`` or ``org:<key>`` (keyed hashes); None: it was taken back."""
        if isinstance(word, Block):
            self.version += self._blocks.get(name) != word
            self._blocks[name] = word
        elif word is not None:
            self._spoken[name] = self._grants[name] = word
        elif self._spoken.pop(name, None) is not None or self._blocks.pop(name, None) is not None:
            self._blocks.pop(name, None)
            self.adopt(self._policy)

    def counts(self) -> dict[str, int]:
        """How many grants and blocks there are."""
        return {"grants": len(self._grants), "blocks": len(self._blocks)}

    def snapshot(self) -> dict[str, Any]:
        """Plain data for ``restore``."""
        return {
            "mode": list(self._mode) if self._mode else [],
            "grants": [[name, grant.why, grant.until, grant.told] for name, grant in self._spoken.items()],
            "blocks": [[name, block.why, block.until] for name, block in self._blocks.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up a snapshot. Raises ``KeyError`` or ``ValueError`` for one that isn't."""
        if state["mode"]:
            self.set_mode(state["mode"][0], float(state["mode"][1]))
        self._spoken = {
            str(n): Grant(str(n), str(why), float(until), bool(told)) for n, why, until, told in state["grants"]
        }
        self._blocks = {str(n): Block(str(why), float(until)) for n, why, until in state["blocks"]}
        self.adopt(self._policy)

"""What the operator has said of credentials comes back as it was said, however long the credential was idle."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from guard import described as module
from guard.described import Descriptions, named
from guard.types import Account

NOW = 1.79e9


def account(number: int, **facts: object) -> Account:
    key = f"{number:032x}"
    org = str(facts.get("org", ""))
    return replace(Account(key, shard=number % 256, names=named(key, org)), **facts)  # type: ignore[arg-type]


FULL: dict[str, object] = {
    "created": NOW - 5.5,
    "tier": "free",
    "verified": True,
    "country": "DE",
    "payment": "ab" * 16,
    "signup": "cd" * 16,
    "org": "ef" * 16,
    "tags": frozenset({"beta"}),
    "owners": (("DE", 60.0), ("FR", 40.0)),
}


@pytest.mark.parametrize("facts", [{}, FULL, {"created": 0.0, "verified": False}, {"org": "12" * 16}])
def test_an_idle_credential_is_described_as_before(facts: dict[str, object]) -> None:
    """After thousands of others, from what is packed: every field, and when it was said."""
    kept = Descriptions(20_000)
    said = account(7, **facts)
    kept.put("idle", said, NOW + 0.25)
    for number in range(10_000):
        kept.put(f"other {number}", account(1_000 + number), NOW)

    assert "idle" not in kept._whole
    found = kept.get("idle")
    assert found is not None
    assert found == (said, NOW + 0.25)
    assert kept.get("idle") is found, "in use it is whole again"


def test_every_field_of_an_account_is_tried_here() -> None:
    """One that is added is packed with those that many share, or noticed here."""
    of_its_own = {"key", "status", "shard", "names"}
    assert {field.name for field in fields(Account)} - of_its_own == set(FULL)


def test_what_can_not_be_packed_is_kept_whole() -> None:
    """Names that do not follow from key and organisation are not lost."""
    kept = Descriptions(20_000)
    odd = replace(account(7), names=frozenset({"account:other"}))
    kept.put("odd", odd, NOW)
    for number in range(10_000):
        kept.put(f"other {number}", account(1_000 + number), NOW)

    found = kept.get("odd")
    assert found is not None
    assert found.account == odd


def test_what_was_said_last_counts_and_what_is_dropped_is_gone() -> None:
    kept = Descriptions(10)
    kept.put("c", account(1), NOW)
    kept.put("c", account(2), NOW + 1)
    found = kept.get("c")
    assert found is not None
    assert found.account == account(2)
    kept.drop("c")
    assert kept.get("c") is None
    assert len(kept) == 0


def test_an_accounts_credentials_are_found() -> None:
    """For an operator who erases it."""
    kept = Descriptions(10)
    for credential, number in (("a", 1), ("b", 2), ("c", 1)):
        kept.put(credential, account(number), NOW)

    assert kept.of(account(1).key) == ["a", "c"]


def test_alike_accounts_share_what_they_have_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tier, country and tags of a thousand accounts are held once."""
    monkeypatch.setattr(module, "_WHOLE", 2)
    kept = Descriptions(2_000)
    for number in range(1, 1_001):
        kept.put(str(number), account(number, tier="free", country="DE", tags=frozenset({"t"})), NOW)

    packed = [kept._kept.peek(str(number)) for number in range(1, 1_001)]
    assert len({id(one.others) for one in packed if isinstance(one, module._Packed)}) == 1
    assert all(isinstance(one, module._Packed) for one in packed)

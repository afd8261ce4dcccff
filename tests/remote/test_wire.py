"""What is said on the wire: bills packed once, answers taken apart or refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.charges import Bill, Metered, SlotLimit, Tariff
from guard.remote import names, wire
from guard.remote.debts import Owed

METERS = (Metered("free", "requests", "0", 5.0, 0.1, 0), Metered("trial", "tokens", "1", 9.0, 0.2, 1, True))
TARIFF = Tariff("account", METERS, (SlotLimit("free", 3),))
TOKEN = b"12345678"


def outcome(levels: tuple[float, ...], lacking: tuple[int, ...] = (), refused: int = -1) -> bytes:
    head = struct.pack("<BiddddH8s", 0, refused, 1.5, 7.0, 100.0, 0.0, len(lacking), b"markmark")
    return head + struct.pack(f"<{len(levels)}d", *levels) + struct.pack(f"<{len(lacking)}H", *lacking)


def reply(*outcomes: bytes) -> bytes:
    return struct.pack("<dI", 123.5, 2) + b"".join(outcomes)


def test_a_tariff_is_packed_once() -> None:
    """The same bytes for every exchange; a part of a record has its own."""
    forms = wire.Forms()

    assert forms[TARIFF] is forms[TARIFF]
    assert forms.within(TARIFF, "u") is forms.within(TARIFF, "u")
    assert forms.within(TARIFF, "u").fields != forms[TARIFF].fields
    assert (
        forms.within(TARIFF, "u").fields[0][1]
        == forms.within(TARIFF, "v").fields[0][1]
        == names.spill("free", "requests", "0")
    )
    assert forms.rates["free", "requests", "0"] == 0.1


def test_a_tariff_made_for_one_call_is_not_kept() -> None:
    forms = wire.Forms()
    once = Tariff("account", METERS, kept=False)
    forms[once]
    forms.within(once, "u")

    assert len(forms) == 0
    assert forms.within(once, "u") is not forms.within(once, "u")


def test_a_call_carries_costs_bases_and_debts() -> None:
    """What is owed is added to a call that is already packed."""
    form = wire.packed(TARIFF, "")
    bill = Bill(TARIFF, "a", (1.0, 2.0, 3.0), 0.5)
    bare = wire.asked([bill], [form], (), 0.0, 60.0, TOKEN)
    seen = wire.asked([bill], [form], (4.0, 5.0), 99.0, 60.0, TOKEN)
    owed = Owed("here-1", ((("free", "requests", "0", "a"), 2.0, 3.0),))
    owing = wire.with_debt(seen, owed, "account", {})

    assert seen.endswith(struct.pack("<2d", 4.0, 5.0))
    assert bare[24] == 0
    assert seen[24] == 1
    assert owing[24] == 3
    assert owing[25:].startswith(seen[25:])
    assert owing.endswith(names.meter("free", "requests", "0", "") + struct.pack("<3d", 2.0, 3.0, 5.0 / 86_400.0))


def test_answers_are_taken_apart() -> None:
    """Each call's outcome by how many levels it has; None for one that the store could not do."""
    told = wire.answered(reply(outcome((1.0, 2.0)), b"\x01", outcome((3.0,), (0,), 0)), [2, 5, 1])

    assert (told.now, told.healed) == (123.5, 2)
    assert told.outcomes[1] is None
    first, last = told.outcomes[0], told.outcomes[2]
    assert first is not None
    assert last is not None
    assert (first.refused, first.levels, first.hits, first.mark) == (-1, (1.0, 2.0), 7.0, b"markmark")
    assert (last.refused, last.wait_s, last.levels, last.lacking) == (0, 1.5, (3.0,), (0,))


@given(cut=st.integers(0, 70))
def test_half_an_answer_is_none(cut: int) -> None:
    whole = reply(outcome((1.0, 2.0)))
    with pytest.raises(ValueError, match="answer"):
        wire.answered(whole[: min(cut, len(whole) - 1)], [2])


@pytest.mark.parametrize("answer", [None, 7, [b"x"], b"x" * 200])
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match="answer"):
        wire.answered(answer, [2])
    with pytest.raises(ValueError, match="answer"):
        wire.ended(answer)


def test_too_many_meters_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        wire.packed(Tariff("account", METERS * 40_000), "")

from __future__ import annotations

from random import Random
from sys import byteorder
from zlib import crc32

from guard.passages import MOST_TRAITS, PIECE, Passages


def packed(passages: list[int]) -> bytes:
    return b"".join([passage.to_bytes(8, byteorder) for passage in passages])


class Slowly:
    """The written specification, one passage after the other."""

    def __init__(self) -> None:
        self.cells: dict[int, tuple[int, int, bool, int]] = {}

    def met(self, passages: list[int], account: str) -> list[int]:
        mark = crc32(account.encode()) & 0xFFF
        pieces: list[list[int]] = []
        held = 0
        for passage in passages:
            place = passage & 0xFFFFF
            upper, whose, shared, count = self.cells.get(place, (0, 0, False, 0))
            if upper == passage >> 20:
                shared |= whose != mark
                self.cells[place] = upper, whose, shared, min(count + 1, 127)
            else:
                self.cells[place] = (upper, whose, shared, count - 1) if count > 1 else (passage >> 20, mark, False, 1)
                shared = False
            if not shared:
                held = 0
            else:
                if held % PIECE == 0:
                    pieces.append([])
                pieces[-1].append(passage)
                held += 1
        return sorted({min(piece) for piece in pieces})[:MOST_TRAITS]


def row(dice: Random, count: int) -> list[int]:
    return [dice.getrandbits(61) for _ in range(count)]


def test_the_specification_bit_for_bit() -> None:
    """Whatever accounts show (fresh, known, repeated, in each other's cells), the traits are exactly those specified."""
    dice = Random(5)
    template, other = row(dice, 9), row(dice, 70)
    # Passages that share cells with the template's: they wear its counts down.
    rivals = [passage ^ 1 << 45 for passage in template]
    found, slowly = Passages(), Slowly()
    told = 0
    for n in range(400):
        shown = row(dice, dice.randrange(40)) + dice.choice((template, other, rivals, template[:3] + other[5:], []))
        shown += dice.choice(([], row(dice, 7), shown[:5], rivals))
        account = f"account {dice.randrange(6)}"
        traits = found.met(packed(shown), account)
        told += bool(traits)
        assert traits == slowly.met(shown, account), n
    assert 100 < told < 400


def test_what_one_account_repeats_is_no_trait() -> None:
    """Its own text may come again as often as it likes; the first other account that shows it makes it a trait of all."""
    passages, template = Passages(), row(Random(1), 4)

    assert [passages.met(packed(template), "one") for _ in range(30)] == [[]] * 30
    assert passages.met(packed(template), "two") == [min(template)]
    assert passages.met(packed(template), "one") == [min(template)]


def test_a_template_is_found_in_any_filler() -> None:
    """Between hundreds of passages that nobody has shown, and of some that everybody shows, the template's are traits."""
    dice = Random(2)
    passages, template, common = Passages(), row(dice, 5), [row(dice, 2) for _ in range(3)]
    found = []
    for n in range(20):
        shown = row(dice, 400) + common[n % 3] + row(dice, 1 + n) + template + row(dice, 300)
        found.append(passages.met(packed(shown), f"account {n}"))

    assert found[0] == []
    assert all(min(template[:PIECE]) in traits for traits in found[1:])
    assert all(len(traits) <= 3 for traits in found)


def test_at_most_eight_traits() -> None:
    """However much two accounts share."""
    passages, shown = Passages(), row(Random(3), 2_000)
    passages.met(packed(shown), "one")

    assert len(passages.met(packed(shown), "two")) == MOST_TRAITS


def test_a_flood_leaves_what_comes_again() -> None:
    """Two million passages of others, twice what the table holds: what five accounts had shown by then is still known."""
    dice = Random(4)
    passages, template = Passages(), row(dice, 40)
    for n in range(5):
        passages.met(packed(template), f"account {n}")
    for n in range(100):
        passages.met(dice.randbytes(8 * 20_000), f"flood {n}")

    assert passages.met(packed(template), "another")


def test_nothing_shown() -> None:
    """A text without passages has no traits."""
    assert Passages().met(b"", "one") == []

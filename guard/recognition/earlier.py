"""Who showed a trait before those who show it now: whoever copies what others ask comes after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from guard.recognition.accounts import Accounts
from guard.recognition.families import LEAD_S, MARK, Family


def earlier(family: Family, shown: Iterable[int], accounts: Accounts) -> set[int]:
    """The numbers of the accounts that showed the trait long before those who show it now were there at all, and are in no
    cluster. ``shown``: the accounts of its latest exchanges."""
    counts = Counter(shown)
    present = [known for number in counts if (known := accounts.number(number)) is not None]
    arrived = sorted((known.first_at, counts[known.number]) for known in present)
    half = sum(count for _, count in arrived) / 2
    before = 0.0
    for at, count in arrived:
        half -= count
        if half < 0:
            before = at - LEAD_S
            break
    marks = set(family.firsts)
    early = {number for number, at in zip(family.numbers, family.times, strict=True) if at <= before}
    early |= {known.number for known in present if known.number & MARK in marks}
    return {number for number in early if (known := accounts.number(number)) is not None and not known.cluster}

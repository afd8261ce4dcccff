"""Which limits are charged together, and by which tariff."""

from __future__ import annotations

from typing import Any

from guard.conditions import View
from guard.settings import Condition, Limit, Window
from guard.tariffs import Group, groups
from guard.types import Account, Assessment, Exchange, Features, Peer

PAID = Condition((("tier", "is", frozenset({"paid"})),))


def limit(name: str, *per: str, **more: Any) -> Limit:
    return Limit(name, per, **{"requests": (Window(5.0, 60.0),), **more})


def charged(group: Group, tier: str = "free") -> list[str]:
    """The limits whose meters an account of that tier is charged on."""
    exchange = Exchange(Account("a" * 32, tier=tier), Peer(), "/", Features(1, "", "", False, (), (), 0, 0))
    tariffs = group.always or group.tariffs(View(exchange, Assessment(0.0, "low", 1.0), 0.0, False))
    return [meter.limit for meter in tariffs.account.meters] if tariffs else []


def test_limits_of_one_subject_that_stand_together_are_charged_together() -> None:
    """And no others: the order in which limits stand decides which one a refusal names."""
    found = list(
        groups(
            [
                limit("a", "account"),
                limit("b", "account"),
                limit("c"),
                limit("d", "account"),
                limit("e", "user", "account"),
            ]
        )
    )

    assert [(group.kind, charged(group)) for group in found] == [
        ("account", ["a", "b"]),
        ("", ["c"]),
        ("account", ["d"]),
        ("user", ["e"]),
    ]


def test_what_counts_nothing_is_left_out() -> None:
    """Off, without a window, or per family, of which an exchange has some ten."""
    empty, off = limit("a", "account", requests=()), limit("b", "account", mode="off")

    assert not list(groups([empty, off, limit("c", "family"), limit("d", "family", "account")]))


def test_only_the_limits_that_hold_are_charged() -> None:
    (mixed,) = groups([limit("all", "account"), limit("paid", "account", when=PAID)])
    (paid,) = groups([limit("paid", "account", when=PAID)])

    assert (charged(mixed), charged(mixed, "paid"), charged(mixed)) == (["all"], ["all", "paid"], ["all"])
    assert (charged(paid), charged(paid, "paid")) == ([], ["paid"])


def test_the_same_limits_make_the_same_tariff() -> None:
    """Stores keep what they know of a tariff by its identity."""
    (group,) = groups([limit("all", "account"), limit("paid", "account", when=PAID)])
    account = Account("a" * 32, tier="paid")
    views = [
        View(
            Exchange(account, Peer(), "/", Features(1, "", "", False, (), (), 0, 0)),
            Assessment(0.0, "low", 1.0),
            now,
            False,
        )
        for now in (0.0, 1.0)
    ]

    assert group.tariffs(views[0]) is group.tariffs(views[1])


def test_strangers_live_apart_take_nothing_joint_and_are_charged_late_whatever_room_there_is() -> None:
    (group,) = groups([limit("a", "account", concurrent=3)])
    assert group.always is not None
    account, stranger, joint, late = group.always

    assert (account.kind, account.book, len(account.slots)) == ("account", True, 1)
    assert (stranger.kind, stranger.book, len(stranger.slots)) == ("account?", True, 1)
    assert (joint.kind, joint.book, len(joint.slots)) == ("account", False, 1)
    assert (late.kind, late.book, late.slots) == ("account", True, ())
    assert late.meters[0].amount > 1e15

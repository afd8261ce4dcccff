from __future__ import annotations

import time
from dataclasses import replace

import pytest

from guard.errors import InstallError
from guard.scoring import FACTOR_FLOOR, Scoring, Weights, read_weights
from guard.types import Account, Assessment, Exchange, Features, Peer

DAY_S = 86_400.0
GROUPS = {"loud": "content", "other": "content", "shared": "coordination"}
WEIGHTS = Weights(
    1,
    -4.0,
    7 * DAY_S,
    (0.1, 0.5, 0.9),
    {"content": 2.5, "coordination": 6.0},
    {"loud": (0.5, -0.1), "other": (0.5, 0.0), "shared": (3.0, 0.0)},
)


def scoring(max_accounts: int = 100) -> Scoring:
    return Scoring(WEIGHTS, GROUPS, max_accounts)


def exchange(key: str = "a", digest: int = 0, account: Account | None = None, **readings: float) -> Exchange:
    features = Features(1, "openai_chat", "m", False, (), tuple(sorted(readings.items())), 10, 10, digest=digest)
    return Exchange(account or Account(key), Peer(), "/v1/chat/completions", features)


def assess(stage: Scoring, times: int, now: float = 0.0, granted: bool = False, **readings: float) -> Assessment:
    assert times > 0
    for _ in range(times):
        found = stage.assess(exchange(**readings), now, granted=granted)
    return found


def test_one_kind_of_evidence_never_convicts() -> None:
    """However loud the content, its group's cap keeps an account out of ``suspect``."""
    found = assess(scoring(), 1_000, loud=1.0, other=1.0)

    assert found.band == "watch"
    assert 0.1 < found.score < 0.5


def test_two_kinds_do() -> None:
    """Content and coordination together reach ``confirmed``."""
    assert assess(scoring(), 20, loud=1.0, shared=1.0).band == "confirmed"


def test_evidence_is_explained() -> None:
    """Every signal that holds nats against an account is named with its group."""
    found = assess(scoring(), 3, loud=1.0)

    assert [(e.signal, e.group, e.nats) for e in found.evidence] == [("loud", "content", 1.5)]


def test_absence_takes_back() -> None:
    """Exchanges without a reading wear evidence off, never below nothing."""
    stage = scoring()
    assess(stage, 2, loud=1.0)
    found = assess(stage, 50)

    assert found.evidence == ()
    assert found == stage.assess(exchange("never seen"), 0.0, granted=False)


def test_evidence_fades_by_half_in_a_week() -> None:
    """A silent account's evidence halves with each half-life."""
    stage = scoring()
    assess(stage, 4, other=1.0)
    (evidence,) = stage.assess(exchange(), 7 * DAY_S, granted=False).evidence

    assert evidence.nats == pytest.approx(1.0)


def test_f_halves_with_each_step_up_and_grows_back() -> None:
    """A step into ``watch`` halves f; in ``low`` it grows by 0.05 an hour up to 1; the floor holds."""
    stage = scoring()
    assert assess(stage, 5, loud=1.0).factor == 0.5
    assert assess(stage, 30).band == "low"
    later = stage.assess(exchange(), 4 * 3600.0, granted=False)
    assert later.factor == pytest.approx(0.7)
    assert stage.assess(exchange(), 100 * 3600.0, granted=False).factor == 1.0

    assert assess(scoring(), 20, loud=1.0, shared=1.0).factor == 0.125
    for _ in range(20):
        assess(stage, 6, now=100 * 3600.0, loud=1.0)
        last = assess(stage, 30, now=100 * 3600.0)
    assert last.factor == FACTOR_FLOOR


def test_a_grant_holds_f_at_one() -> None:
    """A granted account keeps its allowance whatever the evidence says."""
    assert assess(scoring(), 20, granted=True, loud=1.0, shared=1.0).factor == 1.0


def test_a_retry_counts_once() -> None:
    """The same request within ten minutes of a failure adds no evidence; later, or another request, does."""
    stage = scoring()
    first = exchange(digest=5, loud=1.0)
    stage.assess(first, 0.0, granted=False)
    stage.failed(first, 1.0)

    assert stage.assess(first, 2.0, granted=False).evidence[0].nats == 0.5
    assert stage.assess(exchange(digest=6, loud=1.0), 3.0, granted=False).evidence[0].nats == 1.0
    assert stage.assess(first, 700.0, granted=False).evidence[0].nats > 1.4


def test_standing_needs_age_and_verification() -> None:
    """Half of standing is age (by the operator's date, else by guard's own first sight), half verification."""
    stage = scoring()
    month_s = 30 * DAY_S
    old = exchange(account=Account("old", created=0.0, verified=True))
    seen = exchange("seen")
    stage.assess(seen, 0.0, granted=False)

    assert stage.assess(old, month_s, granted=False).standing == 1.0
    assert stage.assess(exchange(account=Account("new", created=month_s)), month_s, granted=False).standing == 0.0
    assert stage.assess(seen, month_s / 2, granted=False).standing == pytest.approx(0.25)
    assert (
        stage.assess(exchange(account=Account("p", "provisional", created=0.0)), month_s, granted=False).standing == 0.0
    )


def test_provisional_accounts_are_not_held() -> None:
    """A credential nobody has vouched for takes no place in the table."""
    stage = scoring()
    for n in range(1_000):
        stage.assess(exchange(account=Account(f"{n}", "provisional"), loud=1.0), 0.0, granted=False)

    assert len(stage) == 0


def test_the_table_is_bounded_and_nobody_washes_himself_clean() -> None:
    """A full table drops clean accounts only: one with evidence keeps it while thousands of others come by."""
    stage = scoring(max_accounts=50)
    assess(stage, 5, loud=1.0)
    for n in range(5_000):
        stage.assess(exchange(f"passer-by {n}"), 1.0, granted=False)

    assert len(stage) <= 50
    assert stage.assess(exchange(), 2.0, granted=False).band == "watch"


def test_newcomers_at_a_full_table_cost_the_same_however_many_came_before() -> None:
    """Ten times the table's size in newcomers: a bounded number of places is looked at for each, and the table stays full."""
    stage = scoring(max_accounts=2_000)
    for n in range(2_000):
        stage.assess(exchange(f"held {n}"), 0.0, granted=False)

    def newcomers(first: int) -> float:
        begun = time.process_time()
        for n in range(first, first + 2_000):
            stage.assess(exchange(f"newcomer {n}"), 1.0, granted=False)
        return time.process_time() - begun

    times = [newcomers(2_000 * turn) for turn in range(10)]
    assert min(times[5:]) < 3 * min(times[:5])
    assert len(stage) == len(stage._ring) == 2_000


def test_of_an_account_without_evidence_only_its_first_sight_is_kept() -> None:
    """Before there was evidence against it, and after it has worn off; its age counts on from the first exchange of all."""
    stage = scoring()
    assess(stage, 1, now=5.0)
    assert stage._accounts == {"a": 5.0}
    assess(stage, 1, now=6.0, loud=1.0)
    assert not isinstance(stage._accounts["a"], float)
    assess(stage, 50, now=7.0)
    assert stage._accounts == {"a": 5.0}
    month_s = 30 * DAY_S
    assert stage.assess(exchange(), 5.0 + month_s, granted=False).standing == 0.5


def test_a_retry_counts_once_though_the_evidence_has_worn_off_meanwhile() -> None:
    """What failed is remembered for ten minutes, also of an account that is otherwise as good as new."""
    stage = scoring()
    first = exchange(digest=5, loud=1.0)
    stage.assess(first, 0.0, granted=False)
    stage.failed(first, 1.0)
    for n in range(50):
        stage.assess(exchange(digest=100 + n), 2.0, granted=False)

    assert stage.assess(first, 3.0, granted=False).evidence == ()
    stage.assess(exchange(digest=6), 700.0, granted=False)
    assert stage._accounts == {"a": 0.0}
    assert stage.assess(first, 701.0, granted=False).evidence != ()


def test_an_erased_account_leaves_its_place() -> None:
    """Erasing frees the place in the table for somebody else."""
    stage = scoring(max_accounts=2)
    stage.assess(exchange("a"), 0.0, granted=False)
    stage.assess(exchange("b"), 0.0, granted=False)
    assert stage.erase("a")
    stage.assess(exchange("c"), 0.0, granted=False)

    assert sorted(stage._accounts) == sorted(stage._ring) == ["b", "c"]


def test_a_table_full_of_suspects_still_assesses_newcomers() -> None:
    """Where nobody can be dropped a newcomer is judged by his exchange alone, and nobody loses his evidence."""
    stage = scoring(max_accounts=10)
    for n in range(10):
        for _ in range(5):
            stage.assess(exchange(f"suspect {n}", loud=1.0), 0.0, granted=False)

    assert stage.assess(exchange("newcomer"), 1.0, granted=False).band == "low"
    assert len(stage) == 10
    assert stage.bands()["watch"] == 10


def test_forgive_and_erase() -> None:
    """Forgiving drops evidence and restores f; erasing forgets the account."""
    stage = scoring()
    assess(stage, 5, loud=1.0)

    assert stage.forgive("a")
    assert stage.assess(exchange(), 0.0, granted=False) == replace(stage.neutral, standing=0.0)
    assert not stage.forgive("nobody")
    assert stage.erase("a")
    assert not stage.erase("a")


def test_a_snapshot_keeps_evidence_and_f() -> None:
    """After a restart the same exchange is assessed the same."""
    stage, restarted = scoring(), scoring()
    assess(stage, 5, loud=1.0)
    restarted.restore(stage.snapshot(), 10.0)

    assert restarted.assess(exchange(), 10.0, granted=False) == stage.assess(exchange(), 10.0, granted=False)


def test_shipped_weights_cover_every_signal() -> None:
    """The shipped file weighs every signal there is, and its bands are in order."""
    weights = read_weights("", {"reasoning_elicitation": "content", "logprob_harvest": "content"})

    assert weights.band(0.05) == 0
    assert weights.band(0.95) == 3


@pytest.mark.parametrize("text", ["", "version = 2", "version = 1\nprior = 'x'"])
def test_broken_weights_are_an_install_error(tmp_path: object, text: str) -> None:
    """A weights file that can't be used stops guard from starting, with the remedy."""
    path = f"{tmp_path}/weights.toml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)

    with pytest.raises(InstallError, match="remove"):
        read_weights(path, {"loud": "content"})

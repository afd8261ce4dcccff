from __future__ import annotations

import json
from dataclasses import replace
from math import exp
from pathlib import Path

import numpy as np
import pytest

from guard.calibration import opinions, writing
from guard.calibration.checking import ceilings, curve, group_curve, levels, margin, over, wilson
from guard.calibration.fitting import GRID, Fold, fit, folds, validate, weights
from guard.calibration.gathering import Gathered, Unit
from guard.calibration.looks import CAMPAIGN, HONEST, Looks, Scales, scales
from guard.config import load
from guard.contracts import GroupSignal
from guard.errors import ExchangeLogError, InstallError, StateError
from guard.registry import signals
from guard.scoring import read_weights
from tests import populations as p

SIGNALS = ("true", "false", "mute")
SCALES = Scales(
    signals=SIGNALS,
    kind=np.array([0, 1, 1], np.int32),
    scale=np.ones(3),
    least=np.full(3, -3.0),
    most=np.full(3, 3.0),
    caps=np.array([6.0, 3.0]),
)
PRIOR = -5.0


def looks(nats: object, campaign: object, unit: object, source: object = None, group: object = None) -> Looks:
    """Weighings from columns; each its own group where none is said."""
    said = np.array(nats, np.float64)
    truth = np.array(campaign, np.bool_)
    total = PRIOR + SCALES.evidence(said, SCALES.scale)
    units = np.array(unit, np.int32)
    return Looks(
        nats=said,
        campaign=truth,
        clean=~truth,
        group=np.arange(len(said), dtype=np.int32) if group is None else np.array(group, np.int32),
        unit=units,
        source=units // 2 if source is None else np.array(source, np.int32),
        total=total,
        score=1.0 / (1.0 + np.exp(-total - 2.0)),
        band=np.where(total > -2.0, 2, 0).astype(np.int8),
    )


def drawn(sources: int, *, seed: int = 1, each: int = 60, false: float = 2.0) -> Looks:
    """Sources with a campaign and a segment each: ``true`` tells them apart, ``false`` says the same of both."""
    dice = np.random.default_rng(seed)
    nats, campaign, unit = [], [], []
    for source in range(sources):
        for kind in (0, 1):
            for _ in range(each):
                nats.append((dice.normal(2.0 if kind else -2.0, 1.0), dice.normal(false, 2.0), 0.0))
                campaign.append(kind)
                unit.append(2 * source + kind)
    return looks(nats, campaign, unit)


UNITS = [Unit(n // 2, CAMPAIGN if n % 2 else HONEST, f"u{n}") for n in range(20)]
SOURCES = [f"log {n}" for n in range(10)]


# -- fitting ----------------------------------------------------------------------------------------------------------


def test_a_signal_that_says_the_same_of_both_is_scaled_down() -> None:
    """What tells nobody apart loses its weight; what does keeps it; what never spoke stays as it was."""
    scale = fit(drawn(8), SCALES)

    assert scale[0] >= 1.0
    assert scale[1] <= 0.5
    assert scale[2] == 1.0


def test_few_sources_move_a_scale_less_than_many() -> None:
    """The ridge: each campaign and segment counts once, however many groups it has."""
    few, many = fit(drawn(1, each=400), SCALES), fit(drawn(8, each=50), SCALES)

    assert many[1] < few[1] <= 1.0


def test_scales_are_never_negative() -> None:
    """A signal that is always wrong is silenced, not turned round."""
    found = drawn(8)
    wrong = replace(found, nats=found.nats * np.array([-1.0, 1.0, 1.0]))

    assert fit(wrong, SCALES)[0] == 0.0


def test_held_out_sources_judge_the_fit() -> None:
    """Better where the noise is noise everywhere: the fitted scales may take over, and every fold says so."""
    found = drawn(6)
    fitted = validate(found, SCALES, folds(found, UNITS, SOURCES))

    assert fitted.after < fitted.before
    assert fitted.worse == ""
    assert [fold.name for fold in fitted.folds] == SOURCES[:6]


def test_a_weight_that_fits_one_source_only_is_kept_out() -> None:
    """In the one big source the second signal is always wrong, in the others right: fitted on it, the others do worse."""
    dice = np.random.default_rng(3)
    nats, campaign, unit = [], [], []
    for source in range(2):
        for kind in (0, 1):
            for _ in range(80):
                sign = (1.0 if kind else -1.0) * (1.0 if source else -1.0)
                nats.append((dice.normal(0.3 if kind else -0.3, 1.0), dice.normal(2.0 * sign, 1.0), 0.0))
                campaign.append(kind)
                unit.append(2 * source + kind)
    found = looks(nats, campaign, unit)
    fitted = validate(found, SCALES, folds(found, UNITS, SOURCES))

    assert fitted.worse == "log-loss is no lower"
    assert abs(fitted.folds[0].scale[1] - fitted.folds[1].scale[1]) >= 0.5


def test_a_lower_loss_does_not_pay_for_lost_campaigns() -> None:
    """The line of a verdict does not move with the scales: what would no longer reach it counts against them."""
    found = drawn(6)
    fitted = validate(found, SCALES, folds(found, UNITS, SOURCES))
    first = fitted.over_before

    assert fitted._replace(over_after=first._replace(campaigns=first.campaigns - 1)).worse.startswith("fewer campaigns")
    assert fitted._replace(over_after=first._replace(honest=first.honest + 1)).worse.startswith("more honest")


def test_classes_units_and_groups_weigh_alike() -> None:
    """A big source, or a group that was weighed often, has no more say than a small one."""
    weight = weights(looks(np.zeros((6, 3)), [1, 1, 1, 1, 0, 0], [1, 1, 1, 3, 0, 2], group=[0, 0, 1, 2, 3, 4]))

    assert weight.tolist() == pytest.approx([0.0625, 0.0625, 0.125, 0.25, 0.25, 0.25])


def test_folds_are_sources_then_campaigns_and_segments() -> None:
    """Logs where each can be spared; else what stands behind the groups; nothing where one class is one thing."""
    assert [fold.name for fold in folds(drawn(3), UNITS, SOURCES)] == SOURCES[:3]
    # Only source 0 has a campaign at all; it has two.
    one = looks(np.zeros((4, 3)), [1, 1, 0, 0], [1, 3, 0, 2], source=[0, 0, 0, 1])
    dealt = folds(one, UNITS, SOURCES)
    assert [fold.name for fold in dealt] == ["u1, u0", "u3, u2"]
    assert [fold.held.tolist() for fold in dealt] == [[True, False, True, False], [False, True, False, True]]
    alone = looks(np.zeros((3, 3)), [1, 0, 0], [1, 0, 2], source=[0, 0, 0])
    assert folds(alone, UNITS, SOURCES) == ()


# -- checking ---------------------------------------------------------------------------------------------------------


def test_wilsons_interval() -> None:
    """Against known values: 0 and 5 of 10."""
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-3)
    assert wilson(0.5, 10) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-3)
    assert wilson(0.0, 0) == (0.0, 0.0, 1.0)


def test_the_curve_counts_and_is_as_sure_as_its_senders_are_many() -> None:
    """A thousand exchanges of four accounts say what four say."""
    counts = np.array([[990, 10], [0, 0], [0, 0], [0, 0], [100, 900]])
    first, *_, last = curve(counts, [100, 0, 0, 0, 4])

    assert (first.centre, first.size, first.campaign, first.seen.share) == (0.1, 1000, 10, 0.01)
    assert (last.size, last.seen.share) == (1000, 0.9)
    assert last.seen.high - last.seen.low > 0.4
    assert first.seen.high - first.seen.low < 0.1


def test_groups_count_once_by_their_highest_score() -> None:
    """Three weighings of one group are one group."""
    found = looks([(3.0, 3.0, 0.0), (-3.0, 0.0, 0.0), (0.0, 0.0, 0.0)], [1, 1, 0], [1, 1, 0], group=[0, 0, 1])
    bins = group_curve(found, 5)

    assert [(one.size, one.campaign) for one in bins] == [(1, 0), (0, 0), (0, 0), (0, 0), (1, 1)]


def test_levels_are_kept_or_broken() -> None:
    """exp(−nats) of honest groups may read so many nats: chance is forgiven, a third at 3 nats is not."""
    honest = np.zeros(300)
    honest[:16] = 3.5
    honest[8:16] = 3.0
    assert [level.kept for level in levels(honest)] == [True, True, True, True]
    honest[:100] = 3.5
    found = levels(honest)
    assert [level.kept for level in found] == [True, False, False, True]
    assert (found[2].reached, found[2].allowed) == (100, exp(-3.0))


def test_no_scale_rises_above_what_honest_groups_allow() -> None:
    """Where a fifteenth of them read 2 nats, a signal may speak louder; where a third reads just below 2, it may not."""
    quiet, loud = np.zeros((300, 3)), np.zeros((300, 3))
    quiet[:20, 0], loud[:100, 0] = 1.9, 1.9
    assert ceilings(looks(quiet, np.zeros(300), np.zeros(300)), SCALES, GRID)[0] == max(GRID)
    assert ceilings(looks(loud, np.zeros(300), np.zeros(300)), SCALES, GRID)[0] == 1.0


def test_the_fit_obeys_what_honest_groups_allow() -> None:
    """Louder would fit better: campaigns read plainly more than most honest groups. But a tenth of those read nearly 3 nats."""
    nats = np.zeros((600, 3))
    nats[:300, 0], nats[300:, 0] = -0.5, 0.5
    unit = [2 * (n % 50) + n // 300 for n in range(600)]
    quiet = looks(nats.copy(), [0] * 300 + [1] * 300, unit)
    nats[:27, 0] = 2.9
    loud = looks(nats, [0] * 300 + [1] * 300, unit)

    assert fit(quiet, SCALES)[0] == max(GRID)
    assert fit(loud, SCALES)[0] <= 1.0
    nats[:27, 0] = 2.4
    assert fit(looks(nats, [0] * 300 + [1] * 300, unit), SCALES)[0] == 1.2
    # Where nothing is known to be clean nobody can tell.
    assert fit(replace(quiet, clean=np.zeros(600, np.bool_)), SCALES)[0] == 1.0


def test_the_margin_is_the_highest_honest_group() -> None:
    """Campaigns don't count in it; who is above the line is counted by group and by campaign."""
    found = looks([(3.0, 3.0, 0.0), (1.5, 0.0, 0.0), (0.0, 0.0, 0.0)], [1, 0, 0], [1, 0, 0])
    assert (margin(found, found.total).nats, margin(found, found.total).place) == (-3.5, 1)
    assert margin(found, found.total).left == 1.5
    assert over(found, found.total) == (0, 1)
    assert over(found, found.total + 2.0) == (1, 1)
    assert margin(found.take(found.campaign), found.total).place == -1


def test_other_scales_change_the_log_odds_by_what_they_add() -> None:
    """Prior and caps stay: of the second kind no more than its cap counts."""
    found = looks([(2.0, 3.0, 3.0)], [1], [1])
    assert found.total.tolist() == [PRIOR + 2.0 + 3.0]
    assert SCALES.totals(found, np.array([0.5, 0.5, 0.0])).tolist() == [PRIOR + 1.0 + 1.5]


# -- gathering --------------------------------------------------------------------------------------------------------


def labelled(crowd: list[p.Record], campaign: str | None, segment: str) -> list[p.Record]:
    label = {"segment": segment, "campaign": campaign, "extraction": campaign is not None}
    return [{**one, "label": label} for one in crowd]


def tool(start: float = p.START) -> list[p.Record]:
    """Honest users of one template, who came within the last month."""
    return p.Crowd("tool", 60, 5, start, age=(1.0, 25.0)).visits(p.template(8), days=1)


def gathered(*crowds: list[p.Record]) -> Gathered:
    found = Gathered(signals(GroupSignal))
    found.read("a log", p.log(*crowds), load("standard"))
    return found


def test_labels_tell_whose_a_group_is() -> None:
    """A campaign's template and a tool's in one log: groups of both, each with what all signals say of it."""
    found = gathered(labelled(p.hydra(400, days=1.0), "h", "campaign"), labelled(tool(), None, "tool"))
    weighed = found.looks()
    names = {(unit.kind, unit.name) for unit in found.units}

    assert names == {(CAMPAIGN, "h"), (HONEST, "tool")}
    assert weighed.nats.shape == (len(weighed), len(signals(GroupSignal)))
    assert weighed.campaign.any()
    assert weighed.clean.any()
    assert not (weighed.campaign & weighed.clean).any()
    assert found.labelled == found.exchanges == found.scored.sum()
    assert found.of_campaigns == found.scored[:, 1].sum() == 400
    even = [signal.name for signal in found.signals].index("even_load")
    assert weighed.nats[weighed.campaign, even].mean() > weighed.nats[weighed.clean, even].mean()


def test_a_campaign_in_a_tools_crowd_makes_the_group_neither() -> None:
    """A few of its accounts use what many honest ones use: the group is honest owners', and no sample of clean traffic."""
    found = gathered(
        labelled(p.hydra(60, p.template(8), accounts=12, days=1.0), "h", "campaign"), labelled(tool(), None, "tool")
    ).looks()

    assert not found.campaign[-1]
    assert not found.clean[-1]


def test_extraction_alone_is_a_label_too() -> None:
    """A log that names no campaign but marks its exchanges; what bears no mark is not counted either way."""
    marked = [{**one, "label": {"extraction": True}} for one in p.hydra(300, days=1.0)]
    found = gathered(marked, [{**one, "label": None} for one in tool()])

    assert (found.of_campaigns, found.labelled) == (300, 300)
    assert found.exchanges > 300
    assert {unit.name for unit in found.units} == {"unnamed"}
    assert found.looks().campaign.all()


def test_what_signals_said_adds_up_to_the_verdicts() -> None:
    """The model of the fit is that of the verdicts: what remains of the log-odds is the prior alone, the same for all here."""
    found = gathered(labelled(p.hydra(300, days=1.0), "h", "campaign"), labelled(tool(), None, "tool"))
    weighed = found.looks()
    kinds = {signal.name: signal.group for signal in found.signals}
    in_force = scales(read_weights("", kinds), list(found.signals))
    prior = weighed.total - in_force.evidence(weighed.nats, in_force.scale)

    assert np.ptp(prior) < 1e-6
    assert prior[0] < -4.0


def test_without_labels_nothing_is_held_of_a_group() -> None:
    """They are counted, and left out."""
    found = gathered(p.hydra(300, days=1.0))

    assert len(found.looks()) == 0
    assert found.unlabelled_groups > 0
    assert found.labelled == 0


def test_a_broken_line_ends_it_unless_skipped() -> None:
    lines = [*p.log(labelled(tool()[:5], None, "tool")), b"{"]
    found = Gathered(())
    with pytest.raises(ExchangeLogError, match="line 5"):
        found.read("a log", lines, load("standard"))
    found.read("again", lines, load("standard"), skip_broken=True)
    assert found.broken == 1


# -- the operator's word ----------------------------------------------------------------------------------------------


def judged(cluster: str, right: bool, nats: float) -> str:
    said = [["true", "coordination", nats], ["gone", "rhythm", 2.0]]
    return json.dumps(
        {"v": 1, "at": 1.0, "cluster": cluster, "right": right, "score": 0.95, "nats": 1.0, "evidence": said}
    )


def test_feedback_is_a_source_of_its_own(tmp_path: Path) -> None:
    """The last word on a cluster counts; nats are as the signal said them; what is judged is no sample of honest groups."""
    path = tmp_path / "feedback.jsonl"
    path.write_text("\n".join([judged("c1", True, 1.0), judged("c2", False, 3.0), judged("c1", False, 1.0)]) + "\n")
    found = Gathered([None] * 3)  # type: ignore[list-item]
    halved = replace(SCALES, scale=np.array([0.5, 1.0, 1.0]))

    assert opinions.listen(found, str(path), halved) == 2
    weighed = found.looks()
    assert weighed.campaign.tolist() == [False, False]
    assert weighed.clean.tolist() == [False, False]
    assert weighed.nats.tolist() == [[2.0, 0.0, 0.0], [6.0, 0.0, 0.0]]
    assert found.sources == ["feedback"]


def test_feedback_that_is_not_there_or_broken(tmp_path: Path) -> None:
    """Nothing was judged, or the line that can't be read is named."""
    path = tmp_path / "feedback.jsonl"
    found = Gathered([None] * 3)  # type: ignore[list-item]
    assert opinions.listen(found, str(path), SCALES) == 0
    path.write_text(judged("c1", True, 1.0) + "\n{}\n")
    with pytest.raises(StateError, match="line 2 is no feedback"):
        opinions.listen(found, str(path), SCALES)


# -- writing ----------------------------------------------------------------------------------------------------------


def test_only_scales_change_in_a_weights_file(tmp_path: Path) -> None:
    """Remarks, clips and everything else stay; guard reads what was written."""
    kinds = {signal.name: signal.group for signal in signals(GroupSignal)}
    shipped = writing.in_force("")
    text = writing.rescaled(shipped, {"even_load": 0.5, "sessions": 0.0}, ["fitted"])
    path = tmp_path / "weights.toml"
    writing.write(path, text, overwrite=False)
    old, new = read_weights("", kinds), read_weights(str(path), kinds)

    assert new.group_signals["even_load"] == {**old.group_signals["even_load"], "scale": 0.5}
    assert new.group_signals["sessions"]["scale"] == 0.0
    assert {n: w for n, w in new.group_signals.items() if n not in {"even_load", "sessions"}} == {
        n: w for n, w in old.group_signals.items() if n not in {"even_load", "sessions"}
    }
    assert (new.prior, new.caps, new.signals, new.thresholds) == (old.prior, old.caps, old.signals, old.thresholds)
    assert text.startswith("# fitted\n# How readings become log-odds.")
    with pytest.raises(InstallError, match="already"):
        writing.write(path, text, overwrite=False)
    writing.write(path, shipped, overwrite=True)
    assert path.read_text() == shipped


def test_a_scale_that_is_stated_otherwise_is_not_lost_in_silence() -> None:
    with pytest.raises(InstallError, match=r"below \[group_signals.even_load\]"):
        writing.rescaled("[group_signals]\neven_load = { scale = 1.0 }\n", {"even_load": 0.5}, [])


def test_a_fold_of_one_class_is_judged_too() -> None:
    """A log of honest traffic alone can be held out: its loss is that of its honest groups."""
    found = drawn(3)
    clean = found.take(~((found.source == 2) & found.campaign))
    parts = folds(clean, UNITS, SOURCES)
    fitted = validate(clean, SCALES, parts)

    assert [type(part) for part in parts] == [Fold] * 3
    assert fitted.folds[2].campaign == 0
    assert 0.0 < fitted.folds[2].after < 1.0

"""Leak over time, as a picture and as a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

Curve = Sequence[tuple[float, float]]
_STEPS = " ▁▂▃▄▅▆▇█"


def line(curve: Curve) -> str:
    """One character for each span of time, from blank (nothing leaks) to full (all does)."""
    return "".join(_STEPS[min(len(_STEPS) - 1, ceil(leak * (len(_STEPS) - 1)))] for _, leak in curve)


def draw(curves: Mapping[str, Mapping[str, Curve]], target: Path) -> str:
    """One panel for each scenario, one line for each way of deciding; written as PNG. Returns what to tell the reader."""
    try:
        import matplotlib  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return "no picture of the leak over time: matplotlib is missing (pip install matplotlib)"
    matplotlib.use("Agg")
    from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]

    figure, panels = pyplot.subplots(
        len(curves), 1, figsize=(11, 2.8 * len(curves)), squeeze=False, layout="constrained"
    )
    for panel, (scenario, kinds) in zip(panels[:, 0], curves.items(), strict=True):
        for kind, curve in kinds.items():
            panel.plot([day for day, _ in curve], [100 * leak for _, leak in curve], label=kind, linewidth=1.4)
        panel.set(title=scenario, ylabel="leak, %", ylim=(-3, 103))
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    panels[-1, 0].set_xlabel("days since the log began")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
    pyplot.close(figure)
    return f"leak over time: {target}"

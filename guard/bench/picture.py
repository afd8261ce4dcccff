"""The latencies as a picture: how long the quickest share of the answers took, for each kind of traffic and endpoint."""

from __future__ import annotations

from pathlib import Path

from guard.bench.figures import Tally
from guard.bench.table import NAMES
from guard.errors import InstallError

_STYLES = {0: "-", 1: "--"}


def check(target: Path) -> None:
    """Raises ``InstallError`` where no picture could be written, before anybody is asked anything."""
    try:
        import matplotlib  # type: ignore[import-not-found,unused-ignore]  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise InstallError("--png needs matplotlib; install it with: pip install 'extraction-guard[bench]'") from None
    if not target.parent.is_dir():
        raise InstallError(f"--png: there is no folder {target.parent}; make it first")


def draw(tally: Tally, target: Path) -> None:
    """Writes the PNG. What was lost is never reached: a curve ends where the lost begin.

    Raises ``InstallError`` where the file can't be written.
    """
    import matplotlib  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - an extra

    matplotlib.use("Agg")
    from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for (endpoint, kind), cell in tally.cells.items():
        ordered = sorted(cell.took_s)
        count = len(ordered) + cell.lost
        share = [100 * place / count for place in range(1, len(ordered) + 1)]
        name = f"{NAMES[endpoint]} {kind}" + (f", {cell.lost} lost" if cell.lost else "")
        axes.plot(share, [1000 * took for took in ordered], _STYLES[endpoint], label=name, linewidth=1.4)
    axes.set(
        xlabel="% of the offered that were answered so soon", ylabel="ms since the intended arrival", xlim=(0, 101)
    )
    axes.set_yscale("log")
    axes.legend()
    try:
        figure.savefig(target, dpi=110, format="png")
    except OSError as error:
        raise InstallError(f"--png: {target} can't be written ({error.strerror})") from None
    finally:
        pyplot.close(figure)

"""The figure of the harmonic networks recipe: error, and predictions against the angle of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from armillary.recipes.report import Result


def draw(path: Path, result: Result, degrees: Sequence[float], changed: dict[str, list[float]]) -> Path:
    """Two panels: test error of each network; predictions that change when a test digit is turned."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    bars, curves = figure.subplots(1, 2, width_ratios=(1, 1.6))
    errors = [row for row in result.rows if row.metric.startswith("test error")]
    colours = ("tab:blue", "tab:orange", "tab:red")
    bars.bar(
        [row.name.replace(", ", ",\n") for row in errors],
        [row.mean for row in errors],
        0.5,
        yerr=[row.std or 0 for row in errors],
        capsize=3,
        color=colours,
    )
    bars.set(ylabel="test error, %", title="rotated digits")
    for (name, values), colour in zip(changed.items(), colours, strict=True):
        curves.plot(degrees, values, marker="o", markersize=4, label=name, color=colour)
    curves.set_xticks(range(0, 361, 90))
    curves.set(xlabel="further turn, degrees", ylabel="changed predictions, %", ylim=(0, None))
    curves.set_title("predictions under a turn")
    curves.legend(frameon=False)
    return save_figure(figure, path)

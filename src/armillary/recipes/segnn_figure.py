"""The figure of the recipe of charged bodies: test errors beside the published ones, and how they were reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from armillary.recipes.report import Result


def draw(
    path: Path,
    result: Result,
    curves: Mapping[str, Sequence[Sequence[float]]],
    published: Mapping[str, float | None],
) -> Path:
    """Left: test MSE of each variant, published ones as black lines. Right: validation MSE by epoch, mean of seeds."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    bars, lines = figure.subplots(1, 2)
    rows = [row for row in result.rows if row.metric == "test MSE"]
    for k, row in enumerate(rows):
        bars.barh(k, row.mean, 0.6, xerr=row.std or 0, capsize=3, color=f"C{k}")
        value = published[row.name]
        if value is not None:
            bars.plot([value, value], [k - 0.4, k + 0.4], color="black")
    bars.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    bars.invert_yaxis()
    bars.set(xlabel="test MSE (black: published)", title="charged bodies, ten frames later", xscale="log")
    for k, row in enumerate(rows):
        if row.name not in curves:  # was not trained
            continue
        means = [statistics.fmean(values) for values in zip(*curves[row.name], strict=False)]
        lines.plot(range(1, len(means) + 1), means, color=f"C{k}", label=row.name)
    lines.set(xlabel="epoch", ylabel="validation MSE", xscale="log", yscale="log")
    lines.legend(frameon=False, fontsize=7)
    return save_figure(figure, path)

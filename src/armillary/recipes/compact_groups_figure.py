"""The figure of the compact groups recipe: error against the number of training graphs."""

from __future__ import annotations

import re
from pathlib import Path

from armillary.recipes.report import Result


def draw(path: Path, result: Result) -> Path:
    """Two panels: dimensions of the null spaces, and learning curves with their spread over seeds."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(12, 4.4), layout="constrained")
    bars, curves = figure.subplots(1, 2)
    spaces = [row for row in result.rows if row.metric.startswith("dimension")]
    bars.barh([row.name for row in spaces], [row.mean for row in spaces], color="tab:blue")
    for i, row in enumerate(spaces):
        bars.text(row.mean, i, f" {row.mean:.0f}", va="center")
    bars.invert_yaxis()
    bars.set(xlabel="dimension", title="linear maps that commute with the group: as many as double cosets")

    points: dict[str, list[tuple[int, float, float]]] = {}
    for row in result.rows:
        found = re.search(r"(\d+) training graphs", row.metric)
        if found:
            points.setdefault(row.name, []).append((int(found[1]), row.mean, row.std or 0.0))
    for name, values in points.items():
        counts, means, spread = zip(*values, strict=True)
        curves.errorbar(counts, means, spread, marker="o", markersize=4, capsize=3, label=name)
    curves.set(xscale="log", yscale="log", xlabel="training graphs", ylabel="root mean square error")
    curves.set_title("number of triangles in graphs of 7 nodes")
    curves.legend(frameon=False)
    return save_figure(figure, path)

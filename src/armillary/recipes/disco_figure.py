"""The figure of the DISCO recipe: accuracy under rotation, rotation error, cost."""

from __future__ import annotations

import re
from pathlib import Path

from armillary.recipes.report import Result


def draw(path: Path, result: Result) -> Path:
    """Three panels: mIoU upright and rotated; rotation error against latitudes; counted cost against band limit."""
    from matplotlib.figure import Figure

    from armillary.recipes.disco_layers import costs
    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    bars, errors, cost = figure.subplots(1, 3)
    scores = [row for row in result.rows if row.metric.startswith("mIoU")]
    names = list(dict.fromkeys(row.name for row in scores))
    for offset, (metric, colour) in enumerate((("upright", "tab:blue"), ("rotated", "tab:orange"))):
        chosen = [next(r for r in scores if r.name == name and r.metric.endswith(metric)) for name in names]
        bars.bar(
            [i + 0.4 * offset - 0.2 for i in range(len(names))],
            [row.mean for row in chosen],
            0.38,
            yerr=[row.std or 0 for row in chosen],
            capsize=3,
            label=f"{metric} test spheres",
            color=colour,
        )
    bars.set_xticks(
        range(len(names)), [name.replace(", ", ",\n").replace(" U-Net", "\nU-Net") for name in names], fontsize=8
    )
    bars.set(ylabel="mIoU of the digits", title="trained upright: DISCO keeps its accuracy")
    bars.set_ylim(top=1.2)  # room for the legend
    bars.legend(frameon=False, loc="upper right", ncols=2, fontsize=8)

    curves: dict[str, list[tuple[int, float]]] = {}
    for row in result.rows:
        found = re.fullmatch(r"rotation error, (\d+) latitudes.*", row.metric)
        if found and "Gauss" not in row.name:
            curves.setdefault(row.name.replace(", equiangular", ""), []).append((int(found[1]), row.mean))
    for name, points in curves.items():
        style = "--" if "sampled" in name or "degree 0" in name else "-"
        errors.loglog(*zip(*points, strict=True), style, marker="o", markersize=4, label=name)
    ticks = sorted({nlat for points in curves.values() for nlat, _ in points})
    errors.set_xticks(ticks, [str(t) for t in ticks])
    errors.minorticks_off()
    errors.set(xlabel="latitudes", ylabel="relative error", title="rotation error of one layer (float64)")
    lowest = min(error for points in curves.values() for _, error in points)
    errors.set_ylim(bottom=lowest * 1e-4)  # room for the legend
    errors.legend(frameon=False, fontsize=7, loc="lower left")

    limits = [32, 64, 128, 256, 512, 1024, 2048]
    tables = [costs(limit) for limit in limits]
    for name in tables[0]:
        cost.loglog(limits, [table[name][0] for table in tables], marker="o", markersize=4, label=name)
    cost.set_xticks(limits, [str(limit) for limit in limits])
    cost.minorticks_off()
    cost.set(xlabel="latitudes", ylabel="multiply–adds", title="cost of one layer, counted")
    cost.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)

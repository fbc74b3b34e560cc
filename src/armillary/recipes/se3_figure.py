"""The figure of the recipe on SE(3): errors of the nonlinearity against samples, accuracies by protocol."""

from __future__ import annotations

from pathlib import Path

from armillary.recipes.report import Result


def draw(path: Path, result: Result) -> Path:
    """Left the error under rotations against samples, right accuracies: a group of bars for each protocol."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    sampled = [r for r in result.rows if r.metric == "error under rotations" and r.name.startswith("MLP")]
    left.loglog([int(r.name.split()[1]) for r in sampled], [r.mean for r in sampled], "o-", markersize=4)
    left.set(xlabel="samples of SO(3)", ylabel="relative error", title="MLP on samples: error under rotations")
    left.grid(alpha=0.3, which="both")
    rows = [r for r in result.rows if r.metric.startswith("accuracy")]
    metrics = list(dict.fromkeys(r.metric for r in rows))
    for i, name in enumerate(dict.fromkeys(r.name for r in rows)):
        own = [r for r in rows if r.name == name]
        places = [metrics.index(r.metric) + 0.27 * (i - 1) for r in own]
        colour = ("tab:blue", "lightsteelblue", "tab:orange")[i]
        spreads = [r.std or 0 for r in own]
        right.bar(places, [r.mean for r in own], 0.25, yerr=spreads, capsize=2, color=colour, label=name)
    labels = [m.removeprefix("accuracy ").removesuffix(", %").replace("so3", "SO(3)") for m in metrics]
    right.set_xticks(range(len(metrics)), labels)
    right.set(xlabel="turned in training / in the test", ylabel="accuracy, %", title="point clouds, Princeton Shapes")
    right.set_ylim(0, right.get_ylim()[1] * 1.25)
    right.legend(frameon=False, fontsize=8, loc="upper right")
    return save_figure(figure, path)

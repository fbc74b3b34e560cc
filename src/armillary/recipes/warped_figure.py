"""The figure of the recipe of warped convolutions: an image of each task, its warp, and the errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from armillary.recipes.report import Result
from armillary.recipes.warped_data import Task, draw_samples


def draw(path: Path, result: Result, tasks: Sequence[Task]) -> Path:
    """Above: a test image of each task and its warp; below: mean errors of the three networks, over seeds."""
    from matplotlib.figure import Figure

    from armillary.nn import WarpImage
    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(4.4 * len(tasks), 6.4), layout="constrained")
    pictures, bars = figure.subplots(2, 2 * len(tasks), height_ratios=(1, 1.3))
    names = list(dict.fromkeys(row.name for row in result.rows))
    for k, task in enumerate(tasks):
        x, _ = draw_samples(task, 3, "test", 0)
        for panel, image, title in zip(
            pictures[2 * k : 2 * k + 2], (x, WarpImage(task.warp, task.grid)(x)), (task.name, "its warp"), strict=True
        ):
            shown = image[2].clamp(0, 1).permute(1, 2, 0).numpy()
            panel.imshow(shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray")
            panel.set(title=title, xticks=(), yticks=())
        for panel, (what, _) in zip(bars[2 * k : 2 * k + 2], task.report, strict=True):
            chosen = {row.name: row for row in result.rows if row.metric == f"{task.name}: {what}"}
            for place, name in enumerate(names):
                row = chosen[name]
                panel.bar(place, row.mean, 0.8, yerr=row.std or 0, capsize=3, color=f"C{place}", label=name)
            panel.set(title=what, xticks=())
            panel.title.set_fontsize(9)
    handles, labels = bars[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return save_figure(figure, path)

"""Pictures of classified images: a sheet of them, with the probabilities of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from armillary.train.pictures import Panel, save_figure

COLUMNS = 4
MOST_CLASSES = 5


def draw_images(
    path: Path,
    panels: Sequence[Panel],
    *,
    names: Sequence[str],
    classes: Sequence[str] = (),
    probabilities: np.ndarray | None = None,
) -> Path:
    """Write a PNG: images side by side, under each its name and title.

    With ``probabilities`` (N, K) of the ``classes`` each has bars of its most probable ones beside it.
    """
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    bars = probabilities is not None
    width = 2.0 if not bars else 3.6
    figure = Figure(figsize=(max(width * columns, 3.6), 2.1 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns * (1 + bars), squeeze=False).reshape(-1, 1 + bars)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, panel in enumerate(panels):
        image = axes[i][0]
        image.imshow(panel.values, cmap=panel.cmap, interpolation="nearest")
        image.set_title(f"{names[i]}\n{panel.title}", fontsize=8, parse_math=False)
        if probabilities is not None:
            best = np.argsort(-probabilities[i], kind="stable")[:MOST_CLASSES][::-1]
            axis = axes[i][1]
            axis.set_axis_on()
            axis.barh(range(len(best)), probabilities[i][best], color="tab:blue")
            axis.set_yticks(range(len(best)), labels=[classes[k] for k in best], fontsize=7, parse_math=False)
            axis.set_xlim(0, 1)
            axis.tick_params(axis="x", labelsize=6)
            axis.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path)

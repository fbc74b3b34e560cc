"""Pictures of networks of atoms: what they predict against what is true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from armillary.train.pictures import save_figure


def draw_predictions(path: Path, pairs: Mapping[str, tuple[np.ndarray, np.ndarray, str]], title: str = "") -> Path:
    """Write a PNG with one panel for each of ``pairs``, name: (true, predicted, unit), arrays of one shape.

    Each panel has the predicted against the true values, and beside it how many errors are how large. Units are shown
    a thousandfold: "eV" as meV. Raises: ValueError for no pairs.
    """
    from matplotlib.figure import Figure

    if not pairs:
        raise ValueError("got nothing to draw, wanted one or more pairs of true and predicted values.")
    figure = Figure(figsize=(4.6 * 2, 3.4 * len(pairs) + 0.3), layout="constrained")
    axes = figure.subplots(len(pairs), 2, squeeze=False, width_ratios=[1, 1])
    for (left, right), (name, (true, predicted, unit)) in zip(axes, pairs.items(), strict=True):
        x, y = true.reshape(-1), predicted.reshape(-1)
        ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
        margin = 0.05 * max(float(ends[1] - ends[0]), 1e-9)
        left.plot(ends, ends, color="0.6", lw=1, zorder=0)
        left.scatter(x, y, s=9, alpha=max(0.05, min(0.7, 300 / len(x))), linewidths=0, rasterized=True)
        limits = (float(ends[0]) - margin, float(ends[1]) + margin)
        left.set(xlim=limits, ylim=limits, aspect="equal")
        left.set_xlabel(f"{name}, true [{unit}]")
        left.set_ylabel(f"predicted [{unit}]")
        errors = 1000 * (y - x)
        right.hist(errors, bins=min(60, max(10, len(x) // 5)), color="tab:blue")
        right.set_xlabel(f"error of {name} [m{unit}]")
        right.set_ylabel("how many")
        right.set_title(f"mean absolute error {np.abs(errors).mean():.3g} m{unit}", fontsize=9)
        for axis in (left, right):
            axis.grid(alpha=0.3)
    if title:
        figure.suptitle(title, fontsize=10)
    return save_figure(figure, path)

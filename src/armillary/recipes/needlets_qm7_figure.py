"""The figure of the molecules: errors of each method, by fold and over all molecules."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def draw(path: Path, errors: dict[str, list[Tensor]]) -> Path:
    """Left: the mean absolute error of each fold; right: the share of molecules with an error below a bound."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    folds, shares = figure.subplots(1, 2, width_ratios=(1, 1.2))
    for place, (name, parts) in enumerate(errors.items()):
        means = [float(e.abs().mean()) for e in parts]
        folds.plot([place] * len(means), means, "o", alpha=0.6)
        folds.plot([place - 0.25, place + 0.25], [sum(means) / len(means)] * 2, color="black", linewidth=1)
        pooled = torch.cat(parts).abs().sort().values
        shares.plot(pooled, torch.linspace(0, 100, len(pooled)), label=name)
    folds.set_xticks(range(len(errors)), [name.replace(" ", "\n") for name in errors], fontsize=8)
    folds.set(ylabel="mean absolute error, kcal/mol", ylim=(0, None), title="one point for each fold")
    shares.set(xlim=(0, 30), ylim=(0, 100), xlabel="absolute error, kcal/mol", ylabel="molecules below, %")
    shares.set_title("test molecules of all folds")
    shares.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)

"""Draw what aligning an edge with the z-axis does to the tensor product with its harmonics.

python docs/figures/edges.py docs/images/edges.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from armillary.groups import Irreps
from armillary.nn import EdgeProduct, edge_frames

LMAX = 3
DEGREES = range(1, 11)


def matrix(r: torch.Tensor) -> np.ndarray:
    """|∂y/∂x| of one edge with random weights, ((L + 1)², (L + 1)²)."""
    layer = EdgeProduct(Irreps.natural(LMAX, 1), LMAX, Irreps.natural(LMAX, 1))
    weights = torch.randn(1, layer.weight_numel, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    unit, edge = torch.eye(layer.irreps_in.dim, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.int64)
    frames = edge_frames(r[None].double(), LMAX)
    columns = [layer(x[None], frames, weights, edge)[0] for x in unit]
    return torch.stack(columns, 1).abs().numpy()


def multiply_adds(lmax: int) -> tuple[int, int]:
    """Of one edge and channel: with all coefficients, and by turning, coupling and turning back."""
    paths = EdgeProduct(Irreps.natural(lmax), lmax, Irreps.natural(lmax)).paths
    dense = sum((2 * a + 1) * (2 * b + 1) * (2 * c + 1) for a, b, c in paths)
    return dense, 2 * sum((2 * l + 1) ** 2 for l in range(lmax + 1)) + sum(2 * min(a, c) + 1 for a, _, c in paths)


def main(path: Path) -> None:
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    panels = figure.subplots(1, 3)
    edges = (torch.tensor([0.5, -0.6, 0.62]), torch.tensor([0.0, 0.0, 1.0]))
    for panel, r, title in zip(panels, edges, ("any direction", "in the frame of the edge"), strict=False):
        panel.imshow(np.ma.masked_less(matrix(r), 1e-12), cmap="viridis", vmin=0)
        for l in range(1, LMAX + 1):
            panel.axhline(l * l - 0.5, color="0.6", linewidth=0.6)
            panel.axvline(l * l - 0.5, color="0.6", linewidth=0.6)
        ticks = [l * l + l for l in range(LMAX + 1)]
        panel.set_xticks(ticks, [f"l = {l}" for l in range(LMAX + 1)])
        panel.set_yticks(ticks, [f"l = {l}" for l in range(LMAX + 1)])
        panel.set_title(f"|y| for each x, {title}", fontsize=10)
    counts = np.array([multiply_adds(lmax) for lmax in DEGREES])
    for values, label, marker in zip(counts.T, ("all coefficients", "turn, couple, turn back"), "so", strict=True):
        panels[2].loglog(list(DEGREES), values, marker=marker, label=label, linewidth=1.3)
    panels[2].set_xticks([1, 2, 4, 6, 10], ["1", "2", "4", "6", "10"])
    panels[2].set_xticks([], minor=True)
    panels[2].set_xlabel("L")
    panels[2].set_title("multiply-adds of one edge and channel", fontsize=10)
    panels[2].grid(alpha=0.3)
    panels[2].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

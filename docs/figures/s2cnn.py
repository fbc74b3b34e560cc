"""The picture and the tables of the S2CNN page: error under rotation against oversampling, and what is held in memory.

python docs/figures/s2cnn.py --out docs/images/s2cnn.png

Exact rotations of random fields within the band limit, float64 unless said: linear layers, ReLU alone on SO(3), a
convolution with ReLU behind it, and a segmentation network of five layers with random weights. About a minute on one
core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

from armillary.harmonics import SO3Blocks
from armillary.models import S2CNNSegmenter
from armillary.nn import Pointwise, S2Conv, SO3Conv, SO3ToS2Conv
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid
from armillary.testing import equivariance_error

B = 12
FACTORS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
GRID = Equiangular(B, 2 * B)
SPACE = OrientedGrid(GaussLegendre(B, 2 * B), 2 * B)


def linear() -> None:
    """The error of each linear layer in both precisions, as a table."""
    print("| layer | float64 | float32 |\n|---|---|---|")
    for layer in (S2Conv(2, 2, GRID, SPACE), SO3Conv(2, 2, SPACE, SPACE), SO3ToS2Conv(2, 2, SPACE, GRID)):
        options = {"lmax": B - 1, "n_rotations": 2}
        errors = [
            equivariance_error(layer, layer.space_in, layer.space_out, dtype=dtype, **options)
            for dtype in (torch.float64, torch.float32)
        ]
        print(f"| `{type(layer).__name__}` | {errors[0]:.0e} | {errors[1]:.0e} |", flush=True)


class OnTheSphere(nn.Module):
    """A convolution, ReLU on SO(3), and back to the sphere."""

    def __init__(self, oversample: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            S2Conv(2, 4, GRID, SPACE), Pointwise(nn.ReLU(), SPACE, oversample), SO3ToS2Conv(4, 2, SPACE, GRID)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def network(oversample: float) -> nn.Module:
    """Five layers of band limits 12, 9, 6, 9, 12."""
    torch.manual_seed(0)
    return S2CNNSegmenter(2, 3, GRID, (3, 4, 5, 4, 3), (12, 9, 6, 9, 12), oversample=oversample)


def curves() -> dict[str, list[float]]:
    """The errors of what has ReLU in it, by name and factor of oversampling."""
    options = {"channels": 2, "lmax": B - 1, "n_rotations": 2}
    return {
        "convolution, ReLU, convolution": [equivariance_error(OnTheSphere(s), GRID, **options) for s in FACTORS],
        "network of five layers": [equivariance_error(network(s), GRID, **options) for s in FACTORS],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Rotation error of S2CNN layers against oversampling; memory.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/s2cnn.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    linear()
    found = curves()
    print("\n| oversampling |" + "".join(f" {s:g} |" for s in FACTORS) + "\n|---|" + "---|" * len(FACTORS))
    for name, errors in found.items():
        print(f"| {name} |" + "".join(f" {e:.1e} |" for e in errors))
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, errors), colour in zip(found.items(), ("#2e90fa", "#f04438"), strict=True):
        left.loglog(FACTORS, errors, "o-", color=colour, label=name, markersize=4)
    left.set_xticks(FACTORS, labels=[f"{s:g}" for s in FACTORS])
    left.set_xticks([], minor=True)
    left.set_xlabel("oversampling")
    left.set_title(f"relative error under rotation, b = {B}", fontsize=10.5)
    limits = [8, 16, 32, 64, 128]
    held = {
        "samples, 8b³": ([8 * b**3 * 4 for b in limits], "#98a2b3"),
        "samples, 4b³": ([4 * b**3 * 4 for b in limits], "#2e90fa"),
        "coefficients": ([SO3Blocks(b - 1).size * 8 for b in limits], "#12b76a"),
    }
    for name, (sizes, colour) in held.items():
        right.loglog(limits, [size / 2**20 for size in sizes], "o-", color=colour, label=name, markersize=4)
    right.set_xticks(limits, labels=[str(b) for b in limits])
    right.set_xticks([], minor=True)
    right.set_xlabel("bandlimit b = lmax + 1")
    right.set_title("one feature in memory, MiB (float32)", fontsize=10.5)
    for panel in (left, right):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(fontsize=8.5, frameon=False)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    print(f"\n{arguments.out}")


if __name__ == "__main__":
    main()

"""The picture of the page on SCN: aliasing of the grid, and the energy along an edge that crosses the xy-plane.

python docs/figures/scn.py --out docs/images/scn.png

Left the rotation error of SiLU on functions of unit variance and degree L, against the rings of the grid; the dots are
the published grid of 2(L + 1) rings. Right the energy of three atoms, by networks with random weights, as one of them
moves so that an edge crosses the xy-plane: there the frame of the edge changes its chart. Seconds on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from armillary.groups import random_rotations, wigner_D_real
from armillary.models.scn import SCN
from armillary.nn.sphere_pointwise import SpherePointwise


def aliasing(lmax: int, rings: int) -> float:
    """The mean relative error of SiLU under random rotations."""
    generator = torch.Generator().manual_seed(0)
    layer = SpherePointwise(nn.SiLU(), lmax, rings)
    x = torch.randn(40, (lmax + 1) ** 2, 4, generator=generator, dtype=torch.float64) / (lmax + 1)
    y, errors = layer(x), []
    for R in random_rotations(6, generator):
        D = torch.block_diag(*(wigner_D_real(l, R) for l in range(lmax + 1)))
        errors.append(float((layer(D @ x) - D @ y).norm() / y.norm()))
    return sum(errors) / len(errors)


def energies(message: str, heights: torch.Tensor) -> torch.Tensor:
    """Of three atoms, the second at these heights, less their mean, over their spread along the way."""
    torch.manual_seed(0)
    network = SCN((1, 6, 8), 8, 2, 2, 2, 4.0, message=message).double()  # type: ignore[arg-type]
    edges = torch.tensor([(j, i) for i in range(3) for j in range(3) if i != j]).T
    found = []
    for z in heights.tolist():
        x = torch.tensor([[0, 0, 0], [1.1, 0.3, z], [-0.6, 0.9, 0.5]], dtype=torch.float64)
        found.append(network(torch.tensor([6, 8, 1]), x[edges[0]] - x[edges[1]], edges).detach())
    values = torch.cat(found)
    return (values - values.mean()) / values.std()


def main() -> None:
    """Draw both panels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert isinstance(left, Axes)
    for lmax in (1, 2, 3, 4, 6):
        rings = [r for r in range(lmax + 1, 33) if r % 2 == 0 or r == 2 * lmax + 2]
        errors = {r: aliasing(lmax, r) for r in rings}
        (line,) = left.semilogy(rings, list(errors.values()), label=f"L = {lmax}")
        left.plot(2 * lmax + 2, errors[2 * lmax + 2], "o", color=line.get_color())
    left.set(xlabel="rings of the grid", ylabel="rotation error of SiLU", ylim=(1e-9, 1))
    left.legend(frameon=False, fontsize=8)
    heights = torch.linspace(-0.3, 0.3, 121, dtype=torch.float64)
    for message, label in (("escn", "eSCN message"), ("scn", "SCN message")):
        values = energies(message, heights)
        below = heights < 0
        (line,) = right.plot(heights[below], values[below], label=label)
        right.plot(heights[~below], values[~below], color=line.get_color())
    right.axvline(0, color="#98a2b3", linewidth=0.6)
    right.set(xlabel="height of the second atom above the first, Å", ylabel="energy, in units of its spread")
    right.legend(frameon=False, fontsize=8)
    figure.savefig(parser.parse_args().out, dpi=130)


if __name__ == "__main__":
    main()

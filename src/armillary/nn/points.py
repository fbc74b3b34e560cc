"""Convolution of features of SO(3) on points in space: R³ = SE(3)/SO(3), evaluated directly.

Shape legend: P points, Q centres, K neighbours, R radial functions, I and O channels in and out of one degree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Degrees, clebsch_gordan_real
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer, checked_positive
from armillary.ops.point_moments import check_points, differences, point_moments

INDICES = (torch.int32, torch.int64)  # bool and uint8 would select points, not number them


def neighbour_table(edge_index: Tensor, points: int) -> Tensor:
    """The neighbours of each point, (points, K), from edges (2, E) as PyTorch Geometric has them, row 0 the neighbour
    and row 1 the point; -1 behind the last of a point with fewer than K.

    Raises: ValueError for another shape, numbers outside 0..points - 1, or what is not int32 or int64.
    """
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype not in INDICES:
        raise ValueError(
            f"edge_index has shape {tuple(edge_index.shape)} and dtype {edge_index.dtype}, wanted (2, E) of int64."
        )
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < points:
        raise ValueError(f"edge_index has numbers outside 0..{points - 1}.")
    source, target = edge_index[:, edge_index[1].argsort(stable=True)]
    counts = torch.bincount(target, minlength=points)
    place = torch.arange(len(target), device=target.device) - (counts.cumsum(0) - counts)[target]
    table = target.new_full((points, int(counts.max()) if points else 0), -1)
    table[target, place] = source
    return table


class PointConv(ConstantModule):
    """Convolution of point features: the kernels that turn with their features, from the Fourier description of SO(3).

        y_i = 1/|N(i)| Σ_{j ∈ N(i)} κ(x_j - x_i) f_j,     κ(R r) = ρ'(R) κ(r) ρ(R)⁻¹,
        κ(r) = Σ_J Σ_k w_Jk h_k(|r|) C_J · S_J(r/c)

    The stabiliser SO(3) leaves, of the functions of r of degree J, the maps from degree l to l' by the Clebsch–Gordan
    coefficients C_J of (J, l, l'), |l - l'| ≤ J ≤ l + l', times any radial function. S_J are the solid harmonics, of
    degree J in r and of norm √(2J + 1) at |r| = 1, so that kernels are smooth at r = 0 and a point may be its own
    neighbour; h_k are hat functions with ``radial`` equidistant knots from 0, zero from the ``cutoff`` c on. J goes up
    to ``max_degree`` (default: all). Scalars have a bias.

    Shapes: features (P, degrees_in.size), positions (P, 3), neighbours (Q, K) of integers, the numbers of the points
    j in N(i), -1 where there are fewer than K (``neighbour_table`` makes them of an ``edge_index``), centres x_i
    (Q, 3), by default the positions → (Q, degrees_out.size), in the layout of ``Degrees``; a centre without neighbours
    gets the bias. State dict: ``weights.i`` (O, I·R) for each path (l, J, l') of ``paths``, in order, and ``bias``.

    Symmetry: commutes with all motions of space to rounding. The direct evaluation: for each component of the input it
    keeps Q · K values of the neighbours and Q · R · Σ(2J + 1) of their moments.
    Raises: ValueError for cutoff ≤ 0, radial < 1, a degree of the output that no path reaches, or shapes that do not
    fit.
    Source: Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/nn/test_points.py``.
    """

    def __init__(
        self,
        degrees_in: Degrees,
        degrees_out: Degrees,
        cutoff: float,
        *,
        radial: int = 3,
        max_degree: int | None = None,
    ) -> None:
        super().__init__()
        self.degrees_in, self.degrees_out, self.cutoff = degrees_in, degrees_out, checked_positive("cutoff", cutoff)
        self.radial, self.in_channels = checked_integer("radial", radial, 1), degrees_in.size
        most = max(degrees_in.degrees) + max(degrees_out.degrees) if max_degree is None else max_degree
        self.max_degree = checked_integer("max_degree", most, 0)
        self.paths = [
            (l, J, k)
            for k in degrees_out.degrees
            for l in degrees_in.degrees
            for J in range(abs(l - k), min(l + k, self.max_degree) + 1)
        ]
        """(l, J, l') of each weight."""
        inputs, outputs = dict(degrees_in.streams), dict(degrees_out.streams)
        fan_in = {k: sum(inputs[l] * self.radial for l, _, end in self.paths if end == k) for k in outputs}
        if not all(fan_in.values()):
            raise ValueError(
                f"no kernel of degree J <= {self.max_degree} leads from the degrees {degrees_in.degrees} to all of "
                f"{degrees_out.degrees}: raise max_degree."
            )
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(outputs[k], inputs[l] * self.radial) * fan_in[k] ** -0.5) for l, _, k in self.paths
        )
        with torch.device("cpu"):
            for i, (l, J, k) in enumerate(self.paths):
                self.register_constant(f"coupling_{i}", clebsch_gordan_real(J, l, k).clone())
        self.bias = nn.Parameter(torch.zeros(outputs[0])) if 0 in outputs else None

    def forward(self, x: Tensor, positions: Tensor, neighbours: Tensor, centres: Tensor | None = None) -> Tensor:
        centres = positions if centres is None else centres
        self._check(x, positions, neighbours, centres)
        r = differences(positions, neighbours, centres) / self.cutoff
        means = point_moments(x, r, neighbours, self.radial, self.max_degree)  # (Q, R, ΣJ, size)
        by_degree = dict(zip(self.degrees_in.degrees, self.degrees_in.split(means), strict=True))
        outputs: dict[int, Tensor] = {}
        for i, (weight, (l, J, k)) in enumerate(zip(self.weights, self.paths, strict=True)):
            part = by_degree[l][:, :, J * J : (J + 1) ** 2]  # (Q, R, 2J + 1, 2l + 1, I)
            coupled = torch.einsum("qrMmi,Mmn->qnir", part, self.constant(f"coupling_{i}", x)).flatten(2)
            mixed = coupled @ weight.to(x).T
            outputs[k] = outputs[k] + mixed if k in outputs else mixed
        if self.bias is not None:
            outputs[0] = outputs[0] + self.bias.to(x)
        return torch.cat([outputs[k].flatten(1) for k in self.degrees_out.degrees], 1)

    def _check(self, x: Tensor, positions: Tensor, neighbours: Tensor, centres: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.degrees_in.size:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this PointConv wants (points, {self.degrees_in.size}): "
                f"{self.degrees_in}."
            )
        check_points(positions, len(x), neighbours, centres)

    def extra_repr(self) -> str:
        basis = f"cutoff={self.cutoff:g}, radial={self.radial}, max_degree={self.max_degree}"
        return f"{self.degrees_in} → {self.degrees_out}, {basis}, {len(self.paths)} paths"

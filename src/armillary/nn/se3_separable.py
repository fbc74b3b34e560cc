"""Separable convolution of SE(3): channels are mixed by type, then each is convolved by a kernel of its own in space.

Shape legend: P points, Q centres, K neighbours, R radial functions, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import SO3Signals, clebsch_gordan_real
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer, checked_positive
from armillary.ops.point_moments import check_points, differences, point_moments


class SE3SeparableConv(ConstantModule):
    """Convolution of signals on R³ × SO(3) by kernels that are products, κ_oc(r, Q) = κ1_o(r) κ2_oc(Q).

        g_o(x, V) = Σ_c ∫ κ2_oc(V⁻¹S) f_c(x, S) dS                          (of the components, one matrix by degree)
        y_o(x_i, V) = 1/|N(i)| Σ_{j ∈ N(i)} κ1_o(V⁻¹(x_j - x_i)) g_o(x_j, V) + b_o
        κ1_o(r) = Σ_k Σ_J h_k(|r|) Σ_M a^J_{okM} S_JM(r/c),     κ2_oc(Q) = Σ_j (2j + 1) Σ_ab u^j_ocab D^j_ab(Q)

    κ1 is any function of space up to degree ``max_degree``: it need not be a turned copy of itself, as signals say from
    where one looks. At a fixed V this is a depthwise convolution with turned kernels. The layer works on components:
    the product at each V is a Clebsch–Gordan product, of which degrees up to the band of ``signals_out`` are kept.

    Shapes: x (P, signals.size), positions (P, 3), neighbours (Q, K), -1 where there are fewer, centres (Q, 3), by
    default the positions → (Q, signals_out.size). State dict: ``mixing.j`` ((2j + 1)·C', (2j + 1)·C) for each degree j
    of the input, ``filters.J`` (C', R, 2J + 1), ``bias`` (C'): R·C'·(max_degree + 1)² + C·C'·Σ(2j + 1)² + C'.

    Symmetry: commutes with all motions of space to rounding.
    Raises: ValueError for cutoff ≤ 0, sizes < 1, or shapes that do not fit.
    Source: Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903; pinned by ``tests/nn/test_se3_separable.py``.
    """

    def __init__(
        self,
        signals: SO3Signals,
        signals_out: SO3Signals,
        cutoff: float,
        *,
        radial: int = 3,
        max_degree: int = 2,
    ) -> None:
        super().__init__()
        self.signals, self.signals_out, self.cutoff = signals, signals_out, checked_positive("cutoff", cutoff)
        self.radial, self.in_channels = checked_integer("radial", radial, 1), signals.size
        self.max_degree = checked_integer("max_degree", max_degree, 0)
        C, out = signals.channels, signals_out.channels
        self.mixing = nn.ParameterList(
            nn.Parameter(torch.randn((2 * j + 1) * out, (2 * j + 1) * C) * ((2 * j + 1) * C) ** -0.5)
            for j in range(signals.band + 1)
        )
        scale = (self.radial * (self.max_degree + 1) ** 2) ** -0.5
        self.filters = nn.ParameterList(
            nn.Parameter(torch.randn(out, self.radial, 2 * J + 1) * scale) for J in range(self.max_degree + 1)
        )
        self.bias = nn.Parameter(torch.zeros(out))
        self.paths = [
            (j, J, l)
            for l in range(signals_out.band + 1)
            for j in range(signals.band + 1)
            for J in range(abs(j - l), min(j + l, self.max_degree) + 1)
        ]
        """(j, J, l): degree of the input, of the filter, of the output."""
        with torch.device("cpu"):
            for i, (j, J, l) in enumerate(self.paths):
                self.register_constant(f"coupling_{i}", clebsch_gordan_real(J, j, l).clone())

    def forward(self, x: Tensor, positions: Tensor, neighbours: Tensor, centres: Tensor | None = None) -> Tensor:
        centres = positions if centres is None else centres
        parts = self.signals.split(x)
        check_points(positions, len(x), neighbours, centres)
        out, mixed = self.signals_out.channels, []
        for part, weight in zip(parts, self.mixing, strict=True):
            mixed.append((part.flatten(-2) @ weight.to(x).mT).flatten(1))  # (P, m, (a, o))
        r = differences(positions, neighbours, centres) / self.cutoff
        moments = point_moments(torch.cat(mixed, 1), r, neighbours, self.radial, self.max_degree)
        by_degree = moments.split([(2 * j + 1) ** 2 * out for j in range(self.signals.band + 1)], -1)
        outputs: dict[int, Tensor] = {}
        for i, (j, J, l) in enumerate(self.paths):
            part = by_degree[j][:, :, J * J : (J + 1) ** 2].unflatten(-1, (2 * j + 1, 2 * j + 1, out))
            C = self.constant(f"coupling_{i}", x)
            # the same coefficients turn components m and join columns a
            filters = torch.einsum("okM,Mab->kabo", self.filters[J].to(x), C) * ((2 * j + 1) / (2 * l + 1)) ** 0.5
            coupled = torch.einsum("qkMmao,Mmn->qknao", part, C)
            term = torch.einsum("qknao,kabo->qnbo", coupled, filters)
            outputs[l] = outputs[l] + term if l in outputs else term
        outputs[0] = outputs[0] + self.bias.to(x)
        return torch.cat([outputs[l].flatten(1) for l in range(self.signals_out.band + 1)], 1)

    def extra_repr(self) -> str:
        basis = f"cutoff={self.cutoff:g}, radial={self.radial}, max_degree={self.max_degree}"
        return f"{self.signals} → {self.signals_out}, {basis}"

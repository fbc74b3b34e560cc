"""Convolution of SE(3) in its group form: signals on R³ × SO(3), sampled at rotations, kernels as functions.

Shape legend: P points, Q centres, K neighbours, N rotations (views), R radial functions, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.groups import SO3, SO3Signals
from armillary.groups.so3_signals import Rule
from armillary.ops.constants import ConstantModule
from armillary.ops.hats import hat_functions
from armillary.ops.integers import checked_integer, checked_positive
from armillary.ops.point_moments import check_points, differences, within_reach
from armillary.ops.real_harmonics import solid_harmonics


class SE3GroupConv(ConstantModule):
    """Convolution of signals f on R³ × SO(3) by any kernel κ on SE(3), evaluated as it is written.

        y_o(x_i, V) = 1/|N(i)| Σ_{j ∈ N(i)} Σ_c ∫ κ_oc(V⁻¹(x_j - x_i), V⁻¹S) f_c(x_j, S) dS + b_o
        κ_oc(r, Q) = Σ_{j ≤ band} Σ_{J ≤ max_degree} Σ_k h_k(|r|) Σ_{abM} w^{jJ}_{ockabM} √(2j + 1) D^j_ab(Q) S_JM(r/c)

    Nothing constrains κ: that the convolution commutes with motions comes of the integral over the group. *Multi-view
    reading*: at a fixed V, ``view`` gives for each S an ordinary kernel of differences, κ turned; the output of view V
    is the sum over all views S of ordinary convolutions. It is slow, Q·K·N² products for each component: the same map
    is a tensor field network's, which ``tensor_field`` makes of it, and ``group_form`` the way back.

    S_J are solid harmonics with norm √(2J + 1) at |r| = c, h_k ``radial`` hat functions, zero from the ``cutoff`` c on,
    as in ``PointConv``. The integral is the quadrature of ``rule`` (rotations, weights), by default exact.

    Shapes: values (P, N, C), positions (P, 3), neighbours (Q, K), -1 where there are fewer, centres (Q, 3), by default
    the positions → (Q, N, channels_out), at the rotations of ``rule``. Outputs have degrees up to band + max_degree:
    ``SO3Signals.integrated`` takes of them what a band holds. State dict: ``kernels.i`` (channels_out, C, R, 2j + 1,
    2j + 1, 2J + 1) for each of ``pairs`` (j, J), in order, and ``bias``.
    Raises: ValueError for cutoff ≤ 0, sizes < 1, a rule that does not give back the signals, or shapes that do not fit.
    Source: Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903; pinned by ``tests/nn/test_se3_conv.py``.
    """

    def __init__(
        self,
        signals: SO3Signals,
        channels_out: int,
        cutoff: float,
        *,
        radial: int = 3,
        max_degree: int = 2,
        rule: Rule | None = None,
    ) -> None:
        super().__init__()
        self.signals, self.cutoff = signals, checked_positive("cutoff", cutoff)
        self.channels_out = checked_integer("channels_out", channels_out, 1)
        self.radial = checked_integer("radial", radial, 1)
        self.max_degree = checked_integer("max_degree", max_degree, 0)
        self.pairs = [(j, J) for j in range(signals.band + 1) for J in range(self.max_degree + 1)]
        """(j, J) of each kernel."""
        with torch.device("cpu"):
            Q, weights = SO3().quadrature(signals.band + self.max_degree) if rule is None else rule
            if not signals.rule_error((Q, weights)) < 1e-9:
                raise ValueError(
                    f"got a rule of {len(Q)} rotations that does not give back {signals}: wanted one that is exact for "
                    f"degree {2 * signals.band}, such as SO3().quadrature({signals.band + self.max_degree})."
                )
            self.register_constant("rotations", Q)
            self.register_constant("weights", weights)
            # √(2j + 1) D^j(V⁻¹S) of all pairs of views
            self.register_constant("relative", SO3Signals(1, signals.band).basis(Q.mT[:, None] @ Q))
        fan_in = signals.channels * self.radial * len(self.pairs)
        self.kernels = nn.ParameterList(
            nn.Parameter(
                torch.randn(self.channels_out, signals.channels, self.radial, 2 * j + 1, 2 * j + 1, 2 * J + 1)
                * (fan_in * (2 * j + 1) ** 2 * (2 * J + 1)) ** -0.5
            )
            for j, J in self.pairs
        )
        self.bias = nn.Parameter(torch.zeros(self.channels_out))

    def forward(self, values: Tensor, positions: Tensor, neighbours: Tensor, centres: Tensor | None = None) -> Tensor:
        centres = positions if centres is None else centres
        rotations = self.constant("rotations", positions)
        wanted = (len(positions), len(rotations), self.signals.channels)
        if tuple(values.shape) != wanted:
            raise ValueError(
                f"values have shape {tuple(values.shape)}, wanted {wanted}: those at the rotations of rule, for each "
                f"point."
            )
        check_points(positions, len(values), neighbours, centres)
        r, shares = within_reach(differences(positions, neighbours, centres) / self.cutoff, neighbours)
        near = values[neighbours.clamp(min=0)] * shares[..., None].to(values)
        near = near * self.constant("weights", values)[:, None]  # (Q, K, N, C)
        hats = hat_functions(r, self.radial)
        seen = (4 * math.pi) ** 0.5 * solid_harmonics(self.max_degree, torch.einsum("qkx,vxy->qvky", r, rotations))
        filters = (hats[:, None, :, :, None] * seen[..., None, :]).flatten(3).mT  # V⁻¹r: (Q, N, R·ΣJ, K)
        outputs = self.bias.to(values)
        for j, turned in enumerate(self._by_degree(self.constant("relative", values))):
            views = torch.einsum("vsab,qksc->qvkabc", turned, near).flatten(3)
            moments = (filters @ views).unflatten(2, (self.radial, -1)).flatten(4)  # (Q, N, R, ΣJ, ab·C)
            outputs = outputs + torch.einsum("qvkMz,okzM->qvo", moments, self._of_degree(j, values))
        return outputs

    @property
    def rule(self) -> Rule:
        """The rotations (N, 3, 3) and weights (N,), sum 1, of its values."""
        return self.get_buffer("rotations"), self.get_buffer("weights")

    def kernel(self, r: Tensor, Q: Tensor) -> Tensor:
        """κ(r, Q) for r (..., 3) and rotations (N, 3, 3): (..., N, channels_out, C)."""
        r = r / self.cutoff
        hats = hat_functions(r, self.radial)
        harmonics = (4 * math.pi) ** 0.5 * solid_harmonics(self.max_degree, r)
        found = r.new_zeros((*r.shape[:-1], len(Q), self.channels_out, self.signals.channels))
        for j, turned in enumerate(self._by_degree(SO3Signals(1, self.signals.band).basis(Q).to(r))):
            w = self._of_degree(j, r).unflatten(2, (2 * j + 1, 2 * j + 1, self.signals.channels))
            found = found + torch.einsum("...k,...M,Nab,okabcM->...Noc", hats, harmonics, turned, w)
        return found

    def view(self, r: Tensor, V: Tensor, S: Tensor) -> Tensor:
        """κ(V⁻¹r, V⁻¹S), (..., channels_out, C): the ordinary kernel that leads from view S to view V, rotations
        (3, 3), at differences r (..., 3)."""
        return self.kernel(r @ V.to(r), (V.mT @ S)[None])[..., 0, :, :]

    def _by_degree(self, basis: Tensor) -> list[Tensor]:
        sizes = [2 * j + 1 for j in range(self.signals.band + 1)]
        parts = basis.split([n * n for n in sizes], -1)
        return [part.unflatten(-1, (n, n)) for part, n in zip(parts, sizes, strict=True)]

    def _of_degree(self, j: int, like: Tensor) -> Tensor:
        """The coefficients of one degree on SO(3) and all in space: (channels_out, R, (2j + 1)²·C, Σ(2J + 1))."""
        first = j * (self.max_degree + 1)
        whole = torch.cat(list(self.kernels)[first : first + self.max_degree + 1], -1)
        return whole.to(like).permute(0, 2, 3, 4, 1, 5).flatten(2, 4)

    def extra_repr(self) -> str:
        basis = f"cutoff={self.cutoff:g}, radial={self.radial}, max_degree={self.max_degree}"
        return f"{self.signals} → {self.channels_out}, {basis}, {len(self.get_buffer('weights'))} views"

"""DISCO with an orientation axis: directional filters that are equivariant under all of SO(3).

The filter turns with an orientation γ: lifting takes a field on the sphere to one on SO(3), and ``DiscoSO3Conv``
convolves there. ``OrientationMean`` or ``OrientationMax`` projects back to the sphere.

A rotation of the sphere mixes no orientations if they are seen from parallel-transported frames, so the orientation
axis is
treated by its Fourier series: frequency n of the input, carried from the frame at the input point to the frame at
the output
point, turns by e^{int}, t the angle of transport. Responses are computed at as many orientations as their frequencies
need, and low-passed to those that the output holds; both steps commute with rotations exactly.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.nn.stencil import Centre, build_stencil
from armillary.ops.constants import ConstantModule
from armillary.ops.disco import disco
from armillary.ops.filters import FilterBasis, FourierAzimuth
from armillary.spaces import OrientedGrid, SphereGrid

_DEFAULT_RINGS = 3.0


def _orientations_needed(basis: FilterBasis, nmax_in: int, space_out: OrientedGrid) -> int:
    """How many orientations resolve the response well enough to low-pass it to those of the output."""
    if basis.azimuthal_bandlimit is None:  # hats: no band limit, so only reduce the aliasing
        return 2 * space_out.n_orientations
    return max(space_out.n_orientations, nmax_in + basis.azimuthal_bandlimit + space_out.nmax + 1)


def _low_pass(count: int, space: OrientedGrid) -> Tensor:
    """The matrix from ``count`` orientations to those of the space, keeping frequencies |n| ≤ nmax: (G, count)."""
    fine = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    gap = space.orientations[:, None] - fine
    n = torch.arange(1, space.nmax + 1, dtype=torch.float64)
    return (1 + 2 * torch.cos(gap[..., None] * n).sum(-1)) / count


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(
            f"got in_channels = {in_channels}, out_channels = {out_channels}, groups = {groups}: "
            f"wanted groups to divide both."
        )


class DiscoLift(ConstantModule):
    """Lifting DISCO convolution, sphere → SO(3).

    Equation: ``y_o(R) = b_o + Σ_c Σ_k w_ock ∫ x_c(ω) ψ_k(R⁻¹ ω) dω`` with ``R = Z(φ) Y(θ) Z(γ)``, low-passed in γ to
    the orientation frequencies that the output holds.

    Shapes: (B, in_channels, *grid.shape) → (B, out_channels, n_orientations, *grid_out.shape). ``basis`` defaults to
    ``FourierAzimuth(3, 1)``; cutoff, groups, bias and moments as in ``DiscoConv``. State dict: ``weight``, ``bias``.

    Symmetry: SO(3)-equivariant up to the discretisation error for bases with a band limit in azimuth; hats in
    azimuth alias a
    little in γ. Raises and source: as ``DiscoConv`` (paper, section 3.2); pinned by ``tests/nn/test_disco_so3.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        n_orientations: int,
        grid_out: SphereGrid | None = None,
        *,
        basis: FilterBasis | None = None,
        cutoff: float | None = None,
        groups: int = 1,
        bias: bool = True,
        moments: int | None = 4,
    ) -> None:
        super().__init__()
        _check_channels(in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.grid = grid
        self.space_out = OrientedGrid(grid if grid_out is None else grid_out, n_orientations)
        self.basis = FourierAzimuth(3, 1) if basis is None else basis
        self.cutoff = _DEFAULT_RINGS * grid.ring_spacing if cutoff is None else float(cutoff)
        self.turns = _orientations_needed(self.basis, 0, self.space_out)
        stencils = [
            build_stencil(grid, self.space_out.grid, self.basis, self.cutoff, moments, Centre.OUTPUT, turn)
            for turn in (2 * math.pi * g / self.turns for g in range(self.turns))
        ]
        self.degree, self._blocks = stencils[0].degree, stencils[0].blocks
        self.register_constant("stencils", torch.stack([stencil.values for stencil in stencils]))
        self.register_constant("low_pass", _low_pass(self.turns, self.space_out))
        inner = in_channels // groups
        scale = (inner * self.basis.size) ** -0.5
        self.weight = nn.Parameter(torch.randn(out_channels, inner, self.basis.size) * scale)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        self.grid.check_field(x, "DiscoLift")
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, DiscoLift was built for (batch, {self.in_channels}, nlat, nlon)."
            )
        weight, nlon = self.weight.to(x.dtype), self.space_out.grid.nlon
        responses = [disco(x, weight, s, self._blocks, nlon, self.groups) for s in self.constant("stencils", x)]
        y = torch.einsum("gt,tbohw->boghw", self.constant("low_pass", x), torch.stack(responses))
        return y if self.bias is None else y + self.bias.to(x.dtype)[:, None, None, None]

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, {self.grid} → {self.space_out}, basis={self.basis}, "
            f"cutoff={self.cutoff:.4g} rad, moments matched to degree {self.degree}, {self.turns} orientations computed"
        )


class DiscoSO3Conv(ConstantModule):
    """DISCO group convolution, SO(3) → SO(3).

    Equation: ``y_o(R) = b_o + Σ_c Σ_k ∫ x_c(Q) ψ_k(ϑ, ϕ) h_ock(u) dQ/2π`` where ``R⁻¹Q = Z(ϕ) Y(ϑ) Z(χ)`` and ``u =
    ϕ + χ`` is the
    orientation of Q against R after parallel transport (smooth where ϕ and χ alone are not, at ϑ = 0). ``h`` is a
    learned
    trigonometric polynomial, ``h(u) = w_0 + √2 Σ_n (w_{2n-1} cos nu + w_{2n} sin nu)`` for n ≤ nmax of the input.

    Shapes: (B, in_channels, n_orientations, *grid.shape) → (B, out_channels, n_orientations, *grid_out.shape);
    ``weight`` (out, in/groups, K, 2·nmax + 1). Other arguments, symmetry, errors and source: as ``DiscoLift``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        n_orientations: int,
        grid_out: SphereGrid | None = None,
        *,
        basis: FilterBasis | None = None,
        cutoff: float | None = None,
        groups: int = 1,
        bias: bool = True,
        moments: int | None = 4,
    ) -> None:
        super().__init__()
        _check_channels(in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.space = OrientedGrid(grid, n_orientations)
        self.space_out = OrientedGrid(grid if grid_out is None else grid_out, n_orientations)
        self.basis = FourierAzimuth(3, 1) if basis is None else basis
        self.cutoff = _DEFAULT_RINGS * grid.ring_spacing if cutoff is None else float(cutoff)
        nmax = self.space.nmax
        self.turns = _orientations_needed(self.basis, nmax, self.space_out)
        self._angles = [2 * math.pi * g / self.turns for g in range(self.turns)]
        self._blocks: list[Tensor] = []  # per frequency: values are laid out for K or 2K functions
        for n in range(nmax + 1):
            stencils = [
                build_stencil(grid, self.space_out.grid, self.basis, self.cutoff, moments, Centre.OUTPUT, turn, spin=n)
                for turn in self._angles
            ]
            self.degree = stencils[0].degree
            self._blocks.append(stencils[0].blocks)
            self.register_constant(f"stencils_{n}", torch.stack([stencil.values for stencil in stencils]))
        self.register_constant("low_pass", _low_pass(self.turns, self.space_out))
        inner = in_channels // groups
        scale = (inner * self.basis.size * (2 * nmax + 1)) ** -0.5
        self.weight = nn.Parameter(torch.randn(out_channels, inner, self.basis.size, 2 * nmax + 1) * scale)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        self.space.check_field(x, "DiscoSO3Conv")
        if x.ndim != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, DiscoSO3Conv was built for (batch, {self.in_channels}, orientations, "
                f"nlat, nlon): lift a field on the sphere with DiscoLift first."
            )
        weight, nlon = self.weight.to(x.dtype), self.space_out.grid.nlon
        responses = [self._frequency(x, weight, n, nlon) for n in range(self.space.nmax + 1)]
        total = torch.stack([torch.stack(r) for r in zip(*responses, strict=True)]).sum(1)
        y = torch.einsum("gt,tbohw->boghw", self.constant("low_pass", x), total)
        return y if self.bias is None else y + self.bias.to(x.dtype)[:, None, None, None]

    def _frequency(self, x: Tensor, weight: Tensor, n: int, nlon: int) -> list[Tensor]:
        """What orientation frequency n of the input contributes at each computed orientation, (B, O, H, W) each.

        With F^c, F^s the cosine and sine coefficients and s = t - γ: h's cosine term takes ``cos(ns) F^c - sin(ns)
        F^s``, its
        sine term ``sin(ns) F^c + cos(ns) F^s``. The stencil holds ψ cos(nt) and ψ sin(nt); γ enters through the
        weights.
        """
        stencils, blocks = self.constant(f"stencils_{n}", x), self._blocks[n]
        if n == 0:
            mean, mixing = x.mean(2), weight[..., 0]
            return [disco(mean, mixing, s, blocks, nlon, self.groups) for s in stencils]
        gamma = self.space.orientations.to(x)
        waves = torch.stack([torch.cos(n * gamma), torch.sin(n * gamma)]) * (2**0.5 / len(gamma))
        parts = torch.einsum("pg,bcghw->bcphw", waves, x)
        fields = parts.flatten(1, 2)  # (c, cos/sin) with the pair innermost, so that groups stay together
        a, b = weight[..., 2 * n - 1], weight[..., 2 * n]
        out = []
        for turn, s in zip(self._angles, stencils, strict=True):
            p = a * math.cos(n * turn) - b * math.sin(n * turn)
            q = a * math.sin(n * turn) + b * math.cos(n * turn)
            mixing = torch.stack([torch.cat([p, q], dim=-1), torch.cat([q, -p], dim=-1)], dim=2).flatten(1, 2)
            out.append(disco(fields, mixing, s, blocks, nlon, self.groups))
        return out

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, {self.space} → {self.space_out}, basis={self.basis}, "
            f"cutoff={self.cutoff:.4g} rad, moments matched to degree {self.degree}, {self.turns} orientations computed"
        )

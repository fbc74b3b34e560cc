"""DISCO with an orientation axis: directional filters that are equivariant under all of SO(3).

The filter turns with an orientation γ: lifting takes a field on the sphere to one on SO(3), and ``DiscoSO3Conv``
convolves there. ``OrientationMean`` or ``OrientationMax`` projects back to the sphere.

A rotation of the sphere mixes no orientations if they are seen from parallel-transported frames, so the orientation
axis is treated by its Fourier series: frequency n of the input, carried from the frame at the input point to the frame
at the output point, turns by e^{int}, t the angle of transport. Responses are computed at as many orientations as their
frequencies need, and low-passed to those that the output holds; both steps commute with rotations exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from armillary.nn.disco import DiscoLayer
from armillary.nn.stencil import Centre, build_stencils
from armillary.ops.disco import disco
from armillary.ops.filters import FilterBasis, FourierAzimuth
from armillary.ops.precision import as_autocast
from armillary.spaces import OrientedGrid, SphereGrid


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


class _OrientedConv(DiscoLayer, ABC):
    """What lifting and convolution on SO(3) share: stencils turned to each computed orientation, then a low-pass."""

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
        basis = FourierAzimuth(3, 1) if basis is None else basis
        space_out = OrientedGrid(grid if grid_out is None else grid_out, n_orientations)
        frequencies = self._frequencies(space_out.nmax)
        axes = (basis.size, *self._weight_axes(space_out.nmax))
        super().__init__(in_channels, out_channels, grid, grid_out, basis, cutoff, groups, bias, moments, axes)
        self.space_out = space_out
        self.turns = _orientations_needed(basis, frequencies[-1], space_out)
        self._angles = tuple(2 * math.pi * g / self.turns for g in range(self.turns))
        stencils = build_stencils(
            grid, self.grid_out, basis, self.cutoff, moments, Centre.OUTPUT, self._angles, frequencies
        )
        for n in frequencies:
            for g, angle in enumerate(self._angles):
                self.register_constant(f"stencil_{n}_{g}", stencils[angle, n].values)
            self._register_places(f"places_{n}", stencils[0.0, n].tensors)
            self.degree = stencils[0.0, n].degree
        self.register_constant("low_pass", _low_pass(self.turns, space_out))

    @staticmethod
    @abstractmethod
    def _frequencies(nmax: int) -> tuple[int, ...]:
        """The orientation frequencies of the input, 0 first."""

    @staticmethod
    @abstractmethod
    def _weight_axes(nmax: int) -> tuple[int, ...]:
        """The axes of the weight after (out, in/groups, K)."""

    def _respond(self, field: Tensor, mixings: list[Tensor], frequency: int) -> Tensor:
        """The contraction at each computed orientation with its own mixing weight, (turns, B, O, H, W)."""
        places, nlon = self._places(f"places_{frequency}", field), self.grid_out.nlon
        stencils = [[self.constant(f"stencil_{frequency}_{g}", field), *places] for g in range(self.turns)]
        return torch.stack(
            [disco(field, w, None, s, nlon, self.groups, False) for w, s in zip(mixings, stencils, strict=True)]
        )

    def _project(self, responses: Tensor) -> Tensor:
        """Low-pass (turns, B, O, H, W) to the orientations of the output, (B, O, Γ, H, W), and add the bias."""
        y = torch.einsum("gt,tbohw->boghw", self.constant("low_pass", responses), responses)
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None, None]

    def extra_repr(self) -> str:
        spaces = f"{self.space} → {self.space_out}"
        return self._describe(spaces, f"{self.turns} orientations computed")

    @property
    @abstractmethod
    def space(self) -> SphereGrid | OrientedGrid:
        """The space of the input."""


class DiscoLift(_OrientedConv):
    """Lifting DISCO convolution, sphere → SO(3).

    Equation: ``y_o(R) = b_o + Σ_c Σ_k w_ock ∫ x_c(ω) ψ_k(R⁻¹ ω) dω`` with ``R = Z(φ) Y(θ) Z(γ)``, low-passed in γ to
    the orientation frequencies that the output holds.

    Shapes: (B, in_channels, *grid.shape) → (B, out_channels, n_orientations, *grid_out.shape). ``basis`` defaults to
    ``FourierAzimuth(3, 1)``; cutoff, groups, bias and moments as in ``DiscoConv``. State dict: ``weight``, ``bias``.

    Symmetry: SO(3)-equivariant up to the discretisation error for bases with a band limit in azimuth; hats in azimuth
    alias a little in γ. Raises and source: as ``DiscoConv`` (paper, section 3.2); pinned by
    ``tests/nn/test_disco_so3.py``.
    """

    @staticmethod
    def _frequencies(nmax: int) -> tuple[int, ...]:
        return (0,)

    @staticmethod
    def _weight_axes(nmax: int) -> tuple[int, ...]:
        return ()

    @property
    def space(self) -> SphereGrid:
        return self.grid

    def forward(self, x: Tensor) -> Tensor:
        self.grid.check_field(x, "DiscoLift")
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, DiscoLift was built for (batch, {self.in_channels}, nlat, nlon)."
            )
        x = as_autocast(x)
        return self._project(self._respond(x, [self.weight.to(x.dtype)] * self.turns, 0))


class DiscoSO3Conv(_OrientedConv):
    """DISCO group convolution, SO(3) → SO(3).

    Equation: ``y_o(R) = b_o + Σ_c Σ_k ∫ x_c(Q) ψ_k(ϑ, ϕ) h_ock(u) dQ/2π`` where ``R⁻¹Q = Z(ϕ) Y(ϑ) Z(χ)`` and
    ``u = ϕ + χ`` is the orientation of Q against R after parallel transport (smooth where ϕ and χ alone are not, at
    ϑ = 0). ``h`` is a learned trigonometric polynomial, ``h(u) = w_0 + √2 Σ_n (w_{2n-1} cos nu + w_{2n} sin nu)`` for
    n ≤ nmax of the input.

    Shapes: (B, in_channels, n_orientations, *grid.shape) → (B, out_channels, n_orientations, *grid_out.shape);
    ``weight`` (out, in/groups, K, 2·nmax + 1). Other arguments, symmetry, errors and source: as ``DiscoLift``.
    """

    @staticmethod
    def _frequencies(nmax: int) -> tuple[int, ...]:
        return tuple(range(nmax + 1))

    @staticmethod
    def _weight_axes(nmax: int) -> tuple[int, ...]:
        return (2 * nmax + 1,)

    @property
    def space(self) -> OrientedGrid:
        return OrientedGrid(self.grid, self.space_out.n_orientations)

    def forward(self, x: Tensor) -> Tensor:
        self.space.check_field(x, "DiscoSO3Conv")
        if x.ndim != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, DiscoSO3Conv was built for (batch, {self.in_channels}, orientations, "
                f"nlat, nlon): lift a field on the sphere with DiscoLift first."
            )
        x = as_autocast(x)
        weight = self.weight.to(x.dtype)
        responses = self._respond(x.mean(2), [weight[..., 0]] * self.turns, 0)
        for n in range(1, self.space_out.nmax + 1):
            responses = responses + self._frequency(x, weight, n)
        return self._project(responses)

    def _frequency(self, x: Tensor, weight: Tensor, n: int) -> Tensor:
        """What orientation frequency n > 0 of the input contributes at each computed orientation, (turns, B, O, H, W).

        With F^c, F^s the cosine and sine coefficients and s = t - γ: h's cosine term takes ``cos(ns) F^c - sin(ns)
        F^s``, its sine term ``sin(ns) F^c + cos(ns) F^s``. The stencil holds ψ cos(nt) and ψ sin(nt); γ enters through
        the weights.
        """
        gamma = self.space_out.orientations.to(x)
        waves = torch.stack([torch.cos(n * gamma), torch.sin(n * gamma)]) * (2**0.5 / len(gamma))
        parts = torch.einsum("pg,bcghw->bcphw", waves, x)
        fields = parts.flatten(1, 2)  # (c, cos/sin) with the pair innermost, so that groups stay together
        a, b = weight[..., 2 * n - 1], weight[..., 2 * n]
        mixings = []
        for turn in self._angles:
            p = a * math.cos(n * turn) - b * math.sin(n * turn)
            q = a * math.sin(n * turn) + b * math.cos(n * turn)
            mixings.append(torch.stack([torch.cat([p, q], dim=-1), torch.cat([q, -p], dim=-1)], dim=2).flatten(1, 2))
        return self._respond(fields, mixings, n)

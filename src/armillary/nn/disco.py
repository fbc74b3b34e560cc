"""DISCO: discrete–continuous convolution on the sphere.

Shape legend: B batch, C channels in, O channels out, K basis functions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from armillary.harmonics.zonal import PathCosts, ZonalProduct
from armillary.nn.cutoff import check_moments, checked_cutoff
from armillary.nn.stencil import Centre, StencilModule, build_stencil, with_parity
from armillary.ops.disco import disco
from armillary.ops.filters import FilterBasis, PiecewiseLinear
from armillary.ops.precision import as_autocast
from armillary.spaces import SphereGrid


class DiscoLayer(StencilModule):
    """What every DISCO layer has: channels, grids, a basis within a cutoff, a weight and a bias.

    ``weight`` has shape (out_channels, in_channels/groups, *weight_axes) and starts with variance 1/fan-in.
    """

    degree: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        grid_out: SphereGrid | None,
        basis: FilterBasis,
        cutoff: float | None,
        groups: int,
        bias: bool,
        moments: int | None,
        weight_axes: tuple[int, ...],
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"got in_channels = {in_channels}, out_channels = {out_channels}, groups = {groups}: "
                f"wanted groups to divide both."
            )
        check_moments(moments)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.grid, self.grid_out = grid, grid if grid_out is None else grid_out
        self.basis = basis
        self.cutoff = checked_cutoff(cutoff, grid)
        shape = (in_channels // groups, *weight_axes)
        self.weight = nn.Parameter(torch.randn(out_channels, *shape) * math.prod(shape) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def _describe(self, spaces: str, detail: str) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}, {spaces}",
            f"basis={self.basis}",
            f"cutoff={self.cutoff:.4g} rad ({self.cutoff / self.grid.ring_spacing:.3g} rings)",
            "moments not matched" if self.degree < 0 else f"moments matched to degree {self.degree}",
            detail,
        ]
        if self.groups > 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class StencilConv(DiscoLayer, ABC):
    """What the two DISCO layers share; they differ in the end of the stencil at which the filter is anchored."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        grid_out: SphereGrid | None = None,
        *,
        basis: FilterBasis | None = None,
        cutoff: float | None = None,
        groups: int = 1,
        bias: bool = True,
        moments: int | None = 4,
        harmonic: bool | None = None,
    ) -> None:
        basis = PiecewiseLinear(3) if basis is None else basis
        super().__init__(in_channels, out_channels, grid, grid_out, basis, cutoff, groups, bias, moments, (basis.size,))
        self._costs = PathCosts.of(self.grid, self.grid_out, self.cutoff, in_channels, out_channels, basis.size)
        self.harmonic: ZonalProduct | None = None
        self._mixes_parity = False
        if self._goes_by_harmonics(moments, harmonic):
            self.harmonic = ZonalProduct(self.grid, self.grid_out, basis, self.cutoff)
            self.degree = self.harmonic.lmax
        else:
            self._build_stencil(moments)

    def _goes_by_harmonics(self, moments: int | None, wanted: bool | None) -> bool:
        """The path to take; by the cost model where it is open and may be either."""
        open_to_both = self.basis.axisymmetric and moments is not None
        if wanted and not open_to_both:
            raise ValueError(
                f"got harmonic=True with basis = {self.basis} and moments = {moments}, wanted an axisymmetric basis "
                f"and moments that are matched: a directional filter or one that is only sampled has a stencil alone."
            )
        return (self._costs.harmonic < self._costs.stencil and open_to_both) if wanted is None else wanted

    def _build_stencil(self, moments: int | None) -> None:
        with torch.device("cpu"):
            stencil = build_stencil(self.grid, self.grid_out, self.basis, self.cutoff, moments, self.centre)
            stencil, parity = with_parity(stencil, self.basis, self.cutoff)
        self.degree, self.pattern = stencil.degree, stencil.pattern
        self.register_constant("stencil", stencil.values)
        self._register_places("places", stencil.tensors)
        self._mixes_parity = parity is not None and not torch.equal(
            parity, torch.eye(self.basis.size, dtype=parity.dtype, device=parity.device)
        )
        if parity is not None and self._mixes_parity:
            self.register_constant("parity", parity)

    @property
    @abstractmethod
    def centre(self) -> Centre:
        """The end of the stencil at which the filter is anchored."""

    def forward(self, x: Tensor) -> Tensor:
        self.grid.check_field(x, f"{type(self).__name__}")
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, {type(self).__name__} was built for (batch, {self.in_channels}, "
                f"{self.grid.nlat}, {self.grid.nlon}): pass in_channels={x.shape[1] if x.ndim == 4 else '…'} or "
                f"reshape x."
            )
        x = as_autocast(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        weight = self.weight.to(x.dtype)
        if self.harmonic is not None:
            return self.harmonic(x, weight, bias, self.groups)
        stencil = [self.constant("stencil", x), *self._places("places", x)]
        if self._mixes_parity:  # to the functions of the stencil, each even or odd in longitude
            weight = weight @ self.constant("parity", x).T
        return disco(x, weight, bias, stencil, self.grid_out.nlon, self.groups, False)

    def extra_repr(self) -> str:
        return self._describe(
            f"{self.grid}" if self.grid_out == self.grid else f"{self.grid} → {self.grid_out}", self._path()
        )

    def _path(self) -> str:
        costs = self._costs
        if self.harmonic is not None:
            times = f"{costs.stencil / costs.harmonic:.2g}"
            return f"by harmonics to degree {self.harmonic.lmax} (a stencil: about {times} × the time)"
        phases, stride = self.pattern.n_phases, self.pattern.stride
        if phases > 1:
            return f"longitudes by the general path: {phases} phases, stride {stride}"
        return f"longitude stride {stride}"


class DiscoConv(StencilConv):
    """DISCO convolution on the sphere: a continuous local filter, integrated by the quadrature of the grid.

    Equation: ``y_o(ω) = b_o + Σ_c Σ_k w_ock ∫ x_c(ω') ψ_k(R_ω⁻¹ ω') dω'`` with ``R_ω = Z(φ) Y(θ)``, evaluated as
    ``Σ_i s_ki x_c(ω_i)`` over the points within ``cutoff``; the stencil s is ``q_i ψ_k``, corrected so that local
    polynomials up to degree ``moments`` are integrated exactly (``nn.stencil``, ``ops.moments``).

    Shapes: (B, in_channels, *grid.shape) → (B, out_channels, *grid_out.shape). Any pair of grids: where the ratio of
    longitudes is not an integer a general path is taken, and ``repr`` says so. ``basis`` (default
    ``PiecewiseLinear(3)``) spans the filters, each normalised to ``∫ |ψ_k| dω = 1``; ``cutoff`` is in radians (default:
    three rings of the input grid); ``moments`` is the highest degree to match (the neighbours may support less: see
    ``degree`` and ``repr``), None to sample the filter only. State dict: ``weight`` (out, in/groups, K) and ``bias``
    (out,).

    Wide axisymmetric filters, from a dozen rings or so, are cheaper as products of harmonic coefficients
    (``harmonics.zonal``): that path is taken where a cost model says so, or as ``harmonic`` says, and ``repr`` tells.
    It is the same convolution, exact up to the band limit of the grids, ``degree``; what lies above it is removed.

    Symmetry: with an axisymmetric basis, SO(3)-equivariant up to the discretisation error, which falls with order ≥
    4 in the resolution for a fixed field and a cutoff of a fixed number of rings; with a directional basis only
    asymptotically, as the cutoff shrinks.

    Raises: ValueError for channels that groups do not divide, a cutoff that holds no neighbour or reaches π,
    ``harmonic=True`` for a directional basis or without moments, or an input off the grid.
    Source: Ocampo, Price & McEwen 2023 (arXiv 2209.13603), eq. 7–10; moment matching is ours. Pinned by
    ``tests/nn/test_disco.py``.
    """

    @property
    def centre(self) -> Centre:
        return Centre.OUTPUT


class DiscoConvTranspose(StencilConv):
    """Transposed DISCO convolution: each input point spreads the filter about itself. Used to upsample.

    Equation: ``y_o(ω) = b_o + Σ_c Σ_k w_ock ∫ x_c(ω') ψ_k(R_ω'⁻¹ ω) dω'``: the adjoint of ``DiscoConv`` with the grids
    swapped, up to quadrature weights. With an axisymmetric basis it is the same operator as ``DiscoConv`` between the
    two grids. Evaluated as a gather at each output point, with matched moments there, so that a coarse input does not
    imprint its grid on the output.

    Shapes, arguments, symmetry and errors as for ``DiscoConv``; ``grid`` is the (coarse) input, ``grid_out`` the
    output. Source: as ``DiscoConv``, section 4; pinned by ``tests/nn/test_disco.py``.
    """

    @property
    def centre(self) -> Centre:
        return Centre.INPUT

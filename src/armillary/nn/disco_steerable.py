"""Steerable DISCO: directional local filters between fields of spin on the sphere, without an orientation axis.

Shape legend: B batch, I complex channels of one spin in, O of one spin out, K radial functions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn.cutoff import check_moments, checked_cutoff
from armillary.nn.stencil import StencilModule, spin_stencils
from armillary.ops.disco import disco
from armillary.ops.filters import FourierAzimuth, SteerableBasis
from armillary.ops.precision import as_autocast
from armillary.spaces import SphereGrid
from armillary.spaces.fields import check_orders


class SteerableDiscoConv(StencilModule):
    """DISCO convolution between fields of spin: directional filters that commute with all rotations of the sphere.

    Equation: with ``R_p⁻¹ R_q = Z(a) Y(ϑ) Z(c)``, R = Z(φ) Y(θ) the frames at the output point p and the input point q,

        z_o(p) = b_o + Σ_i ∫ z_i(q) κ_oi(ϑ) e^{is'a} e^{isc} dq,     κ_oi = Σ_k w_oik R_k(ϑ),

    from spin s to spin s'. The phase is ``e^{i(s' - s)a} e^{ist}``: a filter of circular order m = s' - s in the
    azimuth a, times what parallel transport by the angle t = a + c from q to p does to the frame of the input.
    Rotations leave nothing else: one complex radial profile for each pair of channels. Evaluated by quadrature over
    the points within ``cutoff`` by the operator of ``DiscoConv``, with matched moments (``nn.stencil``) and in real
    arithmetic.

    Shapes: (B, orders_in.size, *grid.shape) → (B, orders_out.size, *grid_out.shape), real, in the layout of ``Orders``;
    ``Orders.image(n)`` are n real scalars, in and out (of the spin 0 that comes out the real part). Any pair of grids,
    a finer one too: for upsampling there is no transposed layer, since the adjoint from s to s' is this layer from s'
    to s, with conjugate profiles. ``basis`` gives the radial functions of each order m, each normalised to
    ``∫ |R_k| dω = 1``; default ``FourierAzimuth(3, M)``: three hats, without the middle one for m ≠ 0, M the largest
    difference of spins. A smaller M leaves filters of higher order out. ``cutoff`` and ``moments`` as in ``DiscoConv``.

    State dict: ``weight.s_s'`` (2, O, I, K), real and imaginary part, for each pair of spins that is connected (1 where
    both fields are real), and ``bias`` (2 or 1, O) where the output has spin 0, the only one with a constant field.

    Symmetry: commutes with SO(3) up to the discretisation error, which falls with resolution as that of axisymmetric
    ``DiscoConv`` does. Cost: linear in the pixels; docs/steerable_disco.md has it beside that of ``DiscoConv``.

    Raises: ValueError for another kind of basis, a spin of the output that no filter reaches, a cutoff that holds no
    neighbour or reaches π, moments outside 0..8, or an input of another shape, of integers or of complex numbers.
    Source: the kernel constraint of Cohen, Geiger & Weiler 2019 (arXiv 1811.02017), section 5, on S² = SO(3)/SO(2); the
    layer is ours. Pinned by ``tests/nn/test_disco_steerable.py``.
    """

    def __init__(
        self,
        orders_in: Orders,
        orders_out: Orders,
        grid: SphereGrid,
        grid_out: SphereGrid | None = None,
        *,
        basis: SteerableBasis | None = None,
        cutoff: float | None = None,
        bias: bool = True,
        moments: int | None = 4,
    ) -> None:
        super().__init__()
        self.orders_in, self.orders_out, self.in_channels = orders_in, orders_out, orders_in.size
        self.grid, self.grid_out = grid, grid if grid_out is None else grid_out
        self.cutoff = checked_cutoff(cutoff, grid)
        check_moments(moments)
        spins = [(s, t) for t in orders_out.orders for s in orders_in.orders]
        self.basis = FourierAzimuth(3, max(abs(t - s) for s, t in spins)) if basis is None else basis
        if not isinstance(self.basis, SteerableBasis):
            raise ValueError(
                f"got basis = {basis}, wanted a SteerableBasis, whose functions are waves in the azimuth: "
                f"FourierAzimuth or Zernike."
            )
        self.pairs = tuple((s, t) for s, t in spins if self.basis.waves(t - s))
        for spin in orders_out.orders:
            if spin not in {t for _, t in self.pairs}:
                raise ValueError(
                    f"no filter of {self.basis} leads from the spins {orders_in.orders} to spin {spin}: take a basis "
                    f"with functions of the order of the difference (of FourierAzimuth m_max and n_radial >= 2), or "
                    f"leave this spin out."
                )
        with torch.device("cpu"):
            stencils = spin_stencils(self.grid, self.grid_out, self.basis, self.cutoff, moments, self.pairs)
        for (s, t), stencil in stencils.items():
            self.register_constant(f"stencil_{s}_{t}", stencil.values)
            self.degree, self.pattern = stencil.degree, stencil.pattern
        self._register_places("places", stencils[self.pairs[0]].tensors)
        counts_in, counts_out = dict(orders_in.streams), dict(orders_out.streams)
        parts = 1 if orders_in.real and orders_out.real else 2
        self.weight = nn.ParameterDict()
        for s, t in self.pairs:
            fan_in = parts * sum(n * len(self.basis.waves(t - u)) for u, n in orders_in.streams)
            shape = (parts, counts_out[t], counts_in[s], len(self.basis.waves(t - s)))
            self.weight[f"{s}_{t}"] = nn.Parameter(torch.randn(shape) * fan_in**-0.5)
        biased = bias and 0 in counts_out
        self.bias = nn.Parameter(torch.zeros(1 if orders_out.real else 2, counts_out[0])) if biased else None

    def mixing(self, s: int, t: int) -> Tensor:
        """The weight of the operator from spin s to spin t, (parts · O, parts · I, functions of the stencil).

        ``(P + iQ)(x + iy)`` are the responses of the stencil; from spin 0 to spin 0 there is no Q.
        """
        weight = self.weight[f"{s}_{t}"]
        if len(weight) == 1:
            return weight[0]
        re, im = weight
        rows = [[(re, -im), (-im, -re)], [(im, re), (re, -im)]]
        columns = 1 if self.orders_in.real else 2
        functions = 1 if s == t == 0 else 2
        kept = [[torch.cat(pair[:functions], -1) for pair in row[:columns]] for row in rows]
        return torch.cat([torch.cat(row, 1) for row in kept[: 1 if self.orders_out.real else 2]])

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders_in, self.grid, "SteerableDiscoConv")
        x = as_autocast(x)
        fields = self._streams(x)
        places, nlon = self._places("places", x), self.grid_out.nlon
        out: dict[int, Tensor] = {}
        for s, t in self.pairs:
            bias = self.bias.flatten().to(x.dtype) if t == 0 and t not in out and self.bias is not None else None
            stencil = [self.constant(f"stencil_{s}_{t}", x), *places]
            y = disco(fields[s], self.mixing(s, t).to(x.dtype), bias, stencil, nlon, 1, False)
            out[t] = out[t] + y if t in out else y
        if len(out) == 1:
            return out[self.orders_out.orders[0]]
        parts = [out[t].unflatten(1, (2, -1)) for t in self.orders_out.orders]
        return torch.cat(parts, 2).flatten(1, 2)

    def _streams(self, x: Tensor) -> dict[int, Tensor]:
        """For each spin its real parts, then its imaginary parts: (B, 2·channels, H, W), or (B, channels, H, W)."""
        if len(self.orders_in.streams) == 1:
            return {self.orders_in.orders[0]: x}
        pieces = x.unflatten(1, (2, -1)).split([n for _, n in self.orders_in.streams], 2)
        return {spin: piece.flatten(1, 2) for spin, piece in zip(self.orders_in.orders, pieces, strict=True)}

    def extra_repr(self) -> str:
        grids = f"{self.grid}" if self.grid_out == self.grid else f"{self.grid} → {self.grid_out}"
        matched = "moments not matched" if self.degree < 0 else f"moments matched to degree {self.degree}"
        parts = [
            f"{self.orders_in} → {self.orders_out}, {grids}, basis={self.basis}",
            f"cutoff={self.cutoff:.4g} rad ({self.cutoff / self.grid.ring_spacing:.3g} rings), {matched}",
            f"{self.pattern.n_phases} phases, longitude stride {self.pattern.stride}",
        ]
        return ", ".join(parts)

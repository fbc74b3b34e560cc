"""Gravitational lensing of fields on the sphere: remapping along the gradient of a potential, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from armillary.harmonics import SHT, Gradient, Interpolate, InverseSHT, tangent_vectors
from armillary.ops.constants import ConstantModule
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid


def displaced(points: Tensor, vectors: Tensor) -> Tensor:
    """The points at the ends of geodesics: ``exp_n(v) = cos|v| n + sin|v| v/|v|``. Shapes (..., 3), v tangent at n."""
    length = vectors.norm(dim=-1, keepdim=True)
    sinc = torch.sinc(length / torch.pi)
    return torch.nn.functional.normalize(torch.cos(length) * points + sinc * vectors, dim=-1)


class GradientProduct(nn.Module):
    """``∇a·∇b``: with a field and a potential the first order of remapping, ``T(exp_n ∇φ) = T + ∇T·∇φ + …``.

    Shapes: coefficients complex (..., lmax + 1, lmax + 1) of both → of the product, degrees ≤ lmax, exactly.
    Raises: ValueError for coefficients of another shape.
    """

    def __init__(self, lmax: int) -> None:
        super().__init__()
        grid = GaussLegendre(3 * (lmax + 1) // 2 + 1)  # exact for products of three fields
        self.gradient, self.analysis = Gradient(grid, lmax), SHT(grid, lmax)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.analysis((self.gradient(a) * self.gradient(b)).sum(-3))


class Lensing(ConstantModule):
    """Remapping by the gradient of a potential: ``T̃(n) = T(exp_n ∇φ(n))``, and its inverse.

    The gradient is exact (``harmonics.Gradient``); fields and, for the inverse, Cartesian components of the gradient
    are read between grid points by ``harmonics.Interpolate``, relative error 10^(1 - taps). T̃ is not band-limited:
    it is sampled on ``grid``, and what of it is kept, degrees ≤ ``lmax_out``, is exact as far as power beyond
    ``grid``'s reach is negligible. ``lmax``: the highest degree of T and φ.

    Shapes: coefficients complex (B, L, L) of field and potential, L ≤ lmax + 1 → complex128 (B, lmax_out + 1,
    lmax_out + 1).
    Raises: ValueError for coefficients of other shapes, grids that cannot hold the degrees, a potential whose map
    folds.
    Source: Lewis 2005 (astro-ph/0502469) for remapping along geodesics; pinned by ``tests/data/test_lensing.py``.
    """

    def __init__(self, grid: SphereGrid, lmax: int, lmax_out: int, taps: int = 8) -> None:
        super().__init__()
        if grid.lmax < lmax:
            raise ValueError(f"Lensing: got lmax = {lmax} on {grid}, which holds {grid.lmax}: take a finer grid.")
        self.grid, self.lmax, self.lmax_out = grid, lmax, lmax_out
        between = Equiangular(lmax + 2)  # a gradient of degree lmax has Cartesian components of degree lmax + 1
        self.interpolate = Interpolate(between, taps)
        self.field = InverseSHT(between, lmax)
        self.gradient_between, self.gradient = Gradient(between, lmax), Gradient(grid, lmax)
        self.analysis = SHT(grid, lmax_out)
        self.register_constant("points", grid.points.reshape(-1, 3))

    def deflection(self, potential: Tensor) -> Tensor:
        """∇φ at the points of the grid as Cartesian vectors, (B, nlat·nlon, 3)."""
        return tangent_vectors(self.gradient(potential), self.grid).flatten(-2).mT

    def sources(self, potential: Tensor) -> Tensor:
        """Where the light seen at each grid point came from: exp_n ∇φ(n), (B, nlat·nlon, 3)."""
        return displaced(self.constant("points", potential.real), self.deflection(potential))

    def images(self, potential: Tensor, tolerance: float = 1e-9, most: int = 60) -> Tensor:
        """Where the light from each grid point is seen: q with exp_q ∇φ(q) = n, (B, nlat·nlon, 3).

        Fixed point of ``q ← q + n - exp_q ∇φ(q)``, normalised: it converges where ∇φ contracts.
        Raises: ValueError where it does not within ``most`` steps (caustics).
        """
        n = self.constant("points", potential.real)
        vectors = tangent_vectors(self.gradient_between(potential), self.interpolate.grid)
        q = torch.nn.functional.normalize(n - self.deflection(potential), dim=-1)
        for _ in range(most):
            step = n - displaced(q, self.interpolate(vectors, q).mT)
            q = torch.nn.functional.normalize(q + step, dim=-1)
            if float(step.abs().max()) < tolerance:
                return q
        raise ValueError(
            f"no inverse of the remapping in {most} steps (last step {float(step.abs().max()):.2g} rad): "
            f"the potential folds the sky; filter it more strongly."
        )

    def values(self, coefficients: Tensor, points: Tensor) -> Tensor:
        """The field with these coefficients at points (B, P, 3): (B, P)."""
        return self.interpolate(self.field(coefficients)[:, None], points)[:, 0]

    def lens(self, coefficients: Tensor, potential: Tensor) -> Tensor:
        """The coefficients of T̃(n) = T(exp_n ∇φ(n))."""
        return self._remapped(coefficients, potential, self.sources)

    def delens(self, coefficients: Tensor, potential: Tensor, tolerance: float = 1e-6) -> Tensor:
        """The coefficients of T(n) = T̃(q), exp_q ∇φ(q) = n: the inverse of ``lens`` up to band limits."""
        return self._remapped(coefficients, potential, lambda phi: self.images(phi, tolerance))

    def _remapped(self, coefficients: Tensor, potential: Tensor, points: Callable[[Tensor], Tensor]) -> Tensor:
        coefficients, potential = (
            self._padded(c, name) for c, name in ((coefficients, "field"), (potential, "potential"))
        )
        if len(coefficients) != len(potential):
            raise ValueError(
                f"got {len(coefficients)} fields and {len(potential)} potentials, wanted one for each: expand them."
            )
        if not len(potential):
            return coefficients.new_zeros(0, self.lmax_out + 1, self.lmax_out + 1)
        values = self.values(coefficients, points(potential))
        return self.analysis(values.reshape(-1, *self.grid.shape))

    def _padded(self, c: Tensor, name: str) -> Tensor:
        """Coefficients of lower degree brought to lmax by zeros."""
        size, got = self.lmax + 1, c.shape[-1]
        if c.ndim != 3 or c.shape[-2] != got or got > size or not c.is_complex():
            raise ValueError(
                f"the {name} has shape {tuple(c.shape)} and dtype {c.dtype}, this Lensing wants complex coefficients "
                f"(B, L, L), L <= {size}: build it with their lmax."
            )
        return torch.nn.functional.pad(c, (0, size - got, 0, size - got)).to(torch.complex128)

"""The gradient of a field on the sphere, by its spin-1 harmonics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.harmonics.rotation import full_orders
from armillary.harmonics.spin import InverseSpinSHT
from armillary.spaces import SphereGrid


class Gradient(nn.Module):
    """``(∂_θ f, (1/sin θ) ∂_φ f)`` of a band-limited real field, from its coefficients.

    ``∂_θ f + (i/sin θ) ∂_φ f = -ð f = -Σ √(l(l + 1)) f_lm ₁Y_lm``: exact, on every ring including those beside the
    poles.

    Shapes: ``(..., lmax + 1, lmax + 1)`` complex, index (l, m ≥ 0) → ``(..., 2, nlat, nlon)`` real, the components
    along θ (south) and φ (east).
    Raises: ValueError if the grid cannot hold ``lmax``, or if the coefficients have another shape.
    Source: Goldberg et al. 1967; pinned by ``tests/harmonics/test_interpolate.py`` against differences.
    """

    def __init__(self, grid: SphereGrid, lmax: int | None = None) -> None:
        super().__init__()
        self.synthesis = InverseSpinSHT(grid, 1, lmax)
        self.grid, self.lmax = grid, self.synthesis.lmax

    def forward(self, coefficients: Tensor) -> Tensor:
        size = self.lmax + 1
        if tuple(coefficients.shape[-2:]) != (size, size) or not coefficients.is_complex():
            raise ValueError(
                f"coefficients have shape {tuple(coefficients.shape)} and dtype {coefficients.dtype}, this Gradient "
                f"wants complex (..., {size}, {size}): build it with the lmax of the SHT that made them."
            )
        degrees = torch.arange(size, device=coefficients.device, dtype=coefficients.real.dtype)
        field = self.synthesis(full_orders(coefficients) * -(degrees * (degrees + 1)).sqrt()[:, None])
        return torch.view_as_real(field).movedim(-1, -3)


def tangent_vectors(components: Tensor, grid: SphereGrid) -> Tensor:
    """Cartesian vectors ``v_θ e_θ + v_φ e_φ`` at the points of a grid: (..., 2, nlat, nlon) → (..., 3, nlat, nlon).

    Unlike the components, the Cartesian ones of a smooth field are smooth at the poles; those of the gradient of a
    field of degree lmax have degree lmax + 1.

    Raises: ValueError where the components are not two real numbers at each point of the grid.
    """
    grid.check_field(components, "tangent_vectors")
    if components.shape[-3:-2] != (2,) or not components.is_floating_point():
        raise ValueError(
            f"components have shape {tuple(components.shape)} and dtype {components.dtype}, tangent_vectors wants real "
            f"(..., 2, nlat, nlon), along θ and φ, as Gradient gives them."
        )
    theta, phi = grid.colatitudes[:, None], grid.longitudes[None, :]
    cos, sin = torch.cos(theta), torch.sin(theta)
    zero = torch.zeros_like(cos * phi)
    south = torch.stack([cos * torch.cos(phi), cos * torch.sin(phi), zero - sin]).to(components)
    east = torch.stack([zero - torch.sin(phi), zero + torch.cos(phi), zero]).to(components)
    return components[..., :1, :, :] * south + components[..., 1:, :, :] * east

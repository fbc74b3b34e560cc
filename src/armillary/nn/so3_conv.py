"""Convolutions on the sphere and on SO(3) that commute with every rotation: S2CNN.

    S2Conv:       y(R) = b + Σ_c ∫ x_c(ω) ψ_c(R⁻¹ω) dω        sphere → SO(3)
    SO3Conv:      y(R) = b + Σ_c ∫ x_c(Q) ψ_c(R⁻¹Q) dQ        SO(3) → SO(3)
    SO3ToS2Conv:  y(ω) = b + Σ_c ∫ x_c(Q) ψ_c(Q⁻¹ω) dQ        SO(3) → sphere

Each is a Fourier transform, a product (``nn.so3_products``) and an inverse transform, and exact: what comes out is the
convolution of the band-limited function that the samples of x stand for.
"""

from __future__ import annotations

from torch import Tensor, nn

from armillary.harmonics import SHT, InverseSHT, InverseSO3Transform, SO3Transform
from armillary.nn.averages import Space, check_input
from armillary.nn.so3_kernels import Kernel
from armillary.nn.so3_products import S2Product, SO3Product, SO3ToS2Product
from armillary.spaces import OrientedGrid, SphereGrid


def band_limit(space: Space) -> int:
    """The highest degree that a space holds: with orientations, those of its rings, longitudes and orientations.

    Raises: TypeError for anything that is not a space.
    """
    if isinstance(space, OrientedGrid):
        return min(space.lmax, space.nmax)
    if isinstance(space, SphereGrid):
        return space.lmax
    raise TypeError(f"got {space!r}, wanted a SphereGrid, or an OrientedGrid for functions on SO(3).")


def _degrees(layer: nn.Module, space_in: Space, space_out: Space, kinds: tuple[type, type]) -> int:
    """The smaller of both band limits. Raises: TypeError for spaces of other kinds."""
    for space, kind in zip((space_in, space_out), kinds, strict=True):
        if not isinstance(space, kind):
            raise TypeError(f"{type(layer).__name__}: got {space!r}, wanted a space of type {kind.__name__}.")
    return min(band_limit(space_in), band_limit(space_out))


class _Conv(nn.Module):
    """A transform, a product of coefficients, a transform back."""

    def __init__(
        self,
        spaces: tuple[Space, Space],
        analysis: nn.Module,
        product: S2Product | SO3Product | SO3ToS2Product,
        synthesis: nn.Module,
    ) -> None:
        super().__init__()
        self.space_in, self.space_out = spaces
        self.in_channels, self.out_channels, self.lmax = product.in_channels, product.out_channels, product.lmax
        self.analysis, self.product, self.synthesis = analysis, product, synthesis

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.space_in, type(self).__name__, self.in_channels)
        return self.synthesis(self.product(self.analysis(x)))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, {self.space_in} → {self.space_out}, lmax={self.lmax}"


class S2Conv(_Conv):
    """Convolution from the sphere to SO(3): how well the filter fits in each pose, the first layer of an S2CNN.

    Equation: ``y_o(R) = b_o + Σ_c ∫ x_c(ω) ψ_oc(R⁻¹ω) dω``; on coefficients
    ``z_lmn = Σ_c sqrt(8π²/(2l + 1)) x_lm ψ_ln*``. Degrees up to the smaller of both band limits take part.

    Shapes: (B, in_channels, nlat, nlon) → (B, out_channels, n_orientations, nlat', nlon'). ``kernel``: a
    ``LocalKernel`` (default: three rings of eight points within π/8) or ``SpectralKernel``. State dict:
    ``product.weight`` (out, in, parameters) and ``product.bias`` (out,).

    Initial scale: the weights are normal, such that an input of unit variance whose power is the same in all
    coefficients gives an output of unit variance, in the mean over weights: for a local kernel
    1/sqrt(points · in_channels), times sqrt(n(b_in)/n(min(b_in, b_out))) with n = b² (b³ on SO(3), up to lower orders)
    for the degrees that are lost. The published b_out⁴/b_in² and b_out³/b_in³ are this in transforms of another norm.

    Symmetry: exact under SO(3), acting on y from the left. Memory: nothing is kept for the backward pass but the
    coefficients of x and what is made of the weights.
    Raises: TypeError for spaces or a kernel of another kind; ValueError for channels < 1, for an input of another
    number of channels or off the grid.
    Source: Cohen et al. 2018 (arXiv 1801.10130), eq. 4 and 6; pinned by ``tests/nn/test_so3_conv.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_in: SphereGrid,
        space_out: OrientedGrid,
        kernel: Kernel | None = None,
        bias: bool = True,
    ) -> None:
        lmax = _degrees(self, space_in, space_out, (SphereGrid, OrientedGrid))
        product = S2Product(in_channels, out_channels, lmax, kernel, bias, band_limit(space_in))
        super().__init__((space_in, space_out), SHT(space_in, lmax), product, InverseSO3Transform(space_out, lmax))


class SO3Conv(_Conv):
    """Convolution on SO(3).

    Equation: ``y_o(R) = b_o + Σ_c ∫ x_c(Q) ψ_oc(R⁻¹Q) dQ``; on coefficients
    ``z^l = Σ_c sqrt(8π²/(2l + 1)) x^l (ψ^l)^†``, a matrix product for each degree, of which the rows m ≥ 0 are made.

    Shapes: (B, in_channels, n_orientations, nlat, nlon) → (B, out_channels, n_orientations', nlat', nlon'). A local
    kernel has points near the identity, ``y(R) = b + Σ w_p x(R R_p)``. Symmetry, arguments, memory, initial scale,
    errors, source: as ``S2Conv``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_in: OrientedGrid,
        space_out: OrientedGrid,
        kernel: Kernel | None = None,
        bias: bool = True,
    ) -> None:
        lmax = _degrees(self, space_in, space_out, (OrientedGrid, OrientedGrid))
        product = SO3Product(in_channels, out_channels, lmax, kernel, bias, band_limit(space_in))
        super().__init__(
            (space_in, space_out), SO3Transform(space_in, lmax), product, InverseSO3Transform(space_out, lmax)
        )


class SO3ToS2Conv(_Conv):
    """Convolution from SO(3) back to the sphere: each pose spreads the filter about itself; the last layer of a
    segmentation.

    Equation: ``y_o(ω) = b_o + Σ_c ∫ x_c(Q) ψ_oc(Q⁻¹ω) dQ``; on coefficients
    ``z_lm = Σ_c sqrt(8π²/(2l + 1)) Σ_n x_lmn ψ_ln``. A filter on SO(3) whose columns are summed, as published, reaches
    the same maps with more parameters: only the sums act.

    Shapes: (B, in_channels, n_orientations, nlat, nlon) → (B, out_channels, nlat', nlon'). Symmetry, arguments, memory,
    initial scale, errors: as ``S2Conv``. Source: arXiv 2202.03990; pinned by ``tests/nn/test_so3_conv.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_in: OrientedGrid,
        space_out: SphereGrid,
        kernel: Kernel | None = None,
        bias: bool = True,
    ) -> None:
        lmax = _degrees(self, space_in, space_out, (OrientedGrid, SphereGrid))
        product = SO3ToS2Product(in_channels, out_channels, lmax, kernel, bias, band_limit(space_in))
        super().__init__((space_in, space_out), SO3Transform(space_in, lmax), product, InverseSHT(space_out, lmax))

"""Layers of samples between two products of coefficients on SO(3)."""

from __future__ import annotations

from torch import Tensor, nn

from armillary.harmonics import InverseSO3Transform, SO3Transform
from armillary.nn.recompute import recomputed
from armillary.spaces import OrientedGrid


class SO3Samples(nn.Module):
    """From coefficients to samples on SO(3), through a layer there, and back: ``F layer(F⁻¹ c)``.

    A convolution is a product of coefficients, a norm and a nonlinearity act on samples. Between them coefficients are
    the smaller, by 3 or 6 (docs/s2cnn.md counts): with ``recompute`` they are all that is kept for the backward pass,
    and the samples are made again there. A space that holds more than ``lmax_out`` oversamples the layer.

    Shapes: (B, C, SO3Blocks(lmax_in).size) complex → (B, C', SO3Blocks(lmax_out).size); ``layer`` maps
    (B, C, *space.shape) → (B, C', *space.shape).
    Raises: ValueError where the space cannot hold one of the degrees. Pinned by ``tests/nn/test_so3_samples.py``.
    """

    def __init__(
        self, layer: nn.Module, space: OrientedGrid, lmax_in: int, lmax_out: int, recompute: bool = False
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.body = nn.Sequential(InverseSO3Transform(space, lmax_in), layer, SO3Transform(space, lmax_out))

    def forward(self, coefficients: Tensor) -> Tensor:
        return recomputed(self.body, coefficients) if self.recompute else self.body(coefficients)

    def extra_repr(self) -> str:
        return "samples made again in the backward pass" if self.recompute else ""

"""S2CNN: networks of convolutions on the sphere and SO(3), for segmentation and classification.

Between two products of coefficients a function is synthesised on samples of SO(3), normalised, passed through ReLU, and
analysed again: with ``recompute`` only coefficients are kept for the backward pass.

Source: Cohen et al. 2018 (arXiv 1801.10130); the segmentation network: Gerken et al. 2022 (arXiv 2202.03990).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from armillary.harmonics import SHT, InverseSHT, InverseSO3Transform
from armillary.nn import (
    FieldDropout,
    LocalKernel,
    S2Product,
    SO3Product,
    SO3Samples,
    SO3ToS2Product,
    SphereBatchNorm,
    SphereMean,
)
from armillary.spaces import GaussLegendre, OrientedGrid, SphereGrid

FEATURES = (11, 12, 13, 14, 13, 12, 11)
"""Channels of the published segmentation network, for which ``bandlimits(50, 7)`` are 42 35 27 20 27 35 42."""


def bandlimits(input_bandlimit: int, layers: int, ascending: bool = True) -> tuple[int, ...]:
    """Band limits of the layers as in the published network: in equal steps from 0.84 of the input's to 0.4 of it at
    the middle layer and back, or at the last layer where they do not ascend again.

    Raises: ValueError for less than one layer.
    """
    if layers < 1:
        raise ValueError(f"got {layers} layers, wanted at least 1.")
    down = (layers + 1) // 2 if ascending else layers
    steps = [0.84 - 0.44 * i / max(1, down - 1) for i in range(down)]
    fractions = steps + steps[: layers - down][::-1] if ascending else steps
    return tuple(max(2, round(f * input_bandlimit)) for f in fractions)


class S2CNNLayers(nn.Module):
    """The body of both networks: field on the sphere → coefficients on SO(3) before the last nonlinearity.

    ``space`` is where the last features are sampled, ``lmax`` their degree before.
    """

    def __init__(
        self,
        in_channels: int,
        grid: SphereGrid,
        features: Sequence[int],
        limits: Sequence[int],
        kernel_rings: int,
        rings: float,
        oversample: float,
        dropout: float,
        recompute: bool,
    ) -> None:
        super().__init__()
        if not features or len(features) != len(limits) or min(limits) < 2:
            raise ValueError(
                f"got features {tuple(features)} and bandlimits {tuple(limits)}, wanted one bandlimit of at least 2 "
                f"for each layer."
            )
        if not 1 <= oversample < math.inf:
            raise ValueError(f"got oversample = {oversample}, wanted a factor >= 1 (1: no oversampling).")
        self.in_channels, self.grid = in_channels, grid
        self.oversample, self.dropout, self.recompute = oversample, dropout, recompute
        lmax = min(grid.lmax, limits[0] - 1)
        self.analysis = SHT(grid, lmax)
        kernels = [local_kernel(kernel_rings, rings, limit) for limit in limits]
        self.first = S2Product(in_channels, features[0], lmax, kernels[0], bias=False, input_lmax=grid.lmax)
        self.samples, self.products = nn.ModuleList(), nn.ModuleList()
        for i in range(1, len(features)):
            before, lmax_in, lmax = limits[i - 1] - 1, lmax, min(limits[i - 1], limits[i]) - 1
            space = self.sampling(limits[i - 1])
            self.samples.append(SO3Samples(self.pointwise(features[i - 1], space), space, lmax_in, lmax, recompute))
            self.products.append(SO3Product(features[i - 1], features[i], lmax, kernels[i], False, before))
        self.space, self.lmax = self.sampling(limits[-1]), lmax

    def sampling(self, limit: int) -> OrientedGrid:
        """The samples for a band limit: 4·(oversample · limit)³ of them."""
        size = math.ceil(self.oversample * limit)
        return OrientedGrid(GaussLegendre(size, 2 * size), 2 * size)

    def pointwise(self, channels: int, space: OrientedGrid) -> nn.Module:
        """What acts on samples."""
        return nn.Sequential(SphereBatchNorm(channels, space), nn.ReLU(inplace=True), FieldDropout(self.dropout))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, the network was built for (batch, {self.in_channels}, nlat, nlon)."
            )
        c = self.first(self.analysis(x))
        for samples, product in zip(self.samples, self.products, strict=True):
            c = product(samples(c))
        return c


def local_kernel(kernel_rings: int, rings: float, limit: int) -> LocalKernel:
    """Points within ``rings`` rings of a grid of band limit ``limit``, π/limit each, but within a quarter circle."""
    return LocalKernel(min(math.pi / 2, rings * math.pi / limit), kernel_rings)


class S2CNNSegmenter(nn.Module):
    """S2CNN for segmentation and regression: (B, in_channels, nlat, nlon) → (B, out_channels, nlat, nlon).

    ``features`` and ``limits`` are the channels and band limits of the layers on SO(3), of equal number; ``limits``
    default to ``bandlimits``. Filters are local: ``kernel_rings`` rings of 8 points, 8 turns each, within ``rings``
    rings of π over the layer's band limit. ``oversample`` samples each layer so much finer, for ReLU;
    ``dropout`` drops whole features; ``recompute`` keeps coefficients only.

    Symmetry: exact under SO(3) but for the aliasing of ReLU, which falls with ``oversample``. The output has the
    degrees of the last layer, ``limits[-1] - 1``.
    Raises: ValueError for features and limits that do not fit, an oversample below 1, or an input of another number of
    channels or off the grid.
    Source: arXiv 2202.03990, whose network is ``features=FEATURES`` on a grid of band limit 50; pinned by
    ``tests/models/test_s2cnn.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        features: Sequence[int] = FEATURES,
        limits: Sequence[int] | None = None,
        kernel_rings: int = 3,
        rings: float = 3.0,
        oversample: float = 1.0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        limits = limits or bandlimits(grid.lmax + 1, len(features))
        self.body = S2CNNLayers(
            in_channels, grid, features, limits, kernel_rings, rings, oversample, dropout, recompute
        )
        lmax, space = min(grid.lmax, limits[-1] - 1), self.body.space
        layer = self.body.pointwise(features[-1], space)
        self.samples = SO3Samples(layer, space, self.body.lmax, lmax, recompute)
        kernel = local_kernel(kernel_rings, rings, limits[-1])
        self.last = SO3ToS2Product(features[-1], out_channels, lmax, kernel, input_lmax=limits[-1] - 1)
        self.synthesis = InverseSHT(grid, lmax)

    def forward(self, x: Tensor) -> Tensor:
        return self.synthesis(self.last(self.samples(self.body(x))))


class S2CNNClassifier(nn.Module):
    """S2CNN with an invariant head: (B, in_channels, nlat, nlon) → (B, out_channels).

    The features of the last layer are averaged over SO(3), then mixed by a linear map. Arguments, symmetry and errors
    as for ``S2CNNSegmenter``; ``limits`` default to ``bandlimits(..., ascending=False)``. Samples of the last layer are
    kept, with ``recompute`` too.
    Source: arXiv 2202.03990; that the sizes are those of the first half of the segmentation network is an assumption.
    Pinned by ``tests/models/test_s2cnn.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        features: Sequence[int] = FEATURES[:4],
        limits: Sequence[int] | None = None,
        kernel_rings: int = 3,
        rings: float = 3.0,
        oversample: float = 1.0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        limits = limits or bandlimits(grid.lmax + 1, len(features), ascending=False)
        self.body = S2CNNLayers(
            in_channels, grid, features, limits, kernel_rings, rings, oversample, dropout, recompute
        )
        space = self.body.space
        self.head = nn.Sequential(
            InverseSO3Transform(space, self.body.lmax),
            self.body.pointwise(features[-1], space),
            SphereMean(space),
            nn.Linear(features[-1], out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

"""Networks of needlet convolutions: from a field on the sphere to a field, or to numbers that no rotation changes.

Each layer acts on all needlet bands, so one network sees all scales; no pooling and no U-shape is needed. Features are
kept as coefficients: the bands of a shrinkage have grids of their own, coarse where a band is coarse.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armillary.harmonics import SHT, FilterBank, InverseSHT, MeyerBank, Needlets, SO3Needlets, SphereNeedlets
from armillary.nn import (
    NeedletInvariants,
    NeedletLift,
    NeedletProject,
    NeedletShrinkage,
    SO3NeedletConv,
    SphereNeedletConv,
)
from armillary.nn.needlet import check_channels
from armillary.spaces import SphereGrid


def _widths(name: str, widths: Sequence[int]) -> tuple[int, ...]:
    """As a tuple. Raises: ValueError where there are none."""
    if len(widths) == 0:
        raise ValueError(f"{name}: got no widths, wanted the channels of at least one layer.")
    return tuple(widths)


def _check_input(x: Tensor, channels: int, grid: SphereGrid, name: str) -> None:
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"x has shape {tuple(x.shape)}, this {name} wants (batch, {channels}, nlat, nlon).")
    grid.check_field(x, f"this {name}")


class SphereNeedletNet(nn.Module):
    """Fields on the sphere to fields on the sphere: zonal needlet convolutions with shrinkage between them.

        h_0 = T(Ψ_0 x),    h_{k+1} = T(Ψ_{k+1} h_k) + h_k where widths are equal,    y = Ψ h_last + Ψ' x,

    on coefficients up to ``lmax`` (that of the grid by default); T is ``NeedletShrinkage``. The last term is linear:
    where shrinkage leaves no details the network is a linear filter of each band. What x has beyond ``lmax`` does not
    pass. The cheapest of these networks: cost O(lmax³) for each channel.

    Example: ``SphereNeedletNet(2, 1, GaussLegendre(64), widths=(16, 16), levels=4, profiles=4)``.

    Shapes: (B, in_channels, nlat, nlon) → (B, out_channels, nlat, nlon) on ``grid``. ``levels`` and ``bank`` as for
    ``Needlets``, ``profiles`` the multipliers of each band as functions of the degree (``SphereNeedletConv``),
    ``oversample`` that of the grids of shrinkage, ``threshold`` its λ at the start.
    Raises: ValueError for no widths, an lmax that the grid does not hold, x on another grid.
    Source: Yi et al. 2022 (arXiv 2206.10385), with layers on the sphere; pinned by ``tests/models/test_needlets.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        widths: Sequence[int] = (16, 16),
        *,
        lmax: int | None = None,
        bank: FilterBank | None = None,
        levels: int | None = None,
        profiles: int = 2,
        oversample: float = 1.0,
        threshold: float = 0.05,
    ) -> None:
        super().__init__()
        widths = _widths("SphereNeedletNet", widths)
        self.in_channels, self.out_channels, self.grid = in_channels, out_channels, grid
        self.analysis, self.synthesis = SHT(grid, lmax), InverseSHT(grid, lmax)
        needlets = Needlets(self.analysis.lmax, bank or MeyerBank(), levels)  # type: ignore[arg-type]
        transform = SphereNeedlets(needlets, oversample)
        self.convolutions, self.activations = nn.ModuleList(), nn.ModuleList()
        for before, width in itertools.pairwise((in_channels, *widths)):
            self.convolutions.append(SphereNeedletConv(before, width, needlets, profiles))
            self.activations.append(NeedletShrinkage(width, transform, threshold))
        self.last = SphereNeedletConv(widths[-1], out_channels, needlets, profiles)
        self.direct = SphereNeedletConv(in_channels, out_channels, needlets, profiles, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        _check_input(x, self.in_channels, self.grid, "SphereNeedletNet")
        start = h = self.analysis(x)
        for k, (convolution, activation) in enumerate(zip(self.convolutions, self.activations, strict=True)):
            y = activation(convolution(h))
            h = y + h if k > 0 and y.shape == h.shape else y
        out: Tensor = self.synthesis(self.last(h) + self.direct(start))
        return out


class SO3NeedletNet(nn.Module):
    """Fields on the sphere to fields on the sphere by features on SO(3): filters that are not axisymmetric.

        h_0 = T(lift x),    h_{k+1} = T(Ψ_{k+1} h_k) + h_k where widths are equal,    y = project h_last + Ψ' x,

    as ``SphereNeedletNet`` otherwise. Cost O(lmax⁴) for each channel: for lmax up to about 30 on a CPU.

    Shapes: (B, in_channels, nlat, nlon) → (B, out_channels, nlat, nlon) on ``grid``. ``nmax``: the highest order of
    the filters in the orientation; the rest as for ``SphereNeedletNet``.
    Raises: ValueError for no widths, lmax that the grid does not hold, nmax beyond lmax, x on another grid.
    Source: Yi et al. 2022 (arXiv 2206.10385); pinned by ``tests/models/test_needlets.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        widths: Sequence[int] = (8, 8),
        *,
        nmax: int = 2,
        lmax: int | None = None,
        bank: FilterBank | None = None,
        levels: int | None = None,
        profiles: int = 2,
        oversample: float = 1.0,
        threshold: float = 0.05,
    ) -> None:
        super().__init__()
        widths = _widths("SO3NeedletNet", widths)
        self.in_channels, self.out_channels, self.grid = in_channels, out_channels, grid
        self.analysis, self.synthesis = SHT(grid, lmax), InverseSHT(grid, lmax)
        needlets = Needlets(self.analysis.lmax, bank or MeyerBank(), levels)  # type: ignore[arg-type]
        self.layers = _so3_layers(in_channels, widths, needlets, nmax, profiles)
        transform = SO3Needlets(needlets, oversample)
        self.activations = nn.ModuleList(NeedletShrinkage(width, transform, threshold) for width in widths)
        self.last = NeedletProject(widths[-1], out_channels, needlets, nmax, profiles)
        self.direct = SphereNeedletConv(in_channels, out_channels, needlets, profiles, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        _check_input(x, self.in_channels, self.grid, "SO3NeedletNet")
        start = h = self.analysis(x)
        for layer, activation in zip(self.layers, self.activations, strict=True):
            y = activation(layer(h))
            h = y + h if y.shape == h.shape else y
        out: Tensor = self.synthesis(self.last(h) + self.direct(start))
        return out


def _so3_layers(
    in_channels: int, widths: tuple[int, ...], needlets: Needlets, nmax: int, profiles: int
) -> nn.ModuleList:
    """A lift to SO(3), and convolutions on it."""
    lift = NeedletLift(in_channels, widths[0], needlets, nmax, profiles)
    convolutions = [SO3NeedletConv(a, b, needlets, nmax, profiles) for a, b in itertools.pairwise(widths)]
    return nn.ModuleList([lift, *convolutions])


class NeedletRegressor(nn.Module):
    """Fields on the sphere to numbers that no rotation changes: SO(3) needlet layers and an invariant head.

        h_0 = lift x,    h_{k+1} = Ψ_{k+1} T(h_k),    y = MLP(invariants of h_0, …, h_last),

    T is ``NeedletShrinkage``, the invariants of each h_k the means and the strengths of the needlet bands
    (``NeedletInvariants``). These are exact; what is left of the dependence on rotations is the aliasing of T.
    Shrinkage passes the mean of a field unchanged, so an average over SO(3), the usual head, would make the whole
    network linear; the strengths of the bands are what makes it see.

    Shapes: (B, in_channels, nlat, nlon) on ``grid`` → (B, out_features). ``hidden`` is the width of the MLP, which has
    one hidden layer; the rest as for ``SO3NeedletNet``.
    Raises: ValueError for no widths, out_features or hidden < 1, lmax that the grid does not hold, nmax beyond lmax, x
    on another grid.
    Source: Yi et al. 2022 (arXiv 2206.10385), with another head; pinned by ``tests/models/test_needlets.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_features: int,
        grid: SphereGrid,
        widths: Sequence[int] = (8, 8),
        *,
        nmax: int = 2,
        lmax: int | None = None,
        bank: FilterBank | None = None,
        levels: int | None = None,
        profiles: int = 1,
        oversample: float = 1.0,
        threshold: float = 0.05,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        widths = _widths("NeedletRegressor", widths)
        check_channels("NeedletRegressor", out_features=out_features, hidden=hidden)
        self.in_channels, self.out_features, self.grid = in_channels, out_features, grid
        self.analysis = SHT(grid, lmax)
        needlets = Needlets(self.analysis.lmax, bank or MeyerBank(), levels)  # type: ignore[arg-type]
        self.layers = _so3_layers(in_channels, widths, needlets, nmax, profiles)
        transform = SO3Needlets(needlets, oversample)
        self.activations = nn.ModuleList(NeedletShrinkage(width, transform, threshold) for width in widths[:-1])
        invariants = [NeedletInvariants(width, needlets) for width in widths]
        self.invariants = nn.ModuleList(invariants)
        features = sum(layer.features for layer in invariants)
        self.head = nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, out_features))

    def forward(self, x: Tensor) -> Tensor:
        _check_input(x, self.in_channels, self.grid, "NeedletRegressor")
        h = self.layers[0](self.analysis(x))
        found = [self.invariants[0](h)]
        for k, activation in enumerate(self.activations, 1):
            h = self.layers[k](activation(h))
            found.append(self.invariants[k](h))
        out: Tensor = self.head(torch.cat(found, dim=-1))
        return out

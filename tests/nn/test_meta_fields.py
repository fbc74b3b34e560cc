"""Layers of fields of spin, of points and of finite groups, built on the meta device and filled: constants survive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from armillary.groups import Degrees, FieldType, Orders, Subgroup, octahedral, regular
from armillary.nn import (
    DiscoConv,
    FieldConv,
    FieldPointwise,
    FourierAzimuth,
    MagnitudeBatchNorm,
    PointConv,
    RotationPointwise,
    SpinBatchNorm,
    SpinConv,
    SpinInvariants,
    SpinPointwise,
    SteerableDiscoConv,
)
from armillary.spaces import Equiangular, GaussLegendre

# sizes that no other test has: caches are not to hold what is made here
SPINS, GAUSS, RINGS = Orders.of({-1: 1, 0: 2, 2: 1}), GaussLegendre(7, 17), Equiangular(9, 22)
GROUP = octahedral()
FIELD = FieldType(
    Subgroup(GROUP, [int(np.flatnonzero(GROUP.element_orders == 4)[0])]),
    regular(Subgroup(GROUP, [int(np.flatnonzero(GROUP.element_orders == 4)[0])]).as_group),
)


class Cloud(nn.Module):
    """A convolution of five points, each with all for neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = PointConv(Degrees.of({0: 1, 2: 1}), Degrees.of({1: 2}), 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x, x[:, :3], torch.arange(5).expand(5, 5))


CASES: list[tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = [
    ("SpinConv", lambda: SpinConv(SPINS, Orders.upto(1, 2), GAUSS, profiles=3), (2, 8, 7, 17)),
    ("SpinConv of pixels", lambda: SpinConv(SPINS, Orders.image(2), RINGS), (2, 8, 9, 22)),
    ("SpinPointwise", lambda: SpinPointwise(nn.GELU(), SPINS, GAUSS, 5), (2, 8, 7, 17)),
    ("SpinInvariants", lambda: SpinInvariants(SPINS), (2, 8, 7, 17)),
    ("SpinBatchNorm", lambda: SpinBatchNorm(SPINS, GAUSS), (2, 8, 7, 17)),
    ("MagnitudeBatchNorm", lambda: MagnitudeBatchNorm(SPINS, RINGS), (2, 8, 9, 22)),
    ("SteerableDiscoConv", lambda: SteerableDiscoConv(SPINS, Orders.upto(1, 2), RINGS), (2, 8, 9, 22)),
    ("DiscoConv", lambda: DiscoConv(2, 3, GAUSS, basis=FourierAzimuth(2, 1)), (2, 2, 7, 17)),
    ("RotationPointwise", lambda: RotationPointwise(nn.GELU(), Degrees.of({0: 2, 1: 6}), 5), (4, 20)),
    ("PointConv", Cloud, (5, 6)),
    ("FieldConv", lambda: FieldConv(2, 1, FIELD, FIELD), (3, 2, 6, 4)),
    ("FieldPointwise", lambda: FieldPointwise(torch.tanh, FIELD), (3, 2, 6, 4)),
]


@pytest.mark.parametrize(("make", "shape"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_built_on_meta_and_filled(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        empty = make()
    assert all(p.is_meta for p in empty.parameters())
    source, x = make().double().train(), torch.randn(shape, dtype=torch.float64)
    source(x)
    for network in (empty.to_empty(device="cpu"), make().to("meta").to_empty(device="cpu")):
        network.double().load_state_dict(source.state_dict())
        torch.testing.assert_close(network.eval()(x), source.eval()(x), rtol=0, atol=1e-13)

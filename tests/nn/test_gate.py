"""The gate: the contract, its equation, e3nn's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.groups import Irreps, from_e3nn, to_e3nn
from armillary.nn import Gate
from armillary.testing import FeatureSymmetry, check_layer

IRREPS = Irreps("3x0e+2x1o+1x0o+4x2e+2x0e+1x1e")


@pytest.mark.parametrize("irreps", [IRREPS, Irreps("4x0e"), Irreps("2x1o+1x3e")])
def test_contract(irreps: Irreps) -> None:
    layer = Gate(irreps, nn.SiLU())
    check_layer(layer, FeatureSymmetry(layer.irreps_in, irreps), tolerance=1e-12)


def test_equation() -> None:
    layer = Gate(Irreps("2x1o+1x0e+1x0o"), torch.sin, torch.cos)
    assert layer.irreps_in == Irreps("1x0e+3x0e+2x1o+1x0o")
    scalar, gates = torch.tensor([0.3]), torch.tensor([0.1, 0.2, 0.4])
    vectors, odd = torch.arange(6.0).view(3, 2), torch.tensor([5.0])
    got = layer(torch.cat([scalar, gates, vectors.flatten(), odd]))
    wanted = [(vectors * gates[:2].cos()).flatten(), scalar.sin(), odd * gates[2:].cos()]
    torch.testing.assert_close(got, torch.cat(wanted))
    assert Gate(Irreps("2x0e")).irreps_in == Irreps("2x0e")


def test_is_that_of_e3nn() -> None:
    e3nn_nn = pytest.importorskip("e3nn.nn")
    irreps = Irreps("3x0e+2x1o+1x2e")
    layer = Gate(irreps, torch.tanh, torch.sigmoid)
    other = e3nn_nn.Gate("3x0e", [torch.tanh], "3x0e", [torch.sigmoid], "2x1o+1x2e")
    x = torch.randn(7, layer.irreps_in.dim, generator=torch.Generator().manual_seed(0)).double()
    y = from_e3nn(other.double()(to_e3nn(x, layer.irreps_in)), irreps)
    normal = torch.randn(1_000_000, generator=torch.Generator().manual_seed(1))
    scales = [normal.tanh().square().mean() ** -0.5, normal.sigmoid().square().mean() ** -0.5]  # e3nn's normalisation
    factor = torch.cat([scales[0].expand(3), scales[1].expand(11)])
    torch.testing.assert_close(y, layer(x) * factor, rtol=3e-3, atol=0)


def test_errors() -> None:
    with pytest.raises(ValueError, match="Gate wants"):
        Gate(IRREPS)(torch.zeros(3, IRREPS.dim))
    with pytest.raises(ValueError, match="turned shape"):
        Gate(IRREPS, lambda x: x[..., :1])(torch.zeros(3, Gate(IRREPS).irreps_in.dim))

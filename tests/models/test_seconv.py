"""Steerable convolutions with residuals: their formula, motions, linearity, hard inputs, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from armillary.groups import Irreps
from armillary.models import SEConv
from armillary.models.segnn import steerable_attributes
from armillary.testing import PointMap, PointSymmetry, check_layer

EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1, 2, 3], [1, 0, 0, 2, 1, 2, 4, 4, 2]])  # nothing goes to 3
IN, OUT = Irreps("2x0e+1x1o"), Irreps("1x0e+2x1o")


def network(**choices: Any) -> SEConv:
    torch.manual_seed(0)
    return SEConv(IN, OUT, "6x0e+3x1o", **{"layers": 2, "neighbours": 2, "edge_scalars": 1, **choices})


def call(net: SEConv, f: Tensor, x: Tensor) -> Tensor:
    v = IN.split(f)[1][:, [2, 0, 1]].mT
    return net(f, x, EDGES, (v[EDGES[0]] * v[EDGES[1]]).sum(-1), v)


@pytest.mark.parametrize("convolution", ["linear", "nonlinear"])
def test_the_contract(convolution: str) -> None:
    layer = PointMap(network(convolution=convolution), call)
    check_layer(layer, PointSymmetry(IN, OUT, 5), tolerance=1e-12, compile=False)


@pytest.mark.parametrize("convolution", ["linear", "nonlinear"])
def test_one_layer_is_its_formula(convolution: str) -> None:
    net = network(layers=1, convolution=convolution).double()
    f, x, s = torch.randn(5, IN.dim).double(), torch.randn(5, 3).double(), torch.randn(9, 1).double()
    r = x[EDGES[0]] - x[EDGES[1]]
    a = steerable_attributes(r[:, None], 1)
    nodes = torch.stack([a[EDGES[1] == i].mean(0) if (EDGES[1] == i).any() else 0 * a[0] for i in range(5)])
    h = net.embedding(f, nodes)
    products, gates = net.messages[0].mlp.products, net.messages[0].mlp.gates
    heard = torch.zeros(5, net.gate.irreps_in.dim).double()
    for e, (j, i) in enumerate(EDGES.T.tolist()):
        m = products[0](torch.cat([h[i], h[j], r[e].norm()[None], s[e]])[None], a[e : e + 1])
        if convolution == "nonlinear":
            m = products[1](gates[0](m), a[e : e + 1])
        heard[i] += m[0] / 2
    torch.testing.assert_close(net(f, x, EDGES, s), net.head(h + net.gate(heard), nodes), rtol=0, atol=1e-12)


def test_which_is_linear() -> None:
    a, s = steerable_attributes(torch.randn(9, 1, 3).double(), 1), torch.randn(9, 2).double()
    for convolution in ("linear", "nonlinear"):
        messages = network(convolution=convolution).double().messages[0]
        f, g = torch.randn(2, 5, 15).double()
        ends = [messages(h, t, a, EDGES) for h, t in ((f + g, s), (f, s), (g, 0 * s), (0 * f, 0 * s))]
        same = torch.allclose(ends[0], ends[1] + ends[2] - ends[3], rtol=0, atol=1e-12)
        assert same == (convolution == "linear")


def test_it_compiles_and_has_two_derivatives() -> None:
    net, f, s = network(layers=1).double(), torch.randn(5, IN.dim).double(), torch.randn(9, 1).double()
    x = torch.randn(5, 3).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: net(f, x, EDGES, s).square().sum(), (x,), fast_mode=True)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(f, x, EDGES, s), net(f, x, EDGES, s), rtol=0, atol=1e-12)
    for still in (torch.zeros(5, 3), 1e6 * torch.randn(5, 3)):
        at = still.double().requires_grad_()
        assert torch.autograd.grad(net(f, at, EDGES, s).sum(), at)[0].isfinite().all()
    assert net(f[:1], x[:1], EDGES[:, :0], s[:0]).isfinite().all()


def test_errors() -> None:
    with pytest.raises(ValueError, match="got convolution = 'tfn'"):
        network(convolution="tfn")
    with pytest.raises(ValueError, match="layers = 0"):
        network(layers=0)
    with pytest.raises(ValueError, match="neighbours = 0"):
        network(neighbours=0)
    with pytest.raises(ValueError, match="SEConv wants"):
        network()(torch.zeros(5, 4), torch.zeros(5, 3), EDGES)
    with pytest.raises(ValueError, match="edge_scalars have shape None"):
        network()(torch.zeros(5, 5), torch.zeros(5, 3), EDGES)

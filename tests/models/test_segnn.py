"""SEGNN: every ablation under O(3) and translations, its layers, attributes and centring, errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.models import SEGNN, SteerableMLP
from armillary.models.segnn import centred, centred_as_published, steerable_attributes
from armillary.ops.real_harmonics import spherical_harmonics
from armillary.testing import FeatureSymmetry, PointMap, PointSymmetry, check_layer, commutation_error

EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1, 2, 3], [1, 0, 0, 2, 1, 2, 4, 4, 2]])  # nothing goes to 3
IN, OUT = Irreps("2x0e+1x1o"), Irreps("1x0e+2x1o")
CHOICES: list[dict[str, Any]] = [
    {},
    {"messages": "linear"},
    {"attributes": "edges"},
    {"messages": "linear", "attributes": "edges"},
    {"sent": "5x0e"},
    {"lmax": 2, "hidden": "4x0e+3x1o+2x2e+1x1e"},
    {"lmax": 3, "hidden": "4x0e+2x1o+2x3o", "layers": 1},
]


def network(**choices: Any) -> SEGNN:
    torch.manual_seed(0)
    hidden = choices.pop("hidden", "6x0e+3x1o")
    return SEGNN(IN, OUT, hidden, **{"layers": 2, "neighbours": 2, **choices})


def vectors_of(x: Tensor) -> Tensor:
    """The vector among the features of IN, in x, y, z, as one vector of each node."""
    return IN.split(x)[1][:, [2, 0, 1]].mT


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_every_ablation_keeps_the_contract(choices: dict[str, Any]) -> None:
    layer = PointMap(network(**choices), lambda net, f, x: net(f, x, EDGES))
    check_layer(layer, PointSymmetry(IN, OUT, 5), tolerance=1e-12, compile=False)


def test_it_compiles_whole() -> None:
    net, x = network(layers=1).double(), torch.randn(5, 3).double()
    f = torch.randn(5, IN.dim).double()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(f, x, EDGES), net(f, x, EDGES), rtol=0, atol=1e-12)


def test_vectors_of_nodes_and_edges_steer() -> None:
    def call(net: nn.Module, f: Tensor, x: Tensor) -> Tensor:
        v = vectors_of(f)
        return net(f, x, EDGES, (v[EDGES[0]] * v[EDGES[1]]).sum(-1), v, v[EDGES[0]] - v[EDGES[1]])

    net = network(edge_scalars=1)
    symmetry = PointSymmetry(IN, OUT, 5)
    assert commutation_error(PointMap(net, call), symmetry) < 1e-12
    x = symmetry.inputs(1, torch.Generator().manual_seed(0))[0].float()
    f, at = x[:, 3:], x[:, :3]
    scalars = torch.ones(9, 1)
    assert not torch.allclose(net(f, at, EDGES, scalars), net(f, at, EDGES, scalars, vectors_of(f)))


def test_an_invariant_network_sees_distances_only() -> None:
    net = SEGNN("2x0e", "1x0e", "6x0e", lmax=0, layers=2)
    f, x = torch.randn(5, 2), torch.randn(5, 3)
    R = torch.linalg.qr(torch.randn(3, 3))[0]
    torch.testing.assert_close(net(f, x @ R.T, EDGES), net(f, x, EDGES))


def test_pooling_is_over_graphs() -> None:
    total, mean = network(pool="sum"), network(pool="mean")
    mean.load_state_dict(total.state_dict())
    f, x = torch.randn(10, IN.dim), torch.randn(10, 3)
    edges, batch = torch.cat([EDGES, EDGES + 5], 1), torch.arange(10) // 5
    both = total(f, x, edges, batch=batch)
    one = total(f[5:], x[5:], EDGES)
    torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mean(f, x, edges, batch=batch, graphs=2) * 5, both, rtol=1e-4, atol=1e-4)


def test_steerable_mlp_keeps_the_contract() -> None:
    irreps, out = Irreps("3x0e+2x1o"), Irreps("2x0e+2x1o")

    class Joined(nn.Module):
        def __init__(self, last: str) -> None:
            super().__init__()
            self.mlp = SteerableMLP(irreps, Irreps.natural(2), ["4x0e+2x1o+2x2e", out], last)  # type: ignore[arg-type]

        def forward(self, x: Tensor) -> Tensor:
            return self.mlp(*x.split([irreps.dim, x.shape[1] - irreps.dim], 1))

    for last in ("gated", "linear"):
        check_layer(Joined(last), FeatureSymmetry(irreps + Irreps.natural(2), out), tolerance=1e-12, compile=False)
    with pytest.raises(ValueError, match="no widths"):
        SteerableMLP(irreps, "0e", [])
    with pytest.raises(ValueError, match="'gated' or 'linear'"):
        SteerableMLP(irreps, "0e", [out], "none")  # type: ignore[arg-type]


def test_messages_mixed_at_points_are_those_of_edges() -> None:
    net = network().double()
    messages = net.messages[0]
    f, s = torch.randn(5, net.hidden.dim).double(), torch.randn(9, 1).double()
    a = steerable_attributes(torch.randn(9, 1, 3).double(), 1)
    inputs = torch.cat([f[EDGES[1]], f[EDGES[0]], s], 1)
    wanted = torch.zeros_like(f).index_add(0, EDGES[1], messages.mlp(inputs, a))
    torch.testing.assert_close(messages(f, s, a, EDGES), wanted, rtol=0, atol=1e-12)


def test_linear_messages_are_linear() -> None:
    messages = network(messages="linear").double().messages[0]
    f, g = torch.randn(2, 5, 15).double()
    s, a = torch.randn(9, 1).double(), steerable_attributes(torch.randn(9, 1, 3).double(), 1)
    both = messages(2 * f + g, s, a, EDGES)
    torch.testing.assert_close(both, 2 * messages(f, s, a, EDGES) + messages(g, s, a, EDGES), rtol=0, atol=1e-12)


def test_attributes_of_nodes() -> None:
    net, r = network(), torch.randn(5, 3)
    a = steerable_attributes(r[EDGES[0], None] - r[EDGES[1], None], 1)
    found = net._node_attributes(a, EDGES[1], r, r[:, None])
    Y = math.sqrt(4 * math.pi) * spherical_harmonics(1, r)
    torch.testing.assert_close(found[2], (a[EDGES[1] == 2].mean(0) + Y[2]) / 2)
    torch.testing.assert_close(found[3], Y[3] / 2)


def test_centring() -> None:
    x, batch = torch.randn(6, 3).double() + 5, torch.tensor([0, 0, 1, 1, 1, 1])
    moved = centred(x, batch, 2)
    torch.testing.assert_close(moved[:2], x[:2] - x[:2].mean(0))
    torch.testing.assert_close(centred(x), x - x.mean(0))
    R = torch.linalg.qr(torch.randn(3, 3).double())[0]
    torch.testing.assert_close(centred(x @ R.T + 1, batch, 2), moved @ R.T)
    torch.testing.assert_close(centred_as_published(x).sum(1), torch.zeros(6).double())
    assert not torch.allclose(centred_as_published(x @ R.T), centred_as_published(x) @ R.T)


def test_second_derivatives_in_positions() -> None:
    net = SEGNN("1x0e", "1x0e", "2x0e+1x1o", layers=1, pool="sum").double()
    f, x = torch.ones(3, 1).double(), torch.randn(3, 3).double().requires_grad_()
    edges = torch.tensor([[0, 1, 2, 0], [1, 0, 1, 2]])
    assert torch.autograd.gradgradcheck(lambda x: net(f, x, edges), (x,))


def test_errors_say_what_is_wrong() -> None:
    f, x = torch.ones(5, IN.dim), torch.zeros(5, 3)
    net = network()
    with pytest.raises(ValueError, match="SEGNN wants"):
        net(f[:, 1:], x, EDGES)
    with pytest.raises(ValueError, match="positions"):
        net(f, x[1:], EDGES)
    with pytest.raises(ValueError, match="int64"):
        net(f, x, EDGES.float())
    with pytest.raises(ValueError, match="edge_scalars=2"):
        net(f, x, EDGES, torch.zeros(9, 2))
    with pytest.raises(ValueError, match="node_vectors have shape"):
        net(f, x, EDGES, node_vectors=x)
    with pytest.raises(ValueError, match=r"edge_vectors have shape \(9, 3\), wanted \(9, K, 3\)"):
        net(f, x, EDGES, edge_vectors=torch.zeros(9, 3))
    with pytest.raises(ValueError, match=r"batch has shape \(4,\), wanted \(5,\)"):
        network(pool="sum")(f, x, EDGES, batch=torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="does not look"):
        network(attributes="edges")(f, x, EDGES, node_vectors=x[:, None])
    for name, value in (("messages", "none"), ("attributes", "nodes"), ("pool", "max")):
        with pytest.raises(ValueError, match=f"got {name}"):
            network(**{name: value})
    with pytest.raises(ValueError, match="neighbours"):
        network(neighbours=0)
    with pytest.raises(ValueError, match="no path leads"):
        SEGNN("1x0e", "1x0o", "2x0e+1x1o")

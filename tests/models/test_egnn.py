"""EGNN: motions of space, the layer's equation, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.models import EGNN
from armillary.testing import PointMap, PointSymmetry, check_layer

EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1, 2, 3], [1, 0, 0, 2, 1, 2, 4, 4, 2]])
VECTOR = Irreps("1o")


def displaced(net: nn.Module, f: Tensor, x: Tensor) -> Tensor:
    """What the network adds to positions, in (y, z, x), the velocity being the feature."""
    v = f[:, [2, 0, 1]]
    return (net(v.square().sum(1, keepdim=True), x, v, EDGES) - x)[:, [1, 2, 0]]


def test_it_keeps_the_contract() -> None:
    torch.manual_seed(0)
    check_layer(PointMap(EGNN(1, 8, 2), displaced), PointSymmetry(VECTOR, VECTOR, 5), tolerance=1e-12, compile=False)


def test_one_layer_is_its_equation() -> None:
    net = EGNN(2, 8, 1, edge_scalars=1).double()
    f, (x, v), s = torch.randn(5, 2).double(), torch.randn(2, 5, 3).double(), torch.randn(9, 1).double()
    layer, h, wanted = net.layers[0], net.embedding(f), x.clone()
    for i in range(5):
        moves = []
        for e, (j, k) in enumerate(EDGES.T.tolist()):
            if k == i:
                r = x[i] - x[j]
                moves.append(r * layer.along(layer.message(torch.cat([h[i], h[j], (r @ r)[None], s[e]]))))
        wanted[i] += layer.drift(h[i]) * v[i] + (sum(moves) / len(moves) if moves else 0)
    torch.testing.assert_close(net(f, x, v, EDGES, s), wanted, rtol=0, atol=1e-12)


def test_errors_say_what_is_wrong() -> None:
    net, x = EGNN(1, 8, 1), torch.zeros(5, 3)
    with pytest.raises(ValueError, match="features, positions and velocities"):
        net(torch.zeros(5, 2), x, x, EDGES)
    with pytest.raises(ValueError, match="edge_scalars have shape"):
        net(torch.zeros(5, 1), x, x, EDGES, torch.zeros(9, 1))
    with pytest.raises(ValueError, match="edge_index has shape"):
        net(torch.zeros(5, 1), x, x, EDGES.T)


def test_positions_out_of_range_are_an_error() -> None:
    torch.manual_seed(0)
    net, x, f = EGNN(1, 8, 4), torch.randn(5, 3), torch.ones(5, 1)
    assert net(f, 3 * x, x, EDGES).isfinite().all()
    for far, v in ((1e12 * x, x), (x, torch.full_like(x, float("nan")))):
        with pytest.raises(ValueError, match=r"no torch.float32 is, from coordinates up to .*scale positions"):
            net(f, far, v, EDGES)

"""Maps in the frame of an edge: turns about it, reflections, rotations of space; against a direct evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import Irreps, random_rotation, rotation_about, wigner_D_real
from armillary.nn import EdgeLinear
from armillary.nn.edge_frames import edge_frames
from armillary.nn.edge_orders import EdgeOrders, OrderGate, OrderLinear
from armillary.testing import GroupAction, check_layer

MIRROR = torch.diag(torch.tensor([1.0, -1, 1], dtype=torch.float64))  # a plane through the z-axis


def natural(g: Tensor, lmax: int) -> Tensor:
    """D(g), g orthogonal, on all degrees with the parity of their harmonics."""
    sign = float(torch.linalg.det(g).sign())
    return torch.block_diag(*(sign**l * wigner_D_real(l, sign * g) for l in range(lmax + 1)))


def features(edges: int, lmax: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(edges)
    return torch.randn(edges, (lmax + 1) ** 2, channels, generator=generator, dtype=torch.float64)


def vectors(edges: int = 7) -> Tensor:
    r = torch.randn(edges, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    r[0], r[1] = torch.tensor([0.0, 0, 2]), torch.tensor([0.0, 0, -3])
    return r


@pytest.mark.parametrize(("lmax", "mmax"), [(0, 0), (1, 0), (2, 1), (3, 3), (5, 2)])
def test_rows_are_those_of_the_wigner_matrices(lmax: int, mmax: int) -> None:
    orders, r = EdgeOrders(lmax, mmax), vectors()
    Q = orders(edge_frames(r, lmax))
    assert len(orders.rows) == sum(1 for l in range(lmax + 1) for m in range(-l, l + 1) if abs(m) <= mmax)
    from armillary.ops.edge_frames import edge_rotations

    for e, R in enumerate(edge_rotations(r)):
        D = natural(R, lmax)
        expected = torch.stack([D[l * l + l + m] for l, m in orders.rows])
        torch.testing.assert_close(Q[e], expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(Q @ Q.mT, torch.eye(len(orders.rows), dtype=Q.dtype).expand(len(r), -1, -1))


def chain(orders: EdgeOrders, reflections: bool) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    gate = OrderGate(orders, 4)
    first = OrderLinear(orders, 3, 4, gate.scalars, reflections=reflections)
    return [layer.double() for layer in (first, gate, OrderLinear(orders, 4, 2, reflections=reflections))]


def through(layers: list[torch.nn.Module], z: Tensor) -> Tensor:
    first, gate, last = layers
    return last(gate(*first(z)))[0]


@pytest.mark.parametrize("reflections", [True, False])
@pytest.mark.parametrize(("lmax", "mmax"), [(0, 0), (2, 0), (2, 2), (4, 2), (10, 3)])
def test_commutes_with_turns_about_the_edge(lmax: int, mmax: int, reflections: bool) -> None:
    orders = EdgeOrders(lmax, mmax)
    layers = chain(orders, reflections)
    upright = orders(edge_frames(torch.tensor([[0.0, 0, 1]], dtype=torch.float64), lmax))[0]
    z = upright @ features(5, lmax, 3)
    for g, holds in ((rotation_about("z", 0.7), True), (MIRROR, reflections or mmax == 0)):
        A = upright @ natural(g, lmax) @ upright.T
        error = float((through(layers, A @ z) - A @ through(layers, z)).abs().max())
        assert (error < 1e-12) == holds, g


@pytest.mark.parametrize("reflections", [True, False])
def test_a_message_commutes_with_rotations_and_reflections_of_space(reflections: bool) -> None:
    lmax, orders, r = 3, EdgeOrders(3, 2), vectors()
    layers, x = chain(orders, reflections), features(7, 3, 3)

    def message(r: Tensor, x: Tensor) -> Tensor:
        Q = orders(edge_frames(r, lmax))
        return Q.mT @ through(layers, Q @ x)

    R = random_rotation(torch.Generator().manual_seed(5))
    for g, holds in ((R, True), (-R, reflections), (MIRROR @ R, reflections)):
        D = natural(g, lmax)
        error = float((message(r @ g.T, D @ x) - D @ message(r, x)).abs().max())
        assert (error < 1e-12) == holds


def test_linear_map_is_its_formula() -> None:
    orders = EdgeOrders(2, 2)
    layer = OrderLinear(orders, 3, 2, 1, reflections=False).double()
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    y, scalars = layer(x)
    at = {row: k for k, row in enumerate(orders.rows)}
    for m in range(3):
        degrees = range(m, 3)
        W = layer.weights[m].detach()
        plus = torch.cat([x[:, at[l, m]] for l in degrees], 1)
        minus = torch.cat([x[:, at[l, -m]] for l in degrees], 1)
        size = len(degrees) * 2
        if m == 0:
            expected = {0: plus @ W[:, :size]}
            torch.testing.assert_close(scalars, plus @ W[:, size:])
        else:
            expected = {
                m: plus @ W[:, :size] - minus @ W[:, size:],
                -m: minus @ W[:, :size] + plus @ W[:, size:],
            }
        for order, value in expected.items():
            found = torch.cat([y[:, at[l, order]] for l in degrees], 1)
            torch.testing.assert_close(found, value, rtol=0, atol=1e-13)


def test_dtypes_compile_layout_state_and_errors() -> None:
    orders = EdgeOrders(2, 1)
    first, gate, last = (layer.float() for layer in chain(orders, True))
    r, x = vectors().float(), features(7, 2, 3).float()

    def message(r: Tensor, x: Tensor) -> Tensor:
        Q = orders(edge_frames(r, 2))
        return Q.mT @ last(gate(*first(Q @ x)))[0]

    y = message(r, x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(torch.compile(message, fullgraph=True, backend="aot_eager")(r, x), y)
    torch.testing.assert_close(message(r, torch.stack([x, x], -1)[..., 0]), y)
    assert message(r[:0], x[:0]).shape == (0, 9, 2)
    assert not orders.state_dict()
    assert not gate.state_dict()
    assert list(first.state_dict()) == ["weights.0", "weights.1"]
    assert "O(3)" in repr(first)
    with pytest.raises(ValueError, match=r"frames have shape \(7, 10\), wanted \(E, 35\)"):
        orders(edge_frames(r, 1))
    with pytest.raises(ValueError, match=r"x has shape \(7, 9, 3\), wanted \(E, 7, 3\)"):
        first(x)
    with pytest.raises(ValueError, match="at most 2"):
        EdgeOrders(2, 3)


@pytest.mark.parametrize("reflections", [True, False])
@pytest.mark.parametrize(("lmax", "mmax"), [(0, 0), (3, 3), (4, 1)])
def test_it_is_edge_linear(lmax: int, mmax: int, reflections: bool) -> None:
    """The same map as that of irreps: ``EdgeLinear`` from sources alone, without scales."""
    orders, r = EdgeOrders(lmax, mmax), vectors()
    ours = OrderLinear(orders, 3, 2, reflections=reflections).double()
    natural_in, natural_out = Irreps.natural(lmax, 3), Irreps.natural(lmax, 2)
    other = EdgeLinear(natural_in, natural_out, mmax, reflections=reflections).double()
    with torch.no_grad():
        for m, weight in enumerate(ours.weights):
            size = (lmax + 1 - m) * 2
            other.weights[m].copy_(weight[:, :size].T)
            if m and not reflections:
                other.mixing[m - 1].copy_(weight[:, size:].T)
    x, edges = features(5, lmax, 3), torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 1, 1, 0, 2, 3, 3]])
    frames = edge_frames(r, lmax)
    Q = orders(frames)
    summed = torch.zeros_like(x[..., :2]).index_add(0, edges[1], Q.mT @ ours(Q @ x[edges[0]])[0])
    torch.testing.assert_close(other(x.flatten(1), frames, edges), summed.flatten(1), rtol=0, atol=1e-12)


class Frame(torch.nn.Module):
    """Linear map, gate, linear map."""

    def __init__(self, orders: EdgeOrders) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(chain(orders, True))

    def forward(self, x: Tensor) -> Tensor:
        return through(list(self.layers), x)


def test_the_layer_contract() -> None:
    orders = EdgeOrders(3, 2)
    upright = orders(edge_frames(torch.tensor([[0.0, 0, 1]], dtype=torch.float64), 3))[0]
    turns = [rotation_about("z", 0.3), MIRROR, MIRROR @ rotation_about("z", 2.0)]

    def act(g: Tensor, x: Tensor) -> Tensor:
        return upright @ natural(g, 3) @ upright.T @ x

    check_layer(Frame(orders), GroupAction((len(orders.rows), 3), turns, act, act), tolerance=1e-12)

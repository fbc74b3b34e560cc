"""Maps in the frame of an edge: turns about it, reflections, rotations of space; against a direct evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import Irreps, random_rotation, rotation_about, wigner_D_real
from armillary.nn import EdgeLinear, EdgeRotation
from armillary.nn.edge_frames import edge_frames
from armillary.nn.edge_orders import OrderGate, OrderLinear
from armillary.ops.edge_frames import edge_rotations
from armillary.testing import GroupAction, check_layer

MIRROR = torch.diag(torch.tensor([1.0, -1, 1], dtype=torch.float64))  # a plane through the z-axis
MIXED = "2x0e+1x0o+2x1o+1x1e+2x2e+3x2o"
OTHER = "2x1e+1x0o+3x2e+2x0e+1x3o"


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


def upright(lmax: int, mmax: int) -> Tensor:
    """Q of an edge along z: the sorting alone, (K, N)."""
    frames = edge_frames(torch.tensor([[0.0, 0, 1]], dtype=torch.float64), lmax)
    return EdgeRotation(Irreps.natural(lmax), mmax).matrices(frames)[0]


@pytest.mark.parametrize(("lmax", "mmax"), [(0, 0), (1, 0), (2, 1), (3, 3), (5, 2)])
def test_matrices_are_rows_of_those_of_wigner(lmax: int, mmax: int) -> None:
    rotation, r = EdgeRotation(Irreps.natural(lmax), mmax), vectors()
    Q = rotation.matrices(edge_frames(r, lmax))
    orders = [m for _, m in rotation.components]
    assert sorted(rotation.components) == [(l, m) for l in range(lmax + 1) for m in range(-l, l + 1) if abs(m) <= mmax]
    assert [abs(m) for m in orders] == sorted(abs(m) for m in orders)
    for e, R in enumerate(edge_rotations(r)):
        D = natural(R, lmax)
        expected = torch.stack([D[l * l + l + m] for l, m in rotation.components])
        torch.testing.assert_close(Q[e], expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(Q @ Q.mT, torch.eye(len(orders), dtype=Q.dtype).expand(len(r), -1, -1))


@pytest.mark.parametrize("mmax", [0, 1, 3])
@pytest.mark.parametrize("irreps", [MIXED, OTHER, str(Irreps.natural(3))])
def test_matrices_turn_as_rotate_in_does(irreps: str, mmax: int) -> None:
    rotation, r = EdgeRotation(irreps, mmax), vectors()
    frames, own = edge_frames(r, rotation.lmax + 1), torch.arange(len(r))  # of a higher degree than is needed
    x = torch.randn(len(r), rotation.irreps.dim, dtype=torch.float64)
    z = (rotation.matrices(frames) @ x[..., None])[..., 0]
    torch.testing.assert_close(z, rotation.rotate_in(x, frames, own), rtol=0, atol=1e-13)


def test_one_matrix_turns_all_channels() -> None:
    frames, x = edge_frames(vectors(), 3), features(7, 3, 5)
    Q = EdgeRotation(Irreps.natural(3), 2).matrices(frames)
    z = EdgeRotation(Irreps.natural(3, 5), 2).rotate_in(x.flatten(1), frames, torch.arange(7))
    torch.testing.assert_close((Q @ x).flatten(1), z, rtol=0, atol=1e-13)


def chain(lmax: int, mmax: int, reflections: bool) -> torch.nn.Sequential:
    """Linear map, gate, linear map."""
    torch.manual_seed(0)
    gate = OrderGate(lmax, mmax, 4)
    ends = (Irreps.natural(lmax, 3), gate.irreps_in, gate.irreps, Irreps.natural(lmax, 2))
    start, gated, middle, end = (EdgeRotation(irreps, mmax) for irreps in ends)
    first, last = (OrderLinear(*pair, reflections=reflections) for pair in ((start, gated), (middle, end)))
    return torch.nn.Sequential(first, gate, last).double()


def through(layers: torch.nn.Module, z: Tensor) -> Tensor:
    """(E, K, 3) → (E, K, 2)."""
    return layers(z.flatten(1)).unflatten(1, (-1, 2))


@pytest.mark.parametrize("reflections", [True, False])
@pytest.mark.parametrize(("lmax", "mmax"), [(0, 0), (2, 0), (2, 2), (4, 2), (10, 3)])
def test_commutes_with_turns_about_the_edge(lmax: int, mmax: int, reflections: bool) -> None:
    layers, Q = chain(lmax, mmax, reflections), upright(lmax, mmax)
    z = Q @ features(5, lmax, 3)
    for g, holds in ((rotation_about("z", 0.7), True), (MIRROR, reflections or mmax == 0)):
        A = Q @ natural(g, lmax) @ Q.T
        error = float((through(layers, A @ z) - A @ through(layers, z)).detach().abs().max())
        assert (error < 1e-12) == holds, g


@pytest.mark.parametrize("reflections", [True, False])
def test_a_message_commutes_with_rotations_and_reflections_of_space(reflections: bool) -> None:
    lmax, rotation, r = 3, EdgeRotation(Irreps.natural(3), 2), vectors()
    layers, x = chain(lmax, 2, reflections), features(7, 3, 3)

    def message(r: Tensor, x: Tensor) -> Tensor:
        Q = rotation.matrices(edge_frames(r, lmax))
        return Q.mT @ through(layers, Q @ x)

    R = random_rotation(torch.Generator().manual_seed(5))
    for g, holds in ((R, True), (-R, reflections), (MIRROR @ R, reflections)):
        D = natural(g, lmax)
        error = float((message(r @ g.T, D @ x) - D @ message(r, x)).detach().abs().max())
        assert (error < 1e-12) == holds


def kinds(irreps: Irreps, mmax: int) -> list[int]:
    """How many channels have m = 0 and natural parity, m = 0 and the other one, m = 1, … up to mmax."""
    even = [(n, irrep.l) for n, irrep in irreps if irrep.p == (-1) ** irrep.l]
    first = sum(n for n, _ in even)
    return [first, irreps.count - first, *(sum(n for n, i in irreps if i.l >= m) for m in range(1, mmax + 1))]


def directly(layer: OrderLinear, ends: tuple[str, str], mmax: int, z: Tensor) -> Tensor:
    """The equation, number by number."""
    counts_in, counts_out = (kinds(Irreps(end), min(mmax, Irreps(end).lmax)) for end in ends)
    y = z.new_zeros(len(z), counts_out[0] + counts_out[1] + 2 * sum(counts_out[2:]))

    def add(columns: int, rows: int, n: int, out: int, weight: Tensor, sign: float = 1.0) -> None:
        for i in range(n):
            for j in range(out):
                y[:, rows + j] += sign * z[:, columns + i] * weight[i, j]

    weights = [w.detach() for w in layer.weights]
    if layer.reflections:
        add(0, 0, counts_in[0], counts_out[0], weights[0])
        if counts_in[1] and counts_out[1]:
            assert layer.others is not None
            add(counts_in[0], counts_out[0], counts_in[1], counts_out[1], layer.others.detach())
    else:
        add(0, 0, sum(counts_in[:2]), sum(counts_out[:2]), weights[0])
    at_in, at_out = sum(counts_in[:2]), sum(counts_out[:2])
    for W, n, out in zip(weights[1:], counts_in[2:], counts_out[2:], strict=False):
        for half in range(2):
            add(at_in + half * n, at_out + half * out, n, out, W)
            if not layer.reflections:  # a' has -b V, b' has a V
                add(at_in + (1 - half) * n, at_out + half * out, n, out, W[:, out:], 1.0 if half else -1.0)
        at_in, at_out = at_in + 2 * n, at_out + 2 * out
    return y


@pytest.mark.parametrize("reflections", [True, False])
@pytest.mark.parametrize("mmax", [0, 1, 3])
@pytest.mark.parametrize(
    "ends", [(MIXED, OTHER), (OTHER, MIXED), ("3x0e+2x1o", "2x0e+1x1o+1x1e"), ("2x1e", "1x0e+2x3o")]
)
def test_linear_map_is_its_formula(ends: tuple[str, str], mmax: int, reflections: bool) -> None:
    start, end = (EdgeRotation(irreps, mmax) for irreps in ends)
    layer = OrderLinear(start, end, reflections=reflections).double()
    z = torch.randn(4, start.size, dtype=torch.float64)
    torch.testing.assert_close(layer(z), directly(layer, ends, mmax, z), rtol=0, atol=1e-13)
    every_other = torch.stack([z, z], 2).flatten(1)[:, ::2]
    torch.testing.assert_close(layer(every_other), layer(z), rtol=0, atol=0)


def test_weights_are_drawn_with_outputs_of_unit_variance() -> None:
    torch.manual_seed(0)
    rotation = EdgeRotation("40x0e+30x0o+50x1o+20x2o")
    for reflections in (True, False):
        y = OrderLinear(rotation, rotation, reflections=reflections)(torch.randn(400, rotation.size))
        for part in y.split([90, 50, 140, 40], 1):
            assert abs(float(part.detach().square().mean()) - 1) < 0.1


def test_dtypes_compile_state_and_errors() -> None:
    rotation, layers = EdgeRotation(Irreps.natural(2), 1), chain(2, 1, True).float()
    r, x = vectors().float(), features(7, 2, 3).float()

    def message(r: Tensor, x: Tensor) -> Tensor:
        Q = rotation.matrices(edge_frames(r, 2))
        return Q.mT @ through(layers, Q @ x)

    y = message(r, x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(torch.compile(message, fullgraph=True, backend="aot_eager")(r, x), y)
    assert message(r[:0], x[:0]).shape == (0, 9, 2)
    assert not rotation.state_dict()
    assert {name: tuple(p.shape) for name, p in layers.state_dict().items()} == {
        "0.weights.0": (9, 12 + 8),
        "0.weights.1": (6, 8),
        "2.weights.0": (12, 6),
        "2.weights.1": (8, 4),
    }
    assert "commutes with O(3)" in repr(layers)
    with pytest.raises(ValueError, match=r"frames have shape \(7, 10\), wanted \(7, 35 or more\)"):
        rotation.matrices(edge_frames(r, 1))
    for layer, size in ((layers[0], 21), (layers[1], 36)):
        with pytest.raises(ValueError, match=rf"z has shape \(7, 9, 3\), this Order\w+ wants \(E, {size}\)"):
            layer(x)
    with pytest.raises(ValueError, match="at most 2"):
        OrderGate(2, 3, 4)


def test_edge_linear_is_the_map_between_its_turns() -> None:
    layer, r = EdgeLinear(MIXED, OTHER, 2).double(), vectors()
    x, edges = (
        torch.randn(5, layer.irreps_in.dim).double(),
        torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 1, 1, 0, 2, 3, 3]]),
    )
    frames = edge_frames(r, layer.lmax)
    scales = torch.rand(7, layer.scale_numel).double()
    z, at = layer.start.matrices(frames) @ x[edges[0], :, None], 0
    for m, n in enumerate(layer.start.counts):  # one number for each channel and order, the same for a and b
        scale = scales[:, sum(layer.start.counts[:m]) :][:, :n, None]
        for _ in range(2 if m else 1):
            z[:, at : at + n] *= scale
            at += n
    sent = layer.end.matrices(frames).mT @ layer.map(z[..., 0])[..., None]
    summed = torch.zeros(5, layer.irreps_out.dim).double().index_add(0, edges[1], sent[..., 0])
    torch.testing.assert_close(layer(x, frames, edges, scales), summed, rtol=0, atol=1e-12)


class Frame(torch.nn.Module):
    """Linear map, gate, linear map, of (E, K, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = chain(3, 2, True)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (14, 3):
            raise ValueError(f"x has shape {tuple(x.shape)}, wanted (E, 14, 3).")
        return through(self.layers, x)


def test_the_layer_contract() -> None:
    Q = upright(3, 2)
    turns = [rotation_about("z", 0.3), MIRROR, MIRROR @ rotation_about("z", 2.0)]

    def act(g: Tensor, z: Tensor) -> Tensor:
        return Q @ natural(g, 3) @ Q.T @ z

    check_layer(Frame(), GroupAction((len(Q), 3), turns, act, act), tolerance=1e-12)

"""EdgeLinear: the tensor product it is, O(3), truncation, scales, runs of edges, what is computed again."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import Irreps, clebsch_gordan_real
from armillary.nn import (
    EdgeLinear,
    EdgeProduct,
    EdgeRotation,
    edge_frames,
    linear_paths,
    load_path_weights,
    path_weights,
)

FULL = "3x0e+2x0o+2x1o+1x1e+2x2e+3x2o"
OTHER = "2x1e+1x0o+3x2e+2x0e+1x3o"


def problem(layer, points=5, edges=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(points, layer.irreps_in.dim, generator=g, dtype=torch.float64)
    r = torch.randn(edges, 3, generator=g, dtype=torch.float64)
    r[:2] = torch.tensor([[0.0, 0, 1.5], [0, 0, -0.5]])
    rows = [torch.randint(n, (edges,), generator=g) for n in (points, points - 1)]
    return x, r, torch.stack(rows)


def harmonics(l, r):
    """√(4π) Y_l: column 0 of Dᵀ in the frame of the edge, times √(2l + 1)."""
    D = edge_frames(r, l)[:, -((2 * l + 1) ** 2) :].unflatten(1, (2 * l + 1, -1))
    return D[:, l] * (2 * l + 1) ** 0.5


def dense(layer, weights, x, r, edges):
    parts = layer.irreps_in.split(x[edges[0]])
    out = [x.new_zeros(len(r), irrep.dim, n) for n, irrep in layer.irreps_out]
    for (i, l2, o), w in weights.items():
        C = clebsch_gordan_real(layer.irreps_in.streams[i][1].l, l2, layer.irreps_out.streams[o][1].l)
        out[o] = out[o] + torch.einsum("eac,eb,abk,dc->ekd", parts[i], harmonics(l2, r), C, w)
    y = layer.irreps_out.join(out)
    return y.new_zeros(len(x), y.shape[1]).index_add(0, edges[1], y)


@pytest.mark.parametrize("ends", [(FULL, OTHER), (OTHER, FULL), *((str(Irreps.natural(L, 2)),) * 2 for L in (1, 4, 6))])
def test_it_is_the_tensor_product_of_its_paths(ends):
    layer = EdgeLinear(*ends).double()
    x, r, edges = problem(layer)
    weights = path_weights(layer)
    assert list(weights) == linear_paths(layer)
    torch.testing.assert_close(
        layer(x, edge_frames(r, layer.lmax), edges), dense(layer, weights, x, r, edges), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("ends", [(FULL, OTHER), (OTHER, FULL)])
def test_paths_and_orders_are_inverse(ends):
    layer, other = EdgeLinear(*ends).double(), EdgeLinear(*ends).double()
    load_path_weights(other, path_weights(layer))
    for a, b in zip(layer.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_truncated_layer_is_a_tensor_product_too():
    layer = EdgeLinear(FULL, FULL, 1).double()
    x, r, edges = problem(layer)
    weights = path_weights(layer)
    torch.testing.assert_close(
        layer(x, edge_frames(r, 2), edges), dense(layer, weights, x, r, edges), rtol=0, atol=1e-12
    )


def test_equal_weights_of_all_edges_in_an_edge_product():
    irreps = Irreps("2x0e+2x0o+2x1o+2x1e+2x2e")
    product, layer = EdgeProduct(irreps, 4, irreps), EdgeLinear(irreps, irreps).double()
    assert set(product.paths) == set(linear_paths(layer))
    x, r, edges = problem(layer)
    w = torch.randn(len(product.paths), 2, dtype=torch.float64)
    load_path_weights(layer, {path: torch.diag(own) for path, own in zip(product.paths, w, strict=True)})
    frames = edge_frames(r, 2)
    found = product(x, frames, w.flatten().expand(len(r), -1), edges)
    torch.testing.assert_close(layer(x, frames, edges), found, rtol=0, atol=1e-12)


def test_without_reflections_it_does_not_commute_with_them():
    layer = EdgeLinear("2x0e+2x1o", "2x0e+2x1o", reflections=False).double()
    x, r, edges = problem(layer)
    inversion = -torch.eye(3).double()
    y = layer(x, edge_frames(r, 1), edges)
    inverted = layer(layer.irreps_in.act(inversion, x), edge_frames(-r, 1), edges)
    assert float((inverted - layer.irreps_out.act(inversion, y)).norm()) > 0.1


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("edges_at_once", [None, 1, 5, 100])
def test_runs_of_edges_change_nothing(edges_at_once, recompute):
    layer = EdgeLinear(FULL, OTHER).double()
    other = EdgeLinear(FULL, OTHER, edges_at_once=edges_at_once, recompute=recompute).double()
    other.load_state_dict(layer.state_dict())
    x, r, edges = problem(layer)
    scales = torch.rand(len(r), layer.scale_numel, dtype=torch.float64)
    found = []
    for one in (layer, other):
        inputs = [t.clone().requires_grad_() for t in (x, r, scales)]
        y = one(inputs[0], edge_frames(inputs[1], layer.lmax), edges, inputs[2])
        found.append((y, *torch.autograd.grad(y.sin().sum(), (*inputs, *one.parameters()), allow_unused=True)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_recomputation_keeps_less():
    """What autograd keeps between the passes besides the input, in bytes."""
    kept = []
    for recompute in (False, True):
        layer = EdgeLinear(FULL, FULL, edges_at_once=4, recompute=recompute).double()
        x, r, edges = problem(layer, edges=40)
        held = {}

        def hold(t, held=held):
            held[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        frames = edge_frames(r, 2)
        given = {t.untyped_storage().data_ptr() for t in (x, frames, edges)}
        with torch.autograd.graph.saved_tensors_hooks(hold, lambda t: t):
            y = layer(x.requires_grad_(), frames, edges)
        kept.append(sum(size for place, size in held.items() if place not in given))
        del y
    assert kept[1] < kept[0] / 5


def test_gradients_of_two_orders():
    layer = EdgeLinear("2x0e+1x1e+2x1o", "1x0e+2x1o+1x2o").double()
    x, r, edges = problem(layer, 3, 4)
    inputs = [t.requires_grad_() for t in (x, r)]

    def run(x, r):
        return layer(x, edge_frames(r, layer.lmax), edges)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("mmax", [None, 0, 1])
def test_rotating_in_and_out(mmax):
    """With all orders the two are inverse; with fewer they project."""
    rotation = EdgeRotation(FULL, mmax)
    x, r, _ = problem(EdgeLinear(FULL, FULL), 4, 4)
    frames, own = edge_frames(r, 2), torch.arange(4)
    z = rotation.rotate_in(x, frames, own)
    assert z.shape == (4, rotation.size)
    again = rotation.rotate_out(z, frames, own, 4)
    if mmax is None:
        torch.testing.assert_close(again, x, rtol=0, atol=1e-13)
    torch.testing.assert_close(rotation.rotate_in(again, frames, own), z, rtol=0, atol=1e-13)
    torch.testing.assert_close(rotation(x, frames, torch.stack([own, own])), z, rtol=0, atol=0)


def test_nothing_and_no_direction():
    layer = EdgeLinear("3x0e+3x1o", "2x1o")
    x = torch.randn(4, 12, requires_grad=True)
    y = layer(x, edge_frames(torch.zeros(0, 3), 1), torch.zeros(2, 0).long())
    assert torch.equal(y, torch.zeros(4, 6))
    r = torch.tensor([[0.0, 0, 0], [0, 0, -1e6]], requires_grad=True)
    y = layer(x, edge_frames(r, 1), torch.tensor([[0, 1], [0, 3]]))
    assert all(bool(g.isfinite().all()) for g in (y, *torch.autograd.grad(y.square().sum(), (x, r))))


def test_compiled_in_one_graph():
    layer = EdgeLinear(FULL, OTHER, 1, edges_at_once=5, recompute=True).double()
    x, r, edges = problem(layer)
    frames = edge_frames(r, layer.lmax)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, frames, edges), layer(x, frames, edges), rtol=0, atol=1e-13)


def test_state_dict_and_repr():
    layer = EdgeLinear("2x0e+2x0o+1x1o", "3x0e+1x0o+2x1o")
    assert {name: tuple(p.shape) for name, p in layer.state_dict().items()} == {
        "map.weights.0": (3, 5),
        "map.weights.1": (1, 2),
        "map.others": (2, 1),
    }
    assert "mmax=1, commutes with O(3)" in repr(layer)


@pytest.mark.parametrize(("ends", "options"), [(("2x0e", "2x0o"), {}), (("2x2e", "1x1e"), {"mmax": 0})])
def test_outputs_that_nothing_reaches(ends, options):
    with pytest.raises(ValueError, match="reaches"):
        EdgeLinear(*ends, **options)


def test_input_that_does_not_fit():
    layer = EdgeLinear("2x0e", "2x0e+2x1o")
    x, frames, edges = torch.zeros(3, 2), torch.zeros(1, 10), torch.zeros(2, 1).long()
    for arguments, match in (
        ((x[:, :1], frames, edges), "x has shape"),
        ((x, frames[:, :1], edges), "frames have shape"),
        ((x, frames.repeat(2, 1), edges), "frames have shape"),
        ((x, frames, edges.float()), "edge_index has shape"),
        ((x, frames, edges, torch.zeros(1, 3)), "scales have shape"),
    ):
        with pytest.raises(ValueError, match=match):
            layer(*arguments)
    with pytest.raises(ValueError, match="does not have"):
        load_path_weights(layer, {(0, 5, 0): torch.zeros(2, 2)})
    with pytest.raises(ValueError, match="wanted all orders"):
        load_path_weights(EdgeLinear("2x1o", "2x1o", 0), {})
    with pytest.raises(ValueError, match="has shape"):
        load_path_weights(layer, {(0, 0, 0): torch.zeros(1, 2)})
    with pytest.raises(ValueError, match="reflections=False"):
        path_weights(EdgeLinear("2x1o", "2x1o", reflections=False))

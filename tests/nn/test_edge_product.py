"""EdgeProduct: the dense tensor product, e3nn's, O(3), gradients of two orders, edges without direction or number."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import Irreps, random_rotation
from armillary.nn import EdgeProduct, edge_frames
from armillary.ops.edge_product import edge_product, edge_product_reference

FULL = "2x0e+2x0o+2x1o+2x1e+2x2e+2x2o"


def harmonics(lmax, r):
    """√(4π) Y from Clebsch–Gordan products alone, so that its convention is that of the groups: list of (E, 2l + 1)."""
    from armillary.groups import clebsch_gordan_real

    n = (r / r.norm(dim=1, keepdim=True))[:, [1, 2, 0]]
    found = [torch.ones_like(n[:, :1]), 3**0.5 * n]
    axis = [torch.ones(1).double(), 3**0.5 * torch.tensor([0.0, 1, 0]).double()]
    for l in range(2, lmax + 1):
        C = clebsch_gordan_real(l - 1, 1, l)
        at_axis = torch.einsum("a,b,abc->c", axis[-1], axis[1], C)
        C = C * (2 * l + 1) ** 0.5 / at_axis[l]
        axis.append(torch.einsum("a,b,abc->c", axis[-1], axis[1], C))
        found.append(torch.einsum("ea,eb,abc->ec", found[-1], found[1], C))
    return found[: lmax + 1]


def dense(layer, x, r, weights, edge_index, points):
    """The tensor product as it is written, with every coefficient."""
    S = harmonics(layer.lmax_edge, r)
    parts = layer.irreps_in.split(x[edge_index[0]])
    out = [x.new_zeros(len(r), irrep.dim, n) for n, irrep in layer.irreps_out]
    for p, (i, l2, o) in enumerate(layer.paths):
        w = weights[:, p * layer.channels : (p + 1) * layer.channels]
        out[o] = out[o] + torch.einsum("eac,eb,abk,ec->ekc", parts[i], S[l2], layer.tensor(p), w)
    y = layer.irreps_out.join(out)
    return y.new_zeros(points, y.shape[1]).index_add(0, edge_index[1], y)


def problem(layer, points=5, edges=12, seed=0, points_out=None):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(points, layer.irreps_in.dim, generator=g, dtype=torch.float64)
    r = torch.randn(edges, 3, generator=g, dtype=torch.float64)
    r[:2] = torch.tensor([[0.0, 0, 1.5], [0, 0, -0.5]])[:edges]
    weights = torch.randn(edges, layer.weight_numel, generator=g, dtype=torch.float64)
    rows = [torch.randint(n, (edges,), generator=g) for n in (points, (points_out or points) - 1)]  # one point alone
    return x, r, weights, torch.stack(rows)


@pytest.mark.parametrize("L", range(1, 7))
def test_it_is_the_dense_product(L):
    layer = EdgeProduct(Irreps.natural(L, 3), L, Irreps.natural(L, 3))
    x, r, w, edges = problem(layer)
    found = layer(x, edge_frames(r, L), w, edges)
    torch.testing.assert_close(found, dense(layer, x, r, w, edges, 5), rtol=0, atol=1e-11)


@pytest.mark.parametrize("channels", [1, 5, 16, 19])
def test_both_parities_and_other_points(channels):
    layer = EdgeProduct(
        FULL.replace("2x", f"{channels}x"), 3, f"{channels}x3e+{channels}x1e+{channels}x0o+{channels}x1e"
    )
    x, r, w, edges = problem(layer, points_out=9)
    found = layer(x, edge_frames(r, 5), w, edges, 9)
    torch.testing.assert_close(found, dense(layer, x, r, w, edges, 9), rtol=0, atol=1e-12)


@pytest.fixture
def double():
    """e3nn keeps its coefficients in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("L", range(1, 7))
def test_it_is_the_product_of_e3nn(L, double):
    o3 = pytest.importorskip("e3nn.o3")
    layer = EdgeProduct(Irreps.natural(L, 2), L, Irreps.natural(L, 2))
    x, r, w, edges = problem(layer)
    irreps, sh = o3.Irreps(str(layer.irreps_in)), o3.Irreps.spherical_harmonics(L)
    instructions = [(i, l2, o, "uvu", True) for i, l2, o in layer.paths]
    product = o3.TensorProduct(
        irreps, sh, irreps, instructions, irrep_normalization="component", path_normalization="none",
        shared_weights=False, internal_weights=False,
    )  # fmt: skip
    # Degree 1 is (x, y, z) there: its y axis is our z, and so on.
    turn = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]).double()
    signs = _signs(o3, layer)

    def theirs(features):
        """Our layout and basis to theirs."""
        parts = layer.irreps_in.split(features)
        return torch.cat([part.mT.flatten(1) for part in parts], 1)

    def ours(features):
        parts = features.split([n * irrep.dim for n, irrep in layer.irreps_in], 1)
        return layer.irreps_in.join(
            part.unflatten(1, (n, irrep.dim)).mT for part, (n, irrep) in zip(parts, layer.irreps_in, strict=True)
        )

    S = o3.spherical_harmonics(sh, r @ turn.T, True, "component")
    weights = w.unflatten(1, (-1, layer.channels)) * signs[:, None]
    y = product(theirs(x)[edges[0]], S, weights.flatten(1))
    y = ours(y.new_zeros(5, y.shape[1]).index_add(0, edges[1], y))
    found = layer(x, edge_frames(r, L), w, edges)
    torch.testing.assert_close(found, y, rtol=0, atol=1e-10)


def _signs(o3, layer):
    """±1 of each path: the phase of their coefficients against ours."""
    found = []
    for p, (i, l2, o) in enumerate(layer.paths):
        l1, l3 = layer.irreps_in.streams[i][1].l, layer.irreps_out.streams[o][1].l
        their = o3.wigner_3j(l1, l2, l3, dtype=torch.float64) * (2 * l3 + 1) ** 0.5
        found.append((their * layer.tensor(p)).sum().sign())
    return torch.stack(found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_commutes_with_o3(dtype, tolerance):
    layer = EdgeProduct(FULL, 3, FULL)
    x, r, w, edges = problem(layer)
    for sign in (1, -1):
        g = sign * random_rotation(torch.Generator().manual_seed(2))
        first, second = (
            layer(a.to(dtype), edge_frames(b.to(dtype), layer.lmax), w.to(dtype), edges)
            for a, b in ((x, r), (layer.irreps_in.act(g, x), r @ g.T))
        )
        error = second.double() - layer.irreps_out.act(g, first.double())
        assert float(error.norm() / first.norm()) < tolerance


@pytest.mark.parametrize("irreps", [FULL, "3x0e"])
def test_gradients_of_two_orders(irreps):
    layer = EdgeProduct(irreps, 2, irreps)
    x, r, w, edges = problem(layer, 3, 4)
    inputs = [t.requires_grad_() for t in (x, r, w)]

    def run(x, r, w):
        return layer(x, edge_frames(r, layer.lmax), w, edges)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


def test_gradients_of_three_orders_are_those_of_the_reference():
    """A sum of squares of second gradients, whatever of it is computed where."""
    layer = EdgeProduct("2x0e+2x1o", 2, "2x0e+2x1o")
    x, r, w, edges = problem(layer, 3, 4)
    found = []
    for op in (edge_product, edge_product_reference):
        inputs = [t.clone().requires_grad_() for t in (x, r, w)]
        plan = layer._plan
        y = op(
            inputs[0].unflatten(1, (-1, 2)), edge_frames(inputs[1], 1), inputs[2].unflatten(1, (-1, 2)),
            *edges, 3, list(plan.degrees_in), list(plan.degrees_out), plan.flat,
        )  # fmt: skip
        level = y.sin().sum()
        for _ in range(3):
            gradients = torch.autograd.grad(level, inputs, create_graph=True)
            level = sum(g.sin().sum() for g in gradients)
        found.append(gradients)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("channels", [1, 6, 16, 32, 35])
def test_the_kernels_are_the_reference(channels, dtype):
    layer = EdgeProduct(FULL.replace("2x", f"{channels}x"), 3, FULL.replace("2x", f"{channels}x"))
    x, r, w, edges = problem(layer, 7, 40)
    plan = layer._plan
    frames = edge_frames(r, 2)
    found = []
    for op, kind in ((edge_product, dtype), (edge_product_reference, torch.float64)):
        inputs = [t.to(kind).requires_grad_() for t in (x.clone(), frames.clone(), w.clone())]
        y = op(
            inputs[0].unflatten(1, (-1, channels)), inputs[1], inputs[2].unflatten(1, (-1, channels)),
            *edges, 8, list(plan.degrees_in), list(plan.degrees_out), plan.flat,
        )  # fmt: skip
        gradients = torch.autograd.grad(y.sin().sum(), inputs)
        found.append((y, gradients[0], gradients[2]))
    scale = 1e-12 if dtype == torch.float64 else 2e-5
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=scale * float(b.detach().abs().max()))


def test_the_same_numbers_in_every_run_and_by_two_threads():
    layer = EdgeProduct("16x0e+16x1o", 2, "16x0e+16x1o")
    x, r, w, edges = problem(layer, 50, 900)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            inputs = [t.float().requires_grad_() for t in (x.clone(), r.clone(), w.clone())]
            y = layer(inputs[0], edge_frames(inputs[1], 1), inputs[2], edges)
            results.append((y, *torch.autograd.grad(y.square().sum(), inputs)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nothing_and_no_direction():
    layer = EdgeProduct("3x0e+3x1o", 1, "3x0e+3x1o")
    x = torch.randn(4, 12, requires_grad=True)
    y = layer(x, edge_frames(torch.zeros(0, 3), 1), torch.zeros(0, layer.weight_numel), torch.zeros(2, 0).long())
    assert torch.equal(y, torch.zeros(4, 12))
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.zeros(4, 12))
    r = torch.tensor([[0.0, 0, 0], [0, 0, 1e6], [1e6, -1e6, 0]], requires_grad=True)
    weights = torch.randn(3, layer.weight_numel, requires_grad=True)
    y = layer(x, edge_frames(r, 1), weights, torch.tensor([[0, 1, 2], [0, 0, 3]]))
    gradients = torch.autograd.grad(y.square().sum(), (x, r, weights))
    assert all(bool(g.isfinite().all()) for g in (y, *gradients))
    assert torch.equal(gradients[1][0], torch.zeros(3))
    assert layer(x[:0], edge_frames(r[:0], 1), weights[:0], torch.zeros(2, 0).long()).shape == (0, 12)


def test_what_is_not_contiguous():
    layer = EdgeProduct("4x0e+4x1o", 1, "4x0e+4x1o")
    x, r, w, edges = problem(layer)
    wanted = layer(x, edge_frames(r, 1), w, edges)
    found = layer(x.T.contiguous().T, edge_frames(r, 1).T.contiguous().T, w.T.contiguous().T, edges.T.contiguous().T)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)


def test_compiled_in_one_graph():
    layer = EdgeProduct("4x0e+4x1o", 1, "4x0e+4x1o")
    x, r, w, edges = problem(layer)
    compiled = torch.compile(lambda x, r, w: layer(x, edge_frames(r, 1), w, edges), fullgraph=True, backend="aot_eager")
    found = []
    for run in (compiled, lambda x, r, w: layer(x, edge_frames(r, 1), w, edges)):
        inputs = [t.clone().requires_grad_() for t in (x, r, w)]
        y = run(*inputs)
        found.append((y, *torch.autograd.grad(y.sin().sum(), inputs)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_there_are_no_parameters():
    layer = EdgeProduct("4x0e+4x1o", 1, "4x0e+4x1o")
    assert not layer.state_dict()
    assert layer.weight_numel == 4 * len(layer.paths) == 16
    assert "4 paths" in repr(layer)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("4x0e+2x1o", 1, "4x0e"), "same number of channels"),
        (("4x0e", 1, "4x0e+4x1e"), "gives 1e"),
        (("4x0e", -1, "4x0e"), "lmax_edge"),
        (("", 1, "4x0e"), "same number"),
    ],
)
def test_layers_that_are_none(arguments, match):
    with pytest.raises(ValueError, match=match):
        EdgeProduct(*arguments)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": torch.zeros(5, 3)}, "x has shape"),
        ({"frames": torch.zeros(12, 9)}, "frames have shape"),
        ({"w": torch.zeros(12, 3)}, "weights have shape"),
        ({"edges": torch.zeros(2, 12)}, "edge_index has shape"),
        ({"edges": torch.full((2, 12), 5)}, "numbers outside 0..4"),
        ({"edges": torch.full((2, 12), -1)}, "numbers outside 0..4"),
    ],
)
def test_input_that_does_not_fit(change, match):
    layer = EdgeProduct("4x0e+4x1o", 1, "4x0e+4x1o")
    x, r, w, edges = problem(layer)
    given = {"x": x, "frames": edge_frames(r, 1), "w": w, "edges": edges} | change
    with pytest.raises(ValueError, match=match):
        layer(given["x"], given["frames"], given["w"], given["edges"])

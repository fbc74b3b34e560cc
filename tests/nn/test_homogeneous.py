"""Convolution on cosets: the sum, the Fourier product and the null space of the constraint are one and the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from armillary.groups import (
    O3,
    SO2,
    SO3,
    AxisRotations,
    FiniteGroup,
    Fourier,
    Subgroup,
    alternating,
    cyclic,
    dihedral,
    icosahedral,
    quaternion,
    stabiliser,
    symmetric,
)
from armillary.nn import HomogeneousConv, SpectralConv
from armillary.testing import GroupAction, check_layer, commutation_error

PATHS = ("matrix", "relations", "fourier")
Pair = tuple[FiniteGroup, Subgroup, Subgroup]


def subgroup_of_order(group: FiniteGroup, order: int) -> Subgroup:
    return Subgroup(group, [int(np.flatnonzero(group.element_orders == order)[0])])


PAIRS: dict[str, Callable[[], Pair]] = {
    "S_4: points to pairs": lambda: (symmetric(4), stabiliser(symmetric(4), [0]), stabiliser(symmetric(4), [0, 1])),
    "S_4: G to G": lambda: (symmetric(4), Subgroup(symmetric(4)), Subgroup(symmetric(4))),
    "A_5": lambda: (alternating(5), subgroup_of_order(alternating(5), 3), subgroup_of_order(alternating(5), 5)),
    "D_6": lambda: (dihedral(6), subgroup_of_order(dihedral(6), 2), Subgroup(dihedral(6))),
    "C_7": lambda: (cyclic(7), Subgroup(cyclic(7)), Subgroup(cyclic(7))),
    "Q_8": lambda: (quaternion(), Subgroup(quaternion()), subgroup_of_order(quaternion(), 4)),
    "I: faces to corners": lambda: (
        icosahedral(),
        subgroup_of_order(icosahedral(), 3),
        subgroup_of_order(icosahedral(), 5),
    ),
}


@pytest.fixture(params=PAIRS, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]()


def act(H: Subgroup) -> Callable[[int, Tensor], Tensor]:
    """(g f)(x) = f(g⁻¹ x)."""
    return lambda g, f: f[..., torch.tensor(H.action[H.group.inverses[g]])]


def kernel_of(layer: HomogeneousConv) -> Tensor:
    """The kernel on the group, (O, C, |G|)."""
    numbers = torch.as_tensor(layer.H_in.double_coset_of(layer.H_out))
    counts = torch.bincount(numbers).double() / layer.H_in.order  # |HgK| = |H| n_D, n_D of the points of G/H
    return (layer.weight.detach().double() * layer.H_in.index * counts**-0.5)[:, :, numbers]


@pytest.mark.parametrize("path", PATHS)
def test_equals_the_sum_over_the_group(pair: Pair, path) -> None:  # type: ignore[no-untyped-def]
    """y(u) = 1/|G| Σ_v f(u v⁻¹) w(v), element by element."""
    group, H, K = pair
    layer = HomogeneousConv(2, 3, group, H, K, path=path).double()
    torch.nn.init.normal_(layer.bias)
    f = torch.randn(2, 2, H.index, dtype=torch.float64)
    lifted = f[..., torch.tensor(H.left_coset_of)]
    kernel = kernel_of(layer)
    y = torch.zeros(2, 3, group.order, dtype=torch.float64)
    for u in range(group.order):
        moved = lifted[..., torch.as_tensor(group.table[u, group.inverses].astype(np.int64))]
        y[..., u] = torch.einsum("bcv,ocv->bo", moved, kernel) / group.order
    for u in range(group.order):  # a function on G/K
        torch.testing.assert_close(y[..., u], y[..., K.representatives[K.left_coset_of[u]]], rtol=0, atol=1e-12)
    wanted = y[..., torch.tensor(K.representatives)] + layer.bias[:, None]
    torch.testing.assert_close(layer(f), wanted, rtol=0, atol=1e-12)


def test_all_paths_have_the_same_weights(pair: Pair) -> None:
    group, H, K = pair
    layers = [HomogeneousConv(3, 2, group, H, K, path=path).double() for path in PATHS]
    f = torch.randn(4, 3, H.index, dtype=torch.float64, requires_grad=True)
    gradients = []
    for layer in layers:
        layer.load_state_dict(layers[0].state_dict())
        torch.testing.assert_close(layer(f), layers[0](f), rtol=0, atol=1e-12)
        gradients.append(torch.autograd.grad(layer(f).square().sum(), [layer.weight, f]))
    for parts in zip(*gradients, strict=True):
        for gradient in parts:
            torch.testing.assert_close(gradient, parts[0], rtol=0, atol=1e-10)


def test_commutes_with_every_element(pair: Pair) -> None:
    group, H, K = pair
    for path in PATHS:
        layer = HomogeneousConv(2, 2, group, H, K, path=path)
        symmetry = GroupAction((2, H.index), range(group.order), act(H), act(K))
        assert commutation_error(layer, symmetry, count=group.order) < 1e-12


def test_every_equivariant_map_is_such_a_convolution(pair: Pair) -> None:
    """The null space of ``M R_H(s) = R_K(s) M``, s the generators, is the span of the layer's maps."""
    group, H, K = pair
    N, M = H.index, K.index
    constraint = []
    for s in group.generators:
        left, right = np.zeros((M, M)), np.zeros((N, N))  # R e_x = e_{s x}
        left[K.action[s], np.arange(M)] = 1
        right[H.action[s], np.arange(N)] = 1
        constraint.append(np.kron(np.eye(M), right.T) - np.kron(left, np.eye(N)))  # on M flattened row by row
    values, vectors = np.linalg.eigh(sum(c.T @ c for c in constraint))
    null = vectors[:, values < 1e-9]
    layer = HomogeneousConv(1, 1, group, H, K, bias=False, path="matrix").double()
    assert null.shape[1] == layer.n_double_cosets == len(np.unique(H.double_coset_of(K)))
    columns = []
    for k in range(layer.n_double_cosets):
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[0, 0, k] = 1
        columns.append(layer.matrix().detach().reshape(-1).numpy())
    maps = np.stack(columns, axis=1)
    np.testing.assert_allclose(null @ (null.T @ maps), maps, atol=1e-12)
    assert np.linalg.matrix_rank(maps) == null.shape[1]


@pytest.mark.parametrize("path", PATHS)
def test_contract(path) -> None:  # type: ignore[no-untyped-def]
    group = symmetric(4)
    H, K = stabiliser(group, [0]), stabiliser(group, [0, 1])
    layer = HomogeneousConv(3, 2, group, H, K, path=path)
    check_layer(layer, GroupAction((3, H.index), range(group.order), act(H), act(K)), tolerance=1e-12)


def test_noise_keeps_its_variance() -> None:
    group = symmetric(5)
    layer = HomogeneousConv(32, 64, group, stabiliser(group, [0, 1]), stabiliser(group, [0]))
    y = layer(torch.randn(64, 32, 10))
    assert 0.8 < float(y.detach().var()) < 1.25


def test_the_cheapest_path() -> None:
    group = symmetric(5)
    H = stabiliser(group, [0, 1])
    assert HomogeneousConv(1, 1, group, H, H).path == "matrix"
    assert HomogeneousConv(64, 64, group, H, H).path == "relations"
    assert HomogeneousConv(64, 64, group).path == "fourier"
    assert "path=fourier" in repr(HomogeneousConv(64, 64, group))


def test_what_does_not_fit() -> None:
    group = symmetric(4)
    with pytest.raises(ValueError, match="H_out in"):
        HomogeneousConv(1, 1, group, None, Subgroup(cyclic(3)))
    with pytest.raises(ValueError, match="path"):
        HomogeneousConv(1, 1, group, path="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="in_channels"):
        HomogeneousConv(0, 1, group)
    with pytest.raises(ValueError, match=r"wants \(B, 1, 24\)"):
        HomogeneousConv(1, 1, group)(torch.zeros(2, 1, 23))


def test_one_number_for_each_degree_on_the_sphere() -> None:
    axis = AxisRotations()
    layer = SpectralConv(1, 1, SO3(), axis, axis, band=5)
    assert [tuple(w.shape) for w in layer.weights] == [(1, 1, 1, 1, 2)] * 6
    assert "6 numbers for" in repr(layer)


@pytest.mark.parametrize(
    ("group", "band", "H"),
    [(SO2(), 4, None), (SO3(), 3, None), (SO3(), 3, AxisRotations()), (O3(), 2, None)],
    ids=["SO(2)", "SO(3)", "sphere", "O(3)"],
)
def test_spectral_convolution_is_the_integral(group, band: int, H) -> None:  # type: ignore[no-untyped-def]
    """y(u) = ∫ f(u v⁻¹) w(v) dv by quadrature, and y(g⁻¹ u) from f(g⁻¹ u)."""
    layer = SpectralConv(1, 1, group, H, H, band=band).double()
    fourier = Fourier(group, right=H, band=band)
    blocks = [torch.randn(*shape, dtype=torch.complex128) for shape in fourier.block_shapes]
    flat = torch.cat([block.flatten(-2) for block in blocks], -1)[None, None]
    kernel, whole = Fourier(group, H, H, band=band), Fourier(group, band=band)
    given = [torch.view_as_complex(weight.detach()[0, 0]) for weight in layer.weights]
    lifted = [a @ w @ b.mH for a, w, b in zip(kernel.left_bases, given, kernel.right_bases, strict=True)]
    w = whole.inverse(lifted)
    u = group.sample(3)

    def values(coefficients: list[Tensor], at: Tensor) -> Tensor:
        """Σ_ρ d_ρ tr(f̂(ρ) ρ(g)†)."""
        total = torch.zeros((), dtype=torch.complex128)
        for irrep, block, right in zip(fourier.irreps, coefficients, fourier.right_bases, strict=True):
            rho = irrep(at).to(block.dtype) @ right.to(block.dtype)
            total = total + irrep.dim * (block * rho.conj()).sum((-2, -1))
        return total

    output = layer(flat)[0, 0].split([a * b for a, b in fourier.block_shapes])
    y = values([part.unflatten(-1, shape) for part, shape in zip(output, fourier.block_shapes, strict=True)], u)
    for k in range(3):
        moved = group.product(u[k], group.inverse(whole.elements))
        torch.testing.assert_close((values(blocks, moved) * w * whole.weights).sum(), y[k], rtol=0, atol=1e-11)


def test_spectral_input_that_does_not_fit() -> None:
    layer = SpectralConv(1, 1, SO2(), band=2)
    with pytest.raises(ValueError, match="complex \\(B, 1, 5\\)"):
        layer(torch.zeros(1, 1, 5))
    with pytest.raises(ValueError, match="H_in in"):
        SpectralConv(1, 1, SO2(), AxisRotations(), band=2)

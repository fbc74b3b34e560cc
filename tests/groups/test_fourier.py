"""Fourier analysis on groups and their quotients: round trip, Parseval, convolution, and the sparsity of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armillary.groups import SO3, AxisRotations, FiniteGroup, Fourier, Subgroup, cyclic, stabiliser, symmetric
from armillary.groups.fourier import invariants


def random(n: int, real: bool) -> torch.Tensor:
    return torch.randn(2, n, dtype=torch.float64 if real else torch.complex128)


@pytest.mark.parametrize("real", [False, True])
def test_round_trip_and_parseval(group: FiniteGroup, real: bool) -> None:
    last = Subgroup(group, [group.order - 1])
    first = Subgroup(group, group.generators[:1])
    for left, right in ((None, None), (None, last), (first, None), (first, last)):
        fourier = Fourier(group, left, right, real=real)
        f = random(len(fourier.weights), real)
        blocks = fourier(f)
        torch.testing.assert_close(fourier.inverse(blocks), f, rtol=0, atol=1e-12)
        torch.testing.assert_close(fourier.energy(blocks), (f.abs() ** 2 * fourier.weights).sum(-1), rtol=0, atol=1e-12)


def test_against_the_sum(group: FiniteGroup) -> None:
    """f̂(ρ) = 1/|G| Σ f(g) ρ(g), directly."""
    fourier = Fourier(group)
    f = random(group.order, False)
    for block, irrep in zip(fourier(f), group.irreps(), strict=True):
        wanted = torch.einsum("bg,gij->bij", f, irrep.matrices.to(f.dtype)) / group.order
        torch.testing.assert_close(block, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("real", [False, True])
def test_convolution_theorem(group: FiniteGroup, real: bool) -> None:
    """((f * k)(g) = ∫ f(g v⁻¹) k(v) dv)^ = f̂ k̂."""
    fourier = Fourier(group, real=real)
    f, k = random(group.order, real)
    quotients = torch.as_tensor(group.table[:, group.inverses].astype(np.int64))  # g v⁻¹
    convolved = (f[quotients] * k).mean(dim=1)
    for both, a, b in zip(fourier(convolved), fourier(f), fourier(k), strict=True):
        torch.testing.assert_close(both, a @ b, rtol=0, atol=1e-12)


def test_blocks_count_double_cosets(group: FiniteGroup) -> None:
    """Σ_ρ m_ρ(H) m_ρ(K) = |H\\G/K|, and on G/H what is left of the lifted transform are these columns."""
    H, K = Subgroup(group, [group.order // 2]), Subgroup(group, [group.order - 1])
    fourier = Fourier(group, H, K)
    count = len(np.unique(H.double_coset_of(K)))
    assert sum(a * b for a, b in fourier.block_shapes) == len(fourier.weights) == count
    f = random(count, False)
    lifted = Fourier(group)(f[:, torch.as_tensor(H.double_coset_of(K))])
    for whole, part, left, right in zip(lifted, fourier(f), fourier.left_bases, fourier.right_bases, strict=True):
        left, right = left.to(f.dtype), right.to(f.dtype)
        torch.testing.assert_close(whole, left @ part @ right.mH, rtol=0, atol=1e-12)


def test_on_the_sphere_one_column_for_each_degree() -> None:
    fourier = Fourier(SO3(), right=AxisRotations(), band=4)
    assert fourier.block_shapes == [(2 * l + 1, 1) for l in range(5)]
    assert Fourier(SO3(), AxisRotations(), AxisRotations(), band=4).block_shapes == [(1, 1)] * 5
    for l, basis in enumerate(fourier.right_bases):
        torch.testing.assert_close(basis[:, 0].abs(), torch.eye(2 * l + 1, dtype=torch.float64)[l])  # m = 0
    blocks = [torch.randn(*shape, dtype=torch.complex128) for shape in fourier.block_shapes]
    f = fourier.inverse(blocks)
    for back, block in zip(fourier(f), blocks, strict=True):
        torch.testing.assert_close(back, block, rtol=0, atol=1e-12)
    torch.testing.assert_close((f.abs() ** 2 * fourier.weights).sum(), fourier.energy(blocks), rtol=1e-12, atol=0)


def test_invariant_vectors() -> None:
    G = symmetric(4)
    H = stabiliser(G, [0, 1])
    for irrep in G.irreps():
        elements = torch.as_tensor(H.elements.copy())
        basis = invariants(irrep, elements, torch.full((H.order,), 1 / H.order, dtype=torch.float64))
        torch.testing.assert_close(irrep(elements) @ basis, basis.expand(H.order, -1, -1), rtol=0, atol=1e-13)
        mean = irrep.character[G.class_of[H.elements]].mean()
        assert basis.shape[1] == round(float(mean.real))


def test_float32_and_gradients() -> None:
    fourier = Fourier(symmetric(4), real=True)
    f = torch.randn(3, 24, requires_grad=True)
    back = fourier.inverse(fourier(f))
    assert back.dtype == torch.float32
    torch.testing.assert_close(back, f, rtol=0, atol=1e-5)
    back.square().sum().backward()
    torch.testing.assert_close(f.grad, 2 * f.detach(), rtol=0, atol=1e-4)


def test_what_does_not_fit() -> None:
    fourier = Fourier(cyclic(4))
    with pytest.raises(ValueError, match=r"wanted \(\.\.\., 4\)"):
        fourier(torch.zeros(5))
    with pytest.raises(ValueError, match="blocks of shapes"):
        fourier.inverse([torch.zeros(1, 1)])
    with pytest.raises(ValueError, match="subgroup of"):
        Fourier(cyclic(4), Subgroup(cyclic(5)))
    with pytest.raises(ValueError, match="infinitely many"):
        Fourier(SO3())

"""Fourier analysis on groups and their quotients: round trip, Parseval, convolution, and the sparsity of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armillary.groups import (
    O2,
    O3,
    SO2,
    SO3,
    AxisMirrors,
    AxisRotations,
    ClosedSubgroup,
    FiniteGroup,
    FiniteSubgroup,
    Fourier,
    Group,
    PlaneRotations,
    Subgroup,
    cyclic,
    dihedral,
    icosahedral,
    octahedral,
    stabiliser,
    symmetric,
    tetrahedral,
    with_inversion,
)
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


@pytest.mark.parametrize("real", [False, True])
def test_blocks_count_double_cosets(group: FiniteGroup, real: bool) -> None:
    """Σ_ρ m_ρ(H) m_ρ(K)/e_ρ = |H\\G/K|, e_ρ = 1 over the complex numbers, and on G/H what is left of the lifted
    transform are these columns."""
    H, K = Subgroup(group, [group.order // 2]), Subgroup(group, [group.order - 1])
    fourier = Fourier(group, H, K, real=real)
    count = len(np.unique(H.double_coset_of(K)))
    sizes = [i.endomorphism_dim if real else 1 for i in fourier.irreps]
    free = sum(a * b / e for (a, b), e in zip(fourier.block_shapes, sizes, strict=True))
    assert free == len(fourier.weights) == count
    f = random(count, real)
    lifted = Fourier(group, real=real)(f[:, torch.as_tensor(H.double_coset_of(K))])
    for whole, part, left, right in zip(lifted, fourier(f), fourier.left_bases, fourier.right_bases, strict=True):
        torch.testing.assert_close(whole, left @ part @ right.mH, rtol=0, atol=1e-12)


def test_blocks_of_real_functions_commute(group: FiniteGroup) -> None:
    """With the algebra that commutes with ρ; ``inverse`` drops what does not."""
    fourier = Fourier(group, real=True)
    back = fourier(fourier.inverse([torch.randn(a, b, dtype=torch.float64) for a, b in fourier.block_shapes]))
    for irrep, block in zip(fourier.irreps, back, strict=True):
        generic = torch.randn(irrep.dim, irrep.dim, dtype=torch.float64)
        rho = irrep.matrices
        commuting = torch.einsum("gij,jk,glk->il", rho, generic, rho) / group.order
        torch.testing.assert_close(block @ commuting, commuting @ block, rtol=0, atol=1e-12)
    for again, block in zip(fourier(fourier.inverse(back)), back, strict=True):
        torch.testing.assert_close(again, block, rtol=0, atol=1e-12)


COMPACT: dict[str, tuple[Group, int, ClosedSubgroup | None, ClosedSubgroup | None]] = {
    "SO(2)": (SO2(), 4, None, None),
    "SO(2) / C_3": (SO2(), 6, None, FiniteSubgroup(SO2(), cyclic(3))),
    "O(2)": (O2(), 4, None, None),
    "O(2) / SO(2)": (O2(), 4, None, PlaneRotations()),
    "D_1 \\ O(2) / D_3": (O2(), 7, FiniteSubgroup(O2(), dihedral(1)), FiniteSubgroup(O2(), dihedral(3))),
    "SO(3)": (SO3(), 2, None, None),
    "sphere": (SO3(), 5, None, AxisRotations()),
    "sphere from the left": (SO3(), 5, AxisRotations(), None),
    "zonal": (SO3(), 5, AxisRotations(), AxisRotations()),
    "SO(3) / O": (SO3(), 4, None, FiniteSubgroup(SO3(), octahedral())),
    "I \\ sphere": (SO3(), 6, FiniteSubgroup(SO3(), icosahedral()), AxisRotations()),
    "O(3)": (O3(), 1, None, None),
    "O(3) / SO(2)": (O3(), 3, None, AxisRotations(O3())),
    "O(3) / O(2)": (O3(), 3, None, AxisMirrors()),
    "O(2) \\ O(3) / O(2)": (O3(), 4, AxisMirrors(), AxisMirrors()),
    "O(3) / T_h": (O3(), 3, None, FiniteSubgroup(O3(), with_inversion(tetrahedral()))),
}


@pytest.mark.parametrize("name", COMPACT)
@pytest.mark.parametrize("real", [False, True])
def test_on_compact_groups(name: str, real: bool) -> None:
    """Functions of the band come back from their blocks and keep their energy, and are what the whole group gives."""
    group, band, left, right = COMPACT[name]
    fourier = Fourier(group, left, right, band=band, real=real)
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float64 if real else torch.complex128
    blocks = [torch.randn(2, a, b, generator=generator, dtype=dtype) for a, b in fourier.block_shapes]
    f = fourier.inverse(blocks)
    blocks = fourier(f) if real else blocks  # those that commute with what commutes with ρ
    torch.testing.assert_close(fourier.inverse(blocks), f, rtol=0, atol=1e-11)
    for back, block in zip(fourier(f), blocks, strict=True):
        torch.testing.assert_close(back, block, rtol=0, atol=1e-12)
    energy = (f.abs() ** 2 * fourier.weights).sum(-1)
    torch.testing.assert_close(energy, fourier.energy(blocks), rtol=1e-12, atol=0)
    lifted = [a @ block @ b.mH for a, block, b in zip(fourier.left_bases, blocks, fourier.right_bases, strict=True)]
    whole = Fourier(group, band=min(band, 3), real=real)
    values = whole.inverse(lifted[: len(whole.irreps)])
    g = whole.elements
    for H, product in ((left, lambda h: group.product(h, g)), (right, lambda h: group.product(g, h))):
        if H is not None:  # f(h g) = f(g), f(g k) = f(g)
            moved = product(H.haar(3)[0][1])
            again = sum(
                irrep.dim
                / (irrep.endomorphism_dim if real else 1)
                * torch.einsum("bij,gij->bg", block, irrep(moved).to(block.dtype).conj())
                for irrep, block in zip(whole.irreps, lifted, strict=False)
            )
            torch.testing.assert_close(again, values, rtol=0, atol=1e-11)


def test_the_sphere_takes_one_sample_for_each_point() -> None:
    assert len(Fourier(SO3(), right=AxisRotations(), band=16).weights) == 33 * 17
    assert len(Fourier(SO3(), AxisRotations(), AxisRotations(), band=16).weights) == 17
    assert len(Fourier(O3(), right=AxisMirrors(), band=4).weights) == 9 * 5


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


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_are_numbers(real: bool, dtype: torch.dtype) -> None:
    fourier = Fourier(symmetric(4), right=stabiliser(symmetric(4), [0]), real=real)
    f = torch.tensor([[3, 0, 1, 5], [0, 1, 0, 2]]).to(dtype)
    for mine, wanted in zip(fourier(f), fourier(f.to(torch.get_default_dtype())), strict=True):
        assert torch.equal(mine, wanted)
    torch.testing.assert_close(fourier.inverse(fourier(f)).real, f.float(), rtol=0, atol=1e-5, check_dtype=False)


def test_what_it_holds_moves_with_it() -> None:
    """Buffers, absent from the state dict, that keep their precision."""
    for fourier in (Fourier(SO3(), right=AxisRotations(), band=2), Fourier(symmetric(3), real=True)):
        assert not fourier.state_dict()
        assert {"elements", "weights", "_left_bases", "_right_bases"} <= dict(fourier.named_buffers()).keys()
        before = fourier.right_bases
        fourier.half().float()
        assert all(torch.equal(a, b) for a, b in zip(before, fourier.right_bases, strict=True))
        away = fourier.to("meta")  # which has no room for values: constants stay where they are (ConstantModule)
        assert all(torch.equal(a, b) for a, b in zip(before, away.right_bases, strict=True))
        if torch.cuda.is_available():
            away = fourier.to("cuda")
            parts = (away.elements, away.weights, *away.left_bases, *away.right_bases)
            assert {t.device.type for t in parts} == {"cuda"}


def test_what_does_not_fit() -> None:
    fourier = Fourier(cyclic(4))
    with pytest.raises(ValueError, match=r"wanted \(\.\.\., 4\)"):
        fourier(torch.zeros(5))
    with pytest.raises(ValueError, match="blocks of shapes"):
        fourier.inverse([torch.zeros(1, 1)])
    with pytest.raises(ValueError, match="subgroup of"):
        Fourier(cyclic(4), Subgroup(cyclic(5)))
    with pytest.raises(ValueError, match="subgroup of"):
        Fourier(SO3(), right=AxisRotations(O3()), band=2)
    with pytest.raises(ValueError, match=r"more than 2²⁷"):
        Fourier(SO3(), band=24)
    with pytest.raises(ValueError, match="blocks of shapes"):
        fourier.energy([torch.zeros(1, 1)])
    with pytest.raises(ValueError, match="infinitely many"):
        Fourier(SO3())

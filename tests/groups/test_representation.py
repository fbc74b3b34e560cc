"""Representations and what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armillary.groups import FiniteGroup, cyclic, octahedral, quaternion, stabiliser, symmetric, tetrahedral
from armillary.groups.representation import (
    Representation,
    clebsch_gordan,
    direct_sum,
    dual,
    induced,
    irrep_representation,
    permutation_representation,
    quotient,
    regular,
    restricted,
    tensor_product,
)


def check_blocks(R: Representation) -> None:
    """The basis is unitary and brings R to its blocks."""
    found, g = R.decompose(), torch.as_tensor(R.group.generators or (0,))
    Q = found.basis
    torch.testing.assert_close(Q.mH @ Q, torch.eye(R.dim, dtype=Q.dtype), rtol=0, atol=1e-12)
    blocks = torch.stack([torch.block_diag(*(irrep(x).to(Q.dtype) for irrep in found.irreps)) for x in g])
    torch.testing.assert_close(Q.mH @ R(g).to(Q.dtype) @ Q, blocks, rtol=0, atol=1e-12)


def check_homomorphism(R: Representation) -> None:
    g, h = R.group.sample(40), R.group.sample(40)
    torch.testing.assert_close(R(R.group.product(g, h)), R(g) @ R(h), rtol=0, atol=1e-12)


def test_the_regular_representation_holds_each_irrep_as_often_as_its_dimension(group: FiniteGroup) -> None:
    R = regular(group)
    assert R.multiplicities() == [irrep.dim for irrep in group.irreps()]
    check_homomorphism(R)
    check_blocks(R)


def test_quotients_and_frobenius_reciprocity() -> None:
    """The multiplicity of ρ in an induced representation is that of σ in ρ restricted."""
    G = symmetric(4)
    H = stabiliser(G, [0])
    check_blocks(quotient(H))
    assert sum(quotient(H).multiplicities()) == len(H.double_coset_representatives(H)) == 2
    for i, sigma in enumerate(H.as_group.irreps()):
        R = induced(irrep_representation(sigma), H)
        check_homomorphism(R)
        check_blocks(R)
        back = [restricted(irrep_representation(rho), H).multiplicities()[i] for rho in G.irreps()]
        assert R.multiplicities() == back


def test_induced_from_the_trivial_representation_is_the_quotient() -> None:
    H = stabiliser(symmetric(4), [0, 1])
    R = induced(irrep_representation(H.as_group.irreps()[0]), H)
    torch.testing.assert_close(R(H.group.elements), quotient(H)(H.group.elements))


@pytest.mark.parametrize("make", [octahedral, tetrahedral, quaternion, lambda: cyclic(5), lambda: symmetric(5)])
@pytest.mark.parametrize("real", [False, True])
def test_clebsch_gordan(make, real: bool) -> None:  # type: ignore[no-untyped-def]
    group = make()
    irreps = group.real_irreps() if real else group.irreps()
    for first in irreps[-2:]:
        for second in irreps[-3:]:
            found = clebsch_gordan(first, second)
            assert sum(irrep.dim for irrep in found.irreps) == first.dim * second.dim
            check_blocks(tensor_product(irrep_representation(first), irrep_representation(second)))


def test_sums() -> None:
    group = octahedral()
    parts = [irrep_representation(group.irreps()[k]) for k in (4, 2, 4)]
    R = direct_sum(parts)
    check_homomorphism(R)
    check_blocks(R)
    assert R.multiplicities() == [0, 0, 1, 0, 2]


def test_a_scrambled_basis_is_undone() -> None:
    group = tetrahedral()
    R = direct_sum([irrep_representation(irrep) for irrep in (*group.real_irreps(), group.real_irreps()[1])])
    turn, _ = torch.linalg.qr(torch.randn(R.dim, R.dim, dtype=torch.float64))
    check_blocks(Representation(group, R.dim, lambda g: turn @ R.matrices(g) @ turn.T, "scrambled"))


def test_what_does_not_fit() -> None:
    H = stabiliser(symmetric(4), [0])
    with pytest.raises(ValueError, match=r"H\.as_group"):
        induced(irrep_representation(octahedral().irreps()[0]), H)
    with pytest.raises(ValueError, match="one group"):
        tensor_product(regular(cyclic(3)), regular(cyclic(4)))
    with pytest.raises(ValueError, match="one or more"):
        direct_sum([])
    with pytest.raises(ValueError, match=r"wanted \(3, m\) integers"):
        permutation_representation(cyclic(3), np.zeros((2, 2), int))
    for action in ([[0, 1], [1, 0], [0, 1]], [[1, 0]] * 3, [[0, 1], [2, 0], [1, 2]]):
        with pytest.raises(ValueError, match="no action"):
            permutation_representation(cyclic(3), np.array(action))
    broken = Representation(cyclic(3), 2, lambda g: torch.ones(len(g), 2, 2, dtype=torch.float64), "ones")
    with pytest.raises(ArithmeticError, match="with unitary matrices"):
        broken.decompose()
    with pytest.raises(ArithmeticError, match="would contain"):
        Representation(cyclic(3), 2, lambda g: torch.full((len(g), 2, 2), 0.3).double(), "thirds").multiplicities()


def test_duals() -> None:
    """The contragredient of an irrep of complex type is its conjugate, and trivial parts of ρ ⊗ ρ* count once."""
    group = tetrahedral()
    for irrep in group.irreps():
        R = irrep_representation(irrep)
        check_homomorphism(dual(R))
        check_blocks(dual(R))
        g = group.elements
        torch.testing.assert_close(dual(R)(g), R(group.inverse(g)).mT, rtol=0, atol=1e-13)
        assert tensor_product(R, dual(R)).multiplicities()[0] == 1

"""Characters and irreps: orthogonality, completeness, homomorphism, types, and the same basis everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from armillary.groups import FiniteGroup, alternating, cyclic, dihedral, direct_product, irreps, quaternion, symmetric
from armillary.groups.characters import character_table, eigenvalue_multiplicities


def test_characters_are_orthonormal_and_complete(group: FiniteGroup) -> None:
    chi, weights = character_table(group), group.class_sizes / group.order
    np.testing.assert_allclose(chi * weights @ chi.conj().T, np.eye(len(chi)), atol=1e-13)
    assert round(float((chi[:, 0].real ** 2).sum())) == group.order
    assert (chi[0] == 1).all()


def test_irreps_are_orthogonal_and_complete(group: FiniteGroup) -> None:
    """``1/|G| Σ_g ρ_ij(g)* σ_kl(g) = δ/d``: Schur's orthogonality of all matrix elements at once."""
    columns = [i.matrices.to(torch.complex128).flatten(1) * i.dim**0.5 for i in group.irreps()]
    matrix = torch.cat(columns, dim=1)
    assert matrix.shape == (group.order, group.order)
    gram = matrix.mH @ matrix / group.order
    torch.testing.assert_close(gram, torch.eye(group.order, dtype=gram.dtype), rtol=0, atol=1e-12)


@pytest.mark.parametrize("real", [False, True])
def test_irreps_multiply_and_are_unitary(group: FiniteGroup, real: bool) -> None:
    g, h = group.sample(100), group.sample(100)
    for irrep in group.real_irreps() if real else group.irreps():
        torch.testing.assert_close(irrep(group.product(g, h)), irrep(g) @ irrep(h), rtol=0, atol=1e-12)
        torch.testing.assert_close(irrep(group.inverse(g)), irrep(g).mH, rtol=0, atol=1e-12)
        traces = irrep.matrices.diagonal(dim1=1, dim2=2).sum(-1).to(torch.complex128).numpy()
        np.testing.assert_allclose(traces, irrep.character[group.class_of], atol=1e-12)


def test_real_irreps(group: FiniteGroup) -> None:
    """Σ d²/e = |G|, all matrices are real, and e is the dimension of what commutes with them."""
    total = 0.0
    for irrep in group.real_irreps():
        assert irrep.matrices.dtype == torch.float64
        total += irrep.dim**2 / irrep.endomorphisms
        norm = np.mean(np.abs(irrep.character[group.class_of]) ** 2)
        assert round(float(norm)) == irrep.endomorphisms
    assert round(total) == group.order


def test_types() -> None:
    assert [i.kind for i in cyclic(3).irreps()] == ["real", "complex", "complex"]
    assert [i.kind for i in quaternion().irreps()] == ["real"] * 4 + ["quaternionic"]
    assert [i.endomorphisms for i in quaternion().real_irreps()] == [1, 1, 1, 1, 4]
    assert [i.dim for i in alternating(5).irreps()] == [1, 3, 3, 4, 5]
    assert [i.dim for i in symmetric(6).irreps()] == [1, 1, 5, 5, 5, 5, 9, 9, 10, 10, 16]


def test_eigenvalues_from_characters() -> None:
    group = symmetric(5)
    for irrep in group.irreps():
        for g in (7, 33, 100):
            order = int(group.element_orders[g])
            counts = eigenvalue_multiplicities(group, irrep.character, g)
            values = torch.linalg.eigvals(irrep.matrices[g].to(torch.complex128)).numpy()
            angles = np.round(np.angle(values) * order / (2 * np.pi)).astype(int) % order
            np.testing.assert_allclose(counts, np.bincount(angles, minlength=order), atol=1e-12)


def test_abelian_groups_with_several_generators() -> None:
    group = direct_product(direct_product(cyclic(4), cyclic(6)), cyclic(9))
    chi = character_table(group)
    np.testing.assert_allclose(chi @ chi.conj().T, group.order * np.eye(group.order), atol=1e-10)
    products = chi[:, group.class_of[group.table[5, 77]]]
    np.testing.assert_allclose(products, chi[:, group.class_of[5]] * chi[:, group.class_of[77]], atol=1e-13)


@pytest.mark.parametrize("name", ["S_4", "A_5", "Q_8", "C_7 ⋊ C_3"])
def test_where_no_subgroup_helps(
    name: str, groups: dict[str, Callable[[], FiniteGroup]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Irreps split by eigenvectors in the group algebra, from nothing but the trivial subgroup."""
    group = groups[name]()
    monkeypatch.setattr(irreps, "_subgroups", lambda table: [irreps._Candidate(table, np.array([0]))])
    irreps._state.cache_clear()
    try:
        for irrep in group.irreps():
            rho = irreps.irrep_matrices(group, irrep.complex_index)
            np.testing.assert_allclose(rho[group.table[3, 5]], rho[3] @ rho[5], atol=1e-12)
            traces = np.einsum("gii->g", rho)
            np.testing.assert_allclose(traces, irrep.character[group.class_of], atol=1e-12)
            assert np.isrealobj(rho) == (irrep.kind == "real")
    finally:
        irreps._state.cache_clear()


FINGERPRINT = """
import hashlib
from armillary.groups import alternating, cyclic, symmetric, with_inversion, octahedral
digest = hashlib.sha256()
for group in (alternating(5), symmetric(5), with_inversion(octahedral()), cyclic(12)):
    for irrep in group.irreps() + group.real_irreps():
        digest.update(irrep.matrices.numpy().tobytes())
print(digest.hexdigest())
"""


def test_the_same_bytes_in_every_run() -> None:
    runs = {
        subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, check=True).stdout for _ in range(2)
    }
    assert len(runs) == 1
    assert len(runs.pop().strip()) == len(hashlib.sha256().hexdigest())


def test_the_basis_is_pinned() -> None:
    """``BASIS_VERSION`` has to change with these numbers."""
    assert irreps.BASIS_VERSION == 1
    plane = dihedral(5).irreps()[2]
    turn = 2 * np.pi / 5
    c, s = np.cos(turn), np.sin(turn)
    np.testing.assert_allclose(plane.matrices[5].numpy(), np.diag([1.0, -1.0]), atol=1e-14)
    np.testing.assert_allclose(plane.matrices[1].abs().numpy(), np.abs([[c, s], [s, c]]), atol=1e-14)
    cube = symmetric(4).irreps()[3].matrices
    assert round(float(cube[1].trace())) in (-1, 1)


@pytest.mark.parametrize("make", [lambda: symmetric(6), lambda: alternating(7)], ids=["S_6", "A_7"])
def test_large_groups(make) -> None:  # type: ignore[no-untyped-def]
    """All irreps with their matrices; 0.1 s for S_6 and 1 s for A_7 where it was measured."""
    group = make()
    for irrep in group.irreps():
        rho = irrep.matrices
        g, h = group.sample(20), group.sample(20)
        torch.testing.assert_close(rho[group.product(g, h)], rho[g] @ rho[h], rtol=0, atol=1e-12)
    assert sum(irrep.dim**2 for irrep in group.irreps()) == group.order

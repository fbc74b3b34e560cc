"""Characters and irreps: orthogonality, completeness, homomorphism, types, and the same basis everywhere."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from armillary.groups import (
    FiniteGroup,
    alternating,
    character_table,
    cyclic,
    dihedral,
    direct_product,
    icosahedral,
    irreps,
    octahedral,
    quaternion,
    symmetric,
    with_inversion,
)
from armillary.groups.characters import characters, eigenvalue_multiplicities

CORNERS: dict[str, tuple[Callable[[], FiniteGroup], tuple[int, ...], tuple[int, ...]]] = {
    "C_12": (lambda: cyclic(12), (3, 8), (1, 7)),
    "D_5": (lambda: dihedral(5), (2, 3), (1, 5)),
    "Q_8": (quaternion, (4,), (1, 2)),
    "A_5": (lambda: alternating(5), (1, 3, 4), (1, 30)),
    "S_5": (lambda: symmetric(5), (2, 5, 6), (1, 100)),
    "O_h": (lambda: with_inversion(octahedral()), (4, 9), (2, 31)),
    "I": (icosahedral, (1, 4), (1, 44)),
    "S_6": (lambda: symmetric(6), (6, 9, 10), (1, 100, 333)),
    "C_7 ⋊ C_3": (
        lambda: FiniteGroup.from_permutations([[1, 2, 3, 4, 5, 6, 0], [0, 2, 4, 6, 1, 3, 5]]),
        (3, 4),
        (1, 5),
    ),
}
"""Groups, irreps and elements of which a corner of the matrix is pinned."""


def corners(name: str) -> list[dict[str, Any]]:
    make, indices, elements = CORNERS[name]
    group, found = make(), []
    for index in indices:
        corner = group.irreps()[index].matrices[list(elements), :3, :3].to(torch.complex128)
        parts = {"real": corner.real, "imag": corner.imag}
        found.append({"irrep": index} | {k: (v.numpy().round(6) + 0.0).tolist() for k, v in parts.items()})
    return found


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
        total += irrep.dim**2 / irrep.endomorphism_dim
        norm = np.mean(np.abs(irrep.character[group.class_of]) ** 2)
        assert round(float(norm)) == irrep.endomorphism_dim
    assert round(total) == group.order


def test_types() -> None:
    assert [i.kind for i in cyclic(3).irreps()] == ["real", "complex", "complex"]
    assert [i.kind for i in quaternion().irreps()] == ["real"] * 4 + ["quaternionic"]
    assert [i.endomorphism_dim for i in quaternion().real_irreps()] == [1, 1, 1, 1, 4]
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
    group = FiniteGroup(groups[name]().table)  # nothing is kept with it yet
    monkeypatch.setattr(irreps, "_subgroups", lambda table: [irreps._Candidate(table, np.array([0]))])
    for irrep in group.irreps():
        rho = irreps.irrep_matrices(group, irrep.complex_index)
        np.testing.assert_allclose(rho[group.table[3, 5]], rho[3] @ rho[5], atol=1e-12)
        traces = np.einsum("gii->g", rho)
        np.testing.assert_allclose(traces, irrep.character[group.class_of], atol=1e-12)
        assert np.isrealobj(rho) == (irrep.kind == "real")


FINGERPRINT = """
import hashlib, sys
from armillary.groups import FiniteGroup, alternating, cyclic, octahedral, symmetric, with_inversion
digest = hashlib.sha256()
for group in (alternating(5), symmetric(5), symmetric(6), with_inversion(octahedral()), cyclic(12)):
    equal = (group, FiniteGroup(group.table))
    for asked in equal if sys.argv[1] == "named first" else equal[::-1]:
        matrices = [irrep.matrices.numpy().tobytes() for irrep in (*asked.irreps(), *asked.real_irreps())]
        if asked is group:
            digest.update(b"".join(matrices))
print(digest.hexdigest())
"""


def test_the_same_bytes_in_every_run() -> None:
    """Whichever of two equal groups is asked first: permutations and matrices that come with a table decide nothing."""
    runs = {
        subprocess.run([sys.executable, "-c", FINGERPRINT, first], capture_output=True, check=True).stdout
        for first in ("named first", "bare first")
    }
    assert len(runs) == 1
    assert len(runs.pop().strip()) == len(hashlib.sha256().hexdigest())


@pytest.mark.parametrize("make", [lambda: symmetric(5), lambda: symmetric(6), icosahedral, quaternion])
def test_rounding_decides_nothing(make, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Noise like that of another machine's arithmetic in what the basis is made of leaves the pivots where they are.

    In the last irrep but one of S_6 many elements are equally far from what is spanned, 0.3609375 half-way between two
    numbers of six decimals.
    """
    group = make()
    noise = np.random.default_rng(0)
    for irrep in group.irreps():
        phi = irreps._state(group, irrep.complex_index)
        pivots = irreps._coordinates(group, phi, irrep.dim)[1]
        for size in (1e-16, 1e-15, 1e-14):
            changed = phi + size * noise.normal(size=phi.shape)
            assert irreps._coordinates(group, changed, irrep.dim)[1] == pivots


def test_equal_groups_have_equal_irreps() -> None:
    """The basis follows from the table, without the permutations."""
    for mine, known in zip(FiniteGroup(symmetric(5).table).irreps(), symmetric(5).irreps(), strict=True):
        assert torch.equal(mine.matrices, known.matrices)


def test_real_and_complex_irreps_share_their_matrices() -> None:
    group = symmetric(4)
    for mine, other in zip(group.irreps(), group.real_irreps(), strict=True):
        assert mine.matrices.data_ptr() == other.matrices.data_ptr()


def test_conjugate_characters_of_a_group_with_many_classes() -> None:
    """C_31 × S_3 × C_4: 372 classes; each irrep of complex type and its conjugate are one real irrep."""
    group = direct_product(direct_product(cyclic(31), symmetric(3)), cyclic(4))
    table = characters(group)
    np.testing.assert_allclose(table.values[list(table.conjugates)], table.values.conj(), atol=1e-13)
    assert sum(i.dim**2 / i.endomorphism_dim for i in group.real_irreps()) == group.order


FILE = Path(__file__).parent / "irreps.json"
PINNED = json.loads(FILE.read_text(encoding="utf-8")) if __name__ != "__main__" else {"irreps": {}}


@pytest.mark.parametrize("name", PINNED["irreps"])
def test_the_basis_is_pinned(name: str) -> None:
    """``BASIS_VERSION`` has to change with these numbers: ρ(g)[:3, :3] of some irreps at some g, to six digits.

    ``python tests/groups/test_irreps.py`` writes them.
    """
    assert PINNED["version"] == irreps.BASIS_VERSION == 2
    for pinned, found in zip(PINNED["irreps"][name], corners(name), strict=True):
        assert pinned["irrep"] == found["irrep"]
        np.testing.assert_allclose(pinned["real"], found["real"], atol=1e-6)
        np.testing.assert_allclose(pinned["imag"], found["imag"], atol=1e-6)


@pytest.mark.parametrize("make", [lambda: symmetric(6), lambda: alternating(7)], ids=["S_6", "A_7"])
def test_large_groups(make) -> None:  # type: ignore[no-untyped-def]
    """All irreps with their matrices; 0.1 s for S_6 and 1 s for A_7 where it was measured."""
    group = make()
    for irrep in group.irreps():
        rho = irrep.matrices
        g, h = group.sample(20), group.sample(20)
        torch.testing.assert_close(rho[group.product(g, h)], rho[g] @ rho[h], rtol=0, atol=1e-12)
    assert sum(irrep.dim**2 for irrep in group.irreps()) == group.order


if __name__ == "__main__":
    content = {"version": irreps.BASIS_VERSION, "irreps": {name: corners(name) for name in CORNERS}}
    FILE.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

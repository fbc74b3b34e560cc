"""Finite groups: axioms, classes, subgroups and cosets against direct evaluation."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch

from armillary.groups import (
    FiniteGroup,
    Subgroup,
    alternating,
    centraliser,
    centre,
    cyclic,
    dihedral,
    direct_product,
    octahedral,
    semidirect_product,
    stabiliser,
    symmetric,
    trivial_subgroup,
    whole_group,
    with_inversion,
)

Groups = dict[str, Callable[[], FiniteGroup]]
ORDERS = {"S_5": 120, "A_5": 60, "T": 12, "O": 24, "I": 60, "T_h": 24, "O_h": 48, "I_h": 120, "C_7 ⋊ C_3": 21}


def test_axioms(group: FiniteGroup) -> None:
    g, h, k = (group.sample(200, torch.Generator().manual_seed(i)) for i in range(3))
    everyone = group.elements
    assert torch.equal(group.product(group.product(g, h), k), group.product(g, group.product(h, k)))
    assert torch.equal(group.product(group.identity, everyone), everyone)
    assert torch.equal(group.product(everyone, group.inverse(everyone)), torch.zeros_like(everyone))


def test_classes_are_orbits_of_conjugation(group: FiniteGroup) -> None:
    for g in range(0, group.order, max(1, group.order // 7)):
        orbit = {int(group.conjugate(x, g)) for x in range(group.order)}
        assert orbit == set(np.flatnonzero(group.class_of == group.class_of[g]).tolist())
    assert group.class_sizes.sum() == group.order


def test_orders_of_elements(group: FiniteGroup) -> None:
    for g in range(0, group.order, max(1, group.order // 9)):
        order = int(group.element_orders[g])
        assert group.power(g, order) == 0
        assert all(group.power(g, k) != 0 for k in range(1, order))
        assert group.power(g, -1) == int(group.inverses[g])


@pytest.mark.parametrize("name", ORDERS)
def test_known_orders(name: str, groups: Groups) -> None:
    assert groups[name]().order == ORDERS[name]


@pytest.mark.parametrize("name", ["C_8", "D_5", "T", "O", "I", "T_h", "O_h", "I_h", "Q_8", "D_1"])
def test_matrices_multiply_as_the_table(name: str, groups: Groups) -> None:
    group = groups[name]()
    assert group.matrices is not None
    products = np.einsum("gij,hjk->ghik", group.matrices, group.matrices)
    np.testing.assert_allclose(group.matrices[group.table], products, atol=1e-14)
    identity = np.eye(group.matrices.shape[1])
    np.testing.assert_allclose(
        group.matrices @ group.matrices.swapaxes(1, 2), np.broadcast_to(identity, products[0].shape), atol=1e-14
    )


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_symmetric_groups_hold_all_permutations_in_order(n: int) -> None:
    group = symmetric(n)
    assert group.permutations is not None
    assert group.permutations.tolist() == [list(p) for p in itertools.permutations(range(n))]
    g, h = group.order // 2, group.order - 1
    wanted = group.permutations[g][group.permutations[h]]  # (g h)(i) = g(h(i))
    assert group.permutations[group.table[g, h]].tolist() == wanted.tolist()


def test_alternating_groups_are_the_even_permutations() -> None:
    group = alternating(5)
    assert group.permutations is not None
    assert group.order == 60
    for p in group.permutations:
        assert round(float(np.linalg.det(np.eye(5)[p]))) == 1


def test_generators_do_not_matter_for_permutations() -> None:
    other = FiniteGroup.from_permutations([[1, 2, 3, 0], [1, 0, 2, 3]])
    assert other == symmetric(4)
    assert hash(other) == hash(symmetric(4))
    assert other != alternating(4)


def test_semidirect_product_of_a_dihedral_group() -> None:
    flip = [[0, 1, 2, 3, 4], [0, 4, 3, 2, 1]]
    product = semidirect_product(cyclic(5), cyclic(2), flip)
    assert sorted(product.element_orders) == sorted(dihedral(5).element_orders)
    assert not product.is_abelian


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[0, 1], [1, 1]], "no permutation"),
        ([[1, 0], [0, 1]], "identity first"),
        ([[0, 1, 2], [1, 2, 0]], r"\(n, n\) integers"),
        ([[0.0]], r"\(n, n\) integers"),
        ([[0, 65537], [1, 65536]], r"outside 0\.\.1"),
        ([[0, 1], [1, -2]], r"outside 0\.\.1"),
        ([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]], "associative"),
    ],
)
def test_tables_of_no_group(bad: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FiniteGroup(bad)


def test_bad_generators() -> None:
    with pytest.raises(ValueError, match=r"wanted a permutation of 0\.\.2"):
        FiniteGroup.from_permutations([[0, 0, 1]])
    with pytest.raises(ValueError, match="at least one"):
        FiniteGroup.from_permutations([])
    with pytest.raises(ValueError, match="infinite group"):
        FiniteGroup.from_matrices([[[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]]])
    with pytest.raises(ValueError, match="wanted \\(d, d\\)"):
        FiniteGroup.from_matrices([np.ones((2, 3))])
    with pytest.raises(ValueError, match="infinite group"):
        FiniteGroup.from_matrices([np.diag([2.0, 0.5])])
    for entry in (math.nan, math.inf, 0.0):
        with pytest.raises(ValueError, match="finite entries and determinant"):
            FiniteGroup.from_matrices([[[entry, 0], [0, 1]]])
    with pytest.raises(ValueError, match="automorphisms"):
        semidirect_product(cyclic(4), cyclic(2), [[0, 1, 2, 3], [0, 2, 1, 3]])
    with pytest.raises(ValueError, match="identity moves"):
        semidirect_product(cyclic(4), cyclic(2), np.zeros((2, 4), int))
    with pytest.raises(ValueError, match="at most 7"):
        symmetric(8)
    with pytest.raises(ValueError, match="inversion -1 already"):
        with_inversion(with_inversion(octahedral()))
    with pytest.raises(ValueError, match=r"matrices of space, \(n, 3, 3\)"):
        with_inversion(cyclic(3))
    for n in (True, 2.0, 0, "2"):
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            cyclic(n)  # type: ignore[arg-type]
    assert cyclic(np.int64(3)) == cyclic(3)


def test_cosets_partition_and_are_permuted() -> None:
    G = symmetric(4)
    H = stabiliser(G, [0, 1])
    assert H.order == 4
    assert H.index == 6
    for g in range(G.order):
        coset = set(G.table[g, H.elements].tolist())
        assert coset == set(np.flatnonzero(H.left_coset_of == H.left_coset_of[g]).tolist())
        right = set(G.table[H.elements, g].tolist())
        assert right == set(np.flatnonzero(H.right_coset_of == H.right_coset_of[g]).tolist())
    for g, h in [(3, 5), (10, 23)]:
        assert (H.action[G.table[g, h]] == H.action[g][H.action[h]]).all()
    assert len(np.unique(H.left_coset_of)) == len(H.representatives) == 6


def test_double_cosets() -> None:
    G = symmetric(4)
    H, K = stabiliser(G, [0]), stabiliser(G, [1, 2])
    numbers = H.double_coset_of(K)
    for g in range(G.order):
        wanted = {int(G.table[G.table[h, g], k]) for h in H.elements for k in K.elements}
        assert wanted == set(np.flatnonzero(numbers == numbers[g]).tolist())
    assert len(trivial_subgroup(G).double_coset_representatives(K)) == K.index
    assert len(whole_group(G).double_coset_representatives(K)) == 1
    with pytest.raises(ValueError, match="of one group"):
        H.double_coset_of(trivial_subgroup(cyclic(3)))


def test_subgroups() -> None:
    G = octahedral()
    H = Subgroup(G, [int(np.flatnonzero(G.element_orders == 4)[0])])
    assert H.order == 4
    assert H.as_group.is_abelian
    assert 0 in H
    assert Subgroup.of_elements(G, H.elements) == H
    assert not H.is_normal
    with pytest.raises(ValueError, match="not normal"):
        H.quotient_group()
    even = Subgroup.of_elements(symmetric(4), np.flatnonzero(np.isin(symmetric(4).element_orders, (1, 3)) | _pairs()))
    assert even.as_group == alternating(4)
    assert even.quotient_group() == cyclic(2)
    assert centraliser(G, 0).order == 24
    with pytest.raises(ValueError, match="generate"):
        Subgroup.of_elements(G, [0, 1])
    with pytest.raises(ValueError, match=r"0\.\.23"):
        Subgroup(G, [24])
    with pytest.raises(ValueError, match="wanted integers"):
        Subgroup(G, [1.9])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="wanted integers"):
        stabiliser(symmetric(3), [0.7])  # type: ignore[list-item]


def test_centre_normaliser_conjugate_intersection(groups: Groups) -> None:
    """Against their definitions, element by element."""
    for name in ("S_4", "D_4", "Q_8", "C_7 ⋊ C_3", "C_1"):
        G = groups[name]()
        table, inverse = G.table, G.inverses
        commuting = [z for z in range(G.order) if all(table[z, g] == table[g, z] for g in range(G.order))]
        assert centre(G).elements.tolist() == commuting
        subgroups = [Subgroup(G, [g]) for g in range(0, G.order, 3)] + [whole_group(G)]
        for H in subgroups:
            inside = set(H.elements.tolist())
            kept = []
            for x in range(G.order):
                moved = {int(table[table[x, h], inverse[x]]) for h in inside}
                assert set(H.conjugate(x).elements.tolist()) == moved
                kept += [x] if moved == inside else []
            assert H.normaliser().elements.tolist() == kept
            assert (len(kept) == G.order) == H.is_normal
            for K in subgroups:
                assert set(H.intersection(K).elements.tolist()) == inside & set(K.elements.tolist())
    with pytest.raises(ValueError, match="of one group"):
        trivial_subgroup(cyclic(3)).intersection(trivial_subgroup(cyclic(4)))


def test_subgroups_act_on_functions_of_cosets() -> None:
    """(g f)(x) = f(g⁻¹ x) on any axis."""
    H = stabiliser(symmetric(4), [0, 1])
    f = torch.randn(2, 6, 3)
    for g in (5, 17):
        moved = H.act(g, f, dim=1)
        for x in range(6):
            assert torch.equal(moved[:, H.action[g, x]], f[:, x])
    with pytest.raises(ValueError, match="6 points"):
        H.act(1, f)
    with pytest.raises(ValueError, match=r"at most 23"):
        H.act(24, f, dim=1)


def test_elements_are_checked() -> None:
    group = octahedral()
    for bad in (torch.tensor(-1), torch.tensor([3, 24]), torch.tensor(1.0)):
        for use in (lambda g: group.product(g, g), group.inverse, group.irreps()[2]):
            with pytest.raises(ValueError, match=r"integers in 0\.\.23"):
                use(bad)
    with pytest.raises(ValueError, match="at most 23"):
        group.power(-1, 2)


@pytest.mark.parametrize("n", [7, 32, 45])
def test_rounded_generators_close(n: int) -> None:
    """Turns rounded to float32 give the same group, though their products lie near the edges of any cells."""
    turn = dihedral(n).matrices[[1, n]].astype(np.float32)
    assert FiniteGroup.from_matrices(turn).order == 2 * n


def test_products_carry_matrices_and_permutations() -> None:
    both = direct_product(symmetric(3), cyclic(4))
    assert both.matrices is None
    assert both.permutations is None
    both = direct_product(dihedral(3), cyclic(4))
    assert both.matrices.shape == (24, 4, 4)
    np.testing.assert_allclose(both.matrices[both.table[7, 9]], both.matrices[7] @ both.matrices[9], atol=1e-14)
    both = direct_product(symmetric(3), alternating(4))
    assert both.permutations[3 * 12 + 5].tolist() == [
        *symmetric(3).permutations[3],
        *(3 + alternating(4).permutations[5]),
    ]


def test_memory_is_a_few_tables() -> None:
    """Of the smallest integers; products work on the table itself. 20160 elements take 2 GB in all."""
    group, permutations = cyclic(3000), symmetric(6).permutations
    g = group.sample(100)
    tracemalloc.start()
    try:
        made = FiniteGroup.from_permutations(permutations[list(symmetric(6).generators)])
        assert tracemalloc.get_traced_memory()[1] < 7 * made.table.nbytes
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert torch.equal(group.product(g, g), 2 * g % 3000)
        assert tracemalloc.get_traced_memory()[1] - before < group.table.nbytes / 100
    finally:
        tracemalloc.stop()


def _pairs() -> np.ndarray:
    """Products of two disjoint transpositions in S_4."""
    permutations = symmetric(4).permutations
    assert permutations is not None
    return (permutations != np.arange(4)).all(1) & (symmetric(4).element_orders == 2)

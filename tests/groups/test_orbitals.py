"""Actions by generators and the orbits on pairs, against the listed group and against what is known of them."""

from __future__ import annotations

import math
import time
from itertools import combinations, permutations, product

import numpy as np
import pytest

from armillary.groups import (
    Orbitals,
    PermutationAction,
    Subgroup,
    alternating,
    coset_action,
    cyclic,
    dihedral,
    icosahedral,
    quaternion,
    symmetric,
    symmetric_action,
)

PETERSEN = list(combinations(range(5), 2))  # nodes; edges join disjoint ones


def random_permutation(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def partition(numbers: np.ndarray) -> np.ndarray:
    """Numbered by first occurrence, so that equal partitions are equal arrays."""
    _, first, number = np.unique(numbers.reshape(-1), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number.reshape(numbers.shape)]


def brute_force(X: list, Z: list, group: list[tuple[int, ...]], act) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Orbits on pairs by applying every element of a listed group."""
    numbers = np.full((len(X), len(Z)), -1)
    at_x, at_z = {x: i for i, x in enumerate(X)}, {z: i for i, z in enumerate(Z)}
    count = 0
    for i, j in product(range(len(X)), range(len(Z))):
        if numbers[i, j] < 0:
            for g in group:
                numbers[at_x[act(g, X[i])], at_z[act(g, Z[j])]] = count
            count += 1
    return numbers


@pytest.mark.parametrize(("k", "l"), [(1, 1), (2, 2), (3, 1), (1, 3), (2, 3), (4, 3), (4, 4), (5, 2)])
def test_subsets_against_every_permutation(k: int, l: int) -> None:
    n, things = 5, symmetric_action(5)
    X, Z = ([tuple(c) for c in combinations(range(n), size)] for size in (l, k))
    wanted = brute_force(X, Z, list(permutations(range(n))), lambda g, c: tuple(sorted(g[i] for i in c)))
    found = Orbitals.between(things.subsets(l), things.subsets(k))
    np.testing.assert_array_equal(found.numbers, wanted)  # numbered by the first pair, row by row
    assert len(found) == min(k, l) - max(0, k + l - n) + 1
    common = np.array([[len(set(x) & set(z)) for z in Z] for x in X])
    np.testing.assert_array_equal(found.numbers, min(k, l) - common)


@pytest.mark.parametrize(("k", "l"), [(1, 1), (2, 2), (2, 1), (1, 3), (3, 2)])
def test_tuples_against_every_permutation(k: int, l: int) -> None:
    """As many as partial matchings between k and l places."""
    things = symmetric_action(6)
    found = Orbitals.between(things.tuples(l), things.tuples(k))
    assert len(found) == sum(math.comb(k, j) * math.comb(l, j) * math.factorial(j) for j in range(min(k, l) + 1))
    X, Z = ([tuple(c) for c in permutations(range(6), size)] for size in (l, k))
    wanted = brute_force(X, Z, list(permutations(range(6))), lambda g, c: tuple(g[i] for i in c))
    np.testing.assert_array_equal(found.numbers, wanted)


CASES = {
    "S_5": (symmetric(5), [1], [5, 7]),
    "A_5": (alternating(5), [3], [9]),
    "D_6": (dihedral(6), [7], []),
    "C_7": (cyclic(7), [], []),
    "Q_8": (quaternion(), [], [1]),
    "I": (icosahedral(), [5], [2]),
}


@pytest.mark.parametrize("name", CASES)
def test_they_are_the_double_cosets(name: str) -> None:
    group, *generators = CASES[name]
    H, K = (Subgroup(group, chosen) for chosen in generators)
    by_generators = Orbitals.between(coset_action(K), coset_action(H))
    by_elements = Orbitals.of_cosets(K, H)
    np.testing.assert_array_equal(by_generators.numbers, partition(by_elements.numbers))
    assert len(by_generators) == len(by_elements) == len(H.double_coset_representatives(K))
    for g in range(0, group.order, max(1, group.order // 12)):  # pairs stay in their orbital
        moved = by_elements.numbers[K.action[g][:, None], H.action[g]]
        np.testing.assert_array_equal(moved, by_elements.numbers)


def test_as_many_as_the_null_space_has_dimensions() -> None:
    """``M R_Z(s) = R_X(s) M`` for the generators s, as a dense null space, which knows nothing of orbits on pairs."""
    things = PermutationAction([[1, 2, 3, 4, 5, 0], [0, 5, 4, 3, 2, 1]])  # the hexagon
    for X, Z in [(things, things.tuples(2)), (things.subsets(2), things.subsets(3)), (things.tuples(2), things)]:
        constraint = np.zeros((X.size * Z.size,) * 2)
        for x, z in zip(X.images, Z.images, strict=True):
            left, right = np.eye(X.size)[:, np.argsort(x)].T, np.eye(Z.size)[:, np.argsort(z)].T
            assert left[x[1], 1] == 1  # R e_i = e_{s i}
            difference = np.kron(np.eye(X.size), right.T) - np.kron(left, np.eye(Z.size))
            constraint += difference.T @ difference
        assert len(Orbitals.between(X, Z)) == int((np.linalg.eigvalsh(constraint) < 1e-9).sum())


def test_all_pairs_of_nodes_are_counted_by_bell_numbers() -> None:
    """Maps of n × n matrices that commute with renumbering: 15 (Maron et al. 2019); from nodes: 5; to a number: 2."""
    n, things = 5, symmetric_action(5)
    cells = np.arange(n * n)
    matrices = things.on([image[cells // n] * n + image[cells % n] for image in things.images])
    assert not matrices.is_transitive
    assert matrices.orbit_of.reshape(n, n).tolist() == (1 - np.eye(n, dtype=int)).tolist()
    found = Orbitals.between(matrices, matrices)
    assert len(found) == 15
    assert len(Orbitals.between(matrices, things)) == len(Orbitals.between(things, matrices)) == 5
    assert len(Orbitals.between(matrices, things.subsets(n))) == 2
    np.testing.assert_array_equal(found.numbers, partition(found.numbers))
    for D, degree in enumerate(found.subdegrees):
        rows = (found.numbers == D).sum(axis=1)
        assert set(rows) <= {0, degree}


def test_a_graph_on_its_nodes_and_edges() -> None:
    """The Petersen graph is distance-transitive: nodes at distance 0, 1 or 2; edges at distance 0 to 3."""
    things = symmetric_action(5)
    nodes = things.subsets(2)
    assert [tuple(m) for m in nodes.members.tolist()] == PETERSEN
    links = [e for e in nodes.subsets(2).members.tolist() if not set(PETERSEN[e[0]]) & set(PETERSEN[e[1]])]
    place = {tuple(e): i for i, e in enumerate(links)}
    edges = things.on([[place[tuple(sorted(image[e]))] for e in np.array(links)] for image in nodes.images])
    assert (nodes.size, edges.size) == (10, 15)
    assert sorted(Orbitals.between(nodes, nodes).subdegrees) == [1, 3, 6]
    assert sorted(Orbitals.between(edges, edges).subdegrees) == [1, 2, 4, 8]
    assert len(Orbitals.between(nodes, edges)) == 3


def test_orbits_of_an_action_that_is_not_transitive() -> None:
    action = PermutationAction([[0, 2, 1, 3, 5, 4], [4, 1, 2, 3, 0, 5]])
    assert action.orbit_of.tolist() == [0, 1, 1, 2, 0, 0]
    assert not action.is_transitive
    assert symmetric_action(1).is_transitive


@pytest.mark.parametrize("n", [2, 7, 12])
def test_elements_act_on_what_is_made_of_things(n: int) -> None:
    g, h, things = random_permutation(n, 0), random_permutation(n, 1), symmetric_action(n)
    for action in (things.subsets(2), things.subsets(n - 1), things.tuples(2), things.subsets(2).subsets(1)):
        of = action.of.induced if action.of is not things else np.asarray
        a, b, both = (action.induced(of(p)) for p in (g, h, g[h]))
        np.testing.assert_array_equal(a[b], both)
        np.testing.assert_array_equal(np.sort(a), np.arange(action.size))
        np.testing.assert_array_equal(action.number(action.members), np.arange(action.size))
        moved = of(g)[action.members]
        found = action.members[a]
        same = np.sort(moved, axis=1) if type(action).__name__ == "SubsetAction" else moved
        np.testing.assert_array_equal(found, same)


def test_large_groups_take_no_longer_than_their_pairs() -> None:
    """S_20 has 2.4 · 10¹⁸ elements; the 1140 3-subsets have 1.3 million pairs."""
    start = time.process_time()
    triples = symmetric_action(20).subsets(3)
    found = Orbitals.between(triples, triples)
    assert time.process_time() - start < 5
    assert found.subdegrees.tolist() == [1, 51, 408, 680]
    assert found.sizes.tolist() == [1140 * d for d in (1, 51, 408, 680)]


def test_almost_all_subsets() -> None:
    """C(30, 28) = 435, though 30²⁸ fits no integer."""
    action = symmetric_action(30).subsets(28)
    np.testing.assert_array_equal(action.number(action.members), np.arange(435))
    assert len(Orbitals.between(action, action)) == 3


def test_what_does_not_fit() -> None:
    things = symmetric_action(5)
    with pytest.raises(ValueError, match="different groups"):
        Orbitals.between(things, symmetric_action(6))
    with pytest.raises(ValueError, match="different groups"):
        Orbitals.between(things, PermutationAction([[1, 2, 3, 4, 0], [0, 4, 3, 2, 1]]))
    with pytest.raises(ValueError, match=r"wanted a permutation of 0\.\.2"):
        PermutationAction([[0, 1, 1]])
    with pytest.raises(ValueError, match=r"wanted \(S, N\) integers"):
        PermutationAction([])
    with pytest.raises(ValueError, match=r"wanted \(S, N\) integers"):
        PermutationAction([[0.0, 1.0]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="the group has 2"):
        things.on([[0, 1]])
    for k in (0, 6, True, 2.0):
        with pytest.raises(ValueError, match="at most 5"):
            things.subsets(k)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="more than"):
        symmetric_action(60).subsets(30)
    with pytest.raises(ValueError, match="more than"):
        symmetric_action(14).tuples(14)
    with pytest.raises(ValueError, match="integer >= 1"):
        symmetric_action(0)
    with pytest.raises(ValueError, match=r"wanted a permutation of 0\.\.4"):
        things.subsets(2).induced([0, 1, 2, 3])
    with pytest.raises(ValueError, match="pairs"):
        Orbitals.between(symmetric_action(30).subsets(4), symmetric_action(30).subsets(4))

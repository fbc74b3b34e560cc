"""Convolution from generators alone: the layer of the listed group, and sums over pairs where there is none."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from armillary.groups import (
    Action,
    Orbitals,
    PermutationAction,
    Subgroup,
    alternating,
    coset_action,
    cyclic,
    dihedral,
    stabiliser,
    symmetric,
    symmetric_action,
)
from armillary.nn import HomogeneousConv, OrbitalConv
from armillary.testing import GroupAction, check_layer, commutation_error


def subset_symmetry(channels: int, n: int, k: int, l: int, count: int = 4) -> GroupAction:
    """Random permutations of n things; (g f)(g z) = f(z)."""
    things = symmetric_action(n)
    Z, X = things.subsets(k), things.subsets(l)
    generator = np.random.default_rng(0)
    elements = [generator.permutation(n) for _ in range(count)]
    return GroupAction((channels, Z.size), elements, lambda g, f: carry(Z, g, f), lambda g, f: carry(X, g, f))


def carry(action: Action, g: np.ndarray, f: Tensor) -> Tensor:
    return f[..., torch.as_tensor(np.argsort(action.induced(g)))]  # type: ignore[attr-defined]


def paths_of(Z: Action, X: Action) -> tuple[str, ...]:
    try:
        OrbitalConv(1, 1, Z, X, path="inclusion")
    except ValueError:
        return ("matrix", "relations")
    return ("matrix", "relations", "inclusion")


LISTED = {
    "S_5: points to pairs": (symmetric(5), [0], [0, 1]),
    "S_5: pairs to triples": (symmetric(5), [0, 1], [0, 1, 2]),
    "S_6: triples to pairs": (symmetric(6), [0, 1, 2], [0, 1]),
    "S_5: fours to triples": (symmetric(5), [0, 1, 2, 3], [0, 1, 2]),
    "A_6: pairs to pairs": (alternating(6), [0, 1], [0, 1]),
}


@pytest.mark.parametrize("name", LISTED)
def test_equals_the_layer_of_the_listed_group(name: str) -> None:
    group, few, more = LISTED[name]
    H, K = stabiliser(group, few), stabiliser(group, more)
    generators = [group.permutations[g] for g in group.generators]
    things = PermutationAction(generators)
    Z, X = things.subsets(len(few)), things.subsets(len(more))
    for subgroup, action in ((H, Z), (K, X)):  # cosets and subsets have the same numbers
        np.testing.assert_array_equal(subgroup.action[list(group.generators)], action.images)
    listed = HomogeneousConv(3, 2, group, H, K, path="matrix").double()
    torch.nn.init.normal_(listed.bias)
    f = torch.randn(4, 3, H.index, dtype=torch.float64, requires_grad=True)
    wanted = listed(f)
    slope = torch.autograd.grad(wanted.square().sum(), [f, listed.weight])
    assert paths_of(Z, X) == ("matrix", "relations", "inclusion")
    for path in paths_of(Z, X):
        layer = OrbitalConv(3, 2, Z, X, path=path).double()
        order = [
            int(listed.orbitals.numbers.reshape(-1)[np.argmax(layer.orbitals.numbers == d)])
            for d in range(layer.n_orbitals)
        ]
        with torch.no_grad():
            layer.weight.copy_(listed.weight[..., order])
            layer.bias.copy_(listed.bias)
        torch.testing.assert_close(layer(f), wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.matrix(), listed.matrix(), rtol=0, atol=1e-14)
        by_f, by_weight = torch.autograd.grad(layer(f).square().sum(), [f, layer.weight])
        torch.testing.assert_close(by_f, slope[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(by_weight, slope[1][..., order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("generators", [([1], [7]), ([7], []), ([], [])], ids=str)
def test_equals_the_layer_on_other_cosets(generators: tuple[list[int], list[int]]) -> None:
    group = dihedral(6)
    H, K = (Subgroup(group, chosen) for chosen in generators)
    listed = HomogeneousConv(2, 3, group, H, K, path="fourier").double()
    layer = OrbitalConv(2, 3, coset_action(H), coset_action(K), path="relations").double()
    order = [
        int(listed.orbitals.numbers.reshape(-1)[np.argmax(layer.orbitals.numbers == d)])
        for d in range(len(layer.orbitals))
    ]
    with torch.no_grad():
        layer.weight.copy_(listed.weight[..., order])
    assert layer.weight.shape == listed.weight.shape == (3, 2, len(H.double_coset_representatives(K)))
    f = torch.randn(2, 2, H.index, dtype=torch.float64)
    torch.testing.assert_close(layer(f), listed(f), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "k", "l"), [(6, 2, 2), (7, 3, 1), (7, 1, 3), (7, 2, 4), (5, 4, 3), (4, 4, 2), (8, 3, 3), (5, 3, 4)]
)
def test_equals_the_sum_over_subsets_by_what_they_share(n: int, k: int, l: int) -> None:
    """Σ_z w_{|x ∩ z|} f(z) / √(how many z share as much with x), pair by pair."""
    things = symmetric_action(n)
    Z, X = things.subsets(k), things.subsets(l)
    layers = [OrbitalConv(2, 3, Z, X, path=path).double() for path in ("matrix", "relations", "inclusion")]
    f = torch.randn(2, 2, Z.size, dtype=torch.float64)
    common = torch.tensor(
        [[len(set(x) & set(z)) for z in combinations(range(n), k)] for x in combinations(range(n), l)]
    )
    wanted = torch.zeros(2, 3, X.size, dtype=torch.float64)
    for x, z in np.ndindex(X.size, Z.size):
        alike = int((common[x] == common[x, z]).sum())
        wanted[..., x] += f[..., z] @ layers[0].weight.detach()[..., min(k, l) - int(common[x, z])].T / alike**0.5
    for layer in layers:
        layer.load_state_dict(layers[0].state_dict())
        assert layer.n_orbitals == min(k, l) - max(0, k + l - n) + 1
        torch.testing.assert_close(layer(f), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", ["matrix", "relations", "inclusion"])
def test_contract(path) -> None:  # type: ignore[no-untyped-def]
    things = symmetric_action(6)
    layer = OrbitalConv(3, 2, things.subsets(3), things.subsets(2), path=path)
    check_layer(layer, subset_symmetry(3, 6, 3, 2), tolerance=1e-12)


@pytest.mark.parametrize("path", ["matrix", "relations", "inclusion"])
def test_exports_for_batches_of_any_size(path) -> None:  # type: ignore[no-untyped-def]
    layer, x = OrbitalConv(2, 3, symmetric_action(6).subsets(2), path=path), torch.randn(2, 2, 15)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    more = torch.randn(5, 2, 15)
    torch.testing.assert_close(program.module()(more), layer(more))


def test_second_derivatives_of_the_sums_over_subsets() -> None:
    things = symmetric_action(5)
    layer = OrbitalConv(1, 2, things.subsets(2), things.subsets(3), path="inclusion").double()
    f = torch.randn(1, 1, 10, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(lambda x: layer(x).tanh(), f)


@pytest.mark.parametrize(("k", "l"), [(3, 3), (3, 1), (2, 3)])
def test_subsets_of_twelve_things(k: int, l: int) -> None:
    """S_12 has 479 million elements."""
    start = time.process_time()
    things = symmetric_action(12)
    for path in (None, "matrix", "relations"):
        layer = OrbitalConv(2, 3, things.subsets(k), things.subsets(l), path=path)
        assert commutation_error(layer, subset_symmetry(2, 12, k, l), count=4) < 1e-12
    assert time.process_time() - start < 10


def test_subsets_of_thirty_things() -> None:
    """4060 points: 16 million pairs, and a layer that makes nothing of that size."""
    layer = OrbitalConv(2, 2, symmetric_action(30).subsets(3))
    assert layer.path == "inclusion"
    assert layer.weight.shape == (2, 2, 4)
    assert max(buffer.numel() for buffer in layer.buffers()) < 4 * 4060
    assert commutation_error(layer, subset_symmetry(2, 30, 3, 3, count=2), count=2) < 1e-12


def test_rankings_and_graphs() -> None:
    """Ordered pairs of S_9, 7 orbitals; the cube's 8 corners and 12 edges under its 48 symmetries."""
    things = symmetric_action(9)
    pairs = things.tuples(2)
    layer = OrbitalConv(2, 3, pairs, things)
    assert layer.n_orbitals == 3
    generator = np.random.default_rng(0)
    elements = [generator.permutation(9) for _ in range(3)]
    symmetry = GroupAction((2, 72), elements, lambda g, f: carry(pairs, g, f), lambda g, f: f[..., np.argsort(g)])
    assert commutation_error(layer, symmetry, count=3) < 1e-12
    assert OrbitalConv(1, 1, pairs).n_orbitals == 7
    corners = PermutationAction([[1, 3, 0, 2, 5, 7, 4, 6], [0, 2, 4, 6, 1, 3, 5, 7], [1, 0, 3, 2, 5, 4, 7, 6]])
    assert OrbitalConv(1, 1, corners).n_orbitals == 4  # distances 0, 1, 2, 3


def test_inclusion_wherever_the_orbitals_are_those_of_all_permutations() -> None:
    """A_7 by two generators; the cyclic group of 7 has more orbitals."""
    even = PermutationAction([[1, 2, 0, 3, 4, 5, 6], [0, 1, 3, 4, 5, 6, 2]])
    assert paths_of(even.subsets(2), even.subsets(3)) == ("matrix", "relations", "inclusion")
    turns = PermutationAction([[1, 2, 3, 4, 5, 6, 0]])
    assert paths_of(turns.subsets(1), turns.subsets(1)) == ("matrix", "relations")


def test_noise_keeps_its_variance() -> None:
    things = symmetric_action(10)
    y = OrbitalConv(32, 64, things.subsets(3), things.subsets(2))(torch.randn(64, 32, 120))
    assert 0.8 < float(y.detach().var()) < 1.25


def test_the_cheapest_path() -> None:
    things = symmetric_action(20)
    assert OrbitalConv(1, 1, symmetric_action(5)).path == "matrix"
    assert OrbitalConv(64, 64, symmetric_action(5).tuples(2)).path == "relations"
    assert OrbitalConv(16, 16, things.subsets(3)).path == "inclusion"
    assert "4 orbitals, path=inclusion" in repr(OrbitalConv(16, 16, things.subsets(3)))
    assert OrbitalConv(16, 16, things.subsets(18)).path != "inclusion"  # 18 sizes of subsets in between


def test_what_does_not_fit() -> None:
    things = symmetric_action(5)
    with pytest.raises(ValueError, match="different groups"):
        OrbitalConv(1, 1, things.subsets(2), symmetric_action(6).subsets(2))
    with pytest.raises(ValueError, match="2 orbits"):
        OrbitalConv(1, 1, PermutationAction([[1, 0, 2]]))
    with pytest.raises(ValueError, match="wanted one of 'matrix', 'relations', or None"):
        OrbitalConv(1, 1, things.tuples(2), path="inclusion")
    with pytest.raises(ValueError, match="path = 'fourier'"):
        OrbitalConv(1, 1, things.subsets(2), path="fourier")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out_channels"):
        OrbitalConv(1, 0, things)
    with pytest.raises(ValueError, match=r"OrbitalConv wants \(B, 1, 10\)"):
        OrbitalConv(1, 1, things.subsets(2))(torch.zeros(2, 1, 9))


def test_orbitals_are_those_of_the_layer() -> None:
    assert len(Orbitals.between(symmetric_action(4), symmetric_action(4))) == 2
    group = cyclic(4)
    layer = HomogeneousConv(1, 1, group)
    np.testing.assert_array_equal(layer.orbitals.subdegrees, [1, 1, 1, 1])

"""Groups, subgroups and irreps are values: nothing handed out can be changed, and copies and pickles are equal."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from armillary.groups import (
    O2,
    O3,
    SO2,
    SO3,
    AxisRotations,
    FiniteGroup,
    FiniteSubgroup,
    Fourier,
    Subgroup,
    character_table,
    cyclic,
    dihedral,
    octahedral,
    quaternion,
    stabiliser,
    symmetric,
    with_inversion,
)

HELD: dict[str, Callable[[FiniteGroup, Subgroup], np.ndarray]] = {
    "table": lambda G, H: G.table,
    "permutations": lambda G, H: G.permutations,
    "inverses": lambda G, H: G.inverses,
    "class_of": lambda G, H: G.class_of,
    "class_sizes": lambda G, H: G.class_sizes,
    "class_representatives": lambda G, H: G.class_representatives,
    "element_orders": lambda G, H: G.element_orders,
    "characters": lambda G, H: character_table(G),
    "character": lambda G, H: G.real_irreps()[-1].character,
    "elements": lambda G, H: H.elements,
    "left_coset_of": lambda G, H: H.left_coset_of,
    "right_coset_of": lambda G, H: H.right_coset_of,
    "representatives": lambda G, H: H.representatives,
    "action": lambda G, H: H.action,
    "matrices": lambda G, H: octahedral().matrices,
    "realified": lambda G, H: quaternion().real_irreps()[-1].character,
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("when", ["new", "copied", "pickled"])
def test_what_is_handed_out_is_read_only(name: str, when: str) -> None:
    G = symmetric(4)
    H = stabiliser(G, [0])
    if when == "copied":
        G, H = copy.deepcopy((G, H))
    if when == "pickled":
        G, H = pickle.loads(pickle.dumps((G, H)))
    values = HELD[name](G, H)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_sequences_of_irreps_cannot_be_changed() -> None:
    for group, band in ((symmetric(3), None), (SO2(), 1), (O2(), 1), (SO3(), 1), (O3(), 1)):
        assert isinstance(group.irreps(band), tuple)
        assert isinstance(group.real_irreps(band), tuple)
    rho = symmetric(3).irreps()[2]
    for g in (torch.tensor(1), torch.tensor([1, 2])):
        before = rho(g).clone()
        rho(g).zero_()
        assert torch.equal(rho(g), before)


def test_a_group_does_not_hold_the_callers_arrays() -> None:
    table = np.array([[0, 1], [1, 0]], dtype=np.int16)
    matrices, permutations = np.array([[[1.0]], [[-1.0]]]), np.array([[0, 1], [1, 0]])
    group = FiniteGroup(table, matrices=matrices, permutations=permutations)
    table[1, 1], matrices[1], permutations[1] = 1, 5, 0
    assert group == cyclic(2)
    assert group.matrices[1].item() == -1
    assert group.permutations[1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.ones((2, 1, 1)), "faithfully"),
        (np.zeros((2, 1, 1)), "faithfully"),
        (np.array([1.0, 2.0])[:, None, None], "faithfully"),
        (np.array([1.0, np.nan])[:, None, None], "faithfully"),
        (np.ones((3, 1, 1)), r"wanted \(2, d, d\)"),
        (np.ones((2, 1, 2)), r"wanted \(2, d, d\)"),
    ],
)
def test_matrices_are_checked(matrices: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FiniteGroup(cyclic(2).table, matrices=matrices)


@pytest.mark.parametrize(
    ("permutations", "message"),
    [
        ([[0, 1, 2], [1, 2, 0]], "multiply as the table"),
        ([[1, 0], [1, 0]], "multiply as the table"),
        ([[0, 1], [1, 2]], "multiply as the table"),
        ([[0, 1]], r"wanted \(2, k\) integers"),
        ([[0.0], [0.0]], r"wanted \(2, k\) integers"),
    ],
)
def test_permutations_are_checked(permutations: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FiniteGroup(cyclic(2).table, permutations=permutations)


def test_copies_are_the_thing_itself() -> None:
    G = dihedral(4)
    H = Subgroup(G, [1])
    fourier = Fourier(G, right=H)
    twin = copy.deepcopy(fourier)
    assert twin.group is G
    assert twin.right is H
    assert copy.deepcopy(G) is copy.copy(G) is G
    for irrep in (*G.irreps(), *quaternion().real_irreps()):
        assert copy.deepcopy(irrep) is copy.copy(irrep) is irrep
        with pytest.raises(ValueError, match="read-only"):
            pickle.loads(pickle.dumps(irrep)).character[0] = 0


def test_pickles_are_equal_and_hash_alike() -> None:
    G = symmetric(4)
    G.irreps()[3].matrices  # noqa: B018  kept with the group, and left behind
    values = (G, Subgroup(G, [1]), G.irreps()[3], G.real_irreps()[2], *O3().irreps(2), *SO2().real_irreps(1))
    values += (AxisRotations(), FiniteSubgroup(SO3(), octahedral()))
    for value in values:
        again = pickle.loads(pickle.dumps(value))
        assert again == value
        assert hash(again) == hash(value)
    again = pickle.loads(pickle.dumps(G))
    assert len(pickle.dumps(G)) < 6000
    assert torch.equal(again.irreps()[3].matrices, G.irreps()[3].matrices)
    assert pickle.loads(pickle.dumps(Fourier(SO3(), right=AxisRotations(), band=2))).block_shapes == [
        (1, 1),
        (3, 1),
        (5, 1),
    ]


def test_the_hash_is_that_of_every_process() -> None:
    """Python's own hashes of bytes and strings are salted anew in each."""
    code = "from armillary.groups import *; print(hash(symmetric(4)), hash(Subgroup(cyclic(4), [2]).group))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}
    )
    assert done.stdout.decode().split() == [str(hash(symmetric(4))), str(hash(cyclic(4)))]


def test_irreps_of_compact_groups_are_equal_across_calls() -> None:
    for group, other in ((SO2(), O2()), (O2(), SO2()), (SO3(), O3()), (O3(), SO3())):
        assert group.irreps(3) == group.irreps(3)
        assert group.real_irreps(3) == group.real_irreps(3)
        assert len({*group.irreps(3), *group.irreps(2)}) == len(group.irreps(3))
        assert set(group.irreps(3)).isdisjoint(other.irreps(3))
    assert SO3().irreps(1)[1] != SO3().real_irreps(1)[1]


def test_equal_tables_with_other_matrices_stay_apart() -> None:
    """What depends on matrices is not remembered by the table, which decides equality."""
    cube = octahedral()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = FiniteGroup(cube.table, "turned", matrices=turn @ cube.matrices @ turn.T)
    assert turned == cube
    a, b = with_inversion(cube), with_inversion(turned)
    assert (a.name, b.name) == ("O_h", "turned × C_i")
    np.testing.assert_allclose(b.matrices[:24], turned.matrices)
    assert FiniteSubgroup(SO3(), turned) != FiniteSubgroup(SO3(), cube)

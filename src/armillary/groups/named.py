"""Groups by name.

Permutation groups have their elements in lexicographic order; cyclic and dihedral groups have the order stated there;
groups of rotations of space that of their generators. Products are of pairs (g, h) with index g·|H| + h.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from armillary.groups.finite import FiniteGroup
from armillary.ops.integers import checked_integer

_GOLDEN = (1 + 5**0.5) / 2
_TABLE = ": the Cayley table would not fit the memory"


def _plane_rotations(n: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c, -s, s, c], axis=-1).reshape(n, 2, 2)


@lru_cache(maxsize=64, typed=True)
def cyclic(n: int) -> FiniteGroup:
    """C_n: element k is the turn of the plane by 2πk/n."""
    n = checked_integer("n", n, 1)
    k = np.arange(n)
    return FiniteGroup((k[:, None] + k) % n, f"C_{n}", matrices=_plane_rotations(n))


@lru_cache(maxsize=64, typed=True)
def dihedral(n: int) -> FiniteGroup:
    """D_n of order 2n: element k < n is the turn by 2πk/n, element n + k that turn after the reflection y → -y."""
    n = checked_integer("n", n, 1)
    k, s = np.arange(2 * n) % n, np.arange(2 * n) // n
    turn = (k[:, None] + np.where(s == 1, -1, 1)[:, None] * k) % n
    turns = _plane_rotations(n)
    return FiniteGroup(
        turn + n * (s[:, None] ^ s),
        f"D_{n}",
        matrices=np.concatenate([turns, turns @ np.diag([1.0, -1.0])]),
    )


@lru_cache(maxsize=8, typed=True)
def symmetric(n: int) -> FiniteGroup:
    """S_n: all permutations of 0..n-1; n ≤ 7."""
    n = checked_integer("n", n, 1, 7, _TABLE)
    swaps = [[*range(i), i + 1, i, *range(i + 2, n)] for i in range(n - 1)] or [[0]]
    return FiniteGroup.from_permutations(swaps, f"S_{n}")


@lru_cache(maxsize=8, typed=True)
def alternating(n: int) -> FiniteGroup:
    """A_n: the even permutations of 0..n-1; n ≤ 7."""
    n = checked_integer("n", n, 1, 7, _TABLE)
    cycles = [[*range(i), i + 1, i + 2, i, *range(i + 3, n)] for i in range(n - 2)] or [list(range(n))]
    return FiniteGroup.from_permutations(cycles, f"A_{n}")


@lru_cache(maxsize=1)
def tetrahedral() -> FiniteGroup:
    """T, the 12 rotations of the tetrahedron with corners (1, 1, 1), (1, -1, -1), …."""
    return FiniteGroup.from_matrices([_TURN_111, np.diag([-1.0, -1.0, 1.0])], "T")


@lru_cache(maxsize=1)
def octahedral() -> FiniteGroup:
    """O, the 24 rotations of the cube with its faces across the axes."""
    return FiniteGroup.from_matrices([_TURN_111, [[0, -1, 0], [1, 0, 0], [0, 0, 1]]], "O")


@lru_cache(maxsize=1)
def icosahedral() -> FiniteGroup:
    """I, the 60 rotations of the icosahedron with corners (0, ±1, ±φ) and cyclic permutations, φ the golden ratio."""
    a, b, c = _GOLDEN / 2, 0.5, 1 / (2 * _GOLDEN)  # a turn by 2π/5 about the corner (0, 1, φ)
    fifth = [[c, -a, b], [a, b, c], [-b, c, a]]
    return FiniteGroup.from_matrices([_TURN_111, fifth], "I")


_TURN_111 = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_INVERTED: dict[str, str] = {"T": "T_h", "O": "O_h", "I": "I_h"}


def with_inversion(group: FiniteGroup) -> FiniteGroup:
    """G × {1, -1} for a group of rotations or reflections of space: element g < |G| is g, element |G| + g is -g.

    Raises: ValueError for a group without matrices (n, 3, 3), or one that contains -1 already.
    """
    matrices = group.matrices
    if matrices is None or matrices.shape[1:] != (3, 3):
        raise ValueError(f"{group} has no matrices of space, (n, 3, 3): take groups.direct_product(cyclic(2), G).")
    if (np.abs(matrices + np.eye(3)).max(axis=(1, 2)) < 1e-4).any():
        raise ValueError(f"{group} contains the inversion -1 already.")
    table = direct_product(cyclic(2), group).table
    return FiniteGroup(
        table, _INVERTED.get(group.name, f"{group.name} × C_i"), matrices=np.concatenate([matrices, -matrices])
    )


@lru_cache(maxsize=1)
def quaternion() -> FiniteGroup:
    """Q_8 = {1, i, j, k, -1, -i, -j, -k}; matrices: its products from the left on (1, i, j, k)."""
    i = [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]]
    j = [[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]]
    one, a, b = np.eye(4), np.array(i, float), np.array(j, float)
    elements = [one, a, b, a @ b]
    elements += [-e for e in elements]
    flat = np.stack(elements).reshape(8, 16)
    products = np.einsum("gij,hjk->ghik", np.stack(elements), np.stack(elements)).reshape(8, 8, 16)
    table = np.argmin(np.abs(products[:, :, None] - flat).sum(-1), axis=-1)
    return FiniteGroup(table, "Q_8", matrices=np.stack(elements))


def direct_product(first: FiniteGroup, second: FiniteGroup) -> FiniteGroup:
    """G × H: the pair (g, h) is element g·|H| + h.

    Where both have matrices it has them too, one block after the other; where both have permutations, those of H act on
    further points.
    """
    n, m = first.order, second.order
    table = first.table[:, None, :, None].astype(np.int64) * m + second.table[None, :, None, :]
    g, h = np.divmod(np.arange(n * m), m)
    matrices = permutations = None
    if first.matrices is not None and second.matrices is not None:
        a, b = first.matrices.shape[1], second.matrices.shape[1]
        matrices = np.zeros((n * m, a + b, a + b))
        matrices[:, :a, :a], matrices[:, a:, a:] = first.matrices[g], second.matrices[h]
    if first.permutations is not None and second.permutations is not None:
        points = first.permutations.shape[1]
        permutations = np.concatenate([first.permutations[g], points + second.permutations[h]], axis=1)
    name = f"{first.name} × {second.name}"
    return FiniteGroup(table.reshape(n * m, n * m), name, matrices=matrices, permutations=permutations)


def semidirect_product(normal: FiniteGroup, acting: FiniteGroup, action: Any) -> FiniteGroup:
    """N ⋊ H with ``(n, h)(n', h') = (n · h(n'), h h')``: the pair (n, h) is element n·|H| + h.

    ``action[h, n]`` is h(n), an automorphism of N for each h with (h h')(n) = h(h'(n)): (|H|, |N|) integers.
    It has neither matrices nor permutations: those of N and H alone do not say how H moves N's.
    Raises: ValueError where it is not.
    """
    act = np.asarray(action)
    n, m = normal.order, acting.order
    if act.shape != (m, n) or act.dtype.kind not in "iu" or not ((act >= 0) & (act < n)).all():
        raise ValueError(f"got an action of shape {act.shape}, wanted ({m}, {n}) elements of {normal}.")
    if (act[0] != np.arange(n)).any():
        raise ValueError("got an action whose identity moves elements of N: wanted action[0, n] = n.")
    if (act[:, normal.table] != normal.table[act[:, :, None], act[:, None, :]]).any():
        raise ValueError("got an action with h(n n') ≠ h(n) h(n') for some h, n, n': wanted automorphisms.")
    if (act[acting.table] != act[:, act].reshape(m, m, n)).any():
        raise ValueError("got an action with (h h')(n) ≠ h(h'(n)) for some h, h', n.")
    left = normal.table[np.arange(n)[:, None, None], act[None]]  # (n, h, n')
    table = left[:, :, :, None].astype(np.int64) * m + acting.table[None, :, None, :]
    return FiniteGroup(table.reshape(n * m, n * m), f"{normal.name} ⋊ {acting.name}")

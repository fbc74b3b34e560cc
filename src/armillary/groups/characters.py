"""Characters of finite groups, exact to rounding.

The sums of conjugacy classes span the centre of the group algebra; multiplication by one central element is a matrix of
(number of classes)² whose eigenvectors are the characters (Burnside). They are found in floating point and made exact:
the eigenvalues of ρ(g) are roots of unity whose multiplicities ``m_j = 1/o Σ_k χ(g^k) e^{-2πijk/o}`` are integers.
"""

from __future__ import annotations

import math

import numpy as np

from armillary.groups.cayley import CayleyTable


def character_table(group: CayleyTable) -> np.ndarray:
    """χ_i(class j), (classes, classes) complex128: the trivial character first, then by dimension, then by values.

    Columns are the classes of ``group.class_of``. Raises: ArithmeticError where rounding spoils the eigenvectors.
    """
    chi = _abelian(group) if group.is_abelian else _exact(group, _burnside(group))
    keys = [np.round(chi.real, 6).T[::-1] * -1, np.round(chi.imag, 6).T[::-1] * -1]
    interleaved = [part[k] for k in range(len(chi)) for part in (keys[1], keys[0])]
    order = np.lexsort([*interleaved, np.round(chi[:, 0].real)])
    trivial = int(np.flatnonzero(np.abs(chi - 1).max(axis=1) < 1e-6)[0])
    order = np.concatenate([[trivial], order[order != trivial]])
    return chi[order]


def eigenvalue_multiplicities(group: CayleyTable, chi: np.ndarray, g: int) -> np.ndarray:
    """How often e^{2πij/o}, j = 0..o-1, is an eigenvalue of ρ(g), for each character χ (..., classes): (..., o)."""
    order = int(group.element_orders[g])
    powers = [0]
    for _ in range(order - 1):
        powers.append(int(group.table[powers[-1], g]))
    return np.fft.fft(chi[..., group.class_of[powers]], axis=-1).real / order


def _burnside(group: CayleyTable) -> np.ndarray:
    k, sizes, classes = group.n_classes, group.class_sizes, group.class_of
    inverse = classes[group.inverses[group.class_representatives]]
    weight = np.sin(1 + 7.3 * np.arange(k)) + 1j * np.cos(2 + 5.1 * np.arange(k))  # generic, the same everywhere
    central = (weight + weight[inverse].conj()) / np.sqrt(sizes)  # t(g) with t(g⁻¹) = t(g)*: a Hermitian element
    matrix = np.zeros((k, k), complex)
    for column, z in enumerate(group.class_representatives):  # (T K_j) at z: the sum of t(z y⁻¹) over y in class j
        values = central[classes[group.table[z, group.inverses]]]
        matrix[:, column] = np.bincount(classes, values.real, k) + 1j * np.bincount(classes, values.imag, k)
    scaled = matrix * np.sqrt(sizes) / np.sqrt(sizes)[:, None]
    _, vectors = np.linalg.eigh((scaled + scaled.conj().T) / 2)
    dims = np.abs(vectors[0]) * math.sqrt(group.order)
    return (dims / vectors[0] * vectors / np.sqrt(sizes)[:, None]).T


def _exact(group: CayleyTable, chi: np.ndarray) -> np.ndarray:
    exact = np.empty_like(chi)
    for j, g in enumerate(group.class_representatives):
        order = int(group.element_orders[g])
        multiplicities = eigenvalue_multiplicities(group, chi, int(g))
        whole = np.round(multiplicities)
        if np.abs(multiplicities - whole).max() > 0.05 or whole.min() < 0:
            raise ArithmeticError(f"{group}: the characters could not be separated in double precision.")
        exact[:, j] = whole @ roots_of_unity(order)
    dims = np.round(exact[:, 0].real)
    if (dims**2).sum() != group.order:
        raise ArithmeticError(f"{group}: the dimensions {dims} found have Σ d² ≠ {group.order}.")
    return exact


def roots_of_unity(order: int) -> np.ndarray:
    """e^{2πij/o}, j = 0..o-1, with exact zeros and ones."""
    values = np.exp(2j * np.pi * np.arange(order) / order)
    for part in (values.real, values.imag):
        part[np.abs(part) < 1e-9] = 0
        half = np.abs(np.abs(part) - 0.5) < 1e-9
        part[half] = np.sign(part[half]) * 0.5
        part[np.abs(np.abs(part) - 1) < 1e-9] = np.round(part[np.abs(np.abs(part) - 1) < 1e-9])
    return values


def _abelian(group: CayleyTable) -> np.ndarray:
    """Characters of an abelian group: those of a subgroup, each extended in every way to one more generator."""
    exponent = math.lcm(*group.element_orders.tolist())
    inside, phases = np.array([0]), np.zeros((1, 1), np.int64)  # phases in units of 2π/exponent
    for x in group.generators:
        powers, position = [0], {int(g): i for i, g in enumerate(inside)}
        while True:
            power = int(group.table[powers[-1], x])
            if power in position:
                break
            powers.append(power)
        length = len(powers)
        last = phases[:, position[power]]  # χ(x^length) = χ(x)^length
        roots = (last[:, None] // length + exponent // length * np.arange(length)).reshape(-1)
        inside = group.table[inside[:, None], powers].reshape(-1)
        before = np.repeat(phases, length, axis=0)
        phases = (before[:, :, None] + roots[:, None, None] * np.arange(length)).reshape(len(roots), -1) % exponent
    chi = np.empty((group.order, group.order), complex)
    chi[:, group.class_of[inside]] = roots_of_unity(exponent)[phases]
    return chi

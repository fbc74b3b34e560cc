"""Characters of finite groups, exact to rounding.

The sums of conjugacy classes span the centre of the group algebra; multiplication by one central element is a matrix of
(number of classes)² whose eigenvectors are the characters (Burnside). They are found in floating point and made exact:
the eigenvalues of ρ(g) are roots of unity whose multiplicities ``m_j = 1/o Σ_k χ(g^k) e^{-2πijk/o}`` are integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from armillary.groups.cayley import CayleyTable, frozen

Kind = Literal["real", "complex", "quaternionic"]
_KINDS: dict[int, Kind] = {1: "real", 0: "complex", -1: "quaternionic"}
_SAME = 1e-9  # values of a character that are closer are equal


@dataclass(frozen=True)
class Characters:
    """``values`` χ_i(class j) (classes, classes) complex128; ``kinds`` by Frobenius and Schur; ``conjugates``: which
    character is χ_i*."""

    values: np.ndarray
    kinds: tuple[Kind, ...]
    conjugates: tuple[int, ...]

    def dim(self, index: int) -> int:
        """The dimension of an irrep."""
        return round(float(self.values[index, 0].real))


def characters(group: CayleyTable) -> Characters:
    """All about the characters of a group, computed once for each group object."""
    return group.keep("characters", lambda: _characters(group))


def character_table(group: CayleyTable) -> np.ndarray:
    """χ_i(class j), (classes, classes) complex128, read-only: the trivial character first, then by dimension, then by
    values, the largest first: class by class, real part before imaginary part.

    Columns are the classes of ``group.class_of``. Raises: ArithmeticError where rounding spoils the eigenvectors.
    """
    return characters(group).values


def _characters(group: CayleyTable) -> Characters:
    values, conjugates = _abelian(group) if group.is_abelian else _sorted(_exact(group, _burnside(group)))
    squares = np.bincount(group.class_of[group.table.diagonal()], minlength=group.n_classes)
    indicators = np.round((values @ squares.astype(complex)).real / group.order).astype(int)
    return Characters(frozen(values), tuple(_KINDS[int(i)] for i in indicators), conjugates)


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


def _ranks(columns: np.ndarray) -> np.ndarray:
    """The place of each number among the different ones of its column, from 0; equal up to rounding is equal."""
    order = np.argsort(columns, axis=0, kind="stable")
    steps = np.diff(np.take_along_axis(columns, order, axis=0), axis=0, prepend=columns.min(axis=0)[None])
    ranks = np.empty(columns.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, np.cumsum(steps > _SAME, axis=0, dtype=np.int32), axis=0)
    return ranks


def _sorted(chi: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """The characters in their order, and the number of the conjugate of each."""
    real, imag = _ranks(-chi.real), _ranks(-chi.imag)
    keys = [part[:, j] for j in reversed(range(len(chi))) for part in (imag, real)]
    trivial = (np.abs(chi - 1) < _SAME).all(axis=1)
    order = np.lexsort([*keys, np.round(chi[:, 0].real), ~trivial])
    real, imag = real[order], imag[order]
    place = {(a.tobytes(), b.tobytes()): i for i, (a, b) in enumerate(zip(real, imag, strict=True))}
    opposite = imag.max(axis=0) - imag  # the values in a column are closed under conjugation
    conjugates = tuple(place[a.tobytes(), b.tobytes()] for a, b in zip(real, opposite, strict=True))
    return chi[order], conjugates


def roots_of_unity(order: int) -> np.ndarray:
    """e^{2πij/o}, j = 0..o-1, with exact zeros and ones."""
    values = np.exp(2j * np.pi * np.arange(order) / order)
    for part in (values.real, values.imag):
        part[np.abs(part) < 1e-9] = 0
        half = np.abs(np.abs(part) - 0.5) < 1e-9
        part[half] = np.sign(part[half]) * 0.5
        part[np.abs(np.abs(part) - 1) < 1e-9] = np.round(part[np.abs(np.abs(part) - 1) < 1e-9])
    return values


def _abelian(group: CayleyTable) -> tuple[np.ndarray, tuple[int, ...]]:
    """Characters of an abelian group, those of a subgroup each extended in every way to one more generator; in their
    order, which the generators decide, and the number of the conjugate of each. All in integers but for the last step.
    """
    exponent = math.lcm(*group.element_orders.tolist())
    integer = np.int32 if group.order**2 < 2**31 else np.int64
    inside, phases = np.array([0]), np.zeros((1, 1), integer)  # phases in units of 2π/exponent
    for x in group.generators:
        powers, position = [0], {int(g): i for i, g in enumerate(inside)}
        while True:
            power = int(group.table[powers[-1], x])
            if power in position:
                break
            powers.append(power)
        length = len(powers)
        last = phases[:, position[power]]  # χ(x^length) = χ(x)^length
        steps = np.arange(length, dtype=integer)
        roots = (last[:, None] // length + exponent // length * steps).reshape(-1)
        inside = group.table[inside[:, None], powers].reshape(-1)
        extended = np.repeat(phases, length, axis=0)[:, :, None] + roots[:, None, None] * steps
        extended %= exponent
        phases = extended.reshape(len(roots), -1)
    by_element = np.empty(phases.shape, dtype=np.int16 if exponent <= 2**15 else np.int32)
    by_element[:, inside] = phases
    chosen = by_element[:, list(group.generators)].astype(np.int64)
    folded = np.minimum(2 * chosen, 2 * (exponent - chosen) + 1)  # 1, then e^{±2πi/o} with + before -, and so on
    order = np.lexsort(folded.T[::-1]) if group.order > 1 else np.array([0])
    chosen = chosen[order]
    place = {row.tobytes(): i for i, row in enumerate(chosen)}
    conjugates = tuple(place[row.tobytes()] for row in -chosen % exponent)
    return roots_of_unity(exponent)[by_element[order]], conjugates

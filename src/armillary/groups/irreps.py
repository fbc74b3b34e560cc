"""Irreducible representations of finite groups, computed from their characters.

Let q be a projector of rank one in the irrep χ, made of elements of a subgroup K: one irrep ψ of K that χ contains
once. ``φ(x) = tr(ρ(x) q) = <v, ρ(x) v>`` follows from characters alone; the vectors ρ(x) v span the irrep and φ gives
their inner products, so that Gram–Schmidt gives ρ (Dixon 1993 for linear ψ; here recursively, with an eigenvector of an
element of the group algebra where no such K is known). Every choice is the first one in a fixed order, and none hangs
on rounding: the basis follows from the Cayley table alone and is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from armillary.groups.cayley import CayleyTable
from armillary.groups.characters import characters
from armillary.groups.gram_schmidt import first_longest

BASIS_VERSION = 2
"""Counts the changes of the bases of irreps; what is stored in such a basis belongs to one version."""


def irrep_matrices(group: CayleyTable, index: int) -> np.ndarray:
    """ρ(g) of every element, (n, dim, dim) float64 for an irrep of real type, else complex128."""
    coordinates, pivots = _coordinates(group, _state(group, index), characters(group).dim(index))
    basis = coordinates[pivots].T
    images = coordinates[group.table[:, pivots]].swapaxes(1, 2)
    rho = images @ np.linalg.inv(basis)
    for s in group.generators:
        if np.abs(rho[group.table[s]] - rho[s] @ rho).max() > 1e-9:
            raise ArithmeticError(f"irrep {index} of {group} could not be computed to 1e-9.")
    return rho


def _coordinates(group: CayleyTable, phi: np.ndarray, dim: int) -> tuple[np.ndarray, list[int]]:
    """The vectors ρ(x) v in an orthonormal basis (n, dim) made of ρ(x) v for some elements x, the pivots."""
    coordinates = np.zeros((group.order, dim), phi.dtype)
    pivots: list[int] = []
    for step in range(dim):
        left = 1 - (np.abs(coordinates) ** 2).sum(axis=1)
        x = first_longest(left)  # the first of those farthest from what is spanned
        products = phi[group.table[group.inverses[x]]] - coordinates @ coordinates[x].conj()
        coordinates[:, step] = products / np.sqrt(left[x])
        pivots.append(x)
    return coordinates, pivots


def _state(group: CayleyTable, index: int) -> np.ndarray:
    """φ(x) = <v, ρ(x) v> of one unit vector v, (n,); real for an irrep of real type."""
    return group.keep(("state", index), lambda: _found_state(group, index))


def _found_state(group: CayleyTable, index: int) -> np.ndarray:
    table = characters(group)
    chi, real, dim = table.values[index, group.class_of], table.kinds[index] == "real", table.dim(index)
    if dim == 1:
        return chi.real.copy() if real else chi
    best: tuple[int, _Candidate, int] | None = None
    for candidate in _subgroups(group):
        K, inner = candidate.table, characters(candidate.table)
        inside = chi[candidate.elements]
        for i, kind in enumerate(inner.kinds):
            if real and kind != "real":
                continue
            count = round(float((inner.values[i, K.class_of].conj() * inside).mean().real))
            if count and (best is None or count < best[0]):
                best = (count, candidate, i)
        if best is not None and best[0] == 1:
            break
    assert best is not None  # the trivial subgroup has the trivial irrep
    count, candidate, i = best
    K = candidate.table
    psi = _state(K, i).conj() * (characters(K).dim(i) / K.order)
    phi = chi[group.table[:, candidate.elements]] @ psi
    phi = phi.real.copy() if real else phi
    return phi if count == 1 else _split(group, phi, dim, count)


@dataclass(frozen=True)
class _Candidate:
    """A proper subgroup in which a projector of rank one may lie."""

    group: CayleyTable
    elements: np.ndarray

    @cached_property
    def table(self) -> CayleyTable:
        return CayleyTable(self.group.subtable(self.elements))


def _subgroups(group: CayleyTable) -> list[_Candidate]:
    """Cyclic ones, centralisers, and those that the first few generators generate, which in lexicographic permutations
    fix all but the last points; smaller ones first, the trivial one among them."""
    return group.keep("candidates", lambda: _candidates(group))


def _candidates(group: CayleyTable) -> list[_Candidate]:
    representatives, generators = [int(g) for g in group.class_representatives], group.generators
    subgroups = [group.generated([g]) for g in representatives]
    subgroups += [group.centraliser_of(g) for g in representatives]
    subgroups += [group.generated(generators[:count]) for count in range(len(generators))]
    found = {H.tobytes(): H for H in subgroups if len(H) < group.order}
    return [_Candidate(group, H) for H in sorted(found.values(), key=lambda H: (len(H), H.tolist()))]


def _split(group: CayleyTable, phi: np.ndarray, dim: int, rank: int) -> np.ndarray:
    """<v, ρ(x) v> of one vector out of φ(x) = tr(ρ(x) e) with a projector e of higher rank.

    e t e of a generic Hermitian element t has an eigenvalue that occurs once. Its eigenvector is found by the method of
    Lanczos in the group algebra, where the number of distinct eigenvalues is at most the rank.
    """
    n, inverse = group.order, group.inverses
    projector = phi.conj() * (dim / n)
    for attempt in range(8):
        generic = np.sin((attempt + 1) * (1 + 2**0.5 * np.arange(n)))
        if np.iscomplexobj(phi):
            generic = generic + 1j * np.cos((attempt + 1) * (2 + 3**0.5 * np.arange(n)))
        element = _convolve(group, _convolve(group, projector, generic + generic[inverse].conj()), projector)
        vectors, values, tops = _lanczos(group, element, projector, rank)
        single = np.flatnonzero((np.abs(tops**2 * rank - 1) < 1e-6) & (_gaps(values) > 1e-3 * np.abs(values).max()))
        if len(single):
            j = single[-1]
            found = np.linalg.norm(projector) * tops[j] * vectors[j]
            return found.conj() * (n / dim)
    raise ArithmeticError(f"{group}: an irrep of dimension {dim} could not be split.")


def _convolve(group: CayleyTable, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a b)(z) = Σ_y a(y) b(y⁻¹ z)."""
    result = np.zeros(group.order, np.result_type(a, b))
    for y in np.flatnonzero(np.abs(a) > 1e-14):
        result += a[y] * b[group.table[group.inverses[y]]]
    return result


def _lanczos(
    group: CayleyTable, element: np.ndarray, start: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvectors (rows) and eigenvalues of multiplication by a Hermitian element on what it makes of ``start``, and
    the components of ``start`` along them, of norm 1."""
    basis = [start / np.linalg.norm(start)]
    diagonal, below = [], []
    while True:
        new = _convolve(group, element, basis[-1])
        diagonal.append(float(np.vdot(basis[-1], new).real))
        for _ in range(2):
            for vector in basis:
                new = new - np.vdot(vector, new) * vector
        norm = float(np.linalg.norm(new))
        if norm < 1e-8 * np.linalg.norm(element) or len(basis) == most:
            break
        below.append(norm)
        basis.append(new / norm)
    values, turn = np.linalg.eigh(np.diag(diagonal) + np.diag(below, 1) + np.diag(below, -1))
    return turn.T @ np.stack(basis), values, turn[0]


def _gaps(values: np.ndarray) -> np.ndarray:
    """The distance of each of ascending numbers to its nearest neighbour."""
    steps = np.diff(values, prepend=-np.inf, append=np.inf)
    return np.minimum(steps[:-1], steps[1:])

"""Irreducible representations of finite groups, computed from their characters.

Let q be a projector of rank one in the irrep χ, made of elements of a subgroup K: one irrep ψ of K that χ contains once.
``φ(x) = tr(ρ(x) q) = <v, ρ(x) v>`` follows from characters alone; the vectors ρ(x) v span the irrep and φ gives their
inner products, so that Gram–Schmidt gives ρ (Dixon 1993 for linear ψ; here recursively, with an eigenvector of an element
of the group algebra where no such K is known). Every choice is the first one in a fixed order, made by rounded numbers:
the basis is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from armillary.groups.characters import character_table
from armillary.groups.finite import FiniteGroup
from armillary.groups.interface import Irrep
from armillary.groups.subgroups import Subgroup, centraliser

BASIS_VERSION = 1
"""Counts the changes of the bases of irreps; what is stored in such a basis belongs to one version."""

Kind = Literal["real", "complex", "quaternionic"]


class FiniteIrrep(Irrep):
    """An irrep of a finite group.

    ``index`` is its number among ``group.irreps()`` or ``group.real_irreps()``; ``kind`` its type by Frobenius and Schur;
    ``character`` (classes,) by ``group.class_of``.
    """

    def __init__(self, group: FiniteGroup, index: int, kind: Kind, character: np.ndarray, complex_index: int) -> None:
        self.group, self.index, self.kind, self.character = group, index, kind, character
        self.complex_index = complex_index
        """Its number, or that of one of its two parts, among the complex irreps."""

    @property
    def dim(self) -> int:
        return round(float(self.character[0].real))

    @cached_property
    def matrices(self) -> Tensor:
        """ρ(g) of every element, (n, dim, dim): float64 for a real irrep, else complex128."""
        return torch.as_tensor(_matrices(self.group, self.complex_index))

    @property
    def is_real(self) -> bool:
        return self.kind == "real"

    @property
    def endomorphisms(self) -> int:
        return 1 if self.kind == "real" else 2

    def __call__(self, g: Tensor) -> Tensor:
        return self.matrices[g]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.group.name}, {self.index}, dim={self.dim}, {self.kind})"


class RealifiedIrrep(FiniteIrrep):
    """A complex irrep of complex or quaternionic type as a real one of twice the dimension, [[Re ρ, -Im ρ], [Im ρ, Re ρ]]."""

    @cached_property
    def matrices(self) -> Tensor:
        rho = torch.as_tensor(_matrices(self.group, self.complex_index)).to(torch.complex128)
        upper = torch.cat([rho.real, -rho.imag], dim=2)
        return torch.cat([upper, torch.cat([rho.imag, rho.real], dim=2)], dim=1)

    @property
    def is_real(self) -> bool:
        return True

    @property
    def endomorphisms(self) -> int:
        return 2 if self.kind == "complex" else 4


def complex_irreps(group: FiniteGroup) -> list[FiniteIrrep]:
    """One irrep of each class, the trivial one first, then by dimension and characters."""
    table, kinds = _characters(group)
    return [FiniteIrrep(group, i, kind, chi, i) for i, (chi, kind) in enumerate(zip(table, kinds, strict=True))]


def real_irreps(complex_ones: Sequence[FiniteIrrep]) -> list[FiniteIrrep]:
    """The irreps over the real numbers: of two conjugate complex ones the first stands for both."""
    found: list[FiniteIrrep] = []
    for irrep in complex_ones:
        if irrep.kind == "real":
            found.append(FiniteIrrep(irrep.group, len(found), "real", irrep.character, irrep.index))
            continue
        both = 2 * irrep.character.real.astype(complex)
        if all(np.abs(other.character - both).max() > 1e-6 for other in found):
            found.append(RealifiedIrrep(irrep.group, len(found), irrep.kind, both, irrep.index))
    return found


@lru_cache(maxsize=256)
def _characters(group: FiniteGroup) -> tuple[np.ndarray, list[Kind]]:
    table = character_table(group)
    squares = group.class_of[group.table[np.arange(group.order), np.arange(group.order)]]
    indicators = np.round(table[:, squares].mean(axis=1).real).astype(int)
    names: dict[int, Kind] = {1: "real", 0: "complex", -1: "quaternionic"}
    return table, [names[int(i)] for i in indicators]


def _matrices(group: FiniteGroup, index: int) -> np.ndarray:
    """ρ(g) of every element from <v, ρ(x) v>."""
    table, kinds = _characters(group)
    phi = _state(group, index)
    dim = round(float(table[index, 0].real))
    coordinates = np.zeros((group.order, dim), phi.dtype)  # of ρ(x) v in the basis so far
    pivots: list[int] = []
    for step in range(dim):
        left = 1 - (np.abs(coordinates) ** 2).sum(axis=1)
        x = int(np.argmax(np.round(left, 6)))  # the first of those farthest from what is spanned
        products = phi[group.table[group.inverses[x]]] - coordinates @ coordinates[x].conj()
        coordinates[:, step] = products / np.sqrt(left[x])
        pivots.append(x)
    basis = coordinates[pivots].T
    images = coordinates[group.table[:, pivots]].swapaxes(1, 2)
    rho = images @ np.linalg.inv(basis)
    for s in group.generators:
        if np.abs(rho[group.table[s]] - rho[s] @ rho).max() > 1e-9:
            raise ArithmeticError(f"irrep {index} of {group} could not be computed to 1e-9.")
    return rho


@lru_cache(maxsize=512)
def _state(group: FiniteGroup, index: int) -> np.ndarray:
    """φ(x) = <v, ρ(x) v> of one unit vector v, (n,); real for an irrep of real type."""
    table, kinds = _characters(group)
    chi, real = table[index, group.class_of], kinds[index] == "real"
    dim = round(float(chi[0].real))
    if dim == 1:
        return chi.real.copy() if real else chi
    best: tuple[int, Subgroup, int] | None = None
    for K in _subgroups(group):
        inner, inner_kinds = _characters(K.as_group)
        inside = chi[K.elements]
        for i, kind in enumerate(inner_kinds):
            if real and kind != "real":
                continue
            count = round(float((inner[i, K.as_group.class_of].conj() * inside).mean().real))
            if count and (best is None or count < best[0]):
                best = (count, K, i)
        if best is not None and best[0] == 1:
            break
    assert best is not None  # the trivial subgroup has the trivial irrep
    count, K, i = best
    psi, psi_dim = _state(K.as_group, i), round(float(_characters(K.as_group)[0][i, 0].real))
    phi = chi[group.table[:, K.elements]] @ psi.conj() * (psi_dim / K.order)
    phi = phi.real.copy() if real else phi
    return phi if count == 1 else _split(group, phi, dim, count)


def _subgroups(group: FiniteGroup) -> Iterator[Subgroup]:
    """Proper subgroups to look for a projector of rank one in, smaller ones first; the trivial one is among them."""
    found: dict[bytes, Subgroup] = {}
    representatives = [int(g) for g in group.class_representatives]
    candidates = [Subgroup(group, [g]) for g in representatives]
    candidates += [centraliser(group, g) for g in representatives]
    if group.permutations is not None:
        points = group.permutations.shape[1]
        fixed = [(group.permutations[:, i:] == np.arange(i, points)).all(axis=1) for i in range(1, points)]
        candidates += [Subgroup.of_elements(group, np.flatnonzero(kept)) for kept in fixed]
    for H in candidates:
        if H.order < group.order:
            found.setdefault(H.elements.tobytes(), H)
    yield from sorted(found.values(), key=lambda H: H.order)


def _split(group: FiniteGroup, phi: np.ndarray, dim: int, rank: int) -> np.ndarray:
    """<v, ρ(x) v> of one vector out of φ(x) = tr(ρ(x) e) with a projector e of higher rank.

    e x e + (e x e)* has, for most x, an eigenvalue that occurs once. Its eigenvector is found by the method of Lanczos in
    the group algebra, where the number of distinct eigenvalues is at most the rank.
    """
    n, inverse = group.order, group.inverses
    projector = phi.conj() * (dim / n)
    for x in range(1, n):
        shifted = projector[group.table[:, inverse[x]]]
        element = _convolve(group, shifted, projector)
        element = element + element[inverse].conj()
        vectors, values, tops = _lanczos(group, element, projector, rank)
        counts = tops**2 * rank
        single = np.flatnonzero((np.abs(counts - 1) < 1e-6) & (_gaps(values) > 1e-3 * np.abs(values).max()))
        if len(single) and len(values) > 1:
            j = single[-1]
            found = np.linalg.norm(projector) * tops[j] * vectors[j]
            return found.conj() * (n / dim)
    raise ArithmeticError(f"{group}: no element splits an irrep of dimension {dim}.")


def _convolve(group: FiniteGroup, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a b)(z) = Σ_y a(y) b(y⁻¹ z)."""
    result = np.zeros(group.order, np.result_type(a, b))
    for y in np.flatnonzero(np.abs(a) > 1e-14):
        result += a[y] * b[group.table[group.inverses[y]]]
    return result


def _lanczos(
    group: FiniteGroup, element: np.ndarray, start: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvectors (rows) and eigenvalues of multiplication by a Hermitian element on what it makes of ``start``, and the
    components of ``start`` along them, of norm 1."""
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

"""Fourier analysis on a group G, on its quotients G/H and H\\G, and on double cosets H\\G/K.

    f̂(ρ) = ∫ f(g) ρ(g) dg,     f(g) = Σ_ρ d_ρ tr(f̂(ρ) ρ(g)†),     ∫ |f|² = Σ_ρ d_ρ ‖f̂(ρ)‖²,
    (f * k)(g) = ∫ f(g v⁻¹) k(v) dv,     (f * k)^(ρ) = f̂(ρ) k̂(ρ).

A function with f(h g k) = f(g) for h ∈ H, k ∈ K has ``f̂ = P_H f̂ P_K``, ``P_H = ∫ ρ(h) dh``: what is kept of each ρ is a
block of m_ρ(H) × m_ρ(K) numbers in bases of the images of P_H and P_K, and Σ_ρ m_ρ(H) m_ρ(K) = |H\\G/K| for a finite
group. Over the real numbers d_ρ is divided by the dimension of what commutes with ρ (1, 2 or 4).
Source: Kondor & Trivedi 2018, arXiv 1802.03690; pinned by ``tests/groups/test_fourier.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.compact import SO2, SO3
from armillary.groups.finite import FiniteGroup
from armillary.groups.interface import Group, Irrep
from armillary.groups.so3 import rotation_about
from armillary.groups.subgroups import Subgroup
from armillary.ops.constants import ConstantModule


class ClosedSubgroup(ABC):
    """A subgroup of a compact group, known by its Haar integral."""

    @property
    @abstractmethod
    def group(self) -> Group:
        """The group it lies in."""

    @abstractmethod
    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        """Elements and weights, sum 1, that integrate matrix elements of irreps up to ``band`` over the subgroup."""


@dataclass(frozen=True)
class AxisRotations(ClosedSubgroup):
    """SO(2) in SO(3): the rotations about the z-axis, the stabiliser of the north pole. SO(3)/SO(2) is the sphere."""

    @property
    def group(self) -> SO3:
        return SO3()

    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        angles, weights = SO2().quadrature(band)
        return rotation_about("z", angles), weights


def invariants(irrep: Irrep, elements: Tensor, weights: Tensor) -> Tensor:
    """An orthonormal basis of the vectors that ρ(h) leaves alone, (dim, m): the image of ``P_H = ∫ ρ(h) dh``.

    The same on every machine: projected unit vectors, the longest first.
    """
    rho = irrep(elements)
    projector = torch.einsum("h,hij->ij", weights.to(rho.dtype), rho)
    columns: list[Tensor] = []
    left = projector.clone()
    while True:
        lengths = (left.abs() ** 2).sum(0)
        pivot = int(torch.argmax(torch.round(lengths, decimals=6)))
        if float(lengths[pivot]) < 1e-6:
            return torch.stack(columns, 1) if columns else projector[:, :0]
        columns.append(left[:, pivot] / lengths[pivot].sqrt())
        for _ in range(2):
            left = left - torch.outer(columns[-1], columns[-1].conj() @ left)


class Fourier(ConstantModule):
    """The Fourier transform of functions on left\\G/right, both trivial if not given.

    ``elements`` are where functions are sampled and ``weights`` (N,) their measure, sum 1: of a finite group one
    representative of each double coset, in order; of a compact one its quadrature up to ``band``. ``irreps`` are
    complex, or real with ``real``.

    Shapes: ``forward`` (..., N) → for each irrep a block (..., m_ρ(left), m_ρ(right)); ``inverse`` takes them back.
    Raises: ValueError for subgroups of another group, shapes that do not fit, or a compact group without ``band``.
    """

    def __init__(
        self,
        group: Group,
        left: Subgroup | ClosedSubgroup | None = None,
        right: Subgroup | ClosedSubgroup | None = None,
        *,
        band: int | None = None,
        real: bool = False,
    ) -> None:
        super().__init__()
        for subgroup in (left, right):
            if subgroup is not None and subgroup.group != group:
                raise ValueError(f"got a subgroup of {subgroup.group}, wanted one of {group}.")
        self.group, self.left, self.right, self.real = group, left, right, real
        self.irreps = group.real_irreps(band) if real else group.irreps(band)
        self.elements, self.weights = _samples(group, left, right, band)
        bases = [[_basis(irrep, subgroup, band) for irrep in self.irreps] for subgroup in (left, right)]
        self.left_bases: list[Tensor] = bases[0]
        """(dim, m_ρ(left)) of each irrep."""
        self.right_bases: list[Tensor] = bases[1]
        """(dim, m_ρ(right)) of each irrep."""
        columns = [
            torch.einsum("il,gij,jr->glr", a.conj(), irrep(self.elements), b)
            for irrep, a, b in zip(self.irreps, *bases, strict=True)
        ]
        self.block_shapes = [(c.shape[1], c.shape[2]) for c in columns]
        dtype = torch.float64 if real else torch.complex128
        flat = torch.cat([c.flatten(1).to(dtype) for c in columns], dim=1)
        gains = [torch.full((c[0].numel(),), self._gain(i)) for i, c in zip(self.irreps, columns, strict=True)]
        self.register_constant("matrix", flat if real else torch.view_as_real(flat.resolve_conj()))
        self.register_constant("gains", torch.cat(gains).double())
        self.register_constant("measure", self.weights)

    def _gain(self, irrep: Irrep) -> float:
        return irrep.dim / irrep.endomorphisms if self.real else float(irrep.dim)

    def _matrix(self, like: Tensor) -> Tensor:
        matrix = self.constant("matrix", like)
        return matrix if self.real else torch.view_as_complex(matrix)

    def forward(self, f: Tensor) -> list[Tensor]:
        if f.shape[-1:] != self.weights.shape:
            raise ValueError(f"f has shape {tuple(f.shape)}, wanted (..., {len(self.weights)}) on {self._space()}.")
        matrix = self._matrix(f)
        weighted = f * self.constant("measure", f)
        dtype = torch.promote_types(weighted.dtype, matrix.dtype)
        flat = weighted.to(dtype) @ matrix.to(dtype)
        parts = flat.split([a * b for a, b in self.block_shapes], dim=-1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, self.block_shapes, strict=True)]

    def inverse(self, blocks: Sequence[Tensor]) -> Tensor:
        """``f(g) = Σ_ρ d_ρ tr(f̂(ρ) ρ(g)†)``: blocks → (..., N), complex unless ``real``."""
        shapes = [tuple(block.shape[-2:]) for block in blocks]
        if shapes != self.block_shapes:
            raise ValueError(f"got blocks of shapes {shapes}, wanted {self.block_shapes} on {self._space()}.")
        flat = torch.cat([block.flatten(-2) for block in blocks], dim=-1)
        matrix = self._matrix(flat)
        dtype = torch.promote_types(flat.dtype, matrix.dtype)
        return (flat * self.constant("gains", flat)).to(dtype) @ matrix.mH.to(dtype)

    def energy(self, blocks: Sequence[Tensor]) -> Tensor:
        """``Σ_ρ d_ρ ‖f̂(ρ)‖² = ∫ |f|²``, (...)."""
        flat = torch.cat([block.flatten(-2) for block in blocks], dim=-1)
        return (flat.abs() ** 2 * self.constant("gains", flat)).sum(-1)

    def _space(self) -> str:
        parts = [repr(self.left), repr(self.group), repr(self.right)]
        return " · ".join(part for part in parts if part != "None")

    def extra_repr(self) -> str:
        kind = "real" if self.real else "complex"
        return f"{self._space()}, {len(self.weights)} points, {len(self.irreps)} {kind} irreps"


def _basis(irrep: Irrep, subgroup: Subgroup | ClosedSubgroup | None, band: int | None) -> Tensor:
    if subgroup is None:
        return torch.eye(irrep.dim, dtype=torch.float64 if irrep.is_real else torch.complex128)
    if isinstance(subgroup, ClosedSubgroup):
        assert band is not None  # the irreps were asked for with it
        return invariants(irrep, *subgroup.haar(band))
    elements = torch.as_tensor(subgroup.elements.copy())
    return invariants(irrep, elements, torch.full((len(elements),), 1 / len(elements), dtype=torch.float64))


def _samples(
    group: Group, left: Subgroup | ClosedSubgroup | None, right: Subgroup | ClosedSubgroup | None, band: int | None
) -> tuple[Tensor, Tensor]:
    if not isinstance(group, FiniteGroup) or (left is None and right is None):
        return group.quadrature(band)
    trivial = Subgroup(group)
    H, K = (trivial if s is None else s for s in (left, right))
    assert isinstance(H, Subgroup)  # of a finite group
    assert isinstance(K, Subgroup)
    numbers = torch.as_tensor(H.double_coset_of(K))
    first = torch.as_tensor(H.double_coset_representatives(K))
    return first, torch.bincount(numbers).double() / group.order

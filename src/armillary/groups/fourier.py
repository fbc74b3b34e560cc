"""Fourier analysis on a group G, on its quotients G/H and H\\G, and on double cosets H\\G/K.

    f̂(ρ) = ∫ f(g) ρ(g) dg,     f(g) = Σ_ρ d_ρ tr(f̂(ρ) ρ(g)†),     ∫ |f|² = Σ_ρ d_ρ ‖f̂(ρ)‖²,
    (f * k)(g) = ∫ f(g v⁻¹) k(v) dv,     (f * k)^(ρ) = f̂(ρ) k̂(ρ).

A function with f(h g k) = f(g) for h ∈ H, k ∈ K has ``f̂ = P_H f̂ P_K``, ``P_H = ∫ ρ(h) dh``: what is kept of each ρ is a
block of m_ρ(H) × m_ρ(K) numbers in bases of the images of P_H and P_K. Over the complex numbers these are all free, and
Σ_ρ m_ρ(H) m_ρ(K) = |H\\G/K| for a finite group. Over the real numbers d_ρ is divided by e_ρ, the dimension of the
algebra that commutes with ρ (1, 2 or 4), the blocks of real functions commute with it, and Σ_ρ m_ρ(H) m_ρ(K)/e_ρ =
|H\\G/K|.
Source: Kondor & Trivedi 2018, arXiv 1802.03690; pinned by ``tests/groups/test_fourier.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from armillary.groups.closed import ClosedSubgroup, quotient_factors
from armillary.groups.compact import Rule, product_rule
from armillary.groups.finite import FiniteGroup
from armillary.groups.gram_schmidt import orthonormal
from armillary.groups.interface import Group, Irrep
from armillary.groups.subgroups import Subgroup
from armillary.ops.constants import ConstantModule

_MOST = 2**27  # numbers in the matrix of a transform: 2 GiB of complex128


def invariants(irrep: Irrep, elements: Tensor, weights: Tensor) -> Tensor:
    """An orthonormal basis of the vectors that ρ(h) leaves alone, (dim, m): the image of ``P_H = ∫ ρ(h) dh``.

    The same on every machine: projected unit vectors, the first of the longest in turn.
    """
    rho = irrep(elements)
    projector = torch.einsum("h,hij->ij", weights.to(rho.dtype), rho)
    columns = orthonormal(projector)
    return torch.cat(columns, 1) if columns else projector[:, :0]


class Fourier(ConstantModule):
    """The Fourier transform of functions on left\\G/right, both trivial if not given.

    ``elements`` are where functions are sampled and ``weights`` (N,) their measure, sum 1: of a finite group one
    representative of each double coset, in order; of a compact one a quadrature up to ``band``, on the sphere
    SO(3)/SO(2) one rotation for each of (2·band + 1)(band + 1) points. ``irreps`` are complex, or real with ``real``.
    A dense matrix takes samples to blocks, so that it is for moderate bands.

    Shapes: ``forward`` (..., N) → for each irrep a block (..., m_ρ(left), m_ρ(right)); ``inverse`` takes them back.
    With ``real`` the blocks of real functions commute with what commutes with ρ; ``inverse`` drops what does not.
    Integers are taken as numbers of torch's default type.
    Raises: ValueError for subgroups of another group, shapes that do not fit, a compact group without ``band``, or more
    than 2²⁷ numbers in the matrix.
    """

    elements: Tensor
    weights: Tensor

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
        bases = [[_basis(irrep, subgroup, band) for irrep in self.irreps] for subgroup in (left, right)]
        self.block_shapes = [(a.shape[1], b.shape[1]) for a, b in zip(*bases, strict=True)]
        coefficients = sum(a * b for a, b in self.block_shapes)
        factors = _factors(group, left, right, band)
        self._check_size(math.prod(len(part) for part, _ in factors), coefficients)
        elements, weights = product_rule(group, factors)
        self.register_constant("elements", elements)
        self.register_constant("weights", weights)
        for name, side in zip(("left", "right"), bases, strict=True):
            self.register_constant(f"_{name}_bases", self._stored(torch.cat([self._typed(b).flatten() for b in side])))
        columns = [
            _columns([self._typed(irrep(part)) for part, _ in factors], self._typed(a), self._typed(b))
            for irrep, a, b in zip(self.irreps, *bases, strict=True)
        ]
        gains = [torch.full((c[0].numel(),), self._gain(i)) for i, c in zip(self.irreps, columns, strict=True)]
        self.register_constant("matrix", self._stored(torch.cat([c.flatten(1) for c in columns], dim=1)))
        self.register_constant("gains", torch.cat(gains).double())

    def _check_size(self, samples: int, coefficients: int) -> None:
        if samples * coefficients > _MOST:
            raise ValueError(
                f"the transform on {self._space()} would be a matrix of {samples} × {coefficients} numbers, more than "
                f"2²⁷: take a lower band or a smaller space."
            )

    def _typed(self, values: Tensor) -> Tensor:
        return values if self.real else values.to(torch.complex128)

    def _stored(self, values: Tensor) -> Tensor:
        """Complex constants are stored as pairs of real numbers, so that ``.to(dtype)`` leaves them whole."""
        return values if self.real else torch.view_as_real(values.resolve_conj())

    @property
    def left_bases(self) -> list[Tensor]:
        """(dim, m_ρ(left)) of each irrep: what ``left`` leaves alone."""
        return self._bases("left", [a for a, _ in self.block_shapes])

    @property
    def right_bases(self) -> list[Tensor]:
        """(dim, m_ρ(right)) of each irrep: what ``right`` leaves alone."""
        return self._bases("right", [b for _, b in self.block_shapes])

    def _bases(self, name: str, counts: Sequence[int]) -> list[Tensor]:
        stored = self.get_buffer(f"_{name}_bases")
        flat = stored if self.real else torch.view_as_complex(stored)
        shapes = [(irrep.dim, count) for irrep, count in zip(self.irreps, counts, strict=True)]
        parts = flat.split([dim * count for dim, count in shapes])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _gain(self, irrep: Irrep) -> float:
        return irrep.dim / irrep.endomorphism_dim if self.real else float(irrep.dim)

    def _matrix(self, like: Tensor) -> Tensor:
        matrix = self.constant("matrix", like)
        return matrix if self.real else torch.view_as_complex(matrix)

    def forward(self, f: Tensor) -> list[Tensor]:
        if f.shape[-1:] != self.weights.shape:
            raise ValueError(f"f has shape {tuple(f.shape)}, wanted (..., {len(self.weights)}) on {self._space()}.")
        f = _inexact(f)
        matrix = self._matrix(f)
        weighted = f * self.constant("weights", f)
        dtype = torch.promote_types(weighted.dtype, matrix.dtype)
        flat = weighted.to(dtype) @ matrix.to(dtype)
        parts = flat.split([a * b for a, b in self.block_shapes], dim=-1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, self.block_shapes, strict=True)]

    def inverse(self, blocks: Sequence[Tensor]) -> Tensor:
        """``f(g) = Σ_ρ d_ρ tr(f̂(ρ) ρ(g)†)``: blocks → (..., N), complex unless ``real``."""
        flat = self._flat(blocks)
        matrix = self._matrix(flat)
        dtype = torch.promote_types(flat.dtype, matrix.dtype)
        return (flat * self.constant("gains", flat)).to(dtype) @ matrix.mH.to(dtype)

    def energy(self, blocks: Sequence[Tensor]) -> Tensor:
        """``Σ_ρ d_ρ ‖f̂(ρ)‖² = ∫ |f|²``, (...)."""
        flat = self._flat(blocks)
        return (flat.abs() ** 2 * self.constant("gains", flat)).sum(-1)

    def _flat(self, blocks: Sequence[Tensor]) -> Tensor:
        shapes = [tuple(block.shape[-2:]) for block in blocks]
        if shapes != self.block_shapes:
            raise ValueError(f"got blocks of shapes {shapes}, wanted {self.block_shapes} on {self._space()}.")
        return _inexact(torch.cat([block.flatten(-2) for block in blocks], dim=-1))

    def _space(self) -> str:
        parts = [repr(self.left), repr(self.group), repr(self.right)]
        return " · ".join(part for part in parts if part != "None")

    def extra_repr(self) -> str:
        kind = "real" if self.real else "complex"
        return f"{self._space()}, {len(self.weights)} points, {len(self.irreps)} {kind} irreps"


def _inexact(values: Tensor) -> Tensor:
    exact = not (values.is_floating_point() or values.is_complex())
    return values.to(torch.get_default_dtype()) if exact else values


def _basis(irrep: Irrep, subgroup: Subgroup | ClosedSubgroup | None, band: int | None) -> Tensor:
    if subgroup is None:
        return torch.eye(irrep.dim, dtype=torch.float64)
    if isinstance(subgroup, ClosedSubgroup):
        assert band is not None  # the irreps were asked for with it
        return invariants(irrep, *subgroup.haar(band))
    elements = torch.tensor(subgroup.elements)
    return invariants(irrep, elements, torch.full((len(elements),), 1 / len(elements), dtype=torch.float64))


def _columns(factors: Sequence[Tensor], left: Tensor, right: Tensor) -> Tensor:
    """``A† ρ(f_1) ρ(f_2) … B`` for all products of elements, (N, l, r), from ρ at each factor; the smaller of A and B
    first."""
    if left.shape[1] <= right.shape[1]:
        product = left.mH[None]
        for rho in factors:
            product = torch.einsum("xld,yde->xyle", product, rho).flatten(0, 1)
        return product @ right
    product = right[None]
    for rho in reversed(factors):
        product = torch.einsum("xde,yer->xydr", rho, product).flatten(0, 1)
    return left.mH @ product


def _factors(
    group: Group, left: Subgroup | ClosedSubgroup | None, right: Subgroup | ClosedSubgroup | None, band: int | None
) -> list[Rule]:
    if not isinstance(group, FiniteGroup):
        assert band is not None  # the irreps were asked for with it
        assert not isinstance(left, Subgroup)
        assert not isinstance(right, Subgroup)
        return quotient_factors(group, left, right, band)
    if left is None and right is None:
        return [group.quadrature()]
    trivial = Subgroup(group)
    H, K = (trivial if s is None else s for s in (left, right))
    assert isinstance(H, Subgroup)  # of a finite group
    assert isinstance(K, Subgroup)
    numbers = torch.tensor(H.double_coset_of(K))
    first = torch.tensor(H.double_coset_representatives(K))
    return [(first, torch.bincount(numbers).double() / group.order)]

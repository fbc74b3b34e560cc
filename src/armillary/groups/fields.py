"""Fields on the cosets of a finite group: at each point of G/H a vector that H turns by a representation ρ.

Such a field is a function F on G with values in the space of ρ and ``F(g h) = ρ(h)⁻¹ F(g)``, kept as its values at the
representatives of the cosets; G acts on it by the representation induced by ρ. An irrep τ of G is contained in that as
often as ρ in τ restricted to H (Frobenius reciprocity): once for each A of a basis of the maps with A ρ(h) = τ(h) A.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from armillary.groups.finite import FiniteGroup, FiniteIrrep
from armillary.groups.gram_schmidt import orthonormal
from armillary.groups.representation import Representation, induced
from armillary.groups.subgroups import Subgroup


def multiplicity(irrep: FiniteIrrep, H: Subgroup, character: np.ndarray | None = None) -> int:
    """The dimension of the maps from a representation ρ of H to an irrep of G on H that commute with H:
    ``1/|H| Σ_h χ_τ(h) χ_ρ(h)*``. ``character`` (|H|,) is that of ρ, by default of the trivial one: what H leaves alone.
    """
    values = irrep.character[H.group.class_of[H.elements]]
    return round(float((values if character is None else values * character.conj()).mean().real))


class FieldType:
    """Fields on G/H whose vectors turn by ρ, a real representation of ``H.as_group``.

    Layout of tensors: (..., H.index, dim), the points of G/H numbered as ``H.left_coset_of`` does. Scalar fields are
    those of the trivial ρ; with H the trivial subgroup they are functions on G.

    Raises: ValueError for ρ of another group, or complex.
    Source: Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/groups/test_fields.py``.
    """

    def __init__(self, H: Subgroup, representation: Representation) -> None:
        if representation.group != H.as_group:
            raise ValueError(f"got {representation}, wanted a representation of H.as_group, {H.as_group}.")
        if representation(H.as_group.identity).is_complex():
            raise ValueError(f"got {representation}, which is complex: wanted a real one, such as of real_irreps().")
        self.H, self.representation = H, representation

    @property
    def group(self) -> FiniteGroup:
        return self.H.group

    @property
    def dim(self) -> int:
        """The components at each point."""
        return self.representation.dim

    @property
    def size(self) -> int:
        """The components of a field: points times ``dim``."""
        return self.H.index * self.dim

    @cached_property
    def matrices(self) -> Tensor:
        """ρ(h) for all elements of H, (|H|, dim, dim)."""
        return self.representation(torch.arange(self.H.order))

    @cached_property
    def induced(self) -> Representation:
        """How G acts on whole fields, flattened (size,)."""
        return induced(self.representation, self.H)

    def act(self, g: int, f: Tensor) -> Tensor:
        """(g F)(u) = F(g⁻¹ u), on fields (..., H.index, dim). Raises: ValueError for another shape."""
        if tuple(f.shape[-2:]) != (self.H.index, self.dim):
            raise ValueError(f"f has shape {tuple(f.shape)}, {self} wants (..., {self.H.index}, {self.dim}).")
        matrix = self.induced(torch.tensor(g)).to(f)
        return (f.flatten(-2) @ matrix.mT).unflatten(-1, (self.H.index, self.dim))

    def multiplicities(self) -> list[int]:
        """How often each of ``group.irreps()`` is contained in ``induced``, from characters of H alone."""
        character = self.matrices.diagonal(dim1=1, dim2=2).sum(-1).numpy()
        return [multiplicity(irrep, self.H, character) for irrep in self.group.irreps()]

    def embeddings(self, irrep: FiniteIrrep) -> list[Tensor]:
        """The copies of a complex irrep τ in ``induced``, (size, dim τ) each: columns that G transforms as τ does,
        ``S_c = √(dim τ/|G/H|) A† τ(r_c)†`` at the coset of r_c; orthonormal, all of them together."""
        tau = irrep.complex_matrices.to(torch.complex128)
        inner, outer = tau[torch.tensor(self.H.elements)], tau[torch.tensor(self.H.representatives)]
        rho = self.matrices.to(inner.dtype)
        projector = torch.einsum("hab,hij->aibj", inner, rho).flatten(2).flatten(0, 1) / self.H.order
        found = [column.view(irrep.dim, self.dim) for column in orthonormal(projector)]
        scale = (irrep.dim / self.H.index) ** 0.5
        return [scale * torch.einsum("ai,cba->cib", A.conj(), outer.conj()).flatten(0, 1) for A in found]

    def __repr__(self) -> str:
        return f"FieldType({self.representation.name} on {self.group.name} / H of order {self.H.order})"


def field_maps(source: FieldType, target: FieldType) -> Tensor:
    """An orthonormal basis of all linear maps between fields that commute with G, (D, target.size, source.size).

    From the blocks that H leaves of the irreps of G: for each τ the products ``S' S†`` of an embedding in each field,
    D = Σ_τ m_τ m'_τ; real and imaginary parts together span the real ones. The same on every machine.
    Raises: ValueError for fields of two groups.
    """
    if source.group != target.group:
        raise ValueError(f"got fields of {source.group} and of {target.group}, wanted two of one group.")
    columns: list[Tensor] = []
    for irrep in source.group.irreps():
        for S in source.embeddings(irrep):
            for T in target.embeddings(irrep):
                block = (T @ S.mH).flatten() * irrep.dim**-0.5
                columns += [block.real, block.imag]
    if not columns:
        return torch.zeros(0, target.size, source.size, dtype=torch.float64)
    found = orthonormal(torch.stack(columns, 1))
    return torch.cat(found, 1).T.reshape(-1, target.size, source.size)

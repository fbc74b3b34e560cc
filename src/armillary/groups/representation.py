"""Representations of finite groups: regular, quotient, induced, tensor products, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from armillary.groups.compact_irreps import CompactIrrep
from armillary.groups.compact_products import compact_clebsch_gordan
from armillary.groups.finite import FiniteGroup, FiniteIrrep
from armillary.groups.gram_schmidt import orthonormal
from armillary.groups.interface import Decomposition, Irrep
from armillary.groups.subgroups import Subgroup

_BROKEN = "is R(g h) = R(g) R(h), with unitary matrices?"
_CHUNK = 2**22  # numbers of matrices that are held at once


class Representation:
    """A unitary or orthogonal representation of a finite group by matrices, ``R(g h) = R(g) R(h)``.

    ``matrices(g)`` gives (N, dim, dim) float64 or complex128 for elements g (N,). Made by the functions of this module.
    """

    def __init__(self, group: FiniteGroup, dim: int, matrices: Callable[[Tensor], Tensor], name: str) -> None:
        self.group, self.dim, self.matrices, self.name = group, dim, matrices, name

    def __call__(self, g: Tensor) -> Tensor:
        """R(g), (..., dim, dim), on the device of g."""
        g = torch.as_tensor(g)
        matrices = self.matrices(torch.from_numpy(self.group.indices(g).reshape(-1)))
        return matrices.reshape(*g.shape, self.dim, self.dim).to(g.device)

    def __repr__(self) -> str:
        return f"Representation({self.name} of {self.group.name}, dim={self.dim})"

    @cached_property
    def character(self) -> np.ndarray:
        """tr R(g) for each conjugacy class, (classes,) complex128."""
        representatives = torch.tensor(self.group.class_representatives)
        traces = [self(g[None])[0].diagonal().sum() for g in representatives]
        return torch.stack(traces).to(torch.complex128).numpy()

    def multiplicities(self) -> list[int]:
        """How often it contains each of ``group.irreps()``: ``1/|G| Σ_g χ_i(g)* tr R(g)``.

        Raises: ArithmeticError where these are no whole numbers, so that it is no representation.
        """
        weighted = self.group.class_sizes / self.group.order * self.character
        counts = np.array([(weighted * irrep.character.conj()).sum() for irrep in self.group.irreps()])
        whole = np.round(counts.real)
        if not np.abs(counts - whole).max() < 1e-6 * max(1, self.dim) or whole.min() < 0:
            raise ArithmeticError(f"{self} would contain irreps {counts.tolist()} times: {_BROKEN}")
        return [int(count) for count in whole]

    def decompose(self) -> Decomposition:
        """R as a direct sum of the irreps of the group, in their own bases.

        Over the real numbers where R is real, else over the complex ones. The basis is the same on every machine.
        """
        real = not self(self.group.identity).is_complex()
        irreps = self.group.real_irreps() if real else self.group.irreps()
        blocks: list[Irrep] = []
        columns: list[Tensor] = []
        for irrep in irreps:
            found = _components(self, irrep)
            blocks += [irrep] * len(found)
            columns += found
        dtype = torch.float64 if real else torch.complex128
        basis = torch.cat(columns, dim=1) if columns else torch.zeros(self.dim, 0, dtype=dtype)
        if basis.shape[1] != self.dim:
            raise ArithmeticError(
                f"{self}: components of dimension {basis.shape[1]} were found; is it a representation?"
            )
        return Decomposition(tuple(blocks), basis)


def _chunks(representation: Representation) -> list[Tensor]:
    size = max(1, _CHUNK // representation.dim**2)
    return list(representation.group.elements.split(size))


def _averages(representation: Representation, rows: Sequence[Tensor]) -> list[Tensor]:
    """``dim ρ/|G| Σ_g f(g)* R(g)`` for functions f on the group, (dim, dim) each."""
    sums = [torch.zeros(()) for _ in rows]
    for part in _chunks(representation):
        matrices = representation.matrices(part)
        for k, f in enumerate(rows):
            values = f[part].conj()
            dtype = torch.promote_types(values.dtype, matrices.dtype)
            sums[k] = sums[k] + torch.einsum("g,gij->ij", values.to(dtype), matrices.to(dtype))
    return [s / representation.group.order for s in sums]


def _components(representation: Representation, irrep: FiniteIrrep) -> list[Tensor]:
    """The copies of an irrep in a representation: (dim, dim ρ) each, columns that R transforms as ρ does."""
    rho = irrep.complex_matrices
    d = rho.shape[1]
    averages = _averages(representation, [rho[:, b, 0] * d for b in range(d)])
    halved = irrep.is_real and irrep.kind != "real"  # both parts of a realified irrep come from its complex one
    left = representation.dim

    def copy_of(first: Tensor) -> Tensor:
        nonlocal left
        left -= irrep.dim
        if left < 0:
            raise ArithmeticError(f"{representation} does not contain {irrep} as its averages say: {_BROKEN}")
        copy = torch.stack([average @ first for average in averages], dim=1)
        return 2**0.5 * torch.cat([copy.real, -copy.imag], dim=1) if halved else copy

    return orthonormal(averages[0], copy_of)


def irrep_representation(irrep: FiniteIrrep) -> Representation:
    """An irrep as a representation."""
    return Representation(irrep.group, irrep.dim, lambda g: irrep.matrices[g], f"irrep {irrep.index}")


def permutation_representation(group: FiniteGroup, action: np.ndarray, name: str = "permutation") -> Representation:
    """Functions on m points, ``(R(g) f)(g·i) = f(i)``, for an action (|G|, m) with ``action[g, i] = g·i``.

    Raises: ValueError for another shape, or where it is no action: ``g·(h·i) = (g h)·i``, and the identity moves none.
    """
    action = np.asarray(action)
    if action.ndim != 2 or len(action) != group.order or action.dtype.kind not in "iu":
        raise ValueError(
            f"got an action of shape {action.shape} and type {action.dtype}, wanted ({group.order}, m) integers."
        )
    points = action.shape[1]
    inside = not action.size or (action.min() >= 0 and action.max() < points)
    if (
        not inside
        or (action[0] != np.arange(points)).any()
        or any((action[group.table[s]] != action[s][action]).any() for s in group.generators)
    ):
        raise ValueError(
            f"got what is no action of {group} on {points} points: wanted action[g h] = action[g][action[h]]."
        )

    def matrices(g: Tensor) -> Tensor:
        images = torch.as_tensor(action[g.numpy()].astype(np.int64))
        return torch.nn.functional.one_hot(images, points).mT.to(torch.float64)

    return Representation(group, points, matrices, name)


def regular(group: FiniteGroup) -> Representation:
    """Functions on G, ``(R(g) f)(h) = f(g⁻¹ h)``."""
    return permutation_representation(group, group.table, "regular")


def quotient(H: Subgroup) -> Representation:
    """Functions on the cosets G/H, ``(R(g) f)(x) = f(g⁻¹ x)``."""
    return permutation_representation(H.group, H.action, f"quotient by order {H.order}")


def restricted(representation: Representation, H: Subgroup) -> Representation:
    """R on the subgroup H alone, a representation of ``H.as_group``."""
    elements = torch.tensor(H.elements)
    return Representation(H.as_group, representation.dim, lambda g: representation.matrices(elements[g]), "restricted")


def induced(representation: Representation, H: Subgroup) -> Representation:
    """What a representation σ of ``H.as_group`` gives on G: blocks (coset, dim σ).

    With the representatives r of the cosets, ``g r_c = r_{g·c} h(g, c)`` and R(g) takes block c to block g·c by
    ``σ(h(g, c))``. Raises: ValueError where σ is a representation of another group.
    """
    if representation.group != H.as_group:
        raise ValueError(f"got a representation of {representation.group}, wanted one of H.as_group, {H.as_group}.")
    G, m, d = H.group, H.index, representation.dim
    place = np.full(G.order, -1)
    place[H.elements] = np.arange(H.order)
    back = G.inverses[H.representatives]

    def matrices(g: Tensor) -> Tensor:
        images = H.action[g.numpy()]  # (N, m)
        inner = place[G.table[back[images], G.table[g.numpy()[:, None], H.representatives]]]
        blocks = representation.matrices(torch.as_tensor(inner.reshape(-1))).reshape(len(g), m, d, d)
        target = torch.nn.functional.one_hot(torch.as_tensor(images), m).to(blocks.dtype)
        return torch.einsum("gcx,gcij->gxicj", target, blocks).reshape(len(g), m * d, m * d)

    return Representation(G, m * d, matrices, f"induced from {representation.name}")


def tensor_product(first: Representation, second: Representation) -> Representation:
    """R ⊗ S, index (i, j) at i·dim S + j. Raises: ValueError for representations of two groups."""
    if first.group != second.group:
        raise ValueError(f"got representations of {first.group} and {second.group}, wanted two of one group.")
    dim = first.dim * second.dim

    def matrices(g: Tensor) -> Tensor:
        a, b = first.matrices(g), second.matrices(g)
        dtype = torch.promote_types(a.dtype, b.dtype)
        return torch.einsum("gij,gkl->gikjl", a.to(dtype), b.to(dtype)).reshape(len(g), dim, dim)

    return Representation(first.group, dim, matrices, f"{first.name} ⊗ {second.name}")


def dual(representation: Representation) -> Representation:
    """The contragredient representation ``R(g⁻¹)ᵀ = R(g)*``, on linear functionals."""
    matrices = representation.matrices
    name = f"dual of {representation.name}"
    return Representation(representation.group, representation.dim, lambda g: matrices(g).conj().resolve_conj(), name)


def direct_sum(parts: Sequence[Representation]) -> Representation:
    """R_1 ⊕ R_2 ⊕ …, one block after the other. Raises: ValueError for none, or for several groups."""
    if not parts or any(part.group != parts[0].group for part in parts):
        raise ValueError(f"got {list(parts)}, wanted one or more representations of one group.")

    def matrices(g: Tensor) -> Tensor:
        return torch.stack([torch.block_diag(*(part.matrices(k[None])[0] for part in parts)) for k in g])

    return Representation(parts[0].group, sum(p.dim for p in parts), matrices, " ⊕ ".join(p.name for p in parts))


def clebsch_gordan(first: Irrep, second: Irrep) -> Decomposition:
    """``ρ ⊗ σ`` as a direct sum of irreps: ``Q⁻¹ (ρ(g) ⊗ σ(g)) Q = ⊕ ρ_i(g)``; columns of Q are the coefficients.

    For two irreps of one group, finite or SO(2), O(2), SO(3), O(3); over the real numbers for two real irreps.
    Raises: ValueError for irreps of two groups, or of a compact group one real and one complex.
    """
    if isinstance(first, CompactIrrep) and isinstance(second, CompactIrrep):
        return compact_clebsch_gordan(first, second)
    if not isinstance(first, FiniteIrrep) or not isinstance(second, FiniteIrrep):
        raise ValueError(f"got {first} and {second}, wanted two irreps of one group.")
    return tensor_product(irrep_representation(first), irrep_representation(second)).decompose()

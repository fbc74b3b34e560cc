"""Representations of finite groups: regular, quotient, induced, tensor products, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from armillary.groups.finite import FiniteGroup, FiniteIrrep
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
        """R(g), (..., dim, dim)."""
        g = torch.as_tensor(g)
        return self.matrices(g.reshape(-1)).reshape(*g.shape, self.dim, self.dim)

    def __repr__(self) -> str:
        return f"Representation({self.name} of {self.group.name}, dim={self.dim})"

    @cached_property
    def character(self) -> np.ndarray:
        """tr R(g) for each conjugacy class, (classes,) complex128."""
        representatives = torch.as_tensor(self.group.class_representatives)
        traces = [self(g[None])[0].diagonal().sum() for g in representatives]
        return torch.stack(traces).to(torch.complex128).numpy()

    def multiplicities(self) -> list[int]:
        """How often it contains each of ``group.irreps()``: ``1/|G| Σ_g χ_i(g)* tr R(g)``."""
        group = self.group
        weights = group.class_sizes / group.order
        return [round(float((weights * i.character.conj() * self.character).sum().real)) for i in group.irreps()]

    def decompose(self) -> Decomposition:
        """R as a direct sum of the irreps of the group, in their own bases.

        Over the real numbers where R is real, else over the complex ones. The basis is the same on every machine.
        """
        real = not self(self.group.identity).is_complex()
        irreps = self.group.real_irreps() if real else self.group.irreps()
        blocks, columns = [], []
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


@dataclass(frozen=True)
class Decomposition:
    """``Q⁻¹ R(g) Q = ρ_1(g) ⊕ ρ_2(g) ⊕ …`` with ``irreps`` ρ_i and ``basis`` Q (dim, dim), orthogonal or unitary."""

    irreps: tuple[FiniteIrrep, ...]
    basis: Tensor


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
    columns = averages[0]
    found: list[Tensor] = []
    while True:
        residual = (columns.abs() ** 2).sum(0)
        pivot = int(torch.argmax(torch.round(residual, decimals=6)))  # the first of the longest
        if float(residual[pivot]) < 1e-6:
            return found
        if (len(found) + 1) * irrep.dim > representation.dim:
            raise ArithmeticError(f"{representation} does not contain {irrep} as its averages say: {_BROKEN}")
        first = columns[:, pivot] / residual[pivot].sqrt()
        copy = torch.stack([average @ first for average in averages], dim=1)
        if halved:
            copy = 2**0.5 * torch.cat([copy.real, -copy.imag], dim=1)
        found.append(copy)
        for _ in range(2):
            columns = columns - (copy.to(columns.dtype) @ (copy.mH.to(columns.dtype) @ columns))


def irrep_representation(irrep: FiniteIrrep) -> Representation:
    """An irrep as a representation."""
    return Representation(irrep.group, irrep.dim, lambda g: irrep.matrices[g], f"irrep {irrep.index}")


def permutation_representation(group: FiniteGroup, action: np.ndarray, name: str = "permutation") -> Representation:
    """Functions on m points, ``(R(g) f)(g·i) = f(i)``, for an action (|G|, m) with ``action[g, i] = g·i``."""
    points = action.shape[1]

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
    elements = torch.as_tensor(H.elements.copy())
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


def direct_sum(parts: Sequence[Representation]) -> Representation:
    """R_1 ⊕ R_2 ⊕ …, one block after the other. Raises: ValueError for none, or for several groups."""
    if not parts or any(part.group != parts[0].group for part in parts):
        raise ValueError(f"got {list(parts)}, wanted one or more representations of one group.")

    def matrices(g: Tensor) -> Tensor:
        return torch.stack([torch.block_diag(*(part.matrices(k[None])[0] for part in parts)) for k in g])

    return Representation(parts[0].group, sum(p.dim for p in parts), matrices, " ⊕ ".join(p.name for p in parts))


def clebsch_gordan(first: FiniteIrrep, second: FiniteIrrep) -> Decomposition:
    """``ρ ⊗ σ`` as a direct sum of irreps: ``Q⁻¹ (ρ(g) ⊗ σ(g)) Q = ⊕ ρ_i(g)``; columns of Q are the coefficients.

    Over the real numbers for two real irreps.
    """
    return tensor_product(irrep_representation(first), irrep_representation(second)).decompose()

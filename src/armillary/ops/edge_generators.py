"""What the Wigner matrices of edges are made of: Clebsch–Gordan isometries and generators in the real basis."""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.constants import cached_constant


def wigner_size(lmax: int) -> int:
    """Σ_{l ≤ lmax} (2l + 1)²."""
    return (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3


def _real_basis(l: int) -> Tensor:
    """U with a_complex = U a_real; the convention is that of ``groups.so3.real_to_complex``."""
    U = torch.zeros(2 * l + 1, 2 * l + 1, dtype=torch.complex128)
    U[l, l] = 1
    for m in range(1, l + 1):
        sign = (-1.0) ** m
        U[l + m, l + m], U[l + m, l - m] = sign * 0.5**0.5, -1j * sign * 0.5**0.5
        U[l - m, l + m], U[l - m, l - m] = 0.5**0.5, 1j * 0.5**0.5
    return U


@cached_constant(64)
def raising(l: int) -> Tensor:
    """C_l[a, u, m] for the real basis, (2l - 1, 3, 2l + 1) float64, an isometry of the last index; l ≥ 1."""
    j = l - 1
    C = torch.zeros(2 * l - 1, 3, 2 * l + 1, dtype=torch.complex128)
    for m in range(-l, l + 1):
        squares = ((j - m) * (j - m + 1), 2 * (j - m + 1) * (j + m + 1), (j + m) * (j + m + 1))
        for u, square in zip((-1, 0, 1), squares, strict=True):
            if abs(m - u) <= j:
                C[j + m - u, 1 + u, l + m] = (square / ((2 * j + 1) * (2 * j + 2))) ** 0.5
    U = (_real_basis(l - 1).conj(), _real_basis(1).conj(), _real_basis(l))
    return torch.einsum("ia,ju,ijk,km->aum", U[0], U[1], C, U[2]).real.contiguous()


@cached_constant(64)
def generators(l: int) -> Tensor:
    """G_k = d/dt D^l(turn by t about axis k) at t = 0, for k = x, y, z: (3, 2l + 1, 2l + 1) float64."""
    m = torch.arange(-l, l, dtype=torch.float64)
    raise_m = torch.diag((l * (l + 1) - m * (m + 1)).sqrt(), -1).to(torch.complex128)  # J₊ |m> ∝ |m + 1>
    J = torch.stack(
        [
            (raise_m + raise_m.mT) / 2,
            (raise_m - raise_m.mT) / 2j,
            torch.diag(torch.arange(-l, l + 1).to(torch.complex128)),
        ]
    )
    U = _real_basis(l)
    return (U.conj().T @ (-1j * J) @ U).real.contiguous()

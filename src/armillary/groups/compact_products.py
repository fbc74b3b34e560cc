"""Products of irreps of SO(2), O(2), SO(3), O(3), and what is left of them on a subgroup."""

from __future__ import annotations

import torch

from armillary.groups.clebsch_gordan import clebsch_gordan_complex, clebsch_gordan_real
from armillary.groups.compact_irreps import CompactIrrep, Degree, Turn, TurnAndFlip, Wave
from armillary.groups.interface import Decomposition


def compact_clebsch_gordan(first: CompactIrrep, second: CompactIrrep) -> Decomposition:
    """``ρ ⊗ σ`` as a direct sum of irreps: ``Q⁻¹ (ρ(g) ⊗ σ(g)) Q = ⊕ ρ_i(g)``.

    In space the degrees |l - l'|..l + l' with Clebsch–Gordan coefficients; in the plane k + k' and |k - k'|.
    Raises: ValueError for irreps of two groups, or one real and one complex.
    """
    if first.group != second.group or first.is_real != second.is_real:
        raise ValueError(f"got {first} and {second}, wanted two real or two complex irreps of one group.")
    if isinstance(first, Degree) and isinstance(second, Degree):
        return _in_space(first, second)
    if isinstance(first, Wave) and isinstance(second, Wave):
        return Decomposition((Wave(first.group, first.k + second.k),), torch.eye(1, dtype=torch.complex128))
    assert isinstance(first, Turn | TurnAndFlip)  # a real irrep of SO(2) or O(2)
    assert isinstance(second, Turn | TurnAndFlip)
    return _in_the_plane(first, second)


def _in_space(first: Degree, second: Degree) -> Decomposition:
    degrees = range(abs(first.l - second.l), first.l + second.l + 1)
    parity = None if first.parity is None or second.parity is None else first.parity * second.parity
    make = clebsch_gordan_real if first.real else clebsch_gordan_complex
    basis = torch.cat([make(first.l, second.l, l).flatten(0, 1) for l in degrees], dim=1)
    irreps = tuple(Degree(first.group, l, parity, first.real) for l in degrees)
    return Decomposition(irreps, basis if first.real else basis.to(torch.complex128))


def _in_the_plane(first: Turn | TurnAndFlip, second: Turn | TurnAndFlip) -> Decomposition:
    """On vectors (a ⊗ b): (aa' - bb', ab' + ba')/√2 turn by k + k', (aa' + bb', ba' - ab')/√2 by k - k'."""
    odd = _is_odd(first) != _is_odd(second)
    if not first.k or not second.k:
        one = torch.eye(first.dim * second.dim, dtype=torch.float64)
        turned = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)  # det · R(kθ) in terms of R(kθ)
        k = first.k + second.k
        return Decomposition((_plane(first, k, odd and not k),), turned if odd and k else one)
    half = 0.5**0.5
    basis = torch.zeros(4, 4, dtype=torch.float64)  # rows aa', ab', ba', bb'
    basis[0, 0], basis[3, 0], basis[1, 1], basis[2, 1] = half, -half, half, half
    sign = -half if first.k < second.k else half
    basis[0, 2], basis[3, 2], basis[2, 3], basis[1, 3] = half, half, sign, -sign
    both, apart = _plane(first, first.k + second.k, False), abs(first.k - second.k)
    if apart:
        return Decomposition((both, _plane(first, apart, False)), basis)
    return Decomposition((both, _plane(first, 0, False), _plane(first, 0, isinstance(first, TurnAndFlip))), basis)


def _is_odd(irrep: Turn | TurnAndFlip) -> bool:
    return isinstance(irrep, TurnAndFlip) and irrep.odd


def _plane(like: Turn | TurnAndFlip, k: int, odd: bool) -> CompactIrrep:
    return Turn(like.group, k) if isinstance(like, Turn) else TurnAndFlip(like.group, k, odd)

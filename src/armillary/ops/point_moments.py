"""Moments of features around points: what every convolution on points with polynomial kernels takes of neighbours."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armillary.ops.hats import hat_functions
from armillary.ops.real_harmonics import solid_harmonics


def point_moments(x: Tensor, r: Tensor, neighbours: Tensor, radial: int, max_degree: int) -> Tensor:
    """``1/|N(i)| Σ_{j ∈ N(i)} h_k(|r_ij|) S_JM(r_ij) x_j`` for all k < ``radial``, J ≤ ``max_degree`` and M.

    Shapes: x (P, size), r (Q, K, 3) in units of the cutoff, neighbours (Q, K), -1 where there are fewer: those are not
    counted, whatever their r → (Q, radial, (max_degree + 1)², size). S_J are solid harmonics with Σ_M S_JM² = 2J + 1
    at |r| = 1, h_k hat functions (``hat_functions``), zero from |r| = 1 on, however far. A centre without neighbours
    gets zeros.

    Pinned by ``tests/ops/test_point_moments.py``.
    """
    r, shares = within_reach(r, neighbours)
    harmonics = (4 * math.pi) ** 0.5 * solid_harmonics(max_degree, r)
    kernels = (hat_functions(r, radial)[..., None] * harmonics[..., None, :]).flatten(2).to(x) * shares.to(x)
    return (kernels.mT @ x[neighbours.clamp(min=0)]).unflatten(1, (radial, -1))


def within_reach(r: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    """r (Q, K, 3) in units of the cutoff, zero where a neighbour is missing or a component is 1 or more, so that no
    power of it overflows; and 1/|N(i)| of each neighbour, (Q, K, 1), zero at the same places, where hat functions
    vanish."""
    present = (neighbours >= 0)[..., None]
    inside = present & ~(r.detach().abs().amax(-1, keepdim=True) >= 1)  # what is not a number stays
    shares = inside.to(r) / present.to(r).sum(1, keepdim=True).clamp(min=1)
    return torch.where(inside, r, 0), shares


def differences(positions: Tensor, neighbours: Tensor, centres: Tensor) -> Tensor:
    """x_j - x_i from positions (P, 3), neighbours j (Q, K) and centres x_i (Q, 3): (Q, K, 3); where j is -1 that to
    point 0, which is for ``point_moments`` to leave out."""
    return positions[neighbours.clamp(min=0)] - centres[:, None]


def check_points(positions: Tensor, points: int, neighbours: Tensor, centres: Tensor) -> None:
    """Raises: ValueError unless positions are (points, 3), centres (Q, 3) and neighbours int32 or int64 (Q, K)."""
    if tuple(positions.shape) != (points, 3):
        raise ValueError(f"positions have shape {tuple(positions.shape)}, wanted ({points}, 3), one of each point.")
    if centres.ndim != 2 or centres.shape[1] != 3:
        raise ValueError(f"centres have shape {tuple(centres.shape)}, wanted (Q, 3).")
    if neighbours.ndim != 2 or len(neighbours) != len(centres) or neighbours.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"neighbours have shape {tuple(neighbours.shape)} and dtype {neighbours.dtype}, wanted integers "
            f"({len(centres)}, K) of int64, a row for each centre: neighbour_table makes them of edges."
        )

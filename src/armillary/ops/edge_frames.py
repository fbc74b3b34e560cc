"""A frame for each edge of a graph: the rotation that takes its direction to the z-axis."""

from __future__ import annotations

import torch
from torch import Tensor


def edge_rotations(r: Tensor) -> Tensor:
    """R (E, 3, 3) with ``R r = |r| z`` for vectors r (E, 3), the same in every run.

    With n = r/|r| = (a, b, c): where c ≥ 0 the smallest rotation that takes n to z,

        [[1 - a²/(1 + c),   -ab/(1 + c),  -a],
         [  -ab/(1 + c),  1 - b²/(1 + c),  -b],
         [            a,              b,   c]],

    and where c < 0 that which takes -n to z, followed by a half turn about x. Each half is a polynomial in a, b, c and
    1/(1 + |c|): smooth on the hemisphere, its pole among it, whatever the direction of approach. Between the halves the
    frame jumps by a turn about the edge, which SO(2)-equivariant maps between two rotations do not see: what they give
    is smooth there too.

    r = 0 gives the identity and a gradient of zero, and so do lengths below the smallest normal number. Lengths are
    divided out by parts, so that neither 1e-30 nor 1e30 overflows; the gradient is of the size 1/|r|.
    Raises: ValueError for another shape. Source: Rodrigues' formula; pinned by ``tests/ops/test_edge_frames.py``.
    """
    if r.ndim != 2 or r.shape[1] != 3:
        raise ValueError(f"r has shape {tuple(r.shape)}, wanted vectors of edges, (E, 3).")
    if not r.is_floating_point():
        raise ValueError(f"r has dtype {r.dtype}, wanted floating point: cast it.")
    largest = r.detach().abs().amax(1, keepdim=True)
    there = largest >= torch.finfo(r.dtype).tiny
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=r.dtype, device=r.device)
    v = torch.where(there, r / torch.where(there, largest, 1.0), axis)
    a, b, c = (v / v.square().sum(1, keepdim=True).sqrt()).unbind(1)
    sign = torch.where(c < 0, -1.0, 1.0).to(r)
    scale = 1 / (1 + c * sign)
    cross = -a * b * scale
    rows = (1 - a * a * scale, cross, -a * sign, cross * sign, (1 - b * b * scale) * sign, -b, a, b, c)
    return torch.stack(rows, 1).unflatten(1, (3, 3))

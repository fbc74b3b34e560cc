"""What layers on edges want to know of the geometry: a Wigner matrix for each edge and degree."""

from __future__ import annotations

from torch import Tensor

from armillary.ops.edge_frames import edge_rotations
from armillary.ops.edge_wigner import wigner_blocks


def edge_frames(r: Tensor, lmax: int) -> Tensor:
    """The matrices D^l(R_e) with ``R_e r_e = |r_e| z``, degrees 0 to ``lmax``: vectors r (E, 3) → (E, Σ (2l + 1)²).

    They are made once for a graph and passed to its layers, ``EdgeProduct`` and ``EdgeLinear``; features of an edge are
    ``D^l x^l`` in its frame. In the dtype of r; differentiable in r, any number of times. r = 0 gives identities.
    Raises: ValueError for another shape, half precision, or lmax that is no integer >= 0.
    Source: Passaro & Zitnick 2023 (arXiv 2302.03655); pinned by ``tests/ops/test_edge_wigner.py``.
    """
    return wigner_blocks(edge_rotations(r), lmax)

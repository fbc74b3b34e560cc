"""What layers on edges ask of their input."""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.edge_generators import wigner_size


def check_edges(x: Tensor, edge_index: Tensor) -> None:
    """Raise a ValueError unless x is (P, dim) and edge_index (2, E) of int64."""
    if x.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}, wanted features of points, (P, dim).")
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.dtype != torch.int64:
        raise ValueError(
            f"edge_index has shape {tuple(edge_index.shape)} and dtype {edge_index.dtype}, wanted (2, E) of int64: row "
            f"0 the source, row 1 the target."
        )


def check_frames(frames: Tensor, edges: int, lmax: int, like: Tensor) -> Tensor:
    """The frames in the dtype of ``like``. Raises: ValueError for another number of edges or too low a degree."""
    if frames.ndim != 2 or frames.shape[0] != edges or frames.shape[1] < wigner_size(lmax):
        raise ValueError(
            f"frames have shape {tuple(frames.shape)}, wanted ({edges}, {wigner_size(lmax)} or more): "
            f"edge_frames(r, lmax={lmax}) of the vectors of the {edges} edges."
        )
    return frames.to(like.dtype)

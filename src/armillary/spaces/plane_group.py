"""Turns and reflections of images and of feature maps over a point group of the plane.

A point group S is a finite group of 2×2 orthogonal matrices, as ``groups.cyclic`` and ``groups.dihedral`` make them. A
feature map f(p, s) is a function on the plane times S: (batch, channels, |S|, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from armillary.groups import FiniteGroup, Subgroup, trivial_subgroup


def check_point_group(group: FiniteGroup, who: str = "this layer") -> None:
    """Raise a ValueError unless ``group`` has 2×2 orthogonal matrices."""
    matrices = group.matrices
    if matrices is None or matrices.shape[1:] != (2, 2) or np.abs(matrices @ _T(matrices) - np.eye(2)).max() > 1e-9:
        raise ValueError(
            f"{who}: got {group}, wanted a point group of the plane: take groups.cyclic(n) or groups.dihedral(n)."
        )


def _T(matrices: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrices, -1, -2)


def matrices_of(group: FiniteGroup) -> np.ndarray:
    """The matrices of a point group, (|S|, 2, 2), with entries that are integers but for rounding made so."""
    check_point_group(group, "matrices_of")
    assert group.matrices is not None
    rounded = np.round(group.matrices)
    return np.where(np.abs(group.matrices - rounded) < 1e-12, rounded, group.matrices)


def pixel_elements(group: FiniteGroup) -> list[int]:
    """The elements that map the square lattice onto itself: quarter turns and reflections at axes and diagonals.

    These act on images by permuting pixels. All of C_1, C_2, C_4, D_1, D_2, D_4; of C_8 every second element.
    """
    return np.flatnonzero((matrices_of(group) % 1 == 0).all(axis=(1, 2))).tolist()


def is_pixel_group(group: FiniteGroup) -> bool:
    """Whether every element permutes pixels."""
    return len(pixel_elements(group)) == group.order


def act_on_image(group: FiniteGroup, g: int, x: Tensor) -> Tensor:
    """``(g f)(p) = f(g⁻¹ p)`` about the centre of the image: (..., H, W) → the same, or (..., W, H) by a quarter
    turn.

    Exact: pixels are permuted. Raises: ValueError for an element that does not permute pixels (``pixel_elements``).
    """
    M = matrices_of(group)[g]
    if (M % 1 != 0).any():
        raise ValueError(
            f"element {g} of {group} does not map pixels onto pixels: wanted one of {pixel_elements(group)}; sample a "
            f"function at the turned points instead."
        )
    if np.linalg.det(M) < 0:  # M is a turn after the reflection y → -y
        x, M = x.flip(-2), M @ np.diag([1.0, -1.0])
    quarters = round(np.arctan2(M[1, 0], M[0, 0]) / (np.pi / 2)) % 4
    return torch.rot90(x, quarters, (-2, -1))


def act_on_feature_map(group: FiniteGroup, g: int, x: Tensor, subgroup: Subgroup | None = None) -> Tensor:
    """``(g f)(p, s) = f(g⁻¹ p, g⁻¹ s)``: (B, C, |S|, H, W) → the same, or (..., W, H) by a quarter turn.

    With a subgroup H the axis holds the left cosets s·H, |S/H| of them, numbered as in ``subgroup.left_coset_of``.
    Raises: ValueError for another length of the axis, or an element that does not permute pixels.
    """
    H = trivial_subgroup(group) if subgroup is None else subgroup
    if x.ndim != 5 or x.shape[2] != H.index:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, wanted (batch, channels, {H.index}, height, width) for {group}: act on "
            f"images with act_on_image."
        )
    return act_on_image(group, g, H.act(g, x, dim=2))


@dataclass(frozen=True)
class Windows:
    """Square windows that slide over an image, and whether they lie symmetrically about its centre.

    Windows that extend over k pixels, at steps of s over n pixels padded by p at both ends, have their centres at
    ``(k-1)/2 - p + s j`` with j = 0..⌊(n+2p-k)/s⌋. Their middle is that of the image, (n-1)/2, if and only if s divides
    n + 2p - k; otherwise pixels are left over at one end, and at the other end after a turn. Odd or even k and n alike;
    with stride 1 always. An axis that no element of the group moves has no centre to keep.
    """

    extent: int
    stride: int
    padding: int
    group: str
    rows_move: bool
    columns_move: bool

    @classmethod
    def over(
        cls, group: FiniteGroup, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> Windows:
        """Windows that are to commute with a point group; those of k taps extend over ``dilation·(k-1) + 1`` pixels."""
        M = matrices_of(group)
        moves = bool((M[:, 1, 1] < 1).any()), bool((M[:, 0, 0] < 1).any())
        return cls(dilation * (kernel_size - 1) + 1, stride, padding, group.name, *moves)

    def check(self, height: int, width: int, who: str) -> None:
        """Raise a ValueError unless the windows commute with the group on an image of this size."""
        k, s, p = self.extent, self.stride, self.padding
        for size, axis, moves in ((height, "rows", self.rows_move), (width, "columns", self.columns_move)):
            span = size + 2 * p - k
            if span < 0:
                raise ValueError(f"{who}: {size} {axis} with padding {p} are fewer than the kernel's {k}.")
            left = span % s
            if moves and left:
                raise ValueError(
                    f"{who}: kernel {k} with stride {s} and padding {p} on {size} {axis} is not centred on the image "
                    f"({size} + 2·{p} - {k} = {span} is no multiple of {s}), which breaks the symmetry under "
                    f"{self.group}: take a kernel of size {k + left}, or images of {size - left} or {size + s - left} "
                    f"{axis}."
                )

"""Networks of functions on the cosets of a finite group, such as the k-subsets of n things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from armillary.groups import FiniteGroup, Subgroup, stabiliser, symmetric
from armillary.nn import HomogeneousConv


class HomogeneousNet(nn.Module):
    """An invariant network on G/H: convolutions with GELU, the mean over the points, one linear map.

    Shapes: (B, in_channels, |G/H|) → (B, out_channels); the output does not change when G acts on the points.
    ``widths`` are the channels of the convolutions, all on G/H.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: FiniteGroup,
        H: Subgroup,
        widths: Sequence[int] = (16, 16, 16),
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("got no widths, wanted the channels of one or more convolutions.")
        self.in_channels, self.H = in_channels, H
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *widths), widths, strict=False):
            layers += [HomogeneousConv(before, after, group, H, H), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=-1))


class SubsetNet(nn.Module):
    """A network of functions on the k-subsets of n things that does not care how these are numbered.

    A function on the 2-subsets is a graph of n nodes with weighted edges. ``subsets`` (N, k) says which subset each of
    the N = n!/(k!(n - k)!) points is: ``x[..., i]`` belongs to ``subsets[i]``. n ≤ 7.

    Shapes: (B, in_channels, N) → (B, out_channels).
    Raises: ValueError for k outside 1..n.
    """

    def __init__(
        self, in_channels: int, out_channels: int, n: int, k: int, widths: Sequence[int] = (16, 16, 16)
    ) -> None:
        super().__init__()
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n:
            raise ValueError(f"got k = {k!r}, wanted an integer from 1 to n = {n}.")
        group = symmetric(n)
        H = stabiliser(group, range(k))
        self.in_channels = in_channels
        self.net = HomogeneousNet(in_channels, out_channels, group, H, widths)
        assert group.permutations is not None
        self.subsets = torch.as_tensor(np.sort(group.permutations[H.representatives][:, :k], axis=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

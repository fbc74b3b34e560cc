"""Networks of functions on a set that a group acts on, such as the k-subsets of n things."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from armillary.groups import Action, FiniteGroup, Subgroup, symmetric_action
from armillary.nn import HomogeneousConv, OrbitalConv


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
        self.in_channels, self.H = in_channels, H
        self.layers = _convolutions(in_channels, widths, lambda C, O: HomogeneousConv(C, O, group, H, H))
        self.head = nn.Linear(widths[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=-1))


class OrbitalNet(nn.Module):
    """The network of ``HomogeneousNet`` on the points of an action, for groups known by their generators.

    Shapes: (B, in_channels, action.size) → (B, out_channels); the output does not change when the group acts.
    """

    def __init__(
        self, in_channels: int, out_channels: int, action: Action, widths: Sequence[int] = (16, 16, 16)
    ) -> None:
        super().__init__()
        self.in_channels, self.action = in_channels, action
        self.layers = _convolutions(in_channels, widths, lambda C, O: OrbitalConv(C, O, action))
        self.head = nn.Linear(widths[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=-1))


class SubsetNet(nn.Module):
    """A network of functions on the k-subsets of n things that does not care how these are numbered.

    A function on the 2-subsets is a graph of n nodes with weighted edges. ``subsets`` (N, k) says which subset each of
    the N = n!/(k!(n - k)!) points is, in lexicographic order: ``x[..., i]`` belongs to ``subsets[i]``.

    Shapes: (B, in_channels, N) → (B, out_channels).
    Raises: ValueError for k outside 1..n.
    """

    def __init__(
        self, in_channels: int, out_channels: int, n: int, k: int, widths: Sequence[int] = (16, 16, 16)
    ) -> None:
        super().__init__()
        action = symmetric_action(n).subsets(k)
        self.in_channels = in_channels
        self.net = OrbitalNet(in_channels, out_channels, action, widths)
        self.subsets = torch.as_tensor(action.members.copy())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _convolutions(in_channels: int, widths: Sequence[int], make: Callable[[int, int], nn.Module]) -> nn.Sequential:
    if not widths:
        raise ValueError("got no widths, wanted the channels of one or more convolutions.")
    layers: list[nn.Module] = []
    for before, after in zip((in_channels, *widths), widths, strict=False):
        layers += [make(before, after), nn.GELU()]
    return nn.Sequential(*layers)

"""Networks of fields of spin on the sphere: wind and other tangent vectors as what they are."""

from __future__ import annotations

from torch import Tensor, nn

from armillary.groups import Orders
from armillary.harmonics.sht import check_lmax
from armillary.nn import SpinConv, SpinPointwise
from armillary.ops.integers import checked_integer
from armillary.spaces import SphereGrid


class SpinNet(nn.Module):
    """Convolutions of fields of spin with activations through turned frames, and residual connections between them.

    ``x_1 = conv(x)``, ``x_{k+1} = x_k + conv(σ(x_k))`` for the ``blocks``, ``y = conv(σ(x_K))``. Every convolution acts
    on degrees ≤ ``lmax``, and σ, GELU, on ``grid``, which holds more (two thirds is a good ratio), so that little of
    what it makes folds back. Spins are free everywhere: with ``Orders.image`` for all three it is a network of scalar
    fields, which takes the components of vectors for scalars.

    Shapes: (B, spins_in.size, *grid.shape) → (B, spins_out.size, *grid.shape), real, in the layout of ``Orders``.
    Raises: ValueError for blocks < 0, lmax that the grid cannot hold, too few frames, or x of another shape.
    Source: the layers are those of Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/models/test_spin.py``.
    """

    def __init__(
        self,
        spins_in: Orders,
        spins_out: Orders,
        grid: SphereGrid,
        hidden: Orders,
        *,
        blocks: int = 2,
        lmax: int | None = None,
        profiles: int | None = 8,
        frames: int = 8,
    ) -> None:
        super().__init__()
        checked_integer("blocks", blocks, 0, who="SpinNet")
        lmax = check_lmax(grid, 2 * grid.lmax // 3 if lmax is None else lmax)
        frames = 1 if hidden.real else frames

        def conv(before: Orders, after: Orders) -> SpinConv:
            return SpinConv(before, after, grid, lmax=lmax, profiles=profiles)

        def activation() -> SpinPointwise:
            return SpinPointwise(nn.GELU(), hidden, grid, frames)

        self.in_channels = spins_in.size
        self.first = conv(spins_in, hidden)
        self.blocks = nn.ModuleList(nn.Sequential(activation(), conv(hidden, hidden)) for _ in range(blocks))
        self.last = nn.Sequential(activation(), conv(hidden, spins_out))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)

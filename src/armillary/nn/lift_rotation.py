"""Any activation on features of SO(3), through functions on SO(3) or on the sphere."""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.groups import SO3, Degrees, wigner_D_real
from armillary.groups.compact import euler_factors, product_rule
from armillary.nn.activation import Activation
from armillary.nn.lift import LiftProject
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer


class RotationPointwise(ConstantModule):
    """Any activation σ on features of SO(3), through their values at rotations Q.

        F_g(Q) = Σ_l √(2l + 1) Σ_n [D^l(Q)ᵀ f_lgn]_n,     f'_lgn = √(2l + 1) ∫ D^l_mn(Q) σ(F_g(Q)) dQ

    *Which channels are joined*: F_g takes channels g·N_l to (g + 1)·N_l - 1 of each degree l, N_l = channels of l /
    ``functions``, as the columns n of its Fourier block: n = 0, then -1, 1, -2, … With all N_l = 1 they are functions
    on the sphere, sampled at (2·band + 1)(band + 1) points; N_l = 2l + 1 are all functions on SO(3) up to that degree,
    sampled at 2·band + 1 times as many rotations. ``functions`` defaults to the channels of the degree with the fewest.

    With σ the identity features come back as they were, for ``band`` from the highest degree on. A power x^k is exact
    from (k + 1)/2 times that on. Of others folds back what the samples do not hold: docs/homogeneous.md has that error
    against ``band``.

    Shapes: (..., degrees.size) in and out, in the layout of ``Degrees``. Commutes with rotations up to aliasing.
    Raises: ValueError for channels that ``functions`` does not divide, more than 2l + 1 columns of a degree, a band
    below a degree, σ that changes the shape, or another number of components.
    Source: Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/nn/test_lift_rotation.py``.
    """

    def __init__(self, activation: Activation, degrees: Degrees, band: int, functions: int | None = None) -> None:
        super().__init__()
        self.degrees, self.in_channels = degrees, degrees.size
        self.band = checked_integer("band", band, max(degrees.degrees), why=", the highest degree or more")
        fewest = min(channels for _, channels in degrees.streams)
        self.functions = checked_integer("functions", fewest if functions is None else functions, 1)
        columns = {l: channels / self.functions for l, channels in degrees.streams}
        if any(n != int(n) or not 1 <= n <= 2 * l + 1 for l, n in columns.items()):
            raise ValueError(
                f"got functions = {self.functions} of {degrees}: each takes channels / functions columns of a degree "
                f"l, wanted a whole number from 1 to 2l + 1."
            )
        whole = max(columns.values()) > 1  # else nothing depends on γ
        with torch.device("cpu"):
            Q, weights = product_rule(SO3(), euler_factors(self.band, gammas=whole))
            parts = []
            for l, n in columns.items():
                order = [l] + [l + sign * m for m in range(1, l + 1) for sign in (-1, 1)]
                parts.append((2 * l + 1) ** 0.5 * wigner_D_real(l, Q)[..., order[: int(n)]].flatten(1))
            lift = torch.cat(parts, 1)  # (samples, columns and components)
            project = (lift * weights[:, None]).T.contiguous()
        self.through = LiftProject(activation, lift, project)

    @property
    def samples(self) -> int:
        """The rotations at which each function is sampled."""
        return len(self.through.get_buffer("lift"))

    def forward(self, x: Tensor) -> Tensor:
        parts = [part.unflatten(-1, (self.functions, -1)).mT for part in self.degrees.split(x)]  # (..., 2l + 1, N_l, F)
        joined = torch.cat([part.flatten(-3, -2) for part in parts], -2)
        y = self.through(joined.flatten(0, -3)).view(joined.shape)
        sizes = [part.shape[-3] * part.shape[-2] for part in parts]
        pieces = zip(y.split(sizes, -2), parts, strict=True)
        return torch.cat([piece.unflatten(-2, part.shape[-3:-1]).mT.flatten(-3) for piece, part in pieces], -1)

    def extra_repr(self) -> str:
        return f"{self.degrees}, band={self.band}, {self.functions} functions at {self.samples} samples"

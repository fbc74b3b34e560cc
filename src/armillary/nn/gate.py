"""The gate: an activation of features of O(3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep
from armillary.nn.activation import Activation, activated, name_of

_SCALAR = O3Irrep(0, 1)


class Gate(nn.Module):
    """Even scalars pass an activation; each other channel is multiplied by a gate of its own, a scalar too.

        y_c = σ(x_c)   for 0e,        y_cm = τ(g_c) x_cm   for every other irrep

    0e does not change under O(3), so any function of it is allowed; all else may only be multiplied by what does not
    change. Odd scalars (0o) change their sign and are gated.

    Shapes: (..., irreps_in.dim) → (..., irreps.dim). ``irreps_in`` is the 0e of ``irreps``, then one 0e for each gated
    channel, in order, then what is gated; without anything to gate it is ``irreps``. No parameters.

    Symmetry: commutes with rotations and reflections to rounding.
    Raises: ValueError for x of another size, or functions that change the shape.
    Source: Weiler et al. 2018 (arXiv 1807.02547); pinned by ``tests/nn/test_gate.py``.
    """

    def __init__(
        self, irreps: Irreps, activation: Activation = nn.functional.silu, gate: Activation = torch.sigmoid
    ) -> None:
        super().__init__()
        self.irreps, self.activation, self.gate = irreps, activation, gate
        scalars = [(n, irrep) for n, irrep in self.irreps if irrep == _SCALAR]
        gated = [(n, irrep) for n, irrep in self.irreps if irrep != _SCALAR]
        self.scalars, self.gates = sum(n for n, _ in scalars), sum(n for n, _ in gated)
        self.gated = Irreps(gated)
        self.irreps_in = Irreps([*scalars, *([(self.gates, _SCALAR)] if gated else []), *gated])
        self.in_channels = self.irreps_in.dim

    def forward(self, x: Tensor) -> Tensor:
        self.irreps_in.check(x, "Gate")
        scalars, gates, gated = x.split([self.scalars, self.gates, self.gated.dim], dim=-1)
        scalars, gates = activated(self.activation, scalars, "Gate"), activated(self.gate, gates, "Gate")
        of_scalars = iter(scalars.split([n for n, irrep in self.irreps if irrep == _SCALAR], dim=-1))
        of_gates = gates.split([n for n, _ in self.gated], dim=-1)
        opened = (part * g[..., None, :] for part, g in zip(self.gated.split(gated), of_gates, strict=True))
        parts = [next(of_scalars) if irrep == _SCALAR else next(opened).flatten(-2) for _, irrep in self.irreps]
        return torch.cat(parts, -1) if parts else x.clone()

    def extra_repr(self) -> str:
        return f"{name_of(self.activation)}{name_of(self.gate)}{self.irreps_in} → {self.irreps}"

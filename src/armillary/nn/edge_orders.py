"""Maps of features in the frame of an edge, sorted by order m as ``EdgeRotation`` gives them: linear ones, and a gate.

Shape legend: E edges, H channels, L = lmax, M = mmax, n_m how many channels have order m.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep
from armillary.nn.edge_rotation import EdgeRotation
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer


class OrderLinear(nn.Module):
    """A linear map of features in the frame of an edge that commutes with turns about it: for each order m a dense map
    of all degrees and channels that have it.

        x'_0 = x_0 W_0,     a'_m = a_m W_m - b_m V_m,     b'_m = b_m W_m + a_m V_m,     (a, b)_m as of ``EdgeRotation``

    Without V (``reflections=True``) it also commutes with mirrors, the two kinds of m = 0 having a matrix each, so that
    together with the rotations to the frame and back it commutes with O(3); with V it is the full map of SO(3). Orders
    that the input has not are zero in the output, and the other way round they are left out.

    ``start`` and ``end`` say what is where in the input and the output. Shapes: (E, start.size) → (E, end.size).
    State dict: ``weights.m`` (n_in, n_out), or W_m and V_m side by side (n_in, 2 n_out); ``others`` (n_in, n_out), for
    what of m = 0 is not natural, where both ends have it and ``reflections``. Drawn with a variance of 1 over the count
    of numbers that an output is made of. Raises: ValueError for another size.
    Source: Passaro & Zitnick 2023 (eSCN, arXiv 2302.03655), eq. 8; pinned by ``tests/nn/test_edge_orders.py``.
    """

    others: nn.Parameter | None

    def __init__(self, start: EdgeRotation, end: EdgeRotation, *, reflections: bool = True) -> None:
        super().__init__()
        self.size_in, self.size_out, self.reflections = start.size, end.size, reflections
        self.mmax = min(start.mmax, end.mmax)
        """The highest order that is mapped."""
        rest_in, rest_out = (start.others, end.others) if reflections else (0, 0)
        inputs, outputs = ([rotation.counts[m] for m in range(self.mmax + 1)] for rotation in (start, end))
        inputs[0], outputs[0] = inputs[0] - rest_in, outputs[0] - rest_out
        self.weights = nn.ParameterList()
        for m, (n, out) in enumerate(zip(inputs, outputs, strict=True)):
            halves = 1 if m == 0 or reflections else 2
            self.weights.append(_drawn(n, halves * out, halves * n))
        self.register_parameter("others", _drawn(rest_in, rest_out, rest_in) if rest_in and rest_out else None)
        self.parts = [inputs[0], rest_in, *(2 * n for n in inputs[1:])]
        """Of the components that are mapped, how many are of m = 0 and natural, the rest of m = 0, of m = 1, 2, …"""
        self.silent = rest_out if self.others is None else 0
        """How many outputs of m = 0 nothing reaches."""
        self.parts.append(start.size - sum(self.parts))

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.size_in:
            raise ValueError(f"z has shape {tuple(z.shape)}, this OrderLinear wants (E, {self.size_in}).")
        natural, rest, *pairs, _ = z.split(self.parts, 1)
        first, *weights = [weight.to(z) for weight in self.weights]
        found = [natural @ first]
        if self.others is not None:
            found.append(rest @ self.others.to(z))
        elif self.silent:
            found.append(z.new_zeros(len(z), self.silent))
        for pair, weight in zip(pairs, weights, strict=True):
            mixed = pair.reshape(len(z), 2, len(weight)) @ weight  # a, b
            if not self.reflections:
                mixed, crossed = mixed.chunk(2, -1)
                a, b = crossed.unbind(1)
                mixed = mixed + torch.stack([-b, a], 1)
            found.append(mixed.flatten(1))
        missing = self.size_out - sum(part.shape[1] for part in found)
        if missing:
            found.append(z.new_zeros(len(z), missing))
        return torch.cat(found, 1)

    def extra_repr(self) -> str:
        group = "O(3)" if self.reflections else "SO(3)"
        return f"{self.size_in} → {self.size_out}, mmax={self.mmax}, commutes with {group}"


class OrderGate(ConstantModule):
    """A nonlinearity in the frame of an edge: SiLU on m = 0, the others times a gate of their degree and channel.

        y_l0 = SiLU(x_l0),     y_l,±m = sigmoid(s_l) x_l,±m

    m = 0 is a scalar there; turns about the edge mix ±m alone, which a common factor does not see: it commutes with
    them, and with reflections, exactly. The scalars s are more channels of 0e in the input: ``irreps_in`` are
    ``irreps``, H of each natural degree up to L, and L·H of them, or none where there is only m = 0.

    Shapes: features in the frame, cut at |m| ≤ M, of ``irreps_in`` → those of ``irreps``.
    Raises: ValueError for another size, or M > L.
    Source: as the gates of Weiler et al. 2018 (arXiv 1807.02547); pinned by ``tests/nn/test_edge_orders.py``.
    """

    def __init__(self, lmax: int, mmax: int, channels: int) -> None:
        super().__init__()
        self.lmax, self.channels = checked_integer("lmax", lmax, 0), checked_integer("channels", channels, 1)
        self.mmax = checked_integer("mmax", mmax, 0, lmax, why=", lmax")
        self.irreps = Irreps.natural(lmax, channels)
        scalars = lmax * channels if mmax else 0
        self.irreps_in = Irreps([*self.irreps, *([(scalars, O3Irrep(0, 1))] if scalars else [])])
        degrees = [l - 1 for l, m in EdgeRotation(Irreps.natural(lmax), mmax).components if m != 0]
        self.parts = [(lmax + 1) * channels, scalars, len(degrees) * channels]
        self.register_constant("degrees", torch.tensor(degrees, dtype=torch.int64, device="cpu"))

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != sum(self.parts):
            raise ValueError(f"z has shape {tuple(z.shape)}, this OrderGate wants (E, {sum(self.parts)}).")
        if self.mmax == 0:
            return nn.functional.silu(z)
        zero, scalars, rest = z.split(self.parts, 1)
        gates = torch.sigmoid(scalars).unflatten(1, (self.lmax, self.channels))
        gates = gates.index_select(1, self.constant("degrees", z)).flatten(1)
        return torch.cat([nn.functional.silu(zero), rest * gates], 1)

    def extra_repr(self) -> str:
        return f"lmax={self.lmax}, mmax={self.mmax}, channels={self.channels}"


def _drawn(n: int, out: int, fan_in: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(n, out) * max(fan_in, 1) ** -0.5)

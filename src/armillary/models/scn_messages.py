"""The messages of spherical channel networks: what an edge makes of the functions of its two atoms, in its own frame.

Shape legend: E edges, C channels, N = (L + 1)² coefficients of degree l ≤ L = lmax, K of them with |m| ≤ M = mmax, T
taps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.nn.dense import dense
from armillary.nn.edge_orders import OrderGate, OrderLinear
from armillary.nn.edge_rotation import EdgeRotation
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer


class TurnedMessage(nn.Module):
    """The message of eSCN: two SO(2)-wise linear maps with gates between them, in the frame of the edge.

        z = Q_e [x_j, x_i] ∘ w(e),     m_e = Q_eᵀ B(gate(A(z)))

    w(e), a number for each degree and channel, is a network of the edge's features. Commutes with rotations exactly,
    and with reflections where ``reflections``.

    Shapes: pair (E, N, 2C), Q (E, K, N), features (E, F) → (E, K, C), in the frame.
    Source: Passaro & Zitnick 2023, arXiv 2302.03655, section 3; pinned by ``tests/models/test_scn.py``.
    """

    def __init__(self, lmax: int, mmax: int, channels: int, hidden: int, features: int, reflections: bool) -> None:
        super().__init__()
        self.channels, self.rows = channels, EdgeRotation(Irreps.natural(lmax), mmax).size
        self.gate = OrderGate(lmax, mmax, hidden)
        start, gated, middle, end = (
            EdgeRotation(irreps, mmax)
            for irreps in (
                Irreps.natural(lmax, 2 * channels),
                self.gate.irreps_in,
                self.gate.irreps,
                Irreps.natural(lmax, channels),
            )
        )
        self.mix = OrderLinear(start, gated, reflections=reflections)
        self.out = OrderLinear(middle, end, reflections=reflections)
        self.weigh = _EdgeWeights(lmax, mmax, features, 2 * channels)

    def forward(self, pair: Tensor, Q: Tensor, features: Tensor) -> Tensor:
        z = self.mix(self.weigh(Q @ pair, features).flatten(1))
        return self.out(self.gate(z)).unflatten(1, (-1, self.channels))


class DenseMessage(ConstantModule):
    """The message of SCN: a dense network of all coefficients in the frame of the edge, gated by the edge's features.

        m_e = 1/T Σ_k Q_eᵀ Z_kᵀ f_e(Z_k Q_e [x_j, x_i]),     f_e(z) = B SiLU(w(e) ∘ A(z))

    Coefficients of m ≠ 0 depend on the turn of the frame about the edge, and a dense network does not commute with it:
    for M > 0 the message follows the choice of frames, which ``nn.edge_frames`` makes the same in every run, and
    which jumps where an edge crosses the xy-plane. The mean over T ``taps``, turns Z_k of the frame by 2πk/T, lessens
    that: under a turn by φ the message changes by harmonics e^{inφ} with n a multiple of T, n ≠ 0, alone. Of a linear
    f these are those of |n| ≤ 2M, and there is no change at all from T = 2M + 1 on; of a polynomial of degree p, from
    T = (p + 1)M + 1 on; with SiLU it falls with T without an end. The cost of f grows by T.

    Shapes: pair (E, N, 2C), Q (E, K, N), features (E, F) → (E, K, C), in the frame.
    Raises: ValueError for taps < 1.
    Source: Zitnick et al. 2022, arXiv 2206.14331, section 3.2; pinned by ``tests/models/test_scn_messages.py``.
    """

    def __init__(self, lmax: int, mmax: int, channels: int, hidden: int, features: int, taps: int = 1) -> None:
        super().__init__()
        components = EdgeRotation(Irreps.natural(lmax), mmax).components
        self.rows, self.taps = len(components), checked_integer("taps", taps, 1)
        self.mix = nn.Linear(self.rows * 2 * channels, hidden)
        self.weigh = dense(features, features, hidden)
        self.out = nn.Linear(hidden, self.rows * channels)
        angles = [2 * math.pi * k / self.taps for k in range(self.taps)]
        with torch.device("cpu"):
            self.register_constant("turns", torch.stack([_turn(components, angle) for angle in angles]).flatten(0, 1))

    def forward(self, pair: Tensor, Q: Tensor, features: Tensor) -> Tensor:
        z, weights = Q @ pair, self.weigh(features)
        if self.taps == 1:
            return self._network(z, weights)
        turns = self.constant("turns", z)
        y = self._network((turns @ z).unflatten(1, (self.taps, self.rows)), weights[:, None])
        return turns.mT @ y.flatten(1, 2) / self.taps

    def _network(self, z: Tensor, weights: Tensor) -> Tensor:
        """f, (E, ..., K, 2C) → (E, ..., K, C)."""
        return self.out(nn.functional.silu(self.mix(z.flatten(-2)) * weights)).unflatten(-1, (self.rows, -1))

    def extra_repr(self) -> str:
        return f"taps={self.taps}"


class _EdgeWeights(ConstantModule):
    """Multiplies the rows of an edge (E, K, C) by numbers of their degree and channel, a network of its features."""

    def __init__(self, lmax: int, mmax: int, features: int, channels: int) -> None:
        super().__init__()
        self.lmax = lmax
        degrees = [l for l, _ in EdgeRotation(Irreps.natural(lmax), mmax).components]
        self.register_constant("degrees", torch.tensor(degrees, device="cpu"))
        self.network = dense(features, features, (lmax + 1) * channels)

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        weights = self.network(features).unflatten(1, (self.lmax + 1, -1))
        return z * weights.index_select(1, self.constant("degrees", z))


def _turn(components: list[tuple[int, int]], angle: float) -> Tensor:
    """What a turn about z by ``angle`` does to coefficients (l, m), float64: m and -m as cos and sin of mφ."""
    found = torch.zeros(len(components), len(components), dtype=torch.float64)
    for i, (l, m) in enumerate(components):
        found[i, i] = math.cos(m * angle)
        if m:
            found[i, components.index((l, -m))] = -math.sin(m * angle)
    return found

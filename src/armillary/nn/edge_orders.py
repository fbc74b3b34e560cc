"""Features in the frame of an edge, sorted by order m and cut off at |m| ≤ M, and maps between them.

Shape legend: P points, E edges, C channels, L = lmax, N = (L + 1)² rows by degree, K rows with |m| ≤ M: those of m = 0
(l = 0..L), then for each m = 1..M those of +m and those of -m (l = m..L).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.ops.constants import ConstantModule
from armillary.ops.edge_wigner import wigner_size
from armillary.ops.integers import checked_integer


class EdgeOrders(ConstantModule):
    """The rows of an edge's Wigner matrices with |m| ≤ M, sorted by m, as one matrix of each edge.

    ``forward(frames)``: (E, Σ(2l + 1)²), as ``nn.edge_frames`` gives them → Q (E, K, N). ``Q @ x`` turns features x
    (E, N, C) into the frame; ``Qᵀ @ z`` turns them back, what was cut off being zero.
    Raises: ValueError for M > L, and frames of another degree.
    Source: Passaro & Zitnick 2023 (arXiv 2302.03655); pinned by ``tests/nn/test_edge_orders.py``.
    """

    def __init__(self, lmax: int, mmax: int | None = None) -> None:
        super().__init__()
        self.lmax = checked_integer("lmax", lmax, 0)
        self.mmax = checked_integer("mmax", lmax if mmax is None else mmax, 0, lmax, why=", lmax")
        rows = [(l, 0) for l in range(lmax + 1)]
        for m in range(1, self.mmax + 1):
            rows += [(l, sign * m) for sign in (1, -1) for l in range(m, lmax + 1)]
        self.rows = tuple(rows)
        """(l, m) of each row."""
        starts = [wigner_size(l - 1) if l else 0 for l in range(lmax + 1)]
        place = torch.full((len(rows), (lmax + 1) ** 2), wigner_size(lmax), device="cpu")  # a column of zeros
        for k, (l, m) in enumerate(rows):
            first = starts[l] + (l + m) * (2 * l + 1)
            place[k, l * l : (l + 1) ** 2] = torch.arange(first, first + 2 * l + 1, device="cpu")
        self.register_constant("place", place.flatten())

    def forward(self, frames: Tensor) -> Tensor:
        if frames.ndim != 2 or frames.shape[1] != wigner_size(self.lmax):
            raise ValueError(
                f"frames have shape {tuple(frames.shape)}, wanted (E, {wigner_size(self.lmax)}): edge_frames(r, "
                f"{self.lmax})."
            )
        padded = torch.cat([frames, torch.zeros_like(frames[:, :1])], 1)
        place = self._buffers["place"]
        assert place is not None
        return padded.index_select(1, place).unflatten(1, (len(self.rows), -1))

    def extra_repr(self) -> str:
        return f"lmax={self.lmax}, mmax={self.mmax}"


class OrderLinear(nn.Module):
    """A linear map of features in the frame of an edge that commutes with turns about it: for each m a dense map of
    all degrees and channels.

        y_0 = W_0 x_0,     y_±m = W_m x_±m ∓ V_m x_∓m

    Without V (``reflections=True``) it also commutes with reflections at planes through the edge, so that together with
    the rotations to the frame and back it commutes with O(3); with V it is the full map of SO(3). ``scalars`` more
    outputs are made of x_0, which no turn changes.

    Shapes: (E, K, C) → (E, K, channels_out) and (E, scalars).
    Raises: ValueError for another number of rows or channels.
    Source: Passaro & Zitnick 2023 (eSCN, arXiv 2302.03655), eq. 8; pinned by ``tests/nn/test_edge_orders.py``.
    """

    def __init__(
        self, orders: EdgeOrders, channels_in: int, channels_out: int, scalars: int = 0, *, reflections: bool = True
    ) -> None:
        super().__init__()
        self.lmax, self.mmax, self.rows = orders.lmax, orders.mmax, len(orders.rows)
        self.channels_in = checked_integer("channels_in", channels_in, 1)
        self.channels_out = checked_integer("channels_out", channels_out, 1)
        self.scalars, self.reflections = checked_integer("scalars", scalars, 0), reflections
        self.weights = nn.ParameterList()
        for m in range(self.mmax + 1):
            n = self.lmax + 1 - m
            outputs = n * channels_out + (scalars if m == 0 else n * channels_out * (not reflections))
            fan_in = n * channels_in * (1 if m == 0 or reflections else 2)
            self.weights.append(nn.Parameter(torch.randn(n * channels_in, outputs) * fan_in**-0.5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.ndim != 3 or x.shape[1:] != (self.rows, self.channels_in):
            raise ValueError(f"x has shape {tuple(x.shape)}, wanted (E, {self.rows}, {self.channels_in}).")
        zero, *others = x.split([(self.lmax + 1 - m) * (2 if m else 1) for m in range(self.mmax + 1)], 1)
        mixed = zero.flatten(1) @ self.weights[0].to(x)
        mixed, scalars = mixed.split([(self.lmax + 1) * self.channels_out, self.scalars], 1)
        found = [mixed.unflatten(1, (self.lmax + 1, -1))]
        for both, weight in zip(others, list(self.weights)[1:], strict=True):
            y = both.reshape(len(x), 2, len(weight)) @ weight.to(x)  # +m, -m
            if not self.reflections:
                y, crossed = y.chunk(2, -1)
                plus, minus = crossed.unbind(1)
                y = y + torch.stack([-minus, plus], 1)
            found.append(y.reshape(*both.shape[:2], self.channels_out))
        return torch.cat(found, 1), scalars

    def extra_repr(self) -> str:
        sizes = f"{self.channels_in} → {self.channels_out}, lmax={self.lmax}, mmax={self.mmax}"
        return f"{sizes}, scalars={self.scalars}, {'O(3)' if self.reflections else 'SO(3)'}"


class OrderGate(ConstantModule):
    """A nonlinearity in the frame of an edge: SiLU on m = 0, the others times a gate of their degree and channel.

        y_l0 = SiLU(x_l0),     y_l,±m = sigmoid(s_l) x_l,±m

    m = 0 is a scalar there; turns about the edge mix ±m alone, which a common factor does not see: it commutes with
    them, and with reflections, exactly. Shapes: (E, K, C) and scalars (E, L·C) → (E, K, C).
    Source: as the gates of Weiler et al. 2018 (arXiv 1807.02547); pinned by ``tests/nn/test_edge_orders.py``.
    """

    def __init__(self, orders: EdgeOrders, channels: int) -> None:
        super().__init__()
        self.lmax, self.mmax, self.channels = orders.lmax, orders.mmax, channels
        degrees = [l - 1 for l, m in orders.rows if m != 0]
        self.register_constant("degrees", torch.tensor(degrees, dtype=torch.int64, device="cpu"))

    @property
    def scalars(self) -> int:
        """How many scalars it wants: none where there is only m = 0."""
        return self.lmax * self.channels if self.mmax else 0

    def forward(self, x: Tensor, scalars: Tensor) -> Tensor:
        if self.mmax == 0:
            return nn.functional.silu(x)
        degrees = self._buffers["degrees"]
        assert degrees is not None
        gates = torch.sigmoid(scalars).unflatten(1, (self.lmax, self.channels)).index_select(1, degrees)
        zero, rest = x.split([self.lmax + 1, x.shape[1] - self.lmax - 1], 1)
        return torch.cat([nn.functional.silu(zero), rest * gates], 1)

    def extra_repr(self) -> str:
        return f"lmax={self.lmax}, mmax={self.mmax}, channels={self.channels}"

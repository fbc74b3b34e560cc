"""Nonlinearities of signals on SO(3): a network of the values at each rotation, and one of norms.

Shape legend: P points, C channels, D components of one function, N rotations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import SO3, Degrees, SO3Signals
from armillary.groups.so3_signals import Rule
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.ops.precision import without_autocast


class RotationMLP(ConstantModule):
    """Sample functions on SO(3), act on the values at each rotation by a network of two layers, and integrate back.

        f'_c(Q) = Σ_h v_ch σ(a_h + Σ_d u_hd f_d(Q)) + b_c,      x' the components of f' up to a band

    At a rotation, values are numbers that only move when space is turned: any function of them commutes with turns, and
    it may mix channels. This is what signals on R³ × SO(3) have and single irreps have not. Error comes in by the
    quadrature alone: ``rule`` (rotations, weights) is its knob, ``SO3().quadrature(n)`` for the product rules of
    (2n + 1)²(n + 1) rotations, ``solid_rule(60)`` for the rotations of an icosahedron. A rule of band n integrates σ(f)
    exactly where it is of degree ≤ 2n - band. The page docs/se3.md has the error against the number of samples.

    Shapes: (..., signals.size) → (..., signals_out.size); ``signals_out`` defaults to ``signals``. Cost: N·(C·hidden +
    hidden·C') + N·D·(C + C') for each point. State dict: ``inner`` and ``outer``, two linear maps of channels.
    Raises: ValueError for a rule that does not give back the signals themselves, or another number of components.
    Source: Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903; pinned by ``tests/nn/test_se3_pointwise.py``.
    """

    def __init__(
        self,
        signals: SO3Signals,
        signals_out: SO3Signals | None = None,
        *,
        hidden: int | None = None,
        rule: Rule | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.signals, self.signals_out = signals, signals if signals_out is None else signals_out
        self.in_channels = signals.size
        with torch.device("cpu"):
            Q, weights = SO3().quadrature(max(signals.band, self.signals_out.band)) if rule is None else rule
            for held in (signals, self.signals_out):
                if not held.rule_error((Q, weights)) < 1e-9:
                    raise ValueError(
                        f"got a rule of {len(Q)} rotations that does not give back {held}: wanted one that is exact "
                        f"for degree {2 * held.band}, such as SO3().quadrature({held.band})."
                    )
            self.register_constant("sampling", signals.basis(Q))
            self.register_constant("integration", (self.signals_out.basis(Q) * weights[:, None]).mT.contiguous())
        self.hidden = checked_integer("hidden", 2 * signals.channels if hidden is None else hidden, 1)
        self.inner = nn.Linear(signals.channels, self.hidden)
        self.activation = nn.GELU() if activation is None else activation
        self.outer = nn.Linear(self.hidden, self.signals_out.channels)

    @property
    def samples(self) -> int:
        """The rotations at which functions are sampled."""
        return len(self.get_buffer("sampling"))

    def forward(self, x: Tensor) -> Tensor:
        self.signals.check(x, "RotationMLP")
        with without_autocast(x):
            values = self.constant("sampling", x) @ x.unflatten(-1, (-1, self.signals.channels))  # (..., N, C)
        acted = self.outer(self.activation(self.inner(values))).to(x.dtype)
        with without_autocast(x):
            return (self.constant("integration", x) @ acted).flatten(-2)

    def extra_repr(self) -> str:
        return f"{self.signals} → {self.signals_out}, {self.samples} samples"


class NormReLU(nn.Module):
    """The length of each channel through a ReLU with a bias, its direction kept.

        y_lc = x_lc · ReLU(|x_lc| - b_lc) / |x_lc|,     l > 0;      y_0c = ReLU(x_0c - b_0c)

    The nonlinearity of tensor field networks, exact and blind to what channels are to each other. Where |x| = 0 the
    gradient is finite: the length is √(|x|² + 1e-12).

    Shapes: (..., degrees.size) in and out. Commutes with rotations to rounding. State dict: ``bias`` (channels over all
    degrees), at first 0.
    Raises: ValueError for another number of components.
    Source: Thomas et al. 2018, arXiv 1802.08219; pinned by ``tests/nn/test_se3_pointwise.py``.
    """

    def __init__(self, degrees: Degrees) -> None:
        super().__init__()
        self.degrees, self.in_channels = degrees, degrees.size
        self.bias = nn.Parameter(torch.zeros(degrees.count))

    def forward(self, x: Tensor) -> Tensor:
        biases = self.bias.to(x).split([n for _, n in self.degrees.streams])
        outputs = []
        for part, bias, l in zip(self.degrees.split(x), biases, self.degrees.degrees, strict=True):
            if l == 0:
                outputs.append((part - bias).relu())
            else:
                length = (part.square().sum(-2, keepdim=True) + 1e-12).sqrt()
                outputs.append(part * ((length - bias).relu() / length))
        return torch.cat([part.flatten(-2) for part in outputs], -1)

    def extra_repr(self) -> str:
        return str(self.degrees)

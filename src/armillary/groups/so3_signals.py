"""Functions on SO(3) as features: their Fourier components turn as any features of points do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.degrees import Degrees
from armillary.groups.named import icosahedral, octahedral, tetrahedral
from armillary.groups.so3 import wigner_D_real
from armillary.ops.integers import checked_integer

Rule = tuple[Tensor, Tensor]
"""Rotations (N, 3, 3) and weights (N,), sum 1: a quadrature on SO(3)."""


def solid_rule(rotations: int) -> Rule:
    """The 12, 24 or 60 rotations of a tetrahedron, a cube or an icosahedron, (rotations, 3, 3), with equal weights.

    Exact for degree 2, 3 and 5: with 24 or 60 rotations there and back keeps signals of degree ≤ 1 or ≤ 2, which
    product rules take 18 or 75 rotations for, and what is of a higher degree than they hold is less.
    Raises: ValueError for another number. Pinned by ``tests/groups/test_so3_signals.py``.
    """
    solids = {12: tetrahedral, 24: octahedral, 60: icosahedral}
    if rotations not in solids:
        raise ValueError(
            f"got {rotations!r} rotations, wanted those of a solid, 12, 24 or 60: SO3().quadrature has others."
        )
    group = solids[rotations]()
    three = next(irrep for irrep in group.real_irreps() if irrep.dim == 3)
    matrices = three(torch.arange(group.order)).double()
    # the icosahedron has two such irreps, and the cube one with reflections
    return matrices * torch.linalg.det(matrices)[:, None, None], torch.full(
        (rotations,), 1 / rotations, dtype=torch.float64
    )


@dataclass(frozen=True)
class SO3Signals:
    """``channels`` real functions on SO(3), band-limited: matrix elements up to degree ``band``.

        f_c(Q) = Σ_l √(2l + 1) Σ_mn D^l_mn(Q) x_lmnc,      x_lmnc = √(2l + 1) ∫ f_c(Q) D^l_mn(Q) dQ

    with the measure of total 1, so that ∫ f² = Σ x². Under the action (R f)(Q) = f(R⁻¹ Q) each column n of a degree
    turns by D^l(R), as a feature does: a function is 2l + 1 channels of every degree l ≤ band, and the signal is a
    feature of type ``degrees``.

    Layout: (..., size), by degree l, then m, then column n, then channel c: a plain (..., Σ(2l + 1)², channels) with
    the last two axes flattened. In terms of ``Degrees``, channel n·channels + c of degree l, with n counted from 0.
    Raises: ValueError for channels < 1 or band < 0.
    Source: Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903; pinned by ``tests/groups/test_so3_signals.py``.
    """

    channels: int
    band: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", checked_integer("channels", self.channels, 1))
        object.__setattr__(self, "band", checked_integer("band", self.band, 0))

    @property
    def degrees(self) -> Degrees:
        """(2l + 1)·channels of each degree."""
        return Degrees.of({l: (2 * l + 1) * self.channels for l in range(self.band + 1)})

    @property
    def components(self) -> int:
        """Those of one function: Σ (2l + 1)²."""
        return sum((2 * l + 1) ** 2 for l in range(self.band + 1))

    @property
    def size(self) -> int:
        """The number of components of a feature."""
        return self.components * self.channels

    def basis(self, Q: Tensor) -> Tensor:
        """√(2l + 1) D^l_mn(Q) for rotations (..., 3, 3): (..., components) float64, on the CPU.

        Raises: ValueError for what are no rotations.
        """
        parts = [(2 * l + 1) ** 0.5 * wigner_D_real(l, Q).flatten(-2) for l in range(self.band + 1)]
        return torch.cat(parts, -1)

    def sampled(self, x: Tensor, Q: Tensor) -> Tensor:
        """The functions' values f(Q) at rotations (N, 3, 3), (..., N, channels), from x (..., size).

        Raises: ValueError for another number of components.
        """
        self.check(x)
        return self.basis(Q).to(x) @ x.unflatten(-1, (self.components, self.channels))

    def integrated(self, values: Tensor, rule: Rule) -> Tensor:
        """The components (..., size) of values (..., N, channels) at a rule's rotations, by that quadrature.

        Exact for functions of degree L' where the rule is exact for degree L' + band.
        Raises: ValueError for other shapes.
        """
        Q, weights = rule
        if values.ndim < 2 or tuple(values.shape[-2:]) != (len(Q), self.channels):
            raise ValueError(f"values have shape {tuple(values.shape)}, wanted (..., {len(Q)}, {self.channels}).")
        return ((self.basis(Q) * weights[:, None]).to(values).mT @ values).flatten(-2)

    def rule_error(self, rule: Rule) -> float:
        """How far a signal that is sampled and integrated is from itself, largest entry of the difference from the
        identity: rounding where the rule is exact for degree 2·band."""
        basis = self.basis(rule[0])
        return float(((basis * rule[1][:, None]).mT @ basis - torch.eye(self.components).double()).abs().max())

    def split(self, x: Tensor) -> list[Tensor]:
        """The components by degree, (..., 2l + 1, 2l + 1, channels) each, m before n: views of x (..., size).

        Raises: ValueError for another number of components.
        """
        self.check(x)
        sizes = [2 * l + 1 for l in range(self.band + 1)]
        parts = x.split([n * n * self.channels for n in sizes], -1)
        return [part.unflatten(-1, (n, n, self.channels)) for part, n in zip(parts, sizes, strict=True)]

    def check(self, x: Tensor, who: str = "") -> None:
        """Raises: ValueError unless x is (..., size)."""
        if x.shape[-1:] != (self.size,):
            raise ValueError(f"x has shape {tuple(x.shape)}, {who or self} wants (..., {self.size}).")

    def __str__(self) -> str:
        return f"{self.channels} functions of degree <= {self.band}"

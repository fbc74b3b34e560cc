"""What layers between functions on the cosets of a group share: their weights, and the ways in which these act.

    y_o(x) = Σ_c Σ_D w_ocD n_D^{-1/2} Σ_{z: (x, z) ∈ D} f_c(z) + b_o,     D the orbitals of G on (x, z).

Shape legend: B batch, C and O channels, N and M points of G/H and G/K, D orbitals, I sizes of subsets.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from armillary.groups import Orbitals
from armillary.groups.actions import subset_rank
from armillary.ops.constants import ConstantModule, cached_constant
from armillary.ops.gather_sum import gather_sum
from armillary.ops.integers import checked_integer

_MOST_RELATIONS = 2**24  # numbers in the constant of ``ByRelations``
SMALL = 3  # how much longer a multiplication takes in many small products than in a large one (measured)
_GATHER = 20  # the same for a number that is gathered and summed: 4 in long sums, far more in short ones (measured)


class Way(ConstantModule, ABC):
    """A way in which the weights act: one of several computations of the same map."""

    @abstractmethod
    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """x (B, C, N), weight (O, C, D) → (B, O, M)."""


class ByMatrix(Way):
    """Path "matrix": a matrix of (O·M) × (C·N) made of the weights."""

    def __init__(self, orbitals: Orbitals) -> None:
        super().__init__()
        self.register_buffer("pairs", torch.as_tensor(orbitals.numbers.copy()), persistent=False)
        self.register_constant("gains", torch.as_tensor(orbitals.subdegrees**-0.5))

    @staticmethod
    def cost(C: int, O: int, M: int, N: int) -> float:
        """Multiplications for one sample; those that expand the weights count as well."""
        return 2 * C * O * N * M

    def matrix(self, weight: Tensor) -> Tensor:
        """(O, M, C, N)."""
        scaled = weight * self.constant("gains", weight)
        return scaled[:, :, self.get_buffer("pairs")].transpose(1, 2)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("omcn,bcn->bom", self.matrix(weight), x)


class ByRelations(Way):
    """Path "relations": sums over the points in each orbital, then a mixing of channels."""

    def __init__(self, orbitals: Orbitals) -> None:
        super().__init__()
        members = torch.nn.functional.one_hot(torch.as_tensor(orbitals.numbers.copy()), len(orbitals)).permute(2, 0, 1)
        self.points = orbitals.shape[0]
        self.register_constant("relations", members * torch.as_tensor(orbitals.subdegrees**-0.5)[:, None, None])

    @staticmethod
    def cost(C: int, O: int, M: int, N: int, D: int) -> float:
        """Multiplications for one sample; infinite where the constant (D, M, N) would be too large."""
        return C * D * M * (N + O) if D * M * N <= _MOST_RELATIONS else math.inf

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        sums = x @ self.constant("relations", x).flatten(0, 1).mT  # (B, C, D·M)
        return weight.flatten(1) @ sums.reshape(x.shape[0], -1, self.points)


class ByInclusion(Way):
    """Path "inclusion", from the k- to the l-subsets of n things: sums over smaller and smaller subsets and back.

    With ``f_k = f`` and ``f_i(A) = Σ_{B ⊃ A, |B| = i + 1} f_{i+1}(B)``, mixing of channels at each size i ≤ min(k, l),
    and sums ``Σ_{A ⊂ B, |A| = i} g_i(A)`` up to l. The sum over z with |x ∩ z| = j is ``Σ_{i ≥ j} (-1)^{i-j} C(i, j)``
    times the sum over A ⊂ x ∩ z with |A| = i, counted as often as chains lead from z to A and to x: (k-i)! (l-i)!.
    Nothing of the size M × N is made. Orbital d is |x ∩ z| = min(k, l) - d, as ``Orbitals.between`` numbers them.
    """

    def __init__(self, n: int, k: int, l: int) -> None:
        super().__init__()
        self.k, self.l, self.least = k, l, min(k, l)
        self.register_constant("expansion", _expansion(n, k, l))
        for i in range(max(k, l)):
            up, down = _inclusions(n, i)
            self.register_buffer(f"up_{i}", up, persistent=False)  # (C(n, i), n - i): the supersets of each i-subset
            self.register_buffer(f"down_{i}", down, persistent=False)  # (C(n, i + 1), i + 1): what each contains

    @staticmethod
    def cost(C: int, O: int, n: int, k: int, l: int) -> float:
        """Multiplications for one sample, a gathered number as many as it takes the time of."""
        mixed = sum(math.comb(n, i) for i in range(min(k, l) + 1))
        gathered = [(n - i) * math.comb(n, i) for i in range(max(k, l))]  # between sizes i and i + 1
        return SMALL * C * O * mixed + _GATHER * (C * sum(gathered[:k]) + O * sum(gathered[:l]))

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        mixing = weight @ self.constant("expansion", weight).mT  # (O, C, I)
        fields = [x]
        for i in reversed(range(self.k)):
            fields.append(gather_sum(fields[-1], self.get_buffer(f"up_{i}"), self.get_buffer(f"down_{i}")))
        fields.reverse()
        y = mixing[..., 0] @ fields[0]
        for i in range(self.l):
            y = gather_sum(y, self.get_buffer(f"down_{i}"), self.get_buffer(f"up_{i}"))
            if i < self.least:
                y = y + mixing[..., i + 1] @ fields[i + 1]
        return y


def intersections(n: int, k: int, l: int) -> range:
    """The sizes that a k- and an l-subset of n things can have in common, largest first."""
    return range(min(k, l), max(0, k + l - n) - 1, -1)


def _expansion(n: int, k: int, l: int) -> Tensor:
    """What the orbitals (columns) are in sums over common subsets of each size (rows), (I, D)."""
    sizes = intersections(n, k, l)
    found = torch.zeros(min(k, l) + 1, len(sizes), dtype=torch.float64)
    for d, j in enumerate(sizes):
        gain = (math.comb(l, j) * math.comb(n - l, k - j)) ** -0.5  # of the z, k-subsets, that share j with x
        for i in range(j, min(k, l) + 1):
            chains = math.factorial(k - i) * math.factorial(l - i)
            found[i, d] = (-1) ** (i - j) * math.comb(i, j) * gain / chains
    return found


@cached_constant(32)
def _inclusions(n: int, i: int) -> tuple[Tensor, Tensor]:
    """The numbers of the supersets of each i-subset with one element more, and of the i-subsets of each of those."""
    larger = np.array(list(combinations(range(n), i + 1)), dtype=np.int64)
    smaller = np.stack([subset_rank(np.delete(larger, r, axis=1), n) for r in range(i + 1)], axis=1)
    order = np.argsort(smaller.reshape(-1), kind="stable").reshape(-1, n - i)
    return torch.as_tensor(order // (i + 1)), torch.as_tensor(smaller)


def choose(path: str | None, ways: Mapping[str, tuple[float, Callable[[], Way]]]) -> tuple[str, Way]:
    """The way with this name, or the one of least cost, of ``{name: (cost, maker)}``; none other is made.

    Raises: ValueError for another name.
    """
    if path is not None and path not in ways:
        names = ", ".join(repr(name) for name in ways)
        raise ValueError(f"got path = {path!r}, wanted one of {names}, or None for the cheapest.")
    chosen = min(ways, key=lambda name: ways[name][0]) if path is None else path
    return chosen, ways[chosen][1]()


def check_channels(in_channels: int, out_channels: int) -> None:
    """Raises: ValueError for what is no positive integer."""
    for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
        checked_integer(name, size, 1)


class CosetMap(nn.Module, ABC):
    """A linear map (B, in_channels, N) → (B, out_channels, M) that commutes with a group, by one of several ways.

    ``weight`` (out_channels, in_channels, D), a number for each orbital, and one bias for each output field.
    """

    def __init__(
        self, in_channels: int, out_channels: int, points: tuple[int, int], n_orbitals: int, way: Way, bias: bool
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.n_orbitals = in_channels, out_channels, n_orbitals
        self.points_in, self.points_out = points
        self.way = way
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, n_orbitals))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    @property
    @abstractmethod
    def orbitals(self) -> Orbitals:
        """The orbits of the group on pairs (output point, input point)."""

    @property
    @abstractmethod
    def domain(self) -> str:
        """What the functions are on, in words."""

    def reset_parameters(self) -> None:
        """Weights such that white noise of variance 1 keeps it; biases zero."""
        nn.init.normal_(self.weight, std=(self.in_channels * self.n_orbitals) ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def matrix(self) -> Tensor:
        """The map as a matrix, (out_channels, M, in_channels, N)."""
        return ByMatrix(self.orbitals).to(self.weight.device).matrix(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3 or tuple(x.shape[1:]) != (self.in_channels, self.points_in):
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this {type(self).__name__} wants (B, {self.in_channels}, "
                f"{self.points_in}): {self.domain}."
            )
        y = self.way(x, self.weight)
        return y if self.bias is None else y + self.bias[:, None]

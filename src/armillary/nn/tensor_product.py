"""Products of two features of O(3): full, with a matrix over channels for each path, and channel-wise.

Shape legend: N points or edges, U channels of one irrep in the first input, V in the second, W in the output, Q columns
of what one irrep of the first input is mixed to, M components 2l + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep, clebsch_gordan_real
from armillary.ops.constants import ConstantModule
from armillary.ops.steered_product import steered_product


@dataclass(frozen=True)
class ProductPath:
    """One irrep of each input and one of the output, by their places in ``Irreps.regrouped``."""

    first: int
    second: int
    out: int


def product_paths(irreps_in1: Irreps, irreps_in2: Irreps, irreps_out: Irreps) -> list[ProductPath]:
    """All paths, by the first input, then the second, then the output: degrees make a triangle, parities multiply.

    Raises: ValueError where an irrep of the output is on no path, or there is none.
    """
    first, second, out = ([irrep for _, irrep in x.regrouped()] for x in (irreps_in1, irreps_in2, irreps_out))
    paths = [
        ProductPath(i, j, k)
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        for k, c in enumerate(out)
        if c in a * b
    ]
    lost = [str(irrep) for k, irrep in enumerate(out) if all(path.out != k for path in paths)]
    if not out:
        raise ValueError("got no irreps for the output, wanted one or more.")
    if lost:
        raise ValueError(
            f"no path leads from {irreps_in1} and {irreps_in2} to {', '.join(lost)}: leave it out of irreps_out, or "
            f"add what makes it to the inputs."
        )
    return paths


class _Product(ConstantModule):
    """What both products share: the irreps, the paths, and the contraction of one path."""

    def __init__(self, irreps_in1: Irreps | str, irreps_in2: Irreps | str, irreps_out: Irreps | str) -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2, self.irreps_out = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
        self.in_channels = self.irreps_in1.dim
        self.paths = product_paths(self.irreps_in1, self.irreps_in2, self.irreps_out)
        self._first, self._second, self._out = (
            list(x.regrouped()) for x in (self.irreps_in1, self.irreps_in2, self.irreps_out)
        )
        self._used = sorted({path.first for path in self.paths})
        slots = {self._first[i][1]: slot for slot, i in enumerate(self._used)}
        self._streams = [(n, irrep.dim, slots.get(irrep, -1)) for n, irrep in self.irreps_in1]
        with torch.device("cpu"):
            for slot, i in enumerate(self._used):
                terms, values = self._terms(i)
                self.register_constant(f"terms_{slot}", terms)
                self.register_constant(f"values_{slot}", values)

    def _columns(self, i: int) -> list[tuple[ProductPath, int]]:
        """The paths of irrep i of the first input, and as many columns as each has: second by output channels."""
        return [(path, self._width(path)) for path in self.paths if path.first == i]

    def _width(self, path: ProductPath) -> int:
        return self._second[path.second][0] * self._out[path.out][0]

    def _terms(self, i: int) -> tuple[Tensor, Tensor]:
        """The table for ``steered_product`` from the columns of irrep i, (M1, Q) in a row, and y, to the output."""
        Q, l1 = sum(width for _, width in self._columns(i)), self._first[i][1].l
        terms, values, start = [], [], 0
        for path, width in self._columns(i):
            (V, second), (W, out) = self._second[path.second], self._out[path.out]
            # Columns of the coefficients of all l3 are orthonormal: what has unit variance keeps it.
            C = clebsch_gordan_real(l1, second.l, out.l)
            numbers = [_places(self.irreps_in2, second, m) for m in range(second.dim)]
            ends = [_runs(_places(self.irreps_out, out, m)) for m in range(out.dim)]
            for m1, m2, m3 in C.abs().gt(1e-14).nonzero().tolist():
                for v in range(V):
                    first = m1 * Q + start + v * W
                    for place, n in ends[m3]:
                        terms.append((first, place, n, numbers[m2][v]))
                        values.append(float(C[m1, m2, m3]))
                        first += n
            start += width
        return torch.tensor(terms, dtype=torch.int64).view(-1, 4), torch.tensor(values, dtype=torch.float64)

    def _contracted(self, mixed: Sequence[Tensor | None], y: Tensor) -> Tensor:
        """The output (N, dim), from (N, M1, Q) for each used irrep of the first input, and y (N, dim)."""
        total: Tensor | None = None
        for slot, h in enumerate(mixed):
            if h is not None:
                terms, values = self.constant(f"terms_{slot}", h), self.constant(f"values_{slot}", h)
                found = steered_product(h.flatten(1), y, terms, values, self.irreps_out.dim)
                total = found if total is None else total + found
        assert total is not None  # every output is on a path
        return total

    def _parts(self, x: Tensor, start: int = 0, stop: int | None = None) -> list[Tensor | None]:
        """The components (N, M, U) of each used irrep in the streams ``start`` to ``stop`` of x; None: it has none."""
        streams = self._streams[start:stop]
        found: list[list[Tensor]] = [[] for _ in self._used]
        for part, (channels, dim, slot) in zip(x.split([n * d for n, d, _ in streams], -1), streams, strict=True):
            if slot >= 0:
                found[slot].append(part.unflatten(-1, (dim, channels)))
        return [None if not parts else parts[0] if len(parts) == 1 else torch.cat(parts, -1) for parts in found]

    def _check(self, x: Tensor, y: Tensor) -> None:
        name = type(self).__name__
        self.irreps_in1.check(x, name)
        if y.shape != (*x.shape[:-1], self.irreps_in2.dim):
            raise ValueError(
                f"y has shape {tuple(y.shape)}, {name} wants {(*x.shape[:-1], self.irreps_in2.dim)}: a feature of "
                f"{self.irreps_in2} for each of x."
            )

    def extra_repr(self) -> str:
        return f"{self.irreps_in1} ⊗ {self.irreps_in2} → {self.irreps_out}, {len(self.paths)} paths"


class TensorProduct(_Product):
    """The general bilinear map of features of O(3), a matrix over channels for each path.

        z_{w m3} = b_w + Σ_{paths (l1, l2, l3)} Σ_{u v} W_{u v w} Σ_{m1 m2} C[m1, m2, m3] x_{u m1} y_{v m2}

    C are the real Clebsch–Gordan coefficients, weights are drawn with variance 1/fan-in, so that inputs with components
    of variance 1 give such outputs; ``bias`` is on the 0e of the output alone. Steerable attributes are a y of one
    channel for each degree, ``Irreps.natural(lmax)``: this then is the linear layer of a steerable network.

    Shapes: x (..., irreps_in1.dim), y (..., irreps_in2.dim) with the same leading dimensions → (..., irreps_out.dim).
    State dict: ``weights.i`` (U, Q) for each irrep i of ``irreps_in1.regrouped()`` that is on a path: columns by path
    in the order of ``paths``, then by v, then w; ``bias`` (W,).

    x is mixed first, by one matrix product for each of its irreps, and contracted with y after that. ``mix`` and
    ``contract`` are these halves: where x belongs to points and y to edges, the former is cheaper before the gather.

    Symmetry: commutes with O(3) to rounding. Raises: ValueError for an output that no path reaches, a ``bias`` without
    0e, or shapes that do not fit.
    Source: Geiger & Smidt 2022, arXiv 2207.09453; pinned by ``tests/nn/test_tensor_product.py``, also against e3nn.
    """

    def __init__(
        self, irreps_in1: Irreps | str, irreps_in2: Irreps | str, irreps_out: Irreps | str, bias: bool = False
    ) -> None:
        super().__init__(irreps_in1, irreps_in2, irreps_out)
        fan_in = [0] * len(self._out)
        for path in self.paths:
            fan_in[path.out] += self._first[path.first][0] * self._second[path.second][0]
        self.weights = nn.ParameterList()
        for i in self._used:
            drawn = [torch.randn(self._first[i][0], n) * fan_in[path.out] ** -0.5 for path, n in self._columns(i)]
            self.weights.append(nn.Parameter(torch.cat(drawn, -1)))
        scalars = self.irreps_out.channels(O3Irrep(0, 1))
        if bias and not scalars:
            raise ValueError(f"a bias needs 0e in the output, got {self.irreps_out}: pass bias=False.")
        self.bias = nn.Parameter(torch.zeros(scalars)) if bias else None
        with torch.device("cpu"):
            places = torch.tensor(_places(self.irreps_out, O3Irrep(0, 1), 0), dtype=torch.int64)
            self.register_constant("scalars", places)

    def path_weight(self, path: ProductPath) -> Tensor:
        """W of one path, (U, V, W): a view of its parameter."""
        start = 0
        for other in self.paths:
            if other == path:
                break
            start += self._width(other) if other.first == path.first else 0
        block = self.weights[self._used.index(path.first)][:, start : start + self._width(path)]
        return block.unflatten(1, (self._second[path.second][0], -1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        self._check(x, y)
        z = self.contract(self.mix(x.reshape(-1, x.shape[-1])), y.reshape(-1, y.shape[-1]))
        return z.reshape(*x.shape[:-1], z.shape[-1])

    def mix(self, x: Tensor, start: int = 0, stop: int | None = None) -> list[Tensor | None]:
        """The first half: x (N, .) of the streams ``start`` to ``stop`` of ``irreps_in1`` (default: all), mixed.

        For each irrep of ``weights`` (N, M, Q), or None where these streams have none of it. The sum over parts of the
        streams is what all of them together give.
        """
        mixed: list[Tensor | None] = []
        for slot, (weight, part) in enumerate(zip(self.weights, self._parts(x, start, stop), strict=True)):
            first = sum([n for n, _, other in self._streams[:start] if other == slot])
            mixed.append(None if part is None else part @ weight[first : first + part.shape[-1]].to(part))
        return mixed

    def contract(self, mixed: Sequence[Tensor | None], y: Tensor) -> Tensor:
        """The second half: what ``mix`` gave, (N, M, Q) for each irrep, with y (N, irreps_in2.dim): (N, out dim)."""
        z = self._contracted(mixed, y)
        if self.bias is None:
            return z
        return z.index_add(1, self.constant("scalars", z), self.bias.to(z).expand(len(z), -1))


class ChannelwiseProduct(_Product):
    """Each channel of x times a feature y of one channel for each irrep, a weight for each path and channel.

        z_{u m3} = Σ_{paths (l1, l2, l3)} w_u Σ_{m1 m2} C[m1, m2, m3] x_{u m1} y_{m2}

    Paths of equal output are summed, so an irrep of the output has as many channels as those it is made of. With
    ``weights="learned"`` the weights are parameters, drawn with variance 1/(paths of the same output); with "given"
    they come with each call, (..., weight_numel), such as a radial network makes them for each edge.

    Shapes: x (..., irreps_in1.dim), y (..., irreps_in2.dim) → (..., irreps_out.dim). State dict: ``weight``
    (weight_numel,), by path in the order of ``paths``, then channel; or nothing.

    Symmetry: commutes with O(3) to rounding. Raises: ValueError for channels that differ, a y of more channels, an
    output that no path reaches, weights that are not asked for or do not come, or shapes that do not fit.
    Source: as ``TensorProduct``; pinned by ``tests/nn/test_tensor_product.py``.
    """

    def __init__(
        self,
        irreps_in1: Irreps | str,
        irreps_in2: Irreps | str,
        irreps_out: Irreps | str,
        weights: Literal["learned", "given"] = "learned",
    ) -> None:
        super().__init__(irreps_in1, irreps_in2, irreps_out)
        if weights not in ("learned", "given"):
            raise ValueError(f"got weights = {weights!r}, wanted 'learned' or 'given'.")
        if any(n != 1 for n, _ in self._second):
            raise ValueError(f"got {self.irreps_in2} for the second input, wanted one channel of each irrep.")
        for path in self.paths:
            (n, a), (m, b) = self._first[path.first], self._out[path.out]
            if n != m:
                raise ValueError(f"got {n} channels of {a} and {m} of {b}: a path between them wants as many of both.")
        sizes = [self._out[path.out][0] for path in self.paths]
        self.weight_numel = sum(sizes)
        if weights == "learned":
            fan_in = [sum(other.out == path.out for other in self.paths) for path in self.paths]
            drawn = [torch.randn(n) * k**-0.5 for n, k in zip(sizes, fan_in, strict=True)]
            self.weight: nn.Parameter | None = nn.Parameter(torch.cat(drawn))
        else:
            self.weight = None

    def forward(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
        self._check(x, y)
        if (weights is None) == (self.weight is None):
            wanted = "learned: call it without" if weights is not None else "given: pass them with the call"
            raise ValueError(f"the weights of this ChannelwiseProduct are {wanted}.")
        if weights is not None and weights.shape != (*x.shape[:-1], self.weight_numel):
            wanted = str((*x.shape[:-1], self.weight_numel))
            raise ValueError(f"weights have shape {tuple(weights.shape)}, wanted {wanted}.")
        chosen = self.weight if weights is None else weights
        assert chosen is not None
        parts = self._parts(x.reshape(-1, x.shape[-1]))
        sizes = [sum([n for _, n in self._columns(i)]) for i in self._used]
        mixed: list[Tensor | None] = []
        for part, w in zip(parts, chosen.to(x).reshape(-1, 1, self.weight_numel).split(sizes, -1), strict=True):
            assert part is not None
            mixed.append((part[:, :, None] * w.unflatten(-1, (-1, part.shape[-1]))).flatten(2))
        z = self._contracted(mixed, y.reshape(-1, y.shape[-1]))
        return z.reshape(*x.shape[:-1], z.shape[-1])


def _places(irreps: Irreps, irrep: O3Irrep, m: int) -> list[int]:
    """Where component m of each channel of an irrep is in a feature."""
    return [
        where.start + m * n + channel
        for (n, other), where in zip(irreps, irreps.slices, strict=True)
        if other == irrep
        for channel in range(n)
    ]


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """(first, length) of runs of consecutive numbers."""
    starts = [k for k, place in enumerate(places) if k == 0 or place != places[k - 1] + 1]
    return [(places[a], b - a) for a, b in pairwise([*starts, len(places)])]

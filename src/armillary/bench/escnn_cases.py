"""How a layer of escnn is the same as a group convolution of armillary: elements, axes and the space of filters.

Both compute one ``conv2d`` with the filters of all group elements written out, and for fields in the regular
representation both keep the elements of C_n and D_n in the order of ``groups.cyclic`` and ``groups.dihedral``, x to
the right and y upward, fields before elements; escnn's reflection is x → -x unless it is told ``axis=0``. What differs
is the space of filters. Over p4 and p4m armillary's is all that commutes: k² numbers for every pair of fields, times
|S| where the input has a group axis. escnn samples ``exp(-(r - r_j)²/2σ_j²) cos mφ, sin mφ`` on rings r_j, m ≤ a cutoff
of the ring:

- by default 3×3 filters have rings at 0 and 1 and m ≤ 2, which is 6 of 9 functions of the pixels (48 of 72 dimensions
  of a p4m layer), and 4×4 filters, for which the ring at 0 meets no pixel, 5 of 16;
- with a cutoff of 4 at the ring of radius 1 the 3×3 filters are all 9; 4×4 filters become all 16 with rings at the
  three radii of their pixels (17 numbers: of the 9 functions on the middle ring 8 are independent on its 8 pixels).
  ``FULL`` has these options.

Over other groups the filters of both are smooth functions that are sampled, and not the same ones; with
``RingFilters``, escnn's functions, the space is escnn's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from armillary.groups import FiniteGroup, cyclic, dihedral
from armillary.nn import GroupConv, HarmonicFilters, LiftConv
from armillary.nn.gcnn_filters import window_offsets

Layer = LiftConv | GroupConv


@dataclass(frozen=True)
class Rings:
    """escnn's options of a filter: radii of the rings in pixels, the highest frequency and the width σ of each."""

    radii: tuple[float, ...]
    frequencies: tuple[int, ...]
    sigma: tuple[float, ...]

    def document(self) -> dict[str, Any]:
        """As ``escnn_layers.filter_options`` takes it."""
        return asdict(self)


DEFAULT = {
    3: Rings((0.0, 1.0), (0, 2), (0.005, 0.4)),
    5: Rings((0.0, 1.0, 2.0), (0, 2, 2), (0.005, 0.6, 0.4)),
}
FULL = {
    3: Rings((0.0, 1.0), (0, 4), (0.005, 0.4)),
    4: Rings((0.70711, 1.58114, 2.12132), (2, 4, 2), (0.05, 0.05, 0.05)),
}


@dataclass(frozen=True)
class RingFilters(HarmonicFilters):
    """Filters of armillary made of the functions of escnn.

    Those with m > 0 are 0 at the centre, and those that vanish on all pixels are left out.
    """

    chosen: Rings = DEFAULT[3]

    def functions(self, kernel_size: int) -> list[tuple[float, int, bool]]:
        named: list[tuple[float, int, bool]] = []
        for radius, most in zip(self.chosen.radii, self.chosen.frequencies, strict=True):
            named += [(radius, m, odd) for m in range(most + 1) for odd in (False, True) if m or not odd]
        sampled = self._sample(named, window_offsets(kernel_size))
        return [one for one, values in zip(named, sampled, strict=True) if np.linalg.norm(values) > 1e-6]

    def values(self, kernel_size: int, points: np.ndarray) -> np.ndarray:
        return self._sample(self.functions(kernel_size), points)

    def _sample(self, functions: list[tuple[float, int, bool]], points: np.ndarray) -> np.ndarray:
        r, phi = np.hypot(points[..., 0], points[..., 1]), np.arctan2(points[..., 1], points[..., 0])
        sigma = dict(zip(self.chosen.radii, self.chosen.sigma, strict=True))
        found = []
        for radius, m, odd in functions:
            ring = np.exp(-((r - radius) ** 2) / (2 * sigma[radius] ** 2))
            ring = np.where(r > 1e-9, ring, 0.0) if m else ring
            found.append(ring * (np.sin(m * phi) if odd else np.cos(m * phi)))
        return np.stack(found)


def point_group(turns: int, reflections: bool) -> FiniteGroup:
    """C_n, or D_n with reflections."""
    return (dihedral if reflections else cyclic)(turns)


def describe_layer(layer: Layer, rings: Rings | None, x: str, grad: str) -> dict[str, Any]:
    """The counterpart of an armillary layer without bias, as ``escnn_layers.build_layer`` takes it; None for its
    default filters.

    Raises: ValueError for a layer that has a bias, circular padding or groups, which the worker does not build.
    """
    if layer.bias is not None or layer.padding_mode != "zeros" or layer.groups > 1:
        raise ValueError(f"got {layer}, wanted a layer with bias=False, padding with zeros and groups=1.")
    reflections = layer.group.name.startswith("D")
    return {
        "turns": layer.group.order // (2 if reflections else 1),
        "reflections": reflections,
        "lift": isinstance(layer, LiftConv),
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "kernel_size": layer.kernel_size,
        "stride": layer.stride,
        "padding": layer.padding,
        "rings": None if rings is None else rings.document(),
        "x": x,
        "grad": grad,
    }


def filters_of(layer: Layer) -> Tensor:
    """The filters of one field in and one out for each of its free numbers: (P, |S|, |S| or 1, k, k) float64."""
    one = type(layer)(1, 1, layer.group, layer.kernel_size, bias=False, filters=layer.filters).double()
    found = []
    with torch.no_grad():
        for unit in torch.eye(one.weight.numel(), dtype=torch.float64):
            one.weight.copy_(unit.view_as(one.weight))
            found.append(one.expanded_weight())
    return torch.stack(found)


def dimension(filters: Tensor, tolerance: float = 1e-4) -> int:
    """The dimension of the span of filters (P, …): singular values above ``tolerance`` times the largest."""
    values = torch.linalg.svdvals(filters.double().flatten(1))
    return int((values > tolerance * values[0]).sum())


def outside(filters: Tensor, span: Tensor) -> float:
    """The largest share of a filter of the first, (P, …), that the span of the second, (Q, …), does not hold.

    ``max_p ‖f_p - P f_p‖/‖f_p‖`` with P the orthogonal projection.
    """
    rows, count = span.double().flatten(1), dimension(span)
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:count]
    given = filters.double().flatten(1)
    rest = given - given @ directions.mT @ directions
    return float((rest.norm(dim=1) / given.norm(dim=1)).max())


def load_filter(layer: Layer, weight: Tensor) -> None:
    """Give a layer the parameters whose written-out filters come closest to ``weight`` (O·|S|, I·|S| or I, k, k)."""
    order, axis = layer.group.order, max(1, layer.elements_in)
    basis = filters_of(layer).flatten(1)
    blocks = weight.double().reshape(layer.out_channels, order, layer.in_channels, axis, *weight.shape[2:])
    wanted = blocks.transpose(1, 2).flatten(2).flatten(0, 1)
    numbers = torch.linalg.lstsq(basis.mT, wanted.mT, driver="gelsd").solution.mT
    with torch.no_grad():
        layer.weight.copy_(numbers.reshape(layer.weight.shape))

"""Features and Clebsch–Gordan coefficients in the conventions of other libraries.

|                       | here                | e3nn                        | fairchem                       |
|-----------------------|---------------------|-----------------------------|--------------------------------|
| polar axis of Y_lm    | z                   | y                           | y                              |
| degree 1              | (y, z, x)           | (x, y, z)                   | (x, y, z)                      |
| layout of a stream    | m, then channel     | channel, then m             | m, then channel                |

The others' harmonics are ours after a turn, Y'_l(r) = Y_l(Q r), Q taking the axis y to z, z to x and x to y. So
features at the same positions are related by ``f' = D(Q) f``, and representations by D'(R) = D(Q) D(R) D(Q)⁻¹; parity
is not touched. (Who passes positions r[..., [1, 2, 0]] to e3nn needs no change of basis, only of layout.)

Pinned by ``tests/groups/test_irreps_conventions.py``, against e3nn 0.6 itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from armillary.groups.clebsch_gordan import check_triangle, clebsch_gordan_real
from armillary.groups.o3 import Irreps
from armillary.groups.so3 import wigner_D_real
from armillary.ops.constants import cached_constant
from armillary.ops.integers import checked_integer

E3nnVersion = Literal["0.4", "0.5"]
"""e3nn changed the signs of its coefficients between 0.4 and 0.5; "0.5" stands for all from then on."""


@cached_constant(64)
def polar_axis_to_y(l: int) -> Tensor:
    """``D^l(Q)``, (2l + 1, 2l + 1) float64: components for the polar axis z to those for y. Treat as read-only."""
    return wigner_D_real(l, torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64))


def to_e3nn(x: Tensor, irreps: Irreps) -> Tensor:
    """Features (..., irreps.dim) as e3nn has them, for the same positions: another basis, and channel before m.

    The streams are the same: ``e3nn.o3.Irreps(str(irreps))``. e3nn's ``D_from_matrix(R)`` acts on the result as
    ``irreps.act(R, x)`` here, reflections too. Raises: ValueError for another number of components.
    """
    parts = zip(irreps.split(x), irreps, strict=True)
    return _flat([(polar_axis_to_y(irrep.l).to(x) @ part).mT for part, (_, irrep) in parts], x)


def from_e3nn(x: Tensor, irreps: Irreps) -> Tensor:
    """What ``to_e3nn`` makes, back. Raises: ValueError for another number of components."""
    irreps.check(x, "from_e3nn")
    parts = x.split([n * irrep.dim for n, irrep in irreps], dim=-1)
    turned = [
        (part.unflatten(-1, (n, irrep.dim)) @ polar_axis_to_y(irrep.l).to(x)).mT
        for part, (n, irrep) in zip(parts, irreps, strict=True)
    ]
    return _flat(turned, x)


def to_fairchem(x: Tensor, irreps: Irreps) -> Tensor:
    """Features of as many channels C of each degree 0..L as fairchem's equivariant networks have them, by degree and m.

    Shapes: (..., irreps.dim) → (..., (L + 1)², C). Those networks know no parity: take natural irreps.
    Raises: ValueError for other degrees, channels that differ, or another number of components.
    """
    _check_uniform(irreps)
    parts = zip(irreps.split(x), irreps, strict=True)
    return torch.cat([polar_axis_to_y(irrep.l).to(x) @ part for part, (_, irrep) in parts], -2)


def from_fairchem(x: Tensor, irreps: Irreps) -> Tensor:
    """What ``to_fairchem`` makes, back: (..., (L + 1)², C) → (..., irreps.dim). Raises: ValueError as there."""
    channels = _check_uniform(irreps)
    if tuple(x.shape[-2:]) != ((irreps.lmax + 1) ** 2, channels):
        raise ValueError(f"x has shape {tuple(x.shape)}, wanted (..., {(irreps.lmax + 1) ** 2}, {channels}): {irreps}.")
    parts = zip(x.split([irrep.dim for _, irrep in irreps], dim=-2), irreps, strict=True)
    return irreps.join(polar_axis_to_y(irrep.l).to(x).mT @ part for part, (_, irrep) in parts)


def fairchem_orders(lmax: int, mmax: int | None = None) -> Tensor:
    """The places (by degree, then m) of what fairchem's SO(2) convolutions have by order: m = 0 of all degrees, then
    for m = 1..mmax all degrees of +m and all degrees of -m.

    (count,) int64, into (lmax + 1)² components: ``x[..., fairchem_orders(lmax, mmax), :]``.
    Raises: ValueError unless 0 ≤ mmax ≤ lmax.
    """
    checked_integer("lmax", lmax, 0)
    mmax = checked_integer("mmax", lmax if mmax is None else mmax, 0, lmax)
    signed = [0, *(s * m for m in range(1, mmax + 1) for s in (1, -1))]
    return torch.tensor([l * l + l + m for m in signed for l in range(abs(m), lmax + 1)])


def e3nn_wigner_3j(l1: int, l2: int, l3: int, version: E3nnVersion = "0.5") -> Tensor:
    """``e3nn.o3.wigner_3j(l1, l2, l3)`` of a version, (2l1 + 1, 2l2 + 1, 2l3 + 1) float64: of norm 1.

    It is ± ``clebsch_gordan_real(l1, l2, l3)``/√(2l3 + 1), in either basis (an invariant is the same in both):

    - from 0.5 on: ``(-1)^⌊(l1 + l2 - l3)/2⌋``, the sign of the complex coefficients with a phase i^l of each basis;
    - 0.4: for l1 ≤ l2 ≤ l3 the element of m1 = m2 = m3 = 0 is positive where it is not zero (l1 + l2 + l3 even), else
      the first element that is not zero; other orders are permutations of that, odd ones with (-1)^(l1 + l2 + l3).

    "0.5" is tested against e3nn 0.6. "0.4" is that rule as the source of 0.4 states it; the test checks it against the
    triplets whose sign changed, as the maintainers listed them (e3nn, pull request 341), not against the tables that
    e3nn 0.4 shipped.

    Raises: ValueError where the degrees make no triangle, or for another version.
    """
    check_triangle(l1, l2, l3)
    if version == "0.5":
        sign = -1.0 if (l1 + l2 - l3) // 2 % 2 else 1.0
        return sign * clebsch_gordan_real(l1, l2, l3) / (2 * l3 + 1) ** 0.5
    if version != "0.4":
        raise ValueError(f'got version {version!r}, wanted "0.4" or "0.5" (which is that of all later ones).')
    places = sorted(range(3), key=lambda axis: (l1, l2, l3)[axis])
    a, b, c = sorted((l1, l2, l3))
    C = clebsch_gordan_real(a, b, c) / (2 * c + 1) ** 0.5
    middle, first = C[a, b, c], C.flatten()[C.flatten().abs() > 1e-14][0]
    C = C * (first if (a + b + c) % 2 else middle).sign()
    odd = places in ([0, 2, 1], [1, 0, 2], [2, 1, 0])
    back = [places.index(axis) for axis in range(3)]
    return C.permute(back).contiguous() * (-1.0 if odd and (a + b + c) % 2 else 1.0)


def e3nn_sign(l1: int, l2: int, l3: int, version: E3nnVersion = "0.5") -> int:
    """The sign s in ``e3nn_wigner_3j = s clebsch_gordan_real/√(2l3 + 1)``: by it the weight of a path has to be
    multiplied when it is taken over. Raises: ValueError as there."""
    product = e3nn_wigner_3j(l1, l2, l3, version) * clebsch_gordan_real(l1, l2, l3)
    return 1 if float(product.sum()) > 0 else -1


def _flat(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat([part.flatten(-2) for part in parts], -1) if parts else like.clone()


def _check_uniform(irreps: Irreps) -> int:
    """The channels of each degree. Raises: ValueError unless degrees are 0, 1, 2, …, with as many channels each."""
    if [irrep.l for _, irrep in irreps] != list(range(len(irreps))) or len({n for n, _ in irreps}) != 1:
        raise ValueError(
            f"got {irreps!r}, wanted as many channels of each degree 0, 1, 2, … (fairchem): Irreps.natural(lmax, C)."
        )
    return irreps.streams[0][0]

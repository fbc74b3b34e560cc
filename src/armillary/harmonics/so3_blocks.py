"""Coefficients of functions on SO(3): one matrix for each degree, packed one after the other.

Convolutions on SO(3) multiply these matrices, degree by degree, so a matrix of a degree lies in one piece. Degrees
ascend: a lower band limit is a shorter vector, a higher one the same with zeros behind. A dense array over (l, m, n)
would be three times as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.so3 import euler_zyz
from armillary.ops.constants import cached_constant
from armillary.ops.so3 import packed_size
from armillary.ops.wigner import wigner_d


@dataclass(frozen=True)
class SO3Blocks:
    """The layout of packed coefficients ``c_lmn``, l = 0..lmax: rows m, columns n = -l..l, (..., size).

    Functions that are real have ``c_{l,-m,-n} = (-1)^(m-n) c_lmn*``: with ``half`` only rows m = 0..l are kept, as for
    the sphere; without it all of m = -l..l.

    Raises: ValueError if lmax is no integer >= 0 or half no bool.
    """

    lmax: int
    half: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.lmax, bool) or not isinstance(self.lmax, int) or self.lmax < 0:
            raise ValueError(f"SO3Blocks: got lmax = {self.lmax!r}, wanted an integer >= 0.")
        if not isinstance(self.half, bool):
            raise ValueError(f"SO3Blocks: got half = {self.half!r}, wanted True (real functions) or False.")

    @property
    def size(self) -> int:
        """Numbers in all: Σ (l + 1)(2l + 1), or Σ (2l + 1)²."""
        bandlimit = self.lmax + 1
        return packed_size(self.lmax) if self.half else bandlimit * (4 * bandlimit**2 - 1) // 3

    def shape(self, l: int) -> tuple[int, int]:
        """Rows and columns of degree l."""
        return (l + 1 if self.half else 2 * l + 1, 2 * l + 1)

    def split(self, coefficients: Tensor) -> list[Tensor]:
        """(..., size) → for each degree its matrix (..., rows, 2l + 1), a view. What comes with coefficients, such as
        their squares or weights, may be real."""
        self._check_size(coefficients, "SO3Blocks.split", "")
        shapes = [self.shape(l) for l in range(self.lmax + 1)]
        parts = coefficients.split([rows * columns for rows, columns in shapes], dim=-1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def join(self, blocks: Sequence[Tensor]) -> Tensor:
        """The inverse of ``split``.

        Raises: ValueError where the matrices are not those of degrees 0..lmax.
        """
        got, wanted = [tuple(b.shape[-2:]) for b in blocks], [self.shape(l) for l in range(self.lmax + 1)]
        if got != wanted:
            raise ValueError(f"got blocks of shapes {got}, {self} wants {wanted}: one for each degree, ascending.")
        return torch.cat([b.flatten(-2) for b in blocks], dim=-1)

    def resize(self, coefficients: Tensor, lmax: int) -> Tensor:
        """The same function at another band limit: degrees above ``lmax`` are cut, new ones are zero."""
        self._check_size(coefficients, "SO3Blocks.resize", "")
        other = SO3Blocks(lmax, self.half)
        if lmax <= self.lmax:
            return coefficients[..., : other.size]
        return torch.nn.functional.pad(coefficients, (0, other.size - self.size))

    def check(self, coefficients: Tensor, who: str) -> None:
        """Raise a ValueError unless the coefficients are complex (..., size)."""
        self._check_size(coefficients, who, "complex ", coefficients.is_complex())

    def _check_size(self, coefficients: Tensor, who: str, kind: str, right_kind: bool = True) -> None:
        if coefficients.shape[-1:] != (self.size,) or not right_kind:
            raise ValueError(
                f"coefficients have shape {tuple(coefficients.shape)} and dtype {coefficients.dtype}, {who} wants "
                f"{kind}(..., {self.size}) for {self}: resize them (SO3Blocks.resize) or build it with their lmax."
            )


@cached_constant(8)
def _orders(blocks: SO3Blocks) -> tuple[Tensor, Tensor, Tensor]:
    """(l, m, n) of each packed coefficient."""
    parts = []
    for l in range(blocks.lmax + 1):
        m = torch.arange(0 if blocks.half else -l, l + 1)[:, None].expand(blocks.shape(l))
        n = torch.arange(-l, l + 1).expand(blocks.shape(l))
        parts.append(torch.stack([torch.full_like(m, l), m, n]).flatten(1))
    l, m, n = torch.cat(parts, dim=1)
    return l, m, n


def degrees_of(blocks: SO3Blocks) -> Tensor:
    """The degree l of each packed coefficient, (size,) int64; treat as read-only."""
    return _orders(blocks)[0]


@cached_constant(8)
def full_places(lmax: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each coefficient (l, m, n) of the full layout: its place, or that of (l, -m, -n) where m < 0, in the half
    layout; whether m < 0; and (-1)^(m-n), float64."""
    l, m, n = _orders(SO3Blocks(lmax, half=False))
    negative = m < 0
    m, n = m.abs(), torch.where(negative, -n, n)
    return l * (l + 1) * (4 * l - 1) // 6 + m * (2 * l + 1) + l + n, negative, _sign(m - n)


@cached_constant(8)
def half_places(lmax: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each coefficient (l, m, n) of the half layout: the places of (l, m, n) and of (l, -m, -n) in the full layout,
    and (-1)^(m-n), float64."""
    l, m, n = _orders(SO3Blocks(lmax))
    middle = l * (4 * l**2 - 1) // 3 + l * (2 * l + 1) + l
    step = m * (2 * l + 1) + n
    return middle + step, middle - step, _sign(m - n)


def _sign(order: Tensor) -> Tensor:
    """(-1)^order, float64."""
    return 1 - 2 * (order % 2).double()


def real_part(full: Tensor, here: Tensor, there: Tensor, sign: Tensor) -> Tensor:
    """Coefficients, in the half layout, of the real part of a function; the rest are ``half_places``."""
    return (full[..., here] + sign.to(full.dtype) * full[..., there].conj()) / 2


def full_coefficients(half: Tensor, lmax: int) -> Tensor:
    """All orders of a real function from those with m ≥ 0: ``c_{l,-m,-n} = (-1)^(m-n) c_lmn*``.

    Raises: ValueError if the coefficients are not of the half layout of lmax.
    """
    SO3Blocks(lmax).check(half, "full_coefficients")
    places, negative, sign = (t.to(half.device) for t in full_places(lmax))
    values = half[..., places]
    return torch.where(negative, values.conj() * sign.to(half.dtype), values)


def rotate_blocks(
    coefficients: Tensor, blocks: SO3Blocks, left: Tensor | None = None, right: Tensor | None = None
) -> Tensor:
    """Exact rotation of a function on SO(3): ``(R f S)(Q) = f(R⁻¹ Q S)`` with R = ``left`` and S = ``right``.

    On coefficients ``c^l → D^l(R) c^l D^l(S)^†``. Both are left actions of SO(3), and they commute. Shapes:
    coefficients (..., blocks.size), R and S (3, 3). Cost O(lmax⁴) for each function, and O(lmax³) in each call for the
    Wigner matrices, which are not kept: a rotation seldom comes twice.

    Raises: ValueError if R or S is not a rotation or the coefficients are not of the layout.
    Source: the addition theorem D(RS) = D(R) D(S); pinned by ``tests/harmonics/test_so3_blocks.py``.
    """
    blocks.check(coefficients, "rotate_blocks")
    if right is not None:
        matrices = _wigner_matrices(blocks.lmax, right, coefficients)
        turned = [c @ D.mH for c, D in zip(blocks.split(coefficients), matrices, strict=True)]
        coefficients = blocks.join(turned)
    if left is not None:
        full = full_coefficients(coefficients, blocks.lmax) if blocks.half else coefficients
        matrices = _wigner_matrices(blocks.lmax, left, coefficients)
        whole = SO3Blocks(blocks.lmax, half=False).split(full)
        turned = [(D[l:] if blocks.half else D) @ c for l, (c, D) in enumerate(zip(whole, matrices, strict=True))]
        coefficients = blocks.join(turned)
    return coefficients


def _wigner_matrices(lmax: int, R: Tensor, like: Tensor) -> list[Tensor]:
    """D^l(R) for l = 0..lmax, in the dtype and on the device of ``like``."""
    alpha, beta, gamma = euler_zyz(R)
    m = torch.arange(-lmax, lmax + 1)

    def active(l: int) -> tuple[slice, slice]:
        return (slice(lmax - l, lmax + l + 1),) * 2

    left, right = (torch.polar(torch.ones(()).double(), -m.double() * angle) for angle in (alpha, gamma))
    steps = wigner_d(lmax, m[:, None], m[None, :], torch.tensor([[beta]], dtype=torch.float64), active)
    return [
        (left[active(l)[0], None] * d * right[active(l)[1]]).to(like.device, like.dtype) for l, d in enumerate(steps)
    ]

"""Filters of convolutions on the sphere and on SO(3): functions that are learned near the identity or by coefficients.

A convolution multiplies the coefficients of degree l by the matrix

    T^l_kn = sqrt(8π²/(2l + 1)) ψ_lkn,     rows k = -l..l,

ψ_lkn those of the filter (``harmonics.so3``): columns n = -l..l where ψ is a function on SO(3), one column where it is
one on the sphere, ``ψ_lk``. As ψ is real, ``T_{-k,-n} = (-1)^(k-n) T_kn*``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.nn.so3_points import classes, product_at_points
from armillary.ops.constants import ConstantModule, cached_constant
from armillary.ops.wigner import wigner_d

_DENSE = 2  # matrices are made of degrees with fewer orders than so many times the distinct terms of a local filter


class Transfer(ConstantModule, ABC):
    """The linear map from the parameters of a filter, (..., size), to its matrices T^l, degree by degree.

    ``power`` (lmax + 1,) is the mean of Σ_kn |T^l_kn|² over independent parameters of unit variance. ``dense`` is the
    number of degrees, lowest first, whose matrices are worth making; of others ``product`` is cheaper, with ``terms``
    multiplications for each entry of the result and pair of channels.
    """

    def __init__(self, lmax: int, on_sphere: bool, size: int, power: Tensor, dense: int, terms: int) -> None:
        super().__init__()
        self.lmax, self.on_sphere, self.size, self.power = lmax, on_sphere, size, power
        self.dense, self.terms = min(dense, lmax + 1), terms

    def columns(self, l: int) -> int:
        """How many columns the matrix of a degree has."""
        return 1 if self.on_sphere else 2 * l + 1

    def entries(self, first: int, last: int) -> tuple[int, int]:
        """Where the matrices of degrees first..last - 1 lie when all are put one after the other: start, stop."""
        ends = [sum((2 * l + 1) * self.columns(l) for l in range(end)) for end in (first, last)]
        return ends[0], ends[1]

    @abstractmethod
    def prepare(self, weight: Tensor) -> Tensor:
        """What all degrees share, from the parameters (..., size) real."""

    @abstractmethod
    def packed(self, prepared: Tensor, first: int, last: int) -> Tensor:
        """The matrices of degrees first..last - 1, flat and one after the other, (..., entries) complex."""

    @abstractmethod
    def product(self, prepared: Tensor, block: Tensor, l: int) -> Tensor:
        """``Σ_c x_c (T_oc)^†`` of one degree, filters on SO(3): prepared (O, C, ...), (B, C, m, n) → (B, O, m, k)."""

    def matrices(self, prepared: Tensor, first: int, last: int) -> list[Tensor]:
        """The same as one tensor for each degree, (..., 2l + 1, columns)."""
        shapes = [(2 * l + 1, self.columns(l)) for l in range(first, last)]
        parts = self.packed(prepared, first, last).split([rows * columns for rows, columns in shapes], dim=-1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]


class Kernel(ABC):
    """A family of real filters: how many parameters, and what they mean. A value, which equals its like."""

    @abstractmethod
    def transfer(self, lmax: int, on_sphere: bool) -> Transfer:
        """The map from parameters to matrices for functions on the sphere, or on SO(3)."""


@dataclass(frozen=True)
class LocalKernel(Kernel):
    """Weights at points near the identity: ``y(R) = Σ_p w_p f(R R_p)``, the value of f exactly there.

    The points on SO(3) are ``R_p = Z(α) Y(β) Z(γ - α)``: turns by γ of a patch whose points lie on ``rings`` rings,
    β = reach/rings, .., reach, at ``azimuths`` angles α = 2πj/azimuths each, and at ``turns`` angles γ = 2πj/turns. On
    the sphere there are no turns: the points lie about the north pole, ``ω_p = Z(α) Y(β) e_z``.

    Parameters: rings · azimuths · turns, or rings · azimuths on the sphere, α before γ. What lies between the points
    is not sampled: let ``reach/rings`` be about π over the bandlimit, the distance that a function can change over.

    Raises: ValueError for a reach outside (0, π] or counts below 1.
    Source: Cohen et al. 2018 (arXiv 1801.10130), appendix, with the points of its published grids; pinned by
    ``tests/nn/test_so3_conv.py::test_a_local_kernel_reads_the_function_at_points``.
    """

    reach: float = math.pi / 8
    rings: int = 3
    azimuths: int = 8
    turns: int = 8

    def __post_init__(self) -> None:
        counts = (self.rings, self.azimuths, self.turns)
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in counts):
            raise ValueError(f"LocalKernel: got rings, azimuths, turns = {counts}, wanted integers >= 1.")
        if not 0 < self.reach <= math.pi:
            raise ValueError(f"LocalKernel: got reach = {self.reach}, wanted radians in (0, π].")

    def transfer(self, lmax: int, on_sphere: bool) -> Transfer:
        with torch.device("cpu"), torch.inference_mode(False):  # its tables are kept for all who ask for them later
            return _LocalTransfer(self, lmax, on_sphere)


@dataclass(frozen=True)
class SpectralKernel(Kernel):
    """A free coefficient for each order of each degree: any filter of the band limit, global.

    Parameters: the coefficients of a real function in an orthonormal real basis, Σ (2l + 1)² of them on SO(3) and
    (lmax + 1)² on the sphere; with u_j the parameters of a degree in the order (k, n), j counted from the middle:
    ``ψ_j = (u_j + i u_-j)/√2`` for j > 0, ``ψ_0 = u_0``, and ``ψ_-j = (-1)^(k-n) ψ_j*``.
    Source: Cohen et al. 2018 (arXiv 1801.10130), section 4; pinned by ``tests/nn/test_so3_conv.py``.
    """

    def transfer(self, lmax: int, on_sphere: bool) -> Transfer:
        with torch.device("cpu"), torch.inference_mode(False):
            return _SpectralTransfer(lmax, on_sphere)


class _LocalTransfer(Transfer):
    """``T^l_kn = Σ_p w_p D^l_kn(R_p)``, and on the sphere √2π times the column n = 0.

    Angles are equispaced, so the sums over them are one Fourier transform of the parameters, of which the order (k, n)
    reads the frequencies (k - n) mod azimuths and n mod turns; what is left is a sum over the rings.
    """

    def __init__(self, kernel: LocalKernel, lmax: int, on_sphere: bool) -> None:
        self.shape = (kernel.rings, kernel.azimuths, 1 if on_sphere else kernel.turns)
        functions, frequencies = _ring_functions(kernel.reach, self.shape, lmax, on_sphere)
        degrees = torch.arange(lmax + 1, dtype=torch.float64)
        power = 2 * math.pi * torch.ones_like(degrees) if on_sphere else 2 * degrees + 1
        points, terms = math.prod(self.shape), kernel.rings * classes(*self.shape[1:])
        dense = lmax + 1 if on_sphere else _DENSE * terms // 2
        super().__init__(lmax, on_sphere, points, power * points, dense, terms)
        self.register_constant("functions", functions)
        self.register_constant("frequencies", frequencies)

    def prepare(self, weight: Tensor) -> Tensor:
        return torch.fft.fft2(weight.unflatten(-1, self.shape)).flatten(-2)  # (..., rings, azimuths · turns)

    def packed(self, prepared: Tensor, first: int, last: int) -> Tensor:
        part = slice(*self.entries(first, last))
        functions = self.constant("functions", prepared.real)[:, part]
        places = self.constant("frequencies", prepared.real)[part]
        rings = zip(prepared.unbind(-2), functions, strict=True)
        parts = [spectrum.index_select(-1, places) * ring for spectrum, ring in rings]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def product(self, prepared: Tensor, block: Tensor, l: int) -> Tensor:
        functions = self.constant("functions", prepared.real)[:, slice(*self.entries(l, l + 1))]
        functions = functions.unflatten(1, (2 * l + 1, self.columns(l)))
        return product_at_points(block, functions, prepared, *self.shape[1:])


@cached_constant(16)
def _ring_functions(reach: float, shape: tuple[int, int, int], lmax: int, on_sphere: bool) -> tuple[Tensor, Tensor]:
    """d^l_kn at each ring, (rings, entries), times √2π on the sphere; and the frequency that (k, n) reads."""
    rings, azimuths, turns = shape
    beta = torch.arange(1, rings + 1, dtype=torch.float64) * (reach / rings)
    k = torch.arange(-lmax, lmax + 1)
    n = torch.zeros(1, dtype=torch.int64) if on_sphere else k

    def active(l: int) -> tuple[slice, slice]:
        window = slice(lmax - l, lmax + l + 1)
        return (window, slice(None) if on_sphere else window)

    frequencies = (k[:, None] - n) % azimuths * turns + n % turns
    steps = wigner_d(lmax, k[:, None, None], n[None, :, None], beta[None, None, :], active)
    functions = [d.flatten(0, 1) for d in steps]
    places = [frequencies[active(l)].flatten() for l in range(lmax + 1)]
    scale = math.sqrt(2 * math.pi) if on_sphere else 1.0
    return torch.cat(functions).T.contiguous() * scale, torch.cat(places)


class _SpectralTransfer(Transfer):
    """Real parts read the parameter of their own order or its opposite, imaginary parts the other one."""

    def __init__(self, lmax: int, on_sphere: bool) -> None:
        real, imaginary, real_factor, imaginary_factor = _real_basis(lmax, on_sphere)
        degrees = torch.arange(lmax + 1, dtype=torch.float64)
        power = 8 * math.pi**2 * (torch.ones_like(degrees) if on_sphere else 2 * degrees + 1)
        super().__init__(lmax, on_sphere, len(real), power, lmax + 1, 1)
        for name, value in (("real", real), ("imaginary", imaginary)):
            self.register_constant(name, value)
        self.register_constant("real_factor", real_factor)
        self.register_constant("imaginary_factor", imaginary_factor)

    def prepare(self, weight: Tensor) -> Tensor:
        return weight

    def packed(self, prepared: Tensor, first: int, last: int) -> Tensor:
        part = slice(*self.entries(first, last))
        values = [
            prepared.index_select(-1, self.constant(name, prepared)[part])
            * self.constant(f"{name}_factor", prepared)[part]
            for name in ("real", "imaginary")
        ]
        return torch.complex(*values)

    def product(self, prepared: Tensor, block: Tensor, l: int) -> Tensor:
        return torch.einsum("bcmn,ockn->bomk", block, self.matrices(prepared, l, l + 1)[0].conj())


@cached_constant(16)
def _real_basis(lmax: int, on_sphere: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each entry the parameter of its real part, that of its imaginary part, and the factors of both."""
    parts: tuple[list[Tensor], ...] = ([], [], [], [])
    start = 0
    for l in range(lmax + 1):
        k = torch.arange(-l, l + 1)
        n = k[:1] * 0 if on_sphere else k
        order = (k[:, None] - n).flatten()
        count = len(order)
        j = torch.arange(count) - count // 2
        middle = start + count // 2
        sign = torch.where(j < 0, 1.0 - 2.0 * (order % 2), 1.0).double()
        scale = math.sqrt(8 * math.pi**2 / (2 * l + 1)) * torch.where(j == 0, 1.0, 2.0).double().rsqrt()
        values = (middle + j.abs(), middle - j.abs(), sign * scale, sign * scale * j.sign())
        for entries, value in zip(parts, values, strict=True):
            entries.append(value)
        start += count
    real, imaginary, real_factor, imaginary_factor = (torch.cat(entries) for entries in parts)
    return real, imaginary, real_factor, imaginary_factor

"""Needlet convolution on SO(3): from the sphere to SO(3), on SO(3), back to the sphere; invariants for a head.

Layers go from coefficients to coefficients, in the layouts of ``SHT`` and of ``SO3Blocks``.

Shapes: B batch, I channels in, O channels out, P profiles (those of all bands together), m row, k and n columns of the
matrix of a degree l; N = ``nmax``, the highest column that kernels have.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.harmonics import Needlets, SO3Blocks
from armillary.harmonics.so3_blocks import degrees_of
from armillary.nn.needlet import add_constant, band_profiles, check_channels, check_coefficients
from armillary.ops.constants import ConstantModule
from armillary.ops.precision import without_autocast


def _real_basis(nmax: int) -> Tensor:
    """U (2N + 1, 2N + 1), unitary, rows: real functions, columns n = -N..N, with ``U_{a,-n} = (-1)^n U_{an}*``."""
    U = torch.zeros(2 * nmax + 1, 2 * nmax + 1, dtype=torch.complex128, device="cpu")
    U[nmax, nmax] = 1
    for n in range(1, nmax + 1):
        sign = (-1) ** n
        U[nmax + n, nmax + n], U[nmax + n, nmax - n] = math.sqrt(0.5), sign * math.sqrt(0.5)
        U[nmax - n] = 1j * U[nmax + n]
        U[nmax - n, nmax - n] *= -1
    return U


class _KernelConv(ConstantModule):
    """What the three convolutions share: real weights of each band, and the kernels of all degrees from them.

    A kernel of a real function has ``Ψ_{-k,-n} = (-1)^{k-n} Ψ_kn*``; real matrices W in the basis U give all of those:
    Ψ = U^† W U. ``rows`` and ``columns`` say whether orders |k|, |n| ≤ N are there, or only 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        needlets: Needlets,
        nmax: int,
        profiles: int,
        bias: bool,
        rows: bool,
        columns: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_channels(name, in_channels=in_channels, out_channels=out_channels)
        if isinstance(nmax, bool) or not isinstance(nmax, int) or not 0 <= nmax <= needlets.lmax:
            raise ValueError(f"{name}: got nmax = {nmax!r}, wanted 0 <= nmax <= lmax = {needlets.lmax}.")
        self.in_channels, self.out_channels, self.needlets = in_channels, out_channels, needlets
        self.lmax, self.nmax = needlets.lmax, nmax
        self.blocks = SO3Blocks(self.lmax)
        functions = band_profiles(needlets, profiles)
        self.register_constant("profiles", functions)
        self.register_constant("basis", torch.view_as_real(_real_basis(nmax)))
        self.n_in, self.n_out = (2 * nmax + 1 if there else 1 for there in (rows, columns))
        shape = (len(functions), out_channels, in_channels, self.n_in, self.n_out)
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(in_channels * self.n_in))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def _kernels(self, x: Tensor) -> Tensor:
        """(lmax + 1, I, n_in, O, n_out) complex, in the precision of x."""
        weight = self.weight.to(x.real.dtype)
        with without_autocast(weight):
            real = torch.einsum("pl,poikn->likon", self.constant("profiles", weight), weight)
        basis = torch.view_as_complex(self.constant("basis", weight))
        kernels = real.to(x.dtype)
        if self.n_in > 1:
            kernels = torch.einsum("ak,liaon->likon", basis.conj(), kernels)
        if self.n_out > 1:
            kernels = torch.einsum("likob,bn->likon", kernels, basis)
        return kernels

    def _product(self, part: Tensor, kernel: Tensor, l: int) -> Tensor:
        """(B, I, rows m, n_in) and (I, n_in, O, n_out) → (B, O, rows m, 2·min(l, N) + 1 or 1); orders ≤ l only."""
        outside = max(0, self.nmax - l)
        if self.n_in > 1 and outside:
            kernel = kernel[:, outside:-outside]
        if self.n_out > 1 and outside:
            kernel = kernel[..., outside:-outside]
        flat = part.permute(0, 2, 1, 3).flatten(2) @ kernel.flatten(2).flatten(0, 1)
        return flat.unflatten(2, kernel.shape[2:]).permute(0, 2, 1, 3)

    def _input_columns(self, block: Tensor, l: int) -> Tensor:
        reach = min(l, self.nmax)
        return block[..., l - reach : l + reach + 1]

    def _join(self, parts: list[Tensor]) -> Tensor:
        """Products of the degrees, with zeros for the columns beyond N, packed; and the bias."""
        padded = [nn.functional.pad(part, (l - min(l, self.nmax),) * 2) for l, part in enumerate(parts)]
        y = self.blocks.join(padded)
        return y if self.bias is None else add_constant(y, self.bias, math.sqrt(8) * math.pi, 1)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, {self.needlets}, nmax={self.nmax}, matrices={len(self.weight)}, "
            f"bias={self.bias is not None}"
        )


class NeedletLift(_KernelConv):
    """Needlet convolution from the sphere to SO(3): ``y(R) = Σ_bands ∫ (G x)(ω) ψ_band(R⁻¹ ω) dω``, in degrees

        y_{o,lmn} = √2π Σ_i x_{i,lm} Ψ^l_{oi,n},     Ψ^l = Σ_P p_P(l) W_P,     |n| ≤ nmax,

    with learned W for each needlet band, in channels and in the order n; p_P(l) as for ``SphereNeedletConv``. The real
    filter has ``ψ_ln = sqrt((2l + 1)/4π) Ψ^l_n*``. A filter that is not axisymmetric has an answer for each
    orientation, hence SO(3). It commutes with rotations exactly.

    Shapes: (B, in_channels, lmax + 1, lmax + 1) complex, layout of ``SHT`` → (B, out_channels, SO3Blocks(lmax).size).
    Parameters: ``weight`` (P, O, I, 1, 2·nmax + 1), real in the basis of real functions of γ; ``bias`` (O).
    Raises: ValueError for channels or profiles < 1, nmax beyond lmax, coefficients of another shape.
    Source: Yi et al. 2022 (arXiv 2206.10385); pinned by ``tests/nn/test_needlet_so3.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        needlets: Needlets,
        nmax: int = 2,
        profiles: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, needlets, nmax, profiles, bias, rows=False, columns=True)

    def forward(self, x: Tensor) -> Tensor:
        check_coefficients(x, self.in_channels, (self.lmax + 1,) * 2, "this NeedletLift")
        kernels = self._kernels(x) * math.sqrt(2 * math.pi)
        parts = [x[..., l, : l + 1, None] for l in range(self.lmax + 1)]
        return self._join([self._product(part, kernels[l], l) for l, part in enumerate(parts)])


class SO3NeedletConv(_KernelConv):
    """Needlet convolution on SO(3): ``y(R) = Σ_bands ∫ (G x)(Q) ψ_band(R⁻¹ Q) dQ``, in degrees

        y_{o,lmn} = Σ_i Σ_k x_{i,lmk} Ψ^l_{oi,kn},     Ψ^l = Σ_P p_P(l) W_P,     |k|, |n| ≤ nmax,

    with a learned matrix W for each needlet band, in channels and in the orders (k, n), shared by the degrees of the
    band (and varied in l where ``profiles`` > 1); ``ψ_lnk = sqrt((2l + 1)/8π²) Ψ^l_kn*``. Matrices act from the right,
    rotations from the left: they commute exactly. Orders beyond ``nmax``, which a nonlinearity makes, are not read.

    Shapes: (B, in_channels, SO3Blocks(lmax).size) complex → (B, out_channels, same).
    Parameters: ``weight`` (P, O, I, 2·nmax + 1, 2·nmax + 1), real in the basis of real functions; ``bias`` (O).
    Raises: ValueError for channels or profiles < 1, nmax beyond lmax, coefficients of another shape.
    Source: Yi et al. 2022 (arXiv 2206.10385); pinned by ``tests/nn/test_needlet_so3.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        needlets: Needlets,
        nmax: int = 2,
        profiles: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, needlets, nmax, profiles, bias, rows=True, columns=True)

    def forward(self, x: Tensor) -> Tensor:
        check_coefficients(x, self.in_channels, (self.blocks.size,), "this SO3NeedletConv")
        kernels = self._kernels(x)
        parts = enumerate(self.blocks.split(x))
        return self._join([self._product(self._input_columns(part, l), kernels[l], l) for l, part in parts])


class NeedletProject(_KernelConv):
    """Needlet convolution from SO(3) to the sphere: ``y_{o,lm} = (2π)^{-½} Σ_{i,k} x_{i,lmk} Ψ^l_{oi,k}``.

    The column n = 0 of an ``SO3NeedletConv``, a function that does not depend on the orientation; |k| ≤ nmax. Exact.

    Shapes: (B, in_channels, SO3Blocks(lmax).size) complex → (B, out_channels, lmax + 1, lmax + 1), layout of ``SHT``.
    Parameters: ``weight`` (P, O, I, 2·nmax + 1, 1); ``bias`` (O): a constant field.
    Raises: ValueError for channels or profiles < 1, nmax beyond lmax, coefficients of another shape.
    Source: pinned by ``tests/nn/test_needlet_so3.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        needlets: Needlets,
        nmax: int = 2,
        profiles: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, needlets, nmax, profiles, bias, rows=True, columns=False)

    def forward(self, x: Tensor) -> Tensor:
        check_coefficients(x, self.in_channels, (self.blocks.size,), "this NeedletProject")
        kernels, size = self._kernels(x) / math.sqrt(2 * math.pi), self.lmax + 1
        rows = []
        for l, part in enumerate(self.blocks.split(x)):
            row = self._product(self._input_columns(part, l), kernels[l], l)[..., 0]
            rows.append(nn.functional.pad(row, (0, size - 1 - l)))
        y = torch.stack(rows, dim=-2)
        return y if self.bias is None else add_constant(y, self.bias, math.sqrt(4 * math.pi), 2)


class NeedletInvariants(ConstantModule):
    """Numbers of a function on SO(3) that no rotation changes: its mean, and the strength of each needlet band.

        μ_c = ∫ x_c / 8π²,        s_{c,band} = sqrt( Σ_{l ≥ 1, m, n} g_band(l)² |x_{c,lmn}|² / 8π² + eps ),

    s² without eps is the mean square of the band, by Parseval. Exact under rotations from the left, and from the right.

    Shapes: (B, channels, SO3Blocks(lmax).size) complex → (B, channels · (1 + bands)) real.
    Raises: ValueError for channels < 1, eps <= 0, coefficients of another shape.
    Source: Parseval; pinned by ``tests/nn/test_needlet_so3.py``.
    """

    def __init__(self, channels: int, needlets: Needlets, eps: float = 1e-6) -> None:
        super().__init__()
        check_channels("NeedletInvariants", channels=channels)
        if not eps > 0:
            raise ValueError(f"NeedletInvariants: got eps = {eps}, wanted a number > 0.")
        self.channels, self.needlets, self.eps = channels, needlets, eps
        self.blocks = SO3Blocks(needlets.lmax)
        self.features = channels * (1 + len(needlets.bands))
        with torch.device("cpu"):  # whatever the default device: the degrees are kept for all
            rows = [torch.full(self.blocks.shape(l), 2.0, dtype=torch.float64) for l in range(needlets.lmax + 1)]
            for row in rows:
                row[0] = 1  # m = 0; the others stand for m and -m
            weights = needlets.multipliers.square()[:, degrees_of(self.blocks)] * self.blocks.join(rows)
        weights[:, 0] = 0
        self.register_constant("weights", weights / (8 * math.pi**2))

    def forward(self, x: Tensor) -> Tensor:
        check_coefficients(x, self.channels, (self.blocks.size,), "these NeedletInvariants")
        squares = x.real.square() + x.imag.square()
        with without_autocast(squares):
            power = torch.einsum("bcs,rs->bcr", squares, self.constant("weights", squares))
        mean = x.real[..., :1] / (math.sqrt(8) * math.pi)
        return torch.cat([mean, (power + self.eps).sqrt()], dim=-1).flatten(1)

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.needlets}, eps={self.eps:g}"

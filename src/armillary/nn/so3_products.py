"""Convolutions on the sphere and on SO(3) as products of coefficients, degree by degree.

Shape legend: B batch, C in_channels, O out_channels, m = 0..l the orders of a real function, n and k = -l..l; packed
coefficients are those of ``harmonics.SO3Blocks``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from armillary.harmonics import SO3Blocks
from armillary.nn.so3_kernels import Kernel, LocalKernel

_CHUNK_BYTES = 2**22  # of the matrices of a filter, or of sums over a class of orders, that are made together


class _Coefficients(ABC):
    """Where a function lies, and how its coefficients are laid out."""

    volume: float

    @abstractmethod
    def count(self, lmax: int) -> int:
        """How many coefficients there are, all orders counted."""

    @abstractmethod
    def shape(self, lmax: int) -> tuple[int, ...]:
        """Their shape as a tensor, for a real function."""

    @abstractmethod
    def split(self, coefficients: Tensor, lmax: int) -> Sequence[Tensor]:
        """For each degree a matrix, (..., l + 1, columns)."""

    @abstractmethod
    def join(self, blocks: Sequence[Tensor], lmax: int) -> Tensor:
        """The inverse of ``split``."""


class _OnSphere(_Coefficients):
    volume = 4 * math.pi

    def count(self, lmax: int) -> int:
        return (lmax + 1) ** 2

    def shape(self, lmax: int) -> tuple[int, ...]:
        return (lmax + 1, lmax + 1)

    def split(self, coefficients: Tensor, lmax: int) -> Sequence[Tensor]:
        return [coefficients[..., l, : l + 1, None] for l in range(lmax + 1)]

    def join(self, blocks: Sequence[Tensor], lmax: int) -> Tensor:
        rows = [nn.functional.pad(block.squeeze(-1), (0, lmax - l)) for l, block in enumerate(blocks)]
        return torch.stack(rows, dim=-2)


class _OnSO3(_Coefficients):
    volume = 8 * math.pi**2

    def count(self, lmax: int) -> int:
        return SO3Blocks(lmax, half=False).size

    def shape(self, lmax: int) -> tuple[int, ...]:
        return (SO3Blocks(lmax).size,)

    def split(self, coefficients: Tensor, lmax: int) -> Sequence[Tensor]:
        return SO3Blocks(lmax).split(coefficients)

    def join(self, blocks: Sequence[Tensor], lmax: int) -> Tensor:
        return SO3Blocks(lmax).join(blocks)


_SPHERE, _SO3 = _OnSphere(), _OnSO3()


class _Product(nn.Module, ABC):
    """What the three products share: channels, degrees, the filter's parameters, its matrices made a few at a time.

    Where they are many, the matrices are made again in the backward pass.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        lmax: int,
        kernel: Kernel | None = None,
        bias: bool = True,
        input_lmax: int | None = None,
    ) -> None:
        super().__init__()
        integers = all(isinstance(n, int) and not isinstance(n, bool) for n in (in_channels, out_channels, lmax))
        if not integers or in_channels < 1 or out_channels < 1 or lmax < 0:
            raise ValueError(
                f"{type(self).__name__}: got in_channels = {in_channels}, out_channels = {out_channels}, "
                f"lmax = {lmax}, wanted integers, channels >= 1 and lmax >= 0."
            )
        self.in_channels, self.out_channels, self.lmax = in_channels, out_channels, lmax
        self.kernel = LocalKernel() if kernel is None else kernel
        if not isinstance(self.kernel, Kernel):
            raise TypeError(f"{type(self).__name__}: got kernel = {kernel!r}, wanted a LocalKernel or SpectralKernel.")
        self.transfer = self.kernel.transfer(lmax, self._from is _SPHERE or self._to is _SPHERE)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, self.transfer.size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.normal_(self.weight, std=self._scale(lmax if input_lmax is None else input_lmax))
        self._groups = self._degrees_together()

    @property
    @abstractmethod
    def _from(self) -> _Coefficients:
        """What is convolved."""

    @property
    @abstractmethod
    def _to(self) -> _Coefficients:
        """What comes out."""

    def _scale(self, input_lmax: int) -> float:
        """Deviation of the parameters by which an input of equal mean power in all coefficients keeps its variance."""
        degrees = torch.arange(self.lmax + 1, dtype=torch.float64, device="cpu")
        gain = float(((2 * degrees + 1) * self.transfer.power).sum()) / self._to.volume
        power = self._from.count(input_lmax) / self._from.volume
        return math.sqrt(power / (self.in_channels * gain))

    def _degrees_together(self) -> list[tuple[int, int]]:
        """Ranges of degrees whose matrices are made at once."""
        ends, pairs = [0], self.in_channels * self.out_channels
        for l in range(1, self.transfer.dense):
            start, stop = self.transfer.entries(ends[-1], l + 1)
            if 8 * pairs * (stop - start) > _CHUNK_BYTES:
                ends.append(l)
        return list(zip(ends, [*ends[1:], self.transfer.dense], strict=True))

    def _dense(self, prepared: Tensor, first: int, last: int, *blocks: Tensor) -> tuple[Tensor, ...]:
        matrices = self.transfer.matrices(prepared, first, last)
        pairs = zip(blocks, matrices, strict=True)
        if self._to is _SPHERE:
            return tuple(torch.einsum("bcmn,ocnk->bomk", block, matrix) for block, matrix in pairs)
        return tuple(torch.einsum("bcmn,ockn->bomk", block, matrix.conj()) for block, matrix in pairs)

    def forward(self, coefficients: Tensor) -> Tensor:
        self._check(coefficients)
        blocks = self._from.split(coefficients, self.lmax)
        prepared = self.transfer.prepare(self.weight.to(coefficients.real.dtype))
        products: list[Tensor] = []
        for first, last in self._groups:
            again = len(self._groups) > 1
            products += _run(again, self._dense, prepared, first, last, *blocks[first:last])
        for l in range(self.transfer.dense, self.lmax + 1):
            parts = blocks[l].split(self._at_once(l))
            made = [_run(True, self.transfer.product, prepared, part, l) for part in parts]
            products.append(torch.cat(made) if len(made) > 1 else made[0])
        if self.bias is not None:  # the coefficient of a constant is its value times the root of the volume
            constant = math.sqrt(self._to.volume) * self.bias.to(prepared.real.dtype)
            products[0] = products[0] + constant[:, None, None]
        return self._to.join(products, self.lmax)

    def _at_once(self, l: int) -> int:
        """Samples of a batch of which the sums of a local filter are held together."""
        return max(1, _CHUNK_BYTES // (8 * self.in_channels * self.transfer.terms * (l + 1) * (2 * l + 1)))

    def _check(self, coefficients: Tensor) -> None:
        wanted = (self.in_channels, *self._from.shape(self.lmax))
        if coefficients.ndim != 1 + len(wanted) or tuple(coefficients.shape[1:]) != wanted:
            raise ValueError(
                f"coefficients have shape {tuple(coefficients.shape)}, this {type(self).__name__} wants (batch, "
                f"{', '.join(map(str, wanted))}): degrees 0..{self.lmax} of {self.in_channels} channels."
            )
        if not coefficients.is_complex():
            raise ValueError(f"coefficients are {coefficients.dtype}, {type(self).__name__} wants complex ones.")

    def extra_repr(self) -> str:
        several, dense = len(self._groups), self.transfer.dense
        made = f", filters made in {several} parts, again in the backward pass" if several > 1 else ""
        if dense <= self.lmax:
            made += f", by points from degree {dense}"
        return f"{self.in_channels}, {self.out_channels}, lmax={self.lmax}, {self.kernel}{made}"


def _run(again: bool, function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, with ``again`` of what it makes nothing is kept for the backward pass."""
    if again and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return checkpoint(function, *arguments, use_reentrant=False)
    return function(*arguments)


class S2Product(_Product):
    """Convolution of a field on the sphere with a filter on the sphere, on coefficients.

    Equation: ``y_o(R) = b_o + Σ_c ∫ x_c(ω) ψ_oc(R⁻¹ω) dω``, R in SO(3), that is
    ``z_lmn = Σ_c sqrt(8π²/(2l + 1)) x_lm ψ_ln*``, and the bias to degree 0.

    Shapes: (B, in_channels, lmax + 1, lmax + 1) complex, as ``SHT`` has them → (B, out_channels, SO3Blocks(lmax).size).
    ``kernel``, ``bias``, state dict and initial scale as in ``S2Conv``; ``input_lmax`` is the band limit that the
    coefficients were cut from, for the initial scale.

    Raises: ValueError for channels or lmax that are no integers ≥ 1 and ≥ 0, and for coefficients of another shape, or
    real ones; TypeError for a kernel that is none.
    Source: Cohen et al. 2018 (arXiv 1801.10130), section 4; pinned by ``tests/nn/test_so3_conv.py``.
    """

    @property
    def _from(self) -> _Coefficients:
        return _SPHERE

    @property
    def _to(self) -> _Coefficients:
        return _SO3


class SO3Product(_Product):
    """Convolution of a function on SO(3) with a filter on SO(3), on coefficients: a matrix product for each degree.

    Equation: ``y_o(R) = b_o + Σ_c ∫ x_c(Q) ψ_oc(R⁻¹Q) dQ``, that is
    ``z^l = Σ_c sqrt(8π²/(2l + 1)) x^l (ψ^l)^†``, and the bias to degree 0.

    Shapes: (B, in_channels, SO3Blocks(lmax).size) complex → (B, out_channels, SO3Blocks(lmax).size). The rest as
    for ``S2Product``.
    """

    @property
    def _from(self) -> _Coefficients:
        return _SO3

    @property
    def _to(self) -> _Coefficients:
        return _SO3


class SO3ToS2Product(_Product):
    """From SO(3) back to the sphere, on coefficients: the transpose of ``S2Product``.

    Equation: ``y_o(ω) = b_o + Σ_c ∫ x_c(Q) ψ_oc(Q⁻¹ω) dQ``, that is
    ``z_lm = Σ_c sqrt(8π²/(2l + 1)) Σ_n x_lmn ψ_ln``, and the bias to degree 0.

    Shapes: (B, in_channels, SO3Blocks(lmax).size) complex → (B, out_channels, lmax + 1, lmax + 1), as ``InverseSHT``
    wants them. The rest as for ``S2Product``.
    """

    @property
    def _from(self) -> _Coefficients:
        return _SO3

    @property
    def _to(self) -> _Coefficients:
        return _SPHERE

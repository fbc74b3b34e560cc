"""Norms of features of O(3), and normalisation by them.

Features are (..., irreps.dim), in the layout of ``groups.Irreps``; C channels in all, of which S are even scalars (0e).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep
from armillary.nn.averages import working_dtype
from armillary.nn.norms import merge_over_processes, track_moments

_SCALAR = O3Irrep(0, 1)


class IrrepsNorm(nn.Module):
    """The length of each channel, ``n_c = √Σ_m x_cm²``: what O(3) leaves of it, as even scalars.

    Shapes: (..., irreps.dim) → (..., irreps.count), ``irreps_out`` = C x 0e, in the order of the channels. Of a
    scalar it is the magnitude. Where all components are zero the gradient, which has no limit there, is zero.

    Symmetry: invariant under rotations and reflections to rounding. Raises: ValueError for x of another size.
    Pinned by ``tests/nn/test_irreps_norms.py``.
    """

    def __init__(self, irreps: Irreps) -> None:
        super().__init__()
        self.irreps, self.in_channels = irreps, irreps.dim
        self.irreps_out = Irreps([(irreps.count, _SCALAR)])

    def forward(self, x: Tensor) -> Tensor:
        self.irreps.check(x, "IrrepsNorm")
        parts = self.irreps.split(x.to(working_dtype(x.dtype)))  # squares of half precision overflow from 256 on
        squares = torch.cat([part.square().sum(-2) for part in parts], -1)
        zero = squares == 0
        return torch.where(zero, 0.0, torch.where(zero, 1.0, squares).sqrt()).to(x.dtype)

    def extra_repr(self) -> str:
        return str(self.irreps)


class _Scaled(nn.Module):
    """What both normalisations share: a gain of each channel, and of 0e a shift by the statistics and by a bias."""

    def __init__(self, irreps: Irreps, eps: float, affine: bool) -> None:
        super().__init__()
        if not irreps.count:
            raise ValueError(f"{type(self).__name__}: got no channels, wanted one or more.")
        self.irreps, self.eps, self.in_channels = irreps, eps, irreps.dim
        self.scalars = irreps.channels(_SCALAR)
        self.weight = nn.Parameter(torch.ones(irreps.count)) if affine else None
        self.bias = nn.Parameter(torch.zeros(self.scalars)) if affine and self.scalars else None

    def _parts(self, x: Tensor) -> list[Tensor]:
        self.irreps.check(x, type(self).__name__)
        return self.irreps.split(x.to(working_dtype(x.dtype)))

    def _applied(self, parts: list[Tensor], mean: Tensor, gain: Tensor, x: Tensor) -> Tensor:
        """(x - mean) gain weight + bias, mean (..., S), gain (..., C)."""
        if self.weight is not None:
            gain = gain * self.weight.to(gain)
        bias = torch.zeros_like(mean) if self.bias is None else self.bias.to(mean).expand_as(mean)
        widths = [n for n, irrep in self.irreps if irrep == _SCALAR]
        means, biases = iter(mean.split(widths, -1)), iter(bias.split(widths, -1))
        outputs = []
        for part, g, (_, irrep) in zip(parts, gain.split([n for n, _ in self.irreps], -1), self.irreps, strict=True):
            if irrep == _SCALAR:
                outputs.append((part - next(means)[..., None, :]) * g[..., None, :] + next(biases)[..., None, :])
            else:
                outputs.append(part * g[..., None, :])
        return self.irreps.join(outputs).to(x.dtype)

    def _scalars_of(self, parts: list[Tensor]) -> Tensor:
        """The even scalars, (..., S)."""
        found = [part[..., 0, :] for part, (_, irrep) in zip(parts, self.irreps, strict=True) if irrep == _SCALAR]
        return torch.cat(found, -1) if found else parts[0][..., 0, :0]


class IrrepsBatchNorm(_Scaled):
    """Batch normalisation: ``y_cm = w_c (x_cm - μ_c)/√(σ²_c + ε) + b_c``, over all points.

    σ² is the mean over points and m of (x - μ)²; μ and b are there for even scalars alone, since no other irrep has a
    constant. Running averages (``momentum``; None: cumulative) in evaluation. Under an initialised
    ``torch.distributed`` the statistics are those of all processes together.

    Shapes: (..., irreps.dim) in and out. State dict: ``weight``, ``running_var`` (C,), ``bias``, ``running_mean`` (S,),
    ``num_batches_tracked``. Symmetry: commutes with rotations and reflections to rounding, also while training.
    Raises: ValueError for irreps without channels, x of another size, or no point while training.
    Source: Ioffe & Szegedy 2015; pinned by ``tests/nn/test_irreps_norms.py``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, irreps: Irreps, eps: float = 1e-5, momentum: float | None = 0.1, *, affine: bool = True) -> None:
        super().__init__(irreps, eps, affine)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(self.scalars))
        self.register_buffer("running_var", torch.ones(irreps.count))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        parts = self._parts(x)
        if self.training:
            mean, var = self._statistics(parts)
            track_moments(self, mean, var, self.momentum)
        else:
            mean, var = self.running_mean.to(parts[0]), self.running_var.to(parts[0])
        return self._applied(parts, mean, (var + self.eps).rsqrt(), x)

    def _statistics(self, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The means of the scalars (S,) and the variances of all channels (C,)."""
        means: list[Tensor] = []
        variances: list[Tensor] = []
        for part, (n, irrep) in zip(parts, self.irreps, strict=True):
            rows = part.reshape(-1, n)
            mean = rows.mean(0) if irrep == _SCALAR else rows.new_zeros(n)
            means, variances = [*means, mean], [*variances, (rows - mean).square().mean(0)]
        points = parts[0].shape[:-2].numel()
        mean_C, var_C = merge_over_processes(torch.cat(means), torch.cat(variances), points)
        by_stream = mean_C.split([n for n, _ in self.irreps])
        kept = [mean for mean, (_, irrep) in zip(by_stream, self.irreps, strict=True) if irrep == _SCALAR]
        return torch.cat(kept) if kept else mean_C[:0], var_C

    def extra_repr(self) -> str:
        return f"{self.irreps}, eps={self.eps:g}, momentum={self.momentum}"


class IrrepsLayerNorm(_Scaled):
    """Layer normalisation at each point: even scalars by their mean and variance over the channels, all other irreps by
    one root mean square.

        y_c = w_c (x_c - μ)/√(σ² + ε) + b_c   for 0e,         y_cm = w_c x_cm/√(ν² + ε)   for all others,
        ν² = mean over streams, channels c and components m of x_cm², each stream with the same share

    One ν for all degrees keeps how large they are beside one another.

    Shapes: (..., irreps.dim) in and out. State dict: ``weight`` (C,), ``bias`` (S,).
    Symmetry: commutes with rotations and reflections to rounding.
    Raises: ValueError for irreps without channels, or x of another size.
    Source: Ba et al. 2016; the separation from the scalars is that of Liao et al. 2023 (arXiv 2306.12059); pinned by
    ``tests/nn/test_irreps_norms.py``.
    """

    def __init__(self, irreps: Irreps, eps: float = 1e-5, *, affine: bool = True) -> None:
        super().__init__(irreps, eps, affine)

    def forward(self, x: Tensor) -> Tensor:
        parts = self._parts(x)
        scalars = self._scalars_of(parts)
        mean, variances = scalars, {}
        if self.scalars:
            mean = scalars.mean(-1, keepdim=True)
            variances[True] = (scalars - mean).square().mean(-1, keepdim=True)
        if self.scalars < self.irreps.count:
            of_others = zip(parts, self.irreps, strict=True)
            squares = [part.square().mean((-2, -1)) for part, (_, irrep) in of_others if irrep != _SCALAR]
            variances[False] = torch.stack(squares).mean(0)[..., None]
        spread = [variances[irrep == _SCALAR].expand(*x.shape[:-1], n) for n, irrep in self.irreps]
        gain = (torch.cat(spread, -1) + self.eps).rsqrt()
        return self._applied(parts, mean.expand_as(scalars), gain, x)

    def extra_repr(self) -> str:
        return f"{self.irreps}, eps={self.eps:g}"

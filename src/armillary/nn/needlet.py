"""Needlet convolution on the sphere, and shrinkage of needlet coefficients.

Layers go from coefficients to coefficients, as a transform of a grid makes them, so that several of them in a row need
no grid between them: ``nn.Sequential(SHT(grid), SphereNeedletConv(...), NeedletShrinkage(...), InverseSHT(grid))``.

Shapes: B batch, I channels in, O channels out, P profiles (those of all bands together), l degree, m order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.harmonics import Needlets, NeedletTransform
from armillary.ops.constants import ConstantModule
from armillary.ops.precision import without_autocast


def band_profiles(needlets: Needlets, profiles: int = 1) -> Tensor:
    """How a multiplier of a needlet band depends on the degree, (at most bands · profiles, lmax + 1) float64.

    Row (band, q) is ``g_band(l)² h_q(l)``, with g the multipliers of the band and h_q hats on ``profiles`` equidistant
    degrees between the lowest and the highest of the band: 1 where there is one profile. A band of fewer degrees has as
    many profiles as degrees. In each degree the sum over all rows is 1.

    Raises: ValueError for profiles < 1.
    """
    if isinstance(profiles, bool) or not isinstance(profiles, int) or profiles < 1:
        raise ValueError(f"got profiles = {profiles!r}, wanted an integer >= 1.")
    rows = []
    for squares in needlets.multipliers.square():
        held = squares.nonzero().flatten()
        low, high = float(held.min()), float(held.max())
        count = min(profiles, len(held))
        if count == 1:
            rows.append(squares)
            continue
        degrees = torch.arange(needlets.lmax + 1, dtype=torch.float64, device="cpu")
        place = (degrees - low) / (high - low) * (count - 1)
        rows += [squares * (1 - (place - q).abs()).clamp(min=0) for q in range(count)]
    return torch.stack(rows)


def check_coefficients(x: Tensor, channels: int, shape: tuple[int, ...], who: str) -> None:
    """Raise a ValueError unless x is complex (batch, channels, *shape)."""
    if x.ndim != 2 + len(shape) or tuple(x.shape[1:]) != (channels, *shape) or not x.is_complex():
        raise ValueError(
            f"x has shape {tuple(x.shape)} and dtype {x.dtype}, {who} wants complex coefficients (batch, {channels}, "
            f"{', '.join(map(str, shape))}): build it with the channels and lmax of the layer before."
        )


def check_channels(name: str, **channels: int) -> None:
    """Raise a ValueError unless each is an integer >= 1."""
    for key, value in channels.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {key} = {value!r}, wanted an integer >= 1.")


class SphereNeedletConv(ConstantModule):
    """Needlet convolution of fields on the sphere: learned multipliers for each band, mixing channels.

        y_o = Σ_bands Σ_i G* W_{oi} G x_i,    in degrees:  y_{o,lm} = Σ_i Ψ^l_{oi} x_{i,lm},   Ψ^l = Σ_P p_P(l) W_P,

    G the decomposition into the band, p_P(l) the squares of its multipliers, times hats in l where ``profiles`` > 1
    (``band_profiles``). All bands are applied at once, as one matrix for each degree. Filters are axisymmetric, as
    those from scalar fields to scalar fields on the sphere have to be; it commutes with all rotations exactly.

    Shapes: (B, in_channels, lmax + 1, lmax + 1) complex, the layout of ``SHT`` → (B, out_channels, same).
    Parameters: ``weight`` (P, O, I), and ``bias`` (O): a constant field.
    Raises: ValueError for channels or profiles < 1, and for coefficients of another shape.
    Source: Yi et al. 2022 (arXiv 2206.10385), on the sphere; pinned by ``tests/nn/test_needlet.py``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, needlets: Needlets, profiles: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        check_channels("SphereNeedletConv", in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.needlets, self.lmax = needlets, needlets.lmax
        rows = band_profiles(needlets, profiles)
        self.register_constant("profiles", rows)
        self.weight = nn.Parameter(torch.randn(len(rows), out_channels, in_channels) / math.sqrt(in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_coefficients(x, self.in_channels, (self.lmax + 1,) * 2, "this SphereNeedletConv")
        weight, real = self.weight.to(x.real.dtype), torch.view_as_real(x.resolve_conj())
        with without_autocast(real):
            kernel_lOI = torch.einsum("pl,poi->loi", self.constant("profiles", weight), weight)
            y = torch.view_as_complex(torch.einsum("loi,bilmc->bolmc", kernel_lOI, real).contiguous())
        return y if self.bias is None else add_constant(y, self.bias, math.sqrt(4 * math.pi), 2)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, {self.needlets}, matrices={len(self.weight)}, "
            f"bias={self.bias is not None}"
        )


def add_constant(y: Tensor, bias: Tensor, unit: float, trailing: int) -> Tensor:
    """Add the constant field ``bias`` (O) to coefficients (B, O, ...): to the first of those in the ``trailing`` last
    dimensions, the degree 0, times ``unit``, the coefficient of the field 1."""
    first = bias.to(y.real.dtype).view(-1, *[1] * trailing) * unit
    sizes = [n - 1 for n in y.shape[-trailing:]]
    padding = [pad for n in reversed(sizes) for pad in (0, n)]
    return y + nn.functional.pad(first, padding).to(y.dtype)


class NeedletShrinkage(nn.Module):
    """Wavelet shrinkage: soft thresholds with learned heights on the samples of each detail band.

        y = G_0* G_0 x + Σ_details G_r* T_λ(G_r x),    T_λ(v) = sign(v) max(|v| - λ, 0),

    on the grids of ``transform`` (``SphereNeedlets`` or ``SO3Needlets``), λ = softplus(``threshold``) for each detail
    band and channel; the approximation G_0 x passes as it is. With λ = 0 it is the identity. The mean of a field lies
    in the approximation, so that it passes too: an invariant of the output that is no mean has to be taken
    (``NeedletInvariants``). T has no highest degree: the layer commutes with rotations up to aliasing, and the error
    falls as the grids of the transform are oversampled.

    Shapes: coefficients (B, channels, ...) complex in the layout of the transform, in and out.
    Parameters: ``threshold`` (detail bands, channels); ``initial`` is λ at the start.
    Raises: ValueError for channels < 1, initial outside (0, 100], a frame without details, coefficients of another
    shape.
    Source: Yi et al. 2022 (arXiv 2206.10385), after Donoho 1995; pinned by ``tests/nn/test_needlet.py``.
    """

    def __init__(self, channels: int, transform: NeedletTransform, initial: float = 0.05) -> None:
        super().__init__()
        check_channels("NeedletShrinkage", channels=channels)
        if not 0 < initial <= 100:
            raise ValueError(f"NeedletShrinkage: got initial = {initial}, wanted a threshold > 0 and <= 100.")
        details = sum(band.detail is not None for band in transform.bands)
        if details == 0:
            raise ValueError(f"NeedletShrinkage: {transform.needlets} has no detail bands: take levels >= 1.")
        self.channels, self.transform = channels, transform
        self.threshold = nn.Parameter(torch.full((details, channels), math.log(math.expm1(initial))))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[1] != self.channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this NeedletShrinkage wants (batch, {self.channels}, ...): build it "
                f"with the channels of the layer before."
            )
        self.transform.check(x, "this NeedletShrinkage")
        parts = self.transform.decompose(x)
        heights, row = nn.functional.softplus(self.threshold.to(x.real.dtype)), 0
        for i, band in enumerate(self.transform.bands):
            if band.detail is None:
                continue
            values = self.transform.samples(i, parts[i])
            height = heights[row].view(-1, *[1] * (values.ndim - 2))
            row += 1
            kept = nn.functional.relu(values - height) - nn.functional.relu(-values - height)
            parts[i] = self.transform.coefficients(i, kept)
        return self.transform.reconstruct(parts)

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.transform.needlets}, oversample={self.transform.oversample:g}"

"""Transforms of values between the units of a source and what a network sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from armillary.data.config import DataConfig
from armillary.data.spec import DataError
from armillary.spaces import SphereGrid


class ChannelMoments:
    """Mean and variance of each channel over the sphere and over samples, weighted by quadrature; NaN left
    out.

    Sums are float64 and shifted by the first sample's mean, so that a large mean does not eat the variance.
    """

    def __init__(self, grid: SphereGrid) -> None:
        self.weight = grid.quadrature
        self.shift: Tensor | None = None
        self.sums = torch.zeros(3, 1, dtype=torch.float64)

    def add(self, field_CHW: Tensor) -> None:
        x = field_CHW.double()
        there = torch.isfinite(x)
        w = self.weight * there
        if self.shift is None:
            area = w.sum((-2, -1))
            self.shift = (w * torch.where(there, x, 0)).sum((-2, -1)) / area.clamp_min(1e-300)
            self.sums = torch.zeros(3, len(x), dtype=torch.float64)
        d = torch.where(there, x - self.shift[:, None, None], 0)
        self.sums += torch.stack([w.sum((-2, -1)), (w * d).sum((-2, -1)), (w * d * d).sum((-2, -1))])

    def mean_std(self, names: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Raises: DataError for a channel without any finite value. A constant channel has deviation 1."""
        if self.shift is None:
            raise DataError("no samples to measure the normalisation on.")
        area, first, second = self.sums
        for name, a in zip(names, area.tolist(), strict=True):
            if a == 0:
                raise DataError(f"{name}: no finite value in the train split: leave this channel out.")
        mean = first / area
        variance = (second / area - mean**2).clamp_min(0)
        std = variance.sqrt()
        scale = (mean + self.shift).abs().clamp_min(1e-30)
        std = torch.where(std > 1e-7 * scale, std, 1.0)
        return tuple((mean + self.shift).tolist()), tuple(std.tolist())


def log1p_checked(x_CHW: Tensor, channels: list[int], names: tuple[str, ...], sample: str) -> Tensor:
    """log(1 + x) on some channels. Raises: DataError naming the channel where x <= -1."""
    if not channels:
        return x_CHW
    x = x_CHW.clone()
    for c in channels:
        low = x[c][torch.isfinite(x[c])]
        if len(low) and float(low.min()) <= -1:
            raise DataError(
                f"{sample}: {names[c]} falls to {float(low.min()):g}, log(1 + x) wants values above -1: "
                "leave it out of data.log_inputs or data.log_target."
            )
        x[c] = torch.log1p(x[c])
    return x


def standardized(x_CHW: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x - mean) / std for each channel; the arithmetic is float64, the result keeps its dtype."""
    if len(mean) != len(x_CHW) or len(std) != len(x_CHW):
        raise DataError(
            f"the saved normalisation has {len(mean)} channels, the data has {len(x_CHW)}: "
            "it belongs to other inputs; clear data.input_mean and data.input_std (or target_mean, target_std)."
        )
    m, s = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (mean, std))
    return ((x_CHW.double() - m) / s).to(x_CHW.dtype)


def with_normalization(config: DataConfig, values: Mapping[str, Sequence[float]]) -> DataConfig:
    """The config with measured means and deviations (``dataset.normalization``), so that new files are read alike."""
    return DataConfig.from_dict({**config.to_dict(), **{k: tuple(v) for k, v in values.items()}})


def denormalize(prediction: Tensor, config: DataConfig) -> Tensor:
    """Undo target normalisation: ŷ = expm1(std·p + mean), each step only if the config has it.

    Shapes: (..., C_out, nlat, nlon), unchanged. ``config`` carries the saved ``target_mean`` and
    ``target_std``.
    """
    y = prediction
    if config.task != "regression":
        return y
    if config.standardize_target:
        if not config.target_mean:
            raise DataError("data.target_mean is not set: use the config saved with the run.")
        shape = (-1, 1, 1)
        mean, std = (
            torch.tensor(v, dtype=y.dtype, device=y.device).view(shape) for v in (config.target_mean, config.target_std)
        )
        y = y * std + mean
    return torch.expm1(y) if config.log_target else y

"""Wigner d-functions by a stable three-term recurrence in the degree.

``d^l_{mn}(β) = <l m| exp(-iβ J_y) |l n>`` real, with the Condon–Shortley phase. Everything that needs special functions
on the sphere or on SO(3) is a slice of it: n = 0 gives the associated Legendre functions,
``P̄_lm(θ) = sqrt((2l + 1)/4π) d^l_{m0}(θ)``; other n the spin-weighted ones; all (m, n) at one β a rotation of
coefficients.

The recurrence runs upward from l = max(|m|, |n|), where the closed form may be as small as 10^(-thousands). Each
element therefore carries its own power of two, so that no start underflows and degrees of several thousand stay
accurate: to a few hundred ulp, and within a distance β of the poles to l ε/β, since cos β is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_RESCALE_EVERY = 16
_LARGE = 2.0**300
Slices = tuple[slice, ...]


@lru_cache(maxsize=4)
def _log2_factorials(n: int) -> np.ndarray:
    """log2(k!) for k = 0..n in extended precision where the platform has it."""
    logs = np.zeros(n + 1, dtype=np.longdouble)
    logs[1:] = np.cumsum(np.log2(np.arange(1, n + 1, dtype=np.longdouble)))
    return logs


def _start(m: np.ndarray, n: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d^{l0}_{mn}(β) at l0 = max(|m|, |n|) as (mantissa in ±[1, 2) or 0, exponent).

    With j the smaller of the two orders, moved by the symmetries of d so that the larger one is +l0:
    ``|d| = sqrt(C(2 l0, l0 + j)) cos(β/2)^(l0 + j) sin(β/2)^(l0 - j)``.
    """
    m, n, beta = np.broadcast_arrays(m, n, beta)
    l0 = np.maximum(np.abs(m), np.abs(n))
    # d_{l0,j}, d_{j,l0} = (-1)^(l0-j) d_{l0,j}, d_{-l0,j} = d_{-j,l0}, d_{j,-l0} = d_{l0,-j}
    top, right, bottom = (m == l0), (n == l0), (m == -l0)
    j = np.select([top, right, bottom], [n, m, -n], -m)
    negative = np.select([top, right, bottom], [(l0 - j) % 2, 0 * j, 0 * j], (l0 - j) % 2) == 1
    logs = _log2_factorials(2 * int(l0.max(initial=0)))
    half = beta.astype(np.longdouble) / 2
    power_cos, power_sin = l0 + j, l0 - j
    with np.errstate(divide="ignore", invalid="ignore"):
        log_cos = np.where(power_cos > 0, power_cos * np.log2(np.abs(np.cos(half))), 0)
        log_sin = np.where(power_sin > 0, power_sin * np.log2(np.abs(np.sin(half))), 0)
    total = (logs[2 * l0] - logs[l0 + j] - logs[l0 - j]) / 2 + log_cos + log_sin
    zero = ~np.isfinite(total)
    exponent = np.where(zero, 0, np.floor(np.where(zero, 0, total)))
    mantissa = np.where(zero, 0, np.exp2(np.where(zero, 0, total) - exponent))
    return np.where(negative, -mantissa, mantissa).astype(np.float64), exponent.astype(np.float64)


def wigner_d(
    lmax: int,
    m: Tensor,
    n: Tensor,
    beta: Tensor,
    active: Callable[[int], Slices] | None = None,
) -> Iterator[Tensor]:
    """Yield ``d^l_{mn}(β)`` for l = 0..lmax; entries with l < max(|m|, |n|) are zero.

    Shapes: ``m``, ``n`` (integers) and ``beta`` (radians, float64, in [0, π]) broadcast to one shape S. Each yielded
    tensor has shape S, or that of ``S[active(l)]``: a rectangle that holds every entry with max(|m|, |n|) ≤ l and
    grows with l. The yielded tensor is fresh and may be kept.

    Recurrence, with ``c_l = sqrt((l² - m²)(l² - n²))``:
    ``d^{l+1} = [(2l + 1)(l(l + 1) cos β - mn) d^l - (l + 1) c_l d^{l-1}] / (l c_{l+1})``.
    Source: Varshalovich et al. 1988, 4.8; pinned by ``tests/ops/test_wigner.py``.
    """
    shape = torch.broadcast_shapes(m.shape, n.shape, beta.shape)
    mantissa, exponent = _start(m.numpy(), n.numpy(), beta.numpy())
    start = torch.from_numpy(mantissa).expand(shape)
    exponent_t = torch.from_numpy(exponent).expand(shape).clone()
    first = torch.maximum(m.abs(), n.abs()).expand(shape)
    mm, nn, mn = (v.double() for v in (m * m, n * n, m * n))
    mm, nn, mn = (v.expand(torch.broadcast_shapes(m.shape, n.shape)) for v in (mm, nn, mn))
    cos = torch.cos(beta)
    scale = torch.exp2(exponent_t)
    previous, current = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)

    def cut(values: Tensor, window: Slices) -> Tensor:
        """The window of a tensor that still broadcasts: axes of size one stay whole."""
        lead = len(shape) - values.ndim
        keep = tuple(s if size > 1 else slice(None) for s, size in zip(window[lead:], values.shape, strict=False))
        return values[keep]

    for l in range(lmax + 1):
        window = active(l) if active is not None else (slice(None),) * len(shape)
        window = window + (slice(None),) * (len(shape) - len(window))
        if l > 0:
            # advance degree l - 1 → l inside the window; entries with first ≥ l have current = 0 and stay 0
            k = l - 1
            mm_w, nn_w, mn_w = cut(mm, window), cut(nn, window), cut(mn, window)
            denominator = ((l * l - mm_w).clamp(min=0) * (l * l - nn_w).clamp(min=0)).sqrt() * max(k, 1)
            inverse = torch.where(denominator > 0, 1 / denominator, 0.0)
            if k == 0:
                gain_cos, gain_mn = inverse, torch.zeros_like(inverse)
                loss = torch.zeros_like(inverse)
            else:
                gain_cos = (2 * k + 1) * k * l * inverse
                gain_mn = (2 * k + 1) * mn_w * inverse
                loss = l * ((k * k - mm_w).clamp(min=0) * (k * k - nn_w).clamp(min=0)).sqrt() * inverse
            now, before = current[window], previous[window]
            advanced = (gain_cos * cut(cos, window) - gain_mn) * now - loss * before
            before.copy_(now)
            now.copy_(advanced)
        now = current[window]
        starting = cut(first, window) == l
        torch.where(starting, cut(start, window), now, out=now) if now.is_contiguous() else now.copy_(
            torch.where(starting, cut(start, window), now)
        )
        if l % _RESCALE_EVERY == _RESCALE_EVERY - 1:
            large = now.abs() > _LARGE
            if bool(large.any()):
                factor = torch.ones_like(now).masked_fill_(large, 1 / _LARGE)  # in float32 2^-300 would be 0
                now.mul_(factor)
                previous[window].mul_(factor)
                exponent_t[window].add_(torch.where(large, 300.0, 0.0))
                scale[window].copy_(torch.exp2(exponent_t[window]))
        yield now * scale[window]


def legendre_table(lmax: int, orders: Tensor, theta: Tensor, spin: int = 0) -> Tensor:
    """Orthonormal (spin-weighted) associated Legendre functions ``sqrt((2l + 1)/4π) d^l_{m,spin}(θ)``.

    Shapes: ``orders`` (M,) integers, ``theta`` (J,) radians → (M, lmax + 1, J) float64, zero where
    l < max(|m|, |spin|).
    With ``spin = 0``, ``Y_lm(θ, φ) = table · e^{imφ}`` is orthonormal on the sphere with the Condon–Shortley phase.
    """
    table = torch.zeros(len(orders), lmax + 1, len(theta), dtype=torch.float64)
    m, n = orders[:, None], torch.full((1, 1), spin)
    for l, d in enumerate(wigner_d(lmax, m, n, theta[None, :])):
        table[:, l] = d * ((2 * l + 1) / (4 * torch.pi)) ** 0.5
    return table

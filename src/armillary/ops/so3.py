"""The Fourier transform of real fields on SO(3) between samples on rings and packed coefficients, and its adjoint.

    analysis:    c_lmn = Σ_gjk q_j f_gjk e^{-imφ_k} e^{-inγ_g} p^l_mn(θ_j),        m = 0..l, n = -l..l
    synthesis:   f_gjk = Σ_lmn s_m Re(c_lmn e^{imφ_k} e^{inγ_g}) p^l_mn(θ_j),      s_0 = 1, s_m = 2 for m > 0

with ``p^l_mn = sqrt((2l + 1)/8π²) d^l_mn``. Two FFTs, and for each pair of orders one matrix product with the functions
of ``ops.wigner_rows``. Those of 0 ≤ n ≤ m serve four pairs at once, the second and fourth on the rings mirrored in the
equator:

    d_{m,-n}(π - β) = (-1)^(l-m) d_mn(β),    d_{n,m}(β) = (-1)^(m-n) d_mn(β),    d_{n,-m}(π - β) = (-1)^(l-m) d_mn(β)

Samples are taken a few at a time, so that what lies between stays small whatever the batch.

Shape legend: B batch, G orientations, J rings, P longitudes, M = lmax + 1, N = m + 1 orders n, L = lmax - m + 1
degrees, K coefficients, index (l, m, n) with n fastest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from armillary.ops.constants import cached_constant
from armillary.ops.memory import empty
from armillary.ops.precision import without_autocast
from armillary.ops.wigner_rows import table_rows, wigner_rows

#: Of the spectrum of the samples that are transformed together: what a processor keeps in its cache.
_CHUNK_BYTES = 2**23


def packed_size(lmax: int) -> int:
    """Σ_l (l + 1)(2l + 1), the coefficients of a real field."""
    size = lmax + 1
    return size * (size + 1) * (4 * size - 1) // 6


@cached_constant(8)
def _places(lmax: int, device: torch.device) -> list[Tensor]:
    """For each m where the coefficients of its four kinds of pairs lie, flat (N, L, 4); K stands for nowhere: pairs
    that are the same as another."""
    nowhere, places = packed_size(lmax), []
    for m in range(lmax + 1):
        l, n = torch.arange(m, lmax + 1), torch.arange(m + 1)[:, None]
        width = 2 * l + 1
        first = l * (l + 1) * (4 * l - 1) // 6 + l  # of degree l, at m = n = 0
        kinds = [first + m * width + n, first + m * width - n, first + n * width + m, first + n * width - m]
        kinds[1] = torch.where(n > 0, kinds[1], nowhere)
        kinds[2] = torch.where(n < m, kinds[2], nowhere)
        kinds[3] = torch.where(n < m, kinds[3], nowhere)
        places.append(torch.stack(kinds, -1).flatten().to(device))
    return places


def _sign(rows: Tensor, m: int) -> None:
    """Multiply (N, L, 4, columns) by the signs of the symmetries, in place."""
    rows[:, 1::2, 1::2] *= -1
    rows[(m - 1) % 2 :: 2, :, 2] *= -1


def _weigh(columns: Tensor, forms: Sequence[Tensor], m: int) -> Tensor:
    """Apply the inner product of the rings, by the parity of m + n, to (N, J, columns)."""
    if not forms:
        return columns
    if len(forms) == 1:
        return columns.mul_(forms[0][:, None])
    out = torch.empty_like(columns)
    for parity in (0, 1):
        n = slice((m + parity) % 2, None, 2)
        out[n] = torch.matmul(forms[parity], columns[n])
    return out


def _rows(theta: Tensor, lmax: int, table: Tensor, like: Tensor) -> Iterator[Tensor]:
    if table.numel():
        return table_rows(table, lmax, len(theta))
    return (rows.to(like.device) for rows in wigner_rows(theta.cpu(), lmax, like.dtype))


def _spectrum(x: Tensor, size: int, doubled: bool) -> Tensor:
    """x (B, G, J, P) → (2, M, M, J, B), index (0, m, n) for n ≥ 0 and (1, m, n) for -n on mirrored rings."""
    waves = torch.fft.fft(torch.fft.rfft(x, dim=-1)[..., :size], dim=1)
    if doubled:
        waves[..., 1:] *= 2
    out = empty(waves, 2, size, size, *x.shape[2:3], len(x))
    out[0].copy_(waves[:, :size].permute(3, 1, 2, 0))
    out[1, :, 0] = 0
    if size > 1:
        out[1, :, 1:].copy_(waves[:, 1 - size :].flip(1, 2).permute(3, 1, 2, 0))
    return out


def _samples(spectrum: Tensor, n_orientations: int, nlon: int, doubled: bool) -> Tensor:
    """The adjoint of ``_spectrum``, (2, M, M, J, B) → (B, G, J, P)."""
    _, size, _, rings, batch = spectrum.shape
    waves = spectrum.new_zeros(batch, n_orientations, rings, size)
    waves[:, :size] = spectrum[0].permute(3, 1, 2, 0)
    if size > 1:
        waves[:, 1 - size :] = spectrum[1, :, 1:].permute(3, 1, 2, 0).flip(1, 2)
    if not doubled:
        waves[..., 1:] *= 0.5
    padded = empty(waves, batch, n_orientations, rings, nlon // 2 + 1)
    padded[..., size:] = 0
    padded[..., :size] = torch.fft.ifft(waves, dim=1, norm="forward")
    return torch.fft.irfft(padded, n=nlon, dim=-1, norm="forward")


def _analyse(spectrum: Tensor, rows_of_m: Iterator[Tensor], forms: Sequence[Tensor]) -> Tensor:
    """(2, M, M, J, B) → (B, K)."""
    size, (rings, batch) = spectrum.shape[1], spectrum.shape[3:]
    places = _places(size - 1, spectrum.device)
    c = spectrum.new_empty(packed_size(size - 1) + 1, batch)
    for m, rows in enumerate(rows_of_m):
        columns = spectrum.new_empty(m + 1, rings, 4, batch)
        for s in (0, 1):
            columns[:, :, s] = spectrum[s, m, : m + 1]
            columns[:, :, 2 + s] = spectrum[s, : m + 1, m]
        real = _weigh(torch.view_as_real(columns).flatten(2), forms, m)
        products = torch.bmm(rows, real).view(m + 1, size - m, 4, 2 * batch)
        _sign(products, m)
        torch.view_as_real(c).flatten(1)[places[m]] = products.view(-1, 2 * batch)
    return c[:-1].T


def _synthesise(c: Tensor, theta: Tensor, rows_of_m: Iterator[Tensor], forms: Sequence[Tensor], size: int) -> Tensor:
    """(B, K) → (2, M, M, J, B)."""
    batch, rings = len(c), len(theta)
    places = _places(size - 1, c.device)
    packed = c.new_zeros(c.shape[1] + 1, batch)
    packed[:-1] = c.T
    spectrum = empty(c, 2, size, size, rings, batch)
    for m, rows in enumerate(rows_of_m):
        degrees = torch.view_as_real(packed).flatten(1)[places[m]].view(m + 1, size - m, 4, 2 * batch)
        _sign(degrees, m)
        columns = _weigh(torch.bmm(rows.mT, degrees.flatten(2)), forms, m)
        columns = torch.view_as_complex(columns.view(m + 1, rings, 4, batch, 2))
        for s in (0, 1):
            spectrum[s, m, : m + 1] = columns[:, :, s]
            spectrum[s, :m, m] = columns[:m, :, 2 + s]
    return spectrum


@torch.library.custom_op("armillary::so3_fourier", mutates_args=())
def so3_fourier(
    x: Tensor,
    theta: Tensor,
    table: Tensor,
    forms: Sequence[Tensor],
    lmax: int,
    n_orientations: int,
    nlon: int,
    synthesis: bool,
    doubled: bool,
) -> Tensor:
    """Shapes: x (B, G, J, P) real → (B, K) complex; with ``synthesis`` the other way.

    ``theta`` (J,) float64 are the rings, mirrored in the equator. ``table`` is ``wigner_table`` in the real dtype and
    on the device of x, or empty. ``forms`` hold the inner product of the rings: none, (J,), or two (J, J) for even and
    odd m + n. s_m is 2 for m > 0 where ``doubled``, else 1, in both directions: so each is the adjoint of the other.
    lmax ≤ (nlon - 1)/2, (n_orientations - 1)/2.
    """
    batch, size, real = len(x), lmax + 1, x.dtype.to_real() if x.is_complex() else x.dtype
    like = x.real if x.is_complex() else x
    if synthesis:
        out = empty(like, batch, n_orientations, len(theta), nlon)
    else:
        out = x.new_empty(batch, packed_size(lmax), dtype=x.dtype.to_complex())
    at_once = max(1, _CHUNK_BYTES // (4 * size * size * len(theta) * real.itemsize))
    for start in range(0, batch, at_once):
        part, rows = slice(start, start + at_once), _rows(theta, lmax, table, like)
        with without_autocast(x):
            if synthesis:
                spectrum = _synthesise(x[part], theta, rows, forms, size)
                out[part] = _samples(spectrum, n_orientations, nlon, doubled)
            else:
                out[part] = _analyse(_spectrum(x[part], size, doubled), rows, forms)
    return out


@so3_fourier.register_fake
def _(
    x: Tensor,
    theta: Tensor,
    table: Tensor,
    forms: Sequence[Tensor],
    lmax: int,
    n_orientations: int,
    nlon: int,
    synthesis: bool,
    doubled: bool,
) -> Tensor:
    if synthesis:
        return x.new_empty(x.shape[0], n_orientations, theta.shape[0], nlon, dtype=x.dtype.to_real())
    return x.new_empty(x.shape[0], packed_size(lmax), dtype=x.dtype.to_complex())


def _setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, theta, table, forms, *ctx.numbers = inputs
    ctx.forms = len(forms)
    ctx.save_for_backward(theta, table, *forms)


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    theta, table, *forms = ctx.saved_tensors
    lmax, n_orientations, nlon, synthesis, doubled = ctx.numbers
    gx = so3_fourier(grad, theta, table, forms, lmax, n_orientations, nlon, not synthesis, doubled)
    return gx, None, None, [None] * ctx.forms, None, None, None, None, None


so3_fourier.register_autograd(_backward, setup_context=_setup)

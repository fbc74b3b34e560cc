"""The product of one degree with a local filter, without the filter's matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armillary.ops.precision import without_autocast


def classes(azimuths: int, turns: int) -> int:
    """How many classes of orders a local filter tells apart."""
    return math.lcm(azimuths, turns)


def product_at_points(block: Tensor, functions: Tensor, spectrum: Tensor, azimuths: int, turns: int) -> Tensor:
    """``z_omk = Σ_c Σ_n x_cmn T_ockn*`` with ``T_kn = Σ_r d_rkn s_r[(k - n) mod azimuths, n mod turns]``.

    As s sees n only modulo Q = lcm(azimuths, turns), and k modulo azimuths, sums over the n of a class come first, with
    d alone, and channels are mixed after: rings · Q products for each entry of the result and pair of channels, however
    many orders there are, where the product with T takes 2l + 1. Under autocast it keeps the precision of ``block``, as
    products of complex numbers do.

    Shapes: block (B, C, M, 2l + 1) complex; functions (R, 2l + 1, 2l + 1) real, index (r, k, n); spectrum
    (O, C, R, azimuths · turns) complex → (B, O, M, 2l + 1).
    """
    batch, channels, rows, size = block.shape
    outputs, rings, l = len(spectrum), len(functions), size // 2
    count = classes(azimuths, turns)
    wide, tall = -(-size // count), -(-size // azimuths)
    x = torch.nn.functional.pad(torch.view_as_real(block), (0, 0, 0, wide * count - size))
    x = x.unflatten(3, (wide, count)).permute(4, 0, 1, 2, 5, 3).reshape(count, batch * channels * rows * 2, wide)
    d = torch.nn.functional.pad(functions, (0, wide * count - size, 0, tall * azimuths - size))
    d = d.unflatten(2, (wide, count)).unflatten(1, (tall, azimuths)).permute(4, 3, 2, 0, 1).reshape(count, wide, -1)
    with without_autocast(x):
        sums = torch.bmm(x, d).view(count, batch, channels, rows, 2, azimuths, rings, tall)
    sums = sums.permute(5, 2, 6, 0, 4, 1, 3, 7).reshape(azimuths, 2 * channels * rings * count, batch * rows * tall)
    k, n = torch.arange(azimuths, device=block.device) - l, torch.arange(count, device=block.device) - l
    places = ((k[:, None] - n) % azimuths) * turns + n % turns
    mixing = spectrum.index_select(-1, places.flatten()).unflatten(-1, places.shape).permute(3, 0, 1, 2, 4)
    real, imaginary = mixing.real, mixing.imag
    rows_of_parts = [torch.stack([real, imaginary], -1), torch.stack([-imaginary, real], -1)]
    with without_autocast(x):
        z = torch.bmm(torch.stack(rows_of_parts, 1).reshape(azimuths, 2 * outputs, -1), sums)
    z = z.view(azimuths, 2, outputs, batch, rows, tall).permute(3, 2, 4, 5, 0, 1)
    z = z.clone(memory_format=torch.contiguous_format)  # of an empty batch .contiguous() leaves any strides
    return torch.view_as_complex(z).flatten(3)[..., :size]

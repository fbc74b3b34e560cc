"""Sums of products of rows of channels with numbers, by a table of terms: what a tensor product of two features is.

    z[n, o + i] += c y[n, b] h[n, a + i],   i < w,     for each term (a, o, w, b) with coefficient c

Shape legend: N points or edges, H, Y, Z components, T terms.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from armillary.ops.steered_product_cpu import steered_cpu


def steered_product_reference(h: Tensor, y: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    """``z`` (N, width) from h (N, H), y (N, Y), terms (T, 4) int64 and values (T,)."""
    a, o, b, c = _columns(terms, values, h)
    return h.new_zeros(len(h), width).index_add(1, o, h[:, a] * y[:, b] * c)


def steered_dot_reference(h: Tensor, g: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    """``y[n, b] += c Σ_i h[n, a + i] g[n, o + i]`` (N, width): the gradient of ``steered_product`` in y."""
    a, o, b, c = _columns(terms, values, h)
    return h.new_zeros(len(h), width).index_add(1, b, h[:, a] * g[:, o] * c)


def _columns(terms: Tensor, values: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each product of two numbers: where it is in h and in z, where in y, and its coefficient."""
    widths = terms[:, 2]
    each = torch.repeat_interleave(torch.arange(len(terms), device=terms.device), widths)
    place = torch.arange(len(each), device=terms.device) - (widths.cumsum(0) - widths)[each]
    return terms[each, 0] + place, terms[each, 1] + place, terms[each, 3], values.to(like)[each]


_SIGNATURE = "(Tensor h, Tensor y, Tensor terms, Tensor values, SymInt width) -> Tensor"
_PRODUCT, _DOT = "armillary::steered_product", "armillary::steered_dot"

# Not ``custom_op``, whose checks take longer than the kernel does for a thousand edges.
for _name, _reference in ((_PRODUCT, steered_product_reference), (_DOT, steered_dot_reference)):
    torch.library.define(_name, _SIGNATURE)
    torch.library.impl(_name, "CompositeExplicitAutograd")(_reference)


def _fast(*tensors: Tensor) -> bool:
    return all(x.dtype in (torch.float32, torch.float64) for x in tensors)


@torch.library.impl(_PRODUCT, "CPU")
def _product_cpu(h: Tensor, y: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    if not _fast(h, y):
        return steered_product_reference(h, y, terms, values, width)
    return steered_cpu(h, y, terms, values, width, "product")


@torch.library.impl(_DOT, "CPU")
def _dot_cpu(h: Tensor, y: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    if not _fast(h, y):
        return steered_dot_reference(h, y, terms, values, width)
    return steered_cpu(h, y, terms, values, width, "dot")


@torch.library.register_fake(_PRODUCT)
@torch.library.register_fake(_DOT)
def _fake(h: Tensor, y: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    return h.new_empty(h.shape[0], width)


def steered_product(h: Tensor, y: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    """``z[n, o + i] += c y[n, b] h[n, a + i]``: (N, H), (N, Y) → (N, width), by terms (T, 4) of (a, o, w, b), values c.

    A numba kernel for float32 and float64 on the CPU, elsewhere ``steered_product_reference``. Of two dtypes, such as
    autocast makes them, the result has the more precise. Differentiable in h and y any number of times. Terms must stay
    within the rows: they are made by layers and not looked at here.
    Source: pinned by ``tests/ops/test_steered_product.py``.
    """
    dtype = torch.promote_types(h.dtype, y.dtype)
    return torch.ops.armillary.steered_product(h.to(dtype), y.to(dtype), terms, values, width)


def steered_dot(h: Tensor, g: Tensor, terms: Tensor, values: Tensor, width: int) -> Tensor:
    """``y[n, b] += c Σ_i h[n, a + i] g[n, o + i]``: (N, H), (N, Z) → (N, width), as ``steered_product``."""
    dtype = torch.promote_types(h.dtype, g.dtype)
    return torch.ops.armillary.steered_dot(h.to(dtype), g.to(dtype), terms, values, width)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    h, y, terms, values, _ = inputs
    ctx.save_for_backward(h, y, terms, values)


def _swapped(terms: Tensor) -> Tensor:
    return torch.cat([terms[:, 1:2], terms[:, 0:1], terms[:, 2:]], 1)


def _product_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    h, y, terms, values = ctx.saved_tensors
    need_h, need_y = ctx.needs_input_grad[:2]
    of_h = steered_product(gradient, y, _swapped(terms), values, h.shape[1]) if need_h else None
    return of_h, steered_dot(h, gradient, terms, values, y.shape[1]) if need_y else None, None, None, None


def _dot_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    h, g, terms, values = ctx.saved_tensors
    need_h, need_g = ctx.needs_input_grad[:2]
    of_h = steered_product(g, gradient, _swapped(terms), values, h.shape[1]) if need_h else None
    return of_h, steered_product(h, gradient, terms, values, g.shape[1]) if need_g else None, None, None, None


torch.library.register_autograd(_PRODUCT, _product_backward, setup_context=_setup)
torch.library.register_autograd(_DOT, _dot_backward, setup_context=_setup)

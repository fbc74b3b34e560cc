"""The product of features with the harmonics of edges, summed over edges, as ``torch.library`` operators.

    y_i = Σ_{e: target = i} D_eᵀ T(w_e) D_e x_{source},     T(w)_{m, ±m} = Σ_paths w_path c_m     (``ops.edge_paths``)

``edge_product`` is the sum, ``edge_product_grad`` its gradients: in x, in w, and the torque
``τ_k = d/dt y · g`` for D_e → exp(t G_k) D_e, which is all that a gradient in the frames can mean. Turns about the edge
itself change nothing: τ_z = 0. The gradients are plain expressions in torch once more, so gradients of every order
exist.

The functions named ``*_reference`` serve every device and dtype, and keep values of the size edges × components. On the
CPU float32 and float64 go to the compiled kernels of ``ops.edge_product_cpu``, on a GPU these and half precision to
those of ``ops.edge_product_triton``; neither keeps any.

Shape legend: P points of the input, Q of the output, E edges, K and M components in and out, C channels, W paths, S
numbers of a frame (``ops.edge_wigner``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from armillary.ops.edge_generators import generators, wigner_size
from armillary.ops.edge_paths import EdgePaths
from armillary.ops.triton_found import triton_found


def blocks_of(frames: Tensor, lmax: int) -> list[Tensor]:
    """The Wigner matrices of degrees 0..lmax, (E, 2l + 1, 2l + 1) each, of frames (E, S)."""
    starts = [wigner_size(l - 1) for l in range(lmax + 2)]
    return [frames[:, starts[l] : starts[l + 1]].unflatten(1, (2 * l + 1, 2 * l + 1)) for l in range(lmax + 1)]


def _turned(x: Tensor, blocks: Sequence[Tensor], degrees: Sequence[int], rows: Sequence[int]) -> list[Tensor]:
    """D x of (E, K, C), by stream."""
    return [blocks[l] @ x[:, a : a + 2 * l + 1] for l, a in zip(degrees, rows, strict=False)]


def _turned_back(parts: Sequence[Tensor], blocks: Sequence[Tensor], degrees: Sequence[int]) -> Tensor:
    return torch.cat([blocks[l].mT @ part for l, part in zip(degrees, parts, strict=True)], 1)


def _middle(part: Tensor, most: int, odd: bool) -> Tensor:
    """The rows |m| ≤ most of (E, 2l + 1, C), in the order of -m where ``odd``."""
    l = part.shape[1] // 2
    rows = part[:, l - most : l + most + 1]
    return rows.flip(1) if odd else rows


def _signed(values: Sequence[float], odd: bool, like: Tensor) -> Tensor:
    """c_m for the rows m = -most..most of the output, (rows, 1)."""
    below = [-c if odd else c for c in reversed(values[1:])]
    return torch.tensor([*below, *values], dtype=like.dtype, device=like.device)[:, None]


def _contracted(parts: Sequence[Tensor], weights: Tensor, plan: EdgePaths) -> list[Tensor]:
    """T(w) x̃ by stream of the output."""
    like = weights
    found = [like.new_zeros(len(like), 2 * l + 1, like.shape[2]) for l in plan.degrees_out]
    for pair in plan.pairs:
        l3, most = plan.degrees_out[pair.target], len(pair.coefficients[0]) - 1
        rows = _middle(parts[pair.source], most, pair.odd)
        factor = sum(
            weights[:, None, path] * _signed(c, pair.odd, like)
            for path, c in zip(pair.paths, pair.coefficients, strict=True)
        )
        widened = torch.nn.functional.pad(rows * factor, (0, 0, l3 - most, l3 - most))
        found[pair.target] = found[pair.target] + widened
    return found


def _contracted_back(
    parts: Sequence[Tensor], grads: Sequence[Tensor], weights: Tensor, plan: EdgePaths
) -> tuple[list[Tensor], Tensor]:
    """T(w)ᵀ g̃ by stream of the input, and the gradient of the weights (E, W, C)."""
    found = [torch.zeros_like(part) for part in parts]
    of_weights: list[Tensor | None] = [None] * len(plan.paths)
    for pair in plan.pairs:
        l1, most = plan.degrees_in[pair.source], len(pair.coefficients[0]) - 1
        rows, g = _middle(parts[pair.source], most, pair.odd), _middle(grads[pair.target], most, False)
        total = torch.zeros_like(g)
        for path, c in zip(pair.paths, pair.coefficients, strict=True):
            values = _signed(c, pair.odd, weights)
            total = total + g * (weights[:, None, path] * values)
            of_weights[path] = (g * rows * values).sum(1)
        back = total.flip(1) if pair.odd else total
        found[pair.source] = found[pair.source] + torch.nn.functional.pad(back, (0, 0, l1 - most, l1 - most))
    stacked = [part for part in of_weights if part is not None]
    return found, torch.stack(stacked, 1) if stacked else torch.zeros_like(weights)


def _torque(parts: Sequence[Tensor], turned: Sequence[Tensor], degrees: Sequence[int]) -> Tensor:
    """Σ <a, G_k b> over streams, (E, 3)."""
    terms = [
        torch.einsum("emn,xmn->ex", a @ b.mT, generators(l).to(a))
        for a, b, l in zip(parts, turned, degrees, strict=True)
    ]
    return torch.stack(terms).sum(0)


def edge_product_reference(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    source: Tensor,
    target: Tensor,
    points: int,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
) -> Tensor:
    """``armillary::edge_product``: x (P, K, C), frames (E, S), weights (E, W, C), source and target (E,) → (Q, M, C)
    with Q = ``points``."""
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    blocks = blocks_of(frames, plan.lmax)
    parts = _turned(x[source], blocks, plan.degrees_in, plan.rows_in)
    y = _turned_back(_contracted(parts, weights, plan), blocks, plan.degrees_out)
    return y.new_zeros(points, *y.shape[1:]).index_add(0, target, y)


def edge_product_grad_reference(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
    torque: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """``armillary::edge_product_grad``: from grad (Q, M, C) the gradients of x (P, K, C) and of the weights
    (E, W, C), and the torque (E, 3), zeros where it is not asked for."""
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    blocks = blocks_of(frames, plan.lmax)
    parts = _turned(x[source], blocks, plan.degrees_in, plan.rows_in)
    grads = _turned(grad[target], blocks, plan.degrees_out, plan.rows_out)
    found, of_weights = _contracted_back(parts, grads, weights, plan)
    gx = torch.zeros_like(x).index_add(0, source, _turned_back(found, blocks, plan.degrees_in))
    if not torque:
        return gx, of_weights, x.new_zeros(len(source), 3)
    turning = _torque(found, parts, plan.degrees_in)
    return gx, of_weights, turning + _torque(_contracted(parts, weights, plan), grads, plan.degrees_out)


edge_product = torch.library.custom_op("armillary::edge_product", edge_product_reference, mutates_args=())
edge_product_grad = torch.library.custom_op(
    "armillary::edge_product_grad", edge_product_grad_reference, mutates_args=()
)


def _compiles(x: Tensor, source: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float64) and x.numel() > 0 and source.numel() > 0


@edge_product.register_kernel("cpu")
def _(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    source: Tensor,
    target: Tensor,
    points: int,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
) -> Tensor:
    arguments = x, frames, weights, source, target, points, degrees_in, degrees_out, paths
    if not _compiles(x, source):
        return edge_product_reference(*arguments)
    from armillary.ops.edge_product_cpu import edge_product_cpu  # numba is imported and compiles at first use

    return edge_product_cpu(*arguments)


@edge_product_grad.register_kernel("cpu")
def _(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
    torque: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    arguments = x, frames, weights, grad, source, target, degrees_in, degrees_out, paths, torque
    if not _compiles(x, source):
        return edge_product_grad_reference(*arguments)
    from armillary.ops.edge_product_cpu import edge_product_grad_cpu

    return edge_product_grad_cpu(*arguments)


def _compiles_on_gpu(x: Tensor, weights: Tensor) -> bool:
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if x.dtype not in kinds or x.numel() == 0 or weights.numel() == 0:
        return False
    slow = "products with the harmonics of edges on a GPU run in plain torch, which keeps values for each edge"
    return triton_found(slow, "armillary.ops.edge_product_triton")


@edge_product.register_kernel("cuda")
def _edge_product_cuda(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    source: Tensor,
    target: Tensor,
    points: int,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
) -> Tensor:
    arguments = x, frames, weights, source, target, points, degrees_in, degrees_out, paths
    if not _compiles_on_gpu(x, weights):
        return edge_product_reference(*arguments)
    from armillary.ops.edge_product_triton import edge_product_triton  # triton is imported at first use

    return edge_product_triton(*arguments)


@edge_product_grad.register_kernel("cuda")
def _edge_product_grad_cuda(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
    torque: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    arguments = x, frames, weights, grad, source, target, degrees_in, degrees_out, paths, torque
    if not _compiles_on_gpu(x, weights):
        return edge_product_grad_reference(*arguments)
    from armillary.ops.edge_product_triton import edge_product_grad_triton

    return edge_product_grad_triton(*arguments)


@edge_product.register_fake
def _(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    source: Tensor,
    target: Tensor,
    points: int,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
) -> Tensor:
    return x.new_empty(points, sum(2 * l + 1 for l in degrees_out), x.shape[2])


@edge_product_grad.register_fake
def _(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
    torque: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weights), x.new_empty(source.shape[0], 3)


def _product_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, _, degrees_in, degrees_out, paths = inputs
    ctx.save_for_backward(*tensors)
    ctx.plan = degrees_in, degrees_out, paths


def _frame_gradient(torque: Tensor, frames: Tensor) -> Tensor:
    """A gradient of the frames (E, S) with that torque: in the matrices of degree 1, where <G_j D, G_k D> = 2 δ_jk."""
    if frames.shape[1] < 10:  # only scalars, which do not turn
        return torch.zeros_like(frames)
    D = frames[:, 1:10].unflatten(1, (3, 3))
    block = torch.linalg.cross(torque[:, [1, 2, 0], None], D, dim=1) / 2  # in the order (y, z, x)
    return torch.nn.functional.pad(block.flatten(1), (1, frames.shape[1] - 10))


def _product_backward(ctx, grad):  # type: ignore[no-untyped-def]
    x, frames, weights, source, target = ctx.saved_tensors
    wanted = ctx.needs_input_grad[1]
    gx, gw, torque = edge_product_grad(x, frames, weights, grad, source, target, *ctx.plan, wanted)
    gf = _frame_gradient(torque, frames) if wanted else None
    return gx, gf, gw, *[None] * 6


def _grad_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, degrees_in, degrees_out, paths, torque = inputs
    ctx.save_for_backward(*tensors)
    ctx.rest = degrees_in, degrees_out, paths, torque


def _grad_backward(ctx, *cotangents):  # type: ignore[no-untyped-def]
    """By the reference, differentiated: its own gradient is there where one of the next order is asked for."""
    *floats, source, target = ctx.saved_tensors
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in floats]
        outputs = edge_product_grad_reference(*inputs, source, target, *ctx.rest)
        pairs = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad and c is not None]
        ys, cs = [y for y, _ in pairs], [c for _, c in pairs]
        found = torch.autograd.grad(ys, inputs, cs, create_graph=again, allow_unused=True)
    return *found, *[None] * 6


edge_product.register_autograd(_product_backward, setup_context=_product_setup)
edge_product_grad.register_autograd(_grad_backward, setup_context=_grad_setup)

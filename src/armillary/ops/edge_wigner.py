"""Real Wigner matrices of many rotations, all degrees up to lmax, by a recurrence that is polynomial in the rotation.

    D^l(R) = C_lᵀ (D^{l-1}(R) ⊗ D^1(R)) C_l,     C_l = C^{l-1,1,l} the Clebsch–Gordan isometry, D^1 = R in (y, z, x).

Each step is a projection between orthogonal matrices, so that errors add up and never grow: l ulp in degree l, at the
poles as elsewhere. Gradients need no derivative of the recurrence. With ``dR = [ω]× R``,

    dD = turn(ω, D) = Σ_k ω_k G_k D,     torque(g, D)_k = <g, G_k D>,

G_k the antisymmetric generators. The two maps are bilinear, and each other's derivatives: all orders of gradients
follow from them. The functions named ``*_reference`` are plain torch; on the CPU float32 and float64 go to the compiled
kernels of ``ops.edge_wigner_cpu``.

Shape legend: E rotations, S = Σ_l (2l + 1)² numbers of each: blocks by degree, row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.edge_generators import generators, raising, wigner_size
from armillary.ops.integers import checked_integer


def _blocks(D: Tensor, lmax: int) -> list[Tensor]:
    parts = D.split([(2 * l + 1) ** 2 for l in range(lmax + 1)], dim=1)
    return [part.unflatten(1, (2 * l + 1, 2 * l + 1)) for l, part in enumerate(parts)]


def wigner_blocks_reference(R: Tensor, lmax: int) -> Tensor:
    """``armillary::edge_wigner``: R (E, 3, 3) → (E, S), in plain torch."""
    order = [1, 2, 0]  # (y, z, x)
    D1 = R[:, order][:, :, order]
    found = [R.new_ones(len(R), 1, 1), D1][: lmax + 1]
    for l in range(2, lmax + 1):
        C = raising(l).to(R)
        left = C.flatten(1).mT @ found[-1]  # (E, 3 · (2l + 1), 2l - 1)
        turned = D1.mT @ left.unflatten(1, (3, -1)).flatten(2)
        turned = turned.unflatten(2, (2 * l + 1, 2 * l - 1)).transpose(1, 2)
        found.append(turned.flatten(2) @ C.transpose(0, 1).flatten(0, 1))
    return torch.cat([block.flatten(1) for block in found], 1)


def torque_reference(g: Tensor, D: Tensor, lmax: int) -> Tensor:
    """``armillary::edge_torque``: <g, G_k D> over all degrees, g and D (E, S) → (E, 3)."""
    total = g.new_zeros(len(g), 3)
    for l, (a, b) in enumerate(zip(_blocks(g, lmax), _blocks(D, lmax), strict=True)):
        total += torch.einsum("emk,xmk->ex", a @ b.mT, generators(l).to(g))
    return total


def turn_reference(omega: Tensor, D: Tensor, lmax: int) -> Tensor:
    """``armillary::edge_turn``: Σ_k ω_k G_k D, ω (E, 3) and D (E, S) → (E, S)."""
    turned = [
        torch.einsum("ex,xmk->emk", omega, generators(l).to(omega)) @ block for l, block in enumerate(_blocks(D, lmax))
    ]
    return torch.cat([block.flatten(1) for block in turned], 1)


edge_wigner = torch.library.custom_op("armillary::edge_wigner", wigner_blocks_reference, mutates_args=())
edge_torque = torch.library.custom_op("armillary::edge_torque", torque_reference, mutates_args=())
edge_turn = torch.library.custom_op("armillary::edge_turn", turn_reference, mutates_args=())


def _compiles(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float64) and x.numel() > 0


@edge_wigner.register_kernel("cpu")
def _(R: Tensor, lmax: int) -> Tensor:
    if not _compiles(R):
        return wigner_blocks_reference(R, lmax)
    from armillary.ops.edge_wigner_cpu import wigner_cpu  # numba is imported and compiles at first use

    return wigner_cpu(R, lmax)


@edge_torque.register_kernel("cpu")
def _(g: Tensor, D: Tensor, lmax: int) -> Tensor:
    if not _compiles(g):
        return torque_reference(g, D, lmax)
    from armillary.ops.edge_wigner_cpu import generated_cpu

    return generated_cpu(g, D, lmax, False)


@edge_turn.register_kernel("cpu")
def _(omega: Tensor, D: Tensor, lmax: int) -> Tensor:
    if not _compiles(D):
        return turn_reference(omega, D, lmax)
    from armillary.ops.edge_wigner_cpu import generated_cpu

    return generated_cpu(omega, D, lmax, True)


@edge_wigner.register_fake
def _(R: Tensor, lmax: int) -> Tensor:
    return R.new_empty(R.shape[0], wigner_size(lmax))


@edge_torque.register_fake
def _(g: Tensor, D: Tensor, lmax: int) -> Tensor:
    return g.new_empty(g.shape[0], 3)


@edge_turn.register_fake
def _(omega: Tensor, D: Tensor, lmax: int) -> Tensor:
    return D.new_empty(D.shape)


def _wigner_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    R, ctx.lmax = inputs
    ctx.save_for_backward(R, output)


def _wigner_backward(ctx, g):  # type: ignore[no-untyped-def]
    R, D = ctx.saved_tensors
    torque = edge_torque(g, D, ctx.lmax)
    return torch.linalg.cross(torque[:, :, None], R, dim=1) / 2, None  # <[t]× R, [ω]× R> = 2 t · ω


def _torque_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    g, D, ctx.lmax = inputs
    ctx.save_for_backward(g, D)


def _torque_backward(ctx, omega):  # type: ignore[no-untyped-def]
    g, D = ctx.saved_tensors
    g_g = edge_turn(omega, D, ctx.lmax) if ctx.needs_input_grad[0] else None
    g_D = edge_turn(-omega, g, ctx.lmax) if ctx.needs_input_grad[1] else None
    return g_g, g_D, None


def _turn_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    omega, D, ctx.lmax = inputs
    ctx.save_for_backward(omega, D)


def _turn_backward(ctx, g):  # type: ignore[no-untyped-def]
    omega, D = ctx.saved_tensors
    g_omega = edge_torque(g, D, ctx.lmax) if ctx.needs_input_grad[0] else None
    g_D = edge_turn(-omega, g, ctx.lmax) if ctx.needs_input_grad[1] else None
    return g_omega, g_D, None


edge_wigner.register_autograd(_wigner_backward, setup_context=_wigner_setup)
edge_torque.register_autograd(_torque_backward, setup_context=_torque_setup)
edge_turn.register_autograd(_turn_backward, setup_context=_turn_setup)


def wigner_blocks(R: Tensor, lmax: int) -> Tensor:
    """The real Wigner matrices of degrees 0 to ``lmax``, flattened row by row: rotations R (E, 3, 3) → (E, S).

    ``Σ_l (2l + 1)² = S``; block l is ``groups.wigner_D_real(l, R)``, rows and columns m = -l..l. In the dtype of R: to
    1e-5 in float32 for l = 10, to 1e-13 in float64 for l = 32. The gradient is that along rotations (what moves R off
    them has none), of every order.
    Raises: ValueError for another shape, another dtype, or lmax that is no integer >= 0; that R are rotations is not
    checked.
    Source: the product of representations (Varshalovich et al. 1988, 4.6); pinned by ``tests/ops/test_edge_wigner.py``.
    """
    if R.ndim != 3 or R.shape[1:] != (3, 3):
        raise ValueError(f"R has shape {tuple(R.shape)}, wanted rotations of edges, (E, 3, 3).")
    if R.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"R has dtype {R.dtype}, wanted float32 or float64: cast it, frames are not for half precision."
        )
    return edge_wigner(R, checked_integer("lmax", lmax, 0))

"""The equivariance meter: the error of a map under random group elements that act exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from armillary.testing.symmetry import Space, SphereSymmetry, Symmetry

Layer = nn.Module | Callable[[Tensor], Tensor]


def commutation_error(
    layer: Layer,
    symmetry: Symmetry,
    *,
    count: int | None = None,
    batch: int = 1,
    dtype: torch.dtype = torch.float64,
    generator: torch.Generator | None = None,
) -> float:
    """The relative error with which a map commutes with a group: ``sqrt( Σ_g ‖L(g x) - g L(x)‖² / Σ_g ‖L(x)‖² )``.

    The sum is over ``count`` group elements, each with ``batch`` random inputs of its own, all from ``symmetry``; by
    default four, and all of a ``GroupAction``. A module is copied, put in evaluation mode and moved to ``dtype``; the
    caller's is left alone, and the copy gets its inputs on the device it is on. Pass a ``generator`` for other draws
    (default: seed 0).

    Raises: ValueError where the output has not the shape that is acted on, is zero, or is not finite.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    device = torch.device("cpu")
    if isinstance(layer, nn.Module):
        layer = copy.deepcopy(layer).eval().to(dtype)
        device = device_of(layer)
    error = norm = 0.0
    for x, moved, g in symmetry.pairs(symmetry.count if count is None else count, batch, generator):
        with torch.no_grad():
            output, after = layer(x.to(device, dtype)), layer(moved.to(device, dtype))
        squares = symmetry.compare(_on_cpu(output), _on_cpu(after), g)
        error, norm = error + squares[0], norm + squares[1]
    if norm == 0:
        raise ValueError("the layer's output is zero for every input tried: a relative error has no meaning.")
    if not error < float("inf"):
        raise ValueError("the layer's output is not finite.")
    return (error / norm) ** 0.5


def device_of(layer: nn.Module) -> torch.device:
    """Where the inputs of a layer belong: with its first parameter or buffer; on the CPU where it has none."""
    return next((t.device for t in chain(layer.parameters(), layer.buffers())), torch.device("cpu"))


def _on_cpu(y: Tensor) -> Tensor:
    return y.cpu().to(torch.promote_types(y.dtype, torch.float64))


def equivariance_error(
    layer: Layer,
    space_in: Space,
    space_out: Space | None = None,
    *,
    channels: int | None = None,
    lmax: int | None = None,
    n_rotations: int = 4,
    rotations: Sequence[Tensor] | None = None,
    batch: int = 1,
    dtype: torch.dtype = torch.float64,
    generator: torch.Generator | None = None,
) -> float:
    """The relative error with which a map of fields on the sphere commutes with rotations.

    Equation: ``sqrt( Σ_R ‖L(R f) - R L(f)‖² / Σ_R ‖L(f)‖² )`` with the quadrature norm, over random rotations R (Haar)
    and random fields f of degree ≤ ``lmax``. Rotations act spectrally, on SO(3) signals from the left; nothing is
    interpolated, so the number is the layer's own. What a nonlinear layer makes beyond the band limit of ``space_out``
    counts as error.

    Shapes: ``layer`` maps (batch, channels, *space_in.shape) → (batch, any, *space_out.shape). ``space_out`` defaults
    to ``space_in``; ``channels`` to ``layer.in_channels``; ``lmax`` to a quarter of the band limit of ``space_in``.
    ``rotations`` replaces the random ones. The rest as for ``commutation_error``.

    Raises: ValueError where channels cannot be told, the output does not lie on ``space_out``, or is not finite.
    """
    space_out = space_in if space_out is None else space_out
    symmetry = SphereSymmetry(space_in, space_out, channels_of(layer, channels), lmax, rotations)
    return commutation_error(layer, symmetry, count=n_rotations, batch=batch, dtype=dtype, generator=generator)


def invariance_error(
    layer: Layer,
    space_in: Space,
    *,
    channels: int | None = None,
    lmax: int | None = None,
    n_rotations: int = 4,
    rotations: Sequence[Tensor] | None = None,
    batch: int = 1,
    dtype: torch.dtype = torch.float64,
    generator: torch.Generator | None = None,
) -> float:
    """The relative change of an output that should not change: ``sqrt( Σ_R ‖L(R f) - L(f)‖² / Σ_R ‖L(f)‖² )``.

    For classifiers and global pooling; arguments as for ``equivariance_error``, the output may have any shape.
    """
    symmetry = SphereSymmetry(space_in, None, channels_of(layer, channels), lmax, rotations)
    return commutation_error(layer, symmetry, count=n_rotations, batch=batch, dtype=dtype, generator=generator)


def channels_of(layer: Layer, channels: int | None) -> int:
    """The channels a layer expects: as given, or its ``in_channels``. Raises: ValueError where neither is there."""
    channels = getattr(layer, "in_channels", None) if channels is None else channels
    if not isinstance(channels, int):
        raise ValueError(f"{type(layer).__name__} has no in_channels: pass channels=… (the channels it expects).")
    return channels

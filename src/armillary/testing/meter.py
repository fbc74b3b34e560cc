"""The equivariance meter: the error of a map under random rotations that act exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from armillary.groups import random_rotation
from armillary.harmonics import random_field, rotate
from armillary.spaces import OrientedGrid, SphereGrid

Space = SphereGrid | OrientedGrid
Layer = nn.Module | Callable[[Tensor], Tensor]


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
    """The relative error with which a map commutes with rotations.

    Equation: ``sqrt( Σ_R ‖L(R f) - R L(f)‖² / Σ_R ‖L(f)‖² )`` with the quadrature norm, over random rotations R (Haar)
    and random fields f of degree ≤ ``lmax``. Rotations act spectrally, on SO(3) signals from the left; nothing is
    interpolated, so the number is the layer's own. What a nonlinear layer makes beyond the band limit of ``space_out``
    counts as error.

    Shapes: ``layer`` maps (batch, channels, *space_in.shape) → (batch, any, *space_out.shape). ``space_out`` defaults
    to ``space_in``; ``channels`` to ``layer.in_channels``; ``lmax`` to a quarter of the band limit of ``space_in``. A
    module is copied, put in evaluation mode and moved to ``dtype``; the caller's is left alone. ``rotations`` replaces
    the random ones. Pass a ``generator`` for repeatable numbers (default: seed 0).

    Raises: ValueError where channels cannot be told, the output does not lie on ``space_out``, or is not finite.
    """
    space_out = space_in if space_out is None else space_out
    error = norm = 0.0
    for turned, output, R in _samples(layer, space_in, channels, lmax, n_rotations, rotations, batch, dtype, generator):
        space_out.check_field(output, "space_out")
        target = rotate(output, space_out, R)
        error += float(space_out.integrate((turned - target) ** 2).sum())
        norm += float(space_out.integrate(output**2).sum())
    return _ratio(error, norm)


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
    error = norm = 0.0
    for turned, output, _ in _samples(layer, space_in, channels, lmax, n_rotations, rotations, batch, dtype, generator):
        error += float(((turned - output) ** 2).sum())
        norm += float((output**2).sum())
    return _ratio(error, norm)


def _ratio(error: float, norm: float) -> float:
    if norm == 0:
        raise ValueError("the layer's output is zero for every field tried: a relative error has no meaning.")
    if not error < float("inf"):
        raise ValueError("the layer's output is not finite.")
    return (error / norm) ** 0.5


def _samples(
    layer: Layer,
    space: Space,
    channels: int | None,
    lmax: int | None,
    n_rotations: int,
    rotations: Sequence[Tensor] | None,
    batch: int,
    dtype: torch.dtype,
    generator: torch.Generator | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(L(R f), L(f), R) for each rotation, each with a field of its own."""
    channels = getattr(layer, "in_channels", None) if channels is None else channels
    if not isinstance(channels, int):
        raise ValueError(f"{type(layer).__name__} has no in_channels: pass channels=… (the channels it expects).")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    lmax = max(1, space.lmax // 4) if lmax is None else lmax
    device = torch.device("cpu")
    if isinstance(layer, nn.Module):
        layer = copy.deepcopy(layer).eval().to(dtype)
        device = next((p.device for p in layer.parameters()), device)
    chosen = [random_rotation(generator) for _ in range(n_rotations)] if rotations is None else list(rotations)
    for R in chosen:
        field = random_field(space, lmax, (batch, channels), generator)
        turned = rotate(field, space, R)
        with torch.no_grad():
            output, after = layer(field.to(device, dtype)), layer(turned.to(device, dtype))
        yield after.cpu().double(), output.cpu().double(), R

"""Modules that carry float64 constants: they move between devices, never lose precision, and are cast at use."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Made = TypeVar("Made")


def cached_constant(maxsize: int) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    """``lru_cache`` for a pure function whose tensors are kept for the whole process; treat them as read-only.

    They are made on the CPU and outside of inference mode, whatever the modes of the first caller: otherwise a network
    built ``with torch.device("meta")`` or in inference mode would leave tensors without values, or without a backward
    pass, to all that are built later.
    """

    def decorate(function: Callable[..., Made]) -> Callable[..., Made]:
        @lru_cache(maxsize=maxsize)
        @wraps(function)
        def made(*arguments: Any, **named: Any) -> Made:
            with torch.device("cpu"), torch.inference_mode(False):
                return function(*arguments, **named)

        return made

    return decorate


class ConstantModule(nn.Module):
    """A module with constants: non-persistent buffers that follow ``.to(device)`` but keep their dtype.

    ``module.half().double()`` therefore ends with the constants it was built with. ``constant(name, like)`` gives the
    value in the real dtype (tables of integers keep theirs) and on the device of ``like``; the last cast of each is
    remembered outside of tracing.

    The meta device has no room for values: constants are computed ``with torch.device("cpu")`` and stay there while
    parameters are on meta, so that ``to_empty(device=...)`` finds them. Only parameters then have to be loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constant_names: list[str] = []
        self._casts: dict[str, Tensor] = {}

    def register_constant(self, name: str, value: Tensor) -> None:
        """Store ``value`` as a constant: moved with the module, absent from its state dict."""
        if value.is_inference():
            with torch.inference_mode(False):  # of use to a backward pass later
                value = value.clone()
        self.register_buffer(name, value, persistent=False)
        self._constant_names.append(name)

    def constant(self, name: str, like: Tensor) -> Tensor:
        """The constant in the (real) dtype and on the device of ``like``; integers and booleans stay what they are."""
        value = self._buffers[name]
        assert value is not None
        dtype = like.real.dtype if like.is_complex() else like.dtype  # dtype.to_real() does not compile
        if not value.is_floating_point():
            dtype = value.dtype
        if value.dtype == dtype and value.device == like.device:
            return value
        if torch.compiler.is_compiling():
            return value.to(like.device, dtype)
        cast = self._casts.get(name)
        if cast is None or cast.dtype != dtype or cast.device != like.device:
            with torch.inference_mode(False):  # the cast outlives the mode, and is saved for a backward pass later
                cast = self._casts[name] = value.to(like.device, dtype)
        return cast

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: self._buffers[name] for name in self._constant_names}
        super()._apply(fn, recurse)
        self._casts = {}
        for name, value in before.items():
            moved = self._buffers[name]
            if value is not None and moved is not None and moved is not value:
                self._buffers[name] = value if moved.is_meta else value.to(moved.device)
        return self

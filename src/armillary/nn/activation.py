"""Functions of one value, as layers take them: a module or a plain function."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor] | nn.Module


def activated(activation: Activation, x: Tensor, who: str) -> Tensor:
    """The function of each value of x. Raises: ValueError, in the name of ``who``, where it changes the shape."""
    y = cast(Tensor, activation(x))
    if y.shape != x.shape:
        raise ValueError(
            f"{who}: {activation} turned shape {tuple(x.shape)} into {tuple(y.shape)}, wanted a function of each value "
            f"by itself: apply layers that change the shape outside of {who}."
        )
    return y


def name_of(activation: Activation) -> str:
    """The start of an ``extra_repr``, "relu, "; empty for a module, which is printed by itself."""
    return "" if isinstance(activation, nn.Module) else f"{getattr(activation, '__name__', 'function')}, "

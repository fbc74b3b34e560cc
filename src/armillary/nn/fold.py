"""Folding: a network of layers that know a group, as stock torch modules with the same outputs."""

from __future__ import annotations

import copy
import operator
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from armillary.ops.constants import ConstantModule


class Foldable(ABC):
    """A layer that can be written as stock modules on maps whose group axis is folded into the channels.

    A feature map (B, C, |S|, H, W) becomes (B, C·|S|, H, W), the group element running fastest.
    """

    @abstractmethod
    def folded(self) -> nn.Module:
        """Modules of ``torch.nn``, or ``stock_graph``, with the values of this layer, in evaluation mode."""


def fold(network: nn.Module, x: Tensor) -> nn.Module:
    """The network as stock torch modules alone (``nn.Conv2d``, ``nn.BatchNorm2d``, …), for export without this library.

    Containers that are ``nn.Sequential`` stay so; any other forward, such as that of a residual block, is traced by
    ``torch.fx`` and becomes a ``GraphModule``, as do layers that torch.nn has no module for. Modules that are shared
    stay shared, the original is left alone. Feature maps that enter or leave the network have their group axis folded
    into the channels: (B, C·|S|, H, W). Constants (sample points, blurs) take the dtype of x.

    ``x``: an input as the network takes it. The folded network is run on it and compared: what acts on the group axis
    in a way that cannot be folded (a custom ``x.mean(2)``, an ``nn.Flatten`` of one) is found here.
    Raises: ValueError where the outputs differ or are not one tensor, a module has no stock counterpart, or a wrapper
    of torch (``AveragedModel``, ``DataParallel``) holds layers that have to be folded: fold what it wraps.
    Source: pinned by ``tests/nn/test_fold.py``.
    """
    who = type(network).__name__
    source = copy.deepcopy(network).eval()
    with torch.no_grad():
        wanted = source(x)
        if not isinstance(wanted, Tensor):
            raise ValueError(f"{who} gives a {type(wanted).__name__}, fold wants a network whose output is one tensor.")
        result = _fold(source, who, {}).eval()
        if all(p.dtype == x.dtype for p in source.parameters() if p.is_floating_point()):
            result = result.to(x.dtype)
        try:
            got = result(x.flatten(1, 2) if x.ndim == 5 else x)
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"the folded {who} does not run on x: {error}") from error
    if wanted.ndim == 5:
        wanted = wanted.flatten(1, 2)
    if got.shape != wanted.shape or not _distance(got, wanted) <= _limit(wanted.dtype):
        raise ValueError(
            f"the folded {who} gives another output than the network (shapes {tuple(got.shape)} and "
            f"{tuple(wanted.shape)}): some step acts on the group axis by itself; use the layers of armillary.nn for "
            f"it."
        )
    return result


def stock_graph(function: Callable[..., Tensor], **tensors: Tensor) -> fx.GraphModule:
    """``x ↦ function(x, **tensors)`` as a graph of torch functions, the tensors its buffers: for ``folded()``.

    ``function`` is traced by ``torch.fx``: its branches must not depend on values, shapes or dtypes of its arguments.
    """
    root, tracer = _Bound(function, tensors), _Tracer()
    tracer.proxy_buffer_attributes = True
    return fx.GraphModule(root, tracer.trace(root), "StockGraph")


class _Bound(nn.Module):
    """A function with some of its arguments given."""

    def __init__(self, function: Callable[..., Tensor], tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.function, self.names = function, tuple(tensors)
        for name, value in tensors.items():
            self.register_buffer(name, value.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **{name: getattr(self, name) for name in self.names})


def _limit(dtype: torch.dtype) -> float:
    """How far the outputs may differ: by rounding, in deep networks a thousand times."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return 0.0
    return min(0.1, 1e3 * torch.finfo(dtype).eps)


def _distance(got: Tensor, wanted: Tensor) -> float:
    """The norm of the difference relative to the norm of what was wanted; 0 where both are zero."""
    exact = torch.complex128 if wanted.is_complex() else torch.float64
    difference, norm = (got.to(exact) - wanted.to(exact)).norm(), wanted.to(exact).norm()
    return float(difference if norm == 0 else difference / norm)


def _fold(module: nn.Module, name: str, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """The stock counterpart of a module that nobody else uses; of one met before, the same again."""
    if module not in done:
        done[module] = _counterpart(module, name, done)
    return done[module]


def _counterpart(module: nn.Module, name: str, done: dict[nn.Module, nn.Module]) -> nn.Module:
    if isinstance(module, Foldable):
        return module.folded()
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        # not named_children, which leaves out what occurs twice
        children = [(key, child) for key, child in module._modules.items() if child is not None]
        steps = [(key, _fold(child, f"{name}.{key}", done)) for key, child in children]
        return nn.Sequential(OrderedDict(steps))
    of_torch = type(module).__module__.startswith("torch.")
    if of_torch and not any(isinstance(part, Foldable) for part in module.modules()):
        return module
    if of_torch and not isinstance(module, fx.GraphModule):
        raise ValueError(
            f"{name} ({type(module).__name__}) wraps layers that have to be folded: fold what it wraps, such as "
            f"network.module."
        )
    if isinstance(module, ConstantModule) or not any(True for _ in module.children()):
        raise ValueError(f"{name} ({type(module).__name__}) has no stock counterpart: give it folded() (nn.Foldable).")
    return _traced(module, name, done)


class _Tracer(fx.Tracer):
    """Stops at every module below the one it starts from."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _traced(module: nn.Module, name: str, done: dict[nn.Module, nn.Module]) -> nn.Module:
    try:
        graph = _Tracer().trace(module)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(
            f"the forward of {name} ({type(module).__name__}) cannot be traced: {error}. Checks of its input belong "
            f"into a module of their own (nn.ImageInput), or give it folded() (nn.Foldable)."
        ) from error
    parts: dict[str, Any] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            parts[node.target] = _fold(module.get_submodule(node.target), f"{name}.{node.target}", done)
        elif node.op == "get_attr":
            parts[node.target] = operator.attrgetter(node.target)(module)
    return fx.GraphModule(parts, graph, f"Folded{type(module).__name__}")

"""Folding: a network of layers that know a group, as stock torch modules with the same outputs."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, fx, nn


class Foldable(ABC):
    """A layer that can be written as stock modules on maps whose group axis is folded into the channels.

    A feature map (B, C, |S|, H, W) becomes (B, C·|S|, H, W), the group element running fastest.
    """

    @abstractmethod
    def folded(self) -> nn.Module:
        """Modules of ``torch.nn`` with the values of this layer, in evaluation mode."""


def fold(network: nn.Module, x: Tensor) -> nn.Module:
    """The network as stock torch modules alone (``nn.Conv2d``, ``nn.BatchNorm2d``, …), for export without this library.

    Containers that are ``nn.Sequential`` stay so; any other forward, such as that of a residual block, is traced by
    ``torch.fx`` and becomes a ``GraphModule``. The original is left alone. Feature maps that enter or leave the network
    have their group axis folded into the channels: (B, C·|S|, H, W).

    ``x``: an input as the network takes it. The folded network is run on it and compared: what acts on the group axis
    in a way that cannot be folded (a custom ``x.mean(2)``, an ``nn.Flatten`` of one) is found here.
    Raises: ValueError where the outputs differ, or a module has no stock counterpart.
    Source: pinned by ``tests/nn/test_fold.py``.
    """
    source = copy.deepcopy(network).eval()
    result = _fold(source, type(network).__name__).eval()
    with torch.no_grad():
        wanted = source(x)
        try:
            got = result(x.flatten(1, 2) if x.ndim == 5 else x)
        except RuntimeError as error:
            raise ValueError(f"the folded {type(network).__name__} does not run on x: {error}") from error
    if isinstance(wanted, Tensor) and wanted.ndim == 5:
        wanted = wanted.flatten(1, 2)
    limit = 1e-4 if wanted.dtype == torch.float32 else 1e-10
    if got.shape != wanted.shape or not float((got - wanted).norm()) <= limit * float(wanted.norm()):
        raise ValueError(
            f"the folded {type(network).__name__} gives another output than the network (shapes "
            f"{tuple(got.shape)} and {tuple(wanted.shape)}): some step acts on the group axis by "
            f"itself; use the layers of armillary.nn for it."
        )
    return result


def _fold(module: nn.Module, name: str) -> nn.Module:
    if isinstance(module, Foldable):
        return module.folded()
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return nn.Sequential(*(_fold(child, f"{name}.{key}") for key, child in module.named_children()))
    if type(module).__module__.startswith("torch."):
        return copy.deepcopy(module)
    if not any(True for _ in module.children()):
        raise ValueError(f"{name} ({type(module).__name__}) has no stock counterpart: give it folded() (nn.Foldable).")
    return _traced(module, name)


class _Tracer(fx.Tracer):
    """Stops at every module below the one it starts from."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _traced(module: nn.Module, name: str) -> nn.Module:
    graph = _Tracer().trace(module)
    parts: dict[str, Any] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            parts[node.target] = _fold(module.get_submodule(node.target), f"{name}.{node.target}")
        elif node.op == "get_attr":
            parts[node.target] = getattr(module, node.target)
    return fx.GraphModule(parts, graph, f"Folded{type(module).__name__}")

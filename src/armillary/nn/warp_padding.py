"""Padding for convolutions of a warped image: around the circle on axes that wrap, zeros on the others."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.nn.fold import Foldable
from armillary.spaces import Warp


class WarpPad(nn.Module, Foldable):
    """Pads (B, C, rows, columns) by (top, bottom, left, right): around the circle on periodic axes, else by zeros.

    ``periodic`` tells which axes wrap: rows, columns (``warp.periodic``). To be put before whatever then needs no
    padding of its own.
    Raises: ValueError for a negative padding, one longer than its periodic axis, or an input that has not four axes.
    Pinned by ``tests/nn/test_warp_padding.py``.
    """

    def __init__(self, padding: tuple[int, int, int, int], periodic: tuple[bool, bool]) -> None:
        super().__init__()
        self.padding, self.periodic = tuple(padding), tuple(periodic)
        if len(self.padding) != 4 or min(self.padding) < 0 or len(self.periodic) != 2:
            raise ValueError(
                f"got padding = {padding}, periodic = {periodic}, wanted (top, bottom, left, right) >= 0 and two bools."
            )
        top, bottom, left, right = self.padding
        rows, columns = self.periodic
        self._around = (*((left, right) if columns else (0, 0)), *((top, bottom) if rows else (0, 0)))
        self._zeros = (*((0, 0) if columns else (left, right)), *((0, 0) if rows else (top, bottom)))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"x has shape {tuple(x.shape)}, WarpPad wants (batch, channels, rows, columns).")
        left, right, top, bottom = self._around
        if max(top, bottom) > x.shape[-2] or max(left, right) > x.shape[-1]:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, WarpPad wants periodic axes at least as long as their padding "
                f"{self.padding}: take a smaller kernel or pool less."
            )
        if max(self._around):
            x = F.pad(x, self._around, mode="circular")
        return F.pad(x, self._zeros) if max(self._zeros) else x

    def folded(self) -> nn.Sequential:
        steps: list[nn.Module] = [nn.CircularPad2d(self._around)] if max(self._around) else []
        return nn.Sequential(*steps, *([nn.ZeroPad2d(self._zeros)] if max(self._zeros) else []))

    def extra_repr(self) -> str:
        wrap = " and ".join(name for name, wraps in zip(("rows", "columns"), self.periodic, strict=True) if wraps)
        return f"{self.padding}, {wrap or 'nothing'} wrapped"


class WarpConv2d(nn.Module, Foldable):
    """The convolution of an ``nn.Conv2d``, with its padding wrapped on periodic axes.

    ``y_o(n) = b_o + Σ_c Σ_k w_ock x_c(n + k)`` with n + k taken around the circle on periodic axes and x zero outside
    on the others. Shapes, stride, dilation, groups, parameters and their names are those of ``conv``, whose parameters
    it takes over. At stride 1 it commutes exactly with shifts along periodic axes; at stride s with those by multiples
    of s, if s divides the axis.

    Zeros alike on both sides are left to the convolution (``padding``), which pads without a copy.
    Raises: ValueError for a ``padding_mode`` other than "zeros", or an input with other channels.
    Pinned by ``tests/nn/test_warp_padding.py``.
    """

    def __init__(self, conv: nn.Conv2d, periodic: tuple[bool, bool]) -> None:
        super().__init__()
        if conv.padding_mode != "zeros":
            raise ValueError(
                f"got padding_mode = {conv.padding_mode!r}, WarpConv2d wants 'zeros': it does the wrapping."
            )
        self.in_channels, self.out_channels, self.kernel_size = conv.in_channels, conv.out_channels, conv.kernel_size
        self.stride, self.dilation, self.groups = conv.stride, conv.dilation, conv.groups
        self.weight, self.bias = conv.weight, conv.bias
        top, bottom, left, right = _padding(conv)
        rows = top if not periodic[0] and top == bottom else 0
        columns = left if not periodic[1] and left == right else 0
        self.padding = (rows, columns)
        self.pad = WarpPad((top - rows, bottom - rows, left - columns, right - columns), periodic)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, WarpConv2d was built for (batch, {self.in_channels}, rows, columns): "
                f"build it from a convolution with in_channels={x.shape[1] if x.ndim == 4 else '…'} or reshape x."
            )
        return F.conv2d(self.pad(x), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def folded(self) -> nn.Module:
        channels: tuple[int, int] = (self.in_channels, self.out_channels)
        options: dict[str, Any] = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}
        kernel: Any = self.kernel_size
        conv = nn.Conv2d(*channels, kernel, **options, bias=self.bias is not None).to(self.weight)
        with torch.no_grad():
            conv.weight.copy_(self.weight)
            if self.bias is not None and conv.bias is not None:
                conv.bias.copy_(self.bias)
        return nn.Sequential(*self.pad.folded(), conv)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if max(self.padding):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups > 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


def with_warp_padding(network: nn.Module, warp: Warp) -> nn.Module:
    """A copy of a CNN whose ``nn.Conv2d`` layers wrap their padding on the periodic axes of ``warp``.

    Parameters keep their names and values, so state dicts go both ways. Without a periodic axis it is a plain copy.
    What pads outside of modules (``F.conv2d`` with a padding, in some ``forward``) is not seen.

    Raises: ValueError, where an axis is periodic, for layers that reach over the edge in a way that cannot be wrapped:
    pooling with padding or ``ceil_mode``, transposed convolution, smooth upsampling, zero, reflecting or replicating
    padding, subclasses of ``nn.Conv2d``, whose forward is their own, and convolutions with hooks or parametrisations
    (spectral norm), which would be lost; the message names the layer.
    """
    network = copy.deepcopy(network)
    if not any(warp.periodic):
        return network
    wrapped: dict[nn.Module, nn.Module] = {}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not _has_hooks(module):
            if max(_padding(module)):
                wrapped.setdefault(module, WarpConv2d(module, warp.periodic))
                parent, _, child = name.rpartition(".")
                if name:
                    setattr(network.get_submodule(parent), child, wrapped[module])
        elif _reaches_over_the_edge(module):
            raise ValueError(
                f"got {name or 'the network'} = {module}, whose edge cannot be wrapped: wanted padding in nn.Conv2d "
                f"only, with zeros and no hooks; put nn.WarpPad before a layer without padding of its own."
            )
    return wrapped.get(network, network)


def _padding(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """(top, bottom, left, right); "same" puts the odd one last, as torch does."""
    if conv.padding == "valid":
        return (0, 0, 0, 0)
    if conv.padding == "same":
        rows, columns = (d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
        return (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    rows, columns = (int(p) for p in conv.padding)
    return (rows, rows, columns, columns)


def _reaches_over_the_edge(module: nn.Module) -> bool:
    if isinstance(module, nn.Upsample):
        return module.mode != "nearest"
    if isinstance(module, WarpPad | WarpConv2d | nn.CircularPad2d):
        return False
    if isinstance(module, nn.ConvTranspose2d):
        return True
    if getattr(module, "ceil_mode", False):
        return True
    padding = getattr(module, "padding", 0)
    return any(padding) if isinstance(padding, tuple) else padding not in (0, "valid")


def _has_hooks(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks)

"""A kernel made of parameters, kept between the calls of a layer that is no longer trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class KeptKernel:
    """The last kernel that was made of some parameters, for as long as they stay what they were.

    ``get(owners, dtype, make)`` gives ``make()``, or what it gave before, detached, if since then no owner was written
    to (its version), replaced (its memory) or cast. It is made anew at each call where gradients are asked for, while
    tracing, and where owners are no plain parameters (``torch.func``, parametrisations, tensors of inference mode).
    Writes through ``parameter.data`` are not seen. The layer calls ``clear`` in ``train()`` and when it is moved, and
    does not ask while it is in training mode, where optimizers may write in that way.

    In training a kernel is made at each call, not once for each step: a kernel with its graph, shared by two calls,
    could be used in one backward pass only, which frees that graph, so that two losses with a pass each would fail, and
    under ``torch.utils.checkpoint`` the second call would save other tensors than the first.

    A copy or pickle of it is empty. Pinned by ``tests/nn/test_kept.py``.
    """

    def __init__(self) -> None:
        self._last: tuple[list[Tensor], list[int], torch.dtype, Tensor] | None = None

    def get(self, owners: Sequence[Tensor], dtype: torch.dtype, make: Callable[[], Tensor]) -> Tensor:
        """``make()``, a kernel of ``dtype`` that depends on ``owners`` alone, or the one kept."""
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(p.requires_grad for p in owners)):
            return make()
        if any(type(p) is not nn.Parameter or p.is_inference() for p in owners):
            return make()
        last = self._last
        if last is None or not self._is_fresh(last, owners, dtype):
            with torch.inference_mode(False), torch.no_grad():  # of use to autograd later, wherever it is made
                # aliases, which keep the memory of replaced parameters from being given to others
                last = ([p.detach() for p in owners], [p._version for p in owners], dtype, make())
            self._last = last
        return last[3]

    @staticmethod
    def _is_fresh(
        last: tuple[list[Tensor], list[int], torch.dtype, Tensor], owners: Sequence[Tensor], dtype: torch.dtype
    ) -> bool:
        aliases, versions, kept_dtype, _ = last
        return kept_dtype == dtype and all(
            p._version == version and p.data_ptr() == alias.data_ptr() and p.dtype == alias.dtype
            for p, version, alias in zip(owners, versions, aliases, strict=True)
        )

    def clear(self) -> None:
        """Forget the kernel."""
        self._last = None

    def __reduce__(self) -> Any:
        return KeptKernel, ()

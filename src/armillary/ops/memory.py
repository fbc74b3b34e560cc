"""Large results on the CPU, in large pages where the system offers them.

A fresh page costs a fault of one or two microseconds, which for 4 KiB pages is more than the arithmetic of a light
layer. On Linux with transparent huge pages set to "madvise" (the usual default) a process has to ask for large ones.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from functools import cache

from torch import Tensor

_LEAST = 1 << 20  # bytes worth asking for


@cache
def _madvise() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux") or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    function = getattr(ctypes.CDLL(None), "madvise", None)
    if function is not None:
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


def empty(like: Tensor, *shape: int) -> Tensor:
    """``like.new_empty(shape)``; a large one asks for large pages before it is first touched."""
    result = like.new_empty(shape)
    size = math.prod(shape) * result.itemsize
    advise = _madvise() if size >= _LEAST and result.device.type == "cpu" else None
    if advise is not None:
        first = -(-result.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (result.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        advise(first, last - first, mmap.MADV_HUGEPAGE)  # a refusal changes nothing but the time
    return result

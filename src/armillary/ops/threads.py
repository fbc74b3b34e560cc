"""Compiled jobs on the threads of torch.

The team of torch's own OpenMP runtime runs them, where there is one: its threads are awake after every operation of
torch, and those of another pool would compete with them for the cores. Elsewhere Python threads run them.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch

_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _gomp_parallel() -> Callable[..., object] | None:
    """``GOMP_parallel(function, data, threads, flags)`` of the OpenMP runtime that torch is linked with."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        function = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    function.restype = None
    return function


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Kept between calls; a forked process, which has lost the threads, makes its own."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="armillary")


def run(entry: int, arrays: Sequence[np.ndarray], numbers: Sequence[int], jobs: Sequence[tuple[int, int]]) -> None:
    """Run a compiled function on ``torch.get_num_threads()`` threads, which share the jobs among them.

    ``entry`` is the address of a C function of one pointer, to four int64: a counter from which each thread takes the
    number of its next job, the number of jobs, the address of the jobs (n, 2), and that of the arguments: for each
    array its address and shape, then the numbers, all int64. Arrays must be contiguous.
    """
    for array in arrays:
        assert array.flags.c_contiguous
    described = [value for array in arrays for value in (array.ctypes.data, *array.shape)]
    table = np.array([*described, *numbers], dtype=np.int64)
    ranges = np.array(jobs, dtype=np.int64).reshape(-1, 2)
    head = np.array([0, len(ranges), ranges.ctypes.data, table.ctypes.data], dtype=np.int64)
    threads = min(torch.get_num_threads(), len(ranges))
    team = _gomp_parallel()
    if threads <= 1:
        _Entry(entry)(head.ctypes.data)
    elif team is not None:
        team(entry, head.ctypes.data, threads, 0)
    else:
        call = _Entry(entry)
        for done in [_pool(os.getpid()).submit(call, head.ctypes.data) for _ in range(threads)]:
            done.result()

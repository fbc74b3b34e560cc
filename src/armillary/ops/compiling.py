"""Kernels that numba compiles on this machine at first use and keeps in its cache for later runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)
_WORTH_TELLING = 0.5  # seconds; to find a kernel in the cache takes less


def ready(make: Callable[..., int], *arguments: object) -> int:
    """The address of the kernel ``make(*arguments)``; ``make`` is a ``functools.cache``.

    One that had to be compiled is told of at level INFO, which the command line shows. From Python:
    ``logging.basicConfig(level=logging.INFO)``.
    """
    made = make.cache_info().currsize  # type: ignore[attr-defined]
    began = time.perf_counter()
    address = make(*arguments)
    seconds = time.perf_counter() - began
    if make.cache_info().currsize > made and seconds > _WORTH_TELLING:  # type: ignore[attr-defined]
        _log.info("compiled %s for this processor in %.1f s; later runs find it made", make.__name__, seconds)
    return address

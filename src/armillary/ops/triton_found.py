"""Whether the kernels for a GPU can be made: a slow path is never silent."""

from __future__ import annotations

import warnings
from functools import cache


@cache
def triton_found(what: str, module: str) -> bool:
    """Whether triton can be imported; if not, a warning says so, once for each ``module`` of kernels: ``what`` (a
    sentence's end: which layers, and how they run without) and the fix."""
    try:
        import triton  # noqa: F401
    except ImportError as error:
        warnings.warn(
            f"triton cannot be imported ({error}), so {what}. Wanted: the compiled kernels of {module}. Fix: pip "
            "install triton",
            stacklevel=3,
        )
        return False
    return True

"""Packages that only some users need: imported when used, with an error that names the extra to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class MissingExtra(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def extra_module(name: str, extra: str, purpose: str) -> Any:
    """The module ``name``, which the extra ``extra`` of this package brings. Raises: MissingExtra, an ImportError, with
    ``purpose``, the extra and how to install it, where it is not there."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingExtra(
            f'{purpose} needs {package}, which is not installed: pip install "armillary[{extra}]".'
        ) from error

"""Tables on the terminal, and numbers that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def finite(value: Any) -> Any:
    """The same nested value with NaN and infinities as None, for strict JSON."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_scores(console: Console, scores: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Metrics as rows, splits as columns."""
    table = Table("metric", *scores, title=title)
    for name in dict.fromkeys(name for split in scores.values() for name in split):
        table.add_row(name, *(f"{split[name]:.4f}" if name in split else "" for split in scores.values()))
    console.print(table)

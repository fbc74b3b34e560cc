"""``armillary reproduce`` and ``armillary systems``: the papers' claims, and which of them run."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table


def systems() -> None:
    """List the twenty systems and which of them work.

    Examples::

        armillary systems
    """
    from armillary.recipes import SYSTEMS

    table = Table("#", "name", "system", "domain", "works", title="systems")
    for system in SYSTEMS:
        table.add_row(str(system.number), system.name, system.title, system.domain, "yes" if system.works else "")
    Console().print(table)


def reproduce(
    name: str,
    *,
    scale: Literal["tiny", "small", "paper"] = "small",
    out: Path | None = None,
    seeds: int = 3,
) -> int:
    """Run a paper's headline comparison again; write result.json, figure.png and report.md.

    Examples::

        armillary reproduce disco --scale tiny
        armillary reproduce disco --scale small --seeds 3 --out results/disco

    Parameters
    ----------
    name
        A system that works (see armillary systems).
    scale
        tiny: seconds to show that it runs; small: minutes; paper: the paper's size.
    out
        Directory for the results (default: results/NAME-SCALE).
    seeds
        Independent repetitions, at least 1.
    """
    from armillary.recipes import SYSTEMS

    working = [system.name for system in SYSTEMS if system.works]
    if name not in working:
        planned = any(system.name == name for system in SYSTEMS)
        near = difflib.get_close_matches(name, working, n=1)
        hint = "it does not work yet" if planned else f"did you mean {near[0]!r}?" if near else "no such system"
        raise ValueError(f"got {name!r}: {hint}; systems that work: {', '.join(working)}.")
    if seeds < 1:
        raise ValueError(f"got --seeds {seeds}, wanted at least 1.")
    target = out or Path("results") / f"{name}-{scale}"
    recipe = importlib.import_module(f"armillary.recipes.{name}")
    result = recipe.reproduce(scale=scale, out=target, seeds=seeds)
    _print_result(result, target)
    return 0


def _print_result(result: dict, target: Path) -> None:
    console = Console()
    table = Table("network", "metric", "mean", "std", "seeds", title=f"{result['system']} at scale {result['scale']}")
    for row in result["rows"]:
        std = "" if row.get("std") is None else f"{row['std']:.3g}"
        mean = "" if row.get("mean") is None else f"{row['mean']:.4g}"
        table.add_row(str(row["name"]), str(row["metric"]), mean, std, str(row.get("n_seeds", "")))
    console.print(table)
    console.print(f"claim: {result['claim']['text']}", markup=False)
    console.print(f"holds here: {'yes' if result['holds'] else 'no'}; written to {target}", markup=False)

"""The table of the suite ``edge``: times, memory and construction, and the floor that operations and bytes set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armillary.bench.edge_cases import EdgeCase
from armillary.bench.machine import COPY, COPY_NUMBERS, PRODUCT, PRODUCT_SIZE
from armillary.bench.record import table
from armillary.bench.tables import LEGEND, NONE, Entry, milliseconds, times_over_ours
from armillary.bench.turns import OURS


def floor(case: EdgeCase, results: dict[str, Any]) -> float:
    """The seconds that operations or bytes of a forward and backward pass take at least, at the rates of the matrix
    product and of the copy in the same run."""
    rate = 2 * PRODUCT_SIZE**3 / results[PRODUCT]["inference"]["median_s"]
    bandwidth = 2 * 4 * COPY_NUMBERS / results[COPY]["inference"]["median_s"]
    return max(case.operations / rate, case.bytes_moved / bandwidth)


def edge_summary(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """For each case and library the time and memory over ours, seconds of construction, and the share of the floor."""
    found = []
    for case, results in entries:
        for name, result in results.items():
            if "both" not in result:
                continue
            used, ours = (max(0, r["peak"] - r["baseline"]) for r in (result, results[OURS]))
            found.append(
                {
                    "case": case.name,
                    "implementation": name,
                    "time_over_ours": times_over_ours(result),
                    "memory_over_ours": used / ours if ours else None,
                    "construct_s": result["construct_s"],
                    "first_s": result["first_s"],
                    "floor_s": floor(case, results),
                }
            )
    return found


def edge_table(entries: Sequence[Entry]) -> str:
    """A row for each case and library."""
    columns = ["L", "channels", "edges", "paths", "implementation", "forward, ms", "backward, ms", "both, ms"]
    columns += ["times ours", "floor, ms", "the pass, MB", "times ours", "construction, ms", "first pass, s"]
    rows = []
    for case, results in entries:
        sizes = [str(n) for n in (case.lmax, case.channels, case.edges, len(case.plan.paths))]
        for name, result in results.items():
            if "both" not in result:
                continue
            used, ours = (max(0, r["peak"] - r["baseline"]) for r in (result, results[OURS]))
            times = [milliseconds(result, part) for part in ("forward", "backward", "both")]
            memory = [f"{used / 1e6:.1f}", f"{used / ours:.1f}" if ours else NONE]
            made = [f"{1e3 * result['construct_s']:.1f}", f"{result['first_s']:.2f}"]
            lowest = f"{1e3 * floor(case, results):.2f}"
            rows.append([*sizes, name, *times, f"{times_over_ours(result):.1f}", lowest, *memory, *made])
    counts = "; ".join(f"{c.name}: {c.operations / 1e6:.0f} Mflop, {c.bytes_moved / 1e6:.1f} MB" for c, _ in entries)
    note = (
        "Both passes from features, edge vectors and weights, with frames or harmonics, and back to all three. Memory: "
        "the peak of a turn less what the warm process held. The first pass compiles; kernels in numba's cache are "
        f"found there. Floor: operations and bytes at the rates of a matrix product and a copy ({counts})."
    )
    return f"{table(columns, rows)}\n{LEGEND} {note}"

"""The table and the fits of the suite ``so3``."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.bench.operations import exponent
from armillary.bench.record import table
from armillary.bench.tables import LEGEND, NONE, Entry, by_implementation, milliseconds, times_over_ours
from armillary.bench.turns import OURS


def so3_fits(entries: Sequence[Entry]) -> dict[str, dict[str, float | None]]:
    """For each implementation the exponents of time and memory in the bandlimit b, None for fewer than two sizes.

    ``memory`` is that of the pass, the peak less what the warm process held; ``with tables`` counts the layer, too.
    """
    fits: dict[str, dict[str, float | None]] = {}
    for name, own in by_implementation(entries).items():
        sizes = [round((points / 8) ** (1 / 3)) for points, _ in own]
        values = {
            "both": [result["both"]["median_s"] for _, result in own],
            "memory": [result["peak"] - result["baseline"] for _, result in own],
            "with tables": [result["peak"] - result["resident_before"] for _, result in own],
        }
        fits[name] = {part: exponent(sizes, found) if len(own) > 1 else None for part, found in values.items()}
    return fits


def so3_table(entries: Sequence[Entry]) -> str:
    """Times, and the memory of the pass and of the layer with its pass, at each bandlimit; then the exponents."""
    columns = ["b", "channels", "implementation", "forward, ms", "backward, ms", "both, ms", "times ours"]
    columns += ["the pass, MB", "times ours", "with the layer, MB", "times ours"]
    rows = []
    for case, results in entries:
        for name, result in results.items():
            cells = []
            for held in ("baseline", "resident_before"):
                used, ours = (r["peak"] - r[held] for r in (result, results[OURS]))
                cells += [f"{used / 1e6:.0f}", f"{used / ours:.2f}"]
            times = [milliseconds(result, part) for part in ("forward", "backward", "both")]
            ratio = f"{times_over_ours(result):.2f}"
            rows.append([str(case.bandlimit), str(case.channels), name, *times, ratio, *cells])
    fits = [
        [name, *(NONE if value is None else f"{value:.2f}" for value in fit.values())]
        for name, fit in so3_fits(entries).items()
    ]
    note = (
        "Memory: the peak of a turn less what the warm process held without a field; then less what it held before the "
        "layer was built, which counts tables and compiled kernels.\n\nExponents in b:"
    )
    heads = ["implementation", "forward and backward", "the pass", "with the layer"]
    return f"{table(columns, rows)}\n{LEGEND} {note}\n\n{table(heads, fits)}"

"""Markdown tables of measurements. An entry is a case with the results of its implementations (``turns.measure``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from armillary.bench.cases import (
    COPY,
    COPY_NUMBERS,
    PRODUCT,
    PRODUCT_SIZE,
    DiscoCase,
    PlanarCase,
    RooflineCase,
    ScalingCase,
    ShtCase,
)
from armillary.bench.edge_cases import EdgeCase
from armillary.bench.gcnn_cases import GroupNetCase
from armillary.bench.operations import bytes_moved, contraction_and_mixing, exponent, geometric_mean
from armillary.bench.record import table
from armillary.bench.so3_cases import SO3Case
from armillary.bench.turns import OURS, THEIRS

Entry = tuple[Any, dict[str, dict[str, Any]]]
NONE = "–"
FIT_FROM = 128 * 256
SPREAD_FROM = 256 * 512


def milliseconds(result: dict[str, Any], part: str) -> str:
    """The median time, with the median ratio of ours to it and its quartiles if it is not ours."""
    text = f"{1e3 * result[part]['median_s']:.2f}"
    if "quartiles" not in result[part] or result[part]["quartiles"] == [1, 1]:
        return text
    low, high = result[part]["quartiles"]
    return f"{text} ({result[part]['ours_over_this']:.2f}, {low:.2f}–{high:.2f})"


def times_over_ours(result: dict[str, Any], part: str = "both") -> float:
    """How many times as long as armillary, the median of paired ratios."""
    return 1 / result[part]["ours_over_this"]


def layer_cells(case: DiscoCase) -> list[str]:
    """What a row says of a DISCO layer."""
    return [case.name, case.shapes, str(case.channels)]


LEGEND = "\nms: median (armillary's time over it: median, quartiles of the paired ratios)."


def _times(entries: Sequence[Entry], columns: list[str], cells: Callable[[Any], list[str]]) -> str:
    columns = [*columns, "implementation", "forward, ms", "backward, ms", "both, ms", "times ours", "peak, MB"]
    rows = []
    for case, results in entries:
        for name, result in results.items():
            times = [milliseconds(result, part) for part in ("forward", "backward", "both")]
            rows.append([*cells(case), name, *times, f"{times_over_ours(result):.2f}", f"{result['peak'] / 1e6:.0f}"])
    return table(columns, rows) + "\n" + LEGEND


def fastest_of_theirs(entries: Sequence[Entry]) -> list[float]:
    """For each case that has one, the time of the faster path of torch-harmonics over ours, forward and backward."""
    found = []
    for _, results in entries:
        if own := [times_over_ours(results[name]) for name in THEIRS if name in results]:
            found.append(min(own))
    return found


def _beside_theirs(entries: Sequence[Entry]) -> str:
    best = fastest_of_theirs(entries)
    if not best:
        return ""
    return (
        f"\n\nForward and backward, the faster of torch-harmonics' over ours: geometric mean "
        f"{geometric_mean(best):.2f}, least {min(best):.2f}, of {len(best)} cases."
    )


def layers_table(entries: Sequence[Entry]) -> str:
    """Times and ratios of every implementation."""
    return _times(entries, ["layer", "grid", "channels"], layer_cells) + _beside_theirs(entries)


def conv2d_table(entries: Sequence[Entry]) -> str:
    """Times and ratios of DISCO and planar layers."""

    def cells(case: PlanarCase) -> list[str]:
        return [case.disco.shapes, str(case.disco.channels), case.reach, str(case.disco.hats.basis.size)]

    return _times(entries, ["grid", "channels", "cutoff", "K"], cells)


@dataclass(frozen=True)
class Roofline:
    """What the machine did best in a run: operations per second of a matrix product, bytes per second of a copy."""

    operations: float
    bytes: float

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Roofline:
        """From the fastest turns."""

        def fastest(name: str) -> float:
            return min(min(results[name]["inference"]["times_s"]) for _, results in entries)

        return cls(2 * PRODUCT_SIZE**3 / fastest(PRODUCT), 2 * 4 * COPY_NUMBERS / fastest(COPY))

    def floor(self, operations: float, moved: float) -> float:
        """Seconds that so many operations and bytes take at least."""
        return max(operations / self.operations, moved / self.bytes)


def sizes_table(entries: Sequence[Entry]) -> str:
    """One row for each layer: operations and bytes counted, share of the roofline, time for each value, peers, memory.

    Forward and backward together count three times what the forward pass does.
    """
    columns = ["grids", "channels", "K", "Gop: contraction + mixing", "GB moved", "ms: forward + backward"]
    columns += ["of the roofline", "ns per point, channel and function", "theirs / ours", "fused / ours"]
    columns += ["peak, MB", "theirs, MB"]
    top = Roofline.of(entries)
    rows = []
    for case, results in entries:
        disco: DiscoCase = case.disco
        ours, functions = results[OURS], disco.hats.basis.size
        counts, moved = contraction_and_mixing(disco, ours["entries"]), bytes_moved(disco)
        seconds = ours["both"]["median_s"]
        theirs = [results[name] for name in THEIRS if name in results]
        rows.append(
            [
                disco.shapes,
                str(disco.channels),
                str(functions),
                " + ".join(f"{count / 1e9:.2f}" for count in counts),
                f"{moved / 1e9:.2f}",
                " + ".join(f"{1e3 * ours[part]['median_s']:.0f}" for part in ("forward", "backward")),
                f"{100 * top.floor(3 * sum(counts), 3 * moved) / seconds:.0f} %",
                f"{1e9 * seconds / (2 * disco.nlat**2 * disco.channels * disco.batch * functions):.2f}",
                *([f"{times_over_ours(result):.2f}" for result in theirs] or [NONE, NONE]),
                f"{ours['peak'] / 1e6:.0f}",
                f"{min(result['peak'] for result in theirs) / 1e6:.0f}" if theirs else NONE,
            ]
        )
    text = (
        f"Roofline: {top.operations / 1e9:.0f} Gop/s, the fastest {PRODUCT_SIZE}³ product among the turns, and "
        f"{top.bytes / 1e9:.0f} GB/s, the fastest copy.\n\n"
    )
    return text + table(columns, rows) + _beside_theirs(entries)


def sht_table(entries: Sequence[Entry]) -> str:
    """Times without gradient, and forward and backward with it; memory during the passes and for the module."""
    columns = ["transform", "rings", "batch × channels", "implementation", "no gradient, ms", "forward, ms"]
    columns += ["backward, ms", "peak, MB", "resident once built, MB", "grown by building, MB"]
    rows = []
    for case, results in entries:
        for name, result in results.items():
            grown = result["resident_after"] - result["resident_before"]
            rows.append(
                [
                    "inverse" if case.inverse else "forward",
                    str(case.nlat),
                    f"{case.batch} × {case.channels}",
                    name,
                    *(milliseconds(result, part) for part in ("inference", "forward", "backward")),
                    *(f"{value / 1e6:.0f}" for value in (result["peak"], result["resident_after"], grown)),
                ]
            )
    return table(columns, rows) + "\n" + LEGEND


def by_implementation(entries: Sequence[Entry]) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """For each implementation its results, with the points of the grid."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for case, results in entries:
        for name, result in results.items():
            found.setdefault(name, []).append((case.points, result))
    return found


def scaling_fits(entries: Sequence[Entry]) -> dict[str, dict[str, float | None]]:
    """For each implementation: exponents of times and memory from 128×256 on; the spread of ns per pixel from 256×512.

    Memory is the peak of a pass less what the warm process held before it. A spread is max/min - 1, of the fastest
    turns: a busy machine adds more to a size that fills its caches than to one that does not.
    """
    fits = {}
    for name, own in by_implementation(entries).items():
        far = [(pixels, result) for pixels, result in own if pixels >= FIT_FROM]
        sizes = [pixels for pixels, _ in far]
        fit: dict[str, float | None] = {
            part: exponent(sizes, [result[part]["median_s"] for _, result in far])
            for part in ("forward", "backward", "both")
        }
        fit["memory"] = exponent(sizes, [result["peak"] - result["baseline"] for _, result in far])
        paces = [min(result["both"]["times_s"]) / pixels for pixels, result in own if pixels >= SPREAD_FROM]
        fit["spread"] = max(paces) / min(paces) - 1 if len(paces) > 1 else None
        fits[name] = fit
    return fits


def scaling_table(entries: Sequence[Entry]) -> str:
    """Times, ns for each pixel and memory at each size; then the fits."""
    rows = [
        [
            f"{case.disco.nlat}×{2 * case.disco.nlat}",
            name,
            *(f"{1e3 * result[part]['median_s']:.2f}" for part in ("forward", "backward")),
            " / ".join(
                f"{1e9 * seconds / (2 * case.disco.nlat**2):.1f}"
                for seconds in (result["both"]["median_s"], min(result["both"]["times_s"]))
            ),
            f"{times_over_ours(result):.2f}",
            *(f"{value / 1e6:.1f}" for value in (result["peak"], result["peak"] - result["baseline"])),
        ]
        for case, results in entries
        for name, result in results.items()
    ]
    columns = [
        "grid",
        "implementation",
        "forward, ms",
        "backward, ms",
        "both, ns per pixel: median / fastest",
        "times ours",
    ]
    sizes = table([*columns, "peak, MB", "of it the pass, MB"], rows)

    def text(value: float | None, form: str) -> str:
        return NONE if value is None else format(value, form)

    fits = [
        [
            name,
            *(text(fit[part], ".3f") for part in ("forward", "backward", "both", "memory")),
            text(fit["spread"], ".0%"),
        ]
        for name, fit in scaling_fits(entries).items()
    ]
    heads = ["implementation", "forward", "backward", "both", "memory", "spread of ns per pixel"]
    note = (
        "Exponents in the number of pixels, from 128×256 on; spread (max/min - 1) of the fastest turns from 256×512 on."
    )
    return f"{sizes}\n\n{note}\n\n{table(heads, fits)}"


def title(case: Any) -> str:
    """One line for a case, in progress and pictures."""
    match case:
        case DiscoCase():
            return f"{case.kind}, {case.hats.basis.size} functions, {case.shapes}, {case.channels} channels"
        case RooflineCase() | ScalingCase():
            return title(case.disco)
        case PlanarCase():
            grid = f"{case.disco.nlat}×{2 * case.disco.nlat}"
            return f"{grid}, {case.disco.channels} channels, {case.reach} and {case.size}×{case.size}"
        case ShtCase():
            way = "inverse" if case.inverse else "forward"
            return f"{way}, {case.nlat} rings, {case.batch}×{case.channels} fields"
        case GroupNetCase():
            return f"{case.name}, batch {case.batch}" + (", folded" if case.folded else "")
        case SO3Case():
            return f"b = {case.bandlimit}, {case.channels} channels"
        case EdgeCase():
            return case.name
    raise TypeError(f"got {case!r}, wanted a case")

"""Pictures of measurements, as the bytes of a PNG file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from armillary.bench.gcnn_cases import ESCNN, ESCNN_BARE, ESCNN_FULL, STOCK, UNFOLDED
from armillary.bench.so3_cases import DIRECT, HALF
from armillary.bench.so3_tables import so3_fits
from armillary.bench.tables import Entry, by_implementation, scaling_fits, title
from armillary.bench.turns import OURS, THEIRS

_STYLES = {
    OURS: ("o", "black"),
    THEIRS[0]: ("s", "C0"),
    THEIRS[1]: ("^", "C1"),
    ESCNN: ("s", "C0"),
    ESCNN_FULL: ("^", "C1"),
    ESCNN_BARE: ("v", "C4"),
    UNFOLDED: ("o", "C7"),
    STOCK: ("D", "C2"),
    HALF: ("o", "C7"),
    DIRECT: ("s", "C0"),
}


_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500)
_FINE_TICKS = (0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8)


def _style(name: str) -> tuple[str, str]:
    if name in _STYLES:
        return _STYLES[name]
    return ("D", "C2") if "circular" in name else ("x", "C3")


def _bytes(figure: Any) -> bytes:
    held = io.BytesIO()
    figure.savefig(held, dpi=110, format="png")
    return held.getvalue()


def draw_ratios(entries: Sequence[Entry], part: str, what: str) -> bytes:
    """One line for each case: the time of each implementation over ours, with the quartiles of the paired ratios."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.32 * len(entries)), layout="constrained")
    _ratio_panel(figure.subplots(), entries, part, what, set())
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return _bytes(figure)


def draw_networks(entries: Sequence[Entry]) -> bytes:
    """The panel of ``draw_ratios`` for building, forward and backward, and folded networks, where there are."""
    from matplotlib.figure import Figure

    kinds = (
        ("construct", "to construct", False),
        ("both", "forward and backward", False),
        ("inference", "without gradient, folded", True),
    )
    panels = [
        (part, what, own)
        for part, what, folded in kinds
        if (own := [e for e in entries if e[0].folded == folded and any(part in result for result in e[1].values())])
    ]
    rows = [len(own) + 1.5 for _, _, own in panels]
    figure = Figure(figsize=(9, 0.8 + 0.55 * sum(rows)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)[:, 0]
    seen: set[str] = set()
    for panel, (part, what, own) in zip(axes, panels, strict=True):
        _ratio_panel(panel, own, part, what, seen)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return _bytes(figure)


def _ratio_panel(panel: Any, entries: Sequence[Entry], part: str, what: str, seen: set[str]) -> None:
    """What is in ``seen`` already has its place in the legend, and what gets one is added."""
    for row, (_, results) in enumerate(entries):
        others = [n for n, result in results.items() if n != OURS and "ours_over_this" in result.get(part, {})]
        for i, name in enumerate(others):
            result = results[name]
            marker, colour = _style(name)
            middle = 1 / result[part]["ours_over_this"]
            low, high = (1 / ratio for ratio in reversed(result[part]["quartiles"]))
            label = None if (kind := _kind(name)) in seen else kind
            seen.add(kind)
            bars = [[max(middle - low, 0)], [max(high - middle, 0)]]
            height = row + 0.24 * (i - (len(others) - 1) / 2)  # side by side, so that none hides another
            panel.errorbar(middle, height, xerr=bars, fmt=marker, color=colour, label=label, markersize=5, capsize=2)
    panel.axvline(1, color="black", linewidth=1.5, label=None if OURS in seen else OURS)
    seen.add(OURS)
    panel.set_yticks(range(len(entries)), [title(case) for case, _ in entries], fontsize=8)
    panel.set_ylim(len(entries) - 0.5, -0.5)
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    ticks = [t for t in _TICKS if low <= t <= high]
    ticks = ticks if len(ticks) > 2 else [t for t in _FINE_TICKS if low <= t <= high]
    panel.set_xticks(ticks, [f"{t:g}" for t in ticks])
    panel.set_xticks([], minor=True)
    panel.set_xlabel(f"time over armillary's, {what}\n(right of the line armillary is faster)")
    panel.grid(alpha=0.3)


def _kind(name: str) -> str:
    """A convolution of any size is one kind in the legend."""
    head, _, tail = name.partition(", ")
    return f"conv2d, {tail}" if head.startswith("conv2d") else name


def draw_scaling(entries: Sequence[Entry]) -> bytes:
    """Time, and the memory of the pass, against pixels, log–log, with the fitted exponents in the legends."""
    grids = {case.points: f"{case.disco.nlat}×{2 * case.disco.nlat}" for case, _ in entries}
    return _curves(entries, scaling_fits(entries), grids, "grid")


def draw_so3(entries: Sequence[Entry]) -> bytes:
    """The same for convolutions on SO(3), against the bandlimit."""
    bandlimits = {case.points: str(case.bandlimit) for case, _ in entries}
    return _curves(entries, so3_fits(entries), bandlimits, "bandlimit b (8b³ samples)")


def _curves(
    entries: Sequence[Entry], fits: Mapping[str, Mapping[str, float | None]], ticks: Mapping[int, str], what: str
) -> bytes:
    """One curve for each implementation; ``ticks`` are the names of the sizes by their points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for name, own in by_implementation(entries).items():
        marker, colour = _style(name)
        points = [count for count, _ in own]
        values = {
            "both": [1e3 * result["both"]["median_s"] for _, result in own],
            "memory": [(result["peak"] - result["baseline"]) / 1e6 for _, result in own],
        }
        for panel, part in zip(panels, values, strict=True):
            fit = fits[name][part]
            label = name if fit is None else f"{name}: exponent {fit:.2f}"
            panel.plot(points, values[part], marker=marker, color=colour, label=label, linewidth=1.3)
    labels = ("forward and backward [ms]", "peak of the pass less baseline [MB]")
    for panel, label in zip(panels, labels, strict=True):
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(sorted(ticks), [ticks[count] for count in sorted(ticks)], fontsize=8)
        panel.set_xticks([], minor=True)
        panel.set_xlabel(what)
        panel.set_ylabel(label)
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    return _bytes(figure)

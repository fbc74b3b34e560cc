"""The figure of the S2CNN recipe: scores on rotated spheres against parameters, and against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from armillary.recipes.report import Result, Row

COLOURS = ("#2e90fa", "#12b76a", "#9b59b6", "#eaaa08")
AUGMENTED = {
    "upright": ("#98a2b3", "o"),
    "each turned once": ("#f79009", "s"),
    "turned anew in every epoch": ("#f04438", "^"),
}


def draw(path: Path, result: Result, equivariant: Sequence[str]) -> Path:
    """Three panels: segmentation and classification of rotated spheres against parameters; mIoU against latency."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, task, title in zip(panels, ("segmentation", "classification"), ("mIoU", "accuracy"), strict=False):
        rows = [row for row in result.rows if row.metric.startswith(f"{task}: ") and row.metric.endswith("rotated")]
        _against_parameters(panel, rows, equivariant)
        panel.set(xlabel="parameters", ylabel=title, title=f"{task}, rotated spheres", ylim=(0, 1))
    panels[0].legend(frameon=False, fontsize=8)
    _against_latency(panels[2], result.rows, equivariant)
    panels[2].set(xlabel="latency, ms per sphere", ylabel="mIoU", title="segmentation, rotated spheres", ylim=(0, 1))
    for panel in panels:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path)


def _parts(row: Row, equivariant: Sequence[str]) -> tuple[str, str]:
    """The network and its training, from the name of a row."""
    own = next((name for name in equivariant if row.name.startswith(f"{name}, ")), None)
    network = own or ", ".join(row.name.split(", ")[:2])
    return network, row.name[len(network) + 2 :]


def _against_parameters(panel: Any, rows: Sequence[Row], equivariant: Sequence[str]) -> None:
    for training, (colour, marker) in AUGMENTED.items():
        mine = [row for row in rows if _parts(row, equivariant)[0] not in equivariant]
        mine = [row for row in mine if _parts(row, equivariant)[1] == training]
        panel.errorbar(
            [row.params for row in mine],
            [row.mean for row in mine],
            [row.std or 0 for row in mine],
            color=colour,
            marker=marker,
            capsize=3,
            label=f"CNN, {training}",
        )
    for row in rows:
        training = _parts(row, equivariant)[1]
        if " passes, " in training:
            panel.errorbar(
                [row.params],
                [row.mean],
                [row.std or 0],
                color="#f04438",
                marker="^",
                markerfacecolor="white",
                capsize=3,
            )
            label = training.split(",")[0]
            panel.annotate(label, (row.params, row.mean), xytext=(8, -3), textcoords="offset points", fontsize=8)
    for name, colour in zip(equivariant, COLOURS, strict=False):
        for row in rows:
            if _parts(row, equivariant)[0] != name:
                continue
            full = _parts(row, equivariant)[1] == "upright"
            face = colour if full else "white"
            panel.errorbar(
                [row.params],
                [row.mean],
                [row.std or 0],
                color=colour,
                marker="D",
                markerfacecolor=face,
                capsize=3,
                linestyle="none",
                label=f"{name}, upright" if full else f"{name}, a quarter of the data",
            )


def _against_latency(panel: Any, rows: Sequence[Row], equivariant: Sequence[str]) -> None:
    times = {row.name: row.mean for row in rows if row.metric.startswith("segmentation: latency")}
    for row in rows:
        if not (row.metric.startswith("segmentation: ") and row.metric.endswith("rotated")):
            continue
        network, training = _parts(row, equivariant)
        if network in equivariant and training == "upright":
            panel.plot(times[network], row.mean, "D", color=COLOURS[list(equivariant).index(network)])
            panel.annotate(network, (times[network], row.mean), xytext=(5, 5), textcoords="offset points", fontsize=8)
        elif network not in equivariant:
            colour, marker = AUGMENTED[training]
            panel.plot(times[network], row.mean, marker, color=colour)

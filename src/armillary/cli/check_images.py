"""``armillary check`` in the plane: accuracy and change of the class scores against the angle of the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from armillary.cli.report import finite
from armillary.cli.trained import Trained
from armillary.data import DataError, ImageDataset, Motion
from armillary.spaces import ImageGrid
from armillary.train import Run
from armillary.train.files import write_json
from armillary.train.pictures import save_figure

ANGLES = tuple(float(a) for a in range(15, 181, 15))
SAMPLES = 500
BATCH = 100


def check_images(run: Run, trained: Trained, grid: ImageGrid, angles: Sequence[float], samples: int) -> int:
    """Write check.json and check.png to the run: for each angle R of the first test images f, Φ the class scores,

    the share of right answers to R f, ``|Φ(R f) - Φ(f)| / |Φ(f)|`` (norms over all images and classes), and the share
    of answers that change. Quarter turns of square images are exact; other angles read each source image once more by
    interpolation, whose error is part of what is measured, and turn the corners out of sight.
    """
    split, data = _test_set(trained, grid)
    count = min(samples, len(data))
    labels = torch.tensor([data.records.label(data.record(i)) for i in range(count)])
    upright, rows = _scores(trained, data, 0.0, count), []
    for angle in track([0.0, *angles], "turning", transient=True, disable=not Console().is_terminal):
        scores = _scores(trained, data, math.radians(angle), count)
        row: dict[str, Any] = {"angle": angle, "exact": Motion(math.radians(angle)).is_exact(grid.shape)}
        row["accuracy"] = float((scores.argmax(1) == labels).double().mean())
        row["error"] = float((scores - upright).norm() / upright.norm())
        rows.append(row | {"labels_changed": float((scores.argmax(1) != upright.argmax(1)).double().mean())})
    result = {"grid": grid.to_dict(), "split": split, "samples": count, "rows": rows}
    write_json(run.path / "check.json", finite(result))
    _print(rows, split, count)
    print(f"wrote {run.path / 'check.json'}, {_draw(run.path / 'check.png', rows, split, count)}")
    return 0


def _test_set(trained: Trained, grid: ImageGrid) -> tuple[str, ImageDataset]:
    """The test split as the source has it, or the validation split of data that have no other."""
    data = replace(trained.data, rotated_valid="none", rotated_test="none")
    try:
        return "test", ImageDataset(data, grid, "test")
    except DataError:
        return "valid", ImageDataset(data, grid, "valid")


def _scores(trained: Trained, data: ImageDataset, angle: float, count: int) -> torch.Tensor:
    parts = [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    return torch.cat([trained.predict(torch.stack([data.turned(i, angle) for i in p]), BATCH) for p in parts]).double()


def _print(rows: Sequence[dict[str, Any]], split: str, count: int) -> None:
    table = Table("angle", "turned", "accuracy", "change of scores", "answers that change")
    table.title = f"{count} images of the {split} split, turned"
    for row in rows:
        how = "exactly" if row["exact"] else "by interpolation"
        cells = (f"{row['accuracy']:.1%}", f"{row['error']:.2e}", f"{row['labels_changed']:.1%}")
        table.add_row(f"{row['angle']:g}°", how, *cells)
    Console().print(table)


def _draw(path: Path, rows: Sequence[dict[str, Any]], split: str, count: int) -> Path:
    from matplotlib.figure import Figure

    rows = sorted(rows, key=lambda row: row["angle"])
    exact = [row for row in rows if row["exact"]]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axis, key, label in zip(panels, ("accuracy", "error"), ("accuracy", "relative change of scores"), strict=True):
        axis.plot([r["angle"] for r in rows], [r[key] for r in rows], "o-", mfc="white", label="by interpolation")
        axis.plot([r["angle"] for r in exact], [r[key] for r in exact], "o", color="tab:blue", label="exact")
        axis.set_xlabel("angle of the images [degrees]")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.suptitle(f"{count} images of the {split} split", fontsize=9)
    return save_figure(figure, path)

"""Pictures of fields on the sphere: maps, orthographic views, class colours with a legend, errors, curves."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from armillary.spaces import SphereGrid
from armillary.train.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNSCORED = (0.85, 0.85, 0.85)


@dataclass(frozen=True)
class Panel:
    """One picture of a field: ``values`` (nlat, nlon) numbers or labels, or (nlat, nlon, 3) colours in [0, 1]."""

    title: str
    values: np.ndarray
    cmap: str = "viridis"
    limits: tuple[float, float] | None = None
    bar: bool = False


def orthographic(values: np.ndarray, grid: SphereGrid, longitude: float, latitude: float, pixels: int = 240) -> Any:
    """``values`` (nlat, nlon, ...) seen from far above (longitude, latitude) in radians; NaN (or 1) off the disc.

    Pixel (u, v) of the unit disc shows the point u·east + v·north + √(1 - u² - v²)·up, by the nearest grid node.
    """
    axis = (np.arange(pixels) + 0.5) * 2 / pixels - 1
    u, v = np.meshgrid(axis, -axis)
    r2 = u**2 + v**2
    w = np.sqrt(np.clip(1 - r2, 0, None))
    slat, clat, slon, clon = math.sin(latitude), math.cos(latitude), math.sin(longitude), math.cos(longitude)
    up = np.array([clat * clon, clat * slon, slat])
    east, north = np.array([-slon, clon, 0.0]), np.array([-slat * clon, -slat * slon, clat])
    points = u[..., None] * east + v[..., None] * north + w[..., None] * up
    theta = np.arccos(np.clip(points[..., 2], -1, 1))
    rings = grid.colatitudes.numpy()
    row = np.searchsorted((rings[1:] + rings[:-1]) / 2, theta)
    column = np.rint(np.arctan2(points[..., 1], points[..., 0]) / grid.longitude_step).astype(int) % grid.nlon
    image = np.array(values[row, column], dtype=float)
    image[r2 > 1] = 1.0 if values.ndim == 3 else np.nan
    return image


def class_colours(n: int, names: Sequence[str] = ()) -> np.ndarray:
    """(n, 3) colours that differ; a first class named "background" is dark."""
    from matplotlib import colormaps

    table = colormaps["tab10" if n <= 10 else "tab20"]
    if n <= 20:
        colours = np.array([table(i)[:3] for i in range(n)])
    else:
        colours = np.array([colormaps["hsv"](i / n)[:3] for i in range(n)])
        colours *= np.where(np.arange(n) % 2, 0.65, 1.0)[:, None]
    if n and len(names) and names[0] == "background":
        colours[0] = (0.12, 0.12, 0.15)
        if n > 1:
            colours[1:] = class_colours(n - 1)
    return colours


def colour_labels(labels: Tensor, colours: np.ndarray) -> np.ndarray:
    """(nlat, nlon) labels -> (nlat, nlon, 3); labels outside the classes are light grey."""
    index = labels.cpu().numpy().astype(int)
    inside = (index >= 0) & (index < len(colours))
    return np.where(inside[..., None], colours[np.where(inside, index, 0)], UNSCORED)


def input_panel(x_CHW: Tensor, names: Sequence[str]) -> Panel:
    """The first three channels as colours where they are one array's red, green and blue, else the first channel."""
    stems = {name.rsplit("[", 1)[0] for name in names[:3]}
    x = x_CHW.detach().cpu().float().numpy()
    if len(x) >= 3 and (len(stems) == 1 or list(names[:3]) == ["red", "green", "blue"]):
        return Panel(f"input {stems.pop() if len(stems) == 1 else 'rgb'}", np.moveaxis(_stretched(x[:3]), 0, -1))
    return Panel(f"input {names[0]}", x[0], cmap="gray", bar=True)


def _stretched(x: np.ndarray) -> np.ndarray:
    low, high = np.nanpercentile(x, (1, 99))
    return np.clip(np.nan_to_num((x - low) / max(high - low, 1e-12)), 0, 1)


def segmentation_panels(
    x: Tensor, target: Tensor | None, prediction: Tensor, input_names: Sequence[str], classes: Sequence[str]
) -> list[Panel]:
    """Input, target, predicted labels, and where they differ, of one sample; ``prediction`` (nlat, nlon) labels."""
    colours = class_colours(len(classes), classes)
    panels = [input_panel(x, input_names)]
    if target is not None:
        panels.append(Panel("target", colour_labels(target, colours)))
    panels.append(Panel("prediction", colour_labels(prediction, colours)))
    if target is not None:
        scored = (target >= 0) & (target < len(classes))
        wrong = torch.where(scored, (prediction == target).long(), 2).cpu().numpy()
        panels.append(Panel("errors (red)", np.array([(0.8, 0.1, 0.1), (1.0, 1.0, 1.0), UNSCORED])[wrong]))
    return panels


def regression_panels(
    x: Tensor, target: Tensor | None, prediction: Tensor, input_names: Sequence[str], outputs: Sequence[str]
) -> list[Panel]:
    """Input, then for the first two outputs target, prediction and error on common scales; tensors (C, nlat, nlon)."""
    panels = [input_panel(x, input_names)]
    for c, name in enumerate(outputs[:2]):
        y = prediction[c].detach().cpu().float().numpy()
        t = None if target is None else target[c].cpu().float().numpy()
        both = y if t is None else np.concatenate([y, t])
        limits = tuple(np.nanpercentile(both, (1, 99)).tolist())
        if t is not None:
            panels.append(Panel(f"target {name}", t, limits=limits))
        panels.append(Panel(f"prediction {name}", y, limits=limits, bar=True))
        if t is not None:
            size = max(float(np.nanpercentile(np.abs(y - t), 99)), 1e-12) if np.isfinite(t).any() else 1.0
            panels.append(Panel(f"error {name}", y - t, cmap="RdBu_r", limits=(-size, size), bar=True))
    return panels


def draw_rows(
    path: Path,
    grid: SphereGrid,
    rows: Sequence[Sequence[Panel]],
    *,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Path:
    """Write a PNG: one row for each sample, each panel as a map, and the last prediction as two views of the sphere.

    ``classes``: names for the legend of class colours.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(3.3 * columns + 3.4, 1.95 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), columns + 2, squeeze=False, width_ratios=[2.0] * columns + [1.0, 1.0])
    for i, row in enumerate(rows):
        for axis in axes[i]:
            axis.set_axis_off()
        for axis, panel in zip(axes[i], row, strict=False):
            _draw_map(figure, axis, panel)
        if len(names) > i:
            axes[i][0].set_title(f"{names[i]}: {row[0].title}", fontsize=8)
        shown = next((p for p in reversed(row) if p.title.startswith("prediction")), row[-1])
        for axis, longitude in zip(axes[i][columns:], (0.0, math.pi), strict=True):
            view = orthographic(shown.values, grid, longitude, math.radians(25))
            low, high = shown.limits or (None, None)
            axis.imshow(view, cmap=shown.cmap, vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(f"from φ = {math.degrees(longitude):.0f}°", fontsize=8)
    if classes:
        colours = class_colours(len(classes), classes)
        handles = [Patch(color=tuple(c), label=name) for c, name in zip(colours, classes, strict=True)]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(11, len(classes)), fontsize=7)
    return save_figure(figure, path)


def _draw_map(figure: Figure, axis: Axes, panel: Panel) -> None:
    low, high = panel.limits or (None, None)
    image = axis.imshow(
        panel.values, cmap=panel.cmap, vmin=low, vmax=high, extent=(0, 360, -90, 90), interpolation="nearest"
    )
    axis.set_title(panel.title, fontsize=8)
    if panel.bar and panel.values.ndim == 2:
        bar = figure.colorbar(image, ax=axis, shrink=0.8, pad=0.01)
        bar.ax.tick_params(labelsize=6)


def draw_curves(path: Path, history: Sequence[Mapping[str, float]], best_metric: str = "loss") -> Path:
    """Write a PNG of the losses and of the validation metrics against the epoch."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(k for row in history for k in row))
    scores = [k for k in names if k.startswith("valid_") and k != "valid_loss"]
    metrics = [k for k in scores if "/" not in k and not k.endswith("_pixels")]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, keys in ((left, [k for k in ("train_loss", "valid_loss") if k in names]), (right, metrics)):
        for key in keys:
            points = [(row["epoch"], row[key]) for row in history if key in row]
            width = 2.2 if key == f"valid_{best_metric}" else 1.2
            axis.plot(
                *zip(*points, strict=True),
                marker=".",
                lw=width,
                label=key.removeprefix("valid_") if axis is right else key,
            )
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        if keys:
            axis.legend(fontsize=7, framealpha=0.6)
    left.set_title("loss", fontsize=9)
    right.set_title("validation", fontsize=9)
    return save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(path, content.getvalue())
    return path

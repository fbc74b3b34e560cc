"""``armillary check``: how equivariant a trained network is, against rotation angle and resolution."""

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
from torch import Tensor, nn

from armillary.cli.check_images import ANGLES, SAMPLES, check_images
from armillary.cli.report import finite
from armillary.cli.trained import Trained, load_trained, network_for
from armillary.data import open_dataset
from armillary.harmonics import resample, rotate
from armillary.spaces import ImageGrid, SphereGrid
from armillary.train import Run, load_weights
from armillary.train.files import write_json
from armillary.train.pictures import save_figure

SPHERE_ANGLES = (5.0, 15.0, 45.0, 90.0, 180.0)
RESOLUTIONS = (1.0, 1.5, 2.0)


def check(
    run: Path,
    *,
    angles: tuple[float, ...] | None = None,
    resolutions: tuple[float, ...] | None = None,
    axes: int | None = None,
    samples: int | None = None,
    lmax: int | None = None,
    seed: int | None = None,
) -> int:
    """Measure how far a trained network is from commuting with rotations; write check.json and check.png to the run.

    Examples::

        armillary check runs/digits
        armillary check runs/earth --angles 10 90 --resolutions 1 --axes 4
        armillary check runs/rotated --angles 45 90 --samples 1000

    For samples f of the validation set, low-passed to degree lmax so that every rotation R of them is exact, the
    error is |Phi(R f) - R Phi(f)| / |Phi(f)| in the norm of the sphere, Phi the network's output (for classification,
    where R leaves the output alone, |Phi(R f) - Phi(f)| / |Phi(f)|). The same weights are also put on finer and
    coarser grids, the filters' size in radians unchanged: an error that comes from the grid falls there.

    For a network of the plane the test images f are turned about their middle, and beside |Phi(R f) - Phi(f)| /
    |Phi(f)| of the class scores the accuracy at each angle is measured. Quarter turns of square images are exact;
    other angles read the images by interpolation, and what it changes counts as error.

    Parameters
    ----------
    run
        Directory written by armillary train.
    angles
        Rotation angles in degrees, on the sphere each about random axes (default: 5 15 45 90 180; images: every 15 up
        to 180).
    resolutions
        Sphere: grids as multiples of the rings the network was trained on (default: 1 1.5 2); much below 1 a cutoff
        holds too few rings to work.
    axes
        Sphere: random axes for each angle (default: 2).
    samples
        Samples of the validation set (default: 2), or of the test images (default: 500).
    lmax
        Sphere: band limit of the samples (default: half of what the coarsest grid holds).
    seed
        Sphere: seed of the axes (default: 0).
    """
    _check_flags(angles, resolutions, axes, samples)
    opened = Run.open(run)
    trained = load_trained(opened)
    if isinstance(trained.grid, ImageGrid):
        for name, value in (("resolutions", resolutions), ("axes", axes), ("lmax", lmax), ("seed", seed)):
            if value is not None:
                raise ValueError(f"got --{name} {value}: it is for networks on the sphere, this one sees images.")
        return check_images(opened, trained, trained.grid, angles or ANGLES, samples or SAMPLES)
    return _check_sphere(
        opened, trained, angles or SPHERE_ANGLES, resolutions or RESOLUTIONS, axes or 2, samples or 2, lmax, seed or 0
    )


def _check_sphere(
    opened: Run,
    trained: Trained,
    angles: Sequence[float],
    resolutions: Sequence[float],
    axes: int,
    samples: int,
    lmax: int | None,
    seed: int,
) -> int:
    space = trained.sphere_grid
    grids = [_scaled(space, factor) for factor in resolutions]
    most = min(grid.lmax for grid in (*grids, space))
    if lmax is not None and not 0 <= lmax <= most:
        raise ValueError(f"got --lmax {lmax}, wanted 0 to {most}, which the coarsest grid holds.")
    degree = max(1, most // 2) if lmax is None else lmax
    fields = _fields(trained, samples)
    weights = opened.load_weights("best")
    turns = _rotations(angles, axes, seed)
    rows = []
    for factor, grid in zip(resolutions, grids, strict=True):
        # The network names its cutoff in rings: as many times more of them keep it fixed in radians.
        config = replace(trained.settings.model, rings=trained.settings.model.rings * grid.nlat / space.nlat)
        network = network_for(config, trained.spec, grid)
        load_weights(network, weights, where=str(opened.checkpoint_path("best")))
        x = resample(fields, space, grid, lmax=degree)
        for angle, rotations in track(
            turns.items(), f"{grid.nlat} rings", transient=True, disable=not Console().is_terminal
        ):
            rows.append(_row(network.eval(), x, grid, angle, rotations, trained.spec.task) | {"resolution": factor})
    result = {"grid": space.to_dict(), "lmax": degree, "samples": len(fields), "axes": axes, "rows": rows}
    write_json(opened.path / "check.json", finite(result))
    _print(rows, grids, angles)
    print(f"wrote {opened.path / 'check.json'}, {_draw(opened.path / 'check.png', rows, trained.spec.task)}")
    return 0


def _check_flags(
    angles: Sequence[float] | None, resolutions: Sequence[float] | None, axes: int | None, samples: int | None
) -> None:
    for name, value in (("angles", angles), ("resolutions", resolutions)):
        if value is not None and (not value or not all(math.isfinite(v) for v in value)):
            raise ValueError(f"got --{name} {value}, wanted one or more numbers.")
    if resolutions is not None and min(resolutions) <= 0:
        raise ValueError(f"got --resolutions {min(resolutions):g}, wanted numbers > 0.")
    for name, count in (("axes", axes), ("samples", samples)):
        if count is not None and count < 1:
            raise ValueError(f"got --{name} {count}, wanted at least 1.")


def _scaled(grid: SphereGrid, factor: float) -> SphereGrid:
    """``factor`` times as many rings, of the same kind and ratio of longitudes to rings; poles stay poles."""
    border = 1 if getattr(grid, "poles", False) else 0
    nlat = round((grid.nlat - border) * factor) + border
    return grid.resized(max(nlat, 2 + 2 * border), max(4, round(grid.nlon * factor)))


def _fields(trained: Trained, samples: int) -> Tensor:
    data = open_dataset(trained.data, trained.grid, "valid")
    return torch.stack([data[i][0] for i in range(min(samples, len(data)))])


def _rotations(angles: Sequence[float], axes: int, seed: int) -> dict[float, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    turns: dict[float, list[Tensor]] = {}
    for angle in angles:
        directions = torch.randn(axes, 3, dtype=torch.float64, generator=generator)
        turns[angle] = [axis_rotation(axis, math.radians(angle)) for axis in directions]
    return turns


def axis_rotation(axis: Tensor, angle: float) -> Tensor:
    """The rotation by ``angle`` (radians, right-handed) about ``axis`` (3,): I + sin α K + (1 - cos α) K², (3, 3)."""
    x, y, z = (axis / axis.norm()).tolist()
    k = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + math.sin(angle) * k + (1 - math.cos(angle)) * (k @ k)


def _row(
    network: nn.Module, x: Tensor, grid: SphereGrid, angle: float, rotations: Sequence[Tensor], task: str
) -> dict[str, Any]:
    errors = []
    changed = []
    with torch.no_grad():
        y = network(x)
        for rotation in rotations:
            moved = network(rotate(x, grid, rotation))
            wanted = y if task == "classification" else rotate(y, grid, rotation)
            errors.append(float(_norm(moved - wanted, grid, task) / _norm(y, grid, task)))
            differs = (moved.argmax(1) != wanted.argmax(1)).double()
            if task == "segmentation":
                differs = grid.integrate(differs) / (4 * math.pi)
            changed.append(float(differs.mean()))
    row: dict[str, Any] = {"nlat": grid.nlat, "nlon": grid.nlon, "angle": angle}
    row |= {"error": sum(errors) / len(errors), "worst": max(errors)}
    return row if task == "regression" else row | {"labels_changed": sum(changed) / len(changed)}


def _norm(y: Tensor, grid: SphereGrid, task: str) -> Tensor:
    square = y.double().square()
    return (square if task == "classification" else grid.integrate(square)).sum().sqrt()


def _print(rows: list[dict[str, Any]], grids: Sequence[SphereGrid], angles: Sequence[float]) -> None:
    labels = "labels_changed" in rows[0]
    title = "relative equivariance error" + (" (share of labels that change)" if labels else "")
    table = Table("angle", *(f"{grid.nlat} x {grid.nlon}" for grid in grids), title=title)
    for i, angle in enumerate(angles):
        cells = [rows[g * len(angles) + i] for g in range(len(grids))]
        texts = [f"{c['error']:.2e}" + (f" ({c['labels_changed']:.1%})" if labels else "") for c in cells]
        table.add_row(f"{angle:g}°", *texts)
    Console().print(table)


def _draw(path: Path, rows: list[dict[str, Any]], task: str) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for resolution in dict.fromkeys(row["resolution"] for row in rows):
        own = [row for row in rows if row["resolution"] == resolution]
        left.plot([r["angle"] for r in own], [r["error"] for r in own], marker="o", label=f"{own[0]['nlat']} rings")
    for angle in dict.fromkeys(row["angle"] for row in rows):
        own = sorted((row for row in rows if row["angle"] == angle), key=lambda row: row["nlat"])
        right.plot([r["nlat"] for r in own], [r["error"] for r in own], marker="o", label=f"{angle:g}°")
    left.set_xlabel("rotation angle [degrees]")
    right.set_xlabel("rings (same weights)")
    rings = sorted({row["nlat"] for row in rows})
    right.set_xscale("log")
    right.set_xticks(rings, labels=[str(n) for n in rings])
    right.set_xticks([], minor=True)
    for axis in (left, right):
        if any(row["error"] > 0 for row in rows):
            axis.set_yscale("log")
        axis.set_ylabel("invariance error" if task == "classification" else "equivariance error")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=7)
    return save_figure(figure, path)

"""``armillary predict``: arrays and coloured pictures for new files."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from armillary.cli.train import panels
from armillary.cli.trained import Trained, load_trained
from armillary.data import DataError, denormalize, read_inputs
from armillary.spaces import ImageGrid
from armillary.train import Run
from armillary.train.devices import resolve_accelerator
from armillary.train.files import write_bytes, write_text
from armillary.train.image_pictures import draw_images
from armillary.train.pictures import draw_rows

DRAWN = 8
"""A picture shows at most this many samples of a file; the array holds all."""


def predict(
    run: Path,
    *files: Path,
    out: Path | None = None,
    checkpoint: Literal["best", "last"] = "best",
    on_bad: Literal["stop", "skip"] = "stop",
    overwrite: bool = False,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> int:
    """Apply a trained network to files; write NAME.prediction.npz and NAME.prediction.png for each.

    Where whole samples are classified NAME.prediction.csv is a table of their classes and probabilities.

    Examples::

        armillary predict runs/earth new_year.npz
        armillary predict runs/panoramas photos/*.jpg --out results --on-bad skip
        armillary predict runs/earth --overwrite
        armillary predict runs/rotated digit.png photos/ --out results

    Files are read as the training data was (names, layout, normalisation); for images in the plane a folder of
    pictures will do. The exit code is 1 if any file failed.

    Parameters
    ----------
    run
        Directory written by armillary train.
    files
        Files to predict; none: the single file the network was trained on.
    out
        Directory for the results (default: RUN/predictions).
    checkpoint
        Which weights.
    on_bad
        At a file that cannot be read: stop, or name it and go on.
    overwrite
        Replace results that exist.
    accelerator
        Kind of device.
    """
    trained = load_trained(Run.open(run), checkpoint, torch.device(resolve_accelerator(accelerator)))
    suffixes = ("npz", "png", "csv") if trained.spec.task == "classification" else ("npz", "png")
    targets = _targets(files or (_trained_file(trained),), out or run / "predictions", suffixes)
    if not overwrite:
        there = [path for pair in targets.values() for path in pair if path.exists()]
        if there:
            raise ValueError(f"{there[0]} exists ({len(there)} in all): add --overwrite, or choose another --out.")
    failed = 0
    for file, written in targets.items():
        try:
            count = _predict_file(trained, file, *written)
        except DataError as error:
            failed += 1
            reason = " ".join(str(error).split()).removeprefix(f"{file}: ")
            print(f"error: {file}: {reason}", file=sys.stderr)
            if on_bad == "stop":
                break
        else:
            print(f"{file}: {count} sample{'s' * (count > 1)} -> {', '.join(map(str, written))}")
    if failed:
        print(f"{failed} of {len(targets)} files failed.", file=sys.stderr)
    return 1 if failed else 0


def _trained_file(trained: Trained) -> Path:
    if trained.data.source == "npz" and trained.data.resolved_path().is_file():
        return trained.data.resolved_path()
    raise ValueError("no FILES given: the network was not trained on a single .npz file, so name what to predict.")


def _targets(files: tuple[Path, ...], out: Path, suffixes: tuple[str, ...]) -> dict[Path, tuple[Path, ...]]:
    targets: dict[Path, tuple[Path, ...]] = {}
    taken: dict[str, Path] = {}
    for file in files:
        if taken.setdefault(file.stem, file) != file:
            raise ValueError(
                f"{taken[file.stem]} and {file} would both be written as {file.stem}.prediction.*: "
                "predict them one after the other with different --out."
            )
        targets[file] = tuple(out / f"{file.stem}.prediction.{suffix}" for suffix in suffixes)
    return targets


def _predict_file(trained: Trained, file: Path, array: Path, picture: Path, table: Path | None = None) -> int:
    x, names = read_inputs(file, trained.data, trained.grid)
    wanted = len(trained.spec.input_names)
    if x.shape[1] != wanted:
        raise DataError(
            f"has {x.shape[1]} channels, the network wants {wanted}: {', '.join(trained.spec.input_names)}."
        )
    outputs = trained.predict(x)
    if trained.spec.task == "regression":
        outputs = denormalize(outputs, trained.data)
    content = io.BytesIO()
    np.savez_compressed(content, **_arrays(trained, outputs, names))
    write_bytes(array, content.getvalue())
    if table is not None:
        write_text(table, _table(trained, outputs, names))
    rows = [panels(trained, x[i], None, outputs[i]) for i in range(min(len(x), DRAWN))]
    if isinstance(trained.grid, ImageGrid):
        likely = outputs[:DRAWN].softmax(1).numpy()
        draw_images(picture, [r[0] for r in rows], names=names, classes=trained.spec.output_names, probabilities=likely)
        return len(x)
    classes = trained.spec.output_names if trained.spec.task == "segmentation" else ()
    draw_rows(picture, trained.grid, rows, names=names[:DRAWN], classes=classes)
    return len(x)


def _arrays(trained: Trained, outputs: Tensor, names: list[str]) -> dict[str, Any]:
    """What the npz holds: prediction, names, and for maps latitude and longitude in degrees (as the source's)."""
    spec = trained.spec
    arrays: dict[str, Any] = {"names": np.array(names, dtype=np.str_)}
    outputs_named = np.array(spec.output_names, dtype=np.str_)
    if spec.task != "classification":
        arrays["lat"] = 90 - np.degrees(trained.sphere_grid.colatitudes.numpy())
        arrays["lon"] = np.array(trained.longitudes)
    if spec.task == "regression":
        return {"prediction": outputs.numpy(), "output_names": outputs_named, **arrays}
    labels = outputs.argmax(1).numpy().astype(np.uint8 if len(spec.output_names) < 255 else np.int32)
    probabilities = outputs.softmax(1).numpy().astype(np.float32)
    if spec.task == "classification":
        arrays["probabilities"] = probabilities
    confidence = probabilities.max(1)
    return {"prediction": labels, "confidence": confidence, "class_names": outputs_named, **arrays}


def _table(trained: Trained, outputs: Tensor, names: list[str]) -> str:
    """One row for each sample: its name, its most probable class, and the probability of each class."""
    classes = trained.spec.output_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "class", *classes])
    for name, row in zip(names, outputs.softmax(1).tolist(), strict=True):
        writer.writerow([name, classes[max(range(len(row)), key=row.__getitem__)], *(f"{p:.6f}" for p in row)])
    return text.getvalue()

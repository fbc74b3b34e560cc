"""The picture of the page on atoms from the command line: a training, its predictions and its check.

ARMILLARY_DATA=FOLDER python docs/figures/atoms.py --out docs/images/atoms.png

Runs the commands of the page on 300 frames of ethanol of molecular_dynamics.npz: left the mean absolute error of forces
on validation frames against the epoch, beside that of the best constant, which is zero; in the middle forces on the
frames of the test file; right the relative errors that the check measures. A minute or two on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from armillary.cli import run as armillary
from armillary.data import read_extxyz
from armillary.train import Run

TRAIN = ("--data.fractions", "0.9", "0.1", "0", "--data.most", "300", "--model.channels", "16", "--model.hidden", "16")
SIZES = (
    "--model.lmax",
    "1",
    "--model.mmax",
    "1",
    "--train.epochs",
    "20",
    "--train.lr",
    "1e-2",
    "--train.clip-grad",
    "10",
)


def commands(folder: Path) -> Path:
    """Train, predict and check; the run directory."""
    file, run = Path(os.environ["ARMILLARY_DATA"]) / "molecular_dynamics.npz", folder / "ethanol"
    data = ["--data.path", f"{file}:ethanol_train", "--data.test", f"{file}:ethanol_test"]
    for command in (
        ["train", *data, *TRAIN, *SIZES, "--train.best-metric", "force_mae", "--run", str(run)],
        ["predict", str(run), f"{file}:ethanol_test", "--out", str(folder / "predictions.xyz")],
        ["check", str(run), "--samples", "20", "--draws", "4"],
    ):
        if code := armillary(["atoms", *command]):
            raise SystemExit(code)
    return run


def draw(run: Path, predictions: Path, out: Path) -> None:
    """The three panels."""
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    curve, forces, errors = figure.subplots(1, 3)
    history = Run.open(run).read_metrics()
    result = json.loads((run / "result.json").read_text())
    curve.semilogy([row["epoch"] for row in history], [row["valid_force_mae"] for row in history], label="validation")
    curve.axhline(result["test_constant"]["force_mae"], color="0.5", ls="--", label="best constant")
    curve.set_xlabel("epoch")
    curve.set_ylabel("MAE of forces [meV/Å]")
    curve.legend(fontsize=8)
    found = read_extxyz(predictions)
    assert found.forces is not None
    true, predicted = found.properties["true_forces"].flatten(), found.forces.flatten()
    ends = (float(true.min()), float(true.max()))
    forces.plot(ends, ends, color="0.6", lw=1)
    forces.scatter(true, predicted, s=2, alpha=0.3, linewidths=0, rasterized=True)
    forces.set_xlabel("true force [eV/Å]")
    forces.set_ylabel("predicted [eV/Å]")
    error = 1000 * float((predicted - true).abs().mean())
    forces.set_title(f"{len(found)} test frames: {error:.0f} meV/Å", fontsize=9)
    rows = json.loads((run / "check.json").read_text())["rows"]
    names = list(dict.fromkeys(row["symmetry"] for row in rows))
    for k, dtype in enumerate(("float64", "float32")):
        own = {row["symmetry"]: row["force_error"] for row in rows if row["dtype"] == dtype}
        errors.plot(range(len(names)), [own[name] for name in names], "so"[k], mfc="none", ms=9 - 4 * k, label=dtype)
    errors.set_yscale("log")
    errors.set_xticks(range(len(names)), names, rotation=25, fontsize=8)
    errors.set_ylabel("relative error of forces")
    errors.legend(fontsize=8)
    for axis in (curve, forces, errors):
        axis.grid(alpha=0.3)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Run the commands and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        draw(commands(Path(folder)), Path(folder) / "predictions.xyz", out)


if __name__ == "__main__":
    main()

"""Charged bodies and what trained networks tell of them: docs/images/segnn.png.

After `armillary reproduce segnn --scale small --out results/segnn`, from the root of the repository:
python docs/figures/segnn.py --results results/segnn. Shows the variants whose runs of seed 0 are there.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch

from armillary.data.nbody import SPLITS, charged_systems
from armillary.recipes.segnn import dataset
from armillary.recipes.segnn_networks import PHYSICS, VARIANTS, ChargedNetwork
from armillary.train import Run, load_weights
from armillary.train.pictures import save_figure


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results/segnn"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/segnn.png"))
    arguments = parser.parse_args()
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)

    bodies = charged_systems(sum(SPLITS), cache=arguments.results / "charged.npz")
    test = dataset(bodies.split(SPLITS)[2])
    run = Run.open(arguments.results / "runs" / f"{PHYSICS.folder}-0")
    network = ChargedNetwork(PHYSICS)
    load_weights(network, run.load_weights("best"), where=str(run.path))
    systems, wanted = test.tensors[0][:1], test.tensors[1][0]
    with torch.no_grad():
        told = network(systems)[0]
    for k in range(5):
        start, colour = systems[0, k, :2], "tab:red" if systems[0, k, 6] > 0 else "tab:blue"
        left.plot(*torch.stack([start, wanted[k, :2]]).T, color=colour, alpha=0.4)
        left.plot(*start, "o", color=colour, mfc="white", label="frame 30" if k == 0 else None)
        left.plot(*wanted[k, :2], "o", color=colour, label="frame 40" if k == 0 else None)
        left.plot(*told[k, :2], "x", color="black", label="told by the network" if k == 0 else None)
    left.set(title="a test system, x and y; red and blue: charges")
    left.set_aspect("equal", adjustable="datalim")
    left.legend(frameon=False, fontsize=8, loc="lower left")

    for k, variant in enumerate(VARIANTS):
        path = arguments.results / "runs" / f"{variant.folder}-0" / "metrics.csv"
        if path.exists():
            with path.open() as file:
                losses = [float(row["valid_loss"]) for row in csv.DictReader(file)]
            right.plot(range(1, len(losses) + 1), losses, color=f"C{k}", label=variant.name)
    right.axhline(0.0043, color="black", linewidth=0.8, linestyle=":", label="published test error of SEGNN")
    right.set(xlabel="epoch", ylabel="validation MSE", yscale="log", title="seed 0")
    right.legend(frameon=False, fontsize=8)
    save_figure(figure, arguments.out)


if __name__ == "__main__":
    main()

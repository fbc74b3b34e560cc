"""``armillary atoms predict``: energies and forces for the structures of a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from armillary.cli.atoms_trained import TrainedAtoms, free_target, load_trained_atoms, score_structures
from armillary.cli.report import print_scores
from armillary.data import Structures, format_extxyz, read_structures
from armillary.train import Run
from armillary.train.devices import resolve_accelerator
from armillary.train.files import write_text

TRUE_ENERGY, TRUE_FORCES = "true_energy", "true_forces"
"""What the file says itself, beside the predictions."""

_TAKEN = frozenset(("energy", "forces", "stress", TRUE_ENERGY, TRUE_FORCES))


def predict(
    run: Path,
    file: str,
    *,
    out: Path | None = None,
    energy: str = "",
    forces: str = "",
    checkpoint: Literal["best", "last"] = "best",
    batch_size: int = 16,
    precision: Literal["float32", "float64"] = "float32",
    on_bad: Literal["stop", "skip"] = "stop",
    overwrite: bool = False,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> int:
    """Energies and forces of the structures of a file by a trained network, as extended XYZ.

    Examples::

        armillary atoms predict runs/md new.xyz --out predictions.xyz
        armillary atoms predict runs/md md.npz:ethanol_test --precision float64
        armillary atoms predict runs/catalysis is2re.lmdb --on-bad skip --batch-size 4

    Written are energy (eV, references of the elements included), forces (eV/Å), and stress (eV/Å³) where forces are
    derivatives of the energy and all structures are periodic in three directions; what the file says of energy and
    forces stays as true_energy and true_forces, and is scored. The exit code is 1 if structures were left out.

    Parameters
    ----------
    run
        Directory written by armillary atoms train.
    file
        Extended XYZ, npz of trajectories (FILE.npz:NAME), LMDB, QM9.
    out
        The file to write (default: RUN/predictions/NAME.xyz).
    energy
        Name of the energies in the file, to score by, where it is another than usual.
    forces
        Name of the forces in the file, where it is another than usual.
    checkpoint
        Which weights.
    batch_size
        Structures at a time.
    precision
        What the network computes in.
    on_bad
        At a structure that cannot be read, or has elements the network does not know: stop, or name it and go on.
    overwrite
        Replace a result that exists.
    accelerator
        Kind of device.
    """
    if batch_size < 1:
        raise ValueError(f"got --batch-size {batch_size}, wanted at least 1.")
    opened = Run.open(run)
    trained = load_trained_atoms(opened, checkpoint, torch.device(resolve_accelerator(accelerator)))
    target = free_target(out or run / "predictions" / f"{Path(file).stem}.xyz", file, overwrite)
    held = read_structures(file, energy=energy, forces=forces, on_bad=on_bad)
    known, left_out = _known(trained, held, file, on_bad)
    for name, reason in left_out:
        print(f"skipped {name}: {' '.join(reason.split()).removeprefix(f'{name}: ')}", file=sys.stderr)
    predicted = trained.predict(known, batch_size, getattr(torch, precision))
    write_text(target, format_extxyz(_with_truth(predicted, known)))
    print(f"{file}: {len(known)} structure{'s' * (len(known) != 1)} -> {target}")
    scores = score_structures(predicted, known)
    if scores:
        print_scores(Console(), {"error": scores}, "predicted against what the file says; meV, meV/Å")
    return 1 if left_out else 0


def _known(trained: TrainedAtoms, held: Structures, file: str, on_bad: str) -> tuple[Structures, list[tuple[str, str]]]:
    """The structures that the network knows the elements of, and the names of what is left out and why."""
    unknown = trained.unknown(held)
    reasons = [(f"{file}: structure {k}", trained.unknown_elements(elements)) for k, elements in unknown.items()]
    if reasons and (on_bad == "stop" or len(unknown) == len(held)):
        more = f" ({len(reasons)} such structures of {len(held)})" if len(reasons) > 1 else ""
        raise ValueError(f"{reasons[0][0]} {reasons[0][1]}{more}: train on such, or leave them out (--on-bad skip).")
    kept = [k for k in range(len(held)) if k not in unknown]
    return (held[kept] if unknown else held), [*held.skipped, *reasons]


def _with_truth(predicted: Structures, true: Structures) -> Structures:
    """Predictions, with what was read as properties."""
    properties = {name: value for name, value in true.properties.items() if name not in _TAKEN}
    if true.energies is not None:
        properties[TRUE_ENERGY] = true.energies
    if true.forces is not None:
        properties[TRUE_FORCES] = true.forces
    return replace(predicted, properties=properties)

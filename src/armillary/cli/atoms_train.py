"""``armillary atoms train``: from files of structures to a trained, scored run directory."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import torch
from cyclopts import Parameter
from rich.console import Console

from armillary.cli.atoms_settings import COMMAND, AtomsSettings
from armillary.cli.atoms_trained import TrainedAtoms
from armillary.cli.baseline import MeanByComposition
from armillary.cli.report import finite, print_scores
from armillary.cli.session import RunPlace, run_place, score, summary
from armillary.data import (
    AtomGraphs,
    AtomsDataConfig,
    DataError,
    Structures,
    collate_atoms,
    open_structures,
    reference_energies,
)
from armillary.data.atom_graphs import atoms_alone
from armillary.data.elements import SYMBOLS
from armillary.data.spec import SPLITS, Split
from armillary.interop.atoms_run import NETWORK, network_config
from armillary.models import AtomsConfig, AtomsModelConfig, build_atoms_model
from armillary.nn import EnergyForcesMetrics
from armillary.train import FitResult, Run, TrainConfig, fit, load_weights, make_fabric, to_table
from armillary.train.atom_pictures import draw_predictions
from armillary.train.objectives import AtomsLossConfig
from armillary.train.pictures import draw_curves
from armillary.train.state import seed_everything


def train(
    *,
    config: Path | None = None,
    run: Path | None = None,
    resume: Path | None = None,
    data: Annotated[AtomsDataConfig, Parameter(group="Data")] = AtomsDataConfig(),  # noqa: B008  # frozen values
    model: Annotated[AtomsModelConfig, Parameter(group="Model")] = AtomsModelConfig(),  # noqa: B008
    loss: Annotated[AtomsLossConfig, Parameter(group="Loss")] = AtomsLossConfig(),  # noqa: B008
    train: Annotated[TrainConfig, Parameter(group="Training")] = TrainConfig(),  # noqa: B008
) -> int:
    """Train a network of energies and forces on structures of atoms; write checkpoints, scores and pictures to a run.

    Examples::

        armillary atoms train --data.path md.xyz --run runs/md
        armillary atoms train --data.path md.npz:ethanol_train --data.test md.npz:ethanol_test --run runs/ethanol
        armillary atoms train --data.path qm9.tar.bz2 --loss.forces 0 --train.epochs 50 --run runs/qm9
        armillary atoms train --config md.toml --model.lmax 3 --model.mmax 2 --run runs/larger
        armillary atoms train --resume runs/md
        armillary atoms train --resume runs/md --train.epochs 200

    Files are extended XYZ, npz of trajectories, LMDB as OC20 has, or QM9; lengths in Å, energies in eV, forces in eV/Å.
    Elements, the energy of an atom of each, the mean number of neighbours and the scale of forces are measured on the
    structures for training and written to config.toml as [network]. A configuration file has the tables [data],
    [model], [loss], [train] with the names of the flags below. Flags go before the file, the file before the defaults.

    Parameters
    ----------
    config
        TOML or YAML file with settings.
    run
        New directory for the run (default: runs/NAME, NAME that of the file of structures).
    resume
        Continue this run from its last checkpoint.
    """
    settings = AtomsSettings(data, model, loss, train)
    place = run_place(run, resume, Path("runs") / (Path(data.path).stem or "atoms"), COMMAND)
    existing = place.existing()
    network = None if existing is None else network_config(existing)
    if network is not None:
        place.check(existing, _table(settings, network))
    return _Session(settings, place, network).train()


def _table(settings: AtomsSettings, network: AtomsConfig) -> dict[str, Any]:
    return to_table(settings) | {NETWORK: to_table(network)}


class _Session:
    """One ``armillary atoms train``: opens everything first, so that mistakes show before the run directory is made."""

    def __init__(self, settings: AtomsSettings, place: RunPlace, network: AtomsConfig | None) -> None:
        self.settings, self.place = settings, place
        self.fabric = make_fabric(settings.train)
        self.structures = open_structures(settings.data)
        for split, held in self.structures.items():
            _check_targets(settings, split, held)
        self.network = network or measured(settings, self.structures["train"])
        references = self.network.reference_table()
        self.sets: dict[str, AtomGraphs] = {}
        for split, held in self.structures.items():
            others = sorted(set(held.charges.tolist()) - set(references))
            if others:
                raise DataError(
                    f"the structures for {split} have {_symbols(others)}, those for training {_symbols(references)}: "
                    f"leave such structures out, or split by another data.split_seed."
                )
            self.sets[split] = AtomGraphs(held, self.network.cutoff, references)
        seed_everything(settings.train.seed)
        self.model = build_atoms_model(self.network)
        self.loss, self.metrics = settings.loss.build(), EnergyForcesMetrics()

    def train(self) -> int:
        self.fabric.launch()
        self.console = Console(quiet=not self.fabric.is_global_zero)
        table = _table(self.settings, self.network)
        run = self.place.open(table, self.fabric)
        self.fabric.barrier()
        self._announce(table)
        start = time.monotonic()
        result = fit(
            self.model,
            self.sets["train"],
            self.sets["valid"],
            self.loss,
            self.metrics,
            self.settings.train,
            run,
            fabric=self.fabric,
            console=self.console,
            collate=collate_atoms,
        )
        self._finish(run, result, time.monotonic() - start)
        return 0

    def _announce(self, table: dict[str, Any]) -> None:
        say = self.console.print
        say(tomli_w.dumps(table), markup=False, highlight=False)
        parameters = sum(p.numel() for p in self.model.parameters())
        parts = [f"{len(self.structures[s])} {s}" for s in SPLITS if s in self.structures]
        held = self.structures["train"]
        what = [name for name in ("energies", "forces") if getattr(held, name) is not None]
        say(f"{parameters:,} parameters; structures: {', '.join(parts)}, with {' and '.join(what)}", highlight=False)
        say(
            f"{_symbols(self.network.elements)}; {self.network.neighbours:.1f} neighbours within "
            f"{self.network.cutoff:g} Å; scale {self.network.scale:.3g} eV, eV/Å",
            highlight=False,
        )
        alone = {"energies": self.settings.loss.forces == 0, "forces": self.settings.loss.energy == 0}
        for name, is_alone in alone.items():
            if is_alone:
                say(f"trained on {name} alone", highlight=False)
        for split in self.structures.values():
            for name, reason in split.skipped:
                say(f"skipped {name}: {reason}", markup=False)
        if "test" not in self.structures:
            say("no test split: data.fractions leave it none and data.test names no file", markup=False)
        say(f"run directory: {self.place.path}\n", highlight=False)

    def _finish(self, run: Run, result: FitResult, seconds: float) -> None:
        load_weights(self.model, run.load_weights("best"), where=str(run.checkpoint_path("best")))
        held_out: Split = "test" if "test" in self.sets else "valid"
        constant = MeanByComposition(self.sets["train"])
        scores = {s: self._score(self.model, self.sets[s]) for s in self.sets if s != "train"}
        scores[f"{held_out}_constant"] = self._score(constant, self.sets[held_out])
        if not self.fabric.is_global_zero:
            return
        held = self.structures["train"]
        counts = {
            "structures": {split: len(self.structures.get(split, ())) for split in SPLITS},
            "atoms": {split: len(s.charges) for split, s in self.structures.items()},
            "elements": [SYMBOLS[z - 1] for z in self.network.elements],
            "targets": [name for name in ("energies", "forces") if getattr(held, name) is not None],
        }
        result_table = counts | summary(self.model, result, seconds, self.fabric) | scores
        run.write_json("result.json", finite(result_table))
        curves = draw_curves(run.path / "curves.png", result.history, self.settings.train.best_metric)
        trained = TrainedAtoms(self.model, self.network, self.fabric.device)
        picture = draw_held_out(run.path / "predictions.png", trained, self.structures[held_out], held_out)
        print_scores(self.console, scores, f"best epoch: {result.best_epoch} of {len(result.history)}; meV, meV/Å")
        self.console.print(f"wrote {run.path / 'result.json'}, {curves}, {picture}", highlight=False)

    def _score(self, model: torch.nn.Module, data: AtomGraphs) -> dict[str, float]:
        model = model.to(self.fabric.device)
        return score(self.fabric, self.settings.train, model, data, self.loss, self.metrics, collate_atoms)


def measured(settings: AtomsSettings, structures: Structures) -> AtomsConfig:
    """The chosen network with what the structures for training say: elements, the energy of an atom of each
    (0 without energies), the mean number of neighbours, and the unit of forces, or of energies where there are none.

    Raises: DataError where no atom has a neighbour.
    """
    elements = sorted(set(structures.charges.tolist()))
    references = dict.fromkeys(elements, 0.0)
    if structures.energies is not None:
        references = reference_energies(structures)
    cutoff = settings.model.cutoff
    graphs = AtomGraphs(structures, cutoff, references)
    if graphs.neighbours() == 0:
        raise DataError(f"no atom for training has a neighbour within model.cutoff = {cutoff:g} Å: raise it.")
    by_forces = structures.forces is not None and settings.loss.forces > 0
    scale = graphs.force_scale() if by_forces else graphs.energy_scale()
    return AtomsConfig(
        **asdict(settings.model),
        elements=tuple(elements),
        references=tuple(references[z] for z in elements),
        neighbours=graphs.neighbours(),
        scale=scale if scale > 0 else 1.0,
    )


def _check_targets(settings: AtomsSettings, split: str, structures: Structures) -> None:
    """Raise a DataError where the loss asks for what the structures have not."""
    weights = {"energies": ("energy", settings.loss.energy), "forces": ("forces", settings.loss.forces)}
    for what, (name, weight) in weights.items():
        if getattr(structures, what) is None and weight > 0:
            others = "energies" if what == "forces" else "forces"
            raise DataError(
                f"the structures for {split} have no {what}, and loss.{name} = {weight:g}: set --loss.{name} 0 to "
                f"train on {others} alone, or name them (data.{name}) where the file has them under another name."
            )
    if settings.model.forces == "direct" and settings.loss.forces == 0:
        raise DataError("direct forces are learned from forces: raise loss.forces, or use model.forces = conservative.")


def draw_held_out(path: Path, trained: TrainedAtoms, structures: Structures, split: str, most: int = 500) -> Path:
    """Predicted against true energies, above the atoms' own and for each atom, and forces of the first structures."""
    held = structures[:most]
    predicted = trained.predict(held)
    pairs = {}
    alone = atoms_alone(held, trained.config.reference_table())
    if held.energies is not None and predicted.energies is not None:
        true, found = ((e - alone) / held.sizes for e in (held.energies, predicted.energies))
        pairs["energy of an atom"] = (true.numpy(), found.numpy(), "eV")
    if held.forces is not None and predicted.forces is not None:
        pairs["force components"] = (held.forces.numpy(), predicted.forces.numpy(), "eV/Å")
    return draw_predictions(path, pairs, f"{len(held)} structures of the {split} split")


def _symbols(elements: Any) -> str:
    return ", ".join(SYMBOLS[z - 1] for z in elements)

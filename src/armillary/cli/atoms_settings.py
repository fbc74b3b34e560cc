"""The settings of a training on structures of atoms."""

from __future__ import annotations

from dataclasses import dataclass, field

from armillary.data import AtomsDataConfig
from armillary.interop.atoms_run import NETWORK
from armillary.models import AtomsModelConfig
from armillary.train import Run, TrainConfig, from_table
from armillary.train.objectives import AtomsLossConfig

COMMAND = "armillary atoms train"


@dataclass(frozen=True)
class AtomsSettings:
    """Data, model, loss and training: the tables of a configuration file. A run's has [network] as well, the model with
    what was measured on the structures for training; nobody chooses it."""

    data: AtomsDataConfig = field(default_factory=AtomsDataConfig)
    model: AtomsModelConfig = field(default_factory=AtomsModelConfig)
    loss: AtomsLossConfig = field(default_factory=AtomsLossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def atoms_settings_of(run: Run) -> AtomsSettings:
    """The settings a run was trained with. Raises: ValueError where its file has been damaged."""
    return from_table(AtomsSettings, {key: value for key, value in run.config.items() if key != NETWORK})

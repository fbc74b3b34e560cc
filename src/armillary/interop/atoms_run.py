"""Trained networks of atoms in their run directories: what calculators and the command line open."""

from __future__ import annotations

from torch import nn

from armillary.models.atoms import AtomsConfig, build_atoms_model
from armillary.train import Run, RunError, from_table, load_weights

NETWORK = "network"
"""The table of a run's settings that holds its ``AtomsConfig``."""


def network_config(run: Run) -> AtomsConfig:
    """The network of a run. Raises: RunError for a run of another kind; ValueError where its table is damaged."""
    if NETWORK not in run.config:
        raise RunError(f"{run.path} has no [{NETWORK}] in its settings: it is no run of a network of atoms.")
    return from_table(AtomsConfig, run.config[NETWORK], NETWORK)


def load_network(run: Run, checkpoint: str = "best") -> tuple[AtomsConfig, nn.Module]:
    """The network of a run with the weights of a checkpoint, in evaluation mode, without gradients by them.

    Raises: RunError where there is no such checkpoint, or it is damaged or of another network; as ``network_config``.
    Source: pinned by ``tests/interop/test_ase.py``.
    """
    config = network_config(run)
    network = build_atoms_model(config)
    load_weights(network, run.load_weights(checkpoint), where=str(run.checkpoint_path(checkpoint)))
    return config, network.eval().requires_grad_(False)

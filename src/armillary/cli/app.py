"""The commands, their flags and their help."""

from __future__ import annotations

from cyclopts import App, Parameter

import armillary
from armillary.cli import atoms_ase, atoms_check, atoms_predict, atoms_train
from armillary.cli.atoms_settings import AtomsSettings
from armillary.cli.bench import bench, gate
from armillary.cli.check import check
from armillary.cli.predict import predict
from armillary.cli.reproduce import reproduce, systems
from armillary.cli.settings import Settings, settings_file
from armillary.cli.train import train
from armillary.interop.atoms_run import NETWORK

app = App(
    name="armillary",
    help="Train, measure and use networks that respect symmetry.",
    version=armillary.__version__,
    version_flags=["--version"],
    help_flags=["--help", "-h"],
    help_format="plaintext",
    help_epilogue="`armillary COMMAND --help` shows examples. --debug shows tracebacks.",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
)
train_app = App(name="train", config=settings_file(Settings))
train_app.default(train)
app.command(train_app)
app.command(predict)
app.command(check)
app.command(reproduce)
app.command(systems)
bench_app = App(name="bench")
bench_app.default(bench)
bench_app.command(gate)
app.command(bench_app)
atoms_app = App(name="atoms", help="Networks of energies and forces on your own molecules and materials.")
atoms_train_app = App(name="train", config=settings_file(AtomsSettings, (NETWORK,)))
atoms_train_app.default(atoms_train.train)
atoms_app.command(atoms_train_app)
atoms_app.command(atoms_predict.predict)
atoms_app.command(atoms_check.check)
atoms_app.command(atoms_ase.relax)
atoms_app.command(atoms_ase.dynamics)
app.command(atoms_app)

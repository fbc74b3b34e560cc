"""The commands, their flags and their help."""

from __future__ import annotations

from cyclopts import App, Parameter

import armillary
from armillary.cli.bench import bench, gate
from armillary.cli.check import check
from armillary.cli.predict import predict
from armillary.cli.reproduce import reproduce, systems
from armillary.cli.settings import apply_file
from armillary.cli.train import train

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
train_app = App(name="train", config=apply_file)
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

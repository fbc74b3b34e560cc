"""The training loop: settings, progress, checkpoints, exact resume, devices and processes."""

from armillary.train.config import TrainConfig, learning_rate
from armillary.train.devices import make_fabric
from armillary.train.evaluate import Metrics, evaluate
from armillary.train.files import SaveError
from armillary.train.interrupts import Interrupted
from armillary.train.logs import MissingExtra
from armillary.train.loop import FitResult, NonFiniteLoss, fit, load_weights
from armillary.train.run import Checkpoint, Run, RunError
from armillary.train.tables import from_table, to_table

__all__ = [
    "Checkpoint",
    "FitResult",
    "Interrupted",
    "Metrics",
    "MissingExtra",
    "NonFiniteLoss",
    "Run",
    "RunError",
    "SaveError",
    "TrainConfig",
    "evaluate",
    "fit",
    "from_table",
    "learning_rate",
    "load_weights",
    "make_fabric",
    "to_table",
]

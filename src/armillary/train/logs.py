"""TensorBoard logs, where the user asked for them and the extra is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armillary.ops.extras import MissingExtra


class TensorBoard:
    """Scalars of each epoch in ``RUN/tensorboard``."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, row: Mapping[str, float]) -> None:
        """All columns of a metrics row against its epoch."""
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def open_tensorboard(run_path: Path) -> TensorBoard:
    """Raises: MissingExtra without tensorboardX."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingExtra(
            "train.tensorboard needs tensorboardX: pip install 'armillary[tensorboard]', or leave it off "
            "(metrics.csv is always written)."
        ) from error
    return TensorBoard(SummaryWriter(str(run_path / "tensorboard")))

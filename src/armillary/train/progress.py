"""What the user sees while a network trains: a bar with loss, learning rate and remaining time, a line per epoch."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class Display:
    """Progress of ``epochs`` x ``steps``; quiet on all processes but the first. Without a terminal: only the lines."""

    def __init__(self, epochs: int, steps: int, *, console: Console | None, enabled: bool) -> None:
        # rich draws from python's random generator when it is imported, so it is imported when it is used.
        from rich import progress
        from rich.console import Console

        self.epochs, self.steps = epochs, steps
        self.console = console or Console()
        self.enabled = enabled
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not enabled or not self.console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=epochs * steps, note="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, epoch: int, step: int, loss: float, lr: float) -> None:
        """After optimizer step ``step`` (from 0) of ``epoch`` (from 0)."""
        self._bar.update(
            self._task,
            completed=epoch * self.steps + step + 1,
            description=f"epoch {epoch + 1}/{self.epochs}",
            note=f"loss {loss:.4g}  lr {lr:.2e}",
        )

    def validating(self, epoch: int) -> None:
        self._bar.update(self._task, note="validating", description=f"epoch {epoch + 1}/{self.epochs}")

    def epoch_line(self, row: Mapping[str, Any], best: bool) -> None:
        """One line for a finished epoch: losses and the first metrics (metrics.csv has all)."""
        metrics = [k for k in row if k.startswith("valid_") and "/" not in k and not k.endswith("_pixels")]
        names = ["train_loss", *metrics[:4], "lr"]
        parts = [f"epoch {row['epoch']}/{self.epochs}", *(f"{k.replace('_', ' ')} {row[k]:.4g}" for k in names)]
        self.say("  ".join(parts) + f"  {row['seconds']:.1f} s" + ("  (best)" if best else ""))

    def say(self, text: str) -> None:
        if self.enabled:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

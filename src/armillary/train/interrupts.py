"""Ctrl-C and SIGTERM end a run at the next optimizer step, after a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):
    """Training stopped on a signal and can be resumed. ``signum`` is the signal; 128 + signum the exit code."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        return 128 + self.signum


class StopSignals:
    """While entered, SIGINT and SIGTERM set ``signum`` instead of ending the process; a second one ends it.

    Outside the main thread, where python allows no handlers, it changes nothing.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._saved: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._saved[number] = signal.signal(number, self._note)
        return self

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._saved.items():
            signal.signal(number, handler)
        self._saved.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()


def ignore_in_worker(worker: int) -> None:
    """Initialiser of data-loading processes: Ctrl-C is the training process's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""The command line: ``armillary train | predict | check | atoms | reproduce | bench | systems``.

Exit codes: 0 done; 1 the run failed (a loss that is not finite, a full disk, a file that could not be predicted, a
layer slower than recorded); 2 the user can act on it (settings, files, data); 130 and 143 stopped by Ctrl-C or SIGTERM,
training resumable.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence

DEBUG = "--debug"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code. ``--debug`` anywhere shows tracebacks."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in tokens
    sys.exit(run([token for token in tokens if token != DEBUG], debug))


def run(tokens: Sequence[str], debug: bool = False) -> int:
    """Run one command; returns the exit code. User errors become one ``error:`` line unless ``debug``."""
    from cyclopts import CycloptsError

    from armillary.bench.peer import WorkerError
    from armillary.cli.app import app
    from armillary.train import Interrupted, MissingExtra, NonFiniteLoss, SaveError

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    _show_compilation()
    warnings.filterwarnings("ignore", r"\d+ samples skipped")  # the commands name them
    try:
        code = app(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except Interrupted as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NonFiniteLoss, SaveError, WorkerError) as error:
        return _report(error, 1, debug)
    except (CycloptsError, ValueError, FileNotFoundError, MissingExtra) as error:
        return _report(error, 2, debug)


def _show_compilation() -> None:
    """Kernels that are compiled at first use take seconds: say so."""
    log = logging.getLogger("armillary.ops.compiling")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())


def _report(error: Exception, code: int, debug: bool) -> int:
    if debug:
        raise error
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code

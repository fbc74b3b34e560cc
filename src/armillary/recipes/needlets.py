"""System 4, SO(3) needlet convolution: its paper's claims, run again, one part for each kind of data.

Source: Yi, Chen, Wang, Zhou, Liò, Fan & Hamann 2022, arXiv 2206.10385.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from armillary.recipes import needlets_cmb, needlets_qm7
from armillary.recipes.report import Result, chosen_scale

CLAIM = (
    "Networks of SO(3) needlet convolutions with wavelet shrinkage are the best published on QM7 atomisation energies "
    "and on the reconstruction of the microwave sky before lensing."
)
PARTS: tuple[Any, ...] = (needlets_qm7, needlets_cmb)
"""Modules with SCALES, PUBLISHED, FIGURE and ``run(size, out, seeds, console) -> (rows, checks, notes)``."""
SCALES = {name: tuple(part.SCALES[name] for part in PARTS) for name in ("tiny", "small", "paper")}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the claims again and write ``result.json``, ``report.md`` and a figure for each part to ``out``.

    ``scale``: "tiny" (seconds), "small" (half an hour of one core), "paper". Trainings are run directories below
    ``out/runs``: a recipe that was stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale, seeds < 1, or where ``$ARMILLARY_DATA`` has no ``qm7.npz``.
    """
    sizes, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    published = "; ".join(part.PUBLISHED for part in PARTS)
    result = Result("needlets", scale, CLAIM, published, "arXiv 2206.10385")
    for part, size in zip(PARTS, sizes, strict=True):
        rows, checks, notes = part.run(size, out, seeds, console)
        result.rows += rows
        result.checks += checks
        result.notes += notes
    return result.write(out, figures=[part.FIGURE for part in PARTS])

"""Equivariance error of DISCO layers under random rotations, beside each normalisation of torch-harmonics.

    python benchmarks/equivariance.py [--full] [--out FOLDER]

Error of a layer L: ``‖L(R x) - R L(x)‖ / ‖R L(x)‖`` (norms by quadrature) for Gaussian random fields x with equal
power in degrees 0..l, over Haar-random R, both rotations spectral and exact in float64 (``harmonics.rotate``, all
degrees of the grid). Both libraries have the same three radial hats that vanish at the cutoff, the same cutoff and the
same random filters, the weights scaled to each normalisation. A case is named by the rings of its input: strided goes
from n to n/2 rings, transposed from n to 2n.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import options
import torch
from torch import Tensor

from armillary.bench import peer, record
from armillary.bench.peer_cases import NORM_MODES, Layer, describe_layer, hats, their_weight
from armillary.harmonics import random_field, random_rotation, rotate
from armillary.nn import DiscoConv, DiscoConvTranspose
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid

OURS = "armillary"
PLAIN = "armillary, moments off"
DEGREES = (16, 32)
CHANNELS = 2
TARGET = 100.0


@dataclass(frozen=True)
class Case:
    """``kind`` of layer on ``nlat`` input rings; ``cutoff`` "3 rings" (of the input), "one ring" or "0.2 rad"."""

    grid: str
    kind: str
    cutoff: str
    nlat: int

    @property
    def sizes(self) -> tuple[int, int]:
        return self.nlat, {"plain": self.nlat, "strided": self.nlat // 2, "transposed": 2 * self.nlat}[self.kind]

    def layer(self, moments: int | None) -> Layer:
        grid, grid_out = (make_grid(self.grid, size) for size in self.sizes)
        radius = {"3 rings": 3 * ring_step(grid), "one ring": one_ring(grid), "0.2 rad": 0.2}[self.cutoff]
        kind = DiscoConvTranspose if self.kind == "transposed" else DiscoConv
        basis = hats(3).basis
        return kind(1, CHANNELS, grid, grid_out, basis=basis, cutoff=radius, bias=False, moments=moments).double()

    @property
    def degrees(self) -> list[int]:
        """The band limits that both grids hold; an axisymmetric layer's output has the degrees of its input."""
        return [l for l in DEGREES if all(l <= make_grid(self.grid, size).lmax for size in self.sizes)]


def make_grid(name: str, nlat: int) -> SphereGrid:
    return GaussLegendre(nlat, 2 * nlat) if name == "Gauss–Legendre" else Equiangular(nlat, 2 * nlat, poles=True)


def ring_step(grid: SphereGrid) -> float:
    """The angle between rings in the mean: π/nlat, or π/(nlat - 1) where both poles are rings."""
    return math.pi / (grid.nlat - 1 if isinstance(grid, Equiangular) and grid.poles else grid.nlat)


def one_ring(grid: SphereGrid) -> float:
    """The largest gap between neighbouring rings, widened by 1e-3: torch-harmonics' default cutoff."""
    return float(grid.colatitudes.diff().max()) * 1.001


def cases(full: bool) -> list[Case]:
    sizes = (64, 128, 256, 512) if full else (64, 128)
    grids = ("Gauss–Legendre", "equiangular with poles")
    chosen = [
        Case(grid, kind, "3 rings", nlat)
        for grid in grids
        for kind in ("plain", "strided", "transposed")
        for nlat in sizes
        if nlat * (2 if kind == "transposed" else 1) <= 512
    ]
    chosen += [Case(grid, "plain", "one ring", nlat) for grid in grids for nlat in sizes[:3]]
    chosen += [Case(grid, "plain", "0.2 rad", nlat) for grid in grids for nlat in sizes[:2]]
    return chosen


@lru_cache(maxsize=4)
def fields(grid: SphereGrid, degrees: tuple[int, ...], rotations: int) -> tuple[list[Tensor], Tensor]:
    """The rotations, and the fields (1 + rotations, degrees, 1, nlat, nlon), upright first; the same for all layers."""
    generator = torch.Generator().manual_seed(17)
    turns = [random_rotation(generator) for _ in range(rotations)]
    upright = torch.stack([random_field(grid, l, (1,), generator) for l in degrees])
    lmax = max(degrees)
    return turns, torch.stack([upright, *(rotate(upright, grid, turn, lmax) for turn in turns)])


def measure(case: Case, rotations: int, threads: int) -> list[dict[str, Any]]:
    """One row for every degree and implementation."""
    ours, plain = case.layer(4), case.layer(None)
    degrees = tuple(case.degrees)
    turns, x = fields(ours.grid, degrees, rotations)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(5)
        ours.weight.copy_(torch.randn(ours.weight.shape, generator=generator, dtype=torch.float64))
        plain.weight.copy_(ours.weight)
        outputs = {name: layer(x.flatten(0, 1)) for name, layer in ((OURS, ours), (PLAIN, plain))}

    arrays: dict[str, np.ndarray] = {"x": x.flatten(0, 1).numpy()}
    job = []
    for mode in NORM_MODES:
        arrays[mode] = their_weight(ours, hats(3), mode).numpy()
        job.append(describe_layer(ours, hats(3), mode, "x", mode))
    _, answer = peer.TORCH_HARMONICS.run({"dtype": "float64", "threads": threads, "layers": job}, arrays)
    outputs |= {f"torch-harmonics, {mode}": torch.from_numpy(answer[f"y{i}"]) for i, mode in enumerate(NORM_MODES)}

    y = torch.stack([value.unflatten(0, x.shape[:2]) for value in outputs.values()], dim=1)
    grid_out = ours.grid_out  # y: (1 + rotations, implementations, degrees, channels, nlat, nlon)
    errors = []
    for turn, after in zip(turns, y[1:], strict=True):
        before = rotate(y[0], grid_out, turn)
        gap, size = (grid_out.integrate(v.square()).sum(-1).sqrt() for v in (after - before, before))
        errors.append(gap / size)
    stacked = torch.stack(errors)
    return [
        {
            **asdict(case),
            "nlat_out": case.sizes[1],
            "cutoff_rad": ours.cutoff,
            "moments": ours.degree if name == OURS else None,
            "l": l,
            "implementation": name,
            "mean": float(stacked[:, i, j].mean()),
            "worst": float(stacked[:, i, j].max()),
            "rotations": rotations,
        }
        for i, name in enumerate(outputs)
        for j, l in enumerate(degrees)
    ]


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per case and degree: our error, the best of theirs, and the ratio."""
    keys = ("grid", "kind", "cutoff", "nlat", "nlat_out", "l")
    groups: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), {})[row["implementation"]] = row
    lines = []
    for key, found in groups.items():
        theirs = {name: row["mean"] for name, row in found.items() if name.startswith("torch-harmonics")}
        best = min(theirs, key=theirs.__getitem__)
        lines.append(
            {
                **dict(zip(keys, key, strict=True)),
                "moments": found[OURS]["moments"],
                "ours": found[OURS]["mean"],
                "ours_moments_off": found[PLAIN]["mean"],
                "theirs": {name.removeprefix("torch-harmonics, "): error for name, error in theirs.items()},
                "best": best.removeprefix("torch-harmonics, "),
                "ratio": theirs[best] / found[OURS]["mean"],
            }
        )
    return lines


def print_tables(lines: list[dict[str, Any]]) -> None:
    columns = ["grid", "layer", "rings", "l ≤", "p", "armillary", "moments off", *NORM_MODES, "best of theirs / ours"]
    for cutoff in dict.fromkeys(line["cutoff"] for line in lines):
        rows = [
            [
                line["grid"],
                line["kind"],
                f"{line['nlat']} → {line['nlat_out']}",
                str(line["l"]),
                str(line["moments"]),
                f"{line['ours']:.1e}",
                f"{line['ours_moments_off']:.1e}",
                *(f"{line['theirs'][mode]:.1e}" for mode in NORM_MODES),
                f"{line['ratio']:.0f}",
            ]
            for line in lines
            if line["cutoff"] == cutoff
        ]
        print(f"\nCutoff {cutoff}\n\n{record.table(columns, rows)}")


CURVES = {  # label, marker, colour; geometric is none up to a constant, modal is nodal for axisymmetric filters
    OURS: (OURS, "o", "black"),
    "none": ("torch-harmonics: none, geometric (and armillary, moments off)", "s", "C0"),
    "mean": ("torch-harmonics: mean", "x", "C1"),
    "support": ("torch-harmonics: support", "^", "C2"),
    "nodal": ("torch-harmonics: nodal, modal", "D", "C3"),
}


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Error against rings, log–log, one panel for each kind of layer; solid l ≤ 16, dashed l ≤ 32."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    kinds = ("plain", "strided", "transposed")
    grids = tuple(dict.fromkeys(line["grid"] for line in lines))
    figure, panels = plt.subplots(len(grids), 3, figsize=(12, 8), sharex=True, sharey=True, layout="constrained")
    for row, grid in zip(panels, grids, strict=True):
        for panel, kind in zip(row, kinds, strict=True):
            for l, style in zip(DEGREES, ("-", "--"), strict=True):
                chosen = [v for v in lines if (v["grid"], v["kind"], v["cutoff"], v["l"]) == (grid, kind, "3 rings", l)]
                for name, (label, marker, colour) in CURVES.items():
                    panel.loglog(
                        [v["nlat"] for v in chosen],
                        [v["ours"] if name == OURS else v["theirs"][name] for v in chosen],
                        style,
                        marker=marker,
                        markersize=7 if name == OURS else 5,
                        color=colour,
                        linewidth=2 if name == OURS else 1,
                        label=label if l == DEGREES[0] else None,
                    )
            panel.set_title(f"{kind}, {grid}", fontsize=10)
            panel.grid(True, which="major", alpha=0.3)
            ticks = sorted({v["nlat"] for v in lines})
            panel.set_xticks(ticks, [str(tick) for tick in ticks])
            panel.minorticks_off()
    for panel in panels[:, 0]:
        panel.set_ylabel("relative equivariance error")
    for panel in panels[-1]:
        panel.set_xlabel("rings of the input grid")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    figure.suptitle("Equivariance error under random rotations, cutoff 3 rings (solid: l ≤ 16, dashed: l ≤ 32)")
    draft = path.with_name(f".{path.name}.part")
    figure.savefig(draft, dpi=90, format="png")
    draft.replace(path)
    plt.close(figure)


def main() -> int:
    parser = options.parser(__doc__.splitlines()[0], "up to 512 rings (about half an hour on 2 cores)")
    parser.add_argument("--rotations", type=int, default=3, help="random rotations (one where 512 rings take part)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    try:
        peer_versions = peer.TORCH_HARMONICS.versions(peer.TORCH_HARMONICS.python())
        for case in cases(arguments.full):
            start = time.perf_counter()
            rotations = 1 if max(case.sizes) >= 512 else arguments.rotations
            rows += measure(case, rotations, arguments.threads)
            print(f"{case}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    except (peer.PeerError, peer.WorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    lines = summary(rows)
    print_tables(lines)
    least = min((line for line in lines if line["cutoff"] == "3 rings"), key=lambda line: line["ratio"])
    print(
        f"\nsmallest ratio at 3 rings: {least['ratio']:.0f} ({least['grid']}, {least['kind']}, {least['nlat']} → "
        f"{least['nlat_out']} rings, l ≤ {least['l']}); aim: at least {TARGET:.0f} at 128 rings, l ≤ 16"
    )
    about = record.surroundings(peer_versions, arguments.threads)
    record.write(arguments.out, "equivariance.json", {**about, "summary": lines, "rows": rows})
    draw(lines, arguments.out / "equivariance.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())

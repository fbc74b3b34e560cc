"""Without the moment correction, a DISCO layer of armillary is that of torch-harmonics: forward and gradients.

    python benchmarks/agreement.py [--full] [--out FOLDER]

Each case gives both libraries one random field, one filter and one cotangent. Error: ``|a - b|₂ / |b|₂`` with b the
peer's, of the output, the gradient of the input and the gradient of the weight. Exit code 1 if one in float32 exceeds
1e-5. ``armillary.bench.peer_cases`` states how the two definitions meet.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import options
import torch
from torch import Tensor

from armillary.bench import peer, record
from armillary.bench.peer_cases import (
    Layer,
    PairedBasis,
    describe_layer,
    half_step_hats,
    hats,
    normalisation,
    their_weight,
)
from armillary.nn import DiscoConv, DiscoConvTranspose
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid

TOLERANCE = 1e-5
PARTS = ("forward", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Case:
    """One layer; ``rings`` is the cutoff in rings of the coarser grid."""

    name: str
    grid: SphereGrid
    grid_out: SphereGrid
    paired: PairedBasis
    transposed: bool = False
    rings: float = 3.2
    groups: int = 1
    batch: int = 2

    def layer(self) -> Layer:
        spacing = max(self.grid.ring_spacing, self.grid_out.ring_spacing)
        kind = DiscoConvTranspose if self.transposed else DiscoConv
        return kind(
            4,
            6,
            self.grid,
            self.grid_out,
            basis=self.paired.basis,
            cutoff=self.rings * spacing,
            groups=self.groups,
            bias=False,
            moments=None,
        )


def poles(nlat: int, nlon: int) -> Equiangular:
    return Equiangular(nlat, nlon, poles=True)


def cases(full: bool) -> list[Case]:
    gauss, small_gauss = GaussLegendre(48, 96), GaussLegendre(24, 48)
    axis, directional = hats(3), hats(3, 4)
    chosen = [
        Case("axisymmetric", gauss, gauss, axis),
        Case("axisymmetric, poles", poles(49, 96), poles(49, 96), axis),
        Case("directional", gauss, gauss, directional),
        Case("directional, poles", poles(49, 96), poles(49, 96), directional),
        Case("directional, three azimuths", gauss, gauss, hats(3, 3)),
        Case("even nodes", gauss, gauss, half_step_hats(2)),
        Case("odd sizes, batch of one", GaussLegendre(33, 45), GaussLegendre(33, 45), directional, batch=1),
        Case("groups", gauss, gauss, directional, groups=2),
        Case("strided", gauss, small_gauss, directional),
        Case("strided, poles", poles(49, 96), poles(25, 48), directional),
        Case("strided by 4, between kinds", gauss, poles(13, 24), axis),
        Case("transposed, axisymmetric", small_gauss, gauss, axis, transposed=True),
        Case("transposed, directional", small_gauss, gauss, directional, transposed=True),
        Case("transposed, poles", poles(25, 48), poles(49, 96), directional, transposed=True),
        Case("transposed, same grid", gauss, gauss, directional, transposed=True),
    ]
    if full:
        big, half = GaussLegendre(180, 360), GaussLegendre(90, 180)
        chosen += [
            Case("directional, 180 rings", big, big, hats(4, 6), rings=4.3),
            Case("directional, 181 rings, poles", poles(181, 360), poles(181, 360), hats(4, 6), rings=4.3),
            Case("strided, 180 rings", big, half, hats(4, 6), rings=4.3),
            Case("transposed, 180 rings", half, big, hats(4, 6), rings=4.3, transposed=True),
        ]
    return chosen


def relative(ours: Tensor, theirs: np.ndarray) -> float:
    reference = torch.from_numpy(theirs).double()
    return float((ours.detach().double() - reference).norm() / reference.norm())


def compare(chosen: list[Case], dtype: torch.dtype, threads: int) -> list[dict[str, float]]:
    """The three errors of every case in one precision."""
    generator = torch.Generator().manual_seed(2)
    job, arrays, layers = [], {}, []
    for i, case in enumerate(chosen):
        layer = case.layer().to(dtype)
        x = torch.randn(case.batch, 4, *case.grid.shape, generator=generator, dtype=torch.float64).to(dtype)
        grad = torch.randn(case.batch, 6, *case.grid_out.shape, generator=generator, dtype=torch.float64).to(dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))
        names = [f"{name}{i}" for name in ("x", "w", "g")]
        weight = their_weight(layer, case.paired, "none").to(dtype)
        arrays |= dict(zip(names, (x.numpy(), weight.numpy(), grad.numpy()), strict=True))
        job.append(describe_layer(layer, case.paired, "none", *names))
        layers.append((layer, x, grad))
    settings = {"dtype": str(dtype).removeprefix("torch."), "threads": threads, "layers": job}
    _, answer = peer.TORCH_HARMONICS.run(settings, arrays)

    errors = []
    for i, (case, (layer, x, grad)) in enumerate(zip(chosen, layers, strict=True)):
        x.requires_grad_()
        y = layer(x)
        y.backward(grad)
        order = list(case.paired.order)
        scale = normalisation(case.paired.basis, layer.cutoff, "none")[order]
        weight_gradient = layer.weight.grad[..., order].double() / scale  # w_theirs = scale · w_ours
        values = (y, x.grad, weight_gradient)
        theirs = (answer[f"{name}{i}"] for name in ("y", "gx", "gw"))
        errors.append({part: relative(a, b) for part, a, b in zip(PARTS, values, theirs, strict=True)})
    return errors


def main() -> int:
    arguments = options.parser(__doc__.splitlines()[0], "larger grids too").parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        peer_versions = peer.TORCH_HARMONICS.versions(peer.TORCH_HARMONICS.python())
        chosen = cases(arguments.full)
        measured = {
            str(d).removeprefix("torch."): compare(chosen, d, arguments.threads) for d in (torch.float32, torch.float64)
        }
    except (peer.PeerError, peer.WorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows, document = [], []
    for i, case in enumerate(chosen):
        single, double = measured["float32"][i], measured["float64"][i]
        shapes = f"{case.grid.shape[0]}×{case.grid.shape[1]} → {case.grid_out.shape[0]}×{case.grid_out.shape[1]}"
        rows.append([case.name, shapes, *(f"{single[p]:.1e}" for p in PARTS), f"{max(double.values()):.1e}"])
        document.append(
            {
                "case": case.name,
                "grid": str(case.grid),
                "grid_out": str(case.grid_out),
                "kernel_shape": case.paired.kernel_shape,
                "transposed": case.transposed,
                "float32": single,
                "float64": double,
            }
        )
    worst = max(error for case in measured["float32"] for error in case.values())
    print(record.table(["case", "grids", *(f"{p}, float32" for p in PARTS), "worst, float64"], rows))
    print(
        f"\nworst in float32: {worst:.1e}, wanted <= {TOLERANCE:.0e}: {'agrees' if worst <= TOLERANCE else 'DIFFERS'}"
    )
    about = record.surroundings(peer_versions, arguments.threads)
    record.write(arguments.out, "agreement.json", {**about, "tolerance": TOLERANCE, "worst": worst, "cases": document})
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())

"""A group convolution of armillary and one of escnn: which filters they have, and the same map for the same filter.

    python benchmarks/agreement_escnn.py [--out FOLDER]

For each case the span of escnn's filters is compared with that of armillary's: both dimensions, and the largest share
of a filter of escnn's that armillary's span does not hold. Then armillary's layer is given escnn's random filter by
least squares, and both run on one random field and one cotangent: ``|a - b|₂ / |b|₂`` of the output and of the gradient
of the input, b escnn's. Exit code 1 if a number in float32 exceeds 1e-5, or a dimension is not the stated one.
``armillary.bench.escnn_cases`` states how the two definitions meet.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import options
import torch
from torch import Tensor

from armillary.bench import peer, record
from armillary.bench.escnn_cases import (
    DEFAULT,
    FULL,
    Layer,
    RingFilters,
    Rings,
    describe_layer,
    dimension,
    filters_of,
    load_filter,
    outside,
    point_group,
)
from armillary.nn import GroupConv, LiftConv

TOLERANCE = 1e-5
PARTS = ("outside", "forward", "input gradient")


@dataclass(frozen=True)
class Case:
    """One layer; ``dimensions`` are those of escnn's filters and of armillary's, ``rings`` None is escnn's default.

    ``shared``: armillary's filters are made of escnn's functions, since those of pixels are not for this group.
    """

    name: str
    turns: int
    reflections: bool
    dimensions: tuple[int, int]
    kernel_size: int = 3
    lift: bool = False
    stride: int = 1
    rings: Rings | None = None
    shared: bool = False
    size: int = 9
    batch: int = 2

    def layer(self) -> Layer:
        filters = RingFilters(chosen=self.rings or DEFAULT[self.kernel_size]) if self.shared else None
        return (LiftConv if self.lift else GroupConv)(
            3,
            4,
            point_group(self.turns, self.reflections),
            self.kernel_size,
            stride=self.stride,
            padding=self.kernel_size // 2,
            bias=False,
            filters=filters,
        )


CASES = [
    Case("p4m", 4, True, (48, 72)),
    Case("p4m, all filters", 4, True, (72, 72), rings=FULL[3]),
    Case("p4m, stride 2, batch of one", 4, True, (72, 72), stride=2, rings=FULL[3], batch=1),
    Case("p4m, first layer", 4, True, (6, 9), lift=True),
    Case("p4m, first layer, all filters", 4, True, (9, 9), lift=True, rings=FULL[3]),
    Case("p4m, first layer", 4, True, (5, 16), kernel_size=4, lift=True, size=8),
    Case("p4m, first layer, all filters", 4, True, (16, 16), kernel_size=4, lift=True, rings=FULL[4], size=8),
    Case("p4m", 4, True, (8, 8), kernel_size=1),
    Case("p4", 4, False, (24, 36)),
    Case("p4, all filters", 4, False, (36, 36), rings=FULL[3]),
    Case("p4", 4, False, (44, 100), kernel_size=5),
    Case("C_8, escnn's functions", 8, False, (48, 48), shared=True),
    Case("C_8, escnn's functions", 8, False, (88, 88), kernel_size=5, shared=True),
    Case("D_8, escnn's functions", 8, True, (96, 96), shared=True),
]


def relative(ours: Tensor, theirs: Tensor) -> float:
    reference = theirs.double()
    return float((ours.detach().double() - reference).norm() / reference.norm())


def compare(chosen: list[Case], dtype: torch.dtype, threads: int) -> list[dict[str, Any]]:
    """The dimensions and the three errors of every case in one precision."""
    generator = torch.Generator().manual_seed(2)
    job, arrays, layers = [], {}, []
    for i, case in enumerate(chosen):
        layer = case.layer().to(dtype)
        axis = () if case.lift else (layer.group.order,)
        x = torch.randn(case.batch, 3, *axis, case.size, case.size, generator=generator, dtype=torch.float64).to(dtype)
        with torch.no_grad():
            shape = layer(x).shape
        grad = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        folded_x = x if case.lift else x.flatten(1, 2)
        arrays |= {f"x{i}": folded_x.numpy(), f"g{i}": grad.flatten(1, 2).numpy()}
        job.append(describe_layer(layer, case.rings, f"x{i}", f"g{i}"))
        layers.append((layer, x, grad))
    settings = {"dtype": str(dtype).removeprefix("torch."), "threads": threads, "layers": job}
    _, answer = peer.ESCNN.run(settings, arrays)

    found = []
    for i, (layer, x, grad) in enumerate(layers):
        theirs = {name: torch.from_numpy(answer[f"{name}{i}"]) for name in ("filter", "basis", "y", "gx")}
        own = filters_of(layer)
        load_filter(layer, theirs["filter"])
        x.requires_grad_()
        y = layer(x)
        y.backward(grad)
        assert x.grad is not None
        errors = {
            "outside": outside(theirs["basis"], own),
            "forward": relative(y.flatten(1, 2), theirs["y"]),
            "input gradient": relative(x.grad.reshape(theirs["gx"].shape), theirs["gx"]),
        }
        found.append({"dimensions": (dimension(theirs["basis"]), dimension(own)), **errors})
    return found


def main() -> int:
    arguments = options.parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        versions = peer.ESCNN.versions(peer.ESCNN.python())
        measured = {
            str(d).removeprefix("torch."): compare(CASES, d, arguments.threads) for d in (torch.float32, torch.float64)
        }
    except (peer.PeerError, peer.WorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows, document = [], []
    for i, case in enumerate(CASES):
        single, double = measured["float32"][i], measured["float64"][i]
        dimensions = [str(count) for count in single["dimensions"]]
        errors = [*(f"{single[p]:.1e}" for p in PARTS), f"{max(double[p] for p in PARTS):.1e}"]
        rows.append([case.name, f"{case.kernel_size}×{case.kernel_size}", *dimensions, *errors])
        rings = case.rings.document() if case.rings else None
        about = {"case": case.name, "kernel_size": case.kernel_size, "lift": case.lift, "rings": rings}
        document.append({**about, "float32": single, "float64": double})
    worst = max(found[part] for found in measured["float32"] for part in PARTS)
    as_stated = all(
        found["dimensions"] == case.dimensions
        for own in measured.values()
        for case, found in zip(CASES, own, strict=True)
    )
    columns = ["case", "window", "dimension of escnn's filters", "of armillary's", "outside, float32"]
    print(record.table([*columns, "forward, float32", "input gradient, float32", "worst, float64"], rows))
    agrees = worst <= TOLERANCE and as_stated
    print(f"\nworst in float32: {worst:.1e}, wanted <= {TOLERANCE:.0e}; dimensions as stated: {as_stated}")
    about = record.surroundings(versions, arguments.threads)
    named = {**about, "tolerance": TOLERANCE, "worst": worst, "cases": document}
    record.write(arguments.out, "agreement_escnn.json", named)
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())

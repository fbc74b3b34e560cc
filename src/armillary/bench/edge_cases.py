"""What the suite ``edge`` measures: the product of features with the harmonics of edges, beside e3nn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from armillary.bench.machine import COPY, COPY_NUMBERS, PRODUCT, PRODUCT_SIZE
from armillary.bench.turns import OURS, Job
from armillary.groups import Irreps
from armillary.nn import EdgeProduct
from armillary.ops.edge_paths import EdgePaths

E3NN = "e3nn"
DEGREE = 20  # edges of a point


@dataclass(frozen=True)
class EdgeCase:
    """``channels`` of each natural degree up to L, harmonics up to L, all paths, a weight for each edge, path and
    channel; float32, ``edges`` between random points, 20 for each. Gradients of features, edge vectors and weights.

    A matrix product and a copy take their turns: what the machine can compute and move.
    """

    lmax: int
    channels: int
    edges: int

    @property
    def points(self) -> int:
        """The points of the graph."""
        return self.edges // DEGREE

    @property
    def name(self) -> str:
        """Degree, channels, edges."""
        return f"L = {self.lmax}, {self.channels} channels, {self.edges} edges"

    @cached_property
    def plan(self) -> EdgePaths:
        """The paths."""
        irreps = Irreps.natural(self.lmax, self.channels)
        degrees = tuple(range(self.lmax + 1))
        return EdgePaths(degrees, degrees, tuple(EdgeProduct(irreps, self.lmax, irreps).paths))

    @property
    def operations(self) -> int:
        """Floating-point operations of a forward and a backward pass without the frames: two for a multiply-add.

        Five turns (in and out, then features, gradient and back), the factors of the paths twice and their gradient,
        each coupled component once forward and three times backward, and the torque: two products of two rows with
        two entries each.
        """
        turns = 5 * sum((2 * l + 1) ** 2 for l in self.plan.degrees_in)
        factors = couplings = 0
        for pair in self.plan.pairs:
            most = len(pair.coefficients[0]) - 1
            factors += sum(1 for row in pair.coefficients for value in row if value)
            couplings += 2 * most + (0 if pair.odd else 1)
        torque = 2 * 2 * 2 * sum(2 * l for l in self.plan.degrees_in)
        return 2 * self.edges * self.channels * (turns + 3 * factors + 4 * couplings + torque)

    @property
    def bytes_moved(self) -> int:
        """What no order of the work avoids: the weights read twice and their gradient written, the features, the
        output and their gradients once each, the frames and their gradient."""
        weights = 3 * self.edges * len(self.plan.paths) * self.channels
        features = 5 * self.points * self.plan.rows_in[-1] * self.channels
        frames = 3 * self.edges * sum((2 * l + 1) ** 2 for l in self.plan.degrees_in)
        return 4 * (weights + features + frames)

    def jobs(self) -> dict[str, Job]:
        """armillary, e3nn and the two references."""
        build = {"kind": "edge", "lmax": self.lmax, "channels": self.channels, "edges": self.edges}
        build |= {"points": self.points, "paths": [list(path) for path in self.plan.paths]}
        x_shape = (self.points, self.plan.rows_in[-1] * self.channels)
        size, alone = PRODUCT_SIZE, ("inference",)
        return {
            OURS: Job("edge_layers", build, x_shape),
            E3NN: Job("e3nn_layers", build, x_shape),
            PRODUCT: Job("torch_layers", {"kind": "product", "size": size}, (size, size), alone),
            COPY: Job("torch_layers", {"kind": "copy", "numbers": COPY_NUMBERS}, (COPY_NUMBERS,), alone),
        }

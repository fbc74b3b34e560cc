"""What the suite ``so3`` measures: one convolution on SO(3), beside its direct evaluation with tables."""

from __future__ import annotations

from dataclasses import dataclass

from armillary.bench.turns import OURS, Job

DIRECT = "all tables"
HALF = "armillary, half the samples"
LARGEST_DIRECT = 96  # at 128 its tables and the copies that autograd keeps want 21 GB


@dataclass(frozen=True)
class SO3Case:
    """``nn.SO3Conv`` of a bandlimit b, as many channels out as in, with the default local filter, batch 1, float32.

    The samples are those of the published code, ``Equiangular(2b, 2b)`` with 2b orientations, 8b³; ``HALF`` stands for
    ``Equiangular(b, 2b)``, which hold the same functions.
    """

    bandlimit: int
    channels: int = 2

    @property
    def points(self) -> int:
        """The samples of a channel."""
        return 8 * self.bandlimit**3

    def jobs(self) -> dict[str, Job]:
        """armillary on both grids, and the direct evaluation on the larger one, as long as it fits."""
        b = self.bandlimit
        build = {"kind": "so3", "bandlimit": b, "channels": self.channels}
        full, half = (1, self.channels, 2 * b, 2 * b, 2 * b), (1, self.channels, 2 * b, b, 2 * b)
        jobs = {
            OURS: Job("our_layers", build | {"nlat": 2 * b}, full),
            HALF: Job("our_layers", build | {"nlat": b}, half),
        }
        return jobs if b > LARGEST_DIRECT else jobs | {DIRECT: Job("direct_layers", build, full)}

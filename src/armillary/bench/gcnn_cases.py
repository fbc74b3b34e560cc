"""What the suite ``gcnn`` measures: a residual network over p4 or p4m, beside escnn's and beside stock modules."""

from __future__ import annotations

from dataclasses import dataclass

from armillary.bench.escnn_cases import FULL, point_group
from armillary.bench.turns import OURS, Job
from armillary.models import equal_width

ESCNN = "escnn"
ESCNN_FULL = "escnn, all filters"
ESCNN_BARE = "escnn, initialize=False"
UNFOLDED = "armillary, not folded"
STOCK = "stock modules"
SIZE, IN_CHANNELS, CLASSES = 32, 3, 10


@dataclass(frozen=True)
class GroupNetCase:
    """``models.GroupResNet`` of one depth on 32×32 images, as wide as costs the weights of ``widths`` in the plane.

    In training: forward and backward, escnn with its default filters and with all that commute. Where ``folded``: the
    network that ``fold`` writes, without gradient and in evaluation mode, beside the network itself and one that is
    built of stock modules with the same channels.
    """

    turns: int
    reflections: bool
    depth: int
    batch: int
    folded: bool = False
    widths: tuple[int, int, int] = (32, 64, 128)

    @property
    def name(self) -> str:
        """Group and depth: "p4m ResNet44"."""
        return f"p{self.turns}{'m' if self.reflections else ''} ResNet{self.depth}"

    @property
    def fields(self) -> list[int]:
        """Fields over the group in the three stages."""
        group = point_group(self.turns, self.reflections)
        return [equal_width(width, group) for width in self.widths]

    def jobs(self) -> dict[str, Job]:
        """In training armillary and three of escnn, the last of which is only built; else four for evaluation."""
        x_shape = (self.batch, IN_CHANNELS, SIZE, SIZE)
        sizes = {"depth": self.depth, "in_channels": IN_CHANNELS, "classes": CLASSES}
        net = {"kind": "group resnet", "turns": self.turns, "reflections": self.reflections, "widths": self.fields}
        ours = net | sizes
        theirs = ours | {"rings": None, "initialize": True}
        full = {str(size): rings.document() for size, rings in FULL.items()}
        if not self.folded:
            return {
                OURS: Job("our_layers", ours, x_shape),
                ESCNN: Job("escnn_layers", theirs, x_shape),
                ESCNN_FULL: Job("escnn_layers", theirs | {"rings": full}, x_shape),
                ESCNN_BARE: Job("escnn_layers", theirs | {"initialize": False}, x_shape, passes=()),
            }
        order = point_group(self.turns, self.reflections).order
        stock = {"kind": "resnet", "channels": [order * width for width in self.fields]} | sizes
        alone = ("inference",)
        return {
            OURS: Job("our_layers", ours | {"kind": "folded"}, x_shape, alone),
            UNFOLDED: Job("our_layers", ours, x_shape, alone),
            STOCK: Job("torch_layers", stock, x_shape, alone),
            ESCNN: Job("escnn_layers", theirs, x_shape, alone),
        }

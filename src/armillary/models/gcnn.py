"""Networks of group convolutions on the plane: rotated MNIST, All-CNN-C and ResNet44 over any point group.

With the trivial group ``groups.cyclic(1)`` each is the ordinary network (Z2); p4 is ``cyclic(4)``, p4m ``dihedral(4)``.
Source of all: Cohen & Welling 2016, arXiv 1602.07576, sections 8.1 and 8.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from armillary.groups import FiniteGroup
from armillary.nn import GroupBatchNorm, GroupConv, GroupPool, LiftConv, PlaneGlobalPool, PlanePool


def equal_width(width: int, group: FiniteGroup) -> int:
    """The fields over a group that cost as many weights as ``width`` channels do: ``round(width/√|S|)``, at least 1.

    A layer of n fields has n²·|S| filters, so n = width/√|S| keeps them.
    """
    return max(1, round(width / math.sqrt(group.order)))


class GroupCNN(nn.Sequential):
    """The network for rotated MNIST: six 3×3 layers of ``channels`` fields, 2×2 max-pool after the second.

    Each layer is convolution (no padding), batch norm, ReLU and, but for the first, dropout where it is asked for; the
    4×4 top layer has one field for each class, and the scores are its maximum over group and plane.

    Shapes: (B, in_channels, 28, 28) → (B, classes); larger images of even size do as well. Invariant under the group,
    exactly for C_1, C_2, C_4, D_1, D_2, D_4.

    With C_4 and 10 fields (the paper's P4CNN) it has 24 490 weights in its filters, with C_1 and 20 (Z2CNN) 21 380.
    The paper has dropout in Z2CNN, at places and rates it does not give, and none in P4CNN.
    Raises: ValueError at the call for images that are too small or odd.
    Source: arXiv 1602.07576, section 8.1; pinned by ``tests/models/test_gcnn.py``.
    """

    def __init__(
        self, group: FiniteGroup, channels: int, in_channels: int = 1, classes: int = 10, dropout: float = 0.0
    ) -> None:
        steps: list[nn.Module] = []
        for layer in range(6):
            conv = GroupConv(channels, channels, group) if layer else LiftConv(in_channels, channels, group)
            steps += [conv, GroupBatchNorm(channels, group), nn.ReLU()]
            steps += [PlanePool(group)] if layer == 1 else []
            steps += [nn.Dropout(dropout)] if layer else []
        super().__init__(*steps, GroupConv(channels, classes, group, 4), PlaneGlobalPool(group))


class RotationPoolingCNN(nn.Sequential):
    """The network of ``GroupCNN`` with the maximum over the group after each layer, so that directions never meet.

    Each layer lifts an image, pools over the group, and goes on with an image. It has the weights of an ordinary
    network of ``channels`` (20 in the paper's comparison: 21 380 in its filters). Shapes, symmetry and errors as for
    ``GroupCNN``. Batch norm comes after the pooling, of images.
    Source: arXiv 1602.07576, section 8.1; pinned by ``tests/models/test_gcnn.py``.
    """

    def __init__(
        self, group: FiniteGroup, channels: int = 20, in_channels: int = 1, classes: int = 10, dropout: float = 0.0
    ) -> None:
        steps: list[nn.Module] = []
        for layer in range(6):
            conv = LiftConv(channels if layer else in_channels, channels, group)
            steps += [conv, GroupPool(group), nn.BatchNorm2d(channels), nn.ReLU()]
            steps += [PlanePool(group)] if layer == 1 else []
            steps += [nn.Dropout(dropout)] if layer else []
        super().__init__(*steps, LiftConv(channels, classes, group, 4), PlaneGlobalPool(group))


def _stem(in_channels: int, fields: int, group: FiniteGroup, bias: bool) -> list[nn.Module]:
    """A 4×4 layer with padding 2: it makes the odd sizes that 3×3 layers with stride 2 want, 32 → 33 → 17 → 9."""
    conv = LiftConv(in_channels, fields, group, 4, padding=2, bias=bias)
    return [conv, GroupBatchNorm(fields, group), nn.ReLU()]


class AllCNNC(nn.Sequential):
    """All-CNN-C over a group: three layers of ``width`` fields, three of 2 ``width``, 3×3, 1×1, 1×1, and the mean.

    The third and sixth layer have stride 2; ReLU and batch norm after each but the last; dropout after the third and
    sixth. Shapes: (B, in_channels, 32, 32) → (B, classes), any size that is a multiple of 4. Width 96 in the plane,
    ``equal_width(96, group)`` else.

    The paper's 3×3 layers with stride 2 on 32×32 images are not centred, which breaks the symmetry; here the first
    layer is 4×4 with padding 2, so that sizes are 33, 17, 9 and the network is invariant to rounding.
    Raises: ValueError at the call for other sizes. Source: Springenberg et al. 2015; arXiv 1602.07576, section 8.2;
    pinned by ``tests/models/test_gcnn.py``.
    """

    def __init__(
        self, group: FiniteGroup, width: int, in_channels: int = 3, classes: int = 10, dropout: float = 0.5
    ) -> None:
        steps = _stem(in_channels, width, group, bias=True)
        plan = ((1, 3, 1), (1, 3, 2), (2, 3, 1), (2, 3, 1), (2, 3, 2), (2, 3, 1), (2, 1, 1))
        fields = width
        for factor, kernel, stride in plan:
            conv = GroupConv(fields, factor * width, group, kernel, stride=stride, padding=kernel // 2)
            fields = factor * width
            steps += [conv, GroupBatchNorm(fields, group), nn.ReLU()]
            steps += [nn.Dropout(dropout)] if stride == 2 else []
        super().__init__(*steps, GroupConv(fields, classes, group, 1), PlaneGlobalPool(group, "mean"))


class GroupResidualBlock(nn.Module):
    """``ReLU(skip(x) + norm(conv(ReLU(norm(conv(x))))))`` with 3×3 convolutions over a group.

    The first convolution has ``stride``. The skip is the identity, or a 1×1 convolution with batch
    norm where fields or size change.

    Shapes: (B, in_channels, |S|, H, W) → (B, out_channels, |S|, H', W'). Source: He et al. 2016.
    """

    def __init__(self, in_channels: int, out_channels: int, group: FiniteGroup, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            GroupConv(in_channels, out_channels, group, stride=stride, padding=1, bias=False),
            GroupBatchNorm(out_channels, group),
            nn.ReLU(),
            GroupConv(out_channels, out_channels, group, padding=1, bias=False),
            GroupBatchNorm(out_channels, group),
        )
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels or stride > 1:
            conv = GroupConv(in_channels, out_channels, group, 1, stride=stride, bias=False)
            self.skip = nn.Sequential(conv, GroupBatchNorm(out_channels, group))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.skip(x) + self.branch(x))


class GroupResNet(nn.Sequential):
    """A residual network over a group: depth 6n + 2, with n residual blocks in each of three stages; 44 has n = 7.

    ``widths``: fields of the stages, (32, 64, 128) in the plane, ``equal_width`` of them over a group; the second and
    third begin with stride 2. The scores are a linear map of the mean over group and plane. Shapes and the first layer
    as for ``AllCNNC``: (B, in_channels, 32, 32) → (B, classes), sizes a multiple of 4, invariant to rounding.
    Raises: ValueError for a depth that is not 6n + 2 or other than three widths; at the call for other sizes.
    Source: He et al. 2016; arXiv 1602.07576, section 8.2; pinned by ``tests/models/test_gcnn.py``.
    """

    def __init__(
        self,
        group: FiniteGroup,
        widths: Sequence[int],
        depth: int = 44,
        in_channels: int = 3,
        classes: int = 10,
    ) -> None:
        if depth < 8 or (depth - 2) % 6 or len(widths) != 3:
            raise ValueError(
                f"got depth = {depth} and widths = {tuple(widths)}, wanted depth = 6n + 2 (8, 14, …, 44) and 3 widths."
            )
        fields = widths[0]
        steps = _stem(in_channels, fields, group, bias=False)
        for stage, width in enumerate(widths):
            for block in range((depth - 2) // 6):
                steps.append(GroupResidualBlock(fields, width, group, 2 if stage and not block else 1))
                fields = width
        super().__init__(*steps, PlaneGlobalPool(group, "mean"), nn.Linear(fields, classes))

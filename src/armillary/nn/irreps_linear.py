"""Linear maps of features of O(3), the same at every point."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep


class IrrepsLinear(nn.Module):
    """All linear maps that commute with O(3): ``y_oim = b_oi + Σ_c w_ioc x_cim`` over the channels c of the irrep i.

    Schur's lemma leaves, between equal irreps, a matrix over the channels, the same for every m, and nothing between
    others. Channels of an irrep that is in several streams are taken together. Only the even scalars (0e), which do not
    change, have a bias.

    Shapes: (..., irreps_in.dim) → (..., irreps_out.dim), in the layout of ``groups.Irreps``. State dict: ``weights.i``
    (channels out, channels in) for the irreps of ``irreps_out.regrouped()`` in order, and ``bias`` (channels of 0e).
    Weights start normal with variance 1/(channels in), so that features keep their size.

    Symmetry: commutes with rotations and reflections to rounding.
    Raises: ValueError for an irrep of the output that the input has not, or x of another size.
    Source: Geiger & Smidt 2022 (arXiv 2207.09453); pinned by ``tests/nn/test_irreps_linear.py``.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, bias: bool = True) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out, self.in_channels = irreps_in, irreps_out, irreps_in.dim
        kinds = [(irrep, n, irreps_in.channels(irrep)) for n, irrep in irreps_out.regrouped()]
        missing = [str(irrep) for irrep, _, inner in kinds if inner == 0]
        if missing:
            raise ValueError(
                f"IrrepsLinear: got {irreps_in} → {irreps_out}, but nothing linear leads to {', '.join(missing)}: a "
                f"product or convolution does."
            )
        self.kinds = [(_places(irreps_in, irrep), _places(irreps_out, irrep)) for irrep, _, _ in kinds]
        """The streams of input and output that each weight joins."""
        self.weights = nn.ParameterList(torch.randn(n, inner) * inner**-0.5 for _, n, inner in kinds)
        scalars = irreps_out.channels(O3Irrep(0, 1))
        self.bias = nn.Parameter(torch.zeros(scalars)) if bias and scalars else None

    def forward(self, x: Tensor) -> Tensor:
        self.irreps_in.check(x, "IrrepsLinear")
        parts = self.irreps_in.split(x)
        found: dict[int, Tensor] = {}
        for k, (weight, (sources, targets)) in enumerate(zip(self.weights, self.kinds, strict=True)):
            part = parts[sources[0]] if len(sources) == 1 else torch.cat([parts[i] for i in sources], -1)
            bias = self.bias if k == 0 else None  # 0e comes first
            y = nn.functional.linear(part, weight.to(x), None if bias is None else bias.to(x))
            sizes = [self.irreps_out.streams[i][0] for i in targets]
            found |= dict(zip(targets, y.split(sizes, -1), strict=True))
        return self.irreps_out.join(found[i] for i in range(len(self.irreps_out)))

    def extra_repr(self) -> str:
        return f"{self.irreps_in} → {self.irreps_out}, bias={self.bias is not None}"


def _places(irreps: Irreps, wanted: O3Irrep) -> list[int]:
    return [i for i, (_, irrep) in enumerate(irreps) if irrep == wanted]

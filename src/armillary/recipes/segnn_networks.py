"""The networks of the charged bodies' task: what each variant of the comparison is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.models.egnn import EGNN
from armillary.models.seconv import SEConv
from armillary.models.segnn import SEGNN, centred, centred_as_published
from armillary.nn.radial import lengths
from armillary.spaces import complete_graph

Centring = Literal["centred", "as published"]

_IN, _OUT = Irreps("1x0e+2x1o"), Irreps("1o")


@dataclass(frozen=True)
class Variant:
    """A row of the table: its name, the folder of its runs, the published test error, and how it differs from SEGNN."""

    name: str
    folder: str
    published: float | None
    network: Literal["segnn", "seconv", "egnn"] = "segnn"
    messages: Literal["nonlinear", "linear"] = "nonlinear"
    attributes: Literal["both", "edges"] = "both"
    velocity: bool = True
    invariant: bool = False
    centring: Centring = "centred"


PHYSICS = Variant("SEGNN, geometry and velocity", "physics", 0.0043)
GEOMETRY = Variant("SEGNN, geometry", "geometry", 0.0056, velocity=False)
NONLINEAR = Variant("SEGNN, no attributes", "nonlinear", None, attributes="edges", velocity=False)
LINEAR = Variant(
    "SEGNN, no attributes, linear messages", "linear", None, messages="linear", attributes="edges", velocity=False
)
SE_NONLINEAR = Variant("SE non-linear", "se-nonlinear", 0.0060, network="seconv")
SE_LINEAR = Variant("SE linear", "se-linear", 0.0116, network="seconv", messages="linear")
INVARIANT = Variant("SEGNN, invariant messages", "invariant", None, invariant=True)
PUBLISHED = Variant("SEGNN, centred as published", "published", None, centring="as published")
EGNN_LIKE = Variant("EGNN", "egnn", 0.0070, network="egnn")
VARIANTS = (PHYSICS, GEOMETRY, NONLINEAR, LINEAR, SE_NONLINEAR, SE_LINEAR, INVARIANT, PUBLISHED, EGNN_LIKE)


class ChargedNetwork(nn.Module):
    """Positions of charged bodies some time later, from positions, velocities and charges.

    Every body sees all others; q_i q_j and |x_ij| are scalars of the edge, x_i - mean, v_i and |v_i| features of the
    body. The network tells the displacement.

    Shapes: (B, bodies, 7), x, v and q in a row → (B, bodies, 3). Commutes with O(3) and translations, except with
    ``centring="as published"``. Raises: ValueError for another shape.
    Source: Brandstetter et al. 2022, arXiv 2110.02905, section 4.1; pinned by ``tests/recipes/test_segnn.py``.
    """

    def __init__(self, variant: Variant, scalars: int = 32, vectors: int = 16, layers: int = 4) -> None:
        super().__init__()
        self.variant = variant
        self.network: SEGNN | SEConv | EGNN
        hidden = f"{scalars}x0e+{vectors}x1o"
        if variant.network == "egnn":
            self.network = EGNN(1, 2 * scalars, layers, edge_scalars=1)
        elif variant.network == "seconv":
            self.network = SEConv(
                _IN, _OUT, hidden, convolution=variant.messages, layers=layers, edge_scalars=1, neighbours=4
            )
        else:
            self.network = SEGNN(
                _IN,
                _OUT,
                hidden,
                layers=layers,
                messages=variant.messages,
                sent=f"{scalars + vectors}x0e" if variant.invariant else None,
                attributes=variant.attributes,
                edge_scalars=1,
                neighbours=4,
            )

    def forward(self, systems: Tensor) -> Tensor:
        if systems.ndim != 3 or systems.shape[2] != 7:
            raise ValueError(f"systems have shape {tuple(systems.shape)}, wanted (B, bodies, 7): x, v, q.")
        B, N, _ = systems.shape
        x, v, q = systems.flatten(0, 1).split([3, 3, 1], 1)
        batch = torch.arange(B, device=x.device).repeat_interleave(N)
        edges = complete_graph(batch).edge_index
        products, speed = q[edges[0]] * q[edges[1]], lengths(v)[:, None]
        if isinstance(self.network, EGNN):
            return self.network(speed, x, v, edges, products).view(B, N, 3)
        if self.variant.centring == "centred":
            middle = centred(x, batch, B)
        else:
            middle = centred_as_published(x)
        features = _IN.join([speed[:, None], torch.stack([middle, v], -1)[:, [1, 2, 0]]])
        y = self.network(features, x, edges, products, v[:, None] if self.variant.velocity else None)
        return (x + y[:, [2, 0, 1]]).view(B, N, 3)

"""Networks of points and their parts under O(3) and translations: 1e-12 in float64, 1e-5 in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep, random_rotations
from armillary.models import EGNN, SEGNN, SE3Classifier, SEConv
from armillary.models.forces import ConservativeForces
from armillary.models.invariant import InvariantNetwork
from armillary.models.scn import TurnedMessage
from armillary.models.se3 import full_convolution, norm_relu
from armillary.models.segnn import steerable_attributes
from armillary.nn import EdgeRotation, SE3SeparableConv, edge_frames
from armillary.nn.radial import lengths
from armillary.testing import PointMap, PointSymmetry, commutation_error

Case = tuple[nn.Module, PointSymmetry]
EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1, 2, 3], [1, 0, 0, 2, 1, 2, 4, 4, 2]])
VECTOR, SCALAR, NOTHING = Irreps("1x1o"), Irreps("1x0e"), Irreps()
HIGH = Irreps("3x0e+2x1o+1x10e+1x10o")
ROTATIONS = list(random_rotations(4, torch.Generator().manual_seed(3)))
CHARGES = torch.tensor([8, 1, 1, 8, 1])


def on_points(layer: nn.Module, call: Callable[..., Tensor], start: Irreps, end: Irreps, **more: Any) -> Case:
    return PointMap(layer, call), PointSymmetry(start, end, **({"points": 5, "shift": 1} | more))


def as_vectors(x: Tensor) -> Tensor:
    return x[:, [1, 2, 0]]


def segnn(**choices: Any) -> Case:
    net = SEGNN(HIGH, HIGH, HIGH, **({"lmax": 10, "layers": 1} | choices))

    def call(net: SEGNN, f: Tensor, x: Tensor) -> Tensor:
        v = None if net.attributes == "edges" else f[:, [7, 3, 5]][:, None]  # one of the vectors of HIGH, (x, y, z)
        return net(f, x, EDGES, None, v)

    return on_points(net, call, HIGH, HIGH, spread=2)


def egnn() -> Case:
    def call(net: EGNN, f: Tensor, x: Tensor) -> Tensor:
        v = f[:, [2, 0, 1]]
        return as_vectors(net(v.square().sum(1, keepdim=True), x, v, EDGES) - x)

    return on_points(EGNN(1, 8, 2), call, VECTOR, VECTOR)


def forces(network: nn.Module) -> Case:
    return on_points(network, lambda net, _, x: as_vectors(net(CHARGES, x, EDGES).forces), NOTHING, VECTOR)


def energies(network: nn.Module) -> Case:
    return on_points(network, lambda net, _, x: net(CHARGES, x[EDGES[0]] - x[EDGES[1]], EDGES), NOTHING, SCALAR)


def message(mmax: int, reflections: bool) -> Case:
    """A message of eSCN alone, of degree 10, without the grid of the network."""
    rotation, irreps = EdgeRotation(Irreps.natural(10), mmax), Irreps.natural(10, 2)
    layer = TurnedMessage(10, mmax, 2, 3, 4, reflections)

    def call(layer: TurnedMessage, f: Tensor, x: Tensor) -> Tensor:
        r, f = x[EDGES[0]] - x[EDGES[1]], f.unflatten(1, (-1, 2))
        Q = rotation.matrices(edge_frames(r, 10))
        features = torch.cos(lengths(r)[:, None] + torch.arange(4))
        y = Q.mT @ layer(torch.cat([f[EDGES[0]], f[EDGES[1]]], -1), Q, features)
        return torch.zeros_like(f).index_add(0, EDGES[1], y).flatten(1)

    return on_points(layer, call, irreps, irreps, spread=2, elements=None if reflections else ROTATIONS)


def encoder(convolution: Callable[..., nn.Module]) -> Case:
    """The features of the coarsest points of a network for clouds, before they become scores."""
    net = SE3Classifier(5, 3, (0.9, 1.6), band=2, neighbours=6, nonlinearity=norm_relu, convolution=convolution)
    irreps = Irreps((n, O3Irrep(l, 1)) for l, n in net.signals.degrees.streams)

    def call(net: SE3Classifier, _: Tensor, x: Tensor) -> Tensor:
        return net.body((x - x.mean(0))[None])[-1][1][0]

    return on_points(net, call, NOTHING, irreps, points=40, spread=0.5, elements=ROTATIONS)


EXACT: dict[str, Callable[[], Case]] = {
    "SEGNN": segnn,
    "SEGNN, linear messages": lambda: segnn(messages="linear"),
    "SEGNN, attributes of edges alone": lambda: segnn(attributes="edges"),
    "SEGNN, invariant messages": lambda: segnn(sent="5x0e"),
    "SEConv": lambda: on_points(
        SEConv(HIGH, HIGH, HIGH, lmax=10, layers=1), lambda net, f, x: net(f, x, EDGES), HIGH, HIGH, spread=2
    ),
    "EGNN": egnn,
    "InvariantNetwork": lambda: energies(InvariantNetwork((1, 8), 4, 2, 4.0, radial=5)),
    "forces of InvariantNetwork": lambda: forces(ConservativeForces(InvariantNetwork((1, 8), 4, 2, 4.0, radial=5))),
    "TurnedMessage": lambda: message(10, True),
    "TurnedMessage, |m| <= 2": lambda: message(2, True),
    "TurnedMessage without reflections": lambda: message(3, False),
    "SE3Classifier": lambda: encoder(full_convolution),
    "SE3Classifier, separable": lambda: encoder(SE3SeparableConv),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_networks(name: str) -> None:
    torch.manual_seed(0)
    network, symmetry = EXACT[name]()
    errors = [commutation_error(network, symmetry, batch=2, dtype=d) for d in (torch.float64, torch.float32)]
    assert errors[0] < 1e-12
    assert errors[1] < 1e-5


def test_attributes_turn() -> None:
    """Harmonics of degree 10 of a sum of vectors, that of a zero vector among them."""
    irreps = Irreps.natural(10)

    def call(_: nn.Module, f: Tensor, x: Tensor) -> Tensor:
        vectors = torch.stack([x[EDGES[0]] - x[EDGES[1]], 0 * x[EDGES[0]], f[EDGES[1]][:, [2, 0, 1]]], 1)
        return steerable_attributes(vectors, 10)

    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        network, symmetry = on_points(nn.Identity(), call, VECTOR, irreps, spread=2)
        assert commutation_error(network, symmetry, batch=2, dtype=dtype) < limit

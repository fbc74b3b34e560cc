"""Every layer of features in space, with degrees up to 10: the contract to 1e-12 in float64, 1e-5 in float32."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import armillary.nn
from armillary.groups import SO3, Degrees, Irreps, O3Irrep, SO3Signals, random_rotations
from armillary.nn import (
    ChannelwiseProduct,
    EdgeLinear,
    EdgeProduct,
    EdgeRotation,
    Gate,
    IrrepsBatchNorm,
    IrrepsDropout,
    IrrepsLayerNorm,
    IrrepsLinear,
    IrrepsNorm,
    NormReLU,
    OrderGate,
    OrderLinear,
    PointConv,
    RotationMLP,
    RotationPointwise,
    SE3GroupConv,
    SE3SeparableConv,
    SignalBatchNorm,
    SpherePointwise,
    TensorProduct,
    edge_frames,
    neighbour_table,
)
from armillary.nn.radial import lengths
from armillary.testing import FeatureSymmetry, PointMap, PointSymmetry, Symmetry, check_layer, commutation_error

Case = tuple[nn.Module, Symmetry]
ALL = Irreps([(n, O3Irrep(l, p)) for l in range(11) for n, p in ((3, 1), (2, -1))])
SOME = Irreps("2x0e+2x1o+2x1e+2x5o+2x9e+2x10e+2x10o")
ROTATIONS = list(random_rotations(4, torch.Generator().manual_seed(3)))
EDGES = torch.tensor([[0, 1, 2, 0, 3, 1, 2], [1, 0, 0, 2, 1, 3, 3]])
POINTS = 5
"""The last of them has no neighbour."""


def irreps_of(degrees: Degrees) -> Irreps:
    """The same layout; parities do not matter under rotations."""
    return Irreps((n, O3Irrep(l, 1)) for l, n in degrees.streams)


def of_features(layer: nn.Module, start: Irreps, end: Irreps | None = None) -> Case:
    return layer, FeatureSymmetry(start, start if end is None else end)


def of_degrees(layer: nn.Module, start: Degrees, end: Degrees | None = None) -> Case:
    ends = irreps_of(start), irreps_of(start if end is None else end)
    return layer, FeatureSymmetry(*ends, elements=ROTATIONS)


def on_points(layer: nn.Module, call: Callable[..., Tensor], start: Irreps, end: Irreps, rotations: bool) -> Case:
    """Points some way apart, that float32 may know the directions between them."""
    elements = ROTATIONS if rotations else None
    return PointMap(layer, call), PointSymmetry(start, end, POINTS, spread=2, shift=1, elements=elements)


def on_edges(
    layer: nn.Module, call: Callable[..., Tensor], start: Irreps, end: Irreps, rotations: bool = False
) -> Case:
    """``call(layer, features, frames of degree 10, lengths of the edges)``."""

    def of_cloud(layer: nn.Module, f: Tensor, x: Tensor) -> Tensor:
        r = x[EDGES[0]] - x[EDGES[1]]
        return call(layer, f, edge_frames(r, 10), lengths(r))

    return on_points(layer, of_cloud, start, end, rotations)


def among_neighbours(layer: nn.Module, start: Degrees, end: Degrees) -> Case:
    table = neighbour_table(EDGES, POINTS)
    return on_points(layer, lambda layer, f, x: layer(f, x, table), irreps_of(start), irreps_of(end), True)


def numbers(d: Tensor, count: int) -> Tensor:
    """``count`` numbers of each edge that depend on its length."""
    return torch.cos(d[:, None] + torch.arange(count))


class Joined(nn.Module):
    """The product of the two parts of one feature."""

    def __init__(self, product: TensorProduct | ChannelwiseProduct) -> None:
        super().__init__()
        self.product, self.irreps = product, product.irreps_in1 + product.irreps_in2

    def forward(self, x: Tensor) -> Tensor:
        self.irreps.check(x)
        return self.product(*x.split([self.product.irreps_in1.dim, self.product.irreps_in2.dim], -1))


def joined(product: TensorProduct | ChannelwiseProduct) -> Case:
    layer = Joined(product)
    return of_features(layer, layer.irreps, product.irreps_out)


class InFrame(nn.Module):
    """What networks of edges have between the turn to the frame and the turn back."""

    def __init__(self, mmax: int, reflections: bool) -> None:
        super().__init__()
        self.rotation = EdgeRotation(Irreps.natural(10), mmax)
        self.gate = OrderGate(10, mmax, 3)
        ends = (Irreps.natural(10, 2), self.gate.irreps_in, self.gate.irreps, Irreps.natural(10, 2))
        start, gated, middle, end = (EdgeRotation(irreps, mmax) for irreps in ends)
        self.mix = OrderLinear(start, gated, reflections=reflections)
        self.last = OrderLinear(middle, end, reflections=reflections)

    def forward(self, f: Tensor, frames: Tensor, _: Tensor) -> Tensor:
        Q, x = self.rotation.matrices(frames), f.unflatten(1, (-1, 2))
        z = self.last(self.gate(self.mix((Q @ x[EDGES[0]]).flatten(1))))
        return torch.zeros_like(x).index_add(0, EDGES[1], Q.mT @ z.unflatten(1, (-1, 2))).flatten(1)


def in_frame(mmax: int, reflections: bool = True) -> Case:
    irreps = Irreps.natural(10, 2)
    return on_edges(
        InFrame(mmax, reflections), lambda layer, *arguments: layer(*arguments), irreps, irreps, not reflections
    )


def edge_product() -> Case:
    layer = EdgeProduct("2x0e+2x10e", 10, "2x1o+2x10o")
    return on_edges(
        layer,
        lambda layer, f, frames, d: layer(f, frames, numbers(d, layer.weight_numel), EDGES),
        layer.irreps_in,
        layer.irreps_out,
    )


def edge_linear(mmax: int | None, reflections: bool = True) -> Case:
    layer = EdgeLinear(ALL, SOME, mmax, reflections=reflections)
    return on_edges(
        layer,
        lambda layer, f, frames, d: layer(f, frames, EDGES, numbers(d, layer.scale_numel)),
        ALL,
        SOME,
        not reflections,
    )


def edge_rotation() -> Case:
    """In and out, with the components of m = 0 and of natural parity alone let through a nonlinearity between."""
    layer = EdgeRotation(ALL, 3)

    def call(layer: EdgeRotation, f: Tensor, frames: Tensor, _: Tensor) -> Tensor:
        z = layer.rotate_in(f, frames, EDGES[0])
        natural, rest = z.split([layer.counts[0] - layer.others, layer.size - layer.counts[0] + layer.others], 1)
        return layer.rotate_out(torch.cat([natural.tanh(), rest], 1), frames, EDGES[1], len(f))

    return on_edges(layer, call, ALL, ALL)


def group_convolution() -> Case:
    """Its cost goes with the square of the samples: degree 3 of the output is what a test has time for."""
    signals, out = SO3Signals(2, 1), SO3Signals(2, 3)
    layer, table = SE3GroupConv(signals, 2, 4.0, radial=2, max_degree=2), neighbour_table(EDGES, POINTS)

    def call(layer: SE3GroupConv, f: Tensor, x: Tensor) -> Tensor:
        return out.integrated(layer(signals.sampled(f, layer.rule[0]), x, table), layer.rule)

    return on_points(layer, call, irreps_of(signals.degrees), irreps_of(out.degrees), True)


def separable_convolution() -> Case:
    signals, out = SO3Signals(1, 10), SO3Signals(1, 10)
    return among_neighbours(SE3SeparableConv(signals, out, 4.0, radial=1), signals.degrees, out.degrees)


def point_convolution() -> Case:
    start, end = Degrees.of({0: 2, 1: 2, 10: 1}), Degrees.of({0: 2, 3: 1, 10: 2})
    return among_neighbours(PointConv(start, end, 4.0, radial=2, max_degree=10), start, end)


SIGNALS = SO3Signals(1, 10)
EXACT: dict[str, Callable[[], Case]] = {
    "IrrepsLinear": lambda: of_features(IrrepsLinear(ALL, SOME), ALL, SOME),
    "Gate": lambda: of_features(Gate(ALL), Gate(ALL).irreps_in, ALL),
    "IrrepsNorm": lambda: of_features(IrrepsNorm(ALL), ALL, IrrepsNorm(ALL).irreps_out),
    "IrrepsBatchNorm": lambda: of_features(IrrepsBatchNorm(ALL), ALL),
    "IrrepsLayerNorm": lambda: of_features(IrrepsLayerNorm(ALL), ALL),
    "IrrepsDropout": lambda: of_features(IrrepsDropout(ALL), ALL),
    "TensorProduct": lambda: joined(TensorProduct(SOME, Irreps("1x0e+2x1o+1x10e"), SOME, bias=True)),
    "ChannelwiseProduct": lambda: joined(ChannelwiseProduct(SOME, Irreps("1x0e+1x3o+1x10e"), SOME)),
    "EdgeProduct": edge_product,
    "EdgeLinear": lambda: edge_linear(None),
    "EdgeLinear, |m| <= 2": lambda: edge_linear(2),
    "EdgeLinear without reflections": lambda: edge_linear(3, reflections=False),
    "EdgeRotation": edge_rotation,
    "OrderLinear, OrderGate": lambda: in_frame(10),
    "OrderLinear, |m| <= 2": lambda: in_frame(2),
    "OrderLinear without reflections": lambda: in_frame(3, reflections=False),
    "PointConv": point_convolution,
    "SE3GroupConv": group_convolution,
    "SE3SeparableConv": separable_convolution,
    "SignalBatchNorm": lambda: of_degrees(SignalBatchNorm(SIGNALS), SIGNALS.degrees),
    "NormReLU": lambda: of_degrees(NormReLU(SIGNALS.degrees), SIGNALS.degrees),
}


def with_other_numbers(layer: nn.Module) -> nn.Module:
    """Gains, biases and running statistics that are not those of the start, which would hide their part."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
            if "running" in name or (value.ndim == 1 and isinstance(value, nn.Parameter)):
                value.uniform_(0.5, 1.5)
    return layer


@pytest.mark.parametrize("name", EXACT)
def test_exact_layers(name: str) -> None:
    torch.manual_seed(0)
    layer, symmetry = EXACT[name]()
    check_layer(with_other_numbers(layer), symmetry, tolerance=1e-12, compile=False)
    assert commutation_error(layer, symmetry, dtype=torch.float32) < 1e-5


@pytest.mark.parametrize("name", EXACT)
def test_built_without_values(name: str) -> None:
    """On the meta device, as large networks are, and filled by a state dict: constants are there all the same."""
    layer, symmetry = EXACT[name]()
    with torch.device("meta"):
        other, _ = EXACT[name]()
    other.to_empty(device="cpu").load_state_dict(layer.state_dict())
    x = symmetry.inputs(1, torch.Generator().manual_seed(0)).float()
    assert torch.equal(other.eval()(x), layer.eval()(x))


def sampled_mlp(band: int) -> Case:
    signals = SO3Signals(4, 1)
    return of_degrees(RotationMLP(signals, rule=SO3().quadrature(band)), signals.degrees)


def sampled_on_rotations(band: int) -> Case:
    degrees = Degrees.of({0: 3, 1: 3, 2: 3})
    return of_degrees(RotationPointwise(nn.GELU(), degrees, band), degrees)


def sampled_on_rings(rings: int) -> Case:
    irreps = Irreps.natural(2, 3)

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = SpherePointwise(nn.GELU(), 2, rings)

        def forward(self, x: Tensor) -> Tensor:
            irreps.check(x)
            return self.layer(x.unflatten(-1, (-1, 3))).flatten(-2)

    return of_features(Rows(), irreps)


APPROXIMATE: dict[str, tuple[Callable[[int], Case], dict[int, float]]] = {
    "RotationMLP": (sampled_mlp, {1: 0.28, 2: 0.036, 4: 2.1e-3, 6: 2.1e-4}),
    "RotationPointwise": (sampled_on_rotations, {2: 0.25, 4: 0.040, 8: 5.2e-3, 16: 2.6e-4}),
    "SpherePointwise": (sampled_on_rings, {3: 0.60, 6: 0.057, 12: 8.9e-3, 24: 5.8e-4}),
}
"""Layers that sample: the error by their knob, as docs/irreps.md has it."""


@pytest.mark.parametrize("name", APPROXIMATE)
def test_layers_that_sample(name: str) -> None:
    make, wanted = APPROXIMATE[name]
    errors = {}
    for knob in wanted:
        torch.manual_seed(0)
        layer, symmetry = make(knob)
        errors[knob] = commutation_error(layer, symmetry, batch=20)
    assert errors == pytest.approx(wanted, rel=0.3)
    check_layer(layer, symmetry, tolerance=2 * errors[max(errors)], compile=False)


def test_no_layer_is_left_out() -> None:
    """Whatever ``armillary.nn`` has in the files that layers of points and irreps are in is in one of the tables."""
    files = ("irreps_", "gate", "tensor_product", "edge_", "points", "se3_", "lift_rotation", "sphere_pointwise")
    listed = " ".join([*EXACT, *APPROXIMATE])
    layers = [value for value in vars(armillary.nn).values() if inspect.isclass(value) and issubclass(value, nn.Module)]
    of_points = [layer.__name__ for layer in layers if layer.__module__.split(".")[-1].startswith(files)]
    assert len(of_points) >= 20
    assert [name for name in of_points if name not in listed] == []

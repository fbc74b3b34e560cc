"""The two forms of the SE(3) convolution side by side, and the error of nonlinearities against samples: as numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import SO3, SO3Signals, random_rotations, solid_rule
from armillary.groups.so3_signals import Rule
from armillary.nn import NormReLU, PointConv, RotationMLP, SE3GroupConv, group_form, tensor_field
from armillary.testing import GroupAction, commutation_error


def random_cloud(points: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, positions and neighbours, four for each point, float64: the same at each call."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(points, size, generator=generator, dtype=torch.float64)
    positions = torch.randn(points, 3, generator=generator, dtype=torch.float64)
    return x, positions, torch.cdist(positions, positions).topk(4, largest=False).indices


@torch.no_grad()
def form_difference(band: int, max_degree: int, points: int = 16) -> float:
    """The largest difference of the features that the tensor field form gives and those of the group form, whose
    integral over SO(3) is a quadrature, relative to the largest feature; random kernels and signals, float64."""
    torch.manual_seed(0)
    signals = SO3Signals(2, band)
    group = SE3GroupConv(signals, 2, 2.0, max_degree=max_degree).double()
    x, positions, neighbours = random_cloud(points, signals.size)
    by_quadrature = group(signals.sampled(x, group.rule[0]), positions, neighbours)
    wanted = SO3Signals(2, band + max_degree).integrated(by_quadrature, group.rule)
    found = tensor_field(group)(x, positions, neighbours)
    return float((found - wanted).abs().max() / wanted.abs().max())


@torch.no_grad()
def round_trip(band: int, max_degree: int) -> float:
    """The largest change of a kernel that goes to the other form and back, either way, by its largest entry."""
    torch.manual_seed(0)
    group = SE3GroupConv(SO3Signals(2, band), 2, 2.0, max_degree=max_degree).double()
    back = group_form(tensor_field(group), 2, 2)
    before, after = (SO3Signals(2, n).degrees for n in (band, band + max_degree))
    field = PointConv(before, after, 2.0, max_degree=max_degree).double()
    again = tensor_field(group_form(field, 2, 2))
    pairs = [*zip(group.kernels, back.kernels, strict=True), *zip(field.weights, again.weights, strict=True)]
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def nonlinearity_error(signals: SO3Signals, rule: Rule | None, activation: nn.Module | None = None) -> float:
    """The relative error under random rotations, float64, on standard normal features: of ``RotationMLP`` with a rule,
    or of ``NormReLU`` where there is none."""
    torch.manual_seed(0)
    layer = NormReLU(signals.degrees) if rule is None else RotationMLP(signals, rule=rule, activation=activation)
    act = signals.degrees.act
    rotations = list(random_rotations(6, torch.Generator().manual_seed(1)))
    return commutation_error(layer, GroupAction((32, signals.size), rotations, act, act))


def errors_by_samples(band: int, most: int, activation: nn.Module | None = None) -> list[tuple[int, float]]:
    """(samples, error) for the rules that hold the band, of solids and products up to ``most``; GELU by default."""
    signals = SO3Signals(8, band)
    rules = [*(solid_rule(n) for n in (12, 24, 60)), *(SO3().quadrature(n) for n in range(band, most + 1))]
    kept = [rule for rule in rules if signals.rule_error(rule) < 1e-9]
    return sorted((len(rule[0]), nonlinearity_error(signals, rule, activation)) for rule in kept)

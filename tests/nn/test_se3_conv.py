"""The group form of SE(3) convolution: against sums written out, the tensor field form and back, views, motions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import SO3, Degrees, SO3Signals, random_rotation, random_rotations, wigner_D_real
from armillary.nn import PointConv, SE3GroupConv, group_form, neighbour_table, tensor_field
from armillary.ops.real_harmonics import solid_harmonics
from armillary.testing import GroupAction, check_layer, commutation_error

SIGNALS = SO3Signals(2, 1)
EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1], [0, 0, 0, 1, 1, 2, 4]])  # 0 is its own neighbour, 3 has none


def layer(signals: SO3Signals = SIGNALS, max_degree: int = 1, channels_out: int = 3) -> SE3GroupConv:
    torch.manual_seed(0)
    conv = SE3GroupConv(signals, channels_out, 2.5, radial=2, max_degree=max_degree).double()
    nn.init.normal_(conv.bias)
    return conv


def cloud(signals: SO3Signals = SIGNALS) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, signals.size, generator=generator, dtype=torch.float64)
    return x, torch.randn(5, 3, generator=generator, dtype=torch.float64), neighbour_table(EDGES, 5)


def kernel_of_one(conv: SE3GroupConv, r: Tensor, Q: Tensor) -> Tensor:
    """κ(r, Q), (channels_out, C), one coefficient after the other."""
    r = r / conv.cutoff
    S, total = (4 * torch.pi) ** 0.5 * solid_harmonics(conv.max_degree, r), 0
    for kernel, (j, J) in zip(conv.kernels, conv.pairs, strict=True):
        D = wigner_D_real(j, Q)
        for k in range(conv.radial):
            hat = max(0.0, 1 - abs(float(r.norm()) * conv.radial - k))
            for a in range(2 * j + 1):
                for b in range(2 * j + 1):
                    for M in range(2 * J + 1):
                        total = total + kernel[:, :, k, a, b, M] * hat * S[J * J + M] * D[a, b] * (2 * j + 1) ** 0.5
    return total


@torch.no_grad()
def test_is_the_double_integral() -> None:
    conv, (x, positions, neighbours) = layer(), cloud()
    Q, weights = conv.rule
    values = SIGNALS.sampled(x, Q)
    found = conv(values, positions, neighbours)
    chosen = (0, 31)
    for i in (1, 3):
        mine = [int(j) for j in neighbours[i] if j >= 0]
        for v in chosen:
            wanted = conv.bias.clone()
            for j in mine:
                for s in range(len(Q)):
                    K = kernel_of_one(conv, Q[v].T @ (positions[j] - positions[i]), Q[v].T @ Q[s])
                    wanted += weights[s] * K @ values[j, s] / len(mine)
            torch.testing.assert_close(found[i, v], wanted, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(("band", "max_degree"), [(0, 2), (1, 1), (1, 2), (2, 1)])
def test_is_the_tensor_field_form(band: int, max_degree: int) -> None:
    """Quadrature of the integral over SO(3) on one side, Clebsch–Gordan coefficients on the other."""
    signals = SO3Signals(2, band)
    conv, (x, positions, neighbours) = layer(signals, max_degree), cloud(signals)
    by_quadrature = conv(signals.sampled(x, conv.rule[0]), positions, neighbours)
    for kept in (0, band, band + max_degree):
        field = tensor_field(conv, kept)
        wanted = SO3Signals(3, kept).integrated(by_quadrature, conv.rule)
        torch.testing.assert_close(field(x, positions, neighbours), wanted, rtol=0, atol=1e-12)
    field = tensor_field(conv)
    values = SO3Signals(3, band + max_degree).sampled(field(x, positions, neighbours), conv.rule[0])
    torch.testing.assert_close(values, by_quadrature, rtol=0, atol=1e-12)


@torch.no_grad()
def test_another_quadrature_gives_the_same() -> None:
    conv, (x, positions, neighbours) = layer(), cloud()
    finer = SE3GroupConv(SIGNALS, 3, 2.5, radial=2, max_degree=1, rule=SO3().quadrature(4)).double()
    finer.load_state_dict(conv.state_dict())
    features = [
        SO3Signals(3, 2).integrated(c(SIGNALS.sampled(x, c.rule[0]), positions, neighbours), c.rule)
        for c in (conv, finer)
    ]
    torch.testing.assert_close(*features, rtol=0, atol=1e-12)


@torch.no_grad()
def test_kernels_there_and_back() -> None:
    conv = layer(max_degree=2)
    back = group_form(tensor_field(conv), 2, 3)
    assert back.pairs == conv.pairs
    for one, other in zip(conv.parameters(), back.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-13)
    torch.manual_seed(3)
    field = PointConv(SIGNALS.degrees, SO3Signals(3, 2).degrees, 2.0, radial=2, max_degree=2).double()
    again = tensor_field(group_form(field, 2, 3), 2)
    for one, other in zip(field.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-13)
    cut = group_form(tensor_field(conv, 1), 2, 3)  # what degrees above the band were made of is gone
    assert float((cut.kernels[0] - conv.kernels[0]).abs().max()) < 1e-13  # j = J = 0
    assert float((cut.kernels[-1] - conv.kernels[-1]).abs().max()) > 1e-2


@torch.no_grad()
def test_a_sum_of_views() -> None:
    """At a fixed view: ordinary convolutions by kernels of differences, one for each view of the input."""
    conv, (x, positions, neighbours) = layer(), cloud()
    Q, weights = conv.rule
    values, v = SIGNALS.sampled(x, Q), 5
    total = torch.zeros(5, 3, dtype=torch.float64)
    for s in range(len(Q)):
        K = conv.view(positions[:, None] - positions, Q[v], Q[s])  # from j to i, [j, i]
        for i in range(5):
            mine = neighbours[i][neighbours[i] >= 0]
            if len(mine):
                total[i] += weights[s] * torch.einsum("joc,jc->o", K[mine, i], values[mine, s]) / len(mine)
    torch.testing.assert_close(conv(values, positions, neighbours)[:, v], total + conv.bias, rtol=0, atol=1e-12)
    R = random_rotation()  # the kernels of one view are those of another, turned
    r = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(conv.view(r @ R.T, R @ Q[1], R @ Q[2]), conv.view(r, Q[1], Q[2]), rtol=0, atol=1e-12)


class Fields(nn.Module):
    """(B, 3 + size, P), positions and features, through the samples of the group form; edges the same for all."""

    neighbours: Tensor

    def __init__(self, conv: SE3GroupConv, out: SO3Signals) -> None:
        super().__init__()
        self.conv, self.out = conv, out
        self.register_buffer("neighbours", neighbour_table(EDGES, 5), persistent=False)
        self.register_buffer("basis", conv.signals.basis(conv.rule[0]), persistent=False)
        self.register_buffer("inverse", (out.basis(conv.rule[0]) * conv.rule[1][:, None]).T, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (3 + self.conv.signals.size, 5):
            raise ValueError(f"x has shape {tuple(x.shape)}")
        moved, first = x.mT.flatten(0, 1), 5 * torch.arange(len(x))[:, None, None]
        neighbours = torch.where(self.neighbours < 0, -1, self.neighbours + first).flatten(0, 1)
        values = self.basis.to(x) @ moved[:, 3:].unflatten(1, (-1, self.conv.signals.channels))
        y = self.inverse.to(x) @ self.conv(values, moved[:, :3], neighbours)
        return y.flatten(1).unflatten(0, (len(x), -1)).mT


def motions_of(degrees: Degrees, out: Degrees, points: int = 5) -> GroupAction:
    generator = torch.Generator().manual_seed(0)
    elements = [(R, torch.randn(3, generator=generator).double()) for R in random_rotations(3, generator)]

    def act_in(g: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        return torch.cat([x.mT[..., :3] @ g[0].T + g[1], degrees.act(g[0], x.mT[..., 3:])], -1).mT

    return GroupAction((3 + degrees.size, points), elements, act_in, lambda g, y: out.act(g[0], y.mT).mT)


def test_contract_under_motions_of_space() -> None:
    out = SO3Signals(3, 1)
    check_layer(Fields(layer(), out), motions_of(SIGNALS.degrees, out.degrees), tolerance=1e-12)


def test_a_coarse_rule_breaks_the_symmetry() -> None:
    """24 rotations hold signals of degree 1, and not what the kernel makes of them."""
    out, rule = SO3Signals(3, 1), SO3().quadrature(1)
    conv = SE3GroupConv(SIGNALS, 3, 2.5, radial=2, max_degree=3, rule=rule).double()
    assert commutation_error(Fields(conv, out), motions_of(SIGNALS.degrees, out.degrees)) > 1e-3


def test_errors() -> None:
    with pytest.raises(ValueError, match="cutoff = 0"):
        SE3GroupConv(SIGNALS, 1, 0)
    with pytest.raises(ValueError, match="does not give back 2 functions of degree <= 1"):
        SE3GroupConv(SIGNALS, 1, 1.0, rule=SO3().quadrature(0))
    conv, (x, positions, neighbours) = layer(), cloud()
    with pytest.raises(ValueError, match=r"wanted \(5, 75, 2\): those at the rotations"):
        conv(x, positions, neighbours)
    for wrong, message in ((neighbours[:2], r"integers \(5, K\)"), (neighbours > 0, "torch.bool")):
        with pytest.raises(ValueError, match=message):
            conv(torch.zeros(5, 75, 2).double(), positions, wrong)
    field = PointConv(SIGNALS.degrees, Degrees.of({0: 1, 1: 2}), 1.0)
    with pytest.raises(ValueError, match="degrees_out are"):
        group_form(field, 2, 1)

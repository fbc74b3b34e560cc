"""Separable convolution of SE(3): the group form with the product kernel, motions, parameters, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import SO3Signals, random_rotations
from armillary.nn import SE3GroupConv, SE3SeparableConv, neighbour_table
from armillary.testing import GroupAction, check_layer, commutation_error

SIGNALS, OUT = SO3Signals(2, 1), SO3Signals(3, 2)
EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1], [0, 0, 0, 1, 1, 2, 4]])


def layer() -> SE3SeparableConv:
    torch.manual_seed(0)
    conv = SE3SeparableConv(SIGNALS, OUT, 2.5, radial=2, max_degree=2).double()
    nn.init.normal_(conv.bias)
    return conv


@torch.no_grad()
def group_of(conv: SE3SeparableConv) -> SE3GroupConv:
    """The group form whose kernel is the product: w^{jJ}_{ockabM} = a^J_okM √(2j + 1) u^j_ocab."""
    group = SE3GroupConv(conv.signals, 3, conv.cutoff, radial=conv.radial, max_degree=conv.max_degree).double()
    for kernel, (j, J) in zip(group.kernels, group.pairs, strict=True):
        n = 2 * j + 1
        u = conv.mixing[j].view(n, 3, n, conv.signals.channels)
        kernel.copy_(torch.einsum("okM,aobc->ockabM", conv.filters[J], u) * n**0.5)
    group.bias.copy_(conv.bias)
    return group


@torch.no_grad()
def test_is_the_group_form_of_a_product() -> None:
    conv = layer()
    x, positions, neighbours = (
        torch.randn(5, SIGNALS.size).double(),
        torch.randn(5, 3).double(),
        neighbour_table(EDGES, 5),
    )
    group = group_of(conv)
    wanted = OUT.integrated(group(SIGNALS.sampled(x, group.rule[0]), positions, neighbours), group.rule)
    torch.testing.assert_close(conv(x, positions, neighbours), wanted, rtol=0, atol=1e-12)
    r, Q = torch.randn(4, 3).double(), random_rotations(3)
    one = group.kernel(r, Q)  # (4, 3, out, in): of rank one in (r, Q)
    for o in range(3):
        assert int(torch.linalg.matrix_rank(one[:, :, o, 0], rtol=1e-9)) == 1


@torch.no_grad()
def test_centres_of_their_own() -> None:
    conv = layer()
    x, positions, table = torch.randn(5, SIGNALS.size).double(), torch.randn(5, 3).double(), neighbour_table(EDGES, 5)
    some = conv(x, positions, table[[4, 0]], positions[[4, 0]])
    torch.testing.assert_close(some, conv(x, positions, table)[[4, 0]], rtol=0, atol=1e-13)


class Cloud(nn.Module):
    """(B, 3 + size, P): positions, then features; edges the same for all."""

    neighbours: Tensor

    def __init__(self, conv: SE3SeparableConv) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("neighbours", neighbour_table(EDGES, 5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != 5:
            raise ValueError(f"x has shape {tuple(x.shape)}")
        moved, first = x.mT.flatten(0, 1), 5 * torch.arange(len(x))[:, None, None]
        neighbours = torch.where(self.neighbours < 0, -1, self.neighbours + first).flatten(0, 1)
        return self.conv(moved[:, 3:], moved[:, :3], neighbours).unflatten(0, (len(x), -1)).mT


def motions(act_out_right: bool = True) -> GroupAction:
    generator = torch.Generator().manual_seed(0)
    elements = [(R, torch.randn(3, generator=generator).double()) for R in random_rotations(4, generator)]

    def act_in(g: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        return torch.cat([x.mT[..., :3] @ g[0].T + g[1], SIGNALS.degrees.act(g[0], x.mT[..., 3:])], -1).mT

    def act_out(g: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        return OUT.degrees.act(g[0] if act_out_right else g[0].T, y.mT).mT

    return GroupAction((3 + SIGNALS.size, 5), elements, act_in, act_out)


def test_contract_under_motions_of_space() -> None:
    check_layer(Cloud(layer()), motions(), tolerance=1e-12)
    assert commutation_error(Cloud(layer()), motions(act_out_right=False)) > 0.1


def test_parameters_and_coincident_points() -> None:
    conv = layer()
    assert sum(p.numel() for p in conv.parameters()) == 2 * 3 * 9 + 2 * 3 * (1 + 9) + 3
    positions = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    y = conv(torch.randn(3, SIGNALS.size).double(), positions, torch.tensor([[0, 1], [2, -1], [-1, -1]]))
    assert bool(torch.autograd.grad(y.square().sum(), positions)[0].isfinite().all())
    torch.testing.assert_close(y[2, :3], conv.bias)  # no neighbours
    assert float(y[2, 3:].detach().abs().max()) == 0


def test_errors() -> None:
    conv, table = layer(), neighbour_table(EDGES, 5)
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 20\)"):
        conv(torch.zeros(5, 19), torch.zeros(5, 3), table)
    with pytest.raises(ValueError, match=r"wanted \(5, 3\)"):
        conv(torch.zeros(5, 20).double(), torch.zeros(4, 3), table)
    with pytest.raises(ValueError, match=r"integers \(5, K\)"):
        conv(torch.zeros(5, 20).double(), torch.zeros(5, 3), table[:2])
    with pytest.raises(ValueError, match="cutoff = inf"):
        SE3SeparableConv(SIGNALS, OUT, float("inf"))
    with pytest.raises(ValueError, match="radial = 0"):
        SE3SeparableConv(SIGNALS, OUT, 1.0, radial=0)

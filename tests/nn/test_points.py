"""PointConv: against the direct sum of kernels, motions of space, the constraint's null space, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import (
    Degrees,
    clebsch_gordan_real,
    random_rotation,
    random_rotations,
    rotation_about,
    wigner_D_real,
)
from armillary.harmonics import evaluate
from armillary.nn import PointConv, neighbour_table
from armillary.testing import GroupAction, check_layer, commutation_error

IN, OUT = Degrees.of({0: 2, 1: 1, 2: 1}), Degrees.of({0: 1, 1: 2, 3: 1})
EDGES = torch.tensor([[0, 1, 2, 0, 3, 4, 1, 2], [0, 0, 0, 1, 1, 2, 4, 4]])  # 0 is its own neighbour, 3 has none


class Cloud(nn.Module):
    """(B, 3 + size, P): positions, then features, of P points each; edges the same for all."""

    neighbours: Tensor

    def __init__(self, conv: nn.Module, points: int = 5) -> None:
        super().__init__()
        self.conv, self.points = conv, points
        self.register_buffer("neighbours", neighbour_table(EDGES, points), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != self.points:
            raise ValueError(f"x has shape {tuple(x.shape)}")
        moved = x.mT.flatten(0, 1)
        first = self.points * torch.arange(len(x))[:, None, None]
        neighbours = torch.where(self.neighbours < 0, -1, self.neighbours + first).flatten(0, 1)
        return self.conv(moved[:, 3:], moved[:, :3], neighbours).unflatten(0, (len(x), -1)).mT


def action(degrees: Degrees, positions: bool):  # type: ignore[no-untyped-def]
    def act(g: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        R, shift = g
        turned = degrees.act(R, x.mT[..., 3 * positions :])
        return torch.cat([x.mT[..., :3] @ R.T + shift, turned] if positions else [turned], -1).mT

    return act


def motions(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (random_rotation(generator), torch.randn(3, generator=generator, dtype=torch.float64)) for _ in range(count)
    ]


def direct(conv: PointConv, x: Tensor, positions: Tensor, edges: Tensor) -> Tensor:
    """Kernel matrices of single edges, harmonics as ``evaluate`` has them, couplings as an integral over SO(3)."""
    outputs = torch.zeros(len(x), conv.degrees_out.size, dtype=torch.float64)
    for i in range(len(x)):
        mine = [int(e) for e in range(edges.shape[1]) if edges[1, e] == i]
        for e in mine:
            j = int(edges[0, e])
            outputs[i] += kernel(conv, (positions[j] - positions[i]) / conv.cutoff) @ x[j] / len(mine)
    if conv.bias is not None:
        outputs[:, : len(conv.bias)] += conv.bias.detach()
    return outputs


def harmonics(J: int, r: Tensor) -> Tensor:
    """|r|^J √4π Y_Jm(r/|r|), real, m = -J..J."""
    length = r.norm()
    if length == 0:
        return torch.eye(1).double()[0] if J == 0 else torch.zeros(2 * J + 1).double()
    values = []
    for m in range(-J, J + 1):
        c = torch.zeros(J + 1, J + 1, dtype=torch.complex128)
        sign = (-1.0) ** m * 0.5**0.5
        c[J, abs(m)] = 1 if m == 0 else sign * (1 if m > 0 else -1j)  # √2 (-1)^m Re Y, Im Y
        values.append(evaluate(c, (r / length)[None])[0])
    return (4 * torch.pi) ** 0.5 * length**J * torch.stack(values)


def kernel(conv: PointConv, r: Tensor) -> Tensor:
    columns = dict(zip(conv.degrees_in.degrees, conv.degrees_in.split(torch.eye(conv.degrees_in.size)), strict=True))
    rows = dict(zip(conv.degrees_out.degrees, conv.degrees_out.split(torch.eye(conv.degrees_out.size)), strict=True))
    total = torch.zeros(conv.degrees_out.size, conv.degrees_in.size, dtype=torch.float64)
    for weight, (l, J, k) in zip(conv.weights, conv.paths, strict=True):
        hats = (1 - (r.norm() * conv.radial - torch.arange(conv.radial)).abs()).clamp(min=0)
        w = (weight.detach().double().unflatten(1, (-1, conv.radial)) * hats.double()).sum(-1)
        matrix = torch.einsum("M,Mmn->nm", harmonics(J, r), clebsch_gordan_real(J, l, k))
        total += torch.einsum("ano,oi,nm,bmi->ab", rows[k].double(), w, matrix, columns[l].double())
    return total


def randomised(conv: PointConv) -> PointConv:
    torch.manual_seed(0)
    if conv.bias is not None:
        nn.init.normal_(conv.bias)
    return conv


@pytest.mark.parametrize("max_degree", [None, 2])
def test_is_the_sum_over_edges(max_degree: int | None) -> None:
    conv = randomised(PointConv(IN, Degrees.of({0: 1, 1: 2}), 2.5, radial=4, max_degree=max_degree)).double()
    x, positions = torch.randn(5, IN.size).double(), torch.randn(5, 3).double()
    torch.testing.assert_close(
        conv(x, positions, neighbour_table(EDGES, 5)), direct(conv, x, positions, EDGES), rtol=0, atol=1e-12
    )


def test_centres_are_points_of_their_own() -> None:
    conv = randomised(PointConv(IN, OUT, 3.0)).double()
    x, positions = torch.randn(5, IN.size).double(), torch.randn(5, 3).double()
    table = neighbour_table(EDGES, 5)[[4, 0]]
    whole = conv(x, positions, neighbour_table(EDGES, 5))
    torch.testing.assert_close(conv(x, positions, table, positions[[4, 0]]), whole[[4, 0]], rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"integers \(5, K\)"):
        conv(x, positions, table)
    with pytest.raises(ValueError, match=r"wanted \(Q, 3\)"):
        conv(x, positions, table, positions[0])


def test_contract_under_motions_of_space() -> None:
    layer = Cloud(randomised(PointConv(IN, OUT, 3.0)))
    symmetry = GroupAction((3 + IN.size, 5), motions(), action(IN, True), action(OUT, False))
    check_layer(layer, symmetry, tolerance=1e-12, compile=True)
    wrong = GroupAction((3 + IN.size, 5), motions(), action(IN, True), lambda g, y: y)
    assert commutation_error(layer, wrong) > 0.1


@pytest.mark.parametrize(("l", "k"), [(0, 1), (1, 1), (1, 2), (2, 2)])
def test_all_kernels_at_a_distance(l: int, k: int) -> None:
    """At one r the constraint κ(R r) = ρ'(R) κ(r) ρ(R)⁻¹ leaves what commutes with turns about r: as many as paths."""
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    constraint = []
    for angle in (0.7, 1.9):
        R = rotation_about("z", angle)
        one, other = torch.eye(2 * k + 1).double(), torch.eye(2 * l + 1).double()
        constraint.append(torch.kron(one, wigner_D_real(l, R).T.contiguous()) - torch.kron(wigner_D_real(k, R), other))
    wanted = int((torch.linalg.svdvals(torch.cat(constraint)) < 1e-9).sum())
    conv = PointConv(Degrees.of({l: 1}), Degrees.of({k: 1}), 2.0, radial=1)
    kernels = []
    for i in range(len(conv.paths)):
        for p, weight in enumerate(conv.weights):
            nn.init.constant_(weight, float(p == i))
        kernels.append(kernel(conv, 0.5 * z).flatten())
    found = torch.stack(kernels)
    assert int(torch.linalg.matrix_rank(found)) == len(conv.paths) == wanted
    assert float((torch.cat(constraint) @ found.T).abs().max()) < 1e-12


def test_smooth_where_points_meet() -> None:
    """A kernel has no direction at r = 0: neighbours there give what S_0 gives, and gradients are finite."""
    conv = randomised(PointConv(IN, OUT, 3.0)).double()
    x = torch.randn(2, IN.size).double()
    positions = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    neighbours = torch.tensor([[1, 0], [-1, -1]])
    y = conv(x, positions, neighbours)
    gradient = torch.autograd.grad(y.square().sum(), positions)[0]
    assert bool(gradient.isfinite().all())
    for R in random_rotations(3):
        torch.testing.assert_close(conv(IN.act(R, x), positions, neighbours), OUT.act(R, y), rtol=0, atol=1e-12)


def test_errors() -> None:
    with pytest.raises(ValueError, match="raise max_degree"):
        PointConv(Degrees.of({0: 1}), Degrees.of({2: 1}), 1.0, max_degree=1)
    with pytest.raises(ValueError, match="cutoff = 0"):
        PointConv(IN, OUT, 0)
    conv, table = PointConv(IN, OUT, 1.0), neighbour_table(EDGES, 5)
    with pytest.raises(ValueError, match=r"wants \(points, 10\)"):
        conv(torch.zeros(5, 9), torch.zeros(5, 3), table)
    with pytest.raises(ValueError, match=r"wanted \(5, 3\)"):
        conv(torch.zeros(5, 10), torch.zeros(4, 3), table)
    with pytest.raises(ValueError, match=r"wanted integers \(5, K\)"):
        conv(torch.zeros(5, 10), torch.zeros(5, 3), EDGES)
    for wrong in (table.bool(), table.clamp(min=0).to(torch.uint8), table.double()):
        with pytest.raises(ValueError, match=r"wanted integers \(5, K\) of int64"):
            conv(torch.zeros(5, 10), torch.zeros(5, 3), wrong)
    for wrong in (table, EDGES.bool(), EDGES.to(torch.uint8)):
        with pytest.raises(ValueError, match=r"wanted \(2, E\)"):
            neighbour_table(wrong, 5)
    with pytest.raises(ValueError, match="cutoff = inf"):
        PointConv(IN, OUT, float("inf"))
    with pytest.raises(ValueError, match=r"outside 0\.\.3"):
        neighbour_table(EDGES, 4)


def test_table_of_neighbours() -> None:
    wanted = [[0, 1, 2], [0, 3, -1], [4, -1, -1], [-1, -1, -1], [1, 2, -1]]
    assert neighbour_table(EDGES, 5).tolist() == wanted
    assert neighbour_table(EDGES.flip(1), 5).sort(1).values.tolist() == [sorted(row) for row in wanted]

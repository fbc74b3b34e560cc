"""Weights of the nearest neighbours: the sum over all pairs, its limits, ties, smoothness, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.nn import NearestWeights
from armillary.testing import GroupAction, check_layer


def problem(edges: int = 40, points: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    d = 1 + 3 * torch.rand(edges, generator=g, dtype=torch.float64)
    return d, torch.randint(points, (edges,), generator=g)


def h(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return 10 * x**3 - 15 * x**4 + 6 * x**5


def directly(d: Tensor, target: Tensor, nearest: int, width: float) -> Tensor:
    found = []
    for e in range(len(d)):
        rank = sum(h(float(d[e] - d[f]) / width) for f in range(len(d)) if target[f] == target[e])
        found.append(1 - h(rank - (nearest - 1)))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("width", [1e-6, 0.3, 2.0])
@pytest.mark.parametrize("nearest", [1, 4, 9, 40])
def test_it_is_the_sum_over_pairs(nearest: int, width: float) -> None:
    d, target = problem()
    layer = NearestWeights(nearest, width)
    t = layer(d, target)
    torch.testing.assert_close(t, directly(d, target, nearest, width), rtol=0, atol=1e-12)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(d, target), t, rtol=0, atol=1e-13)
    torch.testing.assert_close(layer(d.float(), target).double(), t, rtol=0, atol=1e-5 / width)


def test_the_nearest_have_weight_one_and_the_far_have_none() -> None:
    d, target = problem()
    for nearest in (1, 3, 5):
        exact, soft = NearestWeights(nearest, 1e-9)(d, target), NearestWeights(nearest, 0.4)(d, target)
        for i in range(4):
            own = (target == i).nonzero()[:, 0]
            order = own[d[own].argsort()]
            assert torch.equal(exact[order[:nearest]], torch.ones(len(order[:nearest])).double())
            assert not exact[order[nearest:]].any()
            assert torch.equal(soft[order[:nearest]], torch.ones(len(order[:nearest])).double())
            last = d[order[nearest - 1]]
            assert not soft[order[d[order] > last + 0.4]].any()
        assert bool(((soft > 0) & (soft < 1)).any())


def test_ties_and_the_order_of_edges() -> None:
    d, target = problem()
    d = (2 * d).round() / 2
    layer, order = NearestWeights(3, 0.2), torch.randperm(40)
    t = layer(d, target)
    for i in range(4):
        for value in d.unique():
            assert len(t[(target == i) & (d == value)].unique()) <= 1
    assert torch.equal(layer(d[order], target[order]), t[order])
    assert torch.equal(layer(torch.ones(5), torch.zeros(5).long()), torch.ones(5))


def test_what_is_farther_away_does_not_matter() -> None:
    d, target = problem()
    layer = NearestWeights(3, 0.5)
    t = layer(d, target)
    near = d < 2.5
    torch.testing.assert_close(layer(d[near], target[near]), t[near], rtol=0, atol=0)
    assert bool((t[near] < 1).any())


def test_smooth_where_neighbours_change_ranks() -> None:
    """One neighbour passes three others: t and its first two derivatives along the way change little by little."""
    way = torch.linspace(0.7, 1.9, 2401, dtype=torch.float64)
    d = torch.cat([way[:, None], torch.tensor([[1.0, 1.15, 1.3]], dtype=torch.float64).expand(2401, -1)], 1)
    layer = NearestWeights(2, 0.3)
    t = layer(d.flatten(), torch.arange(2401).repeat_interleave(4)).unflatten(0, (-1, 4))
    step = float(way[1] - way[0])
    first = t.diff(dim=0) / step
    second = first.diff(dim=0) / step
    for values in (t, first, second):
        assert float(values.diff(dim=0).abs().max()) < 0.05 * float(values.max() - values.min())
    d, _ = problem(6)
    d = d.requires_grad_()
    far = torch.zeros(6).long()
    assert torch.autograd.gradcheck(lambda d: layer(d, far), d)
    assert torch.autograd.gradgradcheck(lambda d: layer(d, far), d)


def test_nothing_and_errors() -> None:
    layer = NearestWeights(2, 0.5)
    assert layer(torch.zeros(0), torch.zeros(0).long()).shape == (0,)
    assert not layer.state_dict()
    assert "nearest=2, width=0.5" in repr(layer)
    with pytest.raises(ValueError, match=r"distances \(3,\) and targets \(2,\)"):
        layer(torch.zeros(3), torch.zeros(2).long())
    with pytest.raises(ValueError, match="nearest"):
        NearestWeights(0, 0.5)
    with pytest.raises(ValueError, match=r"width = 0.0"):
        NearestWeights(3, 0.0)


class Shells(nn.Module):
    """Weights of six neighbours of each of several points: distances (B, 6, 1) → (B, 6, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = NearestWeights(2, 0.7)

    def forward(self, d: Tensor) -> Tensor:
        if d.shape[1:] != (6, 1):
            raise ValueError(f"d has shape {tuple(d.shape)}, wanted (B, 6, 1).")
        target = torch.arange(len(d), device=d.device).repeat_interleave(6)
        return self.weights(d.flatten(), target).view_as(d)


def test_the_layer_contract() -> None:
    orders = [torch.randperm(6, generator=torch.Generator().manual_seed(k)) for k in range(3)]

    def act(g: Tensor, d: Tensor) -> Tensor:
        return d[..., g, :]

    check_layer(Shells(), GroupAction((6, 1), orders, act, act), tolerance=1e-12)

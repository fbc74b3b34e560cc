"""Networks of signals on R³ × SO(3): motions, permutations, neighbours, learning, errors."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import SO3, random_rotations
from armillary.models import SE3Classifier, SE3Segmenter
from armillary.models.points import nearest
from armillary.models.se3 import farthest_points, first_points, norm_relu
from armillary.nn import RotationMLP, SE3SeparableConv

SMALL = {"cutoffs": (0.9, 1.6), "neighbours": 6, "hidden": 8}


def clouds(count: int = 3, points: int = 40) -> torch.Tensor:
    return torch.randn(count, points, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2


def moved(x: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shifts = torch.randn(len(x), 1, 3, generator=generator, dtype=torch.float64)
    return x @ random_rotations(len(x), generator).mT + shifts


@pytest.mark.parametrize("kind", [SE3Classifier, SE3Segmenter])
@pytest.mark.parametrize("separable", [False, True])
def test_scores_do_not_change_under_motions(kind: type, separable: bool) -> None:
    x, more = clouds(), {"convolution": SE3SeparableConv} if separable else {}
    torch.manual_seed(0)
    exact = kind(5, 3, **SMALL, **more, nonlinearity=norm_relu).double().eval()
    torch.manual_seed(0)
    coarse, fine = (
        kind(5, 3, **SMALL, **more, nonlinearity=lambda s, n=n: RotationMLP(s, rule=SO3().quadrature(n)))
        for n in (1, 6)
    )
    fine.load_state_dict(coarse.state_dict())
    errors = []
    with torch.no_grad():
        for net in (exact, coarse.double().eval(), fine.double().eval()):
            scores = net(x)
            errors.append(float((net(moved(x)) - scores).norm() / (scores - scores.mean(0)).norm()))
    assert errors[0] < 1e-11
    assert 1e-11 < errors[2] < 1e-2
    assert errors[2] < errors[1] / 10


def test_batches_and_permutations() -> None:
    x = clouds()
    torch.manual_seed(0)
    net, parts = SE3Classifier(4, 3, **SMALL).double().eval(), SE3Segmenter(4, 2, **SMALL).double().eval()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=0, atol=1e-12)
        torch.testing.assert_close(net(x[:, order]), net(x), rtol=0, atol=1e-12)
        scores = parts(x)
        assert scores.shape == (3, 40, 4)
        torch.testing.assert_close(parts(x[1:2]), scores[1:2], rtol=0, atol=1e-12)
        torch.testing.assert_close(parts(x[:, order]), scores[:, order], rtol=0, atol=1e-12)


def test_neighbours_within_the_cutoff() -> None:
    x = clouds(2, 12)
    table = nearest(x[:, :3], x, 6, 0.5)
    for b in range(2):
        for i in range(3):
            distances = (x[b] - x[b, i]).norm(dim=1)
            wanted = [int(j) + 12 * b for j in distances.argsort()[:6] if distances[j] < 0.5]
            assert sorted(j for j in table[3 * b + i].tolist() if j >= 0) == sorted(wanted)


def test_a_wide_cloud_keeps_its_near_neighbours_in_float32() -> None:
    """Forty points in two clusters 1e4 apart: each is the nearest to itself, and its own cluster is near."""
    x = clouds(1, 40)
    x[:, 20:, 0] += 1e4
    found, wanted = nearest(x.float(), x.float(), 6, 1.0), nearest(x, x, 6, 1.0)
    assert found[:, 0].tolist() == list(range(40))
    assert torch.equal(found, wanted)


def test_farthest_points() -> None:
    x = clouds(2, 20)
    chosen = farthest_points(x, 7)
    for b in range(2):
        first = int((x[b] - x[b].mean(0)).norm(dim=1).argmax())
        found = [first]
        for _ in range(6):
            distances = torch.stack([(x[b] - x[b, j]).norm(dim=1) for j in found]).amin(0)
            found.append(int(distances.argmax()))
        assert chosen[b].tolist() == found
    assert first_points(x, 4).tolist() == [[0, 1, 2, 3]] * 2
    with pytest.raises(ValueError, match="count = 21"):
        farthest_points(x, 21)


def test_parts_are_learned() -> None:
    """Points of a ball and of a rod through it: what a point belongs to is in its surroundings."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        ball = torch.nn.functional.normalize(torch.randn(count, 32, 3, generator=generator), dim=2) * 0.4
        rod = torch.zeros(count, 32, 3)
        rod[..., 2] = 2 * torch.rand(count, 32, generator=generator) - 1
        x = torch.cat([ball, rod], 1) @ random_rotations(count, generator).float().mT
        return x, torch.arange(2).repeat_interleave(32).expand(count, -1)

    net = SE3Segmenter(2, 4, (0.4, 0.8), neighbours=8, hidden=16)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(25):
        x, labels = batch(4)
        loss = torch.nn.functional.cross_entropy(net(x).flatten(0, 1), labels.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in net.parameters())
    x, labels = batch(8)
    with torch.no_grad():
        assert float((net.eval()(x).argmax(2) == labels).float().mean()) > 0.85


def test_errors() -> None:
    for net in (SE3Classifier(3, 2, (0.8,)), SE3Segmenter(3, 2, (0.5, 0.8))):
        with pytest.raises(ValueError, match=r"wanted \(clouds, points, 3\)"):
            net(torch.zeros(2, 3, 10))
    with pytest.raises(ValueError, match="no cutoffs"):
        SE3Classifier(3, 2, ())
    with pytest.raises(ValueError, match="one level more"):
        SE3Segmenter(3, 2, (0.5,))
    with pytest.raises(ValueError, match="neighbours = 0"):
        SE3Classifier(3, 2, neighbours=0)
    with pytest.raises(ValueError, match="reduction = 0"):
        SE3Segmenter(3, 2, reduction=0)

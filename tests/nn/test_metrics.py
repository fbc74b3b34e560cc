import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.nn import ClassificationMetrics, RegressionMetrics, SegmentationMetrics
from armillary.spaces import Equiangular, GaussLegendre


def mean_of(values):
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


def same(a, b):
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) < 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**16))
def test_segmentation_equals_sums_over_sets_of_points(nlat, nlon, classes, batch, seed):
    torch.manual_seed(seed)
    grid = Equiangular(nlat, nlon)
    scores = torch.randn(batch, classes, *grid.shape)
    target = torch.randint(0, classes, (batch, *grid.shape))
    target[torch.rand(target.shape) < 0.3] = 255
    metrics = SegmentationMetrics(classes, grid, exclude=(0,))
    metrics.update(scores, target)
    got = metrics.compute()
    predicted = scores.argmax(1)
    for suffix, weight in (("", grid.quadrature.expand(target.shape)), ("_pixels", torch.ones(target.shape))):
        iou, recall = [], []
        for k in range(classes):
            scored = target != 255
            p, t = (predicted == k) & scored, (target == k) & scored
            union = weight[p | t].sum().item()
            true = weight[t].sum().item()
            iou.append(weight[p & t].sum().item() / union if union else math.nan)
            recall.append(weight[p & t].sum().item() / true if true else math.nan)
        assert same(got["miou" + suffix], mean_of(iou))
        assert same(got["mean_accuracy" + suffix], mean_of(recall))
        assert same(got["miou_foreground" + suffix], mean_of(iou[1:]))
        assert same(got["mean_accuracy_foreground" + suffix], mean_of(recall[1:]))
        total = weight[target != 255].sum().item()
        right = weight[(predicted == target) & (target != 255)].sum().item()
        assert same(got["accuracy" + suffix], right / total if total else math.nan)


def test_area_and_pixels_differ_as_they_should():
    """Wrong on the two polar rows of a grid: a quarter of the pixels, a small part of the area."""
    grid = Equiangular(8)
    target = torch.zeros(1, 8, 16, dtype=torch.int64)
    predicted = target.clone()
    predicted[:, [0, -1]] = 1
    metrics = SegmentationMetrics(2, grid)
    metrics.update(predicted, target)
    got = metrics.compute()
    assert got["accuracy_pixels"] == 0.75
    assert abs(got["accuracy"] - (1 - grid.ring_weights[[0, -1]].sum().item() / 2)) < 1e-12
    assert abs(got["accuracy"] - math.cos(math.pi / 8)) < 0.01  # two caps of radius π/8 cover 1 - cos(π/8)
    assert list(metrics.iou(pixels=True)) == [0.75, 0.0]
    assert metrics.recall(pixels=True)[1].isnan()


def test_sums_over_batches_and_processes():
    grid = GaussLegendre(5)
    torch.manual_seed(0)
    scores, target = torch.randn(6, 3, *grid.shape), torch.randint(0, 3, (6, *grid.shape))
    whole = SegmentationMetrics(3, grid)
    whole.update(scores, target)
    parts = [SegmentationMetrics(3, grid) for _ in range(2)]
    parts[0].update(scores[:1], target[:1])
    parts[1].update(scores[1:2], target[1:2])
    parts[1].update(scores[2:], target[2:])
    state = parts[0].state_tensor() + parts[1].state_tensor()
    assert state.dtype == torch.float64
    parts[0].load(state)
    assert parts[0].compute() == pytest.approx(whole.compute(), abs=1e-13)
    before = state.clone()
    parts[0].update(scores, target)
    assert torch.equal(state, before)  # load does not share memory
    parts[0].reset()
    assert math.isnan(parts[0].compute()["miou"])
    with pytest.raises(ValueError, match="wanted \\(2, 3, 3\\)"):
        parts[0].load(torch.zeros(3, 3))


@pytest.mark.parametrize("shape", [(3, 1, 4, 9), (1, 2, 5, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regression_equals_latitude_weighted_means(shape, dtype):
    batch, channels, nlat, nlon = shape
    grid = Equiangular(nlat, nlon)
    names = [f"v{c}" for c in range(channels)]
    y, t = torch.randn(2, *shape, dtype=dtype).unbind(0)
    climatology = torch.randn(channels, nlat, nlon)
    L = grid.ring_weights[:, None] / grid.ring_weights.mean()
    assert abs(L.mean() - 1) < 1e-12
    metrics = RegressionMetrics(names, grid, climatology)
    for b in range(batch):
        metrics.update(y[b : b + 1], t[b : b + 1])
    got = metrics.compute()
    y, t, c = y.double(), t.double(), climatology.double()
    e = y - t
    for k, name in enumerate(names):
        assert got[f"rmse/{name}"] == pytest.approx((L * e[:, k] ** 2).mean().sqrt().item(), rel=1e-12)
        assert got[f"mae/{name}"] == pytest.approx((L * e[:, k].abs()).mean().item(), rel=1e-12)
        assert got[f"bias/{name}"] == pytest.approx((L * e[:, k]).mean().item(), rel=1e-12)
        a, b = (y - c)[:, k], (t - c)[:, k]
        dims = (1, 2)
        acc = (L * a * b).sum(dims) / ((L * a**2).sum(dims) * (L * b**2).sum(dims)).sqrt()
        assert got[f"acc/{name}"] == pytest.approx(acc.mean().item(), rel=1e-12)
    assert got["rmse"] == pytest.approx((L * e**2).mean().sqrt().item(), rel=1e-12)
    assert got["bias"] == pytest.approx((L * e).mean().item(), rel=1e-12)


def test_regression_scores_only_what_is_known():
    grid = GaussLegendre(4)
    y, t = torch.randn(2, 2, 2, *grid.shape).unbind(0)
    t[0, 0, 1] = math.nan
    t[:, 1] = math.nan
    metrics = RegressionMetrics(["a", "b"], grid)
    metrics.update(y, t)
    got = metrics.compute()
    scored = ~t[:, 0].isnan()
    w = grid.quadrature.expand(scored.shape)[scored]
    e = (y - t)[:, 0][scored].double()
    assert got["rmse/a"] == pytest.approx(((w * e**2).sum() / w.sum()).sqrt().item(), rel=1e-6)
    assert math.isnan(got["rmse/b"])
    assert got["rmse"] == got["rmse/a"]
    assert "acc/a" not in got


def test_classification_equals_sorting():
    torch.manual_seed(0)
    scores, labels = torch.randn(200, 7), torch.randint(0, 6, (200,))  # class 6 never occurs
    metrics = ClassificationMetrics(7, top_k=(2, 7))
    metrics.update(scores[:50], labels[:50])
    metrics.update(scores[50:], labels[50:])
    got = metrics.compute()
    order = scores.argsort(1, descending=True)
    hit = order[:, 0] == labels
    assert got["accuracy"] == pytest.approx(hit.double().mean().item())
    assert got["mean_accuracy"] == pytest.approx(mean_of([hit[labels == k].double().mean().item() for k in range(6)]))
    assert got["top_2"] == pytest.approx((order[:, :2] == labels[:, None]).any(1).double().mean().item())
    assert got["top_7"] == 1.0


def test_a_network_that_always_ties_or_gives_nan_is_not_right():
    labels = torch.arange(4)
    for scores, wanted in ((torch.zeros(4, 4), 0.25), (torch.full((4, 4), math.nan), 0.0)):
        metrics = ClassificationMetrics(4, top_k=(4,))
        metrics.update(scores, labels)
        assert metrics.compute()["accuracy"] == wanted


def test_no_gradient_is_kept():
    grid = Equiangular(3)
    y = torch.randn(1, 2, 3, 6, requires_grad=True)
    metrics = RegressionMetrics(["a", "b"], grid)
    metrics.update(y, torch.zeros(1, 2, 3, 6))
    assert not metrics.state.requires_grad


def test_errors_say_what_came_and_what_was_wanted():
    grid = Equiangular(3)
    metrics = SegmentationMetrics(2, grid)
    labels = torch.zeros(1, 3, 6, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"got labels 2\.\.2, wanted 0\.\.1, or 255"):
        metrics.update(labels, labels + 2)
    with pytest.raises(ValueError, match=r"got predictions 5\.\.5"):
        metrics.update(labels + 5, labels)
    with pytest.raises(ValueError, match="4 classes in dim 1"):
        metrics.update(torch.randn(1, 4, 3, 6), labels)
    with pytest.raises(ValueError, match="SegmentationMetrics wants"):
        metrics.update(torch.randn(1, 2, 6, 3), labels)
    assert metrics.state.sum() == 0
    with pytest.raises(ValueError, match=r"classes 0\.\.1 to exclude"):
        SegmentationMetrics(2, grid, exclude=(2,))
    with pytest.raises(ValueError, match="name every channel"):
        RegressionMetrics(["a"], grid).update(torch.randn(1, 2, 3, 6), torch.randn(1, 2, 3, 6))
    with pytest.raises(ValueError, match="climatology of shape"):
        RegressionMetrics(["a"], grid, torch.zeros(3, 6))
    with pytest.raises(ValueError, match="each k between"):
        ClassificationMetrics(3, top_k=(4,))
    with pytest.raises(ValueError, match=r"wants \(batch, 3\)"):
        ClassificationMetrics(3).update(torch.randn(2, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"labels 0\.\.3, wanted 0\.\.2"):
        ClassificationMetrics(3).update(torch.randn(2, 3), torch.tensor([0, 3]))

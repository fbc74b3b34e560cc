import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from armillary.harmonics import InverseSHT, random_field, random_rotation, rotate
from armillary.nn import CrossEntropyLoss, DiceLoss, GradientLoss, L1Loss, L2Loss, SumLoss
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid

GRIDS = [Equiangular(6), Equiangular(7, 9, poles=True), GaussLegendre(5, 11)]
KINDS = [Equiangular, GaussLegendre, lambda n: Equiangular(n + 1, poles=True)]


def labels_on(grid, classes, batch=3, ignored=0.3):
    labels = torch.randint(0, classes, (batch, *grid.shape))
    return torch.where(torch.rand(labels.shape) < ignored, 255, labels)


def segmentation_losses(grid):
    return [CrossEntropyLoss(grid), CrossEntropyLoss(grid, [0.5, 2.0, 1.0, 0.1], 0.2), DiceLoss(grid)]


def regression_losses(grid):
    return [L1Loss(grid), L2Loss(grid), GradientLoss(grid)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.15])
@pytest.mark.parametrize("weight", [None, (0.5, 2.0, 1.0, 0.0)])
def test_cross_entropy_equals_the_sum_over_points(grid, smoothing, weight):
    z = torch.randn(3, 4, *grid.shape, dtype=torch.float64)
    target = labels_on(grid, 4)
    w = torch.ones(4, dtype=torch.float64) if weight is None else torch.tensor(weight, dtype=torch.float64)
    total = area = 0.0
    logs = z.log_softmax(1)
    for b, i, j in (target != 255).nonzero().tolist():
        t = target[b, i, j]
        wanted = torch.full((4,), smoothing / 4, dtype=torch.float64)
        wanted[t] += 1 - smoothing
        total += grid.quadrature[i, j] * -(w * wanted * logs[b, :, i, j]).sum()
        area += grid.quadrature[i, j] * w[t]
    loss = CrossEntropyLoss(grid, weight, smoothing)
    torch.testing.assert_close(loss(z, target), total / area)
    torch.testing.assert_close(loss(z.float(), target).double(), total / area, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_cross_entropy_equals_torch_where_weights_are_equal(weight):
    grid = Equiangular(2, 5)
    z = torch.randn(4, 3, 2, 5)
    target = labels_on(grid, 3, batch=4)
    wanted = functional.cross_entropy(z, target, weight=weight, ignore_index=255, label_smoothing=0.1)
    torch.testing.assert_close(CrossEntropyLoss(grid, weight, 0.1)(z, target), wanted)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("exclude", [(), (1,)])
def test_dice_equals_the_sum_over_classes(grid, exclude):
    z = torch.randn(2, 4, *grid.shape, dtype=torch.float64)
    target = labels_on(grid, 3, batch=2)  # class 3 never occurs
    share = z.softmax(1)
    scored = (target != 255).double() * grid.quadrature
    wanted = []
    for k in range(3):
        y = (target == k).double()
        overlap = (scored * share[:, k] * y).sum()
        wanted.append(1 - 2 * overlap / (scored * (share[:, k] + y)).sum())
    kept = [wanted[k] for k in range(3) if k not in exclude]
    torch.testing.assert_close(DiceLoss(grid, exclude=exclude)(z, target), sum(kept) / len(kept))


def test_dice_of_a_perfect_prediction_is_zero():
    grid = GaussLegendre(4)
    target = labels_on(grid, 3)
    z = 60 * functional.one_hot(torch.where(target == 255, 0, target), 3).permute(0, 3, 1, 2).double()
    assert DiceLoss(grid)(z, target) < 1e-12
    assert DiceLoss(grid)(-z, target) > 0.99


@pytest.mark.parametrize("space", [*GRIDS, OrientedGrid(GaussLegendre(4), 3)], ids=str)
def test_pointwise_losses_equal_the_average_over_scored_area(space):
    torch.manual_seed(0)
    y = torch.randn(3, 2, *space.shape, dtype=torch.float64)
    t = torch.randn_like(y)
    t[torch.rand(t.shape) < 0.3] = math.nan
    scored = ~t.isnan()
    a = space.quadrature.expand(t.shape)[scored]
    d = (y - t)[scored]
    torch.testing.assert_close(L1Loss(space)(y, t), (a * d.abs()).sum() / a.sum())
    torch.testing.assert_close(L2Loss(space)(y, t), (a * d**2).sum() / a.sum())
    single = L2Loss(space)(y.float(), t.float())  # rounded a few times by 6e-8
    torch.testing.assert_close(single.double(), (a * d**2).sum() / a.sum(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("grid", [Equiangular(32), GaussLegendre(17, 34)], ids=str)
def test_squared_error_does_not_change_under_rotation(grid):
    generator = torch.Generator().manual_seed(0)
    y, t = random_field(grid, 12, (2, 2, 3), generator)
    R = random_rotation(generator)
    loss = L2Loss(grid)
    torch.testing.assert_close(loss(rotate(y, grid, R), rotate(t, grid, R)), loss(y, t), rtol=1e-12, atol=0)
    plain = functional.mse_loss(rotate(y, grid, R), rotate(t, grid, R)) / functional.mse_loss(y, t)
    assert abs(plain - 1) > 1e-2


def harmonic(grid, l, m):
    """The real part of Y_lm and ∫|∇ Re Y_lm|² = l(l + 1) ∫ (Re Y_lm)²."""
    coefficients = torch.zeros(l + 1, l + 1, dtype=torch.complex128)
    coefficients[l, m] = 1.0 if m == 0 else 0.5
    return InverseSHT(grid, l)(coefficients), l * (l + 1) * (1.0 if m == 0 else 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("l", "m"), [(1, 0), (1, 1), (3, 2), (4, 0), (5, 5), (6, 1)])
def test_gradient_of_harmonics_converges_at_second_order(kind, l, m):
    errors = []
    for n in (48, 96):
        grid = kind(n)
        field, wanted = harmonic(grid, l, m)
        loss = GradientLoss(grid)(field[None, None], torch.zeros(1, 1, *grid.shape, dtype=torch.float64))
        errors.append(abs(4 * math.pi * loss.item() / wanted - 1))
    assert errors[1] < 0.01
    assert math.log2(errors[0] / errors[1]) > 1.8


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_error_under_rotation_falls_at_second_order(kind):
    generator = torch.Generator().manual_seed(0)
    R = random_rotation(generator)
    errors = []
    for n in (32, 64):
        grid = kind(n)
        y = random_field(grid, 5, (3, 2), torch.Generator().manual_seed(1))
        zero = torch.zeros_like(y)
        loss = GradientLoss(grid)
        errors.append(abs((loss(rotate(y, grid, R), zero) / loss(y, zero)).item() - 1))
    assert errors[1] < 0.01
    assert math.log2(errors[0] / errors[1]) > 1.7


@pytest.mark.parametrize("grid", [*GRIDS, Equiangular(3, 2, poles=True), GaussLegendre(2)], ids=str)
def test_gradient_loss_equals_the_sum_over_pairs_of_neighbours(grid):
    y = torch.randn(2, 1, *grid.shape, dtype=torch.float64)
    t = torch.randn_like(y)
    t[torch.rand(t.shape) < 0.2] = math.nan
    e, theta = y - t, grid.colatitudes.tolist()
    edges = [0.0, *theta[1:-1], math.pi]  # between rings j and j + 1 lies the zone edges[j]..edges[j + 1]
    loss = 0.0
    poles = abs(math.sin(theta[0])) < 1e-12
    rings = grid.ring_weights.tolist()
    if poles:
        rings[1], rings[-2] = rings[1] + rings[0], rings[-2] + rings[-1]
    for axis in ("theta", "phi"):
        total = area = 0.0
        for b in range(2):
            for j in range(grid.nlat - 1) if axis == "theta" else range(int(poles), grid.nlat - int(poles)):
                for k in range(grid.nlon):
                    if axis == "theta":
                        slope = (e[b, 0, j + 1, k] - e[b, 0, j, k]) / (theta[j + 1] - theta[j])
                        a = math.cos(edges[j]) - math.cos(edges[j + 1])
                    else:
                        slope = e[b, 0, j, (k + 1) % grid.nlon] - e[b, 0, j, k]
                        slope = slope / (math.sin(theta[j]) * grid.longitude_step)
                        a = rings[j]
                    if not slope.isnan():
                        total, area = total + a * slope**2, area + a
        loss = loss + total / area
    torch.testing.assert_close(GradientLoss(grid)(y, t), loss)


def test_gradient_loss_ignores_constants_and_unscored_neighbours():
    grid = GaussLegendre(6, 9)
    y = torch.randn(1, 2, *grid.shape, dtype=torch.float64)
    loss = GradientLoss(grid)
    torch.testing.assert_close(loss(y + 5, y), torch.zeros((), dtype=torch.float64))
    t = torch.zeros_like(y)
    t[0, 0, 2, 0] = math.nan
    moved = y.clone()
    moved[0, 0, 2, 0] += 100
    torch.testing.assert_close(loss(moved, t), loss(y, t), rtol=1e-12, atol=0)
    moved[0, 0, 2, 1] += 100
    assert loss(moved, t) > loss(y, t) + 1


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 7), st.integers(2, 8), st.integers(1, 3), st.integers(0, 2**16))
def test_unscored_points_never_matter(nlat, nlon, batch, seed):
    torch.manual_seed(seed)
    grid = GaussLegendre(nlat, nlon)
    z = torch.randn(batch, 4, *grid.shape, dtype=torch.float64)
    labels = labels_on(grid, 4, batch, 0.5)
    noise = torch.randn_like(z) * (labels == 255)[:, None]
    for loss in segmentation_losses(grid):
        torch.testing.assert_close(loss(z + noise, labels), loss(z, labels))
    target = torch.randn_like(z)
    target[torch.rand(target.shape) < 0.5] = math.nan
    noise = torch.randn_like(z) * target.isnan()
    for loss in regression_losses(grid):
        torch.testing.assert_close(loss(z + noise, target), loss(z, target))


def test_nothing_scored_gives_zero_with_zero_gradient():
    grid = Equiangular(5)
    z = torch.randn(2, 4, *grid.shape, requires_grad=True)
    cases = [(loss, torch.full((2, *grid.shape), 255)) for loss in segmentation_losses(grid)]
    cases += [(loss, torch.full_like(z, math.nan)) for loss in regression_losses(grid)]
    for loss, target in cases:
        value = loss(z, target)
        assert value.item() == 0.0
        (gradient,) = torch.autograd.grad(value, z)
        assert torch.equal(gradient, torch.zeros_like(z))


@pytest.mark.parametrize("grid", [Equiangular(3, poles=True), GaussLegendre(3, 5)], ids=str)
def test_gradients(grid):
    z = torch.randn(1, 4, *grid.shape, dtype=torch.float64, requires_grad=True)
    labels = labels_on(grid, 4, 1)
    target = torch.randn(z.shape, dtype=torch.float64)
    target[torch.rand(target.shape) < 0.2] = math.nan
    for loss in segmentation_losses(grid):
        assert torch.autograd.gradcheck(lambda x, f=loss: f(x, labels), z)
    for loss in regression_losses(grid):
        assert torch.autograd.gradcheck(lambda x, f=loss: f(x, target), z)


def test_layouts_and_low_precision():
    grid = Equiangular(16)
    z = torch.randn(1, 4, *grid.shape)
    labels = labels_on(grid, 4, 1)
    target = torch.randn_like(z)

    def strided(x):
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)

    for loss in segmentation_losses(grid):
        value = loss(z, labels)
        torch.testing.assert_close(loss(strided(z), strided(labels)), value)
        torch.testing.assert_close(loss(z, labels.to(torch.uint8)), value)
        torch.testing.assert_close(loss(z.bfloat16(), labels), value, rtol=0.02, atol=0.01)
        assert loss(z.bfloat16(), labels).dtype == torch.float32
    for loss in regression_losses(grid):
        value = loss(z, target)
        torch.testing.assert_close(loss(strided(z), strided(target)), value)
        torch.testing.assert_close(loss(z.bfloat16(), target), value, rtol=0.02, atol=0.01)
        assert not loss.state_dict()


def test_sum_of_losses():
    grid = GaussLegendre(4)
    y, t = torch.randn(2, 3, 2, *grid.shape).unbind(0)
    loss = SumLoss([L1Loss(grid), GradientLoss(grid)], [2.0, 0.25])
    torch.testing.assert_close(loss(y, t), 2 * L1Loss(grid)(y, t) + 0.25 * GradientLoss(grid)(y, t))
    torch.testing.assert_close(SumLoss([L1Loss(grid)] * 2)(y, t), 2 * L1Loss(grid)(y, t))
    with pytest.raises(ValueError, match="2 losses and 1 weights"):
        SumLoss([L1Loss(grid), L2Loss(grid)], [1.0])
    with pytest.raises(ValueError, match="at least one"):
        SumLoss([])


def test_errors_say_what_came_and_what_was_wanted():
    grid = Equiangular(4)
    z, labels = torch.randn(2, 3, 4, 8), torch.zeros(2, 4, 8, dtype=torch.int64)
    for loss in (CrossEntropyLoss(grid), DiceLoss(grid)):
        name = type(loss).__name__
        with pytest.raises(ValueError, match=r"squeeze\(1\)"):
            loss(z, labels[:, None])
        with pytest.raises(ValueError, match=r"float32.*\.long\(\)"):
            loss(z, labels.float())
        with pytest.raises(ValueError, match=f"{name} wants"):
            loss(torch.randn(2, 3, 8, 4), labels)
        with pytest.raises(ValueError, match=r"labels 0\.\.3, wanted 0\.\.2, or 255"):
            loss(z, labels + 3 * (torch.arange(8) == 0))
    with pytest.raises(ValueError, match="2 class weights for a prediction of 3 classes"):
        CrossEntropyLoss(grid, [1.0, 2.0])(z, labels)
    with pytest.raises(ValueError, match="label_smoothing = 2"):
        CrossEntropyLoss(grid, label_smoothing=2)
    for loss in regression_losses(grid):
        with pytest.raises(ValueError, match=r"nothing is broadcast"):
            loss(z, z[:, :1])
    with pytest.raises(ValueError, match="at least 2 rings"):
        GradientLoss(Equiangular(1, 4))

import pytest
import torch

from armillary.nn import FieldDropout


@pytest.mark.parametrize("shape", [(50, 40, 3, 5), (50, 40, 2, 3, 4), (1, 2000, 2, 2)])
def test_whole_fields_are_dropped_and_the_rest_is_scaled(shape):
    torch.manual_seed(0)
    y = FieldDropout(0.3)(torch.ones(shape)).flatten(2)
    assert torch.equal(y, y[..., :1].expand_as(y))
    kept = y[..., 0] != 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / 0.7))
    assert abs(kept.double().mean() - 0.7) < 0.05  # 2000 draws: five standard deviations
    assert 0 < kept[0].sum() < shape[1]


def test_samples_are_drawn_apart():
    torch.manual_seed(0)
    y = FieldDropout(0.5)(torch.ones(8, 64, 1, 1))[:, :, 0, 0]
    assert len({tuple(row.tolist()) for row in y}) == 8


def test_gradient_is_that_of_the_scale():
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64, requires_grad=True)
    y = FieldDropout(0.5)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient * x, y)


@pytest.mark.parametrize("layer", [FieldDropout(0.5).eval(), FieldDropout(0.0)])
def test_evaluation_and_p_zero_are_the_identity(layer):
    x = torch.randn(2, 6, 3, 4)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtype_is_kept(dtype):
    assert FieldDropout(0.5)(torch.ones(2, 3, 4, 4, dtype=dtype)).dtype == dtype


def test_errors():
    for p in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="0 <= p < 1"):
            FieldDropout(p)
    with pytest.raises(ValueError, match=r"torch\.nn\.Dropout"):
        FieldDropout(0.5)(torch.randn(3, 4))
    assert repr(FieldDropout(0.25)) == "FieldDropout(p=0.25)"

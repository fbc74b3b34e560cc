import math

import pytest

from armillary.train import TrainConfig, learning_rate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 2.5),
        ("accumulate", True),
        ("seed", -1),
        ("early_stop", 0),
        ("lr", 0.0),
        ("lr", math.nan),
        ("warmup", 1.5),
        ("clip_grad", 0.0),
        ("weight_decay", -1e-9),
    ],
)
def test_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"got {name} = "):
        TrainConfig(**{name: value})  # type: ignore[arg-type]


def test_a_batch_too_small_to_split_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size = 3"):
        TrainConfig(batch_size=3, accumulate=2, devices=2)


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_learning_rate_rises_then_falls(total: int, warmup: float) -> None:
    config = TrainConfig(lr=0.5, warmup=warmup)
    rates = [learning_rate(config, step, total) for step in range(total)]
    warm = round(warmup * total)
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    assert all(0 < rate <= 0.5 for rate in rates)
    assert max(rates) == 0.5
    if warm < total:
        assert learning_rate(config, total, total) == pytest.approx(0.005)


def test_constant_rate_after_warmup() -> None:
    config = TrainConfig(lr=0.5, warmup=0.5, scheduler="constant")
    assert [learning_rate(config, step, 4) for step in range(4)] == [0.25, 0.5, 0.5, 0.5]

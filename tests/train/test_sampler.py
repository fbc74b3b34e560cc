import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.train.sampler import plan_epoch, steps_per_epoch

sizes = st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))


@given(sizes, st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_every_sample_once_whatever_the_devices(sizes: tuple, seed: int, epoch: int) -> None:
    n, batch_size, accumulate, world_size = sizes
    plans = [
        plan_epoch(n, batch_size, accumulate, seed=seed, epoch=epoch, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    single = plan_epoch(n, batch_size, seed=seed, epoch=epoch)
    assert len(single) == steps_per_epoch(n, batch_size)
    assert sorted(i for step in single for i in step.samples) == list(range(n))
    for step, *parallel in zip(single, *plans, strict=True):
        assert len({len(mine.parts) for mine in parallel}) == 1
        assert all(mine.samples == step.samples for mine in parallel)
        parts = [part for mine in parallel for part in mine.parts]
        assert sorted(i for part in parts if part.share > 0 for i in part.indices) == sorted(step.samples)
        assert sum(part.share for part in parts) == pytest.approx(1)
        assert all(part.indices for part in parts)
        for part in parts:
            assert part.share in (0, pytest.approx(len(part.indices) / len(step.samples)))


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [i for step in plan_epoch(50, 8, seed=seed, epoch=epoch) for i in step.samples]

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        plan_epoch(0, 4, seed=0, epoch=0)

import json
import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from armillary.train.state import join_tensors, random_state, seed_everything, set_random_state, split_tensors

CPU = torch.device("cpu")


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))  # type: ignore[arg-type]
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_round_trip_through_json() -> None:
    state = {
        "state": {0: {"step": torch.tensor(3.0), "m": torch.randn(2, 3).T}, 1: {}},
        "groups": [{"betas": (0.9, 0.999), "lr": 0.1 + 0.2, "fused": None, "on": True}],
        "$odd": [math.nan, -math.inf, 2**60, torch.randn(3, dtype=torch.bfloat16)],
    }
    skeleton, tensors = split_tensors(state)
    text = json.dumps(skeleton, allow_nan=False)
    assert same(state, join_tensors(json.loads(text), tensors))
    assert not same(state, join_tensors(json.loads(text.replace("0.999", "0.99")), tensors))


def test_what_is_neither_json_nor_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="got a set at /a/0"):
        split_tensors({"a": [{1, 2}]})


@pytest.mark.parametrize("skeleton", [{"$tensor": "/gone"}, {"$tuple": 3}, {"$new": 1}])
def test_a_damaged_skeleton_is_refused(skeleton: object) -> None:
    with pytest.raises(ValueError, match="training state"):
        join_tensors(skeleton, {})


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), float(np.random.randn()), float(torch.randn(()))]  # noqa: NPY002


def test_generators_continue_where_they_were() -> None:
    outside = random_state(CPU)
    try:
        seed_everything(5)
        draw()
        skeleton, tensors = split_tensors(random_state(CPU))
        expected = draw()
        assert draw() != expected
        set_random_state(join_tensors(json.loads(json.dumps(skeleton)), tensors), CPU)
        assert draw() == expected
    finally:
        set_random_state(outside, CPU)

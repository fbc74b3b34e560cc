"""The G-CNN recipe at its smallest scale, and what it reads."""

import json

import numpy as np
import pytest

from armillary.groups import cyclic
from armillary.recipes.gcnn import CHANGE, DIGITS, PHOTOGRAPHS, digit_networks, photograph_networks, reproduce
from armillary.recipes.gcnn_data import ROTATED_MNIST, cifar10, rotated_mnist


@pytest.mark.data
def test_tiny_scale_writes_a_complete_result_and_resumes(tmp_path):
    result = reproduce("tiny", tmp_path, seeds=1)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["system"] == "gcnn"
    assert [row["metric"] for row in result["rows"]].count(DIGITS) == 3
    assert [row["metric"] for row in result["rows"]].count(PHOTOGRAPHS) == 3
    changes = [row["mean"] for row in result["rows"] if row["metric"] == CHANGE]
    assert len(changes) == 4
    assert max(changes) < 1e-10
    assert len(result["checks"]) == 4
    assert result["holds"] == all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    again = reproduce("tiny", tmp_path, seeds=1)  # trainings are done: read back, not repeated
    assert [r["mean"] for r in again["rows"]] == [r["mean"] for r in result["rows"]]


@pytest.mark.data
def test_the_splits_are_disjoint_and_normalised():
    for splits, channels, size in ((rotated_mnist(600, 50), 1, 28), (cifar10(120, 30), 3, 32)):
        x, y = splits.train.tensors
        assert x.shape[1:] == (channels, size, size)
        assert len(splits.train) == 5 * len(splits.valid)
        assert x.mean().abs() < 1e-4
        assert 0.95 < x.std() < 1.05
        assert set(y.tolist()) <= set(range(10))
        assert not any((x == image).all((1, 2, 3)).any() for image in splits.valid.tensors[0][:10])


def test_the_networks_have_equal_sizes():
    def weights(network):
        return sum(p.numel() for p in network.parameters())

    digits = [weights(c.build()) for c in digit_networks()]
    assert max(digits) < 1.16 * min(digits)
    photographs = [weights(c.build()) for c in photograph_networks(96)]
    assert max(photographs) < 1.01 * min(photographs)
    assert digit_networks()[0].group == cyclic(1)


def test_wrong_arguments(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", tmp_path, 1)
    with pytest.raises(ValueError, match="seeds"):
        reproduce("tiny", tmp_path, 0)
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=ROTATED_MNIST):
        reproduce("tiny", tmp_path, 1)
    np.savez(tmp_path / ROTATED_MNIST, x_train=np.zeros(1))
    monkeypatch.delenv("ARMILLARY_DATA")
    with pytest.raises(ValueError, match="not set"):
        rotated_mnist(1, 1)

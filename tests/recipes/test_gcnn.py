"""The G-CNN recipe at its smallest scale, and what it reads."""

import json

import pytest

from armillary.groups import cyclic
from armillary.recipes.gcnn import CHANGE, DIGITS, PHOTOGRAPHS, digit_networks, photograph_networks, reproduce
from armillary.recipes.planar_data import CIFAR10


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
    assert len(result["checks"]) == 5
    assert result["holds"] == all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    again = reproduce("tiny", tmp_path, seeds=1)  # trainings are done: read back, not repeated
    assert [r["mean"] for r in again["rows"]] == [r["mean"] for r in result["rows"]]


def test_the_networks_have_equal_sizes():
    def weights(network):
        return sum(p.numel() for p in network.parameters())

    digits = [weights(c.build()) for c in digit_networks()]
    assert max(digits) < 1.16 * min(digits)
    photographs = [weights(c.build()) for c in photograph_networks(96, 0.5)]
    assert max(photographs) < 1.01 * min(photographs)
    assert digit_networks()[0].group == cyclic(1)


def test_wrong_arguments(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", tmp_path, 1)
    with pytest.raises(ValueError, match="seeds"):
        reproduce("tiny", tmp_path, 0)
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=CIFAR10):
        reproduce("tiny", tmp_path, 1)
    monkeypatch.delenv("ARMILLARY_DATA")
    with pytest.raises(ValueError, match="not set"):
        reproduce("tiny", tmp_path, 1)

"""The recipe of charged bodies: its networks, its smallest scale, its checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from armillary.recipes import segnn
from armillary.recipes.segnn_networks import PUBLISHED, VARIANTS, ChargedNetwork, Variant


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.folder)
def test_variants_turn_and_move_with_the_bodies(variant: Variant) -> None:
    torch.manual_seed(0)
    network = ChargedNetwork(variant, 8, 4, 2)
    systems = torch.randn(3, 5, 7)
    change = segnn.turned_change(network, systems)
    assert change > 1e-3 if variant is PUBLISHED else change < 1e-12
    network, systems = network.double(), systems.double()
    moved = torch.cat([systems[..., :3] + 2, systems[..., 3:]], -1)
    if variant is not PUBLISHED:
        torch.testing.assert_close(network(moved), network(systems) + 2, rtol=0, atol=1e-10)
    torch.testing.assert_close(network(systems)[:1], network(systems[:1]), rtol=0, atol=1e-12)


def test_variants_are_different_networks() -> None:
    made = set()
    for variant in VARIANTS:
        torch.manual_seed(0)
        made.add(round(float(ChargedNetwork(variant, 8, 4, 2)(torch.ones(1, 5, 7).cumsum(1)).sum().detach()), 4))
    assert len(made) == len(VARIANTS)


def test_tiny_scale_writes_everything_and_continues(tmp_path: Path) -> None:
    first = segnn.reproduce("tiny", tmp_path, seeds=1)
    assert {row["name"] for row in first["rows"]} == {v.name for v in VARIANTS} | {segnn.STRAIGHT}
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "result.json").read_text()) == first
    _, error, _ = segnn.run("physics", "tiny", tmp_path, 0)  # found done
    assert error == next(row["mean"] for row in first["rows"] if row["name"] == VARIANTS[0].name)


def test_straight_lines_take_the_best_time() -> None:
    systems = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(0))
    exact = torch.utils.data.TensorDataset(systems, systems[..., :3] + 0.7 * systems[..., 3:6])
    still = torch.utils.data.TensorDataset(systems, systems[..., :3])
    assert segnn.straight_lines(exact, exact) < 1e-12
    assert abs(segnn.straight_lines(exact, still) - float((0.7 * systems[..., 3:6]).square().mean())) < 1e-6


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wanted one of tiny"):
        segnn.reproduce("huge", tmp_path)
    with pytest.raises(ValueError, match="wanted one of physics"):
        segnn.run("none", "tiny", tmp_path, 0)
    with pytest.raises(ValueError, match="x, v, q"):
        ChargedNetwork(VARIANTS[0], 8, 4, 1)(torch.zeros(2, 5, 6))

import math

import numpy as np
import pytest
import torch

from armillary.cli import run as armillary
from armillary.cli.baseline import MeanByComposition, best_constant
from armillary.data import AtomGraphs, DataConfig, Structures, collate_atoms, open_dataset
from armillary.nn import CrossEntropyLoss, L2Loss
from armillary.spaces import Equiangular, SphereGrid


def write(path, task: str) -> DataConfig:
    rng = np.random.default_rng(1)
    x = rng.random((6, 20, 40), dtype=np.float32)
    y = {
        "regression": np.where(x < 0.2, np.nan, 3 * x + 1),
        "segmentation": np.where(x > 0.9, 255, (x > 0.3).astype(np.uint8) + (x > 0.8)).astype(np.uint8),
        "classification": np.array([0, 2, 2, 1, 2, 2]),
    }[task]
    np.savez(path, x=x, y=y)
    names = () if task == "regression" else ("a", "b", "c")
    return DataConfig(
        source="npz", path=str(path), task=task, inputs=("x",), targets=("y",), layout=("NHW",), class_names=names
    )


@pytest.mark.parametrize("task", ["regression", "segmentation", "classification"])
def test_no_other_constant_is_better(tmp_path, task: str) -> None:
    grid: SphereGrid = Equiangular(10)
    data = open_dataset(write(tmp_path / "a.npz", task), grid, "train")
    constant = best_constant(data)
    x, y = (torch.stack(parts) for parts in zip(*(data[i] for i in range(len(data))), strict=True))
    loss = {
        "regression": L2Loss(grid),
        "segmentation": CrossEntropyLoss(grid),
        "classification": torch.nn.CrossEntropyLoss(),
    }[task]
    values = constant.values.clone()
    best = float(loss(constant(x), y))
    assert math.isfinite(best)
    generator = torch.Generator().manual_seed(0)
    for size in (0.05, 0.3, 1.0):
        for _ in range(20):
            constant.values = values + size * torch.randn(values.shape, generator=generator, dtype=values.dtype)
            # samples that miss different points are averaged one by one, the constant over all of them together
            assert float(loss(constant(x), y)) > best - 2e-3


def test_a_run_tells_upright_from_turned_and_from_a_constant(tmp_path) -> None:
    import json

    run = tmp_path / "run"
    command = ["train", "--grid", "equiangular:12", "--model.widths", "3", "--model.rings", "2", "--train.epochs", "1",
               "--data.samples-train", "4", "--data.samples-valid", "2", "--data.samples-test", "2",
               "--data.rotated-test", "so3", "--train.accelerator", "cpu", "--run", str(run)]  # fmt: skip
    assert armillary(command) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["loss"] != result["test_upright"]["loss"]
    assert result["test_constant"]["iou/background"] > 0.5
    assert result["test_constant"]["miou_foreground"] == 0


def test_energies_by_composition() -> None:
    """The mean of each composition, whatever the order of its atoms; 0 for one that was not seen; no forces."""
    charges = [[1, 1], [1, 1], [1, 8], [8, 1], [8, 1, 1], [8, 8]]
    energies = torch.tensor([1.0, 3.0, -2.0, -4.0, 7.0, 11.0], dtype=torch.float64)
    sizes = [len(z) for z in charges]
    x = torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = torch.tensor([z for each in charges for z in each])
    whole = Structures(flat, x, torch.tensor([0, *sizes]).cumsum(0), energies, x)
    references = {1: 0.5, 8: -1.0}
    samples = AtomGraphs(whole, 3.0, references).samples
    baseline = MeanByComposition(AtomGraphs(whole[:5], 3.0, references))
    inputs, targets = collate_atoms(samples)
    found = baseline(*inputs)
    assert found.energies.tolist() == pytest.approx([1.0, 1.0, -2.5, -2.5, 7.0, 0.0])  # above the references
    assert found.forces.shape == (sum(sizes), 3)
    assert float(found.forces.abs().max()) == 0
    assert targets.energies is not None
    assert targets.energies.tolist() == pytest.approx([0.0, 2.0, -1.5, -3.5, 7.0, 13.0])

"""A trained network with all that is needed to use it: settings, names of inputs and outputs, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from armillary.cli.settings import Settings, settings_of
from armillary.data import DataConfig, FieldDataset, FieldSpec, with_normalization
from armillary.data.spec import Grid
from armillary.models import ModelConfig, build_model
from armillary.spaces import ImageGrid, SphereGrid, grid_from_dict
from armillary.train import Run, RunError, load_weights, to_table

SPEC = "spec.json"


def network_for(config: ModelConfig, spec: FieldSpec, grid: Grid | None = None) -> nn.Module:
    """The network of ``config`` for the channels and task of ``spec``, on its grid or another."""
    head: Literal["dense", "global"] = "global" if spec.task == "classification" else "dense"
    return build_model(config, len(spec.input_names), len(spec.output_names), grid or spec.grid, head)


def save_spec(run: Run, train_set: FieldDataset, data: DataConfig) -> None:
    """Write what ``load_trained`` needs beside config.toml: names, ignored label, normalisation, longitudes."""
    spec = train_set.spec
    table = {
        "task": spec.task,
        "grid": spec.grid.to_dict(),
        "input_names": list(spec.input_names),
        "output_names": list(spec.output_names),
        "ignore_index": spec.ignore_index,
        "data": to_table(with_normalization(data, train_set.normalization)),
        "longitudes": train_set.longitudes.tolist(),
    }
    run.write_json(SPEC, table)


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode. ``data`` carries the normalisation measured when it was trained."""

    model: nn.Module
    settings: Settings
    spec: FieldSpec
    data: DataConfig
    longitudes: tuple[float, ...]

    @property
    def grid(self) -> Grid:
        return self.spec.grid

    @property
    def sphere_grid(self) -> SphereGrid:
        """Raises: ValueError for a network of the plane."""
        if not isinstance(self.grid, SphereGrid):
            raise ValueError(f"the network was trained on images {self.grid.shape}, not on a sphere.")
        return self.grid

    def predict(self, x_NCHW: Tensor, batch_size: int = 4) -> Tensor:
        """Raw outputs (scores, or standardised fields), without gradients, on the CPU."""
        device = next(self.model.parameters()).device
        with torch.no_grad():
            return torch.cat([self.model(part.to(device)).float().cpu() for part in x_NCHW.split(batch_size)])


def load_trained(run: Run, checkpoint: str = "best", device: torch.device | None = None) -> Trained:
    """Raises: RunError where the run has no such checkpoint or its files do not fit together."""
    settings = settings_of(run)
    weights = run.load_weights(checkpoint)
    table = run.read_json(SPEC)
    try:
        spec, data, longitudes = _read_spec(table, settings)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.path / SPEC} is damaged: {error}.") from error
    model = network_for(settings.model, spec)
    load_weights(model, weights, where=str(run.checkpoint_path(checkpoint)))
    return Trained(model.to(device or torch.device("cpu")).eval(), settings, spec, data, longitudes)


def _read_spec(table: Mapping[str, Any], settings: Settings) -> tuple[FieldSpec, DataConfig, tuple[float, ...]]:
    spec = FieldSpec(
        task=table["task"],
        grid=_read_grid(table["grid"]),
        input_names=tuple(table["input_names"]),
        output_names=tuple(table["output_names"]),
        ignore_index=int(table["ignore_index"]),
    )
    if spec.grid != settings.space:
        raise ValueError(f"its grid is {spec.grid}, config.toml says {settings.grid}")
    return spec, DataConfig.from_dict(table["data"]), tuple(table["longitudes"])


def _read_grid(description: Mapping[str, Any]) -> Grid:
    if description["type"] == "ImageGrid":
        return ImageGrid(description["height"], description["width"])
    return grid_from_dict(dict(description))

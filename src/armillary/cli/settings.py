"""The settings of a run: one value behind the flags, the TOML or YAML file and the run directory."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from armillary.cli.grid import AUTO, parse_grid
from armillary.data import DataConfig
from armillary.interop.atoms_run import NETWORK
from armillary.models import ModelConfig
from armillary.spaces import ImageGrid, SphereGrid
from armillary.train import Run, RunError, TrainConfig, from_table
from armillary.train.objectives import LossConfig
from armillary.train.tables import NONE, unknown_key

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection


@dataclass(frozen=True)
class Settings:
    """Grid, data, model, loss and training: the tables of a configuration file."""

    grid: str = AUTO
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def space(self) -> SphereGrid | ImageGrid:
        """The grid; "auto" and "image" have to be settled first (``grid.settled_grid``)."""
        return parse_grid(self.grid)


def settings_of(run: Run) -> Settings:
    """The settings a run was trained with. Raises: RunError for a run of a network of atoms; ValueError where its file
    has been damaged."""
    if NETWORK in run.config:
        raise RunError(f"{run.path} is a run of a network of atoms: use armillary atoms train, predict or check.")
    return from_table(Settings, run.config)


def read_file(path: Path, cls: type, measured: Sequence[str] = ()) -> dict[str, Any]:
    """A TOML or YAML file as a table of the settings ``cls``, its keys checked, without the tables ``measured``, which
    runs write and nobody chooses. Raises: ValueError naming the file."""
    try:
        text = path.read_text(encoding="utf-8")
        table = _parse(path, text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read: {reason}.") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds no table, wanted settings such as [data], [model], [train].")
    table = {key: value for key, value in table.items() if key not in measured}
    _check_keys(cls, table, "", path)
    return table


def _parse(path: Path, text: str) -> Any:
    if path.suffix.lower() in (".yaml", ".yml"):
        import yaml

        try:
            return yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if path.suffix.lower() != ".toml":
        raise ValueError(f"{path}: got a file ending in {path.suffix!r}, wanted .toml, .yaml or .yml.")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error


def _check_keys(cls: Any, table: dict[str, Any], where: str, path: Path) -> None:
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    for key, value in table.items():
        if key not in names:
            raise ValueError(f"{path}: {unknown_key(str(key), names, where)}")
        if is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise ValueError(f"{path}: got {key} = {value!r}, wanted a table [{key}].")
            _check_keys(hints[key], value, f"{where}.{key}" if where else key, path)


def settings_file(
    cls: type, measured: Sequence[str] = ()
) -> Callable[[App, tuple[str, ...], ArgumentCollection], None]:
    """What fills the settings ``cls`` of a command from ``--config FILE`` or the run of ``--resume RUN`` where no flag
    gave them; ``measured``: as for ``read_file``."""

    def apply(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        from cyclopts.config import Dict

        for option in ("--resume", "--config"):
            given = [arg for arg in arguments if option in arg.names and arg.tokens]
            if not given:
                continue
            path = Path(given[0].tokens[0].value)
            if option == "--resume":
                Run.open(path)
                path = path / "config.toml"
            table = _without_null(read_file(path, cls, measured))
            for command in reversed(commands):  # [train] is a table of settings, not the command of that name
                table = {command: table}
            Dict(data=table, source=str(path))(app, commands, arguments)

    return apply


def _without_null(table: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_null(v) if isinstance(v, dict) else NONE if v is None else v for k, v in table.items()}

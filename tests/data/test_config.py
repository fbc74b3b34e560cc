"""The one table that describes data."""

import dataclasses
import json
import tomllib

import pytest
import tomli_w

from armillary.data import DataConfig, DataError


def test_round_trip_through_json_and_toml():
    config = DataConfig(source="npz", inputs=("a", "b"), fractions=(0.5, 0.25, 0.25), holdout_lon=(-10, 20))
    assert DataConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert DataConfig.from_dict(tomllib.loads(tomli_w.dumps(config.to_dict()))) == config
    assert isinstance(hash(config), int)


def test_every_field_has_a_default_and_a_plain_value():
    for field in dataclasses.fields(DataConfig):
        value = getattr(DataConfig(), field.name)
        assert isinstance(value, (str, int, float, tuple)), field.name


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"sorce": "npz"}, "Did you mean 'source'"),
        ({"source": "hdf"}, "digits, mnist, npz, folder, climate"),
        ({"augment": "SO3"}, "so3"),
        ({"inputs": "rgb"}, r"\['rgb'\]"),
        ({"inputs": [1]}, "wanted a str"),
        ({"seed": "x"}, "wanted a int"),
        ({"seed": -1}, ">= 0"),
        ({"fractions": [0.5, 0.5]}, "three parts"),
        ({"fractions": [0.9, 0.9, 0.9]}, "three parts"),
        ({"holdout_lon": [10.0]}, "pairs"),
        ({"test_lon": [10.0, 20.0]}, "without data.holdout_lon"),
        ({"digit_size": 7.0}, "radians"),
        ({"standardize": 1}, "wanted a bool"),
    ],
)
def test_wrong_values_are_errors_that_say_what_is_known(table, match):
    with pytest.raises(DataError, match=match):
        DataConfig.from_dict(table)


def test_paths_expand_variables(tmp_path, monkeypatch):
    (tmp_path / "a.npz").touch()
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert DataConfig(path="$SOME_DATA/a.npz").resolved_path() == tmp_path / "a.npz"
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(DataError, match="SOME_DATA is not set"):
        DataConfig(path="$SOME_DATA/a.npz").resolved_path()
    with pytest.raises(DataError, match="no such file"):
        DataConfig(path=str(tmp_path / "b.npz")).resolved_path()
    with pytest.raises(DataError, match="not set"):
        DataConfig(source="npz").resolved_path()

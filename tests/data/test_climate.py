"""netCDF and zarr variables through xarray."""

import sys

import numpy as np
import pytest

from armillary.data import DataConfig, DataError, open_dataset, read_inputs
from armillary.data.climate import ClimateRecords
from armillary.spaces import Equiangular

xarray = pytest.importorskip("xarray", reason="needs the extra [climate]")

H, W, T = 7, 12, 10
GRID = Equiangular(H, W, poles=True)


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    sst = rng.standard_normal((T, H, W)).astype(np.float32)
    sst[:, 2, 3] = np.nan
    return xarray.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), rng.standard_normal((T, H, W)) + 280),
            "z": (("time", "level", "latitude", "longitude"), rng.standard_normal((T, 2, H, W))),
            "land": (("latitude", "longitude"), rng.random((H, W))),
            "sst": (("time", "latitude", "longitude"), sst),
            "series": (("time",), np.zeros(T)),
        },
        coords={
            "time": np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]"),
            "latitude": np.linspace(-90, 90, H),
            "longitude": np.arange(W) * 30.0,
            "level": [500, 850],
        },
    )


@pytest.fixture(params=["nc", "zarr"])
def path(request, dataset, tmp_path):
    where = tmp_path / f"a.{request.param}"
    if request.param == "nc":
        pytest.importorskip("netCDF4", reason="needs the extra [climate]")
        dataset.to_netcdf(where)
    else:
        pytest.importorskip("zarr", reason="needs the extra [climate]")
        dataset.to_zarr(where)
    return where


def config(path, **fields):
    defaults = {"source": "climate", "task": "regression", "inputs": ("t2m", "z", "land"), "targets": ("t2m",)}
    return DataConfig(path=str(path), **{**defaults, **fields})


def test_variables_levels_and_lead(path, dataset):
    r = ClimateRecords(path, config(path, lead=2))
    assert len(r) == T - 2
    assert r.input_names == ("t2m", "z[500]", "z[850]", "land")
    north_first = dataset.isel(latitude=slice(None, None, -1))
    assert np.allclose(r.inputs(3).values[0], north_first.t2m[3])
    assert np.allclose(r.inputs(3).values[2], north_first.z[3, 1])
    assert np.allclose(r.inputs(3).values[3], north_first.land)
    assert np.allclose(r.target(3).values[0], north_first.t2m[5])
    assert r.name(3).startswith("time=2020-01-04")
    assert ClimateRecords(path, config(path, inputs=("z[850]",))).input_names == ("z[850]",)


def test_splits_are_in_order_and_values_standardised(path):
    c = config(path, standardize_target=True)
    train, valid, test = (open_dataset(c, GRID, s) for s in ("train", "valid", "test"))
    assert [len(d) for d in (train, valid, test)] == [7, 1, 2] or [len(d) for d in (train, valid, test)] == [7, 2, 1]
    assert train.name(6) < valid.name(0) < test.name(0)
    assert test.normalization == train.normalization
    x, y = test[0]
    assert abs(float(x[0].mean())) < 1
    assert abs(float(test.denormalize(y).mean()) - 280) < 2
    got, names = read_inputs(path, c, GRID)
    assert got.shape == (T, 4, H, W)
    assert (got[-1] - test[len(test) - 1][0]).abs().max() < 1e-6
    assert names[0].startswith("time=2020-01-01")


def test_missing_values_of_a_target_are_not_scored(path):
    r = ClimateRecords(path, config(path, targets=("sst",)))
    assert np.isnan(r.target(0).values[0, H - 1 - 2, 3])
    assert np.isnan(r.target(0).values).sum() == 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"inputs": ("t2",)}, "unknown variable 't2'.*Did you mean 't2m'"),
        ({"inputs": ("series",)}, "none is the latitude"),
        ({"inputs": ("z[700]",)}, "known: 500, 850"),
        ({"inputs": ("t2m[3]",)}, "no axis to choose"),
        ({"lead": 10}, "wants more"),
        ({"task": "segmentation"}, "regression"),
        ({"inputs": ()}, "empty"),
    ],
)
def test_wrong_names_are_errors(path, fields, match):
    with pytest.raises(DataError, match=match):
        ClimateRecords(path, config(path, **fields))


def test_a_file_that_is_none_of_it(tmp_path):
    bad = tmp_path / "a.nc"
    bad.write_bytes(b"nothing")
    with pytest.raises(DataError, match="neither netCDF nor zarr"):
        ClimateRecords(bad, config(bad))


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(DataError, match=r"pip install .armillary\[climate\]"):
        ClimateRecords(tmp_path, config(tmp_path))

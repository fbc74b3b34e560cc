"""Arrays from npz files: layouts by rule, channels by name, damaged and hostile files."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.data import DataConfig, DataError
from armillary.data.arrays import resolve_layout, select_channels, to_channels_first
from armillary.data.npz import NpzRecords

H, W = 6, 12


def saved(tmp_path, name="a.npz", **arrays):
    path = tmp_path / name
    np.savez(path, **arrays)
    return path


def records(path, **fields):
    return NpzRecords(path, DataConfig(source="npz", **fields))


def first_sample(path, **fields):
    r = records(path, **fields)
    return r.inputs(0), r.target(0)


rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "batched", "want"),
    [
        ((6, 12), None, "HW"),
        ((6, 12, 3), None, "HWC"),
        ((3, 6, 12), True, "NHW"),
        ((3, 6, 12), False, "CHW"),
        ((5, 3, 6, 12), None, "NCHW"),
        ((5, 6, 12, 3), None, "NHWC"),
        ((5, 46, 72, 2), None, "NHWC"),
        ((9, 14, 46, 72), None, "NCHW"),
        ((241, 480), None, "HW"),
        ((4, 241, 480), False, "CHW"),
    ],
)
def test_layout_rules(shape, batched, want):
    assert resolve_layout(shape, "x", "", (46, 72), batched) == want


@pytest.mark.parametrize("shape", [(3, 6, 12), (5, 6, 12, 24), (3, 7, 9), (12,), (1, 2, 3, 6, 12)])
def test_undecided_layouts_are_errors_that_name_array_and_shape(shape):
    with pytest.raises(DataError, match=re.escape(f"field has shape {shape}")):
        resolve_layout(shape, "field", "", None, None)


@given(st.sampled_from(["HW", "HWC", "CHW", "NHW", "NHWC", "NCHW"]), st.integers(1, 4), st.integers(1, 4))
def test_stated_layouts_come_out_channels_first(layout, n, c):
    sizes = {"N": n, "C": c, "H": 3, "W": 5}
    array = rng.standard_normal([sizes[a] for a in layout])
    got = to_channels_first(array, resolve_layout(array.shape, "x", layout, None, None))
    assert got.shape == (*([n] if "N" in layout else []), c if "C" in layout else 1, 3, 5)
    at = {"N": n - 1, "C": (c - 1) if "C" in layout else 0, "H": 2, "W": 1}
    assert got[tuple(at[a] for a in ("NCHW" if "N" in layout else "CHW"))] == array[tuple(at[a] for a in layout)]


@pytest.mark.parametrize(
    ("selector", "want"),
    [("", [0, 1, 2]), ("1", [1]), ("-1", [2]), ("1:", [1, 2]), ("::2", [0, 2]), ("sst", [1]), ("0:2", [0, 1])],
)
def test_channel_selectors(selector, want):
    assert select_channels(selector, ["u", "sst", "v"], "x") == want


@pytest.mark.parametrize("selector", ["3", "t", "2:2", "a:b", "::0", "1:2:3:4"])
def test_unknown_channels_list_the_known_ones(selector):
    with pytest.raises(DataError, match="u, sst, v"):
        select_channels(selector, ["u", "sst", "v"], "x")


def test_one_map_of_several_inputs(tmp_path):
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    elev = rng.standard_normal((H, W)).astype(np.float32)
    raw = rng.integers(0, 4, (H, W), dtype=np.uint8)
    raw[0, 0] = 255
    path = saved(
        tmp_path, rgb=rgb, elev=elev, raw=raw, groups=np.array([0, 2, 1, 1]), names=np.array(["sea", "a", "b"])
    )
    r = records(path, inputs=("rgb", "elev"), targets=("raw",), target_map="groups", class_names_from="names")
    assert len(r) == 1
    assert r.input_names == ("rgb[0]", "rgb[1]", "rgb[2]", "elev")
    assert r.output_names == ("sea", "a", "b")
    x = r.inputs(0).values
    assert np.allclose(x[:3], rgb.transpose(2, 0, 1) / 255)
    assert (x[3] == elev).all()
    y = r.target(0).values[0]
    assert y[0, 0] == 255
    assert (y[0, 1:] == np.array([0, 2, 1, 1])[raw[0, 1:]]).all()


@pytest.mark.parametrize("n", [1, 3])
def test_samples_channels_by_label_static_inputs_and_latitudes(tmp_path, n):
    x = rng.standard_normal((n, 3, H, W))
    mask = rng.random((H, W)) > 0.5
    lat = np.linspace(-75, 75, H)
    path = saved(
        tmp_path,
        x=x,
        mask=mask,
        lat=lat,
        lon=np.arange(W) * 30.0,
        fields=np.array(["u", "sst", "v"]),
        names=np.arange(n),
    )
    r = records(
        path, task="regression", inputs=("x[u]", "x[2]", "mask"), targets=("x[sst]",), channel_names_from="fields"
    )
    assert len(r) == n
    assert r.input_names == ("x[u]", "x[v]", "mask")
    assert r.output_names == ("x[sst]",)
    got = r.inputs(n - 1)
    assert np.allclose(got.values, np.stack([x[-1, 0], x[-1, 2], mask])[:, ::-1])
    assert np.allclose(r.target(n - 1).values[0], x[-1, 1, ::-1])
    assert got.left == -15.0
    assert r.name(n - 1) == str(n - 1)


def test_regression_targets_are_scaled_and_missing_values_are_nan(tmp_path):
    y = rng.random((H, W))
    y[0, 0], y[1, 1] = -999.0, np.inf
    path = saved(tmp_path, x=np.zeros((H, W)), y=y)
    r = records(path, task="regression", inputs=("x",), targets=("y",), missing=(-999.0,), target_scale=2.0)
    got = r.target(0).values[0]
    assert np.isnan(got[0, 0])
    assert np.isnan(got[1, 1])
    assert got[2, 2] == np.float32(y[2, 2]) * 2


def test_classification_reads_one_label_for_each_sample(tmp_path):
    path = saved(tmp_path, x=rng.random((4, H, W, 3)), indoor=np.array([0, 1, 1, 0], dtype=np.uint8))
    r = records(path, task="classification", inputs=("x",), targets=("indoor",), class_names=("out", "in"))
    assert [r.target(i) for i in range(4)] == [0, 1, 1, 0]


def test_a_folder_of_files_joins_their_samples(tmp_path):
    for k, n in enumerate((2, 1, 3)):
        saved(tmp_path, f"{k}.npz", x=np.full((n, 1, H, W), k), y=np.full((n, H, W), k))
    r = records(tmp_path, inputs=("x",), targets=("y",), class_names=("a", "b", "c"))
    assert [float(r.inputs(i).values.max()) for i in range(len(r))] == [0, 0, 1, 2, 2, 2]
    assert r.name(0) == "0[0]"
    assert r.name(2) == "1"
    (tmp_path / "9.npz").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"9\.npz"):
        records(tmp_path, inputs=("x",), targets=("y",), class_names=("a", "b", "c"))
    r = records(tmp_path, inputs=("x",), targets=("y",), class_names=("a", "b", "c"), on_bad="skip")
    assert len(r) == 6
    assert "9.npz" in r.skipped[0][0]


GOOD = {"x": np.zeros((H, W)), "y": np.zeros((H, W), dtype=np.uint8)}


@pytest.mark.parametrize(
    ("arrays", "fields", "match"),
    [
        (GOOD, {"inputs": ("rgbb",)}, "unknown array 'rgbb'; known: x, y"),
        (GOOD, {"inputs": ()}, "data.inputs is empty"),
        (GOOD, {"targets": ()}, "data.targets is empty"),
        (GOOD, {"targets": ("x",)}, "labels are integers"),
        (GOOD, {"target_map": "m"}, "unknown array 'm'"),
        (GOOD, {"lat": "latitude"}, "unknown array 'latitude'"),
        (GOOD, {"layout": ("HWC",)}, "wants 3 axes"),
        (GOOD, {"layout": ("HW", "HW")}, "2 entries for 1 inputs"),
        (GOOD, {"max_gib": 1e-9}, "over data.max_gib"),
        ({**GOOD, "y": np.full((H, W), 9)}, {"class_names": ("a", "b")}, r"labels \[9\] \(72 times\)"),
        ({**GOOD, "y": np.full((3, H, W), 9)}, {}, "labels want one"),
        ({**GOOD, "x": np.zeros((2, 1, H, W)), "y": np.zeros((3, H, W), int)}, {}, "different numbers of samples"),
        ({**GOOD, "x": np.array([None] * 8)}, {}, "pickled objects"),
        ({**GOOD, "x": np.zeros((H, W), dtype=complex)}, {}, "wanted real numbers"),
        ({**GOOD, "lat": np.zeros(3), "lon": np.zeros(3)}, {}, "latitudes of shape"),
    ],
)
def test_wrong_files_and_wishes_are_errors(tmp_path, arrays, fields, match):
    path = saved(tmp_path, **arrays)
    with pytest.raises(DataError, match=match):
        first_sample(path, **{"inputs": ("x",), "targets": ("y",), **fields})


def test_damaged_archives_are_named(tmp_path):
    path = saved(tmp_path, x=rng.random((H * 20, W * 20)), y=np.zeros((H * 20, W * 20), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.npz: not a readable"):
        records(path, inputs=("x",), targets=("y",))
    path.write_bytes(whole[:2000] + b"\0" * 500 + whole[2500:])
    with pytest.raises(DataError, match="array 'x' is damaged"):
        records(path, inputs=("x",), targets=("y",))

"""Folders of equirectangular pictures: matched by name, checked one by one."""

import numpy as np
import pytest
from PIL import Image

from armillary.data import DataConfig, DataError, open_dataset, read_inputs
from armillary.data.folder import FolderRecords
from armillary.spaces import Equiangular

H, W = 8, 16
GRID = Equiangular(H)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for sub in ("images", "labels", "depth"):
        (tmp_path / sub).mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)).save(tmp_path / "images" / f"p{i}.png")
        labels = rng.integers(0, 3, (H, W), dtype=np.uint8)
        labels[0, 0] = 255
        picture = Image.fromarray(labels, mode="L")
        if i % 2:  # every second one with a palette
            picture.putpalette([k for c in range(256) for k in (c, 255 - c, 0)])
            picture = Image.fromarray(labels).convert("P") if picture.mode != "P" else picture
        picture.save(tmp_path / "labels" / f"p{i}.png")
        depth = rng.integers(1, 60000, (H, W), dtype=np.uint16)
        depth[1, 1] = 0
        if i % 2:
            Image.fromarray(depth).save(tmp_path / "depth" / f"p{i}.png")
        else:
            np.save(tmp_path / "depth" / f"p{i}.npy", depth.astype(np.float32))
    (tmp_path / "classes.txt").write_text("sky\nwall\nfloor\n")
    return tmp_path


def first_sample(kind, *args):
    r = kind(*args)
    return r.inputs(0), r.target(0)


def config(folder, **fields):
    return DataConfig(**{"source": "folder", "path": str(folder), "standardize": False, **fields})


def test_segmentation(folder):
    r = FolderRecords(folder, config(folder))
    assert r.output_names == ("sky", "wall", "floor")
    for i in range(6):
        raw = np.asarray(Image.open(folder / "labels" / f"p{i}.png"))
        assert (r.target(i).values[0] == raw).all()
        pixels = np.asarray(Image.open(folder / "images" / f"p{i}.png"))
        assert np.allclose(r.inputs(i).values, pixels.transpose(2, 0, 1) / 255)
    sizes = [len(open_dataset(config(folder), GRID, s)) for s in ("train", "valid", "test")]
    assert sizes == [4, 1, 1]


def test_depth_in_metres_with_zero_as_missing(folder):
    c = config(folder, task="regression", missing=(0.0,), target_scale=0.001)
    data = open_dataset(c, GRID, "train")
    _, y = data[0]
    assert y.shape == (1, H, W)
    assert y.isnan().sum() == 1
    assert 0 < y[~y.isnan()].max() < 60
    assert data.spec.output_names == ("depth",)


def test_classification_by_sub_folder(folder):
    for name in ("outdoor", "indoor"):
        (folder / "images" / name).mkdir()
    for i in range(6):
        (folder / "images" / f"p{i}.png").rename(folder / "images" / ("indoor", "outdoor")[i % 2] / f"p{i}.png")
    r = FolderRecords(folder, config(folder, task="classification"))
    assert r.output_names == ("indoor", "outdoor")
    assert [r.target(i) for i in range(6)] == [0, 0, 0, 1, 1, 1]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-150])


def test_truncated_picture_stops_or_is_skipped(folder):
    truncate(folder / "images" / "p3.png")
    r = FolderRecords(folder, config(folder))
    with pytest.raises(DataError, match=r"p3\.png: the picture cannot be read"):
        r.inputs(3)
    with pytest.warns(UserWarning, match=r"1 samples skipped \(p3"):
        data = open_dataset(config(folder, on_bad="skip", train_indices=(0, 1, 2, 3, 4)), GRID, "train")
    assert [data.name(i) for i in range(5)] == ["p0", "p1", "p2", "p4", "p5"]
    assert data.skipped[0][0] == "p3"


def test_all_bad_is_an_error_even_when_skipping(folder):
    for p in (folder / "images").iterdir():
        truncate(p)
    with pytest.raises(DataError, match="none of the 6"):
        FolderRecords(folder, config(folder, on_bad="skip"))


def remove_label(folder):
    (folder / "labels" / "p2.png").unlink()


def remove_classes(folder):
    (folder / "classes.txt").unlink()


def grey_image(folder):
    Image.fromarray(np.zeros((H, W), np.uint8)).save(folder / "images" / "p0.png")


def square_image(folder):
    Image.fromarray(np.zeros((H, H, 3), np.uint8)).save(folder / "images" / "p0.png")


def colour_label(folder):
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(folder / "labels" / "p0.png")


def high_label(folder):
    Image.fromarray(np.full((H, W), 7, np.uint8)).save(folder / "labels" / "p0.png")


def twice_the_name(folder):
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(folder / "images" / "p0.bmp")


def no_images(folder):
    (folder / "images").rename(folder / "pictures")


def pickled_label(folder):
    (folder / "labels" / "p0.png").unlink()
    np.save(folder / "labels" / "p0.npy", np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (remove_label, r"p2\.png: no target of that name"),
        (remove_classes, r"classes\.txt is missing"),
        (grey_image, r"p0\.png: the picture has 1 bands"),
        (square_image, "twice as wide as high"),
        (colour_label, "index or grey"),
        (high_label, r"labels \[7\]"),
        (twice_the_name, "more than one file is called p0"),
        (no_images, "no such folder"),
        (pickled_label, "cannot be read"),
    ],
)
def test_each_fault_is_named(folder, damage, match):
    damage(folder)
    with pytest.raises(DataError, match=match):
        first_sample(FolderRecords, folder, config(folder))


def test_decompression_bombs_are_refused(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 4)
    with pytest.raises(DataError, match="Scale the picture down"):
        FolderRecords(folder, config(folder)).inputs(0)


def test_prediction_reads_one_picture_or_a_folder(folder):
    x, names = read_inputs(folder / "images" / "p1.png", config(folder), GRID)
    assert x.shape == (1, 3, H, W)
    assert names == ["p1"]
    x, names = read_inputs(folder / "images", config(folder), GRID)
    assert x.shape == (6, 3, H, W)
    assert len(names) == 6

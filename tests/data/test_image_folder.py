"""A user's own images: one folder for each class, pictures of any size and kind."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from armillary.data import DataConfig, DataError, open_dataset, read_inputs
from armillary.data.images import read_image
from armillary.spaces import ImageGrid

GRID = ImageGrid(16, 16)
rng = np.random.default_rng(3)


def changed(config, **fields):
    return DataConfig.from_dict({**config.to_dict(), **fields})


def write(path, shape=(16, 16, 3), value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8) if value is None else np.full(shape, value, np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path):
    for name in ("ant", "bee"):
        for i in range(5):
            write(tmp_path / "own" / name / f"{i}.png", (16 + i, 20, 3))
    (tmp_path / "own" / "ant" / "notes.txt").write_text("not a picture")
    (tmp_path / "own" / ".cache").mkdir()
    return DataConfig(source="image_folder", path=str(tmp_path / "own"), standardize=False)


def test_one_folder_for_each_class(folder):
    sets = [open_dataset(folder, GRID, s) for s in ("train", "valid", "test")]
    names = [d.name(i) for d in sets for i in range(len(d))]
    assert sorted(names) == sorted(f"{c}/{i}.png" for c in ("ant", "bee") for i in range(5))
    for data in sets:
        assert data.spec.output_names == ("ant", "bee")
        for i in range(len(data)):
            x, y = data[i]
            assert x.shape == (3, 16, 16)
            assert data.name(i).startswith(data.spec.output_names[int(y)])


def test_train_valid_and_test_folders(tmp_path):
    for part, n in (("train", 4), ("test", 2)):
        for name in ("a", "b"):
            for i in range(n):
                write(tmp_path / part / name / f"{part}{i}.png")
    config = DataConfig(source="image_folder", path=str(tmp_path))
    train, valid, test = (open_dataset(config, GRID, s) for s in ("train", "valid", "test"))
    assert (len(train) + len(valid), len(test)) == (8, 4)
    assert "test0" in test.name(0)
    write(tmp_path / "valid" / "b" / "v.png")
    train, valid = (open_dataset(config, GRID, s) for s in ("train", "valid"))
    assert (len(train), len(valid)) == (8, 1)
    assert int(valid[0][1]) == 1
    write(tmp_path / "valid" / "c" / "v.png")
    with pytest.raises(DataError, match="unknown class 'c'"):
        open_dataset(config, GRID, "valid")


def test_pictures_of_any_kind(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey > 127).save(tmp_path / "bits.png")
    for bands in (1, 3):
        assert np.array_equal(read_image(tmp_path / "grey.png", bands, ""), grey[None].repeat(bands, 0))
        assert np.array_equal(read_image(tmp_path / "deep.png", bands, ""), grey[None].repeat(bands, 0))
        assert np.array_equal(read_image(tmp_path / "palette.png", bands, ""), grey[None].repeat(bands, 0))
        assert np.array_equal(read_image(tmp_path / "bits.png", bands, "")[0], 255 * (grey > 127))


def test_what_is_transparent_is_black(tmp_path):
    pixels = np.full((16, 16, 4), 200, np.uint8)
    pixels[:8, :, 3], pixels[8:, :, 3] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = read_image(tmp_path / "a.png", 3, "")
    assert (got[:, :8] == 0).all()
    assert (got[:, 8:] == 200).all()


def test_pictures_stand_upright(tmp_path):
    pixels = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held on its side: turn by 90° clockwise to see it upright
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png", 3, ""), np.moveaxis(np.rot90(pixels, -1), -1, 0))


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_bad_picture_stops_or_is_skipped(folder, tmp_path, damage):
    bad = tmp_path / "own" / "bee" / "3.png"
    content = {"truncated": bad.read_bytes()[:300], "text": b"<html>", "empty": b""}[damage]
    bad.write_bytes(content)
    stopping = [open_dataset(folder, GRID, s) for s in ("train", "valid", "test")]
    (holder,) = (d for d in stopping if "bee/3.png" in {d.name(i) for i in range(len(d))})
    with pytest.raises(DataError, match=r"bee/3\.png: the picture cannot be read"):
        holder.check()
    with pytest.warns(UserWarning, match=r"1 samples skipped \(bee/3\.png"):
        data = open_dataset(changed(folder, on_bad="skip"), GRID, "train")
    assert [name for name, _ in data.skipped] == ["bee/3.png"]
    with warnings.catch_warnings(action="ignore"):
        sets = [open_dataset(changed(folder, on_bad="skip"), GRID, s) for s in ("train", "valid", "test")]
    assert sum(len(s) for s in sets) == 9


def test_other_formats_are_not_opened_whatever_their_name(tmp_path):
    """PIL hands EPS to another program."""
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: the picture cannot be read"):
        read_image(tmp_path / "a.png", 3, str(tmp_path / "a.png"))


def test_a_bomb_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="Scale the picture down"):
        open_dataset(folder, GRID, "train").check()


def test_impossible_folders_are_errors(folder, tmp_path):
    with pytest.raises(DataError, match="grey \\(1\\) or coloured"):
        open_dataset(changed(folder, bands=2), GRID, "train")
    with pytest.raises(DataError, match="is a file"):
        open_dataset(changed(folder, path=str(tmp_path / "own" / "ant" / "0.png")), GRID, "train")
    with pytest.raises(DataError, match="found 0"):
        open_dataset(changed(folder, path=str(tmp_path / "own" / "ant")), GRID, "train")
    (tmp_path / "own" / "cow").mkdir()
    with pytest.raises(DataError, match="cow: no pictures"):
        open_dataset(folder, GRID, "train")
    write(tmp_path / "parts" / "train" / "a" / "0.png")
    write(tmp_path / "parts" / "train" / "b" / "0.png")
    with pytest.raises(DataError, match="has train/ and no test/"):
        open_dataset(changed(folder, path=str(tmp_path / "parts")), GRID, "test")


def test_grey_and_colour_training(folder, tmp_path):
    grey = open_dataset(changed(folder, bands=1, standardize=True), GRID, "train")
    assert grey.spec.input_names == ("intensity",)
    assert grey[0][0].shape == (1, 16, 16)
    config = changed(folder, bands=1, **{k: list(v) for k, v in grey.normalization.items()}, standardize=True)
    x, names = read_inputs(tmp_path / "own" / "ant", config, GRID)
    assert names == ["0", "1", "2", "3", "4"]
    own = {grey.name(i): grey[i][0] for i in range(len(grey))}
    for i in range(5):
        if f"ant/{i}.png" in own:
            assert torch.equal(x[i], own[f"ant/{i}.png"])


def test_decoded_pictures_are_kept_as_far_as_allowed(folder):
    for cache in (512, 0):
        data = open_dataset(changed(folder, cache_mb=cache, augment="so2"), GRID, "train")
        data.check()
        assert len(data._held) == (len(data) if cache else 0)
        x = data[0][0]
        before = x.clone()
        x.zero_()
        assert torch.equal(data[0][0], before)


def test_items_of_images_in_memory_are_safe_from_change():
    data = open_dataset(DataConfig(task="classification", standardize=False), ImageGrid(8, 8), "test")
    x = data[0][0]
    before = x.clone()
    x.zero_()
    assert torch.equal(data[0][0], before)

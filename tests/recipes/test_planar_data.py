"""What the planar recipes read."""

import pytest
import torch
from rich.console import Console

from armillary.recipes.planar_data import Counts, photographs, rotated_digits


def check_splits(splits, channels, size, counts):
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == counts
    x, y = splits.train.tensors
    assert x.shape[1:] == (channels, size, size)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert set(y.tolist()) <= set(range(10))
    train = {image.numpy().tobytes() for image in x}
    for other in (splits.valid, splits.test):
        assert not train & {image.numpy().tobytes() for image in other.tensors[0]}


def test_built_in_digits_where_there_is_no_file(monkeypatch, tmp_path):
    for folder in (None, str(tmp_path)):
        monkeypatch.delenv("ARMILLARY_DATA", raising=False)
        if folder:
            monkeypatch.setenv("ARMILLARY_DATA", folder)
        splits = rotated_digits(Counts(100, 30, 10_000), Console(quiet=True))
        check_splits(splits, 1, 28, [100, 30, 270])
        assert str(splits) == ("scikit-learn's digits, turned: 100 for training, 30 for validation, 270 for the test")
        with pytest.raises(ValueError, match="not set" if folder is None else str(tmp_path)):
            photographs(Counts(1, 1, 1))


def test_values_that_are_not_standardised_keep_a_background_of_zero(monkeypatch):
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    x = rotated_digits(Counts(50, 1, 1), standardize=False).train.tensors[0]
    assert x.min() == 0
    assert 0.5 < x.max() <= 1
    assert (x[:, :, 0] == 0).float().mean() > 0.5


@pytest.mark.data
def test_real_images(data_dir):
    digits = rotated_digits(Counts(600, 120, 60))
    check_splits(digits, 1, 28, [600, 120, 60])
    pictures = photographs(Counts(120, 24, 30))
    check_splits(pictures, 3, 32, [120, 24, 30])
    for splits in (digits, pictures):
        x = splits.train.tensors[0]
        assert x.mean().abs() < 0.1
        assert 0.8 < x.std() < 1.1

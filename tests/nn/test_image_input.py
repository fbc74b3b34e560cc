"""The check of a network's input: what is let through, what is refused, by name."""

import pytest
import torch

from armillary.nn import ImageInput
from armillary.spaces import ImageGrid


def test_images_pass_and_others_are_refused_in_the_name_of_the_network() -> None:
    check = ImageInput(3, ImageGrid(4, 5), "Net")
    x = torch.randn(2, 3, 4, 5)
    assert check(x) is x
    assert "3, ImageGrid(height=4, width=5)" in repr(check)
    for bad, message in (
        (x[:, :2], r"Net was built for \(batch, 3, 4, 5\): pass in_channels=2"),
        (x[0], "in_channels=…"),
        (x[..., :4], r"Net wants \(..., 4, 5\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check(bad)

"""Turns of images and feature maps: against the points of the grid, as actions, and where windows are centred."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import Subgroup, cyclic, dihedral, symmetric, tetrahedral
from armillary.spaces import ImageGrid, Windows, act_on_feature_map, act_on_image, pixel_elements
from armillary.spaces.plane_group import is_pixel_group

GROUPS = [cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)]


def smooth(points: torch.Tensor) -> torch.Tensor:
    """A function without symmetry."""
    x, y = points.unbind(-1)
    return torch.sin(0.7 * x + 0.2) + 0.3 * y**2 + 0.1 * x * y - 0.4 * y


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
@pytest.mark.parametrize("shape", [(5, 5), (4, 6), (3, 4)])
def test_the_action_is_that_of_the_matrices_on_points(group, shape) -> None:
    """(g f)(p) = f(g⁻¹ p) for a function that can be evaluated anywhere."""
    f = smooth(ImageGrid(*shape).points)
    for g in range(group.order):
        turned = act_on_image(group, g, f)
        points = ImageGrid(*turned.shape).points @ torch.tensor(group.matrices[g])  # g⁻¹ p = gᵀ p
        torch.testing.assert_close(turned, smooth(points), rtol=0, atol=1e-12)


def test_a_positive_turn_is_counter_clockwise() -> None:
    x = torch.zeros(3, 3)
    x[1, 2] = 1  # at the right
    assert act_on_image(cyclic(4), 1, x)[0, 1] == 1  # goes to the top


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_feature_maps_are_acted_upon_from_the_left(group) -> None:
    x = torch.randn(2, 3, group.order, 4, 5, dtype=torch.float64)
    for g in range(group.order):
        for h in range(group.order):
            twice = act_on_feature_map(group, g, act_on_feature_map(group, h, x))
            assert torch.equal(twice, act_on_feature_map(group, int(group.table[g, h]), x))


def test_cosets_are_acted_upon_from_the_left() -> None:
    group = dihedral(4)
    H = Subgroup(group, [5])  # not normal
    x = torch.randn(1, 1, H.index, 3, 3)
    for g in range(8):
        for h in range(8):
            twice = act_on_feature_map(group, g, act_on_feature_map(group, h, x, H), H)
            assert torch.equal(twice, act_on_feature_map(group, int(group.table[g, h]), x, H))


def test_pixel_elements() -> None:
    assert all(is_pixel_group(group) for group in GROUPS)
    assert pixel_elements(cyclic(8)) == [0, 2, 4, 6]
    assert pixel_elements(cyclic(6)) == [0, 3]
    assert pixel_elements(dihedral(4)) == list(range(8))
    assert pixel_elements(dihedral(6)) == [0, 3, 6, 9]
    assert not is_pixel_group(cyclic(3))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [0, 1])
def test_what_is_allowed_is_what_commutes(kernel, stride, padding) -> None:
    """A window that is not refused commutes with the half turn, one that is refused does not."""
    for size in range(4, 10):
        weight = torch.ones(1, 1, kernel, 1, dtype=torch.float64)
        x = torch.randn(1, 1, size, 1, dtype=torch.float64)

        def slide(x, weight=weight):
            return torch.nn.functional.conv2d(x, weight, stride=(stride, 1), padding=(padding, 0))

        commutes = torch.allclose(slide(x.flip(2)), slide(x).flip(2), atol=1e-12)
        try:
            Windows.over(cyclic(2), kernel, stride, padding).check(size, size, "test")
            allowed = True
        except ValueError:
            allowed = False
        assert allowed == commutes, (size, kernel, stride, padding)


def test_only_axes_that_an_element_moves_have_a_centre() -> None:
    Windows.over(cyclic(1), 3, 2).check(8, 8, "test")
    Windows.over(dihedral(1), 3, 2).check(9, 8, "test")  # y → -y: columns stay
    with pytest.raises(ValueError, match=r"8 rows.*take a kernel of size 4, or images of 7 or 9 rows"):
        Windows.over(dihedral(1), 3, 2).check(8, 9, "test")
    with pytest.raises(ValueError, match="fewer than the kernel"):
        Windows.over(cyclic(1), 3).check(2, 2, "test")


def test_errors() -> None:
    with pytest.raises(ValueError, match="does not map pixels onto pixels"):
        act_on_image(cyclic(8), 1, torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"wanted .batch, channels, 4"):
        act_on_feature_map(cyclic(4), 1, torch.zeros(1, 1, 3, 3, 3))
    for group in (symmetric(3), tetrahedral()):
        with pytest.raises(ValueError, match="point group of the plane"):
            act_on_image(group, 0, torch.zeros(3, 3))

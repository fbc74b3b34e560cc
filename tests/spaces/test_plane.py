import pytest
import torch

from armillary.spaces import ImageGrid


def test_points_run_right_and_up_from_the_middle() -> None:
    points = ImageGrid(3, 4).points
    assert points.shape == (3, 4, 2)
    assert points[0, 0].tolist() == [-1.5, 1.0]
    assert points[2, 3].tolist() == [1.5, -1.0]
    assert points.mean((0, 1)).tolist() == [0.0, 0.0]


def test_a_quarter_turn_of_the_points_is_rot90_of_the_image() -> None:
    """(R f)(p) = f(R⁻¹ p) with R counter-clockwise: what torch.rot90 does to rows and columns."""
    grid = ImageGrid(5, 5)
    x, y = grid.points.unbind(-1)
    turned_back = torch.stack([y, -x], dim=-1)  # R⁻¹ p

    def image(points: torch.Tensor) -> torch.Tensor:
        return points[..., 0] + 10 * points[..., 1]

    torch.testing.assert_close(image(turned_back), torch.rot90(image(grid.points), 1, (0, 1)))


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_bad_sizes(size: object) -> None:
    with pytest.raises(ValueError, match="wanted an integer >= 1"):
        ImageGrid(size, 3)  # type: ignore[arg-type]


def test_a_field_elsewhere_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4\).*wants \(..., 4, 4\)"):
        ImageGrid(4, 4).check_field(torch.zeros(2, 3, 4))

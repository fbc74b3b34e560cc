"""The recipe of warped convolutions at its smallest scale, and its images against the poses they are said to have."""

import itertools
import json
import math

import pytest
import torch
from torch import Tensor

from armillary.recipes.report import Row
from armillary.recipes.warped import CONNECTED, PLANAR, SCALES, WARPED, _judge, _networks, _parameters, reproduce
from armillary.recipes.warped_data import (
    TASKS,
    draw_samples,
    load_pictures,
    pitch_yaw,
    render,
    rotation_scale,
    scale_aspect,
    source_of,
)


@pytest.fixture(autouse=True)
def _without_real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.node.get_closest_marker("data"):
        monkeypatch.delenv("ARMILLARY_DATA", raising=False)


def test_tiny_scale_writes_a_complete_result_and_resumes(tmp_path):
    result = reproduce("tiny", tmp_path, seeds=1)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["system"] == "warped"
    assert len(result["rows"]) == 18
    assert len(result["checks"]) == 6
    assert result["holds"] == all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert "| claim |" in (tmp_path / "report.md").read_text()
    again = reproduce("tiny", tmp_path, seeds=1)  # trainings are done: read back, not repeated
    assert [row["mean"] for row in result["rows"]] == [row["mean"] for row in again["rows"]]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", None, 1)
    with pytest.raises(ValueError, match="seeds"):
        reproduce("tiny", None, 0)
    with pytest.raises(ValueError, match=r"wanted at most the \d+ pictures"):
        draw_samples(rotation_scale(16, 16), 2000, "test", 0)


@pytest.mark.parametrize("make", TASKS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_three_networks_have_one_size(make, scale):
    size = SCALES[scale]
    task = make(size.size, size.cells)
    counts = [_parameters(network()) for network in _networks(task, size, 1).values()]
    if scale != "tiny":  # four channels leave no choice there
        assert max(counts) < 1.05 * min(counts), counts


def blob(side: int = 24) -> Tensor:
    """A smooth spot off the middle of a picture."""
    axis = torch.linspace(-1, 1, side)
    return torch.exp(-20 * ((axis[None, :] - 0.3) ** 2 + (axis[:, None] + 0.2) ** 2))[None, None]


def test_a_quarter_turn_of_the_pose_is_one_of_the_image():
    task = rotation_scale(33, 16)
    upright, turned = render(task, blob().expand(2, -1, -1, -1), torch.tensor([[0.0, -0.2], [math.pi / 2, -0.2]]))
    torch.testing.assert_close(turned, torch.rot90(upright, 1, (-2, -1)), atol=1e-5, rtol=0)


def centre(image: Tensor, points: Tensor) -> Tensor:
    return (image[..., None] * points).sum((-3, -2)) / image.sum()


@pytest.mark.parametrize("make", [rotation_scale, scale_aspect])
def test_the_spot_is_where_the_transform_takes_it(make):
    task = make(49, 16)
    neutral, u = torch.tensor([-0.1, -0.5]), torch.tensor([-0.4, -0.1])
    images = render(task, blob().expand(2, -1, -1, -1), torch.stack([neutral, u]))[:, 0].double()
    before, after = (centre(image, task.grid.points) for image in images)
    moved = task.warp.transform(u - neutral, task.grid)(before)
    torch.testing.assert_close(after, moved, atol=0.05, rtol=0)
    assert (after - before).norm() > 2


def test_pitch_and_yaw_turn_the_sphere_rigidly():
    """Where a place of the picture is seen, from matrices: pitch about the horizontal first, then yaw."""
    task = pitch_yaw(48, 16)
    sphere, reach = task.warp, math.radians(35)
    for pitch, yaw, x, y in ((0.4, -0.3, 0.5, -0.7), (-0.2, 0.5, 0.0, 0.0), (0.5, 0.5, -0.9, 0.3)):
        latitude, longitude = y * reach, x * reach
        ring = math.cos(latitude)
        point = [ring * math.sin(longitude), math.sin(latitude), ring * math.cos(longitude)]
        (a, b), (c, d) = ((math.cos(t), math.sin(t)) for t in (pitch, yaw))
        lift = torch.tensor([[1, 0, 0], [0, a, b], [0, -b, a]], dtype=torch.float64)
        turn = torch.tensor([[c, 0, d], [0, 1, 0], [-d, 0, c]], dtype=torch.float64)
        seen = turn @ lift @ torch.tensor(point, dtype=torch.float64)
        pixel = sphere.focal * seen[:2] / (sphere.distance - seen[2])
        found = task.place(torch.tensor([[[[pitch, yaw]]]], dtype=torch.float64), pixel[None, None])
        torch.testing.assert_close(found[0, 0, 0], torch.tensor([x, y], dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_warp_of_the_sphere_holds_the_picture_in_every_pose():
    """But for a hundredth, at its corners: else the other networks see a part of it that the warped one does not."""
    task = pitch_yaw(96, 16)
    extent = torch.tensor([task.warp.largest_pitch, task.warp.largest_yaw])
    for pose in itertools.product(*zip(task.low, task.high, strict=True)):
        place = task.place(torch.tensor([[[pose]]], dtype=torch.float64), task.grid.points)[0]
        seen = task.warp.locate(task.grid.points, task.grid)[(place.abs() <= 1).all(-1)]
        assert len(seen) > 100
        assert (seen.abs() < extent).all(-1).double().mean() > 0.98


@pytest.mark.parametrize("make", TASKS)
def test_samples_are_determined_by_the_seed_and_in_range(make):
    task = make(16, 16)
    x, u = draw_samples(task, 20, "train", 1)
    again, _ = draw_samples(task, 20, "train", 1)
    other, _ = draw_samples(task, 20, "train", 2)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    assert x.shape == (20, 1, 16, 16)
    assert x.dtype == u.dtype == torch.float32
    assert (u >= torch.tensor(task.low)).all()
    assert (u <= torch.tensor(task.high)).all()
    assert (x.flatten(1).amax(1) > 0.3).all(), "a picture is out of the image"


def test_built_in_pictures_are_split():
    train, test = load_pictures("digits", "train"), load_pictures("photographs", "test")
    assert train.dtype == torch.uint8
    assert train.shape[1:] == test.shape[1:] == (1, 8, 8)
    assert len(test) > 200
    assert len(train) + len(test) > 700
    assert len({p.numpy().tobytes() for p in train} & {p.numpy().tobytes() for p in test}) == 0
    assert "scikit-learn" in source_of("photographs")


@pytest.mark.data
def test_real_pictures(data_dir):
    assert load_pictures("digits", "test").shape[1:] == (1, 28, 28)
    assert load_pictures("photographs", "test").shape == (3000, 3, 32, 32)
    assert [source_of(kind) for kind in ("digits", "photographs")] == [
        "MNIST digits 3, 4, 6 and 7",
        "CIFAR-10 photographs",
    ]


def test_a_claim_needs_the_warp_below_both():
    task = rotation_scale(16, 16)
    rows = [
        Row(name, f"{task.name}: {what}", mean)
        for name, means in ((WARPED, (1.0, 2.0)), (PLANAR, (2.0, 1.5)), (CONNECTED, (1.5, 3.0)))
        for (what, _), mean in zip(task.report, means, strict=True)
    ]
    assert [check.holds for check in _judge(task, rows)] == [True, False]

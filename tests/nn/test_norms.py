import os
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from armillary.harmonics import random_field, random_rotation, rotate
from armillary.nn import SphereBatchNorm, SphereGroupNorm, SphereInstanceNorm, SphereLayerNorm
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid

SPACES = [
    Equiangular(12),
    Equiangular(13, 25, poles=True),
    GaussLegendre(11, 23),
    OrientedGrid(GaussLegendre(10), 5),
    OrientedGrid(Equiangular(12), 4),
]
NORMS = [
    lambda space, **kwargs: SphereBatchNorm(4, space, **kwargs),
    lambda space, **kwargs: SphereInstanceNorm(4, space, **kwargs),
    lambda space, **kwargs: SphereLayerNorm(4, space, **kwargs),
    lambda space, **kwargs: SphereGroupNorm(2, 4, space, **kwargs),
]


def randomised(norm):
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.randn_like(p))
    return norm


def direct(x, space, groups_of_samples_and_channels, eps=1e-5):
    """The readable twin: normalise each listed (samples, channels) block by the quadrature over the whole space."""
    w = space.quadrature / space.quadrature.sum()
    y = torch.empty_like(x)
    for samples, channels in groups_of_samples_and_channels:
        block = x[samples][:, channels]
        n = block.shape[0] * block.shape[1]
        mean = (block * w).sum() / n
        var = ((block - mean) ** 2 * w).sum() / n
        y[samples, channels] = (block - mean) / (var + eps).sqrt()
    return y


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_each_norm_equals_the_direct_quadrature(space):
    x = torch.randn(3, 4, *space.shape, dtype=torch.float64) * 3 + 1
    b, c = slice(0, 3), slice(0, 4)
    one = [slice(i, i + 1) for i in range(4)]
    blocks = [
        [(b, one[k]) for k in range(4)],
        [(one[i], one[k]) for i in range(3) for k in range(4)],
        [(one[i], c) for i in range(3)],
        [(one[i], half) for i in range(3) for half in (slice(0, 2), slice(2, 4))],
    ]
    for build, wanted in zip(NORMS, blocks, strict=True):
        torch.testing.assert_close(build(space)(x), direct(x, space, wanted), rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("build", NORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_norms_commute_with_exact_rotations(space, build, dtype, tolerance):
    generator = torch.Generator().manual_seed(3)
    # Squares of degree 2l are integrated exactly by Gauss-Legendre up to 2n - 1, by equiangular grids up to n - 1.
    lmax = space.lmax if "GaussLegendre" in str(space) else space.lmax // 2
    x = 2 + random_field(space, lmax, (2, 4), generator)
    R = random_rotation(generator)
    norm = randomised(build(space))
    turned = norm(rotate(x, space, R).to(dtype)).double()
    wanted = rotate(norm(x.to(dtype)).double(), space, R)
    assert (turned - wanted).norm() <= tolerance * wanted.norm()


def test_a_mean_over_pixels_does_not_commute():
    grid = Equiangular(16)
    generator = torch.Generator().manual_seed(0)
    x = random_field(grid, 7, (2, 4), generator)
    R = random_rotation(generator)
    errors = []
    for norm in (nn.BatchNorm2d(4).double(), SphereBatchNorm(4, grid)):
        wanted = rotate(norm(x), grid, R)
        errors.append(((norm(rotate(x, grid, R)) - wanted).norm() / wanted.norm()).item())
    assert errors[0] > 1e-2
    assert errors[1] < 1e-12


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_batch_norm_equals_torch_where_weights_are_equal(momentum):
    grid = Equiangular(2, 7)
    ours = randomised(SphereBatchNorm(5, grid, momentum=momentum))
    theirs = nn.BatchNorm2d(5, momentum=momentum)
    theirs.load_state_dict(ours.state_dict())
    n = 3 * 2 * 7
    for _ in range(3):
        x = torch.randn(3, 5, 2, 7) * 4 - 1
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    assert ours.num_batches_tracked == 3
    # torch keeps n/(n-1) times the population variance; take that factor out of its moving average
    start = 0.0 if momentum is None else (1 - momentum) ** 3
    torch.testing.assert_close(ours.running_var - start, (theirs.running_var - start) * (n - 1) / n)
    ours.eval(), theirs.eval()
    theirs.running_var.copy_(ours.running_var)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_batch_norm_without_running_statistics_uses_the_batch_in_evaluation():
    grid = GaussLegendre(5)
    norm = SphereBatchNorm(2, grid, track_running_stats=False)
    x = torch.randn(2, 2, *grid.shape)
    torch.testing.assert_close(norm.eval()(x), norm.train()(x))
    assert set(norm.state_dict()) == {"weight", "bias"}
    assert set(SphereBatchNorm(2, grid).state_dict()) == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_evaluation_does_not_touch_the_statistics():
    grid = GaussLegendre(5)
    norm = SphereBatchNorm(2, grid)
    norm(torch.randn(2, 2, *grid.shape))
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    norm.eval()(torch.randn(2, 2, *grid.shape) + 5)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_large_offset_does_not_spoil_the_variance():
    grid = GaussLegendre(16)
    x = torch.randn(2, 1, *grid.shape, dtype=torch.float64)
    want = SphereInstanceNorm(1, grid)(x)
    got = SphereInstanceNorm(1, grid)((x + 1e4).float()).double()  # 1e4² has no digits left for a variance of 1
    assert (got - want).abs().max() < 2e-2


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from(["gauss", "equi", "so3"]),
)
def test_any_shape_and_memory_layout(nlat, nlon, batch, channels, kind):
    space = {
        "gauss": lambda: GaussLegendre(nlat, nlon),
        "equi": lambda: Equiangular(nlat, nlon),
        "so3": lambda: OrientedGrid(GaussLegendre(nlat, nlon), 3),
    }[kind]()
    for norm in (
        SphereBatchNorm(channels, space),
        SphereInstanceNorm(channels, space),
        SphereLayerNorm(channels, space),
        SphereGroupNorm(channels, channels, space),
    ):
        x = torch.randn(batch, channels, *space.shape, dtype=torch.float64)
        y = norm(x)
        assert y.shape == x.shape
        strided = x.transpose(-1, -2).contiguous().transpose(-1, -2)
        torch.testing.assert_close(norm(strided), y, rtol=0, atol=1e-12)


def test_gradients():
    space = OrientedGrid(GaussLegendre(3, 4), 2)
    x = torch.randn(2, 4, *space.shape, dtype=torch.float64, requires_grad=True)
    for build in NORMS:
        assert torch.autograd.gradcheck(randomised(build(space)).double(), x)


def test_half_precision_keeps_its_dtype_and_sums_in_float32():
    grid = Equiangular(64)
    x = torch.randn(1, 4, *grid.shape) + 8
    for build in NORMS:
        y = build(grid)(x.bfloat16())
        assert y.dtype == torch.bfloat16
        assert (y.float() - build(grid)(x.bfloat16().float())).abs().max() < 0.02


@pytest.mark.parametrize("build", NORMS)
def test_compiles_without_graph_breaks(build):
    space = GaussLegendre(5)
    norm = build(space)
    x = torch.randn(2, 4, *space.shape)
    torch.testing.assert_close(torch.compile(norm, fullgraph=True, backend="eager")(x), norm(x))


def test_errors_say_what_came_and_what_was_wanted():
    grid = Equiangular(4)
    norm = SphereBatchNorm(3, grid)
    with pytest.raises(ValueError, match=r"5 channels in dim 1, SphereBatchNorm was built for 3: pass channels=5"):
        norm(torch.randn(2, 5, 4, 8))
    with pytest.raises(ValueError, match="SphereBatchNorm wants"):
        norm(torch.randn(2, 3, 8, 4))
    with pytest.raises(ValueError, match="unsqueeze"):
        norm(torch.randn(3, 4, 8))
    with pytest.raises(ValueError, match="orientation axis"):
        SphereLayerNorm(3, OrientedGrid(grid, 5))(torch.randn(2, 3, 4, 8))
    with pytest.raises(ValueError, match="divisor of 3"):
        SphereGroupNorm(2, 3, grid)
    with pytest.raises(ValueError, match="channels = 0"):
        SphereInstanceNorm(0, grid)
    with pytest.raises(TypeError, match="SphereGrid or an OrientedGrid"):
        SphereBatchNorm(3, "equiangular")


WORKER = """
    import sys
    import torch
    from armillary.nn import SphereBatchNorm
    from armillary.spaces import Equiangular

    rank, folder = int(sys.argv[1]), sys.argv[2]
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    data = torch.load(f"{folder}/data.pt", weights_only=True)
    norm = SphereBatchNorm(3, Equiangular(6)).double()
    norm.load_state_dict(data["state"])
    part = slice(0, 1) if rank == 0 else slice(1, 4)
    x = data["x"][part].requires_grad_()
    (norm(x) * data["cotangent"][part]).sum().backward()
    for p in norm.parameters():
        torch.distributed.all_reduce(p.grad)
    torch.save({"x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad, **norm.state_dict(prefix="state.")},
               f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()
"""


def test_two_processes_give_the_gradients_of_one(tmp_path):
    norm = randomised(SphereBatchNorm(3, Equiangular(6))).double()
    x = torch.randn(4, 3, 6, 12, dtype=torch.float64) * torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1, 1) + 1
    cotangent = torch.randn_like(x)
    torch.save({"x": x, "cotangent": cotangent, "state": norm.state_dict()}, tmp_path / "data.pt")
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    workers = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(tmp_path)], env=environment) for rank in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]  # sizes 1 and 3
    x.requires_grad_()
    (norm(x) * cotangent).sum().backward()
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    torch.testing.assert_close(torch.cat([r["x"] for r in results]), x.grad, rtol=1e-10, atol=1e-12)
    for result in results:
        torch.testing.assert_close(result["weight"], norm.weight.grad, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(result["bias"], norm.bias.grad, rtol=1e-10, atol=1e-12)
        for name, value in norm.state_dict(prefix="state.").items():
            torch.testing.assert_close(result[name], value, rtol=1e-10, atol=1e-12)

"""The DISCO contraction on the CPU, compiled at first use by numba.

Layout: a field is (nlat, stride, 2·T, N) with N = batch · channels innermost and longitude p = u·stride + s stored at
[s, u], twice in a row so that nothing wraps. An entry of a stencil then multiplies, for all outputs t of a latitude at
once, one contiguous run of T·N numbers, whatever the stride: long loops that the compiler vectorises. Runs are cut into
tiles that stay in the first-level cache with all K results.

The arithmetic and the arguments are those of ``ops.disco``, against whose reference this file is tested. Results do not
depend on the timing of threads; the sums of the input gradient depend on their number, by rounding only.

Shape legend: J latitudes of a chunk, P phases, K basis functions, T repeats, N = batch · channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numba
import numpy as np
import torch
from torch import Tensor

_CHUNK_BYTES = 8 * 2**20
_UNROLL = 4
_TILE = 1536

T = TypeVar("T")
_jit = numba.njit(nogil=True, fastmath={"contract", "reassoc"}, cache=True)


@_jit
def _entries(kernel, phase, column, stride, repeats):  # type: ignore[no-untyped-def]
    """The non-zero entries of one phase of a block (P, K, R, W), padded with zeros to a multiple of the unrolling.

    Returns their ring, residue s and position u of longitude, and values (entries, K padded with zeros).
    """
    _, n_functions, rings, width = kernel.shape
    nlon = stride * repeats
    most = rings * width + _UNROLL
    ring, residue, position = np.zeros(most, np.int64), np.zeros(most, np.int64), np.zeros(most, np.int64)
    values = np.zeros((most, (n_functions + _UNROLL - 1) // _UNROLL * _UNROLL), kernel.dtype)
    count = 0
    for i in range(rings):
        for p in range(width):
            any_value = False
            for k in range(n_functions):
                any_value |= kernel[phase, k, i, p] != 0
            if any_value:
                values[count, :n_functions] = kernel[phase, :, i, p]
                longitude = (column + p) % nlon
                ring[count], residue[count], position[count] = i, longitude % stride, longitude // stride
                count += 1
    padded = (count + _UNROLL - 1) // _UNROLL * _UNROLL
    return ring[:padded], residue[:padded], position[:padded], values[:padded]


@_jit
def _correlate(x, kernel, first_ring, column, z, index):  # type: ignore[no-untyped-def]
    """z[k, r, t, n] = Σ_{i,p} kernel[r, k, i, p] x[first_ring + i, (column + p) + t·stride, n]; z[:, index] of (K,
    J, P, T·N)."""
    phases, n_functions = kernel.shape[:2]
    stride, twice, n_values = x.shape[1:]
    repeats = twice // 2
    for phase in range(phases):
        ring, residue, position, values = _entries(kernel, phase, column, stride, repeats)
        for start in range(0, repeats * n_values, _TILE):
            stop = min(start + _TILE, repeats * n_values)
            z[:, index, phase, start:stop] = 0
            for e in range(0, len(ring), _UNROLL):
                x0 = x[first_ring + ring[e], residue[e]].ravel()[position[e] * n_values + start :]
                x1 = x[first_ring + ring[e + 1], residue[e + 1]].ravel()[position[e + 1] * n_values + start :]
                x2 = x[first_ring + ring[e + 2], residue[e + 2]].ravel()[position[e + 2] * n_values + start :]
                x3 = x[first_ring + ring[e + 3], residue[e + 3]].ravel()[position[e + 3] * n_values + start :]
                for k in range(n_functions):
                    a, b, c, d = values[e, k], values[e + 1, k], values[e + 2, k], values[e + 3, k]
                    out = z[k, index, phase, start:stop]
                    for n in range(stop - start):
                        out[n] += a * x0[n] + b * x1[n] + c * x2[n] + d * x3[n]


@_jit
def _scatter(z, index, kernel, first_ring, column, x):  # type: ignore[no-untyped-def]
    """The adjoint of ``_correlate``: adds to x. z (K padded to a multiple of the unrolling, J, P, T·N)."""
    phases = kernel.shape[0]
    stride, twice, n_values = x.shape[1:]
    repeats = twice // 2
    for phase in range(phases):
        ring, residue, position, values = _entries(kernel, phase, column, stride, repeats)
        for start in range(0, repeats * n_values, _TILE):
            stop = min(start + _TILE, repeats * n_values)
            for e in range(len(ring)):
                out = x[first_ring + ring[e], residue[e]].ravel()[position[e] * n_values + start :]
                for k in range(0, z.shape[0], _UNROLL):
                    a, b, c, d = values[e, k], values[e, k + 1], values[e, k + 2], values[e, k + 3]
                    z0, z1 = z[k, index, phase, start:stop], z[k + 1, index, phase, start:stop]
                    z2, z3 = z[k + 2, index, phase, start:stop], z[k + 3, index, phase, start:stop]
                    for n in range(stop - start):
                        out[n] += a * z0[n] + b * z1[n] + c * z2[n] + d * z3[n]


class _Plan:
    """The blocks of a stencil as numpy views, and the loops over them."""

    def __init__(self, values: Tensor, blocks: Tensor, n_functions: int, nlon_in: int, nlon_out: int) -> None:
        self.repeats = math.gcd(nlon_in, nlon_out)
        self.phases, self.stride = nlon_out // self.repeats, nlon_in // self.repeats
        self.n_functions = n_functions
        flat = values.detach().numpy()
        self.blocks = []
        for ring, rings, column, width, offset in blocks.tolist():
            size = self.phases * n_functions * rings * width
            kernel = flat[offset : offset + size].reshape(self.phases, n_functions, rings, width)
            self.blocks.append((kernel, ring, rings, column))

    def chunks(self, n_values: int, itemsize: int) -> Iterator[range]:
        """Runs of latitudes whose intermediate fits the cache."""
        step = max(1, _CHUNK_BYTES // (self.phases * self.repeats * self.n_functions * n_values * itemsize))
        for start in range(0, len(self.blocks), step):
            yield range(start, min(start + step, len(self.blocks)))

    def spread(self, x: Tensor) -> np.ndarray:
        """(B, C, H, W) → (H, stride, 2T, N), the layout at the top of this file."""
        batch, channels, nlat, _ = x.shape
        out = x.new_empty(nlat, self.stride, 2, self.repeats, batch * channels)
        field = x.detach().permute(2, 3, 0, 1).flatten(2).unflatten(1, (self.repeats, self.stride)).transpose(1, 2)
        out[:, :, 0] = field
        out[:, :, 1] = out[:, :, 0]
        return out.flatten(2, 3).numpy()

    def gather_back(self, spread: Tensor, batch: int) -> Tensor:
        """The adjoint of ``spread``: (H, stride, 2T, N) → (B, C, H, W)."""
        halves = spread.unflatten(2, (2, self.repeats))
        field = (halves[:, :, 0] + halves[:, :, 1]).transpose(1, 2).flatten(1, 2)
        return field.unflatten(2, (batch, -1)).permute(2, 3, 0, 1).contiguous()

    def correlate(self, x: np.ndarray, latitudes: range) -> Tensor:
        """(K, J, P·T·N)."""
        n_values = x.shape[3]
        z = np.empty((self.n_functions, len(latitudes), self.phases, self.repeats * n_values), x.dtype)

        def one(index: int) -> None:
            kernel, ring, _, column = self.blocks[latitudes[index]]
            _correlate(x, kernel, ring, column, z, index)

        _run([partial(one, index) for index in range(len(latitudes))])
        return torch.from_numpy(z).flatten(2)

    def scatter(self, z: np.ndarray, latitudes: range, x: np.ndarray) -> None:
        """Add the adjoint of z (K', J, P, T·N) to x. Each thread has its own latitudes, and rings of its own to add
        to."""
        cuts = np.linspace(0, len(latitudes), min(torch.get_num_threads(), len(latitudes)) + 1).astype(int)
        parts = [latitudes[a:b] for a, b in pairwise(cuts)]

        def part(own: range) -> tuple[int, np.ndarray]:
            first = min(self.blocks[j][1] for j in own)
            last = max(self.blocks[j][1] + self.blocks[j][2] for j in own)
            rows = np.zeros((last - first, *x.shape[1:]), x.dtype)
            for j in own:
                kernel, ring, _, column = self.blocks[j]
                _scatter(z, j - latitudes.start, kernel, ring - first, column, rows)
            return first, rows

        for first, rows in _run([partial(part, own) for own in parts]):
            x[first : first + len(rows)] += rows


def _run(jobs: list[Callable[[], T]]) -> list[T]:
    """Run the jobs on as many threads as torch uses; the kernels release the interpreter lock."""
    threads = min(torch.get_num_threads(), len(jobs))
    if threads <= 1:
        return [job() for job in jobs]
    with ThreadPoolExecutor(threads) as pool:
        return [done.result() for done in [pool.submit(job) for job in jobs]]


def _mixing(weight: Tensor, groups: int) -> Tensor:
    """(O, C/G, K) → (K, G, C/G, O/G)."""
    return weight.detach().unflatten(0, (groups, -1)).permute(3, 0, 2, 1).contiguous()


def _grad_rows(grad: Tensor, latitudes: range, groups: int, phases: int) -> Tensor:
    """(B, O, J, Q) → (G, J·P·T·B, O/G) for some latitudes."""
    rows = grad.detach()[:, :, latitudes.start : latitudes.stop]
    rows = rows.unflatten(3, (-1, phases)).unflatten(1, (groups, -1))
    return rows.permute(1, 3, 5, 4, 0, 2).flatten(1, 4).contiguous()


def disco_cpu(x: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlon_out: int, groups: int) -> Tensor:
    """``ops.disco.disco`` on the CPU."""
    batch, channels, _, nlon_in = x.shape
    plan = _Plan(values, blocks, weight.shape[2], nlon_in, nlon_out)
    field, mixing = plan.spread(x), _mixing(weight, groups)
    y = x.new_empty(batch, groups, weight.shape[0] // groups, len(blocks), plan.repeats, plan.phases)
    for latitudes in plan.chunks(batch * channels, x.itemsize):
        z = plan.correlate(field, latitudes).view(plan.n_functions, -1, groups, channels // groups)
        for group in range(groups):
            rows = z[0, :, group] @ mixing[0, group]
            for k in range(1, plan.n_functions):
                rows.addmm_(z[k, :, group], mixing[k, group])
            rows = rows.view(len(latitudes), plan.phases, plan.repeats, batch, -1)
            y[:, group, :, latitudes.start : latitudes.stop] = rows.permute(3, 4, 0, 2, 1)
    return y.view(batch, weight.shape[0], len(blocks), nlon_out)


def disco_grad_input_cpu(
    grad: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlat_in: int, nlon_in: int, groups: int
) -> Tensor:
    """``ops.disco.disco_grad_input`` on the CPU."""
    batch, _, _, nlon_out = grad.shape
    inner, n_functions = weight.shape[1:]
    plan = _Plan(values, blocks, n_functions, nlon_in, nlon_out)
    mixing = _mixing(weight, groups).mT
    n_values = batch * groups * inner
    gx = grad.new_zeros(nlat_in, plan.stride, 2 * plan.repeats, n_values).numpy()
    padded = (n_functions + _UNROLL - 1) // _UNROLL * _UNROLL
    for latitudes in plan.chunks(n_values, gx.itemsize):
        gy = _grad_rows(grad, latitudes, groups, plan.phases)
        gz = grad.new_empty(padded, gy.shape[1], groups, inner)
        for group in range(groups):
            for k in range(n_functions):
                gz[k, :, group] = gy[group] @ mixing[k, group]
        gz[n_functions:] = 0
        plan.scatter(gz.view(padded, len(latitudes), plan.phases, -1).numpy(), latitudes, gx)
    return plan.gather_back(torch.from_numpy(gx), batch)


def disco_grad_weight_cpu(
    x: Tensor, grad: Tensor, values: Tensor, blocks: Tensor, n_functions: int, groups: int
) -> Tensor:
    """``ops.disco.disco_grad_weight`` on the CPU."""
    batch, channels, _, nlon_in = x.shape
    plan = _Plan(values, blocks, n_functions, nlon_in, grad.shape[3])
    field = plan.spread(x)
    gw = x.new_zeros(n_functions, groups, channels // groups, grad.shape[1] // groups)
    for latitudes in plan.chunks(batch * channels, x.itemsize):
        z = plan.correlate(field, latitudes).view(n_functions, -1, groups, channels // groups)
        gy = _grad_rows(grad, latitudes, groups, plan.phases)
        for group in range(groups):
            for k in range(n_functions):
                gw[k, group].addmm_(z[k, :, group].mT, gy[group])
    return gw.permute(1, 3, 2, 0).reshape(grad.shape[1], channels // groups, n_functions).contiguous()

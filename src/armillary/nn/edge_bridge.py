"""Between the matrices of ``EdgeLinear``, one for each order, and those of a tensor product, one for each path.

For streams of degrees l1 and l3 the paths l2 = |l1 - l3|, … of one parity are as many as the orders m that they couple,
and the numbers c_m of the paths (``ops.edge_paths``) make an invertible square matrix:

    W_m = ± Σ_{l2} c_m^{l2} W^{l2},

the sign that of the pairs (a, b) of irreps that are not natural (``EdgeRotation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from armillary.nn.edge_linear import EdgeLinear
from armillary.ops.edge_paths import EdgePaths

Path = tuple[int, int, int]


def linear_paths(layer: EdgeLinear) -> list[Path]:
    """The paths (stream in, l2, stream out) of the tensor product that an EdgeLinear of all orders is."""
    return [path for paths, _, _, _ in _pairs(layer) for path in paths]


def path_weights(layer: EdgeLinear) -> dict[Path, Tensor]:
    """The matrix (channels out, channels in), float64 on the CPU, of each path (stream in, l2, stream out).

    The layer is then ``Σ_paths W C(x ⊗ S)`` with the conventions of ``EdgeProduct``. Orders above ``mmax`` count as
    zero matrices. Raises: ValueError for a layer without reflections, which mixes paths of both parities.
    Pinned by ``tests/nn/test_edge_linear.py``.
    """
    found: dict[Path, Tensor] = {}
    for paths, coefficients, sign, blocks in _pairs(layer):
        own = torch.stack(
            [torch.zeros(blocks[0][1]).double() if b is None else b.detach().double().cpu() for b, _ in blocks]
        )
        solved = torch.linalg.solve(sign * coefficients, own.flatten(1)).view_as(own)
        found |= dict(zip(paths, solved.unbind(0), strict=True))
    return found


def load_path_weights(layer: EdgeLinear, weights: Mapping[Path, Tensor]) -> None:
    """Give an EdgeLinear of all orders the matrices of a tensor product; paths that are left out count as zero.

    Raises: ValueError for a path that the layer has not, a matrix of another shape, a layer without reflections, or
    one that leaves orders out.
    """
    unknown = set(weights) - set(linear_paths(layer))
    if unknown:
        raise ValueError(f"got paths {sorted(unknown)}, which {layer.irreps_in} → {layer.irreps_out} does not have.")
    if layer.mmax < min(layer.irreps_in.lmax, layer.irreps_out.lmax):
        raise ValueError(f"got an EdgeLinear with mmax = {layer.mmax}, wanted all orders: leave mmax out.")
    for paths, coefficients, sign, blocks in _pairs(layer):
        shape = blocks[0][1]
        given = [weights.get(path, torch.zeros(shape)).double().cpu() for path in paths]
        for path, matrix in zip(paths, given, strict=True):
            if tuple(matrix.shape) != shape:
                raise ValueError(f"the weight of path {path} has shape {tuple(matrix.shape)}, wanted {shape}.")
        made = torch.einsum("mp,poi->moi", sign * coefficients, torch.stack(given))
        for (block, _), matrix in zip(blocks, made, strict=True):
            assert block is not None
            with torch.no_grad():
                block.copy_(matrix)


def _pairs(
    layer: EdgeLinear,
) -> Iterator[tuple[list[Path], Tensor, float, list[tuple[Tensor | None, tuple[int, int]]]]]:
    """Of each pair of streams: its paths, c (orders, paths), the sign, and the block of each order with its shape."""
    if not layer.reflections:
        raise ValueError("got an EdgeLinear with reflections=False, wanted one that is a tensor product of O(3).")
    start, end = layer.start, layer.end
    for o, (n_out, end_irrep) in enumerate(layer.irreps_out):
        for i, (n, irrep) in enumerate(layer.irreps_in):
            l1, l3 = irrep.l, end_irrep.l
            odd = start.natural[i] != end.natural[o]
            first = 1 if odd else 0
            degrees = range(abs(l1 - l3) + first, l1 + l3 + 1, 2)
            if not degrees:
                continue
            plan = EdgePaths((l1,), (l3,), tuple((0, l2, 0) for l2 in degrees))
            coefficients = torch.tensor(plan.pairs[0].coefficients, dtype=torch.float64).mT[first:]
            blocks = [(_block(layer, m, i, o), (n_out, n)) for m in range(first, min(l1, l3) + 1)]
            yield [(i, l2, o) for l2 in degrees], coefficients, -1.0 if odd and end.natural[o] else 1.0, blocks


def _block(layer: EdgeLinear, m: int, i: int, o: int) -> Tensor | None:
    """What of W_m leads from stream i to stream o, (channels out, channels in); None above mmax."""
    if m > layer.mmax:
        return None
    columns, rows = dict(layer.start.places[m])[i], dict(layer.end.places[m])[o]
    if m == 0 and not layer.start.natural[i]:
        before = (layer.end.counts[0] - layer.end.others, layer.start.counts[0] - layer.start.others)
        rows, columns = (slice(s.start - b, s.stop - b) for s, b in zip((rows, columns), before, strict=True))
        others = layer.map.others
        assert others is not None  # a channel at each end
        return others[columns, rows].mT
    return layer.map.weights[m][columns, rows].mT

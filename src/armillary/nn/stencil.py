"""Stencils of DISCO layers: a continuous filter basis on a pair of grids, as the numbers that ``ops.disco`` contracts.

Each basis function is normalised by its continuous integral, ``∫ |ψ_k| dω = 1`` over the cap, and, with matched
moments, integrates every local polynomial of degree ≤ p as the continuous filter does. A layer is therefore the
continuous convolution, whatever the grid: its weights may be moved between resolutions and kinds of grid unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import product

import torch
from torch import Tensor

from armillary.ops.constants import ConstantModule, cached_constant
from armillary.ops.filters import FilterBasis, SteerableBasis
from armillary.ops.moments import EXTRA_DEGREES, LocalPolynomials, monomials
from armillary.ops.stencils import make_stencil
from armillary.spaces import SphereGrid
from armillary.spaces.neighbours import LongitudePattern, Neighbourhood, neighbourhoods


class Centre(Enum):
    """At which end of the stencil the filter is anchored; the two differ for directional filters only."""

    OUTPUT = "output"  # y(ω) = ∫ x(ω') ψ(R_ω⁻¹ ω') dω': convolution
    INPUT = "input"  # y(ω) = ∫ x(ω') ψ(R_ω'⁻¹ ω) dω': transposed convolution


@dataclass(frozen=True)
class Stencil:
    """What ``ops.disco`` needs, and what a user should know about it.

    ``tensors`` are the six of ``ops.disco``, values (nnz, K) in float64; ``degree`` the highest degree of matched
    moments (-1: none, the filter is only sampled).
    """

    tensors: tuple[Tensor, ...]
    degree: int
    pattern: LongitudePattern

    @property
    def values(self) -> Tensor:
        return self.tensors[0]


class StencilModule(ConstantModule):
    """A module with stencils: values and the five tensors of integers behind them, which several may share."""

    def _register_places(self, name: str, tensors: tuple[Tensor, ...]) -> None:
        for i, tensor in enumerate(tensors[1:]):
            self.register_constant(f"{name}_{i}", tensor)

    def _places(self, name: str, like: Tensor) -> list[Tensor]:
        return [self.constant(f"{name}_{i}", like) for i in range(5)]


@cached_constant(32)
def build_stencils(
    grid_in: SphereGrid,
    grid_out: SphereGrid,
    basis: FilterBasis,
    cutoff: float,
    max_degree: int | None,
    centre: Centre = Centre.OUTPUT,
    turns: tuple[float, ...] = (0.0,),
    spins: tuple[int, ...] = (0,),
) -> dict[tuple[float, int], Stencil]:
    """The stencils of ``basis`` between two grids, turned by each of ``turns`` about its centre, by (turn, spin).

    With ``spin`` = n ≠ 0 each function appears twice, times cos(n t) and sin(n t) with t the angle of parallel
    transport from the input to the output point: that carries the orientation frequency n, or the spin n, of a field
    between their frames. ``max_degree`` None switches the moment correction off.

    Raises: ValueError where a cap holds no input point.
    """
    caps = [_Cap(hood) for hood in neighbourhoods(grid_in, grid_out, cutoff)]
    if any(cap.empty for cap in caps):
        raise ValueError(
            f"cutoff = {cutoff:.4g} rad is too small: some point of {grid_out} has no point of {grid_in} within it. "
            f"Wanted at least {grid_in.ring_spacing:.4g} rad (one ring of the input grid)."
        )
    degree = -1
    if max_degree is not None:
        for cap in caps:
            cap.factor(cutoff, max_degree)
        degree = next(d for d in range(max_degree, -1, -1) if all(cap.supports(d) for cap in caps))
    norms = basis.norms(cutoff)
    moments = partial(_moments, basis, cutoff, centre, degree=degree + EXTRA_DEGREES)
    targets_move = centre is Centre.INPUT and not basis.axisymmetric
    parts: dict[tuple[float, int], list[Tensor]] = {key: [] for key in product(turns, spins)}
    for turn in turns:
        shared = moments(turn, 0.0)
        for theta, cap in zip(grid_out.colatitudes.tolist(), caps, strict=True):
            values = cap.sample(basis, cutoff, centre, turn)
            if degree >= 0:
                cap.correct(values, moments(turn, theta) if targets_move else shared, degree)
            values /= norms
            for spin in spins:
                parts[turn, spin].append(cap.spun(values, spin))
    pattern = LongitudePattern(grid_in.nlon, grid_out.nlon)
    entries = torch.cat([cap.entries for cap in caps])
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat([cap.counts for cap in caps]).cumsum(0)])
    _, *others = make_stencil(torch.empty(0), entries, starts, grid_in.nlat, grid_in.nlon, grid_out.nlon)
    return {key: Stencil((torch.cat(pieces), *others), degree, pattern) for key, pieces in parts.items()}


def build_stencil(
    grid_in: SphereGrid,
    grid_out: SphereGrid,
    basis: FilterBasis,
    cutoff: float,
    max_degree: int | None,
    centre: Centre = Centre.OUTPUT,
    turn: float = 0.0,
    spin: int = 0,
) -> Stencil:
    """The one stencil of ``build_stencils`` for this turn and spin."""
    return build_stencils(grid_in, grid_out, basis, cutoff, max_degree, centre, (turn,), (spin,))[turn, spin]


@cached_constant(32)
def spin_stencils(
    grid_in: SphereGrid,
    grid_out: SphereGrid,
    basis: SteerableBasis,
    cutoff: float,
    max_degree: int | None,
    pairs: tuple[tuple[int, int], ...],
) -> dict[tuple[int, int], Stencil]:
    """For pairs (s, s') the stencils of the filters ``R_k(ϑ) e^{i(s' - s)ϕ} e^{ist}``, from spin s to spin s'.

    t is the angle of parallel transport. Functions are the real parts of all k, then the imaginary parts; from spin 0
    to spin 0 there are no imaginary parts. Normalised to ``∫ |R_k| dω = 1``. Real parts are even and imaginary parts
    odd in longitude, exactly where the grids allow it.

    Moments are matched before transport, in the tangent plane of the output point: carried there, a smooth field of any
    spin is a polynomial, so that one correction serves all of them.
    """
    spins = tuple(sorted({s for s, _ in pairs}))
    built = build_stencils(grid_in, grid_out, basis, cutoff, max_degree, spins=spins)
    r, azimuth, weight = basis.nodes(cutoff)
    functions, norms = basis.evaluate(r, azimuth), basis.norms(cutoff)
    stencils = {}
    for s, t in pairs:
        stencil, m = built[0.0, s], t - s
        along, across = stencil.values.chunk(2, 1) if s else (stencil.values, torch.zeros_like(stencil.values))
        real, imaginary = [], []
        for cosine, sine in basis.waves(m):
            wave = [(cosine, 1)] if sine is None else [(cosine, 1), (sine, -1 if m < 0 else 1)]
            size = torch.stack([functions[i] for i, _ in wave]).norm(dim=0) @ weight
            gains = [sign * norms[i] / size for i, sign in wave]
            re, im = gains[0] * along[:, cosine], gains[0] * across[:, cosine]
            if sine is not None:
                re, im = re - gains[1] * across[:, sine], im + gains[1] * along[:, sine]
            real.append(re)
            imaginary.append(im)
        values = torch.stack(real if s == t == 0 else real + imaginary, 1)
        parity = torch.ones(values.shape[1], dtype=torch.float64)
        parity[len(real) :] = -1
        sampled = Stencil((values, *stencil.tensors[1:]), stencil.degree, stencil.pattern)
        stencils[s, t] = symmetrised(sampled, parity) or sampled
    return stencils


def with_parity(stencil: Stencil, basis: FilterBasis, cutoff: float) -> tuple[Stencil, Tensor | None]:
    """The stencil for functions that are each exactly even or odd in longitude, and the matrix A (K, K) to them.

    The grids are symmetric under φ → -φ, and most bases are closed under it: ``A ψ`` then has functions of either
    parity, whose entries kernels may take in pairs. A is orthogonal: a weight w for ψ becomes ``w Aᵀ``. The stencil as
    it is, and None, where there is no such symmetry.
    """
    values, pattern = stencil.values, stencil.pattern
    r, azimuth, _ = basis.nodes(cutoff)
    norms = basis.norms(cutoff)[:, None]
    functions, mirrored = basis.evaluate(r, azimuth) / norms, basis.evaluate(r, -azimuth) / norms
    reflection = torch.linalg.lstsq(functions.T, mirrored.T).solution.T
    closed = torch.allclose(reflection @ functions, mirrored, rtol=0, atol=1e-10 * float(functions.abs().max()))
    if pattern.n_phases > 2 or not closed or not torch.allclose(reflection, reflection.T, rtol=0, atol=1e-10):
        return stencil, None
    parity, vectors = torch.linalg.eigh((reflection + reflection.T) / 2)
    if torch.allclose(reflection, torch.diag(reflection.diagonal()), rtol=0, atol=1e-10):
        parity, vectors = reflection.diagonal(), torch.eye(len(reflection), dtype=reflection.dtype)
    rotated = Stencil((values @ vectors, *stencil.tensors[1:]), stencil.degree, pattern)
    even_or_odd = symmetrised(rotated, torch.round(parity))
    return (stencil, None) if even_or_odd is None else (even_or_odd, vectors.T)


def symmetrised(stencil: Stencil, parity: Tensor) -> Stencil | None:
    """The stencil with each function exactly even (1) or odd (-1) in longitude, as ``parity`` (K,) says.

    None where it is not so but for rounding, or has points without a mirror image.
    """
    values, entries, starts = stencil.tensors[:3]
    if stencil.pattern.n_phases > 2:
        return None
    partner = _mirror_images(entries, starts, stencil.pattern)
    if partner is None:
        return None
    image = parity * values[partner]
    if not torch.allclose(values, image, rtol=0, atol=1e-9 * float(values.abs().max())):
        return None
    return Stencil(((values + image) / 2, *stencil.tensors[1:]), stencil.degree, stencil.pattern)


def _mirror_images(entries: Tensor, starts: Tensor, pattern: LongitudePattern) -> Tensor | None:
    """For each entry the one of the same row at the mirrored longitude; None where one has none."""
    row = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    axis = 2 * (row % pattern.n_phases) * pattern.stride // pattern.n_phases
    place = (row * (int(entries[:, 0].max()) + 1) + entries[:, 0]) * pattern.nlon_in
    here, there = place + entries[:, 1] % pattern.nlon_in, place + (axis - entries[:, 1]) % pattern.nlon_in
    order = here.argsort()
    found = torch.searchsorted(here[order], there).clamp(max=len(here) - 1)
    partner = order[found]
    return partner if bool((here[partner] == there).all()) else None


class _Cap:
    """The caps of one output latitude: their points, phase by phase; filters on them; how moments are corrected."""

    def __init__(self, hood: Neighbourhood) -> None:
        inside = hood.inside
        self.angle, self.azimuth, self.transport = hood.angle[inside], hood.azimuth[inside], hood.transport[inside]
        self.weight = hood.weight[inside]
        _, row, column = inside.nonzero(as_tuple=True)
        self.entries = torch.stack([hood.ring + row, hood.column + column], dim=1)
        self.counts = inside.flatten(1).sum(1)
        self.empty = bool((self.counts == 0).any())
        self.polynomials: list[LocalPolynomials] = []

    def _phases(self, values: Tensor) -> tuple[Tensor, ...]:
        return values.split(self.counts.tolist())

    def factor(self, cutoff: float, degree: int) -> None:
        r = self.angle / cutoff
        u, v = r * torch.cos(self.azimuth), r * torch.sin(self.azimuth)
        points = zip(self._phases(u), self._phases(v), self._phases(self.weight), strict=True)
        self.polynomials = [LocalPolynomials(*point, degree) for point in points]

    def supports(self, degree: int) -> bool:
        return all(polynomial.supports(degree) for polynomial in self.polynomials)

    def sample(self, basis: FilterBasis, cutoff: float, centre: Centre, turn: float) -> Tensor:
        """Filters times quadrature, (points, K); a point just outside takes the value at the edge."""
        azimuth = self.azimuth if centre is Centre.OUTPUT else math.pi + self.azimuth - self.transport
        return (basis.evaluate((self.angle / cutoff).clamp(max=1), azimuth - turn) * self.weight).T.contiguous()

    def correct(self, values: Tensor, moments: Tensor, degree: int) -> None:
        """Match the moments of ``values`` (points, K) in place."""
        for own, polynomial in zip(self._phases(values), self.polynomials, strict=True):
            own[:] = polynomial.correct(own.T, moments, degree).T

    def spun(self, values: Tensor, spin: int) -> Tensor:
        """Functions times cos and sin of ``spin`` times the angle of transport; unchanged for spin 0."""
        if spin == 0:
            return values.clone()
        angle = spin * self.transport[:, None]
        return torch.cat([values * torch.cos(angle), values * torch.sin(angle)], dim=1)


@cached_constant(4096)
def _moments(basis: FilterBasis, cutoff: float, centre: Centre, turn: float, theta: float, degree: int) -> Tensor:
    """∫ ψ_k u^a v^b dω of the continuous filters in the tangent coordinates of the output point, (K, monomials).

    ``theta`` is the colatitude of the output point; it matters only for filters anchored at the input.
    """
    r, azimuth, weight = basis.nodes(cutoff)
    if centre is Centre.OUTPUT:
        values = basis.evaluate(r, azimuth)
        azimuth = azimuth + turn
    else:
        seen = azimuth if basis.axisymmetric else math.pi + azimuth - _transport(r * cutoff, azimuth, theta)
        values = basis.evaluate(r, seen - turn)
    return (values * weight) @ monomials(r * torch.cos(azimuth), r * torch.sin(azimuth), degree).T


def _transport(angle: Tensor, azimuth: Tensor, theta: float) -> Tensor:
    """The transport angle to the frame at (θ, 0) from the points at the given distances and directions from it."""
    sin, cos = torch.sin(angle), torch.cos(angle)
    x, y = sin * torch.cos(azimuth), sin * torch.sin(azimuth)
    east, north = y, cos * math.cos(theta) - x * math.sin(theta)
    front = x * math.cos(theta) + cos * math.sin(theta)
    theta_in = torch.atan2(torch.hypot(front, east), north)
    delta = torch.atan2(east, front)
    return 2 * torch.atan2(
        torch.sin(delta / 2) * torch.cos((theta_in + theta) / 2),
        torch.cos(delta / 2) * torch.cos((theta_in - theta) / 2),
    )

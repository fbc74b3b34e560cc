"""Convolution of functions on two sets that a group acts on, from the group's generators alone.

    y_o(x) = Σ_c Σ_D w_ocD n_D^{-1/2} Σ_{z: (x, z) ∈ D} f_c(z) + b_o,     D the orbits of G on pairs, its orbitals.

Source: Kondor & Trivedi 2018, arXiv 1802.03690, theorem 1, where D are the double cosets of two stabilisers; pinned by
``tests/nn/test_orbital.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Literal

import numpy as np

from armillary.groups import Action, Orbitals, SubsetAction
from armillary.groups.orbitals import check_one_group
from armillary.nn.coset_maps import (
    ByInclusion,
    ByMatrix,
    ByRelations,
    CosetMap,
    Way,
    check_channels,
    choose,
    intersections,
)

Path = Literal["matrix", "relations", "inclusion"]


class OrbitalConv(CosetMap):
    """All linear maps (B, in_channels, |Z|) → (B, out_channels, |X|) that commute with a group acting on Z and X.

    ``action_in`` is its action on Z, ``action_out`` that on X, by default the same. It is the layer of
    ``HomogeneousConv``, with H and K the stabilisers of points of Z and X, for groups that are too large to be listed:
    S_n on the k-subsets of n things, rankings, the automorphisms of a graph on its nodes and edges. ``weight``
    (out_channels, in_channels, D) has a number for each orbital, numbered as ``Orbitals.between(X, Z)`` does, and n_D
    points z stand to each x in the orbital D. One bias for each output field.

    The same weights act by one of three paths: ``matrix``, a matrix of (O·|X|) × (C·|Z|) made of them; ``relations``,
    sums over the points in each orbital, then a mixing of channels; ``inclusion``, for S_n on subsets, sums over
    smaller and smaller subsets and back, which needs a few numbers for each point where the others need |X| |Z|.
    ``path=None`` takes the one of least cost, which ``repr`` shows.

    Raises: ValueError for actions of different groups or that are not transitive, a path that these do not have, or x
    of another shape.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        action_in: Action,
        action_out: Action | None = None,
        *,
        bias: bool = True,
        path: Path | None = None,
    ) -> None:
        check_channels(in_channels, out_channels)
        Z, X = action_in, action_in if action_out is None else action_out
        for name, action in (("action_in", Z), ("action_out", X)):
            if not action.is_transitive:
                raise ValueError(
                    f"got {name} = {action} with {int(action.orbit_of.max()) + 1} orbits, wanted one: take each orbit "
                    "as a set of its own, and add the layers between them."
                )
        check_one_group(X, Z)
        subsets = _subsets_of_one_set(X, Z)
        common = 0 if subsets is None else len(intersections(*subsets))
        known = isinstance(X, SubsetAction) and X.is_symmetric and subsets is not None
        found = None if known else Orbitals.between(X, Z)
        count = common if found is None else len(found)

        def pairs() -> Orbitals:
            return Orbitals.between(X, Z) if found is None else found

        sizes = (in_channels, out_channels, X.size, Z.size)
        ways: dict[str, tuple[float, Callable[[], Way]]] = {
            "matrix": (ByMatrix.cost(*sizes), lambda: ByMatrix(pairs())),
            "relations": (ByRelations.cost(*sizes, count), lambda: ByRelations(pairs())),
        }
        if subsets is not None and count == common:  # the orbitals are no finer than the sizes of intersections
            n, k, l = subsets
            cost = ByInclusion.cost(in_channels, out_channels, n, k, l)
            ways["inclusion"] = cost, lambda: ByInclusion(n, k, l)
        chosen, way = choose(path, ways)
        super().__init__(in_channels, out_channels, (Z.size, X.size), count, way, bias)
        self.action_in, self.action_out, self.path = Z, X, chosen

    @cached_property
    def orbitals(self) -> Orbitals:
        return Orbitals.between(self.action_out, self.action_in)

    @property
    def domain(self) -> str:
        return f"functions on the points of {self.action_in}"

    def extra_repr(self) -> str:
        points = f"{self.points_in} → {self.points_out} points"
        return f"{self.in_channels} → {self.out_channels}, {points}, {self.n_orbitals} orbitals, path={self.path}"


def _subsets_of_one_set(X: Action, Z: Action) -> tuple[int, int, int] | None:
    """n, k, l where Z and X are the k- and l-subsets of one set of n points."""
    if isinstance(X, SubsetAction) and isinstance(Z, SubsetAction) and np.array_equal(X.of.images, Z.of.images):
        return X.of.size, Z.k, X.k
    return None

"""The picture of the page on groups: a Cayley table, a character table, and a representation in two bases.

python docs/figures/finite_groups.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from armillary.groups import dihedral, icosahedral, quotient, stabiliser, symmetric

IMAGES = Path(__file__).parent.parent / "images"


def main() -> None:
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.6))
    square = dihedral(4)
    axes[0].imshow(square.table, cmap="tab10", vmax=9)
    for g in range(8):
        for h in range(8):
            axes[0].text(h, g, str(square.table[g, h]), ha="center", va="center", fontsize=9, color="white")
    axes[0].set_title("products g h in D$_4$: turns 0–3, reflections 4–7", fontsize=10)

    group = icosahedral()
    chi = np.stack([irrep.character.real for irrep in group.irreps()])
    image = axes[1].imshow(chi, cmap="RdBu", vmin=-5, vmax=5)
    for (i, j), value in np.ndenumerate(chi):
        axes[1].text(j, i, f"{round(value, 3) + 0.0:g}", ha="center", va="center", fontsize=8)
    orders = group.element_orders[group.class_representatives]
    labels = [f"{n} of order {o}" for n, o in zip(group.class_sizes, orders, strict=True)]
    axes[1].set_xticks(range(5), labels, rotation=30, ha="right", fontsize=8)
    axes[1].set_title("characters of the icosahedral group", fontsize=10)
    figure.colorbar(image, ax=axes[1], shrink=0.6)

    G = symmetric(5)
    pairs = quotient(stabiliser(G, [0, 1]))
    found = pairs.decompose()
    g = torch.tensor(77)
    dims = " + ".join(str(irrep.dim) for irrep in found.irreps)
    for axis, matrix, title in (
        (axes[2], pairs(g), "S$_5$ on pairs: a permutation of 10"),
        (axes[3], found.basis.mH @ pairs(g) @ found.basis, f"the same in a basis of irreps: {dims}"),
    ):
        axis.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
        axis.set_title(title, fontsize=10)
    for axis in axes:
        axis.tick_params(length=0)
    for axis in (axes[0], axes[2], axes[3]):
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(IMAGES / "finite_groups.png", dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main()

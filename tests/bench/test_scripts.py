"""What the script benchmarks/equivariance.py makes of its measurements, without the peer."""

from __future__ import annotations

import equivariance
import pytest


def test_summary_takes_the_best_of_theirs():
    errors = {equivariance.OURS: 1e-5, equivariance.PLAIN: 2e-2}
    errors |= {f"torch-harmonics, {mode}": 1e-2 / (1 + i) for i, mode in enumerate(equivariance.NORM_MODES)}
    case = {"grid": "Gauss–Legendre", "kind": "plain", "cutoff": "3 rings", "nlat": 64, "nlat_out": 64, "l": 16}
    rows = [{**case, "implementation": name, "mean": value, "moments": 4} for name, value in errors.items()]
    (line,) = equivariance.summary(rows)
    assert line["best"] == equivariance.NORM_MODES[-1]
    assert line["ratio"] == pytest.approx(1e-2 / len(equivariance.NORM_MODES) / 1e-5)
    assert line["ours_moments_off"] == 2e-2


def test_every_case_has_layers_of_its_size():
    for case in equivariance.cases(full=False):
        if case.nlat == 64:
            layer = case.layer(None)
            assert (layer.grid.nlat, layer.grid_out.nlat) == case.sizes
            assert all(l <= min(layer.grid.lmax, layer.grid_out.lmax) for l in case.degrees)


def test_picture_is_drawn(tmp_path):
    lines = [
        {
            "grid": grid,
            "kind": kind,
            "cutoff": "3 rings",
            "nlat": nlat,
            "l": l,
            "ours": nlat**-4.0,
            "theirs": dict.fromkeys(equivariance.NORM_MODES, 1 / nlat),
        }
        for grid in ("one", "two")
        for kind in ("plain", "strided", "transposed")
        for nlat in (64, 128)
        for l in (16, 32)
    ]
    equivariance.draw(lines, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")

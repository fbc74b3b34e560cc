"""The compiled steps of bodies that attract and repel each other: ``F_i = g Σ_j c_i c_j (x_i - x_j) / (|x_i - x_j|² +
ε²)^{3/2}``."""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
# Sums in any order: several bodies j at a time.
_sums = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})


@_sums
def _forces(x, c, coupling, softening, most, F):  # type: ignore[no-untyped-def]
    """F (3, n) of bodies x (3, n), each component clipped to ±most."""
    n = len(c)
    for i in range(n):
        fx, fy, fz = 0.0, 0.0, 0.0
        for j in range(n):
            dx, dy, dz = x[0, i] - x[0, j], x[1, i] - x[1, j], x[2, i] - x[2, j]
            square = dx * dx + dy * dy + dz * dz + softening * softening
            scale = c[j] / (square * np.sqrt(square)) if square > 0 else 0.0  # a body does not act on itself
            fx, fy, fz = fx + scale * dx, fy + scale * dy, fz + scale * dz
        strength = coupling * c[i]
        F[0, i] = min(max(strength * fx, -most), most)
        F[1, i] = min(max(strength * fy, -most), most)
        F[2, i] = min(max(strength * fz, -most), most)


@_jit
def kick_drift(x, v, c, dt, steps, coupling, softening, most, frames, out):  # type: ignore[no-untyped-def]
    """``v += dt F(x)``, ``x += dt v``, so often; systems x, v (S, 3, n), c (S, n), unit masses.

    After step frames[f] (ascending), position, velocity and the force at the position go to out (3, S, F, n, 3).
    """
    F = np.empty_like(x[0])
    for s in range(len(x)):
        f = 0
        for step in range(1, steps + 1):
            _forces(x[s], c[s], coupling, softening, most, F)
            v[s] += dt * F
            x[s] += dt * v[s]
            if f < len(frames) and step == frames[f]:
                _forces(x[s], c[s], coupling, softening, most, F)
                _store(x[s], v[s], F, out[:, s, f])
                f += 1


@_jit
def kick_drift_kick(x, v, c, dt, steps, coupling, softening, most, frames, out):  # type: ignore[no-untyped-def]
    """``v += dt/2 F(x)``, ``x += dt v``, ``v += dt/2 F(x)``, so often, for masses c; arrays and frames as above, step 0
    the start."""
    F, a = np.empty_like(x[0]), np.empty_like(x[0])
    for s in range(len(x)):
        f = 0
        for step in range(steps + 1):
            if step > 0:
                v[s] += (dt / 2) * a
                x[s] += dt * v[s]
            _forces(x[s], c[s], coupling, softening, most, F)
            a[:] = F / c[s]
            if step > 0:
                v[s] += (dt / 2) * a
            if f < len(frames) and step == frames[f]:
                _store(x[s], v[s], F, out[:, s, f])
                f += 1


@_jit
def _store(x, v, F, out):  # type: ignore[no-untyped-def]
    for k in range(3):
        for i in range(x.shape[1]):
            out[0, i, k], out[1, i, k], out[2, i, k] = x[k, i], v[k, i], F[k, i]

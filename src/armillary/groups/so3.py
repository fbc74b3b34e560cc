"""SO(3): rotations as matrices and ZYZ Euler angles, and the Wigner matrices.

``R = Z(α) Y(β) Z(γ)``; actions are left, ``(R f)(x) = f(R⁻¹ x)``. On coefficients of the complex spherical harmonics
``(R f)_lm = Σ_n D^l_mn(R) f_ln`` with ``D^l_mn(α, β, γ) = e^{-imα} d^l_mn(β) e^{-inγ}``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.wigner import wigner_d


def check_rotation(R: Tensor) -> None:
    """Raise a ValueError unless R holds proper rotation matrices, shape (..., 3, 3): to 1e-9, or 1e-4 in float32."""
    if tuple(R.shape[-2:]) != (3, 3):
        raise ValueError(f"R has shape {tuple(R.shape)}, wanted rotation matrices of shape (..., 3, 3).")
    if R.numel() == 0:
        return
    tolerance = 1e-4 if R.dtype in (torch.float32, torch.bfloat16, torch.float16) else 1e-9
    R = R.double()
    error = float((R @ R.mT - torch.eye(3, dtype=torch.float64, device=R.device)).abs().max())
    determinant = float(torch.linalg.det(R).min())
    if not error < tolerance or determinant < 0:
        raise ValueError(
            f"R is not a rotation: max |R R^T - 1| = {error:.1e}, det = {determinant:+.3f}; "
            f"wanted orthogonal matrices with determinant +1."
        )


def proper_part(g: Tensor) -> tuple[Tensor, Tensor]:
    """(R, s) with g = s R, R rotations and s = ±1 the determinants, of orthogonal matrices g (..., 3, 3): R in the
    type of g, s in float64.

    Raises: ValueError where g is not orthogonal.
    """
    if tuple(g.shape[-2:]) != (3, 3):
        raise ValueError(f"g has shape {tuple(g.shape)}, wanted orthogonal matrices of shape (..., 3, 3).")
    sign = torch.linalg.det(g.double()).sign()
    R = g * sign[..., None, None].to(g)
    check_rotation(R)
    return R, sign


def from_euler_zyz(alpha: float | Tensor, beta: float | Tensor, gamma: float | Tensor) -> Tensor:
    """The matrix ``Z(α) Y(β) Z(γ)``, (..., 3, 3) float64; angles in radians, broadcast together."""
    a, b, c = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in (alpha, beta, gamma)))
    return rotation_about("z", a) @ rotation_about("y", b) @ rotation_about("z", c)


def rotation_about(axis: str, angle: float | Tensor) -> Tensor:
    """Right-handed rotation about "x", "y" or "z" by ``angle`` radians, (..., 3, 3) float64."""
    if axis not in ("x", "y", "z"):
        raise ValueError(f"got axis {axis!r}, wanted 'x', 'y' or 'z'.")
    angle = torch.as_tensor(angle, dtype=torch.float64)
    c, s, zero, one = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    rows = {
        "x": (one, zero, zero, zero, c, -s, zero, s, c),
        "y": (c, zero, s, zero, one, zero, -s, zero, c),
        "z": (c, -s, zero, s, c, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, dim=-1).reshape(*angle.shape, 3, 3)


def euler_angles(R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(α, β, γ) with ``R = Z(α) Y(β) Z(γ)``, β ∈ [0, π], for rotations (..., 3, 3): (...) float64 each, on the device
    of R; where β is 0 or π, γ = 0.

    Raises: ValueError where R is not a rotation.
    """
    check_rotation(R)
    R = R.double()
    sin = torch.hypot(R[..., 0, 2], R[..., 1, 2])
    apart = sin > 1e-12
    alpha = torch.where(apart, torch.atan2(R[..., 1, 2], R[..., 0, 2]), torch.atan2(-R[..., 0, 1], R[..., 1, 1]))
    # Near the poles rounding of R leaves α uncertain, but not R: take β and γ from Z(-α) R = Y(β) Z(γ).
    c, s = torch.cos(alpha), torch.sin(alpha)
    beta = torch.atan2(torch.where(apart, c * R[..., 0, 2] + s * R[..., 1, 2], sin), R[..., 2, 2])
    gamma = torch.atan2(c * R[..., 1, 0] - s * R[..., 0, 0], c * R[..., 1, 1] - s * R[..., 0, 1])
    return alpha, beta, torch.where(apart, gamma, 0.0)


def euler_zyz(R: Tensor) -> tuple[float, float, float]:
    """(α, β, γ) of one rotation (3, 3), as numbers; see ``euler_angles``.

    Raises: ValueError where R is not a rotation.
    """
    if R.ndim != 2:
        raise ValueError(f"R has shape {tuple(R.shape)}, wanted one rotation, (3, 3): euler_angles takes many.")
    alpha, beta, gamma = euler_angles(R)
    return float(alpha), float(beta), float(gamma)


def random_rotation(generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> Tensor:
    """A rotation drawn from the Haar measure, (3, 3)."""
    return random_rotations(1, generator, dtype)[0]


def random_rotations(
    count: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Rotations drawn from the Haar measure, (count, 3, 3): uniform unit quaternions as matrices."""
    q = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    entries = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(entries, dim=1).reshape(count, 3, 3).to(dtype)


def wigner_D(l: int, R: Tensor) -> Tensor:
    """``D^l(R)`` for rotations R (..., 3, 3): (..., 2l + 1, 2l + 1) complex128, rows and columns m = -l..l.

    Unitary, ``D(R S) = D(R) D(S)``. Computed on the CPU, returned on the device of R. Raises: ValueError where R is not
    a rotation.
    """
    return _wigner_D(l, R).to(R.device)


def _wigner_D(l: int, R: Tensor) -> Tensor:
    alpha, beta, gamma = (angle.cpu() for angle in euler_angles(R))
    m = torch.arange(-l, l + 1)

    def active(k: int) -> tuple[slice, slice]:
        return (slice(l - k, l + k + 1),) * 2

    different, place = torch.unique(beta, return_inverse=True)
    *_, d = wigner_d(l, m[:, None, None], m[:, None], different, active)
    left, right = (torch.polar(torch.ones(()).double(), -m.double() * angle[..., None]) for angle in (alpha, gamma))
    return left[..., :, None] * d.permute(2, 0, 1)[place] * right[..., None, :]


def real_to_complex(l: int) -> Tensor:
    """U with ``a_complex = U a_real``, (2l + 1, 2l + 1) complex128, unitary; both ordered m = -l..l.

    Real harmonics: ``Y_{l,m} = √2 (-1)^m Re Y_l^m`` for m > 0, ``√2 (-1)^m Im Y_l^|m|`` for m < 0: for l = 1 they
    are proportional to (y, z, x).
    """
    U = torch.zeros(2 * l + 1, 2 * l + 1, dtype=torch.complex128)
    U[l, l] = 1
    for m in range(1, l + 1):
        sign = -1.0 if m % 2 else 1.0
        U[l + m, l + m], U[l + m, l - m] = sign * 0.5**0.5, -1j * sign * 0.5**0.5
        U[l - m, l + m], U[l - m, l - m] = 0.5**0.5, 1j * 0.5**0.5
    return U


def wigner_D_real(l: int, R: Tensor) -> Tensor:
    """The Wigner matrices in the real basis ordered m = -l..l, (..., 2l + 1, 2l + 1) float64, orthogonal; see
    ``wigner_D``."""
    U = real_to_complex(l)
    return (U.conj().T @ _wigner_D(l, R) @ U).real.to(R.device)

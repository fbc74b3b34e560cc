"""Keys' weights against the kernel as a function of distance, and what it reproduces."""

import numpy as np
import pytest
import torch

from armillary.ops.cubic import keys_weights

T = np.linspace(0, 1, 101, endpoint=False)


def kernel(s):
    s = np.abs(s)
    near, far = 1.5 * s**3 - 2.5 * s**2 + 1, -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2
    return np.where(s <= 1, near, np.where(s <= 2, far, 0.0))


def test_weights_are_the_kernel_at_the_four_distances():
    for weight, place in zip(keys_weights(T), (-1, 0, 1, 2), strict=True):
        np.testing.assert_allclose(weight, kernel(T - place), rtol=0, atol=1e-14)  # its terms reach 12


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_polynomials_of_degree_two_are_met(degree):
    value = sum(w * float(p) ** degree for w, p in zip(keys_weights(T), (-1, 0, 1, 2), strict=True))
    np.testing.assert_allclose(value, T**degree, rtol=0, atol=1e-15)


def test_tensors_have_the_same_weights():
    for ours, theirs in zip(keys_weights(torch.from_numpy(T)), keys_weights(T), strict=True):
        assert np.array_equal(ours.numpy(), theirs)

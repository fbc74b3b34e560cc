"""Neural networks that respect symmetry, in PyTorch: typed constructors, plain tensors, measured equivariance."""

__version__ = "0.1.0"

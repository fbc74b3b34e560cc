"""Numerics that know only torch and numpy: quadrature, recurrences, filter bases, contractions."""

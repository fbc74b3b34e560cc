"""Bridges to other packages, each a module that needs its package and says so where it is missing."""

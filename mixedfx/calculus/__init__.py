"""Exact derivatives of functions that are written once: jets, and the functions that take them."""

from mixedfx.calculus import gamma_functions, special  # teach NumPy's and SciPy's functions what to do with a jet
from mixedfx.calculus.jets import Jet, constant, seeds, vector, where

__all__ = ["Jet", "constant", "gamma_functions", "seeds", "special", "vector", "where"]

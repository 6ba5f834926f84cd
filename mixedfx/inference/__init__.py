"""Tests, degrees of freedom and intervals: take a fit, return numbers and tables."""

from mixedfx._lazy import submodules

__getattr__ = submodules(__name__)

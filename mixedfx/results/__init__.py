"""Fitted models in statsmodels' vocabulary."""

from mixedfx._lazy import submodules

__getattr__ = submodules(__name__)

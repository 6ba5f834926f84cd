"""A fitted model for the reader: tidy tables, models side by side, equations, words, other programs' code."""

from mixedfx._lazy import submodules

__getattr__ = submodules(__name__)

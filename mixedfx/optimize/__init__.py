"""Safeguarded Newton minimisation, of one function or of many at once. Knows no statistics."""

from mixedfx.optimize.newton import (
    SECANT_REGION,
    Derivatives,
    Optima,
    Optimum,
    Point,
    eigen,
    equilibrium,
    minimize,
    minimize_many,
    secant,
)
from mixedfx.optimize.slopes import descend

__all__ = [
    "SECANT_REGION",
    "Derivatives",
    "Optima",
    "Optimum",
    "Point",
    "descend",
    "eigen",
    "equilibrium",
    "minimize",
    "minimize_many",
    "secant",
]

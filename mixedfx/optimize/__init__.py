"""Safeguarded Newton minimisation, of one function or of many at once. Knows no statistics."""

from mixedfx.optimize.many import Derivatives, Optima, minimize_many
from mixedfx.optimize.newton import SECANT_REGION, Optimum, Point, equilibrium, minimize, secant

__all__ = [
    "SECANT_REGION",
    "Derivatives",
    "Optima",
    "Optimum",
    "Point",
    "equilibrium",
    "minimize",
    "minimize_many",
    "secant",
]

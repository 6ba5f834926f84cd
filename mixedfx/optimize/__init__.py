"""Safeguarded Newton minimisation, of one function or of many at once. Knows no statistics."""

from mixedfx.optimize.many import Derivatives, Optima, minimize_many
from mixedfx.optimize.newton import Optimum, Point, equilibrium, minimize

__all__ = ["Derivatives", "Optima", "Optimum", "Point", "equilibrium", "minimize", "minimize_many"]

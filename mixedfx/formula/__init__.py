"""Formulas: text in, frozen values out; what may stand in a formula is decided here."""

from mixedfx.formula.names import coefficient_name, display
from mixedfx.formula.terms import Formula, RandomTerm

__all__ = ["Formula", "RandomTerm", "coefficient_name", "display"]

"""Fitting: optimise a criterion, settle the boundary, and certify what was found."""

from mixedfx.criterion.boundary import VarianceVerdict
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control
from mixedfx.fitting.linear import LinearFit, fit_linear
from mixedfx.fitting.refit import Refits, refit_many

__all__ = ["Certificate", "Control", "LinearFit", "Refits", "VarianceVerdict", "fit_linear", "refit_many"]

"""Fitting: optimise a criterion, settle the boundary, and certify what was found."""

from mixedfx.criterion.boundary import VarianceVerdict
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control
from mixedfx.fitting.fit import Fit
from mixedfx.fitting.linear import LinearFit
from mixedfx.fitting.linear_search import fit_linear
from mixedfx.fitting.refit import Refits, refit_many

__all__ = ["Certificate", "Control", "Fit", "LinearFit", "Refits", "VarianceVerdict", "fit_linear", "refit_many"]

"""Fitting: optimise a criterion, settle the boundary, and certify what was found."""

from mixedfx.criterion.boundary import VarianceVerdict
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control
from mixedfx.fitting.linear import LinearFit, fit_linear

__all__ = ["Certificate", "Control", "LinearFit", "VarianceVerdict", "fit_linear"]

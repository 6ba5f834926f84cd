"""Covariance structures: theta -> T for one random-effects term; rho -> whitening for the residuals."""

from mixedfx.covariance.base import Covariance
from mixedfx.covariance.diagonal import DiagonalCovariance, HomogeneousDiagonalCovariance
from mixedfx.covariance.registry import COVARIANCES, covariance_for
from mixedfx.covariance.unstructured import UnstructuredCovariance

__all__ = [
    "COVARIANCES",
    "Covariance",
    "DiagonalCovariance",
    "HomogeneousDiagonalCovariance",
    "UnstructuredCovariance",
    "covariance_for",
]

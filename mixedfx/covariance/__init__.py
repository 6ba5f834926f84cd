"""Covariance structures: theta -> T for one random-effects term; rho -> whitening for the residuals."""

from mixedfx.covariance.autoregressive import AutoregressiveCorrelation
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.correlation import (
    CORRELATION_MARGIN,
    Correlation,
    HeterogeneousCovariance,
    HomogeneousCovariance,
)
from mixedfx.covariance.diagonal import DiagonalCovariance, HomogeneousDiagonalCovariance
from mixedfx.covariance.known import RelationshipMatrix, relationship_matrix
from mixedfx.covariance.registry import COVARIANCES, covariance_for
from mixedfx.covariance.symmetry import ExchangeableCorrelation
from mixedfx.covariance.toeplitz import ToeplitzCorrelation
from mixedfx.covariance.unstructured import UnstructuredCovariance

__all__ = [
    "CORRELATION_MARGIN",
    "COVARIANCES",
    "AutoregressiveCorrelation",
    "Correlation",
    "Covariance",
    "DiagonalCovariance",
    "ExchangeableCorrelation",
    "HeterogeneousCovariance",
    "HomogeneousCovariance",
    "HomogeneousDiagonalCovariance",
    "RelationshipMatrix",
    "ToeplitzCorrelation",
    "UnstructuredCovariance",
    "covariance_for",
    "relationship_matrix",
]

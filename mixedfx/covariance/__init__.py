"""Covariance structures: theta -> T for one random-effects term; rho -> whitening for the residuals."""

from mixedfx.covariance.base import Covariance
from mixedfx.covariance.correlation import (
    CORRELATION_MARGIN,
    Correlation,
    HeterogeneousCovariance,
    HomogeneousCovariance,
)
from mixedfx.covariance.known import RelationshipMatrix, relationship_matrix
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance, UnstructuredCovariance
from mixedfx.covariance.patterns import AutoregressiveCorrelation, ExchangeableCorrelation, ToeplitzCorrelation
from mixedfx.covariance.pooled import PooledDiagonalCovariance
from mixedfx.covariance.registry import COVARIANCES, covariance_for, register_covariance, structures

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
    "PooledDiagonalCovariance",
    "RelationshipMatrix",
    "ToeplitzCorrelation",
    "UnstructuredCovariance",
    "covariance_for",
    "register_covariance",
    "relationship_matrix",
    "structures",
]

"""Residual structures: typed descriptions for ``residual=`` and their form bound to rows, for the engine."""

from mixedfx.covariance.residual.markov import AR1, CAR1
from mixedfx.covariance.residual.pairs import CompoundSymmetry, Unstructured
from mixedfx.covariance.residual.structure import (
    BoundCorrelation,
    BoundResidual,
    BoundVariance,
    Combined,
    ResidualStructure,
)
from mixedfx.covariance.residual.variance import KnownVariance, VarExp, VarIdent, VarPower

__all__ = [
    "AR1",
    "CAR1",
    "BoundCorrelation",
    "BoundResidual",
    "BoundVariance",
    "Combined",
    "CompoundSymmetry",
    "KnownVariance",
    "ResidualStructure",
    "Unstructured",
    "VarExp",
    "VarIdent",
    "VarPower",
]

"""Residual structures: typed descriptions for ``residual=`` and their form bound to rows, for the engine.

Each is imported when it is first used: most models have none.
"""

from typing import TYPE_CHECKING

from mixedfx._lazy import names

if TYPE_CHECKING:
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

__getattr__ = names(
    __name__,
    dict.fromkeys(("AR1", "CAR1"), "markov")
    | dict.fromkeys(("CompoundSymmetry", "Unstructured"), "pairs")
    | dict.fromkeys(
        ("BoundCorrelation", "BoundResidual", "BoundVariance", "Combined", "ResidualStructure"), "structure"
    )
    | dict.fromkeys(("KnownVariance", "VarExp", "VarIdent", "VarPower"), "variance"),
)

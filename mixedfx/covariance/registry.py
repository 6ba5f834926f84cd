"""From the keyword in a formula to a covariance: the only place where a covariance is a string."""

from __future__ import annotations

from collections.abc import Callable

from mixedfx.covariance.base import Covariance
from mixedfx.covariance.diagonal import DiagonalCovariance, HomogeneousDiagonalCovariance
from mixedfx.covariance.unstructured import UnstructuredCovariance
from mixedfx.exceptions import SpecificationError

__all__ = ["COVARIANCES", "covariance_for"]

COVARIANCES: dict[str, Callable[[int], Covariance]] = {
    "us": UnstructuredCovariance,
    "diag": DiagonalCovariance,
    "homdiag": HomogeneousDiagonalCovariance,
    "known": UnstructuredCovariance,
}


def covariance_for(keyword: str, size: int) -> Covariance:
    """Resolve the keyword of ``homcs(1 + x | g)`` for a term of ``size`` columns.

    ``known(1 + x | g, K)`` is unstructured between its columns: the relationship between the levels is separate.

    Raises
    ------
    SpecificationError
        If there is no such keyword.

    Examples
    --------
    >>> covariance_for("diag", 3)
    DiagonalCovariance(size=3)
    """
    if keyword not in COVARIANCES:
        raise SpecificationError(f"unknown covariance {keyword!r}; choose from {sorted(COVARIANCES)}")
    return COVARIANCES[keyword](size)

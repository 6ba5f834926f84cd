"""From the keyword in a formula to a covariance: the only place where a covariance is a string."""

from __future__ import annotations

from collections.abc import Callable

from mixedfx.covariance.base import Covariance
from mixedfx.covariance.correlation import Correlation, HeterogeneousCovariance, HomogeneousCovariance
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance, UnstructuredCovariance
from mixedfx.covariance.patterns import AutoregressiveCorrelation, ExchangeableCorrelation, ToeplitzCorrelation
from mixedfx.exceptions import SpecificationError

__all__ = ["COVARIANCES", "covariance_for"]


def _heterogeneous(correlation: Callable[[int], Correlation]) -> Callable[[int], Covariance]:
    return lambda size: HeterogeneousCovariance(size, correlation(size))


def _homogeneous(correlation: Callable[[int], Correlation]) -> Callable[[int], Covariance]:
    return lambda size: HomogeneousCovariance(size, correlation(size))


COVARIANCES: dict[str, Callable[[int], Covariance]] = {
    "us": UnstructuredCovariance,
    "diag": DiagonalCovariance,
    "homdiag": HomogeneousDiagonalCovariance,
    "cs": _heterogeneous(ExchangeableCorrelation),
    "homcs": _homogeneous(ExchangeableCorrelation),
    "ar1": _homogeneous(AutoregressiveCorrelation),
    "hetar1": _heterogeneous(AutoregressiveCorrelation),
    "toep": _heterogeneous(ToeplitzCorrelation),
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
    >>> covariance_for("cs", 3).labels(["a", "b", "c"])
    ('a', 'b', 'c', 'rho')
    """
    if keyword not in COVARIANCES:
        raise SpecificationError(f"unknown covariance {keyword!r}; choose from {sorted(COVARIANCES)}")
    return COVARIANCES[keyword](size)

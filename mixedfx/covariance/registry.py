"""From the keyword in a formula to a covariance: the only place where a covariance is a string."""

from __future__ import annotations

import keyword as python
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from mixedfx._arguments import checked_choice
from mixedfx._suggestions import advised
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.correlation import Correlation, HeterogeneousCovariance, HomogeneousCovariance
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance, UnstructuredCovariance
from mixedfx.covariance.patterns import AutoregressiveCorrelation, ExchangeableCorrelation, ToeplitzCorrelation
from mixedfx.covariance.registered import Limits, Names, Pattern
from mixedfx.exceptions import SpecificationError

__all__ = ["COVARIANCES", "covariance_for", "register_covariance", "structures"]

Maker: TypeAlias = Callable[[int], Covariance]
VariancesName: TypeAlias = Literal["each", "one"]


def _heterogeneous(correlation: Callable[[int], Correlation]) -> Maker:
    return lambda size: HeterogeneousCovariance(size, correlation(size))


def _homogeneous(correlation: Callable[[int], Correlation]) -> Maker:
    return lambda size: HomogeneousCovariance(size, correlation(size))


COVARIANCES: Mapping[str, Maker] = MappingProxyType(
    {
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
)
"""The structures of the package by their keywords."""

VARIANCES: dict[str, Callable[[Callable[[int], Correlation]], Maker]] = {
    "each": _heterogeneous,
    "one": _homogeneous,
}

_registered: dict[str, Maker] = {}


def structures() -> Mapping[str, Maker]:
    """Return all structures by their keywords: those of the package, then those that were registered."""
    return {**COVARIANCES, **_registered}


def covariance_for(keyword: str, size: int) -> Covariance:
    """Resolve the keyword of ``homcs(1 + x | g)`` for a term of ``size`` columns.

    ``known(1 + x | g, K)`` is unstructured between its columns: the relationship between the levels is separate.

    Parameters
    ----------
    keyword : str
    size : int
        Number q of columns of the term.

    Returns
    -------
    Covariance

    Raises
    ------
    SpecificationError
        If there is no such keyword, or what is registered for it gives no correlation matrix.

    Examples
    --------
    >>> covariance_for("diag", 3)
    DiagonalCovariance(size=3)
    >>> covariance_for("cs", 3).labels(["a", "b", "c"])
    ('a', 'b', 'c', 'rho')
    """
    makers = structures()
    if keyword not in makers:
        own = ", or give one of your own to mfx.register_covariance"
        advice = advised("structure", keyword, sorted(makers), own)
        raise SpecificationError(f"unknown covariance {keyword!r}; {advice}")
    return makers[keyword](size)


def register_covariance(
    name: str,
    correlation: Callable[[Any, int], Any] | type[Covariance],
    *,
    parameters: Names = ("rho",),
    lower: Limits = -1.0,
    upper: Limits = 1.0,
    start: Limits | None = None,
    variances: VariancesName = "each",
) -> None:
    """Give formulas a covariance structure of your own: ``name(1 + x | g)``.

    One function says what the structure is: the correlation matrix of the effects of a level. Its first and second
    derivatives are exact (by automatic differentiation), and with them the gradient, the Hessian, standard errors and
    degrees of freedom of every fit. The standard deviations are taken care of.

    Parameters
    ----------
    name : str
        The keyword in formulas. A name that was registered before is replaced.
    correlation : callable
        ``correlation(rho, size)`` returns the correlations (size, size) of the columns of a term, in their order, for
        the parameters ``rho`` (m,): positive definite for all values between ``lower`` and ``upper``. It may use
        ``+ - * / **``, NumPy's ``exp``, ``log``, ``sqrt``, ``where``, arrays of constants, and
        ``np.array([[1, rho[0]], [rho[0], 1]])``.

        Or a subclass of :class:`mixedfx.covariance.Covariance`, for structures that are no correlation with standard
        deviations; it takes the size, and none of the arguments below.
    parameters : sequence of str, or callable
        Names of the parameters; ``parameters(size)`` if they depend on the number of columns.
    lower, upper : float, sequence of float, or callable
        Ends of the open interval of each parameter, one number for all or one for each, or functions of the size.
    start : float, sequence of float, or callable, optional
        Where a search starts: best where nothing is correlated. Zero if it lies in the interval, else its middle.
    variances : {"each", "one"}
        Whether each column has a standard deviation of its own, or all have the same.

    Raises
    ------
    SpecificationError
        If the name cannot be one, or the keyword is one of the package's. What the function gives is looked at when a
        formula uses it, for as many columns as there are.

    Notes
    -----
    A fit with such a structure can be saved if the name is registered again before it is loaded: files hold no code.
    Its log-likelihood is compared then, so that another structure of the same name is refused.

    Examples
    --------
    Correlations that decay with the distance of unequally spaced occasions:

    >>> import numpy as np, mixedfx as mfx
    >>> days = np.array([0.0, 1.0, 4.0, 9.0])
    >>> def decay(rho, size):
    ...     return rho[0] ** np.abs(np.subtract.outer(days[:size], days[:size]))
    >>> mfx.register_covariance("decay", decay, lower=0, variances="one")
    >>> data = mfx.load_dataset("sleepstudy").query("Days in [0, 1, 4, 9]")
    >>> fit = mfx.lmer("Reaction ~ Days + decay(0 + C(Days) | Subject)", data)
    >>> fit.theta.index.tolist()
    [('Subject', 'sd'), ('Subject', 'rho')]
    """
    if not (isinstance(name, str) and name.isidentifier()) or python.iskeyword(name):
        raise SpecificationError(f"a covariance structure is called by a name such as 'decay'; found {name!r}")
    if name in COVARIANCES:
        raise SpecificationError(f"{name!r} is a structure of the package; give yours another name")
    if isinstance(correlation, type) and issubclass(correlation, Covariance):
        _registered[name] = correlation
    elif callable(correlation):
        pattern = Pattern(name, correlation, parameters, lower, upper, start)
        _registered[name] = checked_choice("variances", variances, VARIANCES)(pattern.correlation)
    else:
        raise TypeError(
            f"the structure {name!r} is a function of (rho, size) that returns correlations, or a subclass of "
            f"mixedfx.covariance.Covariance; found {type(correlation).__name__}"
        )

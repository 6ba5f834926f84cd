"""Compound symmetry of the residuals: every two rows of a group are equally correlated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.residual.bound import BoundCorrelation
from mixedfx.covariance.residual.columns import Columns, group_codes, group_names, read
from mixedfx.covariance.residual.scales import Bounded, Parameters
from mixedfx.covariance.residual.structure import CorrelationStructure, check_group
from mixedfx.exceptions import DataError

__all__ = ["CompoundSymmetry"]

LOGIT_REACH = 23.0
"""The correlation stays about 1e-10 away from the ends of its interval."""


@dataclass(frozen=True)
class CompoundSymmetry(CorrelationStructure):
    """Correlation ``rho`` between any two rows of a group, ``-1 / (n - 1) < rho < 1`` with n the largest group.

    Unlike a random intercept it allows a negative correlation.

    Parameters
    ----------
    group : str or tuple of str
        Rows of different groups are independent; ``"a:b"`` or ``("a", "b")`` for combinations of two columns.

    Examples
    --------
    >>> bound = CompoundSymmetry("Subject").bind({"Subject": ["a", "b", "a", "b"]})
    >>> bound.names, bound.natural(bound.start)
    (('rho',), array([0.]))
    """

    group: str | tuple[str, ...]

    def __post_init__(self) -> None:
        if self.group is None or self.group == ():
            raise TypeError("CompoundSymmetry: group must be a column name (str), found None")
        check_group("CompoundSymmetry", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The group."""
        return group_names(self.group)

    def bind_variances(self, columns: Columns) -> tuple[()]:
        """Return nothing: the variances are equal."""
        return ()

    def bind_correlation(self, columns: Columns) -> ExchangeableResiduals:
        """Return the correlation for the rows of ``columns``."""
        codes = group_codes(columns, self.columns, len(read(columns, self.columns[0])))
        largest = int(np.bincount(codes).max(initial=0))
        if largest < 2:
            raise DataError(f"no group of {':'.join(self.columns)} has two rows: their correlation cannot be estimated")
        scale = Bounded(-1.0 / (largest - 1), 1.0)
        parameters = Parameters.elementwise(("rho",), scale, scale.real(0.0), LOGIT_REACH)
        return ExchangeableResiduals(self.columns, codes, largest, parameters)

    def __str__(self) -> str:
        return f"compound symmetry within {':'.join(self.columns)}"


@dataclass(frozen=True)
class ExchangeableResiduals(BoundCorrelation):
    """Within a group of m rows the eigenvalues are ``1 - rho`` (contrasts) and ``1 + (m - 1) rho`` (mean).

    The symmetric root of the inverse is ``a I + (b - a) J / m`` with a and b their inverse square roots.
    """

    names: tuple[str, ...]
    codes: IntArray
    largest: int
    parameters: Parameters

    @property
    def groups(self) -> IntArray:
        """Group (n,) of every row."""
        return self.codes

    @cached_property
    def _sizes(self) -> Array:
        return np.bincount(self.codes).astype(np.float64)

    @cached_property
    def _sums(self) -> sp.csc_array:
        """The matrix (groups, n) that sums rows by group."""
        n = self.codes.size
        return sp.csc_array((np.ones(n), self.codes, np.arange(n + 1)), shape=(self._sizes.size, n))

    def _eigenvalues(self, x: float) -> tuple[float, Array, float]:
        """Return ``1 - rho``, ``1 + (m - 1) rho`` for each group, and ``drho / dx``."""
        span = 1.0 + 1.0 / (self.largest - 1)
        rise = self._sizes - 1
        mean = 1.0 - rise / (self.largest - 1) + rise * span * expit(x)
        if np.any(mean <= 0):
            raise DataError(
                f"a group of {':'.join(self.names)} has {int(self._sizes.max())} rows, more than the {self.largest} "
                "of the fit: the negative correlation is impossible there"
            )
        return float(span * expit(-x)), mean, float(span * expit(x) * expit(-x))

    def _mix(self, contrast: float, mean: Array, M: Array) -> Array:
        """Return ``(contrast I + (mean - contrast) J / m) M`` group by group."""
        weights = (mean - contrast) / self._sizes
        return np.asarray(contrast * M + (weights[:, None] * (self._sums @ M))[self.codes])

    def whiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(-1/2) M`` (n, k)."""
        contrast, mean, _ = self._eigenvalues(float(rho[0]))
        return self._mix(contrast**-0.5, mean**-0.5, M)

    def unwhiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(1/2) M`` (n, k)."""
        contrast, mean, _ = self._eigenvalues(float(rho[0]))
        return self._mix(contrast**0.5, mean**0.5, M)

    def whiten_derivative(self, rho: Array, M: Array) -> Array:
        """Return the derivative (1, n, k) of :meth:`whiten`."""
        contrast, mean, slope = self._eigenvalues(float(rho[0]))
        rise = self._sizes - 1
        return self._mix(slope * contrast**-1.5 / 2, -slope * rise * mean**-1.5 / 2, M)[None]

    def logdet(self, rho: Array) -> float:
        """Return ``log |C|``."""
        contrast, mean, _ = self._eigenvalues(float(rho[0]))
        return float(np.sum((self._sizes - 1) * np.log(contrast) + np.log(mean)))

    def logdet_derivative(self, rho: Array) -> Array:
        """Return ``d log |C| / d rho`` (1,)."""
        contrast, mean, slope = self._eigenvalues(float(rho[0]))
        return np.array([slope * np.sum((self._sizes - 1) * (1 / mean - 1 / contrast))])

    def rebind(self, columns: Columns) -> ExchangeableResiduals:
        """Return the correlation of other rows."""
        codes = group_codes(columns, self.names, len(read(columns, self.names[0])))
        return ExchangeableResiduals(self.names, codes, self.largest, self.parameters)

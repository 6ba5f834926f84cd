"""Power from the expected information: no responses are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats

from mixedfx._typing import Array
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.inference.kenward_roger import KenwardRoger
from mixedfx.results.base import MixedResults

__all__ = ["Expected"]


@dataclass(frozen=True)
class Expected:
    """What the tests of a linear model are like where its parameters are stated.

    Attributes
    ----------
    fit : LinearMixedResults
        Of any response in the rows of the design.
    theta : (t,) array
        The stated covariance parameters relative to sigma, on the user's scale.
    sigma : float
        The stated residual standard deviation.
    is_z : bool
        Whether the tests are normal.

    Notes
    -----
    A test of ``L beta = 0`` has noncentrality ``(L beta)' (L C L')^-1 L beta`` with ``C = (X'V^-1 X)^-1``. The
    denominator degrees of freedom and the scaling of F are those of Kenward and Roger (1997) with the expected
    information of the variances at the stated values; those of one contrast are Satterthwaite's.
    """

    fit: MixedResults
    theta: Array
    sigma: float
    is_z: bool = False

    @cached_property
    def _at(self) -> LinearEvaluation:
        problem: Any = self.fit.solution.problem
        at: LinearEvaluation = problem.evaluate(problem.to_inner(self.theta)).linear
        return at

    @cached_property
    def _adjustment(self) -> KenwardRoger:
        return KenwardRoger.of(self._at)

    def power(self, rows: Array, effect: Array, alpha: float) -> float:
        """Return the power of the test that ``rows @ beta`` (r,), which is ``effect``, is zero.

        Parameters
        ----------
        rows : (r, p)
            Independent contrasts of the coefficients.
        effect : (r,)
        alpha : float
            Level of the test.
        """
        inner = rows @ self.fit.solution.problem.basis.matrix
        spread = self.sigma**2 * (inner @ self._at.unscaled_cov @ inner.T)
        noncentrality, rank = float(effect @ np.linalg.solve(spread, effect)), len(rows)
        if self.is_z:
            return float(stats.ncx2.sf(special.chdtri(rank, alpha), rank, noncentrality))
        df, scaling = self._adjustment.f_test(inner)
        if not np.isfinite(df):
            return float(stats.ncx2.sf(special.chdtri(rank, alpha), rank, noncentrality))
        critical = float(special.fdtri(rank, df, 1.0 - alpha)) / scaling
        return 1.0 - float(special.ncfdtr(rank, df, noncentrality, critical))

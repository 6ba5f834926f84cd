"""One model fitted to many responses: tables with a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Refits
from mixedfx.inference.distributions import two_sided
from mixedfx.inference.satterthwaite import many_denominators
from mixedfx.results.quantities import quantities, refitted_estimates
from mixedfx.results.responses import names_of_columns

if TYPE_CHECKING:
    from mixedfx.results.linear import LinearMixedResults

__all__ = ["ManyFits", "response_names"]

SHOWN = 10  # rows of the text


@dataclass(frozen=True, eq=False, repr=False)
class ManyFits:
    """Fits of one model to R responses; each table has a row for every response.

    Attributes
    ----------
    fit : LinearMixedResults
        The fit whose model was fitted again.
    responses : (n, R) array
    refits : Refits
        What the searches found, as arrays.
    index : pandas.Index
        Names of the responses.
    """

    fit: LinearMixedResults
    responses: Array
    refits: Refits
    index: pd.Index[Any]

    def _table(self, values: Array) -> pd.DataFrame:
        return pd.DataFrame(values, index=self.index, columns=list(self.fit.design.fixed.names))

    @cached_property
    def params(self) -> pd.DataFrame:
        """Fixed effects (R, p)."""
        return self._table(self.refits.beta)

    @cached_property
    def _denominators(self) -> tuple[Array, Array]:
        return many_denominators(self.fit.solution.problem, self.responses, self.refits)

    @cached_property
    def bse(self) -> pd.DataFrame:
        """Standard errors (R, p) of the fixed effects."""
        return self._table(self._denominators[0])

    @cached_property
    def df(self) -> pd.DataFrame:
        """Satterthwaite's denominator degrees of freedom (R, p)."""
        return self._table(self._denominators[1])

    @cached_property
    def tvalues(self) -> pd.DataFrame:
        """Estimates in units of their standard errors (R, p); nan where those are zero."""
        out = np.full(self.refits.beta.shape, np.nan)
        errors = self._denominators[0]
        return self._table(np.divide(self.refits.beta, errors, out=out, where=errors > 0))

    @cached_property
    def pvalues(self) -> pd.DataFrame:
        """Two-sided p values (R, p) of t tests with :attr:`df`."""
        return self._table(two_sided(self.tvalues.to_numpy(), self._denominators[1]))

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Standard deviations, correlations (``sd_x|g``, ``cor_x.y|g``), a structure's parameters, ``sigma`` (R, r)."""
        known = quantities(self.fit)
        columns = list(known.names[: known.n_random])
        return pd.DataFrame(
            refitted_estimates(self.fit, self.refits)[:, : known.n_random], index=self.index, columns=columns
        )

    @cached_property
    def llf(self) -> pd.Series[float]:
        """Log-likelihoods (R,), restricted under REML."""
        return pd.Series(-0.5 * self.refits.values, index=self.index, name="llf")

    @cached_property
    def converged(self) -> pd.Series[bool]:
        """Whether the optimum was found (R,)."""
        return pd.Series(self.refits.converged, index=self.index, name="converged")

    @cached_property
    def singular(self) -> pd.Series[bool]:
        """Whether a variance is zero or a correlation -1 or 1 (R,)."""
        return pd.Series(self.refits.singular, index=self.index, name="singular")

    @property
    def beta(self) -> Array:
        """:attr:`params` as an array (R, p)."""
        return self.refits.beta

    @property
    def theta(self) -> Array:
        """Covariance parameters relative to sigma (R, k), then those of a residual structure."""
        return self.refits.theta

    @property
    def sigma(self) -> Array:
        """Residual standard deviations (R,)."""
        return self.refits.sigma

    @property
    def values(self) -> Array:
        """Minus twice the log-likelihoods (R,)."""
        return self.refits.values

    def __len__(self) -> int:
        return len(self.index)

    def to_frame(self) -> pd.DataFrame:
        """Return everything in one table, one row a response.

        The columns are ``params.x``, ``bse.x``, ``df.x``, ``tvalues.x`` and ``pvalues.x`` of every coefficient, those
        of :attr:`varcorr`, ``llf``, ``converged`` and ``singular``.
        """
        parts = [getattr(self, name).add_prefix(f"{name}.") for name in ("params", "bse", "df", "tvalues", "pvalues")]
        verdicts = [self.llf, self.converged, self.singular]
        table: pd.DataFrame = pd.concat([*parts, self.varcorr, *verdicts], axis=1)
        return table

    def __repr__(self) -> str:
        shown = pd.concat([self.params, self.varcorr], axis=1).head(SHOWN).to_string(float_format=lambda x: f"{x:.4g}")
        rest = f"\n… and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        failed = int((~self.converged).sum())
        verdict = f", {failed} did not converge" if failed else ""
        return f"{self.fit.model.formula}\nFits to {len(self)} responses{verdict}\n{shown}{rest}"


def response_names(Y: Any, names: Sequence[str] | None, count: int) -> pd.Index[Any]:
    """Return the names of the responses: as given, those of the columns of a frame, or 0, 1, …

    Raises
    ------
    SpecificationError
        If there is not one name for each.
    """
    if names is None:
        columns = names_of_columns(Y)
        return pd.RangeIndex(count) if columns is None else pd.Index(columns)
    found = [names] if isinstance(names, str) else list(names)
    if len(found) != count:
        raise SpecificationError(f"names needs one name for each of the {count} responses; found {len(found)}")
    return pd.Index(found)

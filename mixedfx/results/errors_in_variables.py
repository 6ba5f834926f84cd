"""Results of models with predictors measured with error: the naive fit beside the corrected one."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._display import Column, Numbers, Summary, Table
from mixedfx._suggestions import hinting_methods
from mixedfx.fitting.corrected import CorrectedFit
from mixedfx.results.base import MixedResults

if TYPE_CHECKING:
    from mixedfx.formula.measured import Measured
    from mixedfx.models.errors_in_variables import ErrorsInVariablesModel

__all__ = ["ErrorsInVariablesResults"]

PREDICTIONS = (
    "Predictions for new rows take a predictor at its true value. Fitted values take it at what its measurements lead "
    "one to expect."
)


@hinting_methods
class ErrorsInVariablesResults(MixedResults):
    """A fitted model with predictors that are measured with error.

    Made by :func:`mixedfx.lmer` and :func:`mixedfx.glmer` where the formula has ``me(…)``.

    Parameters
    ----------
    model : ErrorsInVariablesModel
    solution : CorrectedFit
    asked : dict
        The arguments of ``fit``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> x = [70, 97, 53, 64, 95, 64, 50, 70, 94, 69, 51]
    >>> y = [86, 115, 90, 86, 110, 91, 99, 96, 99, 104, 96]
    >>> fit = mfx.lmer("y ~ me(x, var=57)", {"x": x, "y": y}, errors_in_variables="moment")
    >>> fit.params.round(4).to_dict()
    {'Intercept': 67.5642, 'me(x)': 0.4232}
    >>> round(float(fit.naive.params["me(x)"]), 4), round(float(fit.reliability["me(x)"]), 3)
    (0.344, 0.813)
    """

    model: ErrorsInVariablesModel
    solution: CorrectedFit

    @property
    def naive(self) -> Any:
        """The fit to the mean measurements as if they had no error: results of the same model without correction."""
        return self.model.naive

    @cached_property
    def reliability(self) -> pd.Series[float]:
        """Share of the variance of the (mean) measurements over the rows that is not error, by coefficient."""
        correction = self.solution.correction
        return pd.Series(correction.reliability, index=list(correction.data.names), name="reliability", dtype=float)

    @property
    def method(self) -> str:
        """How the errors were corrected for: ``"ml"``, ``"rc"`` or ``"moment"``."""
        return self.solution.correction.method

    @cached_property
    def measurement_model(self) -> pd.DataFrame:
        """The law of the true values given the other predictors, and error variances that replicates tell.

        Returns
        -------
        DataFrame
            Columns ``estimate, std_error``. Rows ``me(w) ~ z``: coefficients of the expectation of the true values (in
            groups, of the group means of z); ``var(me(w))``: their variance around it; ``error var(me(w))``: the
            variance of the error of a single measurement.
        """
        table = self.solution.correction.table
        errors = np.sqrt(np.maximum(table.covariance.diagonal(), 0.0))
        return pd.DataFrame({"estimate": table.estimates, "std_error": errors}, index=list(table.names))

    @cached_property
    def true_values(self) -> pd.DataFrame:
        """What the measurements tell of the true values, by row, or by level where a group has one.

        Returns
        -------
        DataFrame
            For each coefficient its name with ``mean`` and ``sd``: of the true value given its measurements and the
            other predictors, the parameters held at their estimates; the response is not used.
        """
        correction, data = self.solution.correction, self.solution.correction.data
        index = self.design.index if data.term is None else data.term.levels
        sd = np.sqrt(np.maximum(np.einsum("ikk->ik", correction.covariance), 0.0))
        pairs = [(name, kind) for name in data.names for kind in ("mean", "sd")]
        values = np.stack([correction.mean, sd], axis=2).reshape(len(sd), -1)
        return pd.DataFrame(values, index=index, columns=pd.MultiIndex.from_tuples(pairs))

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """Naive and corrected coefficients side by side: ``naive, naive_se, corrected, corrected_se``."""
        naive = self.naive
        return pd.DataFrame(
            {"naive": naive.params, "naive_se": naive.bse, "corrected": self.params, "corrected_se": self.bse}
        )

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words: what is known of the errors, what is assumed, what predictions mean."""
        correction = self.solution.correction
        return (
            *self._identification_notes(),
            *self.design.notes,
            *(self._said(one) for one in correction.data.measured),
            self._assumed(),
            *correction.notes,
            PREDICTIONS,
        )

    def _said(self, one: Measured) -> str:
        share = f"reliability {self.reliability[one.name]:.3f}"
        if not one.error:
            own = float(self.measurement_model["estimate"][f"error var({one.name})"])
            return f"{one.name}: error variance {own:.4g} of a measurement, from its replicates; the mean has {share}."
        size = f"column {one.size!r}" if isinstance(one.size, str) else f"{one.size:g}"
        return f"{one.name}: the error of a measurement is known, {one.error} = {size}; {share}."

    def _assumed(self) -> str:
        group = self.solution.correction.data.group
        whose = f"the levels of {group!r}, each of which has one" if group else "the rows"
        law = "normal given the other predictors" if self.method == "ml" else "linear in the other predictors"
        return f"True values are taken as {law} and independent between {whose}; their errors do not depend on them."

    def summary(self, alpha: float = 0.05, *, ddf: str | None = None, exp: bool = False) -> Summary:
        """Return the summary tables, the naive coefficients beside the corrected ones among them."""
        whole = super().summary(alpha, ddf=ddf, exp=exp)
        frame, law = self.comparison, self.measurement_model
        blocks = (
            _table("Naive and corrected", frame, (("naive", "naive_se"), ("corrected", "corrected_se"))),
            _table("True values and measurements", law, (("estimate", "std_error"),)),
        )
        return replace(whole, blocks=(*whole.blocks, *blocks))


def _table(title: str, frame: pd.DataFrame, pairs: tuple[tuple[str, str], ...]) -> Table:
    """Lay out estimates with their standard errors, which say how many digits are worth writing."""
    columns = [Column("", tuple(map(str, frame.index)), stub=True)]
    for estimate, error in pairs:
        units = tuple(frame[error])
        columns.append(Column(estimate, tuple(frame[estimate]), Numbers(4, units, "—")))
        columns.append(Column("std err" if len(pairs) == 1 else error, units, Numbers(3, units, "—")))
    return Table(tuple(columns), title=title)

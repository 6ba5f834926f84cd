"""Results of a linear mixed model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import Summary
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.criterion.linear_problem import with_response
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import refit_many
from mixedfx.matrices.new_rows import chosen_columns, fitted_predictor, predicted_rows
from mixedfx.results.linear_estimates import LinearEstimates
from mixedfx.results.linear_rows import drawn_residuals, residual_variances
from mixedfx.results.prediction import Prediction, predict_rows
from mixedfx.results.responses import checked_response, checked_responses
from mixedfx.results.settings import factors_of, settings_of
from mixedfx.results.simulate import checked_count, conditional_columns, generator, random_parts, simulated_rows
from mixedfx.results.summary import summarize

if TYPE_CHECKING:
    from mixedfx.results.many import ManyFits

__all__ = ["LinearMixedResults"]

RESIDUALS = ("response", "conditional", "working", "pearson", "deviance", "normalized", "marginal")


@hinting_methods
class LinearMixedResults(LinearEstimates):
    """A fitted linear mixed model, in statsmodels' vocabulary.

    Made by :func:`mixedfx.lmer` or :meth:`mixedfx.LinearMixedModel.fit`; immutable, and computed as it is asked for.

    Parameters
    ----------
    model : LinearMixedModel
    fit : LinearFit
    asked : dict
        The arguments of ``fit``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> fit.params.round(3)
    Intercept    251.405
    Days          10.467
    Name: params, dtype: float64
    >>> fit.df.round(2).tolist()
    [17.0, 17.0]
    """

    # ---------------------------------------------------------------- rows
    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Conditional fitted values (n,): fixed and random effects."""
        eta = fitted_predictor(self.design, self._beta, self._modes)
        return pd.Series(eta, index=self.design.index, name="fittedvalues")

    @property
    def residual_variances(self) -> Array:
        """Variance of the residual of every row (n,)."""
        return residual_variances(self.fit)[0]

    @property
    def resid(self) -> pd.Series[float]:
        """Response less conditional fitted value (n,)."""
        return self.residuals("response")

    def residuals(self, kind: str = "response") -> pd.Series[float]:
        """Return residuals (n,) indexed as the rows that were used.

        Parameters
        ----------
        kind : str
            ``"response"``, ``"conditional"`` and ``"working"``: y less the conditional fitted value; ``"deviance"``:
            that, times the root of the weight; ``"pearson"``: divided by its standard deviation; ``"normalized"``:
            multiplied by an inverse root of the residual covariance, which whitens them if that has a structure;
            ``"marginal"``: y less ``X beta``.
        """
        if kind not in RESIDUALS:
            raise SpecificationError(f"kind is one of {', '.join(map(repr, RESIDUALS))}; found {kind!r}")
        y = self.design.response.values
        if kind == "marginal":
            eta = fitted_predictor(self.design, self._beta, self._modes, random=False)
            return pd.Series(y - eta, index=self.design.index, name="resid")
        values = y - self.fittedvalues.to_numpy()
        bound = self.fit.problem.residual
        if kind == "deviance" and self.design.weights is not None:
            values = values * np.sqrt(self.design.weights)
        elif kind == "pearson" or (kind == "normalized" and bound is None):
            values = values / np.sqrt(self.residual_variances)
        elif kind == "normalized" and bound is not None:
            root = 1.0 if self.design.weights is None else np.sqrt(self.design.weights)
            values = bound.whiten(self.fit.rho, (values * root)[:, None])[:, 0] / self.sigma
        return pd.Series(values, index=self.design.index, name="resid")

    def predict(
        self,
        data: Any = None,
        *,
        random: Any = True,
        new_levels: str = "error",
        which: str = "mean",
        offset: Any = None,
        weights: Any = None,
    ) -> pd.Series[float]:
        """Predict the response.

        Parameters
        ----------
        data : data frame, optional
            New rows; the fitted rows if omitted.
        random : bool, str or list of str
            Which random effects are included: all, none, or those of the named groups (``"Subject"``), terms
            (``"(Days | Subject)"``) or parts of terms (``"(1 | Subject)"`` out of ``(Days | Subject)``).
        new_levels : str
            Levels that the fit does not know: ``"error"``, ``"population"`` (predict without the effect) or ``"nan"``.
        which : str
            ``"mean"`` or ``"linear"``: the same for a linear model; ``"marginal"``: the mean over the groups, which is
            that without random effects.
        offset : str or array, optional
            Offset of the new rows; needed if the model had an offset argument.
        weights : optional
            Accepted for symmetry with generalised models; the mean does not depend on weights.

        Returns
        -------
        Series
            Indexed as the data; nan in cells that the data of the fit do not have.

        Raises
        ------
        DataError, SpecificationError

        Warns
        -----
        RankDeficientWarning
            If rows lie in cells that the data of the fit do not have.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.predict({"Days": [0, 10], "Subject": ["308", "308"]}).round(1).tolist()
        [253.7, 450.3]
        >>> fit.predict({"Days": [0, 10]}, random=False).round(1).tolist()
        [251.4, 356.1]
        """
        if which not in ("mean", "linear", "marginal"):
            raise SpecificationError(f"which is 'mean', 'linear' or 'marginal'; found {which!r}")
        chosen = chosen_columns(self.design, False if which == "marginal" and random is True else random)
        rows = predicted_rows(self.design, data, chosen, new_levels=new_levels, offset=offset, whole=False)
        return pd.Series(rows.predictor(self._beta, self._modes), index=rows.index, name="predicted")

    def get_prediction(
        self,
        data: Any = None,
        *,
        random: Any = True,
        new_levels: str = "error",
        offset: Any = None,
        weights: Any = None,
    ) -> Prediction:
        """Predict with standard errors and intervals.

        Parameters
        ----------
        data : data frame, optional
            New rows; the fitted rows if omitted.
        random, new_levels, offset
            As in :meth:`predict`.
        weights : str or array, optional
            Precision weights of the new observations; those of the fit's own column if omitted, else 1.

        Returns
        -------
        Prediction
            ``summary_frame()`` has the mean, its standard error, and the limits for the mean and for a new observation;
            ``summary_frame(which="effect")`` those for the true mean of a new group (in a meta-analysis the prediction
            interval of a new study's true effect).

        Notes
        -----
        The standard error covers the uncertainty of the fixed effects and of the random effects that are included. A
        new observation adds the random effects that are not included, and its own residual: sigma squared over its
        weight, times what a residual structure says of the row (its variance by group; the known variance of a study).
        It is the same for rows of the fit and the same rows given as data. Where a row has no random effect, the limits
        of its mean are those of Satterthwaite's t distribution; all others are normal, and the variances count as
        known.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> new = {"Days": [10, 10], "Subject": ["308", "new"]}
        >>> fit.get_prediction(new, new_levels="population").se_mean.round(1).tolist()
        [15.9, 16.0]
        """
        chosen = chosen_columns(self.design, random)
        rows = predicted_rows(self.design, data, chosen, new_levels=new_levels, offset=offset)
        mean = pd.Series(rows.predictor(self._beta, self._modes), index=rows.index, name="predicted")
        residual, notes = residual_variances(self.fit, data, weights)
        variance, others, df = predict_rows(self.fit, rows)
        if rows.lost is not None:
            variance, df = (np.where(rows.lost, np.nan, values) for values in (variance, df))
        se = pd.Series(np.sqrt(variance), index=mean.index, name="mean_se")
        df_obs = np.full(len(df), np.inf) if self.design.random else df
        return Prediction(mean, se, residual + others, df, others, df_obs, (*rows.notes, *notes))

    def simulate(
        self,
        n: int = 1,
        *,
        seed: Any = None,
        random: str = "new",
        data: Any = None,
        new_levels: str = "error",
        offset: Any = None,
        weights: Any = None,
    ) -> pd.DataFrame:
        """Draw responses for the fitted rows or for new ones.

        Parameters
        ----------
        n : int
            Number of draws.
        seed : int, SeedSequence or Generator, optional
            The same seed gives the same draws.
        random : str or list of str
            ``"new"``: random effects drawn afresh for every level (the parametric bootstrap); ``"fitted"``: the
            conditional modes; groups or terms as in :meth:`predict`: theirs as fitted, the others drawn afresh.
        data : data frame, optional
            New rows; the fitted rows if omitted.
        new_levels : str
            Where fitted effects are asked for, levels of the new data that the fit does not know: ``"error"``,
            ``"draw"`` (an effect drawn afresh), ``"population"`` (no effect) or ``"nan"``.
        offset : str or array, optional
            Offset of the new rows; needed if the model had an array.
        weights : str or array, optional
            Precision weights of the new rows; those of the fit's own column if omitted, else 1.

        Returns
        -------
        DataFrame
            Rows x n; missing where a predictor is.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.simulate(3, seed=1).shape
        (180, 3)
        >>> new = {"Days": [0, 9, 0, 9], "Subject": ["a", "a", "308", "308"]}
        >>> fit.simulate(1000, seed=1, data=new, random="fitted", new_levels="draw").std(axis=1).round().tolist()
        [36.0, 66.0, 25.0, 26.0]
        """
        draws, rng = checked_count(n), generator(seed)
        chosen = conditional_columns(self.design, random)
        rows = simulated_rows(self.design, self._beta, data, chosen, new_levels=new_levels, offset=offset)
        roots = [self.sigma * root for root in self.fit.problem.relative_roots(self.fit.theta)]
        y = rows.fixed[:, None] + random_parts(rows, roots, self._modes, draws, rng, chosen)
        y = y + self._residual_draws(rng.standard_normal(y.shape), data, weights)
        return pd.DataFrame(y, index=rows.index)

    def _residual_draws(self, noise: Array, data: Any = None, weights: Any = None) -> Array:
        """Return standard normal ``noise`` (n, k) with the residuals' covariance."""
        return drawn_residuals(self.fit, noise, data, self.model.residual_columns.columns.tolist(), weights)

    # ---------------------------------------------------------------- other responses
    def refit(self, y: Any) -> LinearMixedResults:
        """Fit the same model to another response (n,), starting from this fit; see :meth:`refit_many`."""
        problem = with_response(self.fit.problem, checked_response(self.design, y))
        return self.model.refitted(self.fit, problem)

    def refit_many(self, Y: Any, names: Sequence[str] | None = None) -> ManyFits:
        """Fit the same model to many responses: one set-up, and where the design allows all of them at once.

        Parameters
        ----------
        Y : array-like (n, R)
            A response in each column, in the rows of the fit (or of its data): a table of any kind, a dict of arrays.
        names : sequence of str, optional
            Names of the responses; those of the columns, if ``Y`` has names.

        Returns
        -------
        ManyFits
            ``params, bse, df, tvalues, pvalues, varcorr, llf, converged``, one row a response; ``to_frame()``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> many = fit.refit_many(fit.simulate(200, seed=1))
        >>> many.params.std().round(1).tolist()
        [6.8, 1.7]
        >>> bool((many.pvalues["Days"] < 0.05).mean() > 0.95)
        True
        """
        from mixedfx.results.many import (
            ManyFits,
            response_names,
        )  # its tables know the names of every quantity of a fit

        responses = checked_responses(self.design, Y)
        found = refit_many(self.fit.problem, responses, self.fit.point.x)
        return ManyFits(self, responses, found, response_names(Y, names, responses.shape[1]))

    # ---------------------------------------------------------------- tables
    def summary(self, alpha: float = 0.05, *, ddf: str | None = None) -> Summary:
        """Return the summary tables.

        Parameters
        ----------
        alpha : float
            One minus the level of the confidence intervals.
        ddf : str, optional
            Whose standard errors and degrees of freedom the tests of the fixed effects have: ``"satterthwaite"``
            (default), ``"kenward-roger"``, ``"containment"``, ``"residual"`` or ``"z"``.

        Returns
        -------
        Summary
            Prints as text; HTML in notebooks; ``as_latex``, ``as_csv``, ``as_markdown``, ``tables``.
        """
        tests = None if ddf is None else self.t_test(np.eye(len(self.params)), ddf=ddf)
        alpha = checked_alpha(alpha)
        return summarize(
            self,
            alpha,
            settings=factors_of(self) | settings_of(self),
            residual=self._residual_table(alpha),
            known_residuals=self.fit.problem.residual is not None and self.fit.problem.residual.sigma is not None,
            tests=tests,
        )

    def _residual_table(self, alpha: float) -> pd.DataFrame | None:
        """The residual structure: standard deviations of kinds of rows, and its parameters with their intervals."""
        further, by_kind = self._further_table(alpha), self._residual_deviations()
        if not len(further) and not len(by_kind):
            return None
        names = {"estimate": "coef", "std_error": "bse", "conf_low": "lower", "conf_high": "upper"}
        parameters = further.set_index("term")[list(names)].rename(columns=names)
        deviations = pd.DataFrame({"coef": by_kind.to_numpy()}, index=[f"sd, {label}" for label in by_kind.index])
        return pd.concat([deviations, parameters]) if len(deviations) else parameters

    def save(self, path: str | Path) -> None:
        """Write the fit to a file (JSON and arrays); :func:`mixedfx.load` reads it back without executing code.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        SpecificationError
            If the model has functions of the user's, which are code: pickle the fit instead.
        """
        self.model.save(path, self.fit)

"""Results of a generalised linear mixed model."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import Summary
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.refit_generalized import with_values
from mixedfx.matrices.new_rows import (
    RowPrior,
    chosen_columns,
    encoded_component,
    fitted_predictor,
    linear_predictor_variance,
    predicted_rows,
    row_weights,
)
from mixedfx.results.components import summary_tables
from mixedfx.results.generalized_estimates import GeneralizedEstimates
from mixedfx.results.generalized_prediction import GeneralizedPrediction, generalized_prediction
from mixedfx.results.predictor_errors import predictor_errors, variance_slopes
from mixedfx.results.response import RESIDUALS, ResponseModel
from mixedfx.results.responses import checked_response
from mixedfx.results.settings import factors_of, settings_of
from mixedfx.results.simulate import checked_count, conditional_columns, generator, random_parts, simulated_rows
from mixedfx.results.summary import summarize

__all__ = ["GeneralizedLinearMixedResults"]

RATIOS = {"logit": "odds ratio", "log": "rate ratio", "cloglog": "hazard ratio"}


@hinting_methods
class GeneralizedLinearMixedResults(GeneralizedEstimates):
    """A fitted generalised linear mixed model, in statsmodels' vocabulary.

    Made by :func:`mixedfx.glmer` or :meth:`mixedfx.GeneralizedLinearMixedModel.fit`; immutable, and computed as it is
    asked for.

    Parameters
    ----------
    model : GeneralizedLinearMixedModel
    fit : GeneralizedFit

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> fit.params.round(3).tolist()
    [-1.399, -0.992, -1.129, -1.58]
    >>> round(float(fit.varcorr.to_frame()["sd"][0]), 4)
    0.6423
    """

    # ---------------------------------------------------------------- rows
    @cached_property
    def _response(self) -> ResponseModel:
        return ResponseModel(self.fit.problem, self._estimate)

    @cached_property
    def _fitted_predictors(self) -> Array:
        eta = fitted_predictor(self.design, self._beta, self._modes)
        return self._response.predictors(eta, self._response.matrices)

    @property
    def linear_predictors(self) -> Array:
        """Linear predictors (n, K) at the modes: of the mean, then of the further components."""
        eta = self._fitted_predictors
        return eta[:, None] if eta.ndim == 1 else eta

    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Conditional means (n,) at the modes of the random effects; probabilities for a binomial response."""
        return pd.Series(self._response.mean(self._fitted_predictors), index=self.design.index, name="fittedvalues")

    @property
    def resid(self) -> pd.Series[float]:
        """Response less conditional mean (n,)."""
        return self.residuals("response")

    def residuals(self, kind: str = "deviance", *, seed: Any = 0) -> pd.Series[float]:
        """Return residuals (n,) indexed as the rows that were used.

        Parameters
        ----------
        kind : str
            ``"response"``; ``"pearson"``: divided by the standard deviation of the response, nan where the family has
            none (``student_t`` of two degrees of freedom or fewer); ``"deviance"``: signed
            roots of the unit deviances (a row that counts as w rows, see ``weights`` of :func:`mixedfx.glmer`, has
            both kinds times the root of w); ``"working"``: on the scale of the linear predictor; ``"quantile"``:
            randomised quantile residuals, standard normal if the model holds.
        seed : int, optional
            Of the randomisation of quantile residuals.
        """
        if kind not in RESIDUALS:
            raise SpecificationError(f"kind is one of {', '.join(map(repr, RESIDUALS))}; found {kind!r}")
        values = RESIDUALS[kind](self._response, self._fitted_predictors, generator(seed))
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
        integrate: bool = False,
    ) -> Any:
        """Predict the response.

        Parameters
        ----------
        data : data frame, optional
            New rows; the fitted rows if omitted.
        random : bool, str or list of str
            Which random effects are included: all, none, or those of the named groups (``"herd"``), terms
            (``"(1 | herd)"``) or parts of terms (``"(1 | herd)"`` out of ``(x | herd)``).
        new_levels : str
            What to do with levels that the fit does not know: ``"error"``, ``"population"`` (no random effect) or
            ``"nan"``.
        which : str
            ``"mean"``; ``"marginal"``: the mean over groups, ``integrate=True``; ``"linear"`` (predictor),
            ``"probabilities"`` (of the categories of an ordinal response: a
            DataFrame), or the name of a further linear predictor (``"dispersion"``, ``"zero_inflation"``) for its
            natural value.
        offset : str or array, optional
            Offset of the new rows; needed if the model had an offset argument.
        weights : optional
            Accepted for symmetry; means do not depend on weights.
        integrate : bool
            Average over the distribution of the random effects (those that ``random`` does not name): what the
            population does, instead of its average member.

        Returns
        -------
        Series
            Indexed as the data; nan in cells that the data of the fit do not have.

        Warns
        -----
        RankDeficientWarning
            If rows lie in cells that the data of the fit do not have.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> new = {"period": ["1", "4"]}
        >>> fit.predict(new, random=False).round(4).tolist()
        [0.198, 0.0484]
        >>> fit.predict(new, random=False, integrate=True).round(4).tolist()
        [0.2161, 0.0573]
        """
        integrate = checked_flag("integrate", integrate) or which == "marginal"
        chosen = chosen_columns(self.design, False if integrate and random is True else random)
        rows = predicted_rows(self.design, data, chosen, new_levels=new_levels, offset=offset, whole=False)
        eta = pd.Series(rows.predictor(self._beta, self._modes), index=rows.index, name="predicted")
        if which == "linear":
            return eta
        variance = np.zeros(len(eta))
        if integrate:
            covariances = self.fit.problem.covariances(self.fit.x)
            variance = linear_predictor_variance(self.design, covariances, [~c for c in chosen], data)
        return self._response.predicted("mean" if which == "marginal" else which, eta, self._further(data), variance)

    def _further(self, data: Any) -> dict[str, Array]:
        """Return the columns of the further linear predictors in the fitted rows or in new ones."""
        if data is None:
            return self._response.matrices
        return {name: encoded_component(fixed, data) for name, fixed in self.model.components.items()}

    def get_prediction(
        self,
        data: Any = None,
        *,
        random: Any = True,
        new_levels: str = "error",
        offset: Any = None,
        weights: Any = None,
        integrate: bool = False,
    ) -> GeneralizedPrediction:
        """Predict with standard errors and intervals.

        Parameters
        ----------
        data : data frame, optional
            New rows; the fitted rows if omitted.
        random, new_levels, offset
            As in :meth:`predict`.
        weights : str or array, optional
            Trials of the new rows of a binomial response, elsewhere precision weights (1 if omitted): for the limits of
            a new observation, which are nan where the trials are unknown.
        integrate : bool
            As in :meth:`predict`: average over the distribution of the random effects that ``random`` does not name.

        Returns
        -------
        GeneralizedPrediction
            ``summary_frame()`` has the mean, its standard error, and the limits for the mean and for a new observation;
            ``summary_frame(which="linear")`` those of the linear predictor.

        Notes
        -----
        Standard errors come from the joint covariance of all parameters and of the included random effects around
        their modes, which move with the parameters (with the variances too). Random effects that are not included do
        not enter them: they are those of the average group, or with ``integrate=True`` of the mean over groups, where
        the variances count once more. The limits for a new observation are quantiles of 2000 simulated responses: the
        parameters are drawn from their normal approximation, included random effects around their modes, and others
        from their distribution.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> new = {"period": ["1", "4"], "size": [20, 20]}
        >>> found = fit.get_prediction(new, random=False, integrate=True, weights="size").summary_frame()
        >>> print(found[["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]].round(3).to_string())
            mean  mean_se  mean_ci_lower  mean_ci_upper
        0  0.216    0.036          0.153          0.296
        1  0.057    0.023          0.026          0.123
        """
        integrate = checked_flag("integrate", integrate)
        chosen = chosen_columns(self.design, False if integrate and random is True else random)
        rows = predicted_rows(self.design, data, chosen, new_levels=new_levels, offset=offset)
        eta = pd.Series(rows.predictor(self._beta, self._modes), index=rows.index, name="predicted")
        errors = predictor_errors(self.fit, rows)
        left_out = [~used & integrate for used in chosen]
        averaging = np.zeros(len(eta)), np.zeros((len(eta), self.fit.x.size))
        if any(columns.any() for columns in left_out):
            covariances = self.fit.problem.covariances(self.fit.x)
            variance = linear_predictor_variance(self.design, covariances, left_out, data)
            averaging = variance, variance_slopes(self.fit, left_out, data)
        prior = self._prior(data, weights)
        notes = (*rows.notes, *(() if prior.note is None else (prior.note,)))
        found = generalized_prediction(
            self.fit, self._response, eta, errors, self._further(data), averaging, prior.values
        )
        return replace(found, notes=notes, averaged=integrate)

    def _prior(self, data: Any, weights: Any) -> RowPrior:
        """Return the trials or the precision weights of rows; weights that multiply the likelihood draw nothing."""
        found = row_weights(self.design, data, weights)
        family = self.fit.problem.family
        return found if family.proportions or family.precision_weights else RowPrior(None)

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
            ``"new"``: random effects drawn afresh for every level; ``"fitted"``: the conditional modes; groups or terms
            as in :meth:`predict`: theirs as fitted, the others drawn afresh.
        data : data frame, optional
            New rows; the fitted rows if omitted.
        new_levels : str
            Where fitted effects are asked for, levels of the new data that the fit does not know: ``"error"``,
            ``"draw"`` (an effect drawn afresh), ``"population"`` (no effect) or ``"nan"``.
        offset : str or array, optional
            Offset of the new rows; needed if the model had an array.
        weights : str or array, optional
            Trials of the new rows of a binomial response (needed if the fit had trials), elsewhere precision weights
            (1 if omitted).

        Returns
        -------
        DataFrame
            Rows x n; proportions for a binomial response, numbers 1, 2, … for categories.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> new = {"period": ["1", "4"], "herd": ["new", "new"], "size": [20, 20]}
        >>> (20 * fit.simulate(1000, seed=1, data=new, weights="size")).mean(axis=1).round(1).tolist()
        [4.2, 1.1]
        """
        draws, rng = checked_count(n), generator(seed)
        roots, chosen = self.fit.problem.roots(self.fit.x), conditional_columns(self.design, random)
        rows = simulated_rows(self.design, self._beta, data, chosen, new_levels=new_levels, offset=offset)
        prior = self._prior(data, weights).values
        counted = data is not None and self.design.response.trials is not None
        if counted and prior is not None and np.isnan(prior).all():
            raise SpecificationError(
                "the response counts successes out of trials: say how many trials the new rows have, weights=…"
            )
        eta = rows.fixed + random_parts(rows, roots, self._modes, draws, rng, chosen).T
        y = self._response.drawn(eta, self._further(data), prior, rng)
        return pd.DataFrame(y.T, index=rows.index)

    def refit(self, y: Any) -> GeneralizedLinearMixedResults:
        """Fit the same model to another response (n,) as :meth:`simulate` gives it, starting from this fit."""
        values = checked_response(self.design, y)
        return self.model.refitted(self.fit, with_values(self.fit.problem, values))

    # ---------------------------------------------------------------- tables
    def summary(self, alpha: float = 0.05, *, exp: bool = False) -> Summary:
        """Return the summary tables.

        Parameters
        ----------
        alpha : float
            One minus the level of the confidence intervals.
        exp : bool
            Show exponentiated coefficients: odds ratios, rate ratios.

        Returns
        -------
        Summary
            Prints as text; HTML in notebooks; ``as_latex``, ``as_csv``, ``as_markdown``, ``tables``.
        """
        problem = self.fit.problem
        return summarize(
            self,
            checked_alpha(alpha),
            title="Generalised linear mixed model",
            facts=[
                ("Family", problem.family.name),
                ("Link", problem.family.link.name),
                ("Integration", self.integration),
            ],
            settings=factors_of(self)
            | {name: text for name, text in settings_of(self).items() if name not in ("Family", "Link", "Penalty")},
            components=summary_tables(problem, self._estimate, self.fit.covariance),
            ratio=RATIOS.get(problem.family.link.name, "exp(coef)") if exp else None,
        )

"""A fitted mixed model: its rows and its responses, beside the estimates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import Summary
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods, wrong_fit
from mixedfx._typing import Array
from mixedfx._workers import Workers
from mixedfx.fitting import Refits
from mixedfx.matrices.new_rows import (
    NewLevelsName,
    chosen_columns,
    fitted_predictor,
    predicted_rows,
)
from mixedfx.results.handover import HandedOver
from mixedfx.results.prediction import Prediction, prediction
from mixedfx.results.responses import checked_response
from mixedfx.results.settings import factors_of, ratio_name, settings_of
from mixedfx.results.shortcuts import Shortcuts
from mixedfx.results.simulate import (
    DrawnLevelsName,
    SourceName,
    checked_count,
    conditional_columns,
    generator,
    random_parts,
    simulated_rows,
)
from mixedfx.results.summary import summarize

if TYPE_CHECKING:
    from mixedfx.inference.ddf import DdfName
    from mixedfx.results.adapted import AdaptedFit
    from mixedfx.results.intervals import MethodName
    from mixedfx.results.many import ManyFits
    from mixedfx.results.quantities import WhichName

__all__ = ["MixedResults", "checked_fit", "results_of_ours"]

PredictedName: TypeAlias = Literal["mean", "linear", "marginal", "probabilities", "dispersion", "zero_inflation"]
IN_FACTS = ("Family", "Link", "Penalty")  # settings that a summary shows elsewhere


@hinting_methods
class MixedResults(Shortcuts, HandedOver):
    """A fitted mixed model, whatever its kind: it asks ``solution``, the face of every fit.

    Parameters
    ----------
    model
    solution : Fit
        What the search found.
    asked : dict
        The arguments of ``fit``.
    """

    # ---------------------------------------------------------------- rows
    @cached_property
    def _first_predictors(self) -> Array:
        """``X beta + Z b`` and the offset (n,) in the fitted rows."""
        return fitted_predictor(self.design, self.solution.beta, self.solution.modes)

    @cached_property
    def _predictors(self) -> Array:
        """All linear predictors of the fitted rows as the family takes them: (n,), or (n, K) for several."""
        response = self.solution.response
        return response.predictors(self._first_predictors, response.matrices)

    @property
    def linear_predictors(self) -> Array:
        """Linear predictors (n, K) at the modes: of the mean, then of the further components."""
        eta = self._predictors
        return eta[:, None] if eta.ndim == 1 else eta

    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Conditional means (n,) at the modes of the random effects; probabilities for a binomial response."""
        return pd.Series(self.solution.response.mean(self._predictors), index=self.design.index, name="fittedvalues")

    @property
    def resid(self) -> pd.Series[float]:
        """Response less conditional mean (n,)."""
        return self.residuals("response")

    def residuals(self, kind: str | None = None, *, seed: Any = 0) -> pd.Series[float]:
        """Return residuals (n,) indexed as the rows that were used.

        Parameters
        ----------
        kind : str, optional
            ``"response"`` (the default of linear models): response less conditional mean; ``"pearson"``: divided by the
            standard deviation of the response, nan where the family has none (``student_t`` of two degrees of freedom
            or fewer); ``"deviance"`` (the default of generalised models): signed roots of the unit deviances, in a
            linear model the response kind times the root of the weight (a row that counts as w rows, see ``weights`` of
            :func:`mixedfx.glmer`, has the last two kinds times the root of w); ``"working"``: on the scale of the
            linear predictor. Generalised models only: ``"quantile"``: randomised quantile residuals, standard normal if
            the model holds. Linear models only: ``"conditional"``, another name of ``"response"``; ``"normalized"``:
            multiplied by an inverse root of the residual covariance, which whitens them if that has a structure;
            ``"marginal"``: y less ``X beta``.
        seed : int, optional
            Of the randomisation of quantile residuals.
        """
        values = self.solution.response.residuals(kind, self._predictors, generator(seed))
        return pd.Series(values, index=self.design.index, name="resid")

    def predict(
        self,
        data: Any = None,
        *,
        random: Any = True,
        new_levels: NewLevelsName = "error",
        which: PredictedName = "mean",
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
            Which random effects are included: all, none, or those of the named groups (``"Subject"``), terms
            (``"(Days | Subject)"``) or parts of terms (``"(1 | Subject)"`` out of ``(Days | Subject)``).
        new_levels : str
            What to do with levels that the fit does not know: ``"error"``, ``"population"`` (no random effect) or
            ``"nan"``.
        which : str
            ``"mean"``; ``"marginal"``: the mean over groups, ``integrate=True``; ``"linear"`` (predictor). In
            generalised models also ``"probabilities"`` (of the categories of an ordinal response: a DataFrame), or the
            name of a further linear predictor (``"dispersion"``, ``"zero_inflation"``) for its natural value.
        offset : str or array, optional
            Offset of the new rows; needed if the model had an offset argument.
        weights : optional
            Accepted for symmetry; means do not depend on weights.
        integrate : bool
            Average over the distribution of the random effects (those that ``random`` does not name): what the
            population does, instead of its average member. In a linear model the two are the same.

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
        fit = self.solution
        eta = pd.Series(rows.predictor(fit.beta, fit.modes), index=rows.index, name="predicted")
        if which == "linear":
            return eta
        variance = np.zeros(len(eta))
        if integrate and not fit.response.mean_is_linear:
            variance = fit.integrated_variance([~c for c in chosen], data)
        kind = "mean" if which == "marginal" else which
        return fit.response.predicted(kind, eta, fit.response.columns(data), variance)

    def get_prediction(
        self,
        data: Any = None,
        *,
        random: Any = True,
        new_levels: NewLevelsName = "error",
        offset: Any = None,
        weights: Any = None,
        integrate: bool = False,
    ) -> Prediction:
        """Predict with standard errors and intervals.

        Parameters
        ----------
        data : data frame, optional
            New rows; the fitted rows if omitted.
        random, new_levels, offset
            As in :meth:`predict`.
        weights : str or array, optional
            Of new observations: trials of a binomial response, elsewhere precision weights; those of the fit's own
            column if omitted, else 1. Limits of an observation are nan where the trials are unknown.
        integrate : bool
            As in :meth:`predict`: average over the distribution of the random effects that ``random`` does not name.

        Returns
        -------
        Prediction
            ``summary_frame()`` has the mean, its standard error, and the limits for the mean and for a new observation;
            ``summary_frame(which="linear")`` those of the linear predictor; ``summary_frame(which="effect")`` those for
            the true mean of a new group (in a meta-analysis the prediction interval of a new study's true effect).

        Notes
        -----
        Linear models: the standard error covers the uncertainty of the fixed effects and of the random effects that are
        included. A new observation adds the random effects that are not included, and its own residual: sigma squared
        over its weight, times what a residual structure says of the row (its variance by group; the known variance of a
        study). It is the same for rows of the fit and the same rows given as data. Where a row has none but smooths,
        the limits of its mean are those of Satterthwaite's t distribution; all others are normal, and the variances
        count as known.

        Generalised models: standard errors come from the joint covariance of all parameters and of the included random
        effects around their modes, which move with the parameters (with the variances too). Random effects that are not
        included do not enter them: they are those of the average group, or with ``integrate=True`` of the mean over
        groups, where the variances count once more. The limits for a new observation are quantiles of 2000 simulated
        responses: the parameters are drawn from their normal approximation, included random effects around their modes,
        and others from their distribution.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> new = {"Days": [10, 10], "Subject": ["308", "new"]}
        >>> fit.get_prediction(new, new_levels="population").se_mean.round(1).tolist()
        [15.9, 16.0]

        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> new = {"period": ["1", "4"], "size": [20, 20]}
        >>> frame = fit.get_prediction(new, random=False, integrate=True, weights="size").summary_frame()
        >>> print(frame[["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]].round(3).to_string())
            mean  mean_se  mean_ci_lower  mean_ci_upper
        0  0.216    0.036          0.153          0.296
        1  0.057    0.023          0.026          0.123
        """
        integrate = checked_flag("integrate", integrate)
        chosen = chosen_columns(self.design, False if integrate and random is True else random)
        rows = predicted_rows(self.design, data, chosen, new_levels=new_levels, offset=offset)
        return prediction(self.solution, self.denominator(), rows, data, weights, averaged=integrate)

    def simulate(
        self,
        n: int = 1,
        *,
        seed: Any = None,
        random: SourceName | Sequence[str] = "new",
        data: Any = None,
        new_levels: DrawnLevelsName = "error",
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
            Of the new rows: trials of a binomial response (needed if the fit had trials), elsewhere precision weights;
            those of the fit's own column if omitted, else 1.

        Returns
        -------
        DataFrame
            Rows x n; proportions for a binomial response, numbers 1, 2, … for categories; missing where a predictor is.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.simulate(3, seed=1).shape
        (180, 3)
        >>> new = {"Days": [0, 9, 0, 9], "Subject": ["a", "a", "308", "308"]}
        >>> fit.simulate(1000, seed=1, data=new, random="fitted", new_levels="draw").std(axis=1).round().tolist()
        [36.0, 66.0, 25.0, 26.0]

        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> new = {"period": ["1", "4"], "herd": ["new", "new"], "size": [20, 20]}
        >>> (20 * fit.simulate(1000, seed=1, data=new, weights="size")).mean(axis=1).round(1).tolist()
        [4.2, 1.1]
        """
        draws, rng, fit = checked_count(n), generator(seed), self.solution
        chosen = conditional_columns(self.design, random)
        rows = simulated_rows(self.design, fit.beta, data, chosen, new_levels=new_levels, offset=offset)
        eta = rows.fixed[:, None] + random_parts(rows, fit.drawn_effects, fit.modes, draws, rng, chosen)
        return pd.DataFrame(fit.response.draw(eta, data, weights, rng), index=rows.index)

    # ---------------------------------------------------------------- intervals
    def conf_int(
        self,
        alpha: float = 0.05,
        method: MethodName = "wald",
        which: WhichName = "fixed",
        *,
        n: int = 1000,
        seed: Any = None,
        n_jobs: int | None = None,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Return confidence intervals.

        Parameters
        ----------
        alpha : float
            One minus the level.
        method : str
            ``"wald"``: for fixed effects estimate plus and minus a t (or normal) quantile times the standard error; for
            standard deviations on the logarithmic scale, for correlations on that of the inverse hyperbolic tangent.
            ``"profile"``: where the likelihood-ratio test does not reject (:func:`mixedfx.profile`).
            ``"bootstrap"``: percentiles of a parametric bootstrap; :func:`mixedfx.bootstrap` has other kinds.
        which : str
            ``"fixed"``: the fixed effects; ``"random"``: standard deviations ``sd_x|g``, correlations ``cor_x.y|g`` and
            ``sigma``; ``"family"``: coefficients of further linear predictors (``dispersion: x``,
            ``zero_inflation: x``) and family-wide parameters (``family: df``) of a generalised model; ``"all"``.
        n, seed : int
            Replicates of the bootstrap; its seed (or a SeedSequence or Generator).
        n_jobs : int, optional
            Processes; -1 for one each core. If omitted, what ``joblib.parallel_config`` says around the call, else 1.
        progress : bool, optional
            Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

        Returns
        -------
        DataFrame
            Columns ``lower``, ``upper``. Wald limits of a variance at zero are missing: it has no standard error there.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.conf_int(which="all").round(2)
                                     lower   upper
        sd_Intercept|Subject         15.58   39.28
        sd_Days|Subject               3.92    8.95
        cor_Days.Intercept|Subject   -0.52    0.61
        sigma                        22.80   28.72
        Intercept                   237.01  265.80
        Days                          7.21   13.73
        """
        request = (checked_alpha(alpha), method, which, n, seed, Workers(n_jobs, progress))
        return cast("pd.DataFrame", higher("confidence_intervals")(self, *request))

    def _adapted(self, ddf: DdfName | float | None, *, random: bool, further: bool) -> AdaptedFit:
        """Return what tests and means of a linear predictor need: see :func:`mixedfx.results.adapters.adapted`."""
        from mixedfx.results.adapters import mixed_fit

        return mixed_fit(self, ddf, random=random, further=further)

    # ---------------------------------------------------------------- other responses, other models
    def refit(self, y: Any) -> Self:
        """Fit the same model to another response (n,) as :meth:`simulate` gives it, starting from this fit."""
        return self._refitted(self.solution.with_response(checked_response(self.design, y)))

    def _refitted(self, problem: Any) -> Self:
        """Fit a problem of the same model (another response, other rows), starting from this fit."""
        again: Self = self.model.refitted(self.solution, problem)
        return again

    def refit_many(
        self, Y: Any, names: Sequence[Any] | None = None, out: str | Path | None = None, chunk: int | None = None
    ) -> ManyFits:
        """Fit the same model to many responses (genes, electrodes, voxels, simulated studies): all at once if possible.

        Parameters
        ----------
        Y : array-like (n, R), or an iterator
            A response in each column, in the rows of the fit (or of its data): a table of any kind (pandas, polars,
            pyarrow), a dict of arrays, an array (one on disk, ``np.memmap``, is read as it is needed). Proportions for
            a binomial response. An iterator gives such tables one after the other.
        names : sequence, optional
            Names of the responses; those of the columns, if ``Y`` has names, else 0, 1, …
        out : str or Path, optional
            A Parquet file (``….parquet``) for the results, written a chunk at a time: neither all responses nor all
            results need fit into memory. A file of that name is replaced once the new one is whole.
        chunk : int, optional
            How many responses are fitted and written at a time; by default so many that they have two million values
            in a linear model, and sixty thousand in others.

        Returns
        -------
        ManyFits
            ``params, bse, df, tvalues, pvalues, varcorr, llf, converged, singular, verdict``, one row a response;
            ``to_frame()``. After ``out=`` the tables are read from the file when they are asked for.

        Raises
        ------
        SpecificationError
            If names are too few or too many or come twice, or ``out`` is not a Parquet file.
        DataError
            If the number of rows is wrong, a value is no number, there is no response, or the file cannot be written.
        ImportError
            If ``out`` is given and pyarrow is not installed.

        Warns
        -----
        ConvergenceWarning
            Once, if some responses have no optimum, or no fit: a missing value, a number that the family cannot have,
            no residual. They are missing in the tables, and :attr:`~ManyFits.verdict` says why.

        Notes
        -----
        The numbers are those of :meth:`refit`. Linear models of independent small groups are fitted all at once, and so
        are generalised ones by Laplace with one grouping factor; others one after the other. Tests are Satterthwaite's
        t tests, and z tests in generalised models.

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
        found: ManyFits = higher("refit_many")(self, Y, names, out, chunk)
        return found

    def update(self, formula: str | None = None, *, data: Any = None, **changes: Any) -> Self:
        """Fit the same model with something changed; everything else stays as it was.

        Parameters
        ----------
        formula : str, optional
            The change: ``.`` stands for what the side of the formula was, as in ``"~ . - x"``,
            ``"~ . - (1 | g) + (x | g)"`` or ``"log(.) ~ ."``.
        data : data frame or dict of arrays, optional
            Other data.
        **changes
            Other arguments of the call that made the fit: ``weights``, ``contrasts``, ``reml``, ``family``, ``nagq``,
            ``control``, …; ``None`` takes one away.

        Returns
        -------
        LinearMixedResults or GeneralizedLinearMixedResults

        Raises
        ------
        SpecificationError
            If there is nothing to take away, or the fit has no data of its own.
        DataError
            If the data have no such column.

        Notes
        -----
        The data are those that the fit was given, with all their columns. A fit that was saved or pickled keeps only
        the columns that it used: give ``data`` for others. Where values are missing, another formula can mean other
        rows; the summary of the new fit says which. Starting values of ``control`` are dropped if the random part
        changes.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> print(fit.update("log(.) ~ . - Days + I(Days^2)").model.formula)
        log(Reaction) ~ 1 + I(Days ** 2) + (1 + Days | Subject)
        >>> simpler = fit.update("~ . - (Days | Subject) + (1 | Subject)", reml=False)
        >>> round(simpler.llf, 3)
        -897.039
        """
        new: Self = self.model.updated(self.asked, formula, data, changes)
        return new

    def save(self, path: str | Path) -> None:
        """Write the fit to a file (JSON and arrays); :func:`mixedfx.load` reads it back without executing code.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        SpecificationError
            If the model has a family object or functions of the user's, which are code: pickle the fit instead.
        """
        self.model.save(path, self.solution)

    @property
    def refits_together(self) -> bool:
        """Whether many responses are fitted at once; their standard errors are computed when they are asked for."""
        return False

    @property
    def refits_grouped(self) -> bool:
        """Whether a hundred responses, each drawn with a seed of its own, are fitted in much less time than apart."""
        return self.refits_together

    def _refits(self, Y: Array) -> Refits | None:
        """Fit the model to many responses (n, R) at once; None where that is done one after the other."""
        return None

    # ---------------------------------------------------------------- tables
    def summary(self, alpha: float = 0.05, *, ddf: str | None = None, exp: bool = False) -> Summary:
        """Return the summary tables.

        Parameters
        ----------
        alpha : float
            One minus the level of the confidence intervals.
        ddf : str, optional
            Whose standard errors and degrees of freedom the tests of the fixed effects have: ``"satterthwaite"`` (the
            default of linear models), ``"kenward-roger"``, ``"containment"``, ``"residual"`` or ``"z"`` (all that
            generalised models have).
        exp : bool
            Show exponentiated coefficients: odds ratios, rate ratios.

        Returns
        -------
        Summary
            Prints as text; HTML in notebooks; ``as_latex``, ``as_csv``, ``as_markdown``, ``tables``.
        """
        alpha, exp, fit = checked_alpha(alpha), checked_flag("exp", exp), self.solution
        tests = None if ddf is None else self.t_test(np.eye(len(self.params)), ddf=ddf)
        settings = {name: text for name, text in settings_of(self).items() if name not in IN_FACTS}
        laws = {"Random laws": ", ".join(f"{group} {law}" for group, law in fit.laws.items())} if fit.laws else {}
        return summarize(
            self,
            alpha,
            title=fit.heading,
            method=fit.method,
            facts=fit.facts,
            settings=factors_of(self) | laws | settings,
            residual=self._residual_table(alpha),
            known_residuals=fit.residual is not None and fit.residual.sigma is not None,
            components=self._component_tables(),
            ratio=(ratio_name(fit) or "exp(coef)") if exp else None,
            tests=tests,
            unanswered=fit.unanswered,
        )

    def _residual_table(self, alpha: float) -> pd.DataFrame | None:
        """The residual structure: standard deviations of kinds of rows, and its parameters with their intervals."""
        return None

    def _component_tables(self) -> dict[str, pd.DataFrame]:
        """Tables of further linear predictors and family-wide parameters, by title."""
        return {}

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def results_of_ours(fit: Any) -> MixedResults | None:
    """Return a fitted mixed model of any kind; None for a fit of another package, or what is no fit."""
    return fit if isinstance(fit, MixedResults) else None  # the one door: what comes in from a user


def checked_fit(fit: Any, function: str, words: str = "takes a fitted mixed model") -> MixedResults:
    """Return a fitted mixed model of any kind as a function takes it; ``words`` say what the function wants.

    Raises
    ------
    TypeError
        If it is something else: a model that is not fitted, a fit of another package.
    """
    results = results_of_ours(fit)
    if results is None:
        raise wrong_fit(function, words, fit)
    return results

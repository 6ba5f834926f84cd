"""Results of a generalised linear mixed model."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._display import Summary
from mixedfx._typing import Array
from mixedfx.criterion.conditional import Moments, first_order_mean
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.design import Design
from mixedfx.design.frame import as_frame
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Certificate
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.results.base import MixedResults
from mixedfx.results.components import component_tables, family_table, further_parameters
from mixedfx.results.conditional import effects_by_term, mode_variances, quadrature_moments
from mixedfx.results.effects import effect_frames
from mixedfx.results.generalized_prediction import GeneralizedPrediction, predictor_variance
from mixedfx.results.integration import compare_integrators, joint_map_path
from mixedfx.results.population import linear_predictor_variance
from mixedfx.results.predict import chosen_terms, encoded_term, fitted_predictor, new_predictor
from mixedfx.results.prediction import PredictedRows
from mixedfx.results.response import RESIDUALS, ResponseModel
from mixedfx.results.simulate import checked_count, generator, random_parts
from mixedfx.results.summary import summarize
from mixedfx.results.varcorr import TermCovariance, VarCorr

if TYPE_CHECKING:
    from mixedfx.models.generalized import GeneralizedLinearMixedModel

__all__ = ["GeneralizedLinearMixedResults"]

RATIOS = {"logit": "odds ratio", "log": "rate ratio", "cloglog": "hazard ratio"}


class GeneralizedLinearMixedResults(MixedResults):
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

    reml = False

    def __init__(self, model: GeneralizedLinearMixedModel, fit: GeneralizedFit) -> None:
        self.model = model
        self.fit = fit

    @property
    def design(self) -> Design:
        """The matrices that were fitted."""
        return self.fit.problem.design

    @cached_property
    def _estimate(self) -> Array:
        """All parameters on the user's scale."""
        return self.fit.problem.to_user(self.fit.x)

    # ---------------------------------------------------------------- parameters
    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,) of the first linear predictor."""
        return pd.Series(self._beta, index=list(self.design.fixed.names), name="params", dtype=float)

    @property
    def _beta(self) -> Array:
        return self._estimate[: self.fit.problem.model.n_fixed]

    @cached_property
    def _covariance(self) -> Array:
        p = self.fit.problem.model.n_fixed
        return np.asarray(self.fit.covariance[:p, :p])

    @property
    def df(self) -> pd.Series[float]:
        """Infinity: the tests are z tests."""
        return self._series(np.full(len(self.params), np.inf), "df")

    @cached_property
    def theta(self) -> pd.Series[float]:
        """Covariance parameters, labelled by group and term; absolute."""
        labels = [
            (term.group, label) for term in self.design.random for label in term.covariance.labels(list(term.names))
        ]
        index = pd.MultiIndex.from_tuples(labels, names=["group", "term"])
        return pd.Series(self._estimate[self.fit.problem.model.theta_slice], index=index, name="theta", dtype=float)

    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales, named by ``model.family.phi_names``."""
        names = self.fit.problem.family.phi_names
        return np.asarray(self._estimate[self._estimate.size - len(names) :])

    @property
    def family_params(self) -> pd.Series[float]:
        """Family-wide parameters on their natural scales: dispersion, degrees of freedom, power, thresholds."""
        return family_table(self.fit.problem, self._estimate, self.fit.covariance)["coef"].rename("family_params")

    @property
    def scale(self) -> float:
        """Dispersion of an exponential dispersion model (the residual variance of a Gaussian one); 1 elsewhere."""
        family = self.fit.problem.family
        if not family.precision_weights or "dispersion" not in family.phi_names:
            return 1.0
        return float(np.exp(self.phi[family.phi_names.index("dispersion")]))

    @property
    def sigma(self) -> float:
        """Root of :attr:`scale`."""
        return float(np.sqrt(self.scale))

    @property
    def component_params(self) -> dict[str, pd.DataFrame]:
        """Estimates of the further linear predictors: name to DataFrame (``coef, bse, statistic, pvalue``)."""
        return component_tables(self.fit.problem, self._estimate, self.fit.covariance)

    @property
    def params_all(self) -> pd.Series[float]:
        """All parameters, indexed by (component, name), on the scales on which they are linear or unbounded.

        Components: ``conditional``, the further linear predictors, the logarithm of the ``dispersion`` and other
        family-wide parameters, ``thresholds``, ``covariance``.
        """
        parts = {("conditional", str(name)): float(value) for name, value in self.params.items()}
        parts |= further_parameters(self.fit.problem, self._estimate)
        names = [f"{group}: {term}" for group, term in self.theta.index.tolist()]
        parts |= {("covariance", name): float(v) for name, v in zip(names, self.theta.to_numpy(), strict=True)}
        index = pd.MultiIndex.from_tuples(list(parts), names=["component", "name"])
        return pd.Series(list(parts.values()), index=index, name="params_all", dtype=float)

    def conf_int(self, alpha: float = 0.05, method: str = "wald") -> pd.DataFrame:
        """Return confidence intervals of the fixed effects.

        Parameters
        ----------
        alpha : float
            One minus the level.
        method : str
            ``"wald"``: estimate plus and minus a normal quantile times the standard error.

        Returns
        -------
        DataFrame
            Columns ``lower``, ``upper``.
        """
        if method != "wald":
            raise SpecificationError(f"method is 'wald'; found {method!r}")
        return self._wald_interval(self._checked_alpha(alpha))

    # ---------------------------------------------------------------- variances and random effects
    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances, standard deviations and correlations of the random effects; a residual where there is one."""
        covariances = self.fit.problem.covariances(self.fit.x)
        terms = tuple(
            TermCovariance(term.group, tuple(term.names), matrix, correlated=written.covariance != "diag")
            for term, written, matrix in zip(self.design.random, self.design.formula.random, covariances, strict=True)
        )
        return VarCorr(terms, self.scale if self.fit.problem.family.precision_weights else None)

    @cached_property
    def _modes(self) -> tuple[Array, ...]:
        return effects_by_term(self.fit.problem, self.fit.at.state.mode.b)

    @cached_property
    def _mode_variances(self) -> tuple[Array, ...]:
        return mode_variances(self.fit)

    @cached_property
    def _moments(self) -> tuple[Moments, ...] | None:
        return quadrature_moments(self.fit)

    @property
    def random_effects_mean(self) -> dict[str, pd.DataFrame]:
        """Conditional means: group to DataFrame (levels x columns).

        From the nodes of the quadrature where there is one; after a Laplace fit the modes corrected to first order by
        the skewness of the likelihood.
        """
        if self._moments is not None:
            return effect_frames(self.design.random, [m.mean for m in self._moments])
        means = first_order_mean(LaplaceEvaluation(self.fit.at.state))
        return effect_frames(self.design.random, effects_by_term(self.fit.problem, means))

    @property
    def random_effects_moments(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Conditional ``mean``, ``sd`` and ``skewness`` from the nodes of the quadrature, each group to DataFrame.

        Raises
        ------
        SpecificationError
            After a fit without quadrature.
        """
        if self._moments is None:
            raise SpecificationError('conditional moments come from quadrature: fit with nagq="auto" or nagq > 1')
        return {
            kind: effect_frames(self.design.random, [getattr(m, kind) for m in self._moments])
            for kind in ("mean", "sd", "skewness")
        }

    @property
    def mode_mean_distance(self) -> dict[str, pd.DataFrame]:
        """Distance of conditional mean and mode in conditional standard deviations: above 0.3 the mode misleads."""
        modes, sds = self.random_effects, self.random_effects_sd
        return {g: (mean - modes[g]).abs() / sds[g] for g, mean in self.random_effects_mean.items()}

    # ---------------------------------------------------------------- fit
    @property
    def llf(self) -> float:
        """Log-likelihood, all constants included."""
        return self.fit.llf

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters."""
        return self.fit.problem.n_parameters

    @property
    def certificate(self) -> Certificate:
        """How sure it is that the optimum was found."""
        return self.fit.certificate

    @property
    def integration(self) -> str:
        """How the random effects were integrated out."""
        nodes = self.fit.nodes
        if nodes == 0:
            return "Laplace, fixed effects profiled"
        return "Laplace" if nodes == 1 else f"adaptive quadrature, {nodes} nodes"

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words."""
        beyond = [name for name, _ in further_parameters(self.fit.problem, self._estimate)]
        limits = [name for name, out in zip(beyond, self.fit.at_limit[self.fit.x.size - len(beyond) :]) if out]
        found = [f"the {name.replace('_', ' ')} has run to its limit: the data show none" for name in limits]
        return (*self.design.notes, *found)

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
        self.model.save(path, self.fit)

    def compare_integrators(self, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
        """Evaluate the log-likelihood at the estimate by Laplace, quadrature and importance sampling.

        Parameters
        ----------
        draws : int
            Draws of importance sampling.
        seed : int

        Returns
        -------
        DataFrame
            One row a method; columns ``llf, standard_error, pareto_k, difference`` (to the most accurate one).

        Examples
        --------
        >>> import mixedfx as mfx
        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> fit.compare_integrators().loc["Laplace", "difference"].round(4)
        np.float64(-0.0425)
        """
        return compare_integrators(self.fit, checked_count(draws), seed)

    def joint_map_path(self) -> pd.DataFrame:
        """Follow the joint mode of fixed and random effects as the standard deviations shrink: it has no maximum."""
        return joint_map_path(self.fit)

    # ---------------------------------------------------------------- rows
    @cached_property
    def _response(self) -> ResponseModel:
        return ResponseModel(self.fit.problem, self._estimate)

    @cached_property
    def _fitted_predictors(self) -> Array:
        eta = fitted_predictor(self.design, self._beta, self._modes, [True] * len(self.design.random))
        return self._response.predictors(eta, self._response.matrices)

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
            ``"response"``; ``"pearson"``: divided by the standard deviation of the response; ``"deviance"``: signed
            roots of the unit deviances; ``"working"``: on the scale of the linear predictor; ``"quantile"``:
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
            Whether random effects are included: all, none, or those of the named groups.
        new_levels : str
            What to do with levels that the fit does not know: ``"error"``, ``"population"`` (no random effect) or
            ``"nan"``.
        which : str
            ``"mean"``, ``"linear"`` (predictor), ``"probabilities"`` (of the categories of an ordinal response: a
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
            Indexed as the data.

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
        random = False if integrate and random is True else random
        chosen = chosen_terms(self.design, random)
        eta, matrices = self._linear(data, chosen, new_levels, offset)
        if which == "linear":
            return eta.rename("predicted")
        variance = np.zeros(len(eta))
        if integrate:
            covariances = self.fit.problem.covariances(self.fit.x)
            variance = linear_predictor_variance(self.design, covariances, [not c for c in chosen], data)
        return self._response.predicted(which, eta, matrices, variance)

    def _linear(
        self, data: Any, chosen: list[bool], new_levels: str, offset: Any
    ) -> tuple[pd.Series[float], dict[str, Array]]:
        if data is None:
            eta = fitted_predictor(self.design, self._beta, self._modes, chosen)
            return pd.Series(eta, index=self.design.index), self._response.matrices
        predicted = new_predictor(
            self.design, self._beta, self._modes, chosen, data, new_levels=new_levels, offset=offset
        )
        return predicted, {name: fixed.encode(data) for name, fixed in self.model.components.items()}

    def get_prediction(
        self, data: Any = None, *, random: Any = True, new_levels: str = "error", offset: Any = None
    ) -> GeneralizedPrediction:
        """Predict with standard errors and intervals.

        Parameters
        ----------
        data : data frame, optional
            New rows; the fitted rows if omitted.
        random, new_levels, offset
            As in :meth:`predict`.

        Returns
        -------
        GeneralizedPrediction
            ``summary_frame()`` has the mean, its standard error, and the limits for the mean and for a new observation.
        """
        chosen = chosen_terms(self.design, random)
        eta, matrices = self._linear(data, chosen, new_levels, offset)
        terms = self.design.random
        frame = None if data is None else as_frame(data)
        x = self.design.fixed.matrix if frame is None else self.design.fixed.encode(frame)
        pairs = [
            (t.codes, t.matrix) if frame is None else encoded_term(t, frame, used)
            for t, used in zip(terms, chosen, strict=True)
        ]
        rows = PredictedRows(x, [codes for codes, _ in pairs], [z for _, z in pairs], chosen)
        variance, others = predictor_variance(self.fit, rows)
        model = self._response
        family, phi = self.fit.problem.family, self.phi
        return GeneralizedPrediction(
            eta,
            np.sqrt(variance),
            others,
            lambda e: model.mean(model.predictors(e, matrices)),
            lambda e, rng: family.simulate(rng, model.predictors(e, matrices), phi),
        )

    def simulate(self, n: int = 1, *, seed: Any = None, random: str = "new") -> pd.DataFrame:
        """Draw responses from the fitted model.

        Parameters
        ----------
        n : int
            Number of draws.
        seed : int, SeedSequence or Generator, optional
            The same seed gives the same draws.
        random : str
            ``"new"``: random effects drawn afresh; ``"fitted"``: the conditional modes.

        Returns
        -------
        DataFrame
            Rows x n; proportions for a binomial response.
        """
        draws, rng = checked_count(n), generator(seed)
        problem, theta = self.fit.problem, self.fit.at.theta
        roots = [
            basis.matrix @ slot.covariance.factor(theta[slot.theta])
            for basis, slot in zip(problem.terms, problem.model.covariance.terms, strict=True)
        ]
        fixed = fitted_predictor(self.design, self._beta, self._modes, [False] * len(roots))
        eta = fixed + random_parts(self.design, roots, self._modes, draws, rng, random).T
        y = self._response.drawn(self._response.predictors(eta, self._response.matrices), rng)
        return pd.DataFrame(y.T, index=self.design.index)

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
        family = self.fit.problem.family
        components = {name.replace("_", " ").capitalize(): t for name, t in self.component_params.items()}
        if family.phi_names:
            components["Family parameters"] = family_table(self.fit.problem, self._estimate, self.fit.covariance)
        facts = [("Family", family.name), ("Link", family.link.name), ("Integration", self.integration)]
        ratio = RATIOS.get(family.link.name, "exp(coef)") if exp else None
        return summarize(
            self,
            self._checked_alpha(alpha),
            title="Generalised linear mixed model",
            facts=facts,
            components=components,
            ratio=ratio,
        )

    def __repr__(self) -> str:
        family = self.fit.problem.family.name
        return f"<GeneralizedLinearMixedResults: {self.design.formula}, {family}, {self.nobs} observations>"

    def __str__(self) -> str:
        return str(self.summary())

"""Results of a generalised linear mixed model."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._display import Summary
from mixedfx._typing import Array
from mixedfx.criterion.conditional import Moments, first_order_mean, mode_covariance, node_moments
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.quadrature import QuadratureEvaluation
from mixedfx.design import Design
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Certificate
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.distributions import two_sided
from mixedfx.results.base import MixedResults
from mixedfx.results.effects import effect_frames
from mixedfx.results.integration import compare_integrators, joint_map_path
from mixedfx.results.population import averaged, linear_predictor_variance
from mixedfx.results.predict import chosen_terms, fitted_predictor, new_predictor
from mixedfx.results.simulate import checked_count, generator, random_parts
from mixedfx.results.summary import summarize
from mixedfx.results.varcorr import TermCovariance, VarCorr

if TYPE_CHECKING:
    from mixedfx.models.generalized import GeneralizedLinearMixedModel

__all__ = ["GeneralizedLinearMixedResults"]

RESIDUALS = ("response", "pearson", "deviance", "working", "quantile")
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
    >>> round(fit.varcorr.to_frame()["sd"][0], 4)
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
        p = self.fit.problem.model.n_fixed
        return pd.Series(self._estimate[:p], index=list(self.design.fixed.names), name="params", dtype=float)

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
        natural, _ = self.fit.problem.family.natural(self.phi)
        return pd.Series(natural, name="family_params", dtype=float)

    @property
    def scale(self) -> float:
        """Dispersion of an exponential dispersion model (the residual variance of a Gaussian one); 1 elsewhere."""
        family = self.fit.problem.family
        if not family.precision_weights or "dispersion" not in family.phi_names:
            return 1.0
        return float(self.family_params["dispersion"])

    @property
    def sigma(self) -> float:
        """Root of :attr:`scale`."""
        return float(np.sqrt(self.scale))

    @cached_property
    def _component_slices(self) -> dict[str, slice]:
        """Positions of the coefficients of every further linear predictor among all parameters."""
        stop = self.fit.problem.model.theta_slice.stop
        pairs = zip(self.fit.problem.components, self.fit.problem.model.extra_slices, strict=False)
        return {c.name: slice(stop + at.start, stop + at.stop) for c, at in pairs}

    @cached_property
    def component_params(self) -> dict[str, pd.DataFrame]:
        """Estimates of the further linear predictors: name to DataFrame (``coef, bse, statistic, pvalue``)."""
        out = {}
        for component in self.fit.problem.components:
            at = self._component_slices[component.name]
            out[component.name] = _table(self._estimate[at], self.fit.covariance[at, at], component.names)
        return out

    @cached_property
    def _family_table(self) -> pd.DataFrame:
        """Natural family-wide parameters with standard errors by the delta method."""
        problem = self.fit.problem
        natural, jacobian = problem.family.natural(self.phi)
        at = slice(self._estimate.size - len(problem.family.phi_names), self._estimate.size)
        covariance = jacobian @ self.fit.covariance[at, at] @ jacobian.T
        se = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
        return pd.DataFrame({"coef": list(natural.values()), "bse": se}, index=self._family_labels(list(natural)))

    def _family_labels(self, names: list[str]) -> list[str]:
        """Thresholds between named categories bear both names."""
        categories = self.design.response.categories
        if categories is None or not all(name.startswith("threshold") for name in names):
            return names
        return [f"{low}|{high}" for low, high in zip(categories, categories[1:], strict=False)]

    @property
    def params_all(self) -> pd.Series[float]:
        """All parameters, indexed by (component, name), on the scales on which they are linear or unbounded.

        Components: ``conditional``, then the further linear predictors, ``dispersion`` (its logarithm) and other
        family-wide parameters, thresholds, ``covariance``.
        """
        parts = {("conditional", str(name)): float(value) for name, value in self.params.items()}
        for component in self.fit.problem.components:
            values = self._estimate[self._component_slices[component.name]]
            parts |= {(component.name, name): float(v) for name, v in zip(component.names, values, strict=True)}
        family = self.fit.problem.family
        if all(name.startswith(("threshold", "gap")) for name in family.phi_names):
            parts |= {("thresholds", str(name)): float(v) for name, v in self._family_table["coef"].items()}
        else:
            parts |= {(name, "Intercept"): float(v) for name, v in zip(family.phi_names, self.phi, strict=True)}
        parts |= {("covariance", f"{group}: {term}"): float(value) for (group, term), value in self.theta.items()}
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

    def _by_term(self, effects: Array) -> tuple[Array, ...]:
        """Inner effects (q,) as the user's effects (q, m) of every term."""
        problem = self.fit.problem
        parts = problem.model.space.split(effects)
        out = []
        for basis, (factor, coefficients) in zip(problem.terms, problem.assembly.places, strict=True):
            loading = problem.assembly.rows.loadings.get(factor)
            own = basis.matrix @ parts[factor][coefficients]
            out.append(own if loading is None else own @ loading.T)
        return tuple(out)

    @cached_property
    def _modes(self) -> tuple[Array, ...]:
        return self._by_term(self.fit.at.state.mode.b)

    @cached_property
    def _mode_variances(self) -> tuple[Array, ...]:
        problem = self.fit.problem
        out = []
        for basis, (factor, own) in zip(problem.terms, problem.assembly.places, strict=True):
            blocks = mode_covariance(self.fit.at.state, factor)[own, own]
            out.append(np.einsum("ia,abm,ib->im", basis.matrix, blocks, basis.matrix))
        return tuple(out)

    @cached_property
    def _moments(self) -> tuple[Moments, ...] | None:
        """Moments of every term's effects from the nodes of the quadrature; None after a Laplace fit."""
        at = self.fit.at
        if not isinstance(at, QuadratureEvaluation):
            return None
        out = []
        for basis, (_, coefficients) in zip(self.fit.problem.terms, self.fit.problem.assembly.places, strict=True):
            matrix = np.zeros((basis.matrix.shape[0], at.factor.shape[0]))
            matrix[:, coefficients] = basis.matrix
            out.append(node_moments(at, matrix))
        return tuple(out)

    @property
    def random_effects_mean(self) -> dict[str, pd.DataFrame]:
        """Conditional means: group to DataFrame (levels x columns).

        From the nodes of the quadrature where there is one; after a Laplace fit the modes corrected to first order by
        the skewness of the likelihood.
        """
        if self._moments is not None:
            return effect_frames(self.design.random, [m.mean for m in self._moments])
        means = first_order_mean(LaplaceEvaluation(self.fit.at.state))
        return effect_frames(self.design.random, self._by_term(means))

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
    def _predictors(self, eta: Array, matrices: dict[str, Array]) -> Array:
        """All linear predictors as the family takes them, from the first one (…, n)."""
        components = self.fit.problem.components
        if not components:
            return eta
        others = [matrices[c.name] @ self._estimate[self._component_slices[c.name]] for c in components]
        return np.stack(np.broadcast_arrays(eta, *others), axis=-1)

    @cached_property
    def _fitted_matrices(self) -> dict[str, Array]:
        return {c.name: c.matrix for c in self.fit.problem.components}

    @cached_property
    def _fitted_predictors(self) -> Array:
        eta = fitted_predictor(self.design, self.params.to_numpy(), self._modes, [True] * len(self.design.random))
        return self._predictors(eta, self._fitted_matrices)

    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Conditional means (n,) at the modes of the random effects; probabilities for a binomial response."""
        mean = self.fit.problem.family.mean(self._fitted_predictors, self.phi)
        return pd.Series(mean, index=self.design.index, name="fittedvalues")

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
            roots of the unit deviances; ``"working"``: on the scale of the linear predictor; ``"quantile"``: randomised
            quantile residuals, standard normal if the model holds.
        seed : int, optional
            Of the randomisation of quantile residuals.
        """
        if kind not in RESIDUALS:
            raise SpecificationError(f"kind is one of {', '.join(map(repr, RESIDUALS))}; found {kind!r}")
        values = getattr(self, f"_{kind}_residuals")(seed)
        return pd.Series(values, index=self.design.index, name="resid")

    def _response_residuals(self, seed: Any) -> Array:
        return np.asarray(self.design.response.values - self.fittedvalues.to_numpy())

    def _pearson_residuals(self, seed: Any) -> Array:
        trials = self.design.response.trials
        variance = self.fit.problem.family.variance(
            self._fitted_predictors,
            self.phi,
            trials=1.0 if trials is None else trials,
            weights=self.design.weights,
        )
        return np.asarray(self._response_residuals(seed) / np.sqrt(variance))

    def _deviance_residuals(self, seed: Any) -> Array:
        deviance = self.fit.problem.family.unit_deviance(self.fit.problem.observed, self._fitted_predictors, self.phi)
        return np.asarray(np.sign(self._response_residuals(seed)) * np.sqrt(np.maximum(deviance, 0.0)))

    def _working_residuals(self, seed: Any) -> Array:
        e = self.fit.at.state.expansion
        weight = e.determinant.weight
        out = np.full(weight.shape, np.nan)
        np.divide(e.gradient, weight, out=out, where=weight > 0)
        return out

    def _quantile_residuals(self, seed: Any) -> Array:
        from scipy.special import ndtri

        low, high = self.fit.problem.family.cdf_limits(self.fit.problem.observed, self._fitted_predictors, self.phi)
        tiny = np.finfo(float).tiny
        draw = low + (high - low) * generator(seed).uniform(size=low.shape)
        return np.asarray(ndtri(np.clip(draw, tiny, 1.0 - np.finfo(float).epsneg)))

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
        [0.1981, 0.0484]
        >>> fit.predict(new, random=False, integrate=True).round(4).tolist()
        [0.2181, 0.0578]
        """
        random = False if integrate and random is True else random
        chosen = chosen_terms(self.design, random)
        eta, matrices = self._linear(data, chosen, new_levels, offset)
        if which == "linear":
            return eta.rename("predicted")
        if which in matrices:
            return self._natural(which, matrices[which], eta.index)
        variance = np.zeros(len(eta))
        if integrate:
            covariances = self.fit.problem.covariances(self.fit.x)
            variance = linear_predictor_variance(self.design, covariances, [not c for c in chosen], data)
        return self._averaged_response(which, eta, matrices, variance)

    def _linear(
        self, data: Any, chosen: list[bool], new_levels: str, offset: Any
    ) -> tuple[pd.Series[float], dict[str, Array]]:
        beta = self.params.to_numpy()
        if data is None:
            eta = fitted_predictor(self.design, beta, self._modes, chosen)
            return pd.Series(eta, index=self.design.index), self._fitted_matrices
        predicted = new_predictor(self.design, beta, self._modes, chosen, data, new_levels=new_levels, offset=offset)
        return predicted, {name: fixed.encode(data) for name, fixed in self.model.components.items()}

    def _natural(self, name: str, matrix: Array, index: Any) -> pd.Series[float]:
        parameter = next(p for p in self.fit.problem.family.parameters if p.name == name)
        values = matrix @ self._estimate[self._component_slices[name]]
        return pd.Series([parameter.natural(v) for v in values], index=index, name=name, dtype=float)

    def _averaged_response(self, which: str, eta: pd.Series[float], matrices: dict[str, Array], variance: Array) -> Any:
        family = self.fit.problem.family
        if which == "mean":
            mean = averaged_or_not(lambda e: family.mean(self._predictors(e, matrices), self.phi), eta, variance)
            return pd.Series(mean, index=eta.index, name="predicted")
        if which == "probabilities" and hasattr(family, "probabilities"):
            columns = [
                averaged_or_not(lambda e, j=j: family.probabilities(e, self.phi)[..., j], eta, variance)
                for j in range(family.n_categories)
            ]
            names = self.design.response.categories or range(family.n_categories)
            return pd.DataFrame(np.stack(columns, axis=1), index=eta.index, columns=list(names))
        known = ["mean", "linear", *matrices, *(["probabilities"] if hasattr(family, "probabilities") else [])]
        raise SpecificationError(f"which is one of {', '.join(map(repr, known))}; found {which!r}")

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
        problem = self.fit.problem
        theta = self.fit.at.theta
        roots = [
            basis.matrix @ slot.covariance.factor(theta[slot.theta])
            for basis, slot in zip(problem.terms, problem.model.covariance.terms, strict=True)
        ]
        fixed = fitted_predictor(self.design, self.params.to_numpy(), self._modes, [False] * len(roots))
        eta = fixed + random_parts(self.design, roots, self._modes, draws, rng, random).T
        trials = self.design.response.trials
        y = problem.family.simulate(
            rng,
            self._predictors(eta, self._fitted_matrices),
            self.phi,
            trials=1.0 if trials is None else trials,
            weights=self.design.weights,
        )
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
            components["Family parameters"] = self._family_table
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


def averaged_or_not(function: Any, eta: pd.Series[float], variance: Array) -> Array:
    """Return the function of the linear predictor, averaged where there is variance."""
    values = eta.to_numpy()
    return averaged(function, values, variance) if variance.any() else np.asarray(function(values))


def _table(values: Array, covariance: Array, names: tuple[str, ...]) -> pd.DataFrame:
    se = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    statistic = np.full(values.size, np.nan)
    np.divide(values, se, out=statistic, where=se > 0)
    p = two_sided(statistic, np.full(values.size, np.inf))
    return pd.DataFrame({"coef": values, "bse": se, "statistic": statistic, "pvalue": p}, index=list(names))

"""Estimates of a generalised linear mixed model: parameters, variances, random effects, verdicts."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array
from mixedfx.criterion.laplace import LaplaceEvaluation, first_order_mean
from mixedfx.criterion.mode import mode_covariance
from mixedfx.criterion.quadrature import Moments
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Certificate
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.generalized_scales import generalized_variance_estimates
from mixedfx.results.base import MixedResults
from mixedfx.results.components import (
    all_parameters,
    component_tables,
    family_table,
    further_table,
    limit_notes,
    limit_words,
)
from mixedfx.results.conditional import effects_by_term, quadrature_moments
from mixedfx.results.effects import effect_frames
from mixedfx.results.integration import compare_integrators, joint_map_path
from mixedfx.results.joint import generalized_joint
from mixedfx.results.reference import Reference
from mixedfx.results.simulate import checked_count
from mixedfx.results.varcorr import TermCovariance, VarCorr

if TYPE_CHECKING:
    from mixedfx.models.generalized import GeneralizedLinearMixedModel

__all__ = ["GeneralizedEstimates"]


class GeneralizedEstimates(MixedResults):
    """What a generalised fit says of its parameters; :class:`GeneralizedLinearMixedResults` adds the rows.

    Parameters
    ----------
    model : GeneralizedLinearMixedModel
    fit : GeneralizedFit
    asked : dict
        The arguments of ``fit``.
    """

    model: GeneralizedLinearMixedModel
    fit: GeneralizedFit
    reml = False

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
        return pd.Series(self._estimate[self.fit.problem.theta_slice], index=index, name="theta", dtype=float)

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
        """Dispersion of an exponential dispersion model (the residual variance of a Gaussian one); 1 elsewhere.

        Where it has a formula of its own (``dispersion="~ f + x"``): at the first level of every factor and zero of
        every number, as ``sigma`` of a residual structure is.
        """
        family = self.fit.problem.family
        if not family.precision_weights:
            return 1.0
        if "dispersion" in family.phi_names:
            return float(np.exp(self.phi[family.phi_names.index("dispersion")]))
        if self._dispersion_reference is not None:
            at = self.fit.problem.component_slices["dispersion"]
            with np.errstate(over="ignore"):  # a dispersion beyond all numbers is infinite
                return float(np.exp(self._dispersion_reference.row @ self._estimate[at]))
        return float(np.exp(family.fixed["dispersion"]))

    @cached_property
    def _dispersion_reference(self) -> Reference | None:
        """Where :attr:`scale` is the dispersion, if that has a linear predictor of its own."""
        fixed = self.model.components.get("dispersion")
        return None if fixed is None else Reference(fixed)

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
        return all_parameters(self.fit.problem, self._estimate, self.params, self.theta)

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

    def cov_varpar(self, scale: str = "sd") -> pd.DataFrame:
        """Return the asymptotic covariance of the variance parameters, from the joint Hessian of all parameters.

        Parameters
        ----------
        scale : str
            ``"sd"`` (standard deviations and correlations), ``"variance"`` (variances and covariances), or ``"theta"``.

        Returns
        -------
        DataFrame
            Rows and columns indexed by group and effects, a residual last where the family has one; nan for variances
            at zero.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> round(float(fit.cov_varpar().iloc[0, 0] ** 0.5), 3)
        0.179
        """
        found = generalized_variance_estimates(self.fit, scale)
        index = pd.MultiIndex.from_tuples(list(found.labels), names=["group", "term1", "term2"])
        return pd.DataFrame(found.covariance, index=index, columns=index)

    def _joint_covariance(self) -> Array:
        return generalized_joint(self.fit)

    def _weighted_rows(self, matrix: sp.csr_array) -> Any:
        weight = np.maximum(self.fit.at.state.expansion.observed.weight, 0.0)
        return sp.diags_array(np.sqrt(weight)) @ matrix

    @cached_property
    def _modes(self) -> tuple[Array, ...]:
        return effects_by_term(self.fit.problem, self.fit.at.state.mode.b)

    def _factor_covariance(self, factor: int) -> Array:
        return mode_covariance(self.fit.at.state, factor)

    @cached_property
    def _moments(self) -> tuple[Moments, ...] | None:
        return quadrature_moments(self.fit)

    @property
    def random_effects_mean(self) -> dict[str, pd.DataFrame]:
        """Conditional means: group to DataFrame (levels x columns).

        After a fit by quadrature (one grouping factor) they are integrals over the nodes, as exact as the likelihood.

        After a Laplace fit, and so for all crossed or nested factors, they are the modes moved by the first term of an
        expansion, ``K Z'a`` with the third derivatives of the log-likelihood in a. Its error is of the order of one
        over the squared number of rows a level: good for levels with many rows, rough where :attr:`mode_mean_distance`
        is large, such as levels with a few zeros and ones. Neither kind knows that the parameters were estimated.
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

    def _further_table(self, alpha: float) -> pd.DataFrame:
        """Coefficients of further linear predictors, thresholds, and family-wide parameters on their natural scale."""
        problem, limits = self.fit.problem, self.conf_int(alpha, which="all")
        limits = limits[~limits.index.duplicated()]  # two terms of one factor may have an effect of the same name
        tables = []
        for name, own in component_tables(problem, self._estimate, self.fit.covariance).items():
            ends = limits.reindex([f"{name}: {term}" for term in own.index]).to_numpy(dtype=float)
            table = further_table(name, own.index, own["coef"].to_numpy(), own["bse"].to_numpy(), ends)
            tables.append(table.assign(statistic=own["statistic"].to_numpy(), p_value=own["pvalue"].to_numpy()))
        family = family_table(problem, self._estimate, self.fit.covariance)
        ends = limits.reindex([f"family: {term}" for term in family.index]).to_numpy(dtype=float)
        table = further_table("family", family.index, family["coef"].to_numpy(), family["bse"].to_numpy(), ends)
        tables.append(table.assign(component="thresholds" if problem.family.has_categories else table["term"]))
        return pd.concat([one for one in tables if len(one)] or tables[-1:], ignore_index=True)

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
            return "Laplace, effects profiled"
        return "Laplace" if nodes == 1 else f"quadrature, {nodes} nodes"

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words."""
        return (
            *self._identification_notes(),
            *self.certificate.separation_note,
            *self.design.notes,
            *self._model_notes(),
            *limit_notes(self.fit, self._estimate),
        )

    @property
    def limits(self) -> dict[str, str]:
        """What each parameter or linear predictor that has run to the end of its range says, by its name."""
        return limit_words(self.fit, self._estimate)

    def _model_notes(self) -> list[str]:
        """What the formula does not show: which category is a success, and a penalty."""
        response, penalty, notes = self.design.response, self.model.penalty, []
        if self.fit.problem.family.proportions and response.categories is not None:
            notes.append(f"success is {response.name} = {response.categories[1]!r}, the second category")
        if self._dispersion_reference is not None and self.fit.problem.family.precision_weights:
            notes.append(
                f"the residual variance shown (sigma, scale) is that of {self._dispersion_reference.words}: it has a "
                "formula of its own, the dispersion"
            )
        if penalty:
            notes.append(
                f"the fixed effects bear a penalty of precision {penalty:g}, which draws them towards zero; the "
                "log-likelihood is without it"
            )
        return notes

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

"""What only a generalised mixed model has: further linear predictors, a family's numbers, conditional means."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.criterion.importance import LARGEST_DIMENSION as MOST_EFFECTS
from mixedfx.criterion.importance import importance_estimate
from mixedfx.criterion.laplace import LaplaceEvaluation, first_order_mean
from mixedfx.criterion.mode import find_joint_mode, mode_state
from mixedfx.criterion.quadrature import Moments
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Refits
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_refit import fits_together, refit_many_generalized
from mixedfx.fitting.integrators import LARGEST_DIMENSION, integrator, largest_order
from mixedfx.results.base import MixedResults
from mixedfx.results.components import (
    component_tables,
    family_table,
    further_table,
    limit_notes,
    limit_words,
    summary_tables,
)
from mixedfx.results.effects import effect_frames
from mixedfx.results.joint_path import SCALES, checked_scales, joint_frame_of, log_volume
from mixedfx.results.simulate import checked_count

if TYPE_CHECKING:
    from mixedfx.models.generalized import GeneralizedLinearMixedModel

__all__ = ["GeneralizedLinearMixedResults", "compare_integrators", "joint_map_path"]

ORDERS = (3, 7, 15, 31, 63)
FEWEST_DRAWS = 100


@hinting_methods
class GeneralizedLinearMixedResults(MixedResults):
    """A fitted generalised linear mixed model, in statsmodels' vocabulary.

    Made by :func:`mixedfx.glmer` or :meth:`mixedfx.GeneralizedLinearMixedModel.fit`; immutable, and computed as it is
    asked for.

    Parameters
    ----------
    model : GeneralizedLinearMixedModel
    solution : GeneralizedFit

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

    model: GeneralizedLinearMixedModel
    solution: GeneralizedFit

    # ---------------------------------------------------------------- parameters
    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales, named by ``model.family.phi_names``."""
        return self.solution.phi

    @property
    def family_params(self) -> pd.Series[float]:
        """Family-wide parameters on their natural scales: dispersion, degrees of freedom, power, thresholds."""
        return family_table(self.solution.problem, self.solution.estimate, self.solution.covariance)["coef"].rename(
            "family_params"
        )

    @property
    def component_params(self) -> dict[str, pd.DataFrame]:
        """Estimates of the further linear predictors: name to DataFrame (``coef, bse, statistic, pvalue``)."""
        return component_tables(self.solution.problem, self.solution.estimate, self.solution.covariance)

    def _further_table(self, alpha: float) -> pd.DataFrame:
        """Coefficients of further linear predictors, thresholds, and family-wide parameters on their natural scale."""
        problem, limits = self.solution.problem, self.conf_int(alpha, which="all")
        limits = limits[~limits.index.duplicated()]  # two terms of one factor may have an effect of the same name
        tables = []
        for name, own in component_tables(problem, self.solution.estimate, self.solution.covariance).items():
            ends = limits.reindex([f"{name}: {term}" for term in own.index]).to_numpy(dtype=float)
            table = further_table(name, own.index, own["coef"].to_numpy(), own["bse"].to_numpy(), ends)
            tables.append(table.assign(statistic=own["statistic"].to_numpy(), p_value=own["pvalue"].to_numpy()))
        family = family_table(problem, self.solution.estimate, self.solution.covariance)
        ends = limits.reindex([f"family: {term}" for term in family.index]).to_numpy(dtype=float)
        table = further_table("family", family.index, family["coef"].to_numpy(), family["bse"].to_numpy(), ends)
        tables.append(table.assign(component="thresholds" if problem.family.has_categories else table["term"]))
        return pd.concat([one for one in tables if len(one)] or tables[-1:], ignore_index=True)

    def _component_tables(self) -> dict[str, pd.DataFrame]:
        return summary_tables(self.solution.problem, self.solution.estimate, self.solution.covariance)

    # ---------------------------------------------------------------- random effects
    @cached_property
    def _moments(self) -> tuple[Moments, ...] | None:
        at, problem = self.solution.at, self.solution.problem
        by_term = []
        for basis, (factor, place) in zip(problem.terms, problem.assembly.places, strict=True):
            matrix = np.zeros((basis.matrix.shape[0], problem.covariance.sizes[factor]))
            matrix[:, place] = basis.matrix
            moments = at.moments(matrix)
            if moments is None:
                return None
            by_term.append(moments)
        return tuple(by_term) or None

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
        means = first_order_mean(LaplaceEvaluation(self.solution.at.state))
        return effect_frames(self.design.random, self.solution.by_term(means))

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
    def integration(self) -> str:
        """How the random effects were integrated out."""
        return self.solution.integration

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words."""
        return (
            *self._identification_notes(),
            *self.certificate.separation_note,
            *self.certificate.monte_carlo_note,
            *self.design.notes,
            *self._model_notes(),
            *limit_notes(self.solution, self.solution.estimate),
        )

    @property
    def limits(self) -> dict[str, str]:
        """What each parameter or linear predictor that has run to the end of its range says, by its name."""
        return limit_words(self.solution, self.solution.estimate)

    @property
    def refits_grouped(self) -> bool:
        """Whether many responses are fitted together: by Laplace, with one grouping factor or small nested groups."""
        return fits_together(self.solution) is not None

    def _refits(self, Y: Array) -> Refits:
        return refit_many_generalized(self.solution, Y)

    def _model_notes(self) -> list[str]:
        """What the formula does not show: which category is a success, and a penalty."""
        response, penalty, notes = self.design.response, self.model.penalty, []
        if self.solution.problem.family.proportions and response.categories is not None:
            notes.append(f"success is {response.name} = {response.categories[1]!r}, the second category")
        reference = self.solution.dispersion_reference
        if reference is not None and self.solution.family.precision_weights:
            notes.append(
                f"the residual variance shown (sigma, scale) is that of {reference.words}: it has a formula of its "
                "own, the dispersion"
            )
        if penalty:
            notes.append(
                f"the fixed effects bear a penalty of precision {penalty:g}, which draws them towards zero; the "
                "log-likelihood is without it"
            )
        return notes

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
        self.design.need_rows("another integral over the random effects")
        return compare_integrators(self.solution, checked_count(draws), seed)

    def joint_map_path(self, scales: Any = SCALES) -> pd.DataFrame:
        """Follow the joint mode of fixed and random effects as the standard deviations shrink: it has no maximum.

        Parameters
        ----------
        scales : sequence of float
            Factors on all estimated standard deviations of the random effects.

        Returns
        -------
        DataFrame
            Indexed by scale; ``joint``: log density of data and random effects at their joint mode; ``marginal``: the
            Laplace log-likelihood at the same fixed effects.
        """
        self.design.need_rows("the joint mode of fixed and random effects")
        return joint_map_path(self.solution, checked_scales(scales))


def compare_integrators(fit: GeneralizedFit, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Evaluate the log-likelihood at the estimate by every method that applies.

    Parameters
    ----------
    fit : GeneralizedFit
    draws : int
        Draws of importance sampling, at least 100.
    seed : int

    Returns
    -------
    DataFrame
        One row a method; columns ``llf, standard_error, pareto_k, difference``: the Monte Carlo error and tail shape of
        importance sampling, and the distance to the most accurate method of the table. Where there is quadrature,
        importance sampling is left out for more than 4000 random effects.
    """
    if draws < FEWEST_DRAWS:
        raise SpecificationError(f"importance sampling needs at least {FEWEST_DRAWS} draws; found draws={draws}")
    problem, state = fit.problem, fit.at.state
    rows: dict[str, tuple[float, float, float]] = {}
    rows["Laplace"] = (-0.5 * LaplaceEvaluation(state).value, 0.0, np.nan)
    layout = problem.assembly.rows.layout
    if layout.n_factors == 1 and not problem.assembly.rows.loadings and layout.sizes[0] <= LARGEST_DIMENSION:
        for order in (k for k in ORDERS if k <= largest_order(layout.sizes[0])):
            rows[f"quadrature, {order} nodes"] = (-0.5 * integrator(problem, order)(state).value, 0.0, np.nan)
    penalty = 0.5 * problem.model.penalty.value(state.parts.beta)
    if len(rows) == 1 or problem.model.space.n_effects <= MOST_EFFECTS:
        sampled = importance_estimate(state, draws, seed)
        rows["importance sampling"] = (sampled.llf - penalty, sampled.standard_error, sampled.pareto_shape)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["llf", "standard_error", "pareto_k"])
    table["llf"] += penalty
    exact = [name for name in table.index if name.startswith("quadrature")]
    best = exact[-1] if exact else table.index[-1]
    table["difference"] = table["llf"] - table.loc[best, "llf"]
    return table


def joint_map_path(fit: GeneralizedFit, scales: tuple[float, ...] = SCALES) -> pd.DataFrame:
    """Follow the joint mode of fixed and random effects while all their standard deviations are scaled down.

    The joint log-density grows without bound as the standard deviations shrink, while the marginal log-likelihood has
    its maximum at the estimate: maximising jointly is no way to estimate a variance. Directions in which the random
    effects do not vary at the estimate (a singular fit) are left out of the density.

    Parameters
    ----------
    fit : GeneralizedFit
    scales : tuple of float
        Factors on the estimated standard deviations.

    Returns
    -------
    DataFrame
        Indexed by scale; columns ``joint`` (log density of data and random effects at their joint mode) and
        ``marginal`` (Laplace log-likelihood at the same fixed effects).
    """
    model, state = fit.problem.model, fit.at.state
    rows = []
    start = (state.parts.beta, state.mode.b)
    parts = [log_volume(T) for T in state.factors]
    levels = model.space.rows.layout.levels
    dimension = sum(m * rank for m, (rank, _) in zip(levels, parts, strict=True))
    volume = sum(m * log_det for m, (_, log_det) in zip(levels, parts, strict=True))

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, state.auxiliary)

    for scale in scales:
        factors = [scale * T for T in state.factors]
        mode = find_joint_mode(model.space, quadratic, model.X, model.offset, factors, start)
        log_det = volume + 2.0 * dimension * np.log(scale)
        value = float(model.likelihood.value(mode.eta, state.auxiliary).sum())
        joint = value - 0.5 * float(mode.t @ mode.b) - 0.5 * (log_det + dimension * np.log(2.0 * np.pi))
        rows.append((joint, _laplace_value(fit, scale, mode.beta)))
        start = (mode.beta, mode.b)
    return joint_frame_of(rows, scales)


def _laplace_value(fit: GeneralizedFit, scale: float, beta: Array) -> float:
    """Log-likelihood with all standard deviations scaled."""
    model = fit.problem.model
    x = fit.x.copy()
    x[: model.n_fixed] = beta
    for slot in model.covariance.terms:
        own = slice(model.theta_slice.start + slot.theta.start, model.theta_slice.start + slot.theta.stop)
        x[own] = slot.covariance.rescale(x[own], np.full(slot.covariance.size, scale))
    return -0.5 * LaplaceEvaluation(mode_state(model, x)).value

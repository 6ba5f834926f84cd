"""What only a hierarchical generalised linear model has: lambdas, effects on two scales, h-likelihoods."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._suggestions import hinting_methods
from mixedfx.calculus.quadrature import hermite_rule
from mixedfx.criterion.corrections import NOTHING, adjusted_at
from mixedfx.criterion.effect_moments import NODES, effect_moments
from mixedfx.criterion.hierarchical import HierarchicalProblem
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.quadrature import Moments, QuadratureEvaluation
from mixedfx.families.random_laws import LARGEST_LAMBDA
from mixedfx.fitting.hierarchical import HierarchicalFit
from mixedfx.results.effects import effect_frames
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.joint_path import SCALES

if TYPE_CHECKING:
    from mixedfx.models.hierarchical import HierarchicalGeneralizedLinearModel

__all__ = ["HierarchicalGeneralizedLinearResults"]


@hinting_methods
class HierarchicalGeneralizedLinearResults(GeneralizedLinearMixedResults):
    """A fitted hierarchical generalised linear model.

    Made by :func:`mixedfx.hglm`. All that a fitted generalised mixed model has, and what is below.
    :attr:`random_effects` are on the scale v of the linear predictor, :attr:`random_effects_u` on that of u.

    Parameters
    ----------
    model : HierarchicalGeneralizedLinearModel
    solution : HierarchicalFit

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("epil2")
    >>> fit = mfx.hglm("y ~ trt + (1 | subject)", data, family="poisson", random={"subject": "gamma"})
    >>> fit.method, fit.criterion
    ('exact', 'marginal likelihood')
    >>> fit.random_variances.round(3).to_dict()
    {'subject': 0.9}
    """

    model: HierarchicalGeneralizedLinearModel
    solution: HierarchicalFit

    @property
    def method(self) -> str:
        """How the random effects were integrated out: ``"exact"``, ``"laplace"``, ``"laplace2"`` or ``"eql"``."""
        return self.solution.strategy.name

    @property
    def criterion(self) -> str:
        """What was maximised, in words."""
        return self.solution.strategy.criterion(self.solution.restricted)

    @property
    def random_variances(self) -> pd.Series[float]:
        """``lambda`` by grouping factor: a variance for normal and gamma u, the dispersion parameter otherwise.

        An inverse gamma u has shape ``1 + 1/lambda`` and variance ``lambda / (1 - lambda)``, a beta u both shapes
        ``1 / (2 lambda)`` and variance ``lambda / (4 (1 + lambda))``. Terms with slopes have no single variance: see
        ``varcorr``.
        """
        pairs = zip(self.design.random, self.solution.sizes, strict=True)
        single = {term.group: float(size) for term, size in pairs if term.n_columns == 1}
        return pd.Series(single, name="random_variances", dtype=float)

    @cached_property
    def random_effects_u(self) -> dict[str, pd.DataFrame]:
        """Effects on u's scale given the data: group to DataFrame (levels x ``mean, mode, sd``).

        ``mode`` is that of the density of u, which is another one than that of v: modes depend on the scale, means and
        standard deviations are those of u. Exact where the integral is known, by quadrature with one grouping factor;
        with crossed factors v is taken as normal around its conditional mean. The parameters count as known. The
        columns of a normal term with slopes are ``mean, mode, sd`` of each coefficient in turn.
        """
        fit = self.solution
        out: dict[str, pd.DataFrame] = {}
        problem = cast(HierarchicalProblem, fit.problem)
        closed = fit.conjugate
        for k, (term, law, size) in enumerate(zip(self.design.random, fit.laws_of_terms, fit.sizes, strict=True)):
            if term.is_smooth:
                continue
            if law is None:
                frame = self._normal_effects(term.group, list(term.shown_names))
            elif size == 0.0:
                frame = pd.DataFrame({"mean": law.centre, "mode": law.centre, "sd": 0.0}, index=term.levels)
            elif closed is not None:
                frame = pd.DataFrame(closed.posterior(fit.at.state).effects(), index=term.levels)
            else:
                placed = next(one for one in problem.laws if one.term == k)
                factor = problem.assembly.places[k][0]
                frame = pd.DataFrame(effect_moments(fit.at.state, placed, factor), index=term.levels)
            frame = frame[["mean", "mode", "sd"]] if law is not None else frame
            out[term.group] = pd.concat([out[term.group], frame], axis=1) if term.group in out else frame
        return out

    @cached_property
    def _moments(self) -> tuple[Moments, ...] | None:
        """Moments of normal intercepts of one factor, by the quadrature that effects of other laws have."""
        state, rows = self.solution.at.state, self.design.random
        layout = state.model.space.rows.layout
        alone = len(rows) == 1 and rows[0].n_columns == 1 and layout.n_factors == 1 and layout.sizes[0] == 1
        alone = alone and not state.model.space.rows.loadings
        if not alone or self.solution.laws_of_terms[0] is not None:
            return super()._moments
        return (QuadratureEvaluation(state, hermite_rule(NODES, 1)).moments(np.eye(1)),)

    def _normal_effects(self, group: str, names: list[str]) -> pd.DataFrame:
        sd = self.random_effects_sd if self._moments is None else self.random_effects_moments["sd"]
        parts = {"mean": self.random_effects_mean, "mode": self.random_effects, "sd": sd}
        columns = {
            (kind if len(names) == 1 else f"{kind} {name}"): frames[group][name]
            for name in names
            for kind, frames in parts.items()
        }
        return pd.DataFrame(columns)

    @property
    def random_effects_mean(self) -> dict[str, pd.DataFrame]:
        """Conditional means of v: group to DataFrame (levels x columns); exact where the integral is known."""
        closed = self.solution.conjugate
        if closed is None or self.solution.sizes[0] == 0.0:
            return super().random_effects_mean
        return effect_frames(self.design.random, [closed.posterior(self.solution.at.state).predictor_means()[None]])

    @cached_property
    def h_likelihoods(self) -> pd.Series[float]:
        """The h-likelihood and its adjusted profiles at the estimate: ``h``, ``p_v(h)``, ``p_bv(h)`` (first order).

        They describe this one fit. Only ``p_v(h)`` approximates a likelihood by which models with other fixed effects
        can be compared, and only models whose integrals were approximated in the same way; h compares no models at all.
        """
        fit = self.solution
        problem = cast(HierarchicalProblem, fit.problem)
        state, model = fit.at.state, problem.model
        laplace = LaplaceEvaluation(state)
        logdet = state.determinant_factor.logdet
        layout = model.space.rows.layout
        volumes = [np.linalg.slogdet(T)[1] for T in state.factors]
        inside = sum(2.0 * m * volume for m, volume in zip(layout.levels, volumes, strict=True))
        q = model.space.n_effects
        p_v = -0.5 * laplace.value
        h = p_v + 0.5 * (logdet - inside - q * float(np.log(2.0 * np.pi)))
        adjusted = adjusted_at(problem, NOTHING, state.x[model.n_fixed :], (state.parts.beta, state.mode.b))
        return pd.Series({"h": h, "p_v(h)": p_v, "p_bv(h)": -0.5 * adjusted.value}, name="h_likelihoods", dtype=float)

    def joint_map_path(self, scales: Any = SCALES) -> pd.DataFrame:
        """Refuse where effects are not normal: the path scales normal effects down."""
        self.solution.check_normal("joint_map_path")
        return super().joint_map_path(scales)

    # ---------------------------------------------------------------- tables
    def _component_tables(self) -> dict[str, pd.DataFrame]:
        fit = self.solution
        problem = cast(HierarchicalProblem, fit.problem)
        rows, values, errors = [], [], []
        for position, placed in enumerate(problem.laws):
            at = problem.lambda_slice.start + position
            size = float(fit.sizes[placed.term])
            rows.append(f"{problem.design.random[placed.term].group} ({placed.law.name.replace('_', ' ')})")
            values.append(size)
            errors.append(size * float(np.sqrt(fit.covariance[at, at])) if size else np.nan)
        own = {"Lambda of the laws": pd.DataFrame({"coef": values, "bse": errors}, index=rows)} if rows else {}
        return own | super()._component_tables()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words."""
        return (*self._law_notes(), *super().notes)

    def _law_notes(self) -> list[str]:
        fit, notes = self.solution, []
        laws = zip(self.design.random, fit.laws_of_terms, fit.sizes, strict=True)
        for term, law, size in laws:
            if law is None:
                continue
            if size == 0.0:
                notes.append(f"the effects of {term.group} do not vary: lambda has run to zero")
            elif np.isclose(size, LARGEST_LAMBDA):
                notes.append(f"lambda of {term.group} has run to the end of the range in which it is sought")
            elif not np.isfinite(law.variance(float(size))):
                notes.append(f"lambda of {term.group} is {size:.3g}: from 1 on the inverse gamma law has no variance")
        if fit.laws:
            notes.append(
                "variances of the random effects are those of v on the scale of the linear predictor, for "
                + ", ".join(fit.laws)
                + " as the law implies them; lambda is fit.random_variances"
            )
        if fit.strategy.name == "eql":
            notes.append("the log-likelihood is Laplace's approximation at these estimates, which do not maximise it")
        return notes

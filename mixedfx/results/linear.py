"""What only a linear mixed model has: a residual structure, denominator degrees of freedom, many responses at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.covariance.residual.columns import level_label
from mixedfx.exceptions import DataError
from mixedfx.fitting import Refits, refit_many
from mixedfx.fitting.linear import LinearFit
from mixedfx.fitting.reported import standard_error
from mixedfx.results.base import MixedResults
from mixedfx.results.components import further_table
from mixedfx.results.joint_path import SCALES, checked_scales, linear_joint_path
from mixedfx.results.responses import checked_responses

if TYPE_CHECKING:
    from mixedfx.models.linear import LinearMixedModel

__all__ = ["LinearMixedResults"]

MOST_KINDS = 12  # kinds of rows whose residual standard deviations a summary lists


@hinting_methods
class LinearMixedResults(MixedResults):
    """A fitted linear mixed model, in statsmodels' vocabulary.

    Made by :func:`mixedfx.lmer` or :meth:`mixedfx.LinearMixedModel.fit`; immutable, and computed as it is asked for.

    Parameters
    ----------
    model : LinearMixedModel
    solution : LinearFit
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

    model: LinearMixedModel
    solution: LinearFit

    @property
    def residual_variances(self) -> Array:
        """Variance of the residual of every row (n,)."""
        return self.solution.response.residual_variances()[0]

    @property
    def residual_params(self) -> pd.Series[float]:
        """Parameters of the residual structure on their natural scale; empty without one."""
        bound = self.solution.problem.residual
        if bound is None:
            return pd.Series(np.zeros(0), index=pd.Index([], dtype=object), name="residual_params")
        return pd.Series(bound.natural(self.solution.rho), index=list(bound.names), name="residual_params", dtype=float)

    def _further_table(self, alpha: float) -> pd.DataFrame:
        """The parameters of the residual structure."""
        solution = self.solution
        numbers = [number for number in solution.reported if number.component == "structure"]
        if not numbers:
            return super()._further_table(alpha)
        phi, covariance, reach = solution.likelihood.phi, solution.phi_covariance, float(ndtri(1.0 - 0.5 * alpha))
        se = np.array([standard_error(number.quantity, phi, covariance) for number in numbers])
        limits = np.array([number.wald_limits(phi, covariance, reach) for number in numbers]).reshape(-1, 2)
        estimate = np.array([number.value(phi) for number in numbers])
        return further_table("residual", [number.name for number in numbers], estimate, se, limits)

    def _residual_deviations(self) -> pd.Series[float]:
        """Residual standard deviation (at weight 1) of each of the few kinds of rows that a variance function tells."""
        bound = self.solution.problem.residual
        if bound is None or bound.sigma is not None or not bound.variance_columns:
            return pd.Series(dtype=float)
        columns = pd.DataFrame({name: np.asarray(self.model.residual_columns[name]) for name in bound.variance_columns})
        kinds = columns.drop_duplicates()
        if len(kinds) > MOST_KINDS:
            return pd.Series(dtype=float)
        sd = self.sigma * np.sqrt(bound.relative_variances(self.solution.rho)[kinds.index])
        records = kinds.to_dict("records")
        labels = [", ".join(f"{name} = {level_label(value)}" for name, value in row.items()) for row in records]
        order = np.lexsort([pd.factorize(kinds[name], sort=True)[0] for name in reversed(kinds.columns)])
        return pd.Series(sd, index=labels).iloc[order]

    def _residual_table(self, alpha: float) -> pd.DataFrame | None:
        """The residual structure: standard deviations of kinds of rows, and its parameters with their intervals."""
        further, by_kind = self._further_table(alpha), self._residual_deviations()
        if not len(further) and not len(by_kind):
            return None
        names = {"estimate": "coef", "std_error": "bse", "conf_low": "lower", "conf_high": "upper"}
        parameters = further.set_index("term")[list(names)].rename(columns=names)
        deviations = pd.DataFrame({"coef": by_kind.to_numpy()}, index=[f"sd, {label}" for label in by_kind.index])
        return pd.concat([deviations, parameters]) if len(deviations) else parameters

    @property
    def random_effects_mean(self) -> dict[str, pd.DataFrame]:
        """Conditional means: group to DataFrame (levels x columns). They are the modes, :attr:`random_effects`.

        Given the data and the parameters the random effects of a linear mixed model are jointly normal, so that mean
        and mode are one. In generalised models they differ.
        """
        return self.random_effects

    def joint_map_path(self, scales: Any = SCALES) -> pd.DataFrame:
        """Follow the joint mode of fixed and random effects as the standard deviations shrink: it has no maximum.

        Parameters
        ----------
        scales : sequence of float
            Factors on all estimated standard deviations of the random effects.

        Returns
        -------
        DataFrame
            Indexed by scale; ``joint``: log density of data and random effects at their joint mode, the residual
            variance held at its estimate; ``marginal``: the log-likelihood (not the restricted one) at the same fixed
            effects.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"), reml=False)
        >>> fit.joint_map_path([1.0, 0.1, 0.001]).round(1).to_numpy().tolist()
        [[-186.9, -163.7], [-181.2, -167.9], [-153.9, -168.1]]
        """
        return linear_joint_path(self.solution, checked_scales(scales))

    @property
    def refits_together(self) -> bool:
        """Whether many responses are fitted at once: not by iteration."""
        return not self.solution.problem.is_iterative

    def _refits(self, Y: Array) -> Refits | None:
        if not self.refits_together:
            return None
        try:
            return refit_many(self.solution.problem, checked_responses(self.design, Y), self.solution.x)
        except (DataError, ArithmeticError, np.linalg.LinAlgError):  # one response keeps the others from being fitted
            return None

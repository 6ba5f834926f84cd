"""Estimates of a linear mixed model: parameters, variances, random effects, verdicts."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array
from mixedfx.covariance.residual.columns import level_label
from mixedfx.fitting import Certificate, LinearFit
from mixedfx.inference.ddf import denominator_for
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.satterthwaite import VarianceParameters, satterthwaite_df
from mixedfx.inference.variance_scales import variance_estimates
from mixedfx.results.base import MixedResults
from mixedfx.results.components import further_table
from mixedfx.results.joint import linear_joint
from mixedfx.results.varcorr import TermCovariance, VarCorr

if TYPE_CHECKING:
    from mixedfx.models.linear import LinearMixedModel

__all__ = ["LinearEstimates"]

MOST_KINDS = 12  # kinds of rows whose residual standard deviations a summary lists


class LinearEstimates(MixedResults):
    """What a linear fit says of its parameters; :class:`LinearMixedResults` adds the rows.

    Parameters
    ----------
    model : LinearMixedModel
    fit : LinearFit
    asked : dict
        The arguments of ``fit``.
    """

    model: LinearMixedModel
    fit: LinearFit

    @property
    def reml(self) -> bool:
        """Whether the fit is by REML."""
        return self.fit.problem.criterion.reml

    # ---------------------------------------------------------------- fixed effects
    @cached_property
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,), by generalised least squares."""
        beta = self.fit.problem.basis.beta(self.fit.at.beta)
        return pd.Series(beta, index=list(self.design.fixed.names), name="params", dtype=float)

    @property
    def _beta(self) -> Array:
        return np.asarray(self.params, dtype=float)

    @cached_property
    def _covariance(self) -> Array:
        return self.fit.problem.basis.covariance(self.fit.at.sigma2 * self.fit.at.unscaled_cov)

    @cached_property
    def variance_parameters(self) -> VarianceParameters:
        """Covariance of the variance parameters on the inner scale."""
        return VarianceParameters(self.fit)

    def inner_rows(self, rows: Array) -> Array:
        """Return contrasts (r, p) of the user's coefficients as contrasts of the inner ones, in the user's units."""
        basis = self.fit.problem.basis
        return np.asarray(basis.scale * (np.atleast_2d(rows) @ basis.matrix))

    @cached_property
    def df(self) -> pd.Series[float]:
        """Satterthwaite's denominator degrees of freedom (p,)."""
        rows = self.inner_rows(np.eye(len(self.params)))
        return self._series(satterthwaite_df(self.variance_parameters, rows), "df")

    def denominator(self, ddf: str | None = None) -> Denominator:
        """Return what calibrates the tests of fixed effects: the covariance and the denominator degrees of freedom.

        Parameters
        ----------
        ddf : str, optional
            ``"satterthwaite"`` (default), ``"kenward-roger"``, ``"containment"``, ``"residual"`` or ``"z"``.
        """
        return denominator_for("satterthwaite" if ddf is None else ddf, self.fit)

    def cov_params(self, *, ddf: str | None = None) -> pd.DataFrame:
        """Return the covariance (p, p) of the fixed effects; with ``ddf="kenward-roger"`` the adjusted one."""
        matrix = self._covariance if ddf is None else self.denominator(ddf).covariance
        return pd.DataFrame(matrix.copy(), index=self.params.index, columns=self.params.index)

    # ---------------------------------------------------------------- variances
    @property
    def scale(self) -> float:
        """Residual variance, sigma squared."""
        return float(self.fit.at.sigma2 * self.fit.problem.basis.scale**2)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.scale))

    @cached_property
    def theta(self) -> pd.Series[float]:
        """Covariance parameters relative to sigma, labelled by group and term."""
        problem = self.fit.problem
        labels = [
            (term.group, label) for term in self.design.random for label in term.covariance.labels(list(term.names))
        ]
        index = pd.MultiIndex.from_tuples(labels, names=["group", "term"]) if labels else pd.Index([])
        return pd.Series(problem.to_user(self.fit.theta), index=index, name="theta", dtype=float)

    @property
    def residual_params(self) -> pd.Series[float]:
        """Parameters of the residual structure on their natural scale; empty without one."""
        bound = self.fit.problem.residual
        if bound is None:
            return pd.Series(np.zeros(0), index=pd.Index([], dtype=object), name="residual_params")
        return pd.Series(bound.natural(self.fit.rho), index=list(bound.names), name="residual_params", dtype=float)

    def _further_table(self, alpha: float) -> pd.DataFrame:
        """The parameters of the residual structure."""
        found = self.residual_params
        limits = np.full((len(found), 2), np.nan)
        se = np.full(len(found), np.nan)
        bound = self.fit.problem.residual
        if bound is not None and len(found):
            own = slice(self.fit.theta.size, self.fit.theta.size + len(found))
            covariance, jacobian = self.variance_parameters.covariance[own, own], bound.natural_derivative(self.fit.rho)
            se = np.sqrt(np.maximum(np.diagonal(jacobian @ covariance @ jacobian.T), 0.0))
            limits = bound.natural_intervals(self.fit.rho, covariance, alpha)
        return further_table("residual", found.index, np.asarray(found, dtype=float), se, limits)

    def _residual_deviations(self) -> pd.Series[float]:
        """Residual standard deviation (at weight 1) of each of the few kinds of rows that a variance function tells."""
        bound = self.fit.problem.residual
        if bound is None or bound.sigma is not None or not bound.variance_columns:
            return pd.Series(dtype=float)
        columns = pd.DataFrame({name: np.asarray(self.model.residual_columns[name]) for name in bound.variance_columns})
        kinds = columns.drop_duplicates()
        if len(kinds) > MOST_KINDS:
            return pd.Series(dtype=float)
        sd = self.sigma * np.sqrt(bound.relative_variances(self.fit.rho)[kinds.index])
        records = kinds.to_dict("records")
        labels = [", ".join(f"{name} = {level_label(value)}" for name, value in row.items()) for row in records]
        order = np.lexsort([pd.factorize(kinds[name], sort=True)[0] for name in reversed(kinds.columns)])
        return pd.Series(sd, index=labels).iloc[order]

    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances, standard deviations and correlations of the random effects and the residual."""
        relative = self.fit.problem.relative_covariances(self.fit.theta)
        terms = tuple(
            TermCovariance(term.group, tuple(term.names), self.scale * matrix, correlated=written.covariance != "diag")
            for term, written, matrix in zip(self.design.random, self.design.formula.random, relative, strict=True)
        )
        return VarCorr(terms, self.scale)

    def cov_varpar(self, scale: str = "sd") -> pd.DataFrame:
        """Return the asymptotic covariance of the variance parameters, from the exact Hessian.

        Parameters
        ----------
        scale : str
            ``"sd"`` (standard deviations and correlations), ``"variance"`` (variances and covariances), or ``"theta"``.

        Returns
        -------
        DataFrame
            Rows and columns indexed by group and effects; then the parameters of a residual structure as
            :attr:`residual_params` shows them; the residual last.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> round(float(fit.cov_varpar("variance").iloc[0, 0] ** 0.5), 1)
        288.8
        """
        found = variance_estimates(self.variance_parameters, scale, with_structure=True)
        index = pd.MultiIndex.from_tuples(list(found.labels), names=["group", "term1", "term2"])
        return pd.DataFrame(found.covariance, index=index, columns=index)

    def _joint_covariance(self) -> Array:
        return linear_joint(self.fit)

    def _weighted_rows(self, matrix: sp.csr_array) -> Any:
        weights, bound = self.design.weights, self.fit.problem.residual
        weighted = matrix if weights is None else sp.diags_array(np.sqrt(weights)) @ matrix
        return weighted if bound is None else bound.whiten(self.fit.rho, weighted.toarray())

    @property
    def params_all(self) -> pd.Series[float]:
        """All parameters, indexed by (component, name): conditional model, covariance, residual."""
        parts = {("conditional", name): value for name, value in self.params.items()}
        parts |= {
            ("covariance", ": ".join(map(str, label))): value for label, value in zip(self.theta.index, self.theta)
        }
        parts |= {("residual", str(name)): value for name, value in self.residual_params.items()}
        parts[("residual", "sigma")] = self.sigma
        index = pd.MultiIndex.from_tuples(list(parts), names=["component", "name"])
        return pd.Series(list(parts.values()), index=index, name="params_all", dtype=float)

    # ---------------------------------------------------------------- random effects
    @cached_property
    def _modes(self) -> tuple[Array, ...]:
        problem, at = self.fit.problem, self.fit.at
        return tuple(
            problem.basis.scale * self._loaded(factor, basis.matrix @ at.effects[factor][coefficients])
            for basis, (factor, coefficients) in zip(problem.terms, problem.assembly.places, strict=True)
        )

    def _loaded(self, factor: int, effects: Array) -> Array:
        loading = self.fit.problem.assembly.rows.loadings.get(factor)
        return effects if loading is None else effects @ loading.T

    def _factor_covariance(self, factor: int) -> Array:
        return self.scale * self._relative_blocks(factor)

    def _relative_blocks(self, factor: int) -> Array:
        """Conditional covariances (Q, Q, m) of one factor's effects on the inner scale, relative to sigma squared."""
        layout, inverse = self.fit.problem.assembly.rows.layout, self.fit.at.factor.inverse
        if factor < layout.n_chain:
            return inverse.diagonal[factor]
        loading = self.fit.problem.assembly.rows.loadings.get(factor)
        if loading is None:
            return inverse.remainder_blocks(factor)
        at, size, m = layout.span(factor), layout.sizes[factor], layout.levels[factor]
        blocks = inverse.remainder[at, at].reshape(size, m, size, m)
        return np.asarray(np.einsum("li,aibj,lj->abl", loading, blocks, loading, optimize=True))

    # ---------------------------------------------------------------- fit
    @property
    def llf(self) -> float:
        """Log-likelihood (restricted under REML), all constants included."""
        return -0.5 * float(self.fit.at.value)

    @property
    def n_parameters(self) -> int:
        """Fixed effects, covariance and residual parameters, and sigma unless it is known."""
        return len(self.params) + self.fit.point.x.size + (self.fit.at.criterion.sigma2 is None)

    @property
    def certificate(self) -> Certificate:
        """How sure it is that the optimum was found."""
        return self.fit.certificate

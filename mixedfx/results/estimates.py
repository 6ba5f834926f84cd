"""What a fit says of its parameters: estimates, tests, intervals, random effects, in statsmodels' vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._suggestions import hinting_methods, names_of
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Certificate, Fit
from mixedfx.fitting.certificate import held_notes
from mixedfx.inference.ddf import denominator_of
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.inference.estimable import CanonicalRows, canonical_rows
from mixedfx.inference.smooths import FittedSmooth, fitted_smooths
from mixedfx.inference.variance_scales import VarianceScaleName, variance_estimates
from mixedfx.inference.wald import CoefficientTests, JointTest, RowTests
from mixedfx.matrices import Design
from mixedfx.results.components import further_table
from mixedfx.results.effects import (
    cholesky_factor,
    coefficients_by_level,
    covariances_by_level,
    effect_frames,
    joint_frame,
    table_of_levels,
)
from mixedfx.results.smooths import smooth_frame
from mixedfx.results.varcorr import TermCovariance, VarCorr

__all__ = ["Estimates"]


@hinting_methods
class Estimates:
    """What a fit says of its parameters, in statsmodels' vocabulary; :class:`MixedResults` adds its rows.

    Parameters
    ----------
    model
    solution : Fit
        What the search found; every number is asked of it.
    asked : dict
        The arguments of ``fit``.
    """

    def __init__(self, model: Any, solution: Fit, asked: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.model = model
        self.solution = solution
        self.asked = dict(asked)

    if not TYPE_CHECKING:  # a type checker shall miss the names that are not there
        __getattr__ = names_of("of a fit")

    @property
    def design(self) -> Design:
        """The matrices that were fitted."""
        return self.solution.design

    # ---------------------------------------------------------------- parameters
    @cached_property
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,) of the first linear predictor."""
        return pd.Series(self.solution.beta, index=list(self.design.fixed.names), name="params", dtype=float)

    @cached_property
    def df(self) -> pd.Series[float]:
        """Denominator degrees of freedom of the fixed effects (p,), by Satterthwaite; inf where tests are z tests."""
        return self._series(self.denominator().of_rows(np.eye(len(self.params))), "df")

    @property
    def reml(self) -> bool:
        """Whether the fit is by REML."""
        return self.solution.reml

    @cached_property
    def theta(self) -> pd.Series[float]:
        """Covariance parameters, labelled by group and term; relative to sigma in a linear model."""
        labels = [(term.group, label) for term in self.design.random for label in term.theta_labels]
        index = pd.MultiIndex.from_tuples(labels, names=["group", "term"]) if labels else pd.Index([])
        return pd.Series(self.solution.theta, index=index, name="theta", dtype=float)

    @property
    def scale(self) -> float:
        """Residual variance (sigma squared), or dispersion of an exponential dispersion model; 1 elsewhere.

        Where the dispersion has a formula of its own (``dispersion="~ f + x"``): at the first level of every factor and
        zero of every number, as ``sigma`` of a residual structure is.
        """
        return self.solution.scale

    @property
    def sigma(self) -> float:
        """Residual standard deviation, the root of :attr:`scale`."""
        return float(np.sqrt(self.scale))

    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances, standard deviations and correlations of the random effects; a residual where there is one."""
        terms = tuple(
            TermCovariance(
                term.group,
                tuple(name for name, _ in term.variances),
                term.shown_covariance(matrix),
                correlated=term.pooled is None and written.covariance != "diag",
                smooth=term.is_smooth,
            )
            for term, written, matrix in zip(
                self.design.random, self.design.formula.random, self.solution.covariances, strict=True
            )
        )
        return VarCorr(terms, self.scale if self.solution.family.precision_weights else None)

    @property
    def llf(self) -> float:
        """Log-likelihood (restricted under REML), all constants included."""
        return self.solution.llf

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters, fixed effects included."""
        return self.solution.n_parameters

    @property
    def certificate(self) -> Certificate:
        """How sure it is that the optimum was found; prints as two sentences."""
        return self.solution.certificate

    @property
    def params_all(self) -> pd.Series[float]:
        """All parameters, indexed by (component, name), on the scales on which they are linear or unbounded.

        Components: ``conditional``, ``covariance`` (as :attr:`theta`), ``residual`` of a linear model (its structure on
        natural scales, and sigma); the further linear predictors of a generalised one, the logarithm of the
        ``dispersion`` and other family-wide parameters, ``thresholds``.
        """
        parts = self.solution.parameters
        index = pd.MultiIndex.from_tuples(list(parts), names=["component", "name"])
        return pd.Series(list(parts.values()), index=index, name="params_all", dtype=float)

    @property
    def limits(self) -> dict[str, str]:
        """What each parameter or linear predictor that has run to the end of its range says, by its name."""
        return {}

    def _further_table(self, alpha: float) -> pd.DataFrame:
        """What is estimated beside fixed effects and random effects, a parameter a row.

        Columns ``component, term, estimate, std_error, statistic, p_value, conf_low, conf_high``.
        """
        nothing = np.zeros(0)
        return further_table("", [], nothing, nothing, np.zeros((0, 2)))

    # ---------------------------------------------------------------- fixed effects
    def _series(self, values: Array, name: str | None = None) -> pd.Series[float]:
        return pd.Series(values, index=self.params.index, name=name, dtype=float)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects (p,)."""
        return self._series(np.sqrt(self.solution.beta_covariance.diagonal()), "bse")

    @property
    def tvalues(self) -> pd.Series[float]:
        """Estimate over standard error (p,)."""
        se = self.bse.to_numpy()
        out = np.full(se.size, np.nan)
        np.divide(self.params.to_numpy(), se, out=out, where=se > 0)
        return self._series(out, "tvalues")

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values (p,)."""
        return self._series(
            two_sided(np.asarray(self.tvalues, dtype=float), np.asarray(self.df, dtype=float)), "pvalues"
        )

    @property
    def use_t(self) -> bool:
        """Whether the tests are t tests with finite degrees of freedom."""
        return bool(np.isfinite(self.df).any())

    @property
    def fe_params(self) -> pd.Series[float]:
        """Fixed effects (p,): statsmodels' other name of :attr:`params`."""
        return self.params

    @property
    def bse_fe(self) -> pd.Series[float]:
        """Standard errors of the fixed effects (p,): statsmodels' other name of :attr:`bse`."""
        return self.bse

    def cov_params(self, *, ddf: str | None = None) -> pd.DataFrame:
        """Return the covariance (p, p) of the fixed effects; with ``ddf="kenward-roger"`` the adjusted one."""
        matrix = self.solution.beta_covariance if ddf is None else self.denominator(ddf).covariance
        return pd.DataFrame(matrix.copy(), index=self.params.index, columns=self.params.index)

    def _wald_interval(self, alpha: float) -> pd.DataFrame:
        half = quantile(1.0 - 0.5 * alpha, np.asarray(self.df, dtype=float)) * np.asarray(self.bse, dtype=float)
        centre = np.asarray(self.params, dtype=float)
        return pd.DataFrame({"lower": centre - half, "upper": centre + half}, index=self.params.index)

    # ---------------------------------------------------------------- tests
    def denominator(self, ddf: str | None = None) -> Denominator:
        """Return what calibrates the tests of fixed effects: the covariance and the denominator degrees of freedom.

        Parameters
        ----------
        ddf : str, optional
            ``"satterthwaite"`` (the default of linear models), ``"kenward-roger"``, ``"containment"``, ``"residual"``
            or ``"z"`` (all that generalised models have).
        """
        return denominator_of(self.solution, ddf)

    def _tests(self, ddf: str | None) -> CoefficientTests:
        names, beta = tuple(map(str, self.params.index)), np.asarray(self.params, dtype=float)
        return CoefficientTests(names, beta, self.denominator(ddf), lambda rows: self._canonical_rows.usual(rows))

    def t_test(self, constraints: Any, *, ddf: str | None = None) -> RowTests:
        """Test linear combinations of the fixed effects one by one.

        Parameters
        ----------
        constraints : str, dict, array or tuple
            Text (``"a = b, c = 1"``), ``{"c": 1}``, a matrix with a row for each combination, or ``(matrix, values)``.
        ddf : str, optional
            ``"satterthwaite"`` (the default of linear models), ``"kenward-roger"``, ``"containment"``, ``"residual"``
            or ``"z"`` (all that generalised models have).

        Returns
        -------
        RowTests
            ``effect, sd, statistic, pvalue, df_denom, conf_int(), to_frame(), summary()``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.t_test("Days = 10").to_frame().round(3)
                   estimate     se    df      t  pvalue  lower   upper
        Days = 10    10.467  1.546  17.0  0.302   0.766  7.206  13.729
        """
        return self._tests(ddf).single(constraints)

    def f_test(self, constraints: Any, *, ddf: str | None = None) -> JointTest:
        """Test linear combinations of the fixed effects all together.

        Parameters
        ----------
        constraints, ddf
            As for :meth:`t_test`.

        Returns
        -------
        JointTest
            ``fvalue, df_num, df_denom, pvalue``.

        Raises
        ------
        SpecificationError
            If the constraints contradict each other, or say nothing.

        Notes
        -----
        Neither F nor the degrees of freedom depend on how a hypothesis is written: any combination of its rows gives
        the same, that of :func:`mixedfx.anova`. R's ``lmerTest::contest`` takes the rows as they stand, so that
        Satterthwaite's degrees of freedom of several rows can differ from it in the third digit.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.f_test("Days = 0", ddf="kenward-roger")
        F(1, 17.0) = 45.8530, p < 0.001 (denominator df: Kenward and Roger)
        """
        return self._tests(ddf).joint(constraints)

    def wald_test(self, constraints: Any, *, use_f: bool | None = None, ddf: str | None = None) -> JointTest:
        """Test linear combinations of the fixed effects all together, by F or by chi-squared.

        Parameters
        ----------
        constraints, ddf
            As for :meth:`t_test`.
        use_f : bool, optional
            False for chi-squared; by default F where the model has denominator degrees of freedom.
        """
        if use_f is False and ddf is not None and ddf != "z":
            raise SpecificationError(
                f"ddf={ddf!r} is for F tests: a chi-squared test (use_f=False) has no denominator df"
            )
        return self.f_test(constraints, ddf="z" if use_f is False else ddf)

    def wald_test_terms(self, *, skip_single: bool = False, ddf: str | None = None) -> pd.DataFrame:
        """Test for every term whether all of its coefficients are zero, as statsmodels' function of this name.

        What that means depends on how factors are coded: beside interactions it is the effect at the reference level
        (at zero of a covariate). :func:`mixedfx.anova` tests averages over the levels instead.

        Parameters
        ----------
        skip_single : bool
            Leave out terms of one coefficient.
        ddf : str, optional
            As for :meth:`t_test`.

        Returns
        -------
        DataFrame
            One row a term: ``statistic, pvalue, df_constraint, df_denom``; F, or chi-squared where ``df_denom`` is
            infinite.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.wald_test_terms().round(2)
                   statistic  pvalue  df_constraint  df_denom
        Intercept    1357.06     0.0              1      17.0
        Days           45.85     0.0              1      17.0
        """
        return self._tests(ddf).of_terms(self.design.fixed.terms, skip_single)

    @cached_property
    def _canonical_rows(self) -> CanonicalRows:
        """How hypotheses of several rows are written for their degrees of freedom."""
        inputs = self.model.inputs
        return canonical_rows(self.design, None if inputs is None else inputs.frame)

    # ---------------------------------------------------------------- random effects
    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Conditional modes: group to DataFrame (levels x columns)."""
        return effect_frames(self.design.random, self.solution.modes)

    @property
    def random_effects_sd(self) -> dict[str, pd.DataFrame]:
        """Standard deviations of the random effects given the data and the parameters, shaped as ``random_effects``."""
        return effect_frames(self.design.random, [np.sqrt(np.maximum(v, 0.0)) for v in self.solution.mode_variances])

    def random_effects_table(self, group: str, levels: Any = None) -> pd.DataFrame:
        """Return the random effects of some levels with their standard deviations, exact for few levels.

        Parameters
        ----------
        group : str
            Grouping factor.
        levels : list, optional
            Levels; all if omitted.

        Returns
        -------
        DataFrame
            Rows indexed by level and effect: ``mode``; ``sd``, given the data and the parameters; ``sd_error``, the
            largest Monte Carlo standard deviation of the latter: 0 where it comes from solves, as it does for few
            levels and for all fits but those by iteration of many.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.random_effects_table("Subject", ["308", "309"]).round(2).to_numpy().tolist()
        [[2.26, 12.07, 0.0], [9.2, 2.3, 0.0], [-40.4, 12.07, 0.0], [-8.62, 2.3, 0.0]]
        """
        return table_of_levels(self.solution, group, levels)

    @property
    def random_effects_cov(self) -> dict[str, pd.DataFrame]:
        """Covariances of the random effects of each level given the data and the parameters.

        Returns
        -------
        dict of str to DataFrame
            Group to frame; rows indexed by level and effect, columns by effect: ``[group].loc[level]`` is the matrix
            (q, q) of one level. Its diagonal is the square of :attr:`random_effects_sd`.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.random_effects_cov["Subject"].loc["308"].to_numpy().round(2)
        array([[145.71, -21.44],
               [-21.44,   5.31]])
        """
        return covariances_by_level(self.solution)

    @cached_property
    def fitted_smooths(self) -> tuple[FittedSmooth, ...]:
        """The smooths, those of the levels of a factor apart, with all that is known of them."""
        return fitted_smooths(self.solution)

    @property
    def smooths(self) -> pd.DataFrame:
        """The smooths ``s(x)``: effective degrees of freedom, and the test of the smooth being zero everywhere.

        Returns
        -------
        DataFrame
            A row for each smooth (``s(x)``; ``s(x):f[a]`` for a level of ``by=f``): ``edf``, effective degrees of
            freedom, 1 for a straight line; ``ref_df``, those of the test; ``F``, the statistic of Wood (2013,
            Biometrika 100, 221) by ``ref_df``, where the dispersion is known too; ``pvalue``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ s(Days, k=5) + (1 | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.smooths.loc["s(Days)", ["edf", "ref_df"]].round(2).tolist()
        [1.0, 1.0]
        """
        return smooth_frame(self.fitted_smooths)

    @property
    def bse_re(self) -> pd.Series[float]:
        """Standard errors of the variances and covariances of the random effects, those that ``varcorr`` shows.

        They say little near zero: :func:`mixedfx.profile` has intervals, and ``cov_varpar`` the covariance on other
        scales. Nan where a variance is zero.
        """
        covariance = self.cov_varpar("variance")
        groups = {term.group for term in self.design.random}
        shown = [label[0] in groups for label in covariance.index]
        errors = np.sqrt(np.maximum(np.diag(covariance.to_numpy()), 0.0))
        return pd.Series(errors, index=covariance.index, name="bse_re", dtype=float)[shown]

    def cov_varpar(self, scale: VarianceScaleName = "sd") -> pd.DataFrame:
        """Return the asymptotic covariance of the variance parameters, from the Hessian at the estimate.

        Parameters
        ----------
        scale : {"sd", "variance", "theta"}
            ``"sd"`` (standard deviations and correlations), ``"variance"`` (variances and covariances), or ``"theta"``.

        Returns
        -------
        DataFrame
            Rows and columns indexed by group and effects; then the parameters of a residual structure as
            ``residual_params`` shows them; the residual, where there is one, last. Nan for variances of zero, but
            for ``"theta"``, which may lie on either side of zero.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> round(float(fit.cov_varpar("variance").iloc[0, 0] ** 0.5), 1)
        288.8
        """
        found = variance_estimates(self.solution, scale)
        index = pd.MultiIndex.from_tuples(list(found.labels), names=["group", "term1", "term2"])
        return pd.DataFrame(found.covariance, index=index, columns=index)

    @property
    def cov_re(self) -> pd.DataFrame:
        """Covariance (q, q) of the effects of the first random-effects term; :attr:`varcorr` has every term's."""
        terms = self.varcorr.terms
        matrix, names = (terms[0].matrix, terms[0].names) if terms else (np.zeros((0, 0)), ())
        return pd.DataFrame(matrix.copy(), index=list(names), columns=list(names))

    @property
    def vcomp(self) -> pd.Series[float]:
        """Variances of the random-effects terms after the first, labelled ``effect|group``."""
        further = self.varcorr.terms[1:]
        labels = [f"{name}|{term.group}" for term in further for name in term.names]
        values = [float(value) for term in further for value in np.diag(term.matrix)]
        return pd.Series(values, index=pd.Index(labels, dtype=object), name="vcomp", dtype=float)

    def cov_joint(self) -> pd.DataFrame:
        """Return the joint covariance of the fixed effects and the random effects.

        It is that of the errors ``beta-hat - beta`` and ``b-hat - b``: any prediction ``x beta + z b`` has the standard
        error ``sqrt(g' C g)``, ``g = (x, z)``, as :meth:`get_prediction` says. In a generalised model the modes are as
        uncertain as all parameters make them, the variances included; in a linear one the variances count as known.

        Returns
        -------
        DataFrame
            ``(p + q, p + q)``, rows and columns labelled ``group, level, term``: the fixed effects (group ``""``), then
            terms in the order of the formula, levels within a term, coefficients within a level.

        Raises
        ------
        SpecificationError
            If there are more than 4000 random effects.

        References
        ----------
        Henderson (1975), Biometrics 31, 423-447.

        Examples
        --------
        >>> import numpy as np, mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> joint = fit.cov_joint()
        >>> joint.shape
        (38, 38)
        >>> slope = joint.loc[[("", "", "Days"), ("Subject", "308", "Days")]].iloc[:, [1, 3]].to_numpy()
        >>> round(float(np.sqrt(slope.sum())), 3)
        2.336
        """
        return joint_frame(self.design, self.solution.joint_covariance())

    @property
    def L(self) -> sp.csr_array:
        """Lower Cholesky factor (q, q) of ``Lambda' Z' W Z Lambda + I`` at the estimate, ordered as ``model.exog_re``.

        W holds the weights of the rows (with a residual structure the inverse of the residual covariance relative to
        sigma squared), in a generalised model the working weights at the modes.

        Raises
        ------
        SpecificationError
            If there are more than 4000 random effects.
        """
        scaled = self.solution.weighted_rows(self.model.exog_re @ self.model.Lambda(self.theta.to_numpy()))
        return cholesky_factor(scaled)

    @property
    def coefficients(self) -> dict[str, pd.DataFrame]:
        """Fixed plus random effects: group to DataFrame (levels x coefficients)."""
        return coefficients_by_level(self.params, self.random_effects)

    # ---------------------------------------------------------------- size and fit
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n_rows

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {term.group: len(term.shown_levels) for term in self.design.random if not term.is_smooth}

    @property
    def df_resid(self) -> int:
        """Rows less estimated parameters."""
        return self.nobs - self.n_parameters

    @property
    def df_modelwc(self) -> int:
        """Number of estimated parameters: statsmodels' other name of :attr:`n_parameters`."""
        return self.n_parameters

    @property
    def deviance(self) -> float:
        """Minus twice :attr:`llf`; under REML the REML criterion."""
        return -2.0 * self.llf

    @property
    def aic(self) -> float:
        """Akaike's criterion: ``-2 llf + 2 k``, k the number of estimated parameters."""
        return self.deviance + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion: ``-2 llf + k log(n)``."""
        return self.deviance + float(np.log(self.nobs)) * self.n_parameters

    @property
    def converged(self) -> bool:
        """Whether the certificate says that nothing worth mentioning is left to gain."""
        return bool(self.certificate.converged)

    @property
    def is_singular(self) -> bool:
        """Whether some variance is zero or some correlation is -1 or 1."""
        return bool(self.certificate.is_singular)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words: variances that nothing determines, rows that were dropped, redundant columns."""
        certificate = self.certificate
        held = held_notes(certificate.held)
        return (*self._identification_notes(), *certificate.monte_carlo_note, *self.design.notes, *held)

    @property
    def separation_notes(self) -> tuple[str, ...]:
        """What tests and means are worth where fixed effects tell the outcomes apart; empty elsewhere."""
        notes: tuple[str, ...] = self.certificate.separation_note
        return notes

    def _identification_notes(self) -> tuple[str, ...]:
        """What the certificate says of variances that the data do not determine."""
        certificate = self.certificate
        return () if certificate.is_identified else (str(certificate).splitlines()[1],)

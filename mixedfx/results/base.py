"""What all fitted mixed models share: statsmodels' vocabulary over a few primitives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import Summary
from mixedfx._suggestions import OF_FITS, hinting_methods, unknown_name
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.denominator import Denominator, asymptotic_for
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.inference.estimable import CanonicalRows, canonical_rows
from mixedfx.inference.hypothesis import hypothesis_from
from mixedfx.inference.wald import JointTest, RowTests, joint_test, row_tests
from mixedfx.matrices import Design, RandomEffects
from mixedfx.matrices.basis import TermBasis
from mixedfx.results.effects import coefficients_by_level, covariance_frame, effect_frames
from mixedfx.results.joint import cholesky_factor, joint_frame
from mixedfx.results.varcorr import VarCorr

__all__ = ["MixedResults"]


@hinting_methods
class MixedResults(ABC):
    """A fitted mixed model.

    Subclasses supply the estimates; this class derives tests, intervals and tables from them.

    Parameters
    ----------
    model, fit
        The model, and what its search found.
    asked : dict
        The arguments of ``fit``.
    """

    def __init__(self, model: Any, fit: Any, asked: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.model = model
        self.fit = fit
        self.asked = dict(asked)

    if not TYPE_CHECKING:  # a type checker shall miss the names that are not there

        def __getattr__(self, name: str) -> Any:
            """Say what a name is called here that is no attribute."""
            if hasattr(type(self), name):  # a property failed inside: its own error is the true one
                return object.__getattribute__(self, name)
            raise unknown_name(f"{type(self).__name__!r} object", name, dir(type(self)), OF_FITS)

    @property
    def design(self) -> Design:
        """The matrices that were fitted."""
        design: Design = self.fit.problem.design
        return design

    @property
    @abstractmethod
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,)."""

    @property
    @abstractmethod
    def df(self) -> pd.Series[float]:
        """Denominator degrees of freedom of the fixed effects; inf for z tests."""

    @property
    @abstractmethod
    def _covariance(self) -> Array:
        """Covariance (p, p) of the fixed effects."""

    @property
    @abstractmethod
    def _modes(self) -> tuple[Array, ...]:
        """Conditional modes (q, m) of every random-effects term, in the order of the formula."""

    @abstractmethod
    def _factor_covariance(self, factor: int) -> Array:
        """Conditional covariances (Q, Q, m) of one factor's effects, in the basis of the fit, parameters held fixed."""

    @cached_property
    def _mode_variances(self) -> tuple[Array, ...]:
        """Conditional variances (q, m) of every random-effects term."""
        problem = self.fit.problem
        return tuple(
            np.einsum("ia,abm,ib->im", basis.matrix, self._factor_covariance(factor)[own, own], basis.matrix)
            for basis, (factor, own) in zip(problem.terms, problem.assembly.places, strict=True)
        )

    @property
    @abstractmethod
    def varcorr(self) -> VarCorr:
        """Variances, standard deviations and correlations of the random effects."""

    @property
    @abstractmethod
    def theta(self) -> pd.Series[float]:
        """Covariance parameters."""

    @property
    @abstractmethod
    def llf(self) -> float:
        """Log-likelihood (restricted under REML), all constants included."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of estimated parameters, fixed effects included."""

    @property
    @abstractmethod
    def certificate(self) -> Any:
        """How sure it is that the optimum was found; prints as two sentences."""

    @abstractmethod
    def _further_table(self, alpha: float) -> pd.DataFrame:
        """What is estimated beside fixed effects and random effects, a parameter a row.

        Columns ``component, term, estimate, std_error, statistic, p_value, conf_low, conf_high``.
        """

    @abstractmethod
    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the summary tables."""

    # ---------------------------------------------------------------- fixed effects
    def _series(self, values: Array, name: str | None = None) -> pd.Series[float]:
        return pd.Series(values, index=self.params.index, name=name, dtype=float)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects (p,)."""
        return self._series(np.sqrt(self._covariance.diagonal()), "bse")

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

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance (p, p) of the fixed effects."""
        return pd.DataFrame(self._covariance.copy(), index=self.params.index, columns=self.params.index)

    def _wald_interval(self, alpha: float) -> pd.DataFrame:
        half = quantile(1.0 - 0.5 * alpha, np.asarray(self.df, dtype=float)) * np.asarray(self.bse, dtype=float)
        centre = np.asarray(self.params, dtype=float)
        return pd.DataFrame({"lower": centre - half, "upper": centre + half}, index=self.params.index)

    def conf_int(
        self, alpha: float = 0.05, method: str = "wald", which: str = "fixed", *, n: int = 1000, seed: Any = None
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
        n : int
            Bootstrap replicates.
        seed : int, SeedSequence or Generator, optional
            Of the bootstrap.

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
        from mixedfx.results.intervals import confidence_intervals

        return confidence_intervals(self, checked_alpha(alpha), method, which, n=n, seed=seed)

    # ---------------------------------------------------------------- tests
    def denominator(self, ddf: str | None = None) -> Denominator:
        """Return what calibrates the tests of fixed effects: the covariance and the denominator degrees of freedom.

        Parameters
        ----------
        ddf : str, optional
            Name of the method; the usual one of the model if omitted.
        """
        return asymptotic_for(ddf, self._covariance)

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
        hypothesis = hypothesis_from(constraints, list(self.params.index))
        return row_tests(hypothesis, np.asarray(self.params, dtype=float), self.denominator(ddf))

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
        hypothesis = hypothesis_from(constraints, list(self.params.index))
        if not hypothesis.L.any():
            raise SpecificationError(
                "the constraints are zero in every coefficient, and test nothing: give a row with a number that is not "
                "zero, or text such as 'x = 0'"
            )
        beta = np.asarray(self.params, dtype=float)
        return joint_test(hypothesis, beta, self.denominator(ddf), lambda rows: self._canonical_rows.usual(rows))

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
        checked_flag("skip_single", skip_single)
        identity, rows = np.eye(len(self.params)), {}
        for term, columns in self.design.fixed.terms.items():
            if len(columns) > int(skip_single):
                test = self.f_test(identity[list(columns)], ddf=ddf)
                z = np.isinf(test.df_denom)
                statistic = test.fvalue * test.df_num if z else test.fvalue
                rows[term] = (statistic, test.pvalue, test.df_num, test.df_denom)
        named = ["statistic", "pvalue", "df_constraint", "df_denom"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=named).astype({"df_constraint": int})

    @cached_property
    def _canonical_rows(self) -> CanonicalRows:
        """How hypotheses of several rows are written for their degrees of freedom."""
        inputs = self.model.inputs
        return canonical_rows(self.design, None if inputs is None else inputs.frame)

    # ---------------------------------------------------------------- random effects
    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Conditional modes: group to DataFrame (levels x columns)."""
        return effect_frames(self.design.random, self._modes)

    @property
    def random_effects_sd(self) -> dict[str, pd.DataFrame]:
        """Standard deviations of the random effects given the data and the parameters, shaped as ``random_effects``."""
        return effect_frames(self.design.random, [np.sqrt(np.maximum(v, 0.0)) for v in self._mode_variances])

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
        problem, terms = self.fit.problem, self.design.random
        parts: dict[str, list[tuple[int, TermBasis, slice, RandomEffects]]] = {}
        for term, basis, (factor, own) in zip(terms, problem.terms, problem.assembly.places, strict=True):
            parts.setdefault(term.group, []).append((factor, basis, own, term))
        out = {}
        for group, own in parts.items():
            blocks = self._factor_covariance(own[0][0])
            to_user = np.vstack([_placed(basis.matrix, columns, len(blocks)) for _, basis, columns, _ in own])
            names = [name for *_, term in own for name in term.names]
            out[group] = covariance_frame(
                np.einsum("ia,abm,jb->mij", to_user, blocks, to_user), own[0][3].levels, names
            )
        return out

    @property
    def bse_re(self) -> pd.Series[float]:
        """Standard errors of the variances and covariances of the random effects, those that ``varcorr`` shows.

        They say little near zero: :func:`mixedfx.profile` has intervals, and ``cov_varpar`` the covariance on other
        scales. Nan where a variance is zero.
        """
        covariance = self.cov_varpar("variance")
        shown = [label[0] in self.n_groups for label in covariance.index]
        errors = np.sqrt(np.maximum(np.diag(covariance.to_numpy()), 0.0))
        return pd.Series(errors, index=covariance.index, name="bse_re", dtype=float)[shown]

    @abstractmethod
    def cov_varpar(self, scale: str = "sd") -> pd.DataFrame:
        """Return the asymptotic covariance of the variance parameters."""

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
        return joint_frame(self.design, self._joint_covariance())

    @abstractmethod
    def _joint_covariance(self) -> Array:
        """Covariance (p + q, p + q) of the errors of fixed and random effects."""

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
        scaled = self._weighted_rows(self.model.exog_re @ self.model.Lambda(self.theta.to_numpy()))
        return cholesky_factor(scaled)

    @abstractmethod
    def _weighted_rows(self, matrix: sp.csr_array) -> Any:
        """Return ``W**(1/2) M`` for the rows ``M`` (n, q)."""

    @property
    def coefficients(self) -> dict[str, pd.DataFrame]:
        """Fixed plus random effects: group to DataFrame (levels x coefficients)."""
        return coefficients_by_level(self.params, self.random_effects)

    # ---------------------------------------------------------------- size and fit
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.index)

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {term.group: len(term.levels) for term in self.design.random}

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
        return (*self._identification_notes(), *self.design.notes)

    @property
    def separation_notes(self) -> tuple[str, ...]:
        """What tests and means are worth where fixed effects tell the outcomes apart; empty elsewhere."""
        notes: tuple[str, ...] = self.certificate.separation_note
        return notes

    def _identification_notes(self) -> tuple[str, ...]:
        """What the certificate says of variances that the data do not determine."""
        certificate = self.certificate
        return () if certificate.is_identified else (str(certificate).splitlines()[1],)

    # ---------------------------------------------------------------- other models
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

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def _placed(matrix: Array, columns: slice, size: int) -> Array:
    """Return a matrix with ``matrix`` in some of ``size`` columns and zeros in the others."""
    whole = np.zeros((len(matrix), size))
    whole[:, columns] = matrix
    return whole

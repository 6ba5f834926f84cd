"""Coefficients with standard errors and tests of their own, in statsmodels' vocabulary: pooled ones, robust ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import Block, Column, Numbers, StatsTable, Summary
from mixedfx._suggestions import asked, hinting_methods, names_of
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError, UnknownNameError
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.estimable import CanonicalRows
from mixedfx.inference.wald import CoefficientTests, JointTest, RowTests
from mixedfx.results.adapted import AdaptedFit
from mixedfx.results.summary import coefficient_table
from mixedfx.results.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.results.base import MixedResults

__all__ = ["Calibrated", "TestedCoefficients"]

named = names_of("of a fit")
SHOWN = {"estimate": "coef", "se": "bse", "t": "statistic", "z": "statistic"}  # as tables of coefficients call them


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A fit with other standard errors than its own, as tests of terms and means need it.

    Attributes
    ----------
    fit : MixedResults
        Of the model; of several fits one.
    denominator : Denominator
        Covariance of the fixed effects, and degrees of freedom of combinations of them.
    root : callable
        Returns ``R`` (p, p) with ``R'R`` the cross-products by which terms are adjusted for each other.
    words : str
        What standard errors and tests are called: robust, pooled.
    whose : str
        Whose everything else is: the fit, and where it is.
    ddf : str
        How degrees of freedom are asked for, behind the words that ``ddf=`` is to be left out.
    canonical : CanonicalRows or None
        How hypotheses are written whose degrees of freedom depend on it.
    remarks : tuple of str
        Notes on all tables.
    of_all : bool
        Whether the standard errors are those of all parameters, and not of the fixed effects only.
    """

    fit: MixedResults
    denominator: Denominator
    root: Callable[[], Array]
    words: str
    whose: str
    ddf: str = ""
    canonical: CanonicalRows | None = None
    remarks: tuple[str, ...] = ()
    of_all: bool = False

    def silence(self, has_mean: bool, random: bool) -> str:
        """Return why it is not known what the response is, where that takes more than the linear predictor."""
        if self.of_all:
            return (
                f"{self.words} effects on the response are not computed where it depends on more than the linear "
                f"predictor: compare means by {self.words}.emmeans(…, scale='response'), or take scale='link'"
            )
        if random:
            return (
                f"means over the distribution of the random effects have no {self.words} standard errors, as they "
                "depend on the variances too: leave out integrate="
            )
        what = "parameters beside those of the linear predictor" if has_mean else "thresholds"
        return (
            f"{self.words} standard errors are those of the fixed effects, and these means depend on {what} too: ask "
            f"for tests of the coefficients, .t_test(…), .anova(), or for mfx.joint_tests({self.words})"
            + (", or for means on the scale of the linear predictor, scale='link'" if has_mean else "")
        )

    def check_ddf(self, ddf: Any) -> None:
        """Refuse degrees of freedom by another method."""
        if ddf is not None:
            raise SpecificationError(
                f"{self.words} tests have degrees of freedom of their own: leave out ddf={self.ddf}"
            )

    def check_smooths(self, what: str) -> None:
        """Refuse models whose curves have no such standard errors."""
        if self.fit.fitted_smooths:
            raise SpecificationError(
                f"the curves of smooths have no {self.words} standard errors, which {what} need: write ns(x, 3) in the "
                "place of s(x), or ask for .t_test(…) of the other coefficients"
            )


@hinting_methods
class TestedCoefficients(ABC):
    """What follows from the covariance of fixed effects and the degrees of freedom of combinations of them."""

    __test__ = False  # no test of pytest's

    if not TYPE_CHECKING:  # a type checker shall miss the names that are not there

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_") and not hasattr(type(self), name) and name in dir(self._calibrated.fit):
                own = self._calibrated
                raise UnknownNameError(
                    f"{type(self).__name__!r} object has no attribute {name!r}: it has the fixed effects and their "
                    f"{own.words} tests. Ask {own.whose}.{name}",
                    name=name,
                )
            return named(self, name)

    # ---------------------------------------------------------------- what they are made of
    @property
    @abstractmethod
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,)."""

    @property
    @abstractmethod
    def varcorr(self) -> VarCorr:
        """Variances and covariances of the random effects, and of the residual."""

    @abstractmethod
    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the numbers, a coefficient a row."""

    @property
    @abstractmethod
    def _calibrated(self) -> Calibrated:
        """What calibrates the tests."""

    @abstractmethod
    def _analyses(self, *, random: bool, further: bool) -> tuple[AdaptedFit, ...]:
        """Return what means need of each fit, with what all of them have in common."""

    @abstractmethod
    def _layout(self) -> tuple[str, str, Sequence[Block], Sequence[str]]:
        """Return the title of the summary, that of its table of coefficients, the tables before it, and its notes."""

    @property
    def _tests(self) -> CoefficientTests:
        own, names = self._calibrated, tuple(map(str, self.params.index))
        write = None if own.canonical is None else own.canonical.usual
        return CoefficientTests(names, np.asarray(self.params, dtype=float), own.denominator, write)

    @cached_property
    def _coefficients(self) -> RowTests:
        return self._tests.each

    def _further_table(self, alpha: float) -> pd.DataFrame:
        """What has a standard error beside the fixed effects, as :func:`mixedfx.tidy` lays it out."""
        frame = self.to_frame(alpha).iloc[len(self.params) :]
        parts = [str(name).rpartition(": ") for name in frame.index]
        family = "thresholds" if self._calibrated.fit.solution.family.has_categories else ""
        return pd.DataFrame(
            {
                "component": [(family or term) if part == "family" else part or "residual" for part, _, term in parts],
                "term": [term for _, _, term in parts],
                "estimate": frame["estimate"].to_numpy(),
                "std_error": frame["se"].to_numpy(),
                "statistic": frame["t" if "t" in frame else "z"].to_numpy(),
                "df": frame["df"].to_numpy(),
                "p_value": frame["pvalue"].to_numpy(),
                "conf_low": frame["lower"].to_numpy(),
                "conf_high": frame["upper"].to_numpy(),
            }
        )

    def _series(self, values: Array, name: str) -> pd.Series[float]:
        return pd.Series(values, index=self.params.index, name=name, dtype=float)

    def _matrix(self, values: Array) -> pd.DataFrame:
        return pd.DataFrame(values.copy(), index=self.params.index, columns=self.params.index)

    # ---------------------------------------------------------------- numbers
    def cov_params(self) -> pd.DataFrame:
        """Return the covariance (p, p) of the fixed effects."""
        return self._matrix(self._calibrated.denominator.covariance)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors (p,)."""
        return self._series(self._coefficients.sd, "bse")

    @property
    def df(self) -> pd.Series[float]:
        """Degrees of freedom (p,) of the t tests."""
        return self._series(self._coefficients.df_denom, "df")

    @property
    def tvalues(self) -> pd.Series[float]:
        """Estimate over standard error (p,)."""
        return self._series(self._coefficients.statistic, "tvalues")

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values (p,)."""
        return self._series(self._coefficients.pvalue, "pvalues")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the confidence limits: columns ``lower``, ``upper``; ``alpha`` is one minus their level."""
        limits = self._coefficients.conf_int(alpha)
        return pd.DataFrame(limits, index=self.params.index, columns=["lower", "upper"])

    # ---------------------------------------------------------------- tests
    def t_test(self, constraints: Any) -> RowTests:
        """Test linear combinations of the fixed effects one by one, as :meth:`MixedResults.t_test`.

        Parameters
        ----------
        constraints : str, dict, array or tuple
            ``"a = b, c = 1"``, …

        Examples
        --------
        >>> import mixedfx as mfx
        >>> robust = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool")).robust()
        >>> robust.t_test("Type[T.T2] = Type[T.T3]").to_frame()[["estimate", "se", "df"]].round(3)
                                 estimate     se   df
        Type[T.T2] = Type[T.T3]     1.667  0.441  8.0
        """
        return self._tests.single(constraints)

    def wald_test(self, constraints: Any) -> JointTest:
        """Test linear combinations of the fixed effects all together, as :meth:`MixedResults.wald_test`.

        Parameters
        ----------
        constraints
            As for :meth:`t_test`.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> robust = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool")).robust()
        >>> robust.wald_test("Type[T.T2] = Type[T.T3] = 0")
        F(2, 7.0) = 41.2097, p < 0.001 (denominator df: Pustejovsky and Tipton)
        """
        return self._tests.joint(constraints)

    def wald_test_terms(self, *, skip_single: bool = False) -> pd.DataFrame:
        """Test for every term whether all of its coefficients are zero, as :meth:`MixedResults.wald_test_terms`.

        What that means depends on how factors are coded; :meth:`anova` tests averages over the levels instead.

        Parameters
        ----------
        skip_single : bool
            Leave out terms of one coefficient.
        """
        return self._tests.of_terms(self._calibrated.fit.design.fixed.terms, skip_single)

    def anova(self, **options: Any) -> StatsTable:
        """Test the terms of the model by these standard errors: :func:`mixedfx.anova`.

        Parameters
        ----------
        **options
            ``type`` (1, 2 or 3).

        Examples
        --------
        >>> import mixedfx as mfx
        >>> robust = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool")).robust()
        >>> robust.anova().to_frame()[["df", "den_df", "F", "PR(>F)"]].round(4)
               df  den_df        F  PR(>F)
        Type  3.0     6.0  28.0337  0.0006
        """
        table: StatsTable = asked("anova")(self, **options)
        return table

    def emmeans(self, specs: Any = None, by: Any = None, **options: Any) -> Any:
        """Return marginal means, and contrasts of them, with these standard errors: :func:`mixedfx.emmeans`.

        Parameters
        ----------
        specs, by : str or list of str
            The factors whose means are wanted, and those within whose levels they are compared.
        **options
            Further arguments of :func:`mixedfx.emmeans`, but for ``ddf``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> robust = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool")).robust()
        >>> robust.emmeans("Type").pairs().to_frame()[["contrast", "estimate", "se", "pvalue"]].round(3).head(2)
          contrast  estimate     se  pvalue
        0  T1 - T2    -3.889  0.455    0.00
        1  T1 - T3    -2.222  0.662    0.04
        """
        return asked("emmeans")(self, specs, by, **options)

    def _adapted(self, ddf: Any, *, random: bool, further: bool) -> AdaptedFit:
        """Return what tests and means of the linear predictor need: see :func:`mixedfx.results.adapters.adapted`."""
        own = self._calibrated
        own.check_ddf(ddf)
        own.check_smooths("means")
        each = self._analyses(random=random, further=further)
        first, silence = each[0], ""
        if random or not first.has_mean or (further and not first.mean_is_inverse_link):
            silence = own.silence(first.has_mean, random)
        write = None if own.canonical is None else own.canonical.usual
        return replace(
            first,
            beta=np.asarray(self.params, dtype=float),
            denominator=own.denominator.of_means(),
            usual_rows=write,
            solution=None,
            fitted=None,
            notes=own.remarks,
            analyses=tuple(replace(one, notes=own.remarks) for one in each) if silence and own.of_all else (),
            silence=silence,
        )

    # ---------------------------------------------------------------- tables
    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the tables: all that has a standard error, and what else is known.

        Parameters
        ----------
        alpha : float
            One minus the level of the limits.

        Returns
        -------
        Summary
            Prints as text; HTML in notebooks; ``as_latex``, ``as_csv``, ``as_markdown``, ``tables``.
        """
        frame = self.to_frame(checked_alpha(alpha)).rename(columns=SHOWN)
        title, caption, first, notes = self._layout()
        table = coefficient_table(caption, frame, alpha, use_t=True)
        if "fmi" in frame:
            table = replace(table, columns=(*table.columns, Column("fmi", tuple(frame["fmi"]), Numbers(3, (1.0,)))))
        return Summary((*first, table), title=title, notes=tuple(notes))

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

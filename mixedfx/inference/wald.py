"""Wald tests of linear hypotheses: t tests row by row, F and chi-squared tests of all rows together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import Column, Each, Numbers, Summary, Table, format_df, format_p
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.distributions import chi2_tail, f_tail, quantile, two_sided
from mixedfx.inference.hypothesis import Hypothesis, hypothesis_from, joint_hypothesis

__all__ = ["CoefficientTests", "JointTest", "RowTests", "joint_test", "row_tests"]

SINGULAR = 1e-14  # smallest eigenvalue of a correlation matrix that is rounding


@dataclass(frozen=True, eq=False)
class RowTests:
    """t (or z) tests of the rows of a hypothesis, in the vocabulary of statsmodels' ``ContrastResults``.

    Attributes
    ----------
    effect : (r,)
        Estimates of ``L @ beta``.
    sd : (r,)
        Their standard errors.
    rhs : (r,)
        What they are compared with.
    df_denom : (r,)
        Degrees of freedom, inf for z tests.
    c_names : list of r str
    method : str
        Whose degrees of freedom they are.
    """

    effect: Array
    sd: Array
    rhs: Array
    df_denom: Array
    c_names: tuple[str, ...]
    method: str

    @property
    def statistic(self) -> Array:
        """Estimate less the value of the hypothesis, over its standard error (r,)."""
        out = np.full(self.sd.size, np.nan)
        np.divide(self.effect - self.rhs, self.sd, out=out, where=self.sd > 0)
        return out

    tvalue = statistic

    @property
    def pvalue(self) -> Array:
        """Two-sided p-values (r,)."""
        return two_sided(self.statistic, self.df_denom)

    @property
    def use_t(self) -> bool:
        """Whether these are t tests."""
        return bool(np.isfinite(self.df_denom).any())

    @property
    def distribution(self) -> str:
        """``"t"`` or ``"norm"``."""
        return "t" if self.use_t else "norm"

    def conf_int(self, alpha: float = 0.05) -> Array:
        """Return the confidence limits (r, 2)."""
        half = quantile(1.0 - 0.5 * checked_alpha(alpha), self.df_denom) * self.sd
        return np.column_stack([self.effect - half, self.effect + half])

    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return estimates, standard errors, df, statistics, p-values and limits, a row of the hypothesis a row."""
        limits = self.conf_int(alpha)
        return pd.DataFrame(
            {
                "estimate": self.effect,
                "se": self.sd,
                "df": self.df_denom,
                "t" if self.use_t else "z": self.statistic,
                "pvalue": self.pvalue,
                "lower": limits[:, 0],
                "upper": limits[:, 1],
            },
            index=list(self.c_names),
        )

    def summary_frame(self, xname: list[str] | None = None, alpha: float = 0.05) -> pd.DataFrame:
        """Return the table with statsmodels' headings."""
        letter = "t" if self.use_t else "z"
        frame = self.to_frame(alpha).drop(columns="df")
        frame.columns = ["coef", "std err", letter, f"P>|{letter}|", "Conf. Int. Low", "Conf. Int. Upp."]
        return frame if xname is None else frame.set_axis(list(xname), axis="index")

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the table ready to be shown."""
        frame = self.to_frame(alpha)
        letter, units = "t" if self.use_t else "z", tuple(frame["se"])
        columns = [
            Column("", self.c_names, stub=True),
            Column("coef", tuple(frame["estimate"]), Numbers(4, units)),
            Column("std err", tuple(frame["se"]), Numbers(3, units)),
            Column("df", tuple(frame["df"]), Each(format_df)),
            Column(letter, tuple(frame[letter]), Numbers(3, (1.0,))),
            Column(f"P>|{letter}|", tuple(frame["pvalue"]), Each(format_p)),
            Column(f"[{alpha / 2:.4g}", tuple(frame["lower"]), Numbers(3, units)),
            Column(f"{1 - alpha / 2:.4g}]", tuple(frame["upper"]), Numbers(3, units)),
        ]
        notes = (f"Degrees of freedom by {self.method}.",) if self.use_t else ()
        return Summary((Table(tuple(columns)),), title="Tests of linear hypotheses", notes=notes)

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()


@dataclass(frozen=True)
class JointTest:
    """An F (or chi-squared) test of all rows of a hypothesis together.

    Attributes
    ----------
    wald : float
        The Wald statistic ``(L beta - rhs)' [L Cov L']^-1 (L beta - rhs)``.
    df_num : int
        Number of independent rows.
    df_denom : float
        inf for a chi-squared test.
    scaling : float
        What the mean of the Wald statistic is multiplied by (Kenward and Roger; else 1).
    method : str
    """

    wald: float
    df_num: int
    df_denom: float
    scaling: float
    method: str

    @property
    def use_f(self) -> bool:
        """Whether this is an F test."""
        return bool(np.isfinite(self.df_denom) or np.isnan(self.df_denom))

    @property
    def distribution(self) -> str:
        """``"F"`` or ``"chi2"``."""
        return "F" if self.use_f else "chi2"

    @property
    def fvalue(self) -> float:
        """The (scaled) F statistic."""
        return self.scaling * self.wald / self.df_num if self.df_num else np.nan

    @property
    def statistic(self) -> float:
        """F, or chi-squared."""
        return self.fvalue if self.use_f else self.wald

    @property
    def pvalue(self) -> float:
        """Upper tail probability."""
        if not self.df_num:
            return np.nan
        if not self.use_f:
            return chi2_tail(self.wald, self.df_num)
        return float(f_tail(self.fvalue, self.df_num, self.df_denom))

    def summary(self) -> str:
        """Return one line of text."""
        return str(self)

    def __str__(self) -> str:
        if self.use_f:
            head = f"F({self.df_num}, {format_df(self.df_denom)}) = {self.fvalue:.4f}, p = {format_p(self.pvalue)}"
            return f"{head} (denominator df: {self.method})".replace("= <", "< ")
        return f"chi2({self.df_num}) = {self.wald:.4f}, p = {format_p(self.pvalue)}".replace("= <", "< ")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>"


def row_tests(hypothesis: Hypothesis, beta: Array, denominator: Denominator) -> RowTests:
    """Return the t test of each row of ``hypothesis`` at the estimates ``beta`` (p,)."""
    L, covariance = hypothesis.L, denominator.covariance
    variance = np.einsum("rp,pq,rq->r", L, covariance, L)
    return RowTests(
        L @ beta,
        np.sqrt(np.maximum(variance, 0.0)),
        hypothesis.rhs,
        denominator.of_rows(L),
        hypothesis.names,
        denominator.label,
    )


def joint_test(
    hypothesis: Hypothesis, beta: Array, denominator: Denominator, write: Callable[[Array], Array] | None = None
) -> JointTest:
    """Return the F test of all rows of ``hypothesis`` at the estimates ``beta`` (p,).

    A SpecificationError says that the covariance is singular: a sandwich of few clusters. ``write`` gives the
    combinations of independent rows (r, p) on which pooled degrees of freedom are to rest.
    """
    independent = hypothesis.independent()
    L = independent.L
    if len(L) == 0:
        return JointTest(np.nan, 0, np.nan, 1.0, denominator.label)
    difference = L @ beta - independent.rhs
    wald = float(difference @ np.linalg.solve(_of_full_rank(denominator.together(L)), difference))
    pooled = write is not None and len(L) > 1 and denominator.depends_on_rows
    df, scaling = denominator.joint(write(L) if write is not None and pooled else L)
    label = denominator.several if len(L) > 1 and denominator.several else denominator.label
    return JointTest(wald, len(L), df, scaling, label)


def _of_full_rank(covariance: Array) -> Array:
    """The covariance (r, r) of what is tested together, which a sandwich of few clusters does not know in full."""
    if not np.isfinite(covariance).all():
        return covariance
    sd = np.sqrt(np.maximum(covariance.diagonal(), np.finfo(float).tiny))
    if np.linalg.eigvalsh(covariance / np.outer(sd, sd))[0] > SINGULAR:
        return covariance
    raise SpecificationError(
        f"the covariance of {len(covariance)} coefficients that are tested together is singular, as that of robust "
        "standard errors is with as few clusters as coefficients: test fewer together, or take smaller clusters"
    )


@dataclass(frozen=True, eq=False)
class CoefficientTests:
    """Tests of coefficients, written by name or as matrices: those of a fit, pooled ones, robust ones.

    Attributes
    ----------
    names : tuple of str
    beta : (p,)
        Estimates.
    denominator : Denominator
        Their covariance and degrees of freedom.
    write : callable or None
        Gives the combinations of independent rows (r, p) on which degrees of freedom that depend on them rest.
    """

    names: tuple[str, ...]
    beta: Array
    denominator: Denominator
    write: Callable[[Array], Array] | None = None

    @cached_property
    def each(self) -> RowTests:
        """The test of every coefficient."""
        p = len(self.names)
        return row_tests(Hypothesis(np.eye(p), np.zeros(p), self.names), self.beta, self.denominator)

    def single(self, constraints: Any) -> RowTests:
        """Test combinations one by one."""
        return row_tests(hypothesis_from(constraints, list(self.names)), self.beta, self.denominator)

    def joint(self, constraints: Any) -> JointTest:
        """Test combinations all together."""
        return joint_test(joint_hypothesis(constraints, list(self.names)), self.beta, self.denominator, self.write)

    def of_terms(self, terms: Mapping[str, Sequence[int]], skip_single: bool) -> pd.DataFrame:
        """Test the coefficients of every term: F, or chi-squared without denominator degrees of freedom."""
        least = int(checked_flag("skip_single", skip_single))
        identity, rows = np.eye(len(self.names)), {}
        for term, columns in terms.items():
            if len(columns) > least:
                test = self.joint(identity[list(columns)])
                rows[term] = (test.statistic, test.pvalue, test.df_num, test.df_denom)
        named = ["statistic", "pvalue", "df_constraint", "df_denom"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=named).astype({"df_constraint": int})

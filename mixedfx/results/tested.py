"""Coefficients with standard errors and tests of their own, in statsmodels' vocabulary: pooled ones, robust ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_flag
from mixedfx._display import Summary
from mixedfx._typing import Array
from mixedfx.inference.hypothesis import Hypothesis, hypothesis_from, joint_hypothesis
from mixedfx.inference.wald import JointTest, RowTests
from mixedfx.results.components import term_tests

__all__ = ["TestedCoefficients"]


class TestedCoefficients(ABC):
    """What follows from the tests of single and of several rows of a hypothesis."""

    __test__ = False  # no test of pytest's

    @property
    @abstractmethod
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,)."""

    @abstractmethod
    def cov_params(self) -> pd.DataFrame:
        """Return the covariance (p, p) of the fixed effects."""

    @abstractmethod
    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the tables, with ``as_text``, ``as_html``, ``as_latex``, ``as_csv``, ``as_markdown``."""

    @abstractmethod
    def _single(self, hypothesis: Hypothesis) -> RowTests:
        """Test every row of a hypothesis."""

    @abstractmethod
    def _joint(self, hypothesis: Hypothesis) -> JointTest:
        """Test all rows of a hypothesis together."""

    @property
    @abstractmethod
    def _terms(self) -> Mapping[str, Sequence[int]]:
        """The coefficients of every term."""

    @cached_property
    def _coefficients(self) -> RowTests:
        names = tuple(map(str, self.params.index))
        return self._single(Hypothesis(np.eye(len(names)), np.zeros(len(names)), names))

    def _series(self, values: Array, name: str) -> pd.Series[float]:
        return pd.Series(values, index=self.params.index, name=name, dtype=float)

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
        """Return the confidence limits: columns ``lower``, ``upper``.

        Parameters
        ----------
        alpha : float
            One minus the level.
        """
        limits = self._coefficients.conf_int(alpha)
        return pd.DataFrame(limits, index=self.params.index, columns=["lower", "upper"])

    def t_test(self, constraints: Any) -> RowTests:
        """Test linear combinations of the fixed effects one by one.

        Parameters
        ----------
        constraints : str, dict, array or tuple
            Text (``"a = b, c = 1"``), ``{"c": 1}``, a matrix with a row for each combination, or ``(matrix, values)``.

        Returns
        -------
        RowTests
            ``effect, sd, statistic, pvalue, df_denom, conf_int(), to_frame(), summary()``.
        """
        return self._single(hypothesis_from(constraints, list(self.params.index)))

    def wald_test(self, constraints: Any) -> JointTest:
        """Test linear combinations of the fixed effects all together.

        Parameters
        ----------
        constraints
            As for :meth:`t_test`.

        Returns
        -------
        JointTest
            ``fvalue, df_num, df_denom, pvalue``.

        Raises
        ------
        SpecificationError
            If the constraints contradict each other, or say nothing.
        """
        return self._joint(joint_hypothesis(constraints, list(self.params.index)))

    def wald_test_terms(self, *, skip_single: bool = False) -> pd.DataFrame:
        """Test for every term whether all of its coefficients are zero.

        Parameters
        ----------
        skip_single : bool
            Leave out terms of one coefficient.

        Returns
        -------
        DataFrame
            One row a term: ``statistic, pvalue, df_constraint, df_denom``.
        """
        checked_flag("skip_single", skip_single)
        return term_tests(self.wald_test, self._terms, len(self.params), skip_single)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

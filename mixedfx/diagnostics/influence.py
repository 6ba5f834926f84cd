"""Influence: what the estimates would be without a row or a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx._workers import Workers
from mixedfx.diagnostics.checks import mixed_results, row_sets
from mixedfx.diagnostics.residuals import leverage
from mixedfx.fitting.without import Without
from mixedfx.results.base import MixedResults

__all__ = ["LARGE", "Influence", "influence", "outstanding"]

MOST_SHOWN = 10
LARGE = 1.0  # Cook's distance of a set that moves the estimates by a standard error or so
CONVENTIONAL = 4.0  # Cook's distance is remarkable above this number divided by the number of sets


def outstanding(sets: int) -> float:
    """Return the Cook's distance above which one of ``sets`` stands out: what moves the estimates much always does."""
    return min(CONVENTIONAL / max(sets, 1), LARGE)


@hinting_methods
@dataclass(frozen=True)
class Influence:
    """The estimates without each of R sets of rows, and with all rows; nan where the estimates do not exist.

    Made by :func:`influence`.
    """

    fit: MixedResults
    name: str
    labels: pd.Index[Any]
    sets: IntArray
    estimates: Without

    def _frame(self, values: Array, columns: Any) -> pd.DataFrame:
        return pd.DataFrame(values, index=self.labels, columns=columns)

    def _series(self, values: Array, name: str) -> pd.Series[float]:
        return pd.Series(values, index=self.labels, name=name, dtype=float)

    # ---------------------------------------------------------------- estimates
    @property
    def params(self) -> pd.DataFrame:
        """Fixed effects without each set (R, p)."""
        return self._frame(self.estimates.beta, self.fit.params.index)

    @property
    def bse(self) -> pd.DataFrame:
        """Standard errors of the fixed effects without each set (R, p)."""
        variances = np.einsum("rpp->rp", self.estimates.covariance)
        return self._frame(np.sqrt(np.where(variances >= 0.0, variances, np.nan)), self.fit.params.index)

    @property
    def theta(self) -> pd.DataFrame:
        """Covariance parameters without each set (R, k): relative to sigma in a linear model, absolute otherwise."""
        return self._frame(self.estimates.theta, self.fit.theta.index)

    @property
    def sigma(self) -> pd.Series[float]:
        """Residual standard deviation (root of the dispersion of a family) without each set (R,)."""
        return self._series(np.sqrt(self.estimates.sigma2), "sigma")

    @property
    def further(self) -> pd.DataFrame:
        """Other parameters without each set: of ``residual=`` (natural scales), of further predictors and families."""
        return self._frame(self.estimates.further, list(self.fit.solution.further_names))

    @property
    def variances(self) -> pd.DataFrame:
        """Variances and covariances without each set, columns (group, term1, term2); the residual variance last."""
        scale = self.estimates.sigma2 if self.fit.solution.is_relative else np.ones(len(self.labels))
        columns: dict[tuple[str, str, str], Array] = {}
        terms = self.fit.design.random
        ends = np.cumsum([term.covariance.n_theta for term in terms], dtype=np.intp)
        for term, own in zip(terms, np.split(self.estimates.theta, ends, axis=1), strict=False):
            half = np.array([term.covariance.factor(theta) for theta in own])
            covariance = scale[:, None, None] * (half @ half.swapaxes(1, 2))
            for first, j in term.variances:
                columns[term.group, first, ""] = covariance[:, j, j]
            if term.pooled is not None:
                continue
            for j, first in enumerate(term.names):
                others = enumerate(term.names[j + 1 :], j + 1)
                columns |= {(term.group, first, other): covariance[:, i, j] for i, other in others}
        if self.fit.varcorr.residual is not None:
            columns["Residual", "", ""] = self.estimates.sigma2
        names = pd.MultiIndex.from_tuples(list(columns), names=["group", "term1", "term2"])
        return self._frame(np.column_stack(list(columns.values())), names)

    @property
    def variance_change(self) -> pd.DataFrame:
        """Variances without each set over those with all rows, less one."""
        frame = self.variances
        single = frame.columns[frame.columns.get_level_values("term2") == ""]
        frame = frame[single]
        residual = [] if self.fit.varcorr.residual is None else [self.fit.scale]
        now = np.concatenate([*(np.diag(term.matrix) for term in self.fit.varcorr.terms), residual])
        with np.errstate(divide="ignore", invalid="ignore"):  # a variance of zero has no relative change
            return pd.DataFrame(frame / now - 1.0)

    # ---------------------------------------------------------------- measures
    @property
    def dfbeta(self) -> pd.DataFrame:
        """Change of the fixed effects that each set makes (R, p): with all rows less without the set."""
        return self.fit.params - self.params

    @property
    def dfbetas(self) -> pd.DataFrame:
        """:attr:`dfbeta` in standard errors without the set (the opposite sign of lme4's)."""
        return self.dfbeta / self.bse

    @property
    def cooks_distance(self) -> pd.Series[float]:
        """Squared length of :attr:`dfbeta` by the covariance with all rows, divided by p."""
        change, p = self.dfbeta.to_numpy(), max(len(self.fit.params), 1)
        solved = np.linalg.solve(self.fit.cov_params().to_numpy(), change.T).T
        return self._series(np.einsum("rp,rp->r", change, solved) / p, "cooks_distance")

    @cached_property
    def _known(self) -> BoolArray:
        return np.isfinite(self.estimates.sigma2)

    @cached_property
    def _has_errors(self) -> BoolArray:
        """Where the covariance without the set is known, too."""
        return np.asarray(self._known & np.isfinite(self.estimates.covariance).all(axis=(1, 2)))

    @property
    def mdffits(self) -> pd.Series[float]:
        """The same by the covariance without the set."""
        known, out = self._has_errors, np.full(len(self.labels), np.nan)
        change = self.dfbeta.to_numpy()[known]
        solved = np.linalg.solve(self.estimates.covariance[known], change[..., None])[..., 0]
        out[known] = np.einsum("rp,rp->r", change, solved) / max(len(self.fit.params), 1)
        return self._series(out, "mdffits")

    @property
    def covratio(self) -> pd.Series[float]:
        """Determinant of the fixed effects' covariance without the set over that with it: above 1, the set helps."""
        out = np.full(len(self.labels), np.nan)
        out[self._has_errors] = np.linalg.slogdet(self.estimates.covariance[self._has_errors])[1]
        return self._series(np.exp(out - np.linalg.slogdet(self.fit.cov_params().to_numpy())[1]), "covratio")

    @property
    def covtrace(self) -> pd.Series[float]:
        """``|tr(C^-1 C_without) - p|``, C the covariance of the fixed effects."""
        ratio = np.linalg.solve(self.fit.cov_params().to_numpy(), self.estimates.covariance)
        return self._series(np.abs(np.einsum("rpp->r", ratio) - len(self.fit.params)), "covtrace")

    @property
    def leverage(self) -> pd.Series[float]:
        """Mean leverage of the rows of each set."""
        total = leverage(self.fit)["total"].to_numpy()
        return self._series(np.bincount(self.sets, weights=total) / np.bincount(self.sets), "leverage")

    @property
    def is_remarkable(self) -> pd.Series[bool]:
        """Whether Cook's distance exceeds four divided by the number of sets, a convention, or 1."""
        return self.cooks_distance > outstanding(len(self.labels))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a set: ``n, cooks_distance, mdffits, covtrace, covratio, leverage, sigma`` and all DFBETAS.

        There is no ``sigma`` in families without a dispersion.
        """
        measures = [self.cooks_distance, self.mdffits, self.covtrace, self.covratio, self.leverage]
        measures += [] if self.fit.varcorr.residual is None else [self.sigma]
        counts = pd.Series(np.bincount(self.sets), index=self.labels, name="n")
        return pd.concat([counts, *measures, self.dfbetas.add_prefix("dfbetas_")], axis=1)

    def table(self) -> StatsTable:
        """Return the sets that move the estimates most."""
        frame = self.to_frame()
        shown = ["n", "cooks_distance", "mdffits", "covratio", "leverage", "sigma"]
        frame = frame[[name for name in shown if name in frame]]
        dfbetas = self.dfbetas.abs()
        frame["largest dfbetas"] = dfbetas.max(axis=1)
        order = frame["cooks_distance"].sort_values(ascending=False, na_position="last").index[:MOST_SHOWN]
        unit = "rows" if self.name == "row" else f"levels of {self.name}"
        notes = [
            f"{int(self.is_remarkable.sum())} of {len(self.labels)} {unit} have a Cook's distance above "
            f"{outstanding(len(self.labels)):.2g}{' (4 divided by their number)' * (len(self.labels) > CONVENTIONAL)}.",
        ]
        if not self._known.all():
            notes.append(
                f"Without {int((~self._known).sum())} of them the fixed effects cannot all be estimated (nan)."
            )
        heading = f"Influence of {unit}: the {min(MOST_SHOWN, len(frame))} largest"
        largest = frame.loc[order].rename(columns={"cooks_distance": "Cook's distance"})
        return StatsTable.from_frame(largest.rename_axis(self.name), heading=heading, notes=notes)

    def plot(self, ax: Any = None) -> Any:
        """Draw Cook's distances; see :func:`mixedfx.plots.influence`."""
        return higher("influence_picture")(self, ax=ax)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def influence(
    fit: Any,
    group: str | Sequence[Any] | None = None,
    *,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Influence:
    """Return what the estimates would be without each row or each group.

    Parameters
    ----------
    fit : MixedResults
    group : str or sequence, optional
        A grouping factor of the model (``"Subject"``: leave out subjects), or a label for every row; rows if omitted.
    n_jobs : int, optional
        Processes; -1 for one each core. If omitted, what ``joblib.parallel_config`` says around the call, else 1.
    progress : bool, optional
        Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

    Returns
    -------
    Influence
        ``cooks_distance, mdffits, dfbetas, covratio, covtrace, leverage, params, variances, variance_change, …``, all
        indexed by row or group; ``to_frame()``, ``plot()``.

    Notes
    -----
    In a linear model the cross-products of the rows are taken off exactly. The variances are estimated anew by Newton
    steps for all sets at once: to convergence where that is affordable, else by one step to third order, checked for
    what it leaves. Where the design does not fall into small blocks (crossed factors with many levels), or the
    residuals have a structure, each set has a search of its own from the estimate with all rows; with a structure it
    borrows their Hessian, too, and mends it by secants.

    In a generalised model weights of zero take the rows out. Newton steps in all parameters (coefficients, variances,
    dispersion) follow the exact gradient of the likelihood of the other rows, integrated as for the fit, until the
    estimates are within 1e-4 standard errors of those of a new fit; the first step is Pregibon's approximation. Where
    they do not settle, or a variance vanishes, the set is fitted anew; where the response without the set is separated,
    the estimates are nan.

    References
    ----------
    Demidenko & Stukel (2005), Stat. Med. 24, 893; Loy & Hofmann (2014), J. Stat. Softw. 56(5); Pregibon (1981), Ann.
    Stat. 9, 705; Christensen, Pearson & Johnson (1992), Technometrics 34, 38; Xiang, Tse & Lee (2002), Comput. Stat.
    Data Anal. 40, 759, for generalised models.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> found = mfx.influence(fit, "Subject")
    >>> found.cooks_distance.nlargest(2).round(3)
    Subject
    309    0.149
    335    0.129
    Name: cooks_distance, dtype: float64

    Generalised models and residual structures take it too:

    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> mfx.influence(fit, "herd").cooks_distance.nlargest(2).round(3)
    herd
    11    0.434
    1     0.342
    Name: cooks_distance, dtype: float64
    """
    results, workers = mixed_results(fit, "influence"), Workers(n_jobs, progress)
    results.design.need_rows("influence of rows or groups")
    sets, labels, name = row_sets(results, group)
    solution = results.solution
    columns = None if solution.residual is None else results.model.residual_columns
    return Influence(results, name, labels, sets, solution.without(sets, columns, workers))

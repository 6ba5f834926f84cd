"""The likelihood-ratio test with its distribution from a parametric bootstrap."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx._workers import Workers
from mixedfx.exceptions import ConvergenceWarning, DataError, MixedfxWarning, SpecificationError, warn
from mixedfx.inference.distributions import chi2_tail
from mixedfx.inference.likelihood_ratio import LikelihoodRatio, likelihood_ratio
from mixedfx.results.base import MixedResults, checked_fit
from mixedfx.results.nesting import MEAN, Columns, Contents, contents_of, difference
from mixedfx.results.resampling import Block, Measure, Outcome, attempt, groups_of, reasons_of
from mixedfx.results.simulate import checked_count

__all__ = ["BootstrapTest", "bootstrap_test"]

SAME = 1e-8  # relative difference of responses that counts as none
NOISE = 1e-6  # likelihood ratios that differ by less are equal


@hinting_methods
@dataclass(frozen=True, eq=False)
class BootstrapTest:
    """A likelihood-ratio test; made by :func:`bootstrap_test`.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    df : int
        Difference of the numbers of parameters.
    replicates : (R,)
        The statistic in data simulated from the smaller model, failed replicates left out.
    failures : dict of str to int
        Why replicates failed, and how many did.
    models : tuple of str
        Formulas of the smaller and the larger model.
    """

    statistic: float
    df: int
    replicates: Array
    failures: dict[str, int]
    models: tuple[str, str]

    @property
    def n_failed(self) -> int:
        """Number of replicates that failed."""
        return sum(self.failures.values())

    @property
    def pvalue(self) -> float:
        """Share of statistics at least as large, the observed one counted among them (Davison and Hinkley 1997)."""
        above = int(np.sum(self.replicates >= self.statistic - NOISE))
        return (above + 1.0) / (self.replicates.size + 1.0)

    @property
    def pvalue_se(self) -> float:
        """Monte-Carlo error of :attr:`pvalue`: its standard deviation if everything were simulated again."""
        p = self.pvalue
        return float(np.sqrt(p * (1.0 - p) / self.replicates.size))

    @property
    def pvalue_chi2(self) -> float:
        """P-value by the chi-squared distribution, for comparison."""
        return chi2_tail(self.statistic, self.df)

    def to_frame(self) -> pd.DataFrame:
        """Return one row: ``chi2, df, pvalue, pvalue_se, PR(>chi2)``."""
        row = {
            "chi2": self.statistic,
            "df": self.df,
            "pvalue": self.pvalue,
            "pvalue_se": self.pvalue_se,
            "PR(>chi2)": self.pvalue_chi2,
        }
        return pd.DataFrame([row], index=[self.models[1]])

    def summary(self) -> StatsTable:
        """Return the table with its notes."""
        notes = [
            f"Against {self.models[0]}, by maximum likelihood. pvalue: from {self.replicates.size} data sets simulated "
            "from that model, pvalue_se its Monte-Carlo error; PR(>chi2): by the chi-squared distribution."
        ]
        if self.n_failed:
            reasons = "; ".join(f"{count}: {reason}" for reason, count in self.failures.items())
            notes.append(f"{self.n_failed} further replicates failed ({reasons}).")
        return StatsTable.from_frame(
            self.to_frame(), heading="Likelihood-ratio test by parametric bootstrap", notes=notes
        )

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def bootstrap_test(
    fit0: Any, fit1: Any, n: int = 1000, *, seed: Any = None, n_jobs: int | None = None, progress: bool | None = None
) -> BootstrapTest:
    """Compare nested models by the likelihood ratio, its distribution simulated from the smaller model.

    Use it where the chi-squared distribution is doubtful: variances, several at once too, and fixed effects with few
    groups.

    Parameters
    ----------
    fit0, fit1 : LinearMixedResults or GeneralizedLinearMixedResults
        The smaller and the larger model of the same rows. REML fits are refitted by maximum likelihood. The smaller one
        may be an ordinary linear model of statsmodels: then the random effects are tested as a whole.
    n : int
        Simulated data sets.
    seed : int, SeedSequence or Generator, optional
        The same seed gives the same p-value, however many processes there are.
    n_jobs : int, optional
        Processes; -1 for one each core. If omitted, what ``joblib.parallel_config`` says around the call, else 1.
    progress : bool, optional
        Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

    Returns
    -------
    BootstrapTest
        ``statistic, df, pvalue, pvalue_se, replicates, summary()``.

    Raises
    ------
    SpecificationError, DataError
        If the models cannot be compared: they have other rows, or the larger one does not contain the smaller one.

    Warns
    -----
    ConvergenceWarning
        If replicates failed.

    References
    ----------
    Halekoh & Hojsgaard (2014), J. Stat. Softw. 59(9), section 4.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("sleepstudy")
    >>> fit0 = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> fit1 = mfx.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> test = mfx.bootstrap_test(fit0, fit1, 200, seed=1)
    >>> round(test.statistic, 2), test.df, round(test.pvalue, 4)
    (42.14, 2, 0.005)
    """
    large = _by_maximum_likelihood(checked_fit(fit1, "bootstrap_test"))
    small = _null_of(fit0, large)
    _check_nested(small, large)
    count, workers = checked_count(n), Workers(n_jobs, progress)
    groups = groups_of(large, count, seed, usual=True)
    tasks, counts = [(group,) for group in groups], [sum(block.count for block in group) for group in groups]
    outcomes = workers.run(_ratios, (small, large), tasks, "bootstrap test", counts)
    ratios = np.concatenate([outcome.values[:, 0] for outcome in outcomes])
    failures = dict(Counter(reason for outcome in outcomes for reason in outcome.failures))
    formulas = (small.formula, str(large.design.formula))
    ratio, df = _ratio(small, large).value, large.n_parameters - small.n_parameters
    test = BootstrapTest(ratio, df, ratios[np.isfinite(ratios)], failures, formulas)
    if not test.replicates.size:
        raise DataError(f"all {count} replicates failed: {'; '.join(failures)}")
    if test.n_failed:
        warn(
            f"{test.n_failed} of {count} replicates failed, and are left out: {'; '.join(failures)}", ConvergenceWarning
        )
    return test


def _by_maximum_likelihood(fit: MixedResults) -> MixedResults:
    if not fit.reml:
        return fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # of a fit that the user did not ask for
        small: MixedResults = fit.model.fit(**fit.solution.as_ml, control=fit.solution.same_way)
        return small


class _Null(ABC):
    """The smaller model: what data are simulated from."""

    formula: str
    response: Array
    contents: Contents
    llf: float
    llfs: Array
    n_parameters: int

    @abstractmethod
    def simulate(self, count: int, seed: np.random.SeedSequence) -> Array:
        """Return responses (n, R)."""

    @abstractmethod
    def deviances(self, Y: Array) -> list[float | str]:
        """Return minus twice the log-likelihoods of the model fitted to responses (n, R), or why a fit failed."""


class _Mixed(_Null):
    def __init__(self, fit: MixedResults) -> None:
        self.fit = fit
        self.formula, self.n_parameters = str(fit.design.formula), fit.n_parameters
        self.llf, self.llfs = fit.llf, fit.solution.llfs
        self.contents = contents_of(fit, fit.design.weights, fit.design.offset)
        self.response = np.asarray(fit.design.response.values, dtype=float)

    def simulate(self, count: int, seed: np.random.SeedSequence) -> Array:
        return np.asarray(self.fit.simulate(count, seed=seed), dtype=float)

    def deviances(self, Y: Array) -> list[float | str]:
        return _deviances(self.fit, Y)


class _Ordinary(_Null):
    """A linear model without random effects, fitted by statsmodels."""

    def __init__(self, fit: Any) -> None:
        self.formula = str(getattr(fit.model, "formula", type(fit.model).__name__))
        self.X, self.response = np.asarray(fit.model.exog, dtype=float), np.asarray(fit.model.endog, dtype=float)
        columns = {MEAN: Columns(self.X, tuple(map(str, fit.model.exog_names)))}
        self.contents = Contents(None, None, None, columns, normal=True)
        self.mean = self.X @ np.asarray(fit.params, dtype=float)
        self.sigma = float(np.sqrt(np.mean((self.response - self.mean) ** 2)))
        self.llf, self.llfs, self.n_parameters = float(fit.llf), np.zeros(0), self.X.shape[1] + 1

    def simulate(self, count: int, seed: np.random.SeedSequence) -> Array:
        noise = np.random.default_rng(seed).standard_normal((self.mean.size, count))
        return np.asarray(self.mean[:, None] + self.sigma * noise)

    def deviances(self, Y: Array) -> list[float | str]:
        n = len(Y)
        residuals = Y - self.X @ np.linalg.lstsq(self.X, Y, rcond=None)[0]
        values = n * (1.0 + np.log(2.0 * np.pi * np.mean(residuals**2, axis=0)))
        return list(map(float, values))


def _null_of(fit: Any, large: MixedResults) -> _Null:
    """Resolve the smaller model: one of mixedfx, or an ordinary linear model of statsmodels."""
    ordinary = hasattr(fit, "model") and type(fit.model).__name__ == "OLS" and hasattr(fit, "llf")
    if ordinary and large.solution.response.has_normal_residuals:
        return _Ordinary(fit)
    small = _by_maximum_likelihood(checked_fit(fit, "bootstrap_test"))
    if small.solution.kind != large.solution.kind:
        raise SpecificationError("a linear and a generalised model cannot be compared")
    return _Mixed(small)


def _check_nested(small: _Null, large: MixedResults) -> None:
    response = np.asarray(large.design.response.values, dtype=float)
    if small.response.size != response.size:
        raise DataError(
            f"the models were fitted to {small.response.size} and {response.size} rows: fit them to the same rows"
        )
    if not np.allclose(small.response, response, rtol=SAME, atol=0.0, equal_nan=True):
        raise DataError("the models have different responses: fit both to the same one")
    if large.n_parameters <= small.n_parameters:
        raise SpecificationError(
            f"the first model has {small.n_parameters} parameters, the second {large.n_parameters}: give the "
            "smaller one first"
        )
    found = difference(small.contents, contents_of(large, large.design.weights, large.design.offset))
    if found:
        raise SpecificationError(
            f"{found.words('the first model', 'the second')}: they are not nested, and there is no test; compare their "
            "AIC (mfx.compare)"
        )
    if _ratio(small, large).is_negative(2.0 * NOISE):
        raise SpecificationError(
            "the larger model has the smaller likelihood: the models are not nested, or a search ended short of its "
            "maximum (fit the larger one with control=mfx.Control(starts=5))"
        )


def _ratio(small: _Null, large: MixedResults) -> LikelihoodRatio:
    return likelihood_ratio((large.llf, large.solution.llfs), (small.llf, small.llfs))


def _ratios(small: _Null, large: MixedResults, blocks: Sequence[Block]) -> Outcome:
    """Likelihood ratios (R, 1) in data simulated from the smaller model."""
    Y = np.concatenate([small.simulate(block.count, block.seed) for block in blocks], axis=1)
    pairs = list(zip(small.deviances(Y), _deviances(large, Y), strict=True))
    values = [np.nan if isinstance(a, str) or isinstance(b, str) else a - b for a, b in pairs]
    reasons = [next((one for one in pair if isinstance(one, str)), None) for pair in pairs]
    failed = np.isnan(values)
    return Outcome(np.array(values)[:, None], failed, tuple(reason for reason in reasons if reason is not None))


def _deviances(fit: MixedResults, Y: Array) -> list[float | str]:
    refits = fit._refits(Y) if fit.refits_grouped else None
    if refits is not None:
        reasons = iter(reasons_of(refits))
        pairs = zip(refits.values.tolist(), refits.converged.tolist(), strict=True)
        return [value if converged else next(reasons) for value, converged in pairs]
    measure = Measure(_deviance)
    tried = [attempt(lambda y=y: fit.refit(y), measure) for y in Y.T]  # type: ignore[misc]
    return [one if isinstance(one, str) else float(one[0][0]) for one in tried]


def _deviance(fit: MixedResults) -> float:
    return fit.deviance

"""The bootstrap: replicates of a fit, and the intervals that follow from them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_name
from mixedfx._display import StatsTable
from mixedfx._suggestions import asked, hinting_methods
from mixedfx._typing import Array
from mixedfx._workers import Workers
from mixedfx.exceptions import ConvergenceWarning, SpecificationError, warn
from mixedfx.inference.bootstrap_intervals import LimitName, Sample, acceleration, limits_for
from mixedfx.results.base import MixedResults, checked_fit
from mixedfx.results.quantities import EVERY_PART, WhichName, checked_which, quantities
from mixedfx.results.resampling import (
    BootstrapName,
    Clusters,
    Measure,
    Outcome,
    attempt,
    clusters_of,
    outcome_of,
    refit_rows,
    replicated,
    scheme_for,
)
from mixedfx.results.simulate import checked_count

__all__ = ["Bootstrap", "bootstrap"]

FEWEST = 2  # replicates of a quantity that make an interval


@hinting_methods
@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Bootstrap replicates of a fit; made by :func:`bootstrap`.

    Attributes
    ----------
    fit : results
        The fit that was resampled.
    estimate : Series
        The quantities in the fit itself.
    replicates : DataFrame
        A row a replicate, a column a quantity. Missing in replicates that failed, and where a quantity is undefined (a
        correlation of an effect without variance).
    description : str
        How the replicates were drawn.
    failures : dict of str to int
        Why replicates failed, and how many did.
    n_singular : int
        Replicates with a variance of zero or a correlation of -1 or 1; they count like all others.
    measure : Measure
        What was computed of every fit.
    workers : Workers
        How.
    asked : int
        Replicates asked for: more than there are if the work was stopped (Ctrl-C, killed workers).
    cluster : str or None
        What was named as the clusters.
    """

    fit: MixedResults
    estimate: pd.Series[float]
    replicates: pd.DataFrame
    description: str
    failures: dict[str, int]
    n_singular: int
    measure: Measure
    workers: Workers
    asked: int
    cluster: str | None = None

    @property
    def n(self) -> int:
        """Number of replicates, failed ones included."""
        return len(self.replicates)

    @property
    def n_failed(self) -> int:
        """Number of replicates that failed."""
        return sum(self.failures.values())

    def to_frame(self) -> pd.DataFrame:
        """Return the replicates: a row each, a column a quantity."""
        return self.replicates.copy()

    def conf_int(self, alpha: float = 0.05, which: WhichName = "all", kind: LimitName = "percentile") -> pd.DataFrame:
        """Return confidence intervals.

        Parameters
        ----------
        alpha : float
            One minus the level.
        which : str
            ``"fixed"``, ``"random"`` (standard deviations, correlations, sigma), ``"family"`` or ``"all"``.
        kind : str
            ``"percentile"``: quantiles of the replicates; ``"basic"``: those reflected at the estimate; ``"bca"``:
            bias-corrected and accelerated, the acceleration from leaving out one cluster after the other;
            ``"shortest"``: the shortest interval with a share 1 - alpha of the replicates; ``"normal"``: estimate less
            bias, plus and minus a normal quantile times the bootstrap standard error.

        Returns
        -------
        DataFrame
            Columns ``lower``, ``upper``; missing for a quantity with fewer than two replicates.

        Warns
        -----
        ConvergenceWarning
            If replicates failed: the intervals rest on the others.

        References
        ----------
        Efron (1987), J. Am. Stat. Assoc. 82, 171-185. Davison & Hinkley (1997), Bootstrap Methods and Their
        Application, chapter 5.
        """
        alpha, limits = checked_alpha(alpha), limits_for(kind)
        columns = self._columns(which)
        if self.n_failed:
            warn(f"{self._failed_note()} The intervals rest on the others.", ConvergenceWarning)
        moved = self._acceleration if kind == "bca" else np.zeros(len(self.estimate))
        lower, upper = self.bounds.to_numpy().T
        rows = []
        for j in columns:
            values = self.replicates.iloc[:, j].to_numpy(dtype=float)
            values = values[np.isfinite(values)]
            if values.size < FEWEST or not np.isfinite(self.estimate.iloc[j]):
                rows.append((np.nan, np.nan))
                continue
            sample = Sample(values, float(self.estimate.iloc[j]), float(moved[j]), float(lower[j]), float(upper[j]))
            rows.append(limits(sample, alpha))
        names = [self.estimate.index[j] for j in columns]
        return pd.DataFrame(rows, index=names, columns=["lower", "upper"], dtype=float)

    def _columns(self, which: str) -> list[int]:
        if self.measure.statistic is None:
            return quantities(self.fit).chosen(which)
        if checked_which(which) != EVERY_PART:
            raise SpecificationError('a statistic of your own is neither fixed nor random: leave which="all"')
        return list(range(len(self.estimate)))

    @property
    def bounds(self) -> pd.DataFrame:
        """Smallest and largest possible value of every quantity (``lower, upper``)."""
        k = len(self.estimate)
        lower, upper = np.full(k, -np.inf), np.full(k, np.inf)
        if self.measure.statistic is None:
            known = quantities(self.fit)
            lower, upper = known.lower, known.upper
        return pd.DataFrame({"lower": lower, "upper": upper}, index=self.estimate.index)

    @cached_property
    def _acceleration(self) -> Array:
        """Acceleration (k,) of every quantity, leaving out one of the outermost clusters after the other."""
        try:
            clusters = clusters_of(self.fit, self.cluster)
        except SpecificationError as error:
            raise SpecificationError(
                'kind="bca" leaves out one independent cluster after the other, and this model has none: use '
                'kind="percentile"'
            ) from error
        shared, tasks = (self.fit, self.measure, clusters), [(left,) for left in range(clusters.count)]
        outcomes = self.workers.run(_without, shared, tasks, "jackknife")
        values = np.concatenate([outcome.values for outcome in outcomes])
        return np.array([float(acceleration(column[np.isfinite(column)][:, None])[0]) for column in values.T])

    def summary(self, alpha: float = 0.05, kind: LimitName = "percentile") -> StatsTable:
        """Return estimates, biases, standard errors and intervals.

        Parameters
        ----------
        alpha : float
            One minus the level.
        kind : str
            As for :meth:`conf_int`.

        Returns
        -------
        StatsTable
            A DataFrame with notes: ``estimate, bias, se, lower, upper``.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a note says it
            limits = self.conf_int(alpha, kind=kind)
        frame = pd.DataFrame(
            {
                "estimate": self.estimate,
                "bias": self.replicates.mean() - self.estimate,
                "se": self.replicates.std(),
                "lower": limits["lower"],
                "upper": limits["upper"],
            }
        )
        notes = [f"{self.n} replicates, {self.description}; {kind} intervals, level {1 - alpha:g}."]
        return StatsTable.from_frame(frame, heading="Bootstrap", notes=[*notes, *self._remarks()])

    def _remarks(self) -> list[str]:
        out = [f"Stopped before the end: {self.asked} replicates were asked for."] if self.asked > self.n else []
        out += [self._failed_note()] if self.n_failed else []
        if self.n_singular:
            out.append(f"{self.n_singular} replicates are singular: a variance is zero or a correlation is -1 or 1.")
        undefined = self.replicates.isna().sum() - self.n_failed
        named = [f"{name} in {count}" for name, count in undefined.items() if count > 0]
        if named:
            out.append(f"Undefined, for want of a variance, and left out: {', '.join(named)}.")
        return out

    def _failed_note(self) -> str:
        reasons = "; ".join(f"{count}: {reason}" for reason, count in self.failures.items())
        return f"{self.n_failed} of {self.n} replicates failed ({reasons})."

    def plot(self, which: WhichName = "all", **options: Any) -> Any:
        """Draw the distributions of the replicates; see :func:`mixedfx.plots.plot_bootstrap`."""
        return asked("plot_bootstrap")(self, which=which, **options)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def _without(fit: MixedResults, measure: Measure, clusters: Clusters, left: int) -> Outcome:
    """One estimate of the jackknife."""
    others = np.delete(np.arange(clusters.count), left)
    return outcome_of([attempt(lambda: refit_rows(fit, clusters, others), measure)], fit, measure)


def bootstrap(
    fit: Any,
    n: int = 1000,
    *,
    seed: Any = None,
    method: BootstrapName = "parametric",
    statistic: Callable[[Any], Any] | None = None,
    cluster: str | None = None,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Bootstrap:
    """Draw data anew, fit them in the same way, and see how the estimates vary.

    Parameters
    ----------
    fit : LinearMixedResults or GeneralizedLinearMixedResults
    n : int
        Replicates. 1000 will do for 95 % intervals; standard errors need 200.
    seed : int, SeedSequence or Generator, optional
        The same seed gives the same replicates, however many processes there are.
    method : {"parametric", "residual", "cluster", "case"}
        ``"parametric"``: responses simulated from the fitted model, random effects included; ``"residual"`` (linear
        models): random effects and residuals of the fit, reflated to the estimated variances and drawn with
        replacement, so that their distributions need not be normal; ``"cluster"`` (or ``"case"``): whole levels of the
        outermost grouping factor drawn with replacement, so that next to nothing of the model need be true.
    statistic : callable, optional
        From a fit to a number, vector, dict or Series, instead of all variance parameters and fixed effects.
    cluster : str, optional
        The grouping factor, or any column of the data, whose levels ``method="cluster"`` draws, if the model has no
        outermost factor or another one is meant; levels of factors that are crossed with it stay as they are.
    n_jobs : int, optional
        Processes; -1 for one each core. If omitted, what ``joblib.parallel_config`` says around the call, else 1.
    progress : bool, optional
        Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

    Returns
    -------
    Bootstrap
        ``conf_int(alpha, which, kind)``, ``to_frame()``, ``summary()``, ``plot()``.

    Raises
    ------
    SpecificationError, TypeError
        If an argument makes no sense for the model.

    Notes
    -----
    A replicate fails if its fit does not converge or cannot be made at all. It stays among the replicates as a row of
    missing values, ``failures`` counts the reasons, and intervals warn.

    A linear model with its usual quantities is refitted to many responses at once: it hardly ever needs more than one
    process.

    Ctrl-C, and worker processes that are killed twice, end the work: the replicates finished so far are returned with
    a warning (an error, if there are none).

    References
    ----------
    Carpenter, Goldstein & Rasbash (2003), J. R. Stat. Soc. C 52, 431-443 (residuals). van der Leeden, Meijer & Busing
    (2008), in: Handbook of Multilevel Analysis, 401-433.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> replicates = mfx.bootstrap(fit, 500, seed=1)
    >>> replicates.to_frame().shape
    (500, 6)
    >>> interval = replicates.conf_int(which="fixed").loc["Days"]
    >>> bool(interval["lower"] < 8 and interval["upper"] > 13)
    True
    """
    fit = checked_fit(fit, "bootstrap")
    count, workers = checked_count(n), Workers(n_jobs, progress)
    if statistic is not None and not callable(statistic):
        raise TypeError(f"statistic is a function of a fit, found {type(statistic).__name__}")
    scheme = scheme_for(method, fit, None if cluster is None else checked_name("cluster", cluster))
    estimate = Measure(statistic).named(fit)
    measure = Measure(statistic, len(estimate))
    outcomes = replicated(fit, scheme, measure, count, seed, workers)
    values = np.concatenate([outcome.values for outcome in outcomes])
    failures = Counter(reason for outcome in outcomes for reason in outcome.failures)
    if len(values) < count:
        warn(f"stopped: {len(values)} of {count} replicates were finished, and are kept", ConvergenceWarning)
    frame = pd.DataFrame(values, columns=estimate.index, index=pd.RangeIndex(len(values), name="replicate"))
    singular = int(sum(outcome.singular.sum() for outcome in outcomes))
    return Bootstrap(
        fit, estimate, frame, scheme.description, dict(failures), singular, measure, workers, count, cluster
    )

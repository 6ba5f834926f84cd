"""A deconvolution: the estimated law of theta, and each observation's own theta in its light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import is_number, plain_numbers
from mixedfx._display import Column, Fact, Facts, Numbers, Summary, Table
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, IntArray
from mixedfx._workers import Workers
from mixedfx.deconvolution.kernels import Kernel
from mixedfx.deconvolution.laws import Law, NormalLaw, Posterior
from mixedfx.deconvolution.normal import normal_law
from mixedfx.deconvolution.normality import NormalityTest, gain_over_normal, normality_test
from mixedfx.deconvolution.npmle import duality_gap
from mixedfx.deconvolution.spline import Smooth
from mixedfx.exceptions import SpecificationError
from mixedfx.results.simulate import checked_count, generator

__all__ = ["Deconvolution"]

TITLES = {
    "npmle": "Nonparametric maximum likelihood",
    "spline": "Spline on the log-density (Efron's g-modelling)",
    "normal": "Normal law",
}
WHAT = {
    "npmle": "atoms: .support and .mass",
    "spline": "a smooth law on a grid: .grid, .density, .se and .bias",
    "normal": "a normal law: .mean, .sd and .cdf(t)",
}
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MOST_ATOMS = 25
ATOMS = "Atoms are not clusters: the best law of any shape is discrete whatever the true one is."
RATES = (
    "A law is recovered from data with error slowly, at a logarithmic rate if it is smooth; posterior means are known "
    "far better than the law."
)
NORMAL_AT_ZERO = "The spread of the best normal law is zero: errors alone explain how the observations differ."
PENALISED = (
    "The penalty weighs {share:.0f} % of what the data say: standard errors and shape depend on it; compare with a "
    "smaller penalty=."
)
HEAVY = 0.2  # artificial information, relative to that of the data, that is worth a word
FLAT = "The penalty holds the law at the same probability for all points: no standard errors; lower penalty=."


@hinting_methods
@dataclass(frozen=True, eq=False)
class Deconvolution:
    """The law of theta, estimated from observations with error; made by :func:`mixedfx.deconvolve`.

    Attributes
    ----------
    method : str
        ``"npmle"``, ``"spline"`` or ``"normal"``.
    kernel : Kernel
        The n observations.
    weights : (n,)
        How often each was observed.
    index : Index
        Names of the observations.
    group : str
        The grouping factor, if theta are random effects; else empty.
    law : Law
        The estimated law.
    candidates : (m,) or None
        The only values that theta may have, if the user named them.
    smooth : Smooth or None
        What the spline has estimated.
    fitted_law : NormalLaw or None
        The normal law of a fitted model; for other observations the one of best likelihood is computed.
    converged : bool
    remarks : tuple of str

    Examples
    --------
    >>> import mixedfx as mfx
    >>> schools = mfx.deconvolve([28, 8, -3, 7, -1, 1, 18, 12], sd=[15, 10, 16, 11, 9, 11, 10, 18])
    >>> schools.support.round(3).tolist(), schools.mass.tolist()
    ([7.686], [1.0])
    """

    method: str
    kernel: Kernel
    weights: Array
    index: pd.Index[Any]
    group: str
    law: Law
    candidates: Array | None
    smooth: Smooth | None
    fitted_law: NormalLaw | None
    converged: bool
    remarks: tuple[str, ...]

    # ---------------------------------------------------------------- the law
    def _of(self, what: str, *methods: str) -> None:
        if self.method not in methods:
            raise SpecificationError(
                f"a law by method={self.method!r} has no {what}; it has {WHAT[self.method]}. {what} is of method="
                f"{' or '.join(map(repr, methods))}"
            )

    @property
    def support(self) -> Array:
        """The atoms (m,) in ascending order; for a spline the points of its grid."""
        self._of("support", "npmle", "spline")
        return np.asarray(self.law.support)  # type: ignore[attr-defined]

    @property
    def mass(self) -> Array:
        """The probabilities (m,) of :attr:`support`."""
        self._of("mass", "npmle", "spline")
        return np.asarray(self.law.mass)  # type: ignore[attr-defined]

    def _smooth(self, what: str) -> Smooth:
        self._of(what, "spline")
        assert self.smooth is not None
        return self.smooth

    @property
    def grid(self) -> Array:
        """Points (m,) of the spline's grid."""
        return self._smooth("grid").grid

    @property
    def density(self) -> Array:
        """The spline's probabilities (m,) of the points of the grid: Efron's g, which sums to 1."""
        return self._smooth("density").g

    @property
    def se(self) -> Array:
        """Standard errors (m,) of :attr:`density`."""
        return self._smooth("se").se

    @property
    def bias(self) -> Array:
        """Bias (m,) of :attr:`density` that comes from the penalty."""
        return self._smooth("bias").bias

    @property
    def artificial_information(self) -> float:
        """Information that comes from the spline's penalty, relative to that of the data: Efron's S."""
        return self._smooth("artificial_information").artificial_information

    @property
    def mean(self) -> float:
        """Mean of the law."""
        return float(self.law.mean)

    @property
    def sd(self) -> float:
        """Standard deviation of the law."""
        return float(self.law.sd)

    def cdf(self, t: Any) -> Any:
        """Return the probability of values up to ``t``.

        Parameters
        ----------
        t : number or array-like

        Returns
        -------
        float or array
            Missing where ``t`` is.
        """
        at = plain_numbers("t", t)
        found = np.where(np.isnan(at), np.nan, np.minimum(self.law.cdf(at), 1.0))
        return float(found) if np.ndim(found) == 0 else found

    def law_frame(self) -> pd.DataFrame:
        """Return the law as a table.

        Returns
        -------
        DataFrame
            Atoms: ``theta, mass, cdf``. A spline: ``theta, density, se, bias, cdf, cdf_se``. A normal law: its
            quantiles and probabilities, ``theta, cdf``.
        """
        if self.smooth is not None:
            s = self.smooth
            columns = {"theta": s.grid, "density": s.g, "se": s.se, "bias": s.bias, "cdf": np.cumsum(s.g)}
            return pd.DataFrame(columns | {"cdf_se": s.cdf_se})
        if isinstance(self.law, NormalLaw):
            return pd.DataFrame({"theta": self._quantiles(self.law), "cdf": QUANTILES})
        return pd.DataFrame({"theta": self.support, "mass": self.mass, "cdf": np.cumsum(self.mass)})

    @staticmethod
    def _quantiles(law: NormalLaw) -> Array:
        from scipy.special import ndtri

        return np.asarray(law.scale.to_theta(law.location + law.spread * ndtri(QUANTILES)))

    # ---------------------------------------------------------------- likelihood
    @cached_property
    def _distinct(self) -> tuple[Kernel, IntArray, Array]:
        kernel, inverse = self.kernel.distinct()
        counts = np.asarray(np.bincount(inverse, weights=self.weights, minlength=kernel.size), dtype=np.float64)
        return kernel, inverse, counts

    @cached_property
    def _posterior(self) -> Posterior:
        return self.law.posterior(self._distinct[0])

    @property
    def llf(self) -> float:
        """Log-likelihood of the law, all constants included; a spline's without its penalty."""
        counted = self._distinct[2] > 0
        return float(self._distinct[2][counted] @ self._posterior.log_f[counted])

    @cached_property
    def gap(self) -> float:
        """Duality gap: no law has a log-likelihood that is higher by more.

        For the nonparametric estimate it certifies the optimum; for others it bounds what is to be gained. If the user
        has named the values that theta may have, it is about laws on these.
        """
        kernel, _, weights = self._distinct
        used = np.flatnonzero(weights > 0)
        grid = self.candidates if self.method == "npmle" else None
        return duality_gap(kernel.take(used), weights[used], self._posterior.log_f[used], grid)

    # ---------------------------------------------------------------- posterior
    def _series(self, values: Array, name: str) -> pd.Series[float]:
        return pd.Series(values[self._distinct[1]], index=self.index, name=name)

    @property
    def posterior_mean(self) -> pd.Series[float]:
        """Mean of theta given each observation (n,), the law taken as known: empirical Bayes."""
        return self._series(self._posterior.mean, "posterior_mean")

    @property
    def posterior_sd(self) -> pd.Series[float]:
        """Standard deviation of theta given each observation (n,), the law taken as known."""
        return self._series(self._posterior.sd, "posterior_sd")

    def posterior_interval(self, level: float = 0.95) -> pd.DataFrame:
        """Return intervals of theta given each observation, the law taken as known.

        Parameters
        ----------
        level : float
            Probability between the limits, with as much below as above them as the law allows: that of atoms is at
            least ``level``.

        Returns
        -------
        DataFrame
            Columns ``lower, upper``, a row an observation.
        """
        if not (is_number(level) and 0.0 < level < 1.0):
            raise SpecificationError(f"level is a probability between 0 and 1 (0.95); found {level!r}")
        tail = 0.5 * (1.0 - float(level))
        limits = {"lower": self._posterior.quantile(tail), "upper": self._posterior.quantile(1.0 - tail)}
        return pd.DataFrame({name: values[self._distinct[1]] for name, values in limits.items()}, index=self.index)

    @cached_property
    def normal(self) -> NormalLaw:
        """The normal law for comparison: that of the fitted model, else the one of best likelihood."""
        if self.fitted_law is not None:
            return self.fitted_law
        kernel, _, weights = self._distinct
        return normal_law(kernel, weights)

    def to_frame(self) -> pd.DataFrame:
        """Return a row an observation.

        Returns
        -------
        DataFrame
            ``estimate, se``: its own estimate and standard error; ``normal``: the posterior mean under the normal law;
            ``posterior_mean, posterior_sd, lower, upper``: under this law, with limits of 95 %.
        """
        estimate, se = self.kernel.estimates
        normal = self._series(self.normal.posterior(self._distinct[0]).mean, "normal")
        columns = {"estimate": estimate, "se": se, "normal": normal, "posterior_mean": self.posterior_mean}
        frame = pd.DataFrame(columns | {"posterior_sd": self.posterior_sd}, index=self.index)
        return frame.join(self.posterior_interval())

    # ---------------------------------------------------------------- normality
    def normality_test(
        self, n: int = 199, *, seed: Any = None, n_jobs: int | None = None, progress: bool | None = None
    ) -> NormalityTest:
        """Test whether theta is normal, by a parametric bootstrap of twice the gain of the best law over a normal one.

        Parameters
        ----------
        n : int
            Data sets drawn from the normal law of best likelihood.
        seed : int, SeedSequence or Generator, optional
            The same seed gives the same p-value.
        n_jobs : int, optional
            Processes; -1 for one each core. If omitted, what ``joblib.parallel_config`` says around the call, else 1.
        progress : bool, optional
            Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

        Returns
        -------
        NormalityTest
            ``statistic, pvalue, pvalue_se, replicates, summary()``.

        Raises
        ------
        SpecificationError
            If weights are not whole numbers: then nobody can draw such data again.

        Notes
        -----
        Both laws are estimated in every data set. Of random effects the fixed effects and variances of the fit count as
        known, in the data and in the replicates, so that what their own estimation adds is left out. The size of the
        test is near its level (see the guide), its power small where errors are as large as the spread of theta.
        """
        count, workers = checked_count(n), Workers(n_jobs, progress)
        if np.any(self.weights != np.round(self.weights)):
            raise SpecificationError("a test of normality draws the observations again: weights must be whole numbers")
        kernel, _, weights = self._distinct
        law = normal_law(kernel, weights)
        start = np.random.SeedSequence(int(generator(seed).integers(2**63)))
        replicates = normality_test(self.kernel, self.weights, law, count, start, workers)
        return NormalityTest(gain_over_normal(kernel, weights, law), replicates, self.remarks)

    # ---------------------------------------------------------------- shown
    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks in plain words."""
        own = {"npmle": (ATOMS, RATES), "spline": (RATES,), "normal": ()}[self.method]
        if isinstance(self.law, NormalLaw) and self.law.spread == 0:
            own = (NORMAL_AT_ZERO,)
        if self.smooth is not None and self.smooth.is_flat:
            own = (FLAT, *own)
        elif self.smooth is not None and self.smooth.artificial_information > HEAVY:
            own = (PENALISED.format(share=100.0 * self.smooth.artificial_information), *own)
        return (*self.remarks, *own)

    def summary(self) -> Summary:
        """Return the law with what certifies it, ready to be shown."""
        what = f"{self.group} effects" if self.group else "Observations"
        facts = [
            Fact(what, len(self.index)),
            Fact("Log-likelihood", self.llf, f"{self.llf:.4f}"),
            Fact("Mean of the law", self.mean, f"{self.mean:.5g}"),
            Fact("Duality gap" if self.method == "npmle" else "Gain of any law", self.gap, f"{self.gap:.3g}"),
            Fact("SD of the law", self.sd, f"{self.sd:.5g}"),
            Fact("Converged", self.converged),
        ]
        if self.smooth is not None and not self.smooth.is_flat:
            share = self.artificial_information
            facts.append(Fact("Artificial information", share, f"{100 * share:.3g} % of the data's", wide=True))
        frame = self.law_frame()
        if self.smooth is not None:
            reached = np.searchsorted(frame["cdf"].to_numpy(), QUANTILES)
            frame = frame.iloc[np.unique(np.minimum(reached, len(frame) - 1))]
        notes = self.notes
        if len(frame) > MOST_ATOMS:
            notes = (*notes, f"{len(frame) - MOST_ATOMS} further atoms are not shown: see law_frame().")
            frame = frame.nlargest(MOST_ATOMS, "mass").sort_values("theta")
        columns = [Column(str(name), tuple(frame[name]), Numbers()) for name in frame.columns]
        blocks = (Facts(tuple(facts)), Table(tuple(columns)))
        return Summary(blocks, f"Deconvolution: {TITLES[self.method]}", notes)

    def plot(self, ax: Any = None) -> Any:
        """Draw the law, the observations and how each is shrunk; see :func:`mixedfx.plots.deconvolution`."""
        return higher("deconvolution")(self, ax=ax)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()

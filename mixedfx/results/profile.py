"""Profile likelihood of a mixed model: intervals that need no normal approximation, and zeta curves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.exceptions import ConvergenceWarning, MixedfxWarning, SpecificationError, warn
from mixedfx.fitting import LinearFit
from mixedfx.inference.information import inverse_on_range
from mixedfx.inference.profile_ends import End
from mixedfx.inference.profiled import CoefficientProfile, HeldProfile, Surroundings, UnprofiledPoint, with_variances
from mixedfx.inference.quantities import Quantity, ResidualSd, StructureParameter
from mixedfx.results.base import MixedResults
from mixedfx.results.further import further_quantities
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.profile_generalized import generalized_profiles, term_quantities
from mixedfx.results.quantities import WHICH

__all__ = ["Profile", "profile"]

VANISHING = 1e-3  # share of a standard deviation that stands for none
CURVE_END = 2.6  # zeta at which the curves end: a little beyond a 99 % interval
CURVE_POINTS = 6  # on each side of the estimate


@hinting_methods
@dataclass(frozen=True)
class Profile:
    """Profiles of the parameters; made by :func:`profile`, computed as they are asked for.

    Attributes
    ----------
    deviance : float
        Minus twice the maximal log-likelihood.
    profiles : mapping of str to HeldProfile
        By parameter: ``sd_x|g``, ``cor_x.y|g``, ``sigma``, and the names of the fixed effects.
    fixed, family : tuple of str
        Which of them are fixed effects, and which belong to further linear predictors or the family.
    joined : mapping of str to pair of str
        For every correlation, the standard deviations that it joins.
    endless : tuple of str
        Coefficients of further linear predictors without a finite estimate: they have no limits.
    """

    deviance: float
    profiles: Mapping[str, HeldProfile]
    fixed: tuple[str, ...]
    joined: Mapping[str, tuple[str, str]]
    family: tuple[str, ...] = ()
    endless: tuple[str, ...] = ()

    def conf_int(self, alpha: float = 0.05, which: str = "all") -> pd.DataFrame:
        """Return profile intervals: all values at which the likelihood-ratio test does not reject.

        Parameters
        ----------
        alpha : float
            One minus the level.
        which : str
            ``"fixed"``, ``"random"`` (standard deviations, correlations, sigma), ``"family"`` (coefficients of further
            linear predictors, ``family: df`` and the like) or ``"all"``.

        Returns
        -------
        DataFrame
            Columns ``lower, upper``. An end at 0 (standard deviations) or at -1, 1 (correlations) means that the data
            do not exclude any smaller, or larger, value.

        Warns
        -----
        ConvergenceWarning
            If a profile could not be followed far enough: that end is missing.
        """
        if which not in WHICH:
            raise SpecificationError(f"which is one of {', '.join(map(repr, WHICH))}; found {which!r}")
        zeta = float(special.ndtri(1.0 - 0.5 * checked_alpha(alpha)))
        names = [name for name in self.profiles if which in ("all", self._part(name))]
        ends = [[self.end(name, side * zeta).value for side in (-1, 1)] for name in names]
        lost = [n for n, pair in zip(names, ends, strict=True) if np.isnan(pair).any() and n not in self.endless]
        if lost:
            warn(
                f"the profile of {', '.join(lost)} could not be followed to the end of the interval, which is missing "
                '(nan); method="bootstrap" gives one',
                ConvergenceWarning,
            )
        return pd.DataFrame(np.array(ends).reshape(-1, 2), index=names, columns=["lower", "upper"])

    def _part(self, name: str) -> str:
        return "fixed" if name in self.fixed else "family" if name in self.family else "random"

    def end(self, name: str, zeta: float) -> End:
        """Return where the signed root likelihood ratio of a parameter equals ``zeta``."""
        held = self.profiles[name]
        if name in self.endless:
            return End(np.nan, zeta, False, held.start)
        ceiling = min((self._without(sd) for sd in self.joined.get(name, ())), default=np.inf)
        if ceiling < abs(zeta):
            return End(held.upper if zeta > 0 else held.lower, float(np.sign(zeta)) * ceiling, False, held.start)
        return held.end(self.deviance, zeta)

    def _without(self, sd: str) -> float:
        """Return zeta of the model without one standard deviation: no correlation with it is any less likely."""
        if sd not in self._ceilings:
            held = self.profiles[sd]
            rise = 0.0
            if held.estimate > VANISHING**2 * held.se:
                end = held.hold(VANISHING * max(held.estimate, held.se), held.start)
                rise = max(end.value - self.deviance, 0.0) if end.met or end.feasible else np.inf
            self._ceilings[sd] = float(np.sqrt(rise))
        return self._ceilings[sd]

    @cached_property
    def _ceilings(self) -> dict[str, float]:
        return {}

    def to_frame(self) -> pd.DataFrame:
        """Return the zeta curves: columns ``parameter, value, zeta``, ``zeta`` the signed root likelihood ratio."""
        rows = [(name, value, zeta) for name in self.profiles for value, zeta in self._curve(name)]
        return pd.DataFrame(rows, columns=["parameter", "value", "zeta"])

    @cached_property
    def _curves(self) -> dict[str, list[tuple[float, float]]]:
        return {}

    def _curve(self, name: str) -> list[tuple[float, float]]:
        if name not in self._curves:
            grid = np.linspace(0.0, CURVE_END, CURVE_POINTS + 1)[1:]
            found = [(self.profiles[name].estimate, 0.0)]
            for side in (-1.0, 1.0):
                for zeta in grid:
                    end = self.end(name, float(side * zeta))
                    if np.isfinite(end.value):
                        found.append((end.value, end.zeta))
                    if not end.reached:
                        break
            self._curves[name] = sorted(set(found))
        return self._curves[name]

    def _shown(self) -> StatsTable:
        limits = self.conf_int()
        return StatsTable.from_frame(limits, heading="Profile-likelihood intervals of 95 %")

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()

    def plot(self, kind: str = "zeta", **options: Any) -> Any:
        """Draw the zeta curves, or the densities that they imply; see :func:`mixedfx.plots.plot_profile`."""
        return higher("plot_profile")(self, kind=kind, **options)


def profile(fit: Any) -> Profile:
    """Profile the likelihood of every parameter of a mixed model.

    Parameters
    ----------
    fit : MixedResults
        A REML fit is refitted by maximum likelihood first: likelihoods under REML do not compare fixed effects. A
        generalised fit is profiled under its own approximation of the integral.

    Returns
    -------
    Profile
        ``conf_int(alpha, which)``, ``to_frame()`` and ``plot()``.

    Raises
    ------
    SpecificationError
        If a generalised model was fitted with ``nagq=0``.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1), section 5.1.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.profile(fit).conf_int().round(2)
                                lower   upper
    sd_Intercept|Subject        14.38   37.72
    sd_Days|Subject              3.80    8.75
    cor_Days.Intercept|Subject  -0.48    0.69
    sigma                       22.90   28.86
    Intercept                  237.68  265.13
    Days                         7.36   13.58
    """
    if isinstance(fit, GeneralizedLinearMixedResults):
        profiles = generalized_profiles(fit.solution)
        own, value = tuple(further_quantities(fit.solution)), float(fit.solution.at.value)
        endless = [f"{part}: {name}" for part, names in fit.solution.separated_components.items() for name in names]
        return Profile(value, profiles, tuple(fit.params.index), _joined(fit), own, tuple(endless))
    if not isinstance(fit, LinearMixedResults):
        raise TypeError(f"profile takes a fitted mixed model, found {type(fit).__name__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # the fit itself has said what there is to say
        ml = fit.model.fit(reml=False).solution if fit.reml else fit.solution
    profiles = _random_profiles(ml, fit) | _fixed_profiles(ml, fit)
    return Profile(float(ml.at.value), profiles, tuple(fit.params.index), _joined(fit))


def _random_profiles(ml: LinearFit, fit: LinearMixedResults) -> dict[str, HeldProfile]:
    """Profiles of standard deviations, correlations, parameters of the residuals, and sigma if it is estimated."""
    problem, criterion = ml.problem, ml.problem.criterion
    scale, k = problem.basis.scale, ml.inner_theta.size
    quantities: dict[str, Quantity] = {}
    for term, basis, slot in zip(fit.design.random, problem.terms, problem.covariance.terms, strict=True):
        quantities |= term_quantities(term, basis.matrix, slot, scale)
    if problem.residual is not None:
        place = slice(k, k + problem.residual.n_rho)
        quantities |= {n: StructureParameter(problem.residual, j, place) for j, n in enumerate(problem.residual.names)}
    log_sigma2 = float(np.log(ml.at.sigma2))
    known = criterion.sigma2 is not None
    if not known:
        quantities["sigma"] = ResidualSd(scale)
    phi = np.concatenate([ml.point.x, [log_sigma2]])
    ends = (log_sigma2, log_sigma2) if known else (-np.inf, np.inf)
    covariance = np.zeros((phi.size, phi.size))
    free = slice(0, phi.size - known)
    covariance[free, free] = 2.0 * inverse_on_range(UnprofiledPoint(criterion, phi).hessian[free, free])
    around = Surroundings(
        partial(UnprofiledPoint, criterion),
        phi,
        covariance,
        np.append(criterion.search_lower, ends[0]),
        np.append(criterion.upper, ends[1]),
        partial(_opened, problem.covariance),
        np.zeros(phi.size, dtype=bool),
        np.zeros(phi.size, dtype=bool),
    )
    return {name: around.profile(quantity) for name, quantity in quantities.items()}


def _opened(model: CovarianceModel, phi: Array) -> Array:
    """The parameters with some variance in every direction without."""
    return np.concatenate([with_variances(model.terms, phi[: model.n_theta]), phi[model.n_theta :]])


def _joined(fit: MixedResults) -> dict[str, tuple[str, str]]:
    return {
        f"cor_{a}.{b}|{term.group}": (f"sd_{a}|{term.group}", f"sd_{b}|{term.group}")
        for term in fit.design.random
        for a in term.names
        for b in term.names
    }


def _fixed_profiles(ml: LinearFit, fit: LinearMixedResults) -> dict[str, HeldProfile]:
    basis, at = ml.problem.basis, ml.at
    start = _opened(ml.problem.covariance, ml.point.x)
    beta = basis.beta(at.beta)
    out: dict[str, HeldProfile] = {}
    for j, name in enumerate(fit.params.index):
        row = basis.matrix[j]
        se = basis.scale * float(np.sqrt(at.sigma2 * (row @ at.unscaled_cov @ row)))
        shift = float(basis.origin[j])
        criterion = ml.problem.criterion
        out[str(name)] = CoefficientProfile(criterion, row, basis.scale, shift, float(beta[j]), se, start)
    return out

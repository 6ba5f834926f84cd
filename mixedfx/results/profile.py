"""Profile likelihood of a mixed model: intervals that need no normal approximation, and zeta curves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._suggestions import asked, hinting_methods
from mixedfx._workers import Workers
from mixedfx.exceptions import ConvergenceWarning, MixedfxWarning, SpecificationError, warn
from mixedfx.inference.profile_ends import End
from mixedfx.inference.profiled import HeldProfile, profiles
from mixedfx.results.base import checked_fit
from mixedfx.results.quantities import WhichName, checked_which

if TYPE_CHECKING:
    from mixedfx.plots.parameters import ProfileName

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
    workers : Workers
        Who follows the profiles.
    """

    deviance: float
    profiles: Mapping[str, HeldProfile]
    fixed: tuple[str, ...]
    joined: Mapping[str, tuple[str, ...]]
    family: tuple[str, ...] = ()
    endless: tuple[str, ...] = ()
    workers: Workers = field(default_factory=Workers)

    def conf_int(self, alpha: float = 0.05, which: WhichName = "all") -> pd.DataFrame:
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
        parts, zeta = checked_which(which), float(special.ndtri(1.0 - 0.5 * checked_alpha(alpha)))
        names = [name for name in self.profiles if self._part(name) in parts]
        sides = [(name, side * zeta) for name in names for side in (-1, 1)]
        found = self.workers.run(_end, (self,), sides, "profile")
        ends = np.array([end.value for end in found]).reshape(-1, 2)
        lost = [n for n, pair in zip(names, ends, strict=True) if np.isnan(pair).any() and n not in self.endless]
        if lost:
            warn(
                f"the profile of {', '.join(lost)} could not be followed to the end of the interval, which is missing "
                '(nan); method="bootstrap" gives one',
                ConvergenceWarning,
            )
        return pd.DataFrame(ends, index=names, columns=["lower", "upper"])

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
                rise = max(end.value - self.deviance, 0.0) if end.converged or end.feasible else np.inf
            self._ceilings[sd] = float(np.sqrt(rise))
        return self._ceilings[sd]

    @cached_property
    def _ceilings(self) -> dict[str, float]:
        return {}

    def to_frame(self) -> pd.DataFrame:
        """Return the zeta curves: columns ``parameter, value, zeta``, ``zeta`` the signed root likelihood ratio."""
        self._draw(list(self.profiles))
        rows = [(name, value, zeta) for name in self.profiles for value, zeta in self._curves[name]]
        return pd.DataFrame(rows, columns=["parameter", "value", "zeta"])

    @cached_property
    def _curves(self) -> dict[str, list[tuple[float, float]]]:
        return {}

    def _draw(self, names: list[str]) -> None:
        """Find the points of the curves that are not known yet."""
        sides = [(name, side) for name in names if name not in self._curves for side in (-1.0, 1.0)]
        found = self.workers.run(_half, (self,), sides, "profile")
        for (name, _), below, above in zip(sides[::2], found[::2], found[1::2], strict=True):
            self._curves[name] = sorted({(self.profiles[name].estimate, 0.0), *below, *above})

    def _shown(self) -> StatsTable:
        limits = self.conf_int()
        return StatsTable.from_frame(limits, heading="Profile-likelihood intervals of 95 %")

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()

    def plot(self, kind: ProfileName = "zeta", **options: Any) -> Any:
        """Draw the zeta curves, or the densities that they imply; see :func:`mixedfx.plots.plot_profile`."""
        return asked("plot_profile")(self, kind=kind, **options)


def _end(profile: Profile, name: str, zeta: float) -> End:
    return profile.end(name, zeta)


def _half(profile: Profile, name: str, side: float) -> list[tuple[float, float]]:
    """Points of a zeta curve on one side of the estimate."""
    found = []
    for zeta in np.linspace(0.0, CURVE_END, CURVE_POINTS + 1)[1:]:
        end = profile.end(name, float(side * zeta))
        if np.isfinite(end.value):
            found.append((end.value, end.zeta))
        if not end.reached:
            break
    return found


def profile(fit: Any, *, n_jobs: int | None = None, progress: bool | None = None) -> Profile:
    """Profile the likelihood of every parameter of a mixed model.

    Parameters
    ----------
    fit : MixedResults
        A REML fit is refitted by maximum likelihood first: likelihoods under REML do not compare fixed effects. A
        generalised fit is profiled under the approximation of the integral that it was fitted with.
    n_jobs : int, optional
        Processes; -1 for one each core. If omitted, what ``joblib.parallel_config`` says around the call, else 1.
    progress : bool, optional
        Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

    Returns
    -------
    Profile
        ``conf_int(alpha, which)``, ``to_frame()`` and ``plot()``, which do the work.

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
    fit, workers = checked_fit(fit, "profile"), Workers(n_jobs, progress)
    if fit.solution.unprofilable:
        raise SpecificationError(fit.solution.unprofilable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # the fit itself has said what there is to say
        solution = fit.solution
        if solution.reml:
            solution = fit.model.fit(**solution.as_ml, control=solution.same_way).solution
    numbers = solution.reported
    return Profile(
        solution.likelihood.value,
        profiles(solution),
        tuple(number.name for number in numbers if number.part == "fixed"),
        {number.name: number.among for number in numbers if number.among},
        tuple(number.name for number in numbers if number.part == "family"),
        tuple(f"{part}: {name}" for part, names in solution.separated_components.items() for name in names),
        workers,
    )

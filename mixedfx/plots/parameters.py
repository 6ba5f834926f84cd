"""One panel a parameter: profile likelihoods, and distributions of bootstrap replicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.special import ndtri
from scipy.stats import gaussian_kde

from mixedfx._arguments import checked_choice, checked_names, plain_numbers
from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, ORANGE, panel_grid, refuse_fit
from mixedfx.plots.names import label_axes
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.profile import profile as profile_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.inference.bootstrap_intervals import LimitName
    from mixedfx.results.bootstrap import Bootstrap
    from mixedfx.results.quantities import WhichName

__all__ = ["REPLICATES", "ZetaCurve", "chosen_names", "plot_bootstrap", "plot_profile", "reflected_density"]

ProfileName: TypeAlias = Literal["zeta", "density"]

# ------------------------------------------------------------------ panels
PANEL = (3.1, 2.35)  # inches
MOST_COLUMNS = 3


def chosen_names(names: Sequence[str], parameters: str | Sequence[str] | None) -> list[str]:
    """Return the parameters to draw: those asked for, else all.

    Raises
    ------
    SpecificationError
        If there is no such parameter, or none at all.
    """
    chosen = list(names if parameters is None else checked_names("parameters", parameters))
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise SpecificationError(f"there is no parameter {unknown[0]!r}; choose from {', '.join(map(repr, names))}")
    if not chosen:
        raise SpecificationError("there is no parameter to draw")
    return chosen


def _parameter_panels(count: int, axes: Any = None) -> AnyArray:
    """Return ``count`` Axes: new ones in a grid, or those given.

    Raises
    ------
    SpecificationError
        If fewer are given.
    """
    if axes is not None:
        given: AnyArray = np.array(axes, dtype=object).ravel()
        if given.size < count:
            raise SpecificationError(f"{count} parameters need as many Axes; found {given.size}")
        return given[:count]
    panels: AnyArray = np.array(panel_grid(count, _columns(count), PANEL), dtype=object)
    return panels


def _columns(count: int) -> int:
    """Columns of the grid: as few as three rows need, four panels in a square."""
    return 2 if count == 4 else min(count, MOST_COLUMNS)


def _finish(panel: Axes, title: str) -> None:
    """Give a panel its title, in lines that do not reach into the next panel, and take away what distracts."""
    label_axes(panel, y=panel.get_ylabel(), title=title)
    panel.yaxis.label.set_fontsize("small")
    panel.locator_params(axis="x", nbins=5)


# ------------------------------------------------------------------ profiles
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
FINE = 201  # points of a curve
FEWEST_POINTS = 4  # points that a cubic spline needs
HIGHEST = 3.0  # of a density, relative to the height at the estimate: beyond, it runs off to infinity at a bound


class HasProfile(Protocol):
    """What a profile must offer to be drawn."""

    @property
    def profiles(self) -> Any:
        """By parameter, what has its ``estimate`` and its standard error ``se``."""

    def to_frame(self) -> pd.DataFrame:
        """Columns ``parameter, value, zeta``."""


@dataclass(frozen=True)
class ZetaCurve:
    """The value as a smooth, increasing function of zeta.

    Attributes
    ----------
    zeta, value : (k,)
        Points of the curve, both increasing.
    """

    zeta: Array
    value: Array

    @classmethod
    def of(cls, frame: pd.DataFrame) -> ZetaCurve:
        """Take the points of one parameter, leaving out those where the curve does not rise."""
        points = frame.sort_values(["value", "zeta"])[["zeta", "value"]].to_numpy(dtype=float)
        rising = np.ones(len(points), dtype=bool)
        for column in points.T:
            highest = np.maximum.accumulate(np.concatenate([[-np.inf], column[:-1]]))
            rising &= column > highest
        return cls(points[rising, 0], points[rising, 1])

    @cached_property
    def smooth(self) -> Callable[..., Array]:
        """A cubic spline, or one that is sure to be monotone where that is not."""
        if self.zeta.size < FEWEST_POINTS:
            return PchipInterpolator(self.zeta, self.value)
        spline = CubicSpline(self.zeta, self.value, bc_type="natural")
        monotone = spline(self.fine, 1).min() > 0
        return spline if monotone else PchipInterpolator(self.zeta, self.value)

    @property
    def fine(self) -> Array:
        """Values of zeta, close together."""
        return np.linspace(self.zeta[0], self.zeta[-1], FINE)

    def ends(self, level: float) -> list[tuple[float, float]]:
        """Return the ends ``(value, zeta)`` of an interval, without those that the curve does not reach."""
        reach = float(ndtri(0.5 + 0.5 * level))
        return [(float(self.smooth(z)), z) for z in (-reach, reach) if self.zeta[0] <= z <= self.zeta[-1]]

    def density(self) -> tuple[Array, Array]:
        """Return values and the density that a standard normal zeta implies."""
        zeta = self.fine
        slope = np.maximum(self.smooth(zeta, 1), np.finfo(float).tiny)
        return self.smooth(zeta), np.exp(-0.5 * zeta**2) / (np.sqrt(2.0 * np.pi) * slope)


def plot_profile(
    profile: HasProfile | MixedResults,
    kind: ProfileName = "zeta",
    *,
    parameters: str | Sequence[str] | None = None,
    levels: Sequence[float] = LEVELS,
    axes: Any = None,
) -> AnyArray:
    """Draw the profile of every parameter.

    Parameters
    ----------
    profile : Profile or MixedResults
        From :func:`mixedfx.profile`, which is called for a fit.
    kind : {"zeta", "density"}
        ``"zeta"``: the signed root of the likelihood ratio against the value, with a bar at both ends of every
        interval; a straight curve (dashed: the Wald interval's) means that the estimate is as good as normal.
        ``"density"``: what the curve implies if zeta is standard normal, the widest two intervals shaded.
    parameters : str or sequence of str, optional
        Which ones; all if left out.
    levels : float or sequence of float
        Levels of the intervals.
    axes : array of matplotlib Axes, optional
        Where to draw; a figure of its own if left out.

    Returns
    -------
    array of matplotlib Axes
        One a parameter.

    Raises
    ------
    SpecificationError
        If there is no such kind or parameter.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1), section 5.1.
    """
    draw = checked_choice("kind", kind, PROFILES)
    shown = np.sort(plain_numbers("levels", levels).ravel()).tolist()
    outside = [level for level in shown if not 0.0 < level < 1.0]
    if outside:
        raise SpecificationError(f"levels lie between 0 and 1, such as 0.95; found {outside[0]}")
    drawn: Any = profile if results_of_ours(profile) is None else profile_of(profile)
    names = chosen_names(list(drawn.profiles), parameters)
    frame = drawn.to_frame()
    panels = _parameter_panels(len(names), axes)
    for panel, name in zip(panels, names, strict=True):
        of_parameter = drawn.profiles[name]
        curve = ZetaCurve.of(frame.loc[frame["parameter"] == name])
        draw(panel, curve, (float(of_parameter.estimate), float(of_parameter.se)), shown)
        _finish(panel, name)
    return panels


def _draw_zeta(panel: Axes, curve: ZetaCurve, estimate: tuple[float, float], levels: Sequence[float]) -> None:
    centre, se = estimate
    panel.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    for level in levels:
        for value, zeta in curve.ends(level):
            panel.vlines(value, min(0.0, zeta), max(0.0, zeta), color=BLUE, linewidth=1.4, alpha=1.1 - level * 0.75)
    values = curve.smooth(curve.fine)
    if curve.zeta[0] < 0.0 < curve.zeta[-1]:  # an estimate at its bound has no Wald interval
        shown = values[[0, -1]]
        panel.plot(shown, (shown - centre) / se, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.1)
    panel.plot(values, curve.fine, color=BLUE, linewidth=1.8)
    panel.plot([centre], [0.0], "o", color=BLUE, markersize=4)
    panel.set_ylim(-2.9, 2.9)
    panel.set_ylabel("zeta: signed root of\nthe rise of −2 log L")


def _draw_density(panel: Axes, curve: ZetaCurve, estimate: tuple[float, float], levels: Sequence[float]) -> None:
    values, heights = curve.density()
    middle = float(np.interp(estimate[0], values, heights))
    for level in levels[-2:]:
        reached = {np.sign(zeta): value for value, zeta in curve.ends(level)}
        inside = (values >= reached.get(-1.0, -np.inf)) & (values <= reached.get(1.0, np.inf))
        panel.fill_between(values, 0.0, heights, where=inside, color=BLUE, alpha=0.18, linewidth=0)
    panel.plot(values, heights, color=BLUE, linewidth=1.8)
    panel.vlines(estimate[0], 0.0, middle, color=BLUE, linewidth=1.0)
    panel.set_ylim(0.0, min(1.08 * float(heights.max()), HIGHEST * middle))
    panel.set_yticks([])
    panel.set_ylabel("density")


PROFILES: dict[str, Callable[[Any, ZetaCurve, tuple[float, float], Sequence[float]], None]] = {
    "zeta": _draw_zeta,
    "density": _draw_density,
}
"""Pictures by kind."""


# ------------------------------------------------------------------ bootstrap replicates
SEEN = 5e-3  # of its height, below which a curve is not told from the axis
REPLICATES = 10  # replicates that make a distribution
BINS = (8, 24)  # of a histogram, at least and at the most
MARGIN = 0.08  # of the range of the replicates that is shown on both sides of it


def reflected_density(values: Array, at: Array, lower: float = -np.inf, upper: float = np.inf) -> Array:
    """Return a kernel density at the points ``at`` (k,); what spills over a bound is reflected."""
    kernel = gaussian_kde(values)
    density = kernel(at)
    for bound in (lower, upper):
        if np.isfinite(bound):
            density = density + kernel(2.0 * bound - at)
    return np.where((at >= lower) & (at <= upper), density, 0.0)


def plot_bootstrap(
    replicates: Bootstrap,
    which: WhichName = "all",
    *,
    kind: LimitName = "percentile",
    alpha: float = 0.05,
    parameters: str | Sequence[str] | None = None,
    axes: Any = None,
) -> AnyArray:
    """Draw the distribution of the replicates of every quantity: a histogram, a density, the estimate, an interval.

    Parameters
    ----------
    replicates : Bootstrap
        From :func:`mixedfx.bootstrap`.
    which : str
        ``"fixed"``, ``"random"`` or ``"all"``.
    kind, alpha
        Of the interval below; see :meth:`Bootstrap.conf_int`.
    parameters : str or sequence of str, optional
        Which of them; all if left out.
    axes : array of matplotlib Axes, optional
        Where to draw; a figure of its own if left out.

    Returns
    -------
    array of matplotlib Axes
        One a quantity.

    Raises
    ------
    SpecificationError
        If there is no such quantity, or too few replicates to draw.
    """
    refuse_fit(replicates, "plot_bootstrap", "mfx.bootstrap(fit)")
    limits = replicates.conf_int(alpha, which, kind)
    names = chosen_names(list(limits.index), parameters)
    panels = _parameter_panels(len(names), axes)
    bounds = replicates.bounds
    for panel, name in zip(panels, names, strict=True):
        column = replicates.replicates[name].to_numpy(dtype=float)
        values = column[np.isfinite(column)]
        if values.size < REPLICATES:
            raise SpecificationError(f"{name} has {values.size} replicates; a picture needs at least {REPLICATES}")
        _draw_distribution(panel, values, *np.asarray(bounds.loc[name], dtype=float).tolist())
        _draw_interval(panel, float(replicates.estimate[name]), np.asarray(limits.loc[name]).tolist())
        _finish(panel, name)
    return panels


def _draw_distribution(panel: Axes, values: Array, lower: float, upper: float) -> None:
    bins = int(np.clip(np.sqrt(values.size), *BINS))
    if np.ptp(values) == 0:
        panel.hist(values, bins=1, color=BLUE, alpha=0.25)
        return
    panel.hist(values, bins=bins, density=True, color=BLUE, alpha=0.25, linewidth=0)
    reach = MARGIN * np.ptp(values)
    at = np.linspace(max(values.min() - reach, lower), min(values.max() + reach, upper), FINE)
    density = reflected_density(values, at, lower, upper)
    seen = np.flatnonzero(density >= SEEN * density.max())
    shown = slice(seen[0], seen[-1] + 1)
    panel.plot(at[shown], density[shown], color=BLUE, linewidth=1.8)


def _draw_interval(panel: Axes, estimate: float, interval: list[float]) -> None:
    top = panel.get_ylim()[1]
    panel.axvline(estimate, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.1)
    panel.plot(interval, [-0.05 * top] * 2, color=ORANGE, linewidth=3.0, solid_capstyle="butt")
    panel.set_ylim(-0.1 * top, top)
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)

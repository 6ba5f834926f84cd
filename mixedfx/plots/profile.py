"""Profile likelihoods: zeta curves with their intervals, and the densities that they imply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.special import ndtri

from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, ORANGE
from mixedfx.plots.panels import chosen_names, finish, parameter_panels
from mixedfx.results.base import MixedResults
from mixedfx.results.profile import profile as profile_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ZetaCurve", "plot_profile"]

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
FINE = 201  # points of a curve
FEWEST = 4  # points that a cubic spline needs
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
        if self.zeta.size < FEWEST:
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
    kind: str = "zeta",
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
    kind : str
        ``"zeta"``: the signed root of the likelihood ratio against the value, with a bar at both ends of every
        interval; a straight curve (dashed: the Wald interval's) means that the estimate is as good as normal.
        ``"density"``: what the curve implies if zeta is standard normal, the widest two intervals shaded.
    parameters : str or sequence of str, optional
        Which ones; all if left out.
    levels : sequence of float
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
    if kind not in KINDS:
        raise SpecificationError(f"kind is one of {', '.join(map(repr, KINDS))}; found {kind!r}")
    wrong = [level for level in levels if not 0.0 < level < 1.0]
    if wrong:
        raise SpecificationError(f"levels lie between 0 and 1, such as 0.95; found {wrong[0]}")
    profile = profile_of(profile) if isinstance(profile, MixedResults) else profile
    names = chosen_names(list(profile.profiles), parameters)
    frame = profile.to_frame()
    panels = parameter_panels(len(names), axes)
    for panel, name in zip(panels, names, strict=True):
        held = profile.profiles[name]
        curve = ZetaCurve.of(frame.loc[frame["parameter"] == name])
        KINDS[kind](panel, curve, (float(held.estimate), float(held.se)), sorted(levels))
        finish(panel, name)
    return panels


def _zeta(panel: Axes, curve: ZetaCurve, estimate: tuple[float, float], levels: Sequence[float]) -> None:
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


def _density(panel: Axes, curve: ZetaCurve, estimate: tuple[float, float], levels: Sequence[float]) -> None:
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


KINDS: dict[str, Callable[[Any, ZetaCurve, tuple[float, float], Sequence[float]], None]] = {
    "zeta": _zeta,
    "density": _density,
}
"""Pictures by kind."""

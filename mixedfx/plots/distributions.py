"""How random effects and draws of parameters are distributed: densities in ridges, and each against each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx._arguments import checked_name, checked_names
from mixedfx._display.names import shortened
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.estimates import group_name
from mixedfx.plots.look import BLUE, GREEN, GREY, one_panel, paper, point_size
from mixedfx.plots.names import label_axes, level_names, name_rows, write
from mixedfx.plots.parameters import REPLICATES, ZetaCurve, chosen_names, reflected_density
from mixedfx.plots.pooling import ELLIPSES, ellipses, joint_covariance
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.bootstrap import Bootstrap
from mixedfx.results.profile import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ridge", "ridge_frame", "scatter_matrix", "scatter_matrix_frame"]

# ------------------------------------------------------------------ ridges
FINE = 161  # points of a density
REACH = 3.5  # standard deviations to each side
MOST_RIDGES = 60
ROW, FEW_ROW, LEAST, MOST = 0.2, 0.42, 2.4, 9.0  # inches; of up to …
FEW = 12  # … ridges
HIGHEST = 2.0  # rows that the highest ridge takes
PEAK = 4.0  # of a ridge, in times the median of their heights: a higher one is cut off
IN_ERRORS = "distance from the estimate, in its standard errors"
DRAWS = "takes the results of lmer or glmer, of mfx.bootstrap or of mfx.profile"


def ridge_frame(
    fit: Any, group: str | None = None, term: str | None = None, *, parameters: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the numbers behind :func:`ridge`.

    Parameters
    ----------
    fit : MixedResults, Bootstrap or Profile
        Of a fit the random effects are drawn, of a bootstrap or a profile the parameters.
    group : str, optional
        Of a fit: a grouping factor; the first one if omitted.
    term : str, optional
        Of a fit: a coefficient; the first one if omitted.
    parameters : str or sequence of str, optional
        Of a bootstrap or a profile: which ones; all if omitted.

    Returns
    -------
    DataFrame
        Columns ``name, x, density``: so many rows for each level, in the order of the modes, or for each parameter. The
        density of a level is the normal one of its effect given the data, N(mode, sd²), the parameters taken as known:
        exact in a linear model, an approximation elsewhere. Those of parameters are of what the bootstrap drew (kernel
        densities), or of the confidence that the profile implies, along the distance from the estimate in standard
        errors.

    Raises
    ------
    SpecificationError
        If there is no such factor, coefficient or parameter, or the effects have no variance.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> frame = mfx.plots.ridge_frame(fit, "Subject", "Days")
    >>> frame["name"].unique()[:3].tolist()
    ['335', '309', '310']
    """
    if isinstance(fit, Bootstrap | Profile):
        if group is not None or term is not None:
            raise SpecificationError("group and term choose random effects of a fit: name draws by parameters=")
        curves = _draws(fit, parameters) if isinstance(fit, Bootstrap) else _profiles(fit, parameters)
    else:
        results = mixed_results(fit, "ridge", DRAWS)
        if parameters is not None:
            raise SpecificationError(
                "parameters= is for what mfx.bootstrap or mfx.profile returns: of a fit name term="
            )
        curves = _levels(results, group, term)
    return pd.concat(
        [pd.DataFrame({"name": name, "x": x, "density": density}) for name, x, density in curves], ignore_index=True
    )


def _coefficient(results: MixedResults, group: str, term: str | None) -> int:
    names = [str(name) for name in results.random_effects[group].columns]
    if term is None:
        return 0
    if checked_name("term", term) not in names:
        raise SpecificationError(f"{group} has no random effect {term!r}; choose from {', '.join(map(repr, names))}")
    return names.index(term)


def _levels(results: MixedResults, group: str | None, term: str | None) -> list[tuple[str, Array, Array]]:
    """Name, points and density of every level, in the order of the modes."""
    name = group_name(results, group)
    results.solution.check_normal("plots.ridge")
    at = _coefficient(results, name, term)
    modes = results.random_effects[name].iloc[:, at].to_numpy()
    sds = results.random_effects_sd[name].iloc[:, at].to_numpy()
    if not np.all(sds > 0):
        raise SpecificationError(
            f"the effects {results.random_effects[name].columns[at]} of {name} have no variance, and so no density: "
            "plots.caterpillar shows that they are the same"
        )
    names, order = level_names(results.random_effects[name].index), np.argsort(modes, kind="stable")
    x = np.linspace(np.min(modes - REACH * sds), np.max(modes + REACH * sds), FINE)
    return [(names[k], x, np.asarray(norm.pdf(x, modes[k], sds[k]))) for k in order]


def _draws(drawn: Bootstrap, parameters: Any) -> list[tuple[str, Array, Array]]:
    curves = []
    for name in chosen_names(list(drawn.estimate.index), parameters)[::-1]:  # the first on top
        column = drawn.replicates[name].to_numpy(dtype=float)
        values = column[np.isfinite(column)]
        if values.size < REPLICATES:
            raise SpecificationError(f"{name} has {values.size} replicates; a picture needs at least {REPLICATES}")
        se = float(np.std(values, ddof=1))
        if not se > 0:
            raise SpecificationError(f"{name} is the same in all replicates: leave it out of parameters=")
        centre = float(drawn.estimate[name])
        x = np.linspace((values.min() - centre) / se - 0.5, (values.max() - centre) / se + 0.5, FINE)
        lower, upper = ((drawn.bounds.loc[[name]].to_numpy(dtype=float)[0] - centre) / se).tolist()
        curves.append((name, x, reflected_density((values - centre) / se, x, lower, upper)))
    return curves


def _profiles(profile: Profile, parameters: Any) -> list[tuple[str, Array, Array]]:
    names, frame = chosen_names(list(profile.profiles), parameters), profile.to_frame()
    curves = []
    for name in names[::-1]:
        held = profile.profiles[name]
        values, heights = ZetaCurve.of(frame.loc[frame["parameter"] == name]).density()
        curves.append((name, (values - held.estimate) / held.se, heights * held.se))
    return curves


def ridge(
    fit: Any,
    group: str | None = None,
    term: str | None = None,
    *,
    parameters: str | Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw densities one below the other: of the random effects of levels, or of the draws of parameters.

    Parameters
    ----------
    fit, group, term, parameters
        As for :func:`ridge_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    Of more than 60 levels 60 are drawn, evenly spaced in the order of their modes. Areas are equal: what is known well
    is high and narrow. A ridge of more than four times the usual height is cut off.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.plots.ridge(fit, term="Days").get_xlabel()
    'Days: deviation from the mean'
    """
    frame = ridge_frame(fit, group, term, parameters=parameters)
    names = list(dict.fromkeys(frame["name"]))
    shown = names if len(names) <= MOST_RIDGES else [names[k] for k in _evenly(len(names))]
    row = FEW_ROW if len(shown) <= FEW else ROW
    panel = one_panel(ax, (5.4, float(np.clip(row * len(shown) + 1.2, LEAST, MOST))))
    rows = [frame.loc[frame["name"] == name, ["x", "density"]].to_numpy().T for name in shown]
    peaks = np.array([density.max() for _, density in rows])
    top = min(float(peaks.max()), PEAK * float(np.median(peaks[peaks > 0]))) if peaks.any() else 1.0
    panel.axvline(0.0, color=GREY, linewidth=0.8, zorder=0)
    for k, (x, density) in enumerate(rows):  # the lowest ridge in front
        height = HIGHEST * np.minimum(density / top, 1.0)
        seen = density > 1e-3 * density.max()
        panel.fill_between(x[seen], k, k + height[seen], color=BLUE, alpha=0.55, linewidth=0, zorder=len(rows) - k + 1)
        panel.plot(x[seen], k + height[seen], color=paper(), linewidth=0.7, zorder=len(rows) - k + 1)
    panel.set_ylim(-0.4, len(rows) + 1.6)
    size = "small" if len(shown) <= 30 else "x-small"
    name_rows(panel, np.arange(len(shown)), shown)
    results = results_of_ours(fit)
    if results is None:
        label_axes(panel, x=IN_ERRORS).tick_params(axis="y", labelsize=size)
        return panel
    name = group_name(results, group)
    coefficient = results.random_effects[name].columns[_coefficient(results, name, term)]
    some = f" ({len(shown)} of the {len(names)} levels)" if len(shown) < len(names) else ""
    label_axes(panel, x=f"{coefficient}: deviation from the mean", y=f"{name}{some}")
    panel.tick_params(axis="y", labelsize=size)
    return panel


def _evenly(count: int) -> list[int]:
    return [int(k) for k in np.rint(np.linspace(0, count - 1, MOST_RIDGES))]


# ------------------------------------------------------------------ each against each
MOST_VARIABLES = 8
CELL, LONGEST = 1.5, 44  # inches beside and below a panel, and letters of a name
WIDEST, PANEL = 5.6, 1.75  # inches, of all panels and of each
BINS = (5, 20)  # of a histogram, at least and at the most
JOINT = (
    "a profile holds one parameter at a time and has no joint draws: scatter_matrix(mfx.bootstrap(fit)), or "
    "ridge(profile)"
)


def scatter_matrix_frame(
    fit: Any, group: str | None = None, *, terms: Sequence[str] | None = None, parameters: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the numbers behind :func:`scatter_matrix`.

    Parameters
    ----------
    fit : MixedResults or Bootstrap
        Of a fit the random effects of a factor are drawn, of a bootstrap the parameters.
    group : str, optional
        Of a fit: a grouping factor; the first with several coefficients if omitted.
    terms : sequence of str, optional
        Of a fit: at least two of its coefficients; all if omitted.
    parameters : sequence of str, optional
        Of a bootstrap: at least two of its quantities; all if omitted.

    Returns
    -------
    DataFrame
        One row a level (its conditional modes) or a replicate, one column a coefficient or parameter. Effects of one
        name in several terms of a factor are added.

    Raises
    ------
    SpecificationError
        If there is no such factor, coefficient or parameter, or only one of them.
    """
    if isinstance(fit, Profile):
        raise SpecificationError(JOINT)
    if isinstance(fit, Bootstrap):
        if group is not None or terms is not None:
            raise SpecificationError("group and terms choose random effects of a fit: name draws by parameters=")
        names = _several(chosen_names(list(fit.estimate.index), parameters), "parameters", "plot_bootstrap")
        return fit.replicates[names].dropna().reset_index(drop=True)
    results = mixed_results(fit, "scatter_matrix", "takes the results of lmer or glmer, or of mfx.bootstrap")
    if parameters is not None:
        raise SpecificationError("parameters= is for what mfx.bootstrap or mfx.profile returns: of a fit name terms=")
    modes = results.random_effects[_group_of_several(results, group)]
    known = list(dict.fromkeys(map(str, modes.columns)))
    chosen = list(checked_names("terms", terms)) or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise SpecificationError(
            f"there is no random effect {unknown[0]!r} to draw; the factor has {', '.join(map(repr, known))}"
        )
    names = _several(chosen, "terms", "caterpillar or plots.ridge")
    added = {name: modes.loc[:, modes.columns == name].sum(axis=1) for name in names}
    return pd.DataFrame(added, index=modes.index)


def _group_of_several(results: MixedResults, group: str | None) -> str:
    if group is None:
        several = [name for name, modes in results.random_effects.items() if modes.columns.nunique() > 1]
        return several[0] if several else group_name(results, None)
    return group_name(results, group)


def _several(names: list[str], argument: str, other: str) -> list[str]:
    if len(names) < 2:
        raise SpecificationError(
            f"a scatter matrix is of at least two {argument}; found {', '.join(map(repr, names))} alone: "
            f"plots.{other} draws one"
        )
    if len(names) > MOST_VARIABLES:
        raise SpecificationError(
            f"a scatter matrix is of {MOST_VARIABLES} {argument} at the most, found {len(names)}: choose some by "
            f"{argument}="
        )
    return names


def scatter_matrix(
    fit: Any, group: str | None = None, *, terms: Sequence[str] | None = None, parameters: Sequence[str] | None = None
) -> Any:
    """Draw the random effects of a factor, or the draws of a bootstrap, each against each.

    Parameters
    ----------
    fit, group, terms, parameters
        As for :func:`scatter_matrix_frame`.

    Returns
    -------
    array of matplotlib Axes
        Square. On the diagonal the distribution of each coefficient with the density that the model implies for it, or
        of each parameter with its estimate; below it, points, and of a fit the ellipses of one and two standard
        deviations of the model; above it the correlations.

    Notes
    -----
    Conditional modes are shrunk: they vary less than the effects whose law the curves and ellipses show, the more so
    the less the data say of each level, and their correlation differs from that of the effects.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.plots.scatter_matrix(fit)[1, 0].get_ylabel()
    'Days'
    """
    frame = scatter_matrix_frame(fit, group, terms=terms, parameters=parameters)
    from matplotlib import pyplot as plt

    k, names = frame.shape[1], list(frame.columns)
    side = max(WIDEST, PANEL * k)
    _, axes = plt.subplots(k, k, figsize=(side + 0.5, side), sharex="col", squeeze=False, layout="constrained")
    results = results_of_ours(fit)
    covariance = None
    if results is not None:
        results.solution.check_normal("plots.scatter_matrix")
        covariance = joint_covariance(results, _group_of_several(results, group), names)
    estimate = np.zeros(k) if results is not None else fit.estimate[names].to_numpy(dtype=float)
    shown = frame.to_numpy(dtype=float)
    for i in range(k):
        for j in range(k):
            _cell(axes[i, j], shown, estimate, covariance, i, j)
            label_axes(axes[i, j])
            axes[i, j].locator_params(axis="x", nbins=4)
    _name_cells(axes, names)
    return axes


def _cell(panel: Axes, values: Array, centre: Array, covariance: Array | None, i: int, j: int) -> None:
    """One panel: a distribution on the diagonal, points below it, a correlation above."""
    if i == j:
        _marginal(panel, values[:, i], float(centre[i]), None if covariance is None else float(covariance[i, i]))
    elif i > j:
        size = 1.3 * point_size(len(values))
        panel.plot(values[:, j], values[:, i], "o", color=BLUE, markersize=size, alpha=0.6, markeredgewidth=0)
        if covariance is None:
            panel.plot(centre[j], centre[i], "P", color=GREEN, markersize=8)
        else:
            ellipses(panel, covariance[np.ix_([j, i], [j, i])], (0.0, 0.0))
        panel.locator_params(axis="y", nbins=4)
    else:
        _correlations(panel, values[:, [j, i]], None if covariance is None else covariance[np.ix_([j, i], [j, i])])


def _marginal(panel: Axes, values: Array, centre: float, variance: float | None) -> None:
    panel.hist(
        values, bins=int(np.clip(np.sqrt(values.size), *BINS)), density=True, color=BLUE, alpha=0.35, linewidth=0
    )
    panel.set_yticks([])
    if variance is None:
        panel.axvline(centre, color=GREEN, linewidth=1.2)
    elif variance > 0:
        sd = float(np.sqrt(variance))
        x = np.linspace(-(ELLIPSES[-1] + 0.5) * sd, (ELLIPSES[-1] + 0.5) * sd, FINE)
        panel.plot(x, norm.pdf(x, scale=sd), color=GREEN, linewidth=1.2)


def _correlations(panel: Axes, pair: Array, covariance: Array | None) -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = float(np.corrcoef(pair[:, 0], pair[:, 1])[0, 1])
    lines = [f"{seen:.2f} of the {'draws' if covariance is None else 'modes'}"]
    if covariance is not None and np.all(np.diag(covariance) > 0):
        lines.insert(0, f"{covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]):.2f} in the model")
    panel.text(0.5, 0.5, "\n".join(["correlation", *lines]), transform=panel.transAxes, ha="center", va="center")
    panel.set_axis_off()


def _name_cells(axes: Any, names: Sequence[str]) -> None:
    """Names at the left and below, in the length that a panel has room for."""
    for i, name in enumerate(shortened(names, LONGEST)):
        for place in (axes[i, 0].yaxis.label, axes[-1, i].xaxis.label):
            place.set_fontsize("small")
            write(place, name, CELL, lines=2)

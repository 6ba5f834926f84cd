"""The public functions: estimated marginal means, their slopes, and joint tests of the terms of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_mapping, checked_names
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.fits import fitted_model
from mixedfx.marginal_means.functions import Functions, stacked
from mixedfx.marginal_means.grid import Grid, reference_values, weights_for
from mixedfx.marginal_means.means import MarginalMeans
from mixedfx.marginal_means.model import FittedModel, unknown_predictor
from mixedfx.marginal_means.nesting import Nesting, containers, nesting_for, shares, told
from mixedfx.marginal_means.predictions import LinkPredictions, linear_predictor
from mixedfx.marginal_means.scales import IDENTITY
from mixedfx.marginal_means.slopes import STEP, on_scale, step_of, variable_of
from mixedfx.marginal_means.views import view_for

__all__ = ["emmeans", "joint_tests", "trends"]

Specs = str | Sequence[str] | None


def emmeans(
    fit: Any,
    specs: Specs = None,
    by: Specs = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: Any = "equal",
    ddf: str | float | None = None,
    scale: str = "link",
    integrate: bool = False,
    offset: float | None = None,
    nesting: Any = None,
) -> MarginalMeans:
    """Estimate marginal means: what the model predicts on a reference grid, averaged.

    The grid has every combination of the levels of the factors, and numeric predictors at their means (those with no
    more than two values at both of them). Random effects are at zero.

    A factor of which every level occurs within one level of another, such as the states of regions, is nested in it:
    only the combinations that exist are averaged, first within the factor that contains it, whose levels are shown too.
    So is a factor that stands in no term without another, as in ``region + region:state``.

    Parameters
    ----------
    fit : results
        Of mixedfx, or of a statsmodels model that was fitted from a formula. Of results of
        :func:`mixedfx.aov` the means and contrasts have the errors and degrees of freedom of their strata, as the
        tables; where strata have no single variance, those of the mixed model with the same strata (see
        :meth:`~mixedfx.analysis_of_variance.AovResults.mixed_model`).
    specs : str or list of str
        Predictors for whose values means are wanted: ``"A"``, ``["A", "B"]`` or ``"~ A + B | C"``; the overall mean if
        omitted.
    by : str or list of str, optional
        Predictors within whose values means are compared.
    at : dict, optional
        Values of predictors that shall make the grid: ``{"x": [0, 1]}``.
    weights : str or list of numbers
        How the other predictors are averaged over: ``"equal"``, ``"proportional"`` (to their frequencies),
        ``"outer"``, ``"cells"`` (frequencies within each mean), ``"flat"`` (equal, empty cells left out).
    ddf : str or number, optional
        ``"satterthwaite"`` (the default of linear mixed models), ``"kenward-roger"``, ``"containment"``,
        ``"residual"``, ``"z"``, or a number of degrees of freedom.
    scale : str
        ``"link"``: the scale of the linear predictor; ``"response"``: means are transformed back (after averaging),
        contrasts of logarithms and logits become ratios and odds ratios. Responses such as ``log(y)`` are transformed
        back too. Where the mean of the response is more than the inverse link (zero-inflated, hurdle and truncated
        models, ``integrate=True``), the means themselves are averaged: arithmetic ones of the response, zeros included.
        Of an ordinal response ``"link"`` is the latent variable less the mean threshold (whatever the coding),
        ``"response"`` gives the probability of every category (averaged as such), and ``"mean_class"`` the mean of the
        category numbers 1, 2, ….
    integrate : bool
        Average over the distribution of the random effects: population means rather than those of an average group.
        Contrasts then compare populations. Standard errors by the joint delta method: what is not known of the
        variances counts.
    offset : float, optional
        The offset at which the means stand, on the scale of the linear predictor: 0 for the rate per unit of exposure.
        If omitted, that of the reference grid, and the mean of an offset that was an array; a note says which.
    nesting : dict or False, optional
        Which factors are nested in which: ``{"state": "region"}``, ``{"plot": ["field", "year"]}``; False if none are.
        By default what formula and data show.

    Returns
    -------
    MarginalMeans
        ``to_frame()``, ``contrast()``, ``pairs()``, ``test()``, ``conf_int()``, ``joint_tests()``, ``letters()``,
        ``plot()``.

    Raises
    ------
    SpecificationError
        If a name is no predictor of the model, or an argument has no meaning.

    References
    ----------
    Searle, Speed & Milliken (1980), Am. Stat. 34, 216.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    >>> print(mfx.emmeans(fit, "Type"))
                        Marginal means
    =======================================================
    Type       mean        se      df      lower      upper
    -------------------------------------------------------
    T1       8.5556    0.5760    15.5     7.3315     9.7797
    T2      12.4444    0.5760    15.5    11.2203    13.6685
    T3      10.7778    0.5760    15.5     9.5537    12.0019
    T4       9.2222    0.5760    15.5     7.9981    10.4463
    =======================================================
    Notes:
    [1] Intervals of level 0.95.
    >>> mfx.emmeans(fit, "Type").pairs().to_frame()[["contrast", "estimate", "pvalue"]].round(4).head(2)
      contrast  estimate  pvalue
    0  T1 - T2   -3.8889  0.0000
    1  T1 - T3   -2.2222  0.0014

    Means of a zero-inflated model include the zeros on the response scale.

    >>> salamanders = mfx.load_dataset("salamanders")
    >>> formula = "count ~ mined + (1 | site)"
    >>> fit = mfx.glmer(formula, salamanders, family="zero_inflated_poisson", zero_inflation="~ mined")
    >>> mfx.emmeans(fit, "mined", scale="response").to_frame()[["mined", "mean", "se"]].round(3)
      mined   mean     se
    0   yes  0.265  0.048
    1    no  2.206  0.217
    """
    model = fitted_model(fit, ddf, population=integrate, response=integrate or scale != "link")
    model = model.on_grid(_offset(offset))
    view = view_for(model, scale, integrate=integrate)
    specs_, by_ = _names(specs, by)
    found = nesting_for(model, nesting)
    specs_ = (*specs_, *containers(found, (*specs_, *by_)))
    grid = _grid(model, (*specs_, *reversed(by_)), at)
    there = shares(grid, model, found)
    averaged = [_averaged(grid, whole, weights, there, found) for whole in view.of(model, grid.frame)]
    labels = view.labels(_existing(grid, there, (*specs_, *by_)))
    further = tuple(name for name in labels.columns if name not in grid.labels)
    return MarginalMeans(
        labels,
        view.finished(stacked([functions for functions, _ in averaged])),
        (*by_, *further),
        view.estimate,
        view.scale,
        view.heading,
        (
            *averaged[0][1],
            *_offset_notes(model, grid),
            *_interaction_notes(model, grid.names, grid, found),
            *told(found),
            *view.notes,
        ),
        response=None if view.scale.is_identity else view.scale,
        nesting=found,
    )


def _offset(given: Any) -> float | None:
    """Resolve ``offset=``."""
    if given is None:
        return None
    if isinstance(given, bool | np.bool_) or not isinstance(given, int | float | np.number):
        raise TypeError(
            f"offset is one number on the scale of the linear predictor, at which all means stand; found "
            f"{type(given).__name__}"
        )
    if not np.isfinite(given):
        raise SpecificationError(f"offset is a finite number; found {given}")
    return float(given)


def _offset_notes(model: FittedModel, grid: Grid) -> list[str]:
    """Say at which offset the means stand."""
    found = model.offset(grid.frame)
    if not model.columns.has_offset and not found.any():
        return []
    low, high = float(found.min()), float(found.max())
    return [f"Offset: {low:.4g}." if low == high else f"Offset: from {low:.4g} to {high:.4g}, by row of the grid."]


def _interaction_notes(model: FittedModel, shown: Sequence[str], grid: Grid, nesting: Nesting) -> list[str]:
    """Say which of the predictors that are shown interact with others that are averaged over or held."""
    beside: dict[str, dict[str, None]] = {}
    for term in model.terms:
        hidden = [name for name in grid.others if name in term and name not in shown]
        for name in shown:
            related = {*nesting.get(name, ()), *(inner for inner, outer in nesting.items() if name in outer)}
            if name in term:
                beside.setdefault(name, {}).update(dict.fromkeys(own for own in hidden if own not in related))
    return [
        f"{name} interacts with {', '.join(others)}: what is said of it here may not hold at other values (see by=)."
        for name, others in beside.items()
        if others
    ]


def trends(
    fit: Any,
    variable: str,
    specs: Specs = None,
    by: Specs = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: Any = "equal",
    ddf: str | float | None = None,
    nesting: Any = None,
) -> MarginalMeans:
    """Estimate slopes of the linear predictor in a numeric predictor, on the reference grid of :func:`emmeans`.

    Parameters
    ----------
    fit : results
    variable : str
        The predictor; where the formula transforms it, the slope is that at its mean (or at ``at``). Of ``"log(x)"``
        (``log2``, ``log10``, ``log1p``, ``sqrt``) the slope is per unit of the transformed predictor.
    specs, by, at, weights, ddf, nesting
        As for :func:`emmeans`.

    Returns
    -------
    MarginalMeans
        Whose rows are slopes.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (age | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.trends(fit, "age", "Sex").to_frame()[["Sex", "estimate", "se"]].round(4)
          Sex  estimate      se
    0    Male    0.7844  0.0860
    1  Female    0.4795  0.1037
    """
    model = fitted_model(fit, ddf).on_grid(None)
    specs_, by_ = _names(specs, by)
    name, scale = variable_of(model, variable)
    step = step_of(model, name)
    found = nesting_for(model, nesting)
    specs_ = (*specs_, *containers(found, (*specs_, *by_)))
    grid = _grid(model, (*specs_, *reversed(by_)), at)
    there = shares(grid, model, found)
    slopes = LinkPredictions().slopes(model, grid.frame, name, step)[0]
    slopes = on_scale(slopes, scale, grid.frame[name].to_numpy(dtype=float))
    functions, notes = _averaged(grid, slopes, weights, there, found)
    notes += [*_interaction_notes(model, (name, *grid.names), grid, found), *told(found)]
    if not model.scale.is_identity:
        notes.append(f"Slopes of the linear predictor ({model.scale.name} scale).")
    labels, heading = _existing(grid, there, (*specs_, *by_)), f"Slopes in {variable}"
    return MarginalMeans(labels, functions, by_, "estimate", IDENTITY, heading, tuple(notes), nesting=found)


def joint_tests(
    fit: Any,
    by: Specs = None,
    *,
    at: Mapping[str, Any] | None = None,
    ddf: str | float | None = None,
    nesting: Any = None,
) -> StatsTable:
    """Test main effects and interactions on the reference grid: an analysis of variance of the marginal means.

    Of a numeric predictor the slope at its mean is tested. With ``by`` these are the simple effects within its levels.
    A nested factor is tested within the factors that contain it: ``region:state`` are the differences of states of the
    same region.

    Parameters
    ----------
    fit : results
    by, at, ddf, nesting
        As for :func:`emmeans`.

    Returns
    -------
    StatsTable
        One row a term.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (age | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.joint_tests(fit)["F"].round(2).to_dict()
    {'age': 88.0, 'Sex': 9.29, 'age:Sex': 5.12}
    """
    model = fitted_model(fit, ddf).on_grid(None)
    _, by_ = _names(None, by)
    given = checked_mapping("at", at, "{'x': [0, 1]}")
    tested = {name: predictor for name, predictor in model.predictors.items() if predictor.is_fixed}
    for name, predictor in tested.items():
        if not predictor.is_discrete and name not in given and name not in by_:
            half = STEP * (predictor.upper - predictor.lower)
            given[name] = [predictor.mean - half, predictor.mean + half]
    found = nesting_for(model, nesting)
    names = (*(name for name in tested if name not in by_), *by_)
    grid = _grid(model, (*names[: len(names) - len(by_)], *reversed(by_)), given)
    there = shares(grid, model, found)
    functions = linear_predictor(model, grid.frame).taken(there.ravel() > 0)
    notes = (*model.notes, *told(found))
    labels = _existing(grid, there, names)
    return MarginalMeans(labels, functions, by_, "mean", IDENTITY, "Marginal means", notes, nesting=found).joint_tests()


# ---------------------------------------------------------------- arguments
def _names(specs: Specs, by: Specs) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the predictors of the means and those within which they are compared."""
    inside: Specs = None
    if isinstance(specs, str) and ("~" in specs or "|" in specs):
        left, _, right = specs.rpartition("~")
        if left.strip():
            raise SpecificationError(
                f"specs={specs!r}: write nothing left of '~', and ask for contrasts by "
                f"emmeans(…).contrast({left.strip()!r})"
            )
        specs, _, inside = right.partition("|")
    if inside and by is not None:
        raise SpecificationError("by= was given twice: in specs, behind the bar, and as an argument")
    chosen, within = _listed("specs", specs), _listed("by", inside if inside else by)
    return tuple(name for name in chosen if name not in within), within


def _listed(argument: str, names: Specs) -> tuple[str, ...]:
    if isinstance(names, str):
        parts = [name.strip().strip("`") for name in re.split(r"[+*:]", names)]
        return tuple(dict.fromkeys(name for name in parts if name not in ("", "1")))
    return checked_names(argument, names)


def _grid(model: FittedModel, names: tuple[str, ...], at: Mapping[str, Any] | None) -> Grid:
    for name in names:
        if name not in model.predictors:
            raise unknown_predictor(model, name)
    return Grid(reference_values(model, at), names)


# ---------------------------------------------------------------- averaging
def _existing(grid: Grid, there: Array, names: Sequence[str]) -> pd.DataFrame:
    """Return the labels of the means of something, with the columns ``names``."""
    return grid.labels[list(names)].iloc[np.flatnonzero(there.any(axis=0))].reset_index(drop=True)


def _averaged(
    grid: Grid, whole: Functions, weights: Any, there: Array, nesting: Nesting
) -> tuple[Functions, list[str]]:
    """Return the means over the other predictors by their shares (others, cells), and in words over what."""
    is_equal = isinstance(weights, str) and weights == "equal"
    existing = there if is_equal else (there > 0).astype(float)
    share = weights_for(weights).normed(grid, whole.model, existing, nesting)
    shape = (grid.n_others, grid.n_cells)
    functions = Functions(
        whole.model,
        np.einsum("oc,oc->c", share, whole.values.reshape(shape)),
        np.einsum("oc,ocp->cp", share, whole.rows.reshape(*shape, -1)),
    ).taken(np.flatnonzero(there.any(axis=0)))
    over = [name for name in grid.others if len(grid.values[name]) > 1]
    how = "" if is_equal else f" ({_word(weights)} weights)"
    notes = [f"Averaged over the levels of: {', '.join(over)}{how}."] if over else []
    held = [f"{n} = {_shown(grid.values[n][0])}" for n in grid.others if len(grid.values[n]) == 1]
    held_at = [f"Held at: {', '.join(held)}."] if held else []
    return functions, [*whole.model.notes, *notes, *held_at]


def _word(weights: Any) -> str:
    return weights if isinstance(weights, str) else "given"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

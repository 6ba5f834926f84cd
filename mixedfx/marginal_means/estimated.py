"""The public functions: estimated marginal means, their slopes, and joint tests of the terms of a model.

The way of a fit through :func:`emmeans`::

    adapted(fit)      coefficients, their errors, columns, predictors      results.adapters: the only look at the fit
      ▼
    MeansModel        with the scale of the mean, the outcome, the offset                          model, outcomes
      ▼
    Grid              rows of predictors, their shares in each mean                                           grid
      ▼
    MeansView         each row as functions of the coefficients                                        predictions
      ▼
    Functions         averages by value and gradient: estimates, errors, tests                           functions
      ▼
    MarginalMeans     a table; contrasts and tests are combinations of its rows         means, contrasts, adjust, joint

Each step is a value that knows those above it in this list only. Effects (``marginal_effects``, ``comparisons``) take
observed rows in the place of the grid; ``hypotheses`` needs the coefficients alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_flag, checked_mapping, checked_names, checked_number
from mixedfx._display import StatsTable
from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import columns_in
from mixedfx.inference.ddf import DdfName
from mixedfx.marginal_means.functions import Functions, put_together, stacked
from mixedfx.marginal_means.grid import (
    Grid,
    Nesting,
    WeightsName,
    containers,
    nesting_for,
    nesting_notes,
    reference_values,
    shares,
    weights_for,
)
from mixedfx.marginal_means.labels import MEANS, RowKind
from mixedfx.marginal_means.means import MarginalMeans
from mixedfx.marginal_means.model import MeansModel, means_model, unknown_predictor
from mixedfx.marginal_means.predictions import STEP, LinkPredictions, MeansView, ScaleName, linear_predictor, scale_for
from mixedfx.marginal_means.scales import IDENTITY, MeanScale, scale_of_response

__all__ = ["emmeans", "joint_tests", "trends"]

Specs = str | Sequence[str] | None
AT_OFFSET = " on the scale of the linear predictor, at which all means stand"


def emmeans(
    fit: Any,
    specs: Specs = None,
    by: Specs = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: WeightsName | Sequence[float] | Array = "equal",
    ddf: DdfName | float | None = None,
    scale: ScaleName = "link",
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
        Of mixedfx, of ``fit.robust()`` or :func:`mixedfx.pool`, or of a statsmodels model that was fitted from a
        formula. Of results of
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
        category numbers 1, 2, …. Intervals on these scales stay in the range of what they are of; those of one cell are
        the intervals of ``get_prediction(random=False)``.
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
    shown, integrate = scale_for(scale), checked_flag("integrate", integrate)
    model = means_model(fit, ddf, population=integrate, response=integrate or shown.needs_response)
    at_offset = None if offset is None else checked_number("offset", offset, AT_OFFSET, count="one")
    model = model.on_grid(at_offset)
    grid = _grid(model, specs, by, at, nesting)
    views = [shown.view(one, integrate=integrate) for one in model.answering]
    tested = [_tested(one, grid, view, weights) for one, view in zip(model.answering, views, strict=True)]
    view = views[0]
    labels = view.labels(grid.labels)
    categories = tuple(name for name in labels.columns if name not in grid.labels)
    offsets, interacting = _offset_notes(model, grid.reference), _interaction_notes(model, grid, grid.reference.names)
    return MarginalMeans(
        labels,
        put_together([functions for functions, _ in tested]),
        by=(*grid.by, *categories),
        kind=view.kind,
        scale=view.scale,
        remarks=(*tested[0][1], *offsets, *interacting, *nesting_notes(grid.nesting), *view.notes),
        scale_remarks=view.scale_notes,
        response=None if view.scale.is_identity else view.scale,
        nesting=grid.nesting,
        model=model,
    )


def trends(
    fit: Any,
    variable: str,
    specs: Specs = None,
    by: Specs = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: WeightsName | Sequence[float] | Array = "equal",
    ddf: DdfName | float | None = None,
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
        Slopes on the scale of the linear predictor, per unit of the variable.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (age | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.trends(fit, "age", "Sex").to_frame()[["Sex", "estimate", "se"]].round(4)
          Sex  estimate      se
    0    Male    0.7844  0.0860
    1  Female    0.4795  0.1037
    """
    model = means_model(fit, ddf).on_grid(None)
    name, scale = _variable(model, variable)
    grid = _grid(model, specs, by, at, nesting)
    slopes = LinkPredictions().slopes(model, grid.reference.frame, name)[0]
    slopes = _per_unit_of(scale, slopes, grid.reference.frame[name].to_numpy(dtype=float))
    functions, notes = _averaged(model, grid, slopes, weights)
    notes += [*_interaction_notes(model, grid, (name, *grid.reference.names)), *nesting_notes(grid.nesting)]
    if not model.scale.is_identity:
        notes.append(f"Slopes of the linear predictor ({model.scale.name} scale).")
    kind = RowKind(
        "estimate", f"Slopes in {variable}", f"slopes in {variable}", "difference of slopes", is_comparison=True
    )
    return MarginalMeans(
        grid.labels, functions, grid.by, kind, IDENTITY, tuple(notes), nesting=grid.nesting, model=model
    )


def joint_tests(
    fit: Any,
    by: Specs = None,
    *,
    at: Mapping[str, Any] | None = None,
    ddf: DdfName | float | None = None,
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
        One row for each term (and combination of ``by``): ``df, den_df, F, PR(>F)``, or ``df, chi2, PR(>chi2)``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (age | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.joint_tests(fit)["F"].round(2).to_dict()
    {'age': 88.0, 'Sex': 9.29, 'age:Sex': 5.12}
    """
    model = means_model(fit, ddf).on_grid(None)
    _, within = _names(None, by)
    values = checked_mapping("at", at, "{'x': [0, 1]}")
    fixed = {name: predictor for name, predictor in model.fit.predictors.items() if predictor.is_fixed}
    for name, predictor in fixed.items():
        if not predictor.is_discrete and name not in values and name not in within:
            half = STEP * (predictor.upper - predictor.lower)
            values[name] = [predictor.mean - half, predictor.mean + half]
    grid = _grid(model, tuple(name for name in fixed if name not in within), within, values, nesting)
    functions = linear_predictor(model, grid.reference.frame).taken(grid.shares.ravel() > 0)
    means = MarginalMeans(grid.labels, functions, grid.by, MEANS, IDENTITY, nesting=grid.nesting, model=model)
    return means.joint_tests()


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
    shown, within = _listed("specs", specs), _listed("by", inside if inside else by)
    return tuple(name for name in shown if name not in within), within


def _listed(argument: str, names: Specs) -> tuple[str, ...]:
    if isinstance(names, str):
        parts = [name.strip().strip("`") for name in re.split(r"[+*:]", names)]
        return tuple(dict.fromkeys(name for name in parts if name not in ("", "1")))
    return checked_names(argument, names)


def _variable(model: MeansModel, text: str) -> tuple[str, MeanScale]:
    """Return the predictor in which a slope is wanted, and the scale on which it is counted: ``log(x)`` is one of x."""
    if not isinstance(text, str):
        raise TypeError(f"variable is the name of a predictor, or one such as 'log(x)'; found {type(text).__name__}")
    is_name = text in model.fit.predictors or "(" not in text
    scale = IDENTITY if is_name else scale_of_response(text)
    names = (text,) if scale.is_identity else columns_in([text])
    return (names[0], scale) if len(names) == 1 else (text, IDENTITY)


# ---------------------------------------------------------------- the grid
@dataclass(frozen=True, eq=False)
class _MeansGrid:
    """A reference grid, the means that are made of it, and which of its rows exist.

    Attributes
    ----------
    reference : Grid
    nesting : dict of tuple of str
    shares : (others, cells)
        By which the weights of its rows are multiplied; zero for rows that do not exist.
    shown, by : tuple of str
        The predictors of the means, and those within which they are compared.
    """

    reference: Grid
    nesting: Nesting
    shares: Array
    shown: tuple[str, ...]
    by: tuple[str, ...]

    @property
    def existing(self) -> IntArray:
        """Positions (r,) of the means that have rows."""
        return np.flatnonzero(self.shares.any(axis=0))

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Their labels."""
        names = [*self.shown, *self.by]
        return self.reference.labels[names].iloc[self.existing].reset_index(drop=True)


def _grid(model: MeansModel, specs: Specs, by: Specs, at: Mapping[str, Any] | None, nesting: Any) -> _MeansGrid:
    shown, within = _names(specs, by)
    nested = nesting_for(model.fit, nesting)
    shown = (*shown, *containers(nested, (*shown, *within)))
    names = (*shown, *reversed(within))
    for name in names:
        if name not in model.fit.predictors:
            raise unknown_predictor(model, name)
    grid = Grid(reference_values(model.fit, at), names)
    return _MeansGrid(grid, nested, shares(grid, model.fit, nested), shown, within)


def _averaged(model: MeansModel, grid: _MeansGrid, each: Functions, weights: Any) -> tuple[Functions, list[str]]:
    """Return the averages (r,) of a quantity over the other predictors, and notes on what is averaged or held."""
    reference, weighting = grid.reference, weights_for(weights)
    share = weighting.normed(reference, model.fit, grid.shares, grid.nesting)
    shape = (reference.n_others, reference.n_cells)
    functions = Functions(
        each.of,
        np.einsum("oc,oc->c", share, each.values.reshape(shape)),
        np.einsum("oc,ocp->cp", share, each.rows.reshape(*shape, -1)),
    ).taken(grid.existing)
    over = [name for name in reference.others if len(reference.values[name]) > 1]
    how = f" ({weighting.word} weights)" if weighting.word else ""
    notes = [f"Averaged over the levels of: {', '.join(over)}{how}."] if over else []
    single = {name: reference.values[name][0] for name in reference.others if name not in over}
    held = [f"{name} = {f'{v:.4g}' if isinstance(v, float) else v}" for name, v in single.items()]
    return functions, [*each.of.notes, *notes, *([f"Held at: {', '.join(held)}."] if held else [])]


def _tested(model: MeansModel, grid: _MeansGrid, view: MeansView, weights: Any) -> tuple[Functions, list[str]]:
    """Return the averages of all quantities of a view, on the scale on which they are tested, and notes on them."""
    averages = [_averaged(model, grid, each, weights) for each in view.predictions.of(model, grid.reference.frame)]
    return view.tested(stacked([functions for functions, _ in averages])), averages[0][1]


def _per_unit_of(scale: MeanScale, slopes: Functions, values: Array) -> Functions:
    """Return slopes in ``h(x)`` from those in x, at the values (n,) of x: divided by the slope of h."""
    if scale.is_identity:
        return slopes
    with np.errstate(all="ignore"):  # what is not finite is refused
        per_unit = scale.inverse(scale.function(values))[1]
    if not np.isfinite(per_unit).all():
        raise SpecificationError(
            f"{scale.name} has no value where the slope is wanted (at={values.min():.4g}); give at="
        )
    return Functions(slopes.of, slopes.values * per_unit, slopes.rows * per_unit[:, None])


# ---------------------------------------------------------------- notes
def _offset_notes(model: MeansModel, grid: Grid) -> list[str]:
    """Notes on the offset of the means."""
    offset = model.offset(grid.frame)
    if not model.fit.columns.has_offset and not offset.any():
        return []
    low, high = float(offset.min()), float(offset.max())
    return [f"Offset: {low:.4g}." if low == high else f"Offset: from {low:.4g} to {high:.4g}, by row of the grid."]


def _interaction_notes(model: MeansModel, grid: _MeansGrid, shown: Sequence[str]) -> list[str]:
    """Notes on predictors that interact with others which are averaged over or held."""
    nesting = grid.nesting
    beside: dict[str, dict[str, None]] = {}
    for term in model.fit.terms:
        hidden = [name for name in grid.reference.others if name in term and name not in shown]
        for name in shown:
            related = {*nesting.get(name, ()), *(inner for inner, outer in nesting.items() if name in outer)}
            if name in term:
                beside.setdefault(name, {}).update(dict.fromkeys(other for other in hidden if other not in related))
    return [
        f"{name} interacts with {', '.join(others)}: what is said of it here may not hold at other values (see by=)."
        for name, others in beside.items()
        if others
    ]

"""The one picture that suits a model: what ``fit.plot()`` draws."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mixedfx import plots
from mixedfx._arguments import checked_choice
from mixedfx.results.base import MixedResults

__all__ = ["suited"]

MOST_PANELS = 20  # groups whose lines are drawn side by side


def pictures() -> dict[str, Callable[..., Any]]:
    """Return the pictures of one fit, by name."""
    found = {name: getattr(plots, name) for name in plots.__all__ if not name.endswith(("_frame", "_path"))}
    return {name: draw for name, draw in found.items() if next(iter(inspect.signature(draw).parameters)) == "fit"}


def suited(fit: MixedResults, kind: str | None = None, **options: Any) -> Any:
    """Draw a named picture of a fit, or the one that suits it best.

    Parameters
    ----------
    fit : fitted mixed model
    kind : str, optional
    **options
        Of the picture.
    """
    if kind is None:
        kind = _best(fit)
    picture = checked_choice("kind", kind, pictures())
    return picture(fit, **(_usual(fit, kind) | options))


def _best(fit: MixedResults) -> str:
    if _random_slope(fit):
        return "group_panels"
    return "effect" if _predictors(fit) else "caterpillar"


def _predictors(fit: MixedResults) -> list[str]:
    return [name for name in fit.design.fixed.encoder.variables if name in fit.design.variables]


def _random_slope(fit: MixedResults) -> dict[str, str]:
    """The first numeric predictor whose slope varies between the levels of a group, few enough for panels."""
    numeric = [name for name in _predictors(fit) if not fit.design.variables[name].is_factor]
    for term in fit.design.random:
        slopes = [name for name in term.names if name in numeric]
        if slopes and not fit.solution.family.has_categories and fit.n_groups[term.group] <= MOST_PANELS:
            return {"x": slopes[0], "group": term.group}
    return {}


def _usual(fit: MixedResults, kind: str) -> dict[str, Any]:
    """What a picture shows if nothing is said of it."""
    predictors = _predictors(fit)
    if kind == "effect" and predictors:
        return {"x": predictors[0]} | _interacting(fit, predictors)
    if kind == "group_panels":
        return _random_slope(fit) or ({"x": predictors[0]} if predictors else {})
    return {}


def _interacting(fit: MixedResults, predictors: list[str]) -> dict[str, str]:
    """The predictor that interacts with the first one."""
    together = [{name for part in term for name in part.columns} for term in fit.design.formula.fixed_terms]
    partners = [name for name in predictors[1:] if any({predictors[0], name} <= names for names in together)]
    return {"by": partners[0]} if partners else {}

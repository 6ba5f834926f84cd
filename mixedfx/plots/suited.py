"""The one picture that suits a model: what ``fit.plot()`` draws."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mixedfx import plots
from mixedfx._arguments import checked_choice
from mixedfx.plots.effects import effect
from mixedfx.plots.estimates import caterpillar
from mixedfx.plots.pooling import group_panels
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
    if kind is not None:
        return checked_choice("kind", kind, pictures())(fit, **options)
    draw, usual = _choice(fit)
    return draw(fit, **(usual | options))


def _choice(fit: MixedResults) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The picture and its arguments."""
    design = fit.design
    predictors = [name for name in design.fixed.encoder.variables if name in design.variables]
    numeric = [name for name in predictors if not design.variables[name].is_factor]
    for term in design.random:
        slopes = [name for name in term.names if name in numeric]
        if slopes and not fit.solution.family.has_categories and fit.n_groups[term.group] <= MOST_PANELS:
            return group_panels, {"x": slopes[0], "group": term.group}
    if predictors:
        return effect, {"x": predictors[0]} | _interacting(fit, predictors)
    return caterpillar, {}


def _interacting(fit: MixedResults, predictors: list[str]) -> dict[str, str]:
    """The predictor that interacts with the first one."""
    together = [{name for part in term for name in part.columns} for term in fit.design.formula.fixed_terms]
    partners = [name for name in predictors[1:] if any({predictors[0], name} <= names for names in together)]
    return {"by": partners[0]} if partners else {}

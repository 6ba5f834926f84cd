"""What of a model its formula does not say: settings, factors, and what counts as success."""

from __future__ import annotations

from typing import Any

from mixedfx.fitting import Fit
from mixedfx.results.estimates import Estimates

__all__ = ["factors_of", "ratio_name", "settings_of", "success_of"]

RATIOS = {"logit": "odds ratio", "log": "ratio of means", "cloglog": "hazard ratio"}


def settings_of(fit: Estimates) -> dict[str, str]:
    """Return the settings of a fitted model that are not the usual ones, in words, by the heading of a table.

    Returns
    -------
    dict of str to str
        ``Family, Link, Zero inflation, Dispersion, Measurements, Residuals, Residual sd, Weights, Offset, Penalty``, as
        far as the model has them. The offsets are those of the argument; ``offset(…)`` stands in the formula.
    """
    model: Any = fit.model
    options: dict[str, Any] = {} if model.inputs is None else model.inputs.stated
    found: dict[str, str] = {}
    family = getattr(model, "family", None)
    if family is not None:
        found |= {"Family": family.name, "Link": family.link.name}
    for name, heading in (("zero_inflation", "Zero inflation"), ("dispersion", "Dispersion")):
        written = options.get(name)
        if written is not None:
            found[heading] = f"~ {str(written).strip().removeprefix('~').strip()}"
    if fit.design.measured:
        found["Measurements"] = ", ".join(one.source for one in fit.design.measured)
    if model.residual is not None:
        found["Residuals"] = str(model.residual)
    if model.sigma is not None:
        found["Residual sd"] = f"{model.sigma:.6g}, known"
    for name, heading in (("weights", "Weights"), ("offset", "Offset")):
        given = options.get(name)
        if given is not None:
            found[heading] = given if isinstance(given, str) else "given as an array"
    if options.get("penalty"):
        found["Penalty"] = f"{options['penalty']:.6g}"
    return found


def factors_of(fit: Estimates) -> dict[str, str]:
    """Return the predictors that were read as factors, with their numbers of levels, under the heading ``Factors``.

    A column of text is a factor whatever its text says: the number of its levels tells what became of it.
    """
    sizes = {name: len(v.levels) for name, v in fit.design.variables.items() if v.is_factor}
    return {"Factors": ", ".join(f"{name} ({size})" for name, size in sizes.items())} if sizes else {}


def ratio_name(fit: Fit) -> str:
    """Return what an exponentiated coefficient is called: a ratio of odds, hazards, rates …; empty where it is none."""
    if fit.link.name == "log" and fit.family.proportions:
        return "ratio of probabilities"
    if fit.link.name == "log" and fit.family.support.atoms == "integers":
        return "rate ratio"
    return RATIOS.get(fit.link.name, "")


def success_of(fit: Estimates) -> str:
    """Return what counts as success in a model of proportions, in words."""
    response = fit.design.response
    if response.categories is not None:
        return f"{response.words} = {response.categories[1]!r}"
    counts = counted(response.name)
    if counts is not None:
        return counts
    return f"{response.words} = 1" if response.trials is None else "success"


def counted(name: str) -> str | None:
    """Return the first argument of ``cbind(a, b)``; None for another response."""
    if not (name.startswith("cbind(") and name.endswith(")")):
        return None
    depth = 0
    for place, sign in enumerate(name):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 1:
            return name[len("cbind(") : place].strip()
    return None

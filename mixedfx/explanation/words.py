"""The lines of a summary in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixedfx._display import format_number, format_p
from mixedfx._typing import Array
from mixedfx.results.base import MixedResults

__all__ = ["sentences"]


def sentences(fit: MixedResults, link: str = "identity") -> list[str]:
    """Return one sentence for each line of the summary.

    Parameters
    ----------
    fit : fitted mixed model
    link : str
        Scale on which the coefficients add up.
    """
    return [_opening(fit), *_fixed(fit, link), *_random(fit), _closing(fit)]


def _opening(fit: MixedResults) -> str:
    groups = " and ".join(f"{count} levels of {name}" for name, count in fit.n_groups.items()) or "no groups"
    return f"{fit.nobs} observations of {fit.design.response.name} in {groups}."


def _fixed(fit: MixedResults, link: str) -> Iterator[str]:
    limits = np.asarray(fit.conf_int(), dtype=float)
    scale = "" if link == "identity" else f" on the {link} scale"
    y = f"{fit.design.response.name}{scale}"
    for i, (name, value, p) in enumerate(zip(fit.params.index, fit.params, fit.pvalues, strict=True)):
        low, high = (format_number(limit, 3) for limit in limits[i])
        number, shown = format_number(float(value), 3), format_p(float(p))
        interval = f"95 % interval {low} to {high}"
        if name == "Intercept":
            where = "Where all predictors are zero (factors at their reference level)"
            yield f"{where} the expected {y} is {number} ({interval})."
        else:
            p_value = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
            yield f"{_change(str(name))} {number} in the expected {y}, all else equal ({interval}, {p_value})."


def _change(name: str) -> str:
    """The beginning of a sentence about one coefficient."""
    if ":" in name:
        return f"{name}: the parts together go, beyond their separate effects, with a change of"
    if "[" in name:
        return f"{name}: this level instead of the reference goes with a difference of"
    return f"{name}: one unit more goes with a change of"


def _random(fit: MixedResults) -> Iterator[str]:
    for term in fit.varcorr.terms:
        for name, sd in zip(term.names, term.sd, strict=True):
            what = "their level" if name == "Intercept" else f"their effect of {name}"
            if sd == 0:
                yield f"Levels of {term.group} show no differences in {what} beyond chance."
            else:
                yield (
                    f"Levels of {term.group} differ in {what}: standard deviation {format_number(float(sd), 3)}; about "
                    f"two thirds lie within {format_number(float(sd), 3)} of the average."
                )
        yield from _correlations(term.group, term.names, term.correlation, term.correlated)
    residual = fit.varcorr.residual
    if residual is not None:
        yield (
            f"Single observations scatter around all this with standard deviation "
            f"{format_number(float(np.sqrt(residual)), 3)}."
        )


def _correlations(group: str, names: tuple[str, ...], matrix: Array, correlated: bool) -> Iterator[str]:
    if not correlated:
        return
    for j, first in enumerate(names):
        for i in range(j + 1, len(names)):
            value = float(matrix[i, j])
            if np.isfinite(value):
                direction = "higher" if value >= 0 else "lower"
                yield (
                    f"Levels of {group} with a higher {first} tend to have a {direction} {names[i]}: correlation "
                    f"{format_number(value, 2)}."
                )


def _closing(fit: MixedResults) -> str:
    return "The fit converged." if fit.converged else "The fit did NOT converge: do not interpret these numbers."

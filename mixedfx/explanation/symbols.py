"""What the nodes of a plate diagram are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["Symbols", "symbols_of"]

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
MOST_LINES, MOST_LETTERS = 4, 24


@dataclass(frozen=True)
class Symbols:
    """Letters and small print; the tuples have one entry for each random-effects term.

    Attributes
    ----------
    response, predictor, rows : str
        Name of the response, letter of the linear predictor, label of the plate of rows.
    letters, covariances : tuple of str
        Of the random effects and of their covariances.
    effects, spread : tuple of tuple of str
        Names of the effects; their standard deviations.
    scales : tuple of (str, str)
        Symbol and small print of the parameters that shape the response.
    laws : tuple of str
        What the letters stand for.
    """

    response: str
    predictor: str
    rows: str
    letters: tuple[str, ...]
    covariances: tuple[str, ...]
    effects: tuple[tuple[str, ...], ...]
    spread: tuple[tuple[str, ...], ...]
    scales: tuple[tuple[str, str], ...]
    laws: tuple[str, ...]

    @staticmethod
    def shown(names: Iterable[str]) -> tuple[str, ...]:
        """Return names as a few short lines."""
        lines = [name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…" for name in names]
        more = len(lines) - MOST_LINES
        return tuple(lines) if more <= 0 else (*lines[: MOST_LINES - 1], f"… {more + 1} more")


def symbols_of(fit: MixedResults, family: str, link: str) -> Symbols:
    """Return the symbols of a fitted model.

    Parameters
    ----------
    fit : fitted mixed model
    family, link : str
        Distribution of the response, and scale of the linear predictor.
    """
    design = fit.design
    gaussian = isinstance(fit, LinearMixedResults)
    terms = fit.varcorr.terms
    index = [str(k + 1).translate(SUBSCRIPTS) if len(terms) > 1 else "" for k in range(len(terms))]
    signs = [("σ" if len(terms) > 1 else "τ") if len(term.names) == 1 else "Σ" for term in terms]
    letters = tuple(f"b{i}" for i in index)
    covariances = tuple(sign + i for sign, i in zip(signs, index, strict=True))
    shown = Symbols.shown
    return Symbols(
        response=shown([design.response.name])[0],
        predictor="μᵢ" if gaussian else "ηᵢ",
        rows=f"rows: {fit.nobs}",
        letters=letters,
        covariances=covariances,
        effects=tuple(shown(term.names) for term in terms),
        spread=tuple(shown(f"sd {float(sd):.4g}" for sd in term.sd) for term in terms),
        scales=tuple(_scales(fit)),
        laws=tuple(_laws(fit, family, link, letters, covariances)),
    )


def _scales(fit: Any) -> Iterable[tuple[str, str]]:
    if isinstance(fit, LinearMixedResults):
        residual = fit.model.residual
        yield "σ", f"sd {fit.sigma:.4g}"
        if residual is not None:
            yield "R", type(residual).__name__
        return
    family, values = fit.model.problem.family, fit.family_params
    if not family.has_intercept:
        yield "θ", f"{len(values)} thresholds"
        return
    for name in [*fit.model.components, *family.phi_names][:3]:
        value = f" {float(values[name]):.4g}" if name in values.index else ""
        yield "π" if name == "zero_inflation" else "φ", name.replace("_", " ") + value


def _laws(
    fit: MixedResults, family: str, link: str, letters: tuple[str, ...], covariances: tuple[str, ...]
) -> Iterable[str]:
    y = fit.design.response.name
    sums = " + ".join(["Xβ" if fit.design.fixed.names else "0", *(f"Z{letter[1:]}{letter}" for letter in letters)])
    if isinstance(fit, LinearMixedResults):
        spread = "σ²" if fit.model.residual is None else "σ²R"
        yield f"{y} ~ normal(μ, {spread}),  μ = {sums}"
    else:
        yield f"{y} ~ {family},  {link} of the mean: η = {sums}"
    for term, letter, covariance, design in zip(
        fit.varcorr.terms, letters, covariances, fit.design.random, strict=True
    ):
        spread = f"{covariance}²" if len(term.names) == 1 else covariance
        known = "" if design.loading is None else ", levels related as given"
        yield f"{letter} ~ normal(0, {spread})  for {design.term}{known}"

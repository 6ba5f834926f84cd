"""What a model cannot estimate: refused, or left out of the design, before any search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mixedfx._arguments import written
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.families import Family
from mixedfx.matrices import NO_NOISE, Design, FixedEffects, Noise, RandomEffects, identified_twin
from mixedfx.matrices.response import no_residual

__all__ = [
    "check_generalized",
    "check_linear",
    "check_residual",
    "generalized_noise",
    "has_residual",
    "identified_linear",
    "linear_noise",
    "residual_problem",
    "transformed",
]

NORMAL_RESIDUALS = (("gaussian", "identity"), ("lognormal", "log"))  # families and links with y or log(y) = eta + e


def check_linear(design: Design) -> None:
    """Refuse what no linear (mixed) model can estimate; without random effects it is a regression."""
    _check_terms(design, "lmer")
    n, p = design.n_rows, design.fixed.matrix.shape[1]
    if n <= p:
        raise DataError(f"{n} observations cannot identify {p} fixed effects and a residual variance")
    _check_varies(design)


def check_generalized(design: Design) -> None:
    """Refuse what no generalised linear (mixed) model can estimate; without random effects it is a regression."""
    _check_terms(design, "glmer")
    if design.response.trials is None:
        _check_varies(design)


def _check_terms(design: Design, model: str) -> None:
    if design.formula.error:
        groups = " + ".join(f"(1 | {':'.join(term)})" for term in design.formula.error)
        raise SpecificationError(f"Error(…) is for aov; {model} takes random terms instead: write {groups}")


def _check_varies(design: Design) -> None:
    y = design.response.values
    if np.ptp(y) == 0:
        raise DataError(
            f"the response {design.response.name!r} is constant ({written(y[0])} in all rows): nothing to model"
        )


# --------------------------------------------------------------------------- variances
def linear_noise(design: Design, sigma: float | None, residual: BoundResidual | None) -> Noise:
    """Return the residuals of a linear model as :func:`~mixedfx.matrices.identified_twin` needs them."""
    known = sigma is not None or (residual is not None and residual.sigma is not None)
    return Noise(() if known else (np.ones(len(design.response.values)),), residual, design.weights)


def generalized_noise(family: Family, design: Design, components: Mapping[str, FixedEffects]) -> Noise:
    """Return the normal residuals on the scale of the linear predictor, of the families that have them."""
    if (family.name, family.mean_link.name) not in NORMAL_RESIDUALS:
        return NO_NOISE
    dispersion = components.get("dispersion")
    columns = np.ones((design.n_rows, 1)) if dispersion is None else dispersion.matrix
    return Noise(() if "dispersion" in family.fixed else tuple(columns.T), weights=design.weights)


def identified_linear(design: Design, sigma: float | None, residual: BoundResidual | None) -> Design:
    """Return the design without the variances that it cannot determine.

    Raises
    ------
    DataError
        If a factor has a level for every row, and so no variance beside that of independent residuals.
    """
    twin = identified_twin(design, linear_noise(design, sigma, residual))
    if residual is None:
        for finding in twin.undetermined:
            if finding.residual and not finding.restricted:
                _check_levels(design, design.random[finding.term])
    return twin


def _check_levels(design: Design, term: RandomEffects) -> None:
    m, q, n = term.n_levels, term.n_columns, design.n_rows
    if m * q >= n:
        what = f"{m} levels" if q == 1 else f"{m} levels with {q} effects each"
        instead = ""
        if np.all(np.count_nonzero(term.matrix, axis=1) == 1) and q > 1:
            instead = (
                f". An effect for every row is a residual: equal variances and correlations are (1 | {term.group}) or "
                f"residual=mfx.CompoundSymmetry({term.group!r}), others mfx.VarIdent, mfx.AR1, mfx.Unstructured"
            )
        raise DataError(
            f"the grouping factor {term.group!r} has {what} for {n} observations: its variance cannot be told from "
            "the residual variance; is it a row identifier, or are the measurements of a level side by side in columns "
            "(data.melt(…) makes them rows)? (give sigma= if the residual variance is known, "
            f"residual=mfx.KnownVariance(…) if it is known row by row, as in a meta-analysis){instead}"
        )


# --------------------------------------------------------------------------- a residual
def residual_problem(design: Design, *, fixed: bool = True) -> str:
    """Say why a response leaves no residual, so that the likelihood has no maximum; empty where it leaves one.

    Without ``fixed`` only constants within groups count: the mean is then not linear in the fixed effects.
    """
    X, shift = design.fixed.matrix, 0.0 if design.offset is None else design.offset
    columns, names = (X, design.fixed.names) if fixed else (X[:, :0], ())
    y = design.response.values - shift
    if not np.all(np.isfinite(y)):  # the family refuses the response, and names the row
        return ""
    reason = no_residual(design.response.name, y, columns, names, design.random)
    if not reason:
        return ""
    return (
        f"{reason}: no residual is left, and the likelihood grows without end as its variance goes to zero. For a "
        "response of the groups take one row a group and a model without that random effect; a formula for the "
        "response needs no model"
    )


def check_residual(design: Design, *, fixed: bool = True) -> None:
    """Refuse a response that leaves no residual."""
    reason = residual_problem(design, fixed=fixed)
    if reason:
        raise DataError(reason)


def has_residual(family: Family) -> bool:
    """Whether the rows vary continuously around their means, by a dispersion that is estimated."""
    return family.support.atoms == "none" and "dispersion" in family.phi_names


def transformed(design: Design, family: Family) -> Design:
    """Return the design with the response on the scale on which its residuals are normal."""
    if family.name != "lognormal":
        return design
    with np.errstate(divide="ignore", invalid="ignore"):  # the family refuses what has no logarithm
        values = np.log(design.response.values)
    return replace(design, response=replace(design.response, values=values))

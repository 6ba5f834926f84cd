"""Errors in units that mean something, their tolerances, and when a number is left out."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DIGITS = 16.0

# What an error is measured in, and how big it may be. Never loosened: a number that disagrees is somebody's mistake.
TOLERANCES = {
    "objective": 1e-6,  # excess over R's optimum, absolute: lower is better, never higher
    "objective_at": 1e-6,  # at fixed theta, both sides, absolute
    "loglik": 1e-6,
    "fixef": 1e-6,  # standard errors
    "fixef (GLMM)": 1e-4,  # standard errors
    "fixef (nlme)": 1e-4,  # standard errors: nlme stops at a relative change of 1e-12 in loglik
    "se": 1e-5,  # relative
    # The wide ones hold for the cases of ROUGH alone, where R's number is the imprecise one.
    "se (rough)": 1e-4,
    "se (joint Hessian)": 5e-3,
    "modes (rough)": 1e-4,  # of the sd of the effect, as the fixed effects
    "objective_at (rough)": 2e-5,
    "vcov (rough)": 5e-3,
    "quadrature": 1e-6,  # log-likelihood with many nodes against the exact integral, absolute
    "vcov": 2e-5,  # of the product of the two standard errors: a variance is a square
    "statistic": 1e-5,  # relative to max(1, |t|)
    "df": 1e-3,  # relative
    "p": 1e-5,  # absolute
    "theta": 1e-5,  # of the relative sd of the coefficient
    "sd": 1e-5,  # relative (where zero: of sigma)
    "corr": 1e-5,  # absolute, and 1e-5 of each sd
    "sigma": 1e-5,  # relative
    "criteria": 1e-5,  # AIC and BIC, absolute
    "counts": 0.0,
    "flags": 0.0,
    "modes": 1e-5,  # of the sd of the effect
    "modes_sd": 1e-5,  # of the sd of the effect
    "matrix": 1e-10,  # relative to the column
    "fitted": 1e-5,  # of sigma (a GLMM: relative)
    "residuals": 1e-5,
    "predictions": 1e-5,
    "F": 1e-5,  # relative
    "chisq": 1e-5,  # relative to max(1, chi squared)
    "chisq (rough)": 5e-3,
    "chisq (joint Hessian)": 1e-2,  # twice the relative error of se (joint Hessian)
    "p (rough)": 1e-3,  # of those
    "interval": 1e-3,  # of its width
    "estimate": 1e-6,  # marginal means: standard errors
    "adjusted p": 1e-4,  # absolute
    "fit measure": 1e-5,
    "sum of squares": 1e-8,  # relative
    "variance component": 1e-6,  # relative to the residual variance
}

# Cases in which R's number is the rough one, by quantity; test_rough_cases.py computes some of them independently.
# lme4 takes the determinant with the weights of its last-but-one iteration: its deviance is off by up to 1.1e-5 and a
# Hessian by differences of it by up to 4e-3; with a definition written down anew ours agree to 1e-8 and 2e-5 there.
# Wald statistics of car are made of vcov(merMod), which rests on such a Hessian in every case.
# glmmTMB differences its gradient with steps of 1e-3: tmb_owls_zip is off by 2.7e-5; with numDeriv's extrapolated
# Hessian its own standard errors agree with ours to 2e-8. Its Gaussian errors come from the joint Hessian, not from
# GLS: those of glmer(family="gaussian") are the same. It stopped early in tmb_simbeta_slope_disp (ours is lower), as
# lme4 did in owls_poisson_offset.
ROUGH: dict[str, frozenset[str]] = {
    "objective_at": frozenset(
        ["contraception_intercept", "grouseticks_poisson", "grouseticks_simple", "owls_poisson_offset"]
        + ["salamanders_poisson", "verbagg_crossed"]
    ),
    "vcov": frozenset(
        ["cbpp_logit_nagq9", "cbpp_logit_nagq25", "cbpp_olre", "cbpp_probit", "grouseticks_simple"]
        + ["owls_poisson_offset"]
    ),
    "se": frozenset(["tmb_epil2_nbinom2", "tmb_owls_zip"]),
    "modes": frozenset(["owls_poisson_offset", "tmb_simbeta_slope_disp"]),
    "chisq": frozenset(
        ["cbpp_olre", "contraception_nested", "contraception_slope", "epil2_poisson_slope", "grouseticks_simple"]
        + ["owls_poisson_offset", "tmb_epil2_nbinom2", "tmb_owls_zip", "tmb_salamanders_zip", "verbagg_crossed"]
    ),
    "p": frozenset(["epil2_poisson_slope", "owls_poisson_offset", "tmb_owls_zip", "verbagg_crossed"]),
}


def judged(quantity: str, case: str) -> str:
    """The quantity under whose tolerance a generalised case is compared."""
    return f"{quantity} (rough)" if case in ROUGH[quantity] else quantity


@dataclass(frozen=True)
class Measure:
    """The worst error among the numbers of one quantity."""

    quantity: str  # a key of TOLERANCES
    label: str  # what was compared, e.g. "anova type3_kr"
    error: float
    worst: str  # "Days: 10.4673 against 10.4672"

    @property
    def tolerance(self) -> float:
        return TOLERANCES[self.quantity]

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    @property
    def digits(self) -> float:
        return MAX_DIGITS if self.error <= 0 else min(MAX_DIGITS, -math.log10(self.error))

    def __str__(self) -> str:
        return f"{self.label}: error {self.error:.2g} > {self.tolerance:g} at {self.worst}"


Names = Sequence[str] | None
Values = NDArray[np.float64]


def measure(quantity: str, label: str, ours: Any, theirs: Any, scale: Any = 1.0, names: Names = None) -> Measure:
    """Largest ``|ours - theirs| / scale``.

    A NaN of ours, or another shape, is an infinite error; R's null is no number.
    """
    reference = np.asarray(theirs, dtype=float)
    values = np.asarray(ours, dtype=float)
    if values.shape != reference.shape:
        return Measure(quantity, label, math.inf, f"shape {values.shape} against {reference.shape}")
    known = ~np.isnan(reference)
    if not known.any():
        return Measure(quantity, label, 0.0, "nothing to compare")
    errors = _errors(values, reference, np.broadcast_to(np.asarray(scale, dtype=float), reference.shape))
    errors = np.where(known, errors, -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(errors)), errors.shape))
    place = names[index[0]] if names is not None and index else index or ""
    worst = f"{place} {values[index]:.10g} against {reference[index]:.10g}"
    return Measure(quantity, label, float(errors[index]), worst)


def _errors(values: Values, reference: Values, scale: Values) -> Values:
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.abs(values - reference) / scale
    errors = np.where(values == reference, 0.0, errors)
    return np.where(np.isnan(errors), math.inf, errors)


def relative(quantity: str, label: str, ours: Any, theirs: Any, floor: Any = 0.0, names: Names = None) -> Measure:
    """Error relative to ``max(|theirs|, floor)``."""
    return measure(quantity, label, ours, theirs, np.maximum(np.abs(np.asarray(theirs, dtype=float)), floor), names)


def exactly(label: str, ours: Any, theirs: Any, quantity: str = "counts") -> Measure:
    """Numbers, flags or sets that must be the same."""
    return Measure(quantity, label, 0.0 if ours == theirs else math.inf, f"{ours} against {theirs}")


def excess(label: str, ours: float, theirs: float, quantity: str = "objective") -> Measure:
    """How far our criterion is above theirs; below is welcome."""
    value = float(ours) - float(theirs)
    return Measure(
        quantity, label, max(0.0, value) if math.isfinite(value) else math.inf, f"{ours:.10f} against {theirs:.10f}"
    )


def column(table: Mapping[str, Mapping[str, Any]], key: str, names: Iterable[str]) -> list[float]:
    """One column of a JSON table by row; null and absent are NaN."""
    return [math.nan if table[name].get(key) is None else float(table[name][key]) for name in names]


def nan_for_null(values: Any) -> NDArray[np.float64]:
    """Nested lists with null as an array with NaN."""
    return np.array(values, dtype=object).astype(float) if np.size(values) else np.empty(0)


def failures(measures: Iterable[Measure]) -> list[str]:
    return [str(m) for m in measures if not m.passed]


def totals(results: Iterable[Measure]) -> str:
    """The scoreboard in short: digits of agreement by quantity."""
    by_quantity: dict[str, list[Measure]] = defaultdict(list)
    for result in results:
        by_quantity[result.quantity].append(result)
    lines = [f"{'quantity':20} {'number':>6} {'passed':>6} {'worst digits':>12} {'median':>7}"]
    for quantity, group in by_quantity.items():
        digits = [result.digits for result in group]
        passed = sum(result.passed for result in group)
        lines.append(f"{quantity:20} {len(group):6d} {passed:6d} {min(digits):12.1f} {median(digits):7.1f}")
    return "\n".join(lines)


Measures = Iterator[Measure]

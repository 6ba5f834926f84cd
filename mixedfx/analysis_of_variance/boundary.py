"""Likelihood-ratio tests of variances, which lie on the boundary of what is possible under the null hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx.covariance import Covariance, UnstructuredCovariance
from mixedfx.inference.distributions import chi2_tail
from mixedfx.matrices import Design, RandomEffects

__all__ = ["SEVERAL", "Extension", "chi_bar_square_tail", "extension_of", "holds_constant", "n_variances"]

INTERCEPT = "Intercept"

SEVERAL = (
    "Where several such parameters are tested at once PR(>chi2) is too large, and the right one depends on the design: "
    "bootstrap_test finds it."
)


@dataclass(frozen=True)
class Extension:
    """What a larger model has beyond a smaller one in its random part.

    Attributes
    ----------
    variances : int
        Number of variances that are zero in the smaller model.
    others : int
        Number of further parameters (covariances with those effects, fixed effects, …).
    """

    variances: int
    others: int


def chi_bar_square_tail(x: float, extension: Extension) -> float:
    """Return the p-value of a likelihood ratio ``x``: an even mixture of chi-squared with k - 1 and k df.

    Exact (asymptotically) where one variance is tested; nan where there are several, whose mixture depends on the
    design; without variances the ordinary p-value.

    References
    ----------
    Self & Liang (1987), J. Am. Stat. Assoc. 82, 605; Stram & Lee (1994), Biometrics 50, 1171.
    """
    k = extension.variances + extension.others
    if extension.variances == 0:
        return chi2_tail(x, k) if k else np.nan
    if extension.variances > 1:
        return np.nan
    below = chi2_tail(x, k - 1) if k > 1 else float(x <= 0)
    return 0.5 * below + 0.5 * chi2_tail(x, k)


def extension_of(small: Sequence[Design], large: Design, n_extra: int) -> Extension | None:
    """Return how ``large`` extends the random part of a smaller model; None if it does not contain it.

    Parameters
    ----------
    small : sequence of Design
        The design of the smaller model; empty if it has no random part at all.
    large : Design
    n_extra : int
        Difference of the numbers of parameters.
    """
    had = {(term.group, name) for design in small for term in design.random for name in term.names}
    has = {(term.group, name) for term in large.random for name in term.names}
    means = {(term.group, INTERCEPT) for term in large.random if _holds_intercept(term)}
    if not had <= has | means:
        return None
    of_means = had & means
    new = [
        sum((term.group, name) not in had for name in term.names)
        - ((term.group, INTERCEPT) in of_means and _holds_intercept(term))
        for term in large.random
    ]
    variances = sum(min(k, n_variances(term.covariance)) for k, term in zip(new, large.random, strict=True))
    return Extension(variances, n_extra - variances) if n_extra >= variances else None


def _holds_intercept(term: RandomEffects) -> bool:
    """Whether correlated columns of a factor stand for an intercept: ``(0 + f | g)`` contains ``(1 | g)``."""
    if INTERCEPT in term.names or not isinstance(term.covariance, UnstructuredCovariance):
        return False
    return any(holds_constant(term, label) for label in term.encoder.terms)


def holds_constant(term: RandomEffects, label: str) -> bool:
    """Whether the columns of a term left of the bar add up to the constant."""
    total = term.matrix[:, list(term.encoder.terms[label])].sum(axis=1)
    return bool(total[0] != 0 and np.all(total == total[0]))


def n_variances(covariance: Covariance) -> int:
    """Return how many variances a covariance has: the parameters that cannot be negative; one if all are equal."""
    return int(np.sum(covariance.lower() == 0))

"""The joint log density that every program states, in plain NumPy: priors, effects, response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.programs.description import THRESHOLDS, Correlation, Description, Predictor, Term
from mixedfx.programs.priors import LOG_2PI, Prior

__all__ = ["log_densities", "partial_factor", "partial_shapes", "start_values"]

Values = Mapping[str, Any]


def log_densities(model: Description, values: Values) -> dict[str, float]:
    """Return the logarithms of the factors of the joint density, all constants included.

    Parameters
    ----------
    model : Description
    values : mapping
        The parameters by their names in programs, on the scales on which they are named (no Jacobians): every
        coefficient, standard deviation and number of the family; ``thresholds``; of correlated effects the Cholesky
        factor ``L_g`` (q, q), or partial correlations ``partial_g`` mapped to (0, 1); effects ``u_g`` (m, q), or
        standardised ones ``z_g``.

    Returns
    -------
    dict
        ``likelihood``; every prior by its key; the effects of every term as ``effects: (x | g)``.
    """
    found = {p.key: model.priors[p.key].log_density(_scalar(values, p.name)) for p in model.parameters}
    if model.thresholds:
        cuts = _array(values, "thresholds")
        ordered = bool(np.all(np.diff(cuts) > 0))
        prior = model.priors[THRESHOLDS]
        found[THRESHOLDS] = float(sum(map(prior.log_density, cuts))) if ordered else -np.inf
    eta = fixed_part(model.mean, values)
    for term in model.terms:
        effects, density = _effects(model, term, values, found)
        found[f"effects: {term.text}"] = density
        eta = eta + np.einsum("nq,nq->n", term.matrix, effects[term.codes])
    return {"likelihood": _likelihood(model, eta, values), **found}


def fixed_part(predictor: Predictor, values: Values) -> Array:
    """Return ``X beta`` and the offset (n,)."""
    beta = np.array([_scalar(values, parameter.name) for parameter in predictor.coefficients])
    eta = predictor.matrix @ beta
    return np.asarray(eta if predictor.offset is None else eta + predictor.offset)


def _likelihood(model: Description, eta: Array, values: Values) -> float:
    family = model.family
    observed = family.observe(_as_observed(model), trials=model.trials, weights=model.weights)
    columns, phi = [eta], []
    for number in model.numbers:
        if number.predictor is not None:
            columns.append(fixed_part(number.predictor, values))
        elif number.parameter is not None:
            phi.append(float(number.number.unbounded(_scalar(values, number.parameter.name))))
    if model.thresholds:
        cuts = _array(values, "thresholds")
        if not np.all(np.diff(cuts) > 0):
            return -np.inf
        phi = [cuts[0], *np.log(np.diff(cuts))]
    predictors = columns[0] if len(columns) == 1 else np.stack(columns, axis=-1)
    return float(family.loglik(observed, predictors, np.array(phi)).sum())


def _as_observed(model: Description) -> Array:
    """The response on the scale of the data."""
    if model.family.has_categories:
        return model.y + model.family.first
    return model.y if model.trials is None else model.y / model.trials


# ---------------------------------------------------------------- random effects
def deviations(term: Term, values: Values) -> Array:
    """Return the standard deviations (q,) of the effects."""
    found = np.array([_scalar(values, parameter.name) for parameter in term.deviations])
    return found[list(term.which)]


def _effects(model: Description, term: Term, values: Values, found: dict[str, float]) -> tuple[Array, float]:
    """The effects (m, q) and the logarithm of their density, that of their correlations entered in ``found``."""
    sd = deviations(term, values)
    L: Array = np.eye(term.size)
    if term.correlation is not None:
        L, found[term.correlation.key] = _correlation(term.correlation, model.priors[term.correlation.key], values)
    factor = sd[:, None] * L
    m = len(term.levels)
    if term.raw in values:
        z = _array(values, term.raw).reshape(m, term.size)
        effects, volume = z @ factor.T, 0.0
    else:
        effects = _array(values, term.effect).reshape(m, term.size)
        z = np.asarray(np.linalg.solve(factor, effects.T).T)
        volume = m * float(np.log(np.diag(factor)).sum())
    density = float(-0.5 * np.sum(z * z) - 0.5 * z.size * LOG_2PI - volume)
    return (effects if term.loading is None else term.loading @ effects), density


def _correlation(own: Correlation, prior: Prior, values: Values) -> tuple[Array, float]:
    """The Cholesky factor of the correlations and the LKJ density, with respect to what is given of them."""
    (eta,) = prior.numbers
    if own.name in values:
        L = _array(values, own.name)
        return L, _lkj_cholesky(L, eta)
    shares = _array(values, own.partial)
    shapes = partial_shapes(len(own.start), eta)
    density = sp.xlogy(shapes - 1.0, shares) + sp.xlog1py(shapes - 1.0, -shares) - sp.betaln(shapes, shapes)
    return partial_factor(shares), float(np.sum(density))


def _lkj_cholesky(L: Array, eta: float) -> float:
    """LKJ density of a Cholesky factor in its entries below the diagonal (Lewandowski, Kurowicka & Joe 2009)."""
    q = len(L)
    below = np.arange(1, q)
    shapes = eta + 0.5 * (q - 1 - below)
    constant = np.sum(0.5 * below * np.log(np.pi) + sp.gammaln(shapes) - sp.gammaln(shapes + 0.5 * below))
    return float(np.sum((q - 1 - below + 2.0 * eta - 2.0) * np.log(np.diag(L)[1:])) - constant)


def partial_shapes(q: int, eta: float) -> Array:
    """Return the beta shapes of partial correlations, mapped to (0, 1), row by row below the diagonal."""
    return np.array([eta + 0.5 * (q - 2 - j) for i in range(1, q) for j in range(i)])


def partial_factor(shares: Array) -> Array:
    """Return the Cholesky factor (q, q) of the correlations that partial correlations in (0, 1) make."""
    q = round((1.0 + np.sqrt(1.0 + 8.0 * len(shares))) / 2.0)
    L, place = np.eye(q), 0
    for i in range(1, q):
        left = 1.0
        for j in range(i):
            r = 2.0 * shares[place] - 1.0
            L[i, j], left, place = r * left, left * np.sqrt(1.0 - r * r), place + 1
        L[i, i] = left
    return L


def factor_partial(L: Array) -> Array:
    """Return the partial correlations in (0, 1) of a Cholesky factor (q, q): the inverse of :func:`partial_factor`."""
    shares = []
    for i in range(1, len(L)):
        left = 1.0
        for j in range(i):
            r = L[i, j] / left
            shares.append(0.5 * (1.0 + r))
            left *= np.sqrt(1.0 - r * r)
    return np.array(shares)


# ---------------------------------------------------------------- values
def start_values(model: Description, *, centered: bool, partial: bool) -> dict[str, Any]:
    """Return the estimates as values to start from, by their names in programs.

    Parameters
    ----------
    model : Description
    centered : bool
        Whether effects or standardised effects are parameters.
    partial : bool
        Whether correlations are given by partial ones, or by their Cholesky factor.
    """
    found: dict[str, Any] = {p.name: model.priors[p.key].start(p.start) for p in model.parameters}
    if model.thresholds:
        found["thresholds"] = np.array(model.thresholds)
    for term in model.terms:
        sd, L = deviations(term, found), np.eye(term.size)
        if term.correlation is not None:
            L = term.correlation.start
            if not partial:
                found[term.correlation.name] = np.array(L)
            else:
                found[term.correlation.partial] = factor_partial(L)
        effects = term.start if centered else np.linalg.solve(sd[:, None] * L, term.start.T).T
        found[term.effect if centered else term.raw] = np.array(effects[:, 0] if term.size == 1 else effects)
    return found


def _scalar(values: Values, name: str) -> float:
    found = _array(values, name)
    if found.size != 1:
        raise SpecificationError(f"{name} is one number; found {found.size}")
    return float(found.reshape(()))


def _array(values: Values, name: str) -> Array:
    if name not in values:
        raise SpecificationError(f"the values have no {name!r}; they have {', '.join(map(repr, values)) or 'none'}")
    return np.asarray(values[name], dtype=float)

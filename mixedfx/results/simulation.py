"""Simulate responses of a model whose parameters are stated rather than fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family, FamilyName, LinkName, family_for
from mixedfx.fitting.reported import term_entries
from mixedfx.fitting.response import weighted_noise
from mixedfx.formula import Formula
from mixedfx.matrices import Predictors, RandomEffects, build_predictors
from mixedfx.results.simulate import SimulatedRows, checked_count, drawn_terms, generator, random_parts

__all__ = ["Stated", "simulate", "stated"]

NEGATIVE = 1e-9  # eigenvalue of a matrix of correlations below minus which no variables can have them


def simulate(
    formula: str | Formula,
    data: Any,
    *,
    params: Mapping[str, Any] | pd.Series[float],
    family: FamilyName | Any = None,
    link: LinkName | Any = None,
    n: int = 1,
    seed: Any = None,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Draw responses from a formula and parameters; nothing is fitted.

    Parameters
    ----------
    formula : str
        As for :func:`lmer`. The columns of its left side need not exist; what is drawn is the left side.
    data : data frame or dict of arrays
        Predictors and groups. Rows with missing values are left out.
    params : dict or Series
        Values by name: the fixed effects as in ``fit.params``, standard deviations ``sd_x|g`` and correlations
        ``cor_x.y|g`` as in ``fit.conf_int(which="all")`` (correlations that are left out are zero), ``sigma``. Instead
        of standard deviations and correlations ``theta``, all covariance parameters as in ``fit.theta``. With a family
        its own parameters on their natural scales: ``dispersion``, ``df``, ``power``, ``zero_inflation`` (a
        probability), ``thresholds`` (a list).
    family, link
        As for :func:`glmer`; a linear model if omitted.
    n : int
        Number of draws.
    seed : int, SeedSequence or Generator, optional
        The same seed gives the same draws.
    weights : str or array, optional
        Precision weights; the trials of a binomial response (1 if omitted).
    offset, contrasts, functions
        As for :func:`lmer`.

    Returns
    -------
    DataFrame
        Rows x n; proportions for a binomial response, numbers 1, 2, … for categories.

    Raises
    ------
    SpecificationError
        If a parameter is missing, unknown or impossible; the message lists what is expected.
    DataError
        If the data cannot serve the formula.

    Examples
    --------
    Twenty subjects on ten days, with a slope that has to be found:

    >>> import numpy as np, pandas as pd, mixedfx as mfx
    >>> plan = pd.DataFrame({"Subject": np.repeat(np.arange(20), 10), "Days": np.tile(np.arange(10), 20)})
    >>> values = {"Intercept": 250, "Days": 10, "sd_Intercept|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    >>> draws = mfx.simulate("y ~ Days + (Days | Subject)", plan, params=values, n=100, seed=1)
    >>> draws.shape
    (200, 100)
    >>> plan["y"] = draws[0]
    >>> fit = mfx.lmer("y ~ Days + (Days | Subject)", plan)
    >>> slopes = fit.refit_many(draws).params["Days"]
    >>> print(f"{slopes.mean():.1f} +- {slopes.std():.1f}")
    9.9 +- 1.4
    """
    draws, rng = checked_count(n), generator(seed)
    chosen = None if family is None and link is None else _family(family, link, params)
    design = build_predictors(formula, data, weights=weights, offset=offset, contrasts=contrasts, functions=functions)
    values = stated(params, design, chosen)
    if chosen is not None and weights is not None and not (chosen.proportions or chosen.precision_weights):
        raise SpecificationError(f"weights multiply the likelihood of the family {chosen.name!r}: they draw nothing")
    fixed = values.fixed if design.offset is None else values.fixed + design.offset
    rows = SimulatedRows(fixed, drawn_terms(design.random), design.index)
    modes = [np.zeros((term.n_columns, term.n_levels)) for term in design.random]
    none = [np.zeros(term.n_columns, dtype=bool) for term in design.random]

    def effects(term: int, levels: int, count: int, rng: np.random.Generator) -> Array:
        root = values.roots[term]
        return np.tensordot(root, rng.standard_normal((root.shape[1], levels, count)), axes=1)

    eta = fixed[:, None] + random_parts(rows, effects, modes, draws, rng, none)
    y = _linear(eta, design, values, rng) if chosen is None else _response(eta, design, values, chosen, rng)
    return pd.DataFrame(y, index=design.index)


def _family(family: Any, link: Any, params: Any) -> Family:
    """The family; an ordinal one has a category more than thresholds."""
    chosen = family_for("gaussian" if family is None else family, link)
    if not chosen.has_categories or "thresholds" not in params:
        return chosen
    return chosen.with_categories(np.size(params["thresholds"]) + 1)


def _linear(eta: Array, design: Predictors, values: Stated, rng: np.random.Generator) -> Array:
    return eta + values.sigma * weighted_noise(rng.standard_normal(eta.shape), design.weights)


def _response(eta: Array, design: Predictors, values: Stated, family: Family, rng: np.random.Generator) -> Array:
    others = [np.full(eta.T.shape, constant) for constant in values.components]
    predictors = np.stack([eta.T, *others], axis=-1) if others else eta.T
    trials = design.weights if family.proportions and design.weights is not None else 1.0
    weights = design.weights if family.precision_weights else None
    return family.simulate(rng, predictors, values.phi, trials=trials, weights=weights).T


@dataclass(frozen=True)
class Stated:
    """The parameters of a model as numbers.

    Attributes
    ----------
    fixed : (n,) array
        Fixed part of the linear predictor.
    roots : list of (q, q) arrays
        ``R`` with ``R R'`` the covariance of every random term.
    sigma : float
        Residual standard deviation of a linear model; nan for a family.
    components : list of float
        Further linear predictors, constants.
    phi : (k,) array
        Family-wide parameters on their unbounded scales.
    """

    fixed: Array
    roots: list[Array]
    sigma: float
    components: list[float]
    phi: Array


def stated(params: Any, design: Predictors, family: Family | None) -> Stated:
    """Return the parameters that ``params`` states.

    Raises
    ------
    SpecificationError
        If one is missing, unknown or impossible.
    """
    given = _checked_names(params, design, family)
    effects = [j for j, name in enumerate(design.names) if name in given]
    beta = np.array([_number(given, design.names[j]) for j in effects])
    fixed = design.matrix[:, effects] @ beta
    if family is None:
        sigma = _number(given, "sigma", lower=0.0)
        return Stated(fixed, _roots(given, design.random, sigma), sigma, [], np.empty(0))
    free = {parameter.name: parameter for parameter in family.parameters}
    components = [_unbounded(given, family, name) for name in family.predictors if name in free]
    phi = _thresholds(given) if family.has_categories else [_unbounded(given, family, n) for n in family.phi_names]
    return Stated(fixed, _roots(given, design.random, 1.0), np.nan, components, np.array(phi, dtype=float))


def _checked_names(params: Any, design: Predictors, family: Family | None) -> dict[str, Any]:
    """Return what was given, each name once and known, and all that is needed."""
    if isinstance(params, pd.Series) and not isinstance(params.index, pd.MultiIndex):
        params = params.to_dict()
    if not isinstance(params, Mapping):
        raise TypeError(f"params is a dict of names and values, or a Series with one name a value; found {params!r}")
    covariance = [[name for name, _, _ in term_entries(term)] for term in design.random]
    names = [name for own in covariance for name in own]
    others = ["sigma"] if family is None else _family_names(family)
    fixed = [name for name in design.names if name != "Intercept" or family is None or family.has_intercept]
    given = {_canonical(str(name), names): value for name, value in params.items()}
    needed = [*fixed, *(["theta"] if "theta" in given else [n for n in names if n.startswith("sd_")]), *others]
    known = {*needed, *(() if "theta" in given else names)}
    expected = f"expected are {', '.join(map(repr, dict.fromkeys([*fixed, *names, *others])))}"
    if names:
        expected += (
            " (a correlation that is left out is zero; 'theta' may replace standard deviations and correlations)"
        )
    unknown, missing = [n for n in given if n not in known], [n for n in needed if n not in given]
    if unknown:
        raise SpecificationError(f"params: the model has no parameter {', '.join(map(repr, unknown))}; {expected}")
    if missing:
        raise SpecificationError(f"params: a value is missing for {', '.join(map(repr, missing))}; {expected}")
    return given


def _family_names(family: Family) -> list[str]:
    if family.has_categories:
        return ["thresholds"]
    names = [parameter.name for parameter in family.parameters if parameter.name not in family.fixed]
    return ["sigma" if name == "dispersion" and family.name == "gaussian" else name for name in names]


def _canonical(name: str, names: Sequence[str]) -> str:
    """A correlation may be written either way round."""
    if not name.startswith("cor_") or name in names or "|" not in name:
        return name
    pair, group = name.removeprefix("cor_").split("|", 1)
    turned = [f"cor_{pair[k + 1 :]}.{pair[:k]}|{group}" for k, sign in enumerate(pair) if sign == "."]
    return next((other for other in turned if other in names), name)


def _number(given: Mapping[str, Any], name: str, lower: float = -np.inf, upper: float = np.inf) -> float:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"params: {name!r} is a number, found {value!r}")
    if not (lower <= value <= upper and np.isfinite(value)):
        between = (
            "finite" if lower == -np.inf else f"at least {lower:g}" + (f" and at most {upper:g}" * (upper < np.inf))
        )
        raise SpecificationError(f"params: {name!r} must be {between}; found {value}")
    return float(value)


def _roots(given: Mapping[str, Any], terms: Sequence[RandomEffects], unit: float) -> list[Array]:
    if "theta" in given:
        return [unit * root for root in _from_theta(given["theta"], terms)]
    return [_from_deviations(given, term) for term in terms]


def _from_theta(theta: Any, terms: Sequence[RandomEffects]) -> list[Array]:
    values, sizes = np.asarray(theta, dtype=float), [term.covariance.n_theta for term in terms]
    if values.shape != (sum(sizes),):
        names = [f"{term.group}: {label}" for term in terms for label in term.theta_labels]
        raise SpecificationError(
            f"params: 'theta' needs {sum(sizes)} numbers ({', '.join(names)}); found {values.shape}"
        )
    parts = np.split(values, np.cumsum(sizes))[:-1]
    for term, own in zip(terms, parts, strict=True):
        low, high = term.covariance.lower(), term.covariance.upper()
        if not np.all((own >= low) & (own <= high)):
            raise SpecificationError(f"params: 'theta' of {term.term} is out of bounds: {own.tolist()}")
    return [term.covariance.factor(own) for term, own in zip(terms, parts, strict=True)]


def _from_deviations(given: Mapping[str, Any], term: RandomEffects) -> Array:
    """The symmetric root of the covariance."""
    correlation, sd = np.eye(term.n_columns), np.zeros(term.n_columns)
    for name, i, j in term_entries(term):
        if i == j:
            sd[i] = _number(given, name, lower=0.0)
        elif name in given:
            correlation[i, j] = correlation[j, i] = _number(given, name, lower=-1.0, upper=1.0)
    if term.pooled is not None:
        columns = np.arange(term.n_columns)
        block = np.searchsorted(np.array(term.pooled.firsts), columns, side="right") - 1
        return np.diag(sd[np.array(term.pooled.firsts)[block]])
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < -NEGATIVE:
        raise SpecificationError(f"params: no random effects of {term.term} can have these correlations all together")
    return np.asarray(sd[:, None] * ((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T))


def _unbounded(given: Mapping[str, Any], family: Family, name: str) -> float:
    parameter = next(p for p in family.parameters if p.name == name)
    if family.name == "gaussian":
        return parameter.unbounded(_number(given, "sigma", lower=np.finfo(float).tiny) ** 2)
    value = _number(given, name)
    with np.errstate(all="ignore"):  # a value out of range is an error just below
        unbounded = parameter.unbounded(value)
    if not np.isfinite(unbounded):
        raise SpecificationError(f"params: {name!r} of the family {family.name!r} cannot be {value:g}")
    return unbounded


def _thresholds(given: Mapping[str, Any]) -> Array:
    cuts = np.atleast_1d(np.asarray(given["thresholds"], dtype=float))
    gaps = np.diff(cuts)
    if cuts.ndim != 1 or not np.isfinite(cuts).all() or not np.all(gaps > 0):
        raise SpecificationError(f"params: 'thresholds' are increasing numbers; found {given['thresholds']!r}")
    return np.concatenate([cuts[:1], np.log(gaps)])

"""Posterior draws beside the estimates of a fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.programs.density import partial_factor
from mixedfx.programs.description import Description, Term, describe
from mixedfx.programs.formulas import formula_variables
from mixedfx.results.base import MixedResults, checked_fit
from mixedfx.results.quantities import estimates, quantities

__all__ = ["compare_draws"]

CHAIN, DRAW = "chain", "draw"
FEWEST = 10  # draws of which a density is estimated
KEPT = 2000  # draws that the mode is estimated of
GRID = 401
SHOWN = 8  # names that a note lists
HEADERS = {"lower": "[lower", "upper": "upper]", "post_lower": "[low", "post_upper": "high]"}
SAMPLER = ("lp__", "lp", "log_likelihood")


def compare_draws(fit: Any, draws: Any, *, alpha: float = 0.05, effects: bool = False) -> StatsTable:
    """Return posterior mean, mode and interval beside the estimates of a fit and theirs.

    Parameters
    ----------
    fit : fitted mixed model
    draws : ArviZ InferenceData, DataTree, xarray Dataset, dict of arrays, or DataFrame
        Draws of the posterior distribution. Of a dict the first axis of every array are the draws; a single number may
        have two, chains and draws. Parameters bear the names of the programs of ``fit.to_pymc()``, ``to_numpyro()`` and
        ``to_stan()``, those of Bambi or brms, or those of ``fit.conf_int(which="all")``.
    alpha : float
        One minus the level of the intervals.
    effects : bool
        Whether the random effects, too, are compared: their conditional modes with ``u_g`` of the programs.

    Returns
    -------
    StatsTable
        One row a parameter: ``estimate, lower, upper`` (Wald limits) of the fit; ``mean, mode, sd, post_lower,
        post_upper`` of the draws (equal tails; the mode is that of a kernel density estimate of each parameter by
        itself); ``shift``, the distance of posterior mean and estimate in posterior standard deviations. Its notes name
        parameters without draws, and draws that are of no parameter.

    Raises
    ------
    SpecificationError
        If nothing can be matched.
    DataError
        If draws are missing, infinite, no numbers or too few.

    Examples
    --------
    >>> import mixedfx as mfx, numpy as np
    >>> fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    >>> rng = np.random.default_rng(1)
    >>> draws = {"b_Intercept": rng.normal(1527, 25, 4000), "sigma": rng.normal(51, 8, 4000)}
    >>> table = mfx.compare_draws(fit, draws)
    >>> print(table[["estimate", "mean", "sd"]].round().to_string())
               estimate    mean    sd
    sigma          50.0    51.0   8.0
    Intercept    1528.0  1527.0  25.0
    >>> print(table.notes[1])
    without draws: 'sd_Intercept|Batch'.
    """
    results = checked_fit(fit, "compare_draws")
    alpha, effects = checked_alpha(alpha), checked_flag("effects", effects)
    source = _Draws.of(draws)
    model = _description(results)
    rows = list(_rows(results, model, source, alpha))
    if effects:
        rows += _effect_rows(results, model, source, alpha)
    found = [row for row in rows if row.draws is not None]
    if not found:
        raise SpecificationError(
            f"no draws are of a parameter of this model: found {_listed(source.arrays)}; wanted "
            f"{_listed([row.name for row in rows])}"
        )
    frame = pd.DataFrame([row.numbers(alpha) for row in found], index=[row.name for row in found])
    notes = _notes(results, rows, source, model, alpha)
    return StatsTable.from_frame(frame, heading="Draws and estimates", notes=notes, headers=HEADERS)


def _description(fit: MixedResults) -> Description | None:
    """What programs call the parameters; None for a model that no program has."""
    try:
        return describe(fit, "compare_draws")
    except SpecificationError:
        return None


def _listed(names: Any) -> str:
    names = list(names)
    shown = ", ".join(map(repr, names[:SHOWN]))
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown or "none"


# ---------------------------------------------------------------- draws
@dataclass
class _Draws:
    """Arrays of draws by name, draws along the first axis.

    Attributes
    ----------
    arrays : dict
    chains : bool
        Whether the arrays of single numbers may have an axis of chains.
    used : set of str
    """

    arrays: dict[str, Array]
    chains: bool
    used: set[str]

    @classmethod
    def of(cls, draws: Any) -> _Draws:
        """Read what a user gave."""
        data = getattr(draws, "posterior", draws)
        if hasattr(data, "data_vars"):
            variables = {str(name): data[name] for name in data.data_vars}
            return cls({name: _stacked(name, variable) for name, variable in variables.items()}, False, set())
        if isinstance(data, Mapping) and not hasattr(data, "columns"):
            return cls({str(name): _numbers(str(name), values) for name, values in data.items()}, True, set())
        if isinstance(data, pd.DataFrame):
            return cls({str(name): _numbers(str(name), data[name]) for name in data.columns}, False, set())
        raise TypeError(
            "draws are an ArviZ InferenceData or DataTree with a posterior, or a dict of arrays; found "
            f"{type(draws).__name__}"
        )

    def single(self, *names: str) -> Array | None:
        """Return the draws (N,) of a single number that has one of these names."""
        for name in names:
            values = self.arrays.get(name)
            if values is not None and (values.ndim == 1 or self.chains or values[0].size == 1):
                self.used.add(name)
                return values.reshape(-1)
        return None

    def vector(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """Return the draws (N, …) of an array of this shape."""
        values = self.arrays.get(name)
        if values is None or values.ndim < 2:
            return None
        rest = values.shape[-len(shape) :]
        if rest != shape:
            return None
        self.used.add(name)
        return values.reshape(-1, *shape)


def _numbers(name: str, values: Any) -> Array:
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"the draws of {name!r} are no numbers") from None
    if found.ndim == 0 or found.size < FEWEST:
        raise DataError(f"the draws of {name!r} are {found.size}, too few: at least {FEWEST}")
    if not np.all(np.isfinite(found)):
        raise DataError(f"the draws of {name!r} have missing or infinite values")
    return found


def _stacked(name: str, variable: Any) -> Array:
    """The draws of a variable of xarray, chains one after the other."""
    dims = [str(dim) for dim in variable.dims]
    leading = [dim for dim in (CHAIN, DRAW, "sample") if dim in dims]
    values = np.moveaxis(np.asarray(variable.values), [dims.index(dim) for dim in leading], range(len(leading)))
    return _numbers(name, values.reshape(-1, *values.shape[len(leading) :]))


# ---------------------------------------------------------------- rows
@dataclass(frozen=True)
class _Row:
    """A parameter with its estimate and its draws (N,), None where there are none."""

    name: str
    estimate: float
    lower: float
    upper: float
    ends: tuple[float, float]
    draws: Array | None

    def numbers(self, alpha: float) -> dict[str, float]:
        """The columns of the table."""
        draws = np.zeros(0) if self.draws is None else self.draws
        mean, sd = float(draws.mean()), float(draws.std(ddof=1))
        low, high = np.quantile(draws, [0.5 * alpha, 1.0 - 0.5 * alpha])
        return {
            "estimate": self.estimate,
            "lower": self.lower,
            "upper": self.upper,
            "mean": mean,
            "mode": density_mode(draws, *self.ends),
            "sd": sd,
            "post_lower": float(low),
            "post_upper": float(high),
            "shift": (mean - self.estimate) / sd if sd > 0.0 else np.nan,
        }


def _rows(fit: MixedResults, model: Description | None, source: _Draws, alpha: float) -> Iterator[_Row]:
    known = {} if model is None else dict(_known(model, source))
    limits = fit.conf_int(alpha, which="all")
    seen: set[str] = set()
    for entry, value, (lower, upper) in zip(
        quantities(fit).entries, estimates(fit), limits.to_numpy(dtype=float), strict=True
    ):
        if entry.name not in seen:  # a second effect of the same name has no name of its own in the draws
            draws = known.get(entry.name)
            draws = source.single(entry.name) if draws is None else draws
            yield _Row(entry.name, float(value), lower, upper, (entry.lower, entry.upper), draws)
        seen.add(entry.name)


def _known(model: Description, source: _Draws) -> Iterator[tuple[str, Array]]:
    """Draws by the names of the fit, of what bears the names of programs."""
    others = formula_variables(model)
    for predictor in model.predictors:
        vector = source.vector(predictor.vector, (len(predictor.columns),))
        for place, parameter in enumerate(predictor.coefficients):
            draws = source.single(parameter.name, *others.get(parameter.key, ()))
            if draws is None and vector is not None:
                draws = vector[:, place]
            if draws is not None:
                yield parameter.key, draws
    for one in model.numbers:
        if one.parameter is not None:
            draws = source.single(one.parameter.name, *others.get(one.parameter.key, ()))
            if draws is not None:
                yield one.number.reported_name, one.number.reported(draws)
    if model.thresholds:
        cuts = source.vector("thresholds", (len(model.thresholds),))
        if cuts is not None:
            yield from zip(model.threshold_names, cuts.T)
    for term in model.terms:
        yield from _known_of_term(term, others, source)


def _known_of_term(term: Term, others: Mapping[str, tuple[str, ...]], source: _Draws) -> Iterator[tuple[str, Array]]:
    vector = source.vector(term.sd, (term.size,)) if term.size > 1 else None
    for place, name in enumerate(term.effects):
        parameter = term.spreads[place]
        draws = source.single(parameter.name, *others.get(parameter.key, ()))
        if draws is None and vector is not None:
            draws = vector[:, place]
        if draws is not None:
            yield (f"sd_{name}|{term.group}" if parameter.key == f"sd|{term.group}" else parameter.key), draws
    if term.correlation is None:
        return
    matrices = _correlations(term, source)
    for i in range(term.size):
        for j in range(i):
            key = f"cor_{term.effects[i]}.{term.effects[j]}|{term.group}"
            draws = matrices[:, i, j] if matrices is not None else source.single(*others.get(key, ()))
            if draws is not None:
                yield key, draws


def _correlations(term: Term, source: _Draws) -> Array | None:
    """Draws (N, q, q) of the correlations of a term."""
    own, q = term.correlation, term.size
    if own is None:
        return None
    matrices = source.vector(own.matrix, (q, q))
    if matrices is None:
        factors = source.vector(own.name, (q, q))
        if factors is None:
            shares = source.vector(own.partial, (q * (q - 1) // 2,))
            factors = None if shares is None else np.array([partial_factor(share) for share in shares])
        matrices = None if factors is None else factors @ factors.swapaxes(1, 2)
    return matrices


def _effect_rows(fit: MixedResults, model: Description | None, source: _Draws, alpha: float) -> Iterator[_Row]:
    reach = float(special.ndtri(1.0 - 0.5 * alpha))
    modes, spreads = fit.random_effects, fit.random_effects_sd
    for term in () if model is None else model.terms:
        shape = (len(term.levels),) if term.size == 1 else (len(term.levels), term.size)
        draws = source.vector(term.effect, shape)
        for place, effect in enumerate(term.effects):
            own, errors = modes[term.group][effect].to_numpy(), spreads[term.group][effect].to_numpy()
            for row, level in enumerate(term.levels):
                drawn = None if draws is None else draws[:, row] if term.size == 1 else draws[:, row, place]
                ends = own[row] - reach * errors[row], own[row] + reach * errors[row]
                yield _Row(f"{effect}|{term.group}[{level}]", float(own[row]), *ends, (-np.inf, np.inf), drawn)


def density_mode(draws: Array, lower: float = -np.inf, upper: float = np.inf) -> float:
    """Return where a kernel density estimate of the draws (N,) is largest, reflected at the ends of the values.

    Gaussian kernels of Silverman's width; of many draws every k-th is taken.
    """
    x = np.sort(draws)[:: max(1, len(draws) // KEPT)]
    quartiles = np.quantile(x, [0.25, 0.75])
    spread = min(float(np.std(x)), float(quartiles[1] - quartiles[0]) / 1.34)
    if spread <= 0.0:
        return float(np.median(x))
    width = 0.9 * spread * len(x) ** -0.2
    low, high = max(lower, float(x[0])), min(upper, float(x[-1]))
    if x[0] - lower < width:
        low = lower
    grid = np.linspace(low, high, GRID)
    mirrored = [
        x,
        *([2.0 * lower - x] if np.isfinite(lower) else []),
        *([2.0 * upper - x] if np.isfinite(upper) else []),
    ]
    heights = sum(np.exp(-0.5 * ((grid[:, None] - one) / width) ** 2).sum(axis=1) for one in mirrored)
    return float(grid[int(np.argmax(heights))])


# ---------------------------------------------------------------- notes
def _notes(fit: MixedResults, rows: list[_Row], source: _Draws, model: Description | None, alpha: float) -> list[str]:
    how = "restricted maximum likelihood" if fit.solution.reml else "maximum likelihood"
    how += f" ({fit.solution.integration})" if fit.solution.integration else ""
    level = f"{100.0 * (1.0 - alpha):g} %"
    notes = [
        f"estimate, lower, upper: {how} with Wald limits; mean, mode, sd, post_lower, post_upper: of the draws, with "
        f"limits of equal tails ({level}), shown as [low high]; shift: mean less estimate, in sd of the draws."
    ]
    missing = [row.name for row in rows if row.draws is None]
    if missing:
        notes.append(f"without draws: {_listed(missing)}.")
    derived = set(SAMPLER) if model is None else {*SAMPLER, *model.vectors}
    left = [name for name in source.arrays if name not in source.used | derived]
    if left:
        notes.append(f"draws of no parameter of the fit: {_listed(left)}.")
    return notes

"""Complete, no and partial pooling side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods, meant
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.diagnostics.level_estimates import (
    SPAN,
    estimates_by_level,
    fit_of_rows,
    sums_by_level,
    told_by_level,
)
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import RandomEffects, nested_in
from mixedfx.matrices.new_rows import PredictedRows
from mixedfx.results.base import MixedResults

__all__ = ["LevelFits", "LevelRows", "Pooling", "fit_levels", "least_squares", "pooling"]

SCORES, SMALLEST_FRACTION = 200, 1e-6  # steps of Fisher scoring, smallest share of one
NAMED = 6  # levels in a note
ROUNDING, LEAST_WEIGHT = 1e-12, 1e-30
COMPLETE = "complete: least squares on all rows, without groups."
NO = (
    "no: least squares with these coefficients of their own for every {group}, the other predictors in common; one "
    "residual variance."
)
LIKELIEST = (
    "complete: maximum likelihood on all rows, without groups.",
    "no: maximum likelihood with these coefficients of their own for every {group}, the other predictors in common.",
)
LINK_SCALE = "All coefficients are on the scale of the link ({link}); the family's other parameters are the model's."
LACKING = "Not determined by the rows of a {group} alone (nan): {names}."
INFINITE = "No finite estimate of their own (-inf, inf): {names}."
PARTIAL = (
    "partial: fixed plus random effects of the model; the standard errors are those of both together, the variances "
    "taken as known."
)
SHARED = (
    "Predictors that do not vary within {group} ({names}) are part of these coefficients, at the {group}'s own values."
)
AROUND = "partial has the effects of {names} too, in which {group} lies."
OTHERS = "The other random effects ({names}) are in the model only, not in complete and no pooling."


@dataclass(frozen=True)
class LevelRows:
    """Rows with a level each, and the columns whose coefficients belong to the levels.

    Attributes
    ----------
    codes : (n,) array
    n_levels : int
    Z : (n, q) array
        Columns with coefficients by level.
    names : tuple of str
    weights : (n,) array
    n_rows : int
        Number of rows of the data.
    """

    codes: IntArray
    n_levels: int
    Z: Array
    names: tuple[str, ...]
    weights: Array
    n_rows: int

    def sums(self, values: Array) -> Array:
        """Return the sums (m, …) of values (n, …) by level."""
        return sums_by_level(self.codes, self.n_levels, values)

    def cross(self, columns: Array) -> Array:
        """Return ``Z' W columns`` (m, q, r) by level."""
        return np.stack([self.sums((self.weights * z)[:, None] * columns) for z in self.Z.T], axis=1)

    def fitted(self, coefficients: Array) -> Array:
        """Return ``Z c`` (n, r) of coefficients (m, q, r)."""
        return np.asarray(np.einsum("nq,nqr->nr", self.Z, coefficients[self.codes]))


@dataclass(frozen=True)
class LevelFits:
    """Least squares with a coefficient of every column of Z for every level, and common ones for the others.

    Attributes
    ----------
    coefficients, variances : (m, q) arrays
        nan where the rows of a level do not determine a coefficient.
    common : (p,) array
        Coefficients of the columns of X that the levels leave over; zero for the others.
    shares : (m, q, p) array
        How the columns of X that the levels take up are made of Z: a column that is constant within levels is part of
        the intercept.
    fitted_values : (n,) array
        ``Z c``, of levels with too few rows as well.
    """

    coefficients: Array
    variances: Array
    common: Array
    shares: Array
    fitted_values: Array


def fit_levels(rows: LevelRows, X: Array, names: Sequence[str], y: Array, scale: float | None = None) -> LevelFits:
    """Fit ``y`` (n,) by Z level by level, and by those columns of X (n, p) that Z does not span in the levels.

    The residual variance is estimated unless it is known, ``scale``. Coefficients that the rows of a level do not
    determine are nan.
    """
    inverse, ranks, known = told_by_level(rows.cross(rows.Z))
    projected = inverse @ rows.cross(np.column_stack([X, y]))
    left = np.column_stack([X, y]) - rows.fitted(projected)
    root = np.sqrt(rows.weights)[:, None]
    norms = [np.linalg.norm(root * part, axis=0) for part in (left[:, :-1], X)]
    varying = (norms[0] > SPAN * norms[1]) & ~np.isin(names, rows.names)
    common, unscaled, rank = _common(root * left[:, :-1][:, varying], root[:, 0] * left[:, -1])
    slopes = projected[:, :, :-1][:, :, varying]
    coefficients = projected[:, :, -1] - slopes @ common
    rest = root[:, 0] * (left[:, -1] - left[:, :-1][:, varying] @ common)
    df = rows.n_rows - int(ranks.sum()) - rank
    if scale is None:
        scale = float(rest @ rest) / df if df > 0 else np.nan
    variances = scale * (np.einsum("mqq->mq", inverse) + np.einsum("mqa,ab,mqb->mq", slopes, unscaled, slopes))
    fitted = rows.fitted(coefficients[:, :, None])[:, 0]
    coefficients[~known], variances[~known] = np.nan, np.nan
    full = np.zeros(len(names))
    full[varying] = common
    return LevelFits(coefficients, variances, full, _shares(rows, X, names, projected[:, :, :-1], varying), fitted)


def _common(X: Array, y: Array) -> tuple[Array, Array, int]:
    """Coefficients, ``(X'X)^-`` and rank."""
    if not X.shape[1]:
        return np.zeros(0), np.zeros((0, 0)), 0
    beta, _, rank, _ = np.linalg.lstsq(X, y, rcond=None)
    return np.asarray(beta), np.asarray(np.linalg.pinv(X.T @ X, hermitian=True)), int(rank)


def _shares(rows: LevelRows, X: Array, names: Sequence[str], projected: Array, varying: BoolArray) -> Array:
    shares = np.where(varying, 0.0, projected)
    counts = rows.sums(np.ones(len(X)))
    for j, name in enumerate(names):
        if name in rows.names:
            shares[:, :, j] = np.array([own == name for own in rows.names], dtype=float)
            continue
        mean = rows.sums(X[:, j]) / counts
        if "Intercept" in rows.names and np.allclose(X[:, j], mean[rows.codes], rtol=SPAN, atol=0.0):
            shares[:, :, j] = 0.0
            shares[:, rows.names.index("Intercept"), j] = mean
    return shares


def least_squares(X: Array, y: Array, weights: Array, n_rows: int, scale: float | None = None) -> tuple[Array, Array]:
    """Return the coefficients (p,) and their covariance (p, p) of one regression for all ``n_rows`` rows."""
    root = np.sqrt(weights)
    Q, R = np.linalg.qr(root[:, None] * X)
    beta = np.linalg.solve(R, Q.T @ (root * y))
    left = root * (y - X @ beta)
    inverse = np.linalg.inv(R)
    return beta, (left @ left / (n_rows - X.shape[1]) if scale is None else scale) * inverse @ inverse.T


@dataclass(frozen=True)
class Scored:
    """Fisher scoring: regressions of working responses until the linear predictor of the rows with information stays.

    Attributes
    ----------
    fit : Fit
        A generalised model, whose dispersion, thresholds and further linear predictors are held.
    offset : (n,) array
    """

    fit: Any
    offset: Array

    def working(self, eta: Array) -> tuple[Array, Array, float]:
        """Return working responses and weights (n,) at a linear predictor, and the log-likelihood."""
        response, observed = self.fit.response, self.fit.problem.observed
        predictors = response.predictors(eta, response.matrices)
        value, slope = response.family.derivatives(observed, predictors, response.phi, order=1)
        slope = slope if predictors.ndim == 1 else slope[:, 0]
        weights = np.maximum(response.family.expected_weights(observed, predictors, response.phi), LEAST_WEIGHT)
        return eta - self.offset + slope / weights, weights, float(np.sum(value))

    def solve(self, regress: Callable[[Array, Array], tuple[Array, Any]], eta: Array) -> Any:
        """Return what the last of the regressions gives, each from (y, weights) to (linear predictor, result)."""
        y, weights, _ = self.working(eta)
        eta = regress(y, weights)[0] + self.offset  # the first may fall: the start need not be such a predictor
        y, weights, value = self.working(eta)
        for _ in range(SCORES):
            step = regress(y, weights)[0] + self.offset - eta
            fraction = 1.0
            while fraction > SMALLEST_FRACTION:
                y, weights, trial = self.working(eta + fraction * step)
                if np.isfinite(trial) and trial >= value - ROUNDING * abs(value):
                    break
                fraction *= 0.5
            eta = eta + fraction * step
            gain, value = trial - value, trial
            if abs(gain) <= ROUNDING * abs(value):
                break
        return regress(y, weights)[1]


@hinting_methods
@dataclass(frozen=True, eq=False)
class Pooling:
    """Coefficients of every group by complete, no and partial pooling: made by :func:`mixedfx.pooling`.

    Parameters
    ----------
    table : StatsTable
        One row a level and coefficient: ``n, complete, complete_se, no, no_se, partial, partial_se``.
    group : str
        The grouping factor.
    fit : MixedResults
    """

    table: StatsTable
    group: str
    fit: MixedResults
    _levels: LevelFits
    _complete: Array

    def to_frame(self) -> pd.DataFrame:
        """Return the unrounded numbers."""
        return self.table.to_frame()

    def lines(self, x: str, levels: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the lines of the three poolings in every level.

        Parameters
        ----------
        x : str
            A numeric predictor of the fixed effects.
        levels : sequence, optional
            Levels; all if omitted.

        Returns
        -------
        DataFrame
            Columns ``level, pooling, intercept, slope``, of the linear predictor, the other predictors and the offset
            at their means in the level.
        """
        design, term, j = self.fit.design, _terms(self.fit, self.group)[0], _predictor(self.fit, x)
        design.need_rows("the lines of levels")
        counts = np.bincount(term.codes, minlength=len(term.levels))
        X, beta = design.fixed.matrix, self.fit.params.to_numpy()
        offset = np.zeros(self.fit.nobs) if design.offset is None else design.offset
        fitted = {
            "complete": (X @ self._complete + offset, self._complete),
            "no": (self._levels.fitted_values + X @ self._levels.common + offset, self._levels.common),
            "partial": (self.fit.predict(which="linear").to_numpy(), beta),
        }
        mean_x = np.bincount(term.codes, weights=X[:, j], minlength=len(counts)) / counts
        parts = []
        for pooling, (values, common) in fitted.items():
            slope = self._own_slopes(x, pooling, common[j])
            mean = np.bincount(term.codes, weights=values, minlength=len(counts)) / counts
            parts.append(pd.DataFrame({"pooling": pooling, "intercept": mean - slope * mean_x, "slope": slope}))
        chosen = _positions(term.levels, levels, self.group)
        frame = pd.concat([part.iloc[chosen] for part in parts]).sort_index(kind="stable").loc[chosen]
        frame.insert(0, "level", [term.levels[k] for k in frame.index])
        return frame.reset_index(drop=True)

    def _own_slopes(self, x: str, pooling: str, common: float) -> Array:
        """Slopes (m,) of the levels: from the table, or a common one if the model has no random slope."""
        if x not in self.table.index.get_level_values("term"):
            return np.full(len(self._levels.coefficients), common)
        return self.table.xs(x, level="term")[pooling].to_numpy()

    def plot(self, x: str | None = None, *, levels: Sequence[Any] | None = None, ax: Any = None) -> Any:
        """Draw each level in a panel with its rows and the three lines.

        Parameters
        ----------
        x : str, optional
            A numeric predictor of the fixed effects; if omitted the first that varies within levels. Without one, the
            three estimates of every level stand side by side in one panel.
        levels : sequence, optional
            Levels to draw; the twelve with the most rows at the most if omitted.
        ax : matplotlib Axes, or an array of them, optional
            One for each level.

        Returns
        -------
        list of matplotlib Axes, or Axes
        """
        return higher("pooling_panels")(self, x, levels=levels, ax=ax)

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def pooling(fit: Any, group: str | None = None) -> Pooling:
    """Set complete, no and partial pooling side by side.

    Parameters
    ----------
    fit : MixedResults
        A mixed model without a residual structure or thresholds.
    group : str, optional
        A grouping factor; the first one if omitted.

    Returns
    -------
    Pooling
        ``to_frame()`` has one row a level and coefficient: the number of rows ``n``, the estimates ``complete, no,
        partial`` and their standard errors ``_se``. ``plot()`` draws the levels with the three lines.

    Raises
    ------
    SpecificationError
        If the model has no such grouping factor.

    Notes
    -----
    No pooling fits one model without random effects, with a separate value of every coefficient that the model lets
    vary, the others in common (as Gelman and Hill's indicators for counties): by least squares, or in a generalised
    model by maximum likelihood with the dispersion and further linear predictors of the model. What the rows of a level
    do not determine is nan, what they drive to infinity (successes only, counts of zero) -inf or inf. Predictors that
    do not vary within levels then are part of the coefficients; so that the three can be compared, their effects are
    added to those of complete and partial pooling, at the level's own values.

    References
    ----------
    Gelman, A. and Hill, J. (2007). Data Analysis Using Regression and Multilevel/Hierarchical Models, chapter 12.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.pooling(fit).to_frame().loc["308"].round(2).T
    term         Intercept  Days
    n                10.00 10.00
    complete        251.41 10.47
    complete_se       6.61  1.24
    no              244.19 21.76
    no_se            15.04  2.82
    partial         253.66 19.67
    partial_se       12.25  2.34
    """
    results = mixed_results(fit, "pooling")
    terms, is_normal = _terms(results, group), results.solution.response.has_normal_residuals
    solution = fit_of_rows(results, "pooling", sums=is_normal and results.solution.residual is None)
    if solution.residual is not None or solution.family.has_categories:
        raise SpecificationError(
            "pooling is for models without residual= and without thresholds: plots.shrinkage draws each level's own "
            "estimate beside the model's"
        )
    design = results.design
    names = tuple(name for term in terms for name in term.names)
    Z = np.column_stack([term.matrix for term in terms])
    rows = LevelRows(terms[0].codes, len(terms[0].levels), Z, names, np.ones(len(Z)), results.nobs)
    find = _by_least_squares if is_normal else _by_likelihood
    levels, beta, covariance = find(results, rows)
    complete = np.einsum("mqa,ab,mqb->mq", levels.shares, covariance, levels.shares)
    columns = {
        "n": np.repeat(np.rint(rows.sums(design.counts)).astype(np.intp), len(names)),
        "complete": (levels.shares @ beta).ravel(),
        "complete_se": np.sqrt(np.maximum(complete, 0.0)).ravel(),
        "no": levels.coefficients.ravel(),
        "no_se": np.sqrt(np.where(levels.variances >= 0.0, levels.variances, np.nan)).ravel(),
    }
    columns["partial"], columns["partial_se"] = _partial(results, terms, levels.shares)
    frame = pd.DataFrame(columns, index=_index(terms[0], names))
    table = StatsTable.from_frame(
        frame, heading="Complete, no and partial pooling", notes=_notes(results, terms, levels)
    )
    return Pooling(table, terms[0].group, results, levels, beta)


def _by_least_squares(results: MixedResults, rows: LevelRows) -> tuple[LevelFits, Array, Array]:
    """No pooling; coefficients and their covariance of complete pooling: in a linear model."""
    design = results.design
    weights = rows.weights if design.weights is None else design.weights
    y = design.response.values if design.offset is None else design.response.values - design.offset
    X, names = design.fixed.matrix, list(design.fixed.names)
    levels = fit_levels(replace(rows, weights=weights), X, names, y)
    return (levels, *least_squares(X, y, weights, results.nobs))


def _by_likelihood(results: MixedResults, rows: LevelRows) -> tuple[LevelFits, Array, Array]:
    """The same in a generalised model, by Fisher scoring."""
    design = results.design
    X, names = design.fixed.matrix, list(design.fixed.names)
    offset = np.zeros(len(X)) if design.offset is None else design.offset
    scored, start = Scored(results.solution, offset), results.predict(which="linear").to_numpy()

    def of_levels(y: Array, weights: Array) -> tuple[Array, LevelFits]:
        levels = fit_levels(replace(rows, weights=weights), X, names, y, 1.0)
        return levels.fitted_values + X @ levels.common, levels

    def of_all(y: Array, weights: Array) -> tuple[Array, tuple[Array, Array]]:
        beta, covariance = least_squares(X, y, weights, results.nobs, 1.0)
        return X @ beta, (beta, covariance)

    levels = scored.solve(of_levels, start)
    rest = offset + X @ levels.common
    own = estimates_by_level(
        results.solution, rows.codes, rows.n_levels, rows.Z, rest, np.nan_to_num(_started(results, rows, rest))
    )
    finite = np.isfinite(own)
    levels = replace(
        levels,
        coefficients=np.where(finite, levels.coefficients, own),
        variances=np.where(finite, levels.variances, np.nan),
    )
    return (levels, *scored.solve(of_all, start))


def _started(results: MixedResults, rows: LevelRows, rest: Array) -> Array:
    """Coefficients (m, q) by which the linear predictor of the fit is met as well as they can."""
    left = results.predict(which="linear").to_numpy() - rest
    return np.asarray((told_by_level(rows.cross(rows.Z))[0] @ rows.cross(left[:, None]))[:, :, 0])


def _terms(fit: MixedResults, group: str | None) -> list[RandomEffects]:
    """The terms of a grouping factor."""
    grouped = fit.design.grouped
    if not grouped:
        raise SpecificationError("the model has no random effects: there is nothing to pool")
    name = grouped[0].group if group is None else group
    found = [term for term in grouped if term.group == name]
    if not found:
        known = ", ".join(dict.fromkeys(repr(term.group) for term in grouped))
        raise SpecificationError(f"there is no grouping factor {name!r}; choose from {known}")
    return found


def _surrounding(fit: MixedResults, terms: list[RandomEffects]) -> list[bool]:
    """Which random terms are part of the levels' coefficients: their own, and those of groups in which they lie."""
    names = {name for term in terms for name in term.names}
    return [
        term.group == terms[0].group
        or (term.pooled is None and set(term.names) <= names and nested_in(terms[0].codes, term.codes))
        for term in fit.design.random
    ]


def _partial(fit: MixedResults, terms: list[RandomEffects], shares: Array) -> tuple[Array, Array]:
    """Estimates and standard errors of fixed plus random effects (m q,)."""
    m, q, p = shares.shape
    names = [name for term in terms for name in term.names]
    x, chosen = shares.reshape(m * q, p), _surrounding(fit, terms)
    home = np.zeros(m, dtype=np.intp)
    value, codes, z = x @ fit.params.to_numpy(), [], []
    for term, mode in zip(fit.design.random, fit.solution.modes, strict=True):
        home[terms[0].codes] = term.codes
        codes.append(np.repeat(home, q))
        z.append(np.tile([[float(own == name) for own in term.names] for name in names], (m, 1)))
        if chosen[len(z) - 1]:
            value = value + np.einsum("iq,qi->i", z[-1], mode[:, codes[-1]])
    masks = [np.full(term.n_columns, used) for term, used in zip(fit.design.random, chosen, strict=True)]
    errors = fit.solution.predictor_errors(PredictedRows(x, codes, z, masks))
    return value, np.sqrt(errors.variance(fit.solution.error_root))


def _index(term: RandomEffects, names: tuple[str, ...]) -> pd.MultiIndex:
    """Levels (one column a factor) and coefficients."""
    repeated = term.levels.repeat(len(names))
    parts = [repeated.get_level_values(k) for k in range(repeated.nlevels)]
    return pd.MultiIndex.from_arrays([*parts, np.tile(names, len(term.levels))], names=[*term.factors, "term"])


def _notes(fit: MixedResults, terms: list[RandomEffects], levels: LevelFits) -> list[str]:
    group, own = terms[0].group, {name for term in terms for name in term.names}
    notes = [COMPLETE, NO.format(group=group), PARTIAL]
    if not fit.solution.response.has_normal_residuals:
        notes[:2] = (note.format(group=group) for note in LIKELIEST)
        notes.append(LINK_SCALE.format(link=fit.solution.link.name))
    labels, coefficients = [name for term in terms for name in term.names], levels.coefficients
    for note, where in ((LACKING, np.isnan(coefficients)), (INFINITE, np.isinf(coefficients))):
        found = [f"{label} of {_shortly(terms[0].levels[own])}" for label, own in zip(labels, where.T) if own.any()]
        notes += [note.format(group=group, names="; ".join(found))] if found else []
    shared = [
        name
        for j, name in enumerate(fit.design.fixed.names)
        if not isinstance(name, str) or (name not in own and name != "Intercept" and levels.shares[:, :, j].any())
    ]
    if shared:
        notes.append(SHARED.format(group=group, names=", ".join(shared)))
    chosen = _surrounding(fit, terms)
    around = [t.group for t, used in zip(fit.design.random, chosen, strict=True) if used and t.group != group]
    others = [t.term for t, used in zip(fit.design.random, chosen, strict=True) if not used]
    notes += [AROUND.format(group=group, names=", ".join(dict.fromkeys(around)))] if around else []
    return [*notes, OTHERS.format(names=", ".join(others))] if others else notes


def _shortly(levels: pd.Index[Any]) -> str:
    """Name some levels, and how many more there are."""
    shown = [":".join(map(str, level)) if isinstance(level, tuple) else str(level) for level in levels[:NAMED]]
    return ", ".join(shown) + (f" and {len(levels) - NAMED} more" if len(levels) > NAMED else "")


def _predictor(fit: MixedResults, x: str) -> int:
    names = list(fit.design.fixed.names)
    if x not in names or x == "Intercept":
        known = ", ".join(repr(name) for name in names if name != "Intercept") or "none"
        advice = meant(x, names) or f"the model has {known}"
        raise SpecificationError(f"there is no fixed effect {x!r} to draw against; {advice}")
    return names.index(x)


def _positions(index: pd.Index[Any], levels: Sequence[Any] | None, group: str) -> list[int]:
    if levels is None:
        return list(range(len(index)))
    known = {str(level): k for k, level in enumerate(index)}
    unknown = [level for level in levels if str(level) not in known]
    if unknown:
        raise SpecificationError(f"{group} has no level {unknown[0]!r}")
    return [known[str(level)] for level in levels]

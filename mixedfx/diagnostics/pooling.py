"""Complete, no and partial pooling side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.diagnostics.checks import independent_results
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import RandomEffects, nested_in
from mixedfx.matrices.new_rows import PredictedRows
from mixedfx.results.linear import LinearMixedResults

__all__ = ["LevelFits", "LevelRows", "Pooling", "fit_levels", "least_squares", "pooling"]

SPAN = 1e-8  # relative size of an eigenvalue, or of what is left of a column, that counts as none
COMPLETE = "complete: least squares on all rows, without groups."
NO = (
    "no: least squares with these coefficients of their own for every {group}, the other predictors in common; one "
    "residual variance."
)
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
        """Return the sum (m,) of values (n,) by level."""
        return np.asarray(np.bincount(self.codes, weights=values, minlength=self.n_levels), dtype=np.float64)

    def cross(self, columns: Array) -> Array:
        """Return ``Z' W columns`` (m, q, r) by level."""
        out = np.empty((self.n_levels, self.Z.shape[1], columns.shape[1]))
        for a, z in enumerate(self.Z.T):
            for b, column in enumerate(columns.T):
                out[:, a, b] = self.sums(self.weights * z * column)
        return out

    def fitted(self, coefficients: Array) -> Array:
        """Return ``Z c`` (n, r) of coefficients (m, q, r)."""
        return np.asarray(np.einsum("nq,nqr->nr", self.Z, coefficients[self.codes]))


@dataclass(frozen=True)
class LevelFits:
    """Least squares with a coefficient of every column of Z for every level, and common ones for the others.

    Attributes
    ----------
    coefficients, variances : (m, q) arrays
        nan where a level has too few rows.
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


def fit_levels(rows: LevelRows, X: Array, names: Sequence[str], y: Array) -> LevelFits:
    """Fit ``y`` (n,) by Z level by level, and by those columns of X (n, p) that Z does not span in the levels."""
    gram = rows.cross(rows.Z)
    inverse = np.linalg.pinv(gram, rcond=SPAN, hermitian=True)
    values = np.linalg.eigvalsh(gram)
    projected = inverse @ rows.cross(np.column_stack([X, y]))
    left = np.column_stack([X, y]) - rows.fitted(projected)
    root = np.sqrt(rows.weights)[:, None]
    norms = [np.linalg.norm(root * part, axis=0) for part in (left[:, :-1], X)]
    varying = (norms[0] > SPAN * norms[1]) & ~np.isin(names, rows.names)
    common, unscaled, rank = _common(root * left[:, :-1][:, varying], root[:, 0] * left[:, -1])
    slopes = projected[:, :, :-1][:, :, varying]
    coefficients = projected[:, :, -1] - slopes @ common
    rest = root[:, 0] * (left[:, -1] - left[:, :-1][:, varying] @ common)
    df = rows.n_rows - int(np.sum(values > SPAN * values[:, -1:])) - rank
    scale = rest @ rest / df if df > 0 else np.nan
    variances = scale * (np.einsum("mqq->mq", inverse) + np.einsum("mqa,ab,mqb->mq", slopes, unscaled, slopes))
    fitted = rows.fitted(coefficients[:, :, None])[:, 0]
    short = ~(values[:, 0] > SPAN * values[:, -1])
    coefficients[short], variances[short] = np.nan, np.nan
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


def least_squares(X: Array, y: Array, weights: Array, n_rows: int) -> tuple[Array, Array]:
    """Return the coefficients (p,) and their covariance (p, p) of one regression for all ``n_rows`` rows."""
    root = np.sqrt(weights)
    Q, R = np.linalg.qr(root[:, None] * X)
    beta = np.linalg.solve(R, Q.T @ (root * y))
    left = root * (y - X @ beta)
    inverse = np.linalg.inv(R)
    return beta, (left @ left / (n_rows - X.shape[1])) * inverse @ inverse.T


@dataclass(frozen=True, eq=False)
class Pooling:
    """Coefficients of every group by complete, no and partial pooling: made by :func:`mixedfx.pooling`.

    Parameters
    ----------
    table : StatsTable
        One row a level and coefficient: ``n, complete, complete_se, no, no_se, partial, partial_se``.
    group : str
        The grouping factor.
    fit : LinearMixedResults
    """

    table: StatsTable
    group: str
    fit: LinearMixedResults
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
            Columns ``level, pooling, intercept, slope``, the other predictors at their means in the level.
        """
        design, term, j = self.fit.design, _terms(self.fit, self.group)[0], _predictor(self.fit, x)
        design.need_rows("the lines of levels")
        counts = np.bincount(term.codes, minlength=len(term.levels))
        X, beta = design.fixed.matrix, self.fit.params.to_numpy()
        offset = np.zeros(self.fit.nobs) if design.offset is None else design.offset
        fitted = {
            "complete": (X @ self._complete + offset, self._complete),
            "no": (self._levels.fitted_values + X @ self._levels.common + offset, self._levels.common),
            "partial": (self.fit.fittedvalues.to_numpy(), beta),
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
    fit : LinearMixedResults
        A linear mixed model without a residual structure.
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
    No pooling fits one least-squares model with a separate value of every coefficient that the model lets vary, the
    others in common (as Gelman and Hill's indicators for counties). A level with too few rows has none. Predictors that
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
    results = independent_results(fit, "pooling")
    terms = _terms(results, group)
    design = results.design
    names = tuple(name for term in terms for name in term.names)
    weights = np.ones(len(design.response.values)) if design.weights is None else design.weights
    Z = np.column_stack([term.matrix for term in terms])
    rows = LevelRows(terms[0].codes, len(terms[0].levels), Z, names, weights, results.nobs)
    y = design.response.values if design.offset is None else design.response.values - design.offset
    levels = fit_levels(rows, design.fixed.matrix, list(design.fixed.names), y)
    beta, covariance = least_squares(design.fixed.matrix, y, weights, results.nobs)
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


def _terms(fit: LinearMixedResults, group: str | None) -> list[RandomEffects]:
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


def _surrounding(fit: LinearMixedResults, terms: list[RandomEffects]) -> list[bool]:
    """Which random terms are part of the levels' coefficients: their own, and those of groups in which they lie."""
    names = {name for term in terms for name in term.names}
    return [
        term.group == terms[0].group
        or (term.pooled is None and set(term.names) <= names and nested_in(terms[0].codes, term.codes))
        for term in fit.design.random
    ]


def _partial(fit: LinearMixedResults, terms: list[RandomEffects], shares: Array) -> tuple[Array, Array]:
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


def _notes(fit: LinearMixedResults, terms: list[RandomEffects], levels: LevelFits) -> list[str]:
    group, own = terms[0].group, {name for term in terms for name in term.names}
    notes = [COMPLETE, NO.format(group=group), PARTIAL]
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


def _predictor(fit: LinearMixedResults, x: str) -> int:
    names = list(fit.design.fixed.names)
    if x not in names or x == "Intercept":
        known = ", ".join(repr(name) for name in names if name != "Intercept") or "none"
        raise SpecificationError(f"there is no fixed effect {x!r} to draw against; the model has {known}")
    return names.index(x)


def _positions(index: pd.Index[Any], levels: Sequence[Any] | None, group: str) -> list[int]:
    if levels is None:
        return list(range(len(index)))
    known = {str(level): k for k, level in enumerate(index)}
    unknown = [level for level in levels if str(level) not in known]
    if unknown:
        raise SpecificationError(f"{group} has no level {unknown[0]!r}")
    return [known[str(level)] for level in levels]

"""The left side of a formula: numbers, successes out of trials, or ordered categories; whether it leaves a residual."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import lapack

from mixedfx._suggestions import way_out
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Expression, display
from mixedfx.matrices.columns import TextColumn
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.labels import numerals
from mixedfx.matrices.random import RandomEffects
from mixedfx.matrices.values import Basis, Factor

__all__ = ["RESPONSE_KINDS", "Response", "is_cbind", "no_residual", "read_response", "without_trials"]

SHOWN_CATEGORIES = 5  # categories that a message lists
MOST_CATEGORIES = 60  # of an ordinal response: the work grows with the cube of their number
EXACT = 8 * float(np.finfo(float).eps)  # of the numbers that were added: what rounding leaves of an exact function
MENDABLE = 1e-6  # of those numbers: more than this no second fit takes away
DISTINCT = 1e-3  # smallest pivot of the cross-products of columns, relative to the largest, that are not collinear
FIRST_LOOK = 2_000  # rows that are looked at first


@dataclass(frozen=True)
class Response:
    """The response.

    Parameters
    ----------
    values : numpy.ndarray
        The numbers (n,): the response itself, the proportion of successes, or the number of the category from 1.
    name : str
        The left side of the formula.
    trials : numpy.ndarray or None
        Number of trials (n,) behind each proportion; None if the response is not a count out of trials.
    categories : tuple or None
        The labels of a categorical response, in order; of two, the second one is the success.
    """

    values: Array
    name: str
    trials: Array | None = None
    categories: tuple[Hashable, ...] | None = None

    @property
    def words(self) -> str:
        """The name in a sentence, where a column alone needs no back-quotes."""
        bare = self.name[1:-1]
        return bare if self.name == f"`{bare}`" and "`" not in bare else self.name

    def with_trials(self, weights: Array | None) -> Response:
        """Return the response with prior ``weights`` read as numbers of trials."""
        return self if weights is None else replace(self, trials=weights)

    def taken(self, rows: IntArray) -> Response:
        """Return the response of some rows, repeated or not."""
        return replace(self, values=self.values[rows], trials=None if self.trials is None else self.trials[rows])

    def __repr__(self) -> str:
        kind = "" if self.categories is None else f" in {len(self.categories)} categories"
        kind = kind if self.trials is None else f", {self.trials.sum():g} trials"
        return f"<Response: {self.name}, {len(self.values)} rows{kind}>"


def is_cbind(expression: Expression) -> bool:
    """Say whether the left side is ``cbind(successes, failures)``."""
    return expression.function == "cbind"


def without_trials(expression: Expression, value: Evaluator) -> BoolArray:
    """Say in which rows (n,) the counts of ``cbind(successes, failures)`` are all zero."""
    return np.asarray(np.logical_and.reduce([value.numbers(counts) == 0.0 for counts in expression.arguments]))


def read_response(expression: Expression, value: Evaluator, kind: str, weights: Array | None = None) -> Response:
    """Return the response that ``expression`` describes.

    Parameters
    ----------
    expression : Expression
        The left side.
    value : Evaluator
        Gives the values of expressions.
    kind : {"numeric", "binomial", "ordinal"}
        What the family models.
    weights : numpy.ndarray, optional
        Prior weights (n,): for "binomial" the numbers of trials.

    Returns
    -------
    Response

    Raises
    ------
    DataError
        If the values are not what the kind needs.
    SpecificationError
        If the left side has the wrong form.
    """
    if kind not in RESPONSE_KINDS:
        raise SpecificationError(f"unknown kind of response {kind!r}; choose from {', '.join(RESPONSE_KINDS)}")
    return RESPONSE_KINDS[kind](expression, value, weights)


def _read_numeric(expression: Expression, value: Evaluator, weights: Array | None) -> Response:
    name = display(expression)
    if is_cbind(expression):
        says = f"the response {name} counts successes and failures: it needs family='binomial'"
        raise SpecificationError(f"{says}; of several responses, {way_out('function', 'mvbind')}")
    content = value(expression)
    if isinstance(content, Factor):
        said = numerals(content.labels, value.rows.index)
        if said:
            raise DataError(f"the response {name!r} is not numeric (it is text): {said}; correct it, then convert it")
        family = "'binomial'" if len(content.labels.levels) <= 2 else "'ordinal', if they have an order"
        raise DataError(
            f"the response {name!r} is not numeric (dtype {_dtype(expression, value)}, for example "
            f"{_example(content)}); convert it to numbers, or choose a family for categories: glmer with {family}"
        )
    return Response(_numbers(name, content), name)


def _numbers(name: str, content: Any) -> Array:
    """Return a copy of the values as numbers: the caller's data may change later."""
    if isinstance(content, Basis):
        raise SpecificationError(f"the response {name} has {len(content.columns)} columns; models have one response")
    return np.array(content, dtype=np.float64)


def _dtype(expression: Expression, value: Evaluator) -> str:
    name = display(expression)
    return value.rows.frame.column(name).dtype if name in value.rows.frame else "category"


def _example(content: Factor) -> str:
    return repr(content.levels[0]) if content.levels else "nothing"


def _read_binomial(expression: Expression, value: Evaluator, weights: Array | None) -> Response:
    name = display(expression)
    if is_cbind(expression):
        if weights is not None:
            raise SpecificationError(
                f"{name} already gives the trials: leave out weights or write successes/trials ~ …"
            )
        return _read_cbind(expression, name, value)
    content = value.unchecked(expression)
    if isinstance(content, Factor):
        return _read_two_categories(name, content).with_trials(weights)
    values = np.array(content, dtype=np.float64)
    value.check_finite(expression, values)
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise DataError(
            f"the binomial response {name!r} has values outside 0 … 1, such as {values[outside][0]:g}; write 0 and 1, "
            "a proportion with weights=trials, or cbind(successes, failures)"
        )
    if weights is None and np.any((values != 0) & (values != 1)):
        part = values[(values != 0) & (values != 1)][0]
        raise DataError(
            f"the binomial response {name!r} has proportions such as {part:g}; give the number of trials: weights=…"
        )
    return Response(values, name, weights)


def _read_cbind(expression: Expression, name: str, value: Evaluator) -> Response:
    counts = [value.numbers(argument) for argument in expression.arguments]
    for argument, column in zip(expression.arguments, counts):
        if np.any(column < 0):
            raise DataError(f"{name}: {display(argument)} has negative counts, for example {column.min():g}")
    trials = counts[0] + counts[1]
    return Response(counts[0] / trials, name, trials)


def _read_two_categories(name: str, content: Factor) -> Response:
    if len(content.levels) != 2:
        shown = ", ".join(map(repr, content.levels[:5]))
        raise DataError(
            f"the binomial response {name!r} has {len(content.levels)} categories ({shown}); it needs exactly two "
            "levels, of which the second counts as success"
        )
    return Response(content.labels.codes.astype(np.float64), name, None, content.levels)


def _read_ordinal(expression: Expression, value: Evaluator, weights: Array | None) -> Response:
    name = display(expression)
    if is_cbind(expression):
        raise SpecificationError(f"an ordinal response is one column of categories, found {name}")
    content = value(expression)
    if isinstance(content, Factor):
        if name in value.rows.frame and isinstance(value.rows.frame.column(name), TextColumn):
            shown = ", ".join(map(repr, content.levels[:SHOWN_CATEGORIES])) + (
                ", …" if len(content.levels) > SHOWN_CATEGORIES else ""
            )
            raise DataError(
                f"the ordinal response {name!r} is text, which has no order of its own ({shown}): say which category "
                f"comes first, data[{name!r}] = pd.Categorical(data[{name!r}], categories=[…], ordered=True), or in "
                f"polars pl.col({name!r}).cast(pl.Enum([…]))"
            )
        _check_categories(name, len(content.levels))
        return Response(1.0 + content.labels.codes.astype(np.float64), name, None, content.levels)
    levels, codes = np.unique(_numbers(name, content), return_inverse=True)
    _check_categories(name, len(levels))
    categories = tuple(int(level) if level == int(level) else float(level) for level in levels)
    return Response(1.0 + codes.astype(np.float64), name, None, categories)


def _check_categories(name: str, count: int) -> None:
    if count > MOST_CATEGORIES:
        raise DataError(
            f"the ordinal response {name!r} has {count} categories, each with a threshold to estimate (the limit is "
            f"{MOST_CATEGORIES}): join neighbours with pd.cut or pd.qcut, or model it as a number with lmer"
        )


#: The kinds of response that a family can ask for.
RESPONSE_KINDS: dict[str, Callable[[Expression, Evaluator, Array | None], Response]] = {
    "numeric": _read_numeric,
    "binomial": _read_binomial,
    "ordinal": _read_ordinal,
}


def no_residual(name: str, y: Array, X: Array, names: Sequence[str], random: Sequence[RandomEffects]) -> str:
    """Say why a response (n,) leaves no residual beside the fixed effects X (n, p) and one grouping factor, or ``""``.

    A likelihood with a residual variance has no maximum then: it grows without end as that goes to zero.
    """
    terms = list({term.group: term for term in random if _has_intercept(term.matrix)}.values())
    exact = [term for term in terms if _is_exact(y, X, term)]
    if not exact and any(len(y) > X.shape[1] + term.n_levels for term in terms):
        return ""  # a function of the predictors alone is one of them and the levels
    if _is_exact(y, X, None):
        named = ", ".join(other for other in names if other != "Intercept")
        return f"the response {name!r} is an exact linear function of {named or 'the fixed effects'}"
    for term in exact:
        means = _level_means(y[:, None], term.codes, term.n_levels)[term.codes, 0]
        if np.all(np.abs(y - means) <= EXACT * np.abs(y).max()):
            return (
                f"the response {name!r} does not vary within the levels of {term.group}: all rows of a level are alike"
            )
        return (
            f"the response {name!r} is an exact linear function of the fixed effects and of the levels of {term.group}"
        )
    return ""


def _level_means(columns: Array, codes: IntArray, m: int) -> Array:
    """Means (m, k) of columns (n, k); exact for a column that is constant within its levels."""
    first = np.zeros(m, dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    shift = columns[first]
    counts = np.maximum(np.bincount(codes, minlength=m), 1)
    off = columns - shift[codes]
    return np.asarray(shift + np.array([np.bincount(codes, c, minlength=m) for c in off.T]).T / counts[:, None])


def _has_intercept(columns: Array) -> bool:
    """Whether the columns, or their sum, are constant."""
    first = columns[0]
    if ((columns == first).all(axis=0) & (first != 0)).any():
        return True
    total = columns.sum(axis=1)
    return bool(total[0] != 0 and (total == total[0]).all())


def _is_exact(y: Array, X: Array, term: RandomEffects | None) -> bool:
    every = slice(None)
    if any(_leaves_rows(X, term, rows) and not _fits(y, X, term, rows) for rows in _first_looks(len(y), term)):
        return False
    return _leaves_rows(X, term, every) and _fits(y, X, term, every)


def _first_looks(n: int, term: RandomEffects | None) -> Iterator[BoolArray | slice]:
    """Yield some rows that may tell that a response is not exact: the first, and all rows of the first levels."""
    if n <= FIRST_LOOK:
        return
    yield slice(FIRST_LOOK)
    if term is not None:
        sizes = np.bincount(term.codes, minlength=term.n_levels)
        rows = term.codes < int(np.searchsorted(np.cumsum(sizes), FIRST_LOOK)) + 1
        if not rows.all():
            yield rows


def _leaves_rows(X: Array, term: RandomEffects | None, rows: BoolArray | slice) -> bool:
    levels = 0 if term is None else int(np.count_nonzero(np.bincount(term.codes[rows])))
    return bool(len(X[rows]) > X.shape[1] + levels)


def _fits(y: Array, X: Array, term: RandomEffects | None, rows: BoolArray | slice) -> bool:
    """Whether the rows leave nothing but rounding."""
    response, columns = y[rows], X[rows]
    size = np.abs(response).max()
    if term is not None:
        codes = term.codes[rows]
        both = np.concatenate([response[:, None], columns], axis=1)
        both -= _level_means(both, codes, term.n_levels)[codes]
        response, columns = both[:, 0], both[:, 1:]
        if np.abs(response).max() <= EXACT * size:
            return True
    scale = np.abs(columns).max(axis=0, initial=0.0)
    used = scale > 0
    columns = columns[:, used] / scale[used]
    coefficients = _least_squares(columns, response)
    left = response - columns @ coefficients
    added = float(np.abs(response).max(initial=0.0)) + float(size) + float(np.abs(coefficients).sum())
    if float(np.abs(left).max()) > MENDABLE * added:
        return False
    left = left - columns @ _least_squares(columns, left)
    return bool(float(np.abs(left).max()) <= EXACT * added)


def _least_squares(columns: Array, response: Array) -> Array:
    """Coefficients (p,), by cross-products where the columns (n, p) of size 1 are far from collinear."""
    p = columns.shape[1]
    if p == 0:
        return np.zeros(0)
    gram = columns.T @ columns
    root, info = lapack.dpotrf(gram, lower=1)
    if info or not float(root.diagonal().min()) ** 2 > DISTINCT * float(gram.diagonal().max()):
        return np.asarray(np.linalg.lstsq(columns, response, rcond=None)[0])
    return np.asarray(lapack.dpotrs(root, columns.T @ response, lower=1)[0])

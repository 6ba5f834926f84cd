"""Random mixed-model designs for hypothesis, each with its dense twin (no formula parser involved)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.dense import DenseModel, DenseTerm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TermSpec:
    """``(columns | group[0]:group[1]…)``; the column "1" is the intercept."""

    columns: tuple[str, ...]
    group: tuple[str, ...]

    @property
    def text(self) -> str:
        left = " + ".join(("0",) * ("1" not in self.columns) + self.columns)
        return f"({left} | {':'.join(self.group)})"

    @property
    def n_theta(self) -> int:
        return len(self.columns) * (len(self.columns) + 1) // 2


@dataclass(frozen=True)
class RandomDesign:
    """A data frame with ``y`` and columns, the model as text and as specification."""

    kind: str
    frame: pd.DataFrame
    fixed: tuple[str, ...]  # numeric columns; the intercept is always there
    terms: tuple[TermSpec, ...]
    weights: str | None = None

    @property
    def formula(self) -> str:
        return " + ".join([f"y ~ {' + '.join(('1', *self.fixed))}", *(term.text for term in self.terms)])

    @property
    def n_theta(self) -> int:
        return sum(term.n_theta for term in self.terms)

    def dense(self, *, reml: bool = True) -> DenseModel:
        """The same model as plain arrays; levels of a group in sorted order."""
        weights = None if self.weights is None else self.frame[self.weights].to_numpy()
        y = self.frame["y"].to_numpy()
        return DenseModel(y, columns_of(self.frame, ("1", *self.fixed)), self.dense_terms(), weights, reml)

    def dense_terms(self) -> tuple[DenseTerm, ...]:
        return tuple(dense_term(self.frame, term) for term in self.terms)


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> Array:
    """Columns side by side, "1" being ones."""
    return np.column_stack([np.ones(len(frame)) if name == "1" else frame[name].to_numpy() for name in names])


def dense_term(frame: pd.DataFrame, term: TermSpec) -> DenseTerm:
    codes = frame.groupby(list(term.group), observed=True, sort=True).ngroup().to_numpy()
    return DenseTerm(codes, columns_of(frame, term.columns), int(codes.max()) + 1)


KINDS = {
    "one factor": (TermSpec(("1",), ("g",)),),
    "slopes": (TermSpec(("1", "x"), ("g",)),),
    "slope only": (TermSpec(("x",), ("g",)),),
    "three columns": (TermSpec(("1", "x", "z"), ("g",)),),
    "two terms on one factor": (TermSpec(("1",), ("g",)), TermSpec(("x",), ("g",))),
    "nested": (TermSpec(("1",), ("g",)), TermSpec(("1",), ("g", "h"))),
    "nested slopes": (TermSpec(("1", "x"), ("g",)), TermSpec(("1",), ("g", "h"))),
    "crossed": (TermSpec(("1",), ("g",)), TermSpec(("1",), ("k",))),
    "crossed slopes": (TermSpec(("1", "x"), ("g",)), TermSpec(("1", "z"), ("k",))),
    "crossed and nested": (TermSpec(("1",), ("g",)), TermSpec(("1",), ("g", "h")), TermSpec(("1", "x"), ("k",))),
    "three crossed": (TermSpec(("1",), ("g",)), TermSpec(("1",), ("k",)), TermSpec(("1",), ("h",))),
}


def _levels(rng: np.random.Generator, n: int, size: int) -> NDArray[np.intp]:
    """Every level occurs, the rest anyhow: single-observation levels are common."""
    return rng.permutation(np.concatenate([np.arange(size), rng.integers(size, size=n - size)]))


def _balanced(n: int, sizes: tuple[int, int, int]) -> list[NDArray[np.intp]]:
    """g, h and k in a regular pattern; no two of them are the same factor under other names."""
    row, (g, h, k) = np.arange(n), sizes
    shift = 1 if (g + 1) % k else 2  # else k would be g again
    return [row % g, row // g % h, (row + shift * (row // g)) % k]


def _frame(rng: np.random.Generator, n: int, sizes: tuple[int, int, int], balanced: bool) -> pd.DataFrame:
    codes = _balanced(n, sizes) if balanced else [_levels(rng, n, size) for size in sizes]
    frame = pd.DataFrame(dict(zip("ghk", codes))).map(lambda code: f"L{code:02d}")
    return frame.assign(x=rng.standard_normal(n), z=rng.standard_normal(n), w=rng.uniform(0.3, 3.0, n))


def _response(rng: np.random.Generator, frame: pd.DataFrame, terms: Sequence[TermSpec], spread: float) -> Array:
    y = 1 + 0.5 * frame["x"].to_numpy() + rng.standard_normal(len(frame))
    for spec in terms:
        term = dense_term(frame, spec)
        y = y + spread * term.Z @ rng.standard_normal(term.n_levels * term.q)
    return y


@st.composite
def designs(draw: st.DrawFn, kinds: Sequence[str] = tuple(KINDS), weights: bool | None = None) -> RandomDesign:
    """A small design of one of the ``kinds`` (n <= 72), balanced or not, with or without prior weights.

    Rows are at least twice the cells of g and h, so that the residual variance can be told from that of ``(1 | g:h)``.
    """
    kind = draw(st.sampled_from(list(kinds)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.tuples(st.integers(3, 7), st.integers(2, 4), st.integers(3, 6)))
    n = draw(st.integers(max(24, 2 * sizes[0] * sizes[1]), 72))
    frame = _frame(rng, n, sizes, draw(st.booleans()))
    spread = draw(st.sampled_from([0.3, 1.0, 3.0]))
    frame = frame.assign(y=_response(rng, frame, KINDS[kind], spread))
    weighted = draw(st.booleans()) if weights is None else weights
    return RandomDesign(
        kind, frame, draw(st.sampled_from([(), ("x",), ("x", "z")])), KINDS[kind], "w" if weighted else None
    )


@st.composite
def thetas(draw: st.DrawFn, terms: Sequence[TermSpec]) -> Array:
    """Relative covariance factors away from the boundary: lower triangles, column-wise, diagonals in (0.2, 2)."""
    values: list[float] = []
    for term in terms:
        q = len(term.columns)
        for column in range(q):
            values.append(draw(st.floats(0.2, 2.0)))
            values.extend(draw(st.floats(-1.0, 1.0)) for _ in range(q - column - 1))
    return np.array(values)


@st.composite
def designs_with_theta(draw: st.DrawFn, kinds: Sequence[str] = tuple(KINDS)) -> tuple[RandomDesign, Array]:
    design = draw(designs(kinds))
    return design, draw(thetas(design.terms))

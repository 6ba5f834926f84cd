"""A user's own correlation pattern: one function of its parameters, differentiated by jets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import solve_triangular

from mixedfx._typing import Array
from mixedfx.calculus.jets import Jet, vector
from mixedfx.covariance.correlation import CORRELATION_MARGIN, Correlation
from mixedfx.exceptions import SpecificationError

__all__ = ["Pattern", "RegisteredCorrelation"]

Limits: TypeAlias = "float | Sequence[float] | Callable[[int], float | Sequence[float]]"
Names: TypeAlias = "Sequence[str] | Callable[[int], Sequence[str]]"

NEAR_AN_END = 0.98  # of the way to the ends of the intervals, where a pattern is tried before it is used
ROUNDING = 1e-8  # of a correlation matrix: its diagonal, its symmetry
WRITE_INSTEAD = (
    "write it with + - * / **, NumPy's exp, log, sqrt and where, and np.array([[1.0, r], [r, 1.0]]); entries cannot be "
    "assigned to an array of numbers that is there already"
)


@dataclass(frozen=True)
class Pattern:
    """What a user said of a pattern; limits and names may depend on the size.

    Attributes
    ----------
    name : str
        The keyword in formulas.
    matrix : callable
        From the parameters (m,), an array or a jet, and the size q to the correlations (q, q).
    parameters : sequence of str or callable
    lower, upper : float, sequence of float, or callable
        Ends of the open intervals of the parameters.
    start : float, sequence of float, callable or None
    """

    name: str
    matrix: Callable[[Any, int], Any]
    parameters: Names
    lower: Limits
    upper: Limits
    start: Limits | None

    def names_for(self, size: int) -> tuple[str, ...]:
        """Return the names of the parameters (m,) for a term of ``size`` columns."""
        names = self.parameters(size) if callable(self.parameters) else self.parameters
        if isinstance(names, str) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise SpecificationError(
                f"{self.name}: parameters are names, each another, such as ['rho']; found {names!r}"
            )
        return tuple(names)

    def values_for(self, size: int, what: str, given: Limits) -> Array:
        """Return one number (m,) for each parameter."""
        count = len(self.names_for(size))
        numbers = np.asarray(given(size) if callable(given) else given, dtype=np.float64)
        if numbers.shape not in ((), (count,)) or not np.isfinite(numbers).all():
            raise SpecificationError(
                f"{self.name}: {what} is a finite number, or one for each of {count} parameters; found {given!r}"
                + ("" if not callable(given) else f", which gives {numbers.tolist()} for {size} columns")
            )
        return np.broadcast_to(numbers, (count,)).copy()

    def correlation(self, size: int) -> RegisteredCorrelation:
        """Return the pattern for ``size`` columns, after it was tried.

        Raises
        ------
        SpecificationError
            If what was registered gives no correlation matrix, or cannot be differentiated.
        """
        correlation = RegisteredCorrelation(size, self)
        if size > 1:
            correlation.check()
        return correlation


@dataclass(frozen=True)
class RegisteredCorrelation(Correlation):
    """A registered pattern for ``size`` columns."""

    pattern: Pattern

    @property
    def names(self) -> tuple[str, ...]:
        """The names that were given."""
        return self.pattern.names_for(self.size) if self.size > 1 else ()

    def lower(self) -> Array:
        """Return just above the lower ends."""
        return self._ends()[0]

    def upper(self) -> Array:
        """Return just below the upper ends."""
        return self._ends()[1]

    def start(self) -> Array:
        """Return the start that was given, else zero where that lies inside, else the middle of the interval."""
        if self.size == 1:
            return np.zeros(0)
        lower, upper = self._ends()
        if self.pattern.start is None:
            return np.where((lower < 0) & (upper > 0), 0.0, (lower + upper) / 2)
        return self.pattern.values_for(self.size, "start", self.pattern.start)

    def independent(self) -> Array | None:
        """Return the start if there is no correlation, else None."""
        start = self.start()
        return start if np.array_equal(self.matrix(start), np.eye(self.size)) else None

    def matrix(self, rho: Array) -> Array:
        """Return the correlations (q, q)."""
        return self._jets(rho, 0)[0]

    def cholesky(self, rho: Array) -> Array:
        """Return ``C`` (q, q)."""
        return self._cholesky(rho, self.matrix(rho))

    def derivative(self, rho: Array) -> Array:
        """Return ``dC / drho`` (n_rho, q, q): ``C Phi(C^-1 dS C^-T)``, Phi the lower triangle and half the diagonal."""
        S, dS, _ = self._jets(rho, 1)
        C = self._cholesky(rho, S)
        return np.asarray(C @ _half(_between(C, dS)))

    def second_derivative(self, rho: Array) -> Array:
        """Return ``d2C / drho2`` (n_rho, n_rho, q, q)."""
        S, dS, d2S = self._jets(rho, 2)
        C = self._cholesky(rho, S)
        dC = C @ _half(_between(C, dS))
        products = np.einsum("iab,jcb->ijac", dC, dC)
        return np.asarray(C @ _half(_between(C, d2S - products - products.swapaxes(0, 1))))

    def check(self) -> None:
        """Refuse a pattern that gives no correlation matrix, or one that cannot be differentiated."""
        lower, upper, start = *self._ends(), self.start()
        if not np.all(lower < upper):
            raise SpecificationError(f"{self.pattern.name}: lower is below upper, for every parameter")
        if not np.all((start > lower) & (start < upper)):
            raise SpecificationError(f"{self.pattern.name}: start lies between lower and upper; found {start.tolist()}")
        for place in self._places():
            S = self.matrix(place)
            if np.max(np.abs(S.diagonal() - 1)) > ROUNDING or np.max(np.abs(S - S.T)) > ROUNDING:
                raise SpecificationError(
                    f"{self._at(place)} the matrix must be symmetric with ones on its diagonal, as correlations are; "
                    f"found {S.round(4).tolist()}"
                )
            self._cholesky(place, S)
        self._jets(start, 2)

    def _ends(self) -> tuple[Array, Array]:
        if self.size == 1:
            return np.zeros(0), np.zeros(0)
        lower = self.pattern.values_for(self.size, "lower", self.pattern.lower)
        upper = self.pattern.values_for(self.size, "upper", self.pattern.upper)
        margin = CORRELATION_MARGIN * (upper - lower) / 2
        return lower + margin, upper - margin

    def _places(self) -> list[Array]:
        """The start, and places towards both ends of every interval."""
        lower, upper, start = *self._ends(), self.start()
        steps = np.eye(start.size)
        return [start, *(start + NEAR_AN_END * (end - start) * step for end in (lower, upper) for step in steps)]

    def _at(self, rho: Array) -> str:
        values = ", ".join(f"{name} = {value:.6g}" for name, value in zip(self.names, rho, strict=True))
        return f"{self.pattern.name}: at {values} and {self.size} columns"

    def _cholesky(self, rho: Array, S: Array) -> Array:
        try:
            return np.asarray(np.linalg.cholesky(S))
        except np.linalg.LinAlgError:
            raise SpecificationError(
                f"{self._at(rho)} the matrix is not positive definite: give a lower and an upper between which it "
                "always is (compound symmetry has -1 / (size - 1) < rho), or other parameters"
            ) from None

    def _jets(self, rho: Array, order: int) -> tuple[Array, Array, Array]:
        """Correlations (q, q), first (m, q, q) and second derivatives (m, m, q, q); zeros above ``order``."""
        q, m = self.size, len(rho)
        if q == 1:
            return np.ones((1, 1)), np.zeros((0, 1, 1)), np.zeros((0, 0, 1, 1))
        parts = self._parts(rho, order)
        first, second = np.zeros((m, q, q)), np.zeros((m, m, q, q))
        for key, part in parts.items():
            if len(key) == 1:
                first[key] = part
            elif len(key) == 2:
                second[key] = second[key[::-1]] = part
        return parts[()], first, second

    def _parts(self, rho: Array, order: int) -> dict[tuple[int, ...], Array]:
        """The partial derivatives (q, q) of the matrix by their keys."""
        given = vector(np.asarray(rho, dtype=np.float64), order) if order else np.asarray(rho, dtype=np.float64)
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused below
                parts = _partial(self.pattern.matrix(given, self.size))
        except (TypeError, ValueError, AttributeError) as error:
            if not order:
                raise
            raise SpecificationError(
                f"{self.pattern.name}: its matrix cannot be differentiated ({error}); {WRITE_INSTEAD}"
            ) from error
        shape = parts[()].shape
        if shape != (self.size, self.size):
            raise SpecificationError(f"{self._at(rho)} the matrix has the shape {shape}")
        if not all(np.isfinite(part).all() for part in parts.values()):
            raise SpecificationError(f"{self._at(rho)} the matrix or a derivative of it is not finite")
        return parts


def _partial(matrix: Any) -> dict[tuple[int, ...], Array]:
    """Partial derivatives of what a user's function returned: a jet, numbers, or a table of both."""
    if isinstance(matrix, Jet):
        return {key: matrix.part(key) for key in matrix.parts}
    table = np.asarray(matrix)
    if table.dtype != object:
        return {(): table.astype(np.float64)}
    jets = [one for one in table.flat if isinstance(one, Jet)]
    keys = dict.fromkeys(key for jet in jets for key in jet.parts)
    values = {key: np.zeros(table.shape) for key in [(), *keys]}
    for place, one in np.ndenumerate(table):
        for key, part in one.parts.items() if isinstance(one, Jet) else [((), one)]:
            values[key][place] = float(part)
    return values


def _between(C: Array, S: Array) -> Array:
    """Return ``C^-1 S C^-T`` for a stack (…, q, q)."""
    inverse = solve_triangular(C, np.eye(len(C)), lower=True)
    return np.asarray(inverse @ S @ inverse.T)


def _half(matrix: Array) -> Array:
    """The lower triangle with half the diagonal."""
    return np.asarray(np.tril(matrix) - 0.5 * matrix * np.eye(matrix.shape[-1]))

"""Exact partial derivatives up to the third order, carried through ordinary arithmetic.

A function is written once, with ``+ - * / **`` and the functions of :mod:`mixedfx.calculus.special`; evaluated on
:class:`Jet` objects it returns its value together with its partial derivatives: those of a log-density that a Laplace
approximation needs, those of a correlation matrix that a Hessian needs. A jet stores a sparse set of raw partial
derivatives (not Taylor coefficients): what is identically zero is not stored and costs nothing, so that a canonical
family is as cheap as a hand-written formula.

The variables of a jet are numbered: first the linear predictors, then the family-wide parameters. A key is a sorted
tuple of variable numbers: ``()`` is the value, ``(0,)`` the first derivative, ``(0, 0, 1)`` a mixed third one.

References
----------
Griewank, A. and Walther, A. (2008). Evaluating Derivatives, 2nd ed., ch. 13. SIAM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import numpy as np

from mixedfx._typing import Array, BoolArray

__all__ = ["ONE", "UFUNCS", "Derivatives", "Jet", "Primitive", "Space", "constant", "seeds", "vector", "where"]

Key: TypeAlias = tuple[int, ...]
Part: TypeAlias = "Array | float"
Number: TypeAlias = "Array | float"
Derivatives: TypeAlias = "tuple[Part | None, ...]"
Primitive: TypeAlias = Callable[[Array, int], Derivatives]

ONE = 1.0
"""The derivative of a variable by itself; recognised by identity, so that nothing is multiplied by it."""

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}
"""What NumPy and SciPy functions do to a jet; filled by :mod:`mixedfx.calculus.special`."""


@dataclass(frozen=True)
class Space:
    """Which partial derivatives are carried.

    Parameters
    ----------
    predictors : int
        Variables ``0 .. predictors - 1``: linear predictors, differentiated up to ``order`` times.
    order : int
        Highest order, 0 to 3.
    parameters : int, default 0
        Further variables, differentiated once at most; the predictors then only ``order - 1`` times by themselves.
    whole : bool, default False
        Whether the predictors are differentiated ``order`` times by themselves even so.
    """

    predictors: int
    order: int
    parameters: int = 0
    whole: bool = False

    def __contains__(self, key: Key) -> bool:
        n_parameters = sum(index >= self.predictors for index in key)
        spare = 1 if self.parameters and not n_parameters and not self.whole else 0
        return n_parameters <= 1 and len(key) + spare <= self.order

    def __iter__(self) -> Iterator[Key]:
        variables = range(self.predictors + self.parameters)
        for length in range(self.order + 1):
            yield from (key for key in combinations_with_replacement(variables, length) if key in self)


def _splits(key: Key) -> Iterator[tuple[Key, Key]]:
    """All ways of distributing the positions of ``key`` over an ordered pair."""
    for bits in range(2 ** len(key)):
        left = tuple(index for place, index in enumerate(key) if bits >> place & 1)
        yield left, tuple(index for place, index in enumerate(key) if not bits >> place & 1)


def _partitions(key: Key) -> Iterator[tuple[Key, ...]]:
    """All set partitions of the positions of ``key`` (Faà di Bruno)."""
    if not key:
        yield ()
        return
    first, rest = key[0], key[1:]
    for taken, left in _splits(rest):
        yield from (((first, *taken), *blocks) for blocks in _partitions(left))


def _counted(items: Iterable[Any]) -> tuple[tuple[Any, int], ...]:
    counts: dict[Any, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return tuple(counts.items())


@cache
def _product_plan(space: Space, left: tuple[Key, ...], right: tuple[Key, ...]) -> tuple[tuple[Key, Any], ...]:
    """For each key of a product: the pairs of factors and how often each occurs (Leibniz)."""
    plan = []
    for key in space:
        terms = _counted((a, b) for a, b in _splits(key) if a in left and b in right)
        if terms:
            plan.append((key, terms))
    return tuple(plan)


@cache
def _composition_plan(space: Space, keys: tuple[Key, ...]) -> tuple[int, tuple[tuple[Key, Any], ...]]:
    """For each key of ``f(jet)``: blocks of partial derivatives, one block an order of the derivative of ``f``."""
    plan, depth = [], 0
    for key in space:
        if not key:
            continue
        usable = (blocks for blocks in _partitions(key) if all(block in keys for block in blocks))
        terms = _counted(tuple(sorted(blocks)) for blocks in usable)
        if terms:
            plan.append((key, terms))
            depth = max(depth, *(len(blocks) for blocks, _ in terms))
    return depth, tuple(plan)


def _times(a: Part, b: Part) -> Part:
    if a is ONE:
        return b
    return a if b is ONE else a * b


class Jet:
    """A value with its partial derivatives.

    Parameters
    ----------
    parts : mapping
        From key to array (or number); ``()`` is the value; absent keys are zero.
    space : Space
        The derivatives that are carried.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.calculus.jets import Jet, seeds
    >>> (x,), _ = seeds([np.array([2.0])], [], order=3)
    >>> cube = x * x * x
    >>> [float(cube.part(key)[0]) for key in [(), (0,), (0, 0), (0, 0, 0)]]
    [8.0, 12.0, 12.0, 6.0]
    """

    __slots__ = ("parts", "space")

    def __init__(self, parts: Mapping[Key, Part], space: Space) -> None:
        self.parts = parts
        self.space = space

    @property
    def value(self) -> Array:
        """The value itself."""
        return np.asarray(self.parts[()])

    def part(self, key: Key) -> Array:
        """One partial derivative, zeros included, in the shape of the value."""
        return np.broadcast_to(np.asarray(self.parts.get(key, 0.0), dtype=float), self.value.shape)

    def compose(self, primitive: Primitive) -> Jet:
        """Return ``f(self)``; ``primitive(x, order)`` gives ``f`` and its derivatives (``None`` = zero)."""
        depth, plan = _composition_plan(self.space, tuple(self.parts))
        outer = primitive(self.value, depth)
        value = outer[0]
        parts: dict[Key, Part] = {(): 0.0 if value is None else value}
        for key, terms in plan:
            total: Part | None = None
            for blocks, count in terms:
                term = outer[len(blocks)]
                if term is None:
                    continue
                for block in blocks:
                    term = _times(term, self.parts[block])
                term = term if count == 1 else count * term
                total = term if total is None else total + term
            if total is not None:
                parts[key] = total
        return Jet(parts, self.space)

    def map(self, function: Callable[[Array], Array]) -> Jet:
        """Apply a linear operation on arrays (a selection, a sum over an axis) to every part."""
        shape = self.value.shape
        return Jet({key: function(np.broadcast_to(part, shape)) for key, part in self.parts.items()}, self.space)

    def __add__(self, other: Jet | Number) -> Jet:
        if not isinstance(other, Jet):
            return Jet({**self.parts, (): self.parts[()] + other}, self.space)
        parts = dict(self.parts)
        for key, part in other.parts.items():
            parts[key] = parts[key] + part if key in parts else part
        return Jet(parts, self.space)

    def __mul__(self, other: Jet | Number) -> Jet:
        if not isinstance(other, Jet):
            return Jet({key: _times(part, other) for key, part in self.parts.items()}, self.space)
        parts: dict[Key, Part] = {}
        for key, terms in _product_plan(self.space, tuple(self.parts), tuple(other.parts)):
            total: Part | None = None
            for (left, right), count in terms:
                term = _times(self.parts[left], other.parts[right])
                term = term if count == 1 else count * term
                total = term if total is None else total + term
            if total is not None:
                parts[key] = total
        return Jet(parts, self.space)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Jet:
        return Jet({key: -part for key, part in self.parts.items()}, self.space)

    def __sub__(self, other: Jet | Number) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Number) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet | Number) -> Jet:
        return self * (other.compose(_reciprocal) if isinstance(other, Jet) else 1.0 / other)

    def __rtruediv__(self, other: Number) -> Jet:
        return self.compose(_reciprocal) * other

    def __pow__(self, exponent: Jet | Number) -> Jet:
        if isinstance(exponent, Jet):
            power: Jet = np.exp(exponent * np.log(self))
            return power
        return self.compose(_power(exponent))

    def __rpow__(self, base: Number) -> Jet:
        power: Jet = np.exp(self * np.log(base))
        return power

    def __getitem__(self, index: Any) -> Jet:
        return self.map(lambda part: np.asarray(part[index]))

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Jet]:
        return (self[index] for index in range(len(self)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc not in UFUNCS:
            names = ", ".join(sorted(one.__name__ for one in UFUNCS))
            raise TypeError(f"{ufunc.__name__} has no derivatives here; a log-density may use {names}")
        return UFUNCS[ufunc](*inputs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            mask, yes, no = args
            return where(mask, *(one if isinstance(one, Jet) else constant(one, self.space) for one in (yes, no)))
        raise TypeError(f"{function.__name__} has no derivatives here; np.where has")

    def __repr__(self) -> str:
        return f"Jet(shape={self.value.shape}, parts={sorted(self.parts)})"


def _reciprocal(x: Array, order: int) -> Derivatives:
    return _power(-1.0)(x, order)


def _power(exponent: Number) -> Primitive:
    def primitive(x: Array, order: int) -> Derivatives:
        result: list[Part | None] = []
        factor: Number = 1.0
        for degree in range(order + 1):
            result.append(_times_power(factor, x, exponent - degree))
            factor = factor * (exponent - degree)
        return tuple(result)

    return primitive


def _times_power(factor: Number, x: Array, exponent: Number) -> Part | None:
    """``factor * x ** exponent``, nothing where the factor is zero, whatever the power is."""
    if np.ndim(factor) == 0:
        return factor * x**exponent if factor else None
    with np.errstate(divide="ignore", invalid="ignore"):  # powers that are not wanted
        return np.where(factor == 0, 0.0, factor * np.power(x, exponent))


def constant(value: Number, space: Space) -> Jet:
    """Return a jet without derivatives."""
    return Jet({(): value}, space)


def seeds(
    predictors: list[Array], parameters: list[Array], order: int, *, whole: bool = False
) -> tuple[list[Jet], list[Jet]]:
    """Return the variables themselves: linear predictors, then family-wide parameters (differentiated once)."""
    space = Space(len(predictors), order, len(parameters), whole)
    jets = []
    for index, value in enumerate([*predictors, *parameters]):
        parts: dict[Key, Part] = {(): value}
        if (index,) in space:
            parts[(index,)] = ONE
        jets.append(Jet(parts, space))
    return jets[: len(predictors)], jets[len(predictors) :]


def vector(values: Array, order: int) -> Jet:
    """Return the variables (m,) as one jet, to be indexed as an array is."""
    space = Space(values.size, order)
    parts: dict[Key, Part] = {(): values}
    if order:
        parts |= {(index,): row for index, row in enumerate(np.eye(values.size))}
    return Jet(parts, space)


def where(mask: BoolArray, yes: Jet, no: Jet) -> Jet:
    """Choose between two jets element by element; the branch that is not chosen may hold anything."""
    keys = dict.fromkeys([*yes.parts, *no.parts])
    return Jet({key: np.where(mask, yes.parts.get(key, 0.0), no.parts.get(key, 0.0)) for key in keys}, yes.space)


def _dispatch_multiply(a: Jet | Number, b: Jet | Number) -> Any:
    return a * b if isinstance(a, Jet) else b * a


def _dispatch_add(a: Jet | Number, b: Jet | Number) -> Any:
    return a + b if isinstance(a, Jet) else b + a


def _dispatch_subtract(a: Jet | Number, b: Any) -> Any:
    return a - b if isinstance(a, Jet) else b.__rsub__(a)


def _dispatch_divide(a: Jet | Number, b: Any) -> Any:
    return a / b if isinstance(a, Jet) else b.__rtruediv__(a)


UFUNCS |= {
    np.add: _dispatch_add,
    np.subtract: _dispatch_subtract,
    np.multiply: _dispatch_multiply,
    np.divide: _dispatch_divide,
    np.negative: lambda a: -a,
    np.square: lambda a: a * a,
    np.power: lambda a, exponent: a**exponent,
}

"""Scales of the linear predictor, and the way back from them to the response."""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.families.links import EVERYWHERE, Domain, Link, image
from mixedfx.formula import as_expression, display

__all__ = [
    "IDENTITY",
    "Derivatives",
    "MeanScale",
    "Ratio",
    "RatioScale",
    "scale_of_link",
    "scale_of_response",
]

Derivatives = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Ratio:
    """The ratio on the response that a difference on a scale stands for.

    Attributes
    ----------
    name : str
        Of the column, such as ``odds_ratio``.
    base : float
        Differences are logarithms to this base.
    """

    name: str
    base: float = math.e

    def of(self, difference: Array) -> Array:
        """Return the ratio of a difference."""
        return np.asarray(np.exp(difference * np.log(self.base)))

    def slope(self, difference: Array) -> Array:
        """Return the derivative of the ratio."""
        return np.asarray(self.of(difference) * np.log(self.base))


class MeanScale(ABC):
    """A scale ``eta`` of the mean ``mu``."""

    #: Its name in notes.
    name: str
    #: Whether a mean of the response follows from ``eta``.
    has_mean: bool = True
    #: The ratio of which differences are logarithms; None if there is none.
    ratio: Ratio | None = None

    @abstractmethod
    def function(self, mu: Array) -> Array:
        """Return ``eta`` at ``mu``."""

    @abstractmethod
    def inverse(self, eta: Array) -> Derivatives:
        """Return ``mu`` at ``eta``, and its first two derivatives."""

    def between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Return the least and the largest ``mu`` between two ``eta``."""
        ends = np.stack([self.inverse(low)[0], self.inverse(high)[0]])
        return ends.min(axis=0), ends.max(axis=0)

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to transform."""
        return self.name == "identity"


@dataclass(frozen=True)
class IdentityScale(MeanScale):
    """The mean itself, which may have a range."""

    name: str = "identity"
    domain: Domain = EVERYWHERE

    def function(self, mu: Array) -> Array:
        """Return ``mu``."""
        return mu

    def inverse(self, eta: Array) -> Derivatives:
        """Return ``eta``."""
        return eta, np.ones_like(eta), np.zeros_like(eta)

    def between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Return the ends within the range."""
        return np.clip(low, *self.domain), np.clip(high, *self.domain)


@dataclass(frozen=True)
class LinkScale(MeanScale):
    """The scale of a link function."""

    name: str
    link: Link
    ratio: Ratio | None = None
    has_mean: bool = True
    domain: Domain = EVERYWHERE

    def function(self, mu: Array) -> Array:
        """Return the link of ``mu``."""
        return self.link(mu)

    def inverse(self, eta: Array) -> Derivatives:
        """Return the inverse link."""
        value, *slopes = self.link.inverse(eta, 2)
        first, second = (np.zeros_like(eta) if slope is None else np.asarray(slope) for slope in slopes)
        return np.asarray(value), np.broadcast_to(first, eta.shape), np.broadcast_to(second, eta.shape)

    def between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Return the least and the largest mean in the domain."""
        return image(self.link, self.domain, low, high)


@dataclass(frozen=True)
class LogScale(MeanScale):
    """``log(mu + shift)`` to a base."""

    name: str
    base: float
    shift: float
    ratio: Ratio | None

    def function(self, mu: Array) -> Array:
        """Return the logarithm."""
        return np.asarray(np.log(mu + self.shift) / np.log(self.base))

    def inverse(self, eta: Array) -> Derivatives:
        """Return the power less the shift."""
        rate = float(np.log(self.base))
        power = np.exp(rate * eta)
        return power - self.shift, rate * power, rate**2 * power


@dataclass(frozen=True)
class RootScale(MeanScale):
    """``sqrt(mu + shift)``."""

    name: str
    shift: float

    def function(self, mu: Array) -> Array:
        """Return the root."""
        return np.asarray(np.sqrt(mu + self.shift))

    def inverse(self, eta: Array) -> Derivatives:
        """Return the square less the shift."""
        return eta**2 - self.shift, 2.0 * eta, np.full_like(eta, 2.0)

    def between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Return the squares of what is a root: not below zero."""
        return self.inverse(np.maximum(low, 0.0))[0], self.inverse(np.maximum(high, 0.0))[0]


@dataclass(frozen=True)
class RatioScale(MeanScale):
    """Differences shown as ratios."""

    name: str
    ratio: Ratio

    def function(self, mu: Array) -> Array:
        """Return the difference of a ratio."""
        return np.asarray(np.log(mu) / np.log(self.ratio.base))

    def inverse(self, eta: Array) -> Derivatives:
        """Return the ratio of a difference."""
        return self.ratio.of(eta), self.ratio.slope(eta), self.ratio.slope(eta) * np.log(self.ratio.base)


IDENTITY = IdentityScale()

RATIOS = {"logit": Ratio("odds_ratio"), "log": Ratio("ratio"), "cloglog": Ratio("hazard_ratio")}


def scale_of_link(link: Link, *, has_mean: bool = True, domain: Domain = EVERYWHERE) -> MeanScale:
    """Return the scale of a link with its :meth:`~Link.domain`; an ordinal response has no mean."""
    if link.name == "identity":
        return IdentityScale(domain=domain)
    return LinkScale(link.name, link, RATIOS.get(link.name), has_mean, domain)


def _logarithm(base: float, shift: float, name: str) -> MeanScale:
    return LogScale(name, base, shift, None if shift else Ratio("ratio", base))


TRANSFORMATIONS: dict[str, Callable[[float, str], MeanScale]] = {
    "log": lambda shift, name: _logarithm(math.e, shift, name),
    "log2": lambda shift, name: _logarithm(2.0, shift, name),
    "log10": lambda shift, name: _logarithm(10.0, shift, name),
    "log1p": lambda shift, name: _logarithm(math.e, shift + 1.0, name),
    "sqrt": lambda shift, name: RootScale(name, shift),
}
"""Transformed responses that can be transformed back, by the name of the function."""


def scale_of_response(text: str) -> MeanScale:
    """Return the scale of a response that the formula transforms, such as ``log(y + 1)``; the identity if it does not.

    Examples
    --------
    >>> import numpy as np
    >>> scale_of_response("log10(y + 1)").inverse(np.array([2.0]))[0]
    array([99.])
    >>> scale_of_response("log(y, 2)").inverse(np.array([3.0]))[0]
    array([8.])
    >>> scale_of_response("y").is_identity
    True
    """
    tree = as_expression(text).tree
    if not isinstance(tree, ast.Call):
        return IDENTITY
    name = tree.func.attr if isinstance(tree.func, ast.Attribute) else getattr(tree.func, "id", "")
    options = [*tree.args[1:], *(keyword.value for keyword in tree.keywords)]
    if name == "log" and len(options) == 1 and isinstance(options[0], ast.Constant):
        return _logarithm(float(str(options[0].value)), _shift(tree.args[0]), display(text))
    if name not in TRANSFORMATIONS or options:
        return IDENTITY
    return TRANSFORMATIONS[name](_shift(tree.args[0]), display(text))


def _shift(inner: ast.expr) -> float:
    """Return the constant of ``y + constant``."""
    if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
        for side in (inner.left, inner.right):
            if isinstance(side, ast.Constant) and isinstance(side.value, int | float):
                return float(side.value)
    return 0.0

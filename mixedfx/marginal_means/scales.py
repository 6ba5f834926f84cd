"""The scale of the linear predictor and the way back from it to the response."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.design.expressions import syntax_tree
from mixedfx.families.links import Link, link_for
from mixedfx.formula import display

__all__ = ["IDENTITY", "Derivatives", "Ratio", "Scale", "scale_of_discrete", "scale_of_link", "scale_of_response"]

Derivatives = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Ratio:
    """What a difference on a scale is on the response: a ratio.

    Attributes
    ----------
    name : str
        Of the column, such as ``odds_ratio``.
    base : float
        Differences are logarithms to this base.
    """

    name: str
    base: float = np.e

    def of(self, difference: Array) -> Array:
        """Return the ratio of a difference."""
        return np.asarray(np.exp(difference * np.log(self.base)))

    def slope(self, difference: Array) -> Array:
        """Return the derivative of the ratio."""
        return np.asarray(self.of(difference) * np.log(self.base))


@dataclass(frozen=True)
class Scale:
    """A scale ``eta`` of the mean ``mu``.

    Attributes
    ----------
    name : str
        Such as ``logit``.
    function : callable
        ``eta`` at ``mu``.
    inverse : callable
        ``mu`` at ``eta``, and its first two derivatives.
    ratio : Ratio or None
        What differences become on the response; None if they have no such meaning.
    """

    name: str
    function: Callable[[Array], Array]
    inverse: Callable[[Array], Derivatives]
    ratio: Ratio | None = None

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to transform."""
        return self.name == "identity"


def _straight(eta: Array) -> Derivatives:
    return eta, np.ones_like(eta), np.zeros_like(eta)


IDENTITY = Scale("identity", lambda mu: mu, _straight)

RATIOS = {"logit": Ratio("odds_ratio"), "log": Ratio("ratio"), "cloglog": Ratio("hazard_ratio")}


def scale_of_link(link: Link) -> Scale:
    """Return the scale of a link."""
    if link.name == "identity":
        return IDENTITY

    def inverse(eta: Array) -> Derivatives:
        value, *slopes = link.inverse(eta, 2)
        first, second = (np.zeros_like(eta) if slope is None else np.asarray(slope) for slope in slopes)
        return np.asarray(value), np.broadcast_to(first, eta.shape), np.broadcast_to(second, eta.shape)

    return Scale(link.name, link, inverse, RATIOS.get(link.name))


def _logarithm(base: float, shift: float, name: str) -> Scale:
    rate = np.log(base)

    def inverse(eta: Array) -> Derivatives:
        power = np.exp(rate * eta)
        return power - shift, rate * power, rate**2 * power

    return Scale(
        name, lambda mu: np.asarray(np.log(mu + shift) / rate), inverse, None if shift else Ratio("ratio", base)
    )


def _root(shift: float, name: str) -> Scale:
    return Scale(
        name,
        lambda mu: np.asarray(np.sqrt(mu + shift)),
        lambda eta: (eta**2 - shift, 2.0 * eta, np.full_like(eta, 2.0)),
    )


TRANSFORMATIONS: dict[str, Callable[[float, str], Scale]] = {
    "log": lambda shift, name: _logarithm(np.e, shift, name),
    "log2": lambda shift, name: _logarithm(2.0, shift, name),
    "log10": lambda shift, name: _logarithm(10.0, shift, name),
    "log1p": lambda shift, name: _logarithm(np.e, shift + 1.0, name),
    "sqrt": _root,
}
"""Transformed responses that can be transformed back, by the name of the function."""


def scale_of_response(text: str) -> Scale:
    """Return the scale of a response that the formula transforms, such as ``log(y + 1)``; the identity if it does not.

    Examples
    --------
    >>> import numpy as np
    >>> scale_of_response("log10(y + 1)").inverse(np.array([2.0]))[0]
    array([99.])
    >>> scale_of_response("y").is_identity
    True
    """
    tree = syntax_tree(text)
    if not isinstance(tree, ast.Call) or len(tree.args) != 1 or tree.keywords:
        return IDENTITY
    name = tree.func.attr if isinstance(tree.func, ast.Attribute) else getattr(tree.func, "id", "")
    if name not in TRANSFORMATIONS:
        return IDENTITY
    return TRANSFORMATIONS[name](_shift(tree.args[0]), display(text))


def _shift(inner: ast.expr) -> float:
    """Return the constant of ``y + constant``."""
    if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
        for side in (inner.left, inner.right):
            if isinstance(side, ast.Constant) and isinstance(side.value, int | float):
                return float(side.value)
    return 0.0


def scale_of_discrete(kind: str) -> Scale | None:
    """Return the scale of statsmodels' discrete models by the name of their class."""
    links = {"Logit": "logit", "Probit": "probit", "Poisson": "log"}
    return scale_of_link(link_for(links[kind])) if kind in links else None

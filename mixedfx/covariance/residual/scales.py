"""Unconstrained parameters for the optimiser, natural ones for tables, and intervals that respect their range."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from mixedfx._typing import Array, BoolArray

__all__ = [
    "LOGIT_REACH",
    "Bounded",
    "DecayRate",
    "Elementwise",
    "NaturalMap",
    "ParameterScale",
    "Parameters",
    "Positive",
    "Unlimited",
    "join",
]

LOGIT_REACH = 23.0
"""On a logistic scale: correlations stay about 1e-10 away from the ends of their interval."""


class ParameterScale(ABC):
    """A monotone map from the real line to the range of one natural parameter."""

    @abstractmethod
    def natural(self, x: float) -> float:
        """Return the natural value at ``x``."""

    @abstractmethod
    def slope(self, x: float) -> float:
        """Return the derivative of :meth:`natural` at ``x``."""

    @abstractmethod
    def real(self, value: float) -> float:
        """Return the ``x`` of a natural ``value`` strictly inside its range."""

    def position(self, value: float) -> float:
        """Return the share of its range that lies below a natural ``value``; a half where the range is infinite."""
        return 0.5


@dataclass(frozen=True)
class Unlimited(ParameterScale):
    """Any real number: the identity."""

    def natural(self, x: float) -> float:
        """Return ``x``."""
        return x

    def slope(self, x: float) -> float:
        """Return 1."""
        return 1.0

    def real(self, value: float) -> float:
        """Return ``value``."""
        return value


@dataclass(frozen=True)
class Positive(ParameterScale):
    """A positive number: ``exp(x)``."""

    def natural(self, x: float) -> float:
        """Return ``exp(x)``."""
        return float(np.exp(x))

    def slope(self, x: float) -> float:
        """Return ``exp(x)``."""
        return float(np.exp(x))

    def real(self, value: float) -> float:
        """Return ``log(value)``."""
        return float(np.log(value))


@dataclass(frozen=True)
class Bounded(ParameterScale):
    """A number in the open interval (lower, upper): the logistic curve stretched over it."""

    lower: float
    upper: float

    def natural(self, x: float) -> float:
        """Return ``(lower + upper e**x) / (1 + e**x)``."""
        return float(self.lower * expit(-x) + self.upper * expit(x))

    def slope(self, x: float) -> float:
        """Return the derivative of the logistic curve."""
        return float((self.upper - self.lower) * expit(x) * expit(-x))

    def real(self, value: float) -> float:
        """Return ``log((value - lower) / (upper - value))``."""
        return float(np.log((value - self.lower) / (self.upper - value)))

    def position(self, value: float) -> float:
        """Return the share of the interval below ``value``."""
        return (value - self.lower) / (self.upper - self.lower)


@dataclass(frozen=True)
class DecayRate(ParameterScale):
    """A correlation in (0, 1) at distance 1 that decays exponentially: ``exp(-e**x / unit)``."""

    unit: float

    def natural(self, x: float) -> float:
        """Return ``exp(-e**x / unit)``."""
        return float(np.exp(-np.exp(x) / self.unit))

    def slope(self, x: float) -> float:
        """Return the (negative) derivative."""
        return float(-np.exp(x) / self.unit * self.natural(x))

    def real(self, value: float) -> float:
        """Return ``log(-unit log(value))``."""
        return float(np.log(-self.unit * np.log(value)))

    def position(self, value: float) -> float:
        """Return the correlation at the distance ``unit``, whatever distances are measured in."""
        return float(value**self.unit)


class NaturalMap(ABC):
    """From the optimiser's parameters to natural ones, as many, each with the scale for its interval."""

    @property
    @abstractmethod
    def scales(self) -> tuple[ParameterScale, ...]:
        """One scale a natural parameter, on which its estimate is closest to normal."""

    @abstractmethod
    def natural(self, rho: Array) -> Array:
        """Return the natural parameters (n_rho,)."""

    @abstractmethod
    def derivative(self, rho: Array) -> Array:
        """Return ``d natural / d rho`` (n_rho, n_rho), a row a natural parameter."""


@dataclass(frozen=True)
class Elementwise(NaturalMap):
    """Each natural parameter depends on its own ``rho`` only."""

    each: tuple[ParameterScale, ...]

    @property
    def scales(self) -> tuple[ParameterScale, ...]:
        """The scales themselves."""
        return self.each

    def natural(self, rho: Array) -> Array:
        """Return the natural parameters (n_rho,)."""
        return np.array([scale.natural(float(x)) for scale, x in zip(self.each, rho)], dtype=np.float64)

    def derivative(self, rho: Array) -> Array:
        """Return a diagonal matrix."""
        return np.diag(np.array([scale.slope(float(x)) for scale, x in zip(self.each, rho)], dtype=np.float64))


@dataclass(frozen=True)
class _Joined(NaturalMap):
    maps: tuple[NaturalMap, ...]

    @property
    def scales(self) -> tuple[ParameterScale, ...]:
        return tuple(scale for part in self.maps for scale in part.scales)

    def natural(self, rho: Array) -> Array:
        return np.concatenate([part.natural(values) for part, values in self._split(rho)])

    def derivative(self, rho: Array) -> Array:
        result, at = np.zeros((len(rho), len(rho))), 0
        for part, values in self._split(rho):
            result[at : at + len(values), at : at + len(values)] = part.derivative(values)
            at += len(values)
        return result

    def _split(self, rho: Array) -> list[tuple[NaturalMap, Array]]:
        ends = np.cumsum([len(part.scales) for part in self.maps])
        return list(zip(self.maps, np.split(rho, ends[:-1])))


@dataclass(frozen=True)
class Parameters:
    """The parameters ``rho`` of a residual structure.

    Attributes
    ----------
    names : tuple of str
        Names on the natural scale.
    start, lower, upper : (n_rho,) arrays
        Start values (no structure) and bounds for the optimiser, far from any sensible estimate but finite in effect.
    map : NaturalMap
    """

    names: tuple[str, ...]
    start: Array
    lower: Array
    upper: Array
    map: NaturalMap

    @classmethod
    def elementwise(cls, names: Sequence[str], scale: ParameterScale, start: float, reach: float) -> Parameters:
        """Parameters of one kind: all start at ``start`` and stay within ``reach`` of it."""
        at = np.full(len(names), start)
        return cls(tuple(names), at, at - reach, at + reach, Elementwise((scale,) * len(names)))

    @property
    def n_rho(self) -> int:
        """Number of parameters."""
        return len(self.names)

    def at_ends(self, rho: Array, share: float) -> BoolArray:
        """Say which natural parameters (n_rho,) lie within this share of a finite range from one of its ends."""
        natural = self.map.natural(rho).tolist()
        positions = [scale.position(value) for scale, value in zip(self.map.scales, natural, strict=True)]
        return np.asarray(np.abs(np.array(positions) - 0.5) > 0.5 - share, dtype=bool)


def join(parts: Sequence[Parameters]) -> Parameters:
    """Put the parameters of several structures one after the other."""
    return Parameters(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        _Joined(tuple(part.map for part in parts)),
    )

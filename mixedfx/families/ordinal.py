"""Ordered categories: a latent variable cut at thresholds (cumulative link models)."""

from __future__ import annotations

from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike

from mixedfx._typing import Array, IntArray
from mixedfx.calculus.jets import Jet, where
from mixedfx.calculus.special import exp, log1m_exp
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.families.base import Family
from mixedfx.families.links import IDENTITY, Mean
from mixedfx.families.observed import Observed, Support, _is_positive_count
from mixedfx.families.parameters import Parameter, positive_parameter, real_parameter

__all__ = ["Ordinal"]


@final
class Ordinal(Family):
    """``P(Y <= j) = F(theta_j - eta)``, where the inverse link F is the distribution function of a latent variable.

    Large linear predictors mean high categories, as in R's ``polr``, ``clm`` and ``clmm``. Categories are numbered
    1, 2, … in responses, means and draws, as R does it; from 0 on the family's own scale (``observed.y``). The model
    has no intercept (``has_intercept``): the thresholds take its place. They are estimated as the first one and the
    logarithms of the gaps to the next.

    Parameters
    ----------
    link : str or Link, optional
        ``"logit"`` (default), ``"probit"``, ``"cloglog"`` or ``"cauchit"``.
    n_categories : int, optional
        If not given, :meth:`adapted` counts the categories of a response.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.families import Ordinal
    >>> family = Ordinal("logit", 3)
    >>> phi = np.array([-1.0, np.log(2.0)])
    >>> print(family.natural(phi)[0])
    {'threshold_1': -1.0, 'threshold_2': 1.0}
    >>> print(family.probabilities(np.array([0.0]), phi).round(4))
    [[0.2689 0.4621 0.2689]]
    """

    name = "ordinal"
    default_link = "logit"
    links = ("logit", "probit", "cloglog", "cauchit")
    support = Support("category numbers 1, 2, …", _is_positive_count, "integers")
    first = 1.0
    has_intercept = False
    latent = True

    def __init__(self, link: object = None, n_categories: int = 2) -> None:
        super().__init__(link)
        if n_categories < 2:
            raise SpecificationError(f"an ordinal family needs at least 2 categories, not {n_categories}")
        self.mean_link = IDENTITY
        self.n_categories = n_categories
        gaps = (positive_parameter(f"gap_{j}") for j in range(2, n_categories))
        self.parameters: tuple[Parameter, ...] = (real_parameter("threshold_1"), *gaps)

    def adapted(self, y: ArrayLike) -> Self:
        """Return the family with as many categories as the response has; DataError if a number is left out."""
        codes = np.asarray(y, dtype=float)
        present = np.unique(codes)
        if not np.array_equal(present, 1.0 + np.arange(present.size)) or present.size < 2:
            raise DataError(f"ordinal categories must be numbered 1, 2, … without gaps; found {present[:10].tolist()}")
        return type(self)(self.link, present.size)

    def with_categories(self, count: int) -> Self:
        """Return the family with ``count`` categories."""
        return type(self)(self.link, count)

    def own_scale(self, y: Array, trials: Array) -> Array:
        """Category numbers from 0, below the number of categories."""
        if y.size and y.max() > self.n_categories:
            raise DataError(f"the family has {self.n_categories} categories; found category number {y.max():g}")
        return y - self.first

    def thresholds(self, parameters: tuple[Jet, ...]) -> list[Jet]:
        """Thresholds from the first one and the logarithms of the gaps."""
        result = [parameters[0]]
        for gap in parameters[1:]:
            result.append(result[-1] + exp(gap))
        return result

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``log(F(theta_y - eta) - F(theta_(y-1) - eta))``, taken in the nearer tail."""
        codes = observed.y.astype(np.intp)
        thresholds = self.thresholds(parameters)
        upper = _pick(thresholds, np.minimum(codes, self.n_categories - 2)) - mean.eta
        lower = _pick(thresholds, np.maximum(codes - 1, 0)) - mean.eta
        log_upper, log_lower = upper.compose(self.link.log_mean), lower.compose(self.link.log_mean)
        log_above, log_beyond = lower.compose(self.link.log_complement), upper.compose(self.link.log_complement)
        from_left = log_upper + log1m_exp(log_upper - log_lower)
        from_right = log_above + log1m_exp(log_above - log_beyond)
        between = where(upper.value + lower.value < 0, from_left, from_right)
        return where(codes == 0, log_upper, where(codes == self.n_categories - 1, log_above, between))

    def _cumulated(self, location: Array, parameters: tuple[Array, ...]) -> Array:
        """``F(theta_j - eta)`` with the categories last, the first and last columns 0 and 1."""
        cuts = [parameters[0]]
        for gap in parameters[1:]:
            cuts.append(cuts[-1] + np.exp(gap))
        inner = [self.link.mean(cut - location) for cut in cuts]
        return np.stack([np.zeros_like(location), *inner, np.ones_like(location)], axis=-1)

    def probabilities(self, eta: Array, phi: ArrayLike) -> Array:
        """Probabilities of the categories, (..., n, n_categories)."""
        parameters = tuple(np.asarray(value) for value in np.asarray(phi, dtype=float))
        return np.diff(self._cumulated(np.asarray(eta, dtype=float), parameters), axis=-1)

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """Mean and variance of the category number."""
        chances = np.diff(self._cumulated(mu, parameters), axis=-1)
        numbers = np.arange(self.n_categories)
        average = chances @ numbers
        return average, np.asarray(np.sum(chances * (numbers - average[..., None]) ** 2, axis=-1))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Sum over the categories of the squared slope of the probability over the probability."""
        chances = np.diff(self._cumulated(mu, parameters), axis=-1)
        cuts = [parameters[0]]
        for gap in parameters[1:]:
            cuts.append(cuts[-1] + np.exp(gap))
        densities = [np.asarray(self.link.inverse(cut - mu, 1)[1]) for cut in cuts]
        slopes = np.diff(np.stack([np.zeros_like(mu), *densities, np.zeros_like(mu)], axis=-1), axis=-1)
        shares = np.where(chances > 0, slopes**2 / np.where(chances > 0, chances, 1.0), 0.0)
        return np.asarray(np.sum(shares, axis=-1))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Category numbers."""
        uniform = rng.random(size=np.shape(mu))[..., None]
        return np.asarray(np.sum(uniform > self._cumulated(mu, parameters)[..., 1:-1], axis=-1), dtype=float)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``F(theta_y - eta)``."""
        column = np.clip(y + 1, 0, self.n_categories).astype(np.intp)
        cumulated = self._cumulated(mu, parameters)
        places = np.broadcast_to(column, cumulated.shape[:-1])[..., None]
        return np.asarray(np.take_along_axis(cumulated, places, axis=-1)[..., 0])

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """Zero: a certain category."""
        return np.zeros(observed.n)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Thresholds that give the observed shares of the categories."""
        counts = np.bincount(observed.y.astype(np.intp), minlength=self.n_categories) + 0.5
        cuts = self.link(np.cumsum(counts)[:-1] / counts.sum())
        return (float(cuts[0]), *(float(np.log(gap)) for gap in np.diff(cuts)))

    def natural_scale(self, free: list[Parameter], values: Array) -> tuple[dict[str, float], Array]:
        """Thresholds, and their Jacobian in the first threshold and the logarithms of the gaps."""
        names = [parameter.name for parameter in self.parameters]
        unbounded = self.fixed | {parameter.name: float(value) for parameter, value in zip(free, values)}
        steps = np.array([unbounded[names[0]], *(np.exp(unbounded[name]) for name in names[1:])])
        slopes = np.tril(np.ones((steps.size, steps.size))) * np.array([1.0, *steps[1:]])
        labels = (f"threshold_{j}" for j in range(1, self.n_categories))
        columns = [names.index(parameter.name) for parameter in free]
        return dict(zip(labels, np.cumsum(steps).tolist())), slopes[:, columns]

    def __repr__(self) -> str:
        return f"Ordinal(link={self.link.name!r}, n_categories={self.n_categories})"


def _pick(choices: list[Jet], codes: IntArray) -> Jet:
    """Choose one of several jets for each row."""
    chosen = choices[0]
    for number, choice in enumerate(choices[1:], start=1):
        chosen = where(codes == number, choice, chosen)
    return chosen

"""The interface of a response distribution: what an estimation engine may ask, and what a new family must say."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from numpy.typing import ArrayLike

from mixedfx._typing import Array
from mixedfx.calculus.jets import Jet
from mixedfx.exceptions import SpecificationError
from mixedfx.families import evaluate, moments
from mixedfx.families.links import LINKS, MEAN_INTERVALS, Link, Mean, MeanInterval, MeanRange, link_for
from mixedfx.families.moments import VarianceName
from mixedfx.families.observed import REAL, ImpossibleValueError, Observed, Support, numeric, refuse
from mixedfx.families.parameters import Parameter

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Family"]


class Family(ABC):
    """A response distribution with its link: log-likelihood, exact derivatives, moments, simulation.

    A new family is a subclass with a few class attributes and three methods, :meth:`log_density`, :meth:`moments`
    and :meth:`draw`. Derivatives follow from :meth:`log_density` by exact differentiation (see
    :mod:`mixedfx.calculus.jets`); everything else has a default.

    Parameters
    ----------
    link : str, Link or statsmodels link, optional
        The family's ``default_link`` if not given.

    Attributes
    ----------
    name, default_link, links : str, str, tuple of str
        Names; ``links`` are the names that are accepted (a user's own :class:`Link` always is).
    mean_range : {"real", "positive", "unit"}
        Range of the mean parameter.
    has_location : bool
        Whether the response minus its mean has a distribution that does not depend on the mean.
    support : Support
        Values that the response may take.
    parameters : tuple of Parameter
        Parameters beside the mean, in the order in which the methods receive them, on their unbounded scales.
    precision_weights : bool
        Whether the weight of a row divides the dispersion (a parameter of that name) or multiplies the
        log-likelihood.
    exponential_dispersion : bool
        Whether the unit deviance is to be free of the dispersion, as in exponential dispersion models.
    proportions : bool
        Whether the response is a proportion of trials, held as successes.
    has_intercept : bool
        Whether the mean has an intercept; thresholds take its place in an ordinal family.
    information_is_bound : bool
        Whether :meth:`information` is the least that the variance leaves, because the exact one has no closed form.
    many_responses : bool
        Whether the methods take several responses to the same rows at once, ``observed.y`` (R, n) and parameters
        (R, 1): ``fit.refit_many`` then fits them together.
    latent : bool
        Whether the response is a cut of a latent variable that the link describes.
    n_categories : int
        Number of ordered categories of the response; 0 for one that has none.
    limit : str
        Name of the family that this one is at the end of the range of its last parameter, if there is one.
    limit_end : float
        That end, on the parameter's unbounded scale: inf or -inf.
    predictors : tuple of str
        Components with a linear predictor of their own; ``("mean",)`` unless :meth:`with_predictors` says more.

    Examples
    --------
    The exponential distribution, a family in a dozen lines:

    >>> import numpy as np
    >>> from mixedfx.families import POSITIVE, Family
    >>> class Exponential(Family):
    ...     name = "exponential"
    ...     default_link = "log"
    ...     links = ("log", "inverse")
    ...     mean_range = "positive"
    ...     support = POSITIVE
    ...
    ...     def log_density(self, observed, mean):
    ...         return -mean.log - observed.y * np.exp(-mean.log)
    ...
    ...     def moments(self, mu, trials):
    ...         return mu, mu**2
    ...
    ...     def draw(self, rng, mu, trials):
    ...         return rng.exponential(mu)
    >>> family = Exponential()
    >>> observed = family.observe([0.5, 2.0])
    >>> value, slope, curvature, third = family.derivatives(observed, np.zeros(2))
    >>> print(value, slope, curvature, third)
    [-0.5 -2. ] [-0.5  1. ] [-0.5 -2. ] [0.5 2. ]
    """

    name: str
    default_link: str
    links: tuple[str, ...]
    mean_range: MeanRange = "real"
    support: Support = REAL
    has_location: bool = False
    parameters: tuple[Parameter, ...] = ()
    precision_weights: bool = False
    exponential_dispersion: bool = False
    proportions: bool = False
    has_intercept: bool = True
    information_is_bound: bool = False
    many_responses: bool = False
    latent: bool = False
    n_categories: int = 0
    limit: str = ""
    limit_end: float = np.inf
    first: float = 0.0  # what the data call the response that is 0 on the family's own scale

    def __init__(self, link: object = None) -> None:
        self.link = self._accepted(link_for(self.default_link if link is None else link))
        self.mean_link: Link = self.link
        self.predictors: tuple[str, ...] = ("mean",)
        self.fixed: dict[str, float] = {}

    # What a family says: three methods that it must have, and others that have a default.

    @abstractmethod
    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """Logarithm of the density of each row; terms without the mean may be left to :meth:`log_normaliser`."""

    @abstractmethod
    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """Mean and variance of the response, on the family's own scale (successes for proportions)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Draw one response for each row, on the family's own scale."""

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet | Array | float:
        """Terms of the log-density with parameters but without the mean."""
        return 0.0

    def constant(self, y: Array, trials: Array) -> Array:
        """Terms of the log-density without any parameter."""
        return np.zeros(y.shape)

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Fisher information of a row about its mean on the unbounded scale (itself, log or logit).

        By default the quasi-likelihood information (squared slope of the mean over the variance): exact for
        exponential dispersion models and the negative binomial, otherwise a positive lower bound.
        """
        average, variance = self.moments(mu, trials, *parameters)
        return self.mean_interval.slope(mu, average) ** 2 / variance

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Probability of a response of at most y, on the family's own scale."""
        raise SpecificationError(f"family {self.name!r} has no distribution function; give it a cumulative() method")

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Rough values of the parameters beside the mean, on their unbounded scales."""
        return (0.0,) * len(self.parameters)

    def saturated(self, observed: Observed, *parameters: Array) -> Array | None:
        """Largest :meth:`log_density` that any mean could give to each row; None to have it computed."""
        return None

    def own_scale(self, y: Array, trials: Array) -> Array:
        """Response on the family's own scale, after the check of :attr:`support`."""
        return y

    def within(self, observed: Observed) -> Observed | None:
        """What an inner family sees (zero inflation)."""
        return None

    def expected_information(self, observed: Observed, mean: Mean, *parameters: Jet) -> Array:
        """Expected ``-l''`` in the linear predictor of the mean."""
        slope = self.mean_interval.working(mean).part((0,))
        values = [parameter.value for parameter in parameters]
        return slope**2 * self.information(mean.value.value, observed.trials, *values)

    def natural_scale(self, free: list[Parameter], values: Array) -> tuple[dict[str, float], Array]:
        """Map unbounded values to natural ones; parameters that depend on each other (thresholds) do it jointly."""
        natural = {parameter.name: parameter.natural(value) for parameter, value in zip(free, values)}
        return natural, np.diag([parameter.slope(value) for parameter, value in zip(free, values)])

    def probabilities(self, eta: Array, phi: ArrayLike) -> Array:
        """Probabilities of the categories, (..., n, n_categories)."""
        raise SpecificationError(f"family {self.name!r} has no categories")

    def with_categories(self, count: int) -> Self:
        """Return the family with ``count`` categories; one that has none as it is."""
        return self

    @property
    def innermost(self) -> Family:
        """The family inside those that only change its zeros (zero inflation, truncation)."""
        return self

    def adapted(self, y: ArrayLike) -> Self:
        """Return the family completed by what the response tells (the number of categories of an ordinal one)."""
        return self

    # Composition: the same family with other components estimated.

    def _accepted(self, link: Link) -> Link:
        if link in LINKS.values() and link.name not in self.links:
            choices = ", ".join(map(repr, self.links))
            raise SpecificationError(f"family {self.name!r} cannot have the link {link.name!r}; choose from {choices}")
        return link

    @property
    def is_location(self) -> bool:
        """Whether adding a number to the response and to the linear predictor changes nothing."""
        return self.has_location and self.mean_link.name == "identity"

    @property
    def is_truncated(self) -> bool:
        """Whether the mean parameter is that of counts before their zeros are left out."""
        return False

    @property
    def has_categories(self) -> bool:
        """Whether the response is one of several ordered categories, between thresholds that are in ``phi``."""
        return self.n_categories > 0

    @property
    def mean_bounds(self) -> tuple[float, float]:
        """Ends of the open interval in which the mean of the response lies."""
        if self.has_categories:
            return self.first, self.first + self.n_categories - 1.0
        return self.mean_interval.lower, self.mean_interval.upper

    @property
    def mean_interval(self) -> MeanInterval:
        """The interval of the mean parameter, which is :attr:`mean_range` by its name."""
        return MEAN_INTERVALS[self.mean_range]

    @property
    def phi_names(self) -> tuple[str, ...]:
        """Names of the numbers in ``phi``: parameters that are neither linear predictors nor fixed."""
        names = (parameter.name for parameter in self.parameters)
        return tuple(name for name in names if name not in self.predictors and name not in self.fixed)

    @final
    def with_link(self, link: object) -> Self:
        """Return the family with another link."""
        other = copy.copy(self)
        other.link = self._accepted(link_for(link))
        other.mean_link = other.link if self.mean_link == self.link else self.mean_link
        return other

    @final
    def with_predictors(self, *names: str) -> Self:
        """Return the family with linear predictors for the mean and the named components.

        ``family.with_predictors("dispersion")`` is what ``dispersion="~ x"`` means: ``eta`` becomes (n, 2), and the
        dispersion leaves ``phi``.

        Raises
        ------
        SpecificationError
            If the family has no such component.
        """
        components = ("mean", *(parameter.name for parameter in self.parameters))
        for name in names:
            if name not in components:
                choices = ", ".join(map(repr, components))
                raise SpecificationError(f"family {self.name!r} has no component {name!r}; it has {choices}")
        other = copy.copy(self)
        other.predictors = tuple(name for name in components if name == "mean" or name in names)
        return other

    @final
    def with_fixed(self, **values: float) -> Self:
        """Return the family with some parameters held at a value on their natural scale, as in ``df=4``.

        Raises
        ------
        SpecificationError
            If the family has no such parameter, or it cannot have that value.
        """
        parameters = {parameter.name: parameter for parameter in self.parameters}
        unbounded = dict(self.fixed)
        for name, value in values.items():
            if name not in parameters:
                names = ", ".join(map(repr, parameters)) or "none"
                raise SpecificationError(f"family {self.name!r} has no parameter {name!r}; it has {names}")
            with np.errstate(all="ignore"):  # a value out of range is an error just below
                unbounded[name] = parameters[name].unbounded(float(value))
            if not np.isfinite(unbounded[name]):
                raise SpecificationError(f"{name} of family {self.name!r} cannot be {value:g}")
        other = copy.copy(self)
        other.fixed = unbounded
        return other

    # What an engine asks.

    @final
    def observe(
        self,
        y: ArrayLike,
        *,
        trials: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        rows: pd.Index[Any] | None = None,
    ) -> Observed:
        """Check a response and keep what does not depend on any parameter.

        Parameters
        ----------
        y : array of shape (n,)
            Response; for a binomial a proportion of ``trials``; for an ordinal one category numbers from 1.
        trials : array of shape (n,), optional
            Binomial denominators (default 1).
        weights : array of shape (n,), optional
            They divide the dispersion where the family has ``precision_weights``, otherwise they multiply the
            log-likelihood.
        rows : Index (n,), optional
            What errors call the rows; their numbers from 0 if omitted.

        Raises
        ------
        DataError
            If a value cannot be one of this family: it names the value and its row.
        """
        try:
            return self._observed(y, trials, weights)
        except ImpossibleValueError as error:
            raise error if rows is None else error.in_rows(rows) from None

    def _observed(self, y: ArrayLike, trials: ArrayLike | None, weights: ArrayLike | None) -> Observed:
        values = numeric(y, f"the response of family {self.name!r}")
        counts = np.broadcast_to(1.0, values.shape) if trials is None else numeric(trials, "the column of trials")
        scaled = self.check_response(values, counts)
        multiplier, log_precision = self._weights(weights, values.shape)
        constant = self.constant(scaled, counts)
        observed = Observed(scaled, counts, constant, multiplier, log_precision)
        return Observed(scaled, counts, constant, multiplier, log_precision, self.within(observed))

    def _weights(self, weights: ArrayLike | None, shape: tuple[int, ...]) -> tuple[Array | None, Array | None]:
        if weights is None:
            return None, None
        values = np.broadcast_to(numeric(weights, "the column of weights"), shape)
        refuse((values >= 0) & np.isfinite(values), values, "weights must be non-negative numbers; found")
        if not self.precision_weights:
            return values, None
        present = values > 0
        return (None if present.all() else present.astype(float)), np.log(np.where(present, values, 1.0))

    @final
    def check_response(self, y: Array, trials: Array) -> Array:
        """Return the response on the family's own scale; DataError if a value is impossible."""
        empty = (trials == 0) & self.proportions
        what = f"family {self.name!r} needs {self.support.description}; found"
        refuse(self.support.contains(y) | empty, y, what, self.support.hint)
        return self.own_scale(np.where(empty, 0.0, y), trials)

    @final
    def loglik(self, observed: Observed, eta: Array, phi: ArrayLike = ()) -> Array:
        """Log-likelihood of each row with all constants; ``-inf`` where a link leaves the range of the mean."""
        return evaluate.derivatives(self, observed, eta, phi, 0)[0]

    @final
    def derivatives(self, observed: Observed, eta: Array, phi: ArrayLike = (), *, order: int = 3) -> tuple[Array, ...]:
        """Log-likelihood of each row and its derivatives in the linear predictors.

        Parameters
        ----------
        observed : Observed
            From :meth:`observe`.
        eta : array of shape (..., n), or (..., n, K) for K > 1 linear predictors
            Leading axes (nodes of a quadrature) are broadcast against the rows.
        phi : array, optional
            Family-wide parameters on their unbounded scales, named by ``phi_names``.
        order : int
            Highest order, 0 to 3.

        Returns
        -------
        tuple of arrays
            Value, first, second and third derivatives of shape (..., n) each; for K > 1 of shapes (..., n),
            (..., n, K), (..., n, K, K), (..., n, K, K, K). Treat them as read-only.
        """
        return evaluate.derivatives(self, observed, eta, phi, order)

    @final
    def mean_derivatives(
        self, observed: Observed, eta: Array, phi: ArrayLike = (), *, order: int = 2
    ) -> tuple[Array, ...]:
        """Log-likelihood *up to terms without the mean*, and its derivatives in the mean's linear predictor.

        The inner loop of a Laplace approximation needs no more, whatever the number K of linear predictors: the
        results are all of shape (..., n), and no Gamma function or series is evaluated that only depends on ``phi``.
        """
        return evaluate.mean_derivatives(self, observed, eta, phi, order)

    @final
    def phi_derivatives(
        self, observed: Observed, eta: Array, phi: ArrayLike = (), *, order: int = 2
    ) -> tuple[Array, ...]:
        """Derivatives in ``phi`` of the log-likelihood, its gradient and its Hessian in the linear predictors.

        Returns
        -------
        tuple of arrays
            Derivatives of the value, the gradient and the Hessian, the m parameters last: (..., n, m) each; for
            K > 1 (..., n, m), (..., n, K, m), (..., n, K, K, m). ``order`` (0 to 2) is the highest order in eta.
        """
        return evaluate.phi_derivatives(self, observed, eta, phi, order)

    @final
    def all_derivatives(
        self, observed: Observed, eta: Array, phi: ArrayLike = ()
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """:meth:`derivatives` of order 3 and :meth:`phi_derivatives` of order 2, for less than the price of both."""
        return evaluate.all_derivatives(self, observed, eta, phi)

    @final
    def expected_weights(self, observed: Observed, eta: Array, phi: ArrayLike = ()) -> Array:
        """Expected ``-l''`` in the mean's linear predictor, (..., n): positive, for safe steps and Fisher scoring.

        It is the Fisher information, except in families that leave ``information`` to the default without being
        exponential dispersion models (negative binomial 1, beta-binomial): there a positive lower bound of it.
        """
        return evaluate.expected_weights(self, observed, eta, phi)

    @final
    def mean(self, eta: Array, phi: ArrayLike = ()) -> Array:
        """Mean of the response (of a zero-inflated or truncated one: not of the distribution inside)."""
        return moments.mean_and_variance(self, eta, phi)[0]

    @final
    def variance(
        self, eta: Array, phi: ArrayLike = (), *, trials: ArrayLike = 1.0, weights: ArrayLike | None = None
    ) -> Array:
        """Variance of the response given its linear predictors: the denominator of Pearson residuals."""
        return moments.mean_and_variance(self, eta, phi, trials=trials, weights=weights)[1]

    @final
    def simulate(
        self,
        rng: np.random.Generator,
        eta: Array,
        phi: ArrayLike = (),
        *,
        trials: ArrayLike = 1.0,
        weights: ArrayLike | None = None,
    ) -> Array:
        """Draw a response for each linear predictor, on the scale of the data (a proportion for a binomial)."""
        return moments.simulate(self, rng, eta, phi, trials=trials, weights=weights)

    @final
    def cdf_limits(self, observed: Observed, eta: Array, phi: ArrayLike = ()) -> tuple[Array, Array]:
        """``P(Y < y)`` and ``P(Y <= y)``: the ends of a randomised quantile residual, equal for a density."""
        return moments.cdf_limits(self, observed, eta, phi)

    @final
    def unit_deviance(self, observed: Observed, eta: Array, phi: ArrayLike = ()) -> Array:
        """Unit deviance of each row; the squared deviance residual, with the row's weight.

        For an exponential dispersion model it is free of the dispersion, as in a generalised linear model; else it is
        twice the distance to the largest log-likelihood that any mean could give to the row.
        """
        return moments.unit_deviance(self, observed, eta, phi)

    @final
    def link_variance(self, eta: ArrayLike, phi: ArrayLike = (), *, method: VarianceName | None = None) -> Array:
        """Variance of the distribution on the scale of the linear predictor, for R² and intraclass correlations.

        Parameters
        ----------
        eta : array
            Linear predictors at which the distribution is looked at (often one: that of the average mean).
        phi : array
            Family-wide parameters.
        method : {"latent", "lognormal", "trigamma", "delta"}, optional
            The variance of the latent variable (pi²/3 for a logit), ``log(1 + Var/mu²)`` or ``trigamma(mu²/Var)``
            for a log link, or the delta method. By default the first that exists.

        References
        ----------
        Nakagawa, S., Johnson, P. C. D. and Schielzeth, H. (2017). J. R. Soc. Interface 14, 20170213.
        """
        return moments.link_variance(self, np.asarray(eta, dtype=float), phi, method)

    @final
    def start_eta(self, observed: Observed) -> Array:
        """Linear predictors to start from, (n,) or (n, K)."""
        return moments.start_eta(self, observed)

    @final
    def start_phi(self, observed: Observed) -> Array:
        """Family-wide parameters to start from, on their unbounded scales."""
        values = dict(zip((parameter.name for parameter in self.parameters), self.start_parameters(observed)))
        return np.array([values[name] for name in self.phi_names])

    @property
    def phi_bounds(self) -> tuple[Array, Array]:
        """Where a search for the family-wide parameters stops, on their unbounded scales."""
        free = [parameter for parameter in self.parameters if parameter.name in self.phi_names]
        return np.array([parameter.lower for parameter in free]), np.array([parameter.upper for parameter in free])

    @final
    def natural(self, phi: ArrayLike) -> tuple[dict[str, float], Array]:
        """Family-wide parameters on their natural scales, and the Jacobian of that map (m, m) for their errors."""
        free = [parameter for parameter in self.parameters if parameter.name in self.phi_names]
        return self.natural_scale(free, np.asarray(phi, dtype=float))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(link={self.link.name!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.link, self.predictors))

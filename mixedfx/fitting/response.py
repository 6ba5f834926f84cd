"""The distribution of the response at an estimate: means, draws and residuals of rows, old or new.

One object for every fit. The responses of a linear model are normal around their linear predictors, with residuals that
may have a structure; those of a family follow from its linear predictors and the numbers beside the mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._typing import Array
from mixedfx.calculus.quadrature import averaged
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Ordinal
from mixedfx.families.base import Family
from mixedfx.matrices import Design, as_frame
from mixedfx.matrices.frame import Frame, used_columns
from mixedfx.matrices.new_rows import RowPrior, encoded_component, fixed_part, row_weights

if TYPE_CHECKING:
    from mixedfx.criterion.generalized_problem import GeneralizedProblem

__all__ = ["FamilyResponse", "GaussianResponse", "ResidualName", "ResponseModel", "weighted_noise"]

Kind = Callable[[Any, Array, np.random.Generator], Array]
"""Residuals (n,) of a response model at the linear predictors of its rows."""

ResidualName: TypeAlias = Literal[
    "response", "conditional", "working", "pearson", "deviance", "normalized", "marginal", "quantile"
]
"""Kinds of residuals that some response model has."""


class ResponseModel(ABC):
    """The response of a fitted model.

    Attributes
    ----------
    design : Design
    family : Family
    default_residual : str
        Kind of residuals where the user names none.
    kinds : mapping
        Residuals by kind.
    has_normal_residuals : bool
        Whether responses are normal around the linear predictor, with the variances of :meth:`residual_variances`.
    mean_is_linear : bool
        Whether the mean is the linear predictor itself, so that averages over random effects change nothing.
    """

    design: Design
    family: Family
    default_residual: ClassVar[str]
    kinds: ClassVar[Mapping[str, Kind]]
    has_normal_residuals: ClassVar[bool] = False
    mean_is_linear: ClassVar[bool] = False

    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales."""
        return np.zeros(0)

    @property
    def matrices(self) -> dict[str, Array]:
        """Columns (n, k) of the further linear predictors in the fitted rows."""
        return {}

    @property
    def multiplier(self) -> Array | None:
        """How many rows each fitted row counts for (n,); None where each is one."""
        return None

    def columns(self, data: Any) -> dict[str, Array]:
        """Return the columns (n, k) of the further linear predictors, in the fitted rows (None) or in new ones."""
        return {}

    def predictors(self, eta: Array, matrices: Mapping[str, Array]) -> Array:
        """Return all linear predictors as the family takes them, from the first one (…, n)."""
        return eta

    def mean(self, predictors: Array) -> Array:
        """Return the mean of the response."""
        return self.mean_at(predictors, self.phi)

    @abstractmethod
    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the mean of the response at other family-wide parameters."""

    @abstractmethod
    def predicted(self, which: str, eta: pd.Series[float], matrices: Mapping[str, Array], variance: Array) -> Any:
        """Return means, category probabilities or natural values of a component, for linear predictors ``eta``.

        Parameters
        ----------
        which : str
        eta : Series
        matrices : mapping
            Columns of the further linear predictors.
        variance : (n,)
            Of the random effects over which is averaged.
        """

    @abstractmethod
    def draw(self, eta: Array, data: Any, weights: Any, rng: np.random.Generator) -> Array:
        """Draw responses (n, draws) at linear predictors (n, draws) of the fitted rows (None) or of new ones.

        They are nan where something is unknown: a predictor, a weight, the variance of a new kind of row.
        """

    @abstractmethod
    def simulated(self, predictors: Array, phi: Array, prior: Array | None, rng: np.random.Generator) -> Array:
        """Return a response drawn at each of the linear predictors, with its trials or precision weight."""

    def residual_variances(self, data: Any = None, weights: Any = None) -> tuple[Array, tuple[str, ...]] | None:
        """Return the variance (n,) of the residual of every row, and what is unknown or assumed, in words.

        None where responses are not normal around the linear predictor.
        """
        return None

    def prior(self, data: Any, weights: Any) -> RowPrior:
        """Return the trials or precision weights of rows."""
        return row_weights(self.design, data, weights)

    def residual_kind(self, kind: str | None) -> str:
        """Return the name of a kind of residuals: the usual one for None.

        Raises
        ------
        SpecificationError
            If the response has no such residuals.
        """
        name = self.default_residual if kind is None else kind
        if name not in self.kinds:
            raise SpecificationError(f"kind is one of {', '.join(map(repr, self.kinds))}; found {kind!r}")
        return name

    def residuals(self, kind: str | None, predictors: Array, rng: np.random.Generator) -> Array:
        """Return residuals (n,) at the linear predictors of the fitted rows."""
        return np.asarray(self.kinds[self.residual_kind(kind)](self, predictors, rng))


# ---------------------------------------------------------------- normal responses
def weighted_noise(noise: Array, weights: Array | None) -> Array:
    """Return ``noise`` (n, k) divided by the roots of the weights (n,); nan where the weight is zero."""
    if weights is None:
        return noise
    root = np.full(weights.size, np.nan)
    np.divide(1.0, np.sqrt(weights), out=root, where=weights > 0)
    return np.asarray(noise * root[:, None])


def _raw(model: GaussianResponse, eta: Array, rng: np.random.Generator) -> Array:
    return np.asarray(model.design.response.values - eta)


def _weighted(model: GaussianResponse, eta: Array, rng: np.random.Generator) -> Array:
    weights = model.design.weights
    values = _raw(model, eta, rng)
    return values if weights is None else np.asarray(values * np.sqrt(weights))


def _standardized(model: GaussianResponse, eta: Array, rng: np.random.Generator) -> Array:
    return np.asarray(_raw(model, eta, rng) / np.sqrt(model.residual_variances()[0]))


def _normalized(model: GaussianResponse, eta: Array, rng: np.random.Generator) -> Array:
    if model.residual is None:
        return _standardized(model, eta, rng)
    values = _weighted(model, eta, rng)
    return np.asarray(model.residual.whiten(model.rho, values[:, None])[:, 0] / model.sigma)


def _marginal(model: GaussianResponse, eta: Array, rng: np.random.Generator) -> Array:
    return np.asarray(model.design.response.values - model.fixed_part)


@dataclass(frozen=True)
class GaussianResponse(ResponseModel):
    """Normal responses around their linear predictors.

    Attributes
    ----------
    design : Design
    family : Family
    sigma : float
        Residual standard deviation.
    residual : BoundResidual or None
        Structure of the residuals.
    rho : (r,)
        Its parameters.
    beta : (p,)
        Fixed effects.
    """

    design: Design
    family: Family
    sigma: float
    residual: BoundResidual | None
    rho: Array
    beta: Array

    default_residual = "response"
    has_normal_residuals = True
    mean_is_linear = True
    kinds: ClassVar[Mapping[str, Kind]] = {
        "response": _raw,
        "conditional": _raw,
        "working": _raw,
        "pearson": _standardized,
        "deviance": _weighted,
        "normalized": _normalized,
        "marginal": _marginal,
    }

    @property
    def fixed_part(self) -> Array:
        """``X beta`` and the offset (n,) in the fitted rows."""
        return fixed_part(self.design, self.beta)

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the linear predictors."""
        return predictors

    def predicted(self, which: str, eta: pd.Series[float], matrices: Mapping[str, Array], variance: Array) -> Any:
        """Return the means: random effects over which is averaged do not change them."""
        if which != "mean":
            raise SpecificationError(f"which is 'mean', 'linear' or 'marginal'; found {which!r}")
        return eta

    def residual_variances(self, data: Any = None, weights: Any = None) -> tuple[Array, tuple[str, ...]]:
        """Return the variance (n,) of the residual of every row, and what is unknown or assumed, in words.

        It is sigma squared, divided by the weight, times what the residual structure says of the row: infinite where
        the weight is zero, nan where the data do not tell it.
        """
        prior, bound = self.prior(data, weights), self.residual
        n = self.design.n_rows if data is None else len(as_frame(data))
        out = np.full(n, self.sigma**2)
        if prior.values is not None:
            positive = ~(prior.values <= 0)  # a missing weight gives a missing variance
            out = np.divide(out, prior.values, out=np.full(n, np.inf), where=positive)
        notes = () if prior.note is None else (prior.note,)
        if bound is None or not bound.variance_columns:  # one variance for all rows
            return out, notes
        if data is None:
            return out * bound.relative_variances(self.rho), notes
        relative, note = _new_relative(bound, self.rho, as_frame(data))
        return out * relative, notes if note is None else (*notes, note)

    def draw(self, eta: Array, data: Any, weights: Any, rng: np.random.Generator) -> Array:
        """Draw responses (n, draws) with residuals of the model's covariance."""
        return eta + self.residual_draws(rng.standard_normal(eta.shape), data, weights)

    def simulated(self, predictors: Array, phi: Array, prior: Array | None, rng: np.random.Generator) -> Array:
        """Return a response drawn at each of the linear predictors, with its precision weight."""
        noise = rng.standard_normal(predictors.shape)
        return predictors + self.sigma * (noise if prior is None else noise / np.sqrt(prior))

    def residual_draws(self, noise: Array, data: Any = None, weights: Any = None) -> Array:
        """Return standard normal ``noise`` (n, k) with the covariance of the residuals; nan where it is not known."""
        prior, shaped = self.prior(data, weights).values, noise
        if self.residual is not None:
            is_new = data is not None
            shaped = self._newly_shaped(noise, as_frame(data)) if is_new else self.residual.unwhiten(self.rho, noise)
        return weighted_noise(self.sigma * shaped, prior)

    def _newly_shaped(self, noise: Array, frame: Frame) -> Array:
        """Noise (n, k) with the structure's covariance in new rows."""
        bound = self.residual
        if bound is None:
            return noise
        frame.require(bound.columns)
        columns = used_columns(frame, bound.columns, None)
        known = ~columns.isna().any(axis=1).to_numpy()
        out = np.full(noise.shape, np.nan)
        if known.any():
            other = bound.rebind(columns[known].reset_index(drop=True))
            out[known] = other.unwhiten(self.rho, noise[known])
        return out


def _new_relative(bound: BoundResidual, rho: Array, frame: Frame) -> tuple[Array, str | None]:
    """Return what the residual structure says of new rows, and what it cannot say."""
    absent = [name for name in bound.variance_columns if name not in frame]
    if absent:
        listed = ", ".join(map(repr, absent))
        note = f"The limits of an observation need the column {listed} of the residual structure: the rows lack it."
        return np.full(len(frame), np.nan), note
    columns = used_columns(frame, bound.variance_columns, None)
    relative = bound.relative_variances_at(rho, columns)
    unknown = int(np.sum(np.isnan(relative) & ~columns.isna().any(axis=1).to_numpy()))
    if not unknown:
        return relative, None
    listed = ", ".join(map(repr, bound.variance_columns))
    return relative, (
        f"{unknown} row(s) have levels of {listed} whose residual variance the fit does not know: the limits of an "
        "observation are nan there."
    )


# ---------------------------------------------------------------- families
def _response(model: FamilyResponse, predictors: Array, rng: np.random.Generator) -> Array:
    return np.asarray(model.design.response.values - model.mean(predictors))


def _pearson(model: FamilyResponse, predictors: Array, rng: np.random.Generator) -> Array:
    weights = model.design.weights
    variance = model.family.variance(predictors, model.phi, trials=model.trials, weights=weights)
    counted = model.multiplier
    size = np.where(np.isfinite(variance) & (variance > 0), variance, np.nan)
    return np.asarray(_response(model, predictors, rng) * np.sqrt((1.0 if counted is None else counted) / size))


def _deviance(model: FamilyResponse, predictors: Array, rng: np.random.Generator) -> Array:
    deviance = model.family.unit_deviance(model.problem.observed, predictors, model.phi)
    return np.asarray(np.sign(_response(model, predictors, rng)) * np.sqrt(np.maximum(deviance, 0.0)))


def _working(model: FamilyResponse, predictors: Array, rng: np.random.Generator) -> Array:
    family, observed = model.family, model.problem.observed
    gradient = family.derivatives(observed, predictors, model.phi, order=1)[1]
    slope = gradient if len(family.predictors) == 1 else gradient[..., 0]
    weight = family.expected_weights(observed, predictors, model.phi)
    out = np.full(weight.shape, np.nan)
    np.divide(slope, weight, out=out, where=weight > 0)
    return out


def _quantile(model: FamilyResponse, predictors: Array, rng: np.random.Generator) -> Array:
    low, high = model.family.cdf_limits(model.problem.observed, predictors, model.phi)
    draw = low + (high - low) * rng.uniform(size=low.shape)
    return np.asarray(special.ndtri(np.clip(draw, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)))


@dataclass(frozen=True)
class FamilyResponse(ResponseModel):
    """A family at its estimated parameters.

    Attributes
    ----------
    problem : GeneralizedProblem
    estimate : (k,)
        All parameters on the user's scale.
    """

    problem: GeneralizedProblem
    estimate: Array

    default_residual = "deviance"
    kinds: ClassVar[Mapping[str, Kind]] = {
        "response": _response,
        "pearson": _pearson,
        "deviance": _deviance,
        "working": _working,
        "quantile": _quantile,
    }

    @property
    def design(self) -> Design:  # type: ignore[override]
        """The matrices of the fitted rows."""
        return self.problem.design

    @property
    def family(self) -> Family:  # type: ignore[override]
        """The family, its link and parameters."""
        return self.problem.family

    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales."""
        return np.asarray(self.estimate[self.estimate.size - len(self.family.phi_names) :])

    @cached_property
    def matrices(self) -> dict[str, Array]:
        """Columns (n, k) of the further linear predictors in the fitted rows."""
        return {c.name: c.matrix for c in self.problem.components}

    def columns(self, data: Any) -> dict[str, Array]:
        """Return the columns (n, k) of the further linear predictors, in the fitted rows (None) or in new ones."""
        if data is None:
            return self.matrices
        return {c.name: encoded_component(c.fixed, data) for c in self.problem.components}

    @property
    def multiplier(self) -> Array | None:
        """How many rows each fitted row counts for (n,); None where each is one."""
        return self.problem.observed.multiplier

    @property
    def trials(self) -> Array | float:
        """Binomial denominators of the fitted rows."""
        trials = self.design.response.trials
        return 1.0 if trials is None else trials

    def predictors(self, eta: Array, matrices: Mapping[str, Array]) -> Array:
        """Return all linear predictors as the family takes them, from the first one (…, n)."""
        if not self.problem.components:
            return eta
        slices = self.problem.component_slices
        others = [matrices[c.name] @ self.estimate[slices[c.name]] for c in self.problem.components]
        return np.stack(np.broadcast_arrays(eta, *others), axis=-1)

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the mean of the response at other family-wide parameters."""
        return self.family.mean(predictors, phi)

    def prior(self, data: Any, weights: Any) -> RowPrior:
        """Return the trials or the precision weights of rows; weights that multiply the likelihood draw nothing."""
        given = row_weights(self.design, data, weights)
        return given if self.family.proportions or self.family.precision_weights else RowPrior(None)

    def draw(self, eta: Array, data: Any, weights: Any, rng: np.random.Generator) -> Array:
        """Draw responses (n, draws); binomial rows without trials are nan too."""
        prior = self.prior(data, weights).values
        if data is not None and self.is_counted and prior is not None and np.isnan(prior).all():
            raise SpecificationError(
                "the response counts successes out of trials: say how many trials the new rows have, weights=…"
            )
        return self.drawn(eta.T, self.columns(data), prior, rng).T

    @property
    def is_counted(self) -> bool:
        """Whether the response is a number of successes out of trials that the data have."""
        return self.design.response.trials is not None

    def drawn(self, eta: Array, matrices: Mapping[str, Array], prior: Array | None, rng: np.random.Generator) -> Array:
        """Draw responses (…, n) for rows with trials or weights ``prior`` (n,); nan where something is unknown."""
        known = np.isfinite(eta).all(axis=tuple(range(eta.ndim - 1)))
        for matrix in matrices.values():
            known &= np.isfinite(matrix).all(axis=1)
        if prior is not None:
            known &= prior > 0 if self.is_counted else np.isfinite(prior)
        at = slice(None) if known.all() else known
        predictors = self.predictors(eta[..., at], {name: matrix[at] for name, matrix in matrices.items()})
        drawn = self.simulated(predictors, self.phi, None if prior is None else prior[at], rng)
        if known.all():
            return drawn
        out = np.full(eta.shape, np.nan)
        out[..., at] = drawn
        return out

    def simulated(self, predictors: Array, phi: Array, prior: Array | None, rng: np.random.Generator) -> Array:
        """Draw a response at each of the linear predictors, with its trials or precision weight."""
        trials, weights = (prior, None) if self.is_counted else (None, prior)
        return self.family.simulate(rng, predictors, phi, trials=1.0 if trials is None else trials, weights=weights)

    def predicted(self, which: str, eta: pd.Series[float], matrices: Mapping[str, Array], variance: Array) -> Any:
        """Return means, category probabilities or natural values of a component, for linear predictors ``eta``."""
        family = self.family
        if which == "mean":
            mean = _averaged(lambda e: self.mean(self.predictors(e, matrices)), eta, variance)
            return pd.Series(mean, index=eta.index, name="predicted")
        if which in matrices:
            parameter = next(p for p in family.parameters if p.name == which)
            values = matrices[which] @ self.estimate[self.problem.component_slices[which]]
            return pd.Series([parameter.natural(v) for v in values], index=eta.index, name=which, dtype=float)
        if which == "probabilities" and isinstance(family, Ordinal):
            return self._probabilities(family, eta, variance)
        known = ["mean", "linear", "marginal", *matrices, *(["probabilities"] if isinstance(family, Ordinal) else [])]
        raise SpecificationError(f"which is one of {', '.join(map(repr, known))}; found {which!r}")

    def _probabilities(self, family: Ordinal, eta: pd.Series[float], variance: Array) -> pd.DataFrame:
        columns = [
            _averaged(lambda e, j=j: family.probabilities(e, self.phi)[..., j], eta, variance)  # type: ignore[misc]
            for j in range(family.n_categories)
        ]
        names = self.design.response.categories or range(1, family.n_categories + 1)
        return pd.DataFrame(np.stack(columns, axis=1), index=eta.index, columns=list(names))


def _averaged(function: Callable[[Array], Array], eta: pd.Series[float], variance: Array) -> Array:
    """The function of the linear predictor, averaged where there is variance."""
    values: Array = np.asarray(eta, dtype=np.float64)
    return averaged(function, values, variance) if variance.any() else np.asarray(function(values))

"""Kenward and Roger's adjusted covariance and F test, from blocks of the mixed-model equations.

With ``V_i`` the derivatives of ``Var(y)`` and ``Phi = (X' V^-1 X)^-1``,

    ``P_i = -X' V^-1 V_i V^-1 X``,  ``Q_ij = X' V^-1 V_i V^-1 V_j V^-1 X``,  ``W^-1 = [tr(P V_i P V_j)] / 2``,
    ``Phi_A = Phi + 2 Phi { sum W_ij (Q_ij - P_i Phi P_j - R_ij / 4) } Phi``.

For ``V_i = Z D_i Z'`` all of it lives in the space of the random effects: ``F = Z' V^-1 X`` and ``E = Z' V^-1 Z`` give
``P_i = -F' D_i F`` and ``Q_ij = F' D_i E D_j F``. The residual variance is replaced by the direction ``V`` itself, a
change of parameters that is linear and so changes nothing: then ``P_0 = -Phi^-1``, ``Q_0i = -P_i``. Prior weights are
within V.

With a residual structure ``V = Z Sigma(theta) Z' + D(rho)``, relative to sigma squared: repeated measures of clinical
trials among others. Then V is taken in dense blocks of correlated rows.

``R_ij`` is the part of the second derivatives of V that no change of parameters removes, so that the adjustment does
not depend on the parameters that are used (the article of 2009). It is zero where the covariance is linear in its
parameters (unstructured, diagonal, compound symmetry, a variance for each stratum), as in the *linear* version of
other programs; for autoregressive and other curved structures it is not.

References
----------
Kenward & Roger (1997), Biometrics 53, 983; (2009), Comput. Stat. Data Anal. 53, 2583. Halekoh & Hojsgaard (2014),
J. Stat. Softw. 59(9), for the treatment of a denominator of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.residual import ResidualEvaluation
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit
from mixedfx.fitting.likelihood import inverse_on_range
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.information import (
    VarianceDirections,
    apply_information,
    information_traces,
    variance_directions,
)
from mixedfx.inference.marginal_blocks import MarginalBlocks

__all__ = [
    "KenwardRoger",
    "KenwardRogerDenominator",
    "StructuredKenwardRoger",
    "denominator_of_f",
    "kenward_roger_moments",
]

VANISHES = 1e-10  # a coefficient of the moment equations that counts as zero
NO_SCALING = 1e-2  # this near to 2 degrees of freedom the mean of F does not exist, and the statistic is not scaled


@dataclass(frozen=True)
class KenwardRoger:
    """Small-sample inference on the fixed effects of a REML fit, on the inner scale and relative to sigma squared.

    Attributes
    ----------
    at : LinearEvaluation
        The REML criterion at the estimate.
    directions : VarianceDirections
        The directions ``D_i``.
    """

    at: LinearEvaluation
    directions: VarianceDirections

    @classmethod
    def of(cls, at: LinearEvaluation) -> KenwardRoger:
        """Return it for the criterion at an estimate."""
        return cls(at, variance_directions(at))

    @property
    def _sigma_is_free(self) -> bool:
        return self.at.criterion.sigma2 is None

    @cached_property
    def _shifted(self) -> list[list[Array]]:
        """``D_i F`` (Q, m, p) by factor: for every factor, one array for each of its directions."""
        at = self.at
        return [
            [np.einsum("ab,bmp->amp", d, at.z_vinv_x[f]) for d in self.directions.by_factor[f][1]]
            if f in self.directions.by_factor
            else []
            for f in range(len(at.z_vinv_x))
        ]

    @cached_property
    def forms(self) -> Array:
        """``-P_i = F' D_i F`` (k, p, p)."""
        p = self.at.criterion.n_fixed
        out = np.zeros((self.directions.size, p, p))
        for f, (places, _) in self.directions.by_factor.items():
            flat = self.at.z_vinv_x[f].reshape(-1, p)
            for i, shifted in zip(places, self._shifted[f], strict=True):
                out[i] = flat.T @ shifted.reshape(-1, p)
        return out

    @cached_property
    def products(self) -> Array:
        """``Q_ij`` (k, k, p, p)."""
        p, k = self.at.criterion.n_fixed, self.directions.size
        out = np.zeros((k, k, p, p))
        for g, (columns, _) in self.directions.by_factor.items():
            t = np.concatenate(self._shifted[g], axis=2)
            moved = apply_information(self.at, g, t)
            for f, (rows, _) in self.directions.by_factor.items():
                right = moved[f].reshape(-1, columns.size * p)
                for i, shifted in zip(rows, self._shifted[f], strict=True):
                    block = shifted.reshape(-1, p).T @ right
                    out[i, columns] = block.reshape(p, columns.size, p).transpose(1, 0, 2)
        return out

    @cached_property
    def _traces(self) -> Array:
        """``tr(P V_i P V_j)`` (k, k)."""
        phi = self.at.unscaled_cov
        half = phi @ self.forms
        out = information_traces(self.at, self.directions)
        out = out - 2.0 * np.einsum("pq,ijqp->ij", phi, self.products) + np.einsum("ipq,jqp->ij", half, half)
        return np.asarray(0.5 * (out + out.T))

    def _trace_with_v(self, factor: int, matrices: Array) -> Array:
        """``tr(P Z_f (I x D) Z_f')`` for matrices ``D`` (…, Q, Q): what pairs a direction with V itself."""
        at = self.at
        f = at.z_vinv_x[factor]
        block = at.information[factor].sum(axis=2)
        block = block - np.einsum("amp,pr,bmr->ab", f, at.unscaled_cov, f, optimize=True)
        return np.asarray(np.tensordot(matrices, block, axes=2))

    @cached_property
    def information(self) -> Array:
        """Expected REML information: (k + 1, k + 1), the direction V last; (k, k) if sigma is known."""
        k = self.directions.size
        out = np.empty((k + 1, k + 1))
        out[:k, :k] = self._traces
        for f, (places, matrices) in self.directions.by_factor.items():
            out[places, k] = out[k, places] = self._trace_with_v(f, matrices)
        out[k, k] = self.at.criterion.n - self.at.criterion.n_fixed
        return 0.5 * (out if self._sigma_is_free else out[:k, :k])

    @cached_property
    def variances(self) -> Array:
        """``W``, the asymptotic covariance of the variance parameters."""
        return inverse_on_range(self.information)

    @cached_property
    def slopes(self) -> Array:
        """``P_i`` (k + 1, p, p); (k, p, p) if sigma is known."""
        if not self._sigma_is_free:
            return -self.forms
        return np.concatenate([-self.forms, -self._precision[None]])

    @cached_property
    def _precision(self) -> Array:
        return np.asarray(np.linalg.inv(self.at.unscaled_cov)) if self.at.criterion.n_fixed else np.zeros((0, 0))

    @cached_property
    def covariance(self) -> Array:
        """Adjusted covariance (p, p) of the fixed effects, relative to sigma squared."""
        phi, w, k = self.at.unscaled_cov, self.variances, self.directions.size
        middle = np.einsum("ij,ijpq->pq", w[:k, :k], self.products)
        if self._sigma_is_free:
            across = np.tensordot(w[:k, k], self.forms, axes=1)
            middle = middle + 2.0 * across + w[k, k] * self._precision
        middle = middle - np.einsum("ij,ipq,qr,jrs->ps", w, self.slopes, phi, self.slopes, optimize=True)
        middle = middle - 0.25 * self._bending()
        adjusted = phi + phi @ (middle + middle.T) @ phi
        return np.asarray(0.5 * (adjusted + adjusted.T))

    def _bending(self) -> Array:
        """``sum W_ij R_ij`` (p, p), over the terms whose covariance is not linear in its parameters."""
        p = self.at.criterion.n_fixed
        out = np.zeros((p, p))
        for second, places in zip(self.directions.curved, self.directions.curved_at, strict=True):
            f = int(self.directions.factor[places[0]])
            bend = np.tensordot(self.variances[np.ix_(places, places)], second, axes=2)
            wider = KenwardRoger(self.at, self.directions.extended(f, bend))
            across = wider.information[self.directions.size, : self.directions.size]
            if self._sigma_is_free:
                across = np.append(across, wider.information[self.directions.size, -1])
            out += wider.forms[-1] + np.tensordot(self.variances @ across, self.slopes, axes=1)
        return out

    def f_test(self, rows: Array) -> tuple[float, float]:
        """Return the denominator df, and the factor of F, of ``rows @ beta = rhs`` for independent rows (r, p)."""
        return denominator_of_f(rows, self.at.unscaled_cov, self.slopes, self.variances)


def denominator_of_f(rows: Array, phi: Array, slopes: Array, variances: Array) -> tuple[float, float]:
    """Return the denominator df and the scaling of F for independent ``rows`` (r, p).

    Parameters
    ----------
    rows : (r, p)
    phi : (p, p)
        Covariance of the fixed effects, not adjusted.
    slopes : (k, p, p)
        ``P_i``.
    variances : (k, k)
        ``W``.
    """
    theta = rows.T @ np.linalg.solve(rows @ phi @ rows.T, rows)
    half = (theta @ phi) @ (slopes @ phi)
    traces = np.einsum("ipp->i", half)
    first = float(traces @ variances @ traces)
    second = float(np.sum(variances * np.einsum("ipq,jqp->ij", half, half)))
    return kenward_roger_moments(len(rows), first, second)


def kenward_roger_moments(rank: int, first: float, second: float) -> tuple[float, float]:
    """Return the denominator df and the scaling of F from ``A_1`` and ``A_2``, by matching mean and variance.

    Parameters
    ----------
    rank : int
        Number of rows of the hypothesis.
    first, second : float
        The article's ``A_1`` and ``A_2``.
    """
    if second <= VANISHES**2:
        return np.inf, 1.0
    b = (first + 6.0 * second) / (2.0 * rank)
    g = ((rank + 1) * first - (rank + 4) * second) / ((rank + 2) * second)
    c = np.array([g, rank - g, rank + 2 - g]) / (3.0 * rank + 2.0 * (1.0 - g))
    top, bottom, outer = 1.0 + c[0] * b, 1.0 - c[1] * b, 1.0 - c[2] * b
    top = 0.0 if abs(top) < VANISHES else top
    rest = 1.0 - second / rank
    ratio = 1.0 if abs(rest) < VANISHES and abs(bottom) < VANISHES else rest / bottom
    spread = ratio**2 * top - outer  # (r rho - 1) times outer
    df = 4.0 + (rank + 2.0) * outer / spread if spread != 0 else np.inf
    if np.isinf(df):
        return np.inf, float(rest)
    scaling = 1.0 if abs(df - 2.0) < NO_SCALING else df * rest / (df - 2.0)
    return float(df), float(scaling)


@dataclass(frozen=True)
class _BlockSums:
    """What blocks contribute to: ``X'V^-1 V_i V^-1 X`` (k, p, p), ``Q_ij`` (k, k, p, p), ``tr(V^-1 V_i V^-1 V_j)``."""

    forms: Array
    products: Array
    traces: Array

    def __add__(self, other: _BlockSums) -> _BlockSums:
        return _BlockSums(self.forms + other.forms, self.products + other.products, self.traces + other.traces)


def _sums_of(V: Array, X: Array, slopes: Array) -> _BlockSums:
    """Sums over blocks ``V`` (b, r, r), ``X`` (b, r, p), and derivatives (k, b, r, r)."""
    k, p = len(slopes), X.shape[2]
    inverse = np.linalg.inv(V)
    moved = slopes @ (inverse @ X)
    flat = moved.transpose(0, 3, 1, 2).reshape(k * p, -1)
    right = (inverse @ moved).transpose(0, 3, 1, 2).reshape(k * p, -1)
    forms = flat @ (inverse @ X).transpose(2, 0, 1).reshape(p, -1).T
    products = (flat @ right.T).reshape(k, p, k, p).transpose(0, 2, 1, 3)
    relative = inverse @ slopes
    traces = relative.reshape(k, -1) @ relative.swapaxes(2, 3).reshape(k, -1).T
    return _BlockSums(forms.reshape(k, p, p), products, traces)


@dataclass(frozen=True)
class StructuredKenwardRoger:
    """Small-sample inference on the fixed effects of a REML fit, on the inner scale and relative to sigma squared.

    The directions are those of the random terms, then the parameters of the residual structure, then V itself unless
    sigma is known.

    Attributes
    ----------
    point : ResidualEvaluation
        The REML criterion at the estimate.
    """

    point: ResidualEvaluation

    @cached_property
    def _blocks(self) -> MarginalBlocks:
        return MarginalBlocks(self.point)

    @cached_property
    def _directions(self) -> VarianceDirections:
        return variance_directions(self.point.linear)

    @property
    def _phi(self) -> Array:
        return self.point.linear.unscaled_cov

    @cached_property
    def _at_residual(self) -> slice:
        first = self._directions.size
        return slice(first, first + self.point.rho.size)

    def _slopes(self, index: IntArray, V: Array) -> Array:
        slopes = [
            self._blocks.random((int(f), d), index)[None]
            for f, d in zip(self._directions.factor, self._directions.matrices, strict=True)
        ]
        slopes.append(self._blocks.residual_slopes(index))
        if self.point.criterion.sigma2 is None:
            slopes.append(V[None])
        return np.concatenate(slopes)

    def _covariance_of(self, index: IntArray) -> Array:
        V = self._blocks.residual(index)
        for f, factor in enumerate(self.point.linear.factor.factors):
            V = V + self._blocks.random((f, factor @ factor.T), index)
        return V

    def _total(self, extra: Callable[[IntArray], Array] | None = None) -> _BlockSums:
        """Sums over all blocks, with a further derivative of V at the end if one is given."""
        p, k = self._phi.shape[0], self._at_residual.stop + (self.point.criterion.sigma2 is None) + (extra is not None)
        total = _BlockSums(np.zeros((k, p, p)), np.zeros((k, k, p, p)), np.zeros((k, k)))
        for index in self._blocks.batches(k):
            V = self._covariance_of(index)
            slopes = self._slopes(index, V)
            if extra is not None:
                slopes = np.concatenate([slopes, extra(index)[None]])
            total = total + _sums_of(V, self._blocks.columns(index), slopes)
        return total

    def _information(self, sums: _BlockSums) -> Array:
        """``tr(P V_i P V_j) / 2`` (k, k)."""
        half = self._phi @ sums.forms
        out = sums.traces - 2.0 * np.einsum("pq,ijqp->ij", self._phi, sums.products)
        out = out + np.einsum("ipq,jqp->ij", half, half)
        return np.asarray(0.25 * (out + out.T))

    @cached_property
    def _sums(self) -> _BlockSums:
        return self._total()

    @cached_property
    def variances(self) -> Array:
        """``W``, the asymptotic covariance of the variance parameters."""
        return inverse_on_range(self._information(self._sums))

    @cached_property
    def covariance(self) -> Array:
        """Adjusted covariance (p, p) of the fixed effects, relative to sigma squared."""
        phi, w, sums = self._phi, self.variances, self._sums
        middle = np.einsum("ij,ijpq->pq", w, sums.products)
        middle = middle - np.einsum("ij,ipr,jrq->pq", w, sums.forms @ phi, sums.forms, optimize=True)
        middle = middle - 0.25 * self._bending()
        adjusted = phi + phi @ (middle + middle.T) @ phi
        return np.asarray(0.5 * (adjusted + adjusted.T))

    def _bending(self) -> Array:
        """``sum W_ij R_ij`` (p, p): second derivatives, less their projection on the first ones."""
        w, residual = self.variances, self._at_residual
        bend = self._blocks.residual_bend(w[residual, residual])
        curved = [
            (int(self._directions.factor[at[0]]), np.tensordot(w[np.ix_(at, at)], second, axes=2))
            for second, at in zip(self._directions.curved, self._directions.curved_at, strict=True)
        ]
        wider = self._total(lambda index: sum((self._blocks.random(c, index) for c in curved), start=bend(index)))
        across = self._information(wider)[-1, :-1]
        return np.asarray(wider.forms[-1] - np.tensordot(w @ across, self._sums.forms, axes=1))

    def f_test(self, rows: Array) -> tuple[float, float]:
        """Return the denominator df, and the factor of F, of ``rows @ beta = rhs`` for independent rows (r, p)."""
        return denominator_of_f(rows, self._phi, -self._sums.forms, self.variances)


@dataclass(frozen=True, repr=False)
class KenwardRogerDenominator(Denominator):
    """Kenward and Roger's adjusted covariance, degrees of freedom and scaled F."""

    fit: LinearFit
    label = "Kenward and Roger"

    @cached_property
    def _own(self) -> KenwardRoger | StructuredKenwardRoger:
        if not self.fit.reml:
            raise SpecificationError(
                "Kenward and Roger's method is for REML fits, and this one is by maximum likelihood: fit it with "
                'reml=True, or take ddf="satterthwaite"'
            )
        if self.fit.residual is None:
            return KenwardRoger.of(self.fit.at)
        return StructuredKenwardRoger(cast("ResidualEvaluation", self.fit.point))

    @cached_property
    def covariance(self) -> Array:
        """The adjusted covariance (p, p)."""
        return self.fit.problem.basis.covariance(self.fit.at.sigma2 * self._own.covariance)

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        inner = self.fit.inner_rows(rows)
        return np.array([self._own.f_test(row[None])[0] if row.any() else np.nan for row in inner])

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the denominator df and the scaling of F."""
        return self._own.f_test(self.fit.inner_rows(rows))

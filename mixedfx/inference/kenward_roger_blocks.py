"""Kenward and Roger's method for models with a residual structure, from dense blocks of correlated rows.

Relative to sigma squared ``V = Z Sigma(theta) Z' + D(rho)``: repeated measures of clinical trials among others. This is
the article of 1997 with the second derivatives of the one of 2009, whose sum is freed of what a change of parameters
could take away. So the adjustment does not depend on the parameters that are used: for structures that are linear in
variances and covariances (unstructured, compound symmetry, a variance for each stratum) the term is zero, as in the
*linear* version of other programs; for autoregressive and other curved structures it is not.

References
----------
Kenward & Roger (1997), Biometrics 53, 983; (2009), Comput. Stat. Data Anal. 53, 2583.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.residual import ResidualEvaluation
from mixedfx.inference.kenward_roger import denominator_of_f
from mixedfx.inference.linear_algebra import inverse_on_range
from mixedfx.inference.marginal_blocks import MarginalBlocks
from mixedfx.inference.variance_directions import VarianceDirections, variance_directions

__all__ = ["StructuredKenwardRoger"]


@dataclass(frozen=True)
class _Sums:
    """What blocks contribute to: ``X'V^-1 V_i V^-1 X`` (k, p, p), ``Q_ij`` (k, k, p, p), ``tr(V^-1 V_i V^-1 V_j)``."""

    forms: Array
    products: Array
    traces: Array

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.forms + other.forms, self.products + other.products, self.traces + other.traces)


def _sums_of(V: Array, X: Array, slopes: Array) -> _Sums:
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
    return _Sums(forms.reshape(k, p, p), products, traces)


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
        found = [
            self._blocks.random((int(f), d), index)[None]
            for f, d in zip(self._directions.factor, self._directions.matrices, strict=True)
        ]
        found.append(self._blocks.residual_slopes(index))
        if self.point.criterion.sigma2 is None:
            found.append(V[None])
        return np.concatenate(found)

    def _covariance_of(self, index: IntArray) -> Array:
        V = self._blocks.residual(index)
        for f, factor in enumerate(self.point.linear.factor.factors):
            V = V + self._blocks.random((f, factor @ factor.T), index)
        return V

    def _total(self, extra: Callable[[IntArray], Array] | None = None) -> _Sums:
        """Sums over all blocks, with a further derivative of V at the end if one is given."""
        p, k = self._phi.shape[0], self._at_residual.stop + (self.point.criterion.sigma2 is None) + (extra is not None)
        total = _Sums(np.zeros((k, p, p)), np.zeros((k, k, p, p)), np.zeros((k, k)))
        for index in self._blocks.batches(k):
            V = self._covariance_of(index)
            slopes = self._slopes(index, V)
            if extra is not None:
                slopes = np.concatenate([slopes, extra(index)[None]])
            total = total + _sums_of(V, self._blocks.columns(index), slopes)
        return total

    def _information(self, sums: _Sums) -> Array:
        """``tr(P V_i P V_j) / 2`` (k, k)."""
        half = self._phi @ sums.forms
        out = sums.traces - 2.0 * np.einsum("pq,ijqp->ij", self._phi, sums.products)
        out = out + np.einsum("ipq,jqp->ij", half, half)
        return np.asarray(0.25 * (out + out.T))

    @cached_property
    def _sums(self) -> _Sums:
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
        w, own = self.variances, self._at_residual
        bend = self._blocks.residual_bend(w[own, own])
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

"""Values that are measured with error, given what else is known of their units: ``x ~ N(Z gamma, S)``, ``w = x + u``.

With K values a unit, r_k replicates of the k-th, their errors independent with variances ``s_k^2``, the mean
measurements of a unit are ``N(gamma'z, S + D)``, ``D = diag(s_k^2 / r_k)``, and given them

    ``x | w ~ N(m, V)``,   ``A = S (S + D)^-1``,   ``m = gamma'z + A (w - gamma'z)``,   ``V = S - A S``.

The replicates around their means add the likelihood of a variance. Everything is on standardised measurements and an
orthonormal basis of Z. Derivatives are those of complex steps, exact to the last digit: all here is arithmetic.

References
----------
Carroll, R. J., Ruppert, D., Stefanski, L. A. and Crainiceanu, C. M. (2006). *Measurement Error in Nonlinear Models*,
2nd ed., chapters 4 and 8. Squire, W. and Trapp, G. (1998). *SIAM Review* 40, 110-112, for complex steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.matrices.measured import Measurements

__all__ = ["Exposure", "Posterior"]

STEP = 1e-30  # of a complex step: no difference is taken, so that it may be as small as it likes
FLOOR = 1e-3  # smallest starting variance of the true values, relative to that of the measurements


@dataclass(frozen=True)
class Posterior:
    """The true values given their measurements, on the user's scale.

    Attributes
    ----------
    llf : float
        Log-likelihood of the measurements.
    mean : (U, K)
    covariance : (U, K, K)
    """

    llf: Any
    mean: Any
    covariance: Any


@dataclass(frozen=True)
class Exposure:
    """The model of the true values and of their measurements.

    Its parameters ``psi`` (k,) are the coefficients gamma (p, K) on an orthonormal basis, column by column; the
    Cholesky factor of S, row by row, with the logarithms of its diagonal; the logarithms of the standard deviations of
    those errors that are estimated.
    """

    data: Measurements

    @cached_property
    def centre(self) -> Array:
        """Mean of the measurements (K,)."""
        return np.asarray(self.data.means.mean(axis=0))

    @cached_property
    def scale(self) -> Array:
        """Their standard deviation (K,)."""
        return np.asarray(self.data.means.std(axis=0))

    @cached_property
    def _basis(self) -> tuple[Array, Array]:
        Q, R = np.linalg.qr(self.data.Z)
        root = np.sqrt(len(Q))
        return Q * root, R / root

    @cached_property
    def W(self) -> Array:
        """Standardised measurements (U, K)."""
        return np.asarray((self.data.means - self.centre) / self.scale)

    @property
    def n_values(self) -> int:
        """Number K of true values a unit."""
        return int(self.data.means.shape[1])

    @property
    def n_gamma(self) -> int:
        """Number of coefficients."""
        return int(self.data.Z.shape[1]) * self.n_values

    @property
    def n_psi(self) -> int:
        """Number of parameters."""
        K = self.n_values
        return self.n_gamma + K * (K + 1) // 2 + int(self.data.estimated.sum())

    def parts(self, psi: Any) -> tuple[Any, Any, Any]:
        """Return gamma (p, K), S (K, K) and the error variances (U, K) of one replicate, standardised."""
        K, g = self.n_values, self.n_gamma
        gamma = psi[:g].reshape(K, -1).T
        L = np.zeros((K, K), dtype=psi.dtype)
        lower = np.tril_indices(K)
        L[lower] = psi[g : g + lower[0].size]
        L[np.diag_indices(K)] = np.exp(L[np.diag_indices(K)])
        known = np.nan_to_num(self.data.variances) / self.scale**2
        free = np.zeros(K, dtype=psi.dtype)
        free[self.data.estimated] = np.exp(2.0 * psi[g + lower[0].size :])
        return gamma, L @ L.T, known + free

    def posterior(self, psi: Any) -> Posterior:
        """Return the true values given their measurements, and the likelihood of these, at ``psi``, real or complex."""
        data, K = self.data, self.n_values
        gamma, S, errors = self.parts(psi)
        first, kinds = self._kinds
        fitted = _times(self._basis[0], gamma)
        residual = self.W - fitted
        C = S + (errors[first] / data.counts[first])[:, :, None] * np.eye(K)
        inverse = np.linalg.inv(C)
        logs = np.log(C[:, 0, 0] if K == 1 else np.linalg.det(C))
        solved = residual * inverse[kinds, 0] if K == 1 else np.einsum("ukl,ul->uk", inverse[kinds], residual)
        llf = -0.5 * (self._sizes @ logs + (residual * solved).sum())
        m = fitted + (solved * S[0, 0] if K == 1 else solved @ S)
        V = (S - S @ inverse @ S)[kinds]
        spare = data.estimated & (data.spare > 0)
        one = errors[0]  # those that are estimated are the same for all
        for k in np.flatnonzero(spare):
            llf = llf - 0.5 * (data.spare[k] * np.log(one[k]) + data.within[k] / self.scale[k] ** 2 / one[k])
        return Posterior(llf + self._constant, m * self.scale + self.centre, V * (self.scale[:, None] * self.scale))

    def mean_errors(self, psi: Array) -> Array:
        """Return the variance (U, K) of the error of every mean measurement, on the user's scale."""
        return np.asarray(self.parts(psi)[2] * self.scale**2 / self.data.counts)

    @cached_property
    def _constant(self) -> float:
        """Terms of the log-likelihood without parameters, those of the user's scale and of known errors among them."""
        data = self.data
        total = data.counts.sum()
        out = -0.5 * total * np.log(2.0 * np.pi) - float(data.counts.sum(axis=0) @ np.log(self.scale))
        repeated = data.counts > 1
        out -= 0.5 * float(np.log(data.counts[repeated]).sum())
        for k in np.flatnonzero(~data.estimated & (data.spare > 0)):
            out += self._known_within(int(k))
        return float(out)

    def _known_within(self, k: int) -> float:
        """Log-density of replicates around their means where the variance of their error is known."""
        data = self.data
        has_error = data.variances[:, k] > 0
        sizes = np.where(has_error, data.variances[:, k] / self.scale[k] ** 2, 1.0)
        spread = data.within_units[:, k] / self.scale[k] ** 2 * has_error
        return float(-0.5 * ((data.counts[:, k] - 1.0) @ np.log(sizes) + (spread / sizes).sum()))

    @cached_property
    def _kinds(self) -> tuple[IntArray, IntArray]:
        """The first unit of every kind of replication and of known error, and the kind (U,) of every unit."""
        data = self.data
        _, first, kinds = np.unique(
            np.hstack([data.counts, np.nan_to_num(data.variances)]), axis=0, return_index=True, return_inverse=True
        )
        return first, kinds.ravel()

    @cached_property
    def _sizes(self) -> IntArray:
        """Number of units of every kind."""
        return np.bincount(self._kinds[1])

    def slopes(self, psi: Array) -> Posterior:
        """Return the derivatives of :meth:`posterior`, (k,), (k, U, K) and (k, U, K, K)."""
        parts = [self.posterior(psi + 1j * STEP * row) for row in np.eye(self.n_psi)]
        llf, mean, covariance = (
            np.array([np.imag(getattr(part, name)) / STEP for part in parts]) for name in ("llf", "mean", "covariance")
        )
        return Posterior(llf, mean, covariance)

    # ---------------------------------------------------------------- moments
    def moments(self) -> Array:
        """Return ``psi`` by moments: least squares, replicates around their means, and what is left (Carroll, ch. 4).

        The variance of the true values is kept from being zero; :meth:`is_degenerate` says where it would be.
        """
        data, K = self.data, self.n_values
        Q = self._basis[0]
        weight = data.counts
        gamma = np.column_stack(
            [
                np.linalg.lstsq(Q * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)[0]
                for w, y in zip(weight.T, self.W.T)
            ]
        )
        S, errors = self._moment_variances(gamma)
        L = np.linalg.cholesky(_positive(S))
        lower = np.tril_indices(K)
        L[np.diag_indices(K)] = np.log(L.diagonal())
        return np.concatenate([gamma.T.ravel(), L[lower], 0.5 * np.log(errors[data.estimated])])

    def _moment_variances(self, gamma: Array) -> tuple[Array, Array]:
        """Covariance (K, K) of the true values and error variances (K,; nan where known), standardised, by moments."""
        data = self.data
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.where(data.estimated, data.within / data.spare, np.nan) / self.scale**2
        D = np.where(data.estimated, errors, np.nan_to_num(data.variances) / self.scale**2) / data.counts
        weight, Q = self._weights
        residual = (self.W - Q @ gamma) * np.sqrt(weight)
        S = residual.T @ residual / (len(Q) - Q.shape[1])
        for k, M in enumerate(self._expected.T):  # the expectation of the squares is sum M_ii (S_kk + D_ik)
            S[k, k] = (residual[:, k] @ residual[:, k] - M @ D[:, k]) / M.sum()
        return np.asarray(S), np.asarray(errors)

    @property
    def _weights(self) -> tuple[Array, Array]:
        """Weights (U, K) of the units, by their numbers of replicates, and the basis (U, p)."""
        return self.data.counts / self.data.counts.mean(axis=0), self._basis[0]

    @cached_property
    def _expected(self) -> Array:
        """``M_ii`` (U, K) of the quadratic form ``y'My`` that weighted least squares leaves."""
        weight, Q = self._weights
        hats = [np.einsum("ip,pq,iq->i", Q, np.linalg.inv((Q.T * w) @ Q), Q) for w in weight.T]
        return np.asarray(weight - weight**2 * np.column_stack(hats))

    def _equations(self, psi: Any) -> Any:
        """Estimating functions (U, k) of :meth:`moments` at ``psi``, real or complex."""
        data = self.data
        gamma, S, errors = self.parts(psi)
        weight, Q = self._weights
        residual = self.W - Q @ gamma
        D = errors / data.counts
        out = [weight[:, k, None] * Q * residual[:, k, None] for k in range(self.n_values)]
        scaled, rest = np.sqrt(weight) * residual, 1.0 - Q.shape[1] / len(Q)
        for i, j in zip(*np.tril_indices(self.n_values), strict=True):
            expected = self._expected[:, i] * (S[i, i] + D[:, i]) if i == j else rest * S[i, j]
            out.append((scaled[:, i] * scaled[:, j] - expected)[:, None])
        for k in np.flatnonzero(data.estimated):
            within = data.within_units[:, k] / self.scale[k] ** 2
            out.append((within - (data.counts[:, k] - 1.0) * errors[:, k])[:, None])
        return np.hstack(out)

    def influence(self, psi: Array) -> Array:
        """Return what every unit contributes (U, k) to the errors of :meth:`moments`: ``-J^-1 g_i``."""
        rows = [np.imag(self._equations(psi + 1j * STEP * row).sum(axis=0)) / STEP for row in np.eye(self.n_psi)]
        return np.asarray(-np.linalg.solve(np.array(rows).T, self._equations(psi).T).T)

    def is_degenerate(self) -> bool:
        """Whether the measurements vary no more than their errors do."""
        gamma: Array = np.asarray(np.linalg.lstsq(self._basis[0], self.W, rcond=None)[0])
        values = np.linalg.eigvalsh(self._moment_variances(gamma)[0])
        return bool(values[0] <= FLOOR * max(values[-1], 1.0))

    # ---------------------------------------------------------------- the user's scale
    def natural(self, psi: Any) -> Any:
        """Return the parameters on the user's scale: gamma of Z, value by value; S, lower triangle; error variances."""
        gamma, S, errors = self.parts(psi)
        own = np.linalg.solve(self._basis[1], gamma) * self.scale
        own = own + np.outer(self._one, self.centre)
        S = S * (self.scale[:, None] * self.scale)
        rows = np.tril_indices(self.n_values)
        free = (errors[0] * self.scale**2)[self.data.estimated]
        return np.concatenate([own.T.ravel(), S[rows], free])

    def psi_of(self, natural: Array) -> Array:
        """Return ``psi`` (k,) of parameters on the user's scale, as :meth:`natural` has them.

        Raises
        ------
        LinAlgError
            If the covariance of the true values is not positive definite.
        """
        K, g = self.n_values, self.n_gamma
        own = natural[:g].reshape(K, -1).T - np.outer(self._one, self.centre)
        gamma = self._basis[1] @ own / self.scale
        rows = np.tril_indices(K)
        S = np.zeros((K, K))
        S[rows] = natural[g : g + rows[0].size]
        L = np.linalg.cholesky((S + np.tril(S, -1).T) / (self.scale[:, None] * self.scale))
        L[np.diag_indices(K)] = np.log(L.diagonal())
        errors = natural[g + rows[0].size :] / self.scale[self.data.estimated] ** 2
        return np.concatenate([gamma.T.ravel(), L[rows], 0.5 * np.log(errors)])

    @property
    def _one(self) -> Array:
        """Coefficients (p,) of the constant: the first column of Z is the intercept."""
        return np.asarray(np.eye(self.data.Z.shape[1])[0])

    def natural_names(self) -> list[str]:
        """Names of :meth:`natural`."""
        values = self.data.names
        names = [f"{value} ~ {z}" for value in values for z in self.data.z_names]
        rows = zip(*np.tril_indices(self.n_values), strict=True)
        names += [f"var({values[i]})" if i == j else f"cov({values[j]}, {values[i]})" for i, j in rows]
        return names + [f"error var({v})" for v, own in zip(values, self.data.estimated, strict=True) if own]

    def natural_slopes(self, psi: Array) -> Array:
        """Return the derivatives (k, k) of :meth:`natural`."""
        return np.array([np.imag(self.natural(psi + 1j * STEP * row)) / STEP for row in np.eye(self.n_psi)]).T


def _times(matrix: Array, vectors: Any) -> Any:
    """A real matrix (U, p) times vectors (p, K) that may be complex, by real products, which are quicker."""
    return matrix @ vectors.real + 1j * (matrix @ vectors.imag) if np.iscomplexobj(vectors) else matrix @ vectors


def _positive(S: Array) -> Array:
    """The nearest covariance whose variances are not zero."""
    values, vectors = np.linalg.eigh(S)
    floor = FLOOR * max(float(values[-1]), 1.0)
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)

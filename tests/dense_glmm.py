"""The obviously right GLMM log-likelihoods: densities from scipy.stats, derivatives by differences, dense matrices.

Random effects are ``b = Lambda u`` with ``u ~ N(0, I)`` and, for each term, ``Lambda = I x T``; every constant is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, linalg, special, stats

from tests.dense import DenseTerm
from tests.differences import elementwise

Array = NDArray[np.float64]
Density = Callable[[Array, Array], Array]  # (y, eta) -> log density of each row

INVERSE_LINKS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
    "cauchit": lambda eta: 0.5 + np.arctan(eta) / np.pi,
    "inverse": lambda eta: 1 / eta,
    "inverse_squared": lambda eta: 1 / np.sqrt(eta),
    "sqrt": np.square,
}


def density(family: str, link: str, *, trials: Array | None = None, dispersion: float = 1.0) -> Density:
    """Log density of ``y`` given ``eta``; ``dispersion`` in glmmTMB's meaning for each family.

    ``binomial``: y counts out of ``trials`` (default 1). ``gaussian``: dispersion is the sd. ``gamma``: 1 / shape.
    ``nbinom2``: Var = mu + mu**2 / dispersion. ``nbinom1``: Var = mu (1 + dispersion). ``beta``, ``beta_binomial``:
    precision. ``inverse_gaussian``: Var = dispersion * mu**3. ``student_t`` would need its df: not here.
    """
    inverse = INVERSE_LINKS[link]
    by_mean = _densities_by_mean(1.0 if trials is None else trials, dispersion)[family]
    return lambda y, eta: by_mean(y, inverse(eta))


def _densities_by_mean(trials: Array | float, phi: float) -> dict[str, Callable[[Array, Array], Array]]:
    n = np.asarray(trials)
    return {
        "gaussian": lambda y, mu: stats.norm.logpdf(y, mu, phi),
        "binomial": lambda y, mu: stats.binom.logpmf(y, n, mu),
        "poisson": lambda y, mu: stats.poisson.logpmf(y, mu),
        "gamma": lambda y, mu: stats.gamma.logpdf(y, 1 / phi, scale=mu * phi),
        "inverse_gaussian": lambda y, mu: stats.invgauss.logpdf(y, mu * phi, scale=1 / phi),
        "nbinom2": lambda y, mu: stats.nbinom.logpmf(y, phi, phi / (phi + mu)),
        "nbinom1": lambda y, mu: stats.nbinom.logpmf(y, mu / phi, 1 / (1 + phi)),
        "beta": lambda y, mu: stats.beta.logpdf(y, mu * phi, (1 - mu) * phi),
        "beta_binomial": lambda y, mu: stats.betabinom.logpmf(y, n, mu * phi, (1 - mu) * phi),
    }


@dataclass(frozen=True)
class DenseGLMM:
    """Response, fixed effects, random terms, log density; ``information`` None is the observed one."""

    y: Array
    X: Array
    terms: tuple[DenseTerm, ...]
    log_density: Density
    offset: Array | float = 0.0
    information: Callable[[Array], Array] | None = None  # eta -> expected weights

    def linear(self, beta: Array) -> Array:
        return self.X @ beta + self.offset

    def spread(self, factors: Sequence[Array]) -> Array:
        """``Z Lambda`` of all terms side by side (n, q)."""
        return np.hstack([t.Z @ np.kron(np.eye(t.n_levels), T) for t, T in zip(self.terms, factors)])

    def slopes(self, eta: Array) -> tuple[Array, Array]:
        """First derivative of the log density and the weights ``-second derivative`` in eta."""
        first, second = elementwise(lambda e: self.log_density(self.y, e), eta)
        return first, -second


def mode(model: DenseGLMM, beta: Array, factors: Sequence[Array], tolerance: float = 1e-11) -> Array:
    """Mode of ``u`` given the data: damped Newton on ``-log f(y | u) + u'u / 2``."""
    ZL, offset = model.spread(factors), model.linear(beta)

    def objective(u: Array) -> float:
        return float(-np.sum(model.log_density(model.y, offset + ZL @ u)) + u @ u / 2)

    u = np.zeros(ZL.shape[1])
    for _ in range(200):
        first, weights = model.slopes(offset + ZL @ u)
        H = ZL.T @ (np.maximum(weights, 0)[:, None] * ZL) + np.eye(len(u))
        step = np.linalg.solve(H, ZL.T @ first - u)
        while objective(u + step) > objective(u) + 1e-12 * abs(objective(u)):
            step = step / 2
        u = u + step
        if np.max(np.abs(step), initial=0.0) < tolerance:
            break
    return u


def laplace(model: DenseGLMM, beta: Array, factors: Sequence[Array]) -> float:
    """Laplace approximation of the log-likelihood: mode and explicit log-determinant."""
    ZL, offset = model.spread(factors), model.linear(beta)
    u = mode(model, beta, factors)
    eta = offset + ZL @ u
    weights = model.slopes(eta)[1] if model.information is None else model.information(eta)
    M = ZL.T @ (weights[:, None] * ZL) + np.eye(len(u))
    return float(np.sum(model.log_density(model.y, eta)) - u @ u / 2 - np.linalg.slogdet(M)[1] / 2)


def _by_group(model: DenseGLMM) -> list[tuple[NDArray[np.intp], Array]]:
    """Rows and covariates (n_g, q) of each level of the only term."""
    (term,) = model.terms
    rows = [np.flatnonzero(term.codes == level) for level in range(term.n_levels)]
    return [(index, term.matrix[index]) for index in rows]


def adaptive_quadrature(model: DenseGLMM, beta: Array, factors: Sequence[Array], nodes: int) -> float:
    """Adaptive Gauss-Hermite with ``nodes**q`` points for one term, group after group."""
    (T,), (term,) = factors, model.terms
    q, ZL, offset = term.q, model.spread(factors), model.linear(beta)
    u = mode(model, beta, factors)
    weights = model.slopes(offset + ZL @ u)[1]
    x, w = np.polynomial.hermite.hermgauss(nodes)
    total = 0.0
    for level, (rows, z) in enumerate(_by_group(model)):
        centre = u.reshape(-1, q)[level]
        zT = z @ T
        root = linalg.cholesky(np.linalg.inv(zT.T @ (weights[rows, None] * zT) + np.eye(q)), lower=True)
        values = []
        for index in product(range(nodes), repeat=q):
            t = x[list(index)]
            point = centre + np.sqrt(2) * root @ t
            fit = _log_density_rows(model, rows, offset[rows] + zT @ point)
            values.append(fit - point @ point / 2 + t @ t + np.sum(np.log(w[list(index)])))
        total += special.logsumexp(values) - q / 2 * np.log(np.pi) + np.log(np.diag(root)).sum()
    return float(total)


def _log_density_rows(model: DenseGLMM, rows: NDArray[np.intp], eta: Array) -> float:
    full = model.linear(np.zeros(model.X.shape[1])) * 0.0
    full[rows] = eta
    return float(np.sum(model.log_density(model.y, full)[rows]))


def exact(model: DenseGLMM, beta: Array, factors: Sequence[Array]) -> float:
    """Log-likelihood of a model with one scalar term by adaptive numerical integration."""
    (T,) = factors
    sd, offset, u = float(T[0, 0]), model.linear(beta), mode(model, beta, factors)
    total = 0.0
    for level, (rows, z) in enumerate(_by_group(model)):

        def log_joint(t: float, rows: NDArray[np.intp] = rows, z: Array = z) -> float:
            return _log_density_rows(model, rows, offset[rows] + sd * z[:, 0] * t) - t**2 / 2

        top = log_joint(u[level])

        def scaled(t: float, top: float = top, f: Callable[[float], float] = log_joint) -> float:
            return float(np.exp(f(t) - top))

        value, _ = integrate.quad(scaled, -12, 12, points=[u[level]], epsabs=0, epsrel=1e-11, limit=500)
        total += top + np.log(value) - np.log(2 * np.pi) / 2
    return float(total)

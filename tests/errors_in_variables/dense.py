"""Models with errors in variables by their definition: dense joint normal densities, brute-force integrals."""

import numpy as np
from scipy import special, stats


def linear(y, X, Z, G, b, sigma2, W, errors, places, units, A, gamma, S):
    """Log-density of the responses and all replicates together, as one multivariate normal.

    ``W`` and ``errors``: lists, for each true value, of replicates (U, r) with nan, and variances (U,) of one error.
    ``X`` holds anything in the columns ``places``; ``units`` (n,) is the unit of each row.
    """
    n, U, K = len(y), len(A), len(places)
    others = np.delete(np.arange(X.shape[1]), places)
    load = np.zeros((n, U))
    load[np.arange(n), units] = 1.0
    mean_x = A @ gamma  # (U, K)
    blocks = [(load * b[p]) for p in places]  # y = ... + sum_k load b_k x_k
    means = [X[:, others] @ b[others] + sum(block @ mean_x[:, k] for k, block in enumerate(blocks))]
    rows = [np.hstack(blocks)]  # in the true values (K U), value by value
    noise = [Z @ G @ Z.T + sigma2 * np.eye(n)]
    values = [y]
    for k in range(K):
        for w in W[k].T:
            there = ~np.isnan(w)
            pick = np.zeros((there.sum(), K * U))
            pick[np.arange(there.sum()), k * U + np.flatnonzero(there)] = 1.0
            rows.append(pick)
            means.append(mean_x[there, k])
            noise.append(np.diag(errors[k][there]))
            values.append(w[there])
    L = np.vstack(rows)
    V = L @ np.kron(S, np.eye(U)) @ L.T
    start = 0
    for block in noise:
        at = slice(start, start + len(block))
        V[at, at] += block
        start += len(block)
    return stats.multivariate_normal.logpdf(np.concatenate(values), np.concatenate(means), V)


def measurements(W, errors, A, gamma, s2):
    """Log-density of the replicates (U, r) of one true value, and its mean and variance given them."""
    llf, mean, var = 0.0, np.empty(len(W)), np.empty(len(W))
    for i, w in enumerate(W):
        w = w[~np.isnan(w)]
        m = A[i] @ gamma
        llf += stats.multivariate_normal.logpdf(w, np.full(w.size, m), s2 + errors[i] * np.eye(w.size))
        precision = 1 / s2 + w.size / errors[i]
        mean[i], var[i] = (m / s2 + w.sum() / errors[i]) / precision, 1 / precision
    return llf, mean, var


def by_rows(log_density, eta, slope, mean, var, groups, sd, *, nodes=80, grid=2001, reach=9.0):
    """Log-likelihood of responses whose true values belong to rows, a random intercept in ``groups`` (None: none)."""
    t, w = special.roots_hermite(nodes)
    z, v = np.linspace(-reach, reach, grid) if groups is not None else np.zeros(1), None
    at = eta + slope * mean
    rows = np.empty((len(z), len(eta)))
    for place, one in enumerate(z):
        inside = at + sd * one + slope * np.sqrt(2 * var) * t[:, None]
        rows[place] = special.logsumexp(log_density(inside), b=w[:, None] / np.sqrt(np.pi), axis=0)
    if groups is None:
        return rows.sum()
    v = stats.norm.logpdf(z) + np.log(z[1] - z[0])
    return sum(special.logsumexp(rows[:, groups == g].sum(axis=1) + v) for g in np.unique(groups))


def by_groups(log_density, eta, slope, mean, var, groups, sd):
    """The same where a true value belongs to a group: a two-dimensional integral a group."""
    t, w = special.roots_hermite(60)
    total = 0.0
    for g in np.unique(groups):
        own = groups == g
        x = mean[g] + np.sqrt(2 * var[g]) * t
        b = sd * np.sqrt(2) * t
        inside = eta[own] + slope * x[:, None, None] + b[None, :, None]
        value = log_density(inside, own).sum(axis=2)
        total += special.logsumexp(value, b=np.outer(w, w) / np.pi)
    return total

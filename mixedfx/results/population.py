"""Averages over the distribution of the random effects: what the population does, not its average member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.design import Design
from mixedfx.linalg.quadrature import hermite_rule

__all__ = ["averaged", "linear_predictor_variance"]

NODES = 61


def linear_predictor_variance(
    design: Design, covariances: Sequence[Array], integrated: Sequence[bool], data: Any = None
) -> Array:
    """Return the variance (n,) that the integrated terms give to the linear predictor of each row.

    Parameters
    ----------
    design : Design
    covariances : sequence of (q, q)
        Of every term.
    integrated : sequence of bool
        Which terms count.
    data : data frame, optional
        New rows; the fitted ones if omitted.
    """
    total: Array | float = 0.0
    for term, covariance, used in zip(design.random, covariances, integrated, strict=True):
        if used:
            matrix = term.matrix if data is None else term.encoder.encode(data)
            share = np.einsum("ia,ab,ib->i", matrix, covariance, matrix)
            if term.loading is not None:
                own = np.einsum("lk,lk->l", term.loading, term.loading)
                codes = term.codes if data is None else term.encode_codes(data)
                share = share * np.where(codes < 0, float(own.mean()), own[codes])
            total = total + share
    return np.asarray(total, dtype=float)


def averaged(function: Callable[[Array], Array], eta: Array, variance: Array) -> Array:
    """Return ``E function(eta + e)`` (n,), ``e ~ N(0, variance)``: any sum of random effects is such a number."""
    rule = hermite_rule(NODES, 1)
    points = eta + np.sqrt(2.0 * variance) * rule.nodes
    weights = np.exp(rule.log_weights - rule.nodes[:, 0] ** 2) / np.sqrt(np.pi)
    return np.asarray(weights @ function(points))

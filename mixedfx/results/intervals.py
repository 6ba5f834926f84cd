"""Confidence intervals of a fit by method: Wald, profile, bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_choice
from mixedfx._workers import Workers
from mixedfx.results.base import MixedResults
from mixedfx.results.quantities import WhichName, checked_which

__all__ = ["confidence_intervals"]


@dataclass(frozen=True)
class _Request:
    """Arguments of ``conf_int``."""

    fit: MixedResults
    alpha: float
    which: WhichName
    n: int
    seed: Any
    workers: Workers


def confidence_intervals(
    fit: MixedResults, alpha: float, method: MethodName, which: WhichName, n: int, seed: Any, workers: Workers
) -> pd.DataFrame:
    """Return the intervals; :meth:`MixedResults.conf_int` calls it."""
    return checked_choice("method", method, METHODS)(_Request(fit, alpha, which, n, seed, workers))


def _wald(request: _Request) -> pd.DataFrame:
    """Limits on the scales of the table: of standard deviations the logarithm, of correlations Fisher's."""
    fit, parts = request.fit.solution, checked_which(request.which)
    reach = float(special.ndtri(1.0 - 0.5 * request.alpha))
    tables = []
    for part in parts:
        if part == "fixed":  # with degrees of freedom
            tables.append(request.fit._wald_interval(request.alpha))
            continue
        entries = [entry for entry in fit.reported if entry.part == part]
        limits = [entry.wald_limits(fit.likelihood.phi, fit.phi_covariance, reach) for entry in entries]
        index = pd.Index([entry.name for entry in entries], dtype=object)
        tables.append(pd.DataFrame(np.array(limits).reshape(-1, 2), index=index, columns=["lower", "upper"]))
    tables = [table for table in tables if len(table)]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["lower", "upper"], dtype=float)


def _profile(request: _Request) -> pd.DataFrame:
    from mixedfx.results.profile import profile

    profiles = profile(request.fit, n_jobs=request.workers.n_jobs, progress=request.workers.progress)
    return profiles.conf_int(request.alpha, request.which)


def _bootstrap(request: _Request) -> pd.DataFrame:
    from mixedfx.results.bootstrap import bootstrap

    n_jobs, progress = request.workers.n_jobs, request.workers.progress
    replicates = bootstrap(request.fit, request.n, seed=request.seed, n_jobs=n_jobs, progress=progress)
    return replicates.conf_int(request.alpha, request.which)


MethodName: TypeAlias = Literal["wald", "profile", "bootstrap"]

METHODS: dict[str, Callable[[_Request], pd.DataFrame]] = {
    "wald": _wald,
    "profile": _profile,
    "bootstrap": _bootstrap,
}
"""Methods by name."""

"""Cluster-robust tests of fixed effects: standard errors that hold where the random part or the variances are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_choice
from mixedfx._display import Block
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.cluster_robust import KINDS, ClusterRobust, Kind, KindName, cluster_sums, score_robust
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.marginal_blocks import RowBlocks
from mixedfx.matrices import nested_in
from mixedfx.results.adapted import AdaptedFit
from mixedfx.results.adapters import mixed_fit
from mixedfx.results.base import MixedResults
from mixedfx.results.resampling import Clusters, labelled_rows, named_clusters
from mixedfx.results.tested import Calibrated, TestedCoefficients
from mixedfx.results.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.fitting import LinearFit
    from mixedfx.fitting.generalized import GeneralizedFit

__all__ = ["Robust", "robust"]

MOST_ROWS = 2000  # of a cluster: its covariance matrix is factorised
INSTEAD = 'or resample: mfx.bootstrap(fit, method="cluster")'
UNFINISHED = "The fit did not converge: its tests rest on what the search came to; see fit.certificate."
FEW = 10  # degrees of freedom below which robust tests deserve a word


@hinting_methods
@dataclass(frozen=True, eq=False, repr=False)
class Robust(TestedCoefficients):
    """Fixed effects of a fit with cluster-robust standard errors; made by :meth:`MixedResults.robust`.

    Attributes
    ----------
    fit : results
    clusters : Clusters
    kind : str
    denominator : Denominator
        Their covariance, and the degrees of freedom of its tests.
    """

    fit: MixedResults
    clusters: Clusters
    kind: str
    denominator: Denominator

    @property
    def errors(self) -> str:
        """Whose standard errors they are, in words."""
        return f"{self.kind} standard errors by {self.n_clusters} clusters: {self.clusters.group}"

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return self.clusters.count

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,), those of the fit."""
        return self.fit.params

    @cached_property
    def _calibrated(self) -> Calibrated:
        fit = self.fit
        return Calibrated(
            fit,
            self.denominator,
            partial(getattr, fit.solution, "cross_product_root"),
            "robust",
            "the fit, robust.fit",
            remarks=self._doubts,
        )

    @property
    def _doubts(self) -> tuple[str, ...]:
        """Notes on what the tests are worth."""
        df = pd.Series(self.denominator.of_rows(np.eye(len(self.params))), self.params.index)
        told = [
            f"The test of coefficient {name} has {smallest:.1f} degrees of freedom only: few clusters say what it is."
            for name, smallest in df[df < FEW].nsmallest(1).items()
        ]
        return (*told, *([UNFINISHED] if not self.fit.converged else []))

    def _analyses(self, *, random: bool, further: bool) -> tuple[AdaptedFit, ...]:
        return (mixed_fit(self.fit, self.denominator, random=random, further=further),)

    @property
    def varcorr(self) -> VarCorr:
        """Variances and covariances of the random effects, and of the residual, those of the fit."""
        return self.fit.varcorr

    # ---------------------------------------------------------------- tables
    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the coefficients: ``estimate, se, df, t, pvalue, lower, upper``.

        Parameters
        ----------
        alpha : float
            One minus the level of the limits.
        """
        return self._coefficients.to_frame(checked_alpha(alpha))

    def _layout(self) -> tuple[str, str, Sequence[Block], Sequence[str]]:
        notes = [f"{self.errors}.", f"Degrees of freedom by {self.denominator.label}.", *self._doubts]
        return "Cluster-robust tests of fixed effects", "", (), notes


def robust(fit: MixedResults, cluster: str | Sequence[Any] | None, kind: KindName | None) -> Robust:
    """Return cluster-robust tests; :meth:`MixedResults.robust` calls it."""
    solution = fit.solution
    fit.design.need_rows("cluster-robust standard errors")
    if not solution.robust_kinds:
        how = f"{solution.heading}, {solution.integration}".rstrip(", ")
        raise SpecificationError(
            "cluster-robust standard errors are for fits of lmer, and of glmer by Laplace or quadrature (nagq of 1 or "
            f"more), all exactly solved; found {how}: fit one of these, {INSTEAD}"
        )
    chosen = checked_choice("kind", solution.robust_kinds[-1] if kind is None else kind, KINDS)
    if chosen.name not in solution.robust_kinds:
        raise SpecificationError(
            f"kind={chosen.name!r} is for linear mixed models; this fit has {' and '.join(solution.robust_kinds)}: "
            f"take kind={solution.robust_kinds[-1]!r}, {INSTEAD}"
        )
    if fit.separation_notes:
        raise DataError(
            f"the outcomes are told apart perfectly by {fit.certificate.culprits}, without a finite estimate, so that "
            "there is no cluster-robust standard error: compare models by the likelihood ratio, mfx.anova(smaller, "
            "larger), or fit with penalty=0.1"
        )
    clusters = independent_clusters(fit, cluster)
    return Robust(fit, clusters, chosen.name, _denominator(fit, clusters, chosen))


def _denominator(fit: MixedResults, clusters: Clusters, kind: Kind) -> Denominator:
    codes = clusters.codes
    if not fit.solution.response.has_normal_residuals:
        return score_robust(cast("GeneralizedFit", fit.solution), codes, kind)
    widest = RowBlocks(codes).widest
    if widest > MOST_ROWS:
        raise DataError(
            f"the largest cluster of {clusters.group!r} has {widest} rows, and covariance matrices of more than "
            f"{MOST_ROWS} are not factorised: take smaller clusters that hold each level whole, {INSTEAD}"
        )
    solution = cast("LinearFit", fit.solution)
    return ClusterRobust(solution, cluster_sums(solution, codes, kind))


# ---------------------------------------------------------------- clusters
def independent_clusters(fit: MixedResults, cluster: str | Sequence[Any] | None) -> Clusters:
    """Return the clusters that a user names, or the levels of the outermost grouping factor.

    Raises
    ------
    SpecificationError
        If rows of different clusters share random effects or correlated residuals, or there is no outermost factor.
    DataError
        If there are fewer than two clusters, or labels are missing.
    """
    parts = _dependent(fit)
    chosen = _outermost(parts) if cluster is None else _named(fit, cluster)
    for name, codes in parts.items():
        if not nested_in(codes, chosen.codes):
            raise SpecificationError(
                f"rows of different clusters ({chosen.group!r}) share {name}, so that they are not independent: take "
                f"clusters that hold each level whole, {INSTEAD}"
            )
    if chosen.count < 2:
        raise DataError(f"cluster-robust standard errors need at least two clusters; {chosen.group!r} has one level")
    return chosen


def _dependent(fit: MixedResults) -> dict[str, IntArray]:
    """What rows have in common, in words, with its level (n,) for every row."""
    parts: dict[str, IntArray] = {}
    for term in fit.design.random:
        if term.pooled is not None or term.loading is not None:
            raise SpecificationError(
                f"rows of all clusters share the random effects of {term.term}, so that clusters are not independent: "
                "take mfx.bootstrap(fit)"
            )
        parts[f"levels of {term.group}"] = term.codes
    bound = fit.solution.residual
    if bound is not None and bound.groups is not None:
        parts["correlated residuals"] = bound.groups
    return parts


def _outermost(parts: dict[str, IntArray]) -> Clusters:
    if not parts:
        raise SpecificationError('the model has no groups that could be the clusters: name them, cluster="school"')
    for name, codes in parts.items():
        if all(nested_in(other, codes) for other in parts.values()):
            return Clusters(name.removeprefix("levels of "), codes, int(codes.max()) + 1)
    raise SpecificationError(
        f"{' and '.join(parts)} are crossed, so that no clusters are independent: name larger ones by cluster=, "
        "or take mfx.bootstrap(fit)"
    )


def _named(fit: MixedResults, cluster: str | Sequence[Any]) -> Clusters:
    if isinstance(cluster, list | tuple) and not cluster:
        raise SpecificationError("cluster is the name of a column, or one label for every row; found none")
    if isinstance(cluster, list | tuple) and len(cluster) < fit.nobs and all(isinstance(name, str) for name in cluster):
        raise SpecificationError(
            f"cluster={list(cluster)!r}: name one column, cluster={cluster[0]!r}, or give one label for every row"
        )
    if not isinstance(cluster, str):
        codes, levels, name = labelled_rows(fit, "cluster", cluster)
        return Clusters(name, codes, len(levels))
    return named_clusters(fit, cluster)

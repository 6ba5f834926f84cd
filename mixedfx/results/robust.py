"""Cluster-robust tests of fixed effects: standard errors that hold where the random part or the variances are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_choice
from mixedfx._display import StatsTable, Summary
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.cluster_robust import KINDS, ClusterRobust, Kind, KindName, cluster_sums, score_robust
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.hypothesis import Hypothesis
from mixedfx.inference.marginal_blocks import RowBlocks
from mixedfx.inference.wald import JointTest, RowTests, joint_test, row_tests
from mixedfx.matrices import nested_in
from mixedfx.results.base import MixedResults
from mixedfx.results.resampling import Clusters, labelled_rows, named_clusters
from mixedfx.results.tested import TestedCoefficients

if TYPE_CHECKING:
    from mixedfx.fitting import LinearFit
    from mixedfx.fitting.generalized import GeneralizedFit

__all__ = ["Robust", "robust"]

MOST_ROWS = 2000  # of a cluster: its covariance matrix is factorised
INSTEAD = 'or resample: mfx.bootstrap(fit, method="cluster")'
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
    def n_clusters(self) -> int:
        """Number of clusters."""
        return self.clusters.count

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,), those of the fit."""
        return self.fit.params

    def cov_params(self) -> pd.DataFrame:
        """Return the cluster-robust covariance (p, p) of the fixed effects."""
        names = self.params.index
        return pd.DataFrame(self.denominator.covariance.copy(), index=names, columns=names)

    def _single(self, hypothesis: Hypothesis) -> RowTests:
        return row_tests(hypothesis, np.asarray(self.params, dtype=float), self.denominator)

    def _joint(self, hypothesis: Hypothesis) -> JointTest:
        return joint_test(hypothesis, np.asarray(self.params, dtype=float), self.denominator)

    @property
    def _terms(self) -> Mapping[str, Sequence[int]]:
        return self.fit.design.fixed.terms

    # ---------------------------------------------------------------- tables
    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the coefficients: ``estimate, se, df, t, pvalue, lower, upper``.

        Parameters
        ----------
        alpha : float
            One minus the level of the limits.
        """
        return self._coefficients.to_frame(checked_alpha(alpha))

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the table of the coefficients.

        Parameters
        ----------
        alpha : float
            One minus the level of the limits.

        Returns
        -------
        Summary
            Prints as text; HTML in notebooks; ``as_latex``, ``as_csv``, ``as_markdown``, ``tables``.
        """
        found = self._coefficients.summary(checked_alpha(alpha))
        notes = [f"{self.kind} standard errors by {self.n_clusters} clusters: {self.clusters.group}.", *found.notes]
        smallest = float(self.df.min()) if len(self.df) else np.inf
        if smallest < FEW:
            notes.append(
                f"Some tests have {smallest:.1f} degrees of freedom only: few clusters say what these coefficients are."
            )
        return Summary(found.blocks, title="Cluster-robust tests of fixed effects", notes=tuple(notes))

    def anova(self, **options: Any) -> StatsTable:
        """Test the terms of the model by the robust covariance: :func:`mixedfx.anova`.

        Parameters
        ----------
        **options
            ``type`` (1, 2 or 3).
        """
        table: StatsTable = higher("anova")(self.fit, ddf=self.denominator, **_without_own(options))
        return table

    def emmeans(self, specs: Any = None, by: Any = None, **options: Any) -> Any:
        """Return marginal means and contrasts with robust standard errors: :func:`mixedfx.emmeans`.

        Parameters
        ----------
        specs, by : str or list of str
            The factors whose means are wanted, and those within whose levels they are compared.
        **options
            Further arguments of :func:`mixedfx.emmeans`, but for ``ddf`` and ``integrate``.
        """
        return higher("emmeans")(self.fit, specs, by, ddf=self.denominator, **_without_own(options))


def _without_own(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that robust tests have an answer of their own for, or none."""
    if "ddf" in options:
        raise SpecificationError("robust tests have degrees of freedom of their own: leave out ddf=")
    if options.get("integrate"):
        raise SpecificationError(
            "means over the distribution of the random effects have no robust standard errors, as they depend on the "
            "variances too: leave out integrate="
        )
    return options


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
    if not isinstance(cluster, str):
        codes, levels, name = labelled_rows(fit, "cluster", cluster)
        return Clusters(name, codes, len(levels))
    return named_clusters(fit, cluster)

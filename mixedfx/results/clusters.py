"""Independent clusters of rows: which grouping factor has them, and fits to clusters drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mixedfx._typing import IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import Design, RandomEffects, nested_in
from mixedfx.matrices.fixed import full_rank
from mixedfx.results.base import MixedResults

__all__ = ["Clusters", "clusters_of", "refit_rows"]


@dataclass(frozen=True)
class Clusters:
    """The levels of one grouping factor as sets of rows.

    Attributes
    ----------
    group : str
    codes : (n,)
        Cluster of every row.
    count : int
    """

    group: str
    codes: IntArray
    count: int

    def rows(self, drawn: IntArray) -> tuple[IntArray, IntArray]:
        """Return the rows of the clusters ``drawn`` (m,), and the position in ``drawn`` to which each row belongs."""
        order = np.argsort(self.codes, kind="stable")
        sizes = np.bincount(self.codes, minlength=self.count)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        own = sizes[drawn]
        position = np.repeat(np.arange(drawn.size), own)
        within = np.arange(position.size) - np.repeat(np.cumsum(own) - own, own)
        return order[starts[drawn][position] + within], position


def clusters_of(fit: MixedResults, group: str | None) -> Clusters:
    """Return the clusters of the grouping factor in whose levels those of all others lie, or of the one named.

    Raises
    ------
    SpecificationError
        If there is none, or the rows of different levels are not independent.
    """
    terms = fit.design.random
    if fit.solution.residual is not None:
        raise SpecificationError('clusters are not resampled under a residual structure: use method="parametric"')
    if any(term.loading is not None for term in terms):
        raise SpecificationError('levels with a known covariance are not independent: use method="parametric"')
    names = list(dict.fromkeys(term.group for term in terms))
    if group is not None and group not in names:
        raise SpecificationError(f"cluster is one of {', '.join(map(repr, names))}; found {group!r}")
    chosen = [term for term in terms if term.group == group] if group is not None else _outermost(terms)
    if not chosen:
        raise SpecificationError(
            f"the grouping factors {', '.join(names)} are crossed, so that no level is independent of the others: use "
            f'method="parametric", or cluster={names[0]!r} to resample its levels as they are'
        )
    return Clusters(chosen[0].group, chosen[0].codes, chosen[0].n_levels)


def _outermost(terms: tuple[RandomEffects, ...]) -> list[RandomEffects]:
    return [term for term in terms if all(nested_in(other.codes, term.codes) for other in terms)]


def refit_rows(fit: MixedResults, clusters: Clusters, drawn: IntArray) -> MixedResults:
    """Fit the model to the clusters ``drawn`` (m,); a cluster that is drawn twice counts as two.

    Raises
    ------
    DataError
        If the fixed effects cannot all be estimated from them.
    """
    rows, position = clusters.rows(drawn)
    design = _taken(fit.design, clusters, rows, position)
    return fit._refitted(fit.solution.on_rows(design, rows))


def _taken(design: Design, clusters: Clusters, rows: IntArray, position: IntArray) -> Design:
    response = replace(
        design.response,
        values=design.response.values[rows],
        trials=None if design.response.trials is None else design.response.trials[rows],
    )
    matrix = full_rank(design.fixed.matrix[rows], design.fixed.names)
    return replace(
        design,
        response=response,
        fixed=replace(design.fixed, matrix=matrix),
        random=tuple(_regrouped(term, clusters, rows, position) for term in design.random),
        weights=None if design.weights is None else design.weights[rows],
        offset=None if design.offset is None else design.offset[rows],
        index=pd.RangeIndex(rows.size),
        keep=None,
    )


def _regrouped(term: RandomEffects, clusters: Clusters, rows: IntArray, position: IntArray) -> RandomEffects:
    """A term in new rows: levels within a cluster are new ones each time that it is drawn."""
    key = term.codes[rows]
    if nested_in(term.codes, clusters.codes):
        key = position * term.n_levels + key
    distinct, codes = np.unique(key, return_inverse=True)
    levels: pd.Index[int] = pd.RangeIndex(distinct.size, name=term.group)
    return replace(term, codes=codes.astype(np.intp), levels=levels, matrix=np.asfortranarray(term.matrix[rows]))

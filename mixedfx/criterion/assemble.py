"""From the random-effects terms of a design to the rows of the engine and the map from theta to its factors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.criterion.parameters import CovarianceModel, TermSlot
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.layout import analyse

__all__ = ["Assembly", "TermRows", "assemble"]


@dataclass(frozen=True)
class TermRows:
    """One random-effects term as arrays.

    Attributes
    ----------
    group : hashable
        Terms of equal ``group`` share a grouping factor.
    codes : (n,)
        Level of every row.
    n_levels : int
    z : (q, n)
        Covariates of every row.
    covariance : Covariance
    loading : (m, m), optional
        The levels' a priori covariance is ``loading @ loading.T`` instead of the identity.
    """

    group: Hashable
    codes: IntArray
    n_levels: int
    z: Array
    covariance: Covariance
    loading: Array | None = None


@dataclass(frozen=True)
class Assembly:
    """Rows in elimination order, the covariance model, and where each term's effects are found.

    ``places`` gives, for every term in the order of the formula, its factor and its coefficients among the factor's.
    """

    rows: Rows
    covariance: CovarianceModel
    places: tuple[tuple[int, slice], ...]


def assemble(terms: Sequence[TermRows], columns: Array) -> Assembly:
    """Merge terms that share a grouping factor, and order the factors for elimination.

    Parameters
    ----------
    terms : sequence of TermRows
    columns : (n, c)
        Dense columns: fixed effects, then response.
    """
    members: dict[Hashable, list[int]] = {}
    for position, term in enumerate(terms):
        key = term.group if term.loading is None else (term.group, "loading", position)
        members.setdefault(key, []).append(position)
    groups = list(members.values())
    first = [terms[own[0]] for own in groups]
    sizes = [sum(terms[i].covariance.size for i in own) for own in groups]
    layout = analyse(
        [t.codes for t in first], [t.n_levels for t in first], sizes, [t.loading is not None for t in first]
    )
    slots: list[TermSlot | None] = [None] * len(terms)
    starts = np.cumsum([0] + [t.covariance.n_theta for t in terms])
    z, loadings = [], {}
    for factor, group in enumerate(layout.order):
        own = groups[group]
        z.append(terms[own[0]].z if len(own) == 1 else np.concatenate([terms[i].z for i in own]))
        loading = terms[own[0]].loading
        if loading is not None:
            loadings[factor] = loading
        used = 0
        for i in own:
            at = slice(used, used + terms[i].covariance.size)
            used = at.stop
            slots[i] = TermSlot(terms[i].covariance, factor, at, slice(int(starts[i]), int(starts[i + 1])))
    placed = tuple(slot for slot in slots if slot is not None)
    return Assembly(
        Rows(layout, tuple(z), columns, loadings),
        CovarianceModel(placed, layout.sizes),
        tuple((slot.factor, slot.coefficients) for slot in placed),
    )

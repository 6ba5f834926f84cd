"""The model that the design determines: the one that was written, less what no data of this design could tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance import Covariance, DiagonalCovariance
from mixedfx.formula import RandomTerm
from mixedfx.matrices.build import Design
from mixedfx.matrices.encoder import Encoder
from mixedfx.matrices.identification import NO_NOISE, Identification, Noise, identify
from mixedfx.matrices.random import RandomEffects
from mixedfx.matrices.rows import Rows

__all__ = ["SelectedEncoder", "identified_twin"]


@dataclass(frozen=True)
class SelectedEncoder(Encoder):
    """Some of the columns of another encoder.

    Parameters
    ----------
    whole : Encoder
    chosen : tuple of int
        Positions of the columns.
    """

    whole: Encoder
    chosen: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the chosen columns."""
        return tuple(self.whole.names[j] for j in self.chosen)

    @property
    def terms(self) -> dict[str, tuple[int, ...]]:  # type: ignore[override]
        """Positions of the columns of each term among the chosen ones."""
        place = {old: new for new, old in enumerate(self.chosen)}
        return {term: tuple(place[j] for j in own if j in place) for term, own in self.whole.terms.items()}

    @property
    def expressions(self) -> tuple[str, ...]:
        """The expressions of which the terms are products."""
        return self.whole.expressions

    @property
    def functions(self) -> Mapping[str, Any]:
        """The user's own functions."""
        return self.whole.functions

    def columns(self, rows: Rows) -> Array:
        """Return the columns (n, p)."""
        return np.asfortranarray(self.whole.columns(rows)[:, list(self.chosen)])


def identified_twin(design: Design, noise: Noise = NO_NOISE, X: Array | None = None) -> Design:
    """Return the design without the random effects whose variances nothing can tell, and with what was found.

    Parameters
    ----------
    design : Design
    noise : Noise
        What the rows have beside random effects.
    X : (n, p) array, optional
        Fixed effects that can take the place of random ones; those of the design if omitted.
    """
    found = identify(design.fixed.matrix if X is None else X, design.random, noise)
    if not found.findings:
        return design
    places = [k for k, own in enumerate(found.kept) if own]
    formula = replace(
        design.formula, random=tuple(_written(design.formula.random[k], found.covariances[k]) for k in places)
    )
    random = tuple(_selected(design.random[k], k, found) for k in places)
    return replace(design, formula=formula, random=random, undetermined=found.findings)


def _written(term: RandomTerm, covariance: Covariance) -> RandomTerm:
    independent = isinstance(covariance, DiagonalCovariance) and term.covariance == "us"
    return replace(term, covariance="diag") if independent else term


def _selected(term: RandomEffects, k: int, found: Identification) -> RandomEffects:
    own = found.kept[k]
    if len(own) == term.n_columns:
        return replace(term, covariance=found.covariances[k])
    return replace(
        term,
        matrix=np.asfortranarray(term.matrix[:, list(own)]),
        names=tuple(term.names[j] for j in own),
        covariance=found.covariances[k],
        encoder=SelectedEncoder(term.encoder, own),
    )

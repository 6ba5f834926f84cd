"""Which grouping factors lie within which: the plates of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.matrices import RandomEffects, nested_in
from mixedfx.results.base import MixedResults

__all__ = ["Arrangement", "Plate", "arrange", "plates_of"]


@dataclass(frozen=True)
class Plate:
    """A grouping factor and what stands once for each of its levels.

    Attributes
    ----------
    name : str
        ``"batch:cask"``.
    count : int
        Number of levels.
    codes : numpy.ndarray
        Level of each row (n,).
    terms : tuple of int
        Positions of its random-effects terms in the formula.
    predictors : tuple of str
        Fixed terms that are constant within its levels (and within those of no coarser plate).
    """

    name: str
    count: int
    codes: IntArray
    terms: tuple[int, ...]
    predictors: tuple[str, ...] = ()

    def within(self, other: Plate) -> bool:
        """Whether each level lies within one level of ``other``."""
        return nested_in(self.codes, other.codes)


@dataclass(frozen=True)
class Arrangement:
    """Plates sorted for drawing, each tuple from the coarsest to the finest.

    Attributes
    ----------
    outer : tuple of Plate
        All others lie within these.
    left, right : tuple of Plate
        Two crossed chains: they overlap.
    inner : tuple of Plate
        These lie within all others.
    apart : tuple of tuple of Plate
        Further crossed chains, which only share the response with the rest.
    predictors : tuple of str
        Fixed terms that vary within every plate.
    """

    outer: tuple[Plate, ...]
    left: tuple[Plate, ...]
    right: tuple[Plate, ...]
    inner: tuple[Plate, ...]
    apart: tuple[tuple[Plate, ...], ...]
    predictors: tuple[str, ...]


def plates_of(fit: MixedResults) -> tuple[tuple[Plate, ...], tuple[str, ...]]:
    """Return the plates of a model, coarsest first, and the fixed terms that vary within all of them."""
    design = fit.design
    by_group: dict[str, list[int]] = {}
    for position, term in enumerate(design.random):
        by_group.setdefault(term.group, []).append(position)
    found = sorted((_plate(design.random, terms) for terms in by_group.values()), key=lambda plate: plate.count)
    columns = {name: list(at) for name, at in design.fixed.terms.items() if name != "Intercept" and at}
    out = []
    for plate in found:
        constant = [name for name, at in columns.items() if _constant(design.fixed.matrix[:, at], plate)]
        columns = {name: at for name, at in columns.items() if name not in constant}
        out.append(Plate(plate.name, plate.count, plate.codes, plate.terms, tuple(constant)))
    return tuple(out), tuple(columns)


def _plate(random: Sequence[RandomEffects], terms: Sequence[int]) -> Plate:
    first = random[terms[0]]
    return Plate(first.group, first.n_levels, first.codes, tuple(terms))


def _constant(columns: Array, plate: Plate) -> bool:
    """Whether columns (n, k) have one value within each level."""
    some_row = np.zeros(plate.count, dtype=np.intp)
    some_row[plate.codes] = np.arange(len(plate.codes))
    return bool(np.array_equal(columns, columns[some_row[plate.codes]]))


def arrange(fit: MixedResults) -> Arrangement:
    """Return the plates of a model sorted into nested and crossed ones."""
    plates, predictors = plates_of(fit)
    rank = {plate.name: i for i, plate in enumerate(plates)}
    inside = {
        (a.name, b.name): a is not b and a.within(b) and (not b.within(a) or rank[b.name] < rank[a.name])
        for a in plates
        for b in plates
    }

    outer, rest = _peeled(plates, lambda p, others: all(o is p or inside[o.name, p.name] for o in others))
    inner, rest = _peeled(rest[::-1], lambda p, others: all(o is p or inside[p.name, o.name] for o in others))
    chains: list[list[Plate]] = []
    for plate in rest[::-1]:
        home = next((chain for chain in chains if inside[plate.name, chain[-1].name]), None)
        if home is None:
            chains.append([plate])
        else:
            home.append(plate)
    left, right, *apart = (tuple(chain) for chain in [*chains, [], []])
    return Arrangement(outer, left, right, inner[::-1], tuple(chain for chain in apart if chain), predictors)


def _peeled(
    plates: Sequence[Plate], ahead: Callable[[Plate, Sequence[Plate]], bool]
) -> tuple[tuple[Plate, ...], tuple[Plate, ...]]:
    """Take plates off the front as long as they stand ahead of all that remain."""
    count = 0
    while count < len(plates) and ahead(plates[count], plates[count:]):
        count += 1
    return tuple(plates[:count]), tuple(plates[count:])

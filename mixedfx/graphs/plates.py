"""The plates of a model: its grouping factors, what stands once for each of their levels, and how they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.matrices import Design, RandomEffects, nested_in

__all__ = ["Arrangement", "Links", "Plate", "Scheme", "arrange", "links_of", "plates_of", "pooled_plates"]


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
    outside : tuple of Plate
        Those in which no row lies.
    """

    outer: tuple[Plate, ...]
    left: tuple[Plate, ...]
    right: tuple[Plate, ...]
    inner: tuple[Plate, ...]
    apart: tuple[tuple[Plate, ...], ...]
    predictors: tuple[str, ...]
    outside: tuple[Plate, ...] = ()


def plates_of(design: Design) -> tuple[tuple[Plate, ...], tuple[str, ...]]:
    """Return the plates of a model, coarsest first, and the fixed terms that vary within all of them."""
    by_group: dict[str, list[int]] = {}
    for position, term in enumerate(design.random):
        if term.pooled is None:
            by_group.setdefault(term.group, []).append(position)
    plates = sorted((_plate(design.random, terms) for terms in by_group.values()), key=lambda plate: plate.count)
    columns = {name: list(at) for name, at in design.fixed.terms.items() if name != "Intercept" and at}
    out = []
    for plate in plates:
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


def pooled_plates(design: Design) -> tuple[Plate, ...]:
    """Return the plates in which no row lies: of coefficients of a smooth, and of levels of which a row has several."""
    none = np.zeros(0, dtype=np.intp)
    return tuple(
        Plate(term.group, term.n_columns, none, (k,)) for k, term in enumerate(design.random) if term.pooled is not None
    )


def arrange(design: Design) -> Arrangement:
    """Return the plates of a model sorted into nested and crossed ones."""
    plates, predictors = plates_of(design)
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
    further = tuple(chain for chain in apart if chain)
    return Arrangement(outer, left, right, inner[::-1], further, predictors, pooled_plates(design))


def _peeled(
    plates: Sequence[Plate], ahead: Callable[[Plate, Sequence[Plate]], bool]
) -> tuple[tuple[Plate, ...], tuple[Plate, ...]]:
    """Take plates off the front as long as they stand ahead of all that remain."""
    count = 0
    while count < len(plates) and ahead(plates[count], plates[count:]):
        count += 1
    return tuple(plates[:count]), tuple(plates[count:])


# ------------------------------------------------------------------ what enters where
@dataclass(frozen=True)
class Links:
    """What the mean of each random effect and the linear predictor are made of.

    Attributes
    ----------
    means : dict of int to tuple of str
        Random term to the fixed terms in the mean of its effects: those that are constant within its levels.
    shifts : dict of int to tuple of int
        Random term to the terms of coarser factors in the mean of its effects.
    direct : tuple of int
        Random terms that enter the linear predictor.
    predictors : tuple of str
        Fixed terms that do.
    """

    means: dict[int, tuple[str, ...]]
    shifts: dict[int, tuple[int, ...]]
    direct: tuple[int, ...]
    predictors: tuple[str, ...]

    @property
    def centred(self) -> frozenset[int]:
        """Random terms whose effects have a mean of their own."""
        return frozenset((*self.means, *self.shifts))


def links_of(design: Design, *, centered: bool) -> Links:
    """Return what enters where.

    Parameters
    ----------
    design : Design
    centered : bool
        Whether predictors that are constant within the levels of a factor, and the effects of coarser factors, enter
        by the mean of its random effects; otherwise all enter the linear predictor.
    """
    plates, within = plates_of(design)
    everything = tuple(range(len(design.random)))
    if not centered:
        return Links({}, {}, everything, (*(name for plate in plates for name in plate.predictors), *within))
    means, predictors = {}, list(within)
    for plate in plates:
        home = next((k for k in plate.terms if _takes_constants(design.random[k])), None)
        if home is None or not plate.predictors:
            predictors += plate.predictors
        else:
            means[home] = plate.predictors
    shifts: dict[int, list[int]] = {}
    direct = [k for k, term in enumerate(design.random) if term.pooled is not None]
    for i, plate in enumerate(plates):
        finer = [other for other in plates[i + 1 :] if other.within(plate)]
        for k in plate.terms:
            homes = [_home(design.random, name, finer) for name in design.random[k].names]
            for home in dict.fromkeys(h for h in homes if h is not None):
                shifts.setdefault(home, []).append(k)
            if None in homes:
                direct.append(k)
    return Links(means, {k: tuple(v) for k, v in shifts.items()}, tuple(sorted(direct)), tuple(predictors))


def _takes_constants(term: RandomEffects) -> bool:
    """Whether what is constant within levels can enter by the mean of the term's effects."""
    return term.loading is None and any(bool(np.all(column == 1.0)) for column in term.matrix.T)


def _home(random: Sequence[RandomEffects], name: str, finer: Sequence[Plate]) -> int | None:
    """The term of the next finer factor that has a coefficient of this name; None where there is none, or no next."""
    found = [
        (plate, k) for plate in finer for k in plate.terms if name in random[k].names and random[k].loading is None
    ]
    if not found or any(not other.within(found[0][0]) for other, _ in found):
        return None
    return found[0][1]


@dataclass(frozen=True)
class Scheme:
    """A model as a picture of its plates needs it: what lies where, and the names of the nodes.

    Attributes
    ----------
    arrangement : Arrangement
    links : Links
    n_rows : int
    response, predictor : str
    effects, spreads : tuple of str
        By random term.
    columns : tuple of tuple of str
        Names of the coefficients of a level, by random term.
    slopes : dict of int to str
        Coefficients of what enters by the mean of a term's effects.
    shapes : tuple of str
        Parameters of the response.
    """

    arrangement: Arrangement
    links: Links
    n_rows: int
    response: str
    predictor: str
    effects: tuple[str, ...]
    spreads: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    slopes: dict[int, str]
    shapes: tuple[str, ...]

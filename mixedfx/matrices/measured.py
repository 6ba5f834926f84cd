"""The measurements of values that are measured with error: replicates, their errors, and whose true values they are.

The design has a column ``me(w)`` of the means of the replicates that are there. A true value belongs to a row, or to a
group in which all measurements are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula.measured import Measured
from mixedfx.matrices.build import Design
from mixedfx.matrices.columns import DataColumn, column_from_array
from mixedfx.matrices.fixed import independent_columns
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.matrices.random import RandomEffects

__all__ = ["MeasuredFrame", "Measurements", "measurements_of", "with_means"]

SPREAD = 1e-12  # of squared replicates around their means, relative to the measurements, below which there is none


class MeasuredFrame(Frame):
    """A frame with the columns ``me(w)`` beside its own.

    Parameters
    ----------
    frame : Frame
    means : dict of str to (n,)
    """

    def __init__(self, frame: Frame, means: dict[str, Array]) -> None:
        super().__init__((*frame.names, *means), frame.index, frame.unnamed)
        self.frame, self._means = frame, means

    def _convert(self, name: str) -> DataColumn:
        return column_from_array(name, self._means[name]) if name in self._means else self.frame.column(name)


def with_means(data: Any, measured: Sequence[Measured], *, errors: bool) -> Frame:
    """Return the data with a column of the mean measurement for every true value, nan where there is none.

    Parameters
    ----------
    data : data frame
    measured : sequence of Measured
    errors : bool
        Whether the columns with the sizes of the errors are needed: where they are missing the measurement is none.
        Without, data that have the true value itself, as a column ``me(w)``, keep it.
    """
    frame = as_frame(data)
    means = {}
    for one in measured:
        if not errors and one.name in frame:
            continue
        present = [name for name in one.columns if errors or name in frame]
        if not errors and not present:
            frame.require([one.columns[0]])
        frame.require(present)
        values = np.column_stack([frame.column(name).numbers for name in present])
        mean = _means(values)
        if errors and isinstance(one.size, str):
            frame.require([one.size])
            mean = np.where(np.isnan(frame.column(one.size).numbers), np.nan, mean)
        means[one.name] = mean
    return MeasuredFrame(frame, means)


def _means(values: Array) -> Array:
    """Mean (n,) over the replicates (n, r) that are there; nan where none is."""
    there = ~np.isnan(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))


@dataclass(frozen=True)
class Measurements:
    """What was measured of K true values in U units: the rows, or the levels of a group.

    Attributes
    ----------
    measured : tuple of Measured
    places : (K,)
        Positions of the true values among the fixed effects.
    codes : (n,) or None
        Unit of every row; None where every row is one.
    group : str
        The grouping factor whose levels are the units; empty for rows.
    term : RandomEffects or None
        A random term of that factor.
    means : (U, K)
        Mean measurement.
    counts : (U, K)
        Number of replicates.
    variances : (U, K)
        Variance of the error of one replicate; nan where replicates are to tell it.
    within_units : (U, K)
        Sum of squares of the replicates of a unit around their mean.
    Z : (U, p)
        What else is known of a unit: the other fixed effects, their means in a group; an intercept in any case.
    z_names : tuple of str
    """

    measured: tuple[Measured, ...]
    places: IntArray
    codes: IntArray | None
    group: str
    term: RandomEffects | None
    means: Array
    counts: Array
    variances: Array
    within_units: Array
    Z: Array
    z_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients of the true values."""
        return tuple(one.name for one in self.measured)

    @property
    def within(self) -> Array:
        """Sum of squares (K,) of the replicates around their means."""
        return np.asarray(self.within_units.sum(axis=0))

    @property
    def spare(self) -> Array:
        """Its degrees of freedom (K,)."""
        return np.asarray((self.counts - 1.0).sum(axis=0))

    @property
    def estimated(self) -> BoolArray:
        """Which error variances (K,) replicates tell."""
        return np.asarray(np.isnan(self.variances).all(axis=0))

    def at_rows(self, values: Array) -> Array:
        """Return values of units (U, …) in the rows (n, …)."""
        return values if self.codes is None else values[self.codes]

    def sums(self, values: Array) -> Array:
        """Return the sums (U, …) over the rows of a unit of values (n, …)."""
        if self.codes is None:
            return values
        out = np.zeros((len(self.means), *values.shape[1:]))
        np.add.at(out, self.codes, values)
        return out


def measurements_of(frame: Frame, design: Design, measured: Sequence[Measured]) -> Measurements:
    """Read the measurements in the rows of a design.

    Raises
    ------
    DataError
        If the errors are negative, no row has two replicates, replicates agree everywhere, or the true value is
        determined by the other predictors.
    SpecificationError
        If several true values are not all those of the rows.
    """
    names = list(design.fixed.names)
    lost = [one.name for one in measured if one.name not in names]
    if lost:
        raise DataError(f"{lost[0]} is a combination of the other predictors: nothing is left to tell of it")
    places = np.array([names.index(one.name) for one in measured])
    replicates = [_replicates(frame, design, one) for one in measured]
    sizes = [_sizes(frame, design, one, values) for one, values in zip(measured, replicates, strict=True)]
    term = _unit_term(design, measured, replicates, sizes)
    codes = None if term is None else term.codes
    if term is not None:
        first = np.array([np.flatnonzero(term.codes == level)[0] for level in range(term.n_levels)])
        replicates = [_of_levels(values, term) for values in replicates]
        sizes = [size[first] for size in sizes]
    counts = np.column_stack([(~np.isnan(values)).sum(axis=1) for values in replicates])
    means = np.column_stack([_means(values) for values in replicates])
    within = np.column_stack(
        [np.nansum((v - m[:, None]) ** 2, axis=1) for v, m in zip(replicates, means.T, strict=True)]
    )
    for k, one in enumerate(measured):
        _check_replicates(one, float(within[:, k].sum()), float((counts[:, k] - 1).sum()), replicates[k])
        silent = (sizes[k] == 0) & (within[:, k] > SPREAD * np.nansum(replicates[k] ** 2, axis=1))
        if silent.any():
            raise DataError(f"the error of {one.source} is said to be 0 where its replicates differ: mend {one.size!r}")
    others = np.delete(design.fixed.matrix, places, axis=1)
    Z, z_names = _exposure(others, [n for k, n in enumerate(names) if k not in places], term)
    return Measurements(
        tuple(measured),
        places,
        codes,
        "" if term is None else term.group,
        term,
        means,
        counts.astype(float),
        np.column_stack(sizes),
        within,
        Z,
        z_names,
    )


def _used(design: Design, values: Array) -> Array:
    return values if design.keep is None else values[design.keep]


def _replicates(frame: Frame, design: Design, one: Measured) -> Array:
    """The measurements (n, r) of one true value."""
    return np.column_stack([_used(design, frame.column(name).numbers) for name in one.columns])


def _sizes(frame: Frame, design: Design, one: Measured, values: Array) -> Array:
    """Variance (n,) of the error of one measurement; nan where replicates are to tell it."""
    n = len(values)
    if not one.error:
        return np.full(n, np.nan)
    if one.error == "reliability":
        return np.full(n, (1.0 - float(one.size)) * float(np.var(values[:, 0], ddof=1)))
    size = _used(design, frame.column(one.size).numbers) if isinstance(one.size, str) else np.full(n, one.size)
    bad = np.flatnonzero(~(np.isfinite(size) & (size >= 0)))
    if bad.size:
        raise DataError(
            f"the errors of {one.source}, column {one.size!r}, must be finite and not negative; found {size[bad[0]]:g} "
            f"in row {design.index[bad[0]]}"
        )
    return np.asarray(size**2 if one.error == "sd" else size, dtype=float)


def _unit_term(
    design: Design, measured: Sequence[Measured], replicates: Sequence[Array], sizes: Sequence[Array]
) -> RandomEffects | None:
    """The random term in whose levels all measurements are the same, the coarsest; None where rows differ."""
    constant = []
    for values, size in zip(replicates, sizes, strict=True):
        all_columns = np.column_stack([values, size])
        terms = [t for t in design.random if t.n_levels < design.n_rows and _is_constant(all_columns, t)]
        constant.append(min(terms, key=lambda t: t.n_levels, default=None))
    found = [(one, term) for one, term in zip(measured, constant, strict=True) if term is not None]
    if found and len(measured) > 1:
        one, term = found[0]
        raise SpecificationError(
            f"{one.name} is constant within the levels of {term.group!r}, so that a level has one true value, and the "
            f"formula has {len(measured)} me() terms: true values of groups are fitted one at a time"
        )
    return found[0][1] if found else None


def _is_constant(values: Array, term: RandomEffects) -> bool:
    """Whether columns (n, c) are the same in all rows of a level, as far as they are there."""
    for column in values.T:
        there = ~np.isnan(column)
        low, high = np.full(term.n_levels, np.inf), np.full(term.n_levels, -np.inf)
        np.minimum.at(low, term.codes[there], column[there])
        np.maximum.at(high, term.codes[there], column[there])
        if np.any((high > low) & np.isfinite(low)):
            return False
    return True


def _of_levels(values: Array, term: RandomEffects) -> Array:
    """The measurements (m, r) of every level, from those of its rows, which are the same."""
    out = np.full((term.n_levels, values.shape[1]), np.nan)
    for k, column in enumerate(values.T):
        there = ~np.isnan(column)
        out[term.codes[there], k] = column[there]
    return out


def _check_replicates(one: Measured, within: float, spare: float, values: Array) -> None:
    if one.error:
        return
    if not spare:
        raise DataError(
            f"no row has two of the replicates of {one.name}: the error is not identified, because nothing was "
            "measured twice. Give its size, me(w, sd=…)"
        )
    if within <= SPREAD * float(np.nansum(values**2)):
        raise DataError(f"the replicates of {one.name} agree in all rows: there is no error to correct for")


def _exposure(others: Array, names: Sequence[str], term: RandomEffects | None) -> tuple[Array, tuple[str, ...]]:
    """What is known of a unit beside its measurements, independent columns only, with an intercept."""
    if term is not None:
        sums = np.zeros((term.n_levels, others.shape[1]))
        np.add.at(sums, term.codes, others)
        others = sums / np.bincount(term.codes, minlength=term.n_levels)[:, None]
    columns = np.column_stack([np.ones(len(others)), others])
    kept = independent_columns(columns).kept
    return np.ascontiguousarray(columns[:, kept]), tuple(["Intercept", *names][k] for k in kept)

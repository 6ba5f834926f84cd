"""The fixed effects in words: what each coefficient says, and where it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from mixedfx._display import format_number, format_p
from mixedfx._typing import Array
from mixedfx.families.base import Family
from mixedfx.formula import coefficient_name
from mixedfx.matrices import Variable
from mixedfx.results.base import MixedResults
from mixedfx.results.settings import success_of

__all__ = ["Reading", "capitalised", "coefficient_sentences", "number", "reading_of"]


# ------------------------------------------------------------------ how a coefficient is read
def number(value: float) -> str:
    """Return a number as sentences have it."""
    return format_number(float(value), 3)


def capitalised(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def p_words(p: float) -> str:
    """Return a p-value as sentences have it; nothing where there is none."""
    shown = format_p(float(p))
    return "" if not np.isfinite(p) else f", p {shown}" if shown.startswith("<") else f", p = {shown}"


@dataclass(frozen=True)
class Reading:
    """What a linear predictor says of the response.

    Attributes
    ----------
    quantity : str
        What is changed or multiplied: ``"expected distance"``, ``"odds of use = 'Y'"``.
    ratio : bool
        Whether coefficients are logarithms of ratios.
    ratio_name : str
        ``"odds ratio"``, ``"ratio of rates"``, …; empty for differences.
    """

    quantity: str
    ratio: bool = False
    ratio_name: str = ""

    def value(self, x: float) -> str:
        """Return a coefficient as it is read."""
        with np.errstate(over="ignore"):  # a separated coefficient has an infinite ratio
            return number(np.exp(x) if self.ratio else x)

    def effect(self, x: float) -> str:
        """Return what one coefficient does: "multiplies the odds of success by 2.1", "changes … by 0.6"."""
        if self.ratio:
            return f"multiplies the {self.quantity} by {self.value(x)}"
        return f"changes the {self.quantity} by {self.value(x)}"

    def certainty(self, low: float, high: float, p: float) -> str:
        """Return the interval and the p-value, in parentheses."""
        name = f"{self.ratio_name}; " if self.ratio_name else ""
        if not (np.isfinite(low) or np.isfinite(high)):
            return f"({name}no finite interval)" if name else "(no finite interval)"
        return f"({name}95 % interval {self.value(low)} to {self.value(high)}{p_words(p)})"


def reading_of(fit: MixedResults) -> Reading:
    """Return how the fixed effects of a fit are read."""
    name = fit.design.response.words
    family, link = fit.solution.family, fit.solution.link.name
    if family.has_categories:
        return _ordinal(name, link)
    if family.proportions:
        return _proportion(success_of(fit), link)
    what = _mean_of(name, family)
    if link == "identity":
        return Reading(what)
    if link == "log":
        return Reading(what, True, "ratio of rates" if fit.design.offset is not None else "ratio of means")
    if link == "logit":
        return Reading(f"odds of the {what}", True, "odds ratio")
    return Reading(f"{what} on the {link} scale")


def _ordinal(name: str, link: str) -> Reading:
    if link == "logit":
        return Reading(f"odds of a higher category of {name}", True, "odds ratio")
    return Reading(f"place of {name} on the {link} scale of its thresholds")


RATIOS_OF_PROPORTIONS = {
    "logit": ("odds", "odds ratio"),
    "log": ("probability", "ratio of probabilities"),
    "cloglog": ("hazard", "hazard ratio"),
}
"""What coefficients multiply in a model of proportions, and the name of the ratio, by link."""


def _proportion(success: str, link: str) -> Reading:
    if link in RATIOS_OF_PROPORTIONS:
        quantity, ratio = RATIOS_OF_PROPORTIONS[link]
        return Reading(f"{quantity} of {success}", True, ratio)
    return Reading(f"probability of {success}" + ("" if link == "identity" else f" on the {link} scale"))


def _mean_of(name: str, family: Family) -> str:
    if family.is_truncated:
        return f"mean of the untruncated counts of {name}"
    return f"expected {name} apart from extra zeros" if "zero_inflation" in family.predictors else f"expected {name}"


# ------------------------------------------------------------------ what each coefficient says
LEVEL = re.compile(r"(?P<factor>.+)\[(?P<coding>(?:T|S|H|P|D)\.)?(?P<level>.*)\]\Z", re.DOTALL)
POWER = re.compile(r"I\(`?([\w.]+)`? \*\* \d+\)\Z")
WITHIN_BETWEEN = "wb("
MOST_NAMED = 5  # variables that the sentence about the intercept lists


@dataclass(frozen=True)
class Part:
    """A factor of a column's name: ``age``, or ``Sex[T.Female]``.

    Attributes
    ----------
    name : str
        As in the name of the column.
    term : str
        The factor of the term, without the level.
    variables : frozenset of str
        Columns of the data behind it.
    level : str or None
        The level of an indicator; None for numbers and other codings.
    coded : bool
        Whether it is a column of a coding other than indicators (a sum coding, a polynomial, a spline).
    reference : str or None
        What an indicator is compared with: a level, or the average of a sum coding; None if it is a plain
        indicator of 0 and 1.
    average : bool
        Whether that is the average over the levels.
    """

    name: str
    term: str
    variables: frozenset[str]
    level: str | None = None
    coded: bool = False
    reference: str | None = None
    average: bool = False


@dataclass(frozen=True)
class Coefficient:
    """A column of the fixed effects with its parts."""

    name: str
    parts: tuple[Part, ...]
    variables: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", frozenset(v for part in self.parts for v in part.variables))


class _Columns:
    """The columns of a fit, read by their names."""

    def __init__(self, fit: MixedResults) -> None:
        fixed, self.variables = fit.design.fixed, fit.design.variables
        self.names = list(fixed.full_names)
        self.coefficients: dict[str, Coefficient] = {}
        self.factors = {
            coefficient_name(factor): frozenset(name for name in factor.columns if name in self.variables)
            for term in fit.design.formula.fixed_terms
            for factor in term
        }
        smooths = {term.term for term in fit.design.random if term.is_smooth}  # described as wholes
        for term, places in fixed.full_terms.items():
            if term in smooths:
                continue
            factors = [] if term == "Intercept" else _split(term)
            for place in places:
                pieces = _split(self.names[place])
                if term == "Intercept":
                    parts: tuple[Part, ...] = ()
                elif len(pieces) == len(factors):
                    parts = tuple(self._part(a, b) for a, b in zip(pieces, factors, strict=True))
                else:
                    parts = (Part(self.names[place], term, self._behind(term), coded=True),)
                self.coefficients[self.names[place]] = Coefficient(self.names[place], parts)

    def _behind(self, text: str) -> frozenset[str]:
        """The columns of the data behind a factor of a term, or behind a whole term."""
        variables = self.factors.get(text)
        if variables is not None:
            return variables
        return frozenset(v for part in _split(text) for v in self.factors.get(part, frozenset((part,))))

    def _part(self, name: str, term: str) -> Part:
        if term.startswith(WITHIN_BETWEEN):  # its two columns are two variables
            return Part(name, name, frozenset((name,)))
        variables, match = self._behind(term), LEVEL.match(name)
        if match is None or name == term:
            column = self.variables.get(term.strip("`"))
            if column is not None and column.is_logical:
                return Part(name, term, variables, level="True", reference="False")
            return Part(name, term, variables)
        coding, level = match["coding"], match["level"]
        factor = self._factor(variables)
        if factor is None or coding not in (None, "T.", "S.") or level not in map(str, factor.levels):
            return Part(name, term, variables, coded=True)
        if coding == "S.":
            return Part(name, term, variables, level, reference="the average", average=True)
        return Part(name, term, variables, level, reference=self._reference(term, factor) if coding else None)

    def _factor(self, variables: frozenset[str]) -> Variable | None:
        factors = [self.variables[v] for v in variables if v in self.variables and self.variables[v].is_factor]
        return factors[0] if len(factors) == 1 and len(variables) == 1 else None

    def _reference(self, term: str, factor: Variable) -> str | None:
        """The level that has no indicator of its own."""
        pieces = [LEVEL.match(piece) for name in self.names for piece in _split(name)]
        levels = {match["level"] for match in pieces if match is not None and match["factor"] == term}
        without = [str(level) for level in factor.levels if str(level) not in levels]
        return without[0] if len(without) == 1 else None

    def where(self, parts: tuple[Part, ...]) -> str:
        """Say where other variables stand if their columns are all zero."""
        plain = {part.term for part in parts}
        shown = [p for p in parts if not ((power := POWER.match(p.term)) and power[1] in plain)]
        averaged = dict.fromkeys(p.term for p in shown if p.average or self.contrast(p))
        places = dict.fromkeys(self._zero(part) for part in shown if part.term not in averaged)
        average = f"on average over {' and '.join(averaged)}" if averaged else ""
        return " ".join([*([average] if average else []), *([f"where {' and '.join(places)}"] if places else [])])

    def contrast(self, part: Part) -> bool:
        """Say whether a part is a column of a coding of a factor."""
        return part.coded and self._factor(part.variables) is not None

    def _zero(self, part: Part) -> str:
        if part.coded:
            return f"the columns of {part.term} are 0"
        if part.level is None:
            return f"{part.term} is 0"
        return f"{part.term} is {part.reference}" if part.reference is not None else f"{part.term} is not {part.level}"

    def beyond(self, coefficient: Coefficient) -> tuple[Part, ...]:
        """The other parts of the interactions that contain the variables of a coefficient."""
        parts: dict[str, Part] = {}
        for other in self.coefficients.values():
            if other.variables > coefficient.variables:
                parts |= {part.term: part for part in other.parts if not part.variables <= coefficient.variables}
        return tuple(parts.values())

    def alike(self, coefficient: Coefficient) -> list[str]:
        """The other columns of the same variables that one cannot hold fixed: of powers, polynomials and splines."""
        if not any(p.level is None and not self.contrast(p) for p in coefficient.parts):
            return []

        def levels(column: Coefficient) -> set[tuple[str, str]]:
            return {(part.term, part.level) for part in column.parts if part.level is not None}

        others = [c for c in self.coefficients.values() if c.name != coefficient.name]
        alike = [c for c in others if c.variables == coefficient.variables]
        return [c.name for c in alike if levels(c) == levels(coefficient)]


def _split(name: str) -> list[str]:
    """Split the name of a column or term at the colons between its factors."""
    parts, depth, start, quoted = [], 0, 0, False
    for place, sign in enumerate(name):
        quoted ^= sign == "`"
        depth += (sign in "([{") - (sign in ")]}")
        if sign == ":" and depth == 0 and not quoted:
            parts.append(name[start:place])
            start = place + 1
    return [*parts, name[start:]]


def coefficient_sentences(fit: MixedResults) -> Iterator[str]:
    """Yield one sentence for each fixed effect."""
    columns, reading = _Columns(fit), reading_of(fit)
    lines = {f"{smooth.line}[" for smooth in fit.fitted_smooths}
    limits, values, p = np.asarray(fit.conf_int(), dtype=float), fit.params, np.asarray(fit.pvalues, dtype=float)
    for i, (name, value) in enumerate(values.items()):
        if str(name).startswith(tuple(lines)):  # the straight part of a smooth says nothing alone
            continue
        certainty = reading.certainty(limits[i, 0], limits[i, 1], p[i])
        coefficient = columns.coefficients.get(str(name), Coefficient(str(name), ()))
        if not coefficient.parts:
            yield f"{capitalised(_level(fit, columns, reading, float(value), limits[i]))}."
        elif (cell := _cell(coefficient)) is not None:
            yield f"{name}: {_level(fit, columns, reading, float(value), limits[i], cell)}."
        elif len(coefficient.parts) == 1:
            yield f"{name}: {_single(columns, coefficient, reading, float(value))} {certainty}."
        else:
            bare = replace(reading, ratio_name="").certainty(limits[i, 0], limits[i, 1], p[i])
            yield f"{name}: {_together(columns, coefficient, reading, float(value), dict(values))} {bare}."


def _cell(coefficient: Coefficient) -> Part | None:
    """The level whose mean a coefficient is, in a model without an intercept; None for other coefficients."""
    parts = coefficient.parts
    is_mean = len(parts) == 1 and parts[0].level is not None and parts[0].reference is None
    return parts[0] if is_mean else None


def _level(
    fit: MixedResults, columns: _Columns, reading: Reading, value: float, limits: Array, cell: Part | None = None
) -> str:
    """Say what an intercept is, or the mean of a cell: where all other columns are zero."""
    parts = {part.term: part for c in columns.coefficients.values() for part in _zeroing(c)}
    if cell is not None:
        parts.pop(cell.term, None)
    curves = list(dict.fromkeys(fit.design.random[smooth.term].group for smooth in fit.fitted_smooths))
    if not parts:
        where = "" if cell is not None else "everywhere"
    elif len(parts) <= MOST_NAMED:
        where = columns.where(tuple(parts.values()))
    else:
        where = "where all numeric predictors are zero and factors at their reference level"
    if cell is not None:
        here = f"where {cell.term} is {cell.level}"
        where = (
            f"{here} and {where.removeprefix('where ')}" if where.startswith("where ") else f"{here} {where}".rstrip()
        )
    if curves:
        named = f"the curve{'s' * (len(curves) > 1)} {' and '.join(curves)}"
        where = f"{where}, with {named} at zero," if parts or cell is not None else f"with {named} at zero"
    interval = f"(95 % interval {reading.value(limits[0])} to {reading.value(limits[1])})"
    average = f" (in an average {' and '.join(fit.n_groups)})" if reading.ratio and fit.n_groups else ""
    if fit.design.offset is not None:
        where = f"{where}, with an offset of 0,"
    return f"{where} the {reading.quantity}{average} {_be(reading)} {reading.value(value)} {interval}"


def _zeroing(coefficient: Coefficient) -> tuple[Part, ...]:
    """The parts that say where a column is zero: its numbers, if it has some."""
    return tuple(part for part in coefficient.parts if part.level is None) or coefficient.parts


def _be(reading: Reading) -> str:
    return "are" if reading.quantity.startswith("odds") else "is"


def _held(columns: _Columns, coefficient: Coefficient) -> str:
    beyond = columns.beyond(coefficient)
    return f"{columns.where(beyond)}, other predictors equal" if beyond else "all else equal"


def _single(columns: _Columns, coefficient: Coefficient, reading: Reading, value: float) -> str:
    (part,) = coefficient.parts
    alike = columns.alike(coefficient)
    if alike:
        names = ", ".join([coefficient.name, *alike][:4]) + (", …" if len(alike) > 3 else "")
        return (
            f"one of several columns of {' and '.join(sorted(coefficient.variables))} ({names}), to be read together "
            f"(mfx.plots.effect draws them); alone it {reading.effect(value)} for each unit"
        )
    if part.level is not None and part.reference is not None:
        return f"{part.level} instead of {part.reference} {reading.effect(value)}, {_held(columns, coefficient)}"
    if part.coded:
        return f"one unit of this coded column of {part.term} {reading.effect(value)}, {_held(columns, coefficient)}"
    return f"one unit more {reading.effect(value)}, {_held(columns, coefficient)}"


def _together(
    columns: _Columns, coefficient: Coefficient, reading: Reading, value: float, values: dict[str, float]
) -> str:
    held = _held(columns, coefficient)
    parts = coefficient.parts
    inside = [part for part in parts if part.level is not None and part.reference is None]
    plain = len(parts) == 2 and not any(part.coded for part in parts) and not columns.alike(coefficient)
    if plain and inside:
        where = " and ".join(f"{part.term} is {part.level}" for part in inside)
        slope = [_one(part) for part in parts if part not in inside]
        return f"where {where}, {slope[0] if slope else 'this cell'} {reading.effect(value)}, {held}"
    shift = f"{'is multiplied' if reading.ratio else 'differs'} by {reading.value(value)}"
    if not plain:
        others = " and ".join(part.term for part in parts[1:])
        return (
            f"the effect of {parts[0].term} on the {reading.quantity} depends on {others}: for one unit of this "
            f"product it {shift}, {held.replace('all else', 'other columns')}"
        )
    *firsts, last = sorted(parts, key=lambda part: part.level is not None)
    (first,) = firsts
    if last.level is None:
        return (
            f"the effect of {_one(first)} on the {reading.quantity} {shift} for each unit more of {last.name}, {held}"
        )
    main, both = values.get(first.name), ""
    if main is not None and not columns.beyond(coefficient):
        both = f" ({reading.value(main + value)} instead of {reading.value(main)})"
    return (
        f"the effect of {_one(first)} on the {reading.quantity} {shift} where {last.term} is {last.level} instead of "
        f"{last.reference}{both}, {held}"
    )


def _one(part: Part) -> str:
    if part.level is None:
        return f"one unit more of {part.name}"
    return f"{part.level} instead of {part.reference} ({part.term})"

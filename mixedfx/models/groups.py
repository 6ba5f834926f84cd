"""statsmodels' way to say what is random, written into the formula."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mixedfx.exceptions import SpecificationError
from mixedfx.formula import Formula, Term, display, parse, quote
from mixedfx.formula.names import column
from mixedfx.formula.terms import sum_text
from mixedfx.matrices.frame import Frame, as_frame

__all__ = ["with_groups"]

FACTOR = re.compile(r"C\((\w+)\)\Z")


def with_groups(
    formula: str | Formula,
    frame: Frame,
    groups: Any,
    re_formula: str | None,
    vc_formula: Mapping[str, str] | None,
    functions: Iterable[str] = (),
) -> str | Formula:
    """Return a formula with the random effects that statsmodels takes beside it.

    Parameters
    ----------
    formula : str or Formula
        Fixed effects.
    frame : Frame
        The data, which say what is a factor.
    groups : str, Series or None
        Column of the groups: its name, or ``data["name"]``.
    re_formula : str or None
        Random coefficients, ``"~ x"``; an intercept if there is nothing else.
    vc_formula : mapping of str to str, or None
        Variance components within the groups: ``{"class": "0 + C(classroom)"}`` is ``(1 | school:classroom)``.
    functions : iterable of str
        Names of the user's functions.
    """
    if groups is None:
        if re_formula is None and vc_formula is None:
            return formula
        raise SpecificationError("re_formula and vc_formula need groups=, the name of the column of the groups")
    groups = _name_of(groups, frame)
    parsed = parse(formula, columns=frame.names, functions=functions)
    if parsed.random:
        raise SpecificationError(
            f"the formula has random effects already ({', '.join(map(str, parsed.random))}): leave out groups="
        )
    label = quote(groups)
    terms = []
    if re_formula is not None or not vc_formula:
        columns = _terms("re_formula", "1" if re_formula is None else re_formula, frame, functions)
        terms.append(f"({display(sum_text(columns))} | {label})")
    for name, text in dict(sorted((vc_formula or {}).items())).items():
        terms += _component(
            f"vc_formula[{name!r}]", _terms(f"vc_formula[{name!r}]", text, frame, functions), label, frame
        )
    return " + ".join([str(parsed), *terms])


def _name_of(groups: Any, frame: Frame) -> str:
    """The column of the groups: its name, or the column itself, as statsmodels' users give it."""
    name = getattr(groups, "name", groups)
    if not isinstance(name, str):
        raise TypeError(f"groups is the name of a column, found {type(groups).__name__}: put the groups into the data")
    frame.require([name])
    if not isinstance(groups, str):
        given, labels = as_frame({name: groups}).column(name).labels, frame.column(name).labels
        same = given.codes.shape == labels.codes.shape and list(given.levels) == list(labels.levels)
        if not same or (given.codes != labels.codes).any():
            raise SpecificationError(
                f"groups is called {name!r} but is not the data's column of that name: put it into the data under a "
                "name of its own"
            )
    return name


def _terms(what: str, text: Any, frame: Frame, functions: Iterable[str]) -> tuple[Term, ...]:
    if not isinstance(text, str):
        raise TypeError(f"{what} is a formula such as '~ x', found {type(text).__name__}")
    parsed = parse(text if "~" in text else f"~ {text}", columns=frame.names, functions=functions)
    if parsed.response or parsed.random or parsed.offsets:
        raise SpecificationError(f"{what}={text!r} is a formula of columns only, such as '~ x'")
    return parsed.fixed_terms


def _component(what: str, terms: tuple[Term, ...], groups: str, frame: Frame) -> Iterator[str]:
    """One variance for all columns: of indicators of a factor, those of its levels within the groups."""
    factors = [[_factor(part, frame) for part in term] for term in terms]
    with_factor = [any(name is not None for name in names) for names in factors]
    if not any(with_factor):
        keyword = "homdiag" if len(terms) > 1 else ""
        yield f"{keyword}({display(sum_text(terms))} | {groups})"
    elif len(terms) > 1:
        raise SpecificationError(
            f"{what} gives one variance to the indicators of a factor and to other columns; start it with 0 + and give "
            "each term an entry of its own"
        )
    else:
        levels = [quote(name) for name in factors[0] if name is not None]
        others = tuple(part for part, name in zip(terms[0], factors[0], strict=True) if name is None)
        yield f"({display(sum_text((others,)))} | {':'.join([groups, *levels])})"


def _factor(part: str, frame: Frame) -> str | None:
    """The column of a factor; None for numbers and expressions."""
    written = FACTOR.match(part)
    name = column(written[1] if written else part)
    if name in frame.names and (written or frame.column(name).is_factor):
        return name
    return None

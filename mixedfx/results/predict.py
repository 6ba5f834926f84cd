"""Which random effects enter a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import RandomTerm, parse
from mixedfx.matrices import Design, RandomEffects
from mixedfx.matrices.encoder import term_label
from mixedfx.results.rows import predicted_rows

__all__ = ["chosen_columns", "fitted_predictor"]


def chosen_columns(design: Design, random: Any) -> list[BoolArray]:
    """Resolve ``random=`` to a flag for every column (q,) of every term.

    Parameters
    ----------
    design : Design
    random : bool, str or list of str
        True, False, a group (``"Subject"``), a term (``"(Days | Subject)"``), a part of one (``"(1 | Subject)"`` out of
        ``(Days | Subject)``), or a list of these.

    Raises
    ------
    SpecificationError
        If a name is none of them.
    TypeError
        If it is nothing of the kind.
    """
    if isinstance(random, bool | np.bool_):
        return [np.full(term.n_columns, bool(random)) for term in design.random]
    if random is None:
        raise SpecificationError(
            "random=None: lme4 has re.form=NULL for all random effects and re.form=NA for none; write random=True or "
            "random=False"
        )
    wanted = [random] if isinstance(random, str) else random
    if not isinstance(wanted, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in wanted):
        raise TypeError(f"random is True, False, the name of a group, a term, or a list of these; found {random!r}")
    chosen = [np.zeros(term.n_columns, dtype=bool) for term in design.random]
    for name in wanted:
        for own, found in zip(chosen, _named(design, name), strict=True):
            own |= found
    return chosen


def _named(design: Design, name: str) -> list[BoolArray]:
    """Return the columns that one name stands for."""
    group = frozenset(part.strip() for part in name.split(":"))
    by_group = [frozenset(term.factors) == group for term in design.random]
    if any(by_group):
        return [np.full(term.n_columns, used) for term, used in zip(design.random, by_group, strict=True)]
    spelled = [_compact(str(written)) == _compact(name) for written in design.formula.random]
    if any(spelled):
        return [np.full(term.n_columns, used) for term, used in zip(design.random, spelled, strict=True)]
    asked = _asked_terms(name)
    if not asked:
        raise _unknown(design, name)
    found = [np.zeros(term.n_columns, dtype=bool) for term in design.random]
    for part in asked:
        for label in part.terms:
            hit = False
            for own, term in zip(found, design.random, strict=True):
                columns = _columns_of(term, label) if frozenset(term.factors) == frozenset(part.group) else ()
                own[list(columns)] = True
                hit = hit or bool(columns)
            if not hit:
                raise _unknown(design, name)
    return found


def _asked_terms(name: str) -> tuple[RandomTerm, ...]:
    """Return the random terms that a text spells; none if it is not one."""
    text = name.strip().removeprefix("~").strip()
    if "|" not in text:
        return ()
    try:
        return parse(f"y ~ {text if '(' in text else f'({text})'}").random
    except (DataError, SpecificationError):
        return ()


def _columns_of(term: RandomEffects, asked: tuple[str, ...]) -> tuple[int, ...]:
    """Return the positions of the columns of one term ``a:b`` left of the bar, however it is written."""
    for label, columns in term.encoder.terms.items():
        if _factors(label) == _factors(term_label(asked)):
            return columns
    return ()


def _factors(label: str) -> frozenset[str]:
    return frozenset(_compact(part) for part in label.split(":"))


def _compact(text: str) -> str:
    return "".join(text.split()).strip("()")


def _unknown(design: Design, name: str) -> SpecificationError:
    known = ", ".join(dict.fromkeys(repr(term.group) for term in design.random)) or "none"
    terms = ", ".join(dict.fromkeys(str(written) for written in design.formula.random)) or "none"
    return SpecificationError(
        f"random={name!r} names no random-effects term; the groups are {known}, the terms {terms} (a part of a term "
        "can be written as a term)"
    )


def fitted_predictor(design: Design, beta: Array, modes: Sequence[Array], random: Any = True) -> Array:
    """Return ``X beta + Z b + offset`` (n,) for the fitted rows, with the random effects that ``random`` names."""
    return predicted_rows(design, None, chosen_columns(design, random)).predictor(beta, modes)

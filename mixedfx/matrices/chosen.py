"""Which random effects enter a prediction, and the variance that they give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import RandomTerm, parse
from mixedfx.matrices.build import Design
from mixedfx.matrices.encoder import term_label
from mixedfx.matrices.random import RandomEffects

__all__ = ["chosen_columns", "linear_predictor_variance"]


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


def linear_predictor_variance(
    design: Design, covariances: Sequence[Array], integrated: Sequence[BoolArray], data: Any = None
) -> Array:
    """Return the variance (n,) that the integrated terms give to the linear predictor of each row.

    Parameters
    ----------
    design : Design
    covariances : sequence of (q, q)
        Of every term.
    integrated : sequence of (q,) bool
        Which columns of every term count.
    data : data frame, optional
        New rows; the fitted ones if omitted.
    """
    total: Array | float = 0.0
    for term, covariance, used in zip(design.random, covariances, integrated, strict=True):
        if used.any():
            whole = term.matrix if data is None else term.encoder.encode(data)
            matrix = whole if used.all() else np.where(used, whole, 0.0)
            share = np.einsum("ia,ab,ib->i", matrix, covariance, matrix)
            if term.loading is not None:
                own = np.einsum("lk,lk->l", term.loading, term.loading)
                codes = term.codes if data is None else term.encode_codes(data)
                share = share * np.where(codes < 0, float(own.mean()), own[codes])
            total = total + share
    return np.asarray(total, dtype=float)

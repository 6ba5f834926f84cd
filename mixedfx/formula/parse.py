"""The door of the room: text to `Formula`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from mixedfx.covariance.registry import structures
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula.expression import Scope, UnknownColumn, read_expression
from mixedfx.formula.grammar import (
    MAX_KEPT,
    Bar,
    ErrorStrata,
    Node,
    Sum,
    Token,
    Tree,
    mistake,
    read,
    tokenize,
)
from mixedfx.formula.names import column, display, identifier, meant_by
from mixedfx.formula.right_side import RightSide, Splitter, group_terms
from mixedfx.formula.terms import Expression, Formula, RandomTerm, Term, is_smooth, smooth_by, sum_text

_OWN = frozenset({"offset", "Error"})
_TOO_DEEP = "the formula is too complex: it is nested too deeply; compute inner parts as columns of the data first"


def parse(text: str | Formula, *, columns: Sequence[str] | None = None, functions: Iterable[str] = ()) -> Formula:
    """Read a mixed-model formula; nothing is evaluated.

    Parameters
    ----------
    text : str or Formula
        ``response ~ terms + (terms | group)``; see the grammar page of the documentation.
    columns : sequence of str, optional
        The columns of the data. Needed for ``.``; with them, unknown names are reported here.
    functions : iterable of str, optional
        Names of the user's own functions and matrices.

    Returns
    -------
    Formula
        Split and expanded.

    Raises
    ------
    SpecificationError
        The formula has no meaning, or holds something that is not allowed; the place is marked.
    DataError
        A name is not among ``columns``.
    TypeError
        The formula is not a string.

    Examples
    --------
    >>> formula = parse("Reaction ~ Days + (Days | Subject)")
    >>> formula.response, formula.fixed, formula.random[0].expression, formula.random[0].group
    ('Reaction', '1 + Days', '1 + Days', ('Subject',))
    >>> [term.label for term in parse("y ~ 1 + (1 | school/class)").random]
    ['school', 'school:class']
    """
    tree, names = _read(text), _names(functions)
    known = _known(tree, columns)
    all_columns = tuple(columns) if tree.has_dot and columns is not None else None
    short = len(tree.text) + len(all_columns or ()) <= MAX_KEPT
    try:
        return (_parse_short if short else _parse)(tree.text, known, names, all_columns)
    except UnknownColumn as missing:
        raise _missing(missing, tree.text, columns) from None
    except RecursionError:
        raise SpecificationError(_TOO_DEEP) from None


def update(
    formula: Formula | str, change: str, *, columns: Sequence[str] | None = None, functions: Iterable[str] = ()
) -> Formula:
    """Change a formula as R's ``update`` does: ``.`` stands for the old side.

    Parameters
    ----------
    formula : Formula or str
        The formula to change.
    change : str
        Such as ``"~ . - x"``, ``". ~ . + (1 | g)"``, ``"log(.) ~ ."``; an empty left side keeps the response.
    columns, functions
        As in `parse`.

    Returns
    -------
    Formula
        Its source is its own text.

    Raises
    ------
    SpecificationError
        As in `parse`; also when a term to take away is not there.

    Examples
    --------
    >>> print(update("y ~ x*z + (1 | g)", "log(.) ~ . - x:z"))
    log(y) ~ 1 + x + z + (1 | g)
    """
    names = _names(functions)
    old = parse(formula, columns=columns, functions=names)
    tree = _read(change)
    scope = Scope(tree.text, _known(tree, columns, old.variables), names)
    terms = tuple(term for term in old.fixed_terms if term)
    try:
        response = _new_response(tree, old, scope)
        parts = Splitter(scope, lambda start: terms, old).split(tree.right)
    except UnknownColumn as missing:
        raise _missing(missing, tree.text, columns) from None
    new = assemble(response, parts, scope, tree)
    return replace(new, source=str(new))


def parse_predictors(text: str | Formula, *, columns: Sequence[str], functions: Iterable[str] = ()) -> Formula:
    """Read the right side of a formula; the columns of its response need not exist.

    Parameters
    ----------
    text, columns, functions
        As in `parse`.

    Returns
    -------
    Formula
        One-sided.

    Examples
    --------
    >>> print(parse_predictors("log(y) ~ x + (1 | g)", columns=["x", "g"]))
    ~ 1 + x + (1 | g)
    """
    tokens = _read(text).response
    called = {k for k, token in enumerate(tokens[1:]) if token.text == "("}
    names = [token.text for k, token in enumerate(tokens) if token.kind in ("name", "quoted") and k not in called]
    names += [token.text[1:-1] for token in tokens if token.kind == "string"]
    present = [name for name in columns if isinstance(name, str)]
    formula = parse(text, columns=[*present, *(name for name in names if name not in present)], functions=functions)
    return replace(formula, response=Expression())


def _parse(
    text: str, known: frozenset[str] | None, functions: frozenset[str], columns: tuple[str, ...] | None
) -> Formula:
    tree = read(text)
    scope = Scope(text, known, functions)
    response = read_expression(tree.response, scope, response=True) if tree.response else Expression()
    used = frozenset(response.columns)
    if tree.has_dot:
        used |= frozenset(_grouping(tree.right, scope))

    def dots(start: int) -> Iterable[Term]:
        if columns is None:
            raise scope.error("'.' means all other columns, but no data are given", start)
        return [(Expression.of_column(name, scope.taken),) for name in columns if name not in used]

    return assemble(response, Splitter(scope, dots).split(tree.right), scope, tree)


_parse_short = lru_cache(maxsize=256)(_parse)


def _read(text: str | Formula) -> Tree:
    if not isinstance(text, (str, Formula)):
        raise TypeError(f"the formula must be a str such as 'y ~ x + (1 | g)', not {type(text).__name__}")
    try:
        return read(str(text))
    except RecursionError:
        raise SpecificationError(_TOO_DEEP) from None


def _names(functions: Iterable[str]) -> frozenset[str]:
    if isinstance(functions, str):
        raise TypeError("functions must be a dict of names and functions, not a str")
    names = frozenset(functions)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"the names of functions must be str, not {type(name).__name__}")
        if name in _OWN or name in structures() or identifier(name) != name:
            raise SpecificationError(f"functions: {name!r} cannot be the name of a function in a formula")
    return names


def _known(tree: Tree, columns: Sequence[str] | None, more: Iterable[str] = ()) -> frozenset[str] | None:
    """Return which names of the formula are columns; None if the columns are not known."""
    if columns is None:
        return None
    if isinstance(columns, str):
        raise TypeError("columns must be a sequence of column names, not a str")
    present = frozenset(columns)
    if tree.has_dot:
        _check_names(columns)
    return present.intersection((*tree.names, *more))


def _check_names(columns: Sequence[str]) -> None:
    for name in columns:
        if not isinstance(name, str):
            raise DataError(f"'.' needs column names that are strings; found the name {name!r} ({type(name).__name__})")


def _grouping(node: Node, scope: Scope) -> Iterator[str]:
    """Yield the columns that the formula uses as groups; inside ``Error(…)`` those that are strata of their own."""
    match node:
        case Bar(group=group):
            yield from (name for term in group_terms(group, scope) for name in term)
        case ErrorStrata(inner):
            yield from (term[0] for _, item in inner.items for term in group_terms(item, scope) if len(term) == 1)
        case Sum(items):
            for _, item in items:
                yield from _grouping(item, scope)


def _new_response(tree: Tree, old: Formula, scope: Scope) -> Expression:
    """Return the response of an update: the old one in the place of each dot."""
    if not tree.response:
        return old.response
    tokens: list[Token] = []
    for token in tree.response:
        dot = token[:2] == ("operator", ".")
        inner = tokenize(f"({display(old.response)})")[:-1] if dot else (token,)
        tokens += [Token(part.kind, part.text, token.start) for part in inner]
    return read_expression(tokens, scope, response=True)


def _missing(missing: UnknownColumn, text: str, columns: Sequence[str] | None) -> DataError:
    names = [name for name in columns or () if isinstance(name, str)]
    meant = meant_by(missing.name, names[:1000])
    shown = ", ".join(map(repr, names[:12])) + (", …" if len(names) > 12 else "")
    hint = f" ({missing.hint})" if missing.hint else ""
    message = f"the data have no column {missing.name!r}{meant}{hint} (columns: {shown or 'none with a name'})"
    return DataError(str(mistake(message, text, missing.start)))


def assemble(response: Expression, parts: RightSide, scope: Scope, tree: Tree) -> Formula:
    """Return the formula made of ``response`` and ``parts``.

    Raises
    ------
    SpecificationError
        The response stands on the right side too, or bars and ``Error(…)`` are mixed.
    """
    fixed = tuple(sorted(parts.fixed.values(), key=len))
    if parts.error and parts.random:
        raise scope.error("Error(…) and bar terms cannot stand in one formula", tree.right.start)
    _check_response(response, fixed, parts, scope, tree)
    smooths = _smooths(fixed, parts, scope, tree)
    formula = Formula(
        response=response,
        fixed=sum_text(fixed),
        random=(*parts.random, *smooths),
        offsets=tuple(parts.offsets),
        error=parts.error,
        source=tree.text,
        fixed_terms=fixed,
    )
    identifiers = dict.fromkeys(name for expression in formula.expressions for name in expression.identifiers)
    names = tuple((name, column(name)) for name in identifiers)
    groups = [name for group in (*(bar.group_columns for bar in parts.random), *parts.error) for name in group]
    return replace(formula, names=names, variables=tuple(dict.fromkeys([*(name for _, name in names), *groups])))


def _smooths(fixed: tuple[Term, ...], parts: RightSide, scope: Scope, tree: Tree) -> tuple[RandomTerm, ...]:
    """Return the random terms of the smooths among the fixed terms; refuse smooths where none may stand."""
    start = next((token.start for token in tree.tokens if token.text == "s"), tree.right.start)
    smooths: dict[tuple[str, str], RandomTerm] = {}
    for term in fixed:
        for factor in filter(is_smooth, term):
            if len(term) > 1:
                message = (
                    f"a smooth is a term of its own, {display(':'.join(term))} is none; s(x, by=f) has a smooth for "
                    "every level of f"
                )
                raise scope.error(message, start)
            if parts.error:
                raise scope.error("Error(…) and smooths cannot stand in one formula", start)
            key = factor.arguments[0].text, smooth_by(factor)
            if key in smooths:
                raise scope.error(f"there are two smooths {display(factor)} and {smooths[key]} of one variable", start)
            smooths[key] = RandomTerm.of_smooth(factor)
    return tuple(smooths.values())


def _check_response(response: Expression, fixed: tuple[Term, ...], parts: RightSide, scope: Scope, tree: Tree) -> None:
    """Refuse the response among the predictors; ``lag(y)``, and parts of ``cbind`` inside expressions, are allowed."""
    if not response:
        return
    if is_smooth(response):
        raise scope.error("s(…) is no response; smooths stand right of '~'", tree.tokens[0].start)
    factors = [factor for term in fixed for factor in term] + parts.offsets
    factors += [factor for bar in parts.random for term in bar.terms for factor in term]
    groups = [name for group in (*(bar.group_columns for bar in parts.random), *parts.error) for name in group]
    if len(response.columns) == 1:
        name = response.columns[0]
        stands_right = name in groups or any(name in factor.row_columns for factor in factors)
    else:
        joined = response.arguments if response.function == "cbind" else ()
        both = [factor for factor in factors if factor in {response, *(part for part in joined if part.is_column)}]
        name, stands_right = (display(both[0]), True) if both else ("", False)
    if stands_right:
        message = f"the response {name!r} stands on the right side of '~' too; take it away there"
        place = max((token.start for token in tree.tokens if token.text == name), default=tree.right.start)
        raise scope.error(message, place)

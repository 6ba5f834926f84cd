"""The parsed formula: frozen values that know no data; ``str()`` gives an equivalent formula back."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from mixedfx.exceptions import SpecificationError
from mixedfx.formula.names import column, display, identifier, quote
from mixedfx.formula.whitelist import CONSTANTS

__all__ = [
    "Expression",
    "Formula",
    "Members",
    "RandomTerm",
    "Term",
    "as_expression",
    "columns_in",
    "is_smooth",
    "smooth_by",
    "smooth_label",
    "sum_text",
]


class Expression(str):
    """A factor of a term, a response or an offset: evaluable text with the syntax tree that it was read from.

    It is a ``str`` that compares and prints as its text; the text is never parsed again. The empty one stands for no
    expression.

    Parameters
    ----------
    text : str
        Evaluable text, in which columns are written as identifiers.
    tree : ast.expr, optional
        Its syntax tree; parsed if omitted.
    user_names : frozenset of str
        Names of the user's functions and constants.

    Raises
    ------
    SpecificationError
        The text is not an expression.

    Examples
    --------
    >>> expression = Expression("log(quoted_612e62) + lag(y, 1)")
    >>> expression.columns, expression.row_columns, expression.lags
    (('a.b', 'y'), ('a.b',), ('lag(y, 1)',))
    """

    tree: ast.expr
    user_names: frozenset[str]

    def __new__(
        cls, text: str = "", tree: ast.expr | None = None, user_names: frozenset[str] = frozenset()
    ) -> Expression:
        """Keep the tree with the text."""
        self = super().__new__(cls, text)
        self.tree = _tree_of(text) if tree is None else tree
        self.user_names = user_names
        return self

    def __reduce__(self) -> tuple[type[Expression], tuple[str, None, frozenset[str]]]:
        return Expression, (self.text, None, self.user_names)

    @classmethod
    def of_column(cls, name: str, taken: frozenset[str] = frozenset()) -> Expression:
        """Return the expression that is the column ``name``; ``taken`` are names of functions."""
        text = identifier(name, taken)
        return cls(text, ast.Name(text, ast.Load()))

    def part(self, node: ast.expr) -> Expression:
        """Return the expression of a node of the tree."""
        return Expression(ast.unparse(node), node, self.user_names)

    @property
    def text(self) -> str:
        """The evaluable text."""
        return str(self)

    @cached_property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers that stand for columns, in order of appearance."""
        return self._columns_among(_names(self.tree))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order of appearance."""
        return tuple(map(column, self.identifiers))

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        """Names of the columns of which each row needs its own value: not those inside of ``lag(…)`` only."""
        return tuple(map(column, self._columns_among(_names(self.tree, in_lags=False))))

    @cached_property
    def lags(self) -> tuple[Expression, ...]:
        """The calls of ``lag(…)``, which look at other rows."""
        return tuple(dict.fromkeys(map(self.part, _lags(self.tree))))

    @cached_property
    def functions(self) -> frozenset[str]:
        """Names of the user's functions and constants that occur."""
        return self.user_names & {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}

    @property
    def is_column(self) -> bool:
        """Whether it is a column and nothing else."""
        return isinstance(self.tree, ast.Name) and bool(self.identifiers)

    @property
    def function(self) -> str:
        """Name of the function whose call it is; empty if it is something else."""
        tree = self.tree
        return tree.func.id if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) else ""

    @cached_property
    def arguments(self) -> tuple[Expression, ...]:
        """The positional arguments of that call."""
        return tuple(map(self.part, self.tree.args)) if isinstance(self.tree, ast.Call) else ()

    @property
    def summands(self) -> tuple[tuple[str, ...], ...]:
        """The columns of the parts of which it is a sum: ``wb(x, g)`` of x and of means of g; elsewhere all of it."""
        return (self.arguments[0].columns, columns_in(self.arguments[1:])) if self._splits else (self.columns,)

    @property
    def labelled(self) -> tuple[str, ...]:
        """The columns of which it reads the labels only, numbers or not: k of ``C(k)``, g of ``wb(x, g)``."""
        if self._splits:
            within, between = self.summands
            return tuple(name for name in between if name not in within)
        return self.columns if self.function == "C" and self.arguments[0].is_column else ()

    @property
    def _splits(self) -> bool:
        return self.function == "wb" and "wb" not in self.user_names

    def _columns_among(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name in names if name not in self.user_names and name not in CONSTANTS))


def _tree_of(text: str) -> ast.expr:
    if not text:
        return ast.Constant(None)
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise SpecificationError(f"{display(text)} is not an expression: {error.msg}") from error


def _names(node: ast.AST, in_lags: bool = True) -> Iterator[str]:
    """Yield the names that are no called function, in order; those inside of ``lag(…)`` only if ``in_lags``."""
    children: Iterable[ast.AST]
    match node:
        case ast.Name(id=name):
            yield name
            return
        case ast.Call(func=ast.Name(id="lag")) if not in_lags:
            return
        case ast.Call(args=arguments, keywords=keywords):
            children = [*arguments, *(keyword.value for keyword in keywords)]
        case ast.Attribute() | ast.Constant():
            return
        case _:
            children = ast.iter_child_nodes(node)
    for child in children:
        yield from _names(child, in_lags)


def _lags(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lag":
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from _lags(child)


_read = lru_cache(maxsize=512)(Expression)


def as_expression(text: str) -> Expression:
    """Return evaluable text from elsewhere as an expression; one that is an expression already stays."""
    return text if isinstance(text, Expression) else _read(text)


def columns_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the columns in several expressions, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for text in texts for name in as_expression(text).columns))


Term = tuple[Expression, ...]
"""Expressions whose product is the term; ``()`` is the intercept."""


def sum_text(terms: Iterable[Term]) -> str:
    """Write terms as a sum that formulaic reads: ``1 + x + x:f``, or ``0 + x`` without an intercept."""
    terms = tuple(terms)
    head = "1" if () in terms else "0"
    return " + ".join([head, *(":".join(term) for term in terms if term)])


def is_smooth(factor: Expression) -> bool:
    """Whether a factor is a smooth ``s(x)``."""
    return factor.function == "s" and "s" not in factor.user_names


def smooth_by(smooth: Expression) -> str:
    """Return the identifier of the factor of ``s(x, by=f)``; empty without one."""
    keywords = smooth.tree.keywords if isinstance(smooth.tree, ast.Call) else []
    return next((ast.unparse(keyword.value) for keyword in keywords if keyword.arg == "by"), "")


def smooth_label(smooth: Expression) -> str:
    """Return what a smooth is called: ``s(x)``, ``s(x):f``; its basis and size are not part of it."""
    by = smooth_by(smooth)
    return f"s({display(smooth.arguments[0])})" + (f":{display(by)}" if by else "")


@dataclass(frozen=True)
class Members:
    """The group of ``(1 | mm(a, b, weights=(w1, w2)))``: every row is in several levels at once.

    Attributes
    ----------
    columns : tuple of str
        The columns with the labels of the memberships.
    weights : tuple of str or float, or None
        A column or a number for each; None if every row shares one equally among the memberships that it has.
    """

    columns: tuple[str, ...]
    weights: tuple[str | float, ...] | None = None

    @property
    def weight_columns(self) -> tuple[str, ...]:
        """The columns among the weights."""
        return tuple(dict.fromkeys(weight for weight in self.weights or () if isinstance(weight, str)))

    @property
    def variables(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(dict.fromkeys((*self.columns, *self.weight_columns)))

    @property
    def label(self) -> str:
        """The name of the group shown to users: ``mm(a, b)``."""
        return f"mm({', '.join(map(quote, self.columns))})"

    def __str__(self) -> str:
        if self.weights is None:
            return self.label
        shown = (quote(weight) if isinstance(weight, str) else repr(weight) for weight in self.weights)
        return f"{self.label[:-1]}, weights=({', '.join(shown)}))"


@dataclass(frozen=True)
class RandomTerm:
    """One random-effects term ``(expression | group)`` after expansion, or the wiggly part of a smooth ``s(x)``.

    Attributes
    ----------
    expression : str
        Left of the bar, evaluable text, the intercept spelled out: ``"1 + Days"``, ``"0 + Machine"``.
    group : tuple of str
        Column names whose combination defines the levels: ``("batch", "cask")`` for ``batch:cask``.
    covariance : str
        ``us diag homdiag cs homcs ar1 hetar1 toep known``; ``||`` is ``diag``.
    argument : str or None
        The name of the matrix in ``known(1 | animal, K)``.
    terms : tuple of tuple of Expression
        The terms of ``expression``, each a tuple of its factors; ``()`` is the intercept.
    variables : tuple of str
        Columns that ``expression`` uses.
    members : Members or None
        The memberships of ``(1 | mm(a, b))``, which has no ``group``. A term without both is that of a smooth.

    Examples
    --------
    >>> from mixedfx.formula import parse
    >>> parse("y ~ x + (x || school/class)").random[1]
    RandomTerm('(1 + x || school:class)')
    >>> parse("y ~ s(x, by=f) + (1 | mm(a, b))").random
    (RandomTerm('(1 | mm(a, b))'), RandomTerm('s(x, by=f)'))
    """

    expression: str
    group: tuple[str, ...]
    covariance: str = "us"
    argument: str | None = None
    terms: tuple[Term, ...] = field(default=(), compare=False)
    variables: tuple[str, ...] = field(default=(), compare=False)
    members: Members | None = None

    @classmethod
    def of_smooth(cls, smooth: Expression) -> RandomTerm:
        """Return the random term of a smooth that stands on the fixed side."""
        return cls(smooth.text, (), terms=((smooth,),), variables=smooth.columns)

    @property
    def is_smooth(self) -> bool:
        """Whether it belongs to a smooth: the fixed side writes it."""
        return not self.group and self.members is None

    @property
    def label(self) -> str:
        """The name of the group shown to users: ``batch:cask``, ``mm(a, b)``, ``s(x)``."""
        if self.members is not None:
            return self.members.label
        return smooth_label(self.terms[0][0]) if self.is_smooth else ":".join(self.group)

    @property
    def group_columns(self) -> tuple[str, ...]:
        """All columns that stand right of the bar."""
        return self.group if self.members is None else self.members.variables

    def __str__(self) -> str:
        if self.is_smooth:
            return display(self.expression)
        bar = "||" if self.covariance == "diag" else "|"
        keyword = "" if self.covariance in ("us", "diag") else self.covariance
        group = ":".join(map(quote, self.group)) if self.members is None else str(self.members)
        argument = "" if self.argument is None else f", {self.argument}"
        return f"{keyword}({display(self.expression)} {bar} {group}{argument})"

    def __repr__(self) -> str:
        return f"RandomTerm({str(self)!r})"


@dataclass(frozen=True)
class Formula:
    """A mixed-model formula, split and expanded; two formulas are equal when they say the same.

    Expressions and evaluable text (``fixed``, ``expression`` of random terms) hold plain identifiers only: ``names``
    maps them to columns; `display` and `coefficient_name` of this room give the user's names back.

    Attributes
    ----------
    response : Expression
        The left side; empty for a one-sided formula.
    fixed : str
        Fixed part for formulaic, expanded, without bars and offsets: ``"1 + a + b + a:b"``.
    random : tuple of RandomTerm
        In the order of the formula, ``a/b`` expanded.
    offsets : tuple of Expression
        Inside ``offset(…)``.
    error : tuple of tuple of str
        Terms of ``Error(…)`` as column names: ``(("subject",), ("subject", "A"))``.
    source : str
        The formula as the user wrote it.
    variables : tuple of str
        All column names used.
    fixed_terms : tuple of tuple of Expression
        The terms of ``fixed``, each a tuple of its factors; ``()`` is the intercept.
    names : tuple of pairs of str
        ``(identifier, column)`` of every variable.

    Examples
    --------
    >>> from mixedfx.formula import parse
    >>> formula = parse("log(my.y) ~ a*b + (a | school)")
    >>> formula.fixed, formula.random[0].label
    ('1 + a + b + a:b', 'school')
    >>> print(formula)
    log(my.y) ~ 1 + a + b + a:b + (1 + a | school)
    """

    response: Expression
    fixed: str
    random: tuple[RandomTerm, ...] = ()
    offsets: tuple[Expression, ...] = ()
    error: tuple[tuple[str, ...], ...] = ()
    source: str = field(default="", compare=False)
    variables: tuple[str, ...] = field(default=(), compare=False)
    fixed_terms: tuple[Term, ...] = field(default=(), compare=False)
    names: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Everything that needs a value in each row, groups excepted: response, factors of all terms, offsets."""
        response = [self.response] if self.response else []
        terms = (*self.fixed_terms, *(term for bar in self.random for term in bar.terms))
        return tuple(dict.fromkeys([*response, *(factor for term in terms for factor in term), *self.offsets]))

    @property
    def has_intercept(self) -> bool:
        """Whether the fixed part has an intercept."""
        return () in self.fixed_terms

    @property
    def groups(self) -> tuple[str, ...]:
        """The grouping columns, each once, in order of appearance; those of ``mm(…)`` are no such."""
        return tuple(dict.fromkeys(name for term in self.random for name in term.group))

    @property
    def smooths(self) -> tuple[RandomTerm, ...]:
        """The random terms of smooths ``s(x)``."""
        return tuple(term for term in self.random if term.is_smooth)

    def __str__(self) -> str:
        parts = [display(self.fixed), *(str(term) for term in self.random if not term.is_smooth)]
        parts += [f"offset({display(text)})" for text in self.offsets]
        if self.error:
            parts.append(f"Error({' + '.join(':'.join(map(quote, term)) for term in self.error)})")
        return f"{display(self.response)} ~ {' + '.join(parts)}".lstrip()

    def __repr__(self) -> str:
        return f"Formula({str(self)!r})"

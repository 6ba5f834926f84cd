"""The parsed formula: frozen values, text only; ``str()`` gives an equivalent formula back."""

from __future__ import annotations

from dataclasses import dataclass, field

from mixedfx.formula.names import display, quote

Term = tuple[str, ...]
"""Factor expressions whose product is the term; ``()`` is the intercept."""


def sum_text(terms: tuple[Term, ...]) -> str:
    """Write terms as a sum that formulaic reads: ``1 + x + x:f``, or ``0 + x`` without an intercept."""
    head = "1" if () in terms else "0"
    return " + ".join([head, *(":".join(term) for term in terms if term)])


@dataclass(frozen=True)
class RandomTerm:
    """One random-effects term ``(expression | group)`` after expansion.

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
    terms : tuple of tuple of str
        The terms of ``expression``, each a tuple of factor expressions; ``()`` is the intercept.
    variables : tuple of str
        Columns that ``expression`` uses.

    Examples
    --------
    >>> from mixedfx.formula import parse
    >>> parse("y ~ x + (x || school/class)").random[1]
    RandomTerm('(1 + x || school:class)')
    """

    expression: str
    group: tuple[str, ...]
    covariance: str = "us"
    argument: str | None = None
    terms: tuple[Term, ...] = field(default=(), compare=False)
    variables: tuple[str, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """The name of the group shown to users: ``batch:cask``."""
        return ":".join(self.group)

    def __str__(self) -> str:
        bar = "||" if self.covariance == "diag" else "|"
        keyword = "" if self.covariance in ("us", "diag") else self.covariance
        group = ":".join(map(quote, self.group))
        argument = "" if self.argument is None else f", {self.argument}"
        return f"{keyword}({display(self.expression)} {bar} {group}{argument})"

    def __repr__(self) -> str:
        return f"RandomTerm({str(self)!r})"


@dataclass(frozen=True)
class Formula:
    """A mixed-model formula, split and expanded; two formulas are equal when they say the same.

    Evaluable text (``response``, ``fixed``, ``offsets``, ``expression`` of random terms) holds plain identifiers only:
    ``names`` maps them to columns, ``display(text)`` and ``coefficient_name(text)`` give the user's names back.

    Attributes
    ----------
    response : str
        Evaluable text of the left side, an expression; ``""`` for a one-sided formula.
    fixed : str
        Fixed part for formulaic, expanded, without bars and offsets: ``"1 + a + b + a:b"``.
    random : tuple of RandomTerm
        In the order of the formula, ``a/b`` expanded.
    offsets : tuple of str
        Evaluable expressions inside ``offset(…)``.
    error : tuple of tuple of str
        Terms of ``Error(…)`` as column names: ``(("subject",), ("subject", "A"))``.
    source : str
        The formula as the user wrote it.
    variables : tuple of str
        All column names used.
    fixed_terms : tuple of tuple of str
        The terms of ``fixed``, each a tuple of factor expressions; ``()`` is the intercept.
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

    response: str
    fixed: str
    random: tuple[RandomTerm, ...] = ()
    offsets: tuple[str, ...] = ()
    error: tuple[Term, ...] = ()
    source: str = field(default="", compare=False)
    variables: tuple[str, ...] = field(default=(), compare=False)
    fixed_terms: tuple[Term, ...] = field(default=(), compare=False)
    names: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def has_random(self) -> bool:
        """Whether the formula has a bar term."""
        return bool(self.random)

    @property
    def has_intercept(self) -> bool:
        """Whether the fixed part has an intercept."""
        return () in self.fixed_terms

    @property
    def groups(self) -> tuple[str, ...]:
        """The grouping columns, each once, in order of appearance."""
        return tuple(dict.fromkeys(name for term in self.random for name in term.group))

    @property
    def aliases(self) -> dict[str, str]:
        """``identifier -> column`` of the columns that could not be written as they are."""
        return {key: name for key, name in self.names if key != name}

    def display(self, text: str) -> str:
        """Return evaluable ``text`` with the user's names."""
        return display(text)

    def __str__(self) -> str:
        parts = [display(self.fixed), *map(str, self.random)]
        parts += [f"offset({display(text)})" for text in self.offsets]
        if self.error:
            parts.append(f"Error({' + '.join(':'.join(map(quote, term)) for term in self.error)})")
        return f"{display(self.response)} ~ {' + '.join(parts)}".lstrip()

    def __repr__(self) -> str:
        return f"Formula({str(self)!r})"


__all__ = ["Formula", "RandomTerm", "Term", "sum_text"]

"""What people type who come from R, from statsmodels or in haste, and what it is called here.

The tables of words stand in :mod:`mixedfx._suggestions.names` (attributes of modules and objects) and
:mod:`mixedfx._suggestions.words` (arguments, families, functions, …); every refusal asks them before it looks for a
similar spelling, by :func:`way_out`. Nothing here runs, and no table is loaded, as long as names are right.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache, wraps
from typing import Any, Literal, TypeAlias, TypeVar, cast

from mixedfx._lazy import higher
from mixedfx.exceptions import UnknownArgumentError, UnknownNameError, told_in_notebooks

__all__ = [
    "advised",
    "asked",
    "hinting",
    "hinting_methods",
    "meant",
    "names_of",
    "unknown_name",
    "way_out",
    "wrong_fit",
]

Place: TypeAlias = Literal[
    "name",
    "of a fit",
    "of a model",
    "argument",
    "family",
    "link",
    "function",
    "structure",
    "column",
    "wrong fit",
    "ddf",
    "adjust",
    "contrasts",
    "method",
    "residual",
    "kind",
]
"""Where a word was written: each has a table of its own."""

REQUIRED = {
    "family": "what the response is: 'binomial' (yes or no, proportions), 'poisson' or 'nbinom2' (counts), 'gamma' "
    "(positive), 'beta' (shares), 'ordinal' (ordered categories), …; for a normal response use mfx.lmer",
    "data": "a data frame; the formula comes first, then the data",
    "formula": "text such as 'y ~ x + (x | group)'",
    "column": "the name of a column of the data",
    "group": "the name of a grouping column",
    "time": "the name of the column of times",
    "visit": "the name of the column of occasions",
    "x": "the name of a predictor, drawn along the axis",
}

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def plain(word: str) -> str:
    """Return a word as the tables spell it.

    Examples
    --------
    >>> plain("trt.vs.ctrl"), plain("between-within"), plain("varIdent(form=~1|sex)")
    ('trt_vs_ctrl', 'between_within', 'varident')
    """
    return re.sub(r"[^\w]+", "_", word.partition("(")[0].strip().lower()).strip("_")


def tables() -> dict[str, Mapping[str, Any]]:
    """Return all tables, by place: what is said of words, by the words between blanks."""
    from mixedfx._suggestions import names, words

    return {
        "name": names.NAMES,
        "of a fit": names.OF_FITS,
        "of a model": names.OF_MODELS,
        "argument": words.ARGUMENTS,
        "family": words.FAMILIES,
        "link": words.LINKS,
        "function": words.FUNCTIONS,
        "structure": words.STRUCTURES,
        "column": words.COLUMNS,
        "wrong fit": words.WRONG_FITS,
        **words.VALUES,
    }


@cache
def table(place: str) -> Mapping[str, Any]:
    """Return what is said of words at a place, by the word as :func:`plain` spells it."""
    return {plain(word): entry for together, entry in tables().get(place, {}).items() for word in together.split()}


def way_out(place: str, word: Any, own: Iterable[str] = ()) -> str:
    """Return what to write instead of a word that is not known where it stands; nothing if no table has it.

    Parameters
    ----------
    place : str
        Where it was written: ``"name"``, ``"argument"``, ``"family"``, …, or the name of an argument that takes words.
    word : object
        What was written.
    own : iterable of str
        The names that there are: arguments of the function, attributes of the object, words that the argument takes.

    Examples
    --------
    >>> way_out("family", "quasi-poisson")
    "a likelihood is needed: family='nbinom1' has a variance proportional to the mean"
    >>> way_out("argument", "level", ["alpha"]), way_out("argument", "level")
    ('write alpha=0.05 for a level of 95 %', '')
    """
    entry = table(place).get(plain(word), ()) if isinstance(word, str) else ()
    if isinstance(entry, str):
        return shown(entry)
    own = set(own)
    return next((shown(hint.says) for hint in entry if not hint.has or hint.has in own), "")


def shown(says: str) -> str:
    """Return a sentence of the tables as messages have it: code alone is something to write."""
    return ("write " if says.startswith("`") else "") + says.replace("`", "")


def advised(place: str, word: Any, known: Iterable[str], besides: str = "") -> str:
    """Return the end of a message on an unknown word: the way out, or else what there is to choose from.

    Parameters
    ----------
    place : str
    word : object
    known : iterable of str
        The words that there are.
    besides : str
        What else may be given, for the message: ``", or give a matrix"``.

    Examples
    --------
    >>> advised("ddf", "contain", ["satterthwaite", "containment"])
    "write ddf='containment': nlme's inner and outer groups"
    >>> advised("ddf", "x", ["satterthwaite", "containment"])
    "choose from 'satterthwaite', 'containment'"
    """
    known = list(known)
    return way_out(place, word, known) or f"choose from {', '.join(map(repr, known))}{besides}"


def meant(word: Any, known: Iterable[str]) -> str:
    """Return ``"did you mean 'Days'?"`` for a slip of the hand; nothing if no name is near.

    Examples
    --------
    >>> meant("days", ["Intercept", "Days"]), meant("z", ["Days"])
    ("did you mean 'Days'?", '')
    """
    names = [name for name in known if isinstance(name, str)]
    near = [name for name in names if name.lower() == str(word).lower()] or get_close_matches(str(word), names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def wrong_fit(function: str, words: str, fit: Any) -> TypeError:
    """Return the error of a function for a fit of another kind; ``words`` say what the function wants."""
    own = dir(fit)
    says = way_out("wrong fit", function, own) or way_out("wrong fit", "any", own)
    return TypeError(f"{function} {words}, found {type(fit).__name__}{says and f': {says}'}")


def unknown_name(owner: str, name: str, own: Iterable[str], beside: str = "") -> UnknownNameError:
    """Return the error for a name that ``owner`` does not have.

    Parameters
    ----------
    owner : str
        ``"module 'mixedfx'"``, ``"'LinearMixedResults' object"``.
    name : str
        What was typed.
    own : iterable of str
        What ``owner`` has.
    beside : str
        The table of names that such an owner has elsewhere: ``"of a fit"``, ``"of a model"``.
    """
    said = f"{owner} has no attribute {name!r}"
    if name.startswith("_"):
        return UnknownNameError(said, name=name)
    typed, names = plain(name), list(own)
    says = way_out("name", name, names)
    called = re.match(r"write fit\.(\w+)", says)
    if called and called[1] in names and beside != "of a fit":
        said += f"; did you mean {called[1]!r}?"
    elif says or (says := way_out(beside, name)):
        said += f"; {says}"
    elif same := [other for other in names if other.lower() == typed]:
        said += f"; did you mean {same[0]!r}?"
    elif near := get_close_matches(name, names, n=2, cutoff=0.85):
        said += f"; did you mean {' or '.join(map(repr, near))}?"
    elif close := get_close_matches(typed, names, n=2, cutoff=0.75):
        said += f"; did you mean {' or '.join(map(repr, close))}?"
    elif close := get_close_matches(typed, [*table("name"), *table(beside)], n=1, cutoff=0.85):
        says = way_out("name", close[0], names) or way_out(beside, close[0])
        said += f"; did you mean {close[0]!r}? {says[:1].upper()}{says[1:]}" if says else ""
    return UnknownNameError(said, name=name)


def names_of(beside: str = "") -> Callable[[Any, str], Any]:
    """Return the ``__getattr__`` of a class: it says what a name is called here that is no attribute."""

    def __getattr__(self: Any, name: str) -> Any:
        if hasattr(type(self), name):  # a property failed inside: its own error is the true one
            return object.__getattribute__(self, name)
        own = [] if name.startswith("_") else sorted({*dir(type(self)), *dir(self)})
        raise unknown_name(f"{type(self).__name__!r} object", name, own, beside)

    return __getattr__


def hinting(function: F, given: int = 0) -> F:
    """Return ``function`` whose calls with unknown or missing arguments say what to write instead.

    The first ``given`` arguments are not the user's own and are not spoken of.
    """

    @wraps(function)
    def called(*values: Any, **options: Any) -> Any:
        try:
            return function(*values, **options)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                told_in_notebooks(error)
                raise  # the function began: the error is its own
            message = _refusal(function, values, options, str(error), given)
        raise UnknownArgumentError(message)

    return cast(F, called)


def asked(name: str) -> Callable[..., Any]:
    """Return the :func:`~mixedfx._lazy.higher` function of a name, of an object, for a call with a user's arguments."""
    return hinting(higher(name), given=1)


def hinting_methods(cls: C) -> C:
    """Make the public methods of a class, its construction and its attributes tell; for use as a decorator."""
    if not hasattr(cls, "__getattr__"):
        cls.__getattr__ = names_of()  # type: ignore[attr-defined]
    for name, value in list(vars(cls).items()):
        if inspect.isfunction(value) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, hinting(value))
        elif isinstance(value, classmethod) and not name.startswith("_"):
            setattr(cls, name, classmethod(hinting(value.__func__)))
    return cls


def _refusal(
    function: Callable[..., Any], values: tuple[Any, ...], options: Mapping[str, Any], python: str, given: int
) -> str:
    parameters = inspect.signature(function).parameters
    own = [name for name in parameters if name not in ("self", "cls")][given:]
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    unknown = [name for name in options if name not in parameters]
    if unknown:
        return f"{called} has no argument {unknown[0]!r}: {_advice(unknown[0], own)}"
    missing = [
        name
        for position, (name, parameter) in enumerate(parameters.items())
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in options
        and (parameter.kind is parameter.KEYWORD_ONLY or position >= len(values))
    ]
    if missing:
        meaning = f", {REQUIRED[missing[0]]}" if missing[0] in REQUIRED else ""
        return f"{called} needs {' and '.join(f'{name}=' for name in missing)}{meaning}"
    keyword = [name for name in own if parameters[name].kind is inspect.Parameter.KEYWORD_ONLY]
    if "positional" in python:
        if own[:1] == ["fits"] and len(values) > 1 and type(values[0]) is type(values[1]):
            return f"{called} takes the fits as one list: {called}([a, b])"
        if keyword:
            return (
                f"{called} got too many arguments without a name; these need one: {', '.join(f'{k}=' for k in keyword)}"
            )
        others = [name for name in own if parameters[name].kind is inspect.Parameter.VAR_KEYWORD]
        taken = ", ".join(name for name in own if name not in others)
        return f"{called} got too many arguments: it takes {taken or 'none'}{', and others by name' * bool(others)}"
    return python


def _advice(keyword: str, own: list[str]) -> str:
    same = [name for name in own if name.lower() == plain(keyword)]
    if same:
        return f"did you mean {same[0]}=?"
    says = way_out("argument", keyword, own)
    if says:
        return says
    close = get_close_matches(keyword, own, n=2)
    if close:
        return f"did you mean {' or '.join(f'{name}=' for name in close)}?"
    return f"it takes {', '.join(own)}" if own else "it takes none"

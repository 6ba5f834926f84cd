"""Programs that are a formula: for Bambi and brms. Their columns are those of the fit, so that no coding can differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfx.exceptions import MixedfxWarning, SpecificationError, warn
from mixedfx.programs.description import THRESHOLDS, Description, Number, Parameter, Term
from mixedfx.programs.names import WORDS, Names, quoted, remark
from mixedfx.programs.priors import Prior, number
from mixedfx.programs.program import Program
from mixedfx.programs.text import METHODS, check_family, heading

__all__ = ["bambi_program", "brms_program", "formula_variables", "uncorrelated"]

BAMBI = {
    "gaussian": "gaussian",
    "poisson": "poisson",
    "nbinom2": "negativebinomial",
    "gamma": "gamma",
    "beta": "beta",
    "beta_binomial": "beta_binomial",
    "student_t": "t",
}
BAMBI_NUMBERS = {"sigma": "sigma", "df": "nu", "shape": "alpha", "concentration": "alpha", "precision": "kappa"}
BAMBI_LINKS = {
    "gaussian": ("identity", "log", "inverse"),
    "student_t": ("identity", "log", "inverse"),
    "binomial": ("identity", "logit", "probit", "cloglog"),
    "poisson": ("identity", "log"),
    "nbinom2": ("identity", "log", "cloglog"),
    "gamma": ("identity", "log", "inverse"),
    "beta": ("identity", "logit", "probit", "cloglog"),
    "beta_binomial": ("identity", "logit", "probit", "cloglog"),
}
BRMS = {
    "gaussian": "gaussian",
    "poisson": "poisson",
    "nbinom2": "negbinomial",
    "gamma": "Gamma",
    "beta": "Beta",
    "beta_binomial": "beta_binomial",
    "student_t": "student",
    "ordinal": "cumulative",
    "zero_inflated_poisson": "zero_inflated_poisson",
    "zero_inflated_nbinom2": "zero_inflated_negbinomial",
}
BRMS_NUMBERS = {
    "sigma": "sigma",
    "df": "nu",
    "shape": "shape",
    "concentration": "shape",
    "precision": "phi",
    "zero_inflation": "zi",
}
PROBABILITIES = ("identity", "logit", "probit", "cloglog", "cauchit", "log")
BRMS_LINKS = {
    "gaussian": ("identity", "log", "inverse"),
    "student_t": ("identity", "log", "inverse"),
    "binomial": PROBABILITIES,
    "poisson": ("identity", "log", "sqrt"),
    "nbinom2": ("identity", "log", "sqrt"),
    "gamma": ("identity", "log", "inverse"),
    "beta": PROBABILITIES,
    "beta_binomial": PROBABILITIES,
    "ordinal": ("logit", "probit"),
    "zero_inflated_poisson": ("identity", "log", "sqrt"),
    "zero_inflated_nbinom2": ("identity", "log", "sqrt"),
}
LOST = "Bambi has no correlations between the effects of a group: those of … are independent in this program"


@dataclass(frozen=True)
class Columns:
    """Names of the columns of the data frame.

    Attributes
    ----------
    response, trials, offset : str
    fixed : tuple of str
        ``"1"`` for the intercept.
    random : tuple of tuple of str
        Those of every term.
    groups : tuple of str
        The grouping factor of every term.
    further : dict
        Those of further linear predictors, by component.
    data : dict
        The columns themselves.
    """

    response: str
    trials: str
    offset: str
    fixed: tuple[str, ...]
    random: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...]
    further: dict[str, tuple[str, ...]]
    data: dict[str, Any]

    @classmethod
    def of(cls, model: Description) -> Columns:
        """Name the columns of a model."""
        names = Names(WORDS)
        data: dict[str, Any] = {}
        known: dict[str, list[tuple[str, Any]]] = {}
        response = names.new(model.response, otherwise="y")
        first = 1 if model.family.has_categories else 0
        whole = model.family.support.atoms == "integers"
        data[response] = model.y.astype(np.int64) + first if whole else model.y
        if model.trials is not None and not model.is_binary:
            data["trials"] = model.trials.astype(np.int64)
        if model.mean.offset is not None:
            data["shift"] = model.mean.offset

        def named(label: str, values: Any) -> str:
            """A column by its name here; a second one of the same name may have other values."""
            if label == "Intercept" and np.all(values == 1.0):
                return "1"
            for name, own in known.get(label, ()):
                if np.array_equal(own, values):
                    return str(name)
            name = names.new(label)
            known.setdefault(label, []).append((name, values))
            data[name] = values
            return name

        fixed = tuple(named(label, values) for label, values in zip(model.mean.columns, model.mean.matrix.T))
        random = tuple(
            tuple(named(label, values) for label, values in zip(term.effects, term.matrix.T)) for term in model.terms
        )
        further = {
            p.component: tuple(named(label, values) for label, values in zip(p.columns, p.matrix.T))
            for p in model.predictors[1:]
        }
        groups = []
        for term in model.terms:
            labels = np.array(term.levels, dtype=object)[term.codes]
            groups.append(_group(term, labels, names, data))
        return cls(response, "trials", "shift", fixed, random, tuple(groups), further, data)


def _group(term: Term, labels: Any, names: Names, data: dict[str, Any]) -> str:
    for name, values in data.items():
        if name.startswith(term.name) and values.dtype == object and np.array_equal(values, labels):
            return name
    name = names.new(term.group, otherwise="group")
    data[name] = labels
    return name


def _sum(columns: tuple[str, ...]) -> str:
    """The terms of one side of a bar, or of the fixed part."""
    return " + ".join(columns) if "1" in columns else " + ".join(("0", *columns))


def _check(
    model: Description, language: str, links: dict[str, tuple[str, ...]], powers: tuple[float, ...] = ()
) -> None:
    """Refuse what a formula of the language does not say: formulas of numbers but those of the given powers."""
    method, code = METHODS[language], "to_pymc, to_numpyro and to_stan write it"
    check_family(model, language)
    link, family = model.family.link.name, model.family.name
    if link not in links[family]:
        raise SpecificationError(f"{method} has no {family} family with the link {link!r}: {code}")
    own = [one.number for one in model.numbers if one.predictor is not None]
    further = [number.component.replace("_", " ") for number in own if number.power not in powers]
    shared = [term.text for term in model.terms if term.is_shared]
    related = [term.text for term in model.terms if term.loading is not None]
    what = [
        *(["precision weights"] if model.weights is not None else []),
        *(f"formula of the {name}" for name in further),
        *(f"standard deviation for several effects of {text}" for text in shared),
        *(f"relationship between the levels of {text}" for text in related),
    ]
    if what:
        raise SpecificationError(f"{method} has no {what[0]}: {code}")


# ---------------------------------------------------------------- Bambi
def uncorrelated(model: Description) -> Description:
    """Return the model without correlations between effects, said in its notes and by a warning."""
    lost = [term.text for term in model.correlations]
    if not lost:
        return model
    note = LOST.replace("…", " and ".join(lost))
    warn(f"{note}; to_pymc, to_numpyro, to_stan and to_brms keep them (LKJ)", MixedfxWarning)
    terms = tuple(replace(term, correlation=None) for term in model.terms)
    return replace(model, terms=terms, notes=(*model.notes, note))


def bambi_program(model: Description, centered: bool) -> Program:
    """Return the model, without correlations, as a Bambi program: the text makes ``model``."""
    _check(model, "Bambi", BAMBI_LINKS)
    columns = Columns.of(model)
    family = _bambi_family(model)
    response = columns.response
    if columns.trials in columns.data:
        response = f"p({response}, {columns.trials})"
    terms = [f"({_sum(own)} | {group})" for own, group in zip(columns.random, columns.groups)]
    offset = [f"offset({columns.offset})"] if columns.offset in columns.data else []
    formula = f"{response} ~ {' + '.join([_sum(columns.fixed), *offset, *terms])}"
    entries = list(_bambi_priors(model, columns))
    lines = [
        heading(model, "#") + "import bambi as bmb",
        "import pandas as pd",
        "import pytensor",
        "",
        'pytensor.config.cast_policy = "numpy+floatX"  # else 2.5 and other short numbers become single precision',
        "",
        "priors = {",
        *(f"    {quoted(name)}: {prior},  # {remark(key)}" for key, name, prior in entries),
        "}",
        "model = bmb.Model(",
        f"    {quoted(formula)},",
        "    pd.DataFrame(data),",
        f'    family="{family}",',
        f'    link="{model.family.link.name}",',
        "    priors=priors,",
        f"    noncentered={not centered},",
        "    center_predictors=False,  # the prior of the intercept is that of the columns as they are",
        ")",
        "model.build()",
        "",
    ]
    variables = _bambi_variables(model, columns)
    start = {variables[p.key]: model.priors[p.key].start(p.start) for p in model.parameters}
    return Program("Bambi", "\n".join(lines), columns.data, start, variables, {}, {}, model.notes, model)


def _bambi_family(model: Description) -> str:
    return (
        ("bernoulli" if model.is_binary else "binomial")
        if model.family.name == "binomial"
        else BAMBI[model.family.name]
    )


def _bambi_prior(prior: Prior) -> str:
    call = prior.written("pymc")
    name, rest = call.split("(", 1)
    return f'bmb.Prior("{name}", {rest}' if rest != ")" else f'bmb.Prior("{name}")'


def _bambi_priors(model: Description, columns: Columns) -> Iterator[tuple[str, str, str]]:
    """Key here, name in Bambi, and prior of every parameter."""
    for parameter, column in zip(model.mean.coefficients, columns.fixed):
        yield parameter.key, "Intercept" if column == "1" else column, _bambi_prior(model.priors[parameter.key])
    for term, own, group in zip(model.terms, columns.random, columns.groups):
        for parameter, column in zip(term.deviations, own):
            spread = _bambi_prior(model.priors[parameter.key])
            yield parameter.key, f"{column}|{group}", f'bmb.Prior("Normal", mu=0.0, sigma={spread})'
    for one in model.numbers:
        name = BAMBI_NUMBERS[one.number.name]
        if one.parameter is not None:
            yield one.parameter.key, name, _bambi_prior(model.priors[one.parameter.key])
        elif one.known is not None:
            yield f"{one.number.key}, known", name, number(one.known)


def _bambi_variables(model: Description, columns: Columns) -> dict[str, str]:
    found = {
        p.key: "Intercept" if column == "1" else column for p, column in zip(model.mean.coefficients, columns.fixed)
    }
    for term, own, group in zip(model.terms, columns.random, columns.groups):
        found |= {p.key: f"{column}|{group}_sigma" for p, column in zip(term.deviations, own)}
    return found | {n.parameter.key: BAMBI_NUMBERS[n.number.name] for n in model.numbers if n.parameter is not None}


# ---------------------------------------------------------------- brms
def brms_program(model: Description) -> Program:
    """Return the model as a brms program in R, which centres no columns and standardises its effects."""
    _check(model, "brms", BRMS_LINKS, powers=(0.0, 1.0))  # on the scales of brms: a logit, a logarithm
    _check_bounds(model)
    columns = Columns.of(model)
    link = model.family.link.name
    family = (
        ("bernoulli" if model.is_binary else "binomial") if model.family.name == "binomial" else BRMS[model.family.name]
    )
    response = columns.response
    if columns.trials in columns.data:
        response = f"{response} | trials({columns.trials})"
    elif family == "beta_binomial":
        response = f"{response} | trials(1)"
    fixed = list(map(_brms_name, columns.fixed))
    first = fixed if model.family.has_categories else ["0", *fixed]
    offset = [f"offset({columns.offset})"] if columns.offset in columns.data else []
    terms = [
        f"({_sum(own)} {'|' if term.correlation is not None or term.size == 1 else '||'} {group})"
        for term, own, group in zip(model.terms, columns.random, columns.groups)
    ]
    formula = f"{response} ~ {' + '.join([*(first or ['1']), *offset, *terms])}"
    centre = ", center = FALSE" if model.family.has_categories else ""
    for one in model.numbers:
        if one.predictor is not None:
            own = ("0", *map(_brms_name, columns.further[one.predictor.component]))
            centre += f", {BRMS_NUMBERS[one.number.name]} ~ {' + '.join(own)}"
    priors = list(_brms_priors(model, columns))
    handed = (
        "data: a data frame, written in Python by pandas.DataFrame(program.data).to_csv('data.csv', index=False)",
        "and read in R by data <- read.csv('data.csv')",
    )
    lines = [
        heading(model, "#", handed) + "library(brms)",
        "",
        f"formula <- bf({formula}{centre})",
        f'family <- brmsfamily("{family}", link = "{link}")',
        "priors <- c(",
        *(f"  {prior}{',' if k < len(priors) - 1 else ''}  # {remark(key)}" for k, (key, prior) in enumerate(priors)),
        ")" if priors else "NULL)",
        "fit <- brm(formula, data, family = family, prior = priors)",
        "",
    ]
    start: dict[str, Any] = {}
    if model.mean.coefficients:
        start["b"] = np.array([model.priors[p.key].start(p.start) for p in model.mean.coefficients])
    for one in model.numbers:
        if one.parameter is not None:
            start[BRMS_NUMBERS[one.number.name]] = model.priors[one.parameter.key].start(one.parameter.start)
    return Program(
        "brms", "\n".join(lines), columns.data, start, _brms_variables(model, columns), {}, {}, model.notes, model
    )


def _check_bounds(model: Description) -> None:
    """Refuse priors that need bounds which brms cannot give to one parameter."""
    for parameter in model.parameters:
        prior = model.priors[parameter.key]
        if prior.support != (parameter.domain.lower, parameter.domain.upper):
            raise SpecificationError(
                f"to_brms: brms has bounds for all coefficients together, and {prior} of {parameter.key!r} needs its "
                "own: choose a prior without, or to_stan"
            )


def _set_prior(prior: str, words: str) -> str:
    return f'set_prior("{prior}", {words})'


def _brms_priors(model: Description, columns: Columns) -> Iterator[tuple[str, str]]:
    for parameter, column in zip(model.mean.coefficients, columns.fixed):
        words = f'class = "b", coef = "{_brms_name(column)}"'
        yield parameter.key, _set_prior(_in_brms(model, parameter), words)
    if model.thresholds:
        yield THRESHOLDS, _set_prior(model.priors[THRESHOLDS].written("brms"), 'class = "Intercept"')
    for term, own, group in zip(model.terms, columns.random, columns.groups):
        for parameter, column in zip(term.deviations, own):
            words = f'class = "sd", group = "{group}", coef = "{_brms_name(column)}"'
            yield parameter.key, _set_prior(_in_brms(model, parameter), words)
        if term.correlation is not None:
            prior = model.priors[term.correlation.key].written("brms")
            yield term.correlation.key, _set_prior(prior, f'class = "cor", group = "{group}"')
    for one in model.numbers:
        yield from _brms_number(model, one, columns)


def _in_brms(model: Description, parameter: Parameter) -> str:
    return model.priors[parameter.key].written("brms")


def _brms_number(model: Description, one: Number, columns: Columns) -> Iterator[tuple[str, str]]:
    name = BRMS_NUMBERS[one.number.name]
    if one.parameter is not None:
        yield one.parameter.key, _set_prior(_in_brms(model, one.parameter), f'class = "{name}"')
    elif one.known is not None:
        yield f"{one.number.key}, known", _set_prior(f"constant({number(one.known)})", f'class = "{name}"')
    elif one.predictor is not None:
        for parameter, column in zip(one.predictor.coefficients, columns.further[one.predictor.component]):
            words = f'class = "b", coef = "{_brms_name(column)}", dpar = "{name}"'
            yield parameter.key, _set_prior(_in_brms(model, parameter), words)


def _brms_name(column: str) -> str:
    return "Intercept" if column == "1" else column


def _brms_variables(model: Description, columns: Columns) -> dict[str, str]:
    found = {p.key: f"b_{_brms_name(column)}" for p, column in zip(model.mean.coefficients, columns.fixed)}
    for term, own, group in zip(model.terms, columns.random, columns.groups):
        found |= {p.key: f"sd_{group}__{_brms_name(column)}" for p, column in zip(term.deviations, own)}
        if term.correlation is not None:
            found[term.correlation.key] = f"cor_{group}"
    for one in model.numbers:
        if one.predictor is not None:
            own = columns.further[one.predictor.component]
            found |= {
                p.key: f"b_{BRMS_NUMBERS[one.number.name]}_{_brms_name(column)}"
                for p, column in zip(one.predictor.coefficients, own)
            }
    return found | {n.parameter.key: BRMS_NUMBERS[n.number.name] for n in model.numbers if n.parameter is not None}


def formula_variables(model: Description) -> dict[str, tuple[str, ...]]:
    """Return what Bambi and brms call the parameters, by their names here; correlations by theirs in a fit."""
    columns = Columns.of(model)
    found: dict[str, tuple[str, ...]] = {}
    bambi, brms = BAMBI_NUMBERS, BRMS_NUMBERS
    for parameter, column in zip(model.mean.coefficients, columns.fixed):
        found[parameter.key] = _brms_name(column), f"b_{_brms_name(column)}"
    for one in model.numbers:
        if one.predictor is not None and one.number.name in brms:
            for parameter, column in zip(one.predictor.coefficients, columns.further[one.number.component]):
                found[parameter.key] = (f"b_{brms[one.number.name]}_{_brms_name(column)}",)
    for term, own, group in zip(model.terms, columns.random, columns.groups):
        for parameter, column in zip(term.deviations, own):
            found[parameter.key] = f"{column}|{group}_sigma", f"sd_{group}__{_brms_name(column)}"
        for i, late in enumerate(own):
            for j, early in enumerate(own[:i]):
                key = f"cor_{term.effects[i]}.{term.effects[j]}|{term.group}"
                found[key] = (f"cor_{group}__{_brms_name(early)}__{_brms_name(late)}",)
    for one in model.numbers:
        name = one.number.name
        found[one.number.key] = tuple({table[name] for table in (bambi, brms) if name in table})
    return found

"""Stan programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mixedfx.programs.density import start_values
from mixedfx.programs.description import THRESHOLDS, Description, Number, Predictor, Term
from mixedfx.programs.names import remark
from mixedfx.programs.priors import Prior, number
from mixedfx.programs.program import Program
from mixedfx.programs.python_text import indented
from mixedfx.programs.text import aside, check_family, heading, python_data, variables, vector_dims

__all__ = ["stan_program"]

INVERSE = {
    "identity": "eta",
    "log": "exp(eta)",
    "logit": "inv_logit(eta)",
    "probit": "Phi(eta)",
    "cloglog": "inv_cloglog(eta)",
    "cauchit": "0.5 + atan(eta) / pi()",
    "inverse": "inv(eta)",
    "inverse_squared": "inv_sqrt(eta)",
    "sqrt": "square(eta)",
}


def stan_program(model: Description, centered: bool) -> Program:
    """Return the model as a Stan program."""
    check_family(model, "Stan")
    names = {t.correlation.key: t.correlation.matrix for t in model.correlations if t.correlation is not None}
    blocks = {
        "data": _data_lines(model),
        "parameters": _parameter_lines(model, centered),
        "transformed parameters": _transformed_lines(model, centered),
        "model": _model_lines(model, centered),
        "generated quantities": _generated_lines(model),
    }
    code = heading(model, "//")
    for name, lines in blocks.items():
        body = list(indented(lines))
        if body:
            code += "\n".join([f"{name} {{", *body, "}", ""])
    return Program(
        "Stan",
        code,
        _data(model),
        start_values(model, centered=centered, partial=False),
        variables(model, names),
        model.coordinates,
        vector_dims(model, standardised=not centered),
        model.notes,
        model,
    )


# ---------------------------------------------------------------- data
def _data(model: Description) -> dict[str, Any]:
    """The data as Stan takes them: numbers and arrays alone, levels from 1."""
    found = {key: value for key, value in python_data(model).items() if not isinstance(value, list)}
    if "offset" in found:
        found["shift"] = found.pop("offset")
    for term in model.terms:
        found[term.code] = found[term.code] + 1
    if model.family.has_categories:
        found["y"] = found["y"] + 1
    return {"N": model.n, **found}


def _data_lines(model: Description) -> Iterator[str]:
    yield "int<lower=1> N;"
    whole = model.family.support.atoms == "integers"
    yield "array[N] int y;" if whole else "vector[N] y;"
    for predictor in model.predictors:
        if predictor.columns:
            yield f"matrix[N, {len(predictor.columns)}] {predictor.name};"
    if model.mean.offset is not None:
        yield "vector[N] shift;  // the offset, whose name is a word of Stan"
    if model.trials is not None and not model.is_binary:
        yield "array[N] int<lower=0> trials;"
    if model.weights is not None:
        yield "vector<lower=0>[N] weights;"
    for term in model.terms:
        m, q = len(term.levels), term.size
        yield f"array[N] int<lower=1, upper={m}> {term.code};"
        if not term.is_plain:
            yield f"vector[N] {term.columns};" if q == 1 else f"matrix[N, {q}] {term.columns};"
        if term.loading is not None:
            yield f"matrix[{m}, {m}] {term.loading_name};"


# ---------------------------------------------------------------- parameters
def _parameter_lines(model: Description, centered: bool) -> Iterator[str]:
    for parameter in model.parameters:
        yield f"real{_bounds(model.priors[parameter.key])} {parameter.name};  // {aside(parameter)}"
    if model.thresholds:
        yield f"ordered[{len(model.thresholds)}] thresholds;  // {THRESHOLDS}"
    for term in model.terms:
        own = term.correlation
        if own is not None:
            yield f"cholesky_factor_corr[{term.size}] {own.name};  // {remark(own.key)}"
        yield f"{_effects_type(term)} {_own_name(term, centered)};  // {remark(term.text)}"


def _own_name(term: Term, centered: bool) -> str:
    """The effects that are parameters."""
    if not centered:
        return term.raw
    return term.effect if term.loading is None else f"{term.effect}_independent"


def _effects_type(term: Term) -> str:
    m, q = len(term.levels), term.size
    return f"vector[{m}]" if q == 1 else f"matrix[{m}, {q}]"


def _bounds(prior: Prior) -> str:
    lower, upper = prior.support
    ends = [
        f"{name}={number(end).removesuffix('.0')}"
        for name, end in (("lower", lower), ("upper", upper))
        if np.isfinite(end)
    ]
    return f"<{', '.join(ends)}>" if ends else ""


def _transformed_lines(model: Description, centered: bool) -> Iterator[str]:
    for predictor in model.predictors:
        if predictor.columns:
            values = ", ".join(p.name for p in predictor.coefficients)
            yield f"vector[{len(predictor.columns)}] {predictor.vector} = [{values}]';"
    for term in model.terms:
        q = term.size
        sd = term.deviations[0].name
        if q > 1:
            values = ", ".join(p.name for p in term.spreads)
            yield f"vector[{q}] {term.sd} = [{values}]';"
            sd = term.sd
        product = _own_name(term, centered)
        if not centered:
            if term.correlation is not None:
                product = f"{term.raw} * diag_pre_multiply({sd}, {term.correlation.name})'"
            else:
                product = f"{term.raw} * {sd}" if q == 1 else f"diag_post_multiply({term.raw}, {sd})"
        if term.loading is not None:
            product = f"{term.loading_name} * ({product})"
        if product != term.effect:
            yield f"{_effects_type(term)} {term.effect} = {product};"


def _generated_lines(model: Description) -> Iterator[str]:
    for term in model.correlations:
        own = term.correlation
        if own is not None:
            yield f"corr_matrix[{term.size}] {own.matrix} = multiply_lower_tri_self_transpose({own.name});"


# ---------------------------------------------------------------- densities
def _model_lines(model: Description, centered: bool) -> Iterator[str]:
    yield from _local_lines(model)
    yield "// priors"
    for parameter in model.parameters:
        density = model.priors[parameter.key].written("stan", parameter.name)
        if density:
            yield f"target += {density};"
    if model.thresholds and not model.priors[THRESHOLDS].is_flat:
        yield f"target += {model.priors[THRESHOLDS].written('stan', 'thresholds')};"
    for term in model.terms:
        yield from _effect_lines(model, term, centered)
    yield "// response"
    yield from _likelihood(model)


def _local_lines(model: Description) -> Iterator[str]:
    """Declarations, which older releases of Stan want at the top of a block."""
    yield from _predictor_lines(model.mean, model.terms)
    for own in model.numbers:
        yield from _number_lines(own)
    if _needs_mean(model):
        yield f"vector[N] mu = {INVERSE[model.family.link.name]};"
    if model.family.name in ("gamma", "inverse_gaussian"):
        yield f"vector[N] shapes = {_rows(model, 'shape', divided=False)};"
    if model.family.name == "lognormal":
        yield f"vector[N] spread = {_rows(model, 'sigma', divided=True)};"


def _needs_mean(model: Description) -> bool:
    """Whether the response is written with its mean, not with the linear predictor."""
    family, link = model.family.name, model.family.link.name
    direct = family == "binomial" and link == "logit", family in ("poisson", "nbinom2") and link == "log"
    return family != "ordinal" and not any(direct)


def _rows(model: Description, name: str, *, divided: bool) -> str:
    """A parameter of the family in every row."""
    text = _weighted(model, name, divided=divided)
    return text if _is_vector(model, name) or model.weights is not None else f"rep_vector({name}, N)"


def _effect_lines(model: Description, term: Term, centered: bool) -> Iterator[str]:
    own, q, name = term.correlation, term.size, _own_name(term, centered)
    if own is not None:
        yield f"target += {model.priors[own.key].written('stan', own.name)};"
    if not centered:
        yield f"target += std_normal_lpdf({name if q == 1 else f'to_vector({name})'});"
    elif q == 1:
        yield f"target += normal_lpdf({name} | 0, {term.deviations[0].name});"
    elif own is None:
        yield f"for (k in 1:{q}) target += normal_lpdf({name}[, k] | 0, {term.sd}[k]);"
    else:
        m = len(term.levels)
        yield "{"
        yield f"    matrix[{q}, {q}] root = diag_pre_multiply({term.sd}, {own.name});"
        yield f"    for (j in 1:{m}) target += multi_normal_cholesky_lpdf({name}[j]' | rep_vector(0, {q}), root);"
        yield "}"


def _predictor_lines(mean: Predictor, terms: tuple[Term, ...]) -> Iterator[str]:
    parts = [f"{mean.name} * {mean.vector}"] if mean.columns else []
    parts += ["shift"] if mean.offset is not None else []
    for term in terms:
        effects = f"{term.effect}[{term.code}]"
        if term.is_plain:
            parts.append(effects)
        elif term.size == 1:
            parts.append(f"{term.columns} .* {effects}")
        else:
            parts.append(f"rows_dot_product({term.columns}, {effects})")
    yield f"vector[N] eta = {' + '.join(parts or ['rep_vector(0, N)'])};"


def _number_lines(own: Number) -> Iterator[str]:
    name = own.number.name
    if own.known is not None:
        yield f"real {name} = {number(own.known)};  // known"
    if own.predictor is not None:
        eta = f"{own.predictor.name} * {own.predictor.vector}"
        power = own.number.power
        scaled = eta if power == 1.0 else f"({eta}) / {number(power)}"
        yield f"vector[N] {name} = {f'exp({scaled})' if power else f'inv_logit({eta})'};"


def _is_vector(model: Description, name: str) -> bool:
    """Whether a parameter of the family differs between rows."""
    return model.number(name).predictor is not None


def _times(model: Description, left: str, name: str) -> str:
    return f"{left} {'.*' if _is_vector(model, name) else '*'} {name}"


def _weighted(model: Description, name: str, *, divided: bool) -> str:
    if model.weights is None:
        return name
    if _is_vector(model, name):
        return f"{name} ./ sqrt(weights)" if divided else f"{name} .* weights"
    return f"{name} * inv_sqrt(weights)" if divided else f"{name} * weights"


def _likelihood(model: Description) -> Iterator[str]:
    family, link = model.family.name, model.family.link.name
    if family == "ordinal":
        law = "ordered_logistic_lpmf" if link == "logit" else "ordered_probit_lpmf"
        yield f"for (n in 1:N) target += {law}(y[n] | eta[n], thresholds);"
        return
    if family == "binomial" and link == "logit":
        law = "bernoulli_logit_lpmf(y | eta)" if model.is_binary else "binomial_logit_lpmf(y | trials, eta)"
        yield f"target += {law};"
        return
    if family in ("poisson", "nbinom2") and link == "log":
        law = "poisson_log_lpmf(y | eta)" if family == "poisson" else "neg_binomial_2_log_lpmf(y | eta, concentration)"
        yield f"target += {law};"
        return
    yield from RESPONSES[family](model)


def _location(law: str, leading: str = "") -> Any:
    """A law of location and sigma."""

    def lines(model: Description) -> Iterator[str]:
        yield f"target += {law}(y | {leading}mu, {_weighted(model, 'sigma', divided=True)});"

    return lines


def _lognormal(model: Description) -> Iterator[str]:
    yield "target += lognormal_lpdf(y | log(mu) - 0.5 * square(spread), spread);"


def _gamma(model: Description) -> Iterator[str]:
    yield "target += gamma_lpdf(y | shapes, shapes ./ mu);"


def _inverse_gaussian(model: Description) -> Iterator[str]:
    yield "target += 0.5 * sum(log(shapes) - 3 * log(y)) - 0.5 * N * log(2 * pi());"
    yield "target += -0.5 * sum(shapes .* square(y ./ mu - 1) ./ y);"


def _poisson(model: Description) -> Iterator[str]:
    yield "target += poisson_lpmf(y | mu);"


def _nbinom2(model: Description) -> Iterator[str]:
    yield "target += neg_binomial_2_lpmf(y | mu, concentration);"


def _nbinom1(model: Description) -> Iterator[str]:
    yield f"target += neg_binomial_2_lpmf(y | mu, mu {'./' if _is_vector(model, 'excess') else '/'} excess);"


def _binomial(model: Description) -> Iterator[str]:
    yield f"target += {'bernoulli_lpmf(y |' if model.is_binary else 'binomial_lpmf(y | trials,'} mu);"


def _beta_shapes(model: Description) -> str:
    return f"{_times(model, 'mu', 'precision')}, {_times(model, '(1 - mu)', 'precision')}"


def _beta(model: Description) -> Iterator[str]:
    yield f"target += beta_lpdf(y | {_beta_shapes(model)});"


def _beta_binomial(model: Description) -> Iterator[str]:
    trials = "rep_array(1, N)" if model.is_binary else "trials"
    yield f"target += beta_binomial_lpmf(y | {trials}, {_beta_shapes(model)});"


def _zero_inflated(law: str, size: bool) -> Any:
    def lines(model: Description) -> Iterator[str]:
        zero = "zero_inflation[n]" if _is_vector(model, "zero_inflation") else "zero_inflation"
        further = "" if not size else ", concentration[n]" if _is_vector(model, "concentration") else ", concentration"
        yield "for (n in 1:N) {"
        yield f"    real density = log1m({zero}) + {law}(y[n] | mu[n]{further});"
        yield f"    target += y[n] == 0 ? log_sum_exp(log({zero}), density) : density;"
        yield "}"

    return lines


RESPONSES: dict[str, Any] = {
    "gaussian": _location("normal_lpdf"),
    "student_t": _location("student_t_lpdf", "df, "),
    "lognormal": _lognormal,
    "gamma": _gamma,
    "inverse_gaussian": _inverse_gaussian,
    "poisson": _poisson,
    "nbinom2": _nbinom2,
    "nbinom1": _nbinom1,
    "binomial": _binomial,
    "beta": _beta,
    "beta_binomial": _beta_binomial,
    "zero_inflated_poisson": _zero_inflated("poisson_lpmf", False),
    "zero_inflated_nbinom2": _zero_inflated("neg_binomial_2_lpmf", True),
}

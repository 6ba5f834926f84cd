"""PyMC programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixedfx.programs.density import partial_shapes, start_values
from mixedfx.programs.description import THRESHOLDS, Correlation, Description, Number, Predictor, Term
from mixedfx.programs.names import remark
from mixedfx.programs.priors import number
from mixedfx.programs.program import Program
from mixedfx.programs.python_text import Python, coordinate_lines, indented, listed
from mixedfx.programs.text import aside, check_family, heading, python_data, variables, vector_dims

__all__ = ["pymc_program"]

LANGUAGE = Python("pt.exp", "pt.sqrt", "pt.log", "pm.math.invlogit", "pm.math.invprobit", "pt.arctan", "np.pi")
HEAD = """\
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

pytensor.config.cast_policy = "numpy+floatX"  # else 2.5 and other short numbers become single precision
"""


def pymc_program(model: Description, centered: bool) -> Program:
    """Return the model as a PyMC program: the text makes ``model``."""
    check_family(model, "PyMC")
    names = {t.correlation.key: _correlation_name(t) for t in model.correlations if t.correlation is not None}
    body = [
        "# priors",
        *_priors(model),
        *_coefficients(model.mean),
        *(line for term in model.terms for line in _term(term, centered)),
        "# response",
        *LANGUAGE.predictor_lines(model.mean, model.terms),
        *(line for own in model.numbers for line in _number(own)),
        *_likelihood(model),
    ]
    code = "\n".join(
        [
            heading(model, "#") + HEAD,
            *coordinate_lines(model),
            "",
            "with pm.Model(coords=coords) as model:",
            *indented(body),
            "",
        ]
    )
    return Program(
        "PyMC",
        code,
        python_data(model),
        start_values(model, centered=centered, partial=True),
        variables(model, names),
        model.coordinates,
        vector_dims(model, standardised=not centered),
        model.notes,
        model,
    )


def _correlation_name(term: Term) -> str:
    own = term.correlation
    assert own is not None
    return own.matrix


def _priors(model: Description) -> Iterator[str]:
    for parameter in model.parameters:
        call = model.priors[parameter.key].written("pymc").replace("(", f'("{parameter.name}", ', 1)
        yield f"{parameter.name} = pm.{call.replace(', )', ')')}  # {aside(parameter)}"
    if model.thresholds:
        call = model.priors[THRESHOLDS].written("pymc").replace("(", '("thresholds", ', 1).replace(", )", ")")
        count = len(model.thresholds)
        initial = listed([0.1 * k for k in range(count)])
        yield (
            f"thresholds = pm.{call[:-1]}, shape={count}, transform=pm.distributions.transforms.ordered, "
            f"initval={initial})  # {THRESHOLDS}"
        )
    for term in model.correlations:
        own = term.correlation
        if own is not None:
            yield from _correlation(own, model.priors[own.key].numbers[0], term.size)


def _correlation(own: Correlation, eta: float, q: int) -> Iterator[str]:
    """LKJ by partial correlations: whatever their values, they are of a correlation matrix."""
    shapes = listed(partial_shapes(q, eta))
    yield f"# lkj({number(eta)}) by partial correlations, any values of which make a correlation matrix"
    yield f'{own.partial} = pm.Beta("{own.partial}", alpha={shapes}, beta={shapes})  # {remark(own.key)}'
    yield f"r = 2.0 * {own.partial} - 1.0"
    rows, place = [], 0
    for i in range(q):
        left, row = "", []
        for _ in range(i):
            row.append(f"r[{place}]{left}")
            left, place = f"{left} * pt.sqrt(1.0 - r[{place}] ** 2)", place + 1
        row.append(left.removeprefix(" * ") or "1.0")
        rows.append(f"[{', '.join(row + ['0.0'] * (q - 1 - i))}]")
    yield f"{own.name} = pt.stacklists(["
    yield from (f"    {row}," for row in rows)
    yield "])"
    yield f'{own.matrix} = pm.Deterministic("{own.matrix}", pt.dot({own.name}, {own.name}.T))'


def _coefficients(predictor: Predictor) -> Iterator[str]:
    if predictor.columns:
        stacked = f"pt.stack([{', '.join(p.name for p in predictor.coefficients)}])"
        yield f'{predictor.vector} = pm.Deterministic("{predictor.vector}", {stacked}, dims="{predictor.dim}")'


def _term(term: Term, centered: bool) -> Iterator[str]:
    yield f"# {LANGUAGE.title(term)}"
    q = term.size
    dims = f'"{term.dim}"' if q == 1 else f'("{term.dim}", "{term.effect_dim}")'
    sd = term.deviations[0].name
    if q > 1:
        values = ", ".join(p.name for p in term.spreads)
        yield f'{term.sd} = pm.Deterministic("{term.sd}", pt.stack([{values}]), dims="{term.effect_dim}")'
        sd = term.sd
    factor = "" if term.correlation is None else f"{term.sd}[:, None] * {term.correlation.name}"
    effect = term.effect if term.loading is None else f"{term.effect}_independent"
    if not centered:
        yield f'{term.raw} = pm.Normal("{term.raw}", mu=0.0, sigma=1.0, dims={dims})'
        product = f"pt.dot({term.raw}, ({factor}).T)" if factor else f"{term.raw} * {sd}"
        if term.loading is not None:
            product = f'pt.dot(data["{term.loading_name}"], {product})'
        yield f'{term.effect} = pm.Deterministic("{term.effect}", {product}, dims={dims})'
        return
    name = term.effect
    law = f'MvNormal("{name}", mu=np.zeros({q}), chol={factor}' if factor else f'Normal("{name}", mu=0.0, sigma={sd}'
    yield f"{effect} = pm.{law}, dims={dims})"
    if term.loading is not None:
        yield f'{term.effect} = pt.dot(data["{term.loading_name}"], {effect})'


def _number(own: Number) -> Iterator[str]:
    """The family's parameter, where it is known or has a linear predictor."""
    if own.predictor is not None:
        yield from _coefficients(own.predictor)
    yield from LANGUAGE.number_lines(own)


def _likelihood(model: Description) -> Iterator[str]:
    yield from LANGUAGE.mean_lines(model)
    yield f'pm.{_response(model)}, observed=data["y"])'


def _response(model: Description) -> str:
    """The distribution of the response, open at its end."""
    family, n = model.family.name, 'data["trials"]'
    sigma, shape = LANGUAGE.weighted(model, "sigma", divided=True), LANGUAGE.weighted(model, "shape", divided=False)
    laws: dict[str, Any] = {
        "gaussian": f'Normal("y", mu=mu, sigma={sigma}',
        "student_t": f'StudentT("y", nu=df, mu=mu, sigma={sigma}',
        "lognormal": f'LogNormal("y", mu=pt.log(mu) - 0.5 * ({sigma}) ** 2, sigma={sigma}',
        "gamma": f'Gamma("y", alpha={shape}, beta=({shape}) / mu',
        "inverse_gaussian": f'Wald("y", mu=mu, lam={shape}',
        "poisson": 'Poisson("y", mu=mu',
        "nbinom2": 'NegativeBinomial("y", mu=mu, alpha=concentration',
        "nbinom1": 'NegativeBinomial("y", mu=mu, alpha=mu / excess',
        "beta": 'Beta("y", alpha=mu * precision, beta=(1.0 - mu) * precision',
        "zero_inflated_poisson": 'ZeroInflatedPoisson("y", psi=1.0 - zero_inflation, mu=mu',
        "zero_inflated_nbinom2": (
            'ZeroInflatedNegativeBinomial("y", psi=1.0 - zero_inflation, mu=mu, alpha=concentration'
        ),
        "beta_binomial": (
            f'BetaBinomial("y", alpha=mu * precision, beta=(1.0 - mu) * precision, n={"1" if model.is_binary else n}'
        ),
        "binomial": _binomial(model, n),
        "ordinal": (
            f'Ordered{"Logistic" if model.family.link.name == "logit" else "Probit"}("y", eta=eta, '
            "cutpoints=thresholds, compute_p=False"
        ),
    }
    return str(laws[family])


def _binomial(model: Description, trials: str) -> str:
    chance = "logit_p=eta" if model.family.link.name == "logit" else "p=mu"
    return f'Bernoulli("y", {chance}' if model.is_binary else f'Binomial("y", n={trials}, {chance}'

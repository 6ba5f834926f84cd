"""NumPyro programs."""

from __future__ import annotations

from collections.abc import Iterator

from mixedfx.programs.density import start_values
from mixedfx.programs.description import THRESHOLDS, Description, Number, Predictor, Term
from mixedfx.programs.names import quoted, remark
from mixedfx.programs.program import Program
from mixedfx.programs.python_text import Python, coordinate_lines, indented
from mixedfx.programs.text import aside, check_family, heading, python_data, variables, vector_dims

__all__ = ["numpyro_program"]

LANGUAGE = Python(
    "jnp.exp", "jnp.sqrt", "jnp.log", "jax.nn.sigmoid", "jax.scipy.stats.norm.cdf", "jnp.arctan", "jnp.pi"
)
HEAD = """\
import jax

jax.config.update("jax_enable_x64", True)  # before the first array: densities need double precision

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
"""


def numpyro_program(model: Description, centered: bool) -> Program:
    """Return the model as a NumPyro program: the text defines ``model(data)``."""
    check_family(model, "NumPyro")
    names = {t.correlation.key: t.correlation.matrix for t in model.correlations if t.correlation is not None}
    dims = vector_dims(model, standardised=not centered)
    body = [
        "# priors",
        *_priors(model),
        *_coefficients(model.mean),
        *(line for term in model.terms for line in _term(term, centered)),
        "# response",
        *LANGUAGE.predictor_lines(model.mean, model.terms),
        *(line for own in model.numbers for line in _number(own)),
        *LANGUAGE.mean_lines(model),
        *_likelihood(model),
    ]
    code = "\n".join(
        [
            heading(model, "#") + HEAD,
            *coordinate_lines(model),
            f"dims = {_dims(dims)}",
            "",
            "",
            "def model(data):",
            *indented(body),
            "",
        ]
    )
    return Program(
        "NumPyro",
        code,
        python_data(model),
        start_values(model, centered=centered, partial=False),
        variables(model, names),
        model.coordinates,
        dims,
        model.notes,
        model,
    )


def _dims(dims: dict[str, tuple[str, ...]]) -> str:
    """The coordinates of vectors, as ``arviz.from_numpyro`` takes them."""
    listed = (f"{quoted(name)}: [{', '.join(map(quoted, own))}]" for name, own in dims.items())
    return f"{{{', '.join(listed)}}}"


def _priors(model: Description) -> Iterator[str]:
    for parameter in model.parameters:
        law = model.priors[parameter.key].written("numpyro")
        yield f'{parameter.name} = numpyro.sample("{parameter.name}", dist.{law})  # {aside(parameter)}'
    if model.thresholds:
        law = model.priors[THRESHOLDS].written("numpyro")
        count = len(model.thresholds)
        flat = f"dist.ImproperUniform(dist.constraints.ordered_vector, (), ({count},))"
        yield f'thresholds = numpyro.sample("thresholds", {flat})  # {THRESHOLDS}'
        yield f'numpyro.factor("thresholds_prior", dist.{law}.log_prob(thresholds).sum())'
    for term in model.correlations:
        own = term.correlation
        if own is not None:
            law = model.priors[own.key].written("numpyro", str(term.size))
            yield f'{own.name} = numpyro.sample("{own.name}", dist.{law})  # {remark(own.key)}'
            yield f'numpyro.deterministic("{own.matrix}", {own.name} @ {own.name}.T)'


def _coefficients(predictor: Predictor) -> Iterator[str]:
    if predictor.columns:
        values = ", ".join(p.name for p in predictor.coefficients)
        yield f'{predictor.vector} = numpyro.deterministic("{predictor.vector}", jnp.stack([{values}]))'


def _term(term: Term, centered: bool) -> Iterator[str]:
    yield f"# {LANGUAGE.title(term)}"
    m, q = len(term.levels), term.size
    sd = term.deviations[0].name
    if q > 1:
        values = ", ".join(p.name for p in term.spreads)
        yield f'{term.sd} = numpyro.deterministic("{term.sd}", jnp.stack([{values}]))'
        sd = term.sd
    factor = "" if term.correlation is None else f"{term.sd}[:, None] * {term.correlation.name}"
    name = term.effect if centered else term.raw
    if centered and factor:
        law = f"dist.MultivariateNormal(jnp.zeros({q}), scale_tril={factor})"
    else:
        scale = sd if centered else "1.0"
        law = f"dist.Normal(0.0, {scale})" if q == 1 else f"dist.Normal(jnp.zeros({q}), {scale}).to_event(1)"
    yield f'with numpyro.plate("{term.dim}", {m}):'
    yield f'    {name} = numpyro.sample("{name}", {law})'
    if not centered:
        product = f"{term.raw} @ ({factor}).T" if factor else f"{term.raw} * {sd}"
        if term.loading is not None:
            product = f'data["{term.loading_name}"] @ ({product})'
        yield f'{term.effect} = numpyro.deterministic("{term.effect}", {product})'
    elif term.loading is not None:
        yield f'{term.effect} = data["{term.loading_name}"] @ {term.effect}'


def _number(own: Number) -> Iterator[str]:
    if own.predictor is not None:
        yield from _coefficients(own.predictor)
    yield from LANGUAGE.number_lines(own)


def _likelihood(model: Description) -> Iterator[str]:
    yield f'with numpyro.plate("row", {model.n}):'
    family = model.family.name
    sigma = LANGUAGE.weighted(model, "sigma", divided=True)
    shape = LANGUAGE.weighted(model, "shape", divided=False)
    if family == "inverse_gaussian":  # NumPyro has no such distribution
        y = 'data["y"]'
        yield f"    shape = {shape}"
        yield (
            f'    numpyro.factor("y", 0.5 * jnp.log(shape / (2.0 * jnp.pi * {y}**3)) '
            f"- 0.5 * shape * ({y} / mu - 1.0) ** 2 / {y})"
        )
        return
    if family == "ordinal" and model.family.link.name == "probit":
        yield "    cumulative = jax.scipy.stats.norm.cdf(thresholds - eta[:, None])"
        yield "    probabilities = jnp.diff(cumulative, axis=1, prepend=0.0, append=1.0)"
    trials = "1" if model.is_binary else 'data["trials"]'
    beta = "mu * precision, (1.0 - mu) * precision"
    counts = "NegativeBinomialLogits(concentration, jnp.log(mu / concentration))"
    laws = {  # of the negative binomials the one without betaln, which JAX has to six digits only
        "gaussian": f"Normal(mu, {sigma})",
        "student_t": f"StudentT(df, mu, {sigma})",
        "lognormal": f"LogNormal(jnp.log(mu) - 0.5 * ({sigma}) ** 2, {sigma})",
        "gamma": f"Gamma({shape}, ({shape}) / mu)",
        "poisson": "Poisson(mu)",
        "nbinom2": counts,
        "nbinom1": "NegativeBinomialLogits(mu / excess, jnp.log(excess))",
        "beta": f"Beta({beta})",
        "beta_binomial": f"BetaBinomial({beta}, {trials})",
        "zero_inflated_poisson": "ZeroInflatedPoisson(zero_inflation, rate=mu)",
        "zero_inflated_nbinom2": f"ZeroInflatedDistribution(dist.{counts}, gate=zero_inflation)",
        "binomial": _binomial(model, trials),
        "ordinal": "OrderedLogistic(eta, thresholds)"
        if model.family.link.name == "logit"
        else "Categorical(probs=probabilities)",
    }
    yield f'    numpyro.sample("y", dist.{laws[family]}, obs=data["y"])'


def _binomial(model: Description, trials: str) -> str:
    chance = "logits=eta" if model.family.link.name == "logit" else "probs=mu"
    return f"Bernoulli({chance})" if model.is_binary else f"Binomial({trials}, {chance})"

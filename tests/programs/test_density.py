"""The joint density that programs state: reference numbers, and laws that hold whatever the model is."""

import numpy as np
import pytest
from scipy import integrate

import mixedfx as mfx
from mixedfx.programs import priors
from mixedfx.programs.density import factor_partial, partial_factor, partial_shapes
from mixedfx.programs.priors import Prior, parsed_prior
from tests.programs.models import FITS, fitted, point

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")

# ../shared/reference/hierarchical/logdensity_results.json, computed by a script of its own
RADON = {
    "likelihood": -1191.965776833963,
    "effects": -4.472392880108485,
    "fixed": -6.455297252397437,
    "deviations": -0.7940827052894548,
    "standardised": -93.70727346249609,
}
CBPP = {"likelihood": -95.35596347809657, "effects": -9.650748188654582}
SD = 0.35


@pytest.fixture(scope="module")
def radon():
    fit = mfx.lmer("`log.radon` ~ basement + (1 | county)", mfx.load_dataset("radon"))
    chosen = dict.fromkeys(("Intercept", "basement"), "normal(0, 10)")
    return fit.to_pymc(priors=chosen | dict.fromkeys(("sd_Intercept|county", "sigma"), "half_normal(1)"))


@pytest.fixture(scope="module")
def values():
    b = 0.3 * np.sin(np.arange(1, 86))
    return {"b_Intercept": 1.4, "b_basement": -0.7, "sd_county_Intercept": SD, "sigma": 0.75, "u_county": b}


def test_radon_at_the_reference_point(radon, values):
    found = radon.log_densities(values)
    assert found["likelihood"] == pytest.approx(RADON["likelihood"], abs=1e-8)
    assert found["effects: (1 | county)"] == pytest.approx(RADON["effects"], abs=1e-8)
    assert found[["Intercept", "basement"]].sum() == pytest.approx(RADON["fixed"], abs=1e-8)
    assert found[["sd_Intercept|county", "sigma"]].sum() == pytest.approx(RADON["deviations"], abs=1e-8)
    assert radon.log_density(values) == pytest.approx(sum(list(RADON.values())[:4]), abs=1e-8)


def test_radon_with_standardised_effects(radon, values):
    z = values["u_county"] / SD
    found = radon.log_densities({**values, "z_county": z})
    assert found["effects: (1 | county)"] == pytest.approx(RADON["standardised"], abs=1e-8)
    assert found["likelihood"] == pytest.approx(RADON["likelihood"], abs=1e-8)


def test_cbpp_at_the_reference_point():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    program = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial").to_stan()
    beta = dict(zip([name for name in program.start if name.startswith("b_")], [-1.4, -1.0, -1.1, -1.6]))
    found = program.log_densities(beta | {"sd_herd_Intercept": 0.65, "u_herd": 0.5 * np.sin(np.arange(1, 16))})
    assert found["likelihood"] == pytest.approx(CBPP["likelihood"], abs=1e-8)
    assert found["effects: (1 | herd)"] == pytest.approx(CBPP["effects"], abs=1e-8)


def test_eight_schools_have_the_errors_that_are_known():
    program = fitted("known variances").to_stan()
    schools = mfx.load_dataset("eight_schools")
    effects = np.linspace(-5.0, 5.0, 8)
    found = program.log_densities({"b_Intercept": 8.0, "sd_school_Intercept": 6.0, "u_school": effects})
    z = (schools["y"] - 8.0 - effects) / schools["se"]
    expected = -0.5 * np.sum(z**2) - np.log(schools["se"]).sum() - 4.0 * np.log(2.0 * np.pi)
    assert found["likelihood"] == pytest.approx(expected, abs=1e-10)


# ---------------------------------------------------------------- laws
@pytest.mark.parametrize("name", FITS)
def test_centred_and_standardised_effects_differ_by_their_volume(name):
    """``log p(u) = log p(z) - m log |sd L|`` for the same effects, and nothing else differs."""
    fit = fitted(name)
    standardised = fit.to_stan(centered=False)
    values = point(standardised)
    whole = standardised.log_densities(values)
    assert np.isfinite(whole).all()
    centred, volume = dict(values), 0.0
    for term in standardised.model.terms:
        sd = np.array([float(values[p.name]) for p in term.deviations])
        L = np.eye(term.size) if term.correlation is None else values[term.correlation.name]
        factor = sd[list(term.which)][:, None] * L
        z = centred.pop(term.raw).reshape(len(term.levels), term.size)
        centred[term.effect] = z @ factor.T
        volume += len(term.levels) * np.log(np.diag(factor)).sum()
    other = fit.to_stan().log_densities(centred)
    effects = [key for key in whole.index if key.startswith("effects")]
    assert other.drop(effects).to_numpy() == pytest.approx(whole.drop(effects).to_numpy(), abs=1e-10)
    assert other[effects].sum() == pytest.approx(whole[effects].sum() - volume, abs=1e-8)


@pytest.mark.parametrize("name", FITS)
def test_starts_are_estimates(name):
    """At the start the effects are the modes, and the coefficients those of the fit."""
    fit = fitted(name)
    program = fit.to_pymc()
    assert np.isfinite(program.log_density(program.start))
    by_key = {p.key: program.start[p.name] for p in program.model.parameters}
    for key, value in fit.params.items():
        assert by_key[key] == pytest.approx(value)
    modes = list(fit.random_effects.values())
    if len(modes) == len(program.model.terms) == 1 and program.model.terms[0].loading is None:
        assert program.start[program.model.terms[0].effect].ravel() == pytest.approx(modes[0].to_numpy().ravel())


@pytest.mark.parametrize("eta", [0.7, 2.0])
@pytest.mark.parametrize("q", [2, 3, 4])
def test_partial_correlations_have_the_law_of_their_cholesky_factor(q, eta):
    """The two densities differ by the Jacobian of the map between them, by differences."""
    fit = mfx.lmer(f"y ~ 1 + ({'+'.join('abcd'[: q - 1])} | g)", _columns())
    stan, pymc = (getattr(fit, method)(priors={"cor|g": f"lkj({eta})"}) for method in ("to_stan", "to_pymc"))
    shares = np.random.default_rng(q).uniform(0.3, 0.7, q * (q - 1) // 2)
    below = np.tril_indices(q, -1)
    step = 1e-6
    columns = []
    for k in range(len(shares)):
        moved = [partial_factor(shares + sign * step * (np.arange(len(shares)) == k))[below] for sign in (1.0, -1.0)]
        columns.append((moved[0] - moved[1]) / (2.0 * step))
    _, jacobian = np.linalg.slogdet(np.array(columns))
    own, theirs = ({**p.start} for p in (pymc, stan))
    own["partial_g"], theirs["L_g"] = shares, partial_factor(shares)
    left = pymc.log_densities(own)["cor|g"]
    assert left == pytest.approx(stan.log_densities(theirs)["cor|g"] + jacobian, abs=1e-6)
    assert factor_partial(partial_factor(shares)) == pytest.approx(shares)
    assert len(partial_shapes(q, eta)) == len(shares)


def _columns():
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=80) for name in "abcdy"}
    return columns | {"g": np.repeat(np.arange(8), 10)}


PRIORS = {
    "real": "normal(0.5, 2.3)|student_t(3, 0.5, 2)|cauchy(0, 2)|uniform(-1, 2)",
    "positive": "half_normal(2)|half_student_t(3, 2)|half_cauchy(2)|exponential(0.4)|gamma(2, 0.5)|inverse_gamma(3, 2)|"
    "lognormal(0, 1)|uniform(0, 3)",
    "unit": "beta(2, 3)|uniform(0.1, 0.6)",
}
DOMAINS = {"real": priors.REAL, "positive": priors.POSITIVE, "unit": priors.UNIT}


@pytest.mark.parametrize("domain, text", [(d, text) for d, texts in PRIORS.items() for text in texts.split("|")])
def test_priors_are_densities(domain, text):
    prior = parsed_prior("x", text, DOMAINS[domain])
    total, _ = integrate.quad(lambda x: np.exp(prior.log_density(x)), *prior.support, limit=200)
    assert total == pytest.approx(1.0, abs=1e-6)
    assert parsed_prior("x", str(prior), DOMAINS[domain]) == prior
    low, high = prior.support
    outside = [x for x in (low - 1.0, high + 1.0) if np.isfinite(x)]
    assert all(prior.log_density(x) == -np.inf for x in outside)


def test_a_flat_prior_says_nothing():
    assert Prior("flat", (), priors.REAL).log_density(1e6) == 0.0
    assert Prior("flat", (), priors.POSITIVE).log_density(-1.0) == -np.inf


def test_values_that_are_missing_or_too_many_are_named():
    program = fitted("slopes").to_pymc()
    with pytest.raises(mfx.SpecificationError, match="'sigma'"):
        program.log_density({key: value for key, value in program.start.items() if key != "sigma"})
    with pytest.raises(mfx.SpecificationError, match="sigma is one number; found 2"):
        program.log_density({**program.start, "sigma": [1.0, 2.0]})


def test_thresholds_out_of_order_are_impossible():
    program = fitted("ordinal").to_stan()
    assert program.log_density({**program.start, "thresholds": program.start["thresholds"][::-1]}) == -np.inf

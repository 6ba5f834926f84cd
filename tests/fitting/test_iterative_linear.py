"""Linear mixed models by iteration against the exact engine: estimates within their stated Monte Carlo error."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.fitting import iterative_search
from mixedfx.fitting.monte_carlo import monte_carlo

ITERATIVE = mfx.Control(remainder="iterative")
N = 1500
FORMULAS = {
    "crossed": "y ~ x + (1 | a) + (1 | b)",
    "slopes": "y ~ x + (1 + x | a) + (1 + w | b)",
    "uncorrelated slopes": "y ~ x + (1 + x || a) + (1 + x || b)",
    "two terms a factor": "y ~ x + (1 | a) + (0 + w | a) + (1 | b)",
    "three crossed": "y ~ x + (1 | a) + (1 | b) + (1 | c)",
    "nested above": "y ~ x + (1 | big / a) + (1 | b)",
    "interaction": "y ~ x + (1 | a) + (1 | b) + (1 | a:c)",
    "movers": "y ~ x + (1 | mover) + (1 | firm)",
    "compound symmetry": "y ~ x + cs(1 + x | a) + (1 | b)",
    "no fixed effects": "y ~ 0 + (1 | a) + (1 | b)",
    "many fixed effects": "y ~ x * w + poly(v, 3) + C(c) + (1 | a) + (1 | b)",
}


def frame_of(seed, n=N, signal=1.0):
    """Rows of crossed, nested and nearly nested factors, every level met."""
    rng = np.random.default_rng(seed)
    levels = {"a": 60, "b": 45, "c": 12}
    codes = {k: np.concatenate([np.arange(m), rng.integers(0, m, n - m)]) for k, m in levels.items()}
    mover = rng.integers(0, 200, n)
    firm = np.where(rng.random(n) < 0.1, rng.integers(0, 30, n), mover % 30)
    x, w = rng.standard_normal((2, n))
    effects = {k: signal * rng.standard_normal(200) for k in ("a", "b", "c", "slope", "mover", "firm")}
    y = 2.0 + 0.5 * x + 0.6 * effects["a"][codes["a"]] + 0.8 * effects["b"][codes["b"]] + rng.standard_normal(n)
    y += 0.3 * effects["c"][codes["c"]] + 0.4 * x * effects["slope"][codes["a"]]
    y += 0.4 * effects["mover"][mover] + 0.3 * effects["firm"][firm]
    weights = rng.uniform(0.5, 2.0, n)
    return pd.DataFrame(
        codes | {"y": y, "x": x, "w": w, "mover": mover, "firm": firm, "v": weights, "big": codes["a"] % 9}
    )


def both(formula, frame, **options):
    """The exact fit and the iterative one."""
    control = options.pop("control", ITERATIVE)
    return mfx.lmer(formula, frame, **options), mfx.lmer(formula, frame, control=control, **options)


def check_agreement(exact, found):
    """Assert that the iterative fit is the exact one but for the Monte Carlo error that it states."""
    certificate = found.certificate
    assert certificate.converged
    reported = found.solution.reported
    errors = found.solution.phi_covariance
    for entry in reported:
        if entry.quantity is None:
            continue
        phi, other = found.solution.likelihood.phi, exact.solution.likelihood.phi
        moved = abs(entry.value(phi) - entry.value(other))
        gradient = entry.quantity.gradient(phi)
        error = np.sqrt(max(gradient @ errors @ gradient, 0.0))
        if error > 0:
            stated = certificate.monte_carlo_errors[entry.name]
            assert moved <= (4.0 * stated + 1e-4) * error, entry.name
            assert moved <= 0.03 * error, entry.name
    assert np.all(np.abs(found.params - exact.params) <= 0.01 * exact.bse)
    np.testing.assert_allclose(found.bse, exact.bse, rtol=0.01)
    assert abs(found.llf - exact.llf) <= 4.0 * certificate.llf_error + 1e-3


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_estimates_are_the_exact_ones_within_their_error(name, reml):
    check_agreement(*both(FORMULAS[name], frame_of(1), reml=reml))


@pytest.mark.parametrize("options", [{"weights": "v"}, {"offset": "w"}, {"sigma": 1.1}])
def test_weights_offsets_and_a_known_residual(options):
    check_agreement(*both(FORMULAS["slopes"], frame_of(2), **options))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_agreement_on_many_data(seed):
    name = list(FORMULAS)[seed % len(FORMULAS)]
    check_agreement(*both(FORMULAS[name], frame_of(100 + seed, signal=[1.0, 0.3, 0.1][seed % 3]), reml=seed % 2 == 0))


@pytest.mark.parametrize("name", ["crossed", "slopes", "three crossed", "nested above"])
def test_at_the_same_parameters_all_but_the_traces_is_exact(name):
    frame = frame_of(3)
    exact, found = both(FORMULAS[name], frame)
    theta = found.solution.x
    at, here = exact.solution.problem.criterion(theta), found.solution.at
    np.testing.assert_allclose(here.beta, at.beta, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(here.unscaled_cov, at.unscaled_cov, rtol=1e-8, atol=1e-12)
    assert here.sigma2 == pytest.approx(at.sigma2, rel=1e-9)
    for a, b in zip(here.effects, at.effects, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    for a, b in zip(here.quadratic_forms, at.quadratic_forms, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_a_variance_of_zero_is_found_and_confirmed():
    frame = frame_of(4, signal=0.0)
    with pytest.warns(mfx.SingularFitWarning):
        exact, found = both("y ~ x + (1 | a) + (1 | b)", frame)
    assert list(found.theta.eq(0.0)) == list(exact.theta.eq(0.0))
    assert found.certificate.converged
    assert found.certificate.is_singular
    np.testing.assert_allclose(found.params, exact.params, rtol=1e-3)


def test_order_of_rows_changes_rounding_only():
    frame = frame_of(5)
    shuffled = frame.sample(frac=1.0, random_state=1)
    one, other = (mfx.lmer(FORMULAS["slopes"], data, control=ITERATIVE) for data in (frame, shuffled))
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-6, atol=1e-7)
    assert other.llf == pytest.approx(one.llf, rel=1e-10)


def test_without_crossed_factors_the_fit_is_the_exact_one():
    frame = frame_of(6)
    exact, found = both("y ~ x + (1 | big / a)", frame)
    np.testing.assert_array_equal(found.theta, exact.theta)
    assert found.certificate.monte_carlo_error == found.certificate.llf_error == 0.0
    assert found.certificate.monte_carlo_errors.empty


def test_other_seeds_give_other_estimates_within_the_error():
    frame = frame_of(7)
    fits = [mfx.lmer(FORMULAS["crossed"], frame, control=mfx.Control(remainder="iterative", seed=s)) for s in (0, 1)]
    assert not np.array_equal(fits[0].theta, fits[1].theta)
    np.testing.assert_allclose(fits[0].theta, fits[1].theta, rtol=0.01)


def test_more_probes_are_taken_until_their_error_is_small(monkeypatch):
    frame = frame_of(8)
    few = mfx.lmer(FORMULAS["three crossed"], frame, control=mfx.Control(remainder="iterative", probes=4))
    enough = mfx.lmer(FORMULAS["three crossed"], frame, control=ITERATIVE)
    assert few.certificate.sampling.probes == 4
    assert "more probes" in str(few.certificate) or few.certificate.sampling.is_enough
    assert enough.certificate.sampling.probes >= 16
    assert enough.certificate.sampling.is_enough


def test_the_certificate_and_the_summary_say_the_error():
    fit = mfx.lmer(FORMULAS["crossed"], frame_of(9), control=ITERATIVE)
    certificate = fit.certificate
    assert 0 < certificate.monte_carlo_error < 0.01
    assert certificate.monte_carlo_error == certificate.monte_carlo_errors.max()
    assert list(certificate.monte_carlo_errors.index) == ["sd_Intercept|a", "sd_Intercept|b", "sigma"]
    assert certificate.llf_error > 0
    assert "the optimum for the random probes: by the curvature" in str(certificate)
    sentence = "Monte Carlo error of the estimates is at most"
    assert sentence in str(certificate)
    assert any(sentence in note for note in fit.notes)
    assert "16 probes" in " ".join(str(fit.summary()).split())


def test_a_control_is_checked():
    with pytest.raises(mfx.SpecificationError, match="remainder is one of 'auto', 'exact', 'iterative'; found 'dense'"):
        mfx.Control(remainder="dense")
    with pytest.raises(mfx.SpecificationError, match="probes is a whole number, at least 2; found 1"):
        mfx.Control(probes=1)
    with pytest.raises(TypeError, match="probes is a whole number"):
        mfx.Control(probes="many")


def test_the_search_stops_at_the_iteration_limit_and_says_so():
    control = mfx.Control(remainder="iterative", max_iter=0, start=[0.1, 0.1])
    with pytest.warns(mfx.ConvergenceWarning, match="iteration limit"):
        fit = mfx.lmer(FORMULAS["crossed"], frame_of(10), control=control)
    assert not fit.converged


def test_large_remainders_are_solved_by_iteration_unless_asked_otherwise():
    rng = np.random.default_rng(11)
    n, m = 150_000, 12_100
    frame = pd.DataFrame({"a": np.arange(n) % 15_000, "b": rng.permutation(n) % m, "y": rng.standard_normal(n)})
    frame["y"] += rng.standard_normal(15_000)[frame["a"]] + rng.standard_normal(m)[frame["b"]]
    fit = mfx.lmer("y ~ 1 + (1 | a) + (1 | b)", frame, control=mfx.Control(probes=4))
    assert fit.certificate.sampling is not None
    np.testing.assert_allclose(np.sqrt(fit.scale), 1.0, atol=0.03)
    np.testing.assert_allclose(fit.theta, 1.0, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crossed", "slopes", "three crossed"])
def test_the_stated_error_is_honest(name):
    """Over 200 seeds: the root of the mean squared stated error, and the spread of the estimates."""
    frame = frame_of(12)
    model = mfx.LinearMixedModel(FORMULAS[name], frame)
    hessian = model.fit(control=mfx.Control(remainder="iterative", probes=8)).solution.point.hessian
    thetas, variances = [], []
    for seed in range(200):
        fit = model.fit(control=mfx.Control(remainder="iterative", probes=8, seed=seed)).solution
        thetas.append(fit.x)
        variances.append(monte_carlo(hessian, fit.at.gradient_deviations, fit.at.values).covariance.diagonal())
    inside = np.abs(thetas).min(axis=0) > 1e-6  # one at zero has no error
    assert inside.sum() >= inside.size - 1
    ratio = (np.sqrt(np.mean(variances, axis=0)) / np.std(thetas, axis=0, ddof=1))[inside]
    assert np.all((ratio > 0.8) & (ratio < 1.25)), ratio


@pytest.mark.parametrize("name", ["crossed", "slopes", "three crossed", "nested above"])
def test_a_dear_exact_fit_begins_next_to_its_optimum(name, monkeypatch):
    frame = frame_of(13)
    plain = mfx.lmer(FORMULAS[name], frame)
    monkeypatch.setattr(iterative_search, "DEAR_COLUMNS", 10)
    found = mfx.lmer(FORMULAS[name], frame)
    assert found.solution.optimum.evaluations <= plain.solution.optimum.evaluations
    assert found.certificate.sampling is None
    assert found.llf == pytest.approx(plain.llf, abs=1e-8)
    np.testing.assert_allclose(found.theta, plain.theta, rtol=1e-5, atol=1e-5)


def test_a_dear_exact_fit_whose_search_by_probes_fails_begins_at_the_moments(monkeypatch):
    def fails(*args, **options):
        raise FloatingPointError("no")

    frame = frame_of(14)
    plain = mfx.lmer(FORMULAS["crossed"], frame)
    monkeypatch.setattr(iterative_search, "DEAR_COLUMNS", 10)
    monkeypatch.setattr(iterative_search, "descend", fails)
    np.testing.assert_array_equal(mfx.lmer(FORMULAS["crossed"], frame).theta, plain.theta)

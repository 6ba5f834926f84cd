"""Heavy tails: where the likelihood has a maximum and what a fit says where it has none."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mixedfx as mfx
from mixedfx.families.parameters import MOST_DF
from mixedfx.optimize import minimize


def frame(df, seed=1, levels=30, rows=8):
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(levels), rows), rng.normal(size=levels * rows)
    noise = rng.standard_t(df, size=g.size) if np.isfinite(df) else rng.normal(size=g.size)
    return pd.DataFrame({"x": x, "g": g, "y": 1 + 0.5 * x + rng.normal(size=levels)[g] + noise})


def test_tails_heavier_than_cauchys_are_fitted_with_one_degree_of_freedom():
    data = frame(0.6)
    fit = mfx.glmer("y ~ x + (1 | g)", data, family="student_t")
    assert fit.converged
    assert fit.family_params["df"] == pytest.approx(1.0)
    assert "df = 1" in str(fit.certificate)
    cauchy = mfx.glmer("y ~ x + (1 | g)", data, family=fit.solution.problem.family.with_fixed(df=1.0))
    assert fit.llf == pytest.approx(cauchy.llf, abs=1e-6)
    np.testing.assert_allclose(fit.bse, cauchy.bse, rtol=1e-3)


def test_without_random_effects_the_bounded_maximum_is_that_of_a_direct_search():
    data = frame(0.6).assign(one=1)
    fit = mfx.glmer("y ~ x + (1 | g)", data.assign(y=np.abs(data.y) ** 0.5 * np.sign(data.y)), family="student_t")
    y = np.abs(data.y) ** 0.5 * np.sign(data.y)
    assert fit.converged

    def minus(p):
        return -stats.t.logpdf(y, 1 + np.exp(p[3]), p[0] + p[1] * data.x, np.exp(p[2])).sum()

    direct = optimize.minimize(minus, [0.5, 0.3, 0.0, 0.0], method="BFGS")
    assert fit.llf >= -direct.fun - 1e-6  # a variance can only add


def test_light_tails_end_at_the_gaussian():
    data, rng = frame(np.inf, seed=3), np.random.default_rng(0)
    data["y"] = 0.5 * data.x + rng.normal(size=30)[data.g] + rng.uniform(-1, 1, len(data))  # lighter than normal
    fit = mfx.glmer("y ~ x + (1 | g)", data, family="student_t")
    gaussian = mfx.lmer("y ~ x + (1 | g)", data, reml=False)
    assert fit.converged
    assert fit.family_params["df"] <= MOST_DF * (1 + 1e-12)
    assert fit.llf == pytest.approx(gaussian.llf, abs=1e-5)


@pytest.mark.parametrize("family", ["student_t", "gaussian"])
@pytest.mark.parametrize("unit", [1e-6, 1e7])
def test_the_unit_of_the_response_does_not_matter(family, unit):
    data = frame(4)
    fit = mfx.glmer("y ~ x + (1 | g)", data, family=family)
    other = mfx.glmer("y ~ x + (1 | g)", data.assign(y=data.y * unit), family=family)
    assert fit.converged
    assert other.converged
    assert other.llf + len(data) * np.log(unit) == pytest.approx(fit.llf, abs=1e-5)
    np.testing.assert_allclose(other.bse / unit, fit.bse, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_a_likelihood_without_maximum_is_called_that():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=12), "g": np.arange(12) % 3})
    data["y"] = np.where(np.arange(12) < 9, 1 + 2 * data.x, rng.normal(size=12))  # nine rows on one line
    fit = mfx.glmer("y ~ x + (1 | g)", data, family="student_t")
    assert not fit.converged
    assert "the likelihood has no maximum" in str(fit.certificate)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("family", ["student_t", "gaussian"])
@pytest.mark.parametrize("noise", [1e-12, 1e-9, 1e-6])
def test_residuals_next_to_nothing_are_not_called_nothing(family, noise):
    """There is a maximum, which lmer finds: a search that lost its way in rounding has no proof that there is none."""
    rng, g = np.random.default_rng(1), np.repeat(np.arange(8), 4)
    data = pd.DataFrame({"y": rng.normal(size=8)[g] + noise * rng.normal(size=32), "x": rng.normal(size=32), "g": g})
    assert mfx.lmer("y ~ x + (1 | g)", data, reml=False).converged
    fit = mfx.glmer("y ~ x + (1 | g)", data, family=family)
    if not fit.converged:
        assert "or it passes so close by that floating point cannot find it" in str(fit.certificate)
    if noise < 1e-10:
        for profiled in (mfx.profile, mfx.plots.likelihood_surface):
            with pytest.raises(mfx.SpecificationError, match="no maximum to profile around"):
                profiled(fit)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_the_work_on_a_hopeless_model_is_bounded():
    rng = np.random.default_rng(4)
    data = frame(1.0, levels=5, rows=4).assign(w=rng.normal(size=20), h=rng.integers(0, 3, 20))
    fit = mfx.glmer("y ~ w + (x + w | g) + (x | h)", data, family="student_t", control=mfx.Control(max_iter=30))
    assert fit.certificate.evaluations <= 30 * 2 + 40
    assert np.isfinite(fit.llf)


def test_a_flat_direction_does_not_hold_up_the_others():
    class Valley:
        curvature_is_exact = True

        def __init__(self, x):
            self.value = float(1e-9 * np.exp(-x[0]) + 0.5 * (x[1] - 1e3) ** 2)
            self.gradient = np.array([-1e-9 * np.exp(-x[0]), x[1] - 1e3])
            self.curvature = np.diag([1e-22, 1.0])

    found = minimize(Valley, np.zeros(2), np.full(2, -np.inf), np.full(2, np.inf), max_iter=8)
    assert found.x[1] == pytest.approx(1e3)

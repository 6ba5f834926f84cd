"""The simulated likelihood-ratio test against an exact test, and its arguments."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import mixedfx as mfx


@pytest.fixture(scope="module")
def batches():
    """Balanced one-way data with a small variance between groups."""
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": np.repeat(range(8), 5)})
    return data.assign(y=0.5 * rng.normal(size=8)[data.g] + rng.normal(size=40))


def test_pvalue_of_one_variance_is_that_of_the_exact_f_test(batches):
    """In balanced one-way data the likelihood ratio is a function of F, so that both tests are one."""
    null = smf.ols("y ~ 1", batches).fit()
    fit = mfx.lmer("y ~ 1 + (1 | g)", batches)
    test = mfx.bootstrap_test(null, fit, 4000, seed=1)
    exact = stats.f_oneway(*(part.y for _, part in batches.groupby("g"))).pvalue
    assert exact == pytest.approx(0.02, abs=0.05)  # neither hopeless nor certain
    assert abs(test.pvalue - exact) < 4 * test.pvalue_se
    assert test.pvalue_chi2 > 1.5 * exact  # the chi-squared distribution is conservative at the boundary
    assert test.df == 1


def test_statistic_is_that_of_anova():
    data = mfx.load_dataset("sleepstudy")
    small, large = (mfx.lmer(f"Reaction ~ Days + ({t} | Subject)", data) for t in ("1", "Days"))
    test = mfx.bootstrap_test(small, large, 50, seed=3)
    table = mfx.anova(small, large)
    assert test.statistic == pytest.approx(table["chi2"].iloc[1], abs=1e-8)
    assert test.pvalue_chi2 == pytest.approx(table["PR(>chi2)"].iloc[1])
    assert test.pvalue == 1 / 51
    assert test.replicates.min() > -1e-6
    assert "Likelihood-ratio test by parametric bootstrap" in repr(test)
    assert test.summary()["pvalue_se"].iloc[0] == pytest.approx(np.sqrt(1 / 51 * 50 / 51 / 50))


def test_fixed_effect_with_few_groups_is_not_as_significant_as_chi_squared_says():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(range(6), 5)})
    data["arm"] = data.g % 2
    data["y"] = 1.3 * data.arm + rng.normal(size=6)[data.g] + rng.normal(size=30)
    small, large = mfx.lmer("y ~ 1 + (1 | g)", data), mfx.lmer("y ~ arm + (1 | g)", data)
    test = mfx.bootstrap_test(small, large, 2000, seed=2)
    exact = mfx.anova(large)["PR(>F)"].iloc[0]  # balanced: an exact t test with 4 df, but for the boundary
    assert test.pvalue > test.pvalue_chi2
    assert test.pvalue == pytest.approx(exact, abs=0.05)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_workers_do_not_change_generalised_tests():
    data = mfx.load_dataset("cbpp")
    formula = "cbind(incidence, size - incidence) ~ {} + (1 | herd)"
    small, large = (mfx.glmer(formula.format(f), data, family="binomial") for f in ("1", "period"))
    one, two = (mfx.bootstrap_test(small, large, 22, seed=4, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.replicates, two.replicates)
    assert one.pvalue == 1 / 23
    assert one.replicates.min() > -1e-5
    assert 1 < one.replicates.mean() < 6  # three degrees of freedom


def test_what_cannot_be_compared_is_refused(batches):
    small, large = mfx.lmer("y ~ 1 + (1 | g)", batches), mfx.lmer("y ~ g + (1 | g)", batches)
    with pytest.raises(mfx.SpecificationError, match="smaller one first"):
        mfx.bootstrap_test(large, small, 5)
    with pytest.raises(mfx.DataError, match="40 and 35 rows"):
        mfx.bootstrap_test(small, mfx.lmer("y ~ g + (1 | g)", batches[:35]), 5)
    with pytest.raises(mfx.DataError, match="different responses"):
        mfx.bootstrap_test(small, mfx.lmer("y ~ g + (1 | g)", batches.assign(y=batches.y * 2)), 5)
    with pytest.raises(TypeError, match="bootstrap_test"):
        mfx.bootstrap_test(1, large)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        positive = batches.assign(y=np.exp(batches.y))
        other = mfx.glmer("y ~ g + (1 | g)", positive, family="gamma", link="log")
    with pytest.raises(mfx.SpecificationError, match="linear and a generalised"):
        mfx.bootstrap_test(mfx.lmer("y ~ 1 + (1 | g)", positive), other, 5)

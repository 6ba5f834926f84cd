"""Models that are evaluated without a fit: right values at a variance of zero, errors of ours elsewhere."""

import numpy as np
import pytest

import mixedfx as mfx

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def serial() -> mfx.LinearMixedModel:
    return mfx.LinearMixedModel("Reaction ~ 1 + ar1(0 + C(Days) | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def herds() -> mfx.GeneralizedLinearMixedModel:
    return mfx.GeneralizedLinearMixedModel(CBPP, mfx.load_dataset("cbpp"), family="binomial")


def test_without_a_variance_a_generalised_model_is_the_one_without_random_effects(herds):
    import statsmodels.api as sm

    data = mfx.load_dataset("cbpp")
    counts = np.column_stack([data.incidence, data["size"] - data.incidence])
    glm = sm.GLM(counts, herds.exog, family=sm.families.Binomial()).fit()
    value, gradient = herds.objective([*glm.params, 0.0])
    assert value == pytest.approx(-2 * glm.llf, rel=1e-10)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize("theta", [[0.3, 0.1, 0.2], [0.0, 0.0, 0.2], [0.3, 0.1, 0.0]])
def test_gradient_of_a_generalised_objective_by_differences(theta):
    model = mfx.GeneralizedLinearMixedModel(
        "Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"), family="gamma", link="log"
    )
    x = np.array([5.5, 0.03, *theta, -3.0])
    steps = 1e-6 * np.eye(6)
    numerical = [(model.objective(x + h)[0] - model.objective(x - h)[0]) / 2e-6 for h in steps]
    np.testing.assert_allclose(model.objective(x)[1], numerical, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("theta", "told"),
    [
        ([1.0, 1.5], "rho = 1.5 is not between -1 and 1"),
        ([1.0, -1.001], "rho"),
        ([np.nan, 0.0], "must be finite"),
        ([1.0, np.inf], "must be finite"),
        ([1.0], "needs 2 numbers"),
        ("a", "an array of 2 numbers"),
        (None, "2 numbers"),
    ],
)
def test_parameters_that_are_not_legal_are_refused(serial, theta, told):
    for call in (serial.objective, serial.Lambda):
        with pytest.raises(mfx.SpecificationError, match=told):
            call(theta)


@pytest.mark.parametrize("theta", [[1.0, 1.0], [1.0, -1.0], [0.0, 0.5], [0.0, 1.0]])
def test_the_ends_of_the_range_have_a_value(serial, theta):
    value, gradient = serial.objective(theta)
    assert np.isfinite([value, *gradient]).all()
    inside, _ = serial.objective([theta[0], theta[1] * (1 - 1e-7)])
    assert value == pytest.approx(inside, abs=1e-2)
    assert np.isfinite(serial.Lambda(theta).toarray()).all()


def test_what_overflows_is_an_error_of_ours(serial, herds):
    with pytest.raises(mfx.DataError, match="cannot be computed"):
        serial.objective([1e200, 0.3])
    with pytest.raises(mfx.DataError, match="cannot be computed"):
        herds.objective([-1.4, -1.0, -1.1, -1.6, 1e300])
    with pytest.raises(mfx.SpecificationError, match="must be finite"):
        herds.objective([-1.4, -1.0, -1.1, -1.6, np.nan])


def test_a_model_of_other_rows_has_their_random_effects():
    """Levels of one size and a smaller one, drawn with replacement: numbers of rows differ."""
    data = mfx.load_dataset("sleepstudy").iloc[:-7]
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    assert fit.model.exog_re.shape[0] == len(data)

    def rows(again):
        return {"Z": again.model.exog_re.shape[0], "y": len(again.model.endog)}

    drawn = mfx.bootstrap(fit, 6, method="cluster", statistic=rows, seed=0).to_frame()
    assert drawn["y"].nunique() > 1
    assert (drawn["Z"] == drawn["y"]).all()

"""Profiles of generalised models: at the ends of an interval a refit has lost what the test allows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.exceptions import SpecificationError

LOST = stats.chi2.ppf(0.95, 1)


@pytest.fixture(scope="module")
def herds():
    frame = mfx.load_dataset("cbpp")
    dummies = pd.get_dummies(frame["period"], prefix="p", dtype=float).iloc[:, 1:]
    return pd.concat([frame, dummies], axis=1)


def fitted(frame, fixed="p_2 + p_3 + p_4", **options):
    return mfx.glmer(f"cbind(incidence, size - incidence) ~ {fixed} + (1 | herd)", frame, family="binomial", **options)


@pytest.mark.parametrize("nagq", [1, 9])
def test_ends_of_a_coefficient_by_refits_with_an_offset(herds, nagq):
    fit = fitted(herds, nagq=nagq)
    ends = mfx.profile(fit).conf_int(which="fixed").loc["p_4"]
    for end in ends:
        held = fitted(herds, "p_2 + p_3", offset=end * herds["p_4"].to_numpy(), nagq=nagq)
        assert 2.0 * (fit.llf - held.llf) == pytest.approx(LOST, abs=1e-4)


def test_the_interval_of_a_standard_deviation_holds_its_likelihood_ratio(herds):
    fit = fitted(herds)
    lower, upper = mfx.profile(fit).conf_int(which="random").loc["sd_Intercept|herd"]
    for end in (lower, upper):
        values = np.append(fit.params.to_numpy(), end)
        for _ in range(30):  # Newton steps on the fixed effects with the differences of the exact gradient
            _, gradient = fit.model.objective(values)
            hessian = np.array(
                [(fit.model.objective(values + 1e-5 * unit)[1] - gradient)[:4] / 1e-5 for unit in np.eye(5)[:4]]
            )
            values[:4] -= np.linalg.solve(hessian, gradient[:4])
        assert fit.model.objective(values)[0] + 2.0 * fit.llf == pytest.approx(LOST, abs=1e-4)


def test_conf_int_by_profile(herds):
    fit = fitted(herds)
    frame = fit.conf_int(method="profile", which="fixed")
    pd.testing.assert_frame_equal(frame, mfx.profile(fit).conf_int(which="fixed"), check_names=False)


def test_a_variance_of_zero_has_an_open_interval():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"y": rng.poisson(2.0, 60), "g": np.repeat(np.arange(12), 5)})
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.glmer("y ~ 1 + (1 | g)", frame, family="poisson")
    lower, upper = mfx.profile(fit).conf_int(which="random").iloc[0]
    assert lower == 0.0
    assert 0.05 < upper < 1.0


def test_nagq_zero_is_refused(herds):
    with pytest.raises(SpecificationError, match="nagq=1"):
        mfx.profile(fitted(herds, nagq=0))


def test_coefficients_without_a_finite_estimate_have_no_limits_and_the_others_do():
    frame = mfx.load_dataset("salamanders")
    with pytest.warns(mfx.SeparationWarning, match="zero inflation"):
        fit = mfx.glmer("count ~ mined + (1 | site)", frame, family="nbinom1", zero_inflation="~ mined")
    limits = mfx.profile(fit).conf_int()
    endless = limits.index.str.startswith("zero_inflation")
    assert limits[endless].isna().all(axis=None)
    assert limits[~endless].notna().all(axis=None)

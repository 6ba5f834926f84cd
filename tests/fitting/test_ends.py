"""What the certificate says of a residual variance of zero, and of parameters at the end of their range."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

GROUPS, TIMES = 20, 6


def series(seed, *, rho=0.0, level=0.0, noise=0.0, replicates=1):
    """Autoregressive series of groups, with a level for each and noise for each row."""
    rng = np.random.default_rng(seed)
    lag = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    effects = rng.normal(size=(GROUPS, TIMES)) @ np.linalg.cholesky(rho**lag).T + level * rng.normal(size=(GROUPS, 1))
    group, time = (np.repeat(index.ravel(), replicates) for index in np.indices((GROUPS, TIMES)))
    y = effects[group, time] + noise * rng.normal(size=group.size)
    return pd.DataFrame({"g": group, "time": time, "t": [f"t{k}" for k in time], "y": y})


def decay(name, lower, upper):
    lag = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    mfx.register_covariance(
        name, lambda p, size: np.exp(lag[:size, :size] * (-1 / p[0])), lower=lower, upper=upper, variances="one"
    )
    return f"y ~ 1 + {name}(0 + t | g)"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_a_random_term_that_takes_all_of_the_residual_variance_is_told(seed):
    """The model without other residuals is that of autoregressive ones."""
    data = series(seed, rho=0.6)
    fit = mfx.lmer("y ~ 1 + ar1(0 + t | g)", data)
    gained = fit.llf - mfx.lmer("y ~ 1", data, residual=mfx.AR1("time", group="g")).llf
    assert gained > -1e-6
    all_of_it = gained < 1e-6
    assert fit.certificate.exhausting == (("ar1(0 + t | g)",) if all_of_it else ())
    assert fit.is_singular == all_of_it
    assert fit.certificate.is_identified
    assert ("residual variance is estimated as zero" in str(fit.certificate)) == all_of_it
    assert ("residual variance is estimated as zero" in str(fit.summary())) == all_of_it


@pytest.mark.parametrize("noise", [1e-1, 1e-3, 1e-5])
def test_a_residual_variance_that_is_small_is_not_zero(noise):
    fit = mfx.lmer("y ~ 1 + (1 | g)", series(1, level=3.0).assign(y=lambda d: d["g"] + noise * d["y"]))
    assert fit.certificate.exhausting == ()
    assert not fit.is_singular


@pytest.mark.parametrize("seed", [0, 2, 3])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_a_residual_correlation_is_said_to_be_zero_where_it_is(seed):
    """Of white noise the estimate is zero, or well inside; beside a correlation of zero nothing is flat."""
    fit = mfx.lmer("y ~ 1 + (1 | g)", series(seed), residual=mfx.CAR1("time", group="g"))
    held = [text for text in fit.certificate.held if text.startswith("phi of the residuals")]
    assert len(held) == (fit.residual_params["phi"] < 1e-4)
    assert fit.certificate.is_identified
    assert all(text in str(fit.summary()).replace("\n    ", " ") for text in held)


def test_some_of_those_correlations_are_zero():
    fits = [mfx.lmer("y ~ 1", series(seed), residual=mfx.CAR1("time", group="g")) for seed in range(6)]
    assert 0 < sum(bool(fit.certificate.held) for fit in fits) < len(fits)


@pytest.mark.parametrize("ends", [(3.0, 50.0), (0.01, 0.5)])
def test_a_users_parameter_at_a_limit_is_said(ends):
    data = series(4, rho=0.5, noise=0.5, replicates=2)
    inside = mfx.lmer(decay("wide", 0.05, 50.0), data)
    assert inside.certificate.held == ()
    outside = mfx.lmer(decay("narrow", *ends), data)
    (said,) = outside.certificate.held
    limit = min(ends, key=lambda end: abs(end - float(inside.theta.iloc[-1])))
    assert said == f"rho of narrow(0 + t | g) = {limit:.3g}"
    assert said in str(outside.certificate)
    assert any(said in note for note in outside.notes)


@pytest.mark.parametrize("structure", ["us", "diag", "homcs"])
def test_effects_of_which_every_row_has_its_own_are_said_to_be_residuals(structure):
    with pytest.raises(mfx.DataError, match=r"\(1 \| g\) or residual=mfx.CompoundSymmetry\('g'\)"):
        mfx.lmer(f"y ~ 1 + {structure}(0 + t | g)", series(0))


@pytest.mark.parametrize("structure", ["ar1", "cs", "homcs"])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_a_correlation_of_one_is_said_as_such_and_not_as_a_limit(structure):
    rng = np.random.default_rng(1)
    data = series(1, replicates=2)
    noise = pd.Series(rng.normal(size=len(data)))
    cells = noise.groupby([data["g"], data["t"]]).transform("mean") - noise.groupby(data["g"]).transform("mean")
    data["y"] = rng.normal(size=GROUPS)[data["g"]] + noise - 0.9 * cells  # cells differ by less than noise alone
    fit = mfx.lmer(f"y ~ 1 + {structure}(0 + t | g)", data)
    assert fit.is_singular
    assert fit.certificate.held == ()
    assert "varies in 1 of 6 directions" in str(fit.certificate)

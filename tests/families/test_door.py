"""What users may write as a family, and what they are told when they may not."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from mixedfx.families import (
    FAMILIES,
    LINKS,
    POSITIVE,
    Family,
    Link,
    Ordinal,
    family_for,
    positive_parameter,
    with_zero_inflation,
)
from tests.families.catalogue import CASES

FAMILIES_OF_STATSMODELS = {
    "gaussian": sm.families.Gaussian,
    "binomial": sm.families.Binomial,
    "poisson": sm.families.Poisson,
    "gamma": sm.families.Gamma,
    "inverse_gaussian": sm.families.InverseGaussian,
}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("negative_binomial", "nbinom2"),
        ("Negative Binomial", "nbinom2"),
        ("Gamma", "gamma"),
        ("inverse.gaussian", "inverse_gaussian"),
        ("bernoulli", "binomial"),
        ("Student-t", "student_t"),
        ("betabinomial", "beta_binomial"),
        ("truncated_nbinom1", "truncated_nbinom1"),
        ("hurdle_nbinom2", "hurdle_nbinom2"),
        ("zero_inflated_poisson", "zero_inflated_poisson"),
    ],
)
def test_spellings(spelling, name):
    assert family_for(spelling).name == name


@pytest.mark.parametrize(("name", "theirs"), FAMILIES_OF_STATSMODELS.items())
def test_families_of_statsmodels_bring_their_link(name, theirs):
    assert family_for(theirs()) == family_for(name)
    assert family_for(theirs(sm.families.links.Log())) == family_for(name, "log")
    assert family_for(theirs(), "log") == family_for(name, "log")


def test_statsmodels_parameters_stay_fixed():
    negative_binomial = family_for(sm.families.NegativeBinomial(alpha=0.5))
    assert negative_binomial.phi_names == ()
    y, eta = np.array([0.0, 2.0, 7.0]), np.array([-0.4, 0.3, 1.7])
    theirs = sm.families.NegativeBinomial(alpha=0.5).loglike_obs(y, np.exp(eta))
    assert negative_binomial.loglik(negative_binomial.observe(y), eta) == pytest.approx(theirs, rel=1e-10)
    tweedie = family_for(sm.families.Tweedie(var_power=1.3))
    assert tweedie.phi_names == ("dispersion",)
    assert tweedie.variance(np.zeros(1) + 0.7, [np.log(2.0)]) == pytest.approx([2.0 * np.exp(0.7 * 1.3)])
    assert family_for(sm.families.Tweedie(var_power=2)) == family_for("gamma", "log")


@pytest.mark.parametrize(
    ("family", "link", "error", "words"),
    [
        ("possion", None, SpecificationError, "did you mean 'poisson'. The others are 'gaussian', 'binomial'"),
        ("poisson", "logit", SpecificationError, "'poisson' cannot have the link 'logit'; choose from 'log'"),
        ("binomial", "logti", SpecificationError, "unknown link 'logti'"),
        (3, None, TypeError, "not int"),
        (sm.families.Gamma, None, TypeError, r"not a class: write Gamma\(\)"),
        ("poisson", 3, TypeError, "not int"),
        (sm.families.Tweedie(var_power=2.5), None, SpecificationError, "power of family 'tweedie' cannot be 2.5"),
    ],
)
def test_refusals(family, link, error, words):
    with pytest.raises(error, match=words):
        family_for(family, link)


@pytest.mark.parametrize(
    ("name", "y", "trials", "words"),
    [
        ("poisson", [1, -1, 2], None, "'poisson' needs non-negative whole numbers; found -1 in row 1"),
        ("nbinom1", [0.5, 1.5], None, r"whole numbers; found 0.5 in row 0 \(and 1 more\)"),
        ("gamma", [1, 0], None, "positive numbers; found 0 in row 1; zeros can have a process of their own"),
        ("tweedie", [-0.1], None, "non-negative numbers; found -0.1 in row 0"),
        ("beta", [1.0], None, "strictly between 0 and 1"),
        ("binomial", [0.5, 1.2], None, "found 1.2 in row 1"),
        ("binomial", [0.33], [10], "whole number of successes; found the proportion 0.33 in row 0: write cbind"),
        ("binomial", [0.5], [2.5], "trials must be whole numbers; found 2.5"),
        ("truncated_poisson", [0, 1], None, "needs positive whole numbers; found 0"),
        ("hurdle_poisson", [-1, 0], None, "zeros or positive whole numbers; found -1"),
        ("gaussian", [1, np.nan], None, "finite numbers; found nan in row 1"),
        ("gaussian", ["a", "b"], None, "must be numeric; found 'a'"),
        ("gaussian", [[1.0], [2.0]], None, "must be one column"),
        ("ordinal", [1, 2, 3], None, "2 categories; found category number 3"),
        ("ordinal", [0, 1, 2], None, "category numbers 1, 2, …; found 0 in row 0"),
    ],
)
def test_impossible_responses(name, y, trials, words):
    with pytest.raises(DataError, match=words):
        family_for(name).observe(y, trials=trials)


def test_impossible_weights():
    with pytest.raises(DataError, match="weights must be non-negative numbers; found -1 in row 1"):
        family_for("poisson").observe([1, 2], weights=[1, -1])


def test_components():
    assert family_for("nbinom2").phi_names == ("dispersion",)
    modelled = family_for("nbinom2").with_predictors("dispersion")
    assert (modelled.predictors, modelled.phi_names) == (("mean", "dispersion"), ())
    with pytest.raises(SpecificationError, match="'poisson' has no component 'dispersion'; it has 'mean'"):
        family_for("poisson").with_predictors("dispersion")
    with pytest.raises(SpecificationError, match="no zeros to inflate"):
        with_zero_inflation(family_for("gaussian"))
    with pytest.raises(SpecificationError, match="zero inflation already"):
        with_zero_inflation(family_for("hurdle_poisson"))
    with pytest.raises(SpecificationError, match="no parameter 'size'; it has 'dispersion'"):
        family_for("nbinom2").with_fixed(size=2)
    both = with_zero_inflation(family_for("nbinom1").with_predictors("dispersion"))
    assert both.predictors == ("mean", "dispersion", "zero_inflation")
    hurdle = with_zero_inflation(family_for("gamma", "log"))
    assert (hurdle.name, hurdle.phi_names) == ("hurdle_gamma", ("dispersion",))


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_copied_and_pickled(name):
    family = family_for(name)
    assert pickle.loads(pickle.dumps(family)) == copy.deepcopy(family) == family
    assert hash(pickle.loads(pickle.dumps(family))) == hash(family)
    assert family != family_for("gaussian" if name != "gaussian" else "poisson")
    assert family.link.name in repr(family)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_link_can_be_changed(case):
    family = case.family
    for other in family.links:
        changed = family.with_link(other)
        assert (changed.link.name, changed.name) == (other, family.name)


class Maxwell(Family):
    """Speeds of a gas; the mean is ``2 a sqrt(2/pi)``: with numpy's functions and a parameter that does nothing new."""

    name = "maxwell"
    default_link = "log"
    links = ("log", "identity")
    mean_range = "positive"
    support = POSITIVE
    parameters = (positive_parameter("rate"),)

    def log_density(self, observed, mean, log_rate):
        scale = mean.log + np.log(np.sqrt(np.pi / 8)) - log_rate
        return np.log(np.sqrt(2 / np.pi) * observed.y**2) - 3 * scale - observed.y**2 / (2 * np.exp(2.0 * scale))

    def moments(self, mu, trials, log_rate):
        average = mu * np.exp(-log_rate)
        return average, average**2 * (3 * np.pi / 8 - 1)

    def draw(self, rng, mu, trials, log_rate):
        scale = mu * np.exp(-log_rate) * np.sqrt(np.pi / 8)
        return scale * np.sqrt(rng.chisquare(3, size=np.shape(mu)))


def test_a_family_of_ones_own():
    from scipy import stats

    family = family_for(Maxwell, "log")
    assert family_for(Maxwell()).link == LINKS["log"]
    rng = np.random.default_rng(4)
    eta, phi = rng.normal(size=2000), np.array([0.3])
    y = family.simulate(rng, eta, phi)
    observed = family.observe(y)
    scale = np.exp(eta - 0.3) * np.sqrt(np.pi / 8)
    assert family.loglik(observed, eta, phi) == pytest.approx(stats.maxwell.logpdf(y, scale=scale), rel=1e-11)
    z = (y / scale) ** 2
    assert family.derivatives(observed, eta, phi)[3] == pytest.approx(4 * z, rel=1e-11)
    assert family.phi_derivatives(observed, eta, phi)[1][:, 0] == pytest.approx(2 * z, rel=1e-11)
    assert np.mean(y / family.mean(eta, phi)) == pytest.approx(1.0, abs=0.05)
    assert np.mean(family.unit_deviance(observed, eta, phi)) == pytest.approx(2.0 * 0.5, abs=0.4)
    assert np.all(family.expected_weights(observed, eta, phi) > 0)
    assert np.all(np.isfinite(family.start_eta(observed)))
    with pytest.raises(SpecificationError, match="no distribution function; give it a cumulative"):
        family.cdf_limits(observed, eta, phi)
    with pytest.raises(SpecificationError, match="'maxwell' cannot have the link 'inverse'"):
        family_for(Maxwell, "inverse")


class Careless(Maxwell):
    """A density with a function that has no derivatives here."""

    def log_density(self, observed, mean, log_rate):
        return np.arctan(mean.value)


def test_an_unknown_function_in_a_density_is_named():
    family = Careless()
    with pytest.raises(TypeError, match="arctan has no derivatives here; a log-density may use add, divide, exp"):
        family.loglik(family.observe([1.0]), np.zeros(1), [0.0])


def test_a_link_object_of_ones_own_is_taken_by_any_family():
    shifted = Link("shifted", lambda mu: mu - 1, lambda eta, order: (eta + 1, 1.0, None, None)[: order + 1])
    family = family_for("gaussian", shifted)
    assert family.loglik(family.observe([1.5]), np.array([0.5]), [0.0]) == pytest.approx(-0.5 * np.log(2 * np.pi))


def test_natural_parameters():
    values, jacobian = family_for("tweedie").natural([np.log(2.0), 0.0])
    assert values == pytest.approx({"dispersion": 2.0, "power": 1.5})
    assert jacobian == pytest.approx(np.diag([2.0, 0.25]))
    values, jacobian = Ordinal("probit", 4).natural([-1.0, 0.0, np.log(2.0)])
    assert values == pytest.approx({"threshold_1": -1.0, "threshold_2": 0.0, "threshold_3": 2.0})
    assert jacobian == pytest.approx(np.array([[1.0, 0, 0], [1, 1, 0], [1, 1, 2]]))
    held = family_for("student_t").with_fixed(df=4)
    assert held.phi_names == ("dispersion",)
    assert held.natural([0.0])[0] == {"dispersion": 1.0}


@pytest.mark.parametrize(
    ("family", "bad", "good", "options"),
    [
        ("poisson", -3.0, 1.0, {}),
        ("gamma", 0.0, 1.0, {}),
        ("binomial", 0.35, 0.5, {"weights": "w"}),
        ("beta", 1.0, 0.5, {}),
        ("nbinom2", 0.5, 1.0, {}),
    ],
)
@pytest.mark.parametrize("names", [None, "r"])
def test_rows_are_those_of_the_data_whatever_was_left_out(family, bad, good, options, names):
    """A value that cannot be is named with its row in the data, in a fit and in a new response."""
    y = np.tile([good, good, good * 0.5 if family in ("gamma", "beta") else good], 8)
    data = pd.DataFrame({"y": y, "x": np.arange(24.0), "w": 10, "g": np.repeat(list("abcd"), 6)})
    data.index = data.index if names is None else names + data.index.astype(str)
    data.iloc[[2, 5], 1] = np.nan
    data.iloc[9, 0] = bad
    row = 9 if names is None else "r9"
    with pytest.raises(DataError, match=f"found.* {bad:g} in row {row}"):
        mfx.glmer("y ~ x + (1 | g)", data, family=family, **options)

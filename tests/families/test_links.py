"""Links: inverses of each other, exact derivatives, logarithms of the unrounded mean, domains."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from mixedfx import SpecificationError
from mixedfx.families import LINKS, Link, family_for, link_for
from tests.differences import derivative

POINTS = {"log": (-3.0, -0.2), "identity": (0.1, 0.9), "inverse": (1.2, 3.0), "inverse_squared": (1.2, 3.0)}
POINTS["sqrt"] = (0.2, 0.9)


def etas(name):
    return st.floats(*POINTS.get(name, (-4.0, 3.0)))


@pytest.mark.parametrize("name", LINKS)
@given(data=st.data())
def test_the_link_undoes_its_inverse(name, data):
    eta = np.array([data.draw(etas(name))])
    assert LINKS[name](LINKS[name].mean(eta)) == pytest.approx(eta, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("what", ["inverse", "log_mean", "log_complement"])
@given(data=st.data())
def test_derivatives(name, what, data):
    eta = np.array([data.draw(etas(name))])
    function = getattr(LINKS[name], what)
    parts = [np.broadcast_to(0.0 if part is None else part, eta.shape) for part in function(eta, 3)]
    for order in (1, 2, 3):
        numerical = derivative(lambda t, d=order: np.asarray(function(eta + t, 3)[d - 1] or 0.0, float), 0.0, 1e-2)
        assert parts[order] == pytest.approx(numerical, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", LINKS)
@given(data=st.data())
def test_logarithms_are_those_of_the_mean(name, data):
    eta = np.array([data.draw(etas(name))])
    mean = LINKS[name].mean(eta)
    assert np.exp(LINKS[name].log_mean(eta)[0]) == pytest.approx(mean, rel=1e-12)
    assert np.exp(LINKS[name].log_complement(eta)[0]) == pytest.approx(1 - mean, abs=1e-14)


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize(("mean_range", "low", "high"), [("positive", 0, np.inf), ("unit", 0, 1)])
def test_the_domain_is_where_the_mean_is_in_its_range(name, mean_range, low, high):
    link = LINKS[name]
    lower, upper = link.domain(mean_range)
    eta = np.array([-1.7, -0.8, -0.1, 0.1, 0.6, 0.9, 1.3, 2.5])
    inside = (eta > lower) & (eta < upper)
    if name == "inverse_squared" or (name == "sqrt" and mean_range == "unit"):
        assert not np.any(inside[eta < 0])
        eta, inside = eta[eta > 0], inside[eta > 0]
    mean = link.mean(eta)
    assert np.array_equal(inside, (mean > low) & (mean < high))


STATSMODELS = {
    "Logit": "logit",
    "Probit": "probit",
    "CLogLog": "cloglog",
    "Cauchy": "cauchit",
    "Log": "log",
    "Identity": "identity",
    "InversePower": "inverse",
    "InverseSquared": "inverse_squared",
    "Sqrt": "sqrt",
}


@pytest.mark.parametrize(("theirs", "ours"), STATSMODELS.items())
def test_links_of_statsmodels(theirs, ours):
    link = getattr(sm.families.links, theirs)()
    assert link_for(link) is LINKS[ours]
    eta = np.array([0.3, 0.8])
    assert LINKS[ours].mean(eta) == pytest.approx(link.inverse(eta))


def test_power_links_of_statsmodels():
    assert link_for(sm.families.links.Power(power=-2)) is LINKS["inverse_squared"]
    with pytest.raises(SpecificationError, match=r"Power\(3"):
        link_for(sm.families.links.Power(power=3))


@pytest.mark.parametrize(
    ("unknown", "said"), [("LogLog", "it is link='cloglog' of the other"), ("LogC", "choose from 'logit'")]
)
def test_a_relative_of_a_known_statsmodels_link_is_not_taken_for_it(unknown, said):
    with pytest.raises(SpecificationError, match=f"unknown link '{unknown}'; {said}"):
        link_for(getattr(sm.families.links, unknown)())


def test_spellings_and_errors():
    assert link_for("Inverse-Squared") is link_for("1/mu^2") is LINKS["inverse_squared"]
    with pytest.raises(SpecificationError, match="unknown link 'logti'; choose from 'logit', 'probit'"):
        link_for("logti")
    with pytest.raises(TypeError, match="not int"):
        link_for(3)


def _loglog_inverse(eta, order):
    decay = np.exp(-eta)
    mean = np.exp(-decay)
    slope = mean * decay
    second = slope * (decay - 1)
    return (mean, slope, second, second * (decay - 1) - slope * decay)[: order + 1]


def test_a_link_of_ones_own():
    loglog = Link("loglog", lambda mu: -np.log(-np.log(mu)), _loglog_inverse)
    mirrored = family_for("binomial", "cloglog")
    ours = family_for("binomial", loglog)
    eta, shares, trials = np.array([-0.7, 0.2, 1.5]), np.array([0.0, 0.5, 1.0]), [3.0, 4.0, 2.0]
    left = ours.derivatives(ours.observe(shares, trials=trials), eta)
    right = mirrored.derivatives(mirrored.observe(1 - shares, trials=trials), -eta)
    for order, sign in enumerate((1, -1, 1, -1)):
        assert left[order] == pytest.approx(sign * right[order], rel=1e-11)

"""The formulas of the live pictures of the course give what mixedfx gives."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import mixedfx as mfx
from tests import browser

FORMULAS = Path(__file__).parents[1] / "docs" / "_static" / "live-math.js"
NODE = shutil.which("node")
DAYS = list(range(10))
TRUTH = {"beta": [250, 10], "D": [600, 10, 10, 35], "sigma": 25}

pytestmark = pytest.mark.skipif(
    not NODE and not browser.executable(), reason="neither node nor chromium is installed (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def javascript():
    """Return a function that gives the value of a JavaScript expression, in which `m` are the formulas."""
    if NODE:

        def value(expression):
            code = f"const m = require({json.dumps(str(FORMULAS))}); console.log(JSON.stringify({expression}))"
            return json.loads(subprocess.run([NODE, "-e", code], capture_output=True, text=True, check=True).stdout)

        yield value
        return
    with browser.opened() as page:
        page.evaluate(f"{FORMULAS.read_text(encoding='utf-8')}; window.m = window.mixedfxMath; null")
        yield page.evaluate


@pytest.fixture(scope="module")
def sleep():
    return mfx.load_dataset("sleepstudy")


def groups_of(data):
    people = [
        [person["Days"].tolist(), person["Reaction"].tolist()] for _, person in data.groupby("Subject", observed=True)
    ]
    return f"{json.dumps(people)}.map(([x, y]) => m.sums(x, y))"


def fit_at(groups, D, reml=True):
    return f"m.mixed({groups}, {np.ravel(D).tolist()}, {json.dumps(reml)})"


def test_distributions(javascript):
    places = [(0.3, 0.5, 5), (0.9, 40, 3), (0.01, 0.5, 100), (0.5, 300, 300), (0.999, 2, 0.5)]
    found = javascript(f"{json.dumps(places)}.map(([x, a, b]) => m.betaInc(x, a, b))")
    assert_allclose(found, [special.betainc(a, b, x) for x, a, b in places], rtol=1e-11)
    freedoms = [1, 2, 3, 17, 178, 4000]
    found = javascript(f"{freedoms}.map((df) => m.tTwoSided(0.95, df))")
    assert_allclose(found, stats.t.ppf(0.975, freedoms), rtol=1e-10)
    cases = [(0.0, 7), (0.3, 1), (1, 4), (9, 18), (60, 38), (300, 100)]
    found = javascript(f"{json.dumps(cases)}.map(([ncp, df]) => m.powerOfT(ncp, df, 0.05))")
    expected = [stats.ncf.sf(stats.f.ppf(0.95, 1, df), 1, df, ncp) if ncp else 0.05 for ncp, df in cases]
    assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("reml", [True, False])
def test_lines_of_groups_are_those_of_the_fit(javascript, sleep, reml):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep, reml=reml)
    D = fit.varcorr.covariances["Subject"].to_numpy() / fit.scale
    found = javascript(fit_at(groups_of(sleep), D, reml))
    assert_allclose(found["lines"], fit.coefficients["Subject"], rtol=1e-8)
    assert_allclose(found["beta"], fit.params, rtol=1e-8)
    assert_allclose([found["sigma"], found["deviance"]], [fit.sigma, -2 * fit.llf], rtol=1e-8)


def test_lines_without_random_slopes_and_of_unequal_groups(javascript, sleep):
    some = sleep.drop(sleep.index[[0, 1, 2, 3, 4, 5, 6, 15, 33, 34, 179]])
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", some)
    found = javascript(fit_at(groups_of(some), [fit.theta.iloc[0] ** 2, 0, 0, 0]))
    assert_allclose(found["lines"], fit.coefficients["Subject"], rtol=1e-8)


@pytest.mark.parametrize("reml", [True, False])
def test_the_deviance_is_the_objective_anywhere(javascript, sleep, reml):
    fit = mfx.lmer("Reaction ~ Days + (Days || Subject)", sleep, reml=reml)
    places = [fit.theta.tolist(), [0.0, 0.0], [0.4, 0.1], [2.0, 0.0], [0.0, 0.5], [1.5, 0.05]]
    groups = groups_of(sleep)
    found = javascript(f"[{', '.join(fit_at(groups, [a * a, 0, 0, b * b], reml) for a, b in places)}]")
    expected = [fit.model.objective(place, reml=reml)[0] for place in places]
    assert_allclose([one["deviance"] for one in found], expected, rtol=0, atol=1e-8)


def test_a_drawn_study_is_analysed_as_the_model_does(javascript, sleep):
    seeds = [1, 2, 4]
    draw = f"m.study(m.generator(seed), 18, {DAYS}, {json.dumps(TRUTH)})"
    studies = javascript(f"{seeds}.map((seed) => {draw})")
    for Y in studies:
        found = javascript(f"m.meanSlope({DAYS}, {json.dumps(Y)})")
        assert found["inside"]
        data = sleep.sort_values(["Subject", "Days"]).assign(Reaction=np.ravel(Y))
        fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data)
        pooled = mfx.LinearMixedModel("Reaction ~ Days", data).fit()
        said = [found["estimate"], found["se"], found["df"], found["sePooled"]]
        assert_allclose(said, [fit.params["Days"], fit.bse["Days"], fit.df["Days"], pooled.bse["Days"]], rtol=1e-8)
        reach = javascript(f"m.tTwoSided(0.95, {found['df']})") * found["se"]
        assert_allclose([found["estimate"] - reach, found["estimate"] + reach], fit.conf_int().loc["Days"], rtol=1e-8)


def test_it_is_said_where_the_best_fit_is_singular(javascript, sleep):
    Y = javascript(f"m.study(m.generator(3), 18, {DAYS}, {json.dumps(TRUTH)})")
    assert not javascript(f"m.meanSlope({DAYS}, {json.dumps(Y)})")["inside"]
    data = sleep.sort_values(["Subject", "Days"]).assign(Reaction=np.ravel(Y))
    with pytest.warns(mfx.exceptions.SingularFitWarning):
        mfx.lmer("Reaction ~ Days + (Days | Subject)", data)


def test_drawn_studies_have_the_stated_moments(javascript):
    drawn = javascript(f"m.study(m.generator(11), 20000, {DAYS}, {json.dumps(TRUTH)})")
    mean = np.array(TRUTH["beta"]) @ [np.ones(10), DAYS]
    Z = np.column_stack([np.ones(10), DAYS])
    cov = Z @ np.reshape(TRUTH["D"], (2, 2)) @ Z.T + TRUTH["sigma"] ** 2 * np.eye(10)
    assert_allclose(np.mean(drawn, axis=0), mean, atol=5 * np.sqrt(cov.max() / 20000))
    assert_allclose(np.cov(np.array(drawn).T), cov, atol=5 * cov.max() * np.sqrt(2 / 20000))


@pytest.mark.parametrize(
    ("n", "visits", "effect", "slopes", "sigma"),
    [(20, 10, 6.0, 6.0, 25.0), (12, 5, 3.0, 2.0, 1.0), (40, 4, 1.0, 1.5, 1.0)],
)
def test_power_is_that_of_the_package(javascript, n, visits, effect, slopes, sigma):
    design = {"n": n, "visits": visits, "effect": effect, "sdSlope": slopes, "sigma": sigma, "alpha": 0.05}
    plan = mfx.design(subjects=2 * n, visits=visits, between={"arm": ["a", "b"]})
    belief = {
        "Intercept": 0,
        "arm[T.b]": 0,
        "visit": 0,
        "arm[T.b]:visit": effect,
        "sd_Intercept|subject": 4 * sigma,
        "sd_visit|subject": slopes,
        "sigma": sigma,
    }
    found = mfx.power(
        "y ~ arm * visit + (visit | subject)", plan, params=belief, effect="arm[T.b]:visit", method="analytic"
    )
    assert_allclose(
        javascript(f"m.slopeDesign({json.dumps(design)})")["power"], found.to_frame()["power"].iloc[0], atol=1e-8
    )


def test_the_smallest_number_of_people_is_the_first_that_is_enough(javascript):
    design = {"visits": 10, "effect": 5.0, "sdSlope": 5.9, "sigma": 25.6, "alpha": 0.05}
    n = javascript(f"m.smallest({json.dumps(design)}, 0.8, 500)")
    below, at = (javascript(f"m.slopeDesign({json.dumps({**design, 'n': size})})")["power"] for size in (n - 1, n))
    assert below < 0.8 <= at


def test_the_share_of_studies_without_a_variance_of_slopes(javascript):
    design = {"n": 5, "visits": 4, "effect": 1.0, "sdSlope": 3.0, "sigma": 40.0, "alpha": 0.05}
    ratio = 40.0**2 / (40.0**2 + 9.0 * 5.0)
    assert_allclose(javascript(f"m.slopeDesign({json.dumps(design)})")["zero"], stats.f.cdf(ratio, 8, 20), rtol=1e-10)

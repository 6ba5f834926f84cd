"""A user's own structures: one function a structure, the same fits as with the hand-written derivatives of ours."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.covariance import UnstructuredCovariance, covariance_for, registry
from tests.differences import jacobian


def lags(size):
    return np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def powers(rho, size):
    return rho[0] ** lags(size)


def equal(rho, size):
    return rho[0] + (1 - rho[0]) * np.eye(size)


def equal_written_out(rho, size):
    (r,) = rho
    return np.array([[1.0 if i == j else r for j in range(size)] for i in range(size)])


def by_distance(rho, size):
    """Toeplitz correlations by partial autocorrelations (Durbin-Levinson)."""
    r, row = [1.0], []
    for k in range(size - 1):
        inner = sum((a * r[k - j] for j, a in enumerate(row)), 0.0)
        left = 1.0 - sum((a * r[j + 1] for j, a in enumerate(row)), 0.0)
        r.append(inner + rho[k] * left)
        row = [a - rho[k] * b for a, b in zip(row, reversed(row))] + [rho[k]]
    return np.array([[r[lag] for lag in line] for line in lags(size)])


def distances(size):
    return [f"partial.{k}" for k in range(1, size)]


OURS = {
    "ar1": ("my_ar1", powers, {"variances": "one"}),
    "hetar1": ("my_hetar1", powers, {}),
    "cs": ("my_cs", equal, {"lower": lambda size: -1 / (size - 1)}),
    "homcs": ("my_homcs", equal_written_out, {"lower": lambda size: [-1 / (size - 1)], "variances": "one"}),
    "toep": ("my_toep", by_distance, {"parameters": distances, "start": 0.0}),
}


@pytest.fixture(autouse=True)
def registered():
    for name, function, options in OURS.values():
        mfx.register_covariance(name, function, **options)
    yield
    registry._registered.clear()


def theta_of(covariance, data):
    lower, upper = covariance.lower(), np.minimum(covariance.upper(), 3.0)
    shares = data.draw(st.lists(st.floats(0.05, 0.95), min_size=len(lower), max_size=len(lower)))
    return lower + np.array(shares) * (upper - lower)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("keyword", OURS)
def test_factor_and_derivatives_are_those_of_ours(keyword, size):
    ours, users = covariance_for(keyword, size), covariance_for(OURS[keyword][0], size)
    assert users.names == ours.names
    for end in ("lower", "upper", "start"):
        np.testing.assert_allclose(getattr(users, end)(), getattr(ours, end)(), rtol=1e-9)

    @given(st.data())
    def check(data):
        theta = theta_of(ours, data)
        np.testing.assert_allclose(users.factor(theta), ours.factor(theta), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(users.derivative(theta), ours.derivative(theta), rtol=1e-7, atol=1e-8)
        second = ours.second_derivative(theta)
        np.testing.assert_allclose(users.second_derivative(theta), second, rtol=1e-6, atol=1e-6)

    check()


@pytest.mark.parametrize("keyword", ["ar1", "cs"])
def test_fits_are_those_of_ours(keyword):
    data = mfx.load_dataset("sleepstudy").query("Days in [0, 3, 6, 9]")
    text = "Reaction ~ Days + {}(0 + C(Days) | Subject)"
    ours, users = mfx.lmer(text.format(keyword), data), mfx.lmer(text.format(OURS[keyword][0]), data)
    assert users.llf == pytest.approx(ours.llf, rel=1e-10)
    np.testing.assert_allclose(users.theta, ours.theta, rtol=1e-5)
    np.testing.assert_allclose(users.bse, ours.bse, rtol=1e-6)
    np.testing.assert_allclose(mfx.anova(users)["den_df"], mfx.anova(ours)["den_df"], rtol=1e-4)
    models = [mfx.LinearMixedModel(text.format(name), data) for name in (keyword, OURS[keyword][0])]
    values, gradients = zip(*(model.objective(0.9 * ours.theta.to_numpy()) for model in models))
    assert values[1] == pytest.approx(values[0], rel=1e-11)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-8, atol=1e-8)


def test_a_generalised_fit_is_that_of_ours():
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(40), 6), np.tile(np.arange(3), 80)
    effects = rng.standard_normal((40, 3)) @ np.linalg.cholesky(0.5 ** lags(3)).T
    y = rng.poisson(np.exp(1.4 + 0.8 * effects[g, t]))
    data = {"y": y, "g": g, "t": t}
    ours, users = (
        mfx.glmer(f"y ~ 1 + {name}(0 + C(t) | g)", data, family="poisson") for name in ("hetar1", "my_hetar1")
    )
    assert users.llf == pytest.approx(ours.llf, rel=1e-8)
    np.testing.assert_allclose(users.bse, ours.bse, rtol=1e-4)


def decaying(rho, size):
    return np.exp(-lags(size) / np.exp(rho[0]))


def two_rates(rho, size):
    near, share = rho
    return np.where(lags(size) == 0, 1.0, share * near ** lags(size))


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (decaying, {"parameters": ["log_range"], "lower": -3, "upper": 3}),
        (two_rates, {"parameters": ["near", "share"], "lower": [0.0, 0.0], "upper": [1, 1], "start": [0.5, 0.5]}),
    ],
)
def test_other_structures_have_exact_derivatives(function, options):
    mfx.register_covariance("other", function, **options)
    covariance = covariance_for("other", 4)
    assert covariance.names[4:] == tuple(options["parameters"])

    @given(st.data())
    def check(data):
        theta = theta_of(covariance, data)
        numerical = np.moveaxis(jacobian(covariance.factor, theta, 1e-3), -1, 0)
        np.testing.assert_allclose(covariance.derivative(theta), numerical, rtol=1e-5, atol=1e-6)
        numerical = np.moveaxis(jacobian(covariance.derivative, theta, 1e-3), -1, 0)
        np.testing.assert_allclose(covariance.second_derivative(theta), numerical, rtol=1e-4, atol=1e-4)

    check()


def test_a_structure_without_an_independent_member_is_fitted():
    mfx.register_covariance("decaying", decaying, parameters=["log_range"], lower=-3, upper=3, variances="one")
    data = mfx.load_dataset("sleepstudy").query("Days in [0, 3, 6, 9]")
    fit = mfx.lmer("Reaction ~ Days + decaying(0 + C(Days) | Subject)", data)
    ar1 = mfx.lmer("Reaction ~ Days + ar1(0 + C(Days) | Subject)", data)
    assert fit.llf == pytest.approx(ar1.llf, rel=1e-8)  # another name of the same positive correlations
    assert np.exp(-np.exp(-fit.theta.iloc[1])) == pytest.approx(ar1.theta.iloc[1], rel=1e-4)
    assert mfx.anova(fit, ar1) is not None
    assert "log_range" in str(fit.theta)


def test_a_subclass_of_covariance_can_be_registered():
    mfx.register_covariance("any", UnstructuredCovariance)
    data = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + any(1 + Days | Subject)", data)
    assert fit.llf == pytest.approx(mfx.lmer("Reaction ~ Days + (1 + Days | Subject)", data).llf, rel=1e-12)


def test_a_registered_name_is_replaced_and_prints_in_formulas():
    mfx.register_covariance("my_cs", powers)
    assert covariance_for("my_cs", 3) != covariance_for("my_hetar1", 3)
    np.testing.assert_allclose(
        covariance_for("my_cs", 3).factor(np.array([1, 1, 1, 0.5])),
        covariance_for("my_hetar1", 3).factor(np.array([1, 1, 1, 0.5])),
    )
    from mixedfx.formula import parse

    assert str(parse("y ~ x + my_cs(0 + f | g)").random[0]) == "my_cs(0 + f | g)"


def assigned(rho, size):
    matrix = np.eye(size)
    matrix[0, 1] = matrix[1, 0] = rho[0]
    return matrix


def inverse_tangent(rho, size):
    return np.where(lags(size) == 0, 1.0, 0.6 * np.arctan(rho[0]) ** lags(size))


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (lambda rho, size: rho[0] * np.ones((size, size)), {}, r"at rho = 0 .* ones on its diagonal"),
        (equal, {}, r"bad: at rho = -0.98 and 3 columns the matrix is not positive definite.*lower"),
        (lambda rho, size: rho[0], {}, r"has the shape \(\)"),
        (assigned, {}, "cannot be differentiated.*np.array"),
        (inverse_tangent, {}, "cannot be differentiated.*arctan"),
        (lambda rho, size: equal(rho, size) / (rho[0] - rho[0]), {}, "not finite"),
        (powers, {"lower": 1, "upper": -1}, "lower is below upper"),
        (powers, {"upper": np.inf}, "upper is a finite number"),
        (powers, {"lower": [0, 0]}, "one for each of 1 parameters"),
        (powers, {"start": 1.0}, "start lies between"),
        (powers, {"parameters": "rho"}, r"names.*\['rho'\]"),
        (powers, {"parameters": ["a", "a"]}, "each another"),
    ],
)
def test_a_structure_that_is_none_says_so_where_it_is_used(function, options, told):
    mfx.register_covariance("bad", function, **options)
    with pytest.raises(mfx.SpecificationError, match=told):
        mfx.lmer("Reaction ~ Days + bad(0 + C(Days) | Subject)", mfx.load_dataset("sleepstudy").query("Days < 3"))


@pytest.mark.parametrize(
    ("name", "function", "options", "kind", "told"),
    [
        ("ar1", powers, {}, mfx.SpecificationError, "'ar1' is a structure of the package"),
        ("my structure", powers, {}, mfx.SpecificationError, "a name such as"),
        ("class", powers, {}, mfx.SpecificationError, "a name such as"),
        ("mine", np.eye(3), {}, TypeError, r"a function of \(rho, size\).*found ndarray"),
        ("mine", powers, {"variances": "two"}, mfx.SpecificationError, "variances is 'each' or 'one'; found 'two'"),
    ],
)
def test_what_cannot_be_registered_is_refused(name, function, options, kind, told):
    with pytest.raises(kind, match=told):
        mfx.register_covariance(name, function, **options)


def test_a_keyword_is_not_the_name_of_a_function():
    with pytest.raises(mfx.SpecificationError, match="cannot be the name of a function"):
        mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"), functions={"my_cs": np.log})
    with pytest.raises(mfx.SpecificationError, match=r"my_cs\(…\) needs a bar"):
        mfx.lmer("Reaction ~ my_cs(Days) + (1 | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def subset():
    return mfx.load_dataset("sleepstudy").query("Days in [0, 3, 6, 9]")


def test_a_saved_fit_is_found_again_when_the_structure_is_registered(tmp_path, subset):
    fit = mfx.lmer("Reaction ~ Days + my_ar1(0 + C(Days) | Subject)", subset)
    fit.save(tmp_path / "fit.mfx")
    assert mfx.load(tmp_path / "fit.mfx").llf == fit.llf
    mfx.register_covariance("my_ar1", by_distance, parameters=["rho", "b", "c"], variances="one")
    with pytest.raises(mfx.DataError, match="cannot be rebuilt"):
        mfx.load(tmp_path / "fit.mfx")
    mfx.register_covariance("my_ar1", lambda rho, size: powers(rho[:1] * 0.5, size), variances="one")
    with pytest.raises(mfx.DataError, match="whose log-likelihood was"):
        mfx.load(tmp_path / "fit.mfx")
    registry._registered.clear()
    with pytest.raises(mfx.DataError, match=r"unknown covariance.*'my_ar1'.*register_covariance"):
        mfx.load(tmp_path / "fit.mfx")


def test_a_fit_can_be_pickled_and_used_where_nothing_is_registered(subset):
    fit = mfx.lmer("Reaction ~ Days + my_ar1(0 + C(Days) | Subject)", subset)
    kept = pickle.dumps(fit)
    registry._registered.clear()
    again = pickle.loads(kept)
    np.testing.assert_allclose(again.predict(subset), fit.predict(subset))
    assert again.refit(subset["Reaction"]).llf == pytest.approx(fit.llf, rel=1e-8)


def test_resampling_in_other_processes_knows_the_structure(subset):
    fit = mfx.lmer("Reaction ~ Days + my_ar1(0 + C(Days) | Subject)", subset)
    one = mfx.bootstrap(fit, n=4, seed=1)
    two = mfx.bootstrap(fit, n=4, seed=1, n_jobs=2)
    np.testing.assert_allclose(two.replicates, one.replicates, rtol=1e-6)


def test_intervals_away_from_zero_are_searched_inside():
    def shifted(rho, size):
        return powers(rho[:1] - 3.0, size)

    mfx.register_covariance("shifted", shifted, lower=2, upper=4, variances="one")
    correlation = covariance_for("shifted", 3).correlation
    places = [rho for rho, _ in correlation.grid(correlation.start(), np.zeros(3, dtype=bool))]
    assert len(places) > 2
    assert 2 < np.min(places) < np.max(places) < 4
    subset = mfx.load_dataset("sleepstudy").query("Days in [0, 3, 6, 9]")
    fits = [mfx.lmer(f"Reaction ~ Days + {name}(0 + C(Days) | Subject)", subset) for name in ("ar1", "shifted")]
    assert fits[1].llf == pytest.approx(fits[0].llf, rel=1e-9)
    assert fits[1].theta.iloc[1] - 3.0 == pytest.approx(fits[0].theta.iloc[1], abs=1e-4)

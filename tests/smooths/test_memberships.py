"""Rows in several levels at once: against the dense likelihood, and by laws."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    n, labels = 150, np.array([f"s{k:02d}" for k in range(14)])
    first, second = rng.integers(0, 14, n), rng.integers(0, 12, n)
    w = rng.uniform(0.1, 0.9, n)
    effects = rng.normal(0, 1.0, 14)
    x = rng.normal(size=n)
    alone = rng.random(n) < 0.2
    frame = pd.DataFrame({"x": x, "a": labels[first], "b": labels[second], "w1": w, "w2": 1 - w})
    frame["g"] = rng.integers(0, 8, n).astype(str)
    frame["y"] = 2 + 0.5 * x + w * effects[first] + (1 - w) * effects[second] + rng.normal(0, 0.5, n)
    frame["c"] = frame["b"].where(~alone, None)
    frame["v1"], frame["v2"] = frame["w1"].where(~alone, 1.0), frame["w2"].where(~alone, 0.0)
    frame["u1"], frame["u2"] = 3 * frame["w1"], 5 * frame["w2"]
    frame["count"] = rng.poisson(np.exp(0.3 + 0.4 * (w * effects[first] + (1 - w) * effects[second])))
    return frame


def weights_of(data, pairs, slope=None):
    """The dense Z, built label by label."""
    levels = sorted({label for column, _ in pairs for label in data[column].dropna()})
    Z = np.zeros((len(data), len(levels)))
    for column, weight in pairs:
        share = data[weight] if isinstance(weight, str) else np.broadcast_to(weight, len(data))
        for row, label in enumerate(data[column]):
            if isinstance(label, str):
                Z[row, levels.index(label)] += np.asarray(share)[row]
    return levels, Z if slope is None else Z * data[slope].to_numpy()[:, None]


def dense_loglik(y, X, covariance, reml):
    """Gaussian log-likelihood (restricted: with X'V^-1 X) at the best coefficients, by n x n matrices."""
    inverse = np.linalg.inv(covariance)
    information = X.T @ inverse @ X
    beta = np.linalg.solve(information, X.T @ inverse @ y)
    r = y - X @ beta
    value = np.linalg.slogdet(covariance)[1] + r @ inverse @ r + (len(y) - reml * X.shape[1]) * np.log(2 * np.pi)
    return -0.5 * (value + reml * np.linalg.slogdet(information)[1]), beta, inverse @ r


EQUAL = 0.5
CASES = {
    "(1 | mm(a, b, weights=(w1, w2)))": [("a", "w1"), ("b", "w2")],
    "(1 | mm(a, b))": [("a", EQUAL), ("b", EQUAL)],
    "(1 | mm(a, b, weights=(u1, u2)))": [("a", "u1"), ("b", "u2")],
    "(1 | mm(a, c, weights=(v1, v2)))": [("a", "v1"), ("c", "v2")],
    "(1 | mm(a, b, weights=(1, 1/4)))": [("a", 1.0), ("b", 0.25)],
}


@pytest.mark.parametrize("term", CASES)
@pytest.mark.parametrize("reml", [True, False])
def test_the_fit_is_that_of_the_dense_likelihood(data, term, reml):
    fit = mfx.lmer(f"y ~ x + {term}", data, reml=reml)
    levels, Z = weights_of(data, CASES[term])
    X, y = np.column_stack([np.ones(len(data)), data["x"]]), data["y"].to_numpy()

    def at(tau, sigma):
        return dense_loglik(y, X, tau**2 * Z @ Z.T + sigma**2 * np.eye(len(y)), reml)

    tau = float(fit.varcorr.to_frame()["sd"].iloc[0])
    best, beta, weighted = at(tau, fit.sigma)
    assert fit.llf == pytest.approx(best, abs=1e-7)
    assert fit.params.to_numpy() == pytest.approx(beta, abs=1e-8)
    assert fit.random_effects["mm(a, c)" if "c" in term[8:12] else "mm(a, b)"]["Intercept"].to_numpy() == pytest.approx(
        tau**2 * Z.T @ weighted, abs=1e-7
    )
    assert list(next(iter(fit.random_effects.values())).index) == levels
    for step in (0.99, 1.01):
        assert at(step * tau, fit.sigma)[0] < best + 1e-9
        assert at(tau, step * fit.sigma)[0] < best + 1e-9


def test_a_row_without_a_second_membership_counts_once(data):
    """Equal shares of the memberships that a row has: 1 where there is one."""
    equal = mfx.lmer("y ~ x + (1 | mm(a, c))", data)
    shares = data.assign(p=np.where(data["c"].isna(), 1.0, 0.5), q=np.where(data["c"].isna(), np.nan, 0.5))
    given = mfx.lmer("y ~ x + (1 | mm(a, c, weights=(p, q)))", shares)
    assert equal.nobs == given.nobs == len(data)
    assert equal.llf == pytest.approx(given.llf, abs=1e-9)


def test_the_order_of_the_columns_does_not_matter(data):
    one = mfx.lmer("y ~ x + (1 | mm(a, b, weights=(w1, w2)))", data)
    other = mfx.lmer("y ~ x + (1 | mm(b, a, weights=(w2, w1)))", data)
    assert one.llf == pytest.approx(other.llf, abs=1e-10)
    left, right = one.random_effects["mm(a, b)"], other.random_effects["mm(b, a)"]
    assert left["Intercept"].to_numpy() == pytest.approx(right["Intercept"].to_numpy(), abs=1e-9)


@pytest.mark.parametrize(
    "term", ["(1 | mm(a, a))", "(1 | mm(a, a, weights=(1/2, 1/2)))", "(1 | mm(a, b, weights=(1, 0)))"]
)
def test_one_level_a_row_is_an_ordinary_intercept(data, term):
    one, plain = mfx.lmer(f"y ~ x + {term}", data), mfx.lmer("y ~ x + (1 | a)", data)
    assert one.llf == pytest.approx(plain.llf, abs=1e-8)
    assert one.fittedvalues.to_numpy() == pytest.approx(plain.fittedvalues.to_numpy(), abs=1e-6)
    effects = one.random_effects[next(iter(one.random_effects))]["Intercept"]
    expected = plain.random_effects["a"]["Intercept"]
    assert effects[expected.index].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


def test_weights_of_another_size_scale_the_standard_deviation(data):
    one = mfx.lmer("y ~ x + (1 | mm(a, b, weights=(w1, w2)))", data)
    large = data.assign(w1=10 * data["w1"], w2=10 * data["w2"])
    ten = mfx.lmer("y ~ x + (1 | mm(a, b, weights=(w1, w2)))", large)
    assert one.llf == pytest.approx(ten.llf, abs=1e-8)
    assert one.theta.iloc[0] == pytest.approx(10 * ten.theta.iloc[0], rel=1e-5)


def test_beside_other_terms_and_with_slopes(data):
    formula = "y ~ x + (1 | mm(a, b, weights=(w1, w2))) + (0 + x | mm(a, b, weights=(w1, w2))) + (1 | g)"
    fit = mfx.lmer(formula, data)
    pairs = [("a", "w1"), ("b", "w2")]
    Z, S, G = weights_of(data, pairs)[1], weights_of(data, pairs, "x")[1], pd.get_dummies(data["g"]).to_numpy(float)
    sd = fit.varcorr.to_frame()["sd"].to_numpy()
    V = sum(s**2 * M @ M.T for s, M in zip(sd, (Z, S, G), strict=False)) + fit.sigma**2 * np.eye(len(data))
    X = np.column_stack([np.ones(len(data)), data["x"]])
    assert fit.llf == pytest.approx(dense_loglik(data["y"].to_numpy(), X, V, True)[0], abs=1e-7)
    assert list(fit.random_effects["mm(a, b)"].columns) == ["Intercept", "x"]
    assert fit.n_groups == {"mm(a, b)": 14, "g": 8}


def test_a_generalised_model_is_that_of_an_ordinary_intercept(data):
    one = mfx.glmer("count ~ x + (1 | mm(a, a))", data, family="poisson")
    plain = mfx.glmer("count ~ x + (1 | a)", data, family="poisson")
    assert one.llf == pytest.approx(plain.llf, abs=1e-7)
    assert one.params.to_numpy() == pytest.approx(plain.params.to_numpy(), abs=1e-5)


def test_predictions_of_known_and_unknown_labels(data):
    fit = mfx.lmer("y ~ x + (1 | mm(a, b, weights=(w1, w2)))", data)
    effects, beta = fit.random_effects["mm(a, b)"]["Intercept"], fit.params
    new = pd.DataFrame({"x": [0.0, 1.0], "a": ["s01", "s02"], "b": ["s03", "new"], "w1": [0.5, 0.3], "w2": [0.5, 0.7]})
    with pytest.raises(mfx.DataError, match="'new'"):
        fit.predict(new)
    known = [0.5 * effects["s01"] + 0.5 * effects["s03"], 0.3 * effects["s02"]]
    fixed = beta["Intercept"] + beta["x"] * new["x"]
    assert fit.predict(new, new_levels="population").to_numpy() == pytest.approx(fixed + known)
    assert np.isnan(fit.predict(new, new_levels="nan").to_numpy()).tolist() == [False, True]
    assert fit.predict(new[["x"]], random=False).to_numpy() == pytest.approx(fixed)
    frame = fit.get_prediction(new, new_levels="population").summary_frame()
    tau = float(fit.varcorr.to_frame()["sd"].iloc[0])
    width = ((frame["obs_ci_upper"] - frame["mean"]) / (frame["mean_ci_upper"] - frame["mean"])).to_numpy()
    variance = frame["mean_se"].to_numpy() ** 2
    expected = variance + fit.scale + tau**2 * np.array([0.0, 0.7**2])
    assert width == pytest.approx(np.sqrt(expected / variance), rel=0.02)


def test_saved_and_loaded(data, tmp_path):
    fit = mfx.lmer("y ~ x + (1 | mm(a, c, weights=(v1, v2)))", data)
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    assert again.llf == fit.llf
    pd.testing.assert_frame_equal(again.random_effects["mm(a, c)"], fit.random_effects["mm(a, c)"])


def test_bad_input_is_named(data):
    with pytest.raises(mfx.DataError, match="no numbers"):
        mfx.lmer("y ~ (1 | mm(a, b, weights=(g, w2)))", data)
    with pytest.raises(mfx.DataError, match="text and others numbers"):
        mfx.lmer("y ~ (1 | mm(a, k))", data.assign(k=np.arange(len(data)) % 7))
    with pytest.raises(mfx.DataError, match="only one level"):
        mfx.lmer("y ~ (1 | mm(k, l))", data.assign(k="one", l="one"))
    with pytest.raises(mfx.SpecificationError, match="stands one column"):
        mfx.lmer("y ~ (0 + g | mm(a, b))", data)
    lonely = data.assign(a=data["a"].where(data.index > 2, None), b=data["b"].where(data.index > 2, None))
    fit = mfx.lmer("y ~ x + (1 | mm(a, b))", lonely)
    assert fit.nobs == len(data) - 3
    assert any("mm(a, b)" in note for note in fit.notes)

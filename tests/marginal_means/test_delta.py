"""Functions of coefficients and effect sizes: against differences, R, linear tests and simulation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import mixedfx as mfx


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def machines():
    return mfx.lmer("score ~ Machine + (1 | Worker/Machine)", mfx.load_dataset("machines"))


FUNCTIONS = {
    "Days / Intercept": lambda b: b[1] / b[0],
    "exp(b2 / 10) - 2 * log(b1)^2": lambda b: np.exp(b[1] / 10) - 2 * np.log(b[0]) ** 2,
    "-b2 ** 2 ^ 0.5": lambda b: -(b[1] ** (2**0.5)),
    "sqrt(abs(-Days)) + expit(b2 - 10) * (log2(b1) / log10(b1))": lambda b: (
        np.sqrt(b[1]) + np.log2(b[0]) / np.log10(b[0]) / (1 + np.exp(10 - b[1]))
    ),
    "Intercept ^ (Days / 50)": lambda b: b[0] ** (b[1] / 50),
    "logit(Days / 20) - log1p(b2) / expm1(b2 / 9)": lambda b: (
        np.log(b[1] / (20 - b[1])) - np.log1p(b[1]) / np.expm1(b[1] / 9)
    ),
}


def test_any_coefficient_is_named_alone_and_in_lists_as_in_t_test():
    rng = np.random.default_rng(2)
    d = pd.DataFrame({"g": np.repeat(np.arange(8), 9), "my x": rng.normal(size=72), "Größe": rng.normal(size=72)})
    d["f"], d["y"] = rng.choice(["a, b", "c (d)", "e = 1", "-2"], 72), rng.normal(size=72)
    fit = mfx.lmer("y ~ poly(`my x`, 2) * f + wb(Größe, g) + (1 | g)", d)
    expected = fit.t_test([f"{name} = 0.5" for name in fit.params.index]).summary_frame()
    for quote in ("", "`"):
        texts = [f"{quote}{name}{quote} = 0.5" for name in fit.params.index if "`" not in f"{quote}{name}"[1:]]
        alone = pd.concat([mfx.hypotheses(fit, text).to_frame() for text in texts])
        together = mfx.hypotheses(fit, ", ".join(texts)).to_frame()
        assert list(together.index) == texts
        np.testing.assert_allclose(together["statistic"], alone["statistic"])
        if not quote:
            at = [fit.params.index.get_loc(text.removesuffix(" = 0.5")) for text in texts]
            np.testing.assert_allclose(alone["p_value"], expected.iloc[at]["P>|t|"], rtol=1e-8)


@pytest.mark.parametrize("text", list(FUNCTIONS))
def test_values_and_gradients(sleep, text):
    row = mfx.hypotheses(sleep, text).iloc[0]
    beta, cov, step = sleep.params.to_numpy(), sleep.cov_params().to_numpy(), np.diag(1e-6 * sleep.params.to_numpy())
    function = FUNCTIONS[text]
    gradient = np.array([(function(beta + s) - function(beta - s)) / (2 * s.sum()) for s in step])
    assert row["estimate"] == pytest.approx(function(beta), rel=1e-12)
    assert row["std_error"] == pytest.approx(np.sqrt(gradient @ cov @ gradient), rel=1e-6)


def test_linear_functions_are_those_of_t_test(machines):
    ours = mfx.hypotheses(machines, "Machine[T.B] = Machine[T.C], 2 * Machine[T.B] = 10, `Machine[T.B]` = 3")
    theirs = machines.t_test("Machine[T.B] = Machine[T.C], 2 * Machine[T.B] = 10, Machine[T.B] = 3")
    np.testing.assert_allclose(ours["estimate"], theirs.effect)
    np.testing.assert_allclose(ours["std_error"], theirs.sd)
    np.testing.assert_allclose(ours["p_value"], theirs.pvalue)
    np.testing.assert_allclose(ours["df"], theirs.df_denom)
    np.testing.assert_allclose(ours["null"], theirs.rhs)


def test_scale_of_the_response_and_names(machines):
    data = mfx.load_dataset("machines").assign(score=lambda d: 1e-6 * d["score"])
    small = mfx.lmer("score ~ Machine + (1 | Worker/Machine)", data)
    asked = {"ratio": "Machine[T.B] / Machine[T.C] = 1"}
    one, other = mfx.hypotheses(machines, asked), mfx.hypotheses(small, asked)
    assert one.index.tolist() == ["ratio"]
    np.testing.assert_allclose(one[["estimate", "std_error"]], other[["estimate", "std_error"]], rtol=1e-6)


def test_rows_of_marginal_means(machines):
    means = mfx.emmeans(machines, "Machine")
    found = mfx.hypotheses(means, ["B - A", "b2 / b1 = 1"])
    pair = means.contrast("treatment", adjust="none").to_frame().iloc[0]
    row = found.iloc[0]
    assert row[["estimate", "std_error", "df"]].tolist() == pytest.approx(pair[["estimate", "se", "df"]].tolist())
    assert found["estimate"].iloc[1] == pytest.approx(means.estimates[1] / means.estimates[0])


def test_other_fits():
    cbpp = mfx.load_dataset("cbpp")
    fit = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", cbpp, family="binomial")
    table = mfx.hypotheses(fit, "exp(period[T.2])")
    assert "df" not in table
    assert table["std_error"].iloc[0] == pytest.approx(np.exp(fit.params.iloc[1]) * fit.bse.iloc[1])
    ols = smf.ols("score ~ Machine", mfx.load_dataset("machines")).fit()
    assert mfx.hypotheses(ols, "b2 / b3")["estimate"].iloc[0] == pytest.approx(ols.params.iloc[1] / ols.params.iloc[2])


@pytest.mark.parametrize(
    "text",
    ["Days *", "foo = 1", "__import__('os')", "1 = 1", "Days / 0", "(" * 200 + "Days", "exp Days", "log(-Days)", "",
     "b3", "Days = = 1", "(Days", "Days.real", "`nope`", "x" * 6000, "Days ^ Days ^ Days ^ Days", "Days[0]",
     "lambda: 1"],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(sleep, text):
    with pytest.raises(mfx.SpecificationError, match="hypothesis"):
        mfx.hypotheses(sleep, text)


def test_arguments(sleep, machines):
    for wrong in (3, [3], {"a": None}):
        with pytest.raises(TypeError, match="is a text"):
            mfx.hypotheses(sleep, wrong)
    with pytest.raises(mfx.SpecificationError, match="is empty"):
        mfx.hypotheses(sleep, [])
    with pytest.raises(mfx.SpecificationError, match="that of the marginal means"):
        mfx.hypotheses(mfx.emmeans(machines, "Machine"), "b1 = 1", ddf="z")


# ---------------------------------------------------------------- effect sizes
@pytest.mark.parametrize(("link", "says_so"), [("probit", True), ("logit", False)])
def test_effect_sizes_keep_what_their_contrasts_say_of_the_scale(link, says_so):
    """A difference of probits is none of probabilities, whatever it is divided by; odds ratios are sizes of logits."""
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial", link=link)
    contrasts = mfx.emmeans(fit, "period", scale="response").pairs()
    words = "Contrasts are on the probit scale"
    for rows in (contrasts, mfx.eff_size(contrasts, sigma=1.0)):
        assert any(words in note for note in rows.notes) is says_so
    assert not any("response scale" in note for note in mfx.eff_size(contrasts, sigma=1.0).notes)


def test_effect_sizes_are_those_of_r():
    """R's emmeans: eff_size(emmeans(lmer(effort ~ Type + (1 | Subject), d), "Type"), sigma(fit), edf = 10)."""
    fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    found = mfx.eff_size(mfx.emmeans(fit, "Type"), sigma=fit.sigma, df=10)
    d = [-3.53440704, -2.01966117, -0.60589835, 1.51474588, 2.92850869, 1.41376282]
    se = [0.92023034, 0.65281987, 0.49048737, 0.58046962, 0.80686454, 0.56759007]
    np.testing.assert_allclose(found.estimates, d, rtol=1e-5)
    np.testing.assert_allclose(found.se, se, rtol=1e-5)
    np.testing.assert_allclose(found.df, 24.0, rtol=1e-4)  # of the contrasts; R takes the fewest of the means, 15.5


def test_effect_sizes_have_no_unit_and_a_known_deviation_divides():
    data = mfx.load_dataset("machines")
    fits = [
        mfx.lmer("score ~ Machine + (1 | Worker/Machine)", data.assign(score=a * data["score"] + b))
        for a, b in ((1.0, 0.0), (1e-4, 7.0))
    ]
    one, other = (mfx.eff_size(mfx.emmeans(fit, "Machine")) for fit in fits)
    np.testing.assert_allclose(one.to_frame().iloc[:, 1:], other.to_frame().iloc[:, 1:], rtol=1e-5)
    total = np.sqrt(fits[0].varcorr.to_frame()["variance"].sum())
    pairs = mfx.emmeans(fits[0], "Machine").pairs()
    np.testing.assert_allclose(one.estimates, pairs.estimates / total, rtol=1e-9)
    known = mfx.eff_size(pairs, sigma=2.0)
    np.testing.assert_allclose(known.se, pairs.se / 2.0)
    assert known.adjustment == pairs.adjustment
    np.testing.assert_allclose(mfx.eff_size(pairs).estimates, one.estimates)


def test_the_deviation_of_an_observation_has_its_degrees_of_freedom():
    """In a balanced one-way design the total variance is a sum of mean squares, and Satterthwaite's df are exact."""
    data = mfx.load_dataset("ergostool")
    fit = mfx.lmer("effort ~ Type + (1 | Subject)", data)
    sizes = mfx.eff_size(mfx.emmeans(fit, "Type"))
    a, w = 4 * fit.varcorr.to_frame()["variance"].iloc[0] + fit.scale, fit.scale  # mean squares on 8 and 24 df
    total = (a + 3 * w) / 4
    df = total**2 / ((a / 4) ** 2 / 8 + (3 * w / 4) ** 2 / 24)
    pairs = mfx.emmeans(fit, "Type").pairs()
    expected = np.sqrt(pairs.se**2 / total + sizes.estimates**2 / (2 * df))
    np.testing.assert_allclose(sizes.se, expected, rtol=1e-5)


def test_linear_models_and_refusals(machines):
    ols = smf.ols("score ~ Machine", mfx.load_dataset("machines")).fit()
    found = mfx.eff_size(mfx.emmeans(ols, "Machine"))
    np.testing.assert_allclose(found.estimates[0], -ols.params.iloc[1] / np.sqrt(ols.scale))
    counts = mfx.glmer("round(score) ~ Machine + (1 | Worker)", mfx.load_dataset("machines"), family="poisson",
                       functions={"round": np.round})  # fmt: skip
    with pytest.raises(mfx.SpecificationError, match="no single standard deviation"):
        mfx.eff_size(mfx.emmeans(counts, "Machine"))
    means = mfx.emmeans(machines, "Machine")
    for wrong in ({"sigma": 0.0}, {"sigma": -1}, {"sigma": np.inf}, {"df": 0}):
        with pytest.raises(mfx.SpecificationError, match="positive number"):
            mfx.eff_size(means, **wrong)
    for call in (lambda: mfx.eff_size(machines), lambda: mfx.eff_size(means, sigma="x")):
        with pytest.raises(TypeError):
            call()

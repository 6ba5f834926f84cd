"""The grammar of constraints and the tests made of them, against statsmodels and the algebra."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import mixedfx as mfx
from mixedfx.inference.denominator import ByCoefficient, fai_cornelius
from mixedfx.inference.hypothesis import hypothesis_from, independent_rows, parse_constraints
from mixedfx.inference.wald import joint_test, row_tests

NAMES = ["Intercept", "a", "b", "f[T.b]", "a:f[T.b]", "poly(x, 3)[1]"]


@pytest.mark.parametrize(
    "text, coefficients, value",
    [
        ("a = 0", {"a": 1}, 0),
        ("a", {"a": 1}, 0),
        ("a - b = 3", {"a": 1, "b": -1}, 3),
        ("2 * a + b / 4 = 1 - b", {"a": 2, "b": 1.25}, 1),
        ("-(a - 1) = b", {"a": -1, "b": -1}, -1),
        ("f[T.b] = a:f[T.b]", {"f[T.b]": 1, "a:f[T.b]": -1}, 0),
        ("poly(x, 3)[1] = 1e-3", {"poly(x, 3)[1]": 1}, 1e-3),
        ("a=.5", {"a": 1}, 0.5),
    ],
)
def test_grammar(text, coefficients, value):
    [row] = parse_constraints(text, NAMES)
    assert row.coefficients.tolist() == [coefficients.get(name, 0.0) for name in NAMES]
    assert row.value == value


def test_several_constraints_and_chains():
    assert len(parse_constraints("a = 0, b = 1", NAMES)) == 2
    first, second = parse_constraints("a = b = 2", NAMES)
    assert (first.value, second.value) == (0.0, 2.0)


@pytest.mark.parametrize(
    "text, found",
    [
        ("c = 0", "'c'"),
        ("aa = 0", "'aa'"),
        ("a * b = 0", "not linear"),
        ("a = ", "ends too early"),
        ("(a = 0", "bracket"),
        ("1 = 2", "involves no coefficient"),
        ("a / 0 = 1", "not linear"),
        ("a = 0) b", "goes wrong"),
        ("f = 0", "'f'"),
    ],
)
def test_errors_say_what_was_found(text, found):
    with pytest.raises(mfx.SpecificationError, match=found):
        parse_constraints(text, NAMES)


def test_ways_to_say_the_same():
    ways = ["a = 1, b = 0", ["a = 1", "b = 0"], {"a": 1, "b": 0}, (np.eye(6)[1:3], [1, 0])]
    made = [hypothesis_from(way, NAMES) for way in ways]
    for other in made[1:]:
        assert pytest.approx(made[0].L) == other.L
        assert other.rhs == pytest.approx(made[0].rhs)
    frame = pd.DataFrame(np.eye(6)[1:3], columns=NAMES)[NAMES[::-1]]
    assert pytest.approx(made[0].L) == hypothesis_from(frame, NAMES).L


def test_wrong_shapes_and_types():
    with pytest.raises(mfx.SpecificationError, match="6 columns"):
        hypothesis_from(np.eye(3), NAMES)
    with pytest.raises(mfx.SpecificationError, match="values on the right"):
        hypothesis_from((np.eye(6), [1.0, 2.0]), NAMES)
    with pytest.raises(mfx.SpecificationError, match="finite"):
        hypothesis_from(np.full((1, 6), np.nan), NAMES)
    with pytest.raises(TypeError, match="constraints are text"):
        hypothesis_from(object(), NAMES)


def test_dependent_rows_are_dropped_and_contradictions_refused():
    L = np.array([[0, 1.0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]])
    assert independent_rows(L) == [0, 1]
    assert len(hypothesis_from((L, [1, 2, 3, 0]), ["i", "a", "b"]).independent().L) == 2
    with pytest.raises(mfx.SpecificationError, match="contradict"):
        hypothesis_from((L, [1, 2, 4, 0]), ["i", "a", "b"]).independent()


@pytest.fixture(scope="module")
def ordinary():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40), "f": rng.choice(list("abc"), 40)})
    data["y"] = data["x"] + rng.normal(size=40)
    return smf.ols("y ~ x + z + f", data).fit()


@pytest.mark.parametrize("constraints", ["x = 1, z = 0", "x - z", "f[T.b] = 0, f[T.c] = 0"])
def test_against_statsmodels_least_squares(ordinary, constraints):
    beta, p = ordinary.params.to_numpy(), len(ordinary.params)
    denominator = ByCoefficient(ordinary.cov_params().to_numpy(), np.full(p, float(ordinary.df_resid)), "the residual")
    hypothesis = hypothesis_from(constraints, list(ordinary.params.index))
    theirs, ours = ordinary.f_test((hypothesis.L, hypothesis.rhs)), joint_test(hypothesis, beta, denominator)
    assert (ours.fvalue, ours.pvalue, ours.df_num) == pytest.approx((theirs.fvalue, theirs.pvalue, theirs.df_num))
    t, own = ordinary.t_test((hypothesis.L, hypothesis.rhs)), row_tests(hypothesis, beta, denominator)
    assert own.effect == pytest.approx(t.effect)
    assert own.sd == pytest.approx(np.ravel(t.sd))
    assert own.statistic == pytest.approx(np.ravel(t.statistic))
    assert own.pvalue == pytest.approx(np.ravel(t.pvalue))
    assert own.conf_int(0.1) == pytest.approx(t.conf_int(0.1))


def test_pooled_degrees_of_freedom_match_the_mean_of_f():
    df = np.array([5.0, 9.0, 30.0])
    nu = fai_cornelius(df)
    assert nu / (nu - 2) == pytest.approx(np.mean(df / (df - 2)))
    assert fai_cornelius(np.full(3, 7.0)) == pytest.approx(7.0)
    assert fai_cornelius(np.array([1.5, 50.0])) == 2.0
    assert fai_cornelius(np.full(2, np.inf)) == np.inf
    assert fai_cornelius(np.array([6.0, np.inf])) > 6.0


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


def test_words_for_the_denominator(sleep):
    assert sleep.t_test("Days", ddf="containment").df_denom == pytest.approx([161.0])
    assert sleep.t_test("Days", ddf="residual").df_denom == pytest.approx([178.0])
    z = sleep.t_test("Days", ddf="z")
    assert z.distribution == "norm"
    assert z.pvalue == pytest.approx(2 * stats.norm.sf(z.statistic))
    with pytest.raises(mfx.SpecificationError, match="choose from"):
        sleep.t_test("Days", ddf="welch")
    with pytest.raises(TypeError):
        sleep.t_test("Days", ddf=3)


def test_chi_squared_is_the_wald_statistic(sleep):
    chi2, f = sleep.wald_test("Days", use_f=False), sleep.wald_test("Days")
    assert (chi2.distribution, f.distribution) == ("chi2", "F")
    assert chi2.statistic == pytest.approx(f.fvalue)
    with pytest.raises(mfx.SpecificationError, match="chi-squared"):
        sleep.wald_test("Days", use_f=False, ddf="kenward-roger")


def test_containment_needs_nested_groups():
    data = mfx.load_dataset("sleepstudy").assign(Day=lambda d: d["Days"].astype(str))
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("Reaction ~ Days + (1 | Subject) + (1 | Day)", data)
    with pytest.raises(mfx.SpecificationError, match="nested"):
        fit.t_test("Days", ddf="containment")


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_units_do_not_matter(sleep, ddf):
    data = mfx.load_dataset("sleepstudy").assign(
        Days=lambda d: 24 * d["Days"] + 2000, Reaction=lambda d: d["Reaction"] / 1000
    )
    other = mfx.lmer("Reaction ~ Days + (Days | Subject)", data)
    ours, theirs = sleep.t_test("Days", ddf=ddf), other.t_test("Days", ddf=ddf)
    assert theirs.df_denom == pytest.approx(ours.df_denom, rel=1e-6)
    assert theirs.statistic == pytest.approx(ours.statistic, rel=1e-6)


def test_what_it_shows(sleep):
    text = str(sleep.t_test(["Days = 10", "Intercept = 250"], ddf="kr"))
    assert "Kenward and Roger" in text
    assert "Days = 10" in text
    assert list(sleep.t_test("Days").summary_frame().columns)[:4] == ["coef", "std err", "t", "P>|t|"]
    assert str(sleep.f_test("Days")).startswith("F(1, 17.0) = 45.85")

"""A hypothesis has one F and one number of denominator degrees of freedom, however the model and its rows are written.

The numbers are lmerTest 3.1-3's (lme4 1.1, R 4.2), with the optimiser's tolerances at 1e-10.
"""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning", "ignore::mixedfx.RankDeficientWarning")

CODINGS = ["treatment", "sum", "helmert", "poly"]


def drawn(seed, n=150):
    """Groups with slopes of their own in single levels, so that degrees of freedom depend on the rows."""
    r = np.random.default_rng(seed)
    g = r.integers(0, 14, n)
    d = pd.DataFrame(
        {
            "g": [f"g{i:02d}" for i in g],
            "f": r.choice(list("pqr"), n, p=[0.5, 0.3, 0.2]),
            "h": r.choice(list("uvw"), n, p=[0.2, 0.3, 0.5]),
            "k": r.choice(["no", "yes"], n, p=[0.7, 0.3]),
            "x": r.normal(1, 1, n),
        }
    )
    b = r.normal(size=(14, 3))
    d["fq"], d["hv"] = (d["f"] == "q") * 1.0, (d["h"] == "v") * 1.0
    return d.assign(y=b[g, 0] + 0.8 * b[g, 1] * d["fq"] + 0.7 * b[g, 2] * d["hv"] + r.normal(size=n))


RANDOM = "(1 | g) + (0 + fq | g) + (0 + hv | g)"


def same(ours, theirs):
    for column in ("df", "F", "den_df"):
        assert ours[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), rel=1e-5), column


@pytest.mark.parametrize(
    "fixed",
    ["f * h", "f * h * k", "f * x + h", "0 + f + k + x", "0 + f * h", "f:h + h:k", "f + f:h", "f * poly(x, 2)", "h"],
)
def test_neither_coding_nor_order_of_levels_matters(fixed):
    data = drawn(3)
    formula = f"y ~ {fixed} + {RANDOM}"
    plain = mfx.lmer(formula, data)
    expected = {kind: mfx.anova(plain, type=kind) for kind in (1, 2, 3)}
    turned = data.assign(f=pd.Categorical(data["f"], list("rpq")), h=pd.Categorical(data["h"], list("wuv")))
    named = [name for name in "fhk" if name in fixed]
    for other, first in ((data, "sum"), (turned, "treatment"), (turned, "helmert"), (data, "poly")):
        codings = dict(zip(named, itertools.islice(itertools.cycle(CODINGS), CODINGS.index(first), None)))
        fit = mfx.lmer(formula, other, contrasts=codings)
        for kind, table in expected.items():
            same(mfx.anova(fit, type=kind), table)


@pytest.mark.parametrize("kind", [2, 3])
def test_the_order_in_which_factors_are_written_does_not_matter(kind):
    data = drawn(4)
    one = mfx.anova(mfx.lmer(f"y ~ f * h * k + {RANDOM}", data), type=kind)
    other = mfx.anova(mfx.lmer(f"y ~ k * h * f + {RANDOM}", data), type=kind)
    same(other.set_axis([":".join(sorted(label.split(":"))) for label in other.index]).loc[one.index], one)


def test_an_interaction_written_the_other_way_round_is_the_same_in_type_one():
    data = drawn(4)
    one = mfx.anova(mfx.lmer(f"y ~ f + h + f:h + {RANDOM}", data), type=1)
    same(mfx.anova(mfx.lmer(f"y ~ f + h + h:f + {RANDOM}", data), type=1), one)


@pytest.mark.parametrize("fixed", ["f * h", "f", "f + h", "f * h * k"])
@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_all_functions_test_the_same(fixed, ddf):
    """Type III, joint tests of the grid, and of rows given by hand in any combination."""
    for seed, coding in enumerate(CODINGS):
        data = drawn(seed, 260)
        fit = mfx.lmer(f"y ~ {fixed} + {RANDOM}", data, contrasts={"f": coding})
        table = mfx.anova(fit, ddf=ddf)
        same(mfx.joint_tests(fit, ddf=ddf), table)
        means = mfx.emmeans(fit, "f", ddf=ddf)
        joint = means.pairs().test(joint=True)
        assert joint["den_df"].iloc[0] == pytest.approx(table.loc["f", "den_df"], rel=1e-6)
        top = table.index[-1]
        columns = np.flatnonzero([name.count(":") == top.count(":") for name in fit.params.index])
        columns = columns[-int(table.loc[top, "df"]) :]
        rows = np.random.default_rng(seed).normal(size=(len(columns), len(columns))) @ np.eye(len(fit.params))[columns]
        test = fit.f_test(rows, ddf=ddf)
        assert (test.fvalue, test.df_denom) == pytest.approx(tuple(table.loc[top, ["F", "den_df"]]), rel=1e-6)


def test_types_two_and_three_agree_where_no_term_contains_another():
    data = drawn(6)
    for fixed in ("f + h + x", "0 + f + h + x", "0 + h + f + k"):
        fit = mfx.lmer(f"y ~ {fixed} + {RANDOM}", data, contrasts={"h": "helmert"})
        same(mfx.anova(fit, type=2), mfx.anova(fit, type=3))


def test_without_an_intercept_cells_are_weighted_equally():
    """The means of the first factor, averaged over the levels of the other, are zero: written out by hand."""
    data = drawn(7)
    fit = mfx.lmer(f"y ~ 0 + f + h + {RANDOM}", data)
    names = list(fit.params.index)
    rows = np.zeros((3, len(names)))
    rows[np.arange(3), [names.index(f"f[{level}]") for level in "pqr"]] = 1.0
    rows[:, [j for j, name in enumerate(names) if name.startswith("h")]] = 1 / 3
    test = fit.f_test(rows)
    for kind in (2, 3):
        row = mfx.anova(fit, type=kind).loc["f"]
        assert (row["F"], row["df"], row["den_df"]) == pytest.approx((test.fvalue, 3, test.df_denom), rel=1e-6)


def test_a_refit_and_a_model_from_its_own_data_agree():
    data = drawn(8)
    fit = mfx.lmer(f"y ~ f * h + {RANDOM}", data)
    again = fit.refit(data["y"])
    rows = np.eye(len(fit.params))[1:3]
    assert again.f_test(rows).df_denom == pytest.approx(fit.f_test(rows).df_denom, rel=1e-6)


# --------------------------------------------------------------------------- lmerTest
def test_lmertest_type_three_in_all_codings():
    """``anova(lmer(y ~ f * h + (f | g), d))``, d as in the finding; types 1 and 2 as well."""
    r = np.random.default_rng(5)
    g = r.integers(0, 8, 40)
    d = pd.DataFrame({"g": g.astype(str), "f": np.array(list("pqr"))[r.integers(0, 3, 40)]})
    d["h"] = np.array(["no", "yes"])[r.integers(0, 2, 40)]
    d["y"] = r.normal(size=8)[g] * 1.5 + r.normal(size=40)
    theirs = {1: [11.44325, 28.32903, 26.45618], 2: [11.68011, 28.32903, 27.40857], 3: [13.55018, 28.20798, 27.40857]}
    for coding in CODINGS:
        fit = mfx.lmer("y ~ f * h + (f | g)", d, contrasts={"f": coding, "h": coding})
        for kind, den_df in theirs.items():
            assert mfx.anova(fit, type=kind)["den_df"].to_numpy() == pytest.approx(den_df, rel=5e-4)  # singular


def test_lmertest_where_the_model_has_one_term():
    r, rows = np.random.default_rng(43), []
    for i in range(20):
        u = r.normal(0, [1, 1.2, 0.3])
        for c, k in zip(("con", "inc", "neu"), (r.integers(2, 14), r.integers(1, 5), r.integers(2, 14))):
            mean = u[0] + (c == "inc") * (u[1] + 0.6) + (c == "neu") * (u[2] + 0.1)
            rows += [(f"s{i:02d}", c, mean + r.normal()) for _ in range(k)]
    data = pd.DataFrame(rows, columns=["subj", "cong", "y"])
    for coding in CODINGS:
        fit = mfx.lmer("y ~ cong + (1 + cong | subj)", data, contrasts={"cong": coding})
        found = [mfx.anova(fit, type=kind)["den_df"].iloc[0] for kind in (1, 2, 3)]
        found += [mfx.joint_tests(fit)["den_df"].iloc[0], fit.f_test(np.eye(3)[1:]).df_denom]
        assert found == pytest.approx([20.88] * 5, abs=6e-3)


def test_tables_of_models_with_odd_columns_can_be_made():
    data = drawn(9)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for fixed in ("I(x > 1) * f", "C(k) * f + np.log(x + 9)", "bs(x, df=4) * h", "x + I(x**2) + f", "1"):
            fit = mfx.lmer(f"y ~ {fixed} + (1 | g)", data)
            assert np.isfinite(mfx.anova(fit)["F"]).all()


@pytest.mark.parametrize("formula", ["distance ~ age + Sex", "distance ~ age * Sex", "distance ~ 0 + Sex + age"])
def test_containment_of_means_does_not_depend_on_the_reference(formula):
    """Both sexes are between children: 25 df (nlme with emmeans: 26 for the reference, whichever it is)."""
    teeth, tables = mfx.load_dataset("orthodont"), []
    for levels in (["Male", "Female"], ["Female", "Male"]):
        for coding in ("treatment", "sum"):
            data = teeth.assign(Sex=pd.Categorical(teeth["Sex"], levels))
            fit = mfx.lmer(f"{formula} + (1 | Subject)", data, contrasts={"Sex": coding})
            means = mfx.emmeans(fit, "Sex", ddf="containment")
            assert means.to_frame()["df"].tolist() == [25.0, 25.0]
            assert means.pairs().to_frame()["df"].tolist() == [25.0]
            tables.append(mfx.trends(fit, "age", ddf="containment").to_frame()["df"].tolist())
    assert all(table == tables[0] for table in tables)

"""Tables and explanations say what the fit says."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


@pytest.fixture(scope="module")
def fit():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


def test_tidy_and_glance_repeat_the_fit(fit):
    table = mfx.tidy(fit)
    fixed = table[table.effect == "fixed"].set_index("term")
    np.testing.assert_array_equal(fixed.estimate, fit.params)
    np.testing.assert_array_equal(fixed[["conf_low", "conf_high"]], fit.conf_int())
    frame = fit.varcorr.to_frame()
    assert table.set_index("term").estimate["sd__Days"] == pytest.approx(frame.sd[frame.term1 == "Days"].iloc[0])
    assert mfx.glance(fit).llf.item() == fit.llf


def test_augment_puts_columns_beside_the_rows_used():
    data = mfx.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = np.nan
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    table = mfx.augment(fit, data)
    assert len(table) == 179
    assert 3 not in table.index
    np.testing.assert_allclose(table[".fitted"] + table[".resid"], table.Reaction)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
def test_augment_takes_any_table_and_other_rows(kind):
    sleep = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    expected = mfx.augment(fit)

    def given(rows):
        if kind == "polars":
            return pytest.importorskip("polars").from_pandas(rows)
        if kind == "arrow":
            return pytest.importorskip("pyarrow").Table.from_pandas(rows, preserve_index=False)
        return rows if kind == "pandas" else {name: rows[name].to_numpy() for name in rows}

    whole = mfx.augment(fit, given(sleep))
    assert list(whole.columns) == [*sleep.columns, ".fitted", ".fixed", ".resid"]
    np.testing.assert_allclose(whole[expected.columns], expected, rtol=1e-12)
    for rows in (sleep.iloc[[7, 3, 99]], sleep.iloc[::-1]):
        some = mfx.augment(fit, given(rows))
        np.testing.assert_allclose(some[expected.columns], expected.loc[rows.index], rtol=1e-9, atol=1e-9)
        assert some["Days"].tolist() == rows["Days"].tolist()
    changed = mfx.augment(fit, given(sleep.assign(Days=sleep.Days + 1)))
    np.testing.assert_allclose(changed[".fixed"], expected[".fixed"] + fit.params["Days"])
    without = mfx.augment(fit, given(sleep[["Days", "Subject"]].iloc[:2]))
    assert without[".resid"].isna().all()
    with pytest.raises(mfx.DataError, match="Subject"):
        mfx.augment(fit, given(sleep.head(2).assign(Subject="new")))
    new = mfx.augment(fit, given(sleep.head(2).assign(Subject="new")), new_levels="population")
    np.testing.assert_allclose(new[".fitted"], new[".fixed"])


def test_residuals_of_other_rows_are_those_of_the_fit():
    herds = mfx.load_dataset("cbpp")
    fit = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, family="binomial")
    np.testing.assert_allclose(mfx.augment(fit, herds.iloc[5:9])[".resid"], fit.resid.iloc[5:9], rtol=1e-10)
    rng = np.random.default_rng(2)
    words = pd.Categorical(rng.choice(["no", "yes"], 80), ["no", "yes"])
    frame = pd.DataFrame({"y": words, "g": np.tile(np.arange(8), 10), "x": rng.normal(size=80)})
    fit = mfx.glmer("y ~ x + (1 | g)", frame, family="binomial")
    yes = frame[frame.y == "yes"].head(3)
    np.testing.assert_allclose(mfx.augment(fit, yes)[".resid"], fit.resid.loc[yes.index], rtol=1e-10)


def test_compare_refuses_what_cannot_be_compared(fit):
    data = mfx.load_dataset("sleepstudy")
    with pytest.raises(mfx.SpecificationError, match="reml=False"):
        mfx.compare([fit, mfx.lmer("Reaction ~ 1 + (Days | Subject)", data)])
    with pytest.raises(mfx.SpecificationError, match="rows"):
        mfx.compare([fit, mfx.lmer("Reaction ~ Days + (Days | Subject)", data.iloc[:100])])
    with pytest.raises(TypeError, match="fitted"):
        mfx.compare(["a"])


def test_explain_in_words_equations_and_code(fit):
    explanation = mfx.explain(fit)
    assert "251.405" in explanation.sentences[1]
    assert r"\text{Days}_i" in explanation.equations.scalar
    assert explanation.code["lme4"].startswith("lmer(Reaction ~ 1 + Days + (1 + Days | Subject)")
    assert "drops the correlations" in explanation.code["bambi"]
    binomial = mfx.glmer("use ~ age + (1 | district)", mfx.load_dataset("contraception"), family="binomial")
    assert "logit scale" in mfx.explain(binomial).sentences[2]
    assert "family = binomial" in mfx.explain(binomial).code["glmmTMB"]


def test_translations_leave_out_programs_that_lack_the_model():
    sleep, use = mfx.load_dataset("sleepstudy"), mfx.load_dataset("contraception")
    assert set(mfx.explain(mfx.lmer("Reaction ~ Days + cs(Days | Subject)", sleep)).code) == {"glmmTMB"}
    serial = mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, residual=mfx.AR1("Days", group="Subject"))
    assert mfx.explain(serial).code == {}
    probit = mfx.explain(mfx.glmer("use ~ age + (1 | district)", use, family="binomial", link="probit")).code
    assert probit["lme4"].endswith('family = binomial("probit"))')
    assert probit["bambi"].endswith('family="bernoulli", link="probit").fit()')


def test_bambi_has_no_double_bar_and_its_single_bar_has_no_correlations():
    fit = mfx.lmer("Reaction ~ Days + (Days || Subject)", mfx.load_dataset("sleepstudy"))
    assert mfx.explain(fit).code["bambi"] == 'bmb.Model("Reaction ~ 1 + Days + (1 + Days | Subject)", d).fit()'


def test_further_predictors_are_translated():
    data = mfx.load_dataset("salamanders")
    fit = mfx.glmer("count ~ mined + (1 | site)", data, family="poisson", zero_inflation="~ mined")
    assert mfx.explain(fit).code == {
        "glmmTMB": "glmmTMB(count ~ 1 + mined + (1 | site), data = d, family = poisson, ziformula = ~ mined)"
    }

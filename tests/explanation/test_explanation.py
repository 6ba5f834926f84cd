"""Tables and explanations say what the fit says."""

import numpy as np
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

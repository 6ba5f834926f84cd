"""Every table shows every part of a model; models side by side, those of statsmodels among them."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import mixedfx as mfx

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@pytest.fixture(scope="module")
def salamanders():
    return mfx.load_dataset("salamanders")


@pytest.fixture(scope="module")
def sleep():
    return mfx.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fits(salamanders, sleep):
    """One of each kind of part."""
    ham = mfx.load_dataset("ham").astype({"Product": str})
    levels = pd.cut(ham["Informed.liking"], [0, 4, 6, 9], labels=["low", "middle", "high"])
    ham = ham.assign(liking=pd.Categorical(levels, ordered=True))
    teeth, count = mfx.load_dataset("orthodont"), "count ~ mined + (1 | site)"
    return {
        "zero inflation": mfx.glmer(count, salamanders, family="poisson", zero_inflation="~ mined"),
        "dispersion": mfx.glmer(count, salamanders, family="nbinom2", dispersion="~ mined"),
        "family": mfx.glmer(count, salamanders, family="nbinom2"),
        "thresholds": mfx.glmer("liking ~ Product + (1 | Consumer)", ham, family="ordinal"),
        "t": mfx.glmer("Reaction ~ Days + (1 | Subject)", sleep, family="student_t"),
        "AR1": mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, residual=mfx.AR1(group="Subject")),
        "variances": mfx.lmer("distance ~ age + (1 | Subject)", teeth, residual=mfx.VarIdent("Sex")),
        "visits": mfx.lmer("distance ~ age + Sex", teeth, residual=mfx.Unstructured("age", group="Subject")),
        "plain": mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep),
    }


@pytest.mark.parametrize(
    "kind",
    ["zero inflation", "dispersion", "family", "thresholds", "t", "AR1", "variances", "visits", "plain"],
)
def test_every_parameter_has_a_row(fits, kind):
    fit = fits[kind]
    table = mfx.tidy(fit)
    rows = len(table) - int(kind == "t" and "sd__Observation" in set(table["term"]))  # a dispersion that is shown twice
    assert rows == fit.n_parameters
    assert table["component"].notna().all()
    further = table[(table["component"] != "conditional") & (table["component"] != table["term"])]
    stated = fit.params_all
    for row in further.to_dict("records"):
        assert stated[(row["component"], row["term"])] == pytest.approx(row["estimate"])
        assert row["conf_low"] <= row["estimate"] <= row["conf_high"]
    shown = mfx.summary_col([fit]).to_frame()
    assert len(shown) == len(table) + 4


def test_a_model_and_its_zero_inflated_twin_do_not_look_alike(fits, salamanders):
    plain = mfx.glmer("count ~ mined + (1 | site)", salamanders, family="poisson")
    table = mfx.summary_col([plain, fits["zero inflation"], fits["dispersion"]], stars=True).to_frame()
    assert list(table.index[2:6]) == [
        "zero inflation: Intercept",
        "zero inflation: mined[T.no]",
        "dispersion: Intercept",
        "dispersion: mined[T.no]",
    ]
    assert table.loc["zero inflation: Intercept", "model 1"] == ""
    assert "***" in table.loc["mined[T.no]", "model 2"]


def test_ratios(fits):
    fit = fits["zero inflation"]
    plain, ratios = mfx.tidy(fit), mfx.tidy(fit, exponentiate=True)
    at = (plain["effect"] == "fixed").to_numpy()
    for name in ("estimate", "conf_low", "conf_high"):
        assert ratios.loc[at, name].to_numpy() == pytest.approx(np.exp(plain.loc[at, name].to_numpy()))
    for name in ("statistic", "p_value"):
        assert ratios.loc[at, name].to_numpy() == pytest.approx(plain.loc[at, name].to_numpy())
    same = ["estimate", "conf_low", "conf_high", "std_error"]
    pd.testing.assert_frame_equal(plain.loc[~at, same], ratios.loc[~at, same])
    natural = mfx.tidy(fits["family"], exponentiate=True).set_index("component")["estimate"]
    assert natural["dispersion"] == pytest.approx(
        mfx.tidy(fits["family"]).set_index("component")["estimate"]["dispersion"]
    )
    cell = mfx.summary_col([fit], exp=True).to_frame().loc["mined[T.no]", "model 1"]
    assert cell.startswith(f"{np.exp(fit.params['mined[T.no]']):.3f}")
    with pytest.raises(TypeError, match="exponentiate is True or False"):
        mfx.tidy(fit, exponentiate="yes")


def test_variance_tests_have_the_residual_structure(fits):
    table = mfx.variance_tests(fits["AR1"]).to_frame().reset_index()
    row = table[table["term1"] == "phi"].iloc[0]
    z = row["estimate"] / row["se"]
    assert (row["estimate"], row["z"]) == pytest.approx((fits["AR1"].residual_params["phi"], z))
    table = mfx.variance_tests(fits["variances"]).to_frame().reset_index()
    row = table[table["term1"] == "Sex[Female]"].iloc[0]
    assert row["z"] == pytest.approx((row["estimate"] - 1) / row["se"])


# --------------------------------------------------------------------------- side by side
def test_responses_and_rows_of_compared_models(sleep):
    one = mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, reml=False)
    with pytest.raises(mfx.SpecificationError, match=r"different responses .*lognormal"):
        mfx.compare([one, mfx.lmer("log(Reaction) ~ Days + (1 | Subject)", sleep, reml=False)])
    fits = [mfx.lmer("Reaction ~ Days + (1 | Subject)", own, reml=False) for own in (sleep[:150], sleep[30:])]
    with pytest.raises(mfx.SpecificationError, match="120 of 150 in common"):
        mfx.compare(fits)
    lognormal = mfx.glmer("Reaction ~ Days + (1 | Subject)", sleep, family="lognormal")
    logs = mfx.lmer("log(Reaction) ~ Days + (1 | Subject)", sleep, reml=False)
    assert lognormal.llf == pytest.approx(logs.llf - np.log(sleep["Reaction"]).sum(), abs=1e-5)
    assert len(mfx.compare([one, lognormal])) == 2


def test_criteria_that_do_not_compare_are_told(sleep):
    full = mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    others = {
        "same fixed effects": mfx.lmer("Reaction ~ 1 + (1 | Subject)", sleep),
        "some full ones": mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, reml=False),
        "150 rows": mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep[:150]),
    }
    for reason, other in others.items():
        with pytest.raises(mfx.SpecificationError, match=reason):
            mfx.compare([full, other])
        assert reason in " ".join(mfx.summary_col([full, other]).notes)
    slopes = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    assert mfx.compare([full, slopes]) is not None
    assert len(mfx.summary_col([full, slopes]).notes) == 1


def test_a_pair_of_fits_is_told_to_be_a_list(sleep):
    one = mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    for call in (lambda: mfx.compare(one, one), lambda: mfx.summary_col(one)):
        with pytest.raises(mfx.SpecificationError, match="list"):
            call()
    with pytest.raises(mfx.SpecificationError, match="list of fitted models, found int"):
        mfx.compare(3)
    assert list(mfx.compare({"a": one, "b": one}).index) == ["a", "b"]


def test_generalised_fits_have_their_measures(salamanders):
    fits = [mfx.glmer("count ~ mined + (1 | site)", salamanders, family=name) for name in ("poisson", "nbinom2")]
    table = mfx.compare(fits).to_frame()
    assert table["icc"].to_numpy() == pytest.approx([mfx.icc(fit)["adjusted"] for fit in reversed(fits)])
    assert table["r2_marginal"].to_numpy() == pytest.approx([mfx.r2(fit)["marginal"] for fit in reversed(fits)])


def test_approximations_are_told():
    data, formula = mfx.load_dataset("cbpp"), "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fits = [mfx.glmer(formula, data, family="binomial", nagq=nagq) for nagq in (1, 15)]
    for table in (mfx.compare(fits), mfx.summary_col(fits)):
        assert "not approximated alike" in " ".join(table.notes)


def test_models_of_statsmodels(sleep, salamanders):
    ours = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    theirs = smf.mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~Days").fit()
    table = mfx.summary_col([ours, theirs]).to_frame()
    assert (table != "").to_numpy().all()  # both have the same rows
    both = mfx.compare([ours, theirs]).to_frame()
    assert both["n_params"].tolist() == [6, 6]
    assert both["aic"].to_numpy() == pytest.approx([ours.aic] * 2, abs=1e-4)
    ols = smf.ols("Reaction ~ Days", sleep).fit()
    mixed = mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, reml=False)
    table = mfx.compare([ols, mixed], ["ols", "mixed"]).to_frame()
    assert table.loc["ols", "llf"] == pytest.approx(ols.llf)
    assert table.loc["ols", "n_params"] == 3  # its scale is estimated, too
    assert table.loc["ols", "r2_marginal"] == pytest.approx(ols.rsquared)
    glm = smf.glm("count ~ mined", salamanders, family=sm.families.Poisson()).fit()
    cell = mfx.summary_col([glm, mfx.glmer("count ~ mined + (1 | site)", salamanders, family="poisson")]).to_frame()
    assert cell.loc["Intercept", "model 1"] == f"{glm.params['Intercept']:.3f} ({glm.bse['Intercept']:.3f})"
    with pytest.raises(mfx.SpecificationError, match="restricted"):
        mfx.compare([theirs, ols])
    with pytest.raises(TypeError, match="found str"):
        mfx.summary_col(["a"])


def test_headings_of_tables_are_whole_at_80_columns(salamanders):
    fits = [mfx.glmer("count ~ mined + (1 | site)", salamanders, family=name) for name in ("poisson", "nbinom2")]
    teeth = mfx.load_dataset("orthodont")
    tables = {
        "compare": mfx.compare(fits),
        "anova of two": mfx.anova(*fits),
        "anova": mfx.anova(mfx.lmer("distance ~ age * Sex + (1 | Subject)", teeth)),
        "ranova": mfx.ranova(mfx.lmer("distance ~ age * Sex + (age | Subject)", teeth)),
    }
    for name, table in tables.items():
        lines = table.as_text(80).splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("="))
        assert lines[start + 2].startswith("-"), name  # one line of headings
        assert max(map(len, lines)) <= 80


def test_results_of_statsmodels_that_have_no_place(sleep):
    """Without a likelihood, or with several linear predictors: our words, not statsmodels' exceptions."""
    data = sleep.assign(third=pd.qcut(sleep["Reaction"], 3, labels=False))
    robust = smf.rlm("Reaction ~ Days", data).fit()
    several = smf.mnlogit("third ~ Days", data).fit(disp=0)
    ours = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    for theirs in (robust, several):
        for call in (mfx.compare, mfx.summary_col):
            with pytest.raises(TypeError, match="fitted models are needed"):
                call([ours, theirs])
        with pytest.raises(TypeError, match="compares fitted models"):
            mfx.anova(ours, theirs)


def test_variance_components_of_statsmodels(sleep):
    data = sleep.assign(half=(sleep["Days"] > 4).astype(str))
    formula = {"half": "0 + C(half)"}
    fit = smf.mixedlm("Reaction ~ Days", data, groups="Subject", vc_formula=formula).fit()
    table = mfx.summary_col([fit]).to_frame()["model 1"]
    assert float(table["sd Intercept | half"]) == pytest.approx(np.sqrt(fit.vcomp[0]), abs=1e-3)
    assert float(table["sd Observation | Residual"]) == pytest.approx(np.sqrt(fit.scale), abs=1e-3)

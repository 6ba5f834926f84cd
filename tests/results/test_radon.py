"""Radon in Minnesota: every number of the reference, the figures in print, and what the guide does by hand."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.deconvolution.reference import data, numbers

RELATIVE = 1e-5  # of the optimisers of lme4
ZERO_ACTIVITY = [106, 144, 477]  # rows noted as zero; one more house is at the limit of 0.1
PARTIAL = ["M0", "M1", "M2", "M3"]
PLUS = ["(1|county)", "(1+floor||county)"]


@pytest.fixture(scope="module")
def houses():
    """The bundled data under the names of the reference, with the response of the notebook made as in the guide."""
    names = {"log.radon": "log_radon", "basement": "floor", "uranium": "u", "county": "number"}
    radon = mfx.load_dataset("radon").rename(columns={**names, "county.name": "county"})
    activity = np.exp(radon["log_radon"]).round(1)
    activity.iloc[ZERO_ACTIVITY] = 0.0
    return radon.assign(log_radon_wiecki=np.log(activity + 0.1))


def test_both_responses_are_those_of_the_reference(houses):
    rows = data("radon_mn")
    for name in ("log_radon", "log_radon_wiecki", "u"):
        assert houses[name].to_numpy() == pytest.approx(rows[name].to_numpy(), abs=1e-12)
    assert (houses["floor"].to_numpy() == rows["floor"].to_numpy()).all()
    assert (houses["county"].astype(str).to_numpy() == rows["county"].str.strip().to_numpy()).all()


def check_fit(theirs, houses):
    fit = mfx.lmer(theirs["formula"], houses, reml=theirs["REML"])
    rename = {"(Intercept)": "Intercept"}
    for ours, name in ((fit.params, "fixef"), (fit.bse, "se")):
        expected = pd.Series(theirs[name]).rename(rename)
        assert ours[expected.index].to_numpy() == pytest.approx(expected.to_numpy(), rel=RELATIVE)
    assert fit.llf == pytest.approx(theirs["logLik"], abs=1e-8)
    assert fit.aic == pytest.approx(theirs["AIC"], abs=1e-8)
    rows = fit.varcorr.to_frame()
    ours = np.where(rows["corr"].isna(), rows["sd"], rows["corr"])
    assert ours == pytest.approx([row["sdcor"] for row in theirs["varcomp"]], rel=RELATIVE)
    effects, sds = fit.random_effects["county"], fit.random_effects_sd["county"]
    table = theirs["ranef"]["county"]
    modes = pd.DataFrame({k: v for k, v in table.items() if k != "level"}, index=table["level"]).rename(columns=rename)
    assert effects.loc[modes.index, modes.columns].to_numpy() == pytest.approx(modes.to_numpy(), abs=RELATIVE)
    spread = theirs["condSD"]["county"]
    spread = np.array(list(spread.values()) if isinstance(spread, dict) else spread).reshape(modes.shape[1], -1).T
    assert sds.loc[modes.index, modes.columns].to_numpy() == pytest.approx(spread, rel=RELATIVE)


@pytest.mark.parametrize("model", PARTIAL)
@pytest.mark.parametrize("criterion", ["REML", "ML"])
def test_partial_pooling_as_lme4(model, criterion, houses):
    check_fit(numbers("radon_results")[f"{model}_{criterion}"], houses)


@pytest.mark.parametrize("model", PLUS)
@pytest.mark.parametrize("criterion", ["REML", "ML"])
def test_the_response_of_the_notebook_as_lme4(model, criterion, houses):
    check_fit(numbers("radon_wiecki_results")[f"{model}_{criterion}"], houses)


def test_complete_and_no_pooling(houses):
    theirs = numbers("radon_results")
    pooled, own = theirs["pooled_ols"], theirs["unpooled_intercepts"]
    complete = mfx.LinearMixedModel("log_radon ~ floor", houses).fit()
    assert complete.params.to_numpy() == pytest.approx(list(pooled["coef"].values()), rel=RELATIVE)
    assert complete.bse.to_numpy() == pytest.approx(list(pooled["se"].values()), rel=RELATIVE)
    assert complete.sigma == pytest.approx(pooled["sigma"], rel=RELATIVE)
    llf = mfx.LinearMixedModel("log_radon ~ floor", houses).fit(reml=False).llf
    assert llf == pytest.approx(pooled["logLik"], abs=1e-8)
    unpooled = mfx.LinearMixedModel("log_radon ~ 0 + floor + C(county)", houses).fit()
    names = [name.replace("C(county)[", "county").replace("]", "") for name in unpooled.params.index]
    for ours, key in ((unpooled.params, "coef"), (unpooled.bse, "se")):
        assert ours.to_numpy() == pytest.approx([own[key][name] for name in names], rel=RELATIVE)
    assert unpooled.sigma == pytest.approx(own["sigma"], rel=RELATIVE)
    assert houses["county"].value_counts().to_dict() == theirs["n_by_county"]
    table = mfx.pooling(mfx.lmer("log_radon ~ floor + (1 | county)", houses)).to_frame().xs("Intercept", level="term")
    for ours, key in (("no", "coef"), ("no_se", "se")):
        expected = [own[key][f"county{name}"] for name in table.index]
        assert table[ours].to_numpy() == pytest.approx(expected, rel=RELATIVE)


def test_lines_of_single_counties_where_they_exist(houses):
    theirs = numbers("radon_wiecki_results")["unpooled_by_county"]
    fit = mfx.lmer("log_radon_wiecki ~ floor + (1 + floor || county)", houses)
    ours = mfx.pooling(fit).to_frame()["no"].unstack()
    missing = [name for name, county in theirs.items() if county["coef"][1] is None]
    assert sorted(ours.index[ours["floor"].isna()]) == sorted(missing)
    assert "CASS" in missing
    rest = [name for name in theirs if name not in missing]
    expected = np.array([theirs[name]["coef"] for name in rest])
    assert ours.loc[rest, ["Intercept", "floor"]].to_numpy() == pytest.approx(expected, rel=RELATIVE, abs=1e-10)


def test_the_figures_of_gelman_and_hill(houses):
    level = mfx.lmer("log_radon ~ floor + (1 | county)", houses)
    slopes = mfx.lmer("log_radon ~ floor + (1 + floor | county)", houses).varcorr.to_frame()
    assert level.params.round(2).to_list() == [1.46, -0.69]
    assert level.varcorr.to_frame()["sd"].round(2).to_list() == [0.33, 0.76]
    assert slopes["sd"].dropna().round(2).to_list()[:2] == [0.35, 0.34]
    assert slopes["corr"].dropna().round(2).to_list() == [-0.34]
    assert round(float(slopes["sd"].iloc[-1]), 2) == 0.75


def test_houses_left_out_by_leverage(houses):
    """The residual over one less the leverage is the error of the model without the house, variances kept."""
    fit = mfx.lmer("log_radon ~ floor + u + (1 | county)", houses)
    by_leverage = fit.resid / (1 - mfx.leverage(fit)["total"])
    X, Z = fit.model.exog, fit.model.exog_re.toarray()
    V = fit.scale * (np.eye(len(X)) + fit.theta.iloc[0] ** 2 * Z @ Z.T)
    y = houses["log_radon"].to_numpy()
    for row in (0, 106, 300, 918):
        others = np.arange(len(y)) != row
        weighted = np.linalg.solve(V[np.ix_(others, others)], np.column_stack([X[others], y[others]]))
        beta = np.linalg.solve(X[others].T @ weighted[:, :-1], X[others].T @ weighted[:, -1])
        error = y[row] - X[row] @ beta - V[row, others] @ (weighted[:, -1] - weighted[:, :-1] @ beta)
        assert by_leverage.iloc[row] == pytest.approx(error, abs=1e-8)


@pytest.mark.parametrize("formula", ["log_radon ~ floor", "log_radon ~ floor + u + (1 | county)"])
def test_counties_left_out_by_influence(formula, houses):
    """The estimates of ``influence`` are those of fits without the county, and predict it as those fits do."""
    params = mfx.influence(mfx.LinearMixedModel(formula, houses).fit(), houses["county"]).params
    for name in ("CASS", "ST LOUIS", "MURRAY"):
        without = houses["county"] == name
        refit = mfx.LinearMixedModel(formula, houses[~without].reset_index(drop=True)).fit()
        assert params.loc[name].to_numpy() == pytest.approx(refit.params.to_numpy(), abs=1e-6)


def test_what_a_county_keeps_of_its_distance(houses):
    fit = mfx.lmer("log_radon ~ floor + (1 | county)", houses)
    distance = (houses["log_radon"] - fit.predict(random=False)).groupby(houses["county"], observed=True)
    share = distance.size() / (distance.size() + 1 / fit.theta.iloc[0] ** 2)
    effects = fit.random_effects["county"]["Intercept"]
    assert effects.to_numpy() == pytest.approx((share * distance.mean()).loc[effects.index].to_numpy(), abs=1e-10)


def test_the_order_of_models_by_errors_of_counties_left_out(houses):
    """Uranium helps most for counties that were not seen; partial pooling alone does not help by houses."""

    def error(formula):
        fit = mfx.LinearMixedModel(formula, houses).fit()
        params = mfx.influence(fit, houses["county"]).params.loc[houses["county"]].to_numpy()
        return houses["log_radon"] - (fit.model.exog * params).sum(axis=1)

    formulas = ("log_radon ~ floor", "log_radon ~ floor + (1 | county)", "log_radon ~ floor + u + (1 | county)")
    errors = [error(formula) for formula in formulas]
    by_houses = [float((e**2).mean()) for e in errors]
    by_counties = [float((e.groupby(houses["county"], observed=True).mean() ** 2).mean()) for e in errors]
    assert by_houses[2] < by_houses[0] < by_houses[1]
    assert by_counties[2] < by_counties[1] < by_counties[0]

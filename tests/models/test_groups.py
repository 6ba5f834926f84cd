"""statsmodels' spelling of random effects: the same model, and statsmodels' own numbers."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.regression.mixed_linear_model import MixedLMParams

import mixedfx as mfx


@pytest.fixture(scope="module")
def schools():
    rng = np.random.default_rng(3)
    school, pupil = np.repeat(np.arange(15), 12), np.arange(180)
    room = np.tile(np.repeat(["a", "b", "c"], 4), 15)
    frame = pd.DataFrame({"school": school, "room": room, "x": rng.normal(size=180), "z": rng.normal(size=180)})
    inner = pd.factorize(frame["school"].astype(str) + frame["room"])[0]
    slopes = 0.7 * rng.normal(size=(15, 2))
    frame["y"] = 1 + frame["x"] + 0.8 * rng.normal(size=15)[school] + 0.6 * rng.normal(size=45)[inner]
    frame["y"] += (slopes[school] * frame[["x", "z"]].to_numpy()).sum(axis=1) + 0.5 * rng.normal(size=pupil.size)
    return frame


CASES = {
    "intercept": ({}, "(1 | school)"),
    "slope": ({"re_formula": "~x"}, "(1 + x | school)"),
    "slope only": ({"re_formula": "0 + x"}, "(0 + x | school)"),
    "nested": ({"re_formula": "1", "vc_formula": {"r": "0 + C(room)"}}, "(1 | school) + (1 | school:room)"),
    "factor by its type": ({"re_formula": "1", "vc_formula": {"r": "0 + room"}}, "(1 | school) + (1 | school:room)"),
    "components only": ({"vc_formula": {"r": "0 + C(room)", "s": "0 + x"}}, "(1 | school:room) + (0 + x | school)"),
    "one variance": (
        {"re_formula": "1", "vc_formula": {"s": "0 + x + z"}},
        "(1 | school) + homdiag(0 + x + z | school)",
    ),
    "slopes by room": (
        {"re_formula": "1", "vc_formula": {"s": "0 + C(room):x"}},
        "(1 | school) + (0 + x | school:room)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_formula_says_the_same_and_statsmodels_agrees(case, schools):
    options, written = CASES[case]
    ours = mfx.LinearMixedModel.from_formula("y ~ x", schools, groups="school", **options).fit(reml=False)
    assert str(ours.model.formula) == f"y ~ 1 + x + {written}"
    theirs = smf.mixedlm("y ~ x", schools, groups="school", **options)
    theirs.reml, theirs.cov_pen, theirs.fe_pen = False, None, None  # what its fit() sets first
    first = ours.cov_re.to_numpy() / ours.scale
    variances = dict(zip(ours.vcomp.index, ours.vcomp / ours.scale, strict=True))
    if "re_formula" not in options and "vc_formula" in options:  # there the first term is a component, too
        variances, first = {"first": first[0, 0], **variances}, np.zeros((0, 0))
    components = np.array(list(variances.values()))[: len(options.get("vc_formula", ()))]
    there = MixedLMParams.from_components(ours.fe_params.to_numpy(), cov_re=first, vcomp=components)
    assert theirs.loglike(there, profile_fe=False) == pytest.approx(ours.llf, abs=1e-8)
    assert ours.df_modelwc == ours.n_parameters


def test_statsmodels_finds_the_same(schools):
    ours = mfx.LinearMixedModel.from_formula("y ~ x", schools, groups="school", re_formula="~x").fit(reml=False)
    theirs = smf.mixedlm("y ~ x", schools, groups="school", re_formula="~x").fit(reml=False)
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-5)
    assert ours.fe_params.to_numpy() == pytest.approx(theirs.fe_params.to_numpy(), abs=1e-3)
    assert ours.cov_re.to_numpy() == pytest.approx(theirs.cov_re.to_numpy(), abs=2e-3)
    assert ours.bse_fe.to_numpy() == pytest.approx(theirs.bse_fe.to_numpy(), rel=0.02)


def test_generalised_models_take_groups_too():
    data = mfx.load_dataset("contraception")
    model = mfx.GeneralizedLinearMixedModel.from_formula(
        "use ~ age", data, groups="district", re_formula="~urban", family="binomial"
    )
    assert str(model.formula) == "use ~ 1 + age + (1 + urban | district)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"groups": "schol"}, "did you mean 'school'"),
        ({"re_formula": "~x"}, "need groups="),
        ({"groups": "school", "re_formula": "y ~ x"}, "columns only"),
        ({"groups": "school", "re_formula": "~ (1 | room)"}, "columns only"),
        ({"groups": "school", "vc_formula": {"r": "C(room)"}}, "start it with 0 +"),
    ],
)
def test_what_cannot_be_said_so_is_refused(options, said, schools):
    with pytest.raises((mfx.SpecificationError, mfx.DataError), match=said.replace("+", r"\+")):
        mfx.LinearMixedModel.from_formula("y ~ x", schools, **options)


def test_random_effects_are_said_once(schools):
    with pytest.raises(mfx.SpecificationError, match="leave out groups="):
        mfx.LinearMixedModel.from_formula("y ~ x + (1 | school)", schools, groups="school")
    with pytest.raises(TypeError, match="put the groups into the data"):
        mfx.LinearMixedModel.from_formula("y ~ x", schools, groups=schools["school"].to_numpy())


def test_groups_may_be_the_column_itself(schools):
    """As in statsmodels' own examples; another column under its name is no less wrong for it."""
    ours = mfx.LinearMixedModel.from_formula("y ~ x", schools, groups=schools["school"])
    assert str(ours.formula) == "y ~ 1 + x + (1 | school)"
    with pytest.raises(mfx.SpecificationError, match="is not the data's column"):
        mfx.LinearMixedModel.from_formula("y ~ x", schools, groups=schools["school"].iloc[::-1].reset_index(drop=True))
    with pytest.raises(mfx.SpecificationError, match="is not the data's column"):
        mfx.LinearMixedModel.from_formula("y ~ x", schools, groups=schools["school"].iloc[:-1])
    with pytest.raises(mfx.DataError, match="did you mean 'school'"):
        mfx.LinearMixedModel.from_formula("y ~ x", schools, groups=schools["school"].rename("schol"))

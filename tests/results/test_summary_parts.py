"""The summary shows every part of a model: residual structure, weights, offset, further predictors."""

import numpy as np
import pytest

import mixedfx as mfx

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@pytest.fixture(scope="module")
def teeth():
    data = mfx.load_dataset("orthodont")
    return data.assign(w=np.where(data["Sex"] == "Male", 1.0, 2.0), e=data["age"] / 10)


STRUCTURES = {
    "AR1": ("distance ~ age + (1 | Subject)", mfx.AR1(group="Subject")),
    "VarIdent": ("distance ~ age + (1 | Subject)", mfx.VarIdent("Sex")),
    "VarPower": ("distance ~ age + (1 | Subject)", mfx.VarPower("age")),
    "Unstructured": ("distance ~ age", mfx.Unstructured("age", group="Subject")),
    "CompoundSymmetry": ("distance ~ age", mfx.CompoundSymmetry("Subject")),
    "both": ("distance ~ age + (1 | Subject)", mfx.VarIdent("Sex") * mfx.AR1(group="Subject")),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_parameter_of_the_residuals_is_shown(teeth, name):
    formula, structure = STRUCTURES[name]
    fit = mfx.lmer(formula, teeth, residual=structure)
    summary = fit.summary()
    assert f"Residuals: {structure}" in " ".join(str(summary).split())
    table = next(frame for frame in summary.tables if set(fit.residual_params.index) <= set(map(str, frame.index)))
    for parameter, value in fit.residual_params.items():
        assert table.loc[parameter, "coef"] == pytest.approx(value)


def test_standard_deviations_by_level(teeth):
    fit = mfx.lmer("distance ~ age + (1 | Subject)", teeth, residual=mfx.VarIdent("Sex"))
    variances = fit.residual_variances
    table = next(frame for frame in fit.summary().tables if "sd, Sex = Male" in frame.index)
    for sex in ("Male", "Female"):
        expected = np.sqrt(variances[(teeth["Sex"] == sex).to_numpy()][0])
        assert table.loc[f"sd, Sex = {sex}", "coef"] == pytest.approx(expected)


def test_weights_and_offsets_are_shown(teeth):
    lines = str(mfx.lmer("distance ~ age + (1 | Subject)", teeth, weights="w", offset="e").summary()).splitlines()
    assert "Weights:    w" in lines
    assert "Offset:     e" in lines
    array = mfx.lmer("distance ~ age + (1 | Subject)", teeth, weights=teeth["w"].to_numpy(), sigma=2.0)
    text = str(array.summary())
    assert "given as an array" in text
    assert "2, known" in text
    plain = str(mfx.lmer("distance ~ age + (1 | Subject)", teeth).summary())
    assert not any(word in plain for word in ("Weights", "Offset", "Residuals:"))


def test_further_predictors_are_shown():
    data = mfx.load_dataset("salamanders")
    text = str(mfx.glmer("count ~ mined + (1 | site)", data, family="poisson", zero_inflation="~ mined").summary())
    assert "Zero inflation:  ~ mined" in text


def test_predictors_that_are_factors_are_shown_with_their_levels():
    """Text is a factor whatever it says: the summary tells of how many levels."""
    data = mfx.load_dataset("orthodont").assign(years=lambda d: d["age"].astype(str) + " years")
    fit = mfx.lmer("distance ~ years + Sex + (1 | Subject)", data)
    assert "Factors:    years (4), Sex (2)" in str(fit.summary())
    assert "Factors" not in str(mfx.lmer("distance ~ age + (1 | Subject)", data).summary())

"""Pictures of marginal means: interactions with joined lines, p-values of pairs, what axes say."""

import numpy as np
import pytest

import mixedfx as mfx
from mixedfx import plots


@pytest.fixture(scope="module")
def oats():
    data = mfx.load_dataset("oats").astype({"nitro": "category"})
    return mfx.lmer("yield ~ Variety * nitro + (1 | Block/Variety)", data)


def test_lines_join_the_means(oats):
    means = mfx.emmeans(oats, ["nitro", "Variety"])
    panel = plots.interaction(means, interval=False)
    lines = {line.get_label(): line.get_ydata() for line in panel.get_lines()}
    assert list(lines) == ["Golden Rain", "Marvellous", "Victory"]
    for variety, y in lines.items():
        own = means.labels["Variety"] == variety
        np.testing.assert_allclose(y, means.estimates[own])
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("nitro", "mean of yield")
    assert panel.get_legend().get_title().get_text() == "Variety"
    other = plots.interaction_frame(means, "Variety")
    assert other["line"].nunique() == 4


def test_a_numeric_predictor_keeps_its_distances():
    fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    panel = plots.interaction(mfx.emmeans(fit, ["age", "Sex"], at={"age": [8, 9, 14]}), interval=False)
    np.testing.assert_allclose(panel.get_lines()[0].get_xdata(), [8, 9, 14])


def test_pvalues_stand_between_the_means_they_compare():
    fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    means = mfx.emmeans(fit, "Type")
    frame = plots.pairwise_pvalues_frame(means)
    assert (np.argsort(np.argsort(means.estimates))[[0, 0, 0, 1, 1, 2]] == frame["row_first"]).all()
    np.testing.assert_allclose(frame["pvalue"], means.pairs().to_frame()["pvalue"])
    panel = plots.pairwise_pvalues(means, adjust="none")
    drawn = [line.get_xdata()[0] for line in panel.get_lines()[:6]]
    np.testing.assert_allclose(drawn, means.pairs(adjust="none").to_frame()["pvalue"])
    assert "adjusted" not in panel.get_xlabel()
    assert "Tukey" in plots.pairwise_pvalues(means).get_xlabel()


def test_pairs_of_pvalues_stay_within_their_family(oats):
    means = mfx.emmeans(oats, "nitro", by="Variety")
    frame = plots.pairwise_pvalues_frame(means)
    assert len(frame) == 18
    variety = [name.split(", ")[0] for name in frame["first"]]
    assert variety == [name.split(", ")[0] for name in frame["second"]]


def test_axes_name_response_and_scale(oats):
    cbpp = mfx.load_dataset("cbpp")
    fit = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", cbpp, family="binomial")
    link, response = mfx.emmeans(fit, "period"), mfx.emmeans(fit, "period", scale="response")
    assert link.measured == "mean of the proportion of incidence, logit scale"
    assert response.measured == "mean of the proportion of incidence"
    assert response.pairs().measured == "odds ratio of the proportion of incidence"
    assert link.pairs().measured == "difference of the proportion of incidence, logit scale"
    growth = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    slopes = mfx.trends(growth, "age", "Sex")
    assert (slopes.measured, slopes.pairs().measured) == (
        "slopes in age of distance",
        "difference of slopes of distance",
    )
    panel = mfx.emmeans(oats, "nitro").plot()
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("mean of yield (95 % interval)", "nitro")


def test_pictures_of_comparisons_are_refused(oats):
    pairs = mfx.emmeans(oats, "nitro").pairs()
    for draw in (plots.interaction, plots.pairwise_pvalues):
        with pytest.raises(mfx.SpecificationError, match="means"):
            draw(pairs)

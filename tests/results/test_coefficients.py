"""Fixed plus random effects: an interaction is one coefficient in whatever order it is written."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import plots


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(21)
    g = np.repeat(np.arange(25), 20)
    data = pd.DataFrame({"a": rng.standard_normal(500), "b": rng.standard_normal(500), "g": g.astype(str)})
    data["f"], data["my f"] = rng.choice(["u", "v"], 500), rng.choice(["s", "t"], 500)
    B = rng.standard_normal((4, 25))[:, g]
    data["y"] = 1 + data.a + 0.3 * data.a * data.b + B[0] + 0.5 * B[1] * data.a + 0.5 * B[2] * data.b
    data["y"] += 0.8 * B[3] * data.a * data.b + (data.f == "u") * B[1] * data.a + rng.standard_normal(500)
    return data


@pytest.mark.parametrize(
    "fixed, random", [("b * a", "a * b"), ("a * b", "b * a"), ("a * f", "f * a"), ("f * a", "a + f + a:f")]
)
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_an_interaction_is_one_column_whatever_its_order(frame, fixed, random):
    fit = mfx.lmer(f"y ~ {fixed} + ({random} || g)", frame)
    found = fit.coefficients["g"]
    assert list(found.columns) == list(fit.params.index)
    same = mfx.lmer(f"y ~ {fixed} + ({fixed} || g)", frame)
    np.testing.assert_allclose(found, same.coefficients["g"], rtol=1e-5, atol=1e-5)
    mean = found.mean() - fit.params
    effects = fit.random_effects["g"].to_numpy().mean(axis=0)
    np.testing.assert_allclose(np.sort(mean), np.sort(effects), atol=1e-12)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_pictures_of_shrinkage_know_the_interaction(frame):
    one = plots.shrinkage_frame(mfx.lmer("y ~ b * a + (a * b | g)", frame))
    two = plots.shrinkage_frame(mfx.lmer("y ~ a * b + (a * b | g)", frame))
    np.testing.assert_allclose(one[["no", "partial", "complete"]], two[["no", "partial", "complete"]], rtol=1e-5)
    assert plots.shrinkage(mfx.lmer("y ~ b * a + (a * b | g)", frame), terms=["a", "a:b"]) is not None


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_equations_have_one_coefficient_of_an_interaction(frame):
    shown = mfx.explain(mfx.lmer("y ~ b * a + (a * b || g)", frame)).equations.hierarchical
    assert "b:a" in shown
    assert "a:b" not in shown


def test_hypotheses_take_interactions_in_any_order_and_back_quotes(frame):
    fit = mfx.lmer("y ~ b:a + a * `my f` + (1 | g)", frame)
    names = list(fit.params.index)
    for written in names:
        if ":" not in written:
            continue
        first, second = written.split(":")
        for spelled in (written, f"{second}:{first}"):
            assert fit.t_test(f"{spelled} = 0").effect[0] == pytest.approx(fit.params[written])
            assert fit.t_test({spelled: 1.0}).effect[0] == pytest.approx(fit.params[written])
    assert fit.t_test("a:`my f`[T.t] = 0").effect[0] == pytest.approx(fit.params["a:my f[T.t]"])
    with pytest.raises(mfx.SpecificationError, match="'a:c'"):
        fit.t_test("a:c = 0")

"""Everything that a fit to sums over rows says is what the fit to the rows says, or one sentence that it cannot."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

SENTENCE = "this model was fitted to sums over rows, and"
MODELS = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", {}),
    "factor and numbers": ("Reaction ~ f * Days + z + (1 | Subject)", {}),
    "products and learners": ("Reaction ~ f + log(Days + 1) * z + poly(z, 2) + (1 + f | Subject)", {}),
    "weights": ("Reaction ~ f * Days + (Days | Subject)", {"weights": "w"}),
}
ASKED = {
    "predict": lambda fit: fit.predict(NEW, new_levels="population"),
    "get_prediction": lambda fit: fit.get_prediction(NEW, new_levels="population").summary_frame(),
    "simulate": lambda fit: fit.simulate(2, seed=1, data=NEW),
    "anova 1": lambda fit: mfx.anova(fit, type=1),
    "anova 2": lambda fit: mfx.anova(fit, type=2),
    "anova 3": mfx.anova,
    "Kenward-Roger": lambda fit: mfx.anova(fit, ddf="kenward-roger"),
    "containment": lambda fit: mfx.anova(fit, ddf="containment"),
    "residual": lambda fit: mfx.anova(fit, ddf="residual"),
    "ranova": mfx.ranova,
    "profile": lambda fit: fit.conf_int(method="profile"),
    "joint_tests": mfx.joint_tests,
    "trends": lambda fit: mfx.trends(fit, "Days"),
    "means": lambda fit: mfx.emmeans(fit, "f"),
    "means at a number": lambda fit: mfx.emmeans(fit, "Days"),
    "means of rows": lambda fit: mfx.emmeans(fit, "z", weights="proportional"),
    "pairs": lambda fit: mfx.emmeans(fit, "f", ddf="kenward-roger").pairs(),
    "pooling": mfx.pooling,
    "icc": mfx.icc,
    "r2": mfx.r2,
    "aicc": mfx.aicc,
    "vif": mfx.vif,
    "explain": mfx.explain,
    "tidy": mfx.tidy,
    "glance": mfx.glance,
    "slopes of given rows": lambda fit: mfx.marginal_effects(fit, data=NEW),
    "slopes of rows": mfx.marginal_effects,
    "influence": mfx.influence,
    "leverage": mfx.leverage,
    "quantile residuals": mfx.quantile_residuals,
    "independence": mfx.random_effects_independence,
    "normality": mfx.random_effects_normality,
    "bootstrap": lambda fit: mfx.bootstrap(fit, 2, seed=1),
    "acf": mfx.acf,
    "check": mfx.check,
    "batches": mfx.batches,
    "refit": lambda fit: fit.refit(DATA["Reaction"]),
    "exog": lambda fit: fit.model.exog,
    "objective": lambda fit: fit.model.objective(fit.theta)[0],
    "ML": lambda fit: fit.update(reml=False).llf,
    "pickle": lambda fit: pickle.loads(pickle.dumps(fit)).llf,
}
DATA = mfx.load_dataset("sleepstudy")
DATA = DATA.assign(
    f=np.where((DATA.index * 7) % 5 < 2, "u", "v"), z=np.cos(np.arange(180) * 1.7), w=1.0 + DATA["Days"] % 3
)
NEW = DATA[:6].assign(Subject=["308", "999", *["309"] * 4])
NAMES = [
    name
    for name in dir(mfx.lmer(*MODELS["slopes"][:1], DATA))
    if not name.startswith("_") and name not in ("design", "solution", "model", "plot")
]


@pytest.fixture(scope="module", params=MODELS)
def fits(request):
    formula, given = MODELS[request.param]
    return mfx.lmer(formula, DATA, **given), mfx.lmer(None, mfx.cross_products(DATA, formula, **given))


def told(question, fit):
    """The answer, or the error of the question."""
    try:
        return question(fit)
    except (mfx.SpecificationError, mfx.DataError, TypeError) as error:
        return error


def same(one, other):
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "to_frame") and not isinstance(one, pd.Series):
        return same(one.to_frame(), other.to_frame())
    if isinstance(one, pd.DataFrame):
        one, other = one.select_dtypes("number"), other.select_dtypes("number")
    if isinstance(one, (pd.DataFrame, pd.Series, np.ndarray, float, int)):
        one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
        return one.shape == other.shape and np.allclose(one, other, rtol=1e-7, atol=1e-8, equal_nan=True)
    return without_rows(str(one)) == without_rows(str(other))


def without_rows(text):
    """A report without the shares of variance, a summary without the advice to check: both need the rows."""
    text = re.sub(r" The fixed effects explained R² [^\n]*| Nakagawa, S\.[^\n]*", "", text)
    return text.replace(" .check() its assumptions,", "")


def assert_answers(question, fits):
    of_rows, of_sums = (told(question, fit) for fit in fits)
    if isinstance(of_sums, mfx.SpecificationError) and str(of_sums).startswith(SENTENCE):
        assert str(of_sums).endswith("fit the rows themselves")
        return
    assert type(of_rows) is type(of_sums)
    assert same(of_rows, of_sums)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_of_sums_is_right_or_refused(fits, name):
    assert_answers(ASKED[name], fits)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_every_name_of_the_results_is_right_or_refused(fits):
    for name in NAMES:

        def question(fit, name=name):
            value = getattr(fit, name)
            return value() if callable(value) else value

        assert_answers(question, fits)


ANSWERED = {
    "anova 3",
    "Kenward-Roger",
    "containment",
    "profile",
    "means",
    "trends",
    "pooling",
    "predict",
    "ML",
    "explain",
}


@pytest.mark.parametrize("name", sorted(ANSWERED))
def test_what_sums_can_say_is_said(name):
    fit = mfx.lmer(None, mfx.cross_products(DATA, "Reaction ~ f * Days + (Days | Subject)"))
    assert not isinstance(told(ASKED[name], fit), Exception)


def test_models_of_one_set_of_rows_are_compared():
    formulas = ["Reaction ~ f + (1 | Subject)", "Reaction ~ f * Days + (Days | Subject)"]
    tables = [
        mfx.anova(*(mfx.lmer(None, mfx.cross_products(DATA, f)) for f in formulas)),
        mfx.anova(*(mfx.lmer(f, DATA) for f in formulas)),
    ]
    assert same(*tables)
    other = mfx.lmer(None, mfx.cross_products(DATA[:-1], formulas[0]))
    with pytest.raises(mfx.DataError):
        mfx.anova(other, mfx.lmer(None, mfx.cross_products(DATA, formulas[1])))

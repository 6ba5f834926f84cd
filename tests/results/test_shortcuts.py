"""What stands on the face of a fit: methods that are functions, the suited picture, the report, the last line."""

import contextlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

import mixedfx as mfx
from mixedfx import plots
from mixedfx.plots.suited import pictures

METHODS = ("anova", "bootstrap", "check", "emmeans", "explain", "influence", "plot", "predict", "profile", "report")


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def herds():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")


def test_tab_leads_somewhere(sleep, herds):
    for fit in (sleep, herds):
        shown = [name for name in dir(fit) if not name.startswith("_")]
        assert set(METHODS) <= set(shown)
        assert "solution" not in shown
        assert [name for name in shown if not getattr(type(fit), name, mfx).__doc__] == []


def test_methods_are_the_functions(sleep, herds):
    assert str(sleep.anova(type=1)) == str(mfx.anova(sleep, type=1))
    assert str(herds.emmeans("period", scale="response")) == str(mfx.emmeans(herds, "period", scale="response"))
    assert str(herds.check(seed=3)) == str(mfx.check(herds, seed=3))
    assert str(sleep.explain()) == str(mfx.explain(sleep))
    assert str(sleep.influence("Subject")) == str(mfx.influence(sleep, "Subject"))
    assert sleep.bootstrap(5, seed=1).replicates.equals(mfx.bootstrap(sleep, 5, seed=1).replicates)
    smaller = sleep.update("~ . - Days")
    assert str(sleep.anova(smaller)) == str(mfx.anova(sleep, smaller))


@pytest.mark.parametrize(
    ("formula", "data", "titles"),
    [
        ("Reaction ~ Days + (Days | Subject)", "sleepstudy", "Days   (12 of the 18 levels of Subject)"),
        ("distance ~ age * Sex + (1 | Subject)", "orthodont", "age"),
        ("effort ~ Type + (1 | Subject)", "ergostool", "Type"),
        ("Yield ~ 1 + (1 | Batch)", "dyestuff", None),
    ],
)
def test_the_suited_picture(formula, data, titles):
    axes = np.ravel(mfx.lmer(formula, mfx.load_dataset(data)).plot())
    figure = axes[0].figure
    said = [figure.get_supxlabel(), *(ax.get_xlabel() for ax in axes)]
    assert titles is None or titles in said
    plt.close(figure)


def test_a_named_picture_is_that_of_plots(herds):
    assert {"effect", "caterpillar", "residuals", "shrinkage", "dashboard"} <= set(pictures())
    ours, theirs = herds.plot("effect", x="period"), plots.effect(herds, "period")
    assert [text.get_text() for text in ours.get_xticklabels()] == [
        text.get_text() for text in theirs.get_xticklabels()
    ]
    plt.close("all")


def numbers_in(text):
    return np.array([float(found.replace("−", "-")) for found in re.findall(r"[−-]?\d*\.\d+", text)])


def test_the_report_has_the_numbers_of_the_fit(sleep, herds):
    for fit in (sleep, herds):
        text, limits = fit.report(), fit.conf_int()
        found = numbers_in(text)
        for value in (*fit.params, *fit.bse, *fit.tvalues, *limits["lower"], *limits["upper"]):
            assert np.min(np.abs(found - value)) <= 0.00501
        assert "mixedfx, version" in text
    ratios = np.exp(herds.params.iloc[1:])
    assert all(np.min(np.abs(numbers_in(herds.report()) - value)) <= 0.00501 for value in ratios)


def test_the_report_does_not_hide_a_doubt():
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2"))
    assert "boundary" in fit.report()


def test_the_last_line_can_be_switched_off(sleep):
    assert str(sleep.summary()).splitlines()[-1].startswith("Next: ")
    assert "Next: " in sleep.summary().as_html()
    assert "Next: " not in sleep.summary().as_latex() + sleep.summary().as_csv()
    mfx.options.next_steps = False
    try:
        assert "Next: " not in str(sleep.summary()) + sleep.summary().as_html()
    finally:
        mfx.options.next_steps = True


SLEEP = mfx.load_dataset("sleepstudy").assign(other=lambda d: np.roll(d["Subject"].astype(str), 3))
TICKS = mfx.load_dataset("grouseticks")
KINDS = {
    "sums": lambda: mfx.lmer(None, mfx.cross_products(SLEEP, "Reaction ~ Days + (1 | Subject)")),
    "pieces": lambda: mfx.glmer("TICKS ~ YEAR + (1 | BROOD)", [TICKS], family="poisson"),
    "memberships": lambda: mfx.lmer("Reaction ~ Days + (1 | mm(Subject, other))", SLEEP),
    "smooth": lambda: mfx.lmer("Reaction ~ s(Days, k=5) + (1 | Subject)", SLEEP),
    "gamma": lambda: mfx.hglm("TICKS ~ YEAR + (1 | BROOD)", TICKS, family="poisson", random={"BROOD": "gamma"}),
    "errors": lambda: mfx.lmer("Reaction ~ me(Days, sd=0.5) + (1 | Subject)", SLEEP),
}


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fit_leads_on_or_says_why_not(kind):
    """A method of the face does what it promises, or says in a sentence why not; a picture and a report always are."""
    fit = KINDS[kind]()
    for name in ("plot", "report", "anova"):
        assert getattr(fit, name)() is not None
    for name in ("check", "explain"):
        with contextlib.suppress(mfx.SpecificationError):
            assert getattr(fit, name)() is not None
    plt.close("all")

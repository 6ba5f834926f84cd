"""What stands on the face of a fit: methods that are functions, the suited picture, the report, the last line."""

import pickle
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import plots
from mixedfx.plots.suited import pictures


def made(seed=3, n=160):
    """Return rows of sixteen groups with responses of every kind."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(16), n // 16), rng.normal(size=n)
    eta = 0.5 * x + rng.normal(size=16)[g]
    trials = rng.integers(5, 20, n)
    counts = rng.poisson(np.exp(0.5 + 0.4 * eta))
    cut = np.clip((eta + rng.logistic(size=n) > -1).astype(int) + (eta + rng.logistic(size=n) > 1), 0, 2)
    columns = {
        "g": g.astype(str),
        "x": x,
        "t": np.tile(np.arange(n // 16), 16),
        "y": 1 + eta + rng.normal(size=n),
        "n": trials,
        "k": rng.binomial(trials, 1 / (1 + np.exp(-eta))),
        "c": counts,
        "z": counts * (rng.random(n) > 0.3),
        "size": np.exp(0.3 * eta) * rng.gamma(5, 0.2, n),
        "share": rng.beta(2, 3, n),
        "o": pd.Categorical(np.array(["low", "mid", "high"])[cut], ["low", "mid", "high"], ordered=True),
        "w": rng.uniform(0.5, 2, n),
    }
    data = pd.DataFrame(columns)
    data["huge"], data["small"] = 1e9 * data["y"], 1e-9 * data["x"]
    data["gaps"] = data["y"].where(data.index > 3)
    return data


MADE = made()
REPORTED = {
    "REML": lambda: mfx.lmer("y ~ x + (x | g)", MADE),
    "ML": lambda: mfx.lmer("y ~ x + (1 | g)", MADE, reml=False),
    "no predictors": lambda: mfx.lmer("y ~ 1 + (1 | g)", MADE),
    "no fixed effects": lambda: mfx.lmer("y ~ 0 + (1 | g)", MADE),
    "weights": lambda: mfx.lmer("y ~ x + (1 | g)", MADE, weights="w"),
    "offset": lambda: mfx.lmer("y ~ x + (1 | g)", MADE, offset=MADE["w"].to_numpy()),
    "known residuals": lambda: mfx.lmer("y ~ x + (1 | g)", MADE, sigma=1.0),
    "AR1": lambda: mfx.lmer("y ~ x + (1 | g)", MADE, residual=mfx.AR1("t", group="g")),
    "no groups": lambda: mfx.lmer("y ~ x", MADE, residual=mfx.VarIdent("g")),
    "huge and small": lambda: mfx.lmer("huge ~ small + (1 | g)", MADE),
    "missing": lambda: mfx.lmer("gaps ~ x + (1 | g)", MADE),
    "smooth": lambda: mfx.lmer("y ~ s(x) + (1 | g)", MADE),
    "singular": lambda: mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2")),
    "stopped": lambda: mfx.lmer("y ~ x + (x | g)", MADE, control=mfx.Control(max_iter=1)),
    "counts out of trials": lambda: mfx.glmer("cbind(k, n - k) ~ x + (1 | g)", MADE, family="binomial"),
    "proportions": lambda: mfx.glmer("k / n ~ x + (1 | g)", MADE, family="binomial", weights="n", link="cloglog"),
    "Poisson": lambda: mfx.glmer("c ~ x + (1 | g)", MADE, family="poisson", nagq=5, offset="w"),
    "negative binomial": lambda: mfx.glmer("c ~ x + (1 | g)", MADE, family="nbinom1"),
    "extra zeros": lambda: mfx.glmer("z ~ x + (1 | g)", MADE, family="poisson", zero_inflation="~ x"),
    "gamma": lambda: mfx.glmer("size ~ x + (1 | g)", MADE, family="gamma", link="log", nagq=0),
    "beta": lambda: mfx.glmer("share ~ x + (1 | g)", MADE, family="beta", dispersion="~ x"),
    "ordinal": lambda: mfx.glmer("o ~ x + (1 | g)", MADE, family="ordinal"),
    "Student": lambda: mfx.glmer("y ~ x + (1 | g)", MADE, family="student_t"),
    "generalised, no groups": lambda: mfx.glmer("c ~ x", MADE, family="poisson"),
    "gamma effects": lambda: mfx.hglm("c ~ x + (1 | g)", MADE, family="poisson", random={"g": "gamma"}),
    "errors in x": lambda: mfx.lmer("y ~ me(x, sd=0.2) + (1 | g)", MADE),
}


@pytest.fixture(scope="module", params=REPORTED)
def reported(request):
    """Return a fit of every kind and its report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = REPORTED[request.param]()
    return fit, fit.report()


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


TYPOGRAPHY = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")
NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?: × 10-?\d+)?|undefined|-?∞"
ROW = re.compile(
    rf"b = (?P<coef>{NUMBER}), SE = (?P<bse>{NUMBER}), 95% CI \[(?P<lower>{NUMBER}), (?P<upper>{NUMBER})\], "
    rf"(?:t\((?P<df>{NUMBER})\)|z) = (?P<statistic>{NUMBER}), p (?P<p>[<>=] \.\d+)"
    rf"(?:; [a-z ]*ratio[a-z ]* (?P<ratio>{NUMBER}))?"
)


def said_of(text, name):
    """What the report says of a coefficient, each number as its text."""
    start = text.index(f"{name}: b = ")
    return ROW.match(text.translate(TYPOGRAPHY), start + len(name) + 2).groupdict()


def is_rounded(written, value):
    """Whether a text is the value, rounded to the last of its digits."""
    mantissa, _, power = written.partition(" × 10")
    scale = 10.0 ** int(power or 0)
    places = len(mantissa.partition(".")[2])
    return abs(float(mantissa) * scale - value) <= 0.5000001 * scale * 10.0**-places


def test_the_report_has_the_numbers_of_tidy(reported):
    fit, text = reported
    for row in mfx.tidy(fit).query("effect == 'fixed' and component == 'conditional'").itertuples():
        said = said_of(text, row.term)
        values = {"coef": row.estimate, "bse": row.std_error, "lower": row.conf_low, "upper": row.conf_high}
        for key, value in {**values, "statistic": row.statistic}.items():
            assert is_rounded(said[key], value), (row.term, key, said[key], value)
        assert (said["df"] is None) == (not fit.use_t)
        assert said["df"] is None or is_rounded(said["df"], row.df)
        sign, _, digits = said["p"].partition(" ")
        assert {"<": row.p_value < 0.001, ">": row.p_value > 0.999, "=": is_rounded(digits, row.p_value)}[sign]
        assert said["ratio"] is None or is_rounded(said["ratio"], np.exp(row.estimate))


def test_two_digits_of_each_standard_error_are_written(reported):
    fit, text = reported
    for name, se in fit.bse.items():
        written = said_of(text, name)["bse"].partition(" × ")[0].replace(".", "").lstrip("0")
        assert len(written) >= 2, (name, se, written)


def test_the_report_names_what_was_done(reported):
    fit, text = reported
    design = fit.design
    assert f"{fit.nobs} observations of {design.response.name}" in text
    assert f"mixedfx, version {mfx.__version__}" in text
    assert f"(Version {mfx.__version__}) [Computer software]" in text
    assert ("Satterthwaite, F. E. (1946)" in text) == fit.use_t
    assert ("(Nakagawa et al., 2017)" in text) == ("Nakagawa, S." in text)
    assert ("left out" in text) == bool(design.n_dropped)
    assert ("the weights" in text) == bool(
        design.has_weights or (design.weights_column and design.response.trials is not None)
    )
    assert ("offset" in text.replace(fit.model.written, "")) == (design.offset is not None)
    assert ("given, not estimated" in text) == (getattr(fit.model, "sigma", None) is not None)
    assert ("Residuals: " in text) == (fit.model.residual is not None)
    assert ("boundary" in text) == fit.is_singular
    assert ("NOT CONVERGE" in text) == (not fit.converged)
    assert not re.search(r"[a-z]_[a-z]", text.replace(fit.model.written, "")), "the name of something in a program"
    assert "significant" not in text
    assert not {"inf", "nan"} & set(text.split())


def test_no_share_of_variance_is_claimed_for_what_is_not_in_the_model(reported):
    fit, text = reported
    has_predictors = bool(set(fit.params.index) - {"Intercept"})
    assert has_predictors or "fixed effects explained" not in text
    assert fit.n_groups or "random effects together" not in text
    assert fit.converged or "explained" not in text


def test_the_report_does_not_hide_a_doubt():
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2"))
    assert "boundary" in fit.report()


def test_the_last_line_can_be_switched_off(sleep):
    assert str(sleep.summary()).splitlines()[-1].startswith("Next: ")
    assert "Next: " in sleep.summary()._repr_html_()
    assert "Next: " not in sleep.summary().as_html() + sleep.summary().as_latex() + sleep.summary().as_csv()
    mfx.options.next_steps = False
    try:
        assert "Next: " not in str(sleep.summary()) + sleep.summary()._repr_html_()
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
    advised = re.findall(r"\.(\w+)\(\)", str(fit.summary()).splitlines()[-1])
    assert "plot" in advised
    for name in {"plot", "report", "anova", *advised}:
        assert getattr(fit, name)() is not None, name
    for name in {"check", "explain"} - set(advised):
        with pytest.raises(mfx.SpecificationError):
            getattr(fit, name)()
    plt.close("all")


def outcome(call):
    """What a call returns, as text, or the sentence with which it refuses."""
    try:
        found = call()
    except (mfx.SpecificationError, mfx.DataError) as error:
        return f"refused: {error}"
    return str(found.to_frame() if hasattr(found, "to_frame") else found)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_methods_are_the_functions_for_every_kind_of_fit(kind):
    fit = KINDS[kind]()
    for name in ("anova", "check", "emmeans", "explain"):
        assert outcome(getattr(fit, name)) == outcome(lambda name=name: getattr(mfx, name)(fit)), name
    assert str(pickle.loads(pickle.dumps(fit)).summary()) == str(fit.summary())
    assert set(METHODS) <= set(dir(fit))

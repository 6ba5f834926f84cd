"""Text that wants to be code, at every door of the package: refused with our errors or harmless, and never run."""

import html
import io
import os
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.__main__ import main
from tests.watch import Watch

OURS = (mfx.SpecificationError, mfx.DataError, TypeError)

ATTACKS = [
    "__import__('os').system('touch hacked')",
    "x.to_csv('hacked')",
    "x.__class__.__base__.__subclasses__()",
    "I('{0.__class__}'.format(x))",
    "I(f'{x.__class__}')",
    "(lambda: open('hacked', 'w'))()",
    "[open('hacked', 'w') for x in [1]]",
    "np.save('hacked', x)",
    "pd.eval('x')",
    "@x.to_csv('hacked')",
    "x**99999999",
    "I(9**9**9**9 * x)",
    "(a + b + c + d)**50",
    "log(" * 200 + "x" + ")" * 200,
    "ｅｖａｌ(x)",
    "l\u200bog(x)",
    "x\u202e",
    "x\x00",
    "x; import os",
    "{x}",
    "%s%n",
    "{0.__globals__}",
    "<script>alert(1)</script>",
    "${jndi:x}",
    "../../hacked",
    "",
]


def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(8), 6)
    x = rng.normal(size=48)
    data = {
        "y": x + rng.normal(size=8)[g] + rng.normal(size=48),
        "x": x,
        "g": [f"g{i}" for i in g],
        "f": list("ab") * 24,
    }
    letters = {name: rng.normal(size=48) for name in "abcd"}
    return pd.DataFrame(data | letters | {"g": [f"g{i}" for i in g], "s": rng.poisson(3, 48)})


DATA = table()
FIT = mfx.lmer("y ~ x + f + (1 | g)", DATA)
COUNTS = mfx.glmer("s ~ x + f + (1 | g)", DATA, family="poisson")


def command(*arguments: str) -> None:
    """The command line refuses by an exit code and one line."""
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            code = main(list(arguments))
        except SystemExit as left:
            code = int(left.code or 0)
    assert "Traceback" not in errors.getvalue()
    if code:
        raise mfx.SpecificationError(errors.getvalue())


FORMULAS = {
    "fixed": lambda text: mfx.lmer(f"y ~ x + {text} + (1 | g)", DATA),
    "response": lambda text: mfx.lmer(f"{text} ~ x + (1 | g)", DATA),
    "left of the bar": lambda text: mfx.lmer(f"y ~ x + (1 + {text} | g)", DATA),
    "group": lambda text: mfx.lmer(f"y ~ x + (1 | {text})", DATA),
    "offset": lambda text: mfx.lmer(f"y ~ x + offset({text}) + (1 | g)", DATA),
    "Error": lambda text: mfx.aov(f"y ~ f + Error({text})", DATA),
    "aov": lambda text: mfx.aov(f"y ~ f*{text}", DATA),
    "mean squares": lambda text: mfx.mean_squares(f"y ~ g + {text}", DATA),
    "dispersion": lambda text: mfx.glmer("s ~ x + (1 | g)", DATA, family="nbinom2", dispersion=f"~ {text}"),
    "zero inflation": lambda text: mfx.glmer("s ~ x + (1 | g)", DATA, family="poisson", zero_inflation=f"~ {text}"),
    "update": lambda text: FIT.update(f"~ . + {text}"),
    "design check": lambda text: mfx.check_design(f"y ~ {text} + (1 | g)", DATA),
    "simulate": lambda text: mfx.simulate(f"y ~ {text} + (1 | g)", DATA, params={}),
    "command line": lambda text: command(f"y ~ {text} + (1 | g)", "sleepstudy"),
}

ARGUMENTS = {
    "whole formula": lambda text: mfx.lmer(text, DATA),
    "weights": lambda text: mfx.lmer("y ~ x + (1 | g)", DATA, weights=text),
    "offset": lambda text: mfx.lmer("y ~ x + (1 | g)", DATA, offset=text),
    "contrasts": lambda text: mfx.lmer("y ~ f + (1 | g)", DATA, contrasts={"f": text}),
    "functions": lambda text: mfx.lmer("y ~ x + (1 | g)", DATA, functions={text: np.log}),
    "family": lambda text: mfx.glmer("s ~ x + (1 | g)", DATA, family=text),
    "link": lambda text: mfx.glmer("s ~ x + (1 | g)", DATA, family="poisson", link=text),
    "t_test": lambda text: FIT.t_test(text),
    "t_test equation": lambda text: FIT.t_test(f"x - {text} = 0"),
    "f_test": lambda text: FIT.f_test([text]),
    "wald_test": lambda text: COUNTS.wald_test(f"x = {text}"),
    "emmeans": lambda text: mfx.emmeans(FIT, text),
    "emmeans by": lambda text: mfx.emmeans(FIT, f"f | {text}"),
    "emmeans at": lambda text: mfx.emmeans(FIT, "f", at={text: [1.0]}),
    "emmeans at level": lambda text: mfx.emmeans(FIT, "x", at={"f": [text]}),
    "emmeans at number": lambda text: mfx.emmeans(FIT, "f", at={"x": text}),
    "trends": lambda text: mfx.trends(FIT, text, "f"),
    "contrast": lambda text: mfx.emmeans(FIT, "f").contrast(text),
    "comparisons": lambda text: mfx.comparisons(FIT, text),
    "marginal effects": lambda text: mfx.marginal_effects(FIT, text),
    "predict": lambda text: FIT.predict(DATA.assign(f=text)),
    "predict number": lambda text: FIT.predict(DATA.assign(x=text)),
    "new levels": lambda text: FIT.predict(DATA, new_levels=text),
    "anova ddf": lambda text: mfx.anova(FIT, ddf=text),
    "conf_int": lambda text: FIT.conf_int(method=text),
    "profile": lambda text: mfx.profile(FIT, text),
    "residuals": lambda text: FIT.residuals(text),
    "dataset": lambda text: mfx.load_dataset(text),
    "combination": lambda text: mfx.mean_squares("y ~ g", DATA).combination({text: 1.0}),
    "error term of aov": lambda text: mfx.aov("y ~ f + Error(g)", DATA).table(correction=text),
    "residual group": lambda text: mfx.lmer("y ~ x + (1 | g)", DATA, residual=mfx.VarIdent(text)),
    "caterpillar": lambda text: plots().caterpillar(FIT, text),
    "effect": lambda text: plots().effect(FIT, text),
    "shrinkage": lambda text: plots().shrinkage(FIT, text),
    "matrix": lambda text: plots().matrix_image(FIT, text),
    "command line, data": lambda text: command("Reaction ~ Days + (1 | Subject)", text),
    "command line, family": lambda text: command("Reaction ~ Days + (1 | Subject)", "sleepstudy", "--family", text),
    "command line, weights": lambda text: command("Reaction ~ Days + (1 | Subject)", "sleepstudy", "--weights", text),
}
GOOD = {
    "whole formula": "y ~ x + (1 | g)", "weights": "s", "offset": "x", "contrasts": "sum", "functions": "half",
    "family": "poisson", "link": "log", "t_test": "x = 0", "t_test equation": "1", "f_test": "x = 0", "wald_test": "1",
    "emmeans": "f", "emmeans by": "x", "emmeans at": "x", "emmeans at level": "a", "trends": "x",
    "contrast": "pairwise", "comparisons": "f", "marginal effects": "x", "predict": "a", "new levels": "nan",
    "anova ddf": "kenward-roger",
    "conf_int": "wald", "residuals": "pearson", "dataset": "sleepstudy", "combination": "g",
    "error term of aov": "none", "residual group": "f", "caterpillar": "g", "effect": "x", "shrinkage": "g",
    "matrix": "Z",
    "command line, data": "sleepstudy", "command line, family": "gamma", "command line, weights": "Days",
}  # fmt: skip


def plots():
    mpl.use("Agg")
    from mixedfx import plots as found

    return found


def forbidden(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wax+"))
    return event.startswith(("os.system", "subprocess.", "socket.connect", "shutil.")) or writes


WATCH = Watch(forbidden)


@contextmanager
def nothing_is_run(folder):
    with WATCH.nothing_happens():
        yield
    assert os.listdir(folder) == []


def attack(door, text, folder) -> str:
    """How it ended: our error, or nothing at all; whatever else is raised fails the test."""
    with nothing_is_run(folder):
        try:
            door(text)
        except OURS as error:
            return "refused" if str(error).strip() else "no message"
    return "done"


@pytest.mark.parametrize("door", FORMULAS)
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_formulas(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = {text: attack(FORMULAS[door], text, tmp_path) for text in ATTACKS if text}
    assert {text for text in ends if ends[text] != "refused"} <= {"(a + b + c + d)**50"}


@pytest.mark.parametrize("door", ARGUMENTS)
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_arguments(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = {text: attack(ARGUMENTS[door], text, tmp_path) for text in ATTACKS}
    assert {text for text in ends if ends[text] != "refused"} <= {""}


@pytest.mark.parametrize("door", GOOD)
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_the_doors_are_open_for_what_is_meant(door, tmp_path, monkeypatch):
    """Otherwise a refusal above would prove nothing."""
    monkeypatch.chdir(tmp_path)
    ARGUMENTS[door](GOOD[door])


@pytest.mark.parametrize("name", ["log", "I", "C", "poly", "offset", "Error", "us", "cbind", "np", "wb"])
def test_functions_of_the_user_run_no_text(name):
    """A name of ours may be taken over by a function that the user passes, or is refused; a string is no function."""
    for value in ("__import__('os')", 3, None):
        with pytest.raises(OURS):
            mfx.lmer(f"y ~ {name}(x) + (1 | g)", DATA, functions={name: value})


HOSTILE = "<script>alert('1')</script>"


def hostile_pages():
    """Everything that shows itself as HTML, with names and levels that are markup."""
    data = DATA.rename(columns={"f": HOSTILE}).assign(g="<b>" + DATA["g"] + "</b>")
    data[HOSTILE] = "<i>" + data[HOSTILE].astype(str) + "</i>"
    formula = f"y ~ x + `{HOSTILE}` + (1 | g)"
    fit = mfx.lmer(formula, data, reml=False)
    means = mfx.emmeans(fit, HOSTILE)
    yield from (fit, fit.summary(), fit.varcorr, mfx.anova(fit), mfx.explain(fit), mfx.check_design(formula, data))
    yield from (means, means.pairs(), means.letters(), fit.t_test([[0, 0, 1]]), mfx.drop1(fit), mfx.ranova(fit))
    yield from (mfx.check(fit), mfx.influence(fit), mfx.batches(fit), mfx.tidy(fit), mfx.summary_col([fit]))
    yield from (mfx.aov(f"y ~ `{HOSTILE}` + Error(g)", data), mfx.mean_squares(f"y ~ `{HOSTILE}` + g", data))
    yield mfx.anova(fit, mfx.lmer("y ~ x + (1 | g)", data, reml=False))
    yield mfx.glmer(f"s ~ `{HOSTILE}` + (1 | g)", data, family="poisson")


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_html_escapes_names_and_levels_everywhere():
    shown = [page._repr_html_() for page in hostile_pages()]
    named = 0
    for page in shown:
        assert re.search(r"<script|<i>[ab]|<b>g\d", page) is None
        named += html.escape(HOSTILE) in page or html.escape(HOSTILE, quote=False) in page
    assert named > len(shown) / 2

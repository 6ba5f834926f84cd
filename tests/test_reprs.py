"""What a cell or a prompt shows: a screenful, with numbers where there are some, never the insides of a dataclass."""

import re

import pytest

import mixedfx as mfx


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def herds():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")


def shown_of(fit):
    effect = fit.params.index[-1]
    explanation = mfx.explain(fit)
    return {
        "fit": fit,
        "inner fit": fit.solution,
        "model": fit.model,
        "certificate": fit.certificate,
        "starts": fit.update(control=mfx.Control(starts=2, seed=1)).certificate.starts,
        "design": fit.design,
        "fixed": fit.design.fixed,
        "random": fit.design.random[0],
        "response": fit.design.response,
        "variable": next(iter(fit.design.variables.values())),
        "f_test": fit.f_test(f"{effect} = 0"),
        "wald_test": fit.wald_test(f"{effect} = 0", use_f=False),
        "t_test": fit.t_test(f"{effect} = 0"),
        "denominator": fit.denominator(),
        "varcorr": fit.varcorr,
        "prediction": fit.get_prediction(),
        "bootstrap": mfx.bootstrap(fit, 5, seed=1),
        "explanation": explanation,
        "equations": explanation.equations,
        "diagram": explanation.diagram,
    }


def check(name, value):
    text = repr(value)
    assert text.count("\n") <= 80, name
    assert len(text) <= 7000, name
    assert not re.match(r"\w+\(\w+=", text), f"{name}: the insides of a dataclass"
    assert "array(" not in text, name
    assert "object at 0x" not in text, name
    if hasattr(value, "_repr_html_"):
        assert len(value._repr_html_()) <= 20_000, name


@pytest.mark.parametrize("which", ["sleep", "herds"])
def test_everything_is_a_screenful(which, request):
    for name, value in shown_of(request.getfixturevalue(which)).items():
        check(name, value)


def test_so_are_what_linear_models_have_alone(sleep):
    for ddf in ("satterthwaite", "kenward-roger", "containment", "residual", "z"):
        check(ddf, sleep.denominator(ddf))
    check("profile", mfx.profile(sleep))
    analysed = mfx.aov("effort ~ Type + Error(Subject/Type)", mfx.load_dataset("ergostool"))
    check("aov", analysed)
    check("repeated", analysed.repeated)


def test_the_repr_of_a_fit_is_its_summary(sleep, herds):
    for fit in (sleep, herds):
        assert repr(fit) == str(fit) == str(fit.summary())


def test_a_bootstrap_shows_numbers(sleep):
    row = next(line for line in repr(mfx.bootstrap(sleep, 5, seed=1)).splitlines() if line.startswith("Days"))
    assert float(row.split()[1]) == pytest.approx(sleep.params["Days"], abs=0.05)

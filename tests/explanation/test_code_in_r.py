"""The code that ``explain`` writes for R is run there and gives our log-likelihood."""

import shutil
import subprocess
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

PACKAGES = {"lme4": "lme4", "glmmTMB": "glmmTMB", "nlme": "nlme", "ordinal": "ordinal"}


def load(name):
    return mfx.load_dataset(name)


def ham():
    data = load("ham").astype({"Product": str, "Information": str})
    data["liking"] = pd.cut(data["Informed.liking"], [0, 4, 6, 9], labels=["low", "middle", "high"])
    return data


def cbpp():
    data = load("cbpp")
    return data.assign(p=data["incidence"] / data["size"], logsize=np.log(data["size"]))


def weighted():
    data = load("sleepstudy")
    return data.assign(w=1.0 + (np.arange(len(data)) % 3), start=0.5 * data["Days"], visit=data["Days"].astype(str))


def visits():
    return (
        load("orthodont")
        .assign(visit=lambda d: d["age"].astype(int).astype(str), t=lambda d: (d["age"] - 6) / 2)
        .assign(step=lambda d: "v" + d["t"].astype(int).astype(str))
    )


@dataclass(frozen=True)
class Case:
    """A model and its data."""

    fit: Any
    data: Any


def lmer(formula, data, **options):
    return Case(lambda: mfx.lmer(formula, data(), **options), data)


def glmer(formula, data, **options):
    return Case(lambda: mfx.glmer(formula, data(), **options), data)


CASES = {
    "slopes": (lmer("Reaction ~ Days + (Days | Subject)", weighted), {"lme4", "glmmTMB"}),
    "slopes by ML": (
        lmer("Reaction ~ Days + I(Days^2) + (Days || Subject)", weighted, reml=False),
        {"lme4", "glmmTMB"},
    ),
    "weights": (lmer("Reaction ~ Days + (1 | Subject)", weighted, weights="w"), {"lme4"}),
    "offset": (lmer("Reaction ~ Days + (1 | Subject)", weighted, offset="start"), {"lme4", "glmmTMB"}),
    "offset in the formula": (
        lmer("Reaction ~ Days + offset(start) + (1 | Subject)", weighted, reml=False),
        {"lme4", "glmmTMB"},
    ),
    "coding": (
        lmer("score ~ Machine + (1 | Worker/Machine)", lambda: load("machines"), contrasts={"Machine": "sum"}),
        {"lme4", "glmmTMB"},
    ),
    "double bar of a factor": (lmer("score ~ Machine + (Machine || Worker)", lambda: load("machines")), {"glmmTMB"}),
    "crossed": (lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", lambda: load("penicillin")), {"lme4", "glmmTMB"}),
    "cs": (lmer("score ~ Machine + cs(0 + Machine | Worker)", lambda: load("machines")), {"glmmTMB"}),
    "ar1": (lmer("distance ~ age + ar1(0 + step | Subject)", visits, reml=False), {"glmmTMB"}),
    "varIdent": (lmer("distance ~ age * Sex + (age | Subject)", visits, residual=mfx.VarIdent("Sex")), {"nlme"}),
    "varPower": (lmer("distance ~ age + (1 | Subject)", visits, residual=mfx.VarPower("age")), {"nlme"}),
    "varExp": (lmer("distance ~ age + (1 | Subject)", visits, residual=mfx.VarExp("age"), reml=False), {"nlme"}),
    "corAR1": (lmer("follicles ~ Time + (1 | Mare)", lambda: load("ovary"), residual=mfx.AR1(group="Mare")), {"nlme"}),
    "corCAR1": (lmer("distance ~ age", visits, residual=mfx.CAR1("age", group="Subject")), {"nlme"}),
    "both": (
        lmer("distance ~ age", visits, residual=mfx.VarIdent("Sex") * mfx.AR1("t", group="Subject"), reml=False),
        {"nlme"},
    ),
    "corCompSymm": (lmer("distance ~ age", visits, residual=mfx.CompoundSymmetry("Subject")), {"nlme"}),
    "corSymm": (lmer("distance ~ age", visits, residual=mfx.Unstructured("visit", group="Subject")), {"nlme"}),
    "binomial counts": (
        glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", cbpp, family="binomial"),
        {"lme4", "glmmTMB"},
    ),
    "proportions": (glmer("p ~ period + (1 | herd)", cbpp, family="binomial", weights="size"), {"lme4", "glmmTMB"}),
    "categories": (
        glmer("use ~ age * urban + (1 | district)", lambda: load("contraception"), family="binomial"),
        {"lme4", "glmmTMB"},
    ),
    "probit": (
        glmer("use ~ urban + (1 | district)", lambda: load("contraception"), family="binomial", link="probit"),
        {"glmmTMB"},
    ),
    "probit by expected information": (
        glmer(
            "use ~ urban + (1 | district)",
            lambda: load("contraception"),
            family="binomial",
            link="probit",
            information="expected",
        ),
        {"lme4"},
    ),
    "beta-binomial": (
        glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", cbpp, family="beta_binomial"),
        {"glmmTMB"},
    ),
    "poisson": (
        glmer("incidence ~ period + (1 | herd)", cbpp, family="poisson", offset="logsize"),
        {"lme4", "glmmTMB"},
    ),
    "nbinom2": (glmer("count ~ mined + (1 | site)", lambda: load("salamanders"), family="nbinom2"), {"glmmTMB"}),
    "zeros and dispersion": (
        glmer(
            "SiblingNegotiation ~ FoodTreatment + offset(logBroodSize) + (1 | Nest)",
            lambda: load("owls"),
            family="nbinom1",
            zero_inflation="~ FoodTreatment",
            dispersion="~ SexParent",
        ),
        {"glmmTMB"},
    ),
    "hurdle": (glmer("count ~ mined + (1 | site)", lambda: load("salamanders"), family="hurdle_poisson"), {"glmmTMB"}),
    "zero-inflated": (
        glmer("count ~ mined + (1 | site)", lambda: load("salamanders"), family="zero_inflated_poisson"),
        {"glmmTMB"},
    ),
    "gamma": (glmer("distance ~ age + (1 | Subject)", visits, family="gamma", link="log"), {"glmmTMB"}),
    "ordinal": (glmer("liking ~ Product + Information + (1 | Consumer)", ham, family="ordinal"), {"ordinal"}),
    "ordinal probit": (
        glmer("liking ~ Product + (1 | Consumer)", ham, family="ordinal", link="probit", nagq=7),
        {"ordinal"},
    ),
}
"""Name to a fit and to the programs that must be there."""

NONE = {
    "known variances": lmer("distance ~ age + (1 | Subject)", visits, residual=mfx.KnownVariance("t")),
    "within and between": lmer("Reaction ~ wb(Days, Subject) + (1 | Subject)", weighted),
    "known residual": lmer("Reaction ~ Days + (1 | Subject)", weighted, sigma=20.0),
    "weights of a generalised model": glmer("distance ~ age + (1 | Subject)", visits, family="gamma", weights="t"),
    "array of weights": lmer("Reaction ~ Days + (1 | Subject)", weighted, weights=np.ones(180)),
    "penalty": glmer("use ~ urban + (1 | district)", lambda: load("contraception"), family="binomial", penalty=0.1),
}


def fitted(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        return case.fit()


@pytest.mark.parametrize("name", NONE)
def test_a_program_that_cannot_fit_the_model_is_left_out(name):
    code = mfx.explain(fitted(NONE[name])).code
    assert set(code) <= {"bambi"}, code


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_r_finds_our_likelihood(name, tmp_path):
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed: the code for it cannot be run")
    fit = fitted(CASES[name][0])
    code = {program: text for program, text in mfx.explain(fit).code.items() if program in PACKAGES}
    assert set(code) == CASES[name][1]
    data = CASES[name][0].data()
    data.to_csv(tmp_path / "d.csv", index=False)
    text = {c for c in data.columns if not pd.api.types.is_numeric_dtype(data[c])}
    for program, line in code.items():
        lines = [
            f"if (!requireNamespace('{program}', quietly = TRUE)) {{ cat('missing'); quit() }}",
            f"suppressMessages(library({program}))",
            f"d <- read.csv('{tmp_path / 'd.csv'}', check.names = FALSE)",
            *(f"d[['{c}']] <- factor(d[['{c}']])" for c in text),
            f"m <- {line}",
            "cat(sprintf('%.10f', as.numeric(logLik(m))))",
        ]
        script = tmp_path / f"{program}.R"
        script.write_text("\n".join(lines), encoding="utf-8")
        run = subprocess.run(["Rscript", str(script)], capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{line}\n{run.stderr}"
        if run.stdout == "missing":
            pytest.skip(f"R has no package {program}")
        assert float(run.stdout) == pytest.approx(fit.llf, abs=2e-3), line

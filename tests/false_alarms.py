"""False alarms: how many good fits of all corpora are said not to be the optimum.

    python -m tests.false_alarms [--suite NAME] [--case REGEX]

Every model of the corpora has an optimum: R's fits (at their likelihood or above it), the same linear models by the
other of REML and maximum likelihood, R's fits of further families, the good fits of the catalogue of hard inputs, and
two dozen models of the bundled data. A `ConvergenceWarning`, or ``converged=False``, is a false alarm if the
likelihood of the reference was reached, and a failure of the search if it was not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx.families import family_for
from tests.reference import translate
from tests.reference.cases import HERE, load_cases
from tests.reliability import adapter, cases
from tests.reliability.catalogue import heavy

REACHED = 1e-4  # a log-likelihood this much below the reference counts as the same
SEARCHES = ("lmer", "glmer", "glmer.nb", "glmmTMB", "lme", "gls")
EXTRA = Path(__file__).parent / "reference_extra"
HURDLES = {"hurdle_gamma": ("gamma", "~ 1"), "inverse_gaussian": ("inverse_gaussian", None)}
GOOD = ("ok", "same")
BUNDLED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sleepstudy", "Reaction ~ Days + (Days || Subject)", {}),
    ("sleepstudy", "Reaction ~ poly(Days, 2) + (poly(Days, 2) | Subject)", {}),
    ("dyestuff", "Yield ~ 1 + (1 | Batch)", {}),
    ("dyestuff2", "Yield ~ 1 + (1 | Batch)", {}),
    ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", {}),
    ("pastes", "strength ~ 1 + (1 | batch/cask)", {}),
    ("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", {}),
    ("machines", "score ~ Machine + (Machine | Worker)", {}),
    ("oats", "yield ~ Variety * nitro + (1 | Block/Variety)", {}),
    ("orthodont", "distance ~ age * Sex + (age | Subject)", {}),
    ("orthodont", "distance ~ age * Sex + (1 | Subject)", {"residual": mfx.VarIdent("Sex")}),
    ("ergostool", "effort ~ Type + (1 | Subject)", {}),
    ("insteval", "y ~ service + (1 | s) + (1 | d)", {}),
    ("radon", "`log.radon` ~ basement + uranium + (basement | county)", {}),
    ("obk", "value ~ treatment * phase + (1 | id)", {}),
    ("ham", "`Informed.liking` ~ Information * Product + (Product | Consumer)", {}),
    ("carrots", "Preference ~ Crisp + Sweetness + (1 | Consumer)", {}),
    ("tvbo", "Coloursaturation ~ TVset * Picture + (1 | Assessor:TVset) + (1 | Assessor)", {}),
    ("ovary", "follicles ~ Time + (1 | Mare)", {}),
    ("turnip", "ca ~ 1 + (1 | plant/leaf)", {}),
    ("pigment", "moisture ~ 1 + (1 | batch/sample)", {}),
    ("gage", "y ~ 1 + (1 | part) + (1 | operator) + (1 | part:operator)", {}),
    ("millet", "yield ~ spacing + (1 | row) + (1 | col)", {}),
    ("eight_schools", "y ~ 1 + (1 | school)", {"residual": mfx.KnownVariance("se")}),
    ("cbpp", "cbind(incidence, size - incidence) ~ period + (1 | herd)", {"family": "binomial"}),
    ("grouseticks", "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", {"family": "poisson"}),
    ("contraception", "use ~ age + I(age**2) + urban + livch + (1 | district)", {"family": "binomial"}),
    ("salamanders", "count ~ mined + (1 | site)", {"family": "nbinom2"}),
    ("salamanders", "count ~ mined + (1 | site)", {"family": "poisson", "zero_inflation": "~ mined"}),
    ("owls", "SiblingNegotiation ~ FoodTreatment * SexParent + (1 | Nest)", {"family": "nbinom1"}),
    ("epil2", "y ~ Base * trt + Age + (1 | subject)".replace("Age", "age"), {"family": "poisson"}),
    ("toenail", "y ~ treatment * time + (1 | patientID)", {"family": "binomial", "nagq": "auto"}),
)


@dataclass(frozen=True)
class Model:
    """A model with an optimum; ``reference`` is the log-likelihood that another program reached."""

    suite: str
    name: str
    fit: Callable[[], Any]
    reference: float | None = None


@dataclass(frozen=True)
class Verdict:
    """How a fit ended: ``quiet``, ``false alarm``, ``missed`` (said so, below the reference), or ``refused``."""

    model: Model
    end: str
    why: str


def models() -> Iterator[Model]:
    """Yield all models of all corpora."""
    yield from _reference()
    yield from _families()
    yield from _catalogue()
    for name, formula, options in BUNDLED:
        call = mfx.glmer if "family" in options else mfx.lmer
        yield Model(
            "bundled data",
            f"{name}: {formula}",
            lambda n=name, f=formula, o=options, c=call: c(f, mfx.load_dataset(n), **o),
        )


def _reference() -> Iterator[Model]:
    for case in load_cases(HERE):
        if case.engine not in SEARCHES:
            continue
        yield Model("R", case.name, lambda c=case: translate.fit(c).fit, case.get("loglik"))
        if case.engine == "lmer":
            other = replace(case, name=f"{case.name}, other", content={**case.content, "REML": not case["REML"]})
            yield Model("R, other criterion", other.name, lambda c=other: translate.fit(c).fit)


def _families() -> Iterator[Model]:
    """Fits of further families; their names are those of the cases."""
    data = pd.read_csv(EXTRA / "data" / "families.csv")
    for path in sorted((EXTRA / "fits").glob("*.json")):
        fit = json.loads(path.read_text())
        name = (
            path.stem.removesuffix("_dispersion").replace("zinb2", "nbinom2").replace("betabinomial", "beta_binomial")
        )
        family, zeros = HURDLES.get(name, (name.removesuffix("_probit"), None))
        family = "ordinal" if family.startswith("ordinal") else family
        options = {"zero_inflation": fit.get("ziformula") if path.stem.startswith("zinb2") else zeros}
        if path.stem.endswith("_dispersion"):
            options["dispersion"] = fit["dispformula"]
        link = fit.get("link") if fit.get("link") in ("probit", "cloglog", "log") else None
        chosen = family_for(family, link)
        yield Model("R, further families", path.stem, _call(fit["formula"], data, chosen, options), fit.get("loglik"))


def _call(formula: str, data: pd.DataFrame, family: Any, options: dict[str, Any]) -> Callable[[], Any]:
    return lambda: mfx.glmer(formula, data, family=family, **options)


def _catalogue() -> Iterator[Model]:
    for name, (category, _) in cases.CASES.items():
        if heavy(name):
            continue
        spec = cases.build(name)
        if spec["op"] == "fit" and spec["expect"]["kind"] in GOOD and not spec["kwargs"]:
            yield Model(f"catalogue: {category}", name, lambda s=spec: adapter.fit(s))


def judge(model: Model) -> Verdict:
    """Fit a model and say how it ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = model.fit()
        except mfx.SpecificationError as error:
            return Verdict(model, "refused", str(error))
    said = [str(w.message) for w in caught if issubclass(w.category, mfx.ConvergenceWarning)]
    if fit.converged and not said:
        return Verdict(model, "quiet", "")
    reached = model.reference is None or np.isnan(model.reference) or fit.llf > model.reference - REACHED
    return Verdict(model, "false alarm" if reached else "missed", (said or [str(fit.certificate)])[0])


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit code says whether there was an alarm."""
    parser = argparse.ArgumentParser(prog="python -m tests.false_alarms", description=__doc__)
    parser.add_argument("--suite", default="", help="only suites whose name begins so")
    parser.add_argument("--case", default="", help="only models matching this regular expression")
    options = parser.parse_args(arguments)
    start, ends = time.monotonic(), Counter()
    for model in models():
        if not model.suite.startswith(options.suite) or not re.search(options.case, model.name):
            continue
        found = judge(model)
        ends[model.suite.partition(":")[0], found.end] += 1
        if found.end != "quiet":
            print(f"{found.end}: {model.suite}, {model.name}: {found.why}", flush=True)
    counted = Counter(end for (_, end), number in ends.items() for _ in range(number))
    for suite in dict.fromkeys(suite for suite, _ in ends):
        print(f"{suite:22} {sum(n for (own, end), n in ends.items() if own == suite and end != 'refused'):5d} models")
    fits = counted.total() - counted["refused"]
    print(
        f"{counted['false alarm']} false alarms and {counted['missed']} missed optima in {fits} fits "
        f"({counted['refused']} models are beyond the package), {time.monotonic() - start:.0f} s"
    )
    return int(counted["false alarm"] + counted["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main())

"""nlme's lme and gls: residual correlation and variance structures."""

import numpy as np

from tests.reference import compare
from tests.reference.cases import Case, group_of
from tests.reference.compare import fixed_names
from tests.reference.measures import Measures, column, exactly, measure, nan_for_null, relative
from tests.reference.translate import Outcome, nested_labels


def fixef(case: Case, outcome: Outcome) -> Measures:
    """Estimates; nlme's std_error under ML carries n / (n - p), hence ``vcov_fixef`` for the errors."""
    names = fixed_names(case, outcome.fit)
    theirs, ours = list(names), list(names.values())
    se = np.array(column(case["fixef"], "std_error", theirs))
    yield measure(
        "fixef (nlme)", "fixef", outcome.fit.params[ours], column(case["fixef"], "estimate", theirs), se, theirs
    )


def n_groups(case: Case, outcome: Outcome) -> Measures:
    labels = nested_labels(case, list(case["n_groups"]))
    ours = {group_of(name): int(count) for name, count in dict(outcome.fit.n_groups).items()}
    yield exactly("n_groups", ours, {group_of(labels[name]): count for name, count in case["n_groups"].items()})


def varcorr(case: Case, outcome: Outcome) -> Measures:
    labels = nested_labels(case, list(case["varcorr"]))
    renamed = {labels[name]: term for name, term in case["varcorr"].items()}
    yield from compare.varcorr(Case(case.name, case.folder, {**case.content, "varcorr": renamed}), outcome)


def ranef(case: Case, outcome: Outcome) -> Measures:
    labels = nested_labels(case, list(case["ranef"]))
    content = {**case.content, "varcorr": {labels[k]: v for k, v in case["varcorr"].items()}}
    renamed = Case(case.name, case.folder, content)
    for name, term in case["ranef"].items():
        _, modes = compare.aligned(case, outcome.fit.random_effects, labels[name], term)
        levels = [level.replace("/", ":") for level in term["levels"]]
        scale = compare.effect_scale(renamed, labels[name], term["names"])
        yield measure("modes", f"modes {name}", modes.loc[levels], nan_for_null(term["values"]), scale, levels)


def fitted_head(case: Case, outcome: Outcome) -> Measures:
    values = case["fitted_head"]
    if not isinstance(values, dict):
        yield from compare.fitted_head(case, outcome)
        return
    theirs = nan_for_null(values["innermost"])
    ours = np.asarray(outcome.fit.fittedvalues)[: len(theirs)]
    yield relative("fitted", "fitted", ours, theirs, compare.row_scale(case))

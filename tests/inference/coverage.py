"""How often intervals of variance parameters hold the truth, in data simulated from the fit of the sleep study.

``python -m tests.inference.coverage 150`` prints the table of the guide (some minutes).
"""

from __future__ import annotations

import sys
import warnings

import pandas as pd

import mixedfx as mfx

KINDS = ("percentile", "basic", "normal", "bca", "shortest")
REPLICATES = 300


def held(fit: mfx.LinearMixedResults, truth: pd.Series, seed: int) -> dict[str, pd.Series]:
    """Which intervals of a fit hold the true parameters, by method."""
    replicates = mfx.bootstrap(fit, REPLICATES, seed=seed, progress=False)
    limits = {"wald": fit.conf_int(which="random"), "profile": fit.conf_int(method="profile", which="random")}
    limits |= {kind: replicates.conf_int(kind=kind) for kind in KINDS}
    return {
        method: (frame.loc[truth.index, "lower"] <= truth) & (truth <= frame.loc[truth.index, "upper"])
        for method, frame in limits.items()
    }


def table(count: int) -> pd.DataFrame:
    """The share of data sets in which each interval held the truth."""
    data = mfx.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    fit = mfx.lmer(formula, data)
    rows = fit.varcorr.to_frame()
    truth = pd.Series(
        {"sd_Days|Subject": rows["sd"].iloc[1], "cor_Days.Intercept|Subject": rows["corr"].dropna().iloc[0]}
    )
    draws = fit.simulate(count, seed=1)
    found = [held(mfx.lmer(formula, data.assign(Reaction=draws[k])), truth, k) for k in range(count)]
    return pd.DataFrame({method: sum(one[method] for one in found) / count for method in found[0]}).T


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(table(int(sys.argv[1])).map("{:.0%}".format).to_string())

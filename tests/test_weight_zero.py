"""Rows of weight zero, or without trials, are no rows: every public number is that of the data without them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

Number = Callable[[Any], Any]


def rows(seed: int = 3, n: int = 160) -> pd.DataFrame:
    """A sixth of the rows has weight zero and nonsense in it; one group and one level of f have no other rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"g": rng.integers(0, 12, n), "x": rng.normal(size=n), "t": rng.integers(0, 2, n)})
    frame["f"] = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
    eta = 0.4 * frame["x"] + 0.5 * rng.normal(size=12)[frame["g"]]
    frame["y"], frame["c"] = 2.0 + eta + rng.normal(size=n), rng.poisson(np.exp(1.0 + eta))
    frame["m"] = rng.integers(3, 9, n)
    frame["s"] = rng.binomial(frame["m"], 1.0 / (1.0 + np.exp(-eta)))
    frame["w"], frame["m"] = np.where(np.arange(n) % 6 == 0, 0.0, rng.uniform(0.5, 2.0, n)), frame["m"].astype(float)
    out = (frame["w"] == 0) | (frame["g"] == 11)
    frame.loc[out, ["w", "m", "s"]] = 0.0
    frame.loc[out, ["x", "y", "c"]] = (1e3, -1e5, 500)
    frame.loc[frame.index[out][:3], "f"] = "nowhere"
    frame.loc[frame.index[out][5], "y"] = np.nan
    return frame


CASES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "lmer": lambda d: mfx.lmer("y ~ x + f + t + (1 | g)", d, weights="w"),
    "slopes": lambda d: mfx.lmer("y ~ poly(x, 2) + t + (x | g)", d, weights="w", reml=False),
    "residual structure": lambda d: mfx.lmer("y ~ x + t + (1 | g)", d, weights="w", residual=mfx.VarIdent("t")),
    "poisson": lambda d: mfx.glmer("c ~ x + f + (1 | g)", d, family="poisson", weights="w"),
    "trials": lambda d: mfx.glmer("cbind(s, m - s) ~ x + f + (1 | g)", d, family="binomial"),
    "proportions": lambda d: mfx.glmer("s/m ~ x + f + (1 | g)", d, family="binomial", weights="m"),
    "gaussian": lambda d: mfx.glmer("y ~ x + t + (1 | g)", d, family="gaussian", weights="w", dispersion="~ t"),
}
NUMBERS: dict[str, Number] = {
    "params": lambda f: f.params,
    "bse": lambda f: f.bse,
    "sizes": lambda f: [f.nobs, f.df_resid, f.n_parameters, *f.n_groups.values()],
    "criteria": lambda f: [f.llf, f.aic, f.bic, mfx.aicc(f)],
    "varcorr": lambda f: f.varcorr.to_frame()["variance"],
    "residuals": lambda f: np.concatenate([f.residuals("pearson"), f.residuals("deviance"), f.fittedvalues]),
    "icc": mfx.icc,
    "r2": mfx.r2,
    "independence": lambda f: mfx.random_effects_independence(f).to_frame(),
    "normality": lambda f: mfx.random_effects_normality(f).to_frame(),
    "leverage": mfx.leverage,
    "vif": lambda f: mfx.vif(f).to_frame(),
    "quantile residuals": lambda f: mfx.quantile_residuals(f, 50, seed=1).values,
    "check": lambda f: mfx.check(f).findings,
    "means": lambda f: (
        mfx.emmeans(f, "f" if "f" in f.design.variables else "x").to_frame().drop(columns="f", errors="ignore")
    ),
    "comparisons": lambda f: mfx.comparisons(f).to_frame().select_dtypes("number"),
    "anova": lambda f: mfx.anova(f),
    "glance": lambda f: mfx.glance(f).select_dtypes("number"),
}
LINEAR: dict[str, Number] = {
    "least confounded": lambda f: mfx.least_confounded_residuals(f),
    "residual df": lambda f: f.t_test("x = 0", ddf="residual").df_denom,
    "kenward-roger": lambda f: f.t_test("x = 0", ddf="kenward-roger").df_denom,
    "influence": lambda f: mfx.influence(f, "g").cooks_distance,
    "conditional": mfx.conditional_aic,
}
ONLY: dict[str, dict[str, Number]] = {
    "lmer": LINEAR,
    "poisson": {"overdispersion": mfx.overdispersion},
    "trials": {"overdispersion": mfx.overdispersion},
    "proportions": {"overdispersion": mfx.overdispersion},
}


def numbers(found: Any) -> Any:
    if isinstance(found, tuple):
        return [(finding.topic, finding.verdict, finding.words) for finding in found]
    frame = found.select_dtypes("number") if isinstance(found, pd.DataFrame) else found
    return np.asarray(frame, dtype=float)


@pytest.mark.parametrize("case", CASES)
def test_rows_of_weight_zero_change_no_number(case):
    data = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        there, gone = CASES[case](data), CASES[case](data[data["w"] > 0])
        for name, number in (NUMBERS | ONLY.get(case, {})).items():
            one, other = numbers(number(there)), numbers(number(gone))
            if name == "check":
                assert one == other
            else:
                np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9, err_msg=name)
    assert any("rows were left out because the" in note for note in there.notes)


def test_the_design_is_checked_without_them():
    data = rows()
    found = mfx.check_design("y ~ x + (1 | g)", data, weights="w")
    assert found.rows == {"total": len(data), "used": int((data["w"] > 0).sum())}
    assert found.factors["levels"].tolist() == [11]


def test_a_weight_is_so_many_rows_in_every_residual_of_counts():
    """R, glm(family = poisson, weights = w): sqrt(w) (y - mu) / sqrt(mu)."""
    data = rows().query("w > 0").assign(w=lambda d: 1.0 + np.arange(len(d)) % 3)
    fit = mfx.glmer("c ~ x + (1 | g)", data, family="poisson", weights="w")
    mu = fit.fittedvalues
    assert fit.residuals("pearson").to_numpy() == pytest.approx(np.sqrt(data["w"] / mu) * (data["c"] - mu), rel=1e-10)
    repeated = mfx.glmer("c ~ x + (1 | g)", data.loc[data.index.repeat(data["w"].astype(int))], family="poisson")
    for kind in ("pearson", "deviance"):
        assert np.sum(fit.residuals(kind) ** 2) == pytest.approx(np.sum(repeated.residuals(kind) ** 2), rel=1e-5)


@pytest.mark.parametrize("family", ["gamma", "gaussian"])
def test_precisions_enter_pearson_and_deviance_residuals_once(family):
    data = rows().query("w > 0").assign(z=lambda d: np.exp(0.1 * d["y"]))
    fit = mfx.glmer("z ~ x + (1 | g)", data, family=family, link="log", weights="w")
    mu = fit.fittedvalues
    sd = np.sqrt(fit.scale / data["w"]) * (mu if family == "gamma" else 1.0)
    assert fit.residuals("pearson").to_numpy() == pytest.approx((data["z"] - mu) / sd, rel=1e-10)

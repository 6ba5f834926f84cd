"""Our densities in a small Laplace approximation at the estimates of glmmTMB, ordinal and R scripts.

The log-likelihood there must be theirs and its slope must vanish: that settles parametrisations and constants.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.families import Ordinal, family_for, with_zero_inflation
from tests.differences import jacobian

FOLDER = Path(__file__).parents[1] / "reference_extra"
DATA = pd.read_csv(FOLDER / "data" / "families.csv")
FITS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "fits").glob("*.json"))}
GROUPS = pd.factorize(DATA["g"])[0]
N_GROUPS = GROUPS.max() + 1

FAMILIES = {
    "student_t": lambda: family_for("student_t"),
    "tweedie": lambda: family_for("tweedie"),
    "truncated_poisson": lambda: family_for("truncated_poisson"),
    "truncated_nbinom2": lambda: family_for("truncated_nbinom2"),
    "truncated_nbinom1": lambda: family_for("truncated_nbinom1"),
    "hurdle_poisson": lambda: family_for("hurdle_poisson"),
    "hurdle_nbinom2": lambda: family_for("hurdle_nbinom2"),
    "hurdle_nbinom1": lambda: family_for("hurdle_nbinom1"),
    "hurdle_gamma": lambda: with_zero_inflation(family_for("gamma", "log")),
    "nbinom1_dispersion": lambda: family_for("nbinom1").with_predictors("dispersion"),
    "zinb2_dispersion": lambda: with_zero_inflation(family_for("nbinom2").with_predictors("dispersion")),
    "betabinomial_dispersion": lambda: family_for("beta_binomial").with_predictors("dispersion"),
    "betabinomial_probit": lambda: family_for("beta_binomial", "probit"),
    "inverse_gaussian": lambda: family_for("inverse_gaussian", "log"),
    "lognormal": lambda: family_for("lognormal"),
    "ordinal_logit": lambda: Ordinal("logit", 4),
    "ordinal_probit": lambda: Ordinal("probit", 4),
    "ordinal_cloglog": lambda: Ordinal("cloglog", 4),
    "ordinal_slope": lambda: Ordinal("logit", 4),
}


def column(name):
    """A column of R's model matrix by its name."""
    if name == "(Intercept)":
        return np.ones(len(DATA))
    return DATA["x"].to_numpy() if name == "x" else (DATA["f"] == name.removeprefix("f")).to_numpy(float)


def design(names):
    return np.column_stack([column(name) for name in names])


def response(fit, family):
    text = fit["formula"].split("~")[0].strip()
    if text.startswith("cbind"):
        return family.observe(DATA["successes"] / DATA["trials"], trials=DATA["trials"])
    return family.observe(DATA[text])


def estimates(fit, part):
    return np.array([entry["estimate"] for entry in (fit.get(part) or {}).values()])


def gaps(thresholds):
    return np.r_[thresholds[0], np.log(np.diff(thresholds))]


def phi_of(case, fit):
    """Our family-wide parameters at the estimates of the file."""
    if "thresholds" in fit:
        return gaps(estimates(fit, "thresholds"))
    if case == "lognormal":
        return np.array([2 * np.log(fit["sigma"])])
    named = {}
    for name, value in zip(fit["parameters"]["names"], fit["parameters"]["values"], strict=True):
        named.setdefault(name, []).append(value)
    if case == "inverse_gaussian":
        return np.array(named["log_phi"])
    dispersion = {"student_t": lambda b: 2 * b, "hurdle_gamma": lambda b: -b}.get(case, lambda b: b)
    own = [] if case.endswith("_dispersion") or "betad" not in named else [dispersion(named["betad"][0])]
    extra = next((named[key] for key in ("thetaf", "psi") if key in named), [])
    return np.array([*own, *extra])


def blocks(case, fit, family):
    """Design matrix and coefficients of each linear predictor."""
    part = {"mean": "fixef", "dispersion": "fixef_disp", "zero_inflation": "fixef_zi"}
    if case == "lognormal":
        beta = estimates(fit, "fixef_log_scale") + np.r_[fit["sigma"] ** 2 / 2, 0, 0, 0]
        return [(design(fit["fixef_log_scale"]), beta)]
    return [(design(fit[part[name]]), estimates(fit, part[name])) for name in family.predictors]


def laplace(family, observed, eta, phi, factor, start):
    """Log-likelihood of a grouping factor with the columns 1 (and x), and the mode; Newton, groups side by side."""
    z = np.column_stack([np.ones(len(DATA)), DATA["x"]])[:, : len(factor)] @ factor
    u, eye = start, np.eye(len(factor))

    def at(u):
        moved = np.array(eta)
        moved[(..., 0) if eta.ndim > 1 else ...] += np.sum(z * u[GROUPS], axis=1)
        return moved

    def summed(rows):
        total = np.zeros((N_GROUPS, *rows.shape[1:]))
        np.add.at(total, GROUPS, rows)
        return total

    near = False
    for _ in range(60):
        _, slope, curvature = family.mean_derivatives(observed, at(u), phi)
        expected = family.expected_weights(observed, at(u), phi)
        safe = np.where((curvature < 0) | near, -curvature, expected)
        score = summed(slope[:, None] * z) - u
        u = (
            u
            + np.linalg.solve(eye + summed(safe[:, None, None] * z[:, :, None] * z[:, None]), score[..., None])[..., 0]
        )
        if np.max(np.abs(score)) < 1e-10:
            break
        near = np.max(np.abs(score)) < 1e-2
    curvature = family.mean_derivatives(observed, at(u), phi)[2]
    hessian = eye - summed(curvature[:, None, None] * z[:, :, None] * z[:, None])
    penalty = np.sum(u**2) + np.linalg.slogdet(hessian)[1].sum()
    return family.loglik(observed, at(u), phi).sum() - 0.5 * penalty, u


@pytest.mark.parametrize("case", FITS)
def test_log_likelihood_and_its_slope_at_their_estimates(case):
    fit, family = FITS[case], FAMILIES[case]()
    observed, phi = response(fit, family), phi_of(case, fit)
    parts = blocks(case, fit, family)
    factor = np.linalg.cholesky(np.array(fit["varcorr"]["g"]["var"]))
    sizes = np.cumsum([beta.size for _, beta in parts])[:-1]

    def value_and_mode(parameters, start):
        betas = np.split(parameters[: parameters.size - phi.size], sizes)
        columns = [X @ beta for (X, _), beta in zip(parts, betas, strict=True)]
        eta = columns[0] if len(columns) == 1 else np.column_stack(columns)
        return laplace(family, observed, eta, parameters[parameters.size - phi.size :], factor, start)

    at = np.r_[np.concatenate([beta for _, beta in parts]), phi]
    value, mode = value_and_mode(at, np.zeros((N_GROUPS, len(factor))))
    assert value == pytest.approx(fit["loglik"], abs=2e-8)
    slope = jacobian(lambda x: value_and_mode(x, mode)[0], at, step=2e-3)
    assert slope == pytest.approx(np.zeros(at.size), abs=3e-5)


def test_every_family_without_a_number_elsewhere_has_one():
    assert set(FITS) == set(FAMILIES)

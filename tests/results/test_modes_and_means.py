"""Expectations beside modes: where they part, and why nobody maximises the joint density."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import mixedfx as mfx
from mixedfx import plots
from mixedfx.deconvolution.counts import PoissonCounts
from mixedfx.deconvolution.grouped import FamilyGroups
from mixedfx.deconvolution.laws import AtomicLaw, normal_nodes
from mixedfx.deconvolution.modes import find_modes
from mixedfx.families import Binomial
from tests.deconvolution.reference import data, numbers

mpl.use("Agg")


def schools():
    """Rubin's eight schools (1981): effects of coaching with their standard errors."""
    y, se = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
    return pd.DataFrame({"school": list("ABCDEFGH"), "y": np.array(y, float), "v": np.square(np.array(se, float))})


# ---------------------------------------------------------------- linear models
def test_means_of_a_linear_model_are_its_modes():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    assert fit.random_effects_mean["Subject"].equals(fit.random_effects["Subject"])


PATHS = {
    "slopes": ("y ~ x + (x | g)", {}),
    "crossed": ("y ~ x + (1 | g) + (1 | h)", {}),
    "weights": ("y ~ x + (1 | g)", {"weights": "w"}),
    "correlated residuals": ("y ~ x + (1 | g)", {"residual": mfx.AR1(group="g")}),
    "reml": ("y ~ x + (x | g)", {"reml": True}),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_path_by_the_definition(name):
    """Dense joint density at the solution of Henderson's equations, and the dense marginal density."""
    rng = np.random.default_rng(1)
    n = 40
    frame = pd.DataFrame({"g": np.repeat(np.arange(8), 5), "h": np.tile(np.arange(4), 10), "x": rng.normal(size=n)})
    frame["w"] = rng.uniform(0.5, 2.0, n)
    frame["y"] = 2 * rng.normal(size=8)[frame["g"]] + 2 * rng.normal(size=8)[frame["g"]] * frame["x"]
    frame["y"] += 3 * rng.normal(size=4)[frame["h"]]
    frame["y"] += rng.normal(size=n)
    formula, options = PATHS[name]
    fit = mfx.lmer(formula, frame, **({"reml": False} | options))
    R = fit.scale * np.eye(n)
    if name == "weights":
        R = fit.scale * np.diag(1.0 / frame["w"].to_numpy())
    if name.startswith("correlated"):
        lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
        R = fit.scale * np.kron(np.eye(8), float(fit.residual_params.iloc[0]) ** lag)
    X, y = fit.model.exog, frame["y"].to_numpy()
    Z, T = fit.model.exog_re.toarray(), fit.model.Lambda(fit.theta.to_numpy()).toarray() * fit.sigma
    path = fit.joint_map_path([2.0, 1.0, 0.1])
    for scale, row in path.iterrows():
        G = scale**2 * T @ T.T
        V = Z @ G @ Z.T + R
        beta = np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, y))
        b = G @ Z.T @ np.linalg.solve(V, y - X @ beta)
        normal = stats.multivariate_normal
        joint = normal(X @ beta + Z @ b, R).logpdf(y) + normal(np.zeros(len(b)), G).logpdf(b)
        assert row["joint"] == pytest.approx(joint, abs=1e-7)
        assert row["marginal"] == pytest.approx(normal(X @ beta, V).logpdf(y), abs=1e-7)


def test_the_path_has_no_maximum_and_the_likelihood_has():
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"), reml=False)
    path = fit.joint_map_path([3.0, 1.0, 0.3, 1e-2, 1e-4, 1e-6])
    assert path["marginal"].idxmax() == 1.0
    assert path.loc[1.0, "marginal"] == pytest.approx(fit.llf)
    assert path["joint"].idxmax() == 1e-6
    gains = np.diff(path["joint"])[-2:]
    np.testing.assert_allclose(gains, 6 * np.log(100), rtol=1e-3)  # six batches, each gains log(1 / scale)


def test_radon_against_the_reference():
    reference = numbers("modes_vs_means_results")["radon_joint_map_path"]["path"]
    fit = mfx.lmer("log_radon ~ floor + (1 | county)", data("radon_mn"), reml=False, sigma=0.75516)
    taus = np.array([float(tau) for tau in reference])
    path = fit.joint_map_path(taus / fit.varcorr.covariances["county"].iloc[0, 0] ** 0.5)
    np.testing.assert_allclose(path["joint"], [row["joint_max"] for row in reference.values()], atol=1e-6)
    marginal = [row["marginal_profile_loglik"] for row in reference.values()]
    np.testing.assert_allclose(path["marginal"], marginal, atol=1e-6)


# ---------------------------------------------------------------- eight schools
def test_eight_schools():
    """The likelihood of tau peaks at zero; its mean is 6.6, and with it the means of the schools."""
    frame = schools()
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("y ~ 1 + (1 | school)", frame, residual=mfx.KnownVariance("v"))
    assert fit.is_singular
    tau = np.concatenate([np.linspace(0.0, 60.0, 6001), np.geomspace(60.0, 20_000.0, 4000)[1:]])
    llf = np.array([-0.5 * fit.model.objective(np.array([t]))[0] for t in tau[::10]])
    assert np.argmax(llf) == 0
    frame["w"] = 1.0 / frame["v"]
    W = 1.0 / (frame["v"].to_numpy() + tau[:, None] ** 2)
    mu = W @ frame["y"].to_numpy() / W.sum(axis=1)
    own = 0.5 * (np.log(W).sum(axis=1) - np.log(W.sum(axis=1)))
    own = own - 0.5 * (W * (frame["y"].to_numpy() - mu[:, None]) ** 2).sum(axis=1) - 3.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(own[::10], llf, atol=1e-9)  # the restricted likelihood has mu integrated out
    shrink = tau[:, None] ** 2 * W
    theta = mu[:, None] + shrink * (frame["y"].to_numpy() - mu[:, None])
    weight = np.exp(own - own.max()) * np.gradient(tau)
    weight /= weight.sum()
    reference = _published(numbers_or_none())
    assert weight @ tau == pytest.approx(reference["tau_mean"], rel=5e-3)
    assert weight @ mu == pytest.approx(reference["mu_mean"], rel=1e-3)
    np.testing.assert_allclose(weight @ theta, reference["theta_mean"], rtol=1e-3)


def numbers_or_none():
    path = Path(__file__).resolve().parents[3] / "shared" / "reference" / "hierarchical" / "modes_vs_means_results.json"
    return json.loads(path.read_text())["eight_schools"]["posterior_flat_tau"] if path.exists() else None


def _published(found):
    if found is not None:
        return found
    means = [11.40026, 7.89455, 6.13075, 7.64468, 5.12642, 6.13854, 10.66698, 8.45682]
    return {"tau_mean": 6.57548, "mu_mean": 7.93238, "theta_mean": means}


# ---------------------------------------------------------------- generalised models
def all_successes(m):
    family = Binomial()
    return FamilyGroups.of_rows(family, family.observe(np.ones(1), trials=np.full(1, float(m))), np.zeros(1))


def test_successes_without_a_failure():
    for row in numbers("modes_vs_means_results")["bernoulli_all_successes"]["rows"]:
        kernel, sigma = all_successes(row["m"]), row["sigma"]
        nodes, weights, log_f = normal_nodes(kernel, 0.0, sigma)
        mean = float(weights[0] @ nodes[0])
        mode, curvature, settled = find_modes(kernel, 0.0, sigma**-2)
        assert settled.all()
        assert log_f[0] == pytest.approx(row["log_marginal"], abs=1e-9)
        assert mean == pytest.approx(row["mean"], abs=1e-7)
        assert float(weights[0] @ (nodes[0] - mean) ** 2) ** 0.5 == pytest.approx(row["sd"], abs=1e-7)
        assert float(weights[0] @ expit(nodes[0])) == pytest.approx(row["E_prob"], abs=1e-8)
        assert mode[0] == pytest.approx(row["mode"], abs=1e-7)
        assert curvature[0] ** -0.5 == pytest.approx(row["laplace_sd"], abs=1e-7)
        assert expit(mode[0]) == pytest.approx(row["plugin_prob_at_mode"], abs=1e-7)
        at_mode = kernel.log_density(mode[:, None])[0, 0] - 0.5 * (mode[0] / sigma) ** 2
        laplace = at_mode - np.log(sigma) - 0.5 * np.log(curvature[0])
        assert laplace == pytest.approx(row["laplace"], abs=1e-7)


def test_a_mean_does_not_depend_on_the_scale_and_a_mode_does():
    for row in numbers("modes_vs_means_results")["scale_dependence_poisson_gamma"]:
        y, v = float(row["y"]), np.linspace(-25.0, 4.5, 200_001)
        u = np.exp(v)
        prior = np.exp(-u) * u  # gamma of mean and variance 1, as a density of v = log u
        found = AtomicLaw(u, prior / prior.sum()).posterior(PoissonCounts(np.array([y]), np.ones(1)))
        assert found.mean[0] == pytest.approx(row["E_u"], abs=1e-6)
        assert found.sd[0] == pytest.approx(row["sd_u"], abs=1e-6)
        on_v = found.weights[0]
        assert u[np.argmax(on_v)] == pytest.approx(row["exp_mode_v"], rel=1e-3)
        assert u[np.argmax(on_v / u)] == pytest.approx(row["mode_u"], rel=1e-3, abs=1e-9)
        assert np.exp(on_v @ v) == pytest.approx(row["exp_mean_v"], rel=1e-6)


# ---------------------------------------------------------------- pictures
def test_pictures_of_modes_and_of_the_path():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial", nagq=15)
    frame = plots.modes_and_means_frame(fit)
    np.testing.assert_allclose(frame["mean"], fit.random_effects_mean["herd"]["Intercept"])
    axes = plots.modes_and_means(fit)
    np.testing.assert_allclose(axes.lines[1].get_ydata(), frame["mean"])
    path = plots.joint_and_marginal_frame(fit, [0.1, 1.0])
    assert path.equals(fit.joint_map_path([0.1, 1.0]))
    drawn = plots.joint_and_marginal(fit, [0.1, 1.0])
    np.testing.assert_allclose(drawn.lines[1].get_ydata(), path["marginal"] - path.loc[1.0, "marginal"])
    sleep = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    assert len(plots.modes_and_means(sleep).lines) == 3
    assert sleep.plot("joint_and_marginal") is not None

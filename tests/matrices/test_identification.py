"""What the design identifies: ranks of dense covariances are the judge."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.matrices import build_design, identified_twin
from mixedfx.matrices.identification import identify
from mixedfx.matrices.quadratic_forms import Noise
from tests.effort import calls


def design_data(seed=0, groups=14, rows=8):
    rng = np.random.default_rng(seed)
    n = groups * rows
    i = np.repeat(np.arange(groups), rows)
    t = rng.integers(0, 3, n)
    frame = pd.DataFrame({"i": i.astype(str), "t": np.array(list("abc"))[t], "x": rng.normal(size=n), "never": 0.0})
    frame = frame.assign(i2="z" + frame.i, c=2.0, s=(i % 4).astype(str), h=rng.integers(0, 5, n).astype(str))
    frame["sex"] = np.where(i % 2 == 1, "m", "f")
    frame["xb"] = (i % 2).astype(float)
    frame["row"] = np.arange(n).astype(str)
    frame["y"] = rng.normal(size=(groups, 3))[i, t] + rng.normal(size=n)
    frame["k"] = rng.poisson(np.exp(0.3 * frame.y))
    return frame


FORMULAS = [
    "y ~ t + (1 | i)",
    "y ~ x + (x | i) + (1 | h)",
    "y ~ t + (1 | i) + (0 + t | i)",
    "y ~ t + (1 | i) + (0 + t || i)",
    "y ~ x + (1 | i) + (0 + t || i) + (1 | i:t)",
    "y ~ x + (1 + never || i)",
    "y ~ x + (1 + never | i)",
    "y ~ x + (1 + c | i)",
    "y ~ x + (1 | i) + (0 + c | i)",
    "y ~ x + (1 | i) + (1 | i2)",
    "y ~ s + (1 | s) + (1 | i)",
    "y ~ s + (1 | i)",
    "y ~ i + (1 | s)",
    "y ~ s * t + (1 | s * t)",
    "y ~ i + (x | i)",
    "y ~ i * x + (x | i) + (1 | h)",
    "y ~ x + (0 + sex | i)",
    "y ~ x + (1 + sex | i)",
    "y ~ x + (1 + xb | i)",
    "y ~ x + (1 | i) + homcs(0 + t | i)",
    "y ~ x + (1 | i) + cs(0 + t | i)",
    "y ~ x + (1 | row) + (1 | i)",
]


def dense_covariances(X, random):
    """Derivatives (k, n, n) of the covariance of the rows, residual last, and the projector beside X."""
    rng, n = np.random.default_rng(1), len(X)
    out = []
    for term in random:
        covariance = term.covariance
        theta = covariance.start() + 0.3 * rng.uniform(0.3, 1, covariance.n_theta)
        same = term.codes[:, None] == term.codes[None, :]
        out += [same * (term.matrix @ d @ term.matrix.T) for d in covariance.covariance_derivative(theta)]
    Q = np.linalg.qr(X)[0]
    return np.array([*out, np.eye(n)]), np.eye(n) - Q @ Q.T


def dense_rank(matrices):
    flat = matrices.reshape(len(matrices), -1)
    size = np.linalg.norm(flat, axis=1)
    flat = flat[size > 1e-9] / size[size > 1e-9, None]
    return np.linalg.matrix_rank(flat, tol=1e-7)


@pytest.mark.parametrize("formula", FORMULAS)
def test_verdict_is_that_of_the_dense_rank(formula):
    design = build_design(formula, design_data())
    matrices, M = dense_covariances(design.fixed.matrix, design.random)
    full = dense_rank(M @ matrices @ M) == len(matrices)
    noise = Noise((np.ones(design.n_rows),))
    found = identified_twin(design, noise)
    assert (not found.undetermined) == full
    left = [finding for finding in found.undetermined if finding.column is None]
    matrices, _ = dense_covariances(design.fixed.matrix, found.random)
    assert dense_rank(M @ matrices @ M) == len(matrices) - len(left)
    assert found.undetermined == identified_twin(found, noise).undetermined or not left


def said(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = call()
    return fit, [str(w.message) for w in caught]


TWINS = [
    ("y ~ t + (1 | i) + (0 + t | i)", "y ~ t + (0 + t | i)", "(0 + t | i)"),
    ("y ~ x + (1 + never || i)", "y ~ x + (1 | i)", "never"),
    ("y ~ x + (1 | i) + (1 | i2)", "y ~ x + (1 | i)", "same groups"),
    ("y ~ s + (1 | s) + (1 | i)", "y ~ s + (1 | i)", "fixed effects"),
    ("y ~ x + (1 + c | i)", "y ~ x + (1 | i)", "c by i"),
    ("y ~ x + (0 + sex | i)", "y ~ x + (0 + sex || i)", "correlation"),
    ("y ~ x + (1 + sex | i)", "y ~ x + (0 + sex || i)", "sex"),
]


@pytest.mark.parametrize("formula, twin, word", TWINS)
@pytest.mark.parametrize("engine", ["reml", "ml", "poisson"])
def test_one_message_everywhere_and_the_twin_is_reported(formula, twin, word, engine):
    data = design_data()
    kind = {"family": "poisson"} if engine == "poisson" else {"reml": engine == "reml"}
    fitter = mfx.glmer if engine == "poisson" else mfx.lmer
    response = "k ~" if engine == "poisson" else "y ~"
    fit, warned = said(lambda: fitter(formula.replace("y ~", response), data, **kind))
    other, _ = said(lambda: fitter(twin.replace("y ~", response), data, **kind))
    assert fit.llf == pytest.approx(other.llf, abs=1e-6)
    assert np.allclose(fit.bse, other.bse, rtol=1e-4)
    certificate = fit.certificate
    assert not certificate.is_identified
    assert "saddle" not in str(certificate)
    message = certificate.undetermined
    assert message.startswith("The variances are not identified")
    assert word in message
    assert any(message in text for text in warned)
    assert any(message in note for note in fit.notes)
    assert message[:60] in " ".join(str(fit.summary()).split())
    page = mfx.check(fit).to_frame()
    assert message in page.loc["variances", "found"]


def test_a_structure_of_the_residuals_takes_a_random_intercept_in():
    data = design_data(rows=4).assign(day=np.tile(np.arange(4), 14))
    for structure in (mfx.Unstructured("day", group="i"), mfx.CompoundSymmetry(group="i")):
        fit, warned = said(lambda s=structure: mfx.lmer("y ~ x + (1 | i)", data, residual=s))
        assert "structure of the residuals" in warned[0]
        assert fit.llf == pytest.approx(mfx.lmer("y ~ x", data, residual=structure).llf)
    assert mfx.lmer("y ~ x + (1 | i)", data, residual=mfx.AR1("day", group="i")).certificate.is_identified


@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_an_effect_of_every_row_beside_a_residual(family):
    data = design_data().assign(p=lambda d: np.exp(d.y))
    response = "y" if family == "gaussian" else "p"
    fit, _ = said(lambda: mfx.glmer(f"{response} ~ x + (1 | row)", data, family=family))
    assert fit.converged
    assert not fit.certificate.is_identified
    assert "residual variance" in fit.notes[0]


def test_more_effects_than_rows_are_allowed_where_unequal_groups_identify_them():
    rng = np.random.default_rng(3)
    g = rng.integers(0, 30, 88)
    data = pd.DataFrame({"g": g.astype(str), "x": rng.normal(size=88), "z": rng.normal(size=88)})
    data["y"] = 1 + rng.normal(size=30)[g] * data.x + rng.normal(size=88)
    fit, _ = said(lambda: mfx.lmer("y ~ x + (x + z | g)", data))
    assert fit.certificate.is_identified
    even = pd.DataFrame({"g": np.repeat(np.arange(30), 2).astype(str), "x": np.tile([0.0, 1.0], 30)})
    with pytest.raises(mfx.DataError, match="residual variance"):
        mfx.lmer("y ~ x + (x | g)", even.assign(y=rng.normal(size=60)))


def test_the_calls_do_not_grow_with_rows_and_levels():
    def cost(n):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {"i": rng.integers(0, n // 20, n), "h": rng.integers(0, n // 800, n), "x": rng.normal(size=n)}
        )
        frame["y"] = rng.normal(size=n)
        design = build_design("y ~ x + (x | i) + (1 | h)", frame)
        assert not identify(design.fixed.matrix, design.random, Noise((np.ones(n),))).findings
        return calls(lambda: identify(design.fixed.matrix, design.random, Noise((np.ones(n),))))

    assert cost(400_000) < 1.5 * cost(20_000)

"""A Poisson model with a square-root link, where programs disagree: who is right.

``count ~ mined + spp + (1 | site)`` for glmmTMB's Salamanders. The log-density of a positive count has a pole where the
linear predictor is zero, so that the density of a site's effect falls into as many as eight modes. mixedfx reports
-991.4151 (Laplace at the modes that it finds), lme4 1.1.31 -992.4359 with a warning (gradient 0.7), glmmTMB 1.1.5
-1146.8722, a local maximum with fitted values of the wrong sign. The exact integral at the estimates of mixedfx is
-990.2915: that of a better point than any of the others', which Laplace understates by 1.1.
"""

import numpy as np
import pytest
from scipy import special

import mixedfx as mfx

GRID = np.linspace(-8, 8, 8001)


@pytest.fixture(scope="module")
def fit():
    data = mfx.load_dataset("salamanders")
    return mfx.glmer("count ~ mined + spp + (1 | site)", data, family="poisson", link="sqrt")


def log_density(fit, beta, sd):
    """Log-density (sites, grid) of counts and standardised effect, from the definition."""
    design = fit.model.design
    y, site = design.response.values[:, None], design.random[0].codes
    eta = (design.fixed.matrix @ beta)[:, None] + sd * GRID
    rows = special.xlogy(y, eta**2) - eta**2 - special.gammaln(y + 1)
    out = np.tile(-0.5 * GRID**2 - 0.5 * np.log(2 * np.pi), (site.max() + 1, 1))
    np.add.at(out, site, rows)
    return out


def exact(fit, beta, sd):
    return special.logsumexp(log_density(fit, beta, sd), axis=1).sum() + len(fit.random_effects["site"]) * np.log(
        GRID[1] - GRID[0]
    )


def test_the_exact_likelihood_prefers_our_estimates(fit):
    ours = exact(fit, fit.params.to_numpy(), float(fit.theta.iloc[0]))
    assert ours == pytest.approx(-990.2915, abs=1e-3)
    lme4 = np.array([0.3592, 0.9907, -0.4613, 0.2191, -0.2671, 0.3912, 0.4815, 0.1756])
    glmmtmb = np.array([-0.3790, 0.9644, 0.2791, 0.9921, 0.3316, 1.1725, 1.2645, 0.9854])
    assert ours > exact(fit, lme4, 0.2469) + 0.5
    assert ours > exact(fit, glmmtmb, 0.40774) + 50.0


def test_laplace_understates_it_as_there_are_several_modes(fit):
    assert fit.converged
    lme4 = -992.4359
    assert lme4 < fit.llf < exact(fit, fit.params.to_numpy(), float(fit.theta.iloc[0]))
    density = log_density(fit, fit.params.to_numpy(), float(fit.theta.iloc[0]))
    modes = (density[:, 1:-1] > density[:, :-2]) & (density[:, 1:-1] > density[:, 2:])
    assert modes.sum(axis=1).max() >= 6

"""Structured covariances have several maxima: the usual search finds the one that random starts find."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

STARTS = 9  # the usual one and eight random ones
SAME = 1e-6  # of the log-likelihood


def sites(seed, size=6):
    """Distances between random places."""
    place = np.random.default_rng(seed).uniform(0, 10, (size, 2))
    return np.sqrt(np.square(place[:, None] - place).sum(axis=-1))


def decaying(name, distance, *, is_log=False, lower=0.01, upper=50.0, variances="one"):
    """Register correlations ``exp(-distance / range)``, by the range or by its logarithm."""

    def correlation(p, size):
        return np.exp(distance[:size, :size] * (-np.exp(-p[0]) if is_log else -1 / p[0]))

    ends = (np.log(lower), np.log(upper)) if is_log else (lower, upper)
    mfx.register_covariance(name, correlation, lower=ends[0], upper=ends[1], variances=variances)
    return name


def occasions(seed, *, groups=12, size=6, root=None):
    """A row for every group at every occasion: autoregressive effects, or ones with a ``root``, and noise."""
    rng = np.random.default_rng(seed)
    rho = rng.uniform(-0.5, 0.95)
    if root is None:
        root = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size))))
    effects = rng.normal(size=(groups, size)) @ root.T
    group, at = (index.ravel() for index in np.indices((groups, size)))
    noise = rng.choice([0.1, 0.4, 1.0, 3.0])
    return pd.DataFrame(
        {"g": group, "t": [f"t{k}" for k in at], "y": effects.ravel() + noise * rng.normal(size=groups * size)}
    )


def random_design(structure, seed):
    """A formula with one structured term, and its rows."""
    if structure in ("one range", "ranges"):
        distance = sites(seed)
        root = np.linalg.cholesky(np.exp(-distance / 2))
        variances = "one" if structure == "one range" else "each"
        name = decaying(f"decay{variances}{seed}", distance, variances=variances)
        return f"y ~ 1 + {name}(0 + t | g)", occasions(seed, root=root)
    data = occasions(seed)
    if structure == "homcs":
        data = pd.concat([data, data.assign(y=data["y"] + np.random.default_rng(seed).normal(size=len(data)))])
    return f"y ~ 1 + {structure}(0 + t | g)", data.reset_index(drop=True)


def miss(structure, seed):
    """How far the usual fit lies below the best of several starts."""
    formula, data = random_design(structure, seed)
    fit = mfx.lmer(formula, data, control=mfx.Control(starts=STARTS, seed=1))
    usual = mfx.lmer(formula, data)
    return fit.llf - usual.llf


@pytest.mark.parametrize(("structure", "seed"), [("one range", 0), ("one range", 3), ("ar1", 1), ("hetar1", 2)])
@pytest.mark.filterwarnings("ignore::mixedfx.ConvergenceWarning", "ignore::mixedfx.SingularFitWarning")
def test_the_usual_search_finds_what_random_starts_find(structure, seed):
    """It ended up to 3.7 below when it started in one place."""
    assert miss(structure, seed) <= SAME


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["one range", "ranges", "ar1", "hetar1", "cs", "homcs", "toep"])
@pytest.mark.filterwarnings("ignore::mixedfx.ConvergenceWarning", "ignore::mixedfx.SingularFitWarning")
def test_misses_are_few(structure):
    assert sum(miss(structure, 100 + seed) > SAME for seed in range(8)) <= 1


@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.filterwarnings("ignore::mixedfx.ConvergenceWarning")
def test_the_maximum_does_not_depend_on_how_a_parameter_is_written(seed):
    """A range that is bounded far away and its logarithm start their searches at very different correlations."""
    distance = sites(seed)
    data = occasions(seed, root=np.linalg.cholesky(np.exp(-distance / 2)))
    names = [decaying(f"way{seed}{is_log}", distance, is_log=is_log) for is_log in (False, True)]
    plain, log = (mfx.lmer(f"y ~ 1 + {name}(0 + t | g)", data).llf for name in names)
    assert plain == pytest.approx(log, abs=SAME)


@pytest.mark.parametrize("seed", [0, 4, 5, 8])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_the_maximum_of_a_generalised_model_does_not_depend_on_it_either(seed):
    """It was up to 2.8 lower where the parameter was the range itself."""
    distance = sites(seed)
    data = occasions(seed, root=np.linalg.cholesky(np.exp(-distance / 2)))
    data["k"] = np.random.default_rng(seed).poisson(np.exp(1 + 0.7 * data["y"].clip(-3, 3)))
    names = [decaying(f"count{seed}{is_log}", distance, is_log=is_log) for is_log in (False, True)]
    plain, log = (mfx.glmer(f"k ~ 1 + {name}(0 + t | g)", data, family="poisson").llf for name in names)
    assert plain == pytest.approx(log, abs=1e-5)

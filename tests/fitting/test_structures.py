"""Law: the likelihood of a structure is never below that of a structure that it contains."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

CONTAINED = [
    ("homdiag", "diag"),
    ("homdiag", "homcs"),
    ("homdiag", "ar1"),
    ("homcs", "cs"),
    ("ar1", "hetar1"),
    ("diag", "cs"),
    ("diag", "hetar1"),
    ("homcs", "toep"),
    ("cs", "toep"),
    ("hetar1", "toep"),
    ("toep", "us"),
    ("one", "homcs"),
    ("one", "ar1"),
]
STRUCTURES = sorted({name for pair in CONTAINED for name in pair})


def weak_variances(seed: int) -> pd.DataFrame:
    """Groups whose 2 to 4 conditions vary little or not at all, with or without a correlation."""
    rng = np.random.default_rng(seed)
    k, groups = seed % 3 + 2, int(rng.integers(6, 16))
    rows = k * int(rng.integers(2, 5))
    g, f = np.repeat(np.arange(groups), rows), np.tile(np.arange(k), groups * rows // k)
    sds, shared = rng.choice([0.0, 0.0, 0.3, 0.6], size=k), rng.choice([0.0, 0.0, 0.5, 0.9])
    b = np.sqrt(1 - shared) * rng.normal(size=(groups, k)) + np.sqrt(shared) * rng.normal(size=(groups, 1))
    y = rng.normal(size=g.size) + (sds * b)[g, f]
    return pd.DataFrame({"y": y, "g": g, "f": np.array(list("abcd"))[f]})


def term(structure: str) -> str:
    return "(1 | g)" if structure == "one" else f"{structure}(0 + f | g)"


def assert_nested(data: pd.DataFrame, reml: bool, doubtful: int = 0) -> None:
    """No structure is below one that it contains; so many of the nine verdicts may be of doubt, none of them false."""
    fits = {name: mfx.lmer(f"y ~ 1 + {term(name)}", data, reml=reml) for name in STRUCTURES}
    assert sum(not fit.converged for fit in fits.values()) <= doubtful
    for inner, outer in CONTAINED:
        assert fits[outer].llf > fits[inner].llf - 1e-6, (inner, outer)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("seed", range(5))
def test_a_structure_is_never_below_one_that_it_contains(seed):
    assert_nested(weak_variances(seed), reml=bool(seed % 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("seed", range(5, 505))
def test_a_structure_is_never_below_one_that_it_contains_in_many_data_sets(seed):
    assert_nested(weak_variances(seed), reml=bool(seed % 2), doubtful=2)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize(("seed", "llf"), [(20, -174.8007), (12, -150.43), (6, -154.64)])
def test_the_optimum_of_compound_symmetry_beside_glmmtmb(seed, llf):
    """glmmTMB 1.1.11, ``y ~ 1 + cs(0 + f | g)``; the searches used to end where every variance is zero."""
    rng = np.random.default_rng(seed)
    g, f = np.repeat(np.arange(12), 9), np.tile(np.arange(3), 36)
    y = rng.normal(size=108) + 0.5 * rng.normal(size=(12, 3))[g, f] * (f < 2)
    fit = mfx.lmer("y ~ 1 + cs(0 + f | g)", {"y": y, "g": g, "f": np.array(list("abc"))[f]}, reml=False)
    assert fit.converged
    assert fit.llf == pytest.approx(llf, abs=0.006)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("seed", range(3))
def test_generalised_models_keep_the_law(seed):
    data = weak_variances(seed)
    data["count"] = np.random.default_rng(seed).poisson(np.exp(0.8 + 0.7 * (data.y - data.y.mean())))
    names = ("homdiag", "diag", "homcs", "cs")
    fits = {name: mfx.glmer(f"count ~ 1 + {term(name)}", data, family="poisson") for name in names}
    for inner, outer in (("homdiag", "diag"), ("homdiag", "homcs"), ("homcs", "cs"), ("diag", "cs")):
        assert fits[outer].llf > fits[inner].llf - 1e-6, (inner, outer)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("seed", [5009])
def test_a_search_that_fails_looks_from_within(seed):
    """The search of ``hetar1`` ended at a saddle with positive variances, below the optimum of ``diag``."""
    assert_generalised_nested(few_counts(seed), "nbinom2")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("family", ["poisson", "nbinom2"])
@pytest.mark.parametrize("seed", range(5000, 5040))
def test_structures_of_counts_keep_the_law_in_many_data_sets(seed, family):
    assert_generalised_nested(few_counts(seed), family)


def few_counts(seed: int) -> pd.DataFrame:
    """Counts of 6 to 12 groups under three conditions, twice each, with equal or unequal effects of the groups."""
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(6, 13))
    g, f = np.repeat(np.arange(groups), 6), np.tile(np.repeat(np.arange(3), 2), groups)
    sds, rho = rng.choice([0.0, 0.1, 0.4, 1.0], size=3), float(rng.choice([0.0, 0.6, -0.4]))
    correlation = rho ** np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    b = sds * (rng.normal(size=(groups, 3)) @ np.linalg.cholesky(correlation).T)
    y = rng.negative_binomial(2, 2 / (2 + np.exp(0.3 + b[g, f])))
    return pd.DataFrame({"y": y, "g": g, "f": np.array(list("abc"))[f]})


def assert_generalised_nested(data: pd.DataFrame, family: str) -> None:
    fits = {name: mfx.glmer(f"y ~ 1 + {term(name)}", data, family=family) for name in STRUCTURES}
    for inner, outer in CONTAINED:
        assert fits[outer].llf > fits[inner].llf - 1e-6, (inner, outer)

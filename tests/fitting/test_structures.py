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


def assert_nested(data: pd.DataFrame, reml: bool) -> None:
    fits = {name: mfx.lmer(f"y ~ 1 + {term(name)}", data, reml=reml) for name in STRUCTURES}
    assert all(fit.converged for fit in fits.values())
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
    assert_nested(weak_variances(seed), reml=bool(seed % 2))


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

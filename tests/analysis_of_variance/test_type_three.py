"""Type III where columns are redundant: empty cells and nested factors."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

import mixedfx as mfx

HERE = Path(__file__).parent
THEIRS = json.loads(HERE.joinpath("type_three_reference.json").read_text(encoding="utf-8"))
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def oats():
    """As in type_three_reference.R."""
    factors = dict.fromkeys(["Block", "Variety", "nitroF"], str)
    frame = pd.read_csv(HERE.parent / "reference" / "data" / "OatsF.csv", dtype=factors)
    row = np.arange(1, len(frame) + 1)
    level = frame["nitroF"].map({"0": "low", "0.2": "low", "0.4": "middle", "0.6": "high"})
    frame = frame.assign(x=(row * 7) % 11 + row / 10, t=np.where((row * 5) % 7 < 3, "u", "v"), level=level)
    return frame[row % 9 != 4]


def with_holes(oats):
    first = (oats["Variety"] == "Victory") & (oats["nitroF"] == "0.6")
    second = (oats["Variety"] == "Marvellous") & (oats["nitroF"] == "0")
    return oats[~first & ~second]


def fitted(fixed, data, **options):
    with pytest.warns(mfx.RankDeficientWarning):
        return mfx.lmer(f"yield ~ {fixed} + (1 | Block)", data, **options)


@pytest.mark.parametrize("fixed", THEIRS["crossed"])
def test_empty_cells_as_in_lmertest(oats, fixed):
    table = mfx.anova(fitted(fixed, with_holes(oats))).to_frame()
    for row in THEIRS["crossed"][fixed]:
        ours = table.loc[row["term"]]
        assert ours["df"] == row["df"]
        assert ours["F"] == pytest.approx(row["F"], rel=2e-4)
        assert ours["den_df"] == pytest.approx(row["den_df"], rel=1e-3)


@pytest.mark.parametrize("fixed", THEIRS["nested"])
def test_nested_factors_as_in_emmeans(oats, fixed):
    table = mfx.anova(fitted(fixed, oats)).to_frame()
    assert len(table) == len(THEIRS["nested"][fixed])
    for row in THEIRS["nested"][fixed]:
        ours = table.loc[row["term"]]
        assert ours["df"] == row["df"]
        assert ours["F"] == pytest.approx(row["F"], abs=6e-4)


# --------------------------------------------------------------------------- the definition, with dense matrices
def indicators(data, factors):
    cells = data[list(factors)].astype(str).agg("\x00".join, axis=1) if factors else pd.Series("", index=data.index)
    return (cells.to_numpy()[:, None] == np.unique(cells)).astype(float)


def null_space(matrix):
    return linalg.null_space(matrix, rcond=ROUNDING) if matrix.size else np.eye(matrix.shape[1])


def dense_type_three(data, terms, covariates, own):
    """The hypothesis on one parameter a cell (Goodnight 1978), and the matrix of all of those parameters.

    ``terms`` are tuples of factors and covariates; the first is the intercept.
    """
    blocks = []
    for term in terms:
        product = np.prod([data[name].to_numpy(dtype=float) for name in term if name in covariates], axis=0)
        blocks.append(
            indicators(data, [name for name in term if name not in covariates]) * np.reshape(product, (-1, 1))
        )
    W = np.hstack(blocks)
    place = np.repeat(np.arange(len(terms)), [block.shape[1] for block in blocks])

    def contains(outer, inner):
        numeric = set(inner) & set(covariates) == set(outer) & set(covariates)
        return numeric and set(inner) < set(outer)

    above = [j for j, term in enumerate(terms) if contains(term, own)]
    position = terms.index(own)
    estimable = linalg.orth(W.T, rcond=ROUNDING).T
    within = null_space(estimable[:, ~np.isin(place, [position, *above])].T).T @ estimable
    higher = null_space(within[:, place == position].T).T @ within
    return null_space(higher @ within.T).T @ within if len(higher) else within, W


CASES = {
    "a * b": ((), ("a",), ("b",), ("a", "b")),
    "a * b * t": ((), ("a",), ("b",), ("t",), ("a", "b"), ("a", "t"), ("b", "t"), ("a", "b", "t")),
    "a * b * x": ((), ("a",), ("b",), ("x",), ("a", "b"), ("a", "x"), ("b", "x"), ("a", "b", "x")),
    "a + a:b + t:b": ((), ("a",), ("a", "b"), ("b", "t")),
    "region / state": ((), ("region",), ("region", "state")),
    "t * (region / state)": ((), ("t",), ("region",), ("t", "region"), ("region", "state"), ("t", "region", "state")),
    "region / state + region:x + x": ((), ("region",), ("x",), ("region", "state"), ("region", "x")),
    "region / t / state": ((), ("region",), ("region", "t"), ("region", "t", "state")),
    "region + state + x": ((), ("region",), ("state",), ("x",)),
}


@pytest.fixture(scope="module")
def unbalanced():
    """Seven states of very unequal size in three regions; the same as combinations of a and b, two of them empty."""
    rng = np.random.default_rng(3)
    state = rng.choice(7, 160, p=[0.3, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1])
    data = pd.DataFrame({"state": [f"s{i}" for i in state]})
    data["region"] = np.array(list("AAABBCC"))[state]
    data["a"], data["b"] = data["region"], np.array(list("pqrpqqr"))[state]
    data["t"], data["g"] = rng.choice(["u", "v"], 160), rng.choice([f"g{i}" for i in range(12)], 160)
    data["x"] = rng.normal(3, 1, 160)
    data["z"] = 2 * data["x"] - 1
    data["y"] = 0.3 * state + rng.normal(size=12)[data["g"].str[1:].astype(int)] + rng.normal(size=160)
    return data


@pytest.mark.parametrize("fixed", CASES)
def test_the_definition(unbalanced, fixed):
    with pytest.warns(mfx.RankDeficientWarning):
        fit = mfx.lmer(f"y ~ {fixed} + (1 | g)", unbalanced)
    table = mfx.anova(fit).to_frame()
    Z = indicators(unbalanced, ["g"])
    covariance = fit.scale * (np.eye(160) + fit.theta.iloc[0] ** 2 * Z @ Z.T)
    half = linalg.solve_triangular(np.linalg.cholesky(covariance), np.eye(160), lower=True)
    for term in CASES[fixed][1:]:
        L, W = dense_type_three(unbalanced, CASES[fixed], ["x", "z"], term)
        row = table.loc[next(label for label in table.index if set(label.split(":")) == set(term))]
        assert row["df"] == len(L)
        if len(L):
            pseudo = np.linalg.pinv(half @ W, rcond=ROUNDING)
            gamma, spread = pseudo @ half @ unbalanced["y"].to_numpy(), L @ pseudo @ pseudo.T @ L.T
            f = (L @ gamma) @ np.linalg.solve(spread, L @ gamma) / len(L)
            assert row["F"] == pytest.approx(f, rel=1e-6)


@pytest.mark.parametrize("fixed", ["a * b * x", "region / state + t"])
def test_coding_names_and_order_of_levels_do_not_matter(unbalanced, fixed):
    def table(data, **options):
        with pytest.warns(mfx.RankDeficientWarning):
            return mfx.anova(mfx.lmer(f"y ~ {fixed} + (1 | g)", data, **options))["F"].to_numpy()

    expected = table(unbalanced)
    factors = [name for name in ("a", "b", "region", "state", "t") if name in fixed.split() + ["b"]]
    for coding in ("sum", "helmert", "poly"):
        assert table(unbalanced, contrasts=dict.fromkeys(factors, coding)) == pytest.approx(expected, rel=1e-6)
    other = unbalanced.assign(
        state=unbalanced["state"].map(lambda s: f"q{9 - int(s[1])}"),
        region=unbalanced["region"].map({"A": "z", "B": "k", "C": "c"}),
        a=unbalanced["a"].map({"A": "z", "B": "k", "C": "c"}),
        x=unbalanced["x"] * 1e5,
    )
    assert table(other) == pytest.approx(expected, rel=1e-6)


def test_redundant_covariates_count_as_left_out(unbalanced):
    """With all cells filled the general form gives the usual hypotheses."""
    full = mfx.anova(mfx.lmer("y ~ a * t + x + a:x + (1 | g)", unbalanced))
    with pytest.warns(mfx.RankDeficientWarning):
        more = mfx.anova(mfx.lmer("y ~ a * t + x + z + a:x + (1 | g)", unbalanced))
    assert more["F"].drop("z").to_numpy() == pytest.approx(full["F"].to_numpy(), rel=1e-8)
    assert more.loc["z", "df"] == 0.0


def test_weights_of_zero_make_empty_cells(unbalanced):
    data = unbalanced.assign(w=(unbalanced["a"] + unbalanced["t"] != "Bv").astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.RankDeficientWarning)
        weighted = mfx.anova(mfx.lmer("y ~ a * t + (1 | g)", data, weights="w"))
        without = mfx.anova(mfx.lmer("y ~ a * t + (1 | g)", data[data["w"] > 0]))
    assert weighted["F"].to_numpy() == pytest.approx(without["F"].to_numpy(), rel=1e-6)


def test_one_stratum_is_the_linear_model(unbalanced):
    """F of the rows of aov, from the dense hypotheses and ordinary least squares."""
    table = mfx.aov("y ~ region / state", unbalanced, type=3).to_frame()
    for term in (("region",), ("region", "state")):
        L, W = dense_type_three(unbalanced, CASES["region / state"], (), term)
        pseudo, y = np.linalg.pinv(W, rcond=ROUNDING), unbalanced["y"].to_numpy()
        gamma = pseudo @ y
        s2 = np.sum((y - W @ gamma) ** 2) / (160 - 7)
        f = (L @ gamma) @ np.linalg.solve(L @ pseudo @ pseudo.T @ L.T, L @ gamma) / len(L) / s2
        assert table.loc[":".join(term), "F"] == pytest.approx(f, rel=1e-8)


def test_thresholds_in_place_of_an_intercept(unbalanced):
    data = unbalanced.assign(o=pd.qcut(unbalanced["y"], 3, labels=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.RankDeficientWarning)
        nested = mfx.glmer("o ~ region / state + (1 | g)", data, family="ordinal")
        plain = mfx.glmer("o ~ state + (1 | g)", data, family="ordinal")
    means = mfx.emmeans(plain, "state")
    L = np.array([[2, 2, 2, -3, -3, 0, 0], [2, 2, 2, 0, 0, -3, -3]]) / 6
    chi2 = mfx.anova(nested).loc["region", "chi2"]
    estimates, covariance = L @ means.estimates, L @ means.cov().to_numpy() @ L.T
    assert chi2 == pytest.approx(estimates @ np.linalg.solve(covariance, estimates), rel=1e-4)


def test_the_table_says_how(oats):
    notes = " ".join(mfx.anova(fitted("level / nitroF", oats)).notes)
    assert "that of level those functions are tested that can be estimated" in notes
    notes = " ".join(mfx.anova(fitted("level + nitroF", oats)).notes)
    assert "if a factor is nested in it, write level / that factor" in notes

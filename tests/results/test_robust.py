"""Cluster-robust tests: against n by n matrices, clubSandwich of R, statsmodels, likelihoods of clusters, and laws."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import linalg

import mixedfx as mfx
from mixedfx.inference.cluster_robust import cluster_scores

EXTRA = Path(__file__).parents[1] / "reference_extra"
KINDS = ("CR0", "CR1", "CR2")
FORMULA = "y ~ x + f + policy"


@cache
def data():
    return pd.read_csv(EXTRA / "data" / "robust.csv")


@cache
def reference():
    return json.loads((EXTRA / "inference" / "robust.json").read_text(encoding="utf-8"))["cases"]


CASES = {
    "intercept": (" + (1 | school)", {}, "school"),
    "slope": (" + (x | school)", {}, "school"),
    "ml": (" + (1 | school)", {"reml": False}, "school"),
    "above": (" + (1 | school)", {}, "district"),
    "nested": (" + (1 | district / school)", {}, "district"),
    "weights": (" + (1 | school)", {"weights": "w"}, "school"),
    "serial": (" + (1 | school)", {"residual": mfx.AR1("week", group="school")}, "school"),
    "strata": ("", {"residual": mfx.VarIdent("f")}, "school"),
    "offset": (" + (1 | school)", {"offset": "w"}, "school"),
    "weights and serial": (
        " + (1 | school)",
        {"residual": mfx.AR1("week", group="school"), "weights": "w"},
        "district",
    ),
}


@cache
def fitted(case):
    random, options, _ = CASES[case]
    return mfx.lmer(FORMULA + random, data(), **options)


# ------------------------------------------------------------------ the definition by n by n matrices
def working_covariance(fit):
    """V relative to sigma squared."""
    frame, n = data(), fit.nobs
    variances = np.ones(n)
    correlation = np.eye(n)
    residual = fit.residual_params
    if "phi" in residual.index:
        same = frame["school"].to_numpy()[:, None] == frame["school"].to_numpy()[None]
        weeks = frame["week"].to_numpy()
        correlation = np.where(same, residual["phi"] ** abs(weeks[:, None] - weeks[None]), 0.0)
    elif len(residual):
        sizes = {"a": 1.0} | {name[2]: ratio for name, ratio in residual.items()}
        variances = frame["f"].map(sizes).to_numpy() ** 2
    if fit.design.weights is not None:
        variances = variances / fit.design.weights
    V = np.sqrt(np.outer(variances, variances)) * correlation
    for term, effects in zip(fit.design.random, fit.varcorr.terms, strict=True):
        shared = term.codes[:, None] == term.codes[None]
        V = V + shared * (term.matrix @ (effects.matrix / fit.scale) @ term.matrix.T)
    return V


def symmetric_power(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-9 * values.max()
    return (vectors[:, kept] * values[kept] ** power) @ vectors[:, kept].T


class Dense:
    """Everything by its definition: hat matrix, adjustment matrices, quadratic forms."""

    def __init__(self, fit, clusters, kind):
        V, X = working_covariance(fit), fit.design.fixed.matrix
        y = fit.design.response.values - (0 if fit.design.offset is None else fit.design.offset)
        W = np.linalg.inv(V)
        self.M = np.linalg.inv(X.T @ W @ X)
        H = X @ self.M @ X.T @ W
        labels = pd.unique(clusters)
        e, parts = y - H @ y, []
        for label in labels:
            own = np.flatnonzero(clusters == label)
            Vj, Ij = V[np.ix_(own, own)], (np.eye(len(y)) - H)[own]
            A = np.eye(len(own)) * (np.sqrt(len(labels) / (len(labels) - 1)) if kind == "CR1" else 1.0)
            if kind == "CR2":
                D = linalg.cholesky(Vj)
                A = D.T @ symmetric_power(D @ Ij @ V @ Ij.T @ D.T, -0.5) @ D
            parts.append(self.M @ X[own].T @ W[np.ix_(own, own)] @ A @ Ij)
        self.parts, self.V = parts, V  # each: from y to a cluster's share of beta
        self.covariance = sum(np.outer(T @ e, T @ e) for T in parts)

    def products(self, C):
        """P_ij^{st}: covariances of the shares of two clusters in two contrasts, (m, m, q, q)."""
        g = np.array([C @ T for T in self.parts])
        return np.einsum("isn,nk,jtk->ijst", g, self.V, g, optimize=True)

    def df(self, row):
        P = self.products(row[None])[:, :, 0, 0]
        return np.trace(P) ** 2 / np.sum(P**2)

    def htz(self, C):
        q, P = len(C), self.products(C)
        root = symmetric_power(np.einsum("iist->st", P), -0.5)
        P = np.einsum("as,ijst,bt->ijab", root, P, root)
        variance = 0.0
        for s in range(q):
            for t in range(q):
                variance += np.sum(P[:, :, s, s] * P[:, :, t, t] + P[:, :, s, t] * P[:, :, t, s])
        eta = q * (q + 1) / variance
        return eta - q + 1, (eta - q + 1) / eta


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_definition(case, kind):
    fit, name = fitted(case), CASES[case][2]
    found, dense = fit.robust(name, kind), Dense(fit, data()[name].to_numpy(), kind)
    assert found.cov_params().to_numpy() == pytest.approx(dense.covariance, rel=1e-6, abs=1e-10)
    rows = np.vstack([np.eye(5), [0.0, 0, 1, -1, 0]])
    assert found.t_test(rows).df_denom == pytest.approx([dense.df(row) for row in rows], rel=1e-6)
    for C in (np.eye(5)[2:4], np.eye(5)[1:], rows[[1, 5]]):
        df, scaling = dense.htz(C)
        test = found.wald_test(C)
        b = C @ fit.params.to_numpy()
        wald = b @ np.linalg.solve(C @ dense.covariance @ C.T, b)
        assert [test.df_denom, test.fvalue] == pytest.approx([df, scaling * wald / len(C)], rel=1e-6)


def test_fixed_effects_of_the_clusters_leave_a_pseudo_inverse():
    """Dummies of clusters fit each cluster's mean, so that some direction of it has no residual."""
    formula = "y ~ x + school + (1 | section)"
    frame = data().assign(section=data()["school"] + "/" + (data()["week"] % 2).astype(str))
    fit = mfx.lmer(formula, frame)
    found, dense = fit.robust("school"), Dense(fit, frame["school"].to_numpy(), "CR2")
    assert found.bse["x"] == pytest.approx(np.sqrt(dense.covariance[1, 1]), rel=1e-6)
    assert found.df["x"] == pytest.approx(dense.df(np.eye(len(fit.params))[1]), rel=1e-6)


# ------------------------------------------------------------------ clubSandwich
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [case for case in CASES if case not in ("weights", "offset", "weights and serial")])
def test_clubsandwich(case, kind):
    """Its numbers, for estimates of lme4 and nlme: what differs is where their searches ended."""
    expected, found = reference()[case]["kinds"][kind], fitted(case).robust(CASES[case][2], kind)
    close = 5e-4 if case in ("serial", "strata", "nested") else 1e-4
    assert found.bse.to_numpy() == pytest.approx(np.array(expected["se"]), rel=close)
    assert found.df.to_numpy() == pytest.approx(np.array(expected["df"]), rel=close)
    assert found.pvalues.to_numpy() == pytest.approx(np.array(expected["p"]), rel=20 * close, abs=1e-9)
    for name, rows in {"f": np.eye(5)[2:4], "all": np.eye(5)[1:]}.items():
        test, theirs = found.wald_test(rows), expected["joint"][name]
        assert [test.fvalue, test.df_denom] == pytest.approx([theirs["Fstat"], theirs["df_denom"]], rel=2 * close)
        assert test.pvalue == pytest.approx(theirs["p_val"], rel=20 * close)


# ------------------------------------------------------------------ laws
def test_without_random_effects_they_are_those_of_least_squares():
    theirs = smf.ols(FORMULA, data()).fit()
    ours = mfx.LinearMixedModel(FORMULA, data()).fit()
    schools = pd.factorize(data()["school"])[0]
    plain = theirs.get_robustcov_results("cluster", groups=schools, use_correction=False)
    expected = pd.Series(plain.bse, theirs.params.index)[ours.params.index]
    for kind, factor in (("CR0", 1.0), ("CR1", 30 / 29)):
        found = ours.robust("school", kind).bse
        assert found.to_numpy() == pytest.approx(np.sqrt(factor) * expected.to_numpy(), rel=1e-8)
    alone = ours.robust(np.arange(len(data())), "CR2").bse  # each row a cluster: HC2
    assert alone.to_numpy() == pytest.approx(theirs.HC2_se[ours.params.index].to_numpy(), rel=1e-8)


def test_a_variance_of_zero_is_no_random_effect():
    shuffled = data().assign(g=np.arange(len(data())) % 12)
    shuffled["y"] = shuffled["y"] - shuffled.groupby("g")["y"].transform("mean")
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer(FORMULA + " + (1 | g)", shuffled)
    plain = mfx.LinearMixedModel(FORMULA, shuffled).fit()
    for kind in KINDS:
        pd.testing.assert_frame_equal(
            fit.robust(kind=kind).to_frame(), plain.robust("g", kind).to_frame(), rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("case", ["slope", "serial"])
def test_neither_the_order_of_rows_nor_of_levels_matters(case):
    rng = np.random.default_rng(1)
    frame = data().iloc[rng.permutation(len(data()))].reset_index(drop=True)
    frame["school"] = pd.Categorical(frame["school"], rng.permutation(frame["school"].unique()))
    random, options, cluster = CASES[case]
    one, two = fitted(case).robust(cluster), mfx.lmer(FORMULA + random, frame, **options).robust(cluster)
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame(), rtol=1e-4)


@pytest.mark.parametrize("case", ["slope", "weights"])
def test_units_do_not_matter(case):
    random, options, cluster = CASES[case]
    scaled = data().assign(y=1e4 * data()["y"], x=data()["x"] / 1e3 + 5)
    one, two = fitted(case).robust(cluster), mfx.lmer(FORMULA + random, scaled, **options).robust(cluster)
    factor = np.array([1e4, 1e7, 1e4, 1e4, 1e4])
    assert two.bse.to_numpy()[1:] == pytest.approx((factor * one.bse.to_numpy())[1:], rel=1e-4)
    assert two.df.to_numpy()[1:] == pytest.approx(one.df.to_numpy()[1:], rel=1e-4)


def test_terms_are_tested_alike_in_every_coding():
    codings = ["treatment", "sum", "helmert"]
    formula = "y ~ x + f * policy + (1 | school)"
    tables = [
        mfx.lmer(formula, data(), contrasts={"f": coding, "policy": coding}).robust().anova().to_frame()
        for coding in codings
    ]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other, rtol=1e-4)


def test_what_is_tested_together_does_not_depend_on_how_it_is_written():
    found = fitted("slope").robust()
    one = found.wald_test("f[T.b] = 0.1, f[T.c] = 0.2")
    for text in ("f[T.c] = 0.2, f[T.b] = 0.1", "f[T.b] + f[T.c] = 0.3, f[T.c] - f[T.b] = 0.1, 2 * f[T.b] = 0.2"):
        other = found.wald_test(text)
        assert [other.fvalue, other.df_num, other.df_denom] == pytest.approx([one.fvalue, 2, one.df_denom], rel=1e-8)
    alone, together = found.t_test("x = 0.3"), found.wald_test("x = 0.3")
    assert together.fvalue == pytest.approx(alone.statistic[0] ** 2, rel=1e-8)
    assert together.df_denom == pytest.approx(alone.df_denom[0], rel=1e-8)


def test_balanced_within_subjects_it_is_hotellings_test():
    """With one row a subject and cell the test of a within factor is Hotelling's T squared, with its own df."""
    ergostool = mfx.load_dataset("ergostool")
    table = mfx.lmer("effort ~ Type + (1 | Subject)", ergostool).robust().anova().to_frame()
    assert list(table.columns) == ["df", "den_df", "F", "PR(>F)"]  # no mean squares, which F is no ratio of
    test = table.loc["Type"]
    wide = ergostool.pivot(index="Subject", columns="Type", values="effort").to_numpy()
    contrasts = wide[:, 1:] - wide[:, :1]
    m, q = contrasts.shape
    mean = contrasts.mean(axis=0)
    t2 = m * mean @ np.linalg.solve(np.cov(contrasts.T), mean)
    assert [test["F"], test["den_df"]] == pytest.approx([t2 * (m - q) / (q * (m - 1)), m - q], rel=1e-6)


def test_clusters_may_be_named_in_any_way():
    fit = fitted("above")
    by_name = fit.robust("district").bse
    for labels in (data()["district"], data()["district"].to_numpy(), list(data()["district"])):
        assert fit.robust(labels).bse.tolist() == by_name.tolist()
    assert fit.robust().bse.tolist() == fit.robust("school").bse.tolist()
    holes = data().assign(x=data()["x"].mask(data().index % 9 == 0))
    dropped = mfx.lmer(FORMULA + " + (1 | school)", holes)
    kept = holes.dropna()
    again = mfx.lmer(FORMULA + " + (1 | school)", kept).robust(kept["district"]).bse
    for labels in ("district", holes["district"], kept["district"]):
        assert dropped.robust(labels).bse.to_numpy() == pytest.approx(again.to_numpy(), rel=1e-10)


def test_a_saved_fit_has_the_same(tmp_path):
    fitted("slope").save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx").robust()
    pd.testing.assert_frame_equal(again.to_frame(), fitted("slope").robust().to_frame(), rtol=1e-8)


def test_marginal_means_have_the_robust_covariance():
    found = fitted("slope").robust()
    pairs = found.emmeans("f").pairs(adjust="none").to_frame()
    expected = found.t_test("f[T.c] = f[T.b]").to_frame().iloc[0]
    own = pairs.set_index("contrast").loc["b - c"]
    assert [own["se"], own["df"]] == pytest.approx([expected["se"], expected["df"]], rel=1e-8)


def test_effects_and_means_on_the_response_have_the_robust_covariance():
    frame = data().assign(hit=(data()["y"] > data()["y"].median()).astype(int))
    fit = mfx.glmer("hit ~ f + x + (1 | school)", frame, family="binomial")
    robust = fit.robust()
    means = mfx.emmeans(robust, "f", scale="response")
    assert means.to_frame()["se"].to_numpy() == pytest.approx(robust.emmeans("f", scale="response").to_frame()["se"])
    p, X = means.estimates, means.functions.L
    V = robust.cov_params().to_numpy()
    assert means.se == pytest.approx(p * (1 - p) * np.sqrt(np.einsum("rp,pq,rq->r", X, V, X)), rel=1e-8)
    own, found = (mfx.comparisons(one, "f", scale="link")["std_error"].to_numpy() for one in (fit, robust))
    assert found == pytest.approx(robust.bse.filter(like="f[").to_numpy(), rel=1e-8)
    assert abs(found / own - 1).max() > 0.01
    assert mfx.tidy(robust)["std_error"].to_numpy()[:4] == pytest.approx(robust.bse.to_numpy())


def test_few_clusters_are_told_below_every_table():
    few = data()[data()["school"].isin(data()["school"].unique()[:4])]
    robust = mfx.lmer("y ~ x + f + (1 | school)", few).robust()
    for table in (robust, robust.anova().summary(), robust.emmeans("f"), mfx.joint_tests(robust).summary()):
        assert "degrees of freedom only: few clusters" in " ".join(str(table).split())
        named = re.search(r"coefficient (\S+) has ([\d.]+) degrees", " ".join(str(table).split()))
        assert float(named[2]) == pytest.approx(robust.to_frame()["df"][named[1]], abs=0.05)


def test_the_table_says_what_it_is():
    text = " ".join(str(fitted("above").robust("district")).split())
    for words in ("CR2 standard errors by 14 clusters: district", "Pustejovsky and Tipton", "degrees of freedom only"):
        assert words in text
    assert "\\begin{table}" in fitted("slope").robust().summary().as_latex()


# ------------------------------------------------------------------ generalised models
@cache
def yes_and_no():
    """Responses with school effects of intercept and slope, and effects of the halves of a school's year."""
    rng, frame = np.random.default_rng(4), data()
    half = frame["school"] + (frame["week"] % 2).map({0: "even", 1: "odd"})
    effects = [rng.normal(0, sd, 60)[pd.factorize(by)[0]] for sd, by in ((0.6, frame["school"]), (0.5, half))]
    slopes = rng.normal(0.3, 0.5, 30)[pd.factorize(frame["school"])[0]]
    n = rng.poisson(np.exp(0.5 + slopes * frame["x"] + effects[0] + effects[1]))
    return frame.assign(yes=(n > 1).astype(int), n=n, half=half, size=np.exp(frame["y"]))


GENERALISED = {
    "laplace": ("yes ~ x + w + (1 | school)", {"family": "binomial"}),
    "quadrature": ("yes ~ x + w + (1 | school)", {"family": "binomial", "nagq": 7}),
    "slopes": ("n ~ x + w + (x | school)", {"family": "poisson"}),
    "slopes by quadrature": ("n ~ x + w + (x | school)", {"family": "poisson", "nagq": 15}),
    "two factors": ("n ~ x + (1 | school) + (1 | half)", {"family": "poisson"}),
    "dispersion": ("n ~ x + (1 | school)", {"family": "nbinom2", "dispersion": "~ x"}),
    "gamma": ("size ~ x + w + (1 | school)", {"family": "gamma", "link": "log"}),
}


@cache
def generalised(case):
    formula, options = GENERALISED[case]
    return mfx.glmer(formula, yes_and_no(), **options)


def own_model(case, frame):
    formula, options = GENERALISED[case]
    options = {name: value for name, value in options.items() if name != "nagq"}
    return mfx.GeneralizedLinearMixedModel(formula, frame, **options)


@pytest.mark.parametrize("case", GENERALISED)
def test_scores_of_clusters_are_slopes_of_their_own_likelihoods(case):
    """The model of the rows of one district, at the parameters of the whole: differences of its log-likelihood."""
    fit, nagq = generalised(case), GENERALISED[case][1].get("nagq", 1)
    codes, districts = pd.factorize(yes_and_no()["district"])
    scores = cluster_scores(fit.solution, codes, len(districts))
    assert scores.sum(axis=0) == pytest.approx(-0.5 * fit.solution.at.gradient, abs=1e-8)
    jacobian, at = fit.solution.problem.jacobian_to_user(fit.solution.x), fit.solution.estimate
    varied = yes_and_no().groupby("district")[["school", "yes"]].nunique().min(axis=1)
    chosen = [k for k, name in enumerate(districts) if varied[name] > 1][:4]
    assert chosen
    for j in chosen:
        model = own_model(case, yes_and_no()[codes == j])
        steps = 1e-5 * np.eye(at.size)
        slopes = [(model.loglike(at + h, nagq=nagq) - model.loglike(at - h, nagq=nagq)) / 2e-5 for h in steps]
        assert scores[j] == pytest.approx(jacobian.T @ np.array(slopes), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("case", GENERALISED)
def test_the_sandwich_of_scores(case):
    fit = generalised(case)
    codes, districts = pd.factorize(yes_and_no()["district"])
    jacobian = fit.solution.problem.jacobian_to_user(fit.solution.x)
    scores = np.linalg.solve(jacobian.T, cluster_scores(fit.solution, codes, len(districts)).T).T
    bread, p = fit.solution.covariance, len(fit.params)
    expected = (bread @ scores.T @ scores @ bread)[:p, :p]
    for kind, factor in (("CR0", 1.0), ("CR1", 14 / 13)):
        found = fit.robust("district", kind)
        assert found.cov_params().to_numpy() == pytest.approx(factor * expected, rel=1e-6)
        assert found.df.tolist() == [13.0] * p
    assert fit.robust("district").kind == "CR1"


def test_a_normal_generalised_model_has_the_linear_models_scores():
    """Of ML fits: the fixed effects and the variances are orthogonal, so that both sandwiches are one."""
    formula = "y ~ x + f + policy + (1 | school)"
    linear = mfx.lmer(formula, data(), reml=False)
    general = mfx.glmer(formula, data(), family="gaussian")
    one, two = (fit.robust("school", "CR0").bse.to_numpy() for fit in (linear, general))
    assert two == pytest.approx(one, rel=0.02)  # the observed information is block diagonal in expectation only


# ------------------------------------------------------------------ coverage
@pytest.mark.slow
def test_robust_intervals_hold_the_truth_where_the_model_is_wrong():
    """Slopes vary between 20 groups, and the model has none of it: the model's own intervals are far too short."""
    rng, truth, count, held = np.random.default_rng(5), 0.5, 400, np.zeros(2)
    g = np.repeat(np.arange(20), rng.integers(4, 16, 20))
    for _ in range(count):
        x = rng.normal(size=g.size) + rng.normal(size=20)[g]
        y = truth * x + x * rng.normal(0, 0.5, 20)[g] + rng.normal(0, 0.5, 20)[g] + rng.normal(size=g.size)
        fit = mfx.lmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g.astype(str)}))
        for k, limits in enumerate((fit.conf_int(), fit.robust().conf_int())):
            held[k] += limits.loc["x", "lower"] <= truth <= limits.loc["x", "upper"]
    assert held[0] / count < 0.85
    assert abs(held[1] / count - 0.95) < 0.035

"""Pictures by the data behind them: frames against definitions, and what is drawn against the frames."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from scipy import stats
from scipy.optimize import minimize

import mixedfx as mfx
from mixedfx import plots
from mixedfx.plots import engine


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def teeth():
    return mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))


@pytest.fixture(scope="module")
def herds():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def points(ax, k=0):
    return np.column_stack(ax.lines[k].get_data())


def test_residuals_and_their_roots(sleep, herds):
    frame = plots.residual_frame(sleep)
    assert frame["residual"].to_numpy() == pytest.approx(sleep.resid.to_numpy() / sleep.sigma)
    assert points(plots.residuals(sleep), 1) == pytest.approx(frame[["fitted", "residual"]].to_numpy())
    assert points(plots.scale_location(sleep))[:, 1] == pytest.approx(np.sqrt(np.abs(frame["residual"])))
    assert plots.residuals(herds).get_xlabel() == "linear predictor"
    assert plots.residual_frame(herds, "pearson")["residual"].tolist() == herds.residuals("pearson").tolist()


@pytest.mark.parametrize(("groups", "size"), [(300, 5), (12, 30)])
def test_points_of_true_models_lie_in_the_band(groups, size):
    """About residuals that were not in their own standard deviations 30 to 50 % lay outside (300 groups of 5)."""
    rng, g = np.random.default_rng(0), np.repeat(np.arange(groups), size)
    shares = []
    for _ in range(12):
        y = rng.normal(size=groups)[g] + rng.normal(size=g.size)
        counts = rng.poisson(np.exp(0.5 + 0.5 * y))
        fits = (
            mfx.lmer("y ~ 1 + (1 | g)", {"y": y, "g": g}),
            mfx.glmer("c ~ 1 + (1 | g) + (1 | r)", {"c": counts, "g": g, "r": np.arange(g.size)}, family="poisson"),
        )
        frames = [plots.qq_frame(fit) for fit in fits]
        shares.append([((q["sample"] < q["lower"]) | (q["sample"] > q["upper"])).mean() for q in frames])
    assert np.mean(shares, axis=0).max() < 0.1


def test_quantiles_and_their_band(sleep):
    frame = plots.qq_frame(sleep, alpha=0.1)
    n = len(frame)
    own = sleep.residuals("normalized") / np.sqrt(1 - mfx.leverage(sleep)["total"])
    assert frame["sample"].to_numpy() == pytest.approx(np.sort(own))
    assert frame["lower"].iloc[4] == pytest.approx(stats.norm.ppf(stats.beta.ppf(0.05, 5, n - 4)))
    effects = plots.qq_frame(sleep, "Subject", "Days")
    assert len(effects) == 18
    assert points(plots.qq(sleep, "Subject", "Days"), 1)[:, 1] == pytest.approx(effects["sample"])
    with pytest.raises(mfx.SpecificationError, match="'x'; choose from 'Intercept', 'Days'"):
        plots.qq(sleep, "Subject", "x")


def test_quantiles_of_simulated_residuals(herds):
    found = mfx.quantile_residuals(herds, 100, seed=1)
    assert points(found.plot(), 1)[:, 1] == pytest.approx(np.sort(found.normal))


def test_shrinkage_starts_at_least_squares_and_ends_at_the_model(sleep):
    frame = plots.shrinkage_frame(sleep).set_index(["level", "term"])
    own = mfx.load_dataset("sleepstudy").query("Subject == '335'")
    slope, intercept = np.polyfit(own["Days"], own["Reaction"], 1)
    assert frame["no"]["335"].tolist() == pytest.approx([intercept, slope])
    assert frame["partial"]["335"].tolist() == pytest.approx(sleep.coefficients["Subject"].loc["335"].tolist())
    assert frame["complete"]["335"].tolist() == pytest.approx(sleep.params.tolist())
    ax = plots.shrinkage(sleep)
    arrows = ax.collections[0]
    start = np.column_stack([arrows.X, arrows.Y])
    wide = frame["no"].unstack("term")[["Intercept", "Days"]]
    assert start == pytest.approx(wide.to_numpy())
    assert start + np.column_stack([arrows.U, arrows.V]) == pytest.approx(
        frame["partial"].unstack("term")[["Intercept", "Days"]].to_numpy()
    )


def test_shrinkage_of_one_coefficient_is_towards_the_mean():
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    frame = plots.shrinkage_frame(fit)
    means = mfx.load_dataset("dyestuff").groupby("Batch", observed=True)["Yield"].mean()
    assert frame["no"].tolist() == pytest.approx(means.tolist())
    assert ((frame["partial"] - frame["complete"]) / (frame["no"] - frame["complete"])).std() == pytest.approx(
        0, abs=1e-9
    )
    assert [text.get_text() for text in plots.shrinkage(fit).get_xticklabels()][-1] == "E"


def test_levels_without_enough_rows_have_no_estimate_of_their_own():
    data = mfx.load_dataset("sleepstudy").query("Subject != '308' or Days == 2")
    frame = plots.shrinkage_frame(mfx.lmer("Reaction ~ Days + (Days | Subject)", data))
    assert frame.loc[frame["level"] == "308", "no"].isna().all()


def test_panels_have_three_lines(sleep):
    frame = plots.group_panels_frame(sleep, "Days", levels=["308", "309"]).set_index(["level", "pooling"])
    data = mfx.load_dataset("sleepstudy")
    assert frame.loc[("308", "complete")].tolist() == pytest.approx(np.polyfit(data.Days, data.Reaction, 1)[::-1])
    own = data[data["Subject"].astype(str) == "309"]
    assert frame.loc[("309", "no")].tolist() == pytest.approx(np.polyfit(own.Days, own.Reaction, 1)[::-1])
    assert frame.loc[("309", "partial")].tolist() == pytest.approx(sleep.coefficients["Subject"].loc["309"].tolist())
    panels = plots.group_panels(sleep, "Days")
    assert len(panels) == 12
    assert len(panels[0].lines) == 4
    with pytest.raises(mfx.SpecificationError, match="no level '1'"):
        plots.group_panels(sleep, "Days", levels=["1"])
    with pytest.raises(mfx.SpecificationError, match="no fixed effect 'x'"):
        plots.group_panels(sleep, "x")


def test_forest_shows_estimates_and_intervals(teeth):
    frame = plots.forest_frame({"all": teeth, "again": teeth})
    assert frame["model"].tolist() == ["all"] * 3 + ["again"] * 3
    assert frame["lower"].tolist()[:3] == pytest.approx(teeth.conf_int()["lower"].tolist()[1:])
    ax = plots.forest({"all": teeth, "again": teeth})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["age", "Sex[T.Female]", "age:Sex[T.Female]"]
    scaled = plots.forest_frame(teeth, standardize=True)
    assert scaled["estimate"].iloc[0] == pytest.approx(teeth.params["age"] * np.std(teeth.model.exog[:, 1]))


def test_effects_are_predictions_without_random_effects(teeth, herds):
    frame = plots.effect_frame(teeth, "age", "Sex")
    last = frame[(frame["by"] == "Female") & (frame["x"] == 14)].iloc[0]
    expected = teeth.get_prediction({"age": [14], "Sex": ["Female"]}, random=False).summary_frame().iloc[0]
    assert last[["mean", "lower", "upper"]].tolist() == pytest.approx(
        expected[["mean", "mean_ci_lower", "mean_ci_upper"]].tolist()
    )
    assert len(plots.effect(teeth, "age", "Sex").get_legend().get_texts()) == 2
    assert plots.effect_frame(herds, "period")["mean"].iloc[0] == pytest.approx(0.198, abs=1e-3)
    assert len(plots.effect_frame(teeth, "Sex", "age")) == 6
    with pytest.raises(mfx.SpecificationError, match="'size' is not a variable of the fixed effects or offset"):
        plots.effect(teeth, "size")


@pytest.mark.parametrize("how", ["term", "column", "array"])
def test_effects_of_models_with_an_offset_stand_at_its_mean(how):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "f": np.tile(["a", "b"], 60), "z": rng.normal(size=120)})
    data["log_time"] = rng.uniform(0.0, 2.0, 120)
    data["y"] = rng.poisson(np.exp(data.log_time + 0.5 * rng.standard_normal(12)[data.g]))
    formula = "y ~ f + offset(log_time) + (1 | g)" if how == "term" else "y ~ f + (1 | g)"
    given = {"term": None, "column": "log_time", "array": data.log_time.to_numpy()}[how]
    fit = mfx.glmer(formula, data, family="poisson", offset=given, zero_inflation="~ z")
    found = plots.effect_frame(fit, "f")["mean"]
    new = pd.DataFrame({"f": ["a", "b"], "log_time": data.log_time.mean(), "z": data.z.mean()})
    offset = new.log_time.to_numpy() if how == "array" else None
    assert found.to_numpy() == pytest.approx(fit.predict(new, random=False, offset=offset).to_numpy(), rel=1e-8)
    assert plots.effect(fit, "f").get_xticklabels()[0].get_text() == "a"


def test_matrices_are_those_of_the_model(sleep):
    Z = sleep.model.exog_re.toarray()
    frame = plots.matrix_frame(sleep, "Z")
    assert Z[frame["row"], frame["column"]].tolist() == frame["value"].tolist()
    scaled = Z @ sleep.model.Lambda(sleep.theta.to_numpy()).toarray()
    L = np.zeros((36, 36))
    entries = plots.matrix_frame(sleep, "L")
    L[entries["row"], entries["column"]] = entries["value"]
    assert pytest.approx(scaled.T @ scaled + np.eye(36)) == L @ L.T
    for which in ("Z", "Lambda", "ZtZ", "L", "V"):
        assert plots.matrix_image(sleep, which).images[0].get_array().shape[1] in (36, 180)
    with pytest.raises(mfx.SpecificationError, match="'Lambda'"):
        plots.matrix_image(sleep, "X")


def test_surface_is_the_objective_and_the_path_ends_at_the_estimate(sleep):
    path = plots.optimizer_path(sleep, start=[0.5, 0.0, 0.5])
    assert path.iloc[-1].to_numpy() == pytest.approx(sleep.theta.to_numpy(), abs=1e-4)
    assert path.iloc[0].tolist() == pytest.approx([0.5, 0.0, 0.5])
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    frame = plots.likelihood_surface_frame(fit)
    value = fit.model.objective([frame.iloc[7, 0]])[0]
    assert frame["deviance"].iloc[7] == pytest.approx(value - fit.deviance)
    assert frame["deviance"].min() == pytest.approx(0.0, abs=1e-2)
    assert plots.likelihood_surface(fit).get_ylabel() == "deviance above its minimum"
    assert plots.likelihood_surface(sleep, start=[0.5, 0.0, 0.5]).get_xlabel() == "θ of Subject: Intercept"
    with pytest.raises(mfx.SpecificationError, match="0 to 2"):
        plots.likelihood_surface(sleep, (0, 5))


def test_surface_of_a_generalised_model_is_least_over_all_other_parameters(monkeypatch):
    counts = mfx.load_dataset("grouseticks").iloc[::4].reset_index(drop=True)
    fit = mfx.glmer("TICKS ~ cHEIGHT + (1 | BROOD) + (1 | LOCATION)", counts, family="poisson")
    frame = plots.likelihood_surface_frame(fit)
    assert -1e-5 < frame["deviance"].min() < 0.1  # nowhere below the estimate, which is beside a point of the grid
    for row in (45, 230, 400):
        theta = frame.iloc[row, :2].to_numpy()
        free = minimize(lambda beta, theta=theta: fit.model.objective([*beta, *theta])[0], fit.params, tol=1e-10)
        assert frame["deviance"].iloc[row] == pytest.approx(free.fun + 2.0 * fit.llf, abs=1e-4)
    monkeypatch.setattr(engine, "PROFILED_POINTS", 5)
    assert plots.likelihood_surface(fit).get_title() == "Likelihood regions"


def test_curve_of_a_generalised_model_has_risen_at_the_ends_of_its_profile():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial", nagq=7)
    frame = plots.likelihood_surface_frame(fit)
    ends = mfx.profile(fit).conf_int().loc["sd_Intercept|herd"]
    risen = np.interp(ends, frame.iloc[:, 0], frame["deviance"])
    assert risen == pytest.approx(3.8415, abs=0.05)  # between the points of a grid


def test_influence_names_the_remarkable_rows(sleep):
    found = mfx.influence(sleep)
    ax = found.plot()
    names = {text.get_text() for text in ax.texts}
    assert names == {str(row) for row in found.cooks_distance.index[found.is_remarkable]}
    by_subject = mfx.influence(sleep, "Subject").plot()
    assert by_subject.get_xticklabels()[0].get_text() == "309"


@pytest.mark.parametrize(("levels", "spread"), [(3, 1.0), (4, 30.0), (5, 1.0), (12, 1.0), (40, 1.0)])
def test_orange_stems_are_those_of_which_the_line_below_speaks(levels, spread):
    rng, g = np.random.default_rng(levels), np.repeat(np.arange(levels), 8)
    data = pd.DataFrame({"x": rng.normal(size=g.size), "g": g})
    data["y"] = rng.normal(size=g.size) + spread * rng.standard_t(3, levels)[g] + data["x"] * (g == 2) * spread
    page = mfx.check(mfx.lmer("y ~ x + (1 | g)", data))
    panel, line = page.plot()[1, 1], page.panels().loc["influence", "line"]
    colours = [tuple(colour) for colour in panel.collections[0].get_colors()]
    orange = sum(colour == to_rgba("#D55E00") for colour in colours)
    assert orange == page.influence.is_remarkable.sum()
    assert ("out (above" in line) == (orange > 0)
    assert orange == 0 or f"; {orange} of {levels} stand" in line
    assert orange > 0 or " moves the fixed effects a lot" not in line
    (limit,) = [line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == "--"]
    assert limit == min(4.0 / levels, 1.0)


def test_dashboards(sleep, herds):
    assert mfx.check(sleep).plot().shape == (2, 3)
    titles = [ax.get_title() for ax in mfx.check(herds).plot().ravel()]
    assert "Zeros" in titles


def test_given_axes_are_used(sleep, teeth):
    drawers = (
        lambda ax: plots.residuals(sleep, ax=ax),
        lambda ax: plots.qq(sleep, ax=ax),
        lambda ax: plots.shrinkage(sleep, ax=ax),
        lambda ax: plots.forest(teeth, ax=ax),
        lambda ax: plots.effect(teeth, "Sex", ax=ax),
        lambda ax: plots.matrix_image(sleep, ax=ax),
    )
    for draw in drawers:
        _, ax = pyplot.subplots()
        assert draw(ax) is ax


def test_a_frame_is_a_plain_data_frame(sleep):
    assert type(plots.shrinkage_frame(sleep)) is pd.DataFrame


def test_intervals_of_a_factor_with_the_name_of_a_column():
    data = mfx.load_dataset("machines")
    fits = [
        mfx.lmer(f"score ~ {name} + (1 | Worker)", data.rename(columns={"Machine": name})) for name in ("lower", "A")
    ]
    own, same = (plots.marginal_means_frame(mfx.emmeans(fit, name)) for fit, name in zip(fits, ("lower", "A")))
    pd.testing.assert_frame_equal(own, same)
    panel = plots.plot_marginal_means(mfx.emmeans(fits[0], "lower"))
    assert points(panel)[:, 0] == pytest.approx(own["estimate"].to_numpy())


def test_pictures_of_what_is_computed_take_the_fit_or_say_what_to_pass(sleep):
    assert plots.influence(sleep).get_ylabel() == "Cook's distance"
    assert len(np.ravel(plots.plot_profile(sleep, parameters="Days"))) == 1
    found = mfx.batches(sleep)
    assert plots.plot_batches(found).get_ylabel() == plots.plot_batches(found.to_frame()).get_ylabel()
    for draw, made in (
        (plots.plot_batches, "mfx.batches(fit)"),
        (plots.plot_bootstrap, "mfx.bootstrap(fit)"),
        (plots.plot_marginal_means, "mfx.emmeans(fit"),
    ):
        with pytest.raises(mfx.SpecificationError) as error:
            draw(sleep)
        assert f"{draw.__name__}({made}" in str(error.value)


def test_an_effect_in_panels_has_each_row_once():
    data = mfx.load_dataset("sleepstudy").assign(
        half=lambda d: np.where(d["Subject"].cat.codes % 2 == 0, "even", "odd"), late=lambda d: d["Days"] > 4
    )
    fit = mfx.lmer("Reaction ~ Days * half * late + (1 | Subject)", data)
    panels = plots.effect(fit, "Days", "late", panels="half")
    assert [panel.get_title() for panel in panels] == ["half = even", "half = odd"]
    points = [line for panel in panels for line in panel.lines if line.get_marker() == "o" and line.get_alpha() == 0.35]
    assert sum(len(line.get_xdata()) for line in points) == 180
    growth = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    assert len(plots.effect(growth, "Sex", panels="age")) == 3
    pyplot.close("all")


def test_the_model_draws_what_was_seen(sleep):
    frame = plots.predictive_frame(sleep, 200, seed=1)
    inside = (frame["observed"] >= frame["lower"]) & (frame["observed"] <= frame["upper"])
    assert inside.mean() > 0.9
    assert frame["observed"].iloc[-1] == 1.0
    counts = mfx.load_dataset("salamanders")
    wrong = mfx.glmer("count ~ mined + (1 | site)", counts, family="poisson")
    frame = plots.predictive_frame(wrong, 200, seed=1)
    zero = frame[frame["x"] == 0].iloc[0]
    assert zero["observed"] == pytest.approx(float((counts["count"] == 0).mean()))
    assert zero["observed"] > zero["upper"]  # more zeros than a Poisson model draws


DISCRETE = {
    "counts": ("count ~ mined + (1 | site)", "salamanders", "poisson", None),
    "yes or no": ("use ~ urban + (1 | district)", "contraception", "binomial", ["N", "Y"]),
    "categories": ("Informed ~ Product + (1 | Consumer)", "ham", "ordinal", [2, 3, 5, 7, 8, 9]),
    "trials": ("right ~ Product + (1 | Consumer)", "ham", "binomial", [0.0, 0.25, 0.5, 0.75, 1.0]),
}


@pytest.mark.parametrize("kind", DISCRETE)
def test_bars_of_a_predictive_picture_are_the_shares_that_are_counted_in_the_simulation(kind):
    formula, name, family, values = DISCRETE[kind]
    data = mfx.load_dataset(name)
    if name == "ham":
        data = data.iloc[:240].rename(columns={"Informed.liking": "Informed"})
        data["Informed"] = data["Informed"].replace({1: 2, 4: 3, 6: 5})  # with gaps between the numbers
        data = data.assign(right=(data["Informed"] % 5) / 4, of=4)
    fit = mfx.glmer(formula, data, family=family, weights="of" if kind == "trials" else None)
    frame = plots.predictive_frame(fit, 40, seed=1, alpha=0.2).set_index("x")
    seen, drawn = data[formula.split()[0]], fit.simulate(40, seed=1).to_numpy()
    codes = {value: 1.0 + k for k, value in enumerate(values)} if kind == "categories" else {"N": 0.0, "Y": 1.0}
    assert values is None or frame.index.tolist() == values
    for value, row in frame.iterrows():
        assert row["observed"] == (seen == value).mean()
        shares = (np.abs(drawn - codes.get(value, value)) < 1e-9).mean(axis=0)
        expected = np.quantile(shares, [0.5, 0.1, 0.9])
        assert row[["median", "lower", "upper"]].to_numpy(dtype=float) == pytest.approx(expected)
    assert frame["observed"].sum() == pytest.approx(1.0)
    panel = plots.predictive(fit, 40, seed=1, alpha=0.2)
    assert [bar.get_height() for bar in panel.patches] == frame["observed"].tolist()
    reached = frame[frame["upper"] > 0]
    assert panel.lines[0].get_ydata() == pytest.approx(reached["median"].to_numpy())
    ends = np.array([segment[:, 1] for segment in panel.collections[0].get_segments()])
    assert ends == pytest.approx(reached[["lower", "upper"]].to_numpy())
    centres = np.array([bar.get_x() + 0.5 * bar.get_width() for bar in panel.patches])
    assert panel.lines[0].get_xdata() == pytest.approx(centres[frame["upper"] > 0])
    if values is not None:
        named = [text.get_text() for text in panel.get_xticklabels()]
        assert named == [value if isinstance(value, str) else f"{value:g}" for value in values]


def test_responses_of_many_values_are_curves(sleep, herds):
    spread = mfx.glmer("TICKS ~ YEAR + (1 | BROOD)", mfx.load_dataset("grouseticks"), family="poisson")
    for fit, name in ((sleep, "Reaction"), (herds, "proportion of incidence"), (spread, "TICKS")):
        panel, frame = plots.predictive(fit, 40), plots.predictive_frame(fit, 40)
        assert (panel.get_xlabel(), panel.get_ylabel()) == (name, "share of responses up to x")
        assert panel.lines[1].get_ydata() == pytest.approx(frame["observed"].to_numpy())
        assert frame["observed"].is_monotonic_increasing


def test_a_forest_of_ratios_is_that_of_the_tables(herds):
    frame = plots.forest_frame(herds, exp=True).set_index("term")
    tidy = mfx.tidy(herds, exponentiate=True).set_index("term").loc[frame.index]
    found = tidy[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float)
    np.testing.assert_allclose(frame[["estimate", "lower", "upper"]], found, rtol=1e-14)
    assert frame["estimate"].to_numpy() == pytest.approx(np.exp(herds.params.to_numpy()[1:]))
    column = mfx.summary_col([herds], exp=True).to_frame().iloc[:, 0]
    for term, value in frame["estimate"].items():
        assert float(column[term].split()[0]) == pytest.approx(value, abs=5e-4)
    panel = plots.forest(herds, exp=True)
    assert panel.get_xscale() == "log"
    assert panel.lines[0].get_xdata()[0] == 1.0
    assert panel.get_xlabel() == "odds ratio"
    assert "odds ratio" in str(herds.summary(exp=True))
    assert all(text.get_text() == f"{x:g}" for x, text in zip(panel.get_xticks(), panel.get_xticklabels()))


@pytest.mark.parametrize(
    ("family", "link", "said"),
    [
        ("poisson", None, "rate ratio"),
        ("nbinom2", None, "rate ratio"),
        ("gamma", "log", "ratio of means"),
        ("gaussian", None, "exp(coefficient)"),
        ("binomial", "cloglog", "hazard ratio"),
        ("binomial", "probit", "exp(coefficient)"),
    ],
)
def test_what_a_ratio_is_called_follows_from_family_and_link(family, link, said):
    rng, g = np.random.default_rng(8), np.repeat(np.arange(20), 6)
    data = pd.DataFrame({"x": rng.normal(size=120), "g": g})
    mean = np.exp(0.5 + 0.3 * data["x"] + 1.2 * rng.normal(size=20)[g])
    draws = {
        "gamma": lambda: rng.gamma(3.0, mean / 3.0),
        "gaussian": lambda: rng.normal(mean),
        "binomial": lambda: (mean > rng.exponential(1.5, 120)).astype(int),
        "nbinom2": lambda: rng.poisson(rng.gamma(2, mean / 2)),
        "poisson": lambda: rng.poisson(mean),
    }
    data["y"] = draws[family]()
    fit = mfx.glmer("y ~ x + (1 | g)", data, family=family, link=link)
    assert plots.forest(fit, exp=True).get_xlabel() == said
    assert said.replace("coefficient", "coef") in str(fit.summary(exp=True))


def test_names_in_back_quotes_are_names_as_in_formulas():
    data = mfx.load_dataset("sleepstudy").rename(columns={"Days": "day no. (%)"})
    data["half year"] = np.where(data["Subject"].cat.codes % 2 == 0, "even", "odd")
    fit = mfx.lmer("Reaction ~ `day no. (%)` * `half year` + (`day no. (%)` | Subject)", data)
    bare, quoted = ("day no. (%)", "half year"), ("`day no. (%)`", "`half year`")
    frames = [plots.effect_frame(fit, x, by) for x, by in (bare, quoted)]
    pd.testing.assert_frame_equal(*frames)
    frames = [plots.effect_frame(fit, by, at={x: 3.0}) for x, by in (bare, quoted)]
    pd.testing.assert_frame_equal(*frames)
    assert len(plots.effect(fit, quoted[0], panels=quoted[1])) == 2
    pd.testing.assert_frame_equal(*(plots.group_panels_frame(fit, x) for x, _ in (bare, quoted)))
    assert len(plots.group_panels(fit, quoted[0])) == 12


def test_effects_of_one_name_in_two_terms_of_a_factor_have_a_panel_each():
    data = mfx.load_dataset("machines")
    data["t"] = np.arange(len(data)) % 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.lmer("score ~ 1 + (1 + Machine | Worker) + (1 + t | Worker)", data)
    panels = plots.caterpillar(fit)
    assert len(panels) == 5
    for panel, place in zip(panels, range(5), strict=True):
        drawn = panel.lines[-1].get_xdata()
        np.testing.assert_allclose(np.sort(drawn), np.sort(fit.random_effects["Worker"].iloc[:, place]))

"""Tables and explanations say what the fit says."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx._display import format_number


@pytest.fixture(scope="module")
def fit():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


def test_tidy_and_glance_repeat_the_fit(fit):
    table = mfx.tidy(fit)
    fixed = table[table.effect == "fixed"].set_index("term")
    np.testing.assert_array_equal(fixed.estimate, fit.params)
    np.testing.assert_array_equal(fixed[["conf_low", "conf_high"]], fit.conf_int())
    frame = fit.varcorr.to_frame()
    assert table.set_index("term").estimate["sd__Days"] == pytest.approx(frame.sd[frame.term1 == "Days"].iloc[0])
    assert mfx.glance(fit).llf.item() == fit.llf


def test_two_terms_of_a_group_with_the_same_columns_are_told_apart():
    """Their correlations have one name: an interval that could be of either is not told."""
    rng = np.random.default_rng(2)
    g, x, z = np.repeat(np.arange(30), 8), rng.normal(size=240), rng.normal(size=240)
    b = rng.normal(size=(30, 3))
    data = {"y": b[g, 0] + b[g, 1] * x + b[g, 2] * z + rng.normal(size=240), "x": x, "z": z, "g": g}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.lmer("y ~ x + z + (1 + x + z | g) + homcs(1 + x + z | g)", data)
    names = [name for name in fit.conf_int(which="random").index if name.startswith("cor_")]
    text = " ".join(str(mfx.explain(fit)).split())
    assert len(names) > len(set(names))
    assert text.count("Between the Intercept and the x of levels of g: correlation") == 2
    assert text.count("without an interval") == len(names)


def test_augment_puts_columns_beside_the_rows_used():
    data = mfx.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = np.nan
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    table = mfx.augment(fit, data)
    assert len(table) == 179
    assert 3 not in table.index
    np.testing.assert_allclose(table[".fitted"] + table[".resid"], table.Reaction)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
def test_augment_takes_any_table_and_other_rows(kind):
    sleep = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    expected = mfx.augment(fit)

    def given(rows):
        if kind == "polars":
            return pytest.importorskip("polars").from_pandas(rows)
        if kind == "arrow":
            return pytest.importorskip("pyarrow").Table.from_pandas(rows, preserve_index=False)
        return rows if kind == "pandas" else {name: rows[name].to_numpy() for name in rows}

    whole = mfx.augment(fit, given(sleep))
    assert list(whole.columns) == [*sleep.columns, ".fitted", ".fixed", ".resid"]
    np.testing.assert_allclose(whole[expected.columns], expected, rtol=1e-12)
    for rows in (sleep.iloc[[7, 3, 99]], sleep.iloc[::-1]):
        some = mfx.augment(fit, given(rows))
        np.testing.assert_allclose(some[expected.columns], expected.loc[rows.index], rtol=1e-9, atol=1e-9)
        assert some["Days"].tolist() == rows["Days"].tolist()
    changed = mfx.augment(fit, given(sleep.assign(Days=sleep.Days + 1)))
    np.testing.assert_allclose(changed[".fixed"], expected[".fixed"] + fit.params["Days"])
    without = mfx.augment(fit, given(sleep[["Days", "Subject"]].iloc[:2]))
    assert without[".resid"].isna().all()
    with pytest.raises(mfx.DataError, match="Subject"):
        mfx.augment(fit, given(sleep.head(2).assign(Subject="new")))
    new = mfx.augment(fit, given(sleep.head(2).assign(Subject="new")), new_levels="population")
    np.testing.assert_allclose(new[".fitted"], new[".fixed"])


def test_residuals_of_other_rows_are_those_of_the_fit():
    herds = mfx.load_dataset("cbpp")
    fit = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, family="binomial")
    np.testing.assert_allclose(mfx.augment(fit, herds.iloc[5:9])[".resid"], fit.resid.iloc[5:9], rtol=1e-10)
    rng = np.random.default_rng(2)
    words = pd.Categorical(rng.choice(["no", "yes"], 80), ["no", "yes"])
    frame = pd.DataFrame({"y": words, "g": np.tile(np.arange(8), 10), "x": rng.normal(size=80)})
    fit = mfx.glmer("y ~ x + (1 | g)", frame, family="binomial")
    yes = frame[frame.y == "yes"].head(3)
    np.testing.assert_allclose(mfx.augment(fit, yes)[".resid"], fit.resid.loc[yes.index], rtol=1e-10)
    frame["y"] = pd.Categorical(rng.choice(["low", "mid", "top"], 80), ["low", "mid", "top"], ordered=True)
    fit = mfx.glmer("y ~ x + (1 | g)", frame, family="ordinal")
    np.testing.assert_allclose(mfx.augment(fit, frame.tail(9))[".resid"], fit.resid.tail(9), rtol=1e-10)


def test_compare_refuses_what_cannot_be_compared(fit):
    data = mfx.load_dataset("sleepstudy")
    with pytest.raises(mfx.SpecificationError, match="reml=False"):
        mfx.compare([fit, mfx.lmer("Reaction ~ 1 + (Days | Subject)", data)])
    with pytest.raises(mfx.SpecificationError, match="rows"):
        mfx.compare([fit, mfx.lmer("Reaction ~ Days + (Days | Subject)", data.iloc[:100])])
    with pytest.raises(TypeError, match="fitted"):
        mfx.compare(["a"])


def test_explain_in_words_equations_and_code(fit):
    explanation = mfx.explain(fit)
    assert "251.405" in explanation.sentences[1]
    assert r"\text{Days}_i" in explanation.equations.scalar
    assert "Reactionᵢ = 251.405 + 10.467·Daysᵢ" in explanation.equations.plain_estimates
    assert "β₁[Subjectᵢ] = γ₁ + b₁[Subjectᵢ]" in explanation.equations.plain_hierarchical
    assert explanation.code["lme4"].startswith("lmer(Reaction ~ 1 + Days + (1 + Days | Subject)")
    assert "drops the correlations" in explanation.code["bambi"]
    assert "\\" not in str(explanation)
    assert max(map(len, str(explanation).partition("In other programs")[0].splitlines())) <= 80
    assert repr(explanation) == str(explanation)


ORTHODONT, USE = mfx.load_dataset("orthodont"), mfx.load_dataset("contraception")


def sentence(fit, name):
    (found,) = [text for text in mfx.explain(fit).sentences if text.startswith(f"{name}: ")]
    return found


def claimed(text, verb="changes the expected"):
    return float(re.search(rf"{verb}.*? by (-?[\d.]+)", text)[1])


def test_a_logical_predictor_reads_as_the_factor_of_its_two_values():
    said = []
    for to in (bool, str):
        data = ORTHODONT.assign(male=(ORTHODONT["Sex"] == "Male").map(to))
        sentences = mfx.explain(mfx.lmer("distance ~ male * age + (1 | Subject)", data)).sentences
        said.append([text.replace("male[T.True]", "male") for text in sentences])
    assert said[0] == said[1]
    assert any(text.startswith("male: True instead of False changes") for text in said[0])


def test_a_coefficient_is_said_to_hold_where_it_does():
    fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", ORTHODONT)
    text = sentence(fit, "age")
    assert "where Sex is Male" in text
    assert "all else equal" not in text
    mean = fit.predict({"age": [8, 9, 8, 9], "Sex": ["Male", "Male", "Female", "Female"]}, random=False).to_numpy()
    assert claimed(text) == pytest.approx(mean[1] - mean[0], abs=5e-4)
    text = sentence(fit, "Sex[T.Female]")
    assert "where age is 0" in text
    at_zero = fit.predict({"age": [0, 0], "Sex": ["Male", "Female"]}, random=False).to_numpy()
    assert claimed(text) == pytest.approx(at_zero[1] - at_zero[0], abs=5e-4)
    text = sentence(fit, "age:Sex[T.Female]")
    shown = re.search(r"\(([\d.]+) instead of ([\d.]+)\)", text)
    assert [float(shown[1]), float(shown[2])] == pytest.approx([mean[3] - mean[2], mean[1] - mean[0]], abs=5e-4)


@pytest.mark.parametrize(
    "formula", ["y ~ `my x` * x * f", "y ~ x * f + `my x` * x", "y ~ `my x` + f * g2", "y ~ 0 + f + x:f"]
)
def test_every_effect_is_the_difference_of_predictions_where_it_is_said_to_hold(formula):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"my x": rng.normal(size=240), "x": rng.normal(size=240), "f": rng.choice(list("abc"), 240)})
    data["g"], data["g2"] = np.repeat(np.arange(24), 10), rng.choice(["p", "q"], 240)
    data["y"] = rng.normal(size=240) + rng.normal(size=24)[data["g"]]
    fit = mfx.lmer(f"{formula} + (1 | g)", data)
    usual = {"my x": 0.7, "x": -0.4, "f": "b", "g2": "q"}  # where a sentence says "equal", any place will do
    checked = 0
    for text in mfx.explain(fit).sentences:
        name = next((n for n in fit.params.index if text.startswith(f"{n}: ")), None)
        if name is None or "changes the expected" not in text:
            continue
        place = re.findall(r"(?:where|and) (my x|x|f|g2) is ([\w.]+)", text)
        at = usual | {key: (float(value) if key in ("my x", "x") else value) for key, value in place}
        factor = re.match(r"(f|g2)\[T\.\w+\]: (\w+) instead of (\w+)", text)
        number = re.search(r"(my x|x)(?:: one unit| changes|:f\[)", text) or re.search(r"unit more of (my x|x)", text)
        low, high = dict(at), dict(at)
        if factor:
            high[factor[1]], low[factor[1]] = factor[2], factor[3]
        else:
            high[number[1]] = low[number[1]] + 1.0
        mean = fit.predict(pd.DataFrame([low, high]), random=False).to_numpy()
        assert claimed(text) == pytest.approx(mean[1] - mean[0], abs=6e-4), text
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("coding", ["treatment", "sum"])
def test_codings_say_what_a_level_is_compared_with(coding):
    fit = mfx.lmer("distance ~ age + Sex + (1 | Subject)", ORTHODONT, contrasts={"Sex": coding})
    name = fit.params.index[-1]
    by_level = fit.predict({"age": [8, 8], "Sex": ["Male", "Female"]}, random=False).to_numpy()
    level, other = re.search(r": (\w+) instead of (the average|\w+) changes", sentence(fit, name)).groups()
    own = {"Male": by_level[0], "Female": by_level[1], "the average": by_level.mean()}
    assert claimed(sentence(fit, name)) == pytest.approx(own[level] - own[other], abs=5e-4)
    assert "all else equal" in sentence(fit, name)


def test_columns_of_one_variable_are_read_together():
    fit = mfx.lmer("distance ~ age + I(age^2) + Sex + (1 | Subject)", ORTHODONT)
    for name in ("age", "I(age ** 2)"):
        assert "read together" in sentence(fit, name)
        assert "all else equal" not in sentence(fit, name)
    assert "all else equal" in sentence(fit, "Sex[T.Female]")


def test_odds_ratios_and_what_is_success():
    fit = mfx.glmer("use ~ age * urban + (1 | district)", USE, family="binomial")
    text = " ".join(mfx.explain(fit).sentences)
    assert "What is counted as success is use = 'Y'" in text
    at = {"age": [0, 1], "urban": ["N", "N"]}
    odds = fit.predict(at, random=False, which="mean")
    ratio = (odds / (1 - odds)).to_numpy()
    assert claimed(sentence(fit, "age"), "multiplies the odds of use = 'Y'") == pytest.approx(
        ratio[1] / ratio[0], abs=5e-4
    )
    assert "larger than those on averages" in text
    counts = mfx.glmer("incidence ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="poisson", offset="size")
    text = " ".join(mfx.explain(counts).sentences)
    assert "ratio of rates" in text
    assert "the offset size" in text
    assert "averages" not in text  # the ratio of means is the same there


def test_a_tendency_is_claimed_only_beyond_chance(fit):
    text = next(text for text in mfx.explain(fit).sentences if "correlation" in text)
    assert "is open" in text
    assert "tend" not in text
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(40), 12), np.tile(np.arange(12.0), 40)
    b = rng.multivariate_normal([0, 0], [[4, 1.8], [1.8, 1]], size=40)
    clear = mfx.lmer("y ~ x + (x | g)", {"y": b[g, 0] + b[g, 1] * x + rng.normal(size=480), "x": x, "g": g})
    assert any("tend to have a higher x" in text for text in mfx.explain(clear).sentences)


def test_residual_structures_are_in_words_and_equations():
    structure = mfx.VarIdent("Sex") * mfx.AR1("age", group="Subject")
    fit = mfx.lmer("distance ~ age + (1 | Subject)", ORTHODONT, residual=structure)
    explanation, spread = mfx.explain(fit), np.sqrt(fit.residual_variances)
    text = " ".join(explanation.sentences)
    girls = spread[(ORTHODONT["Sex"] == "Female").to_numpy()][0]
    assert f"{girls:.3f} where Sex is Female" in text
    assert "between neighbours" in text
    assert "Single observations scatter around all this" not in text
    assert "corr(εᵢ, εⱼ)" in explanation.equations.plain
    assert "δ[Sexᵢ]²" in explanation.equations.plain


def test_further_parts_are_in_words_and_equations():
    owls = mfx.load_dataset("owls")
    fit = mfx.glmer(
        "SiblingNegotiation ~ FoodTreatment + (1 | Nest)", owls, family="nbinom2", zero_inflation="~ FoodTreatment"
    )
    explanation = mfx.explain(fit)
    text = " ".join(explanation.sentences)
    assert "odds of an extra zero" in text
    assert "apart from extra zeros" in text
    assert "logit(πᵢ) = " in explanation.equations.plain_estimates.replace("α₀", "?")
    assert f"φ = {fit.family_params['dispersion']:.3f}" in text
    assert "logit(πᵢ) = α₀ + α₁·FoodTreatment[T.Satiated]ᵢ" in explanation.equations.plain
    ham = mfx.load_dataset("ham").astype({"Product": str})
    ham["liking"] = pd.cut(ham["Informed.liking"], [0, 4, 6, 9], labels=["low", "middle", "high"])
    ordered = mfx.glmer("liking ~ Product + (1 | Consumer)", ham, family="ordinal")
    explanation = mfx.explain(ordered)
    assert "low < middle < high" in " ".join(explanation.sentences)
    assert "θ_k - (" in explanation.equations.plain
    shown = next(text for text in explanation.sentences if "probabilities are" in text)
    chances = [float(found) for found in re.findall(r" (0\.\d+)", shown)]
    assert sum(chances) == pytest.approx(1.0, abs=2e-3)


def test_predictors_of_groups_stand_where_they_act():
    fit = mfx.lmer("distance ~ age * Sex + (age | Subject)", ORTHODONT)
    lines = mfx.explain(fit).equations.plain_hierarchical.splitlines()
    assert "β₀[Subjectᵢ] = γ₀ + γ₂·Sex[T.Female]ᵢ + b₀[Subjectᵢ]" in lines
    assert "β₁[Subjectᵢ] = γ₁ + γ₃·Sex[T.Female]ᵢ + b₁[Subjectᵢ]" in lines


def test_translations_leave_out_programs_that_lack_the_model():
    sleep = mfx.load_dataset("sleepstudy")
    assert set(mfx.explain(mfx.lmer("Reaction ~ Days + cs(Days | Subject)", sleep)).code) == {"glmmTMB"}
    serial = mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, residual=mfx.AR1("Days", group="Subject"))
    assert set(mfx.explain(serial).code) == {"nlme"}
    probit = mfx.explain(mfx.glmer("use ~ age + (1 | district)", USE, family="binomial", link="probit")).code
    assert "lme4" not in probit  # its Laplace approximation of other links takes the expected information
    assert probit["glmmTMB"].endswith('family = binomial("probit"))')
    assert probit["bambi"].endswith('family="bernoulli", link="probit").fit()')


def test_bambi_has_no_double_bar_and_its_single_bar_has_no_correlations():
    fit = mfx.lmer("Reaction ~ Days + (Days || Subject)", mfx.load_dataset("sleepstudy"))
    assert mfx.explain(fit).code["bambi"] == 'bmb.Model("Reaction ~ 1 + Days + (1 + Days | Subject)", d).fit()'


def test_further_predictors_are_translated():
    data = mfx.load_dataset("salamanders")
    fit = mfx.glmer("count ~ mined + (1 | site)", data, family="poisson", zero_inflation="~ mined")
    assert mfx.explain(fit).code == {
        "glmmTMB": "glmmTMB(count ~ 1 + mined + (1 | site), data = d, family = poisson, ziformula = ~ mined)"
    }


PARTS = {
    "zeros and dispersion": lambda: mfx.glmer(
        "SiblingNegotiation ~ FoodTreatment + (1 | Nest)",
        mfx.load_dataset("owls"),
        family="nbinom2",
        zero_inflation="~ FoodTreatment",
        dispersion="~ SexParent",
    ),
    "constant zeros": lambda: mfx.glmer(
        "SiblingNegotiation ~ FoodTreatment + (1 | Nest)",
        mfx.load_dataset("owls"),
        family="poisson",
        zero_inflation="~ 1",
    ),
    "visits": lambda: mfx.lmer("distance ~ age", ORTHODONT, residual=mfx.Unstructured("age", group="Subject")),
    "serial": lambda: mfx.lmer(
        "distance ~ age + (1 | Subject)", ORTHODONT, residual=mfx.VarIdent("Sex") * mfx.AR1("age", group="Subject")
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_equations_with_the_estimates_have_every_estimate(name):
    fit = PARTS[name]()
    shown = mfx.explain(fit).equations.plain_estimates
    for (component, _), value in fit.params_all.items():
        if component != "covariance":
            assert format_number(abs(float(value)), 3) in shown, (component, value)
    # nor any letter that stands for an estimate
    assert not re.search(r"[αβδ][₀-₉]", shown)


def test_levels_of_visits_are_called_as_in_the_data():
    """Whole numbers keep no ``.0``, in names, summary and words; and the group is named."""
    fit = PARTS["visits"]()
    assert "cor[8,10]" in fit.residual_params.index
    text = str(fit.summary()) + " ".join(mfx.explain(fit).sentences)
    assert not re.search(r"(= |is |\[|,|and )\d+\.0\b", text)
    assert "where age is 8," in text
    assert "of the same Subject are correlated: 8 and 10: " in text
    assert "no groups" not in text


def test_the_spread_of_levels_holds_where_slopes_are_zero():
    """Its standard deviation is that of predictions of levels there, and not elsewhere."""
    sleep = mfx.load_dataset("sleepstudy")
    said = " ".join(mfx.explain(mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)).sentences)
    assert "differ in their level where Days is 0: standard deviation 24.7" in said
    assert "where" not in mfx.explain(mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep)).sentences[3]


def test_numbers_and_units_stay_on_one_line():
    fit = mfx.glmer("use ~ age * livch + urban + (1 | district)", USE, family="binomial")
    for line in str(mfx.explain(fit)).splitlines():
        assert not line.strip().startswith("%")
        assert "\u00a0" not in line


def test_known_variances_are_no_estimate():
    data = {"d": [0.1, 0.4, 0.3, 0.8, 0.2], "v": [0.1, 0.2, 0.1, 0.3, 0.2], "s": list("abcde")}
    fit = mfx.lmer("d ~ 1 + (1 | s)", data, residual=mfx.KnownVariance("v"))
    assert any("known, row by row" in note for note in fit.summary().notes)
    assert not any("known, row by row" in note for note in PARTS["serial"]().summary().notes)


@pytest.mark.parametrize(
    ("family", "formula", "options", "said", "untrue"),
    [
        ("nbinom2", "c ~ 1 + (1 | g)", {}, "vary no more than Poisson's", "vary more"),
        ("nbinom1", "c ~ 1 + (1 | g)", {}, "vary no more than Poisson's", "vary more"),
        ("nbinom2", "c ~ 1 + (1 | g)", {"dispersion": "~ x"}, "vary no more than Poisson's", "multiplied by"),
        ("beta_binomial", "cbind(s, 10 - s) ~ 1 + (1 | g)", {}, "vary no more than binomial ones", "vary more"),
        ("student_t", "y ~ 1 + (1 | g)", {}, "no heavier than a normal", "degrees of freedom"),
        (
            "poisson",
            "c ~ 1 + (1 | g)",
            {"zero_inflation": "~ 1"},
            "run to its limit",
            "probability of an extra zero is",
        ),
    ],
)
def test_what_has_run_to_its_limit_is_said_to(family, formula, options, said, untrue):
    """Less spread than the limit of the family: binomial counts, samples without replacement, uniform errors."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(12), 16)
    b = rng.normal(0, 0.3, 12)[g]
    data = {"g": g, "x": rng.normal(size=192), "c": rng.binomial(8, np.exp(1 + b) / 8)}
    data |= {"s": rng.hypergeometric(15, 15, 10, 192), "y": b + rng.uniform(-1, 1, 192)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        fit = mfx.glmer(formula, data, family=family, **options)
    sentences = " ".join(mfx.explain(fit).sentences)
    assert said in sentences
    assert untrue not in sentences
    assert said in " ".join(fit.notes)


def test_bambi_gets_its_own_names_of_functions_and_no_contrasts_of_r():
    sleep = mfx.load_dataset("sleepstudy")
    code = mfx.explain(mfx.lmer("log(Reaction) ~ sqrt(Days) + (1 | Subject)", sleep)).code
    assert "np.log(Reaction) ~ 1 + np.sqrt(Days)" in code["bambi"]
    assert "lmer(log(Reaction) ~ 1 + sqrt(Days)" in code["lme4"]
    assert "bambi" not in mfx.explain(mfx.lmer("distance ~ C(Sex, contr.sum) + (1 | Subject)", ORTHODONT)).code


def test_the_part_of_zeros_says_what_predict_says():
    fit = PARTS["zeros and dispersion"]()
    text = " ".join(mfx.explain(fit).sentences)
    zeros = fit.component_params["zero_inflation"]["coef"]
    probability = 1.0 / (1.0 + np.exp(-zeros["Intercept"]))
    assert (
        f"Where FoodTreatment[T.Satiated] is 0 the probability of an extra zero is {probability:.3f} (95 % interval"
        in text
    )
    row = pd.DataFrame({"FoodTreatment": ["Deprived"], "SexParent": ["Female"]})
    mean, whole = (fit.predict(row, random=False, which=which).iloc[0] for which in ("linear", "mean"))
    assert whole == pytest.approx(np.exp(mean) * (1.0 - probability), rel=1e-6)
    constant = PARTS["constant zeros"]()
    alone = 1.0 / (1.0 + np.exp(-constant.component_params["zero_inflation"]["coef"]["Intercept"]))
    assert f"The probability of an extra zero is {alone:.3f} (95 % interval" in " ".join(
        mfx.explain(constant).sentences
    )


def test_the_second_of_two_rows_has_the_same_names():
    data = mfx.load_dataset("orthodont").rename(columns={"age": "visit_id"})
    fit = mfx.lmer("distance ~ Sex", data, residual=mfx.Unstructured("visit_id", "Subject"))
    assert r"[\text{visit\_id}_i, \text{visit\_id}_j]" in mfx.explain(fit).equations.scalar


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial", "ordinal"])
def test_sentences_have_names_without_back_quotes_and_one_full_stop(family):
    rng, g = np.random.default_rng(3), np.repeat(np.arange(20), 10)
    data = pd.DataFrame({"day (no.)": rng.normal(size=200), "school nr.": g})
    eta = data["day (no.)"] + rng.normal(size=20)[g]
    draws = {
        "gaussian": eta + rng.normal(size=200),
        "poisson": rng.poisson(np.exp(0.5 * eta)),
        "binomial": (eta + rng.logistic(size=200) > 0).astype(int),
        "ordinal": np.digitize(eta + rng.logistic(size=200), [-1.0, 1.0]),
    }
    data["score (raw)"] = draws[family]
    fit = mfx.glmer("`score (raw)` ~ `day (no.)` + (1 | `school nr.`)", data, family=family)
    told = str(mfx.explain(fit)).split("As equations")[0]
    assert "score (raw)" in told
    assert "`score (raw)`" not in told
    assert ".." not in told
    assert "levels of school nr." in " ".join(told.split())


@pytest.mark.parametrize("family, link", [("poisson", "log"), ("binomial", "logit"), ("gaussian", "identity")])
def test_a_cell_mean_is_the_prediction_at_its_place(family, link):
    rng, g = np.random.default_rng(6), np.repeat(np.arange(15), 12)
    d = pd.DataFrame(
        {"g": g, "f": rng.choice(["a", "b"], 180), "x": rng.normal(2, 1, 180), "e": rng.uniform(1, 2, 180)}
    )
    eta = 0.3 * d["x"] + 0.4 * rng.normal(size=15)[g]
    d["y"] = {
        "poisson": rng.poisson(np.exp(eta) * d["e"]),
        "binomial": (rng.uniform(size=180) < 1 / (1 + np.exp(-eta))).astype(int),
        "gaussian": eta + rng.normal(size=180),
    }[family]
    fit = mfx.glmer("y ~ 0 + f + x + offset(log(e)) + (1 | g)", d, family=family)
    mean = fit.predict(pd.DataFrame({"f": ["a"], "x": 0.0, "e": 1.0}), random=False).iloc[0]
    told = " ".join(str(mfx.explain(fit)).split())
    shown = mean / (1 - mean) if family == "binomial" else mean
    average = " (in an average g)" if link in ("log", "logit") else ""
    what, verb = ("odds of y = 1", "are") if family == "binomial" else ("expected y", "is")
    number = f"{shown:.4g}" if shown > 1 else f"{shown:.3f}"
    assert f"f[a]: where f is a and x is 0, with an offset of 0, the {what}{average} {verb} {number[:5]}" in told


@pytest.mark.parametrize(
    "formula, family, link, larger",
    [
        ("y ~ x + (1 | g)", "binomial", "logit", True),
        ("y ~ x + (1 | g)", "binomial", "cloglog", True),
        ("y ~ x + (x | g)", "binomial", "logit", False),
        ("w ~ x + (1 | g)", "gamma", "inverse", False),
        ("w ~ x + (1 | g)", "gamma", "log", False),
    ],
)
def test_effects_within_groups_are_called_larger_than_averages_only_where_they_are(formula, family, link, larger):
    rng, g = np.random.default_rng(4), np.repeat(np.arange(30), 12)
    d = pd.DataFrame({"g": g, "x": rng.normal(size=360)})
    eta = 0.8 * d["x"] + rng.normal(size=30)[g] * (1.0 + 0.5 * d["x"])
    d["y"] = (rng.uniform(size=360) < 1 / (1 + np.exp(-eta))).astype(int)
    d["w"] = rng.gamma(5.0, 1.0 / (5.0 + 0.5 * d["x"] + 0.4 * rng.normal(size=30)[g])) + 0.01
    fit = mfx.glmer(formula, d, family=family, link=link)
    told = " ".join(str(mfx.explain(fit)).split())
    assert ("and larger than those on averages over g" in told) is larger
    if "(1 |" in formula:
        at = pd.DataFrame({"x": [-0.1, 0.1]})
        averaged = np.diff(fit.solution.link(fit.predict(at, which="marginal").to_numpy()))[0] / 0.2
        assert bool(abs(averaged) < abs(fit.params["x"]) * (1 - 1e-4)) is larger


def test_long_names_of_a_diagram_stay_apart_and_in_their_box():
    rng, g = np.random.default_rng(3), np.repeat(np.arange(12), 8)
    names = [f"{word} of the treatment that was given" for word in ("DOSE WITHIN A WEEK", "DOSE WITHIN A YEAR", "KIND")]
    data = pd.DataFrame(rng.normal(size=(96, 3)), columns=names).assign(g=g)
    data["y"] = rng.normal(size=96) + rng.normal(size=12)[g]
    fit = mfx.lmer("y ~ " + " + ".join(f"`{name}`" for name in names) + " + (1 | g)", data)
    (box,) = [node for node in mfx.explain(fit).diagram.nodes if node.kind == "data"]
    assert len(set(box.notes)) == 3
    panel = mfx.explain(fit).plot()
    panel.figure.draw_without_rendering()
    (frame,) = [patch.get_window_extent() for patch in panel.patches if type(patch).__name__ == "Rectangle"]
    written = [text.get_window_extent() for text in panel.texts if text.get_text() in box.notes]
    assert len(written) == 3
    assert all(frame.x0 < one.x0 and one.x1 < frame.x1 for one in written)

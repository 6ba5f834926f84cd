"""What is not there says what it is called here; names, copies and pickles work as if nothing happened."""

import ast
import copy
import pickle
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx._suggestions import plain, way_out
from mixedfx.exceptions import UnknownArgumentError
from tests.ways_out import CODE, World, table

FORMULA = "Reaction ~ Days + (Days | Subject)"
TABLE = table()
REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "index.md"


@pytest.fixture(scope="module")
def data():
    return mfx.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit(data):
    return mfx.lmer(FORMULA, data)


@pytest.fixture(scope="module")
def counts():
    return mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )


def test_every_documented_path_exists_in_a_fresh_process():
    paths = [line.strip() for line in REFERENCE.read_text(encoding="utf-8").splitlines() if re.match(r"   [a-z]", line)]
    paths = [path for path in paths if not path.startswith(("..", "autosummary"))]
    assert "diagnostics.Check" in paths
    assert "plots.qq" in paths
    deepest = sorted(paths, key=lambda path: -path.count("."))  # what nothing has imported on the way
    code = "import operator, sys, mixedfx\nfor path in sys.argv[1:]: operator.attrgetter(path)(mixedfx)"
    subprocess.run([sys.executable, "-c", code, *deepest], check=True)


def test_rooms_are_the_packages_and_dir_shows_public_names_only():
    folders = {path.parent.name for path in Path(mfx.__file__).parent.glob("*/__init__.py")}
    modules = {"exceptions"}
    assert set(mfx._ROOMS) >= modules
    assert set(mfx._ROOMS) - modules <= folders
    seen = {name for name in dir(mfx) if not name.startswith("__")}
    assert seen == {*mfx.__all__, "plots"}
    assert set(dir(mfx.plots)) - {"__doc__", "__name__"} == set(mfx.plots.__all__)


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.mark.parametrize(
    ("place", "together", "has", "says"), TABLE, ids=[f"{place}: {together} {has}" for place, together, has, _ in TABLE]
)
@pytest.mark.filterwarnings("ignore")
def test_the_code_of_every_hint_runs(place, together, has, says, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "csv" in says:
        world.data.to_csv("data.csv")
    if "parquet" in says:
        pytest.importorskip("pyarrow")
        world.data.to_parquet("data.parquet")
    if "xlsx" in says:
        pytest.importorskip("openpyxl")
    world.run(CODE.findall(says), place, has)


def test_code_stands_in_back_quotes_and_is_shown_without():
    for place, together, _, says in TABLE:
        outside = CODE.sub("", says)
        assert "`" not in outside, (place, together)
        assert not re.search(r"\b(mfx|fit|data|model|aov)\.\w+\(", outside) or "first, data." in outside, (
            place,
            together,
        )
    assert way_out("name", "fixef") == "write fit.params"


def test_every_word_stands_once_in_its_table_as_it_is_looked_up():
    seen = [
        (place, plain(word)) for place, together in dict.fromkeys(row[:2] for row in TABLE) for word in together.split()
    ]
    assert sorted({word for word in seen if seen.count(word) > 1}) == []
    assert [word for _, word in seen if not word] == []


def test_names_that_are_there_need_no_hint(fit):
    asked = {word for place, together, _, _ in TABLE if place in ("name", "of a fit") for word in together.split()}
    there = {name for name in asked if hasattr(fit, name)}
    assert there <= {"varcorr", "report", "emmeans", "to_html", "robust"}, (
        there
    )  # R's VarCorr; the others are hints for other objects


def test_words_come_before_spelling(data, fit):
    """What a word means is said, and nothing that is merely spelt alike."""
    asked = {
        "argument": lambda word: mfx.lmer(FORMULA, data, **{word: 1}),
        "family": lambda word: mfx.glmer(FORMULA, data, family=word),
        "link": lambda word: mfx.glmer(FORMULA, data, family="gamma", link=word),
        "function": lambda word: mfx.aov(f"Reaction ~ {word}(Days) + Error(Subject)", data),
        "structure": lambda word: mfx.lmer(f"Reaction ~ Days + {word}(Days | Subject)", data),
        "column": lambda word: mfx.lmer(FORMULA, data, weights=word),
        "residual": lambda word: mfx.lmer(FORMULA, data, residual=word),
        "ddf": lambda word: fit.t_test("Days", ddf=word),
        "adjust": lambda word: mfx.emmeans(fit, "Days", at={"Days": [1, 2]}).pairs(adjust=word),
        "contrasts": lambda word: mfx.emmeans(fit, "Days", at={"Days": [1, 2]}).contrast(word),
        "method": lambda word: fit.conf_int(method=word),
        "kind": lambda word: fit.plot(word),
        "name": lambda word: getattr(mfx, word),
        "of a fit": lambda word: getattr(fit, word),
        "of a model": lambda word: getattr(fit.model, word),
    }
    for place, together, has, says in TABLE:
        for word in together.split() if place in asked and not has else ():
            if place == "name" and hasattr(mfx, word):
                continue
            with pytest.raises((ValueError, TypeError, AttributeError)) as error:
                asked[place](word)
            assert says.replace("`", "") in str(error.value), (place, word)
            assert "did you mean" not in str(error.value)


def test_objects_of_every_public_class_say_what_a_name_is_called():
    paths = re.findall(r"(?m)^   ((?:\w+\.)*[A-Z]\w+)$", REFERENCE.read_text(encoding="utf-8"))
    classes = [attrgetter(path)(mfx) for path in paths]
    objects = [cls for cls in classes if not issubclass(cls, Exception)]
    objects += [mfx.results.varcorr.VarCorr, mfx.results.prediction.Prediction, mfx.fitting.certificate.Certificate]
    assert [cls for cls in objects if not hasattr(cls, "__getattr__")] == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d, f: mfx.anova(f).as_docx, ".as_html()"),
        (lambda d, f: f.as_docx, "fit.summary().as_html()"),
        (lambda d, f: mfx.emmeans(f, "Days").report, "fit.report()"),
        (lambda d, f: mfx.aov("Reaction ~ C(Days) + Error(Subject)", d).report, "mixed_model().report()"),
        (lambda d, f: mfx.profile(f).confint, "did you mean 'conf_int'"),
        (lambda d, f: f.varcorr.to_docx, ".summary().as_html()"),
        (lambda d, f: f.model.L, "model.Lambda(fit.theta)"),
        (lambda d, f: f.varcorr.to_framee, "did you mean 'to_frame'"),
    ],
)
def test_other_objects_say_what_a_name_is_called(call, said, data, fit):
    with pytest.raises(AttributeError, match=re.escape(said)):
        call(data, fit)


@pytest.mark.parametrize(
    "name", ["AR1", "CAR1", "CompoundSymmetry", "KnownVariance", "Unstructured", "VarExp", "VarIdent", "VarPower"]
)
@pytest.mark.parametrize("call", [{}, {"form": "x"}, {"rho": 0.5}, {"nope": 1}, (1, 2, 3, 4)])
def test_residual_structures_say_what_they_are_made_of(name, call):
    if name == "AR1" and call == {}:
        return  # the one that needs nothing
    with pytest.raises(UnknownArgumentError, match=name) as error:
        getattr(mfx, name)(**call) if isinstance(call, dict) else getattr(mfx, name)(*call)
    assert "__init__" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d, f, g: mfx.ranova(g), "mfx.anova(fit0, fit1)"),
        (lambda d, f, g: mfx.conditional_aic(g), "mfx.compare([fit0, fit1])"),
        (lambda d, f, g: mfx.overdispersion(f), "mfx.check(fit)"),
        (lambda d, f, g: mfx.plots.optimizer_path(g), "fit.certificate"),
        (lambda d, f, g: mfx.ranova(mfx.aov("Reaction ~ C(Days) + Error(Subject)", d)), "aov.mixed_model()"),
    ],
)
def test_functions_for_other_fits_name_the_way_out(call, said, data, fit, counts):
    with pytest.raises(TypeError, match=re.escape(said)):
        call(data, fit, counts)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d, f: f.conf_int(method="boot"), "fit.conf_int(method='bootstrap', n=20)"),
        (lambda d, f: f.conf_int(method="Profile"), "did you mean 'profile'?"),
        (lambda d, f: f.plot("effct"), "did you mean 'effect'?"),
        (lambda d, f: f.plot("interaction", x="Days"), "mfx.plots.interaction(fit.emmeans("),
        (lambda d, f: f.plot("group_panels", x="days"), "did you mean 'Days'?"),
        (lambda d, f: f.t_test("Days", ddf="between-within"), "between-within degrees of freedom are not computed"),
        (lambda d, f: mfx.emmeans(f, "Days", at={"Days": [1, 2]}).pairs(adjust="nope"), "'mvt'"),
        (
            lambda d, f: mfx.glmer("Days ~ 1 + (1 | Subject)", d, family="poisson", zero_inflation="~ (1 | Subject)"),
            "brms",
        ),
        (lambda d, f: mfx.glmer("Days ~ 1 + (1 | Subject)", d, family="nbinom2", dispersion="~ (1 | Subject)"), "brms"),
    ],
)
def test_other_words_name_the_nearest_that_there_is(call, said, data, fit):
    with pytest.raises(mfx.SpecificationError, match=re.escape(said)):
        call(data, fit)


def test_data_that_are_no_frame_name_what_to_call(data):
    polars, dask, duckdb = (pytest.importorskip(name) for name in ("polars", "dask.dataframe", "duckdb"))
    kinds = {
        "data.collect()": polars.from_pandas(data).lazy(),
        "data.compute()": dask.from_pandas(data, npartitions=2),
        "data.df()": duckdb.from_df(data),
    }
    for said, source in kinds.items():
        with pytest.raises(TypeError, match=re.escape(said)) as error:
            mfx.lmer(FORMULA, source)
        assert "mfx.lmer(None, mfx.cross_products(data, formula))" in str(error.value)
        frame = eval(said, {"data": source})
        assert mfx.lmer(FORMULA, frame).llf == pytest.approx(mfx.lmer(FORMULA, data).llf)
        assert mfx.lmer(None, mfx.cross_products(source, FORMULA)).llf == pytest.approx(mfx.lmer(FORMULA, data).llf)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fixef", "fit.params"),
        ("ranef", "fit.random_effects"),
        ("ranova", "mfx.ranova(fit)"),
        ("VarCorr", "fit.varcorr"),
        ("emtrends", "mfx.trends"),
        ("paramss", "'params'"),
        ("AIC", "'aic'"),
    ],
)
def test_results_say_what_a_name_is_called(name, said, fit):
    with pytest.raises(AttributeError, match=re.escape(said)):
        getattr(fit, name)
    assert getattr(fit, name, "none") == "none"
    assert not hasattr(fit, name)


@pytest.mark.parametrize(
    ("name", "said"), [("effct", "'effect'"), ("emmip", "mfx.plots.interaction"), ("qqplot", "mfx.plots.qq")]
)
def test_pictures_say_what_a_name_is_called(name, said):
    with pytest.raises(AttributeError, match=re.escape(said)):
        getattr(mfx.plots, name)


@pytest.mark.parametrize("name", ["resid_", "tvalue", "predict_", "pvalue"])
def test_a_slip_of_the_hand_is_corrected_once(name, fit):
    with pytest.raises(AttributeError) as error:
        getattr(fit, name)
    assert str(error.value).count(" or ") == 0


def test_a_failing_property_keeps_its_own_error():
    class Broken(mfx.results.linear.LinearMixedResults):
        @property
        def params(self):
            raise AttributeError("from inside")

    with pytest.raises(AttributeError, match="from inside"):
        Broken.__new__(Broken).params  # noqa: B018


def test_copies_and_pickles(fit):
    for other in (copy.copy(fit), copy.deepcopy(fit), pickle.loads(pickle.dumps(fit))):
        assert other.llf == fit.llf
        assert not hasattr(other, "fixef")
    assert pickle.loads(pickle.dumps(mfx.lmer)) is mfx.lmer


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d, f: mfx.lmer(FORMULA, d, REML=False), "did you mean reml=?"),
        (lambda d, f: mfx.lmer(FORMULA, d, family="binomial"), "mfx.glmer"),
        (lambda d, f: mfx.glmer(FORMULA, d), "'binomial'"),
        (lambda d, f: mfx.lmer(d, FORMULA), "formula comes first"),
        (lambda d, f: mfx.glmer(d, FORMULA, family="poisson"), "formula comes first"),
        (lambda d, f: mfx.lmer(FORMULA, "sleep.csv"), "pandas.read_csv"),
        (lambda d, f: mfx.lmer(FORMULA, d, False), "reml="),
        (lambda d, f: mfx.lmer(FORMULA), "data="),
        (lambda d, f: mfx.LinearMixedModel(FORMULA, d, REML=True), ".fit(reml="),
        (lambda d, f: mfx.LinearMixedModel(FORMULA, d).fit(REML=True), "did you mean reml=?"),
        (lambda d, f: f.predict(newdata=d), "data="),
        (lambda d, f: f.predict(re_form=None), "random=False"),
        (lambda d, f: f.conf_int(level=0.9), "alpha="),
        (lambda d, f: mfx.bootstrap(f, nsim=10), "n="),
        (lambda d, f: mfx.emmeans(f, "Days").pairs(adj="tukey"), "adjust"),
        (lambda d, f: mfx.Control(maxiter=10), "max_iter="),
        (lambda d, f: mfx.profile(f, "Days"), "too many arguments without a name; these need one: n_jobs=, progress="),
        (lambda d, f: mfx.aicc(f, "Days"), "got too many arguments: it takes fit"),
        (lambda d, f: mfx.pool(f, f), "pool takes the fits as one list: pool([a, b])"),
        (lambda d, f: mfx.plots.forest(f, f), "forest takes the fits as one list: forest([a, b])"),
        (lambda d, f: mfx.anova([f, f]), "write anova(a, b), one after the other"),
        (lambda d, f: f.bootstrap(nsim=10), "bootstrap has no argument 'nsim': write n="),
        (lambda d, f: f.emmeans("Days", type="response"), "write scale='response'"),
        (lambda d, f: f.anova(typ=3), "did you mean type=?"),
        (lambda d, f: f.check("normality"), "check got too many arguments: it takes none, and others by name"),
        (lambda d, f: f.profile(level=0.9), "profile has no argument 'level': it takes n_jobs, progress"),
        (lambda d, f: f.anova().as_latex(caption="x"), "as_latex has no argument 'caption'"),
        (lambda d, f: mfx.plots.group_panels(f), "group_panels needs x=, the name of a predictor"),
        (lambda d, f: mfx.plots.interaction(f, "Days", "Days"), "too many arguments without a name"),
        (lambda d, f: mfx.plots.effect(f, "Days", level=0.9), "alpha="),
    ],
)
def test_calls_say_what_an_argument_is_called(call, said, data, fit):
    with pytest.raises(TypeError, match=re.escape(said)):
        call(data, fit)


PLAIN = ("positional argument", "unexpected keyword argument", "required argument")


def test_no_method_of_a_fit_answers_a_wrong_argument_in_the_words_of_python(fit):
    objects = [fit, fit.emmeans("Days"), fit.get_prediction(), fit.anova(), fit.summary(), fit.robust(), fit.check()]
    left = []
    for found in objects:
        own = set(dir(found)) - set(dir(pd.DataFrame))
        for name in sorted(name for name in own if not name.startswith("_") and callable(getattr(found, name))):
            for values, options in (((object(),) * 30, {}), ((), {"nonsense": 1})):
                try:
                    getattr(found, name)(*values, **options)
                except Exception as error:
                    left += [f"{type(found).__name__}.{name}: {error}"] * any(words in str(error) for words in PLAIN)
    internal = ("Prediction.mean:",)
    assert [one for one in left if not one.startswith(internal)] == []


def test_an_error_from_inside_a_function_is_untouched(fit):
    with pytest.raises(TypeError, match="alpha is a number"):
        fit.conf_int(alpha="x")


@pytest.mark.parametrize(
    "family", ["logistic", "Logit", "probit", "quasi-poisson", "zip", "clmm", "poison", "binomail"]
)
def test_families_that_are_meant(family):
    with pytest.raises(mfx.SpecificationError) as error:
        mfx.families.family_for(family)
    named = re.findall(r"'([a-z_0-9]+)'", str(error.value).partition(":" if ": " in str(error.value) else ";")[2])
    assert named[0] in mfx.families.FAMILIES


# ---------------------------------------------------------------- notebooks
NOTEBOOK = """
import warnings; warnings.simplefilter("ignore")
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="nocolor")
shell.run_cell("import mixedfx as mfx; d = mfx.load_dataset('sleepstudy')")
shell.run_cell("fit = mfx.lmer('Reaction ~ Days + (1 | Subject)', d)")
for cell in {cells!r}:
    print("CELL")
    shell.run_cell(cell)
"""


def test_notebooks_show_the_users_line_and_the_message_only():
    pytest.importorskip("IPython")
    cells = [
        "x = 1\nmfx.lmer('Reaction ~ Dayz + (1 | Subject)', d)",
        "fit.ranef",
        "mfx.lmer('Reaction ~ Days + (1 | Subject)', d, REML=False)",
        "fit.conf_int(method='walt')",
        "def mine():\n    return mfx.emtrends\nmine()",
        "fit.conf_int(alpha='x')",
        "mfx.lmer(d, 'Reaction ~ Days')",
    ]
    run = subprocess.run(
        [sys.executable, "-c", NOTEBOOK.format(cells=cells)], capture_output=True, text=True, check=True
    )
    shown = run.stdout.split("CELL")[1:]
    own = str(Path(mfx.__file__).parent)
    assert len(shown) == len(cells)
    for cell, text in zip(cells, shown, strict=True):
        assert cell.splitlines()[-1] in text
        assert own not in text
        assert len(text.strip().splitlines()) <= 14, text
    assert "did you mean 'Days'" in shown[0]
    assert "fit.random_effects" in shown[1]


def test_the_table_is_asked_by_no_normal_path():
    tree = ast.parse(Path(mfx.__file__).read_text(encoding="utf-8"))
    imported = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "mixedfx._suggestions" not in imported

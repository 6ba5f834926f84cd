"""What is not there says what it is called here; names, copies and pickles work as if nothing happened."""

import ast
import copy
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mixedfx as mfx
from mixedfx import _suggestions as table

FORMULA = "Reaction ~ Days + (Days | Subject)"
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
    assert seen == set(mfx.__all__) | set(mfx._ROOMS)


@pytest.mark.parametrize(("name", "written"), [*table.NAMES.items(), *table.OF_FITS.items()])
def test_suggested_names_exist(name, written, fit, counts):
    for owner, path in re.findall(r"\b(mfx|fit)\.([A-Za-z_0-9.]*[A-Za-z_0-9])", written):
        place = mfx if owner == "mfx" else counts
        for part in path.split("."):
            assert hasattr(place, part), written
            place = getattr(place, part)
    assert not hasattr(fit, name) or name == "varcorr"  # R's VarCorr; of another name no suggestion is needed


def test_suggested_arguments_exist():
    """Every ``name=`` of a hint belongs to a function whose arguments include the hint's own condition."""
    functions = [getattr(mfx, name) for name in mfx.__all__ if callable(getattr(mfx, name))]
    classes = (
        mfx.results.linear.LinearMixedResults,
        mfx.results.generalized.GeneralizedLinearMixedResults,
        mfx.marginal_means.MarginalMeans,
        mfx.LinearMixedModel,
    )
    functions += [method for cls in classes for _, method in inspect.getmembers(cls, callable)]
    known = {p for f in functions if inspect.isfunction(inspect.unwrap(f)) for p in inspect.signature(f).parameters}
    known |= set(inspect.signature(mfx.Control).parameters) | set(inspect.signature(mfx.AR1).parameters)
    for hints in table.KEYWORDS.values():
        for hint in hints:
            named = set(re.findall(r"\b([a-z_]+)=", hint.says))
            assert {hint.has, *named} <= known | {""}, hint


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
        (lambda d, f: mfx.plots.group_panels(f), "group_panels needs x=, the name of a predictor"),
        (lambda d, f: mfx.plots.interaction(f, "Days", "Days"), "too many arguments without a name"),
        (lambda d, f: mfx.plots.effect(f, "Days", level=0.9), "alpha="),
    ],
)
def test_calls_say_what_an_argument_is_called(call, said, data, fit):
    with pytest.raises(TypeError, match=re.escape(said)):
        call(data, fit)


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


def test_every_family_that_is_meant_exists():
    from mixedfx.families.resolve import FAMILIES, MEANT

    assert not set(MEANT) & set(FAMILIES)
    for said in MEANT.values():
        assert all(name in FAMILIES for name in re.findall(r"family='([a-z_0-9]+)'", said))


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

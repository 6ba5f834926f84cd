"""``import mixedfx`` is lazy, and the table of public names agrees with what type checkers are told."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import mixedfx as mfx

HEAVY = ("numpy", "pandas", "scipy", "matplotlib", "statsmodels", "formulaic", "joblib")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_loads_nothing_heavy():
    loaded = run("import sys, mixedfx; print(*sys.modules)").split()
    assert set(HEAVY).isdisjoint(loaded)


def test_loading_data_needs_neither_matplotlib_nor_statsmodels():
    loaded = run("import sys, mixedfx; mixedfx.load_dataset('sleepstudy'); print(*sys.modules)").split()
    assert {"matplotlib", "statsmodels", "scipy"}.isdisjoint(loaded)


UNUSED = (
    "dask",
    "formulaic",
    "joblib",
    "matplotlib",
    "narwhals",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.sparse.csgraph",
    "scipy.sparse.linalg",
    "scipy.spatial",
    "scipy.stats",
    "statsmodels",
    "tqdm",
    "mixedfx.covariance.residual.markov",
    "mixedfx.criterion.generalized_problem",
    "mixedfx.fitting.generalized",
    "mixedfx.inference.kenward_roger",
    "mixedfx.models.generalized",
    "mixedfx.results.bootstrap",
    "mixedfx.results.profile",
)


FIRST_FITS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "machines": "score ~ Machine + (Machine | Worker)",
}


@pytest.mark.parametrize("name", FIRST_FITS)
def test_a_first_fit_and_its_summary_load_what_they_use(name):
    fit = f"mfx.lmer({FIRST_FITS[name]!r}, mfx.load_dataset({name!r}))"
    loaded = run(f"import sys, mixedfx as mfx; str({fit}.summary()); print(*sys.modules)").split()
    assert "mixedfx.models.linear" in loaded
    assert sorted(set(UNUSED).intersection(loaded)) == []


@pytest.mark.parametrize("name", mfx.__all__)
def test_public_names_can_be_imported_and_have_docstrings(name):
    assert getattr(mfx, name).__doc__
    assert name in dir(mfx)


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse(Path(mfx.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    told = {
        alias.asname: node.module
        for block in blocks
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {name: f"mixedfx.{room}" for name, room in mfx._HOME.items()}


def test_the_reference_lists_every_public_name():
    page = Path(__file__).parents[1].joinpath("docs", "reference", "index.md").read_text(encoding="utf-8")
    listed = {line.strip() for line in page.splitlines() if line.startswith("   ")}
    assert sorted(set(mfx.__all__) - listed) == []


def test_version_is_the_installed_one():
    assert mfx.__version__ == importlib.metadata.version("mixedfx")


def test_the_citation_names_this_version():
    lines = Path(__file__).parents[1].joinpath("CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {mfx.__version__}" in lines


def test_unknown_attributes_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'lme'"):
        mfx.lme  # noqa: B018
